"""Noise, derivatives and jumps of functions where each is known."""

import numpy as np
import pytest

from se3ref.verify import mechanics
from se3ref.verify.differences import derivative, largest_jump, noise_level


def of(function):
    """t -> {"f": (1,)} of a function of one number."""
    return lambda t: {"f": np.atleast_1d(function(t))}


# --- noise ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("sigma", [1e-12, 1e-7, 1e-3])
def test_planted_noise(sigma):
    """Of normal noise on a smooth function: the median of three estimates from nine values each, within a factor 2."""
    rng = np.random.default_rng(0)
    found = noise_level(of(lambda t: np.cos(3 * t) + sigma * rng.standard_normal(200)), [lambda t: t] * 3)["f"]
    one = noise_level(of(lambda t: np.cos(3 * t) + sigma * rng.standard_normal()), [lambda t: t] * 3)["f"]
    assert sigma < found < 4 * sigma and sigma / 3 < one < 3 * sigma       # the largest of 200, and of one


def test_noise_of_a_smooth_function_is_its_rounding():
    assert noise_level(of(np.exp), [lambda t: 1 + t] * 3)["f"] < 4 * np.finfo(float).eps
    assert noise_level(of(lambda t: t**5 - t), [lambda t: t] * 3)["f"] < 1e-20          # of 1e-5


def test_noise_of_single_precision():
    """Rounding to a spacing d has the standard deviation d/sqrt(12): d = 2^-23 between 1 and 2."""
    rounded = of(lambda t: np.float32(np.sin(1e4 * t) + 1.5).astype(float))
    found = noise_level(rounded, [lambda t, k=k: k + t for k in range(3)])["f"]
    assert found == pytest.approx(2**-23 / 12**0.5, rel=0.8)


# --- derivatives ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("function, slope", [
    (np.exp, 1.0), (lambda t: np.sin(5 * t), 5.0), (lambda t: 1 / (0.5 + t), -4.0), (lambda t: t**7 - 2 * t, -2.0),
    (lambda t: 1e6 + t, 1.0), (lambda t: (0.2 + t) ** -12, -12 * 0.2**-13)])
def test_derivative_within_its_error(function, slope):
    noise = 2.3e-16 * abs(function(0.0)) + 1e-17
    found, error = (part["f"].item() for part in derivative(of(function), {"f": noise}))
    assert abs(found - slope) <= error and error < 1e-4 * max(1, abs(slope))


def test_derivative_is_as_good_as_its_noise_lets_it():
    """1e-9 of noise and a step of .04: some 1e-8, and it knows."""
    rng = np.random.default_rng(0)
    found, error = derivative(of(lambda t: np.sin(t) + 1e-9 * rng.standard_normal()), {"f": 1e-9})
    assert abs(found["f"] - 1) < error["f"] < 3e-7


@pytest.mark.parametrize("place", [0.0011, 0.0015, 0.003, 0.02, 0.1])
def test_derivative_knows_of_a_kink(place):
    """Of |t - a| + t, which is 0: within ten times what it says, and exact where the least step does not reach it."""
    found, error = (part["f"].item() for part in derivative(of(lambda t: abs(t - place) + t), {"f": 1e-16}))
    assert abs(found) <= 10 * error
    assert (error < 1e-11) == (place > 4 * 0.0006)


def test_derivative_near_a_place_without_values():
    """As sqrt has none below zero: small steps do not get there."""
    found, error = (part["f"].item() for part in derivative(of(
        lambda t: np.sqrt(0.005 + t) if t > -0.005 else np.nan), {"f": 1e-17}))
    assert abs(found - 0.5 / 0.005**0.5) < error < 1e-3
    nowhere = derivative(of(lambda t: np.nan), {"f": 1e-17})
    assert np.isnan(nowhere[0]["f"]).all()


# --- jumps ------------------------------------------------------------------------------------------------------

GRID = np.arange(-0.6, 0.601, 0.03)


@pytest.mark.parametrize("size", [1e-9, 1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("place", [-0.5871, 0.0412, 0.33])
def test_planted_jumps(size, place):
    """To a part in a thousand, where what is smooth does not drown it: here it changes by 1e-9 over a width of 1e-3."""
    found, t = largest_jump(lambda t: np.array([np.cos(t), size * (t > place)]), GRID, 1e-14)
    assert found == pytest.approx(size, rel=1e-3) and t == pytest.approx(place, abs=1e-9)


def test_a_function_that_ends():
    """(c - t)^2 below c has a kink in its slope 2 (c - t), and a jump in the next."""
    ends = [lambda t: np.maximum(0.4 - t, 0) ** 2, lambda t: 2 * np.maximum(0.4 - t, 0), lambda t: 2.0 * (t < 0.4)]
    assert [largest_jump(lambda t, f=f: np.array([f(t)]), GRID, 1e-13)[0] for f in ends] == pytest.approx([0, 0, 2.0])


@pytest.mark.parametrize("function", [np.cos, lambda t: np.exp(-8 * t), lambda t: 0 * t, lambda t: t**3 - t,
                                      lambda t: np.cos(t) + 1e-13 * np.sin(1e9 * t)])
def test_nothing_jumps(function):
    assert largest_jump(lambda t: np.array([function(t)]), GRID, 1e-11)[0] == 0


# --- dynamics ---------------------------------------------------------------------------------------------------

def test_energy_lost_in_single_steps_is_left_out():
    """A drift stays for the greater part; jumps do not."""
    t = np.linspace(0, 1, 49)
    assert mechanics._departure(1e-3 * t) > 0.7e-3
    assert mechanics._departure(1e-9 * (t > 0.3) + 2e-9 * (t > 0.7)) == 0
    assert mechanics._departure(np.ones(49)) == 0
