"""Functions of numbers: right at extreme arguments, analytic, and their pullbacks transposes (P40, P41)."""

import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from se3ref.backend import to_device
from se3ref.nn import ops
from se3ref.verify.gradients import complex_step, pullback_violation
from tests.standin import DeviceArray

PRECISIONS = [np.float64, np.float32]
EPS = np.finfo(np.float64).eps
EXTREMES = [0.0, 1e-300, 1e-30, 1e-8, 0.5, 1.0, 15.0, 40.0, 90.0, 710.0, 1e4, 1e30]


# --- what the other tests of nn/ use too ----------------------------------------------------------------------

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


# --- activations ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", PRECISIONS)
def test_activations_at_extreme_arguments(dtype):
    """No overflow and no warning (warnings are errors here); values within eps of 1, derivatives too."""
    with np.errstate(under="ignore"):
        x = np.array([sign * size for size in EXTREMES for sign in (1, -1)]).astype(dtype)
    eps = np.finfo(dtype).eps
    s, (y, pull) = ops.sigmoid(x), ops.silu(x)
    exact = expit(x.astype(np.float64))
    assert np.abs(s - exact).max() <= 2 * eps
    assert np.abs(y - x * exact).max() / np.abs(x).max() <= 2 * eps and np.isfinite(y).all()
    assert np.array_equal(y[x > 90], x[x > 90]) and not y[x < -90].any()
    slope = pull(np.ones_like(x))
    assert np.array_equal(slope[x > 90], np.ones_like(x)[x > 90]) and not slope[x < -90].any()
    assert np.array_equal(ops.tanh(x), np.tanh(x)) and s.dtype == y.dtype == slope.dtype == dtype


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_activations_at_infinity(dtype):
    infinity = np.array([np.inf, -np.inf], dtype)
    assert ops.sigmoid(infinity).tolist() == [1, 0] and ops.tanh(infinity).tolist() == [1, -1]


CLOSED = {                                                     # derivatives, by formulas other than the library's
    "sigmoid": (ops.sigmoid, lambda x: 1 / (4 * np.cosh(x / 2) ** 2)),
    "tanh": (ops.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "silu": (lambda x: ops.silu(x)[0], lambda x: expit(x) + x / (4 * np.cosh(x / 2) ** 2)),
}


@pytest.mark.parametrize("name", CLOSED)
@given(x=st.floats(-30, 30), v=st.floats(-3, 3))
def test_P40_lifted_functions_are_analytic(name, x, v):
    """Complex step against the closed derivative; both are of size 1 and lose a few eps, x of them in x sigmoid'."""
    f, slope = CLOSED[name]
    found = complex_step(f, [np.array([x])], [np.array([v])])
    assert abs(found[0] - slope(x) * v) <= 4 * EPS * (1 + abs(x)) * 3


@pytest.mark.parametrize("name, exact", [
    ("sigmoid", lambda z: 1 / (1 + np.exp(-z))), ("tanh", np.tanh), ("silu", lambda z: z / (1 + np.exp(-z)))])
def test_lifted_functions_are_the_complex_ones_near_the_real_axis(name, exact):
    """To first order in h: what is left is h^2."""
    z = np.linspace(-5, 5, 41) + 1e-9j * np.linspace(1, 2, 41)
    assert np.abs(CLOSED[name][0](z) - exact(z)).max() <= 2e-15


def test_lifted_functions_stay_finite_at_extreme_complex_arguments():
    """Where NumPy's own complex functions overflow."""
    z = (np.array([800.0, -800.0]) + 1e-30j).astype(np.complex128)
    y, pull = ops.silu(z)
    for x in (ops.sigmoid(z), ops.tanh(z), y, pull(z)):
        assert np.isfinite(x).all()


# --- lengths, norms, products ---------------------------------------------------------------------------------

def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


PULLBACKS = {
    "silu": (ops.silu, numbers(5, 1, 3)),
    "lengths": (ops.lengths, numbers(7, 3)),
    "norms": (ops.norms, numbers(5, 3, 4)),
    "times": (lambda x, W: (ops.times(x, W), lambda dy: (ops.times(dy, W.T), ops.outer_sum(x, dy))),
              numbers(5, 3, 4), numbers(4, 2, seed=1)),
}


@pytest.mark.parametrize("name", PULLBACKS)
def test_P40_P41_pullbacks(name):
    check_pullback(*PULLBACKS[name])


@pytest.mark.parametrize("name", PULLBACKS)
def test_precision_stays(name):
    check_precision(*PULLBACKS[name])


@pytest.mark.parametrize("name", PULLBACKS)
def test_runs_on_the_stand_in(monkeypatch, name):
    check_on_stand_in(monkeypatch, *PULLBACKS[name])


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_norms_are_smooth_at_zero(dtype):
    """In a crystal a feature can vanish exactly: the norm is eps there, its derivative 0; elsewhere the length."""
    x = np.zeros((2, 5, 3), dtype)
    x[1] = 3.0
    norm, pull = ops.norms(x, eps=1e-6)
    np.testing.assert_allclose(norm, [[1e-6] * 3, [np.sqrt(45 + 1e-12)] * 3], rtol=4 * np.finfo(dtype).eps)
    slope = pull(np.ones_like(norm))
    assert not slope[0].any() and np.allclose(slope[1], 1 / np.sqrt(5), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128, np.complex64])
def test_products_are_their_definitions(dtype):
    """Sums of 5 and of 15 products of numbers of size 1."""
    parts = numbers(4, 3, 5, 4)
    a, b = (x + 1j * z if np.dtype(dtype).kind == "c" else x for x, z in (parts[:2], parts[2:]))
    a, b, tolerance = a.astype(dtype), b.astype(dtype), 30 * np.finfo(dtype).eps
    assert distance(ops.sum_products(a, b), (a * b).sum(1)) <= tolerance
    assert distance(ops.outer_sum(a, b), np.einsum("nmc,nmd->cd", a, b)) <= tolerance
    assert distance(ops.times(a, b[0, :4]), np.einsum("nmc,cd->nmd", a, b[0, :4])) <= tolerance
    assert {ops.sum_products(a, b).dtype, ops.outer_sum(a, b).dtype} == {np.dtype(dtype)}


@pytest.mark.parametrize("wrong", [
    lambda x, r, dr: (dr / r)[:, None] * x * 1.001, lambda x, r, dr: dr[:, None] * x,
    lambda x, r, dr: -(dr / r)[:, None] * x])
def test_P41_sees_a_wrong_pullback(wrong):
    def layer(x):
        r, _ = ops.lengths(x)
        return r, lambda dr: wrong(x, r, dr)
    assert pullback_violation(layer, [numbers(7, 3)], np.random.default_rng(0)) > 1e-5
