"""The graph of neighbours: both ends of an edge, blocks, sums, batches, the way back to positions and strain."""

import sys
import types

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from se3ref import so3, systems
from se3ref.backend import to_device, to_numpy
from se3ref.systems import Structure
from se3ref.systems import graph as graphs
from se3ref.verify import gradients
from tests.standin import DeviceArray
from tests.systems.test_neighbors import cutoffs, integers, periodic_structures

EPS = np.finfo(np.float64).eps
WATER = Structure([8, 1, 1], [[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]], charge=-1)
COPPER = Structure([29], [[0.0, 0.0, 0.0]], 1.8 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]), True)
LEFT_HANDED = Structure([11, 17, 6], [[0, 0, 0], [2.5, 2.1, 2.9], [40.0, 1, 1]],
                        [[0, 5.5, 0.4], [5, 0.1, 0], [1, 0, 7]], True, charge=2)
SLAB = Structure([6, 6], [[0, 0, 0], [1.42, 0.1, 0.2]], [[2.13, 1.23, 0], [2.13, -1.23, 0], [0, 0, 0]],
                 [True, True, False])
HELIUM = Structure([2], [[1.0, 2.0, 3.0]])
ALL = [WATER, COPPER, HELIUM, LEFT_HANDED, SLAB]
CUTOFF = 4.5


def ethanol(*frames, cutoff=CUTOFF):
    data = systems.datasets.load("ethanol")
    return systems.neighbor_graph([data.structure(k) for k in frames], cutoff)


def batch():
    return systems.neighbor_graph(ALL, CUTOFF)


def strained(graph, positions, strain):
    """The graph after r -> r + strain r of each structure: positions, lattice vectors, and so every vec."""
    moved = positions + np.einsum("nab,nb->na", strain[graph.structure], positions)
    return graph.at(moved, graph.cell + np.einsum("sab,skb->ska", strain, graph.cell))


def edge_set(graph, shifts=True):
    keys = [graph.receivers, graph.senders] + ([graph.shifts] if shifts else [])
    return sorted(map(tuple, np.column_stack(keys).tolist()))


# --- edges and their other ends -------------------------------------------------------------------------------

@given(periodic_structures(), cutoffs)
def test_reverse_is_the_same_edge_from_the_other_end(structure, cutoff):
    graph = systems.neighbor_graph(structure, cutoff)
    other = graph.reverse
    np.testing.assert_array_equal(other[other], np.arange(graph.n_edges))
    assert not (other == np.arange(graph.n_edges)).any()
    np.testing.assert_array_equal(graph.receivers[other], graph.senders)
    np.testing.assert_array_equal(graph.shifts[other], -graph.shifts)
    np.testing.assert_array_equal(graph.vec[other], -graph.vec)


@given(periodic_structures(), cutoffs)
def test_vectors_lead_to_an_image_of_the_sender(structure, cutoff):
    """vec = r_j - r_i + shift @ cell, shorter than the cutoff, written out here edge by edge."""
    graph = systems.neighbor_graph(structure, cutoff)
    cell = np.zeros((3, 3)) if structure.cell is None else structure.cell
    size = np.abs(structure.positions).max() + (np.abs(graph.shifts) @ np.abs(cell)).max(initial=0)
    for i, j, shift, vec in zip(graph.receivers, graph.senders, graph.shifts, graph.vec, strict=True):
        expected = structure.positions[j] + sum(shift[k] * cell[k] for k in range(3)) - structure.positions[i]
        np.testing.assert_allclose(vec, expected, rtol=0, atol=8 * EPS * size)     # few operations, reordered
        assert np.sqrt((vec * vec).sum()) < cutoff * (1 + 2 * EPS)
    assert not graph.shifts[:, ~structure.pbc].any()


@given(periodic_structures(), st.randoms(use_true_random=False))
def test_P33_permuted_atoms_have_the_permuted_graph(structure, random):
    order = np.array(random.sample(range(len(structure)), len(structure)))
    permuted = Structure(structure.numbers[order], structure.positions[order], structure.cell, structure.pbc)
    graph, other = (systems.neighbor_graph(item, 3.0) for item in (structure, permuted))
    table = np.column_stack([order[other.receivers], order[other.senders], other.shifts])
    assert sorted(map(tuple, table.tolist())) == edge_set(graph)


