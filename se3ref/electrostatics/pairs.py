r"""Sums over pairs of charges: the plain sum of an isolated system, and what of a lattice sum falls off fast.

    E = 1/2 sum_{i != j} q_i q_j g(r_ij),     phi_i = dE/dq_i = sum_j q_j g(r_ij),     F_i = -dE/dr_i             (1)

with one of

    g = 1/r                                      point charges
    g = erf(gamma r)/r                           Gaussian charges of widths s:  gamma = 1/sqrt(2 (s_i^2 + s_j^2))
    g = erfc(alpha r)/r                          point charges, without what Ewald's sum does in reciprocal space
    g = (erfc(alpha r) - erfc(gamma r))/r        the same of Gaussian charges

Since erf = 1 - erfc, all are differences of erfc(a r)/r, with the derivative

    d/dr erfc(a r)/r = -(erfc(a r)/r + 2 a/sqrt(pi) exp(-a^2 r^2))/r                                              (2)

and 1/r is a = 0.  A strain moves r_ij to r_ij + strain r_ij, so dE/dstrain = 1/2 sum_{i != j} q_i q_j g'(r)/r r (x) r.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from se3ref.backend import erfc, pieces, real_dtype
from se3ref.systems import Structure
from se3ref.systems.neighbors import images_within

COULOMB = 14.399645478425668        # eV angstrom/e^2: e^2/(4 pi epsilon_0), CODATA 2018
SQRT_PI = math.sqrt(math.pi)
EVERYWHERE = np.ones(3, bool)


@dataclass(frozen=True, eq=False)
class Electrostatics:
    """What a sum over charges gives.

    energy: eV;  forces (n,3), eV/angstrom;  potential (n,): dE/dq, V;  stress (3,3): (1/V) dE/dstrain at fixed
    charges, eV/angstrom^3, None without a cell.
    """
    energy: float
    forces: np.ndarray
    potential: np.ndarray
    stress: np.ndarray | None


def screened(r, a):
    """erfc(a r)/r and its derivative (2); a: a number or (e,)."""
    value = erfc(a * r) / r
    return value, -(value + (2 / SQRT_PI) * a * np.exp(-(a * r) ** 2)) / r


def kernel(r, alpha, widths, i, j):
    """g and g' of the table above, for pairs i, j at distances r; alpha 0 is no Ewald, widths None point charges."""
    g, dg = screened(r, alpha)                                 # 1/r for alpha 0: erfc(0) = 1
    if widths is not None:
        gamma = 1 / np.sqrt(2 * (widths[i] ** 2 + widths[j] ** 2))
        h, dh = screened(r, gamma)
        g, dg = g - h, dg - dh
    return g, dg


def pairs_within(positions, cell, cutoff):
    """Every pair of charges nearer than the cutoff, once: first (e,), second (e,), atom (m,), shift (m,3), integers.

    A pair joins images first and second, of m at positions[atom] + shift @ cell.  The first n of these are the atoms,
    in one cell; of the images around it half are here, on one side: what reaches across the other is an image of a
    pair that reaches across this one.  What is near in space is near in memory.
    """
    n = len(positions)
    home, atom, shift, _ = images_within(positions, cell, EVERYWHERE, cutoff)
    base = int(shift.max() - shift.min()) + 1
    side = shift @ np.array([base * base, base, 1])            # of the sign of a shift's first entry that is not 0
    chosen = np.concatenate([np.flatnonzero(side == 0), np.flatnonzero(side > 0)])
    atom, shift = atom[chosen], shift[chosen] - home[atom[chosen]]
    places = images_at(positions, cell, atom, shift)
    order = cKDTree(places, 32, compact_nodes=False, balanced_tree=False).indices
    order = np.concatenate([order[order < n], order[order >= n]])
    atom, shift = atom[order], shift[order]
    tree = cKDTree(places[order], 32, balanced_tree=False)
    pairs = tree.query_pairs(cutoff, output_type="ndarray")    # first < second; some are pairs of images alone
    first, second = np.take(pairs, np.flatnonzero(pairs[:, 0] < n), axis=0).T.copy()
    return first, second, atom, shift


