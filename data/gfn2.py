"""GFN2-xTB energies, forces, dipoles and charges of one molecule, by tblite, and its relaxed geometry.

Source: C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019).
Units: angstrom, eV, eV/angstrom, e*angstrom, e.
"""

from importlib.metadata import version

import numpy as np
from scipy.optimize import minimize
from tblite.interface import Calculator

BOHR = 0.529177210903               # angstrom (CODATA 2018)
HARTREE = 27.211386245988           # eV (CODATA 2018)
KELVIN = 3.166808578545117e-6       # hartree, the Boltzmann constant times one kelvin

LEVEL = (f"GFN2-xTB (tblite {version('tblite')}), a semi-empirical tight-binding method; "
         f"SCF accuracy 0.01, electrons at 300 K")
# Standard atomic weights, atomic mass units
MASSES = {1: 1.008, 6: 12.011, 7: 14.007, 8: 15.999, 9: 18.998, 16: 32.06, 17: 35.45, 35: 79.904}


class GFN2:
    """The electrons of one molecule: the first call starts cold, later ones from the last result."""

    def __init__(self, numbers, positions, charge=0):
        self.calculator = Calculator("GFN2-xTB", np.asarray(numbers), np.asarray(positions) / BOHR, charge)
        self.calculator.set("accuracy", 0.01)
        self.calculator.set("temperature", 300 * KELVIN)
        self.calculator.set("verbosity", 0)
        self.result = None

    def __call__(self, positions):
        """positions (n,3) -> energies (), forces (n,3), dipoles (3,), charges (n,), under those names."""
        self.calculator.update(positions=positions / BOHR)
        self.result = self.calculator.singlepoint(self.result)
        return {
            "energies": float(self.result.get("energy")) * HARTREE,
            "forces": -self.result.get("gradient") * (HARTREE / BOHR),
            "dipoles": self.result.get("dipole") * BOHR,
            "charges": self.result.get("charges"),
        }


def label(numbers, positions, charge=0):
    """The labels of one geometry from a cold start: they depend on it alone, not on how it was reached."""
    return GFN2(numbers, positions, charge)(positions)


def relax(numbers, start, restraint=None, charge=0):
    """The L-BFGS minimum (n,3) of the energy + restraint; restraint(positions) -> value, gradient (n,3)."""
    molecule = GFN2(numbers, start, charge)

    def total(x):
        labels = molecule(x.reshape(-1, 3))
        value, slope = labels["energies"], -labels["forces"]
        if restraint is not None:
            extra, extra_slope = restraint(x.reshape(-1, 3))
            value, slope = value + extra, slope + extra_slope
        return value, slope.ravel()

    found = minimize(total, np.ravel(start), jac=True, method="L-BFGS-B",
                     options={"gtol": 1e-5, "ftol": 0.0, "maxcor": 30})
    return centred(numbers, found.x.reshape(-1, 3))


def centred(numbers, positions):
    """The positions with their centre of mass moved to the origin."""
    masses = masses_of(numbers)
    return positions - masses @ positions / masses.sum()


def masses_of(numbers):
    """Atomic masses (n,) in atomic mass units."""
    return np.array([MASSES[int(z)] for z in numbers])