@given(periodic_structures(), st.data())
def test_P53_wrapping_and_translation_change_only_shifts(structure, data):
    """Atoms moved by lattice vectors, each by its own, and all together by t: the same edges, the same vectors.

    A cutoff between two distances, 1e-6 from both at least, since rounding may push a distance across it.
    """
    n = len(structure)
    cell = np.zeros((3, 3)) if structure.cell is None else structure.cell
    steps = data.draw(integers(-9, 9, n, 3)) * structure.pbc
    t = data.draw(st.sampled_from([0.0, 6.0, -6.0, 100.0, 5000.0]))
    moved = Structure(structure.numbers, structure.positions + steps @ cell + t, structure.cell, structure.pbc)
    distances = graphs.neighbor_graph(structure, 3.0 + 2e-6)
    assume((np.abs(np.sqrt((distances.vec**2).sum(1)) - 3) > 1e-6).all())
    graph, other = (systems.neighbor_graph(item, 3.0) for item in (structure, moved))
    back = np.column_stack([other.receivers, other.senders,
                            other.shifts + steps[other.senders] - steps[other.receivers]])
    order = np.lexsort(back.T[::-1])
    assert list(map(tuple, back[order].tolist())) == edge_set(graph)
    size = 6000 + (np.abs(other.shifts) @ np.abs(cell)).max(initial=0)             # the largest coordinate
    np.testing.assert_allclose(other.vec[order], graph.vec, rtol=0, atol=8 * EPS * size)


def test_P54_a_supercell_repeats_every_neighbourhood():
    graph = systems.neighbor_graph(LEFT_HANDED, CUTOFF)
    offsets = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3) @ LEFT_HANDED.cell
    positions = (offsets[:, None] + LEFT_HANDED.positions).reshape(-1, 3)
    large = Structure(np.tile(LEFT_HANDED.numbers, 27), positions, 3 * LEFT_HANDED.cell, True)
    counts = np.bincount(systems.neighbor_graph(large, CUTOFF).receivers, minlength=81)
    np.testing.assert_array_equal(counts.reshape(27, 3), [np.bincount(graph.receivers, minlength=3)] * 27)


def test_self_images_and_several_images_of_one_atom():
    """Copper at 3.6 angstrom: 12 neighbours at 2.55 and 6 at 3.6, 24 at 4.41, all of them the atom itself."""
    graph = systems.neighbor_graph(COPPER, CUTOFF)
    assert graph.n_edges == 12 + 6 + 24 and not graph.receivers.any() and not graph.senders.any()
    squares = 1.8**2 * np.repeat([2, 4, 6], [12, 6, 24])
    np.testing.assert_allclose(np.sort((graph.vec**2).sum(1)), squares, rtol=4 * EPS)


# --- blocks and sums ------------------------------------------------------------------------------------------

def check_blocks(graph):
    """Every edge is in one block, beside the others that arrive at the same atom; isolated atoms are in none."""
    atoms, edges = np.arange(graph.n_atoms), np.arange(graph.n_edges)
    counts = np.bincount(graph.receivers, minlength=graph.n_atoms)
    for block in graph.blocks:
        arriving = graph.receivers[block.edges].reshape(-1, block.count)
        np.testing.assert_array_equal(arriving, np.repeat(atoms[block.nodes, None], block.count, 1))
        assert len(arriving) == 1 or arriving.size <= graphs.EDGES_PER_BLOCK
    joined = [np.concatenate([x[:0], *(x[getattr(block, name)] for block in graph.blocks)])
              for name, x in (("nodes", atoms), ("edges", edges))]
    np.testing.assert_array_equal(np.sort(joined[0]), atoms[counts > 0])
    np.testing.assert_array_equal(np.sort(joined[1]), edges)


@given(st.lists(periodic_structures(), min_size=1, max_size=3), cutoffs)
def test_blocks_partition_the_edges(structures, cutoff):
    check_blocks(systems.neighbor_graph(structures, cutoff))


