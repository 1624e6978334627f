"""What every model must obey: symmetry, locality, periodic boundaries, smoothness (P32, P33, P38, P39, P52-P59).

Errors are relative to the size of energies and forces. A model is some thousand operations deep in sums of some
hundred terms: 1e-12 is 4500 eps. Each law is also seen to fail, on the model of raw coordinates or on a seeded bug.
"""

import numpy as np
import pytest

from se3ref import models
from se3ref.nn import radial
from se3ref.so3 import random_rotation
from se3ref.systems import Structure, join, neighbor_graph
from tests.models.zoo import (
    ALL,
    CUTOFF,
    EQUIVARIANT,
    FINITE,
    O3,
    PERIODIC,
    STRUCTURES,
    evaluate,
    model_and_params,
    scales,
)

TOLERANCE = 1e-12
every_model = pytest.mark.parametrize("name", EQUIVARIANT)
fresh_and_trained = pytest.mark.parametrize("trained", [False, True], ids=["fresh", "trained"])
every_structure = pytest.mark.parametrize("kind", STRUCTURES)


def violation(name, structure, *others, turns=None, trained=False, times=1):
    """How far energies of others are from `times` that of the structure, and their forces from turn(its forces), with a
    turn for each of them."""
    a, *found = (evaluate(name, s, trained) for s in (structure, *others))
    energy, force = scales(a)
    expected = [turn(a.forces) for turn in turns] if turns else len(others) * [a.forces]
    return max(max(abs(b.energy - times * a.energy) / (times * energy), np.abs(b.forces - F).max() / force)
               for b, F in zip(found, expected, strict=True))


def turned_by(R):
    return lambda F: F @ R.T


def rotations(improper):
    R = random_rotation(np.random.default_rng(5), 3)
    return -R if improper else R


def violation_under(rotations, name, structure, trained):
    return violation(name, structure, *(structure.rotated(R) for R in rotations), turns=[*map(turned_by, rotations)],
                     trained=trained)


@every_model
@fresh_and_trained
@every_structure
def test_P32_rotations(name, trained, kind):
    assert violation_under(rotations(improper=False), name, STRUCTURES[kind], trained) <= TOLERANCE


@pytest.mark.parametrize("name", O3)
@fresh_and_trained
@every_structure
def test_P59_reflections(name, trained, kind):
    assert violation_under(rotations(improper=True), name, STRUCTURES[kind], trained) <= TOLERANCE


def test_the_SO3_network_sees_handedness():
    """A mirror image of a chiral cluster has another energy: what labels without parity allow."""
    cluster = STRUCTURES["cluster"]
    assert violation("NequIP SO(3)", cluster, cluster.rotated(-np.eye(3)), turns=[np.negative]) > 1e-6


@every_model
@pytest.mark.parametrize("shift", [1.0, 100.0, 5000.0])
@every_structure
def test_P53_translations(name, shift, kind):
    """Far from the origin positions themselves are rounded: eps times the distance, times how stiff the forces are."""
    t = shift * np.array([0.6, -0.48, 0.64])
    tolerance = TOLERANCE + 100 * np.finfo(float).eps * shift
    assert violation(name, STRUCTURES[kind], STRUCTURES[kind].translated(t)) <= tolerance


def test_the_foil_fails_to_rotate_and_to_translate():
    cluster = STRUCTURES["cluster"]
    assert violation_under(rotations(improper=False)[:1], "Coordinates", cluster, False) > 1e-3
    assert violation("Coordinates", cluster, cluster.translated([1.0, 0, 0])) > 1e-3


@pytest.mark.parametrize("name", ALL)
@fresh_and_trained
@every_structure
def test_P33_permutations(name, trained, kind):
    s = STRUCTURES[kind]
    order = np.random.default_rng(6).permutation(len(s))
    other = Structure(s.numbers[order], s.positions[order], s.cell, s.pbc)
    assert violation(name, s, other, turns=[lambda F: F[order]], trained=trained) <= TOLERANCE


@pytest.mark.parametrize("name", ALL)
def test_P38_a_batch_is_its_parts(name):
    model, params = model_and_params(name, False)
    parts = list(STRUCTURES.values())
    together = models.evaluate(model, params, parts)
    alone = [models.evaluate(model, params, s) for s in parts]
    energy, force = (max(column) for column in zip(*map(scales, alone), strict=True))
    assert np.abs(together.energy - [e.energy for e in alone]).max() <= TOLERANCE * energy
    assert np.abs(together.forces - np.concatenate([e.forces for e in alone])).max() <= TOLERANCE * force


@pytest.mark.parametrize("name", ALL)
def test_P38_no_gradient_crosses_structures(name):
    """The forces on the second structure from the energy of the first are zeros, exactly."""
    model, params = model_and_params(name, False)
    graph = join([neighbor_graph(STRUCTURES[kind], CUTOFF) for kind in FINITE])
    dr, _ = graph.pull(model.energy(params, graph)[1](np.array([1.0, 0.0]))[1])
    assert np.abs(dr[graph.structure == 0]).max() > 0 and not dr[graph.structure == 1].any()


@every_model
def test_P52_separate_fragments_add(name):
    a, b = STRUCTURES["ethanol"], STRUCTURES["cluster"].translated([40.0, 0, 0])
    both = Structure(np.append(a.numbers, b.numbers), np.vstack([a.positions, b.positions]))
    ea, eb, e = (evaluate(name, s) for s in (a, b, both))
    assert abs(e.energy - ea.energy - eb.energy) <= TOLERANCE * scales(e)[0]
    assert np.abs(e.forces - np.vstack([ea.forces, eb.forces])).max() <= TOLERANCE * scales(e)[1]


