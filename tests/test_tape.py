"""The tape is right by itself: first derivatives by complex step, second ones by differences and by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import tape
from tape import Var, grad


def np_put(x, key, shape):
    out = np.zeros(shape, x.dtype)
    np.add.at(out, key, x)
    return out


def np_spread(x, shape):
    return np.broadcast_to(x, shape)


def np_collect(x, shape):
    return np.einsum("abc->ac", x)[:, None] if shape == (2, 1, 3) else np.einsum("abc->bc", x)


NUMPY = SimpleNamespace(
    take=lambda x, key: x[key], put=np_put, spread=np_spread, collect=np_collect, concatenate=np.concatenate,
    reshape=np.reshape, total=np.sum, einsum=np.einsum, exp=np.exp, sin=np.sin, cos=np.cos, tanh=np.tanh,
    sqrt=np.sqrt, reciprocal=lambda x: 1 / x, sigmoid=lambda x: 1 / (1 + np.exp(-x)),
    silu=lambda x: x / (1 + np.exp(-x)))

A, B, POSITIVE = (2, 4, 3), (4, 3), (5,)
OPERATIONS = {                                                 # shapes of the arguments, and what is done with them
    "add": ([A, B], lambda t, a, b: a + b),
    "subtract": ([A, B], lambda t, a, b: 2.0 - (a - b) - 1.0),
    "multiply": ([A, (4, 1)], lambda t, a, b: 3.0 * a * b * a),
    "divide": ([A, B], lambda t, a, b: a / (b * b + 1.0) + 2.0 / (a * a + 1.0)),
    "negate": ([A], lambda t, a: -a * a),
    "matrix product": ([A, (3, 5)], lambda t, a, b: (a @ b) * (a @ b)),
    "slice": ([A], lambda t, a: a[:, 1:, 0] * a[:, :3, 2]),
    "take twice": ([B], lambda t, b: t.take(b, np.array([0, 2, 2, 3, 0])) * b[1]),
    "put twice": ([B], lambda t, b: t.put(b * b, np.array([1, 0, 1, 1]), (3, 3))),
    "spread": ([(4, 1)], lambda t, a: t.spread(a * a, A)),
    "collect": ([A], lambda t, a: t.collect(a * a, (4, 3))),
    "collect ones": ([A], lambda t, a: t.collect(a * a, (2, 1, 3))),
    "reshape": ([A], lambda t, a: t.reshape(a, (6, 4)) @ t.reshape(a, (4, 6))),
    "total": ([A], lambda t, a: t.total(0.1 * a * a, 1) * t.total(0.1 * a)),
    "concatenate": ([A, (2, 1, 3)], lambda t, a, b: t.concatenate([a, b, a * b], 1)),
    "einsum": ([A, B, (3, 2)], lambda t, *x: t.einsum("xyz,yz,zx->xz", *x) * t.einsum("xyz,yw,zx->xw", *x)),
    "einsum, own index": ([A, (5, 2)], lambda t, a, b: t.einsum("xyz,wx->xy", a * a, b * b)),
    **{name: ([A], lambda t, a, name=name: getattr(t, name)(a) * a)
       for name in ("exp", "sin", "cos", "tanh", "sigmoid", "silu")},
    "sqrt": ([A], lambda t, a: t.sqrt(a * a + 0.5)),
    "reciprocal": ([A], lambda t, a: t.reciprocal(a * a + 0.5)),
}


def arguments(name):
    rng = np.random.default_rng(0)
    shapes, operation = OPERATIONS[name]
    xs = [rng.standard_normal(shape) for shape in shapes]
    weights = rng.standard_normal(operation(NUMPY, *xs).shape)
    return xs, [rng.standard_normal(x.shape) for x in xs], lambda t, *xs: t.total(t.sin(operation(t, *xs)) * weights)


@pytest.mark.parametrize("name", OPERATIONS)
def test_first_derivatives_are_those_of_the_complex_step(name):
    """Sums of about 100 products of numbers near 1: rounding of 1e-14."""
    xs, vs, f = arguments(name)
    nodes = [Var(x) for x in xs]
    y = f(tape, *nodes)
    assert abs(y.value - f(NUMPY, *xs)) < 1e-13
    along = sum((g.value * v).sum() for g, v in zip(grad(y, nodes), vs, strict=True))
    exact = f(NUMPY, *(x + 1e-30j * v for x, v in zip(xs, vs, strict=True))).imag / 1e-30
    assert abs(along - exact) < 1e-13 * max(1, abs(exact)) and abs(exact) > 1e-3


@pytest.mark.parametrize("name", OPERATIONS)
def test_second_derivatives_are_differences_of_first_ones(name):
    """Reverse over reverse against differences in five points: an error of h^4 fifth derivatives; and H symmetric."""
    xs, vs, f = arguments(name)
    ws = [np.roll(v, 1) for v in vs]

    def slope(step, v, w, second=False):
        nodes = [Var(x + step * d) for x, d in zip(xs, v, strict=True)]
        y = tape.var(sum(tape.total(g * d) for g, d in zip(grad(f(tape, *nodes), nodes), w, strict=True)))
        return [g.value for g in grad(y, nodes)] if second else float(y.value)
    Hw = sum((g * v).sum() for g, v in zip(slope(0, vs, ws, True), vs, strict=True))
    Hv = sum((g * w).sum() for g, w in zip(slope(0, vs, vs, True), ws, strict=True))
    h = 1e-3
    d = (8 * (slope(h, vs, ws) - slope(-h, vs, ws)) - slope(2 * h, vs, ws) + slope(-2 * h, vs, ws)) / (12 * h)
    assert abs(Hw - Hv) < 1e-12 * max(1, abs(Hw))
    assert abs(Hw - d) < 1e-7 * max(1, abs(d)) and abs(Hw) > 1e-3


def test_derivatives_of_one_number_by_hand():
    """f = x exp(x): f' = (1+x) f/x, f'' = (2+x) exp(x), f''' = (3+x) exp(x)."""
    x, order = Var(np.array(0.7)), []
    y = tape.exp(x) * x
    for _ in range(3):
        (y,) = grad(y, [x])
        order.append(float(y.value))
    np.testing.assert_allclose(order, (np.arange(1, 4) + 0.7) * np.exp(0.7), rtol=1e-15)


def test_without_influence_the_gradient_is_zero():
    x, y = Var(np.ones(3)), Var(np.ones((2, 2)))
    np.testing.assert_array_equal(grad(tape.total(x * x), [y, x])[0].value, np.zeros((2, 2)))


def test_complex_numbers_have_no_place_on_it():
    with pytest.raises(TypeError, match="the tape is real"):
        Var(np.ones(3) * 1j)


def test_the_tape_shares_nothing_with_the_library():
    """Neither file calls a pullback or a layer: the tape imports NumPy, the oracle coupling coefficients besides."""
    import oracle
    for module, allowed in ((tape, set()), (oracle, {"clebsch_gordan", "symmetric_couplings", "monomials", "Irrep"})):
        assert {name for name, item in vars(module).items() if "se3ref" in getattr(item, "__module__", "")} == allowed
