"""Langevin dynamics by the BAOAB splitting: positions from the canonical distribution at one temperature.

Source: B. Leimkuhler, C. Matthews, Appl. Math. Res. Express 2013, 34.
Units: angstrom, femtosecond, atomic mass unit, eV, kelvin.
"""

import numpy as np

BOLTZMANN = 8.617333262e-5          # eV/K
ACCELERATION = 9.648533212e-3       # 1 eV/(angstrom amu) in angstrom/fs^2


def thermal_velocities(masses, temperature, rng):
    """Velocities (n,3) drawn from Maxwell's distribution, angstrom/fs: <m v^2> = kT in each direction."""
    return thermal_speed(masses, temperature) * rng.standard_normal((len(masses), 3))


def baoab(r, v, force, masses, steps, rng, temperature, dt, friction):
    """`steps` steps of m dv = F dt - friction m v dt + noise, from r, v (n,3) -> r, v.

    B: half a kick by the forces. A: half a drift. O: friction and noise, solved exactly.
    """
    keep = np.exp(-friction * dt)                                       # what friction leaves of a velocity
    noise = np.sqrt(1 - keep**2) * thermal_speed(masses, temperature)   # what keeps <m v^2> at kT
    kick = 0.5 * dt * ACCELERATION / masses[:, None]
    F = force(r)
    for _ in range(steps):
        v = v + kick * F                                              # B
        r = r + 0.5 * dt * v                                          # A
        v = keep * v + noise * rng.standard_normal(v.shape)           # O
        r = r + 0.5 * dt * v                                          # A
        F = force(r)
        v = v + kick * F                                              # B
    return r, v


def thermal_speed(masses, temperature):
    """sqrt(kT/m) (n,1), angstrom/fs."""
    return np.sqrt(BOLTZMANN * temperature * ACCELERATION / masses)[:, None]
