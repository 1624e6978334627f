r"""Functions of distance: radial bases, and the envelope that takes them smoothly to zero at the cutoff.

With x = r / cutoff the envelope of order p is the polynomial

    u(x) = 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2)                                   (1)

whose value and first two derivatives vanish at x = 1:  u(1) = 1 - (p^2+3p+2)/2 + p^2+2p - (p^2+p)/2 = 0, and

    u'(x) = -p(p+1)(p+2)/2 x^(p-1) (1-x)^2                                                            (2)

has a double zero there.  So energies, forces and the derivatives of forces stay continuous when an atom crosses.
The same polynomial, written so that it keeps its digits near x = 1, where (1) subtracts numbers that are nearly equal:

    u(x) = (1-x)^3 sum_{k<p} (k+1)(k+2)/2 x^k                                                         (3)

The sum is the start of the series of (1-x)^-3, so both are 1 + O(x^p); and only one polynomial of degree p+2 is that
and has a triple zero at 1.
Source: Gasteiger, Gross, Guennemann, Directional Message Passing, ICLR 2020, eq. (8); the Bessel basis is eq. (7).
"""

import math

import numpy as np


def envelope(r, cutoff, p=6):
    """u(r/cutoff) of equation (3), (e,) -> (e,), for 0 <= r < cutoff.  p >= 3."""
    x = r / cutoff
    total, rest = 0 * x, 1 - x
    for k in reversed(range(p)):
        total = total * x + (k + 1) * (k + 2) / 2

    def pull(du):
        return du * (-p * (p + 1) * (p + 2) / 2 / cutoff) * _power(x, p - 1) * rest * rest
    return rest * rest * rest * total, pull


def bessel(r, cutoff, count):
    """sqrt(2/cutoff) sin(k pi r/cutoff) / r for k = 1..count: (e,) -> (e,count).

    They solve the wave equation in a sphere, and are orthonormal there under r^2 dr.  All sines come from one sine
    and one cosine:  sin((k+1)t) = 2 cos(t) sin(kt) - sin((k-1)t), and the cosines likewise.
    """
    t = (math.pi / cutoff) * r
    sines, cosines = _multiples(t, count)
    norm = math.sqrt(2 / cutoff)
    y = norm * sines / r[:, None]

    def pull(dy):
        frequency = np.arange(1, count + 1, dtype=r.real.dtype, like=r) * (math.pi / cutoff)
        slope = (norm * frequency * cosines - y) / r[:, None]  # quotient rule
        return (dy * slope).sum(1)
    return y, pull


def gaussians(r, cutoff, count):
    """exp(-(r - mu_k)^2 / (2 s^2)), centres mu_k equally spaced on [0, cutoff], s their spacing: (e,) -> (e,count).

    Source: Schuett et al., SchNet, J. Chem. Phys. 148 (2018) 241722.
    """
    if count < 2:
        raise ValueError(f"Gaussians are spaced over [0, cutoff]: at least 2 are needed; got {count}")
    spacing = cutoff / (count - 1)
    centres = np.arange(count, dtype=r.real.dtype, like=r) * spacing
    x = (r[:, None] - centres) / spacing
    y = np.exp(-0.5 * x * x)

    def pull(dy):
        return (dy * y * x).sum(1) * (-1 / spacing)
    return y, pull


def radial_basis(r, cutoff, count, kind=bessel):
    """A basis times the envelope, (e,) -> (e,count): smooth at the cutoff, whatever linear map follows."""
    basis, pull_basis = kind(r, cutoff, count)
    u, pull_envelope = envelope(r, cutoff)

    def pull(dy):
        return pull_basis(dy * u[:, None]) + pull_envelope((dy * basis).sum(1))
    return basis * u[:, None], pull


def sines(params, r, cutoff):
    """(2/cutoff) sin(c_k r)/r with learned frequencies c (k,), 1/angstrom: (e,) -> (e,k); pull(dy) -> dc, dr.

    With c_k = k pi/cutoff these are `bessel`, but for their norm.  Source: Batzner et al. (2022), methods.
    """
    phase = r[:, None] * params
    s, c = np.sin(phase), np.cos(phase)
    y = (2 / cutoff) * s / r[:, None]

    def pull(dy):
        d = (2 / cutoff) * dy * c
        return d.sum(0), ((d * params - dy * y) / r[:, None]).sum(1)
    return y, pull


def switch(r, on, cutoff):
    """1 up to r = on, then (rc^2 - r^2)^2 (rc^2 + 2 r^2 - 3 on^2)/(rc^2 - on^2)^3: (e,) -> (e,); pull(du) -> dr.

    Continuous with its first derivative, -12 r (rc^2 - r^2) (r^2 - on^2)/(rc^2 - on^2)^3; the second one jumps.
    Source: XPLOR's manual; the CHARMM program, Brooks et al., J. Comput. Chem. 4 (1983) 187.
    """
    x, a, b = r * r, on * on, cutoff * cutoff
    inside, scale = r.real < on, (b - a) ** -3
    u = np.where(inside, 1, scale * (b - x) * (b - x) * (b + 2 * x - 3 * a))

    def pull(du):
        return du * np.where(inside, 0, -12 * scale * r * (b - x) * (x - a))
    return u, pull


def _power(x, p):
    """x^p by multiplications: `**` on complex arrays is slow and loses digits."""
    power = x
    for _ in range(p - 1):
        power = power * x
    return power


def _multiples(t, count):
    """sin(k t) and cos(k t) for k = 1..count, (e,) -> (e,count) each."""
    sines, cosines = [np.sin(t)], [np.cos(t)]
    before_s, before_c = 0 * t, 0 * t + 1                      # k = 0
    for _ in range(count - 1):
        s, c = sines[-1], cosines[-1]
        sines.append(2 * cosines[0] * s - before_s)
        cosines.append(2 * cosines[0] * c - before_c)
        before_s, before_c = s, c
    return np.stack(sines, axis=1), np.stack(cosines, axis=1)
