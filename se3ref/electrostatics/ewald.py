r"""Ewald's sum: the electrostatic energy of charges that repeat in a lattice, with forces, potentials and stress.

The sum of q_i q_j/r over all images converges too slowly to be summed, and its value depends on the order of terms.
Ewald surrounds every charge with a Gaussian cloud of the opposite charge, of width 1/(sqrt(2) alpha).  Charge and
cloud together are seen from nearby only, erfc(alpha r)/r (`pairs`), and the clouds, taken away again, are smooth:
their Fourier series ends soon.  With reciprocal vectors k, volume V, total charge Q (coulomb = 1):

    E = 1/2 sum' q_i q_j erfc(alpha r)/r                                        pairs, images included
      + 1/2 sum_{k != 0} w_k |S_k|^2,   S_k = sum_j q_j exp(i k.r_j),   w_k = 4 pi/(V k^2) exp(-k^2/(4 alpha^2))
      - alpha/sqrt(pi) sum q_i^2                                                each charge in its own cloud
      - pi Q^2/(2 V alpha^2) + 2 pi Q/V sum q_i s_i^2                           a background neutralises Q           (1)

(s_i: widths of Gaussian charges; the mean of their potential over the cell is 0, like that of the waves.)  No term
k = 0 means: no field at infinity, as inside a conductor ("tin foil").  Every term is quadratic in q, so that
E = 1/2 sum q_i phi_i with phi = dE/dq.  Under a strain S_k does not change, k^2 and V do:

    dE_k/dstrain = 1/2 w_k |S_k|^2 (2 (1/k^2 + 1/(4 alpha^2)) k (x) k - 1)                                        (2)

**The accuracy.**  For charges at random places the neglected terms add up like noise to root-mean-square errors of the
forces (Kolafa and Perram, Molecular Simulation 9 (1992) 351, eq. 18 and 32), with q2 = sum q^2,

    from pairs beyond r_c:    2 q2 / sqrt(N r_c V) exp(-alpha^2 r_c^2)
    from waves beyond k_c:    q2 alpha sqrt(8/(k_c N V)) exp(-k_c^2/(4 alpha^2))                                  (3)

so the accuracy gives r_c and k_c for every alpha, and alpha is the one that costs least.

The structure factors of all k = 2 pi (n1 b1 + n2 b2 + n3 b3) are matrix products: exp(i k.r) is a product of three
factors, so S[n1 n2, n3] = sum_j (q_j e1 e2)[j, n1 n2] e3[j, n3], in cosines and sines.

Source: Ewald, Ann. Phys. 369 (1921) 253; for the background, Hummer, Pratt, Garcia, J. Phys. Chem. 100 (1996) 1206.
"""

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np

from se3ref.backend import pieces, real_dtype
from se3ref.electrostatics.pairs import (
    COULOMB,
    SQRT_PI,
    Electrostatics,
    checked,
    pair_sum,
    pairs_within,
    plain_sum,
)
from se3ref.so3.rotations import determinant
from se3ref.systems.neighbors import edge_vectors, lengths, neighbor_list

PAIR, WAVE = 55.0, 3.0              # nanoseconds for a neighbour, and for an atom and a wave: what decides alpha


@dataclass(frozen=True, eq=False)
class Plan:
    """What is decided before the sum, on real numbers.

    alpha: 1/angstrom;  cutoff: r_c, angstrom;  k_cutoff: k_c, 1/angstrom;  edges: the pairs within r_c, as
    `pairs_within` gives them;  indices: (3,) int, the largest n1, n2, n3 within k_c.
    """
    alpha: float
    cutoff: float
    k_cutoff: float
    edges: tuple
    indices: tuple


