"""Who is near whom: every pair of atoms, periodic images included, that is nearer than the cutoff.

Geometry on plain arrays, at a cost linear in the number of atoms (but for one sort).  The steps: choose short
lattice vectors, bring every atom into one cell, place around it the images that the cutoff can reach, let a k-d
tree find the pairs.  The tree's coordinates are rounded otherwise than the vectors of the graph, so it searches a
little too far, and pairs within rounding of the cutoff are decided by those vectors: for them the list is exact.
"""

import math
from numbers import Real

import numpy as np
from scipy.spatial import cKDTree

from se3ref.backend import real_dtype
from se3ref.systems.structure import COINCIDENT


def neighbor_list(positions, cell, pbc, cutoff):
    """All (receiver i, sender j, shift) with |r_j - r_i + shift @ cell| < cutoff: (e,), (e,), (e,3), integers.

    positions (n,3), cell (3,3), pbc (3,) bool; angstrom.  Atoms may lie outside the cell, whose rows count only
    where pbc is true.  An atom is a neighbour of its own images, not of itself; at exactly the cutoff there is no
    edge.  Every pair is listed from both ends.  Sorted by receiver, then sender, then shift.

    Raises ValueError where an atom would coincide with its own image, and where positions are so large that their
    rounding is no longer small beside the cutoff.
    """
    home, atom, shift, margin = images_within(positions, cell, pbc, cutoff)
    inside = positions - home @ cell
    tree, images = cKDTree(inside), cKDTree(inside[atom] + shift @ cell)
    near = tree.sparse_distance_matrix(images, cutoff + margin, output_type="ndarray")
    i, image = near["i"], near["j"]
    itself = np.flatnonzero(~shift.any(1))                      # (n,) the image of each atom that is the atom
    keep = image != itself[i]
    shift -= home[atom]                                         # between atoms as given: this, and + home[i]

    close = np.flatnonzero(near["v"] > cutoff - margin)
    i_close, image_close = i[close], image[close]
    shifts = shift[image_close] + home[i_close]
    keep[close] &= lengths(edge_vectors(positions, i_close, atom[image_close], shifts, cell)) < cutoff

    i, image = np.divmod(np.sort(i[keep] * len(atom) + image[keep]), len(atom))
    shifts = np.take(shift, image, axis=0)
    shifts += np.take(home, i, axis=0)
    return i, np.take(atom, image), shifts


def edge_vectors(positions, receivers, senders, shifts, cell, structure=None):
    """vec = (r_j - r_i) + shift @ cell, (e,3), of receiver i and sender j.

    cell (3,3), or (s,3,3) of many structures, with structure (n,) telling which is each atom's.  Differences
    first, then the lattice vectors one by one: rounding is then blind to the sign, and the same edge from the
    other end is -vec to the last bit.  Analytic: positions and cell may be complex.
    """
    vec = np.take(positions, senders, axis=0) - np.take(positions, receivers, axis=0)
    if not shifts.any():
        return vec.astype(np.result_type(vec.dtype, cell.dtype), copy=False)
    if structure is not None:
        cell = np.take(cell, np.take(structure, receivers), axis=0)
    x, y, z = shifts.T.astype(real_dtype(cell.dtype))
    a, b, c = cell.reshape(-1, 3, 3).transpose(1, 2, 0)         # each (3,1) or (3,e)
    return vec + (x * a + y * b + z * c).T


def lengths(vec):
    """|vec| (e,) of vectors (e,3), summed in one fixed order."""
    x, y, z = vec.T
    return np.sqrt(x * x + y * y + z * z)


def check_cutoff(cutoff):
    """The cutoff as a float; ValueError unless it is a finite number above 0 (angstrom)."""
    if not isinstance(cutoff, Real) or not math.isfinite(cutoff) or cutoff <= 0:
        raise ValueError(f"cutoff must be a finite number above 0, in angstrom; got {cutoff!r}")
    return float(cutoff)


