"""Equations of state by the package sevenn: `python tests/reference/from_sevenn_crystals.py`, a few seconds.

Writes sevennet_crystals.npz: energies of rock salt and silicon in SevenNet-0 at nine lattice constants, the lattice
constant that the equation of Birch and Murnaghan draws from them, and that at which ASE's relaxation comes to rest;
energies at lattice constants further off; phonons of silicon from a supercell of 16 atoms.
In float64 with exact coupling coefficients: the package as it is computes in single precision, whose noise of 1e-6 eV
moves these minima by 1.5e-5 angstrom.  Needs sevenn, torch, e3nn and ase.
"""

import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.phonons import Phonons
from from_sevenn import Double

CRYSTALS = {"NaCl": ("rocksalt", 5.688), "Si": ("diamond", 5.463)}
SCALES = np.linspace(0.997, 1.003, 9)
WIDE = np.linspace(0.98, 1.02, 17)
POINTS = np.array([(0, 0, 0), (0.5, 0, 0.5), (0.5, 0.5, 0.5)])     # G, X, L


def crystal(name, a, calculator):
    atoms = bulk(name, CRYSTALS[name][0], a=a)
    atoms.calc = calculator
    return atoms


def energies_at(name, a, calculator):
    return np.array([crystal(name, x, calculator).get_potential_energy() for x in a], dtype=np.float64)


def phonons(calculator):
    """Energies (3,6), eV, ascending, at G, X and L, of silicon at the lattice constant of its CRYSTALS."""
    with tempfile.TemporaryDirectory() as folder:
        found = Phonons(crystal("Si", CRYSTALS["Si"][1], calculator), calculator, supercell=(2, 2, 2), delta=0.01,
                        name=str(Path(folder) / "forces"))
        found.run()
        found.read(acoustic=True)
    return np.sort(found.band_structure(POINTS, verbose=False))


def main():
    calculator = Double("7net-0")
    packages = ("sevenn", "torch", "e3nn", "ase", "numpy", "scipy")
    found = {"versions": " ".join(f"{p} {version(p)}" for p in packages)}
    for name, (_, guess) in CRYSTALS.items():
        a = guess * SCALES
        energies = energies_at(name, a, calculator)
        v0, _, modulus = EquationOfState(a**3 / 4, energies, eos="birchmurnaghan").fit()
        rest = crystal(name, guess, calculator)
        BFGS(FrechetCellFilter(rest), logfile=None).run(fmax=1e-6, steps=200)
        found |= {f"{name}/lattice_constants": a, f"{name}/energies": energies, f"{name}/a": (4 * v0) ** (1 / 3),
                  f"{name}/bulk_modulus": modulus, f"{name}/a_relaxed": (4 * rest.get_volume()) ** (1 / 3),
                  f"{name}/wide_lattice_constants": guess * WIDE,
                  f"{name}/wide_energies": energies_at(name, guess * WIDE, calculator)}
        print(name, *(f"{key} {found[f'{name}/{key}']:.8f}" for key in ("a", "a_relaxed", "bulk_modulus")))
    found["Si/phonons_eV"] = phonons(calculator)
    np.savez(Path(__file__).with_name("sevennet_crystals.npz"), **found)


if __name__ == "__main__":
    main()
