r"""Attention over neighbours: invariant weights from queries and keys, a softmax, and a sum of equivariant values.

An atom i asks with a query q_i, each neighbour answers with a key k_ij and brings a value v_ij; keys and values are
messages of a convolution (`nn.convolution`), each with radial weights w of its own.

    s_ij = <q_i, k_ij>                    k_ij = C . (Y_ij (x) (w_ij * h_j))     the logit                  (1)
    a_ij = u_ij exp(s_ij) / sum_j' u_ij' exp(s_ij')                              the weight, u the envelope (2)
    y_i  = sum_j a_ij v_ij                v_ij = C . (Y_ij (x) (w_ij * h_j))                                (3)

Queries and keys turn by the same D, which is orthogonal, so their inner product, over components, channels and all
irreps, stays: logits are invariant, so are weights, and y turns as the values do.  Heads: channels are divided among
several attentions, each with a softmax of its own.

Neither keys nor values are ever built.  a_ij is one number for all components, so (3) is a convolution with the
weights a_ij w_ij.  And k_ij is linear in its weights, so s_ij = sum_c w_ij[c] g_ij[c], where g_ij is what the
pullback of the convolution gives for w when q is the cotangent.  The pullback of (1) follows without a new
derivative: sum_ij ds_ij <q_i, k_ij> = <q, convolution with ds w> is linear in (ds w), q, h and Y, so

    dq = convolution(ds w, h, Y)          g, dh, dY = its pullback of q          dw = ds g                  (4)

In the softmax all logits of an atom take part: a change of s changes a by  a_ij (ds_ij - sum_j' a_ij' ds_ij').  As a
matrix this is diag(a) - a a^T, which is symmetric, so its pullback is

    ds_ij = a_ij (da_ij - sum_j' a_ij' da_ij')     du_ij = (a_ij / u_ij) (da_ij - sum_j' a_ij' da_ij')      (5)

Smoothness.  With u in the weights only, the last neighbour to leave keeps the weight 1 until it is gone, and y jumps.
So the radial weights of the values must carry an envelope as well: v ~ u.  That is enough even where all neighbours
leave together.  With t the largest (1 - r/cutoff) among them, u ~ t^3, u' ~ t^2, u'' ~ t, and each derivative of a_ij
costs a factor 1/t at most; so y ~ t^3, its first derivatives ~ t^2 and its second ~ t: all vanish with t.

Source: Fuchs et al., SE(3)-Transformers, NeurIPS 2020, section 3.2, for (1) and (3), and (2) without u.
"""

import numpy as np

from se3ref.nn.convolution import convolve


def attention_logits(terms, w, q, h, Y, graph, heads):
    """The logits (1) of every edge and head, (e,heads): invariant.

    terms, w, h, Y: paths, radial weights, features and harmonics of the keys, as for `convolve`; all features have
    the same number of channels, and it is a multiple of heads.  q {Irrep: (n,2l+1,channels)} has the shapes of what
    `convolve` would return.  pull(ds) -> dw, dq, dh, dY.
    """
    _, pull_keys = convolve(terms, w, h, Y, graph)
    g, _, _ = pull_keys(q)

    def pull(ds):
        dq, pull_convolution = convolve(terms, _times_heads(w, ds, terms), h, Y, graph)
        _, dh, dY = pull_convolution(q)
        return _times_heads(g, ds, terms), dq, dh, dY
    return _sum_by_head(w * g, heads, terms), pull


def attention_weights(s, u, graph):
    """The weights (2): s (e,heads), envelope u (e,) -> a (e,heads), which sum to 1 over the neighbours of each atom.

    Invariant to what is added to all logits of an atom: their maximum is subtracted, so that no exp overflows.
    An edge with u = 0 counts as none, and where all are such, all weights are 0.  pull(da) -> ds, du.
    """
    e = np.exp(s - _largest(s.real, graph)[graph.receivers])
    e = np.where(u.real[:, None] > 0, e, 0)                    # where an edge was stretched beyond the cutoff, u < 0
    total = graph.sum_edges(u[:, None] * e)
    slope = e / np.where(total.real > 0, total, 1)[graph.receivers]              # a/u
    a = u[:, None] * slope

    def pull(da):
        centred = da - graph.sum_edges(a * da)[graph.receivers]
        return a * centred, (slope * centred).sum(1)
    return a, pull


def attend(terms, a, w, h, Y, graph):
    """y_i = sum_j a_ij v_ij, equation (3): a (e,heads), the rest as for `convolve`; pull(dy) -> da, dw, dh, dY."""
    y, pull_convolution = convolve(terms, _times_heads(w, a, terms), h, Y, graph)

    def pull(dy):
        daw, dh, dY = pull_convolution(dy)
        return _sum_by_head(daw * w, a.shape[1], terms), _times_heads(daw, a, terms), dh, dY
    return y, pull


def _times_heads(w, a, terms):
    """w (e, paths * channels) times a (e,heads), each head's number on the channels of that head, in all paths."""
    channels = _channels(w, a.shape[1], terms)
    a = np.repeat(a, channels // a.shape[1], axis=1)
    return (w.reshape(len(w), len(terms), channels) * a[:, None]).reshape(w.shape)


def _sum_by_head(w, heads, terms):
    """w (e, paths * channels) summed over the paths and over the channels of each head, (e,heads)."""
    channels = _channels(w, heads, terms)
    return w.reshape(len(w), len(terms), channels).sum(1).reshape(len(w), heads, channels // heads).sum(2)


def _channels(w, heads, terms):
    channels = w.shape[1] // len(terms)
    if channels * len(terms) != w.shape[1] or channels % heads:
        raise ValueError(f"{heads} heads share the channels of features evenly, all features having equally many; "
                         f"got {w.shape[1]} weights for {len(terms)} paths")
    return channels


def _largest(x, graph):
    """The maximum of x (e,heads) over the edges that arrive at each atom, (n,heads)."""
    out = np.zeros((graph.n_atoms, x.shape[1]), x.dtype, like=x)
    for block in graph.blocks:
        out[block.nodes] = x[block.edges].reshape(-1, block.count, x.shape[1]).max(1)
    return out
