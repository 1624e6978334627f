r"""The equivariant convolution: messages from neighbours, coupled with the direction they come from.

Each path (l1, l2, l3) takes features of degree l1 to degree l3 by harmonics of degree l2,

    y_i = sum_j  C . (Y_ij (x) (w_ij * h_j))                                                          (1)
    y_i[m3,c] = sum_j sum_{m2,m1} C[m2,m1,m3] Y_ij[m2] w_ij[c] h_j[m1,c]

with C = `clebsch_gordan(l2, l1, l3)`.  It is equivariant: Y, h and C turn by D, and the weights w, functions of
distance, do not.  The readable form `convolve_by_edges` is equation (1) to the letter.

The fast form.  C does not depend on the edge, so it comes out of the sum over neighbours,

    X_ij = w_ij * h_j      A_i = sum_j Y_ij^T X_ij      y_i = C . A_i                                 (2)

and the sum over the k neighbours of an atom is a matrix product of (2 l2+1, k) by (k, (2 l1+1) c).  Atoms are
grouped in blocks of equal k (`graph.blocks`).  The pullback is read off (2) from right to left:

    dA = C^T dy     dX = Y dA     dY = X dA^T     dw = sum_m dX * h_j     dh_j = w * dX               (3)

and the sum of dh_j over the edges that leave atom j is the sum over the edges that enter it, of the reversed edges:
no scatter anywhere.  Source of (1): Thomas et al., Tensor Field Networks (2018), eq. (3).
"""

import dataclasses
import functools

import numpy as np

from se3ref.backend import constant, real_times
from se3ref.nn.ops import sum_products
from se3ref.so3 import Irrep, clebsch_gordan, degree
from se3ref.so3.irreps import harmonic_irrep


@dataclasses.dataclass(frozen=True, order=True)
class Path:
    """One term of the convolution: features `h` of one irrep, times harmonics of degree l, give irrep `y`."""
    h: Irrep
    l: int
    y: Irrep


@functools.cache
def paths(irreps_h, lmax, irreps_y, group="O(3)"):
    """All paths from irreps_h by harmonics of degree <= lmax to irreps_y (tuples of Irrep), sorted: a tuple of `Path`.

    In O(3) the harmonics of degree l have parity (-1)^l and a path keeps the product of parities; in SO(3) all are
    labelled even.
    """
    found = []
    for h in sorted(irreps_h):
        for l in range(lmax + 1):
            found += [Path(h, l, y) for y in sorted(h * harmonic_irrep(l, group)) if y in irreps_y]
    return tuple(found)


def weight_count(terms, channels):
    """How many radial weights an edge needs: for each path, one for each channel of its input."""
    return sum(channels[path.h] for path in terms)


def output_channels(terms, channels):
    """{Irrep: channels} of the result: all paths that end in one irrep side by side."""
    out = {}
    for path in terms:
        out[path.y] = out.get(path.y, 0) + channels[path.h]
    return out


def convolve_by_edges(terms, w, h, Y, graph):
    """Equation (1), edge by edge: the readable form, and the oracle of `convolve`, whose face it shares."""
    layout, y, dtype = prepared(terms, w, h, Y, graph)
    hj = {irrep: x[graph.senders] for irrep, x in h.items()}
    for path, weights, slot, _ in layout:
        C = _tensor(path, Y)
        message = np.einsum("abm,ea,ec,ebc->emc", C, Y[:, degree(path.l)], w[:, weights], hj[path.h])
        y[path.y][:, :, slot] = graph.sum_edges(message)

    def pull(dy):
        dw, dY = np.empty(w.shape, dtype, like=w), np.zeros(Y.shape, dtype, like=w)
        dhj = {irrep: np.zeros(x.shape, dtype, like=w) for irrep, x in hj.items()}
        for path, weights, slot, _ in layout:
            C, l, x = _tensor(path, Y), degree(path.l), hj[path.h]
            dm = dy[path.y][graph.receivers][:, :, slot]       # a sum hands its cotangent to every term
            dw[:, weights] = np.einsum("abm,ea,ebc,emc->ec", C, Y[:, l], x, dm)
            dY[:, l] += np.einsum("abm,ec,ebc,emc->ea", C, w[:, weights], x, dm)
            dhj[path.h] += np.einsum("abm,ea,ec,emc->ebc", C, Y[:, l], w[:, weights], dm)
        return dw, {irrep: graph.sum_leaving(dx) for irrep, dx in dhj.items()}, dY
    return y, pull


