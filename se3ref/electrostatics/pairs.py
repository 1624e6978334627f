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

from se3ref.backend import erfc, pieces
from se3ref.systems import Structure
from se3ref.systems.neighbors import edge_vectors, lengths

COULOMB = 14.399645478425668        # eV angstrom/e^2: e^2/(4 pi epsilon_0), CODATA 2018
SQRT_PI = math.sqrt(math.pi)


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


def pair_sum(positions, charges, cell, edges, alpha, widths):
    """Equation (1) over directed edges (i, j, shifts): potential (n,), forces (n,3), dE/dstrain (3,3); coulomb = 1.

    Analytic in positions, charges and cell.
    """
    phi = np.zeros(len(charges), np.result_type(positions, charges), like=positions)
    dr, strain = np.zeros_like(positions, dtype=phi.dtype), 0
    for piece in pieces(len(edges[0]), 8, positions):
        i, j, shifts = (x[piece] for x in edges)
        vec = edge_vectors(positions, i, j, shifts, cell)
        r = lengths(vec)
        g, dg = kernel(r, alpha, widths, i, j)
        pull = (charges[i] * charges[j] * dg / r)[:, None] * vec                     # dE/dvec, both directions
        phi += _sum(i, charges[j] * g, len(phi))
        dr -= _sum(i, pull, len(phi))                                                # vec = r_j - r_i
        strain = strain + 0.5 * (pull.T @ vec)
    return phi, dr, strain


def _sum(i, x, n):
    """x (e,...) summed over the edges of each receiver i, which come sorted: (n,...)."""
    out = np.zeros((n, *x.shape[1:]), x.dtype, like=x)
    first = np.flatnonzero(np.diff(i, prepend=-1))
    if len(first):
        out[i[first]] = np.add.reduceat(x, first, axis=0)
    return out


def plain_sum(positions, charges, widths):
    """Equation (1) over all pairs of an isolated system, coulomb = 1: phi, dE/dr, and no strain; N^2 pairs, a few rows
    at a time."""
    n = len(charges)
    phi, dr = [], []
    for rows in pieces(n, 8 * n, positions):
        i = np.arange(n)[rows]
        i, j = np.repeat(i, n - 1), (i[:, None] + np.arange(1, n)).ravel() % n           # all others
        edges = i, j, np.zeros((len(i), 3), int)
        f, d, _ = pair_sum(positions, charges, np.zeros((3, 3)), edges, 0.0, widths)
        phi.append(f[rows])
        dr.append(d[rows])
    return np.concatenate(phi), np.concatenate(dr), None


def checked(positions, charges, cell, widths):
    """The arguments as arrays of float64; ValueError where they are no charges in a cell."""
    positions = np.asarray(positions, float)
    structure = Structure(np.ones(len(positions), int), positions, cell, cell is not None)
    charges, widths = (None if x is None else np.asarray(x, float) for x in (charges, widths))
    for name, x in (("charges", charges), ("widths", widths)):
        if x is not None and (x.shape != (len(positions),) or not np.isfinite(x).all()):
            raise ValueError(f"{name} must be {len(positions)} finite numbers, one for each position; got an array of "
                             f"shape {x.shape}{'' if np.isfinite(x).all() else ' with NaN or infinity'}")
    if widths is not None and not (widths > 0).all():
        raise ValueError(f"widths of Gaussian charges are above 0, in angstrom; the least is {widths.min()}")
    return structure.positions, charges, structure.cell, widths