def test_blocks_are_slices_wherever_atoms_follow_one_another():
    """A batch of one molecule with all atoms in reach of each other needs no gather."""
    graph = ethanol(*range(40), cutoff=9.0)
    check_blocks(graph)
    assert {block.count for block in graph.blocks} == {8}
    assert all(type(item) is slice for block in graph.blocks for item in (block.nodes, block.edges))
    assert len(graph.blocks) == -(-360 // (graphs.EDGES_PER_BLOCK // 8))


def test_blocks_are_indices_where_they_do_not():
    graph = ethanol(*range(10), cutoff=2.5)
    check_blocks(graph)
    assert any(type(block.nodes) is type(block.edges) is np.ndarray for block in graph.blocks)


def test_a_block_has_at_least_one_atom():
    tiny = Structure([1, 1], [[0, 0, 0], [0.3, 0.3, 0.3]], 0.6 * np.eye(3), True)
    graph = systems.neighbor_graph(tiny, 4.0)
    check_blocks(graph)
    assert all(block.count > graphs.EDGES_PER_BLOCK for block in graph.blocks)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128, np.complex64])
@pytest.mark.parametrize("shape", [(), (3,), (graphs.NARROW,), (5, 8)])
def test_sums_against_scatter(shape, dtype):
    """Arriving and leaving edges, and atoms of structures; the precision stays, isolated atoms get zero.

    Rounding: at most count - 1 additions, each by eps/2 of a partial sum of numbers below 8.
    """
    graph, rng = systems.join([batch(), ethanol(0, 1)]), np.random.default_rng(0)

    def check(found, x, index, n):
        expected = np.zeros((n, *shape), np.complex128)
        np.add.at(expected, index, x)
        count = np.bincount(index, minlength=n).max()
        assert found.dtype == dtype and found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=count**2 * 8 * np.finfo(dtype).eps)
    per_edge, per_atom = ((rng.standard_normal((n, *shape)) + 1j * rng.standard_normal((n, *shape)))
                          for n in (graph.n_edges, graph.n_atoms))
    if np.dtype(dtype).kind == "f":
        per_edge, per_atom = per_edge.real, per_atom.real
    per_edge, per_atom = per_edge.astype(dtype), per_atom.astype(dtype)
    check(graph.sum_edges(per_edge), per_edge, graph.receivers, graph.n_atoms)
    check(graph.sum_leaving(per_edge), per_edge, graph.senders, graph.n_atoms)
    np.testing.assert_array_equal(graph.sum_leaving(per_edge), graph.sum_edges(per_edge[graph.reverse]))
    check(graph.sum_atoms(per_atom), per_atom, graph.structure, graph.n_structures)
    assert not graph.sum_edges(per_edge)[np.bincount(graph.receivers, minlength=graph.n_atoms) == 0].any()


def test_sums_without_any_edge():
    graph = systems.neighbor_graph([HELIUM, HELIUM], CUTOFF)
    assert graph.n_edges == 0 and graph.blocks == ()
    for shape in ((), (3,), (5, 8)):
        assert graph.sum_edges(np.zeros((0, *shape))).tolist() == np.zeros((2, *shape)).tolist()
        assert graph.sum_leaving(np.zeros((0, *shape))).tolist() == np.zeros((2, *shape)).tolist()
    dpositions, dstrain = graph.pull({"vec": np.zeros((0, 3))})
    assert dpositions.tolist() == np.zeros((2, 3)).tolist() and dstrain.tolist() == np.zeros((2, 3, 3)).tolist()


# --- batches --------------------------------------------------------------------------------------------------

INDICES = {"receivers": "n_atoms", "senders": "n_atoms", "reverse": "n_edges", "structure": "n_structures",
           "first": "n_atoms"}
VALUES = ("shifts", "vec", "numbers", "positions", "cell", "pbc", "charge")


