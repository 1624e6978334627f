r"""The error of forces by particle-mesh Ewald, known from cell, mesh and splines before there is any particle.

What the mesh takes a wave k for has aliases a_s at k_s = k + 2 pi sum_d s_d K_d b_d, s in Z^3, each a product over
directions (`splines.aliases`).  Put into the energy of `pme` and differentiated, the force on j is off by

    -q_j sum_l q_l sum_k w_k Re i ( sum_{s,t} a_s a_t k_s exp(i k_s.r_j - i k_t.r_l) - k exp(i k.(r_j - r_l)) )

Over random places different exponentials average out, and their squares add up.  For l != j and for l = j:

    <dF^2> = (sum q^2)^2/N X + (sum q^4)/N Y
    X = sum_k w_k^2 ( sum_s a_s^2 k_s^2 sum_t a_t^2 + k^2 (1 - 2 a_0^2) )                                          (1)
    Y = sum_d 2 |D_d|^2,   D_d = sum_k w_k sum_s a_(s+d) a_s k_(s+d)       a particle's force on itself, by the mesh

where D_d keeps the nearest aliases, one step along each of the three directions.  There k and -k together have
k_(s+d) - k_s = 2 pi K_d b_d, so that D_d = pi K_d b_d sum_k w_k sum_s a_(s+d) a_s.  (1) is known before any particle.
Source: the way of Ballenegger, Cerda, Holm, J. Chem. Theory Comput. 8 (2012) 936.
"""

import functools
import itertools
import math

import numpy as np
from scipy import fft

from se3ref.electrostatics import splines
from se3ref.electrostatics.ewald import wave_weights

FEW, WIDE = 24, 5.0                 # mesh points, and widths 1/alpha: then the estimates are those of the whole mesh


def mesh_error(cell, mesh, order, alpha, q2, q4, N):
    """The root-mean-square error (1) of the forces by this mesh, e^2/angstrom^2."""
    X, Y = _kept_parts(np.asarray(cell, float).tobytes(), tuple(mesh), order, alpha)
    return math.sqrt(q2**2 / N * X + q4 / N * Y)


@functools.lru_cache(64)
def _kept_parts(cell, mesh, order, alpha):
    """X and Y of (1), from a part of the cell: FEW mesh points along each direction, more if they are below WIDE/alpha.

    In a large cell a sum over k is an integral, V times a number that the mesh alone decides: X, with V^-2 in it, goes
    as 1/V, and Y, with V^-1 in D, stays.  Not so for odd orders: the more points, the nearer to n = K/2 are waves that
    their splines lose.
    """
    cell = np.frombuffer(cell).reshape(3, 3)
    few = mesh
    if order % 2 == 0:
        wide = WIDE / alpha * np.array(mesh) / np.sqrt((cell * cell).sum(1))
        few = tuple(min(K, max(FEW, math.ceil(x))) for K, x in zip(mesh, wide, strict=True))
    share = np.array(few) / mesh
    X, Y = error_parts(cell * share[:, None], few, order, alpha)
    return X * share.prod(), Y


def error_parts(cell, mesh, order, alpha):
    """X and Y of (1).

    All sums over aliases are products of sums over one direction, of a^2, a^2 m, a^2 m^2 with m = n + sK (and of
    a_(s+1) a_s); k_s^2 = sum_de G_de m_d m_e with the metric G of 2 pi b_d.
    """
    B = 2 * math.pi * np.linalg.inv(cell)
    G = B.T @ B
    n = wave_numbers(mesh)
    a, m = zip(*(splines.aliases(n[d], mesh[d], order) for d in range(3)), strict=True)
    k2 = squared_lengths(G, n)
    w, _ = wave_weights(k2, 1 / math.sqrt(np.linalg.det(G / (4 * math.pi**2))), alpha)
    both = np.where(n[2] > 0, 2.0, 1.0)                        # of k and -k one is here
    X = (both * w * w * _squares(a, m, G, k2)).sum()
    Y = 0.0
    for d in range(3):
        next_to = [(a[e][:, 1:] * a[e][:, :-1] if e == d else a[e] ** 2).sum(1) for e in range(3)]
        Y += 2 * G[d, d] * (mesh[d] / 2 * (both * w * outer(*next_to)).sum()) ** 2
    return float(X), float(Y)


def _squares(a, m, G, k2):
    """The bracket of X in (1): with a_0^2 = 1 - t and the sums over other aliases A = sum' a^2, K = sum' a^2 k_s^2,

        (a_0^2 k^2 + K)(a_0^2 + A) + k^2 (1 - 2 a_0^2)  =  t^2 k^2 + a_0^2 (k^2 A + K) + K A

    where nothing is subtracted.  a_0 = 1 - (sum of the others) in each direction, since all add up to 1.
    """
    first, rest = [], []                                       # of a^2, a^2 m, a^2 m^2: s = 0, and the others' sum
    for x, y in zip(a, m, strict=True):
        moments = [x * x * y**power for power in range(3)]
        first.append([y[:, y.shape[1] // 2] for y in moments])
        rest.append([np.delete(y, y.shape[1] // 2, axis=1).sum(1) for y in moments])
    short = [np.delete(x, x.shape[1] // 2, axis=1).sum(1) for x in a]          # 1 - a_0 of each direction
    t = _beyond([y * (2 - y) for y in short], [1 - y * (2 - y) for y in short])                # 1 - a_0^2 = t
    A = _beyond([each[0] for each in rest], [each[0] for each in first])
    K = sum(G[d, e] * _beyond(*([parts[f][(f == d) + (f == e)] for f in range(3)] for parts in (rest, first)))
            for d, e in itertools.product(range(3), repeat=2))
    return t * t * k2 + (1 - t) * (k2 * A + K) + K * A


def _beyond(rest, first):
    """prod (first + rest) - prod first over the three directions, with nothing subtracted."""
    (r0, r1, r2), (f0, f1, f2) = rest, first
    return outer(r0, f1 + r1, f2 + r2) + outer(f0, r1, f2 + r2) + outer(f0, f1, r2)


def wave_numbers(mesh):
    """The waves of a real Fourier transform: n1 and n2 of both signs, n3 >= 0."""
    return [fft.fftfreq(mesh[0], 1 / mesh[0]), fft.fftfreq(mesh[1], 1 / mesh[1]), np.arange(mesh[2] // 2 + 1.0)]


def outer(x, y, z):
    """x_i y_j z_k, of arrays for the three directions."""
    return x[:, None, None] * y[:, None] * z


def squared_lengths(G, n):
    """k^2 = sum_de G_de n_d n_e of all waves (K1,K2,K3/2+1)."""
    x, y, z = n[0][:, None], n[1], n[2]
    plane = G[0, 0] * (x * x) + 2 * G[0, 1] * (x * y) + G[1, 1] * (y * y)
    tilt = 2 * (G[0, 2] * x + G[1, 2] * y)
    return plane[..., None] + z * (tilt[..., None] + G[2, 2] * z)
