"""The list of neighbours: equal to a sum over images, to the last edge, in every cell, at linear cost."""

import functools
import itertools
import time

import numpy as np
import pytest
from hypothesis import assume, given, note
from hypothesis import strategies as st

from se3ref.systems import Structure, neighbors
from tests.standin import DeviceArray

CRYSTAL = np.ones(3, bool)
MOLECULE = np.zeros((3, 3)), np.zeros(3, bool)


def edges(positions, cell, pbc, cutoff):
    """The list as one array (e,5): receiver, sender, shift."""
    i, j, shifts = neighbors.neighbor_list(positions, cell, pbc, cutoff)
    return np.column_stack([i, j, shifts])


def brute_force(positions, cell, pbc, cutoff):
    """The same from all shifts that can matter, sorted.

    With x = (r_j - r_i) A^+ for the periodic rows A, the part of a vector along the lattice is (x + shift) A, at
    least s_min |x + shift| long: no shift farther than cutoff/s_min from -x is an edge.
    """
    n, A = len(positions), cell[pbc]
    i, j = (index.reshape(-1, 1) for index in np.indices((n, n)))
    center, width = np.zeros((n * n, 1, 3), np.int64), np.zeros(3, np.int64)
    if pbc.any():
        center[..., pbc] = -np.rint((positions[j] - positions[i]) @ np.linalg.pinv(A)).astype(np.int64)
        width[pbc] = np.ceil(cutoff / np.linalg.svd(A, compute_uv=False).min()) + 1
    assume(n * n * np.prod(2 * width + 1) < 300_000)
    near = np.array(list(itertools.product(*(range(-w, w + 1) for w in width))))
    shifts = (center + near).reshape(-1, 3)
    i, j = (np.repeat(index, len(near)) for index in (i, j))
    length = neighbors.lengths(neighbors.edge_vectors(positions, i, j, shifts, cell))
    keep = (length < cutoff) & ((i != j) | shifts.any(1))
    found = np.column_stack([i, j, shifts])[keep]
    return found[np.lexsort(found.T[::-1])]


# --- what is drawn --------------------------------------------------------------------------------------------

@functools.cache                                               # to make a strategy costs more than to draw from it
def integers(low, high, *shape):
    size = int(np.prod(shape))
    return st.lists(st.integers(low, high), min_size=size, max_size=size).map(lambda v: np.reshape(v, shape))


added_rows = st.lists(st.tuples(*[st.integers(0, 2)] * 2, st.integers(-3, 3)), max_size=2)
far_away = st.sampled_from([0.0, 6.0, -6.0, 100.0, 5000.0, -5000.0])
PERIODIC = {"crystal": [1, 1, 1], "slab": [1, 1, 0], "slab on edge": [0, 1, 1], "wire": [0, 0, 1],
            "two of three": [1, 0, 1], "molecule": [0, 0, 0]}


@st.composite
def periodic_structures(draw, periodic=tuple(PERIODIC)):
    """1-5 atoms in skewed cells, edges of 0.6-5 angstrom, often on a grid of 0.1: many distances are equal.

    Atoms lie outside the cell, by up to 3 lattice vectors each and by up to 5000 angstrom together.
    """
    pbc = np.array(PERIODIC[draw(st.sampled_from(periodic))], bool)
    cell = np.diag(draw(integers(6, 50, 3))) / 10 + draw(integers(-12, 12, 3, 3)) / 10
    for row, other, times in draw(added_rows):
        cell[row] += times * cell[other] * (row != other)
    if draw(st.booleans()):
        cell[~pbc] = 0
    positions = draw(integers(-15, 15, draw(st.integers(1 if pbc.any() else 3, 5)), 3)) / 10
    if draw(st.booleans()):
        positions = positions + np.sin(9 * positions[:, [1, 2, 0]]) / 20           # off the grid
    positions = positions + draw(integers(-3, 3, *positions.shape)) * pbc @ cell
    positions = positions + draw(far_away)
    note(f"positions, cell, pbc = np.array({positions.tolist()}), np.array({cell.tolist()}), {pbc.tolist()}")
    try:
        return Structure(np.ones(len(positions), int), positions, cell, pbc)
    except ValueError:                                         # coincident atoms, dependent lattice vectors
        assume(False)


cutoffs = st.sampled_from([1.0, 2.0, 3.0, 4.0]) | st.floats(1.5, 5)


def arguments(structure):
    cell = np.zeros((3, 3)) if structure.cell is None else structure.cell
    return structure.positions, cell, structure.pbc


# --- P56 ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("periodic", PERIODIC)
@given(data=st.data())
def test_P56_equal_to_a_sum_over_images(periodic, data):
    structure, cutoff = data.draw(periodic_structures([periodic])), data.draw(cutoffs)
    np.testing.assert_array_equal(edges(*arguments(structure), cutoff), brute_force(*arguments(structure), cutoff))


