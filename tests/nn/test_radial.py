"""Radial bases and their envelope: formulas, orthonormality, smoothness at the cutoff, pullbacks (P40, P41, P57)."""

from fractions import Fraction

import numpy as np
import pytest

from se3ref.nn import radial
from tests.nn.checks import EPS

CUTOFF = 5.0
R = np.linspace(0.3, 4.9, 12)
LAYERS = {                                                     # of `test_layers`
    "envelope": (lambda r: radial.envelope(r, CUTOFF), R),
    "envelope, p = 3": (lambda r: radial.envelope(r, CUTOFF, 3), R),
    "bessel": (lambda r: radial.bessel(r, CUTOFF, 8), R),
    "gaussians": (lambda r: radial.gaussians(r, CUTOFF, 9), R),
    "radial_basis": (lambda r: radial.radial_basis(r, CUTOFF, 8), R),
    "radial_basis of gaussians": (lambda r: radial.radial_basis(r, CUTOFF, 9, radial.gaussians), R),
    "one function": (lambda r: radial.radial_basis(r, CUTOFF, 1), R),
}


@pytest.mark.parametrize("name", LAYERS)
def test_no_edges(name):
    y, pull = LAYERS[name][0](np.zeros(0))
    assert len(y) == 0 and pull(y).shape == (0,)


# --- the envelope ---------------------------------------------------------------------------------------------

def derivatives(r, p):
    """u, u', u'': the pullback gives u', its complex step u''."""
    u, pull = radial.envelope(r + 1e-30j, CUTOFF, p)
    slope = pull(np.ones_like(u))
    return u.real, slope.real, slope.imag / 1e-30


@pytest.mark.parametrize("p", [3, 4, 6, 9])
def test_P57_two_derivatives_vanish_at_the_cutoff(p):
    """u, u' and u'' have the factor 1-x, exactly 0 but for the step."""
    u, slope, curvature = derivatives(np.array([CUTOFF]), p)
    assert abs(u[0]) < 1e-80                                   # 1-x = 1e-30 i, to the third power
    assert abs(slope[0]) < 1e-50 and abs(curvature[0]) < 1e-25                     # 1-x = 1e-30 i, squared or once


@pytest.mark.parametrize("p", [3, 4, 6, 9])
def test_P57_the_third_derivative_does_not(p):
    """u = p(p+1)(p+2)/6 t^3 + O(t^4) at x = 1 - t, by Taylor from (2); so a better one has not crept in unsaid."""
    t, third = 1e-3, p * (p + 1) * (p + 2) / 6
    u, slope, curvature = derivatives(np.array([CUTOFF * (1 - t)]), p)
    assert abs(u[0] / (third * t**3) - 1) < 2 * p * t
    assert abs(slope[0] * CUTOFF / (-3 * third * t**2) - 1) < 2 * p * t
    assert abs(curvature[0] * CUTOFF**2 / (6 * third * t) - 1) < 2 * p * t


@pytest.mark.parametrize("p", [3, 4, 6, 9])
def test_the_envelope_is_its_formula(p):
    x = np.linspace(0, 1, 101)
    exact = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x**(p + 1) - p * (p + 1) / 2 * x**(p + 2)
    u, slope, _ = derivatives(x * CUTOFF, p)
    assert np.abs(u - exact).max() <= 4 * p * (p + 2) * EPS
    assert u[0] == 1 and abs(slope[0]) < 1e-50 and (slope[1:-1] < 0).all()         # from 1 downhill to 0


@pytest.mark.parametrize("p", [3, 4, 6, 9])
def test_the_envelope_keeps_its_digits_near_the_cutoff(p):
    """Equation (1) in fractions, at x = 1 - 2^-k: some 2p + 8 roundings of positive numbers, where (1) in floating
    point loses all digits."""
    for k in (5, 10, 20):
        x = 1 - Fraction(1, 2**k)
        exact = 1 - Fraction((p + 1) * (p + 2), 2) * x**p + p * (p + 2) * x**(p + 1) - Fraction(
            p * (p + 1), 2) * x**(p + 2)
        u, _ = radial.envelope(np.array([float(x) * CUTOFF]), CUTOFF, p)
        r_over_cutoff = Fraction(float(x) * CUTOFF) / Fraction(CUTOFF)
        assert r_over_cutoff == x                              # 5 (1 - 2^-k) has few digits: nothing was rounded
        assert abs(u[0] / float(exact) - 1) <= (2 * p + 8) * EPS


