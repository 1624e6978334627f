"""The gradient of the loss by complex step is that of a tape, reverse over reverse; mixed partials commute."""

import numpy as np
import oracle
import pytest

from se3ref import models, training
from se3ref.nn.params import cast, flatten, leaves, map_leaves
from se3ref.systems import Structure, neighbor_graph

WATER = Structure([8, 1, 1], [[0.0, 0.0, 0.0], [0.76, 0.59, 0.1], [-0.76, 0.59, 0.0]], charge=1.0)
CHOH = Structure([6, 1, 8, 1], [[0.0, 0.0, 0.0], [1.1, 0.1, 0.1], [-0.3, 1.2, 0.2], [0.2, -0.5, -0.9]])
FAR = Structure([8, 1, 6], [[0.0, 0.0, 0.0], [0.9, 0.1, 0.0], [6.0, 0.0, 0.0]])        # one atom alone
SMALL = Structure([6, 1], [[0.1, 0.2, 0.3], [1.4, 0.9, 0.2]],                          # less than the cutoff across
                  [[2.5, 0.2, 0.0], [0.5, 3.1, 0.1], [-0.4, 0.3, 2.3]], True)
CELL = Structure([6, 1, 8], [[0.1, 0.2, 0.3], [1.4, 0.9, 0.2], [0.8, 2.0, 1.7]],
                 [[2.9, 0.2, 0.0], [0.5, 3.1, 0.1], [-0.4, 0.3, 3.3]], True)
SYSTEMS = {"molecule": [WATER], "triclinic": [SMALL], "molecules": [WATER, CHOH, FAR], "crystals": [CELL, SMALL],
           "mixed": [CHOH, SMALL]}
WEIGHTS = {"energy": 0.7, "forces": 1.3, "stress": 2.0, "dipole": 0.4, "pseudoscalar": 0.8, "vector": 0.5,
           "pseudovector": 0.6}
CUTOFF = 3.4
MODELS = {
    "NequIP": (models.NequIP, dict(lmax=2, channels=3, layers=3, hidden=(5,))),
    "NequIP, SO(3)": (models.NequIP, dict(lmax=1, channels=3, layers=2, hidden=(), group="SO(3)")),
    "NequIP, both parities": (models.NequIP, dict(lmax=2, irreps="3x0e+2x0o+2x1o+2x1e+1x2e", layers=3, hidden=(5,))),
    "MACE": (models.MACE, dict(lmax=2, channels=2, layers=2, hidden=(5,))),
    "MACE, both parities": (models.MACE, dict(lmax=1, irreps="3x0e+2x0o+2x1o+2x1e", channels=2, layers=2, hidden=(5,))),
    "SchNet": (models.SchNet, dict(channels=4, layers=3)),
    "PaiNN": (models.PaiNN, dict(channels=4, layers=2)),
    "EGNN": (models.EGNN, dict(channels=4, layers=2)),
    "SE3Transformer": (models.SE3Transformer, dict(lmax=2, channels=4, attention_heads=2, layers=2, hidden=(5,))),
    "Coordinates": (models.Coordinates, dict(channels=4, layers=2, hidden=(5,))),
}
ODD = {"pseudoscalar": (), "vector": (3,), "pseudovector": (3,)}         # of "both parities", and their shapes
every_model = pytest.mark.parametrize("name", MODELS)


def case(name, structures):
    """Model, parameters, graph, targets: energies and forces; stress in crystals; dipoles of molecules; odd outputs."""
    rng = np.random.default_rng(7)
    periodic = [structure.pbc.any() for structure in structures]
    architecture, fields = MODELS[name]
    heads = ("energy", *(() if any(periodic) else ("dipole",)), *(ODD if "parities" in name else ()))
    model = architecture([1, 6, 8], CUTOFF, basis=4, heads=heads, **fields)
    graph, s = neighbor_graph(structures, CUTOFF), len(structures)
    targets = {"energy": rng.standard_normal(s), "forces": rng.standard_normal((graph.n_atoms, 3))}
    if all(periodic):
        targets["stress"] = rng.standard_normal((s, 3, 3))
    if not any(periodic):
        targets["dipole"] = rng.standard_normal((s, 3))
    if "parities" in name and structures != [WATER]:           # it is flat: its pseudoscalar is 0
        targets |= {key: rng.standard_normal((s, *shape)) for key, shape in ODD.items()}
    return model, model.init(rng), graph, targets


def distance(ours, theirs):
    """The largest difference of two gradients, leaf by leaf, in units of the leaf's largest entry, if it has one."""
    ours, theirs = dict(leaves(ours)), dict(leaves(theirs))
    assert set(ours) == set(theirs)
    largest = max(np.abs(g).max() for g in theirs.values())
    return max(np.abs(ours[path] - g).max() / (np.abs(g).max() or largest) for path, g in theirs.items())


