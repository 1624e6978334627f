"""Atoms in space: elements, positions, and a cell where the structure repeats."""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from se3ref.so3.rotations import check_rotation

SYMBOLS = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As "
    "Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd "
    "Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am "
    "Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
).split()       # SYMBOLS[z] for z = 1..118

COINCIDENT = 1e-3               # angstrom; the shortest bond, in H2, is 0.74
SINGULAR = 1e-6                 # least singular value of normalised lattice vectors; 0.7 in an fcc cell


@dataclass(frozen=True, eq=False, repr=False)
class Structure:
    """n atoms, with a cell or without. Its arrays are read-only copies: what was checked stays checked.

    numbers: (n,) int, atomic numbers 1..118
    positions: (n,3) float64, angstrom
    cell: (3,3) float64, rows are the lattice vectors, angstrom; or None. An all-zero cell means None.
    pbc: (3,) bool, along which lattice vectors the structure repeats; one bool stands for all three.
    charge: float, total charge, e

    Raises ValueError for wrong shapes or types, NaN, numbers out of range, coincident atoms (images of other atoms
    included), and periodic directions without a cell or with linearly dependent lattice vectors.
    """
    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray | None = None
    pbc: np.ndarray | bool = False
    charge: float = 0.0

    def __post_init__(self):
        numbers = _numbers(self.numbers)
        positions = _floats("positions", self.positions, (len(numbers), 3))
        cell = None if self.cell is None else _floats("cell", self.cell, (3, 3))
        if cell is not None and not cell.any():
            cell = None
        pbc = _pbc(self.pbc, cell)
        _check_apart(positions, cell, pbc)
        checked = {"numbers": numbers, "positions": positions, "cell": cell, "pbc": pbc,
                   "charge": float(_floats("charge", self.charge, ()))}
        for name, value in checked.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)           # the one way to set a field of a frozen dataclass

    def __reduce__(self):
        """Pickled and deep-copied through `Structure(...)`: NumPy would bring the arrays back writable."""
        return Structure, (self.numbers, self.positions, self.cell, self.pbc, self.charge)

    def __len__(self):
        return len(self.numbers)

    def __repr__(self):
        words = [_formula(self.numbers), f"{len(self)} atom" + "s" * (len(self) > 1)]
        if self.cell is not None:
            a, b, c = np.linalg.norm(self.cell, axis=1)
            axes = "".join(np.array(["a", "b", "c"])[self.pbc]) or "none"
            words.append(f"cell {a:.4g} x {b:.4g} x {c:.4g} angstrom, periodic along {axes}")
        if self.charge:
            words.append(f"charge {self.charge:+g}")
        return f"Structure({', '.join(words)})"

    def rotated(self, R):
        """Turned about the origin by R (3,3), proper or improper: r -> R r, lattice vectors likewise."""
        R = check_rotation(R)
        if R.shape != (3, 3):
            raise ValueError(f"rotated takes one matrix (3,3); got shape {R.shape}: call it for each one")
        cell = None if self.cell is None else self.cell @ R.T
        return replace(self, positions=self.positions @ R.T, cell=cell)

    def translated(self, t):
        """The structure moved by t (3,), angstrom; the cell stays."""
        return replace(self, positions=self.positions + _floats("translation", t, (3,)))

    @classmethod
    def from_ase(cls, atoms):
        """From ase.Atoms: numbers, positions, cell, pbc, charge. Velocities and constraints are not kept.

        The total charge is atoms.info["charge"] or, where that is missing, the sum of the initial charges.
        """
        Atoms = _ase_atoms()
        if not isinstance(atoms, Atoms):
            raise TypeError(f"from_ase takes an ase.Atoms; got {type(atoms).__name__}: "
                            f"ase.io.read(filename) gives Atoms from a file")
        charge = atoms.info.get("charge", atoms.get_initial_charges().sum())
        return cls(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, charge)

    def to_ase(self):
        """As ase.Atoms, the total charge in info["charge"]; from_ase gives exactly this structure back."""
        return _ase_atoms()(numbers=self.numbers, positions=self.positions, cell=self.cell, pbc=self.pbc,
                            info={"charge": self.charge})


def _ase_atoms():
    try:
        from ase import Atoms
    except ImportError:
        raise ImportError("from_ase and to_ase need the package ase, which is not installed: "
                          "pip install ase") from None
    return Atoms


def _copy(name, given):
    try:
        return np.array(given)
    except ValueError:                                          # rows of different lengths
        raise ValueError(f"{name} must have rows of equal length; got {_short(given)}") from None


