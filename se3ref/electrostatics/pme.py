r"""Smooth particle-mesh Ewald: the waves of Ewald's sum on a mesh, for a cost of about N log N.

exp(i k.r) is interpolated from the points of a mesh, K_d of them along lattice vector d.  With u = K s for the
fractional coordinate s of a particle, and M_p the cardinal B-spline of order p (`splines`), in each direction

    exp(2 pi i n u/K)  ~  b(n) sum_l M_p(u - l) exp(2 pi i n l/K),     b(n) = 1/sum_l M_p(l) exp(-2 pi i n l/K)    (1)

so that |S_k|^2 = |b_k|^2 |F(Q)|^2, F the discrete Fourier transform and Q the charges spread on the mesh,

    Q[l] = sum_j q_j M_p(u_j1 - l1) M_p(u_j2 - l2) M_p(u_j3 - l3)                                                 (2)
    E_k = 1/2 sum_k w_k |b_k|^2 |F(Q)|^2 = 1/2 sum_l Q[l] Phi[l],      Phi = K1 K2 K3 F^-1(w |b|^2 F(Q))          (3)

Potentials and their gradients read Phi with the same splines and their slopes: they are exact derivatives of (3).

Which mesh keeps the error below what is asked for is known before any particle: `mesh_errors`.
Source: Essmann et al., J. Chem. Phys. 103 (1995) 8577.
"""

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy import fft

from se3ref.backend import irfftn, pieces, real_dtype, rfftn
from se3ref.electrostatics import splines
from se3ref.electrostatics.ewald import (
    PAIR,
    added,
    check_accuracy,
    packed,
    pair_reach,
    self_and_background,
    to_accuracy,
    volume,
    wave_weights,
)
from se3ref.electrostatics.mesh_errors import error_parts, mesh_error, outer, squared_lengths, wave_numbers
from se3ref.electrostatics.pairs import COULOMB, checked, pair_sum, pairs_within
from se3ref.systems.neighbors import short_basis

ORDERS = (4, 5, 6, 7, 8)
EVEN = (4, 6, 8)                    # of these one is chosen: transforms are slow on odd meshes
POINT, MESH = 8.0, 28.0             # nanoseconds for a mesh point that a particle touches, and for one of the mesh
LARGEST = 2e8                       # points of a mesh: 1.6 GB for each array on it
KEPT = 4                            # weights of waves, of so many cells and meshes
STEPS = 0.2 * 1.12 ** np.arange(22)                            # alpha h, for the table of errors


@dataclass(frozen=True, eq=False)
class MeshPlan:
    """What is decided before the sum: alpha, 1/angstrom; cutoff, angstrom, and the pairs within it; order: of the
    splines; mesh: (3,) how many points along each of the short lattice vectors, basis @ cell, basis (3,3) integers:
    along those of a skewed cell a mesh would be fine in one direction and coarse in another."""
    alpha: float
    cutoff: float
    edges: tuple
    order: int
    mesh: tuple
    basis: np.ndarray


def pme_sum(positions, charges, cell, accuracy=1e-5, order=None, coulomb=COULOMB):
    """Electrostatics of point charges (n,) at positions (n,3) in a cell (3,3), by smooth particle-mesh Ewald.

    accuracy: as for `ewald_sum`, 1e-9 to 0.1; order: of the splines, 4 to 8, by default the cheapest.  The forces are
    an exact gradient, but for rounding; their sum is not zero, but of the size of their error: a mesh has an origin.
    What depends on the cell alone is kept for further calls with the same cell.
    Returns `Electrostatics`.  ValueError for bad positions, cells, charges or accuracies, and without a cell.
    """
    if cell is None:
        raise ValueError("a mesh needs a cell that repeats in three directions; got none: for an isolated system, "
                         "ewald_sum(positions, charges)")
    positions, charges, cell, _ = checked(positions, charges, cell, None)
    check_accuracy(accuracy, 1e-9)
    if order is not None and not (isinstance(order, int | np.integer) and order in ORDERS):
        raise ValueError(f"splines have the order 4 to 8; got {order!r}")

    def evaluate(error):
        return mesh_sum(plan_for(positions, charges, cell, error, order), positions, charges, cell)
    return packed(*to_accuracy(evaluate, charges, cell, accuracy, room=0.5), charges, cell, coulomb)


# --- the plan -------------------------------------------------------------------------------------------------

