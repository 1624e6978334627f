"""Compute the labels of some shipped geometries again and say how far they are from the shipped ones."""
import argparse

import gfn2
import hartree_fock
import ions
import numpy as np

from se3ref.systems import datasets

# What another machine may change: the SCF start alone moves the forces of GFN2-xTB by up to 4e-6 eV/angstrom, the
# last digits of a Hartree-Fock response by 1e-7. With some room.
ALLOWED = {"energies": 1e-6, "forces": 1e-5, "dipoles": 1e-5, "charges": 1e-5,
           "polarizabilities": 1e-6, "rotations": 1e-6, "stresses": 1e-7}


def again(data, k):
    """The labels of geometry k, by the method that `about` names."""
    atoms = data.structures[k]
    if atoms.cell is not None:
        return ions.label(atoms.numbers, atoms.positions, atoms.cell[0, 0])
    method = data.about["level"].split()[0]
    if method == "GFN2-xTB":
        return gfn2.label(atoms.numbers, atoms.positions, atoms.charge)
    kind, basis = method.split("/")
    field = hartree_fock.solve(atoms.numbers, atoms.positions, basis, int(atoms.charge), fitted=kind.startswith("DF"))
    response = hartree_fock.response(field) if "rotations" in data.extra else {}
    return {**hartree_fock.label(field), **response}


def shipped(data):
    """Every label that a method can compute again, by name."""
    columns = {key: getattr(data, key, None) for key in ALLOWED} | data.extra
    return {key: columns[key] for key in ALLOWED if columns[key] is not None}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=datasets.names())
    parser.add_argument("--frames", type=int, default=5, help="how many, spread evenly (default: 5)")
    args = parser.parse_args()

    data = datasets.load(args.name)
    chosen = np.linspace(0, len(data) - 1, args.frames).astype(int)
    computed = [again(data, k) for k in chosen]
    for key, column in shipped(data).items():
        worst = max(np.abs(labels[key] - column[k]).max() for k, labels in zip(chosen, computed, strict=True))
        print(f"{key:16s} differ by at most {worst:.1e} (allowed {ALLOWED[key]:.0e})")
        if worst > ALLOWED[key]:
            raise SystemExit(f"{args.name}: the {key} are not those that this machine computes")


if __name__ == "__main__":
    main()
