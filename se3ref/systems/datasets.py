"""The sets of structures that come with the library: geometries, and the energies and more that a method gives them."""

import json
from dataclasses import dataclass, fields, replace
from importlib import resources

import numpy as np

from se3ref.systems.structure import Structure

_NAMES = ("ethanol", "ethanol_test", "dichloroethane", "water", "h2o2", "h2o2_test", "h2o2_scan", "antiprisms",
          "chiral_methanes", "formate_ammonium", "formate_ammonium_test", "silver_trimers", "silver_trimers_test",
          "carbon_chains", "carbon_chains_test", "ion_gas", "ion_gas_test", "sodium_chloride", "sodium_chloride_test")


@dataclass(frozen=True, eq=False)
class Frames:
    """Many geometries of the same n atoms, and what one method says of each.

    numbers (n,); positions (frames,n,3) angstrom; energies (frames,) eV; forces (frames,n,3) eV/angstrom;
    dipoles (frames,3) e*angstrom, about the centre of mass, or None in a periodic set; charges (frames,n) e, by
    Mulliken, or those of point charges.
    cells (frames,3,3) angstrom, or None: no cell; total_charges (frames,) e, or None: all are neutral.
    extra: what this set has besides, by name, one row for each frame (a torsion angle, a bond length).
    about: facts of the whole set: level of theory, units, script, seed; of ethanol and water the relaxed molecule,
    under "minimum".

    frames[a:b], frames[indices] and frames[mask] are Frames again; frames.structure(k) is one geometry.
    """
    numbers: np.ndarray
    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    dipoles: np.ndarray | None
    charges: np.ndarray
    extra: dict
    about: dict
    cells: np.ndarray | None = None
    total_charges: np.ndarray | None = None

    def __len__(self):
        return len(self.positions)

    def __getitem__(self, chosen):
        _check_plural(chosen, "Frames", "for one frame, frames.structure(k) or frames[k:k+1]")
        columns = {name: getattr(self, name) for name in ("positions", "energies", "forces", "dipoles", "charges",
                                                          "cells", "total_charges")}
        rows = {name: values[chosen] for name, values in columns.items() if values is not None}
        return replace(self, **rows, extra={name: values[chosen] for name, values in self.extra.items()})

    def __repr__(self):
        return f"Frames({self.about['what']}: {len(self)} frames of {len(self.numbers)} atoms)"

    def structure(self, k):
        """Frame k as a Structure, periodic where the set has cells, with its total charge."""
        cell = None if self.cells is None else self.cells[k]
        charge = 0.0 if self.total_charges is None else self.total_charges[k]
        return Structure(self.numbers, self.positions[k], cell, cell is not None, charge)

    @property
    def structures(self):
        """All frames, a list of Structure."""
        return [self.structure(k) for k in range(len(self))]


@dataclass(frozen=True, eq=False)
class Molecules:
    """Many molecules, one geometry of each, that differ in their atoms.

    structures: a list of Structure, with their total charges; energies (molecules,) eV; dipoles (molecules,3)
    e*angstrom, about the centre of mass.  forces, charges: lists, one (n,3) eV/angstrom and one (n,) e for each
    structure, or None.
    extra: what this set has besides, by name, one row for each structure.
    about: facts of the whole set: level of theory, units, script, seed.

    molecules[a:b], molecules[indices] and molecules[mask] are Molecules again; molecules.structures[k] is one of them.
    """
    structures: list
    energies: np.ndarray
    dipoles: np.ndarray
    extra: dict
    about: dict
    forces: list | None = None
    charges: list | None = None

    def __len__(self):
        return len(self.structures)

    def __getitem__(self, chosen):
        _check_plural(chosen, "Molecules", "for one of them, molecules.structures[k] or molecules[k:k+1]")
        rows = np.arange(len(self))[chosen]
        lists = {name: getattr(self, name) for name in ("structures", "forces", "charges")}
        chosen_lists = {name: [x[k] for k in rows] for name, x in lists.items() if x is not None}
        return replace(self, **chosen_lists, energies=self.energies[rows], dipoles=self.dipoles[rows],
                       extra={name: values[rows] for name, values in self.extra.items()})

    def __repr__(self):
        atoms = sum(len(structure) for structure in self.structures)
        return f"Molecules({self.about['what']}: {len(self)} structures, {atoms} atoms)"


def _check_plural(chosen, what, instead):
    if np.ndim(chosen) == 0 and not isinstance(chosen, slice):
        raise TypeError(f"{what} are chosen by a slice, indices or a mask, not by {chosen!r}; {instead}")