def plan_for(positions, charges, cell, error, order=None, widths=None):
    """The cheapest MeshPlan that keeps the errors of pairs and mesh at error/sqrt(2), in e^2/angstrom^2.

    ValueError where that takes a mesh of more than LARGEST points.
    """
    basis = short_basis(cell)[0]
    V, N, q2, q4 = float(volume(cell)), len(charges), float((charges**2).sum()), float((charges**4).sum())
    if q2 == 0:
        return MeshPlan(1.0, 1.0, pairs_within(positions, cell, 1.0), 4, (8, 8, 8), basis)
    share, orders = error / math.sqrt(2), EVEN if order is None else (order,)
    alphas = _alphas(N, V, widths)
    cutoffs = np.array([pair_reach(alpha, share, q2, N, V) for alpha in alphas])
    steps = np.array([_spacings(alphas, p, share, q2, q4, N, V) for p in orders])              # (orders, alphas)
    best = np.argmin(_cost(cutoffs, np.array(orders)[:, None], steps, N, V))
    row, column = divmod(int(best), len(alphas))
    p, alpha, cutoff, h = orders[row], float(alphas[column]), float(cutoffs[column]), steps[row, column]
    mesh = _mesh(basis @ cell, h, p)
    while mesh_error(basis @ cell, mesh, p, alpha, q2, q4, N) > share:         # a skewed mesh has nearer aliases
        h *= 0.93
        mesh = _mesh(basis @ cell, h, p)
    return MeshPlan(alpha, cutoff, pairs_within(positions, cell, cutoff), p, mesh, basis)


def _alphas(N, V, widths):
    """What alpha is chosen from, to be beside the density; never narrower clouds than those that the charges have."""
    alphas = 0.3 * (N / V) ** (1 / 3) * 1.08 ** np.arange(32)
    if widths is None:
        return alphas
    sharpest = 1 / (2 * float(widths.max()))
    return alphas[alphas < sharpest] if alphas[0] < sharpest else np.array([sharpest])


def _cost(cutoff, order, h, N, V):
    """Nanoseconds of a sum, from its three loops: over pairs, over the points that particles touch, over the mesh."""
    return PAIR * N * (4 * math.pi / 3 * cutoff**3 * N / V) + POINT * N * order**3 + MESH * V / h**3


def _mesh(cell, h, order):
    """Numbers of mesh points, planes no farther apart than h, that a fast Fourier transform likes; odd for splines of
    odd order, whose middle wave vanishes on an even mesh."""
    planes = 1 / np.sqrt((np.linalg.inv(cell) ** 2).sum(0))                    # distances of lattice planes
    mesh = []
    for distance in planes:
        K = fft.next_fast_len(max(math.ceil(distance / h), order), real=True)
        while order % 2 and K % 2 == 0:
            K = fft.next_fast_len(K + 1, real=True)
        mesh.append(K)
    if math.prod(mesh) > LARGEST:
        raise ValueError(f"this accuracy takes a mesh of {' x '.join(map(str, mesh))} points with splines of order "
                         f"{order}: ask for less, for a higher order (by default the cheapest), or take ewald_sum")
    return tuple(mesh)


def _spacings(alphas, order, error, q2, q4, N, V):
    """The h of cubic meshes with the error of `mesh_errors`: a power law between the steps of its table, and beyond."""
    x, y = _table(order)
    a = alphas[:, None]
    errors = np.log(q2**2 / N * a / V * x + q4 / N * a**4 * y) / 2                          # (alphas, steps)
    k = (errors[:, 1:-1] < math.log(error)).sum(1)
    low, high = errors[np.arange(len(k)), k], errors[np.arange(len(k)), k + 1]
    return STEPS[k] * (STEPS[1] / STEPS[0]) ** ((math.log(error) - low) / (high - low)) / alphas


@functools.cache
def _table(order):
    """X V/alpha and Y/alpha^4 of cubic meshes with alpha h = STEPS."""
    found = []
    for step in STEPS:
        K = max(12, 2 * math.ceil(3 / step)) + order % 2
        X, Y = error_parts(K * step * np.eye(3), (K, K, K), order, 1.0)
        found.append((X * (K * step) ** 3, Y))
    return np.array(found).T


# --- the sum --------------------------------------------------------------------------------------------------

