"""Derivatives checked without finite differences: the complex step and the inner-product test.

For an analytic program, f(x + i h v) = f(x) + i h J v + O(h^2), so J v = Im f(x + i h v) / h, with nothing subtracted
and so nothing rounded away; at h = 1e-30 the error h^2 is far below the last digit.
Source: Squire and Trapp, SIAM Review 40 (1998) 110.
"""

import numpy as np

from se3ref.backend import STEP


def complex_step(f, args, tangents):
    """The directional derivative of f(*args) along `tangents`, exact to rounding; f must be analytic.

    args, tangents: matching lists of arrays, or of dicts of arrays; f may return a dict of arrays too.
    """
    h = STEP[np.result_type(*(leaf.dtype for leaf in _leaves(args)))]
    return _map(lambda y: y.imag / h, f(*(_combine(x, 1j * h, v) for x, v in zip(args, tangents, strict=True))))


def pullback_violation(layer, args, rng):
    """How far a layer's pullback is from the transpose of its derivative:  <dy, J v> = <pull(dy), v>.

    layer(*args) returns y, an array or a dict of them, and pull; pull(dy) returns the cotangent of the argument, or a
    tuple of one for each.  dy and v are random; the violation is relative to |dy| |J v|.  An error in any
    entry of any cotangent shows with probability one; a zero derivative raises ValueError: nothing was tested.
    """
    y, pull = layer(*args)
    dy = _random_like(y, rng)
    tangents = [_random_like(x, rng) for x in args]
    Jv = complex_step(lambda *x: layer(*x)[0], args, tangents)
    cotangents = pull(dy)
    cotangents = cotangents if isinstance(cotangents, tuple) else (cotangents,)
    forward = _inner(dy, Jv)
    backward = sum(_inner(dx, v) for dx, v in zip(cotangents, tangents, strict=True))
    scale = float(np.sqrt(_inner(dy, dy) * _inner(Jv, Jv)))
    if scale == 0:
        raise ValueError("the derivative is zero in a random direction: nothing to test")
    return abs(forward - backward) / scale


def _inner(a, b):
    """The sum of all products of entries; ValueError where the keys differ or the shapes do."""
    if isinstance(a, dict):
        if set(a) != set(b):
            raise ValueError(f"a cotangent has the keys {sorted(a)}, its argument {sorted(b)}")
        return sum(_inner(a[key], b[key]) for key in a)
    if a.shape != b.shape:
        raise ValueError(f"a cotangent has the shape {a.shape}, its argument {b.shape}")
    return float((a * b).sum())


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


def _map(f, tree):
    return {key: _map(f, value) for key, value in tree.items()} if isinstance(tree, dict) else f(tree)


def _random_like(x, rng):
    if isinstance(x, dict):
        return {key: _random_like(x[key], rng) for key in sorted(x)}
    return rng.standard_normal(x.shape).astype(x.dtype)