def test_P38_a_batch_is_its_structures_side_by_side():
    """Exactly: one graph of a list, ready graphs joined, and batches joined again hold the same numbers."""
    separate = [systems.neighbor_graph(structure, CUTOFF) for structure in ALL]
    nested = systems.join([systems.join(separate[:2]), separate[2], systems.join(separate[3:])])
    for graph in (batch(), systems.join(separate), nested):
        for name in VALUES:
            expected = [getattr(g, name) for g in separate]
            np.testing.assert_array_equal(getattr(graph, name), np.concatenate(expected))
        for name, size in INDICES.items():
            before = np.cumsum([0] + [getattr(g, size) for g in separate])
            expected = [getattr(g, name) + b for g, b in zip(separate, before, strict=False)]
            np.testing.assert_array_equal(getattr(graph, name), np.concatenate(expected))
        check_blocks(graph)
        assert graph.n_structures == len(ALL) and graph.cutoff == CUTOFF
        np.testing.assert_array_equal(graph.volume, np.concatenate([g.volume for g in separate]))


def test_P38_no_gradient_crosses_from_frame_to_frame():
    graph, rng = batch(), np.random.default_rng(1)
    chosen = graph.structure[graph.receivers] == 3
    dvec = rng.standard_normal((graph.n_edges, 3)) * chosen[:, None]
    dpositions, dstrain = graph.pull({"vec": dvec})
    assert dpositions[graph.structure == 3].any() and not dpositions[graph.structure != 3].any()
    assert dstrain[3].any() and not dstrain[np.arange(len(ALL)) != 3].any()


def test_join_of_one_graph_is_that_graph():
    graph = systems.neighbor_graph(WATER, 3.0)
    assert systems.join([graph]) is graph


def test_a_graph_says_what_it_holds():
    assert repr(systems.neighbor_graph(WATER, 3)) == "Graph(1 structure, 3 atoms, 6 edges within 3 angstrom)"
    assert repr(ethanol(0, 1, cutoff=9.0)) == "Graph(2 structures, 18 atoms, 144 edges within 9 angstrom)"


# --- the way back ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("structures", [[structure] for structure in ALL if structure is not HELIUM] + [ALL],
                         ids=["molecule", "crystal of one atom", "left-handed", "slab", "batch"])
def test_P41_pullback_to_positions_and_strain(structures):
    """<dy, J v> = <pull(dy), v> for y = (vec, positions, cell) as functions of positions and strain.

    Relative to |dy| |J v|; the sums run over a few thousand terms, whose rounding adds up at random: 30 eps.
    """
    graph = systems.neighbor_graph(structures, CUTOFF)
    names = ("vec", "positions", "cell")

    def layer(positions, strain):
        moved = strained(graph, positions, strain)
        parts = [getattr(moved, name) for name in names]
        stops = np.cumsum([part.size for part in parts])

        def pull(dy):
            pieces = zip(np.split(dy, stops[:-1]), parts, strict=True)
            return moved.pull({name: piece.reshape(part.shape)
                               for name, (piece, part) in zip(names, pieces, strict=True)})
        return np.concatenate([part.ravel() for part in parts]), pull
    args = graph.positions, np.zeros((graph.n_structures, 3, 3))
    assert gradients.pullback_violation(layer, args, np.random.default_rng(2)) < 30 * EPS


def energy_and_slope(graph):
    """E = sum_e exp(-|vec|^2/4) + V^2/1000 for each structure, and dE/dvec: rotations leave it alone."""
    each = np.exp(-(graph.vec * graph.vec).sum(1) / 4)
    return graph.sum_atoms(graph.sum_edges(each)) + graph.volume**2 / 1000, -graph.vec / 2 * each[:, None]


def test_P45_P51_forces_and_strain_against_complex_step():
    """Each derivative of an energy by complex step in that coordinate alone; 1e-14 of the largest."""
    graph = batch()
    dpositions, dstrain = graph.pull({"vec": energy_and_slope(graph)[1]})
    dstrain = dstrain + graph.volume[:, None, None] ** 2 / 500 * np.eye(3)         # dV/deps = V 1
    zero = np.zeros((graph.n_structures, 3, 3))

    def derivative(positions_step, strain_step):
        moved = strained(graph, graph.positions + 1e-30j * positions_step, 1e-30j * strain_step)
        return energy_and_slope(moved)[0].imag / 1e-30
    for n, a in np.ndindex(graph.n_atoms, 3):
        step = np.zeros((graph.n_atoms, 3))
        step[n, a] = 1
        found = derivative(step, zero)
        assert abs(found[graph.structure[n]] - dpositions[n, a]) <= 1e-14 * np.abs(dpositions).max()
        assert not found[np.arange(graph.n_structures) != graph.structure[n]].any()
    for a, b in np.ndindex(3, 3):
        step = zero.copy()
        step[:, a, b] = 1
        found = derivative(np.zeros((graph.n_atoms, 3)), step)
        np.testing.assert_allclose(found, dstrain[:, a, b], rtol=0, atol=1e-14 * np.abs(dstrain).max())