# --- periodic boundaries --------------------------------------------------------------------------------------

@every_model
@fresh_and_trained
@pytest.mark.parametrize("kind", PERIODIC)
def test_P53_images_are_all_the_same_atom(name, trained, kind):
    s = STRUCTURES[kind]
    shifts = np.random.default_rng(7).integers(-2, 3, (len(s), 3))
    other = Structure(s.numbers, s.positions + shifts @ s.cell, s.cell, s.pbc)
    assert violation(name, s, other, trained=trained) <= TOLERANCE


@every_model
@pytest.mark.parametrize("kind", PERIODIC)
def test_P54_supercells(name, kind):
    s, times = STRUCTURES[kind], np.array([2, 1, 2])
    images = np.array(list(np.ndindex(*times))) @ s.cell
    other = Structure(np.tile(s.numbers, len(images)), (images[:, None] + s.positions).reshape(-1, 3),
                      times[:, None] * s.cell, s.pbc)
    assert violation(name, s, other, turns=[lambda F: np.tile(F, (len(images), 1))], times=len(images)) <= TOLERANCE


@every_model
@pytest.mark.parametrize("kind", PERIODIC)
def test_P55_other_vectors_of_the_same_lattice(name, kind):
    s = STRUCTURES[kind]
    change = np.array([[1, 2, 0], [0, 1, -1], [1, 2, 1]])
    assert round(np.linalg.det(change)) == 1
    assert violation(name, s, Structure(s.numbers, s.positions, change @ s.cell, s.pbc)) <= TOLERANCE


def test_a_foil_of_positions_sees_images():
    s = STRUCTURES["triclinic"]
    other = Structure(s.numbers, s.positions + np.eye(len(s))[0][:, None] * s.cell[0], s.cell, s.pbc)
    assert violation("Coordinates", s, other) > 1e-3


# --- locality and smoothness ----------------------------------------------------------------------------------

def chain(n, spacing):
    return Structure(np.resize([6, 8, 1], n), np.arange(n)[:, None] * [spacing, 0, 0] + [[0, 0.3 * (k % 2), 0]
                                                                                          for k in range(n)])


@every_model
def test_P58_nothing_beyond_the_receptive_field(name):
    """Atoms of a chain see their next neighbour only, in each layer: the first atom's energy has zero slope exactly
    where the sum of layers does not reach, and not before."""
    model, params = model_and_params(name, False)
    graph = neighbor_graph(chain(8, 0.7 * CUTOFF), CUTOFF)
    _, pull = model.forward(params, graph)
    seed = np.eye(8)[0]
    dr, _ = graph.pull(pull({"energies": seed})[1])
    reach = np.abs(dr).max(1) > 0
    assert reach[:2].all() and not reach[model.layers + 1:].any()


def jump_at_the_cutoff(model, params):
    """How much E, F and dF/dr change while an atom moves by 2e-10 angstrom through the cutoff of another one, relative
    to their size well inside it."""
    def probe(x):
        three = Structure([6, 8, 1], [[0, 0, 0], [1.1, 0, 0], [x, 0.5, 0]])
        graph, h = neighbor_graph(three, CUTOFF), 1e-30
        E, pull = model.energy(params, graph.at(graph.positions + 1j * h * np.eye(3)[2][:, None] * [1, 0, 0]))
        dr, _ = graph.pull(pull(np.ones(1, complex))[1])
        return E.real, dr.real[2], dr.imag[2] / h
    edge = np.sqrt(CUTOFF**2 - 0.25)                           # where the third atom leaves the first one
    inside, outside, well_inside = probe(edge - 1e-10), probe(edge + 1e-10), probe(2.0)
    return [np.abs(a - b).max() / np.abs(m).max() for a, b, m in zip(inside, outside, well_inside, strict=True)]


@every_model
@fresh_and_trained
def test_P57_smooth_through_the_cutoff(name, trained):
    """No jump in E, F or dF/dr beyond 1e-8: slopes of some ten per angstrom change them by a few 1e-9."""
    assert max(jump_at_the_cutoff(*model_and_params(name, trained))) <= 1e-8


@pytest.mark.parametrize("order, jumps", [(0, [False, True, True]), (1, [False, False, True])])
def test_P57_sees_a_harder_cutoff(order, jumps, monkeypatch):
    """Envelopes 1 and 1 - r/cutoff instead: forces jump, or their derivatives do.  The energy does not: the Bessel
    functions vanish at the cutoff by themselves."""
    def envelope(r, cutoff, p=6):
        x = 1 - r / cutoff
        return [1 + 0 * x, x][order], lambda du: du * order * (-1 / cutoff)
    monkeypatch.setattr(radial, "envelope", envelope)
    found = jump_at_the_cutoff(*model_and_params("NequIP", False))
    assert [value > 1e-5 for value in found] == jumps


@every_model
@fresh_and_trained
def test_energies_are_many_body(name, trained):
    """E of three atoms is not the sum of its pairs: E(123) - E(12) - E(13) - E(23) + E(1) + E(2) + E(3)."""
    places, numbers = np.array([[0, 0, 0], [1.1, 0.2, 0], [0.3, 1.0, 0.7]]), np.array([6, 8, 1])

    def E(*atoms):
        return evaluate(name, Structure(numbers[list(atoms)], places[list(atoms)]), trained).energy
    three = E(0, 1, 2) - E(0, 1) - E(0, 2) - E(1, 2) + E(0) + E(1) + E(2)
    assert abs(three) > 1e-4 * (abs(E(0, 1, 2)) + abs(E(0, 1)))