@given(periodic_structures(), st.data())
def test_P56_ties_at_the_cutoff(structure, data):
    """The cutoff is a distance that occurs: equal to the last bit from both ends, it is no edge."""
    some = brute_force(*arguments(structure), 3.0)
    assume(len(some))
    i, j, *shift = data.draw(st.sampled_from(some.tolist()))
    one = [np.array([index]) for index in (i, j)]
    positions, cell, pbc = arguments(structure)
    cutoff = float(neighbors.lengths(neighbors.edge_vectors(positions, *one, np.array([shift]), cell))[0])
    found = edges(positions, cell, pbc, cutoff)
    np.testing.assert_array_equal(found, brute_force(positions, cell, pbc, cutoff))
    assert [i, j, *shift] not in found.tolist()
    assert [i, j, *shift] in edges(positions, cell, pbc, np.nextafter(cutoff, 9)).tolist()


SHELLS = {                             # name: (cell or None, its atoms, cutoff, neighbours of the first atom)
    "simple cubic, at the cutoff": (np.eye(3), [[0, 0, 0]], 1.0, 0),
    "simple cubic, 1 shell": (np.eye(3), [[0, 0, 0]], 1.01, 6),
    "simple cubic, 4 shells": (np.eye(3), [[0, 0, 0]], 2.01, 6 + 12 + 8 + 6),
    "fcc, 1 atom": (np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2, [[0, 0, 0]], 1.01, 12 + 6),
    "bcc, 2 atoms": (np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], 1.42, 8 + 6 + 12),
    "diamond": (np.array([[0, 2, 2], [2, 0, 2], [2, 2, 0]]), [[0, 0, 0], [1, 1, 1]], 2.9, 4 + 12),
    "graphene": (np.array([[1.5, 3**0.5 / 2, 0], [1.5, -(3**0.5) / 2, 0], [0, 0, 0]]), [[0, 0, 0], [1, 0, 0]],
                 1.74, 3 + 6),
    "chain": (np.diag([0, 0, 1.0]), [[0, 0, 0]], 3.5, 6),
}


@pytest.mark.parametrize("cell, positions, cutoff, expected", SHELLS.values(), ids=SHELLS)
def test_shells_of_known_crystals(cell, positions, cutoff, expected):
    i = edges(np.array(positions, float), np.array(cell, float), cell.any(1), cutoff)[:, 0]
    assert np.bincount(i, minlength=len(positions)).tolist() == [expected] * len(positions)


def test_an_atom_alone_has_no_neighbours():
    for cell, pbc in (MOLECULE, (10 * np.eye(3), CRYSTAL)):
        i, j, shifts = neighbors.neighbor_list(np.ones((1, 3)), cell, pbc, 3.0)
        assert i.shape == j.shape == (0,) and shifts.shape == (0, 3)
        assert i.dtype == j.dtype == shifts.dtype == np.int64


def test_lattice_vectors_that_do_not_repeat_do_not_count():
    """A cell that is not periodic along c says nothing about c, be it short or in the plane of the others."""
    cell, pbc = np.array([[3, 0, 0], [0, 3, 0], [1, 1, 1e-9]]), np.array([True, True, False])
    assert edges(np.zeros((1, 3)), cell, pbc, 3.5).tolist() == [
        [0, 0, a, b, 0] for a, b in ((-1, 0), (0, -1), (0, 1), (1, 0))]


# --- other words for the same atoms ---------------------------------------------------------------------------

def vectors(positions, cell, pbc, cutoff):
    """(i, j, vec) sorted, the vectors rounded to 1e-6: far above rounding, far below distances."""
    i, j, shifts = neighbors.neighbor_list(positions, cell, pbc, cutoff)
    vec = np.round(neighbors.edge_vectors(positions, i, j, shifts, cell), 6) + 0.0
    table = np.column_stack([i, j, vec])
    return table[np.lexsort(table.T[::-1])]


@given(periodic_structures(["crystal"]), integers(-40, 40, 3))
def test_P55_other_lattice_vectors(structure, times):
    """The lattice is the same when one vector is added to another; no distance is near the cutoff by chance."""
    positions, cell, pbc = arguments(structure)
    cutoff = 2.0 + 1e-4 * np.e
    other = cell.copy()
    other[0] += times[0] * other[1]
    other[1] += times[1] * other[2]
    other[2] += times[2] * other[0]
    expected, found = (vectors(positions, a, pbc, cutoff) for a in (cell, other))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_a_skewed_cell_costs_no_more():
    """The images to search are those of the short vectors, whatever multiples of each other were added."""
    rng = np.random.default_rng(0)
    positions, short = rng.uniform(0, 6, (50, 3)), 6 * np.eye(3) + rng.uniform(-1, 1, (3, 3))
    skewed = np.array([[1, 0, 0], [1000, 1, 0], [300, -200, 1]]) @ short
    images = [len(neighbors.images_within(positions, cell, CRYSTAL, 5.0)[1]) for cell in (short, skewed)]
    assert images[1] <= 1.5 * images[0]                        # another set of short vectors, of another outline
    assert len(edges(positions, short, CRYSTAL, 5.0)) == len(edges(positions, skewed, CRYSTAL, 5.0))


