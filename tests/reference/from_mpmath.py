"""Compute harmonics and Wigner matrices of high degree with mpmath, exact sums at 50 digits and more.

Nothing here shares a formula with the library: associated Legendre functions come from the explicit
polynomial, Wigner's d from Wigner's own sum, and both are checked against each other before they are stored.
Axes: the polar axis is y. With (X, Y, Z) = (z, x, y) everything below is the textbook's z-polar form.
"""

from math import comb, factorial

import mpmath
import numpy as np
from mpmath import mp, mpf

DIGITS = 50  # of every number before it is rounded to float64
GUARD = 150  # further working digits: the alternating sums at l = 100 lose about 80
HARMONIC_DEGREES = (20, 50, 100)
WIGNER_DEGREES = (20, 50)


def legendre_derivative(l, m, t):
    """d^m/dt^m of P_l(t) = 2^-l sum_k (-1)^k C(l,k) C(2l-2k,l) t^(l-2k) (Abramowitz and Stegun 22.3.8)."""
    terms = (
        (-1) ** k * comb(l, k) * comb(2 * l - 2 * k, l) * (factorial(l - 2 * k) // factorial(l - 2 * k - m))
        * t ** (l - 2 * k - m)
        for k in range((l - m) // 2 + 1)
    )
    return mp.fsum(terms) / mpf(2) ** l


def harmonics(l, xyz):
    """Real harmonics of degree l at one point of any length, m = -l..l, integral normalisation.

    Y_lm = N_lm P_l^(m)(Z) {sqrt2 Re (X+iY)^m for m > 0, 1 for m = 0, sqrt2 Im (X+iY)^|m| for m < 0},
    N_lm = sqrt((2l+1)/4pi (l-m)!/(l+m)!), and no Condon-Shortley sign.
    """
    r = mp.sqrt(sum(x * x for x in xyz))
    Y, Z, X = (x / r for x in xyz)
    values = [mpf(0)] * (2 * l + 1)
    for m in range(l + 1):
        norm = mp.sqrt((2 * l + 1) * mpf(factorial(l - m)) / (4 * mp.pi * factorial(l + m)))
        polar = norm * legendre_derivative(l, m, Z)
        azimuth = mpmath.mpc(X, Y) ** m
        if m == 0:
            values[l] = polar
        else:
            values[l + m] = mp.sqrt(2) * polar * azimuth.real
            values[l - m] = mp.sqrt(2) * polar * azimuth.imag
    return values


def nearest_rotation(R):
    """The orthogonal factor of the polar decomposition of a float64 matrix, by Newton's X <- (X + X^-T)/2."""
    X = mp.matrix(R.tolist())
    for _ in range(12):
        X = (X + (X**-1).T) / 2
    return X


def euler_zyz(R):
    """Angles of R = Rz(alpha) Ry(beta) Rz(gamma) in the axes (X, Y, Z) = (z, x, y); R an mpmath matrix."""
    Z, X, Y = 1, 2, 0  # where the textbook axes stand among ours
    alpha = mp.atan2(R[Y, Z], R[X, Z])
    beta = mp.acos(R[Z, Z])
    gamma = mp.atan2(R[Z, Y], -R[Z, X])
    return alpha, beta, gamma


def small_d(l, beta):
    """Wigner's d^l_{m'm}(beta) by his sum (Sakurai, Modern Quantum Mechanics, 3.8.33), an mpmath matrix."""
    c, s = mp.cos(beta / 2), mp.sin(beta / 2)
    cos_powers = [c**k for k in range(2 * l + 1)]
    sin_powers = [s**k for k in range(2 * l + 1)]
    f = [mpf(factorial(k)) for k in range(2 * l + 1)]
    d = mp.matrix(2 * l + 1, 2 * l + 1)
    for a in range(-l, l + 1):
        for b in range(-l, l + 1):
            total = mp.fsum(
                (-1) ** (k + a - b) * cos_powers[2 * l - 2 * k + b - a] * sin_powers[2 * k + a - b]
                / (f[k] * f[l - k - a] * f[l - k + b] * f[k + a - b])
                for k in range(max(0, b - a), min(l - a, l + b) + 1)
            )
            d[l + a, l + b] = mp.sqrt(f[l + a] * f[l - a] * f[l + b] * f[l - b]) * total
    return d


def real_from_complex(l):
    """U with S = U Y: real harmonics from complex ones that carry the Condon-Shortley sign (-1)^m, m > 0."""
    U = mp.matrix(2 * l + 1, 2 * l + 1)
    U[l, l] = mpf(1)
    half = 1 / mp.sqrt(2)
    for m in range(1, l + 1):
        U[l + m, l + m], U[l + m, l - m] = (-1) ** m * half, half
        U[l - m, l + m], U[l - m, l - m] = -1j * (-1) ** m * half, 1j * half
    return U


def wigner_D(l, R):
    """Real D^l with Y(Rx) = D Y(x); R an exactly orthogonal mpmath matrix.

    The textbook's D acts on functions, (R f)(x) = f(R^-1 x), so Y_lm(Rx) = sum_m' conj(D_mm'(R)) Y_lm'(x).
    """
    alpha, beta, gamma = euler_zyz(R)
    d = small_d(l, beta)
    left = mp.diag([mp.expj(m * alpha) for m in range(-l, l + 1)])
    right = mp.diag([mp.expj(m * gamma) for m in range(-l, l + 1)])
    U = real_from_complex(l)
    D = U * left * d * right * U.H
    return D.apply(mp.re), max(abs(mp.im(x)) for x in D)


def violation(l, R, D, xyz):
    """Largest |Y(Rx) - D Y(x)| at one point."""
    rotated = R * mp.matrix(xyz)
    difference = mp.matrix(harmonics(l, list(rotated))) - D * mp.matrix(harmonics(l, xyz))
    return max(abs(x) for x in difference)


def points():
    """Six float64 points: two generic, beside both poles of the axis y, on the equator, the exact pole."""
    return np.array(
        [
            [0.3, -0.7, 1.1],
            [-2.0, 0.4, -0.9],
            [1e-9, 1.0, -2e-9],
            [-1e-9, -1.0, 1e-9],
            [0.6, 0.0, -0.8],
            [0.0, 1.0, 0.0],
        ]
    )


def rotation_matrices(q):
    """Rotation matrices (n,3,3) of quaternions (w, x, y, z), (n,4) of any length, in the type of q."""
    w, x, y, z = (q / np.sqrt((q * q).sum(1, keepdims=True))).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def rotations(rng):
    """Two float64 matrices nearer to an exact rotation than rounding usually leaves them.

    Of 10^5 random rotations these have the smallest defect R^T R - I (in long double), so what 'the
    rotation R' means is ambiguous by much less than 1e-16.
    """
    q = rng.normal(size=(100_000, 4)).astype(np.longdouble)
    R = rotation_matrices(q).astype(np.float64)
    exact = R.astype(np.longdouble)
    defect = np.abs(np.swapaxes(exact, 1, 2) @ exact - np.eye(3)).max(axis=(1, 2))
    return R[np.argsort(defect)[:2]]


def to_float64(values):
    """mpmath numbers, rounded once."""
    return np.array([float(x) for x in values])


def checked_harmonics(l, xyz):
    """Harmonics of one float64 point; the addition theorem sum_m Y^2 = (2l+1)/4pi must hold to all digits."""
    values = harmonics(l, [mpf(float(x)) for x in xyz])
    assert abs(mp.fsum(v * v for v in values) - (2 * l + 1) / (4 * mp.pi)) < mpf(10) ** -DIGITS
    return to_float64(values)


def checked_wigner_D(l, R):
    """D^l of a float64 matrix; Y(Rx) = D Y(x) must hold to all digits at three points."""
    exact = nearest_rotation(R)
    D, imaginary = wigner_D(l, exact)
    assert imaginary < mpf(10) ** -DIGITS
    for xyz in points()[:3]:
        assert violation(l, exact, D, [mpf(float(x)) for x in xyz]) < mpf(10) ** -DIGITS
    return to_float64(D).reshape(2 * l + 1, 2 * l + 1)


def write(folder):
    """Write high_degree.npz into the folder (a pathlib.Path)."""
    mp.dps = DIGITS + GUARD
    xyz, R = points(), rotations(np.random.default_rng(20240612))
    defect = [max(abs(x) for x in nearest_rotation(r) - mp.matrix(r.tolist())) for r in R]
    table = {"xyz": xyz, "R": R, "R_defect": to_float64(defect)}
    for l in HARMONIC_DEGREES:
        table[f"Y_{l}"] = np.array([checked_harmonics(l, x) for x in xyz])
    for l in WIGNER_DEGREES:
        table[f"D_{l}"] = np.array([checked_wigner_D(l, r) for r in R])
    source = f"mpmath {mpmath.__version__}, checked to {DIGITS} digits, rounded to float64"
    np.savez_compressed(folder / "high_degree.npz", **table, source=np.array(source))
