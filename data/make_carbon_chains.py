"""Chains of ten carbons, C10H2 and C10H3+: a proton at one end is felt at the other, with GFN2-xTB labels.

Each chain is relaxed on its own; then every coordinate gets noise ~ N(0, 0.05 angstrom), and the centre of mass goes
to the origin. C10H2 (even structures) is HC...CH, C10H3+ (odd ones) HC...CH2. Their far ends look alike to a model
with a cutoff, and carry other charges. 400 structures take 5 seconds.
"""

import numpy as np
from collect import arguments, collect, finish
from gfn2 import LEVEL, centred, label, relax

NOISE = 0.05                        # angstrom
ROOM = 13                           # atoms of C10H3+; those of C10H2 are padded with a zero


def neutral():
    """A sketch of C10H2 along z: atomic numbers, positions (12,3), total charge."""
    z = np.concatenate([1.28 * np.arange(10), [-1.05, 1.28 * 9 + 1.05]])
    return np.repeat([6, 1], [10, 2]), np.outer(z, [0, 0, 1]), 0


def protonated():
    """A sketch of C10H3+ along z, two H at the far end: atomic numbers, positions (13,3), total charge."""
    far = 1.28 * 9 + 0.55
    hydrogens = [[0, 0, -1.05], [0.92, 0, far], [-0.92, 0, far]]
    return np.repeat([6, 1], [10, 3]), np.concatenate([np.outer(1.28 * np.arange(10), [0, 0, 1]), hydrogens]), 1


def padded(values):
    return np.concatenate([values, np.zeros((ROOM - len(values), *values.shape[1:]), values.dtype)])


def main():
    args = arguments("carbon_chains", __doc__, frames=400, seed=1)
    chains = [(numbers, relax(numbers, sketch, charge=charge), charge)
              for numbers, sketch, charge in (neutral(), protonated())]

    def chain(k, last):
        numbers, minimum, charge = chains[k % 2]
        r = minimum + NOISE * np.random.default_rng([args.seed, k]).standard_normal(minimum.shape)
        r = centred(numbers, r).astype(np.float32)          # first rounded as stored, then labelled
        labels = label(numbers, r.astype(float), charge)
        single = {key: labels[key].astype(np.float32) for key in ("forces", "dipoles", "charges")}
        return {"numbers": padded(numbers.astype(np.uint8)), "positions": padded(r), "total_charges": float(charge),
                "energies": labels["energies"], "dipoles": single["dipoles"],
                "forces": padded(single["forces"]), "charges": padded(single["charges"])}

    about = {
        "what": "chains of ten carbons, C10H2 and C10H3+",
        "level": LEVEL, "units": "angstrom, eV, eV/angstrom, e*angstrom, e",
        "script": "data/make_carbon_chains.py", "seed": args.seed,
        "sampling": f"about the minimum of each, noise N(0, {NOISE}) on every coordinate",
        "minima": [{"numbers": numbers.tolist(), "positions": r.tolist(), "charge": charge,
                    "energy": label(numbers, r, charge)["energies"]}
                   for numbers, r, charge in chains],
    }
    finish(args.out, collect(args.out, args.frames, chain, about), about)


if __name__ == "__main__":
    main()
