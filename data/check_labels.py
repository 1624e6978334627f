"""Compute the labels of some shipped frames again and say how far they are from the shipped ones."""
import argparse

import numpy as np
from gfn2 import label

from se3ref.systems import datasets

# What another machine may change: the SCF start alone moves forces by up to 4e-6 eV/angstrom. With some room.
ALLOWED = {"energies": 1e-6, "forces": 1e-5, "dipoles": 1e-5, "charges": 1e-5}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=datasets.names())
    parser.add_argument("--frames", type=int, default=5, help="how many, spread evenly (default: 5)")
    args = parser.parse_args()

    frames = datasets.load(args.name)
    chosen = np.linspace(0, len(frames) - 1, args.frames).astype(int)
    again = [label(frames.numbers, frames.positions[k]) for k in chosen]
    for key, allowed in ALLOWED.items():
        shipped = getattr(frames, key)[chosen]
        worst = np.abs(np.stack([labels[key] for labels in again]) - shipped).max()
        print(f"{key:9s} differ by at most {worst:.1e} (allowed {allowed:.0e})")
        if worst > allowed:
            raise SystemExit(f"{args.name}: the {key} are not those that this tblite computes")


if __name__ == "__main__":
    main()