def convolve(terms, w, h, Y, graph):
    """y_i = sum over neighbours j of C . (Y_ij (x) (w_ij * h_j)), for every path of `terms`, by (2) and (3).

    w (e, weight_count): radial weights, path by path; h {Irrep: (n,2l+1,c)}; Y (e,(lmax+1)^2): harmonics of the
    edges.  Returns y {Irrep: (n,2l+1,channels)}, the paths into one irrep side by side, and pull(dy) -> dw, dh, dY.
    Law: y turns by D where h and Y do.
    """
    layout, y, dtype = prepared(terms, w, h, Y, graph)
    for block in graph.blocks:
        wb, Yb, hj = _of_block(block, w, h, Y, graph)
        for path, weights, slot, matrix in layout:
            X = wb[:, None, weights] * hj[path.h]                                        # (b k, 2l1+1, c)
            A = Yb[:, :, degree(path.l)].swapaxes(1, 2) @ X.reshape(len(Yb), block.count, -1)
            A = A.reshape(len(Yb), -1, X.shape[2])                                       # (b, (2l2+1)(2l1+1), c)
            y[path.y][block.nodes, :, slot] = real_times(constant(matrix, Y).T, A)

    def pull(dy):
        dw, dY = np.empty(w.shape, dtype, like=w), np.empty(Y.shape, dtype, like=w)
        dhj = {irrep: np.empty((len(w), *x.shape[1:]), dtype, like=w) for irrep, x in h.items()}
        for block in graph.blocks:
            wb, Yb, hj = _of_block(block, w, h, Y, graph)
            dyb = {irrep: d[block.nodes] for irrep, d in dy.items()}
            dYb, dhb = np.zeros(Yb.shape, dtype, like=w), {ir: np.zeros(x.shape, dtype, like=w) for ir, x in hj.items()}
            for path, weights, slot, matrix in layout:
                l, x, v = degree(path.l), hj[path.h], wb[:, None, weights]
                dA = real_times(constant(matrix, Y), dyb[path.y][:, :, slot])                # (3): dA = C^T dy
                dA = dA.reshape(len(Yb), 2 * path.l + 1, -1)                                 # (b, 2l2+1, (2l1+1) c)
                dX = (Yb[:, :, l] @ dA).reshape(x.shape)                                     # dX = Y dA
                X = (v * x).reshape(len(Yb), block.count, -1)
                dYb[:, :, l] += X @ dA.swapaxes(1, 2)                                        # dY = X dA^T
                dw[block.edges, weights] = sum_products(dX, x)                               # dw = sum_m dX * h_j
                dhb[path.h] += v * dX                                                        # dh_j = w * dX
            dY[block.edges] = dYb.reshape(-1, Y.shape[1])
            for irrep, x in dhb.items():
                dhj[irrep][block.edges] = x
        return dw, {irrep: graph.sum_leaving(dx) for irrep, dx in dhj.items()}, dY
    return y, pull


def _of_block(block, w, h, Y, graph):
    """What the edges of a block need: their weights, their harmonics (b,k,dim), the features of their senders."""
    senders = graph.senders[block.edges]
    return w[block.edges], Y[block.edges].reshape(-1, block.count, Y.shape[1]), {ir: x[senders] for ir, x in h.items()}


def prepared(terms, w, h, Y, graph):
    """For each path (path, its columns in w, its channels in y, C as a matrix); y with zeros; the dtype of all."""
    channels = {irrep: x.shape[2] for irrep, x in h.items()}
    if missing := sorted({path.h for path in terms} - set(h)):
        raise ValueError(f"these paths start from {missing}, which the features {sorted(h)} have not")
    if w.shape[1] != weight_count(terms, channels):
        raise ValueError(f"these paths take {weight_count(terms, channels)} radial weights for each edge; "
                         f"got {w.shape[1]}")
    dtype = np.result_type(w, Y, *h.values())
    y = {irrep: np.zeros((graph.n_atoms, irrep.dim, c), dtype, like=w)
         for irrep, c in output_channels(terms, channels).items()}
    return _layout(terms, tuple(channels.items())), y, dtype


@functools.lru_cache(maxsize=64)
def _layout(terms, channels):
    channels, start, used, layout = dict(channels), 0, {}, []
    for path in terms:
        c, first = channels[path.h], used.get(path.y, 0)
        C = clebsch_gordan(path.l, path.h.l, path.y.l)
        matrix = np.ascontiguousarray(C).reshape(-1, path.y.dim)                # ((2l2+1)(2l1+1), 2l3+1)
        layout.append((path, slice(start, start + c), slice(first, first + c), matrix))
        start, used[path.y] = start + c, first + c
    return layout


def _tensor(path, like):
    """C (2 l2+1, 2 l1+1, 2 l3+1)."""
    return constant(clebsch_gordan(path.l, path.h.l, path.y.l), like)