def images_at(positions, cell, atom, shift):
    """positions[atom] + shift @ cell (m,3)."""
    return positions[atom] + np.asarray(shift, real_dtype(cell.dtype), like=positions) @ cell


def pair_sum(positions, charges, cell, edges, alpha, widths):
    """Equation (1) over pairs as `pairs_within` gives them: phi (n,), dE/dr (n,3), dE/dstrain (3,3); coulomb = 1.

    Analytic in positions, charges and cell.
    """
    first, second, atom, shift = edges
    felt, strain = _between(images_at(positions, cell, atom, shift), charges[atom], first, second, alpha,
                            None if widths is None else widths[atom])
    total = np.zeros((4, len(charges)), felt.dtype, like=felt)
    for row, by_images in zip(total, felt, strict=True):
        np.add.at(row, atom, by_images)
    return total[0], total[1:].T, strain


def _between(r, q, first, second, alpha, widths):
    """phi and dE/dr together (4,m), and dE/dstrain, of pairs of charges q (m,) at r (m,3)."""
    r = np.ascontiguousarray(r.T, like=r)                      # x, y and z, each in one piece
    felt = np.zeros((4, len(q)), np.result_type(r, q), like=r)
    strain = np.zeros((3, 3), felt.dtype, like=r)
    for piece in pieces(len(first), 32, r):
        i, j = first[piece], second[piece]
        vec = np.take(r, j, axis=1) - np.take(r, i, axis=1)
        d = np.sqrt((vec * vec).sum(0))
        g, dg = kernel(d, alpha, widths, i, j)
        qi, qj = q[i], q[j]
        pull = (qi * qj * dg / d) * vec                        # dE/dvec, vec = r_j - r_i
        for row, of_i, of_j in zip(felt, (qj * g, *(-pull)), (qi * g, *pull), strict=True):
            np.add.at(row, i, of_i)
            np.add.at(row, j, of_j)
        strain += pull @ vec.T
    return felt, strain


def plain_sum(positions, charges, widths):
    """Equation (1) over all pairs of an isolated system, as `pair_sum` gives it; N^2 pairs, a few rows at a time."""
    n, felt, strain = len(charges), 0.0, 0.0
    each = np.arange(n, like=positions)
    for rows in pieces(n, n, positions):
        i, j = np.nonzero(each > each[rows, None])
        here, strain_here = _between(positions, charges, i + rows.start, j, 0.0, widths)
        felt, strain = felt + here, strain + strain_here
    return felt[0], felt[1:].T, strain


def checked(positions, charges, cell, widths, name="charges"):
    """The arguments as arrays of float64; ValueError where they are no charges (or what `name` says) in a cell."""
    positions = real_numbers("positions", positions)
    if positions.ndim != 2 or not len(positions):
        raise ValueError(f"positions must have the shape (n, 3), n at least 1; got {positions.shape}")
    structure = Structure(np.ones(len(positions), int), positions, cell, cell is not None)
    charges = of_atoms(name, charges, len(positions))
    if widths is not None:
        widths = of_atoms("widths", widths, len(positions))
        if not (widths > 0).all():
            raise ValueError(f"widths of Gaussian charges are above 0, in angstrom; the least is {widths.min()}")
    return structure.positions, charges, structure.cell, widths


def of_atoms(name, x, n):
    """x (n,) as an array of float64; ValueError for what is none, or not finite."""
    x = real_numbers(name, x)
    if x.shape != (n,) or not np.isfinite(x).all():
        raise ValueError(f"{name} must be {n} finite numbers, one for each position; got an array of shape {x.shape}"
                         f"{'' if np.isfinite(x).all() else ' with NaN or infinity'}")
    return x


def real_numbers(name, x):
    """x as an array of float64; ValueError for what is none, complex numbers among it."""
    try:
        x = np.asarray(x)
        if x.dtype.kind not in "fiu":
            raise ValueError(x.dtype)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of real numbers; got {error}") from None
    return x.astype(np.float64)
