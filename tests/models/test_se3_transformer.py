"""The SE(3)-Transformer: attention that is invariant, looks at angles, and lets neighbours leave without a jump.

The laws of all models are in test_laws.py and test_mechanics.py; these are its own.
"""

import numpy as np
import pytest

from se3ref import models
from se3ref.models import se3_transformer
from se3ref.nn.params import cast
from se3ref.nn.radial import bessel
from se3ref.so3 import random_rotation
from se3ref.systems import Structure, neighbor_graph
from se3ref.verify.gradients import pullback_violation
from tests.models.zoo import STRUCTURES

SPECIES, CUTOFF = (1, 6, 8), 3.0
MODEL = models.SE3Transformer(SPECIES, CUTOFF, channels=8, layers=2)
SO3 = models.SE3Transformer(SPECIES, CUTOFF, channels=8, layers=3, group="SO(3)")
PARAMS, PARAMS_SO3 = (model.init(np.random.default_rng(0)) for model in (MODEL, SO3))
every_structure = pytest.mark.parametrize("kind", STRUCTURES)


def weights(structure):
    return MODEL.attention(PARAMS, neighbor_graph(structure, CUTOFF))


# --- attention ------------------------------------------------------------------------------------------------

@every_structure
def test_P37_weights_sum_to_one(kind):
    graph = neighbor_graph(STRUCTURES[kind], CUTOFF)
    found = MODEL.attention(PARAMS, graph)
    assert [a.shape for a in found] == [(graph.n_edges, 4)] * 2
    for a in found:
        assert (a > 0).all() and np.abs(graph.sum_edges(a) - 1).max() <= 1e-14


@every_structure
def test_P37_weights_are_invariant(kind):
    """To rotations and reflections; 1e-13: two layers of sums of hundreds of terms."""
    for R in [*random_rotation(np.random.default_rng(1), 2), -np.eye(3)]:
        for a, b in zip(weights(STRUCTURES[kind]), weights(STRUCTURES[kind].rotated(R)), strict=True):
            assert np.abs(a - b).max() <= 1e-13


def test_weights_differ_between_neighbours_heads_and_layers():
    first, second = weights(STRUCTURES["ethanol"])
    assert min(first.std(0).min(), first.std(1).max(), np.abs(first - second).max()) > 1e-3


def test_weights_see_angles():
    """The second layer's weights of the central atom change where its neighbours close in on each other, all
    distances to it kept; the first layer knows distances and species only."""
    def star(angle):
        places = [[0, 0, 0], [1.2, 0, 0], [1.2 * np.cos(angle), 1.2 * np.sin(angle), 0], [0, 0, 2.9]]
        structure = Structure([6, 8, 1, 1], places)
        return [a[neighbor_graph(structure, CUTOFF).receivers == 0] for a in weights(structure)]
    (a1, a2), (b1, b2) = star(1.5), star(2.5)
    assert np.abs(a1 - b1).max() <= 1e-14 < 1e-4 < np.abs(a2 - b2).max()


# --- smoothness -----------------------------------------------------------------------------------------------

def ring(k, r):
    """k atoms, each r from all the others: a pair, a triangle or a tetrahedron."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(8)
    return Structure([6, 8, 1, 6][:k], r * corners[:k])


def probe(k, r):
    """E, dE/dr and d2E/dr2 of a ring that grows: its energy's slope, and how that changes, by the complex step."""
    structure, h = ring(k, r), 1e-30
    graph = neighbor_graph(structure, CUTOFF)
    grow = structure.positions / r
    E, pull = MODEL.energy(PARAMS, graph.at(graph.positions + 1j * h * grow))
    slope = (graph.pull(pull(np.ones(1, complex))[1])[0] * grow).sum()
    return np.array([E[0].real, slope.real, slope.imag / h])


