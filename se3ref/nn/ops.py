"""Functions of numbers that the layers share: activations, lengths, norms, products with weights.

Each comes with its derivative, and each is analytic, so that the complex step can go through it.
"""

import numpy as np

from se3ref.backend import lift


def _sigmoid(x):
    return 0.5 * np.tanh(0.5 * x) + 0.5                        # no exponential that could overflow


sigmoid = lift(_sigmoid, lambda x: _sigmoid(x) * (1 - _sigmoid(x)))
sigmoid.__doc__ = "1/(1 + exp(-x)); its derivative is s (1-s)."

tanh = lift(np.tanh, lambda x: 1 - np.tanh(x) ** 2)
tanh.__doc__ = "The hyperbolic tangent; its derivative is 1 - t^2."


def silu(x):
    """y = x sigmoid(x), any shape.  dy/dx = s + y (1-s).  Source: Elfwing et al., Neural Networks 107 (2018) 3."""
    s = sigmoid(x)
    y = x * s

    def pull(dy):
        return dy * (s + y * (1 - s))
    return y, pull


def lengths(vec):
    """r = |vec| (e,3) -> (e,).  dr/dvec = vec/r; no vector may be zero."""
    r = np.sqrt((vec * vec).sum(-1))

    def pull(dr):
        return (dr / r)[:, None] * vec
    return r, pull


def norms(x, eps=1e-6):
    """Smooth norms over components: sqrt(sum_m x^2 + eps^2), (n,m,c) -> (n,c).

    The eps^2 keeps the derivative x/norm finite where a symmetric environment makes x vanish exactly.
    """
    norm = np.sqrt((x * x).sum(1) + eps * eps)

    def pull(dnorm):
        return (dnorm / norm)[:, None] * x
    return norm, pull


def times(x, W):
    """x @ W over the last axis, as one matrix product: (n,m,c) (c,d) -> (n,m,d)."""
    return (x.reshape(-1, x.shape[-1]) @ W).reshape(*x.shape[:-1], W.shape[-1])


def outer_sum(x, dy):
    """The gradient of `times` to W: sum over all rows of x^T dy, (n,m,c) (n,m,d) -> (c,d)."""
    return x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])


def sum_products(a, b):
    """sum_m a b over components, (e,m,c) (e,m,c) -> (e,c).  einsum is the faster form, but not for complex arrays."""
    if a.dtype.kind == "c":
        return (a * b).sum(1)
    return np.einsum("emc,emc->ec", a, b)
