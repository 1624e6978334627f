"""What a change of the observer, of the names of atoms, or of the cell must do to a target: nothing but turn it.

Each law takes a `Subject` and a random generator and returns Cases, one for every quantity.  Reflection is measured
by inversion, which commutes with every rotation: so a model that knows up from down, but not left from right, breaks
the law of rotations alone.
"""

from dataclasses import replace

import numpy as np

from se3ref.so3 import random_rotation
from se3ref.systems import Structure
from se3ref.verify.subjects import NotMeasured


def rotation(subject, rng):
    """f(R x) = D(R) f(x), R proper."""
    return _turned(subject, random_rotation(rng))


def reflection(subject, rng):
    """f(-x) = D(-1) f(x): for an energy E(mirror image) = E.

    The cell stays: a lattice is its own mirror image by inversion, and whether its vectors may be left-handed is the
    law of `cell_choice`.
    """
    s = subject.structure
    return subject.compare(replace(s, positions=-s.positions), _expected(subject, -np.eye(3)))


def translation(subject, rng):
    """f(x + t) = f(x), t of 1 to 10 angstrom."""
    moved = subject.structure.translated(rng.standard_normal(3) * rng.uniform(0.6, 6))
    return subject.compare(moved, subject.values, grown=_growth(subject, moved))


def permutation(subject, rng):
    """Renumbered atoms: what belongs to atoms is renumbered too, the rest stays."""
    s, order = subject.structure, _moving_order(len(subject.structure), rng)
    renumbered = replace(s, numbers=s.numbers[order], positions=s.positions[order])
    return subject.compare(renumbered, {name: rows[order] if subject.kind(name).per == "atom" else rows
                                        for name, rows in subject.values.items()})


def images(subject, rng):
    """Every atom replaced by an image of itself: nothing changes."""
    s = _periodic(subject)
    steps = rng.integers(-2, 3, (len(s), 3)) * s.pbc
    steps[0, s.pbc] = 1                                        # one at least moves
    moved = replace(s, positions=s.positions + steps @ s.cell)
    return subject.compare(moved, subject.values, grown=_growth(subject, moved))


def cell_choice(subject, rng):
    """Other lattice vectors of the same lattice, right-handed and left-handed: nothing changes."""
    s = _periodic(subject)
    axes = np.flatnonzero(s.pbc)
    if len(axes) < 2:
        raise NotMeasured("it repeats in one direction, which has one lattice vector")
    U = np.eye(3)
    a, b = rng.permutation(axes)[:2]
    U[a, b] = rng.choice([-1, 1])
    U[b] += rng.choice([-1, 1]) * U[a]                         # two shears: determinant 1
    return [case for note, U in (("", U), ("left-handed cell", -U))
            for case in subject.compare(replace(s, cell=U @ s.cell), subject.values, note)]


def supercell(subject, rng):
    """Two cells as one: sums double, forces repeat, stress stays."""
    s = _periodic(subject)
    a = rng.choice(np.flatnonzero(s.pbc))
    cell = s.cell.copy()
    cell[a] *= 2
    double = Structure(np.tile(s.numbers, 2), np.concatenate([s.positions, s.positions + s.cell[a]]), cell, s.pbc,
                       2 * s.charge)
    per = {"sum": lambda rows: 2 * rows, "mean": lambda rows: rows, "atom": lambda rows: np.tile(rows, (2, 1))}
    expected = {name: per[subject.kind(name).per](rows) for name, rows in subject.values.items()
                if subject.kind(name).per in per}
    if not expected:
        raise NotMeasured("what a tensor of a whole structure does in a larger cell is not known")
    return subject.compare(double, expected, grown=max(2.0, _growth(subject, double)))


# --- parts ----------------------------------------------------------------------------------------------------

def _turned(subject, R):
    s = subject.structure.rotated(R)
    return subject.compare(s, _expected(subject, R), grown=_growth(subject, s))


def _expected(subject, R):
    """{quantity: rows}, turned by R."""
    return {name: rows @ subject.kind(name).matrix(R).T for name, rows in subject.values.items()}


def _growth(subject, structure):
    """How much larger the largest coordinate has become, 1 at least."""
    before, after = (float(np.abs(s.positions).max()) or 1.0 for s in (subject.structure, structure))
    return max(1.0, after / before)


def _moving_order(n, rng):
    """A permutation that is not the identity."""
    if n == 1:
        raise NotMeasured("one atom cannot be renumbered")
    order = rng.permutation(n)
    return order if (order != np.arange(n)).any() else np.roll(order, 1)


def _periodic(subject):
    if not subject.structure.pbc.any():
        raise NotMeasured("it does not repeat")
    return subject.structure
