"""Hydrogen peroxide: one molecule, twisted, distorted and turned at random, with Hartree-Fock labels and responses.

The torsion H-O-O-H is uniform on 0..360 degrees; the bond O-O ~ N(1.45, 0.04 angstrom), both bonds
O-H ~ N(0.965, 0.03 angstrom), both angles O-O-H ~ N(101, 5 degrees). The centre of mass is at the origin, the
rotation uniform on SO(3). Labels by RHF/6-31++G**: energy, forces, dipole, charges, the static polarizability and
the rotation parameter beta at 589.3 nm; hartree_fock.py derives the last two. 1000 frames take about 12 minutes.
"""

import numpy as np
from collect import arguments, collect, finish
from gfn2 import centred
from hartree_fock import label, level, response, solve

from se3ref.so3.rotations import random_rotation

NUMBERS = np.array([8, 8, 1, 1])
BASIS = "6-31++G**"
EXTRA = ("phi_deg: the torsion H-O-O-H, degrees; polarizabilities: static, coupled-perturbed Hartree-Fock, "
         "angstrom^3; rotations: the rotation parameter beta at 589.3 nm, atomic units, linear response (RPA) "
         "in the velocity gauge")


def peroxide(phi, oo, oh, angles):
    """Positions (4,3) of O, O, H, H: O-O along x, the first H in the plane of x and +y.

    phi: torsion H-O-O-H, radians: seen along O-O, the clockwise turn from the first H to the second.
    oo: angstrom; oh (2,): angstrom; angles (2,): O-O-H, radians.
    """
    along, across = oh * np.cos(angles), oh * np.sin(angles)
    return np.array([[0, 0, 0],
                     [oo, 0, 0],
                     [along[0], across[0], 0],
                     [oo - along[1], across[1] * np.cos(phi), across[1] * np.sin(phi)]])


def draw(rng):
    """One geometry: the torsion in degrees, and positions (4,3)."""
    phi = rng.uniform(0, 360)
    oo = rng.normal(1.45, 0.04)
    oh = rng.normal(0.965, 0.03, 2)
    angles = rng.normal(101, 5, 2)
    r = peroxide(np.radians(phi), oo, oh, np.radians(angles))
    return phi, centred(NUMBERS, r) @ random_rotation(rng).T


def rounded(rows):
    """The columns in single precision where that rounds by less (6e-8 of a value) than the noise of the SCF."""
    single = ("forces", "dipoles", "charges", "polarizabilities")
    return {key: values.astype(np.float32) if key in single else values for key, values in rows.items()}


def main():
    args = arguments("h2o2", __doc__, frames=1000, seed=1)

    def twisted(k, last):
        phi, r = draw(np.random.default_rng([args.seed, k]))
        field = solve(NUMBERS, r, BASIS)
        return {"positions": r, "phi_deg": phi, **label(field), **response(field)}

    about = {
        "what": "hydrogen peroxide, one molecule twisted, distorted and turned at random",
        "level": level(BASIS), "units": "angstrom, eV, eV/angstrom, e*angstrom, e",
        "extra": EXTRA,
        "script": "data/make_h2o2.py", "seed": args.seed,
        "sampling": "torsion uniform on 0..360 degrees, O-O ~ N(1.45, 0.04), O-H ~ N(0.965, 0.03), "
                    "O-O-H ~ N(101, 5) degrees; rotation uniform on SO(3)",
    }
    finish(args.out, {"numbers": NUMBERS, **rounded(collect(args.out, args.frames, twisted, about))}, about)


if __name__ == "__main__":
    main()
