"""1,2-dichloroethane: a relaxed scan of the Cl-C-C-Cl torsion, with GFN2-xTB labels.

Every frame is relaxed under a restraint 100 eV/rad^2 (phi - target)^2 that is left out of its energy and
forces, so the angle reached, `phi_deg`, is off its target by a few hundredths of a degree. 72 frames take
about 10 seconds.
"""

import numpy as np
from collect import arguments, collect, finish
from gfn2 import LEVEL, label, relax

NUMBERS = np.array([17, 6, 6, 17, 1, 1, 1, 1])
STIFFNESS = 100.0                   # eV/rad^2


def sketch(phi):
    """Standard bond lengths and tetrahedral angles: positions (8,3) with the torsion phi (radians)."""
    half = 0.76                                         # of the C-C bond, which lies along x
    lengths = np.array([[1.79], [1.09], [1.09]])        # C-Cl, C-H, C-H

    def substituents(end, turn):
        angles = turn + np.radians([0, 120, 240])
        directions = np.stack([end * np.ones(3), 8**0.5 * np.cos(angles), 8**0.5 * np.sin(angles)], 1) / 3
        return [end * half, 0, 0] + lengths * directions

    one, other = substituents(-1, 0.0), substituents(+1, phi)
    return np.stack([one[0], [-half, 0, 0], [half, 0, 0], other[0], one[2], one[1], other[1], other[2]])


def torsion(r):
    """The dihedral angle of the first four atoms in radians, -pi..pi, and its gradient (n,3).

    Seen along b -> c, phi is the clockwise turn from a to d.
    Source: A. Blondel, M. Karplus, J. Comput. Chem. 17, 1132 (1996).
    """
    a, b, c, d = r[:4]
    f, g, h = a - b, b - c, d - c
    m, n = np.cross(f, g), np.cross(h, g)               # normals of the planes abc and bcd
    length = np.sqrt(g @ g)
    phi = np.arctan2(np.cross(n, m) @ g / length, m @ n)
    da, dd = -length * m / (m @ m), length * n / (n @ n)
    shift = (f @ g) / (m @ m * length) * m - (h @ g) / (n @ n * length) * n
    gradient = np.zeros_like(r)
    gradient[:4] = da, shift - da, -shift - dd, dd      # the sum is zero: translations leave phi alone
    return phi, gradient


def short_way(angle):
    """The same angle (radians) in -pi..pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def restraint(target):
    """100 (phi - target)^2 and its gradient, the difference taken the short way round."""
    def value_and_gradient(r):
        phi, gradient = torsion(r)
        difference = short_way(phi - target)
        return STIFFNESS * difference**2, 2 * STIFFNESS * difference * gradient
    return value_and_gradient


def main():
    args = arguments("dichloroethane", __doc__, frames=72)

    def point(k, last):
        target = 2 * np.pi * (k + 1) / args.frames
        r = relax(NUMBERS, sketch(target), restraint(target))
        phi = target + short_way(torsion(r)[0] - target)
        return {"positions": r, "phi_deg": np.degrees(phi), **label(NUMBERS, r)}

    about = {
        "what": "1,2-dichloroethane, relaxed scan of the torsion Cl-C-C-Cl",
        "level": LEVEL, "units": "angstrom, eV, eV/angstrom, e*angstrom, e",
        "script": "data/make_dichloroethane.py", "seed": None,
        "restraint": "100 eV/rad^2 (phi - target)^2, not in the energies and forces",
        "extra": "phi_deg: the torsion reached, degrees",
        "targets": f"{args.frames}, evenly from {360 / args.frames:g} to 360 degrees",
    }
    finish(args.out, {"numbers": NUMBERS, **collect(args.out, args.frames, point, about)}, about)


if __name__ == "__main__":
    main()
