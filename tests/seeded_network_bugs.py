"""Bugs planted in neighbourhoods, layers, models and training; part of the list of `seeded_bugs`."""

import numpy as np

from se3ref.backend import lift
from se3ref.models import heads, nequip
from se3ref.nn import gate, ops, radial
from se3ref.systems import graph as graphs
from se3ref.training import loss, run
from se3ref.training.optimizer import Adam


def bias_on_vectors():
    normalized = gate._normalized

    def biased(params, x, eps):
        y, pull = normalized(params, x, eps)
        return y + 0.1, pull
    return [(gate, "_normalized", biased)]


def activation_of_components():
    def each(h, opening="sigmoid"):
        layers = {irrep: ops.silu(x) for irrep, x in h.items()}
        kept = h[heads.SCALAR].shape[2] - sum(x.shape[2] for irrep, x in h.items() if irrep.l)
        y = {irrep: v[:, :, :kept] if irrep == heads.SCALAR else v for irrep, (v, _) in layers.items()}

        def pull(dy):
            full = np.concatenate([dy[heads.SCALAR], 0 * h[heads.SCALAR][:, :, kept:]], axis=2)
            return {irrep: back(full if irrep == heads.SCALAR else dy[irrep]) for irrep, (_, back) in layers.items()}
        return y, pull
    return [(nequip, "gated", each)]


def hard_cutoff():
    return [(radial, "envelope", lambda r, cutoff, p=6: (1 + 0 * r, lambda du: 0 * du))]


def harmonics_of_noise():
    function = nequip.spherical_harmonics_and_pull

    def noise(lmax, xyz):
        other = np.random.default_rng(len(xyz)).standard_normal(xyz.shape)
        Y, _ = function(lmax, other)
        return Y, lambda dY: 0 * xyz
    return [(nequip, "spherical_harmonics_and_pull", noise)]


def volume_of_a_box():
    return [(graphs.Graph, "volume", property(lambda self: np.sqrt((self.cell**2).sum(2)).prod(1)))]


def convolution_changed(change):
    """The pullback of the convolution in NequIP: change(dw, dh, dY) -> the same, wrong."""
    convolve = nequip.convolve

    def changed(*args):
        y, pull = convolve(*args)
        return y, lambda dy: change(*pull(dy))
    return [(nequip, "convolve", changed)]


def half_of_one_path(dw, dh, dY):
    c = min(x.shape[2] for x in dh.values())
    dw[:, -c:] *= 0.5                                          # the last path
    return dw, dh, dY


def senders_in_another_order(dw, dh, dY):
    return dw, {irrep: x[::-1] for irrep, x in dh.items()}, dY


def detached_forces():
    def first_order(model, params, graph, slopes):
        return model.forward(params, graph)[1](loss._seeds({"energy": slopes.get("energy", np.zeros(
            graph.n_structures))}, graph))[0]
    return [(loss, "_gradient_by_complex_step", first_order)]


def strain_of_the_wrong_sign():
    gradient = loss._gradient_by_complex_step

    def flipped(model, params, graph, slopes):
        return gradient(model, params, graph, {k: -v if k == "stress" else v for k, v in slopes.items()})
    return [(loss, "_gradient_by_complex_step", flipped)]


def slope_of_the_lifted_sigmoid():
    wrong = lift(ops._sigmoid, lambda x: 1.001 * ops._sigmoid(x) * (1 - ops._sigmoid(x)))
    return [(module, "sigmoid", wrong) for module in (ops, gate)]


def charges_as_they_come():
    return [(heads.Atoms, "mean", lambda self, x: 0 * x)]


def moments_with_their_bias():
    def update(self, theta, gradient, rate, decay=0.0):
        self.steps += 1
        self.m += (1 - self.beta1) * (gradient - self.m)
        self.v += (1 - self.beta2) * (gradient * gradient - self.v)
        theta -= rate * self.m / (np.sqrt(self.v) + self.eps) + (rate * decay) * theta
    return [(Adam, "update", update)]


