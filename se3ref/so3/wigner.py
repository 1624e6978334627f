r"""Wigner-D matrices D^l(R) of the real harmonics, Y_l(R x) = D^l(R) Y_l(x), derived twice.

First derivation: turns about one axis (`wigner_D`, fast).  X, Y, Z = z, x, y as in `harmonics`.  About the polar
axis cos m phi and sin m phi just turn into each other, so D(R_Z(a)) is known.  Every rotation is
R = R_Z(a) R_Y(b) R_Z(c), and R_Y(b) = J R_Z(b) J with the half turn J: X, Y, Z -> -X, Z, Y.  Hence

    D(R) = D_Z(a) J D_Z(b) J D_Z(c),                                                                      (1)

and all that is to be found is one matrix J^l for each degree.  J = R_Z(pi/2) R_Y(pi/2) R_Z(pi/2), so let
M = D(R_Y(pi/2)) on the complex harmonics T_m = N_lm S_lm of `harmonics`.  Its row m = l is binomial: the turn
takes (X + iY)^l to (Z + iY)^l, which is equation (1) of `harmonics` at t = -1, so

    M_{l,k} = sqrt(binom(2l, l+k)) / 2^l.                                                                 (2)

The other rows follow.  R_Y(pi/2) takes Z to X, so M L_Z = L_X M.  L_Z T_k = i k T_k, and L_X = Y d_Z - Z d_Y
applied to equation (1) of `harmonics` is multiplication by (i/2)(l (t + 1/t) + (1/t - t) t d/dt), so that
L_X T_m = -i (b_{m+1} T_{m+1} + b_m T_{m-1}) with b_m = 1/2 sqrt((l+m)(l-m+1)), and row by row downwards

    M_{m-1,k} = -(k M_{m,k} + b_{m+1} M_{m+1,k}) / b_m.                                                   (3)

Second derivation: from the gradient (`wigner_D_by_gradient`, no angles, polynomial in R).  Differentiate
Y_l(R x) = D_l Y_l(x), with d_k Y_l = A_k Y_{l-1}:   sum_j R_jk A_j D_{l-1} = D_l A_k.  Multiply by A_k^T and sum,
using sum_k A_k A_k^T = l (2l+1):

    D_l = 1/(l (2l+1)) sum_jk R_jk A_j D_{l-1} A_k^T.                                                     (4)

The two share nothing but the harmonics.  Sources: (1) Pinchon and Hoggan, J. Phys. A 40 (2007) 1597; (4) is kin to
Ivanic and Ruedenberg, J. Phys. Chem. 100 (1996) 6342 and 102 (1998) 9099, whose table of cases it replaces.
"""

import functools
import math

import numpy as np

from se3ref.backend import constant, pieces
from se3ref.so3.harmonics import check_degree, gradient_matrices
from se3ref.so3.rotations import check_rotation, determinant


def wigner_D(l, R):
    """D^l(R): R (3,3) -> (2l+1, 2l+1); R (n,3,3) -> (n, 2l+1, 2l+1).  Real and orthogonal.

    Laws: Y(R x) = D(R) Y(x), D(R1 R2) = D(R1) D(R2), D(R^T) = D(R)^T, D^1(R) = R.  An improper R has
    D(R) = (-1)^l D(-R), the parity of the harmonics; `Irrep.D` adds the parity label.
    ValueError for l < 0, a matrix that is no rotation, NaN.  By equation (1) above, with a table of 32 l^3 bytes
    that is kept for each degree (4 MB at l = 50).
    """
    l, R = check_degree(l), check_rotation(R)
    batch = R if R.ndim == 3 else R[None]
    sign = np.where(determinant(batch) < 0, -1, 1).astype(batch.dtype)
    proper = batch * sign[:, None, None]
    D = np.empty((len(batch), 2 * l + 1, 2 * l + 1), batch.dtype, like=batch)
    for n in pieces(len(batch), (2 * l + 1) ** 2, batch):
        D[n] = _by_turns(l, proper[n])
    if l % 2:
        D[sign < 0] *= -1
    return D if R.ndim == 3 else D[0]


