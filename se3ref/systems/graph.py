"""The graph of a structure, or of many: edges between neighbours, and the sums that run over them."""

import math
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np
from scipy.sparse import csr_array

from se3ref.so3.rotations import determinant
from se3ref.systems.neighbors import check_cutoff, edge_vectors, neighbor_list
from se3ref.systems.structure import Structure

EDGES_PER_BLOCK = 512           # what a convolution makes of them stays in a CPU's cache: twice as fast as 4096
NARROW = 20                     # rows of fewer numbers are summed faster one after another than in blocks


@dataclass(frozen=True, eq=False)
class Block:
    """b atoms that have `count` >= 1 neighbours each.

    nodes selects the atoms, (b,) integers or a slice; edges their incoming edges, (b*count,) integers or a slice:
    x[edges].reshape(-1, count, ...) holds, for each atom of y[nodes], what arrives there.
    """
    nodes: slice | np.ndarray
    edges: slice | np.ndarray
    count: int


@dataclass(frozen=True, eq=False)
class Graph:
    """n atoms of s structures and the e edges between them; made by `neighbor_graph`, joined by `join`.

    An edge carries messages from its sender j to its receiver i, along vec = r_j - r_i + shift @ cell; it exists
    where |vec| < cutoff.  Every edge is there from both ends.

    receivers, senders: (e,) int, sorted by receiver
    shifts: (e,3) int, how many times each lattice vector the sender's image is displaced
    vec: (e,3), angstrom;  vec[reverse] == -vec, exactly
    reverse: (e,) int, the same edge seen from the other end: its key is receiver, sender and shift
    blocks: tuple of Block, atoms grouped by their number of neighbours; isolated atoms are in none
    numbers: (n,) int;  positions: (n,3), angstrom
    structure: (n,) int, sorted: the structure that each atom belongs to;  first: (s,) int, its first atom
    cell: (s,3,3), rows the lattice vectors, zeros where there is none;  pbc: (s,3) bool
    charge: (s,), total charges, e
    cutoff: float, angstrom

    What follows positions and cell is analytic in them and accepts them complex, for the complex step; who is a
    neighbour of whom was decided once, on real numbers, and stays.
    """
    receivers: np.ndarray
    senders: np.ndarray
    shifts: np.ndarray
    vec: np.ndarray
    reverse: np.ndarray
    blocks: tuple
    numbers: np.ndarray
    positions: np.ndarray
    structure: np.ndarray
    first: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    charge: np.ndarray
    cutoff: float

    @property
    def n_atoms(self):
        """n, an int."""
        return len(self.numbers)

    @property
    def n_edges(self):
        """e, an int."""
        return len(self.receivers)

    @property
    def n_structures(self):
        """s, an int."""
        return len(self.first)

    @property
    def sizes(self):
        """How many atoms each structure has, (s,), as numbers of the precision of charge."""
        return self.sum_atoms(np.ones(self.n_atoms, self.charge.dtype, like=self.charge))

    @property
    def volume(self):
        """V = |det cell| (s,), angstrom^3; 0 where there is no cell, or one without a volume."""
        det = determinant(self.cell)
        return np.where(det.real < 0, -det, det)

    def __repr__(self):
        return (f"Graph({self.n_structures} structure{'s' * (self.n_structures > 1)}, {self.n_atoms} atoms, "
                f"{self.n_edges} edges within {self.cutoff:g} angstrom)")

    def at(self, positions, cell=None):
        """The same edges with the atoms at other `positions` (n,3), and in another `cell` (s,3,3) if given.

        Precision follows the arrays that come in: float32 or complex positions give float32 or complex vec.
        """
        cell = self.cell if cell is None else cell
        vec = edge_vectors(positions, self.receivers, self.senders, self.shifts, cell,
                           self.structure if self.n_structures > 1 else None)
        return replace(self, positions=positions, cell=cell, vec=vec)

    def cast(self, dtype):
        """The graph with positions, cell, vec and charge of this dtype, each rounded once."""
        return replace(self, positions=self.positions.astype(dtype), cell=self.cell.astype(dtype),
                       vec=self.vec.astype(dtype), charge=self.charge.astype(dtype))

    def sum_edges(self, x):
        """sum_j x_ij: x (e,...) summed over the edges that arrive at each atom, (n,...); 0 at isolated atoms."""
        if math.prod(x.shape[1:]) < NARROW:
            starts = np.flatnonzero(np.diff(self.receivers, prepend=-1))
            out = np.zeros((self.n_atoms, *x.shape[1:]), x.dtype, like=x)
            out[self.receivers[starts]] = np.add.reduceat(x, starts, axis=0)
            return out
        return self._sum_blocks(x, [block.edges for block in self.blocks])

    def sum_leaving(self, x):
        """sum_i x_ij: x (e,...) summed over the edges that leave each atom, (n,...).

        This is sum_edges(x[reverse]); wide rows are gathered block by block, twice as fast as all at once.
        """
        if math.prod(x.shape[1:]) < NARROW:
            return self.sum_edges(np.take(x, self.reverse, axis=0))
        return self._sum_blocks(x, [self.reverse[block.edges] for block in self.blocks])

    def _sum_blocks(self, x, edges):
        """For the atoms of each block, the sum of x over `count` edges each."""
        out = np.zeros((self.n_atoms, *x.shape[1:]), x.dtype, like=x)
        for block, chosen in zip(self.blocks, edges, strict=True):
            out[block.nodes] = x[chosen].reshape(-1, block.count, *x.shape[1:]).sum(1)
        return out

    def sum_atoms(self, x):
        """x (n,...) summed over the atoms of each structure, (s,...)."""
        return np.add.reduceat(x, self.first, axis=0)

    def pull(self, dgeometry):
        """Carry the cotangents of vec (e,3), positions (n,3) and cell (s,3,3) back to positions and strain.

        dgeometry: a dict with "vec" and, where a model uses them, "positions" and "cell".
        Returns (dpositions (n,3), dstrain (s,3,3)).

        vec_e = r_j - r_i + shift @ cell: the sender's dr_j gains dvec_e, the receiver's dr_i loses it.

        A strain eps moves all of space, r -> r + eps r, and with it positions, lattice vectors (the rows of cell)
        and every vec, which is linear in them.  From dE = sum_a dx_a eps_ab x_b, for all these vectors x,

            dE/deps_ab = sum_e dvec_a vec_b + sum_n dr_a r_b + sum_k dcell_ka cell_kb.

        For an energy that rotations leave alone, an antisymmetric eps changes nothing, and this is symmetric.
        """
        dvec = dgeometry["vec"]
        dpositions = self.sum_edges(np.take(dvec, self.reverse, axis=0) - dvec)        # leaving - arriving
        starts = np.searchsorted(self.receivers, self.first).tolist()                  # of each structure's edges
        dstrain = np.stack([dvec[a:b].T @ self.vec[a:b] for a, b in pairwise([*starts, self.n_edges])])
        if "positions" in dgeometry:
            dr = dgeometry["positions"]
            dpositions = dpositions + dr
            dstrain = dstrain + self.sum_atoms(dr[:, :, None] * self.positions[:, None, :])
        if "cell" in dgeometry:
            dstrain = dstrain + dgeometry["cell"].swapaxes(1, 2) @ self.cell
        return dpositions, dstrain


