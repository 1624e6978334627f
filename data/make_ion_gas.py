"""A gas of ions: 32 Na+ and 32 Cl- at random places of a periodic cube of 15 angstrom, none nearer than 2 angstrom.

Places are uniform; then the ions go down the slope of their repulsion alone, step by step, until the shortest distance
exceeds 2 angstrom. Unlike a melt, such a gas has no order that screens the charges: its energy comes from far away.
Labels as in ions.py. 250 frames take a few seconds.
"""

import numpy as np
from collect import arguments, collect, finish
from ions import about, as_stored, checkerboard, columns, label, nearest, repulsion

NUMBERS, _ = checkerboard(4)
EDGE, SHORTEST = 15.0, 2.0          # angstrom


def pushed_apart(positions):
    """Steepest descent on the repulsion: steps of 0.05 angstrom^2/eV times the force, at most 0.2 angstrom each way."""
    while nearest(positions, EDGE)[3].min() <= SHORTEST:
        positions = positions + np.clip(0.05 * repulsion(NUMBERS, positions, EDGE)[1], -0.2, 0.2)
    return positions


def main():
    args = arguments("ion_gas", __doc__, frames=250, seed=1)

    def gas(k, last):
        r = np.random.default_rng([args.seed, k]).uniform(0, EDGE, (len(NUMBERS), 3))
        r = as_stored(pushed_apart(r), EDGE)
        return {"positions": r, **label(NUMBERS, r, EDGE)}

    facts = about("data/make_ion_gas.py", args.seed, EDGE, what="a gas of sodium and chloride ions in a periodic cube",
                  sampling=f"uniform, pushed apart to more than {SHORTEST} angstrom by their repulsion")
    finish(args.out, {"numbers": NUMBERS, **columns(collect(args.out, args.frames, gas, facts), EDGE)}, facts)


if __name__ == "__main__":
    main()
