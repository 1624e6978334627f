"""The loss on energies, forces and stress, and its gradient by the complex step (P42, P43)."""

import numpy as np
import pytest

from se3ref import models, training
from se3ref.nn import params as trees
from se3ref.systems import Structure, join, neighbor_graph

EPS = np.finfo(np.float64).eps
WEIGHTS = {"energy": 1.0, "forces": 2.0, "stress": 50.0, "dipole": 3.0, "charges": 0.5, "polarizability": 0.1,
           "direct_forces": 0.3, "pseudoscalar": 1e7, "vector": 10.0, "pseudovector": 400.0}
CASES = {
    "energy": ("molecules", ["energy"]),
    "forces": ("molecules", ["forces"]),
    "energy and forces": ("molecules", ["energy", "forces"]),
    "everything": ("crystals", ["energy", "forces", "stress"]),
    "dipole": ("molecules", ["dipole", "charges"]), "all heads": ("molecules", ["energy", "forces", "dipole",
                                                                             "polarizability", "direct_forces"]),
    "pseudoscalar": ("chiral", ["pseudoscalar"]),
    "odd outputs": ("chiral", ["energy", "forces", "pseudoscalar", "vector", "pseudovector"]),
    "MACE": ("MACE", ["energy", "forces", "pseudoscalar", "vector", "pseudovector"]),
    "MACE, crystals": ("MACE, crystals", ["energy", "forces", "stress"]),
}
BOTH = "4x0e+3x0o+3x1o+3x1e"                                   # both parities
MODELS = {                                                     # by the kind of structures
    "molecules": lambda: models.NequIP([1, 6, 8], 3.5, channels=4, layers=2,
                                       heads=("energy", "dipole", "polarizability", "direct_forces")),
    "crystals": lambda: models.NequIP([1, 6, 8], 3.5, channels=4, layers=2),
    "chiral": lambda: models.NequIP([1, 6, 8], 3.5, irreps=BOTH, layers=3, heads=ODD),
    "MACE": lambda: models.MACE([1, 6, 8], 3.5, irreps=BOTH, channels=3, layers=2, heads=ODD),
    "MACE, crystals": lambda: models.MACE([1, 6, 8], 3.5, channels=3, layers=2),
}
ODD = ("energy", "pseudoscalar", "vector", "pseudovector")


def graph_of(kind, rng):
    """Two structures of different size; crystals in triclinic cells smaller than the cutoff; where pseudoscalars are
    asked for, more than three atoms, so that they are chiral."""
    cell = np.eye(3) * 3.2 + 0.4 * rng.random((3, 3)) if "crystals" in kind else None
    places = np.array([[0, 0, 0], [1.1, 0.2, 0], [0.1, 1.2, 0.9], [-0.9, -0.3, 0.8], [0.4, -1.1, -0.5]])
    sizes = (5, 4) if kind in ("chiral", "MACE") else (3, 2)
    return join([neighbor_graph(Structure([6, 8, 1, 1, 6][:n], places[:n] + 0.1 * rng.random((n, 3)), cell,
                                          cell is not None), 3.5) for n in sizes])


def random_targets(model, params, graph, names, rng):
    """Some way off what is predicted; where that is small, as pseudoscalars are, some of its size."""
    found = training.predict(model, params, graph, names)
    return {name: found[name] + rng.standard_normal(found[name].shape) * min(1, np.abs(found[name]).max())
            for name in names}


def problem(case, dtype=np.float64):
    kind, names = CASES[case]
    rng = np.random.default_rng(0)
    model = MODELS[kind]()
    params, graph = trees.cast(model.init(rng), dtype), graph_of(kind, rng)
    targets = random_targets(model, params, graph, names, rng)
    return model, params, graph, targets, {name: WEIGHTS[name] for name in names}


@pytest.mark.parametrize("case", CASES)
def test_P43_gradient_is_the_slope_of_the_loss(case):
    """Against central differences of fourth order along a random direction: their error is about h^4 of the loss's
    fifth derivative, and eps/h of rounding: together below 1e-8 of the loss at h = 1e-3."""
    model, params, graph, targets, weights = problem(case)
    loss, grads = training.loss_and_gradient(model, params, graph, targets, weights)
    rng, h = np.random.default_rng(1), 1e-3
    direction = trees.map_leaves(lambda x: rng.standard_normal(x.shape) / 10, params)

    def at(t):
        moved = trees.map_leaves(lambda x, v: x + t * v, params, direction)
        return training.loss_and_gradient(model, moved, graph, targets, weights)[0]
    slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    exact = float(trees.flatten(grads) @ trees.flatten(direction))
    assert abs(slope - exact) <= 1e-8 * max(loss, abs(exact))


