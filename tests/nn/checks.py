"""What every layer is held to: its pullback is the transpose (P40, P41), precision stays, a device serves as well."""

import sys
import types

import numpy as np

from se3ref.backend import to_device
from se3ref.verify.gradients import complex_step, pullback_violation
from tests.standin import DeviceArray

PRECISIONS = [np.float64, np.float32]
EPS = np.finfo(np.float64).eps


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def leaves(tree):
    """The arrays of nested dicts, lists and tuples, in order of their keys."""
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in leaves(tree[key])]
    return [leaf for item in tree for leaf in leaves(item)] if isinstance(tree, list | tuple) else [tree]


def cast(tree, dtype):
    """A nest with its arrays in another dtype."""
    if isinstance(tree, dict):
        return {key: cast(value, dtype) for key, value in tree.items()}
    return tree.astype(dtype)


def random_like(tree, rng):
    """Random arrays of the same shapes, or one."""
    if isinstance(tree, dict):
        return {key: random_like(tree[key], rng) for key in sorted(tree)}
    return rng.standard_normal(tree.shape)


def distance(found, expected):
    """The largest difference between two nests, each array relative to its largest entry."""
    pairs = list(zip(leaves(found), leaves(expected), strict=True))
    assert all(a.shape == b.shape for a, b in pairs)
    return max(np.abs(a - b).max(initial=0) / (np.abs(b).max(initial=0) or 1) for a, b in pairs)


def check_pullback(layer, *args, entries=8):
    """P41 in both precisions, and P40 for random entries of every argument.

    P41: inner products of some hundred terms, each wrong by a few eps, relative to |dy| |J v|: 45 eps, which is 1e-14
    in float64.  P40: dL/dx of one entry against Im L(x + i h) / h, L = <dy, y>, to 1e-13 of the largest of that array.
    """
    for dtype in PRECISIONS:
        narrow = [cast(x, dtype) for x in args]
        assert pullback_violation(layer, narrow, np.random.default_rng(1)) <= 45 * np.finfo(dtype).eps
    rng = np.random.default_rng(2)
    y, pull = layer(*args)
    dy = random_like(y, rng)
    gradient, point = leaves(pull(dy)), leaves(list(args))
    assert len(gradient) == len(point)
    for k, x in enumerate(point):
        for entry in rng.choice(x.size, min(entries, x.size), replace=False):
            expected = _slope(layer, args, k, entry, dy)
            assert abs(gradient[k].ravel()[entry] - expected) <= 1e-13 * max(1, np.abs(gradient[k]).max())


def _slope(layer, args, k, entry, dy):
    """d<dy, y>/dx of one entry of the k-th array of args, by complex step."""
    tangents = [cast(x, complex) for x in args]
    for array in leaves(tangents):
        array[...] = 0
    leaves(tangents)[k].flat[entry] = 1
    slopes = complex_step(lambda *x: layer(*x)[0], args, tangents)
    return sum((a * b).sum() for a, b in zip(leaves(slopes), leaves(dy), strict=True))


def check_precision(layer, *args):
    """Value and cotangents stay in the precision of the arguments: real and complex, single and double."""
    for dtype in (np.float64, np.float32, np.complex128, np.complex64):
        y, pull = layer(*(cast(x, dtype) for x in args))
        assert {x.dtype for x in leaves([y, pull(y)])} == {np.dtype(dtype)}


def check_on_stand_in(monkeypatch, layer, *args):
    """The same numbers, value and cotangents, real and complex; nothing came back to the host.

    To 30 eps: matrix products add in another order where a table's copy lies otherwise in memory.
    """
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(asarray=DeviceArray))
    for dtype in (np.float64, np.float32, np.complex64):
        here = [cast(x, dtype) if isinstance(x, dict) or x.dtype.kind == "f" else x for x in args]
        results = []
        for place in (lambda x: x, to_device):
            y, pull = layer(*map(place, here))
            results.append(leaves([y, pull(y)]))
        for one, other in zip(*results, strict=True):
            assert isinstance(other, DeviceArray) and other.dtype == one.dtype
            assert distance(other.get(), one) <= 30 * np.finfo(dtype).eps
