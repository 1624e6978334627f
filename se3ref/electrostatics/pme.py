r"""Smooth particle-mesh Ewald: the waves of Ewald's sum on a mesh, for a cost of about N log N.

exp(i k.r) is interpolated from the points of a mesh, K_d of them along lattice vector d.  With u = K s for the
fractional coordinate s of a particle, and M_p the cardinal B-spline of order p (`splines`), in each direction

    exp(2 pi i n u/K)  ~  b(n) sum_l M_p(u - l) exp(2 pi i n l/K),     b(n) = 1/sum_l M_p(l) exp(2 pi i n l/K)     (1)

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

from se3ref.electrostatics import splines
from se3ref.electrostatics.ewald import (
    EVERYWHERE,
    PAIR,
    added,
    check_accuracy,
    packed,
    pair_reach,
    self_and_background,
    strain_of_waves,
    to_accuracy,
    volume,
    wave_weights,
)
from se3ref.electrostatics.mesh_errors import error_parts, mesh_error, outer, wave_numbers
from se3ref.electrostatics.pairs import COULOMB, checked, pair_sum
from se3ref.systems.neighbors import neighbor_list

ORDERS = (4, 5, 6, 7, 8)
POINT, MESH = 10.0, 50.0            # nanoseconds for a mesh point that a particle touches, and for one of the mesh
CHUNK = 4096                        # particles at once: what they touch stays in a CPU's cache
STEPS = 0.2 * 1.12 ** np.arange(22)                            # alpha h, for the table of errors


@dataclass(frozen=True, eq=False)
class MeshPlan:
    """What is decided before the sum: alpha, 1/angstrom; cutoff, angstrom, and the pairs within it; order: of the
    splines; mesh: (3,) how many points along each lattice vector."""
    alpha: float
    cutoff: float
    edges: tuple
    order: int
    mesh: tuple


def pme_sum(positions, charges, cell, accuracy=1e-5, order=None, coulomb=COULOMB):
    """Electrostatics of point charges (n,) at positions (n,3) in a cell (3,3), by smooth particle-mesh Ewald.

    accuracy: as for `ewald_sum`, 1e-9 to 0.1; order: of the splines, 4 to 8, by default the cheapest.  The forces are
    an exact gradient, but for rounding; their sum is not zero, but of the size of their error: a mesh has an origin.
    Returns `Electrostatics`.  ValueError for bad positions, cells, charges or accuracies, and without a cell.
    """
    if cell is None:
        raise ValueError("a mesh needs a cell that repeats in three directions; got none: for an isolated system, "
                         "ewald_sum(positions, charges)")
    positions, charges, cell, _ = checked(positions, charges, cell, None)
    check_accuracy(accuracy, 1e-9)
    if order is not None and order not in ORDERS:
        raise ValueError(f"splines have the order 4 to 8; got {order!r}")

    def evaluate(error):
        return mesh_sum(plan_for(positions, charges, cell, error, order), positions, charges, cell)
    return packed(*to_accuracy(evaluate, charges, cell, accuracy), charges, cell, coulomb)


# --- the plan -------------------------------------------------------------------------------------------------

def plan_for(positions, charges, cell, error, order=None):
    """The cheapest MeshPlan that keeps the errors of pairs and mesh at error/sqrt(2), in e^2/angstrom^2."""
    V, N, q2, q4 = float(volume(cell)), len(charges), float((charges**2).sum()), float((charges**4).sum())
    if q2 == 0:
        return MeshPlan(1.0, 1.0, neighbor_list(positions, cell, EVERYWHERE, 1.0), 4, (8, 8, 8))
    share, options = error / math.sqrt(2), []
    for alpha, p in itertools.product(0.15 * 1.08 ** np.arange(36), ORDERS if order is None else (order,)):
        cutoff, h = pair_reach(alpha, share, q2, N, V), _spacing(alpha, p, share, q2, q4, N, V)
        cost = PAIR * N * (4 * math.pi / 3 * cutoff**3 * N / V + 1) + 2 * POINT * N * p**3 + MESH * V / h**3
        options.append((cost, float(alpha), cutoff, p, h))
    _, alpha, cutoff, p, h = min(options)
    mesh = _mesh(cell, h, p)
    while mesh_error(cell, mesh, p, alpha, q2, q4, N) > share:                 # a skewed mesh has nearer aliases
        h *= 0.93
        mesh = _mesh(cell, h, p)
    return MeshPlan(alpha, cutoff, neighbor_list(positions, cell, EVERYWHERE, cutoff), p, mesh)


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
    return tuple(mesh)


def _spacing(alpha, order, error, q2, q4, N, V):
    """The h of a cubic mesh with the error of `mesh_errors`, from the table of its two parts in powers of alpha."""
    x, y = _table(order)
    errors = np.log(np.sqrt(q2**2 / N * alpha / V * x + q4 / N * alpha**4 * y))
    steps = np.log(STEPS)
    below = min(math.log(error) - errors[0], 0.0) * (steps[1] - steps[0]) / (errors[1] - errors[0])    # a power law
    return math.exp(np.interp(math.log(error), errors, steps) + below) / alpha


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

def mesh_sum(plan, positions, charges, cell):
    """phi = dE/dq (n,), dE/dr (n,3) and dE/dstrain (3,3), coulomb = 1; analytic in positions, charges and cell."""
    return added(pair_sum(positions, charges, cell, plan.edges, plan.alpha, None),
                 mesh_waves(plan, positions, charges, cell),
                 self_and_background(plan.alpha, charges, cell))


def mesh_waves(plan, positions, charges, cell):
    """(2) and (3): phi, dE/dr, dE/dstrain."""
    reciprocal = np.linalg.inv(cell)
    touched = _Touched(plan, positions @ reciprocal)
    Q = touched.spread(charges)
    k, w, slope = _mesh_waves(plan, reciprocal, volume(cell))
    Phi, power = _potential(Q, w, plan.mesh)
    phi, gradient = touched.read(Phi)
    dr = charges[:, None] * ((gradient * np.array(plan.mesh, like=phi)) @ reciprocal.T)
    return phi, dr, strain_of_waves(power, k, slope)


def _mesh_waves(plan, reciprocal, V):
    """k (K1,K2,K3/2+1,3), w_k |b_k|^2, and the bracket of Ewald's (2) without its 1."""
    n = wave_numbers(plan.mesh)
    grid = np.stack(np.meshgrid(*n, indexing="ij"), -1)
    k = 2 * math.pi * (grid.reshape(-1, 3) @ reciprocal.T).reshape(grid.shape)
    w, slope = wave_weights((k * k).sum(-1), V, plan.alpha)
    return k, w * outer(*(splines.damping(n[d], plan.mesh[d], plan.order) for d in range(3))), slope


