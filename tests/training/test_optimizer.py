"""Adam, its decay, clipping and schedule do what their equations say."""

import numpy as np
import pytest

from se3ref.training.optimizer import Adam, clipped, schedule

EPS = np.finfo(np.float64).eps


def adam_by_the_paper(theta, gradients, rate, decay, beta1=0.9, beta2=0.999, eps=1e-8):
    """The equations written out, without state in place."""
    m = v = np.zeros_like(theta)
    for t, g in enumerate(gradients, 1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        theta = theta - rate * ((m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps) + decay * theta)
    return theta


def test_adam_is_the_paper():
    rng = np.random.default_rng(0)
    theta, gradients = rng.standard_normal(5), rng.standard_normal((7, 5))
    expected = adam_by_the_paper(theta, gradients, 0.1, 0.02)
    adam = Adam.start(theta)
    for g in gradients:
        adam.update(theta, g, 0.1, 0.02)
    assert adam.steps == 7
    assert np.abs(theta - expected).max() <= 64 * EPS          # a dozen roundings a step


def test_the_first_step_has_the_length_of_the_rate():
    """The unbiased moments make m/sqrt(v) = sign(g) at the first step, whatever the size of g."""
    for size in (1e-6, 1.0, 1e6):
        theta = np.zeros(3)
        Adam.start(theta).update(theta, size * np.array([1.0, -2.0, 3.0]), rate=0.1)
        assert np.allclose(theta, [-0.1, 0.1, -0.1], rtol=0.02)           # eps = 1e-8 beside 1e-6


def test_adam_finds_the_minimum_of_a_skewed_bowl():
    theta, curvature = np.array([3.0, -2.0]), np.array([100.0, 0.1])
    adam = Adam.start(theta)
    for k in range(2000):
        adam.update(theta, curvature * theta, 0.05 * schedule(k / 2000))
    assert np.abs(theta).max() < 1e-2


def test_clipping_keeps_the_direction():
    g = np.array([3.0, 4.0])
    assert np.array_equal(clipped(g, 10.0), g)
    assert np.allclose(clipped(g, 1.0), [0.6, 0.8], rtol=4 * EPS)


@pytest.mark.parametrize("progress, factor", [(0, 1), (0.3, 1), (1, 0.01), (0.65, 0.505)])
def test_schedule(progress, factor):
    assert schedule(progress) == pytest.approx(factor, rel=1e-12)