def _numbers(given):
    numbers = _copy("numbers", given)
    if numbers.dtype.kind in "US":
        raise ValueError(f"numbers must be atomic numbers, not symbols; got {_short(given)}"
                         f"{_translated(numbers)}")
    if numbers.ndim != 1 or len(numbers) == 0 or numbers.dtype.kind not in "iu":
        raise ValueError(f"numbers must be integers, shape (n,) with n >= 1; got {_short(given)} "
                         f"with shape {numbers.shape}, dtype {numbers.dtype}")
    odd = (numbers < 1) | (numbers > 118)
    if odd.any():
        k = int(odd.argmax())
        raise ValueError(f"atomic numbers run from 1 to 118; got {numbers[k]} for atom {k}")
    return numbers.astype(np.int64)


def _translated(symbols):
    """': write [8, 1, 1]' for the symbols O H H; nothing if they are no symbols."""
    names = symbols.ravel().tolist()
    return f": write {[SYMBOLS.index(s) for s in names]}" if set(names) <= set(SYMBOLS[1:]) else ""


def _floats(name, given, shape):
    """A float64 copy of `given` with this shape and finite entries."""
    array = _copy(name, given)
    if array.dtype.kind not in "iuf" or array.shape != shape:
        raise ValueError(f"{name} must be real numbers of shape {shape}; got {_short(given)} "
                         f"with shape {array.shape}, dtype {array.dtype}")
    if not np.isfinite(array).all():
        row = np.argwhere(~np.isfinite(array))[0].tolist()
        raise ValueError(f"{name} must be finite; got {array[tuple(row)]} at index {row}")
    return array.astype(np.float64)


def _pbc(given, cell):
    pbc = _copy("pbc", given)
    if pbc.shape not in ((), (3,)) or not ((pbc == 0) | (pbc == 1)).all():
        raise ValueError(f"pbc must be True, False or three of them; got {_short(given)}")
    pbc = np.broadcast_to(pbc, 3).astype(bool)
    if pbc.any() and cell is None:
        raise ValueError(f"pbc is {pbc.tolist()} but there is no cell: give cell=, its rows the lattice "
                         f"vectors in angstrom, or pbc=False for a molecule")
    if pbc.any():
        lengths = np.sqrt((cell[pbc] ** 2).sum(1, keepdims=True))
        smallest = np.linalg.svd(cell[pbc] / np.where(lengths > 0, lengths, 1), compute_uv=False).min()
        if smallest < SINGULAR:
            raise ValueError(f"the lattice vectors along the periodic directions {pbc.tolist()} are linearly "
                             f"dependent: {cell[pbc].tolist()}; mend the cell, or set pbc=False there")
    return pbc


def _check_apart(positions, cell, pbc):
    """Refuse atoms nearer than COINCIDENT to one another or to one another's periodic images.

    In coordinates s = r A^-1 the periodic lattice vectors become unit vectors and images differ by whole
    numbers. Since |s| <= |r| |A^-1|, by Frobenius' norm, a tree of all s, periodic by 1, finds every candidate.
    """
    A = _completed(cell, pbc) if pbc.any() else np.eye(3)
    inverse = np.linalg.inv(A)
    s = positions @ inverse
    s = np.where(pbc, s - np.floor(s), s)
    s = np.where(pbc & (s >= 1), 0.0, s)                        # -1e-20 - floor(-1e-20) rounds to 1
    tree = cKDTree(s, boxsize=np.where(pbc, 1.0, 0.0))
    i, j = tree.query_pairs(COINCIDENT * math.sqrt((inverse * inverse).sum()), output_type="ndarray").T
    step = s[j] - s[i]
    distance = np.linalg.norm((step - np.where(pbc, np.round(step), 0)) @ A, axis=1)
    if (distance < COINCIDENT).any():
        k = int(distance.argmin())
        i, j = sorted((i[k], j[k]))
        apart = np.linalg.norm(positions[j] - positions[i]) >= COINCIDENT
        image = f"a periodic image of atom {j}" if apart else f"atom {j}"
        raise ValueError(f"atom {i} and {image} coincide: they are {distance[k]:.2g} angstrom apart, "
                         f"less than {COINCIDENT}; remove one, or check that lengths are in angstrom")


def _completed(cell, pbc):
    """The periodic lattice vectors, with unit vectors normal to them in place of the others."""
    A = cell.copy()
    A[~pbc] = np.linalg.svd(cell[pbc])[2][pbc.sum():]
    return A


def _formula(numbers):
    """Hill's order: C, H, then the alphabet; without C, the alphabet (J. Am. Chem. Soc. 22, 478 (1900))."""
    symbols = [SYMBOLS[z] for z in numbers]
    order = sorted(set(symbols), key=lambda s: ("C" in symbols and (s != "C", s != "H"), s))
    return "".join(s + (str(symbols.count(s)) if symbols.count(s) > 1 else "") for s in order)


def _short(given):
    text = " ".join(repr(given).split())
    return text if len(text) <= 60 else text[:57] + "..."
