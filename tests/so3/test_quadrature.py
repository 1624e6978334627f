"""Quadratures: exact up to their degree and, as a control, no further."""

import math

import numpy as np
import pytest

from se3ref import so3

EPS = np.finfo(np.float64).eps


def mean_of_monomial(a, b, c):
    """The mean of x^a y^b z^c over the unit sphere: (a-1)!! (b-1)!! (c-1)!! / (a+b+c+1)!!, 0 where one is odd."""
    if a % 2 or b % 2 or c % 2:
        return 0.0
    odd = [math.prod(range(n, 0, -2)) for n in (a - 1, b - 1, c - 1, a + b + c + 1)]
    return odd[0] * odd[1] * odd[2] / odd[3]


@pytest.mark.parametrize("L", [0, 1, 2, 5, 8, 13])
def test_sphere_quadrature_is_exact_to_its_degree(L):
    """Averages of numbers below 1; nodes carry eps and a monomial of degree L multiplies it by L."""
    points, weights = so3.sphere_quadrature(L)
    assert np.abs((points * points).sum(1) - 1).max() <= 4 * EPS
    for a, b, c in np.ndindex(L + 1, L + 1, L + 1):
        if a + b + c <= L:
            mean = weights @ np.prod(points ** (a, b, c), axis=1) / (4 * np.pi)
            assert abs(mean - mean_of_monomial(a, b, c)) <= 4 * (L + 1) * EPS


@pytest.mark.parametrize("L", [0, 1, 2, 4])
def test_rotation_quadrature_is_exact_to_its_degree(L):
    """Haar averages: 1 for l = 0, and 0 for every entry of D^l, l = 1..L."""
    R, weights = so3.rotation_quadrature(L)
    assert abs(weights.sum() - 1) <= 8 * EPS
    for l in range(1, L + 1):
        assert np.abs(np.einsum("n,nab->ab", weights, so3.wigner_D(l, R))).max() <= 8 * EPS


@pytest.mark.parametrize("L", [1, 2, 3, 4])
def test_control_beyond_the_degree_the_sums_are_wrong(L):
    """Degree L+1 turns up at once around the axis: e^{i (L+1) a} is 1 at all L+1 angles."""
    points, weights = so3.sphere_quadrature(L)
    assert np.abs(weights @ so3.spherical_harmonics(L + 1, points)[:, so3.degree(L + 1)]).max() > 0.1
    R, weights = so3.rotation_quadrature(L)
    assert np.abs(np.einsum("n,nab->ab", weights, so3.wigner_D(L + 1, R))).max() > 0.1


@pytest.mark.parametrize("make", [so3.sphere_quadrature, so3.rotation_quadrature])
@pytest.mark.parametrize("L", [-1, 2.0, True, "3", None])
def test_bad_degree(make, L):
    with pytest.raises(ValueError, match="exact must be an integer >= 0; got"):
        make(L)