def ewald_sum(positions, charges, cell=None, accuracy=1e-8, widths=None, slab=None, coulomb=COULOMB):
    """Electrostatics of charges (n,) at positions (n,3) in a cell (3,3), or of an isolated system (cell None).

    accuracy: the root-mean-square error of the forces, relative to the root mean square of the forces, or to
    1e-3 coulomb <q^2>/(V/N)^(2/3) if that is more (in a perfect crystal all forces vanish); 1e-14 to 0.1.  Kept where
    charges are spread over the cell, as (3) supposes: droplets of one sign in large empty boxes miss it up to 23-fold.
    widths: (n,) angstrom, of Gaussian charges; None: points.  The energy of a charge with itself is left out.  Pairs
    are summed as far as the widest reach: widths are small beside the cell.
    slab: 0, 1 or 2, the lattice vector across a slab that repeats in the other two: the forces between its images
    across are taken out.  coulomb: e^2/(4 pi epsilon_0) in the units wanted, by default eV angstrom/e^2.

    Returns `Electrostatics`.  ValueError for bad positions, cells, charges, widths or accuracies.
    """
    positions, charges, cell, widths = checked(positions, charges, cell, widths)
    check_accuracy(accuracy, 1e-14)
    if slab is not None and (isinstance(slab, bool) or not isinstance(slab, int) or slab not in (0, 1, 2)
                             or cell is None):
        raise ValueError(f"slab is 0, 1 or 2, the lattice vector across a slab in a cell, or None; got {slab!r}")
    if cell is None:
        return packed(*plain_sum(positions, charges, widths), charges, None, coulomb)

    def evaluate(error):
        found = lattice_sum(plan_for(positions, charges, cell, error, widths), positions, charges, cell, widths)
        return found if slab is None else added(found, slab_term(positions, charges, cell, slab))
    return packed(*to_accuracy(evaluate, charges, cell, accuracy, room=0.2), charges, cell, coulomb)


def check_accuracy(accuracy, least):
    """ValueError for an accuracy that is out of reach, or none."""
    if isinstance(accuracy, bool) or not (isinstance(accuracy, Real) and least <= accuracy <= 0.1):
        raise ValueError(f"accuracy is a relative error of the forces, between {least:g} and 0.1; got {accuracy!r}")


def to_accuracy(evaluate, charges, cell, accuracy, room):
    """evaluate(error) with the error that the accuracy promises, whose scale is the forces themselves.

    A coarse sum tells their size; where they are small beside its own error, a finer one.  room: the share of the
    accuracy that is planned for; the rest is for the scale, for chance in (3), and for stress, which weighs waves more.
    """
    accuracy = float(accuracy)
    typical = (charges @ charges) / len(charges) / (volume(cell) / len(charges)) ** (2 / 3)
    error = 0.1 * typical
    while True:
        found = evaluate(error)
        scale = max(math.sqrt((found[1] ** 2).sum() / len(charges)), 1e-3 * typical)
        if error <= accuracy * scale:
            return found
        wanted = room * accuracy * scale
        error = wanted if scale >= 2 * error else max(wanted, error / 20)           # they add up as squares


def packed(phi, dr, strain, charges, cell, coulomb):
    """`Electrostatics` of sums with coulomb = 1; E = 1/2 sum q phi.  ValueError for a coulomb that is no number."""
    if not (isinstance(coulomb, Real) and math.isfinite(coulomb)):
        raise ValueError(f"coulomb is a finite number, by default {COULOMB:.6f} eV angstrom/e^2; got {coulomb!r}")
    stress = None if cell is None else coulomb * strain / volume(cell)
    return Electrostatics(float(0.5 * coulomb * (charges @ phi)), -coulomb * dr, coulomb * phi, stress)


def volume(cell):
    """|det cell|, analytic: the sign is that of the real part."""
    V = determinant(cell)
    return V if V.real > 0 else -V


# --- the plan -------------------------------------------------------------------------------------------------

def plan_for(positions, charges, cell, error, widths=None):
    """The cheapest Plan that keeps both errors (3) at error/sqrt(2), an absolute force in units of e^2/angstrom^2."""
    V, N, q2 = float(volume(cell)), len(charges), float(charges @ charges)
    if q2 == 0:
        return Plan(1.0, 1.0, 1.0, pairs_within(positions, cell, 1.0), (0, 0, 0))
    sharpest = math.inf if widths is None else 1 / (2 * float(widths.max()))
    guess = SQRT_PI * (N * PAIR / WAVE / V**2) ** (1 / 6)
    options = [_reaches(min(guess * 1.1**k, sharpest), error / math.sqrt(2), q2, N, V) for k in range(-20, 21)]
    alpha, cutoff, k_cutoff = min(options, key=lambda option: _cost(*option, N, V, cell))
    return Plan(alpha, cutoff, k_cutoff, pairs_within(positions, cell, cutoff), _indices(cell, k_cutoff))


def _reaches(alpha, error, q2, N, V):
    """alpha, r_c and k_c with both errors (3) equal to `error`."""
    k_c = 6 * alpha
    for _ in range(8):
        k_c = 2 * alpha * math.sqrt(max(math.log(q2 * alpha * math.sqrt(8 / (k_c * N * V)) / error), 0.5))
    return alpha, pair_reach(alpha, error, q2, N, V), k_c


def pair_reach(alpha, error, q2, N, V):
    """r_c at which the first error (3) is `error`, angstrom."""
    r_c = 3 / alpha
    for _ in range(8):                                         # the logarithm hardly depends on what it is to give
        r_c = math.sqrt(max(math.log(2 * q2 / math.sqrt(N * r_c * V) / error), 0.5)) / alpha
    return r_c


