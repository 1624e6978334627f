"""A published potential in the hands of ASE: lattice constants, elasticity, phonons, dynamics and a melt (chapter 16).

    python experiments/crystals.py                     every part that is not yet in crystals.json beside this file
    python experiments/crystals.py nve melt            these parts
    python experiments/crystal_figures.py              the four figures, from crystals.json

SevenNet-0 gives energy, forces and stress; everything else is ASE's (3.28 or newer).  Lattice and elasticity take a few
seconds of CPU time on one thread, phonons two minutes, nve 18, melt 8.  A part that is in crystals.json is not made
again; the two runs of dynamics are kept in build/crystals, step by step, and go on where they were stopped.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixCom
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.geometry.rdf import get_rdf
from ase.io import Trajectory
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from ase.phonons import Phonons
from ase.stress import voigt_6_to_full_3x3_strain
from tqdm import tqdm

from se3ref import interop, models

OUT = Path(__file__).with_name("crystals.json")
ROOT = OUT.parent.parent
SCRATCH = ROOT / "build" / "crystals"
THZ = 1e-12 / (2 * np.pi * units._hbar) * units._e            # THz of 1 eV

GUESS = {"NaCl": ("rocksalt", 5.688), "Si": ("diamond", 5.463)}   # angstrom: where the volumes begin
SCALES = np.linspace(0.997, 1.003, 9)                         # of the lattice constant: of the volume, +-0.9 %
STRAIN = 1e-3
# ASE's Phonons interpolates between the waves of a supercell, for which an odd number of cells is needed: with an even
# one it gives the last cells to one side, and transverse sound comes out imaginary.  The POINTS are themselves waves of
# 4 cells, so that for them nothing is interpolated.
ODD, EVEN, DISPLACEMENT = 7, 4, 0.01                          # cells, cells, angstrom
POINTS = {"G": (0, 0, 0), "X": (1/2, 0, 1/2), "L": (1/2, 1/2, 1/2)}
ROW = 12                                                      # cells, for the waves between G and X
DT, EVERY = 2.0, 10                                           # fs; steps between two frames
SOLID = {"steps": 5000, "temperature_K": 300}
# Density: Janz, J. Phys. Chem. Ref. Data 17, Suppl. 2 (1988): 1.556 g/cm3 at 801 C less 0.543e-3 a degree.
MELT = {"heat_K": 2000, "heat_steps": 600, "temperature_K": 1300, "settle_steps": 900, "steps": 3500,
        "density": 1.434, "friction_per_ps": 2.0}


def crystal(name, a=None):
    """The primitive cell with the potential, in single precision or double; its cubic axes are x, y, z."""
    atoms = bulk(name, GUESS[name][0], a=a or GUESS[name][1])
    atoms.calc = interop.ase.Calculator(models.sevennet.load())
    return atoms


# --- the crystal at rest --------------------------------------------------------------------------------------

def volumes(name):
    """Lattice constants (9,), angstrom, volumes of the primitive cell (9,) and its energies (9,), eV."""
    a = GUESS[name][1] * SCALES
    return a, a**3 / 4, np.array([crystal(name, length).get_potential_energy() for length in a])


def fitted(v, energies):
    """Lattice constant (angstrom) and bulk modulus (GPa): third-order Birch and Murnaghan through E(V)."""
    v0, _, b = EquationOfState(v, energies, eos="birchmurnaghan").fit()
    return (4 * v0) ** (1 / 3), b / units.GPa


def relaxed(atoms, fmax=1e-6):
    """The same atoms where forces and stress vanish: cell and positions by ASE's BFGS."""
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=fmax, steps=200)
    return atoms


def lattice():
    found = {}
    for name in GUESS:
        a, v, energies = volumes(name)
        constant, modulus = fitted(v, energies)
        rest = relaxed(crystal(name))
        found[name] = {"lattice_constants": a.tolist(), "energies_eV": energies.tolist(), "a": constant,
                       "bulk_modulus_GPa": modulus, "a_relaxed": edge(rest), **curve(name, constant),
                       "stress_relaxed": float(np.abs(rest.get_stress()).max())}
    return found


def edge(atoms):
    """The lattice constant of a primitive cell with face centring, angstrom."""
    return (4 * atoms.get_volume()) ** (1 / 3)