def test_P48_P51_no_total_force_and_a_symmetric_stress():
    """Forces cancel in pairs; an energy that rotations leave alone has a symmetric dE/dstrain, unsymmetrised."""
    graph = batch()
    dpositions, dstrain = graph.pull({"vec": energy_and_slope(graph)[1]})
    scale = np.abs(dstrain).max()
    assert np.abs(graph.sum_atoms(dpositions)).max() <= graph.n_edges * EPS * np.abs(dpositions).max()
    assert np.abs(dstrain - dstrain.swapaxes(1, 2)).max() <= graph.n_edges * EPS * scale and scale > 0.1


def test_pullback_follows_a_rotation():
    """Positions and vectors turned by R: dpositions R^T, and the strain turned on both sides."""
    rng = np.random.default_rng(3)
    graph, R = batch(), so3.random_rotation(rng)
    dvec, dr, dcell = (rng.standard_normal(x.shape) for x in (graph.vec, graph.positions, graph.cell))
    turned = graph.at(graph.positions @ R.T, graph.cell @ R.T)
    here = graph.pull({"vec": dvec, "positions": dr, "cell": dcell})
    there = turned.pull({"vec": dvec @ R.T, "positions": dr @ R.T, "cell": dcell @ R.T})
    np.testing.assert_allclose(there[0], here[0] @ R.T, rtol=0, atol=1e-14 * np.abs(here[0]).max())
    np.testing.assert_allclose(there[1], R @ here[1] @ R.T, rtol=0, atol=1e-14 * np.abs(here[1]).max())


# --- other positions, other precisions, other devices ---------------------------------------------------------

@given(st.lists(periodic_structures(), min_size=1, max_size=3))
def test_at_the_same_positions_nothing_changes(structures):
    graph = systems.neighbor_graph(structures, 3.0)
    np.testing.assert_array_equal(graph.at(graph.positions).vec, graph.vec)
    np.testing.assert_array_equal(graph.at(graph.positions, graph.cell).vec, graph.vec)


def test_at_decides_no_neighbour_anew():
    graph = systems.neighbor_graph(WATER, 2.0)
    far = graph.at(10 * graph.positions)
    assert far.receivers is graph.receivers and far.blocks is graph.blocks
    np.testing.assert_allclose(far.vec, 10 * graph.vec, rtol=4 * EPS)


@pytest.mark.parametrize("positions", [np.float64, np.float32, np.complex128, np.complex64])
@pytest.mark.parametrize("cell", [np.float64, np.float32, np.complex128, np.complex64])
@pytest.mark.parametrize("structures", [WATER, COPPER, ALL], ids=["molecule", "crystal", "batch"])
def test_at_follows_the_precision_of_both_arrays(structures, positions, cell):
    graph = systems.neighbor_graph(structures, CUTOFF)
    moved = graph.at(graph.positions.astype(positions), graph.cell.astype(cell))
    assert moved.vec.dtype == np.result_type(positions, cell)
    assert moved.positions.dtype == positions and moved.volume.dtype == moved.cell.dtype == cell


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cast_keeps_everything_in_one_precision(dtype):
    graph = batch().cast(dtype)
    arrays = {name: value for name, value in vars(graph).items() if isinstance(value, np.ndarray)}
    floating = {name for name, value in arrays.items() if value.dtype == dtype}
    assert floating == {"vec", "positions", "cell", "charge"}
    assert {value.dtype.char for name, value in arrays.items() if name not in floating} == {"l", "?"}
    results = [graph.volume, graph.at(graph.positions).vec, graph.sum_edges(graph.vec), graph.sum_leaving(graph.vec),
               graph.sum_atoms(graph.charge[graph.structure]), *graph.pull({name: arrays[name] for name in floating})]
    assert [result.dtype for result in results] == [dtype] * len(results)
    np.testing.assert_array_equal(graph.vec[graph.reverse], -graph.vec)
    np.testing.assert_allclose(graph.vec, batch().vec, rtol=np.finfo(dtype).eps)