def _cost(alpha, cutoff, k_cutoff, N, V, cell):
    waves = math.prod(2 * n + 1 for n in _indices(cell, k_cutoff)) / 2
    return PAIR * N * (4 * math.pi / 3 * cutoff**3 * N / V + 1) + WAVE * N * waves


def _indices(cell, k_cutoff):
    """The largest n1, n2, n3 with |k| <= k_c: n_a = k.a/(2 pi) <= k_c |a|/(2 pi)."""
    return tuple(int(k_cutoff * math.sqrt(a @ a) / (2 * math.pi)) for a in np.asarray(cell.real))


# --- the sum --------------------------------------------------------------------------------------------------

def lattice_sum(plan, positions, charges, cell, widths=None):
    """phi = dE/dq (n,), dE/dr (n,3) and dE/dstrain (3,3) of equation (1), coulomb = 1.

    Analytic in positions, charges and cell: the plan stays.
    """
    return added(pair_sum(positions, charges, cell, plan.edges, plan.alpha, widths),
                 waves(plan, positions, charges, cell),
                 self_and_background(plan.alpha, charges, cell, widths))


def added(*parts):
    """phi, dE/dr and dE/dstrain of several terms, term by term."""
    return tuple(sum(each) for each in zip(*parts, strict=True))


def self_and_background(alpha, charges, cell, widths=None):
    """The last two terms of (1): phi, no force, dE/dstrain, since V grows by tr strain."""
    Q, V = charges.sum(), volume(cell)
    phi = -(2 * alpha / SQRT_PI) * charges - math.pi * Q / (V * alpha**2)
    strain = 0.5 * math.pi * Q * Q / (V * alpha**2)
    if widths is not None:
        s2 = widths * widths
        phi = phi + (2 * math.pi / V) * (Q * s2 + charges @ s2)
        strain = strain - (2 * math.pi / V) * Q * (charges @ s2)
    return phi, 0.0, strain * np.eye(3, dtype=real_dtype(charges.dtype), like=charges)


def waves(plan, positions, charges, cell):
    """The second term of (1): phi, dE/dr, dE/dstrain."""
    reciprocal = np.linalg.inv(cell)                           # columns b_i: a_i.b_j = delta_ij
    k, w, slope = _waves_within(plan, reciprocal, volume(cell))
    s = positions @ reciprocal
    parts = pieces(len(s), 4 * (plan.indices[0] + 1) * (2 * plan.indices[1] + 1), s)
    S = sum(_structure_factors(s[p], charges[p], plan.indices) for p in parts)           # (2, n1 n2, n3): cos, sin
    phi = np.zeros(len(s), S.dtype, like=s)
    dr = np.zeros((len(s), 3), S.dtype, like=s)
    for p in parts:
        phi[p], dr[p] = _read(s[p], charges[p], w * S, k, plan.indices)
    power = 0.5 * w * (S[0] * S[0] + S[1] * S[1])
    return phi, dr, strain_of_waves(power, k, slope)


def strain_of_waves(power, k, slope):
    """Equation (2), summed over waves k (...,3) of the energies `power`; slope: the bracket without its 1."""
    return (k * (power * slope)[..., None]).reshape(-1, 3).T @ k.reshape(-1, 3) - power.sum() * np.eye(3, like=power)


def _waves_within(plan, reciprocal, V):
    """k (n1 n2, n3, 3), w_k and the bracket of (2) without its 1; half of all n, with n1 >= 0, counted twice."""
    n1, n2, n3 = plan.indices
    grid = np.meshgrid(np.arange(n1 + 1), np.arange(-n2, n2 + 1), np.arange(-n3, n3 + 1), indexing="ij")
    n = np.asarray(np.stack(grid, -1).reshape(-1, 2 * n3 + 1, 3), reciprocal.real.dtype, like=reciprocal)
    k = 2 * math.pi * (n @ reciprocal.T)
    w, slope = wave_weights((k * k).sum(-1), V, plan.alpha, plan.k_cutoff)
    return k, np.where(n[..., 0] > 0, 2.0, 1.0) * w, slope


def wave_weights(k2, V, alpha, k_cutoff=math.inf):
    """w_k of (1), zero for k = 0 and beyond k_cutoff, and 2 (1/k^2 + 1/(4 alpha^2)) of (2)."""
    inside = (k2.real > 0) & (k2.real <= k_cutoff**2)
    k2 = np.where(inside, k2, 1)
    return np.where(inside, (4 * math.pi / V) * np.exp(-k2 / (4 * alpha**2)) / k2, 0), 2 / k2 + 1 / (2 * alpha**2)


