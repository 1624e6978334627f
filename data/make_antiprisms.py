"""SF6 distorted to trigonal antiprisms: pairs that share every list of distances and differ in energy.

The six fluorines stand at +v1, -v1, +v2, -v2, +v3, -v3, 1.58 angstrom from the sulphur at the origin, and the
cosine between any two of the three axes is +c in member A of a pair, -c in B. Every fluorine is sqrt(2 (1 - c)) bond
lengths from one end of another axis and sqrt(2 (1 + c)) from its other end, in A and in B alike. Exchanging the
ends of an axis changes the sign of two of the cosines, so only the product of all three, +c^3 or -c^3, tells A
from B. Labels by GFN2-xTB, and a second energy by RHF/6-31G*. Eight frames take about half a minute.
"""

import numpy as np
from collect import arguments, collect, finish
from gfn2 import HARTREE, LEVEL, label
from hartree_fock import level, solve

NUMBERS = np.array([16, 9, 9, 9, 9, 9, 9])
BOND = 1.58                         # angstrom
BASIS = "6-31G*"


def antiprism(cosine):
    """Positions (7,3) of S, F at v1 v2 v3, F at -v1 -v2 -v3. The rows of v solve v v^T = table of cosines."""
    v = BOND * np.linalg.cholesky(np.where(np.eye(3), 1.0, cosine))
    return np.concatenate([np.zeros((1, 3)), v, -v])


def main():
    args = arguments("antiprisms", __doc__, frames=8)

    def member(k, last):
        c, which = (1 + k // 2) / 20, 1 - 2 * (k % 2)      # 0.05, 0.10, ...; A, B
        r = antiprism(which * c)
        return {"positions": r, "c": c, "which": which, **label(NUMBERS, r),
                "energies_hf": solve(NUMBERS, r, BASIS).e_tot * HARTREE}

    about = {
        "what": "SF6 distorted to trigonal antiprisms, in pairs that share every distance",
        "level": LEVEL, "units": "angstrom, eV, eV/angstrom, e*angstrom, e",
        "level_hf": level(BASIS),
        "extra": "c: the cosine between any two of the three axes is c * which; which: 1 is member A of the pair, "
                 "-1 B; energies_hf: eV",
        "script": "data/make_antiprisms.py", "seed": None,
    }
    finish(args.out, {"numbers": NUMBERS, **collect(args.out, args.frames, member, about)}, about)


if __name__ == "__main__":
    main()
