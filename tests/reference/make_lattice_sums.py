"""Lattice sums to 25 digits by mpmath: `python tests/reference/make_lattice_sums.py`, about two minutes.

Four random systems: cubic, strongly triclinic, charged, and charged with Gaussian charges.  Ewald's formula as it is
written in books, pair by pair and wave by wave in 30 digits, with both sums carried to terms below 1e-26; what is
frozen does not depend on the splitting parameter, which is checked with two of them.  coulomb = 1.
"""

from itertools import product
from pathlib import Path

import mpmath as mp
import numpy as np

mp.mp.dps = 30
SYSTEMS = {                                                    # seed, ions, edge of the cell, skew, charge, widths
    "cubic": (1, 6, 5.0, 0.0, 0.0, False),
    "triclinic": (2, 6, 5.5, 0.6, 0.0, False),
    "charged": (3, 5, 5.0, 0.3, 0.7, False),
    "gaussian": (4, 5, 5.0, 0.3, 0.5, True),
}


def system(seed, n, edge, skew, charge, gaussian):
    """positions, charges, cell, widths: floats, exact as mpmath numbers."""
    rng = np.random.default_rng(seed)
    cell = edge * (np.eye(3) + skew * np.tril(rng.uniform(-1, 1, (3, 3)), -1))
    while True:
        positions = rng.random((n, 3)) @ cell
        apart = [np.linalg.norm(positions[i] - positions[j] + np.array(s) @ cell) for i in range(n) for j in range(n)
                 for s in product((-1, 0, 1), repeat=3) if i != j or any(s)]
        if min(apart) > 1.2:
            break
    charges = rng.uniform(-1, 1, n)
    charges += (charge - charges.sum()) / n
    return positions, charges, cell, rng.uniform(0.3, 0.5, n) if gaussian else None


def lattice_sum(positions, charges, cell, widths, alpha):
    """energy, forces, potential, stress."""
    n = len(charges)
    r, q, h = ([[mp.mpf(float(x)) for x in row] for row in np.atleast_2d(a)] for a in (positions, charges, cell))
    q, h, alpha = q[0], mp.matrix(h), mp.mpf(alpha)
    V, inverse = abs(mp.det(h)), h**-1
    phi, F, S = [mp.mpf(0)] * n, [[mp.mpf(0)] * 3 for _ in range(n)], [[mp.mpf(0)] * 3 for _ in range(3)]
    Q = sum(q)
    reach = [int(mp.ceil(mp.mpf(8.3) / alpha * mp.sqrt(sum(inverse[i, d] ** 2 for i in range(3))))) + 1
             for d in range(3)]
    for i, j, s in product(range(n), range(n), product(*(range(-m, m + 1) for m in reach))):
        if i == j and not any(s):
            continue
        v = [r[j][a] - r[i][a] + sum(s[d] * h[d, a] for d in range(3)) for a in range(3)]
        d = mp.sqrt(sum(x * x for x in v))
        if alpha * d > 8.3:
            continue
        g, dg = screened(d, alpha)
        if widths is not None:
            gamma = 1 / mp.sqrt(2 * (mp.mpf(float(widths[i])) ** 2 + mp.mpf(float(widths[j])) ** 2))
            f, df = screened(d, gamma)
            g, dg = g - f, dg - df
        phi[i] += q[j] * g
        for a in range(3):
            F[i][a] += q[i] * q[j] * dg * v[a] / d
            for b in range(3):
                S[a][b] += q[i] * q[j] * dg * v[a] * v[b] / d / 2
    waves(r, q, h, inverse, V, alpha, phi, F, S)
    for i in range(n):
        phi[i] -= 2 * alpha / mp.sqrt(mp.pi) * q[i] + mp.pi * Q / (V * alpha**2)
    for a in range(3):
        S[a][a] += mp.pi * Q**2 / (2 * V * alpha**2)
    if widths is not None:                                     # the pairs' clouds, at k = 0
        s2 = [mp.mpf(float(s)) ** 2 for s in widths]
        spread = sum(x * y for x, y in zip(q, s2, strict=True))
        phi = [x + 2 * mp.pi / V * (Q * y + spread) for x, y in zip(phi, s2, strict=True)]
        for a in range(3):
            S[a][a] -= 2 * mp.pi / V * Q * spread
    E = sum(x * y for x, y in zip(q, phi, strict=True)) / 2
    return E, F, phi, [[x / V for x in row] for row in S]


def screened(d, a):
    value = mp.erfc(a * d) / d
    return value, -(value + 2 * a / mp.sqrt(mp.pi) * mp.exp(-(a * d) ** 2)) / d


def waves(r, q, h, inverse, V, alpha, phi, F, S):
    most = [int(2 * alpha * 8.3 * mp.sqrt(sum(h[d, a] ** 2 for a in range(3))) / (2 * mp.pi)) + 1 for d in range(3)]
    for m in product(*(range(-x, x + 1) for x in most)):
        if m <= (0, 0, 0):                                     # the other half is equal
            continue
        k = [2 * mp.pi * sum(inverse[a, d] * m[d] for d in range(3)) for a in range(3)]
        k2 = sum(x * x for x in k)
        if k2 > (2 * alpha * 8.3) ** 2:
            continue
        w = 2 * 4 * mp.pi / V * mp.exp(-k2 / (4 * alpha**2)) / k2
        angle = [sum(k[a] * x[a] for a in range(3)) for x in r]
        c, s = [mp.cos(x) for x in angle], [mp.sin(x) for x in angle]
        Sc, Ss = (sum(x * y for x, y in zip(q, t, strict=True)) for t in (c, s))
        for i in range(len(q)):
            phi[i] += w * (Sc * c[i] + Ss * s[i])
            for a in range(3):
                F[i][a] += w * q[i] * k[a] * (Sc * s[i] - Ss * c[i])
        energy = w * (Sc**2 + Ss**2) / 2
        for a in range(3):
            S[a][a] -= energy
            for b in range(3):
                S[a][b] += energy * 2 * (1 / k2 + 1 / (4 * alpha**2)) * k[a] * k[b]


def main():
    frozen = {}
    for name, settings in SYSTEMS.items():
        positions, charges, cell, widths = system(*settings)
        found, again = (lattice_sum(positions, charges, cell, widths, alpha) for alpha in (0.8, 0.95))
        assert abs(found[0] - again[0]) < mp.mpf(10) ** -24, found[0] - again[0]
        frozen |= {f"{name}_{key}": np.array(value, float) for key, value in zip(
            ("energy", "forces", "potential", "stress"), found, strict=True)}
        frozen |= {f"{name}_positions": positions, f"{name}_charges": charges, f"{name}_cell": cell}
        if widths is not None:
            frozen[f"{name}_widths"] = widths
        print(name, found[0])
    np.savez(Path(__file__).with_name("lattice_sums.npz"), **frozen)


if __name__ == "__main__":
    main()
