"""Derivatives checked without finite differences: the complex step and the inner-product test.

For an analytic program, f(x + i h v) = f(x) + i h J v + O(h^2), so J v = Im f(x + i h v) / h, with nothing subtracted
and so nothing rounded away; at h = 1e-30 the error h^2 is far below the last digit.
Source: Squire and Trapp, SIAM Review 40 (1998) 110.
"""

import numpy as np

STEP = {np.dtype(np.float64): 1e-30, np.dtype(np.float32): 1e-15}          # at 1e-30 products leave float32's range


def complex_step(f, args, tangents):
    """The directional derivative of f(*args) along `tangents`, exact to rounding; f must be analytic.

    args, tangents: matching lists of arrays, or of dicts of arrays.
    """
    h = STEP[np.result_type(*(leaf.dtype for leaf in _leaves(args)))]
    return f(*(_combine(x, 1j * h, v) for x, v in zip(args, tangents, strict=True))).imag / h


def pullback_violation(layer, args, rng):
    """How far a layer's pullback is from the transpose of its derivative:  <dy, J v> = <pull(dy), v>.

    layer(*args) returns y and pull; pull(dy) returns the cotangent of the argument, or a tuple of one for each.
    dy and v are random; the violation is relative to |dy| |J v|.  An error in any entry of any cotangent shows
    with probability one; a zero derivative raises ValueError, since nothing would be tested.
    """
    y, pull = layer(*args)
    dy = rng.standard_normal(y.shape).astype(y.dtype)
    tangents = [_random_like(x, rng) for x in args]
    Jv = complex_step(lambda *x: layer(*x)[0], args, tangents)
    cotangents = pull(dy)
    cotangents = cotangents if isinstance(cotangents, tuple) else (cotangents,)
    forward = float((dy * Jv).sum())
    backward = sum(float((dx * v).sum()) for dx, v in zip(_leaves(cotangents), _leaves(tangents), strict=True))
    scale = float(np.sqrt((dy * dy).sum() * (Jv * Jv).sum()))
    if scale == 0:
        raise ValueError("the derivative is zero in a random direction: nothing to test")
    return abs(forward - backward) / scale


def _leaves(tree):
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in _leaves(tree[key])]
    if isinstance(tree, list | tuple):
        return [leaf for item in tree for leaf in _leaves(item)]
    return [tree]


def _combine(x, factor, v):
    if isinstance(x, dict):
        return {key: _combine(x[key], factor, v[key]) for key in x}
    return x + factor * v


def _random_like(x, rng):
    if isinstance(x, dict):
        return {key: _random_like(x[key], rng) for key in sorted(x)}
    return rng.standard_normal(x.shape).astype(x.dtype)
