"""Structures of our own by the package sevenn: `python tests/reference/from_sevenn.py`, two minutes.

Writes sevennet_more.npz: what the package says of the structures of `STRUCTURES` with SevenNet-0 and SevenNet-l3i5, in
float64 with exact coupling coefficients, and in float32 as it computes itself.  The seeds are fixed.
Needs sevenn 0.13.0, torch, e3nn and ase.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import sevenn._keys as KEY
import torch
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc111, molecule
from ase.calculators.calculator import Calculator, all_changes
from e3nn.o3 import wigner_3j
from sevenn.atom_graph_data import AtomGraphData
from sevenn.calculator import SevenNetCalculator
from sevenn.train.dataload import unlabeled_atoms_to_graph

TAGS = "7net-0", "7net-l3i5"


# --- the package, in both precisions --------------------------------------------------------------------------

class Double(SevenNetCalculator):
    """The package's calculator in float64, with couplings to the last digit and the signs of its own."""

    def __init__(self, name):
        super().__init__(name, device="cpu")
        self.model.double()
        self.model.onehot_to_feature_x.register_forward_pre_hook(_widen)
        torch.set_default_dtype(torch.float64)                 # else e3nn makes its couplings in single precision
        for full, table in self.model.named_buffers():
            if "_w3j_" in full:
                exact = wigner_3j(*map(int, full.split("_w3j_")[1].split("_")))
                table.copy_(exact * torch.sign((exact * table).sum()))
        torch.set_default_dtype(torch.float32)

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        Calculator.calculate(self, atoms, properties, system_changes)
        graph = unlabeled_atoms_to_graph(atoms, self.cutoff, with_shift=False)
        data = AtomGraphData(**{key: torch.as_tensor(x) for key, x in graph.items() if key != KEY.INFO})
        self.results = self.output_to_results(self.model(data))


def _widen(module, args):
    args[0][KEY.NODE_FEATURE] = args[0][KEY.NODE_FEATURE].double()


def labels(atoms, calculator, suffix=""):
    """What a calculator says; the stress is NaN where there is no volume."""
    calculator.calculate(atoms)
    said = {name: np.array(calculator.results[name]) for name in ("energy", "energies", "forces", "stress")}
    if not atoms.cell.volume:
        said["stress"] = np.full(6, np.nan)
    return {name + suffix: x for name, x in said.items()}


# --- structures -----------------------------------------------------------------------------------------------

def shaken(atoms, rng, by=0.1):
    atoms.positions += by * rng.standard_normal(atoms.positions.shape)
    return atoms


def turned(atoms, rng):
    """A molecule in any orientation: the proper rotation of a random matrix."""
    Q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    atoms.positions = atoms.positions @ (Q * np.linalg.det(Q))
    return atoms


def apart(numbers, cell, distance, rng):
    """Atoms at random in a periodic cell, none nearer to another or to its images than `distance`."""
    atoms = Atoms(cell=cell, pbc=True)
    for z in numbers:
        while True:
            more = atoms + Atoms([z], [rng.random(3) @ np.array(cell)])
            if len(more) == 1 or more.get_distances(-1, range(len(more) - 1), mic=True).min() >= distance:
                break
        atoms = more
    return atoms


def elements(species, rng):
    """`species` in a triclinic cell, 20 cubic angstrom an atom."""
    cell = np.array([[1, 0, 0], [0.2, 1.1, 0], [-0.3, 0.25, 0.9]])
    return apart(species, cell * (20 * len(species) / np.linalg.det(cell)) ** (1 / 3), 1.9, rng)


