r"""The convolution in the frame of each edge, turned to the polar axis, where a path keeps only pairs (m, +-m).

Along the polar axis (y in this library) the harmonics are Y_m = sqrt(2l+1) delta_m0, and C[0, m, m3] vanishes unless
m3 = m (l1+l2+l3 even) or m3 = -m (odd).  So let R_ij turn the edge to the axis, D = D(R_ij), and write the sum of
equation (1) of `convolution` with x and M in the frame of the edge, where a path costs one product for each m:

    x = D h_j      M[+-m] = t_m w_ij * x[m]      y_i = sum_j D^T M      t_m = sqrt(2 l2+1) C[0, m, +-m]          (1)

for |m| <= min(l1, l3).  D^T, t and the sum over neighbours are one matrix product, as is each line of the pullback:

    dM = D dy      dw = sum_m t dM * x      dx = t w * dM      dh_j = D^T dx      dD = dx h_j^T + M dy^T          (2)

The direction enters by D alone, and no entry of D needs to be differentiated.  Turn the edge by a small omega: then R
becomes S R exp(-omega x) with some turn S about the axis, which changes nothing in (1).  In the frame of the edge,
where omega is omega' = R omega, D becomes (1 - omega' . L) D with the generators L of rotations, so

    dLoss = -omega' . tau      tau_k = sum_l <dD, L_k D> = <dx, L_k x> - <dM, L_k M>                             (3)

is a torque on the edge.  As vec changes by omega x vec, its cotangent is -(R^T tau) x vec / r^2; it has no part
along vec, since the distance is in w.

R is fixed up to S, and no choice of S is smooth over the whole sphere.  Two suffice: one by the polar angles of the
edge and, where it is near the axis, one that swaps the axes x and y first.  Which of them, is decided on real parts
and makes no difference; each is analytic where it is used, so that complex steps go through.

Cost.  (1) takes min(2 l1+1, 2 l3+1)(2 l3+1) products for an edge, a path and a channel, where `convolve`, with its
coupling outside the sum over k neighbours, takes (2 l1+1)(2 l2+1)(1 + (2 l3+1)/k).  For k = 15 that is 1.3 times
fewer at l <= 2 and 1.7 times at l <= 6, but products are not all: weights multiply features in both, and here there
are frames to make.  Measured beside `convolve` and its harmonics (32 channels, 20 neighbours): 1.2 times its time at
l <= 2, equal at l <= 4, and at l <= 6 0.9 forward, 1.0 with gradients; with fewer channels a tenth more.  What the
literature gains by this form is over a coupling at every edge, and so is what `convolve` gains.
Source: Passaro and Zitnick, Reducing SO(3) Convolutions to SO(2) for Efficient Equivariant GNNs, ICML 2023.
"""

import functools
import math

import numpy as np

from se3ref.backend import constant, real_times
from se3ref.nn.convolution import prepared
from se3ref.nn.ops import lengths, sum_products
from se3ref.so3 import angular_momentum, clebsch_gordan
from se3ref.so3.wigner import half_turn