def images_within(positions, cell, pbc, cutoff):
    """The atoms of one cell and their images within reach; all shifts in the lattice vectors as given.

    home (n,3): positions - home @ cell lies in one cell of the short vectors
    atom (a,), shift (a,3): the images, at positions[atom] + (shift - home[atom]) @ cell, by atom, then shift
    margin: no coordinate or distance is rounded by more, angstrom
    """
    lattice = cell[pbc]
    U, dual = short_basis(lattice)
    home = np.floor(positions @ dual)
    reach = cutoff * np.sqrt((dual * dual).sum(0))              # 1/|d_i| is the distance of lattice planes
    farthest = np.abs(home).max(0) + np.ceil(reach) + 1
    margin = _margin(np.abs(positions).max() + (farthest @ np.abs(U) @ np.abs(lattice)).sum(), cutoff)

    home = home.astype(np.int64)
    atom, step = _copies((positions - home @ (U @ lattice)) @ dual, reach)
    in_cell = np.zeros((len(lattice), 3), np.int64)             # the short vectors in the given ones
    in_cell[:, pbc] = U
    shift = step @ in_cell
    order = np.lexsort((*shift.T[::-1], atom))
    return home @ in_cell, atom[order], shift[order], margin


def short_basis(lattice):
    """(U, dual): short vectors a = U @ lattice (k,3), U integer of determinant +-1; dual (3,k), a @ dual = 1.

    In a skewed cell the planes of the lattice lie close, and the cutoff would reach across many of them.  Each
    vector in turn is moved by the lattice vector nearest to its projection on the others, as long as it shrinks.
    With the columns d_i of dual, that projection is -sum_j (d_i.d_j / d_i.d_i) a_j over j != i.
    """
    U = np.eye(len(lattice), dtype=np.int64)
    while len(lattice):
        a = U @ lattice
        dual = np.linalg.pinv(a)
        D = dual.T @ dual
        moves = np.rint(D / D.diagonal()[:, None]).astype(np.int64)     # 1 on the diagonal: the vector itself
        left = ((moves @ a) ** 2).sum(1) / (a * a).sum(1)
        if left.min() > 1 - 1e-6:
            _check_images_apart(a, lattice)
            return U, dual
        i = left.argmin()
        U[i] = moves[i] @ U
    return U, np.zeros((3, 0))


def _check_images_apart(short, lattice):
    shortest = np.sqrt((short * short).sum(1).min())
    if shortest < COINCIDENT:
        raise ValueError(f"atoms coincide with their own images: the lattice repeats after {shortest:.2g} "
                         f"angstrom, less than {COINCIDENT}; its periodic vectors are {lattice.tolist()}: check "
                         f"that lengths are in angstrom, or set pbc=False along the short one")


def _margin(extent, cutoff):
    """A bound on the rounding of coordinates up to `extent`: some twenty operations, each by at most eps/2."""
    margin = 32 * np.finfo(np.float64).eps * extent
    if margin > cutoff / 100:
        raise ValueError(f"positions and lattice translations up to {extent:.2g} angstrom are rounded by up to "
                         f"{margin:.2g}, too coarse for a cutoff of {cutoff:g}: move the atoms near the origin")
    return margin


def _copies(s, reach):
    """(atom (a,), step (a,k)): all copies s[atom] + step within `reach` (k,) of the range of s (n,k)."""
    atom, step = np.arange(len(s)), np.zeros(s.shape, np.int64)
    for axis, width in enumerate(reach + 1e-3):                 # s is rounded: a little wider
        low, high = s[:, axis].min(), s[:, axis].max()
        most = math.ceil(high - low + width)
        t = np.arange(-most, most + 1)
        x = s[atom, axis, None] + t
        copy, chosen = ((x >= low - width) & (x <= high + width)).nonzero()
        atom, step = atom[copy], step[copy]
        step[:, axis] = t[chosen]
    return atom, step