@pytest.mark.parametrize("k", [2, 3, 4])
def test_P57_all_neighbours_leave_at_once(k):
    """Each atom loses its last neighbours, 1, 2 or 3 of them: E, its slope and the slope's slope go to those of
    single atoms as t^3, t^2 and t. At t = 1e-4 angstrom the envelope's are 2e-12, 6e-8 and 1e-3 of what is scaled."""
    t, apart, well_inside = 1e-4, probe(k, CUTOFF + 1e-9), probe(k, 1.5)
    assert not apart[1:].any()
    change = np.abs(probe(k, CUTOFF - t) - apart) / np.abs(well_inside - apart).max()
    assert (change[1:] > 0).all() and (change <= [1e3 * t**3, 1e3 * t**2, 1e3 * t]).all()
    nearer = np.abs(probe(k, CUTOFF - t / 10) - apart)
    assert nearer[2] <= 0.2 * np.abs(probe(k, CUTOFF - t) - apart)[2]


def test_P57_sees_values_without_an_envelope(monkeypatch):
    """The envelope in the weights alone: the energy itself jumps where the last neighbour leaves."""
    def bare(r, cutoff, count):
        return bessel(r, 1.1 * cutoff, count)                  # which do not vanish at the cutoff by themselves
    monkeypatch.setattr(se3_transformer, "radial_basis", bare)
    assert abs(probe(2, CUTOFF - 1e-4)[0] - probe(2, CUTOFF + 1e-9)[0]) > 1e-3


# --- the rest -------------------------------------------------------------------------------------------------

def test_SO3_turns_but_tells_mirror_images_apart():
    """In three layers: one makes vectors, one makes cross products of them, one makes a scalar of all three."""
    structure = STRUCTURES["cluster"]
    R = random_rotation(np.random.default_rng(2))
    E, turned, mirrored = (models.evaluate(SO3, PARAMS_SO3, s)
                           for s in (structure, structure.rotated(R), structure.rotated(-np.eye(3))))
    assert abs(E.energy - turned.energy) <= 1e-12 * np.abs(E.energies).sum()
    assert np.abs(turned.forces - E.forces @ R.T).max() <= 1e-12 * np.abs(E.forces).max()
    assert abs(E.energy - mirrored.energy) > 1e-6
    graph = neighbor_graph(structure, CUTOFF)

    def layer(params):
        outputs, pull = SO3.forward(params, graph)
        return outputs["energies"], lambda de: pull({"energies": de})[0]
    assert pullback_violation(layer, [PARAMS_SO3], np.random.default_rng(3)) <= 1e-13


def test_atoms_without_neighbours():
    """A single atom, and one far from the others, have the same energy and no force."""
    single = models.evaluate(MODEL, PARAMS, Structure([8], np.zeros((1, 3))))
    s = STRUCTURES["ethanol"]
    both = models.evaluate(MODEL, PARAMS, Structure([*s.numbers, 8], np.vstack([s.positions, [50.0, 0, 0]])))
    assert not single.forces.any() and not both.forces[-1].any() and both.forces[:-1].any()
    assert abs(both.energies[-1] - single.energy) <= 1e-14 * (1 + abs(single.energy))
    assert [a.shape for a in MODEL.attention(PARAMS, neighbor_graph(Structure([8], np.zeros((1, 3))), CUTOFF))] \
        == [(0, 4)] * 2


def test_complex_single_precision_stays():
    """As in training: float32 parameters, complex64 positions."""
    graph = neighbor_graph(STRUCTURES["triclinic"], CUTOFF).cast(np.complex64)
    E, pull = MODEL.energy(cast(PARAMS, np.float32), graph)
    dparams, dgeometry = pull(np.ones(1, np.complex64))
    assert {E.dtype, dgeometry["vec"].dtype, dparams["trunk"]["layer0"]["key"]["0e"].dtype} == {np.dtype(np.complex64)}


@pytest.mark.parametrize("heads", [3, 16])
def test_heads_divide_the_channels(heads):
    with pytest.raises(ValueError, match="attention_heads divide"):
        models.SE3Transformer(SPECIES, CUTOFF, channels=8, attention_heads=heads)