def _phases(s, indices):
    """cos and sin of 2 pi n.s: of n1, n2 together (b, n1 n2), and of n3 (b, n3)."""
    def turn(x, n):
        a = (2 * math.pi) * x[:, None] * np.asarray(n, x.real.dtype, like=x)
        return np.cos(a), np.sin(a)
    n1, n2, n3 = indices
    (c1, s1), (c2, s2) = turn(s[:, 0], np.arange(n1 + 1)), turn(s[:, 1], np.arange(-n2, n2 + 1))
    c12 = c1[:, :, None] * c2[:, None] - s1[:, :, None] * s2[:, None]
    s12 = s1[:, :, None] * c2[:, None] + c1[:, :, None] * s2[:, None]
    return c12.reshape(len(s), -1), s12.reshape(len(s), -1), *turn(s[:, 2], np.arange(-n3, n3 + 1))


def _structure_factors(s, q, indices):
    """sum_j q_j cos k.r_j and sum_j q_j sin k.r_j: (2, n1 n2, n3)."""
    c12, s12, c3, s3 = _phases(s, indices)
    qc, qs = (q[:, None] * c12).T, (q[:, None] * s12).T
    return np.stack([qc @ c3 - qs @ s3, qs @ c3 + qc @ s3])


def _read(s, q, g, k, indices):
    """phi_j = sum_k g . (cos, sin) k.r_j, and q_j times its gradient, for g = w S."""
    c12, s12, c3, s3 = _phases(s, indices)

    def at_atoms(gc, gs):
        return (c12 * (c3 @ gc.T + s3 @ gs.T) + s12 * (c3 @ gs.T - s3 @ gc.T)).sum(1)
    gradient = [at_atoms(g[1] * k[..., a], -g[0] * k[..., a]) for a in range(3)]
    return at_atoms(g[0], g[1]), q[:, None] * np.stack(gradient, axis=1)


def slab_term(positions, charges, cell, axis):
    """What takes the images across a slab out again: E = 2 pi/V (M^2 - Q sum q z^2 - Q^2 h^2/12), z across the slab.

    M = sum q z; h: the height of the cell.  In units of h, z is a strain's constant, so E goes as h^2/V.  Positions
    count as they are given: a slab must not be wrapped across its own surface.
    Source: Yeh and Berkowitz, J. Chem. Phys. 111 (1999) 3155; Ballenegger, Arnold, Cerda, J. Chem. Phys. 131 (2009)
    094107, for charged slabs.  Returns phi, dE/dr, dE/dstrain.
    """
    b = np.linalg.inv(cell)[:, axis]                           # across the other two lattice vectors
    h = 1 / np.sqrt((b * b).sum())
    normal, factor, Q = b * h, 2 * math.pi / volume(cell), charges.sum()
    z = positions @ normal
    M, second = charges @ z, charges @ (z * z)
    phi = factor * (2 * M * z - Q * z * z - second - Q * h * h / 6)
    E = factor * (M * M - Q * second - (Q * h) ** 2 / 12)
    dr = (2 * factor * charges * (M - Q * z))[:, None] * normal
    return phi, dr, E * (2 * normal[:, None] * normal - np.eye(3, like=positions))


def madelung(structure, charges):
    """The Madelung constant M = -E R0/coulomb for each formula unit; R0: the least distance of opposite charges.

    structure: a `Structure` that repeats in three directions; charges (n,), e.  Good to 13 digits.  ValueError where it
    does not repeat, or has charges of one sign only.  Source: Madelung, Phys. Z. 19 (1918) 524.
    """
    charges = np.asarray(charges, float)
    if not structure.pbc.all() or not charges.size or not charges.min() < 0 < charges.max() or (
            charges.sum() ** 2 > 1e-20 * (charges**2).sum()):
        raise ValueError(f"a Madelung constant is that of a neutral crystal of ions; got {structure} with "
                         f"charges {charges.tolist()}")
    E = ewald_sum(structure.positions, charges, structure.cell, accuracy=1e-13, coulomb=1.0).energy
    reach = math.sqrt((structure.cell**2).sum())               # far enough for every ion to meet its counterions
    i, j, shifts = neighbor_list(structure.positions, structure.cell, structure.pbc, reach)
    opposite = charges[i] * charges[j] < 0
    vec = edge_vectors(structure.positions, i[opposite], j[opposite], shifts[opposite], structure.cell)
    counts = np.unique(structure.numbers, return_counts=True)[1]
    return float(-E * lengths(vec).min() / math.gcd(*counts.tolist()))
