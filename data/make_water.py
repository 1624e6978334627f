"""Water: one molecule, distorted at random about its minimum and turned at random, with GFN2-xTB labels.

Both bond lengths are drawn from N(minimum, 0.05 angstrom), the angle from N(minimum, 7 degrees).
The centre of mass is at the origin, the rotation uniform on SO(3). 1000 frames take a few seconds.
"""

import numpy as np
from collect import arguments, collect, finish
from gfn2 import LEVEL, centred, label, relax

from se3ref.so3.rotations import random_rotation

NUMBERS = np.array([8, 1, 1])
BOND_SPREAD, ANGLE_SPREAD = 0.05, 7.0                   # angstrom, degrees


def water(r1, r2, angle):
    """Positions (3,3) of O, H, H: bonds r1, r2 (angstrom) in the xy plane, `angle` degrees apart about x."""
    half = np.radians(angle) / 2
    return np.array([[0, 0, 0],
                     [r1 * np.cos(half), r1 * np.sin(half), 0],
                     [r2 * np.cos(half), -r2 * np.sin(half), 0]])


def internal(r):
    """r1, r2 (angstrom) and the angle (degrees) of positions (3,3)."""
    a, b = r[1] - r[0], r[2] - r[0]
    r1, r2 = np.linalg.norm(a), np.linalg.norm(b)
    return r1, r2, np.degrees(np.arccos(a @ b / (r1 * r2)))


def main():
    args = arguments("water", __doc__, frames=1000, seed=1)
    minimum = relax(NUMBERS, water(0.96, 0.96, 104.5))
    r1, r2, angle = internal(minimum)
    bond = (r1 + r2) / 2

    def distorted(k, last):
        rng = np.random.default_rng([args.seed, k])
        r1, r2 = rng.normal(bond, BOND_SPREAD, 2)
        bend = rng.normal(angle, ANGLE_SPREAD)
        r = centred(NUMBERS, water(r1, r2, bend)) @ random_rotation(rng).T
        return {"positions": r, "r1": r1, "r2": r2, "angle_deg": bend, **label(NUMBERS, r)}

    at_rest = label(NUMBERS, minimum)
    about = {
        "what": "water, one molecule distorted and turned at random",
        "level": LEVEL, "units": "angstrom, eV, eV/angstrom, e*angstrom, e",
        "extra": "r1, r2: the two bonds, angstrom; angle_deg: between them, degrees",
        "script": "data/make_water.py", "seed": args.seed,
        "sampling": "r1, r2 ~ N(minimum, 0.05), angle ~ N(minimum, 7); rotation uniform on SO(3)",
        "minimum": {"positions": minimum.tolist(), "energy": at_rest["energies"],
                    "dipole": at_rest["dipoles"].tolist(), "bond": bond, "angle_deg": angle},
    }
    finish(args.out, {"numbers": NUMBERS, **collect(args.out, args.frames, distorted, about)}, about)


if __name__ == "__main__":
    main()
