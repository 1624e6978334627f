r"""Linear maps: of a feature's channels (irrep by irrep), the same chosen by species, and a multilayer perceptron.

By Schur's lemma a linear map between features commutes with all rotations exactly if it mixes channels of the same
irrep and leaves components alone:  y = h W,  D (h W) = (D h) W.  Its pullback is read off from
<dy, dh W + h dW>:   dh = dy W^T,   dW = h^T dy, summed over nodes and components.
A bias is possible on invariant scalars (0e) only: a constant vector would point somewhere.
"""

import numpy as np

from se3ref.nn.ops import outer_sum, silu, times
from se3ref.nn.params import normal


def init_linear(rng, channels_in, channels_out, species=None):
    """Weights {name of irrep: (c,d)}, or (species,c,d) for so many species; channels are {Irrep: channels}.

    Irreps on one side only get none.
    """
    each = () if species is None else (species,)
    return {str(irrep): normal(rng, *each, channels_in[irrep], d) for irrep, d in channels_out.items()
            if irrep in channels_in}


def linear_map(params, h):
    """y[irrep] = h[irrep] @ W[irrep]; irreps without weights are not passed on.

    h: {Irrep: (n,2l+1,c)} -> {Irrep: (n,2l+1,d)}; pull(dy) -> dparams, dh.
    """
    used = {irrep: x for irrep, x in h.items() if str(irrep) in params}

    def pull(dy):
        dW = {str(irrep): outer_sum(x, dy[irrep]) for irrep, x in used.items()}
        return dW, {irrep: times(dy[irrep], params[str(irrep)].T) for irrep in used}
    return {irrep: times(x, params[str(irrep)]) for irrep, x in used.items()}, pull


def linear_map_by_species(params, h, rows):
    """y_i = h_i @ W[species of i]; rows: for each species, the indices of its atoms.

    h: {Irrep: (n,2l+1,c)} -> {Irrep: (n,2l+1,d)}; pull(dy) -> dparams, dh.
    """
    used = {irrep: x for irrep, x in h.items() if str(irrep) in params}

    def each(x, W):
        y = np.empty((*x.shape[:2], W.shape[-1]), np.result_type(x, W), like=x)
        for k, own in enumerate(rows):
            if len(own):
                y[own] = times(x[own], W[k])
        return y

    def pull(dy):
        dW, dh = {}, {}
        for irrep, x in used.items():
            W = params[str(irrep)]
            dh[irrep] = each(dy[irrep], W.swapaxes(1, 2))
            dW[str(irrep)] = np.stack([outer_sum(x[own], dy[irrep][own]) for own in rows])
        return dW, dh
    return {irrep: each(x, params[str(irrep)]) for irrep, x in used.items()}, pull


def init_mlp(rng, sizes):
    """Weights {"0": (sizes[0], sizes[1]), ...}.  They grow by 1.7 behind an activation, which shrinks by as much."""
    return {str(k): normal(rng, a, b) * (1.7 if k else 1.0)
            for k, (a, b) in enumerate(zip(sizes[:-1], sizes[1:], strict=True))}


def mlp(params, x):
    """A perceptron x -> silu(x W0) W1 ..., no bias, so that mlp(0) = 0: (e,a) -> (e,b).

    Where its input carries the cutoff envelope, its output goes to zero at the cutoff as smoothly.
    pull(dy) -> dparams, dx.
    """
    pulls = []
    for k in range(len(params)):
        y, pull_layer = _dense(params[str(k)], x, activate=k < len(params) - 1)
        pulls.append(pull_layer)
        x = y

    def pull(dy):
        dparams = {}
        for k in reversed(range(len(pulls))):
            dparams[str(k)], dy = pulls[k](dy)
        return dparams, dy
    return x, pull


def _dense(W, x, activate):
    a = x @ W
    y, pull_silu = silu(a) if activate else (a, lambda dy: dy)

    def pull(dy):
        da = pull_silu(dy)
        return x.T @ da, da @ W.T
    return y, pull
