"""The complex step is exact, and the inner-product test sees every error of a pullback (P40, P41)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from se3ref import so3
from se3ref.backend import lift
from se3ref.verify import gradients
from tests import strategies as draw

EPS = np.finfo(np.float64).eps
precisions = pytest.mark.parametrize("dtype", [np.float64, np.float32])

ANALYTIC = {
    "cube": (lambda x: x * x * x, lambda x: 3 * x * x),
    "exp": (np.exp, np.exp),
    "sqrt": (lambda x: np.sqrt(2 + x), lambda x: 0.5 / np.sqrt(2 + x)),
    "sin": (np.sin, np.cos),
    "lifted": (lift(np.tanh, lambda x: 1 - np.tanh(x) ** 2), lambda x: 1 - np.tanh(x) ** 2),
}


@precisions
@pytest.mark.parametrize("f, df", ANALYTIC.values(), ids=ANALYTIC)
@given(x=st.floats(-1, 1, width=32))
def test_P40_complex_step_is_exact(dtype, f, df, x):
    """Nothing is subtracted, so nothing is lost: a few roundings of numbers below 3."""
    x = np.array([x], dtype)
    J = gradients.complex_step(f, [x], [np.ones(1, dtype)])
    assert J.dtype == dtype
    assert np.abs(J - df(x)).max() <= 12 * np.finfo(dtype).eps


def layer(params, x):
    """A layer with two arguments, one of them a dict: y = tanh(x W) * g, and its pullback."""
    t = np.tanh(x @ params["W"])
    y = t * params["g"]

    def pull(dy):
        dt = dy * params["g"] * (1 - t * t)
        return {"W": x.T @ dt, "g": (dy * t).sum(0)}, dt @ params["W"].T
    return y, pull


def arguments(dtype=np.float64):
    rng = np.random.default_rng(0)
    return [{"W": rng.standard_normal((3, 4)).astype(dtype), "g": rng.standard_normal(4).astype(dtype)},
            rng.standard_normal((5, 3)).astype(dtype)]


@precisions
@given(seed=st.integers(0, 2**32 - 1))
def test_P41_pullback_is_the_transpose(dtype, seed):
    """Two inner products of 20 terms, relative to the norms: a random sum of 20 roundings."""
    violation = gradients.pullback_violation(layer, arguments(dtype), np.random.default_rng(seed))
    assert violation <= 8 * np.finfo(dtype).eps


def spoilt(entry, factor):
    """The same layer with one entry of one cotangent multiplied."""
    def wrong(params, x):
        y, pull = layer(params, x)

        def wrong_pull(dy):
            dparams, dx = pull(dy)
            target = {"W": dparams["W"], "g": dparams["g"], "x": dx}[entry]
            target.flat[1] *= factor
            return dparams, dx
        return y, wrong_pull
    return wrong


@pytest.mark.parametrize("entry", ["W", "g", "x"])
@pytest.mark.parametrize("factor", [0.0, 0.5, -1.0, 1 + 1e-9])
def test_P41_sees_one_wrong_entry(entry, factor):
    violation = gradients.pullback_violation(spoilt(entry, factor), arguments(), np.random.default_rng(0))
    assert violation > 1e-13


def test_a_zero_derivative_is_refused():
    """Nothing would be tested: also when the imaginary part was dropped on the way."""
    for f in (lambda x: (0 * x, lambda dy: 0 * dy), lambda x: (x.real * 1.0, lambda dy: dy)):
        with pytest.raises(ValueError, match="the derivative is zero"):
            gradients.pullback_violation(f, [np.ones((2, 3))], np.random.default_rng(0))


def test_a_missing_cotangent_is_refused():
    def half(params, x):
        y, pull = layer(params, x)
        return y, lambda dy: pull(dy)[0]

    with pytest.raises(ValueError, match="zip"):
        gradients.pullback_violation(half, arguments(), np.random.default_rng(0))


@precisions
@pytest.mark.parametrize("normalize", [True, False])
@given(l=st.integers(1, 10), data=st.data())
def test_P41_harmonics(dtype, normalize, l, data):
    """Relative to |dy| |J v|; values and gradients of 2 l steps each."""
    xyz = data.draw(draw.points(dtype=dtype, extreme=False))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    violation = gradients.pullback_violation(
        lambda x: so3.spherical_harmonics_and_pull(l, x, normalize=normalize), [xyz], rng)
    assert violation <= (4 + 2 * l) * np.finfo(dtype).eps


@precisions
def test_P41_features_and_tensors(dtype):
    """Linear maps: the pullback is the map's transpose, here the inverse, since all keep the norm."""
    rng = np.random.default_rng(0)
    T = rng.standard_normal((4, 3, 3)).astype(dtype)

    def decompose(T):
        h = np.concatenate(list(so3.irreps_from_cartesian(T, "ij").values()), axis=1)

        def pull(dh):
            return so3.cartesian_from_irreps(
                dict(zip(so3.irreps_from_cartesian(T, "ij"), np.split(dh, [1, 4], axis=1), strict=True)), "ij")
        return h, pull

    assert gradients.pullback_violation(decompose, [T], rng) <= 8 * np.finfo(dtype).eps
