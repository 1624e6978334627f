"""Three silver atoms, once as Ag3+ and once as Ag3-: the same geometries, other forces, with GFN2-xTB labels.

Geometries lie in turn about an equilateral triangle of 2.75 angstrom and about a line with bonds of 2.65 angstrom:
noise ~ N(0, 0.15 angstrom) on every coordinate, the centre of mass at the origin. Frames 2k and 2k + 1 are geometry k
with a total charge of +1 and -1. No model that sees positions and elements alone can tell them apart. A geometry for
which the electrons of either ion do not settle is drawn anew (2 in 100). 400 frames take 10 seconds.
"""

import numpy as np
from collect import arguments, collect, finish
from gfn2 import LEVEL, label
from tblite.exceptions import TBLiteRuntimeError

NUMBERS = np.array([47, 47, 47])
TRIANGLE = 2.75 * np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.75**0.5, 0]])     # angstrom
LINE = 2.65 * np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]])
NOISE = 0.15


def geometry_and_labels(ideal, rng):
    """Positions (3,3) about `ideal`, and the labels of Ag3+ and of Ag3- there, by total charge."""
    while True:
        r = ideal + NOISE * rng.standard_normal((3, 3))
        r = r - r.mean(0)
        try:
            return r, {charge: label(NUMBERS, r, charge) for charge in (1, -1)}
        except TBLiteRuntimeError:
            continue


def main():
    args = arguments("silver_trimers", __doc__, frames=400, seed=1)

    def ion(k, last):
        geometry, charge = k // 2, 1 - 2 * (k % 2)
        r, labels = geometry_and_labels((TRIANGLE, LINE)[geometry % 2], np.random.default_rng([args.seed, geometry]))
        return {"positions": r, "total_charges": float(charge), "geometry": geometry, **labels[charge]}

    about = {
        "what": "Ag3+ and Ag3-, in the same geometries",
        "level": LEVEL, "units": "angstrom, eV, eV/angstrom, e*angstrom, e",
        "extra": "geometry: the same for a pair of ions",
        "script": "data/make_silver_trimers.py", "seed": args.seed,
        "sampling": f"in turn about a triangle of 2.75 and a line of 2.65 angstrom, noise N(0, {NOISE}); drawn "
                    "anew where an SCF does not converge",
    }
    rows = collect(args.out, args.frames, ion, about)
    for key in ("forces", "dipoles", "charges"):
        rows[key] = rows[key].astype(np.float32)        # rounds by 6e-8 of a value, below the label noise
    finish(args.out, {"numbers": NUMBERS, **rows}, about)


if __name__ == "__main__":
    main()