def ranks_that_count_twice():
    shared = run.Run._shared

    def twice(self, rows):
        self.weights = {name: 2 * w for name, w in self.weights.items()}
        return shared(self, rows)
    return [(run.Run, "_shared", twice)]


def of(file, *names):
    """Tests of one file, as `seeded_bugs` names them."""
    return [f"tests/{file}.py::test_{name}" for name in names]


LAWS, MECHANICS, LOSS = "models/test_laws", "models/test_mechanics", "training/test_loss"
TURNS = of(LAWS, "P32_rotations[NequIP,cluster,False]")
GRADIENT = of(MECHANICS, "P45_forces_are_the_gradient[NequIP,cluster,False]")

# name, plant, caught, blind
NETWORK_BUGS = [
    ("layer norm with a bias on vectors", bias_on_vectors,
     of(LAWS, "P32_rotations[SE3Transformer,cluster,False]"),
     of(MECHANICS, "P45_forces_are_the_gradient[SE3Transformer,cluster,False]")),
    ("an activation of single components", activation_of_components, TURNS,
     of(LAWS, "P53_images_are_all_the_same_atom[NequIP,triclinic,False]") + GRADIENT),
    ("hard cutoff", hard_cutoff, of(LAWS, "P57_smooth_through_the_cutoff[NequIP,False]"), TURNS + GRADIENT),
    ("harmonics of noise in place of directions", harmonics_of_noise,
     of(LAWS, "P33_permutations[NequIP,cluster,False]")
     + of(MECHANICS, "dipoles_turn_and_move_with_the_charge[NequIP]"),
     TURNS + GRADIENT),
    ("volume of a box with right angles", volume_of_a_box,
     of(MECHANICS, "P51_stress_is_the_strain_derivative[NequIP,triclinic,False]"),
     of(MECHANICS, "P51_stress_is_symmetric[NequIP,triclinic]") + GRADIENT),
    ("half the gradient of one path's weights", lambda: convolution_changed(half_of_one_path),
     GRADIENT + of(MECHANICS, "P41_pullback_of_the_whole_model[NequIP]"), TURNS),
    ("senders in another order", lambda: convolution_changed(senders_in_another_order),
     GRADIENT + of(MECHANICS, "P41_pullback_of_the_whole_model[NequIP]"),
     of(LAWS, "P53_translations[NequIP,cluster,1.0]")),
    ("gradient of the loss without its force branch", detached_forces,
     of(LOSS, "P43_gradient_is_the_slope_of_the_loss[forces]"), of(LOSS, "loss_is_the_formula") + GRADIENT),
    ("strain of the wrong sign in the loss on stress", strain_of_the_wrong_sign,
     of(LOSS, "P43_gradient_is_the_slope_of_the_loss[everything]"),
     of(LOSS, "P43_gradient_is_the_slope_of_the_loss[energy and forces]")
     + of(MECHANICS, "P51_stress_is_the_strain_derivative[NequIP,triclinic,False]")),
    ("slope of the lifted sigmoid off by 0.1 %", slope_of_the_lifted_sigmoid,
     of(LOSS, "P43_gradient_is_the_slope_of_the_loss[forces]") + GRADIENT, TURNS),
    ("charges that do not add up", charges_as_they_come,
     of(MECHANICS, "dipoles_turn_and_move_with_the_charge[NequIP]"), TURNS),
    ("Adam without unbiased moments", moments_with_their_bias,
     of("training/test_optimizer", "adam_is_the_paper", "the_first_step_has_the_length_of_the_rate"),
     of("training/test_optimizer", "adam_finds_the_minimum_of_a_skewed_bowl")),
    ("ranks that count twice", ranks_that_count_twice, of("training/test_loop", "shares_of_a_batch_add_up"), []),
]
