"""The sets of molecules that come with the library: geometries and what a quantum-chemical method says of them."""

import json
from dataclasses import dataclass, fields
from importlib import resources

import numpy as np

from se3ref.systems.structure import Structure

_NAMES = ("ethanol", "ethanol_test", "dichloroethane", "water", "h2o2", "h2o2_test", "h2o2_scan", "antiprisms",
          "chiral_methanes")


@dataclass(frozen=True, eq=False)
class Frames:
    """Many geometries of one molecule of n atoms, and what a quantum-chemical method says of each.

    numbers (n,); positions (frames,n,3) angstrom; energies (frames,) eV; forces (frames,n,3) eV/angstrom;
    dipoles (frames,3) e*angstrom; charges (frames,n) e, by Mulliken.
    extra: what this set has besides, by name, one row for each frame (a torsion angle, a bond length).
    about: facts of the whole set: level of theory, units, script, seed; of ethanol and water the relaxed molecule,
    under "minimum".

    frames[a:b], frames[indices] and frames[mask] are Frames again; frames.structure(k) is one geometry.
    """
    numbers: np.ndarray
    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    dipoles: np.ndarray
    charges: np.ndarray
    extra: dict
    about: dict

    def __len__(self):
        return len(self.positions)

    def __getitem__(self, chosen):
        _check_plural(chosen, "Frames", "for one frame, frames.structure(k) or frames[k:k+1]")
        return Frames(self.numbers, self.positions[chosen], self.energies[chosen], self.forces[chosen],
                      self.dipoles[chosen], self.charges[chosen],
                      {name: values[chosen] for name, values in self.extra.items()}, self.about)

    def __repr__(self):
        return f"Frames({self.about['what']}: {len(self)} frames of {len(self.numbers)} atoms)"

    def structure(self, k):
        """Frame k as a Structure."""
        return Structure(self.numbers, self.positions[k])

    @property
    def structures(self):
        """All frames, a list of Structure."""
        return [self.structure(k) for k in range(len(self))]


@dataclass(frozen=True, eq=False)
class Molecules:
    """Many molecules, one geometry of each, that differ in their atoms.

    structures: a list of Structure; energies (molecules,) eV; dipoles (molecules,3) e*angstrom.
    extra: what this set has besides, by name, one row for each structure.
    about: facts of the whole set: level of theory, units, script, seed.

    molecules[a:b], molecules[indices] and molecules[mask] are Molecules again; molecules.structures[k] is one of them.
    """
    structures: list
    energies: np.ndarray
    dipoles: np.ndarray
    extra: dict
    about: dict

    def __len__(self):
        return len(self.structures)

    def __getitem__(self, chosen):
        _check_plural(chosen, "Molecules", "for one of them, molecules.structures[k] or molecules[k:k+1]")
        rows = np.arange(len(self))[chosen]
        return Molecules([self.structures[k] for k in rows], self.energies[rows], self.dipoles[rows],
                         {name: values[rows] for name, values in self.extra.items()}, self.about)

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
    """The set of that name, read afresh each time: change its arrays as you like. Frames, the last one Molecules.

    "ethanol": 2000 frames of dynamics at 500 K.  "ethanol_test": 500 frames of another trajectory, to test on.
    "dichloroethane": 72 frames relaxed along the torsion Cl-C-C-Cl, extra["phi_deg"].
    "water": 1000 distorted geometries, extra["r1"], extra["r2"] (angstrom) and extra["angle_deg"].
    "h2o2": 1000 distorted geometries, any torsion H-O-O-H: extra["phi_deg"]; extra["polarizabilities"] (frames,3,3)
    angstrom^3; extra["rotations"], the optical rotation parameter at 589.3 nm, a pseudoscalar, atomic units.
    "h2o2_test": 250 more from another seed, to test on.  "h2o2_scan": 36 along the torsion, at mean bonds and angles.
    "antiprisms": four pairs of distorted SF6 that share every distance: pair extra["c"], member extra["which"] = 1, -1;
    a second opinion on their energies in extra["energies_hf"].
    "chiral_methanes": 420 structures, both mirror images of 210 molecules with a centre bound to four different
    groups; extra["label"] = 1 (R), -1 (S), extra["mol_id"], extra["test"] (30 molecules to keep for testing),
    extra["centre"], extra["substituents"] (four atoms by falling CIP rank), extra["chi"] (the triple product of the
    first three, as unit vectors from the centre; its sign is -label), extra["smiles"].

    The level of theory is in about["level"]: GFN2-xTB, a semi-empirical method, or (h2o2) Hartree-Fock without
    correlation: consistent labels to learn from, not reference values.
    """
    if name not in _NAMES:
        raise ValueError(f"there is no set {name!r}; there are: {', '.join(_NAMES)}")
    file = resources.files("se3ref") / "data" / f"{name}.npz"
    with file.open("rb") as stream, np.load(stream) as stored:
        arrays = {key: _doubled(stored[key]) for key in stored.files}
    numbers, about = arrays.pop("numbers"), json.loads(str(arrays.pop("about")))
    if numbers.ndim == 2:
        atoms, positions = numbers > 0, arrays.pop("positions")            # (molecules, n), padded with zeros
        structures = [Structure(z[a], r[a]) for z, r, a in zip(numbers, positions, atoms, strict=True)]
        return _filled(Molecules, arrays, structures=structures, about=about)
    return _filled(Frames, arrays, numbers=numbers, about=about)


def _doubled(values):
    """Single precision as double; whole numbers, truth values and text as they are."""
    return values.astype(np.float64) if values.dtype.kind == "f" else values


def _filled(kind, arrays, **given):
    """A Frames or Molecules: the arrays named as its fields go there, all others into `extra`."""
    own = {field.name: arrays.pop(field.name) for field in fields(kind) if field.name in arrays}
    return kind(**given, **own, extra=arrays)