def _by_turns(l, R):
    """Equation (1) for proper rotations (n,3,3): (n, 2l+1, 2l+1).

    J D_Z(b) J is the same on both sides of the mirror Y -> -Y, so it keeps cosines (m = 0..l) apart from sines.
    Let C and S be these two blocks; D_Z(a) from the left and D_Z(c) from the right mix them.  The n rotations
    stand last while this is worked out: long rows for the processor.
    """
    (ca, sa), (cb, sb), (cc, sc) = (_multiples(l, c, s) for c, s in _zyz_turns(R))         # each (l+1, n)
    blocks = constant(_blocks_about_Y(l), R) @ np.concatenate([cb, sb])
    C, S = blocks.reshape(2, l + 1, l + 1, -1)
    ca, sa = ca[:, None], sa[:, None]
    D = np.empty((2 * l + 1, 2 * l + 1, len(R)), R.dtype, like=R)
    plus, minus = slice(l, None), slice(l, None, -1)           # components +m and -m; m = 0 is written last, as +m
    for columns, Cc, Sc in ((minus, C * -sc, S * cc), (plus, C * cc, S * sc)):
        D[minus, columns] = sa * Cc + ca * Sc
        D[plus, columns] = ca * Cc - sa * Sc
    return np.moveaxis(D, 2, 0)


@functools.cache
def _blocks_about_Y(l):
    """The matrix (2 (l+1)^2, 2l+2) that takes cos(k b), sin(k b), k = 0..l, to the blocks C and S of J D_Z(b) J.

    D_Z(b) is a sum over k of cos(k b) (the identity on the components +k and -k) and sin(k b) (their exchange,
    with a minus where the row is +k).
    """
    J = half_turn(l)
    plus, minus = J[:, l:], J[:, l::-1]                        # columns +k and -k; J = J^T, so these are its rows too
    identity = np.einsum("ak,bk->abk", plus, plus) + np.einsum("ak,bk->abk", minus, minus)
    exchange = np.einsum("ak,bk->abk", minus, plus) - np.einsum("ak,bk->abk", plus, minus)
    identity[:, :, 0] /= 2                                     # +0 and -0 are one component
    turns = np.concatenate([identity, exchange], axis=2)
    C, S = turns[l:, l:], turns[l::-1, l::-1].copy()
    S[0], S[:, 0] = 0, 0                                       # there is no sine of m = 0
    return np.stack([C, S]).reshape(-1, 2 * l + 2)


def _zyz_turns(R):
    """(cos, sin) of a, b, c in R = R_Z(a) R_Y(b) R_Z(c), read off the matrix.

    Column Z of R is (cos a sin b, sin a sin b, cos b).  Where sin b = 0, a is free and taken as 0; c is read off
    R_Z(-a) R, whose row Y is (sin c, cos c, 0), so that it always completes a.
    """
    X, Y, Z = 2, 0, 1
    sin_b = np.sqrt(R[:, X, Z] * R[:, X, Z] + R[:, Y, Z] * R[:, Y, Z])
    pole = sin_b == 0
    safe = np.where(pole, 1, sin_b)
    cos_a, sin_a = np.where(pole, 1, R[:, X, Z] / safe), R[:, Y, Z] / safe
    cos_c = cos_a * R[:, Y, Y] - sin_a * R[:, X, Y]
    sin_c = cos_a * R[:, Y, X] - sin_a * R[:, X, X]
    return [_unit_pair(cos_a, sin_a), _unit_pair(R[:, Z, Z], sin_b), _unit_pair(cos_c, sin_c)]


def _unit_pair(c, s):
    length = np.sqrt(c * c + s * s)
    return c / length, s / length