def mesh_sum(plan, positions, charges, cell, widths=None):
    """phi = dE/dq (n,), dE/dr (n,3) and dE/dstrain (3,3), coulomb = 1; analytic in positions, charges and cell."""
    short = np.asarray(plan.basis, real_dtype(cell.dtype), like=cell) @ cell
    return added(pair_sum(positions, charges, cell, plan.edges, plan.alpha, widths),
                 mesh_waves(plan, positions, charges, short),
                 self_and_background(plan.alpha, charges, cell, widths))


def mesh_waves(plan, positions, charges, cell):
    """(2) and (3): phi, dE/dr, dE/dstrain; cell: the short lattice vectors."""
    reciprocal = np.linalg.inv(cell)
    w, sloped = _mesh_weights(plan.mesh, plan.order, plan.alpha, cell)
    touched = splines.Touched(positions @ reciprocal, plan.mesh, plan.order)
    Phi, moments = _potential(touched.spread(charges), w, sloped, plan.mesh)
    phi, gradient = touched.read(Phi)
    du = reciprocal * np.array(plan.mesh, real_dtype(cell.dtype), like=cell)               # du/dr
    B = 2 * math.pi * reciprocal                                               # k = B n
    strain = B @ moments @ B.T - 0.5 * (charges @ phi) * np.eye(3, dtype=phi.dtype, like=phi)
    return phi, charges[:, None] * (du @ gradient).T, strain


def _mesh_weights(mesh, order, alpha, cell):
    """w_k |b_k|^2 of (3), and half of it times the bracket of Ewald's (2) without its 1, both (K1,K2,K3/2+1).

    Those of the last real cells are kept."""
    if type(cell) is np.ndarray and cell.dtype == np.float64:
        return _kept_weights(mesh, order, alpha, cell.tobytes())
    return _weights(mesh, order, alpha, cell)


@functools.lru_cache(KEPT)
def _kept_weights(mesh, order, alpha, cell):
    return _weights(mesh, order, alpha, np.frombuffer(cell).reshape(3, 3))


def _weights(mesh, order, alpha, cell):
    def there(x):
        return np.asarray(x, real_dtype(cell.dtype), like=cell)
    B, n = 2 * math.pi * np.linalg.inv(cell), wave_numbers(mesh)
    w, slope = wave_weights(squared_lengths(B.T @ B, [there(x) for x in n]), volume(cell), alpha)
    w = w * outer(*(there(splines.damping(n[d], mesh[d], order)) for d in range(3)))
    both = np.where((n[2] > 0) & (n[2] < mesh[2] / 2), 1.0, 0.5)               # of k and -k one is here
    return w, there(both) * w * slope


def _potential(Q, w, sloped, mesh):
    """Phi of (3), and the moments of the energies of waves: transforms of real parts, and for the complex step of
    imaginary ones to first order."""
    F = rfftn(Q.real)
    if Q.dtype.kind != "c" and w.dtype.kind != "c":
        moments = _moments(F, None, sloped, mesh)
        F *= w
        return irfftn(F, mesh), moments
    H = rfftn(Q.imag)
    moments = _moments(F, H, sloped, mesh)
    return irfftn(w.real * F, mesh) + 1j * irfftn(w.real * H + w.imag * F, mesh), moments


def _moments(F, H, sloped, mesh):
    """sum_n sloped_n |F_n + i H_n|^2 n (x) n (3,3), one axis after the other."""
    powers = [np.asarray(np.stack([n**0, n, n * n]), real_dtype(F.dtype), like=F) for n in wave_numbers(mesh)]
    F, H, sloped = (None if x is None else x.reshape(-1, x.shape[2]) for x in (F, H, sloped))
    rows = []                                                  # sums along the third axis (K1 K2,3)
    for part in pieces(len(F), 4 * F.shape[1], F):
        power = F.real[part] ** 2 + F.imag[part] ** 2
        if H is not None:
            power = power + 2j * (F.real[part] * H.real[part] + F.imag[part] * H.imag[part])
        rows.append((sloped[part] * power) @ powers[2].T)
    rows = powers[1] @ np.concatenate(rows).reshape(mesh[0], mesh[1], 3)
    total = np.tensordot(powers[0], rows, 1)                                   # of n1^a n2^b n3^c (3,3,3)
    return np.stack([total[tuple((f == d) + (f == e) for f in range(3))]
                     for d, e in itertools.product(range(3), repeat=2)]).reshape(3, 3)
