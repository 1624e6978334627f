"""The cases of neighbourhoods: lists and graphs of liquids and of a crystal; beside vesin and matscipy.

Peers are imported inside the functions that measure them, so that a missing one costs only its own rows.  Their
work is the list of pairs (i, j, shift, vector) in an order of their own; that of "neighbour list" here is the same,
sorted, and that of "neighbour graph" is the list with the map of reversed edges and the blocks as well.
"""

import functools

import numpy as np

from benchmarks.harness import Case, Work
from se3ref import systems
from se3ref.systems import Structure
from se3ref.systems.neighbors import edge_vectors, neighbor_list

CUTOFF = 5.0                                                   # angstrom; some fifty neighbours in the liquids


def cases(compiled=False):
    """All cases: two kernels, systems from one atom with its own images to 100,000 atoms, two peers."""
    every = []
    for kernel, ours in (("neighbour list", list_with_vectors), ("neighbour graph", graph_as_list)):
        for size, make in (("1 atom, 248 images", crystal), *((f"{n:,} atoms", functools.partial(liquid, n))
                                                             for n in (216, 10_000, 100_000))):
            for peer, beside in (("vesin", beside_vesin), ("matscipy", beside_matscipy)):
                every.append(Case(kernel, size, peer, functools.partial(beside, ours, make)))
    return every


def crystal():
    """One atom in the primitive fcc cell of copper, and a cutoff (as `liquid`): 248 of its images are within."""
    return Structure([29], np.zeros((1, 3)), 1.8075 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]), True), 9.0


def liquid(n):
    """n atoms at 0.1 per cubic angstrom in a triclinic cell, shaken from a lattice, in random order."""
    rng = np.random.default_rng(n)
    m = int(np.ceil(n ** (1 / 3)))
    sites = rng.permutation(np.stack(np.meshgrid(*[np.arange(m)] * 3), -1).reshape(-1, 3))[:n]
    cell = (n / 0.1) ** (1 / 3) * np.array([[1, 0, 0], [0.2, 1, 0], [-0.1, 0.3, 1]])
    fractional = (sites + rng.uniform(-0.25, 0.25, (n, 3))) / m
    return Structure(np.ones(n, int), fractional @ cell, cell, True), CUTOFF


def list_with_vectors(structure, cutoff):
    """Ours: receivers, senders, shifts, vectors."""
    pairs = neighbor_list(structure.positions, structure.cell, structure.pbc, cutoff)
    return *pairs, edge_vectors(structure.positions, *pairs, structure.cell)


def graph_as_list(structure, cutoff):
    """The same four arrays from the whole graph."""
    graph = systems.neighbor_graph(structure, cutoff)
    return graph.receivers, graph.senders, graph.shifts, graph.vec


def beside_vesin(ours, make):
    """vesin's full list, by its C++ cell list."""
    from vesin import NeighborList
    structure, cutoff = make()
    search = NeighborList(cutoff=cutoff, full_list=True)
    return work(ours, structure, cutoff, lambda: search.compute(
        points=structure.positions, box=structure.cell, periodic=True, quantities="ijSD"))


def beside_matscipy(ours, make):
    """matscipy's list, by its cell list in C."""
    from matscipy.neighbours import neighbour_list
    structure, cutoff = make()
    return work(ours, structure, cutoff, lambda: neighbour_list(
        "ijSD", positions=structure.positions, cell=structure.cell, pbc=structure.pbc, cutoff=cutoff))


def work(ours, structure, cutoff, theirs):
    """Both sides, and the largest difference of their vectors: infinite if one edge is missing anywhere."""
    def difference(a, b):
        (*pairs, vec), (*their_pairs, their_vec) = in_order(a), in_order(b)
        same = all(np.array_equal(x, y) for x, y in zip(pairs, their_pairs, strict=True))
        return np.abs(vec - their_vec).max() if same else np.inf
    return Work(lambda: ours(structure, cutoff), theirs, difference, tolerance=1e-11)


def in_order(table):
    """(i, j, S, D) sorted by i, j and S."""
    i, j, S, D = table
    order = np.lexsort((*S.T[::-1], j, i))
    return i[order], j[order], S[order], D[order]