@pytest.mark.parametrize("kind", [radial.bessel, radial.gaussians])
def test_P57_a_basis_times_the_envelope_vanishes_with_two_derivatives(kind):
    """Each function is (its value at the cutoff) u + O(t^4), so it falls at least as t^3, its slope as t^2."""
    def both(t):
        y, _ = radial.radial_basis(np.array([CUTOFF - t]) - 1e-30j, CUTOFF, 6, kind)
        return np.abs(y.real).max(), np.abs(y.imag).max() / 1e-30
    largest = 10                                               # of any basis function and its slope near the cutoff
    for t in (1e-1, 1e-2, 1e-3):
        value, slope = both(t)
        assert 0 < value <= largest * 56 * (t / CUTOFF) ** 3
        assert 0 < slope <= largest * 3 * 56 * (t / CUTOFF) ** 2


# --- the bases ------------------------------------------------------------------------------------------------

def test_bessel_functions_are_orthonormal():
    """int_0^cutoff b_k b_l r^2 dr by Gauss-Legendre: with 60 points exact for 8 oscillating functions."""
    x, weight = np.polynomial.legendre.leggauss(60)
    r = CUTOFF * (x + 1) / 2
    b, _ = radial.bessel(r, CUTOFF, 8)
    gram = b.T @ (b * (weight * CUTOFF / 2 * r**2)[:, None])
    assert np.abs(gram - np.eye(8)).max() <= 1e-13


def test_bessel_functions_are_their_formula():
    """The recurrence loses about k eps / sin t (its error obeys the same recurrence); here 1/sin t < 16."""
    k = np.arange(1, 21)
    b, _ = radial.bessel(R, CUTOFF, 20)
    exact = np.sqrt(2 / CUTOFF) * np.sin(k * np.pi * R[:, None] / CUTOFF) / R[:, None]
    assert (np.abs(b - exact) * R[:, None]).max() <= 16 * 20 * EPS


def test_bessel_functions_vanish_at_the_cutoff_and_stay_finite_near_zero():
    """sin(k t)/r -> k pi/cutoff."""
    b, _ = radial.bessel(np.array([CUTOFF, 1e-8]), CUTOFF, 6)
    assert np.abs(b[0]).max() <= 50 * EPS
    np.testing.assert_allclose(b[1], np.sqrt(2 / CUTOFF) * np.arange(1, 7) * np.pi / CUTOFF, rtol=1e-14)


def test_gaussians_are_their_formula():
    """Centres from 0 to the cutoff, width their spacing; neighbouring ones meet at exp(-1/8)."""
    centres = np.linspace(0, CUTOFF, 9)
    g, _ = radial.gaussians(R, CUTOFF, 9)
    exact = np.exp(-((R[:, None] - centres) ** 2) / (2 * (CUTOFF / 8) ** 2))
    assert np.abs(g - exact).max() <= 30 * EPS                 # exponents up to 30
    middle, _ = radial.gaussians(np.array([CUTOFF / 16]), CUTOFF, 9)
    np.testing.assert_allclose(middle[0, :2], np.exp(-1 / 8), rtol=4 * EPS)


@pytest.mark.parametrize("kind", [radial.bessel, radial.gaussians])
def test_the_radial_basis_is_basis_times_envelope(kind):
    expected = kind(R, CUTOFF, 7)[0] * radial.envelope(R, CUTOFF)[0][:, None]
    assert np.array_equal(radial.radial_basis(R, CUTOFF, 7, kind)[0], expected)