def neighbor_graph(structures, cutoff):
    """The graph of one Structure, or one graph of a list of them, in which no edge joins two structures.

    cutoff: angstrom; atoms nearer than this are neighbours, at exactly this distance they are not.  Molecules and
    crystals of any cell, periodic along any of its vectors; in small cells an atom meets several images of
    another one, and its own.  Raises ValueError for a cutoff that is not finite and positive or an empty list.
    """
    cutoff = check_cutoff(cutoff)
    if isinstance(structures, Structure):
        return _graph(structures, cutoff)
    if not isinstance(structures, list | tuple) or not all(isinstance(item, Structure) for item in structures):
        raise ValueError(f"neighbor_graph takes a Structure or a list of them; got {type(structures).__name__}: "
                         f"Structure.from_ase(atoms) and frames.structure(k) give one")
    return join([_graph(structure, cutoff) for structure in structures])


def join(graphs):
    """One graph of many: their disjoint union, structures in the order given.  For graphs on the host."""
    graphs = list(graphs)
    if not graphs:
        raise ValueError("an empty list has no graph: give at least one structure")
    if len({graph.cutoff for graph in graphs}) > 1:
        raise ValueError(f"graphs are joined at one cutoff; got {sorted({graph.cutoff for graph in graphs})}")
    if len(graphs) == 1:
        return graphs[0]

    def one(name):
        return np.concatenate([getattr(graph, name) for graph in graphs])

    def counted(name, sizes):
        """Indices, which count on from those of the graphs before."""
        return np.concatenate([getattr(graph, name) + before
                               for graph, before in zip(graphs, accumulate(sizes, initial=0), strict=False)])
    atoms, edges, structures = zip(*((g.n_atoms, g.n_edges, g.n_structures) for g in graphs), strict=True)
    receivers = counted("receivers", atoms)
    return Graph(receivers, counted("senders", atoms), one("shifts"), one("vec"), counted("reverse", edges),
                 _blocks(receivers, sum(atoms)), one("numbers"), one("positions"), counted("structure", structures),
                 counted("first", atoms), one("cell"), one("pbc"), one("charge"), graphs[0].cutoff)