def test_P42_mixed_partials_commute():
    """d/dtheta along a of (v . dE/dr), with positions complex, equals v . d/dr of (a . dE/dtheta), parameters complex.

    Two different programs give the same number: 1e-11 leaves room for some thousand roundings in each.
    """
    model, params, graph, _, _ = problem("energy")
    rng, h = np.random.default_rng(2), 1e-30
    a = trees.map_leaves(lambda x: rng.standard_normal(x.shape), params)
    v = rng.standard_normal(graph.positions.shape)
    one = np.ones(graph.n_structures)
    by_position = model.energy(params, graph.at(graph.positions + 1j * h * v))[1](one)[0]
    left = float(trees.flatten(by_position).imag @ trees.flatten(a)) / h
    moved = trees.map_leaves(lambda x, t: x + 1j * h * t, params, a)
    dr, _ = graph.pull(model.energy(moved, graph)[1](one)[1])
    right = float((dr.imag * v).sum()) / h
    assert abs(left - right) <= 1e-11 * abs(left)


def test_seeded_bug_a_detached_force_branch_shows():
    """Without the mixed derivative the gradient misses most of what the loss on forces says."""
    model, params, graph, targets, weights = problem("forces")
    loss, grads = training.loss_and_gradient(model, params, graph, targets, weights)
    assert max(np.abs(g).max() for _, g in trees.leaves(grads)) > 1e-3 * loss
    energy_only = training.loss_and_gradient(model, params, graph, {"energy": np.zeros(2)}, {"energy": 1.0})[1]
    a, b = trees.flatten(grads), trees.flatten(energy_only)
    assert abs(a @ b) < 0.9 * np.sqrt((a @ a) * (b @ b))


@pytest.mark.parametrize("case", ["energy and forces", "everything", "dipole", "odd outputs", "MACE"])
def test_float32_stays_float32(case):
    """Gradients in single precision: some thousand roundings of 6e-8, relative to the largest entry."""
    model, params, graph, targets, weights = problem(case)
    exact = trees.flatten(training.loss_and_gradient(model, params, graph, targets, weights)[1])
    single = training.loss_and_gradient(model, trees.cast(params, np.float32), graph, targets, weights)[1]
    assert {leaf.dtype for _, leaf in trees.leaves(single)} == {np.dtype(np.float32)}
    assert np.abs(trees.flatten(single) - exact).max() <= 1e-5 * np.abs(exact).max()


def test_loss_is_the_formula():
    model, params, graph, targets, weights = problem("everything")
    found, sizes = training.predict(model, params, graph, targets), np.array([3, 2])
    by_hand = ((found["energy"] - targets["energy"]) / sizes) ** 2
    total = by_hand.mean() * weights["energy"] + sum(
        weights[name] * ((found[name] - targets[name]) ** 2).mean() for name in ("forces", "stress"))
    loss, _ = training.loss_and_gradient(model, params, graph, targets, weights)
    assert abs(loss - total) <= 16 * EPS * total


@pytest.mark.parametrize("targets, weights, message", [
    ({"energy": np.zeros(2)}, {}, "without a weight"),
    ({"energy": np.zeros(3)}, {"energy": 1.0}, r"must have the shape \(2,\); got \(3,\)"),
    ({"dipole": np.zeros((2, 3))}, {"dipole": 1.0}, "does not predict"),
    ({"stress": np.zeros((2, 3, 3))}, {"stress": 1.0}, "none: give cells"),
])
def test_bad_targets_are_named(targets, weights, message):
    rng = np.random.default_rng(0)
    model = models.NequIP(species=[1, 6, 8], cutoff=3.5, channels=4, layers=1)
    with pytest.raises(ValueError, match=message):
        training.loss_and_gradient(model, model.init(rng), graph_of("molecules", rng), targets, weights)
