"""Formate and ammonium, a pair of ions at growing separations, with density-fitted Hartree-Fock labels.

Both ions are rigid, relaxed by GFN2-xTB each on its own. For every orientation both are turned at random about
their centres, and ammonium is moved along a line through both centres until the shortest distance between an atom of
one ion and an atom of the other is 1.8, 2.2, ..., 15 angstrom. Labels by DF-RHF/def2-SVP: energy, forces, dipole,
charges, and the interaction energy: that of the pair less those of the two ions alone, each in its own basis (no
counterpoise correction). Why not GFN2-xTB: there, charge leaks from the anion to a cation far away. 128 pairs take 2
to 3 minutes.
"""

import numpy as np
from collect import arguments, collect, finish
from gfn2 import HARTREE, centred, relax
from hartree_fock import label, level, solve

from se3ref.so3.rotations import random_rotation

FORMATE, AMMONIUM = np.array([6, 8, 8, 1]), np.array([7, 1, 1, 1, 1])
NUMBERS = np.concatenate([FORMATE, AMMONIUM])
BASIS = "def2-SVP"
SEPARATIONS = [1.8, 2.2, 2.6, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9, 10.5, 12, 15]     # angstrom
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5


def ions():
    """Formate (4,3) and ammonium (5,3), relaxed, their centres (the mean of the positions) at the origin."""
    formate = np.array([[0, 0, 0], [1.1, 0.6, 0], [-1.1, 0.6, 0], [0, -1.1, 0]])
    ammonium = np.concatenate([np.zeros((1, 3)), 1.03 * TETRAHEDRON])
    relaxed = relax(FORMATE, formate, charge=-1), relax(AMMONIUM, ammonium, charge=1)
    return [r - r.mean(0) for r in relaxed]


def approached(a, b, separation):
    """b (m,3) moved along x to where the shortest distance to a (n,3) first is `separation`, coming from far away.

    Two atoms dx apart along x and d across are as near as that when b has moved by sqrt(separation^2 - d^2) - dx.
    """
    dx, dy, dz = np.moveaxis(b[:, None] - a, 2, 0)
    square = separation**2 - dy**2 - dz**2
    meeting = square > 0
    return b + [(np.sqrt(square[meeting]) - dx[meeting]).max(), 0, 0]


def main():
    args = arguments("formate_ammonium", __doc__, frames=8 * len(SEPARATIONS), seed=1)
    formate, ammonium = ions()
    alone = [solve(FORMATE, formate, BASIS, -1, fitted=True), solve(AMMONIUM, ammonium, BASIS, 1, fitted=True)]
    energies = [ion.e_tot * HARTREE for ion in alone]

    def pair(k, last):
        orientation, step = divmod(k, len(SEPARATIONS))
        rng = np.random.default_rng([args.seed, orientation])
        a, b = formate @ random_rotation(rng).T, ammonium @ random_rotation(rng).T
        r = centred(NUMBERS, np.concatenate([a, approached(a, b, SEPARATIONS[step])]))
        labels = label(solve(NUMBERS, r, BASIS, fitted=True))
        return {"positions": r, "separation": SEPARATIONS[step], "orientation": orientation,
                "interaction": labels["energies"] - sum(energies), **labels}

    about = {
        "what": "formate and ammonium, a pair of rigid ions at growing separations",
        "level": level(BASIS, fitted=True), "units": "angstrom, eV, eV/angstrom, e*angstrom, e",
        "extra": "separation: the shortest distance between atoms of the two ions, angstrom; orientation: which of the "
                 "random orientations; interaction: energy less those of the two ions alone, eV",
        "script": "data/make_formate_ammonium.py", "seed": args.seed,
        "sampling": "both ions turned uniformly on SO(3), one orientation for all separations",
        "ions": {"atoms": [len(FORMATE), len(AMMONIUM)], "total_charges": [-1, 1], "energies": energies,
                 "charges": [label(ion)["charges"].tolist() for ion in alone]},
    }
    rows = collect(args.out, args.frames, pair, about)
    for key in ("forces", "dipoles", "charges"):
        rows[key] = rows[key].astype(np.float32)        # rounds by less than the noise of the SCF
    finish(args.out, {"numbers": NUMBERS, **rows}, about)


if __name__ == "__main__":
    main()
