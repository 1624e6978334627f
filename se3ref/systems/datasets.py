"""The sets of molecules that come with the library: geometries with energies, forces, dipoles and charges."""

import json
from dataclasses import dataclass, fields
from importlib import resources

import numpy as np

from se3ref.systems.structure import Structure

_NAMES = ("ethanol", "ethanol_test", "dichloroethane", "water")


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
        if np.ndim(chosen) == 0 and not isinstance(chosen, slice):
            raise TypeError(f"Frames are chosen by a slice, indices or a mask, not by {chosen!r}; "
                            f"for one frame, frames.structure(k) or frames[k:k+1]")
        return Frames(self.numbers, self.positions[chosen], self.energies[chosen], self.forces[chosen],
                      self.dipoles[chosen], self.charges[chosen],
                      {name: values[chosen] for name, values in self.extra.items()}, self.about)

    def __repr__(self):
        return f"Frames({self.about['what']}: {len(self)} frames of {len(self.numbers)} atoms)"

    def structure(self, k):
        """Frame k as a Structure."""
        return Structure(self.numbers, self.positions[k])


def names():
    """The names that `load` knows."""
    return _NAMES


def load(name):
    """The set of that name as Frames, read afresh each time: change its arrays as you like.

    "ethanol": 2000 frames of dynamics at 500 K.  "ethanol_test": 500 frames of another trajectory, to test on.
    "dichloroethane": 72 frames relaxed along the torsion Cl-C-C-Cl, extra["phi_deg"].
    "water": 1000 distorted geometries, extra["r1"], extra["r2"] (angstrom) and extra["angle_deg"].
    All by GFN2-xTB, a semi-empirical method: consistent labels to learn from, not reference values.
    """
    if name not in _NAMES:
        raise ValueError(f"there is no set {name!r}; there are: {', '.join(_NAMES)}")
    file = resources.files("se3ref") / "data" / f"{name}.npz"
    with file.open("rb") as stream, np.load(stream) as stored:
        arrays = {key: stored[key] for key in stored.files}
    numbers, about = arrays.pop("numbers"), json.loads(str(arrays.pop("about")))
    arrays = {key: values.astype(np.float64) for key, values in arrays.items()}
    own = {field.name: arrays.pop(field.name) for field in fields(Frames) if field.name in arrays}
    return Frames(numbers=numbers, **own, extra=arrays, about=about)
