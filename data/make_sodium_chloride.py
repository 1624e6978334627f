"""Hot sodium chloride: Langevin dynamics of 32 Na+ and 32 Cl- at 1300 K in a periodic cube of 12.08 angstrom.

From rock salt: 800 steps of equilibration, then a frame every 10 steps (20 fs). Nature's salt is molten at 1300 K; this
small, dense crystal (1.76 g/cm^3) stays one for these few picoseconds, its ions swinging widely about their sites. A
stopped run goes on where it stood, with the same result. Labels as in ions.py. 200 frames take half a minute.
"""

import numpy as np
from collect import arguments, collect, finish
from ions import about, as_stored, checkerboard, columns, coulomb, label, repulsion
from langevin import baoab, thermal_velocities

NUMBERS, SITES = checkerboard(4)
EDGE = 12.08                        # angstrom
MASSES = np.where(NUMBERS == 11, 22.990, 35.45)         # standard atomic weights, atomic mass units
TEMPERATURE, STEP, FRICTION = 1300.0, 2.0, 0.02         # K, fs, 1/fs
EQUILIBRATION, STRIDE = 800, 10                         # steps


def force(r):
    """Forces (n,3) on the way: Ewald's sum to 1e-6, far below the thermal noise."""
    return coulomb(NUMBERS, r, EDGE, accuracy=1e-6).forces + repulsion(NUMBERS, r, EDGE)[1]


def main():
    args = arguments("sodium_chloride", __doc__, frames=200, seed=1)

    def next_frame(k, last):
        rng = np.random.default_rng([args.seed, k])
        if last is None:
            r, v, steps = SITES * EDGE / 4, thermal_velocities(MASSES, TEMPERATURE, rng), EQUILIBRATION
        else:
            r, v, steps = last["positions"], last["velocities"], STRIDE
        r, v = baoab(r, v, force, MASSES, steps, rng, TEMPERATURE, STEP, FRICTION)
        r = as_stored(r, EDGE)
        return {"positions": r, "velocities": v, **label(NUMBERS, r, EDGE)}

    facts = about("data/make_sodium_chloride.py", args.seed, EDGE, what="hot sodium chloride, 1300 K",
                  dynamics=f"BAOAB, {TEMPERATURE:g} K, {STEP:g} fs, friction {FRICTION}/fs; {EQUILIBRATION} steps from "
                           f"rock salt, a frame every {STRIDE}")
    rows = collect(args.out, args.frames, next_frame, facts)
    del rows["velocities"]
    finish(args.out, {"numbers": NUMBERS, **columns(rows, EDGE)}, facts)


if __name__ == "__main__":
    main()