def names():
    """The names that `load` knows."""
    return _NAMES


def load(name):
    """The set of that name, read afresh each time: change its arrays as you like. Frames, or Molecules where said.

    "ethanol": 2000 frames of dynamics at 500 K.  "ethanol_test": 500 frames of another trajectory, to test on.
    "dichloroethane": 72 frames relaxed along the torsion Cl-C-C-Cl, extra["phi_deg"].
    "water": 1000 distorted geometries, extra["r1"], extra["r2"] (angstrom) and extra["angle_deg"].
    "h2o2": 1000 distorted geometries, any torsion H-O-O-H: extra["phi_deg"]; extra["polarizabilities"] (frames,3,3)
    angstrom^3; extra["rotations"], the optical rotation parameter at 589.3 nm, a pseudoscalar, atomic units.
    "h2o2_test": 250 more from another seed, to test on.  "h2o2_scan": 36 along the torsion, at mean bonds and angles.
    "antiprisms": four pairs of distorted SF6 that share every distance: pair extra["c"], member extra["which"] = 1, -1;
    a second opinion on their energies in extra["energies_hf"].
    "chiral_methanes", Molecules: 420 structures, both mirror images of 210 molecules with a centre bound to four
    different groups; extra["label"] = 1 (R), -1 (S), extra["mol_id"], extra["test"] (30 molecules to keep for testing),
    extra["centre"], extra["substituents"] (four atoms by falling CIP rank), extra["chi"] (the triple product of the
    first three, as unit vectors from the centre; its sign is -label), extra["smiles"].

    "formate_ammonium": HCOO- and NH4+, both rigid, in 8 orientations, each at 16 separations: extra["separation"]
    (angstrom, the shortest distance between their atoms), extra["orientation"], extra["interaction"] (eV, the energy
    less those of the two ions alone, which are in about["ions"]).
    "silver_trimers": 200 geometries of Ag3, each as Ag3+ and, next to it, as Ag3-: total_charges.
    "carbon_chains", Molecules: 200 geometries of C10H2 and 200 of C10H3+, in turn.
    "ion_gas": 250 frames of 64 ions Na+ and Cl-, anywhere in a periodic cube.  "sodium_chloride": 200 frames of
    dynamics at 1300 K, a hot crystal.  Both have cells, charges of +1 and -1, extra["energies_coulomb"] and
    extra["energies_short"] (the two parts of the energies), extra["stresses"] (frames,3,3) eV/angstrom^3 and, in
    about["repulsion"], all parameters.
    Each of these five has a twin of another seed to test on: "formate_ammonium_test" (8 other orientations),
    "silver_trimers_test" (50 geometries), "carbon_chains_test" (50 of each), "ion_gas_test" (60 frames),
    "sodium_chloride_test" (50 frames of another trajectory).

    The level of theory is in about["level"]: GFN2-xTB, a semi-empirical method, Hartree-Fock without correlation (h2o2,
    formate_ammonium), or (ions) point charges and a repulsion: consistent labels to learn from, not reference values.
    """
    if name not in _NAMES:
        raise ValueError(f"there is no set {name!r}; there are: {', '.join(_NAMES)}")
    file = resources.files("se3ref") / "data" / f"{name}.npz"
    with file.open("rb") as stream, np.load(stream) as stored:
        arrays = {key: _doubled(stored[key]) for key in stored.files}
    numbers, about = arrays.pop("numbers"), json.loads(str(arrays.pop("about")))
    if numbers.ndim == 1:
        return _filled(Frames, arrays, numbers=numbers, about=about, dipoles=arrays.pop("dipoles", None))
    cut = {key: [x[z > 0] for z, x in zip(numbers, arrays.pop(key), strict=True)]          # padded with zeros
           for key in ("positions", "forces", "charges") if key in arrays}
    charges = arrays.pop("total_charges", np.zeros(len(numbers)))
    structures = [Structure(z[z > 0], r, charge=charge)
                  for z, r, charge in zip(numbers, cut.pop("positions"), charges, strict=True)]
    return _filled(Molecules, arrays, structures=structures, about=about, **cut)


def _doubled(values):
    """Single precision as double; whole numbers, truth values and text as they are."""
    return values.astype(np.float64) if values.dtype.kind == "f" else values


def _filled(kind, arrays, **given):
    """A Frames or Molecules: the arrays named as its fields go there, all others into `extra`."""
    own = {field.name: arrays.pop(field.name) for field in fields(kind) if field.name in arrays}
    return kind(**given, **own, extra=arrays)
