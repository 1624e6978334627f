"""Hydrogen peroxide along its torsion, every 10 degrees, at the mean bonds and angles of the set `h2o2`.

Bonds 1.45 and 0.965 angstrom, angles 101 degrees; the centre of mass at the origin, the same labels as `make_h2o2.py`.
36 frames take half a minute.
"""

import numpy as np
from collect import arguments, collect, finish
from gfn2 import centred
from hartree_fock import label, level, response, solve
from make_h2o2 import BASIS, EXTRA, NUMBERS, peroxide, rounded


def main():
    args = arguments("h2o2_scan", __doc__, frames=36)

    def twisted(k, last):
        phi = 360.0 * k / args.frames
        r = centred(NUMBERS, peroxide(np.radians(phi), 1.45, np.full(2, 0.965), np.full(2, np.radians(101))))
        field = solve(NUMBERS, r, BASIS)
        return {"positions": r, "phi_deg": phi, **label(field), **response(field)}

    about = {
        "what": "hydrogen peroxide along its torsion",
        "level": level(BASIS), "units": "angstrom, eV, eV/angstrom, e*angstrom, e", "extra": EXTRA,
        "script": "data/make_h2o2_scan.py", "seed": None,
        "sampling": "torsion every 10 degrees, O-O 1.45, O-H 0.965 angstrom, O-O-H 101 degrees",
    }
    finish(args.out, {"numbers": NUMBERS, **rounded(collect(args.out, args.frames, twisted, about))}, about)


if __name__ == "__main__":
    main()
