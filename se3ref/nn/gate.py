r"""Nonlinearities that respect rotations: gates, activations of norms, and an equivariant layer norm.

A function applied to single components is not equivariant: it treats the axes of the laboratory as special.  What
is allowed is any function of invariants, and a product of an invariant with a feature.
"""

import numpy as np

from se3ref.nn.ops import norms, sigmoid, silu, tanh
from se3ref.so3 import Irrep

SCALAR, PSEUDOSCALAR = Irrep(0, 1), Irrep(0, -1)


def gate_channels(channels):
    """The channels {Irrep: c} that `gated` needs in order to give `channels`: one more 0e for each gated channel."""
    scalars = channels.get(SCALAR, 0) + sum(c for irrep, c in channels.items() if irrep.l > 0)
    return {**channels, SCALAR: scalars} if scalars else dict(channels)


def _sigmoid(x):
    s = sigmoid(x)
    return s, lambda ds: ds * s * (1 - s)


OPENINGS = {"sigmoid": _sigmoid, "silu": silu}


def gated(h, opening="sigmoid"):
    """Scalars through silu, pseudoscalars through tanh, the rest times a sigmoid (or opening="silu") of extra scalars.

    h: {Irrep: (n,2l+1,c)} with the channels of `gate_channels`; the last 0e channels are the gates, in the order of
    the sorted irreps.  tanh is odd, so that a pseudoscalar still turns its sign in a mirror.
    Source: Weiler et al., 3D Steerable CNNs, NeurIPS 2018, section 4.3.
    """
    rest = {irrep: x for irrep, x in h.items() if irrep != PSEUDOSCALAR}
    y, pull_rest = _gated(rest, OPENINGS[opening]) if rest else ({}, lambda dy: {})
    if PSEUDOSCALAR in h:
        y[PSEUDOSCALAR] = tanh(h[PSEUDOSCALAR])

    def pull(dy):
        dh = pull_rest(dy)
        if PSEUDOSCALAR in h:
            dh[PSEUDOSCALAR] = dy[PSEUDOSCALAR] * (1 - y[PSEUDOSCALAR] * y[PSEUDOSCALAR])
        return dh
    return y, pull


def _gated(h, opening):
    tensors = sorted(irrep for irrep in h if irrep.l > 0)
    kept = h[SCALAR].shape[2] - sum(h[irrep].shape[2] for irrep in tensors)
    ends = np.cumsum([0, *(h[irrep].shape[2] for irrep in tensors)]).tolist()    # of their gates
    slots = dict(zip(tensors, map(slice, ends[:-1], ends[1:]), strict=True))
    s, pull_silu = silu(h[SCALAR][:, :, :kept])
    g, pull_g = opening(h[SCALAR][:, :, kept:])                # (n,1,gates)
    y = {SCALAR: s, **{irrep: g[:, :, slots[irrep]] * h[irrep] for irrep in tensors}}

    def pull(dy):
        dg = np.concatenate([(dy[irrep] * h[irrep]).sum(1, keepdims=True) for irrep in tensors]
                            or [g], axis=2)                    # without tensors g is empty
        ds = pull_silu(dy[SCALAR]) if kept else s              # no scalars are left where all are gates
        dh = {SCALAR: np.concatenate([ds, pull_g(dg)], axis=2)}
        for irrep in tensors:
            dh[irrep] = g[:, :, slots[irrep]] * dy[irrep]
        return dh
    return y, pull


def norm_activation(params, h):
    """y = h * silu(|h| + b) / |h|: the length of each channel goes through an activation, its direction stays.

    h: {Irrep: (n,2l+1,c)}; params {name of irrep: b (c,)}; |h| is the smooth norm over components (`norms`).
    pull(dy) -> dparams, dh.   With f = silu(|h| + b)/|h|:   dh = f dy + h (h.dy) f'/|h|   and   f' by the quotient
    rule; db = (h.dy) silu'/|h|.   Source: Thomas et al., Tensor Field Networks (2018), section 4.1.
    """
    y, pulls = {}, {}
    for irrep, x in h.items():
        y[irrep], pulls[irrep] = _norm_activation(params[str(irrep)], x)

    def pull(dy):
        back = {irrep: pulls[irrep](dy[irrep]) for irrep in h}
        return {str(irrep): db for irrep, (db, _) in back.items()}, {irrep: dx for irrep, (_, dx) in back.items()}
    return y, pull


def _norm_activation(b, x):
    norm, pull_norm = norms(x)
    a, pull_silu = silu(norm + b)
    factor = a / norm

    def pull(dy):
        dfactor = (dy * x).sum(1)
        da = pull_silu(dfactor / norm)
        return da.sum(0), factor[:, None] * dy + pull_norm(da - dfactor * factor / norm)
    return factor[:, None] * x, pull


def layer_norm(params, h, eps=1e-3):
    """Each irrep divided by the root mean square of its norms over channels, times a learned scale per channel.

    y = a x / rms,  rms^2 = sum_mc x^2 / c + eps^2;  scalars 0e lose their mean over channels first and have a learned
    offset; anything else can have neither, since a constant tensor would point somewhere.
    params {name: {"scale": (c,)[, "offset": (c,)]}}; pull(dy) -> dparams, dh.
    The derivative of x/rms:   dx = (g - x (g.x) / (c rms^2)) / rms  with  g = a dy.
    Source: Ba, Kiros, Hinton (2016) for scalars; the norm form of Liao and Smidt, Equiformer, ICLR 2023, eq. (3).
    """
    y, pulls = {}, {}
    for irrep, x in h.items():
        y[irrep], pulls[irrep] = _normalized(params[str(irrep)], x, eps)

    def pull(dy):
        back = {irrep: pulls[irrep](dy[irrep]) for irrep in h}
        return {str(irrep): dp for irrep, (dp, _) in back.items()}, {irrep: dx for irrep, (_, dx) in back.items()}
    return y, pull


def init_layer_norm(channels):
    """Scales 1 and, for 0e, offsets 0."""
    return {str(irrep): {"scale": np.ones(c), **({"offset": np.zeros(c)} if irrep == SCALAR else {})}
            for irrep, c in channels.items()}


def _normalized(params, x, eps):
    offset, c = "offset" in params, x.shape[2]
    centred = x - x.mean(2, keepdims=True) if offset else x
    rms = np.sqrt((centred * centred).sum((1, 2), keepdims=True) / c + eps * eps)
    z = centred / rms
    y = params["scale"] * z

    def pull(dy):
        g = params["scale"] * dy
        dx = (g - z * ((g * z).sum((1, 2), keepdims=True) / c)) / rms
        dparams = {"scale": (dy * z).sum((0, 1))}
        if offset:
            dparams["offset"] = dy.sum((0, 1))
            dx = dx - dx.mean(2, keepdims=True)
        return dparams, dx
    return (y + params["offset"] if offset else y), pull