@given(periodic_structures())
def test_sorted_and_symmetric(structure):
    table = edges(*arguments(structure), 2.5)
    assert table.tolist() == sorted(table.tolist())
    assert len(np.unique(table, axis=0)) == len(table)
    other_end = table[:, [1, 0, 2, 3, 4]] * [1, 1, -1, -1, -1]
    np.testing.assert_array_equal(other_end[np.lexsort(other_end.T[::-1])], table)


# --- cost -----------------------------------------------------------------------------------------------------

def gas(n):
    """n atoms at random at the density of liquids, 0.1 per cubic angstrom, in a triclinic cell."""
    cell = (n / 0.1) ** (1 / 3) * np.array([[1, 0, 0], [0.2, 1, 0], [-0.1, 0.3, 1]])
    return np.random.default_rng(n).uniform(size=(n, 3)) @ cell, cell


def test_the_cost_is_linear():
    """100,000 atoms against 12,500, CPU time, the shorter of two runs: 8 times, 64 if the cost were quadratic."""
    def cost(n):
        positions, cell = gas(n)
        start = time.process_time()
        e = len(neighbors.neighbor_list(positions, cell, CRYSTAL, 3.0)[0])
        spent, expected = time.process_time() - start, 0.1 * 4 / 3 * np.pi * 3**3
        assert abs(e / n - expected) < 6 * (2 * expected / n) ** 0.5               # n * expected / 2 Poisson pairs
        return spent
    assert min(cost(100_000) for _ in range(2)) < 20 * min(cost(12_500) for _ in range(2))


# --- edge vectors ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128, np.complex64])
def test_edge_vectors_are_antisymmetric_to_the_last_bit(dtype):
    rng = np.random.default_rng(1)
    imaginary = 1j if np.dtype(dtype).kind == "c" else 0

    def floats(*shape):
        return (rng.standard_normal(shape) + imaginary * rng.standard_normal(shape)).astype(dtype)
    positions, cells, structure = 5000 + floats(20, 3), floats(2, 3, 3), np.repeat([0, 1], 10)
    i, j = rng.integers(0, 10, (2, 1001)) + 10 * rng.integers(0, 2, 1001)
    shifts = rng.integers(-9, 9, (1001, 3))
    for cell, of in ((cells[0], None), (cells, structure)):
        vec = neighbors.edge_vectors(positions, i, j, shifts, cell, of)
        assert vec.dtype == dtype
        np.testing.assert_array_equal(neighbors.edge_vectors(positions, j, i, -shifts, cell, of), -vec)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_edge_vectors_on_the_stand_in(dtype):
    rng = np.random.default_rng(2)
    floats = [x.astype(dtype) for x in (rng.standard_normal((20, 3)), rng.standard_normal((2, 3, 3)))]
    ints = rng.integers(0, 20, 50), rng.integers(0, 20, 50), rng.integers(-9, 9, (50, 3)), np.repeat([0, 1], 10)

    def run(kind):
        positions, cell = map(kind, floats)
        i, j, shifts, structure = map(kind, ints)
        return neighbors.edge_vectors(positions, i, j, shifts, cell, structure)
    assert run(DeviceArray).dtype == dtype and np.array_equal(run(DeviceArray).get(), run(np.asarray))


# --- refusals -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("cutoff", [0, -1.0, np.nan, np.inf, "5", None, 1 + 0j])
def test_a_cutoff_is_finite_and_positive(cutoff):
    with pytest.raises(ValueError, match="cutoff must be a finite number above 0, in angstrom; got"):
        neighbors.check_cutoff(cutoff)


@pytest.mark.parametrize("cutoff", [5, 5.0, np.float32(5), np.int64(5)])
def test_a_cutoff_becomes_a_float(cutoff):
    assert type(neighbors.check_cutoff(cutoff)) is float and neighbors.check_cutoff(cutoff) == 5


def test_an_atom_does_not_coincide_with_its_image():
    """Also where only a combination of the lattice vectors is that short."""
    for cell in (np.diag([5, 5, 5e-4]), np.array([[5, 0, 0], [25, 5e-4, 0], [0, 0, 5]])):
        with pytest.raises(ValueError, match="coincide with their own images: the lattice repeats after 0.0005"):
            neighbors.neighbor_list(np.zeros((1, 3)), cell, CRYSTAL, 5.0)


@pytest.mark.parametrize("cell, pbc", [MOLECULE, (3 * np.eye(3), CRYSTAL)])
def test_coordinates_too_large_to_be_exact(cell, pbc):
    with pytest.raises(ValueError, match="rounded by up to .* move the atoms near the origin"):
        neighbors.neighbor_list(np.array([[0, 0, 0], [0, 0, 1e14]]), cell, pbc, 5.0)