def _graph(structure, cutoff):
    n, cell = len(structure), np.zeros((3, 3)) if structure.cell is None else structure.cell
    receivers, senders, shifts = neighbor_list(structure.positions, cell, structure.pbc, cutoff)
    return Graph(
        receivers, senders, shifts, edge_vectors(structure.positions, receivers, senders, shifts, cell),
        _reverse(receivers, senders, n), _blocks(receivers, n), structure.numbers, structure.positions,
        np.zeros(n, np.int64), np.zeros(1, np.int64), cell[None], structure.pbc[None],
        np.array([structure.charge]), cutoff)


def _reverse(receivers, senders, n):
    """Where each edge (i, j, shift) stands as (j, i, -shift), in a list sorted by receiver, sender and shift.

    Transposing a sparse matrix sorts its entries by column and leaves those of one column as they were, at linear
    cost: entry k of the transpose joins the same two atoms as edge k.  Of several edges between the same two, in
    the order of their shifts, the transpose has the -shift in the opposite order.
    """
    e = len(receivers)
    starts = np.searchsorted(receivers, np.arange(n + 1))
    transposed = csr_array((np.arange(e), senders, starts), shape=(n, n)).tocsc().data
    new = np.ones(e, bool)
    new[1:] = (receivers[1:] != receivers[:-1]) | (senders[1:] != senders[:-1])
    if new.all():
        return transposed
    sizes = np.diff(np.append(new.nonzero()[0], e))
    last = np.repeat(np.cumsum(sizes) - 1, sizes)
    first = last + 1 - np.repeat(sizes, sizes)
    return transposed[first + last - np.arange(e)]


def _blocks(receivers, n):
    """Atoms of equal neighbour count, in pieces of about EDGES_PER_BLOCK edges, at least one atom each."""
    counts = np.bincount(receivers, minlength=n)
    starts = np.cumsum(counts) - counts
    blocks = []
    for count in np.flatnonzero(np.bincount(counts)[1:]) + 1:
        group = np.flatnonzero(counts == count)
        size = max(1, EDGES_PER_BLOCK // count)
        blocks += [_block(nodes, starts, int(count))
                   for nodes in np.split(group, range(size, len(group), size))]
    return tuple(blocks)


def _block(nodes, starts, count):
    """Slices where the atoms follow one another, since then their edges do too; else arrays of indices."""
    if nodes[-1] - nodes[0] == len(nodes) - 1:
        edges = int(starts[nodes[0]])
        return Block(slice(int(nodes[0]), int(nodes[-1]) + 1), slice(edges, edges + len(nodes) * count), count)
    return Block(nodes, (starts[nodes][:, None] + np.arange(count)).reshape(-1), count)