def convolve_rotated(terms, w, h, vec, graph):
    """The `convolve` of harmonics of the directions vec (e,3), by (1): the same y; pull(dy) -> dw, dh, dvec.

    w (e, weight_count): radial weights, path by path; h {Irrep: (n,2l+1,c)}.  No vec may be zero.
    Law: y and its cotangents equal those of `convolve` after `spherical_harmonics_and_pull`.
    """
    layout, y, dtype = prepared(terms, w, h, vec, graph)
    inputs = _by_input(layout, w)
    lmax = max((max(path.h.l, path.y.l, 1) for path in terms), default=1)
    frames = [_frames(lmax, vec[block.edges], block.count) for block in graph.blocks]
    for block, D in zip(graph.blocks, frames, strict=True):
        wb, senders = _of_block(block, w, graph)
        for irrep, own in inputs.items():
            x = _turned(D[irrep.l], h[irrep][senders])
            for path, weights, slot, (columns, rows, t) in own:
                X = wb[:, None, :, weights] * x[:, columns]                              # (b, m, k, c): M without t
                tD = t * D[path.y.l][:, rows]
                y[path.y][block.nodes, :, slot] = _stacked(tD).swapaxes(1, 2) @ _stacked(X)

    def pull(dy):
        dw, dvec = np.empty(w.shape, dtype, like=w), np.empty(vec.shape, dtype, like=w)
        dhj = {irrep: np.zeros((len(w), *x.shape[1:]), dtype, like=w) for irrep, x in h.items()}
        for block, D in zip(graph.blocks, frames, strict=True):
            wb, senders = _of_block(block, w, graph)
            dwb, dD = np.empty(wb.shape, dtype, like=w), [np.zeros(d.shape, dtype, like=w) for d in D]
            dyb, torque = {irrep: d[block.nodes] for irrep, d in dy.items()}, 0
            for irrep, own in inputs.items():
                x = _turned(D[irrep.l], h[irrep][senders])
                dx = _pull_messages(own, wb, x, D, dyb, dwb, dD)
                dhj[irrep][block.edges] = _turned_back(D[irrep.l], dx)
                torque = torque + _torque(irrep.l, dx, x)
            torque = torque + sum(_torque(l, dD[l], D[l]) for l in range(lmax + 1))
            dw[block.edges] = dwb.reshape(-1, w.shape[1])
            dvec[block.edges] = _across(torque, D[1], vec[block.edges])
        return dw, {irrep: graph.sum_leaving(d) for irrep, d in dhj.items()}, dvec
    return y, pull


def _pull_messages(own, wb, x, D, dyb, dwb, dD):
    """Equation (2) for the paths that start from x (b,2l+1,k,c): returns dx, writes dwb, adds M dy^T to dD."""
    dx = np.zeros(x.shape, dD[0].dtype, like=x)
    for path, weights, slot, (columns, rows, t) in own:
        v, xm, d = wb[:, None, :, weights], x[:, columns], dyb[path.y][:, :, slot]
        tD = t * D[path.y.l][:, rows]
        dX = (_stacked(tD) @ d).reshape(xm.shape)
        dtD = _stacked(v * xm) @ np.ascontiguousarray(d.swapaxes(1, 2), like=d)
        dD[path.y.l][:, rows] += t * dtD.reshape(tD.shape)
        dwb[:, :, weights] = sum_products(_joined(dX), _joined(xm)).reshape(v[:, 0].shape)
        dX *= v
        dx[:, columns] += dX
    return dx


# --- arrays of one block: b atoms with k neighbours each ---------------------------------------------------------

def _of_block(block, w, graph):
    """The weights of the edges of a block (b, k, weight_count), and their senders (b, k)."""
    return w[block.edges].reshape(-1, block.count, w.shape[1]), graph.senders[block.edges].reshape(-1, block.count)


def _turned(D, h):
    """x = D h for each edge: (b, 2l+1, k, 2l+1), (b, k, 2l+1, c) -> (b, 2l+1, k, c).

    Components stand before neighbours: a weight then multiplies long rows, and a range of m is a slice of them.
    """
    return np.ascontiguousarray((D.swapaxes(1, 2) @ h).swapaxes(1, 2), like=D)


def _turned_back(D, x):
    """D^T x for each edge: (b, 2l+1, k, 2l+1), (b, 2l+1, k, c) -> (b k, 2l+1, c)."""
    h = np.moveaxis(D, 1, 3) @ x.swapaxes(1, 2)
    return h.reshape(-1, *h.shape[2:])


def _stacked(x):
    """All components of all neighbours of an atom below one another: (b, m, k, c) -> (b, m k, c)."""
    return x.reshape(len(x), -1, x.shape[3])


def _joined(x):
    """All neighbours and channels in one row: (b, m, k, c) -> (b, m, k c)."""
    return x.reshape(*x.shape[:2], -1)


# --- the coupling along the axis ---------------------------------------------------------------------------------

def _by_input(layout, like):
    """{irrep of h: its paths, each with its columns in w, its channels in y, and `_diagonal`}."""
    inputs = {}
    for path, weights, slot, _ in layout:
        columns, rows, t = _diagonal(path.l, path.h.l, path.y.l)
        inputs.setdefault(path.h, []).append((path, weights, slot, (columns, rows, constant(t, like))))
    return inputs