def test_volume_of_real_and_of_complex_cells():
    """Positive in left-handed cells too, 0 without a third vector; dV by complex step is V tr(eps)."""
    graph, rng = batch(), np.random.default_rng(4)
    np.testing.assert_allclose(graph.volume, np.abs(np.linalg.det(graph.cell)), rtol=8 * EPS, atol=0)
    assert abs(graph.volume[1] - 3.6**3 / 4) < 1e-13 and graph.volume[[0, 2, 4]].tolist() == [0, 0, 0]
    assert np.linalg.det(graph.cell)[3] < 0 < graph.volume[3]
    strain = rng.standard_normal((graph.n_structures, 3, 3))
    slope = strained(graph, graph.positions, 1e-30j * strain).volume.imag / 1e-30
    expected = graph.volume * np.einsum("saa->s", strain)
    np.testing.assert_allclose(slope, expected, rtol=0, atol=16 * EPS * graph.volume.max())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_runs_on_the_stand_in(monkeypatch, dtype):
    """The same numbers to the last bit; nothing came back to the host."""
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(asarray=DeviceArray))
    here = systems.join([batch(), ethanol(0, 1, cutoff=CUTOFF)]).cast(dtype)
    there = to_device(here)
    rng = np.random.default_rng(5)
    wide, positions = rng.standard_normal((here.n_edges, 5, 8)).astype(dtype), here.positions * dtype(1.1)

    def run(graph, wide, positions):
        moved = graph.at(positions, graph.cell + 1e-15j * graph.cell)
        return [moved.vec, moved.volume, graph.sum_edges(wide), graph.sum_leaving(wide),
                graph.sum_edges(graph.vec), graph.sum_leaving(graph.vec), graph.sum_atoms(positions),
                *graph.pull({"vec": graph.vec, "positions": graph.positions, "cell": graph.cell}),
                *moved.pull({"vec": moved.vec})]
    on_device = run(there, *map(DeviceArray, (wide, positions)))
    for one, other in zip(run(here, wide, positions), on_device, strict=True):
        assert isinstance(other, DeviceArray) and other.dtype == one.dtype and np.array_equal(other.get(), one)
    assert all(isinstance(block.nodes, slice | DeviceArray) for block in there.blocks)
    np.testing.assert_array_equal(to_numpy(there).vec, here.vec)


# --- refusals -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("cutoff", [0, -1, np.nan, np.inf, "5"])
def test_a_cutoff_is_finite_and_positive(cutoff):
    with pytest.raises(ValueError, match="cutoff must be a finite number above 0"):
        systems.neighbor_graph(WATER, cutoff)


@pytest.mark.parametrize("given", [None, WATER.positions, [WATER, WATER.positions], "water"])
def test_structures_only(given):
    with pytest.raises(ValueError, match="takes a Structure or a list of them; got"):
        systems.neighbor_graph(given, 3.0)


def test_ase_atoms_are_named_and_told_the_way():
    ase = pytest.importorskip("ase")
    with pytest.raises(ValueError, match=r"got Atoms: Structure.from_ase\(atoms\)"):
        systems.neighbor_graph(ase.Atoms("H"), 3.0)


def test_an_empty_list_has_no_graph():
    for call in (lambda: systems.neighbor_graph([], 3.0), lambda: systems.join([])):
        with pytest.raises(ValueError, match="an empty list has no graph"):
            call()


def test_graphs_of_two_cutoffs_do_not_join():
    with pytest.raises(ValueError, match=r"joined at one cutoff; got \[2.0, 3.0\]"):
        systems.join([systems.neighbor_graph(WATER, 3), systems.neighbor_graph(WATER, 2)])
