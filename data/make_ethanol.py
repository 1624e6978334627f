"""Ethanol at 500 K: frames of Langevin dynamics with GFN2-xTB energies, forces, dipoles and charges.

From the relaxed molecule: 2000 steps of equilibration, then a frame every 50 steps (25 fs). A stopped run
goes on where it stood, with the same result: chance is seeded anew for every frame, and the electrons start
cold there. 2000 frames take 3 to 5 minutes.
"""

import numpy as np
from collect import arguments, collect, finish
from gfn2 import GFN2, LEVEL, centred, label, masses_of, relax
from langevin import baoab, thermal_velocities

NUMBERS = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])
START = np.array([                                      # a sketch near the gauche form, angstrom
    [-1.17, -0.40, 0.00], [0.00, 0.56, 0.00], [1.19, -0.23, 0.00],          # C C O
    [-2.12, 0.15, 0.00], [-1.13, -1.04, 0.89], [-1.13, -1.04, -0.89],       # H of CH3
    [-0.04, 1.21, -0.89], [-0.04, 1.21, 0.89], [1.20, -0.80, 0.77]])        # H of CH2, H of OH
TEMPERATURE, STEP, FRICTION = 500.0, 0.5, 0.01          # K, fs, 1/fs
EQUILIBRATION, STRIDE = 2000, 50                        # steps


def main():
    args = arguments("ethanol", __doc__, frames=2000, seed=1)
    masses = masses_of(NUMBERS)
    minimum = relax(NUMBERS, START)

    def next_frame(k, last):
        rng = np.random.default_rng([args.seed, k])
        if last is None:
            r, v, steps = minimum, thermal_velocities(masses, TEMPERATURE, rng), EQUILIBRATION
        else:
            r, v, steps = last["positions"], last["velocities"], STRIDE
        molecule = GFN2(NUMBERS, r)
        r, v = baoab(r, v, lambda x: molecule(x)["forces"], masses, steps, rng, TEMPERATURE, STEP, FRICTION)
        r = centred(NUMBERS, r)
        return {"positions": r, "velocities": v, **label(NUMBERS, r)}

    about = {
        "what": "ethanol, frames of Langevin dynamics at 500 K",
        "level": LEVEL, "units": "angstrom, eV, eV/angstrom, e*angstrom, e",
        "script": "data/make_ethanol.py", "seed": args.seed,
        "dynamics": "BAOAB, 500 K, 0.5 fs, friction 0.01/fs; 2000 steps from the minimum, a frame every 50",
        "minimum": {"positions": minimum.tolist(), "energy": label(NUMBERS, minimum)["energies"]},
    }
    rows = collect(args.out, args.frames, next_frame, about)
    del rows["velocities"]
    for key in ("forces", "dipoles", "charges"):
        rows[key] = rows[key].astype(np.float32)        # rounds by 6e-8 of a value, below the label noise
    finish(args.out, {"numbers": NUMBERS, **rows}, about)


if __name__ == "__main__":
    main()