def _multiples(l, c, s):
    """cos(m a) and sin(m a) for m = 0..l, as (l+1, n), from (cos a, sin a) (n,): powers of cos a + i sin a."""
    cos, sin = np.empty((2, l + 1, len(c)), c.dtype, like=c)
    cos[0], sin[0] = 1, 0
    for m in range(1, l + 1):
        cos[m] = c * cos[m - 1] - s * sin[m - 1]
        sin[m] = c * sin[m - 1] + s * cos[m - 1]
    return cos, sin


@functools.cache
def half_turn(l):
    """J^l = D^l of the half turn X, Y, Z -> -X, Z, Y (in x, y, z: it swaps x and y and flips z); J = J^T, J J = 1.

    From M in real components.  Since T_{-k} = (-1)^k T_k* and M_{m,-k} = (-1)^{l+m} M_{m,k}, the turn about Y
    couples cosines where l+m+k is even and sines where it is odd, each time with 2 M_mk (sqrt 2 less for an index 0).
    """
    M, weight = _quarter_turn(l), np.full(l + 1, math.sqrt(2))
    weight[0] = 1
    D_Y = np.zeros((2 * l + 1, 2 * l + 1))
    m, k = np.indices((l + 1, l + 1))
    side = np.where((l + m + k) % 2, -1, 1)                    # -1: sines, at the components -m, -k
    np.add.at(D_Y, (l + side * m, l + side * k), np.where((side < 0) & (m * k == 0), 0, M * np.outer(weight, weight)))
    cos, sin = np.array([1, 0, -1, 0]), np.array([0, 1, 0, -1])            # at quarter turns, exact
    mu = np.arange(-l, l + 1)
    D_Z = np.diag(cos[mu % 4]) - np.diag(sin[mu % 4])[:, ::-1]
    J = D_Z @ D_Y @ D_Z
    J.flags.writeable = False                                  # it is cached and shared
    return J


def _quarter_turn(l):
    """M_{m,k} for m, k = 0..l by equations (2) and (3), all k at once."""
    k = np.arange(l + 1)
    M = np.zeros((l + 2, l + 1))                               # row l+1 is zero: where (3) starts
    M[l] = [math.sqrt(math.comb(2 * l, l + int(j)) / 4**l) for j in k]
    for m in range(l, 0, -1):
        b, b_up = (math.sqrt((l + q) * (l - q + 1)) / 2 for q in (m, m + 1))
        M[m - 1] = -(k * M[m] + b_up * M[m + 1]) / b
    return M[:l + 1]


def wigner_D_by_gradient(l, R):
    """D^l(R) by equation (4), l steps from D^0 = 1: the independent twin of `wigner_D`, same shapes, same laws.

    A polynomial in the entries of R, so it may be differentiated by complex step; improper rotations need no
    special case.  R is not checked.
    """
    l = check_degree(l)
    D = np.ones((*R.shape[:-2], 1, 1), R.dtype, like=R)
    for degree in range(1, l + 1):
        A = constant(gradient_matrices(degree), R)             # (3, 2l+1, 2l-1)
        right = D[..., None, :, :] @ A.swapaxes(1, 2)          # D_{l-1} A_k^T
        mixed = np.einsum("...jk,...kbc->...jbc", R, right)    # sum_k R_jk
        D = (A @ mixed).sum(-3) / (degree * (2 * degree + 1))  # sum_j A_j
    return D


def angular_momentum(l):
    """L (3, 2l+1, 2l+1): the infinitesimal turns of degree l about x, y, z, D(exp(v . X)) = exp(v . L).

    Real and antisymmetric; [L_x, L_y] = L_z; -(L_x^2 + L_y^2 + L_z^2) = l (l+1).  L of the polar axis (y) takes
    cos m phi to -m sin m phi; J swaps x and y; the third is the commutator.
    """
    l = check_degree(l)
    L_y = -np.diag(np.arange(-l, l + 1.0))[:, ::-1]            # row m, column -m: -m
    L_x = half_turn(l) @ L_y @ half_turn(l)
    return np.stack([L_x, L_y, L_x @ L_y - L_y @ L_x])
