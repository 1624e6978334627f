"""Bugs planted in neighbourhoods, layers, models and training; part of the list of `seeded_bugs`."""

import numpy as np

from se3ref import dynamics
from se3ref.backend import lift
from se3ref.models import heads, nequip, se3_transformer
from se3ref.nn import gate, ops, radial, rotated
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


def one_gate_for_all_channels():
    """The mean of the gates of an irrep, on all of its channels."""
    function = gate._gated

    def shared(h, opening):
        counts = [h[irrep].shape[2] for irrep in sorted(h) if irrep.l]
        kept = h[heads.SCALAR].shape[2] - sum(counts)
        mean = np.eye(kept + sum(counts))
        for start, c in zip(kept + np.cumsum([0, *counts]), counts, strict=False):
            mean[start:start + c, start:start + c] = 1 / c
        mean = mean.astype(h[heads.SCALAR].real.dtype)
        y, pull = function(h | {heads.SCALAR: h[heads.SCALAR] @ mean}, opening)

        def pull_mean(dy):
            dh = pull(dy)
            return dh | {heads.SCALAR: dh[heads.SCALAR] @ mean}
        return y, pull_mean
    return [(gate, "_gated", shared)]


def relu_of_components():
    def relu(b, x):
        on = x.real > 0
        return np.where(on, x, 0 * x), lambda dy: (0 * b, np.where(on, dy, 0 * dy))
    return [(gate, "_norm_activation", relu)]


def absolute_positions():
    """Each scalar of an atom gets a part of its x, with the derivative that belongs to it."""
    function, axis = nequip.NequIP.trunk, np.array([0.1, 0, 0])

    def trunk(self, params, atoms):
        h, pull = function(self, params, atoms)

        def pull_too(dh):
            dparams, dgeometry = pull(dh)
            return dparams, dgeometry | {"positions": dh[heads.SCALAR].sum((1, 2))[:, None] * axis}
        return h | {heads.SCALAR: h[heads.SCALAR] + (atoms.graph.positions @ axis)[:, None, None]}, pull_too
    return [(nequip.NequIP, "trunk", trunk)]


def norm_over_the_batch():
    """A root mean square over all atoms there are, not one for each."""
    def normalized(params, x, eps):
        offset, size = "offset" in params, x.shape[0] * x.shape[2]
        centred = x - x.mean(2, keepdims=True) if offset else x
        rms = np.sqrt((centred * centred).sum() / size + eps * eps)
        z = centred / rms

        def pull(dy):
            g = params["scale"] * dy
            dx = (g - z * ((g * z).sum() / size)) / rms
            dparams = {"scale": (dy * z).sum((0, 1))}
            return (dparams | {"offset": dy.sum((0, 1))}, dx - dx.mean(2, keepdims=True)) if offset else (dparams, dx)
        return params["scale"] * z + (params["offset"] if offset else 0.0), pull
    return [(gate, "_normalized", normalized)]


def scale_of_one_component():
    """The learned scale, which starts as 1, on the first component only."""
    function = gate._normalized

    def normalized(params, x, eps):
        z, pull = function(params | {"scale": 0 * params["scale"] + 1.0}, x, eps)
        if x.shape[1] == 1:
            return function(params, x, eps)
        scale = np.concatenate([params["scale"][None], np.ones((x.shape[1] - 1, x.shape[2]))])

        def pull_scaled(dy):
            return {"scale": (dy * z)[:, 0].sum(0)}, pull(scale * dy)[1]
        return scale * z, pull_scaled
    return [(gate, "_normalized", normalized)]


def attention_changed(change):
    """The weights of attention, with the derivative that belongs to them: change(a) for a and for its cotangent."""
    function = se3_transformer.attention_weights

    def changed(*args):
        a, pull = function(*args)
        return change(a), lambda da: pull(change(da))
    return [(se3_transformer, "attention_weights", changed)]


def values_without_an_envelope():
    """Bessel functions of a longer cutoff: they do not vanish where neighbours leave."""
    return [(se3_transformer, "radial_basis", lambda r, cutoff, count: radial.bessel(r, 1.1 * cutoff, count))]


