"""Functions of numbers: right at extreme arguments, analytic, and their pullbacks transposes (P40, P41)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from se3ref.nn import ops
from se3ref.verify.gradients import complex_step, pullback_violation
from tests.nn.checks import EPS, PRECISIONS, distance, numbers

EXTREMES = [0.0, 1e-300, 1e-30, 1e-8, 0.5, 1.0, 15.0, 40.0, 90.0, 710.0, 1e4, 1e30]


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

LAYERS = {                                                     # of `test_layers`
    "silu": (ops.silu, numbers(5, 1, 3)),
    "lengths": (ops.lengths, numbers(7, 3)),
    "norms": (ops.norms, numbers(5, 3, 4)),
    "times": (lambda x, W: (ops.times(x, W), lambda dy: (ops.times(dy, W.T), ops.outer_sum(x, dy))),
              numbers(5, 3, 4), numbers(4, 2, seed=1)),
}


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