def _potential(Q, w, mesh):
    """Phi of (3), and the energies of all waves of the half that is kept, those of the other half added.

    Transforms of real and imaginary parts, to first order in the imaginary ones (the complex step).
    """
    points, last = math.prod(mesh), mesh[2] // 2 + 1
    twice = np.full(last, 2.0)
    twice[0] = 1
    if mesh[2] % 2 == 0:
        twice[-1] = 1
    F = fft.rfftn(Q.real)
    Phi, square = points * fft.irfftn(w.real * F, s=mesh), F.real**2 + F.imag**2
    if Q.dtype.kind == "c" or w.dtype.kind == "c":
        H = fft.rfftn(Q.imag)
        Phi = Phi + 1j * points * fft.irfftn(w.real * H + w.imag * F, s=mesh)
        square = square + 2j * (F.real * H.real + F.imag * H.imag)
    return Phi, 0.5 * w * square * twice


class _Touched:
    """The mesh points that every particle touches, and with what weight; the mesh is padded, so that none wraps."""

    def __init__(self, plan, s):
        mesh, p = np.array(plan.mesh), plan.order
        s = s - np.floor(s.real)
        u = np.where(s.real < 1, s, 0 * s) * mesh              # -1e-17 has been rounded up to 1
        base = np.floor(u.real).astype(int)
        self.order, self.mesh, self.padded = p, plan.mesh, tuple(mesh + p - 1)
        self.splines = [splines.weights(u[:, d] - base[:, d], p) for d in range(3)]
        self.base = np.ravel_multi_index(tuple(base.T), self.padded)
        self.steps = np.ravel_multi_index(np.indices((p, p, p)), self.padded).ravel()

    def chunks(self):
        """Slices of particles, and the mesh points that they touch (b,p^3)."""
        for start in range(0, len(self.base), CHUNK):
            part = slice(start, start + CHUNK)
            yield part, self.base[part, None] + self.steps

    def spread(self, q):
        """Q (K1,K2,K3) of (2)."""
        (x, _), (y, _), (z, _) = self.splines
        Q = np.zeros(math.prod(self.padded), np.result_type(q, x))
        for part, points in self.chunks():
            xy = (q[part, None, None] * x[part, :, None]) * y[part, None]
            np.add.at(Q, points.ravel(), (xy[..., None] * z[part, None, None]).ravel())
        return self._folded(Q.reshape(self.padded))

    def _folded(self, Q):
        """The padding added where it belongs, behind the end of each axis."""
        width = self.order - 1
        for axis in range(3):
            Q = np.moveaxis(Q, axis, 0)
            core = Q[width:].copy()
            core[len(core) - width:] += Q[:width]
            Q = np.moveaxis(core, 0, axis)
        return Q

    def read(self, Phi):
        """Phi (K1,K2,K3) at the particles (n,), and its derivatives to u (n,3)."""
        width, n, p = self.order - 1, len(self.base), self.order
        Phi = np.pad(Phi, [(width, 0)] * 3, mode="wrap").ravel()
        (x, dx), (y, dy), (z, dz) = self.splines
        phi, gradient = np.empty(n, Phi.dtype), np.empty((n, 3), Phi.dtype)
        for part, points in self.chunks():
            along = Phi[points].reshape(-1, p * p, p) @ np.stack([z[part], dz[part]], axis=2)      # (b,p p,2)
            along = along.reshape(-1, p, p, 2)
            f, fz = (along * y[part, None, :, None]).sum(2).transpose(2, 0, 1)                     # (b,p) each
            fy = (along[..., 0] * dy[part, None]).sum(2)
            phi[part] = (f * x[part]).sum(1)
            gradient[part] = np.stack([(f * dx[part]).sum(1), (fy * x[part]).sum(1), (fz * x[part]).sum(1)], axis=1)
        return phi, gradient