def other_sign_on_the_axis():
    function = rotated._diagonal

    def diagonal(l2, l1, l3):
        columns, rows, t = function(l2, l1, l3)
        return columns, rows, -t if (l1 + l2 + l3) % 2 else t
    return [(rotated, "_diagonal", diagonal)]


def whole_kicks():
    """One kick of a whole step in place of two halves: of first order."""
    def verlet(forces, positions, velocities, masses, dt):
        r, v = np.array(positions), np.array(velocities)
        while True:
            E, F = forces(r)
            yield r, v, E
            v = v + (dt * dynamics.ACCELERATION) / masses[:, None] * F
            r = r + dt * v
    return [(dynamics, "verlet", verlet)]


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
GATE, ROTATED, SE3 = "nn/test_gate", "nn/test_rotated", "models/test_se3_transformer"
TURNS = of(LAWS, "P32_rotations[NequIP,cluster,False]")
GRADIENT = of(MECHANICS, "P45_forces_are_the_gradient[NequIP,cluster,False]")

# name, plant, caught, blind
NETWORK_BUGS = [
    ("layer norm with a bias on vectors", bias_on_vectors,
     of(LAWS, "P32_rotations[SE3Transformer,cluster,False]"),
     of(MECHANICS, "P45_forces_are_the_gradient[SE3Transformer,cluster,False]")),
    ("an activation of single components", activation_of_components, TURNS,
     of(LAWS, "P53_images_are_all_the_same_atom[NequIP,triclinic,False]") + GRADIENT),
    ("one gate for all channels", one_gate_for_all_channels,
     of(GATE, "P34_gates_of_split_channels", "gated_is_its_formula"),
     of(GATE, "P32_under_rotations_and_reflections[gated,float64]") + TURNS + GRADIENT),
    ("a ReLU of single components", relu_of_components,
     of(GATE, "P32_under_rotations_and_reflections[norm_activation]"),
     of(GATE, "P34_channels_in_another_order[norm_activation]")),
    ("absolute positions fed in", absolute_positions,
     of(LAWS, "P53_translations[NequIP,cluster,1.0]", "P53_images_are_all_the_same_atom[NequIP,triclinic,False]")
     + of(MECHANICS, "P48_no_net_force[NequIP,cluster,False]"),
     of(LAWS, "P33_permutations[NequIP,cluster,False]") + GRADIENT),
    ("a batch norm in place of a layer norm", norm_over_the_batch,
     of(LAWS, "P38_a_batch_is_its_parts[SE3Transformer]", "P52_separate_fragments_add[SE3Transformer]",
        "P58_nothing_beyond_the_receptive_field[SE3Transformer]"),
     of(LAWS, "P32_rotations[SE3Transformer,cluster,False]", "P54_supercells[SE3Transformer,triclinic]")
     + of(MECHANICS, "P45_forces_are_the_gradient[SE3Transformer,cluster,False]")),
    ("a learned scale on one component", scale_of_one_component,
     of(GATE, "P32_under_rotations_and_reflections[layer_norm]"),
     of(LAWS, "P32_rotations[SE3Transformer,cluster,False]")
     + of(MECHANICS, "P45_forces_are_the_gradient[SE3Transformer,cluster,False]")),
    ("attention that adds up to 0.9", lambda: attention_changed(lambda a: 0.9 * a),
     of(SE3, "P37_weights_sum_to_one"),
     of(SE3, "P37_weights_are_invariant") + of(LAWS, "P32_rotations[SE3Transformer,cluster,False]")
     + of(MECHANICS, "P45_forces_are_the_gradient[SE3Transformer,cluster,False]")),
    ("values of attention without an envelope", values_without_an_envelope, of(SE3, "P57_all_neighbours_leave_at_once"),
     of(LAWS, "P32_rotations[SE3Transformer,cluster,False]")
     + of(MECHANICS, "P45_forces_are_the_gradient[SE3Transformer,cluster,False]")),
    ("sign of the odd paths on the axis", other_sign_on_the_axis,
     of(ROTATED, "P35_rotate_to_edge_is_the_convolution[SO(3)]"), of(ROTATED, "P32_equivariance", "P40_P41_pullbacks")),
    ("whole kicks in dynamics", whole_kicks,
     of("models/test_hybrid_training", "P50_dynamics_keeps_its_energy[Gaussians,ion]"), GRADIENT),
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
