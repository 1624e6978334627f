"""Structures with what is known of them: the data of training, from arrays, structures or a file."""

import warnings

import numpy as np

from se3ref.systems import Structure, join, neighbor_graph

PER_STRUCTURE = {"energy": (), "stress": (3, 3), "dipole": (3,), "polarizability": (3, 3), "pseudoscalar": (),
                 "vector": (3,), "pseudovector": (3,)}
PER_ATOM = {"forces": (3,), "charges": (), "direct_forces": (3,)}


class Dataset:
    """Structures and their targets; what a model is trained and tested on.

    structures: a list of Structure; targets, by name: energy (s,) eV, stress (s,3,3) eV/angstrom^3, dipole (s,3)
    e*angstrom, polarizability (s,3,3), pseudoscalar (s,), vector (s,3), pseudovector (s,3); and for atoms a list of
    arrays, one for each structure (or one array (s,n,...) where all have n atoms): forces (n,3) eV/angstrom,
    charges (n,) e, direct_forces (n,3).

        data = Dataset.from_file("train.extxyz")               # your own data, through ASE
        train, validation = data[:900], data[900:]

    ValueError for a target of another shape, or with NaN in it.
    """

    def __init__(self, structures, **targets):
        self.structures = [structures] if isinstance(structures, Structure) else list(structures)
        odd = [type(s).__name__ for s in self.structures if not isinstance(s, Structure)]
        if not self.structures or odd:
            raise ValueError(f"a Dataset needs a list of at least one Structure; got {odd[0] if odd else 'none'}: "
                             f"Structure.from_ase(atoms) makes one of ase.Atoms")
        if not targets:
            raise ValueError(f"a Dataset needs targets: some of {', '.join([*PER_STRUCTURE, *PER_ATOM])}")
        self.targets = {name: _checked(name, values, self.structures) for name, values in targets.items()}
        self._graphs = {}

    @classmethod
    def from_frames(cls, frames, names=("energy", "forces")):
        """From `systems.datasets.load(...)`: the targets named, of energy, forces, dipole, charges, direct_forces and,
        where the set has them, stress, polarizability and pseudoscalar (optical rotation)."""
        columns = {"energy": "energies", "forces": "forces", "dipole": "dipoles", "charges": "charges",
                   "direct_forces": "forces", "stress": "stresses", "polarizability": "polarizabilities",
                   "pseudoscalar": "rotations"}
        stored = {name: getattr(frames, column, frames.extra.get(column)) for name, column in columns.items()}
        if missing := [name for name in names if stored.get(name) is None]:
            raise ValueError(f"this set has no {missing}; it has {[n for n, v in stored.items() if v is not None]}")
        return cls(frames.structures, **{name: stored[name] for name in names})

    @classmethod
    def from_arrays(cls, numbers, positions, cell=None, pbc=False, charge=0.0, **targets):
        """Many geometries (s,n,3) of the same atoms, numbers (n,), in one cell or none, with one total charge."""
        return cls([Structure(numbers, r, cell, pbc, charge) for r in positions], **targets)

    @classmethod
    def from_file(cls, path):
        """From a file that ASE reads, such as extended XYZ: energies, forces, stresses and dipoles that it holds."""
        from ase.io import read
        images = read(path, index=":")
        known = [{} if atoms.calc is None else atoms.calc.results for atoms in images]
        having = {name: sum(name in k for k in known) for name in ("energy", "forces", "stress", "dipole")}
        names = [name for name, count in having.items() if count == len(images)]
        if not names:
            found = sorted({key for atoms in images for key in (*atoms.info, *atoms.arrays)})
            raise ValueError(f"{path} has no energy, forces, stress or dipole that all its {len(images)} images share; "
                             f"it has {found}: ASE reads labels from the keys energy, forces, stress and dipole")
        if partly := {name: count for name, count in having.items() if 0 < count < len(images)}:
            warnings.warn(f"{path}: left out, since not all {len(images)} images have them: {partly}", stacklevel=2)
        targets = {name: [k[name] for k in known] for name in names}
        if "stress" in targets:
            targets["stress"] = [atoms.get_stress(voigt=False) for atoms in images]
        return cls([Structure.from_ase(atoms) for atoms in images], **targets)

    def sharing_graphs_of(self, other):
        """This Dataset, with the graphs of another one of the same structures: what either makes, both have."""
        self._graphs = other._graphs
        return self

    def __len__(self):
        return len(self.structures)

    def __getitem__(self, chosen):
        """A Dataset of some of the structures: a slice, indices or a mask."""
        rows = np.atleast_1d(np.arange(len(self))[chosen])
        part = Dataset([self.structures[k] for k in rows],
                       **{name: [values[k] for k in rows] for name, values in self.targets.items()})
        part._graphs = {cutoff: [graphs[k] for k in rows] for cutoff, graphs in self._graphs.items()}
        return part

    def __repr__(self):
        return f"Dataset({len(self)} structures, targets {', '.join(self.targets)})"

    def graphs(self, cutoff):
        """The graph of each structure, made once for each cutoff."""
        if cutoff not in self._graphs:
            self._graphs[cutoff] = [neighbor_graph(structure, cutoff) for structure in self.structures]
        return self._graphs[cutoff]

    def batch(self, rows, cutoff):
        """One graph of the structures `rows`, and their targets as arrays (s,...) or (n,...)."""
        graphs = self.graphs(cutoff)
        targets = {name: np.stack([values[k] for k in rows]) if name in PER_STRUCTURE
                   else np.concatenate([values[k] for k in rows]) for name, values in self.targets.items()}
        return join([graphs[k] for k in rows]), targets

    def compositions(self, species):
        """How many atoms of each species each structure has, (s,species)."""
        return np.array([[(s.numbers == z).sum() for z in species] for s in self.structures], dtype=float)


def _checked(name, values, structures):
    """The target as a list of float64 arrays, one for each structure."""
    if name not in PER_STRUCTURE and name not in PER_ATOM:
        raise ValueError(f"targets are {', '.join([*PER_STRUCTURE, *PER_ATOM])}; got {name!r}")
    if not hasattr(values, "__len__"):
        raise ValueError(f"the target {name!r} is a list or an array, an entry for each structure; got {values!r}")
    values = [np.asarray(v, dtype=np.float64) for v in values]
    if len(values) != len(structures):
        raise ValueError(f"the target {name!r} has {len(values)} entries for {len(structures)} structures")
    for k, (value, structure) in enumerate(zip(values, structures, strict=True)):
        shape = PER_STRUCTURE[name] if name in PER_STRUCTURE else (len(structure), *PER_ATOM[name])
        if value.shape != shape:
            raise ValueError(f"the target {name!r} of structure {k} must have the shape {shape}; got {value.shape}")
        if not np.isfinite(value).all():
            raise ValueError(f"the target {name!r} of structure {k} holds NaN or infinity")
    return values
