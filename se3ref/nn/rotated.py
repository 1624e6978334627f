r"""The convolution with every edge turned to the polar axis, where a path has no sum over components left.

Along the polar axis (y in this library) harmonics are Y_lm = sqrt(2l+1) delta_m0, and C[0, m1, m3] vanishes unless
m3 = m1 (l1+l2+l3 even) or m3 = -m1 (odd).  So let R_e turn vec to the axis, let D = D(R_e), and write the message of
equation (1) of `convolution` in the frame of its edge, where it costs one product for each m:

    x = D h_j       M[+-m] = t_m w * x[m]       y_i = sum_j D^T M       t_m = sqrt(2 l2+1) C[0, m, +-m]      (1)

with |m| <= min(l1, l3).  D^T, t and the sum over the k neighbours are one matrix product.  Its pullback:

    dM = D dy       dw = sum_m t dM * x       dx = t w * dM       dh_j = D^T dx       dD = dx h_j^T + M dy^T   (2)

The direction.  It enters by D alone, and turning it needs no derivative of the entries of D.  Turn vec by a small
omega: R_e becomes S R_e exp(-omega x), with any turn S about the axis, which changes nothing in (1).  In the frame of
the edge, where it is omega' = R_e omega, D becomes exp(-omega' . L) D with the generators L, so

    dLoss = -omega' . tau       tau_k = sum_l <dD, L_k D> = sum_l <dx, L_k x> + <dM, L_k M>                  (3)

the torque on the edge.  Since vec changes by omega x vec, its cotangent is -(R_e^T tau) x vec / r^2, across vec; along
vec nothing changes, the distance is in w.

R_e is fixed up to S, and no choice is smooth on the whole sphere.  Two are enough: one through the polar angles of vec,
and, where vec is near the axis, one that first swaps x and y (`half_turn`).  Both are analytic where they are used, so
a complex step goes through; which of them is used is decided on real parts and changes nothing.

When.  (1) has fewer products than the convolution with its coupling outside the sum, by a factor 1.3 at l = 2 and 1.6
at l = 6, but it has the frames to make.
Source: Passaro and Zitnick, Reducing SO(3) Convolutions to SO(2), ICML 2023.
"""

import functools
import math

import numpy as np

from se3ref.backend import constant, real_times
from se3ref.nn.convolution import _prepare
from se3ref.nn.ops import lengths, sum_products
from se3ref.so3 import angular_momentum, clebsch_gordan
from se3ref.so3.wigner import half_turn


def convolve_rotated(terms, w, h, vec, graph):
    """`convolve` for harmonics of the directions vec (e,3), by (1) to (3): the same y; pull(dy) -> dw, dh, dvec.

    w (e, weight_count): radial weights, path by path; h {Irrep: (n,2l+1,c)}.  dvec is across vec: what depends on
    its length is in w.  No vec may be zero.  Law: convolve(terms, w, h, Y(vec), graph), and the pullback of Y.
    """
    layout, y, dtype = _prepare(terms, w, h, vec, graph)
    inputs = _by_input(layout, w)
    lmax = max((max(path.h.l, path.y.l, 1) for path in terms), default=1)
    frames = [_frames(lmax, vec[block.edges], block.count) for block in graph.blocks]
    for block, D in zip(graph.blocks, frames, strict=True):
        wb, senders = _of_block(block, w, graph)
        for irrep, paths in inputs.items():
            x = _turned(D[irrep.l], h[irrep][senders])
            for path, weights, slot, (columns, rows, t) in paths:
                X = wb[:, None, :, weights] * x[:, columns]                              # M without t, which D carries
                tD = t * D[path.y.l][:, rows]
                y[path.y][block.nodes, :, slot] = _stacked(tD).swapaxes(1, 2) @ _stacked(X)

    def pull(dy):
        dw, dvec = np.empty(w.shape, dtype, like=w), np.empty(vec.shape, dtype, like=w)
        dhj = {irrep: np.zeros((len(w), *x.shape[1:]), dtype, like=w) for irrep, x in h.items()}
        for block, D in zip(graph.blocks, frames, strict=True):
            wb, senders = _of_block(block, w, graph)
            dwb, dD = np.empty(wb.shape, dtype, like=w), [np.zeros(d.shape, dtype, like=w) for d in D]
            dyb, torque = {irrep: d[block.nodes] for irrep, d in dy.items()}, 0
            for irrep, paths in inputs.items():
                x = _turned(D[irrep.l], h[irrep][senders])
                dx = np.zeros(x.shape, dtype, like=w)
                for path, weights, slot, (columns, rows, t) in paths:
                    v, xm, d = wb[:, None, :, weights], x[:, columns], dyb[path.y][:, :, slot]
                    tD = t * D[path.y.l][:, rows]
                    dX = (_stacked(tD) @ d).reshape(xm.shape)
                    dtD = _stacked(v * xm) @ np.ascontiguousarray(d.swapaxes(1, 2), like=d)
                    dD[path.y.l][:, rows] += t * dtD.reshape(tD.shape)
                    dwb[:, :, weights] = sum_products(_joined(dX), _joined(xm)).reshape(v[:, 0].shape)
                    dx[:, columns] += v * dX
                dhj[irrep][block.edges] = _turned_back(D[irrep.l], dx)
                torque = torque + _torque(irrep.l, dx, x)
            dw[block.edges] = dwb.reshape(-1, w.shape[1])
            torque = torque + sum(_torque(l, dD[l], D[l]) for l in range(lmax + 1))
            dvec[block.edges] = _across(torque, D[1], vec[block.edges])
        return dw, {irrep: graph.sum_edges(d[graph.reverse]) for irrep, d in dhj.items()}, dvec
    return y, pull


# --- the frame of an edge -------------------------------------------------------------------------------------

def _frames(lmax, vec, count):
    """D^l(R_e), l = 0..lmax, of the edges of b atoms with `count` neighbours: arrays (b, 2l+1, count, 2l+1).

    With polar angles b and a of vec, R_e = R_Y(-b) R_Z(-a), and D = J D_Z(-b) J D_Z(-a) as in `wigner`.  Near the
    axis, J first: the angles are those of the direction with x and y swapped, which is far from it.
    """
    x, y, z = vec.T / lengths(vec)[0]
    near = y.real * y.real > 0.5
    X, Y, Z = np.where(near, -z, z), np.where(near, y, x), np.where(near, x, y)
    sine = np.sqrt(X * X + Y * Y)
    cos_a, sin_a = _multiples(lmax, X / sine, Y / sine)
    cos_b, sin_b = _multiples(lmax, Z, sine)
    near, D = np.flatnonzero(near), []
    for l in range(lmax + 1):
        middle = slice(lmax - l, lmax + l + 1)
        tilt = real_times(constant(_tilts(l), vec), np.concatenate([cos_b[lmax:lmax+l+1], sin_b[lmax+1:lmax+l+1]]))
        tilt = tilt.reshape(2 * l + 1, 2 * l + 1, -1)
        turn = tilt * cos_a[middle] - tilt[:, ::-1] * sin_a[middle]                      # times D_Z(-a)
        turn[:, :, near] = real_times(constant(half_turn(l), vec), turn[:, :, near])
        turn = turn.reshape(2 * l + 1, 2 * l + 1, -1, count).transpose(2, 0, 3, 1)
        D.append(np.ascontiguousarray(turn, like=turn))
    return D