@functools.cache
def _diagonal(l2, l1, l3):
    """t of equation (1) as (2 mu+1, 1, 1), mu = min(l1, l3), and the slices of x (columns) and of M (rows) it joins."""
    mu = min(l1, l3)
    columns, rows = slice(l1 - mu, l1 + mu + 1), slice(l3 - mu, l3 + mu + 1)
    C = math.sqrt(2 * l2 + 1) * clebsch_gordan(l2, l1, l3)[l2]
    if (l1 + l2 + l3) % 2:                                     # m goes to -m: from the last column to the first
        columns = slice(l1 + mu, l1 - mu - 1 if l1 > mu else None, -1)
    return columns, rows, np.diagonal(C[columns, rows]).copy()[:, None, None]


# --- the frame of an edge ----------------------------------------------------------------------------------------

def _frames(lmax, vec, count):
    """D^l of the turns that bring edges vec (b k, 3) to the polar axis, l = 0..lmax: arrays (b, 2l+1, k, 2l+1).

    D = J D_Z(-b) J D_Z(-a), with the half turn J of `wigner` and the polar angles b, a: the turn by -a brings the edge
    above the Z axis of `wigner`, the one by -b to the pole.  Near the pole D is that of the half-turned edge, times J.
    """
    x, y, z = vec.T / lengths(vec)[0]
    near = y.real * y.real > 0.5
    X, Y, Z = np.where(near, -z, z), np.where(near, y, x), np.where(near, x, y)          # J swaps x and y, z turns -z
    sine, D = np.sqrt(X * X + Y * Y), []
    a, b = _multiples(lmax, X / sine, Y / sine), _multiples(lmax, Z, sine)
    for l in range(lmax + 1):
        J = constant(half_turn(l), vec)
        turn = _times_turn(real_times(J, _times_turn(J[:, :, None], b)), a)              # (2l+1, 2l+1, b k)
        turn = np.where(near, real_times(J, turn), turn)       # J @ acts on the columns: turn J, since J = J^T
        turn = turn.reshape(2 * l + 1, 2 * l + 1, -1, count).transpose(2, 0, 3, 1)
        D.append(np.ascontiguousarray(turn, like=turn))
    return D


def _times_turn(A, angle):
    """A D_Z(-a) for A (2l+1, 2l+1, edges), from the multiples of the angle a of each edge."""
    l, lmax = len(A) // 2, len(angle[0]) // 2
    cos, sin = (f[lmax - l:lmax + l + 1] for f in angle)
    return A * cos - A[:, ::-1] * sin


def _multiples(l, c, s):
    """cos(m a) and sin(m a), m = -l..l, (2l+1, e) each, from (cos a, sin a) (e,): powers of cos a + i sin a."""
    cos, sin = np.empty((2, 2 * l + 1, len(c)), c.dtype, like=c)
    cos[l], sin[l] = 1, 0
    for m in range(l, 2 * l):
        cos[m + 1] = c * cos[m] - s * sin[m]
        sin[m + 1] = c * sin[m] + s * cos[m]
    cos[:l], sin[:l] = cos[:l:-1], -sin[:l:-1]
    return cos, sin


# --- the torque on an edge ---------------------------------------------------------------------------------------

def _torque(l, dx, x):
    """<dx, L_k x> for the two axes k across the edge: (b, 2l+1, k, c) twice -> (b, k, 2)."""
    products = dx.swapaxes(1, 2) @ np.moveaxis(x, 1, 3)        # (b, k, 2l+1, 2l+1)
    return products.reshape(*products.shape[:2], -1) @ constant(_generators_across(l), x)


@functools.cache
def _generators_across(l):
    """L_x and L_z as columns ((2l+1)^2, 2)."""
    return np.ascontiguousarray(angular_momentum(l)[[0, 2]].reshape(2, -1).T)


def _across(torque, R, vec):
    """-(R^T tau) x vec / r^2 (b k, 3), for tau = (tau_x, ., tau_z) in the frame of the edge, where vec is (0, r, 0)."""
    tau_x, tau_z = torque[:, :, :1], torque[:, :, 1:]
    return (tau_z * R[:, 0] - tau_x * R[:, 2]).reshape(-1, 3) / lengths(vec)[0][:, None]