@every_model
@pytest.mark.parametrize("system", SYSTEMS)
def test_P43_gradient_of_the_loss_is_that_of_the_tape(name, system):
    """To 1e-12 of the largest entry of each array of parameters; what the model predicts, to 1e-13."""
    model, params, graph, targets = case(name, SYSTEMS[system])
    ours, said = training.predict(model, params, graph, list(targets)), oracle.predict(model, params, graph)
    for key in targets:
        assert np.abs(ours[key] - said[key].value).max() <= 1e-13 * np.abs(said[key].value).max(), key
    loss, grads = training.loss_and_gradient(model, params, graph, targets, WEIGHTS)
    expected, tape_grads = oracle.loss_and_gradient(model, params, graph, targets, WEIGHTS)
    assert loss == pytest.approx(expected, rel=1e-13)
    assert distance(grads, tape_grads) < 1e-12


@every_model
def test_P43_each_term_by_itself(name):
    """Every target alone, so that no term hides in the sum of the others."""
    for system in ("molecules", "crystals"):
        model, params, graph, targets = case(name, SYSTEMS[system])
        for key, expected in oracle.gradients_of_terms(model, params, graph, targets).items():
            _, grads = training.loss_and_gradient(model, params, graph, {key: targets[key]}, {key: 1.0})
            assert distance(grads, expected) < 1e-12


@every_model
def test_P42_mixed_partials_commute(name):
    """Force v.F along u in parameters, the step in the parameters; and grad_theta E along v, the step in positions."""
    rng, h = np.random.default_rng(1), 1e-30
    model, params, graph, _ = case(name, SYSTEMS["mixed"])
    u, v = map_leaves(lambda x: rng.standard_normal(x.shape), params), rng.standard_normal((graph.n_atoms, 3))

    def pulled(params, graph):
        E, pull = model.energy(params, graph)
        dparams, dgeometry = pull(np.ones_like(E))
        return dparams, graph.pull(dgeometry)[0]
    dparams, _ = pulled(params, graph.at(graph.positions + 1j * h * v))
    _, dr = pulled(map_leaves(lambda x, d: x + 1j * h * d, params, u), graph)
    one, other = flatten(dparams).imag @ flatten(u) / h, (dr.imag * v).sum() / h
    size = np.abs(flatten(dparams).imag / h * flatten(u)).sum()
    assert abs(one - other) < 1e-11 * size and size > 1e-3


@every_model
def test_P43_gradient_of_the_loss_against_finite_differences(name):
    """Along a random direction, in five points: 1e-8."""
    model, params, graph, targets = case(name, SYSTEMS["crystals"])
    rng = np.random.default_rng(2)
    u = map_leaves(lambda x: rng.standard_normal(x.shape), params)
    h = 1e-3 / np.sqrt((flatten(u) ** 2).sum())

    def loss(k):
        moved = map_leaves(lambda x, d: x + k * h * d, params, u)
        return training.loss_and_gradient(model, moved, graph, targets, WEIGHTS)[0]
    slope = (8 * (loss(1) - loss(-1)) - loss(2) + loss(-2)) / (12 * h)
    _, grads = training.loss_and_gradient(model, params, graph, targets, WEIGHTS)
    assert slope == pytest.approx(flatten(grads) @ flatten(u), rel=1e-8)


def test_float32_gives_the_same_gradient_to_its_digits():
    """complex64 with a step of 1e-15: about 100 eps of float32, no loss by the step itself."""
    for system in SYSTEMS:
        model, params, graph, targets = case("NequIP", SYSTEMS[system])
        _, grads = training.loss_and_gradient(model, cast(params, np.float32), graph, targets, WEIGHTS)
        assert {g.dtype for _, g in leaves(grads)} == {np.dtype(np.float32)}
        assert distance(grads, oracle.loss_and_gradient(model, params, graph, targets, WEIGHTS)[1]) < 2e-4


# --- what must be seen ----------------------------------------------------------------------------------------

def test_the_oracle_sees_a_wrong_second_derivative(monkeypatch):
    """A sigmoid whose complex extension has a wrong slope: values and forces are right, the gradient is not."""
    from se3ref.backend import lift
    from se3ref.nn import ops
    model, params, graph, targets = case("SchNet", SYSTEMS["molecule"])
    wrong = lift(ops.sigmoid, lambda x: 1.001 * ops._sigmoid(x) * (1 - ops._sigmoid(x)))
    monkeypatch.setattr(ops, "sigmoid", wrong)
    loss, grads = training.loss_and_gradient(model, params, graph, targets, WEIGHTS)
    expected, tape_grads = oracle.loss_and_gradient(model, params, graph, targets, WEIGHTS)
    assert loss == pytest.approx(expected, rel=1e-13)
    assert distance(grads, tape_grads) > 1e-5


def test_the_oracle_sees_a_billionth(monkeypatch):
    """The harmonics' part of one pullback times 1 + 1e-9."""
    from se3ref.models import nequip
    convolve = nequip.convolve

    def almost(*args):
        y, pull = convolve(*args)

        def pull_almost(dy):
            dw, dh, dY = pull(dy)
            return dw, dh, (1 + 1e-9) * dY
        return y, pull_almost
    monkeypatch.setattr(nequip, "convolve", almost)
    model, params, graph, targets = case("NequIP", SYSTEMS["triclinic"])
    _, grads = training.loss_and_gradient(model, params, graph, targets, WEIGHTS)
    assert distance(grads, oracle.loss_and_gradient(model, params, graph, targets, WEIGHTS)[1]) > 1e-11