def pairs(rng):
    """Pairs of silver and sulphur where the switch begins and ends, each alone in its part of a long cell."""
    distances = [4.49, 4.5 - 1e-9, 4.5 + 1e-9, 4.6, 4.9, 5 - 1e-5, 5 - 1e-9, 5 + 1e-9]
    directions = rng.standard_normal((len(distances), 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    starts = np.array([[12.0 * k, 1, 2] for k in range(len(distances))])
    ends = starts + np.array(distances)[:, None] * directions
    return Atoms("Ag8S8", np.concatenate([starts, ends]), cell=[96, 12, 12], pbc=True)


def surface(rng):
    """Carbon monoxide on gold, periodic along two vectors of three."""
    slab = fcc111("Au", (2, 2, 3), vacuum=6)
    add_adsorbate(slab, "C", 1.9, "ontop")
    add_adsorbate(slab, "O", 3.05, "ontop")
    return shaken(slab, rng, 0.05)


def complex_of(metal, rng):
    """A metal atom with six CO."""
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    positions = np.concatenate([np.zeros((1, 3)), 1.9 * axes, 3.05 * axes])
    return turned(shaken(Atoms([metal] + [6] * 6 + [8] * 6, positions), rng, 0.08), rng)


def handed(rng):
    """CHFClBr, of one hand."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    bonds = np.array([1.09, 1.38, 1.78, 1.94])
    positions = np.concatenate([np.zeros((1, 3)), bonds[:, None] * corners])
    return turned(shaken(Atoms("CHFClBr", positions), rng, 0.05), rng)


def waters(rng):
    """Eight water molecules in a cube of 6.3 angstrom, some atoms left outside of it."""
    places = 3.15 * np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    atoms = Atoms(cell=[6.3] * 3, pbc=True)
    for place in places:
        one = turned(molecule("H2O"), rng)
        one.positions += place + 6.3 * rng.integers(-1, 2, 3)
        atoms += one
    return shaken(atoms, rng, 0.03)


def oblique(atoms):
    """The same crystal in a far more oblique cell."""
    a, b, c = atoms.cell.array
    return Atoms(atoms.numbers, atoms.positions, cell=[a, b + 2 * a, c - a + b], pbc=True)


def structures(species):
    """{name: Atoms}; species: all that the potential knows."""
    rng = np.random.default_rng(7)
    shuffled = rng.permutation(species)
    steel = bulk("Fe", "bcc", a=2.86, cubic=True) * (2, 1, 1)
    steel.numbers[1] = 24
    return {
        "elements_1": elements(shuffled[:30], rng), "elements_2": elements(shuffled[30:60], rng),
        "elements_3": elements(shuffled[60:], rng),
        "rock_salt": shaken(bulk("NaCl", "rocksalt", a=5.64, cubic=True), rng),
        "uranium_oxide": shaken(bulk("UO2", "fluorite", a=5.47), rng, 0.2),
        "waters": waters(rng), "surface": surface(rng), "pairs": pairs(rng), "handed": handed(rng),
        "carbonyl": complex_of(24, rng), "benzene": turned(shaken(molecule("C6H6"), rng, 0.05), rng),
        "alloy": shaken(steel, rng), "pressed": shaken(bulk("MgO", "rocksalt", a=3.5, cubic=True), rng, 0.05),
        "torn": turned(shaken(molecule("CH3OH"), rng, 0.35), rng),
        "one_atom": bulk("Cu", "fcc", a=3.61), "one_atom_oblique": oblique(bulk("Cu", "fcc", a=3.61)),
        "needle": Atoms("K", cell=[[2.2, 0, 0], [0.4, 9, 0], [0.1, -0.7, 8]], pbc=True),
        "chain": shaken(Atoms("C4", [[0, 0, 1.3 * k] for k in range(4)], cell=[0, 0, 5.2], pbc=[0, 0, 1]), rng, 0.1),
        "two_atoms": turned(Atoms("NO", [[0, 0, 0], [0, 0, 1.15]]), rng),
        "one_aside": Atoms("CsClXe", [[0, 0, 0], [0, 2.9, 0.1], [0.3, 0.2, -7]]),
    }


def main():
    found = {"versions": " ".join(f"{p} {version(p)}" for p in ("sevenn", "torch", "e3nn", "ase", "numpy"))}
    for tag in TAGS:
        double, single = Double(tag), SevenNetCalculator(tag, device="cpu")
        made = structures(sorted(double.type_map))
        found["names"] = list(made)
        for name, atoms in made.items():
            found |= {f"{name}/{field}": x for field, x in (("numbers", atoms.numbers), ("positions", atoms.positions),
                                                           ("cell", atoms.cell.array), ("pbc", atoms.pbc))}
            said = labels(atoms, double) | labels(atoms, single, "_float32")
            found |= {f"{name}/{tag}/{field}": x for field, x in said.items()}
            largest = np.abs(said["forces"]).max()
            print(f"{tag} {name}: {len(atoms)} atoms, {said['energy']:.6f} eV, forces to {largest:.3g}")
    path = Path(__file__).with_name("sevennet_more.npz")
    np.savez_compressed(path, **found)
    print(found["versions"], path.stat().st_size // 1000, "kB")


if __name__ == "__main__":
    main()