def curve(name, a, width=0.02, points=81):
    """Energy (meV an atom, from the minimum) and bulk modulus -V dP/dV (GPa) for lattice constants around a."""
    x = a * np.linspace(1 - width, 1 + width, points)
    cells = [crystal(name, length) for length in x]
    energy = np.array([atoms.get_potential_energy() for atoms in cells])
    tension = np.array([atoms.get_stress()[:3].mean() for atoms in cells])
    middle = (x[1:] + x[:-1]) / 2
    return {"curve_a": x.round(6).tolist(), "curve_meV": (500 * (energy - energy.min())).round(5).tolist(),
            "middle_a": middle.round(6).tolist(),
            "middle_GPa": (middle / 3 * np.diff(tension) / np.diff(x) / units.GPa).round(4).tolist()}


# --- elasticity -----------------------------------------------------------------------------------------------

def stiffness(atoms, h=STRAIN, relax=True):
    """dstress/dstrain (6,6), GPa, in Voigt's order, by central differences of the stress of strained cells, in which
    the atoms have come to rest; relax=False: in which they have moved with the cell."""
    columns = []
    for k in range(6):
        stress = []
        for sign in (1, -1):
            strained = atoms.copy()
            strained.calc = atoms.calc
            F = voigt_6_to_full_3x3_strain(sign * h * np.eye(6)[k])      # of ASE: with the identity in it
            strained.set_cell(atoms.cell @ F, scale_atoms=True)
            if relax:
                BFGS(strained, logfile=None).run(fmax=1e-6, steps=200)
            stress.append(strained.get_stress())
        columns.append((stress[0] - stress[1]) / (2 * h) / units.GPa)
    return np.array(columns).T


def cubic(C):
    """C11, C12, C44 as means over axes, and how far C is from the cubic matrix made of them, GPa."""
    c11, c44 = np.diag(C)[:3].mean(), np.diag(C)[3:].mean()
    c12 = (C[:3, :3].sum() - 3 * c11) / 6
    ideal = np.diag([c11 - c12] * 3 + [c44] * 3)
    ideal[:3, :3] += c12
    return {"C11": c11, "C12": c12, "C44": c44, "departure": np.abs(C - ideal).max()}


def elasticity():
    found = {}
    for name in GUESS:
        atoms = relaxed(crystal(name))
        found[name] = cubic(stiffness(atoms))
        found[name]["bulk_modulus_GPa"] = (found[name]["C11"] + 2 * found[name]["C12"]) / 3
        found[name]["C44_clamped"] = cubic(stiffness(atoms, relax=False))["C44"]
        found[name]["C44_half_strain"] = cubic(stiffness(atoms, h=STRAIN / 2))["C44"]
    return found


# --- phonons --------------------------------------------------------------------------------------------------

class Unhanded(Calculator):
    """The mean of a calculator's energies of a structure and of its inversion: a potential without handedness."""
    implemented_properties = ["energy", "forces"]

    def __init__(self, calculator):
        super().__init__()
        self.calculator = calculator

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        one, other = self.atoms.copy(), self.atoms.copy()
        other.positions *= -1                                  # and the lattice is its own inversion
        one.calc = other.calc = self.calculator
        energy = (one.get_potential_energy(), one.get_forces())
        self.results = {"energy": (energy[0] + other.get_potential_energy()) / 2,
                        "forces": (energy[1] - other.get_forces()) / 2}


def vibrations(atoms, supercell, displacement=DISPLACEMENT, acoustic=True, calculator=None):
    """ASE's Phonons with its forces read; supercell: three numbers of cells; acoustic: with the sum rule imposed."""
    with tempfile.TemporaryDirectory() as folder:
        found = Phonons(atoms, calculator or atoms.calc, supercell=supercell, name=str(Path(folder) / "forces"),
                        delta=displacement)
        found.run()
        found.read(acoustic=acoustic)
    return found


def frequencies(found, points):
    """(k,6), THz, ascending; imaginary ones as negative numbers."""
    return np.sort(found.band_structure(np.array(points, dtype=float), verbose=False) * THZ)


