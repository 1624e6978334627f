"""Exact integrals over the sphere and over the rotation group, as finite sums.

A polynomial of degree L in cos(b) is integrated exactly by Gauss-Legendre with L//2 + 1 nodes, and one of degree L in
cos(a), sin(a) by L + 1 equally spaced angles: the sum of e^{ima} over them is zero for 0 < |m| <= L.
"""

import numpy as np

from se3ref.so3.harmonics import check_degree
from se3ref.so3.rotations import rotation_from_euler


def sphere_quadrature(L):
    """Points (n,3) and weights (n,), sum of weights 4 pi: exact for polynomials up to degree L on the unit sphere."""
    cos, weights = np.polynomial.legendre.leggauss(_check(L) // 2 + 1)
    a = 2 * np.pi * np.arange(L + 1) / (L + 1)
    cos, a = (grid.ravel() for grid in np.meshgrid(cos, a, indexing="ij"))
    sin = np.sqrt((1 - cos) * (1 + cos))
    points = np.stack([sin * np.sin(a), cos, sin * np.cos(a)], -1)         # the polar axis is y
    return points, np.repeat(weights, L + 1) * 2 * np.pi / (L + 1)


def rotation_quadrature(L):
    """Rotations (n,3,3) and weights (n,), sum 1: the Haar average of D^l entries and their products up to degree L.

    R = R_z(a) R_y(b) R_z(c) has Haar measure da d(cos b) dc / (8 pi^2).
    """
    cos, weights = np.polynomial.legendre.leggauss(_check(L) // 2 + 1)
    angle = 2 * np.pi * np.arange(L + 1) / (L + 1)
    a, b, c = (grid.ravel() for grid in np.meshgrid(angle, np.arccos(cos), angle, indexing="ij"))
    weights = np.broadcast_to(weights[None, :, None] / 2, (L + 1, len(cos), L + 1)).ravel() / (L + 1) ** 2
    return rotation_from_euler("ZYZ", np.stack([a, b, c], -1)), weights


def _check(L):
    return check_degree(L, "the degree L up to which a quadrature is exact")