def phonons():
    atoms, points = relaxed(crystal("Si")), list(POINTS.values())
    many, even = vibrations(atoms, (ODD,) * 3), (EVEN,) * 3
    path = atoms.cell.bandpath("GXWKGL", npoints=241)
    x, ticks, labels = path.get_linear_kpoint_axis()
    here, free = frequencies(vibrations(atoms, even), points), vibrations(atoms, even, acoustic=False)
    double = frequencies(vibrations(atoms, even, 2 * DISPLACEMENT), points)
    return {"cells": [ODD, EVEN], "atoms": [2 * ODD**3, 2 * EVEN**3], "displacement": DISPLACEMENT,
            "at": dict(zip(POINTS, here.round(6).tolist(), strict=True)),
            "gamma_without_sum_rule": frequencies(free, points)[0].tolist(),
            "change_double_displacement": float(np.abs(double - here).max()),
            "change_interpolated": float(np.abs(frequencies(many, points) - here).max()),
            "sound_km_per_s": sound(many, atoms), "hands": hands(atoms), "x": x.round(6).tolist(),
            "ticks": ticks.round(6).tolist(), "labels": labels, "THz": frequencies(many, path.kpts).round(5).tolist()}


def hands(atoms):
    """Waves between G and X, none of them interpolated, with the potential and without its handedness, THz (k,6)."""
    fractions = np.arange(ROW // 2 + 1) / (ROW // 2)
    found = {"fraction": fractions.round(6).tolist()}
    for what, calculator in (("THz", atoms.calc), ("unhanded_THz", Unhanded(atoms.calc))):
        row = vibrations(atoms, (ROW, 1, ROW), calculator=calculator)
        found[what] = frequencies(row, fractions[:, None] * np.array(POINTS["X"])).round(6).tolist()
    return found


def sound(found, atoms, fraction=0.02):
    """Speeds of transverse and longitudinal waves along [100], from the phonons at a fraction of X, and as
    sqrt(C44/density) and sqrt(C11/density)."""
    low = frequencies(found, [fraction * np.array(POINTS["X"])])[0]
    moduli, density = cubic(stiffness(atoms)), atoms.get_masses().sum() * units._amu / (atoms.get_volume() * 1e-30)
    return {"transverse": float(low[0] * 0.1 * edge(atoms) / fraction),
            "longitudinal": float(low[2] * 0.1 * edge(atoms) / fraction),
            "transverse_elastic": float(np.sqrt(moduli["C44"] * 1e9 / density) / 1000),
            "longitudinal_elastic": float(np.sqrt(moduli["C11"] * 1e9 / density) / 1000)}


# --- dynamics -------------------------------------------------------------------------------------------------

def followed(label, start, steps, dynamics, dtype):
    """Frames every EVERY steps; a stopped run goes on from its last.  dynamics(atoms, step): an object of ase.md."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    path = SCRATCH / f"{label}.traj"
    atoms = Trajectory(path)[-1] if path.exists() else start()
    done = len(Trajectory(path)) - 1 if path.exists() else 0
    atoms.calc = interop.ase.Calculator(models.sevennet.load(dtype=dtype))
    with Trajectory(path, "a", atoms) as file:
        if not len(file):
            file.write(energy=atoms.get_potential_energy())
        for k in tqdm(range(done, steps // EVERY), desc=label, initial=done, total=steps // EVERY):
            dynamics(atoms, k * EVERY).run(EVERY)
            file.write()
    return Trajectory(path)


def salt(a):
    """64 atoms of NaCl in a cube."""
    return bulk("NaCl", "rocksalt", a=a, cubic=True) * (2, 2, 2)


def warm(atoms, temperature, seed=0):
    """Velocities drawn at this temperature, momentum removed."""
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=np.random.default_rng(seed))
    Stationary(atoms)
    return atoms


def slope(t, y, blocks=10):
    """Slope of y(t) by least squares, with its standard error; of means over blocks, which are nearly independent."""
    t, y = (np.array([part.mean() for part in np.array_split(x, blocks)]) for x in (t, y))
    (b, _), covariance = np.polyfit(t, y, 1, cov=True)
    return float(b), float(np.sqrt(covariance[0, 0]))


def nve():
    a = edge(relaxed(crystal("NaCl")))
    frames = list(followed("nve", lambda: warm(salt(a), 2 * SOLID["temperature_K"]), SOLID["steps"],
                           lambda atoms, step: VelocityVerlet(atoms, DT * units.fs), np.float64))
    total = np.array([f.get_total_energy() for f in frames])
    t = np.arange(len(frames)) * EVERY * DT / 1000             # ps
    e = 1000 * (total - total[0]) / len(frames[0])             # meV an atom
    late = t >= 1
    drift, error = slope(t[late], e[late])
    return {"dt_fs": DT, "a": a, "time_ps": t.round(3).tolist(), "energy_meV_per_atom": e.round(6).tolist(),
            "temperature_K": [round(f.get_temperature(), 2) for f in frames],
            "drift_meV_per_atom_per_ps": drift, "drift_error": error, "fluctuation_rms": float(e[late].std()),
            "potential_rms": float(1000 * np.std([f.get_potential_energy() for f in frames[late.argmax():]]) / 64),
            **seen(frames[late.argmax():])}


def melt():
    volume = salt(5.6).get_masses().sum() / MELT["density"] / units.mol * 1e24
    heat, settle = MELT["heat_steps"], MELT["settle_steps"]

    def langevin(atoms, step):
        atoms.set_constraint(FixCom())
        temperature = MELT["heat_K"] if step < heat else MELT["temperature_K"]
        return Langevin(atoms, DT * units.fs, temperature_K=temperature, fixcm=False,
                        friction=MELT["friction_per_ps"] / (1000 * units.fs), rng=np.random.default_rng([1, step]))

    frames = list(followed("melt", lambda: warm(salt((volume / 8) ** (1 / 3)), MELT["heat_K"]),
                           heat + settle + MELT["steps"], langevin, np.float32))
    late = frames[(heat + settle) // EVERY:]
    return {**MELT, "dt_fs": DT, "edge": float(late[0].cell[0, 0]),
            "mean_temperature_K": float(np.mean([f.get_temperature() for f in late])), **seen(late)}


# --- what tells a crystal from a melt -------------------------------------------------------------------------

def seen(frames):
    """g(r) of each pair, mean square displacement by element, and the greatest structure factor, of these frames."""
    side = frames[0].cell[0, 0]
    pairs = {}
    for pair in (("Na", "Cl"), ("Na", "Na"), ("Cl", "Cl")):
        g, r = get_rdf(frames[::2], 0.499 * side, 125, elements=pair)
        pairs["-".join(pair)] = g.round(4).tolist()
    lag, msd = displacement(frames)
    return {"r": r.round(4).tolist(), "g": pairs, "lag_ps": lag, "msd": msd, **brightest(frames)}


def displacement(frames):
    """Times (ps) and {element: <|r(t0 + t) - r(t0)|^2>} (angstrom^2), over atoms and starts t0, up to half the run."""
    x = np.array([f.positions for f in frames])                # (k,n,3); ASE's dynamics does not wrap
    symbols, lags = np.array(frames[0].get_chemical_symbols()), range(0, len(x) // 2, 5)
    moved = np.array([((x[lag:] - x[:len(x) - lag]) ** 2).sum(-1).mean(0) for lag in lags])
    return ([round(lag * EVERY * DT / 1000, 3) for lag in lags],
            {s: moved[:, symbols == s].mean(1).round(4).tolist() for s in ("Na", "Cl")})


def brightest(frames, kmax=5.0):
    """The greatest S(k) = <|sum_j exp(i k r_j)|^2>/n of the cell's wave vectors shorter than kmax (1/angstrom).

    A crystal has Bragg peaks, in whatever direction it lies: there S is near n.  In a liquid it is of order 1.
    """
    side = frames[0].cell[0, 0]
    top = int(kmax * side / (2 * np.pi))
    axis = np.arange(-top, top + 1)
    k = 2 * np.pi / side * np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3)
    length = np.sqrt((k * k).sum(1))
    k = k[(length > 0) & (length < kmax)]
    waves = np.array([np.exp(1j * f.positions @ k.T).sum(0) for f in frames[::5]])
    S = (np.abs(waves) ** 2).mean(0) / len(frames[0])
    return {"brightest_S": float(S.max()), "brightest_k": float(np.sqrt((k[S.argmax()] ** 2).sum()))}


# --- the file -------------------------------------------------------------------------------------------------

PARTS = {"lattice": lattice, "elasticity": elasticity, "phonons": phonons, "nve": nve, "melt": melt}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all, where none is named")
    wanted = parser.parse_args().parts or list(PARTS)
    if unknown := sorted(set(wanted) - set(PARTS)):
        parser.error(f"there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    kept = json.loads(OUT.read_text()) if OUT.exists() else {}
    for part in wanted:
        if part in kept:
            continue
        print(part, flush=True)
        kept[part] = PARTS[part]()
        temporary = OUT.with_name(OUT.name + ".part")
        temporary.write_text(json.dumps({p: kept[p] for p in PARTS if p in kept}, indent=0).replace(",\n", ", ") + "\n")
        temporary.replace(OUT)


if __name__ == "__main__":
    main()
