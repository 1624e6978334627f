"""Structures to audit a model on: small, without any symmetry, and of elements that the model knows.

A symmetric structure hides violations: in a perfect crystal the forces are zero, whatever made them.  So every atom
here is displaced, and every cell sheared.
"""

from dataclasses import dataclass

import numpy as np

from se3ref.systems import Structure, datasets

RATTLE = 0.08                           # angstrom, standard deviation: a few hundred kelvin of thermal motion
SHEAR = 0.03                            # of the entries of the strain
AT_MOST = 4                             # specimens in an audit that makes its own
BREAKS = Exception                      # a foreign model may fail in any way; an interrupt is none of them


@dataclass(frozen=True, eq=False)
class Specimen:
    """A structure with a name."""
    name: str
    structure: Structure


def rattled(numbers, positions, cell=None, pbc=False, seed=0):
    """A Structure of these atoms, each displaced by RATTLE, the periodic cell strained by SHEAR."""
    rng = np.random.default_rng(seed)
    F = np.eye(3) + SHEAR * rng.standard_normal((3, 3)) * np.any(pbc)
    moved = positions @ F.T + RATTLE * rng.standard_normal(np.shape(positions))
    return Structure(numbers, moved, None if cell is None else cell @ F.T, pbc)


def _fcc(a):
    """Positions (4,3) and cell of the face-centred cubic lattice with constant a, angstrom."""
    return a / 2 * np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0.0]]), a * np.eye(3)


def catalogue():
    """The specimens an audit draws from, molecules and crystals in turn, those of common elements first.

    Lattice constants: W. M. Haynes (ed.), CRC Handbook of Chemistry and Physics.
    """
    ethanol = datasets.load("ethanol").structure(7)
    molecular = rattled(ethanol.numbers, ethanol.positions, np.diag([6.6, 5.9, 5.4]), True, seed=1)
    found = [Specimen("ethanol", ethanol), Specimen("crystal of ethanol", molecular)]
    corner, cell = _fcc(3.615)
    found.append(Specimen("copper", rattled([29] * 4, corner, cell, True, seed=2)))
    corner, cell = _fcc(5.64)
    salt = np.concatenate([corner, corner + [2.82, 0, 0]])
    found.append(Specimen("sodium chloride", rattled([11] * 4 + [17] * 4, salt, cell, True, seed=3)))
    corner, cell = _fcc(5.431)
    diamond = np.concatenate([corner, corner + 5.431 / 4])
    found.append(Specimen("silicon", rattled([14] * 8, diamond, cell, True, seed=4)))
    corner, cell = _fcc(5.26)
    found.append(Specimen("argon", rattled([18] * 4, corner, cell, True, seed=5)))
    ions = np.array([[0, 0, 0], [2.4, 0.3, 0], [0.2, 2.6, 0.4], [2.5, 2.4, -0.3]])
    return [*found, Specimen("hydrogen peroxide", datasets.load("h2o2").structure(7)),
            Specimen("water", datasets.load("water").structure(7)),
            Specimen("formate and ammonium", datasets.load("formate_ammonium").structure(7)),
            Specimen("three silver atoms", datasets.load("silver_trimers").structure(7)),
            Specimen("cluster of ions", rattled([11, 17, 17, 11], ions, seed=6)),
            Specimen("cluster of copper", rattled([29] * 4, 2.5 * _tetrahedron(), seed=7))]


def _tetrahedron():
    """Four points at distance 1 from one another, (4,3)."""
    return np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]]) / np.sqrt(8)


def chosen(target, structures=None):
    """(specimens, refused): the given structures, or up to four of the `catalogue` that the target can evaluate.

    structures: Structures or ase.Atoms, one or a list.  refused: {name: why} of those it cannot.
    ValueError where none is left, and for given structures that it cannot evaluate.
    """
    found, refused = can_do(target, *((catalogue(), AT_MOST) if structures is None else (_given(structures),)))
    if not found or structures is not None and refused:
        reasons = "; ".join(f"{name} ({reason})" for name, reason in refused.items())
        raise ValueError(f"{target.name} cannot be evaluated on: {reasons}. Give structures that it knows")
    return found, refused


def can_do(target, candidates, at_most=None):
    """(specimens, refused): the first of the candidates that the target can evaluate, and why not the others."""
    found, refused = [], {}
    for specimen in candidates:
        if len(found) == at_most:
            break
        try:
            broken = [name for name, rows in target.observe(specimen.structure).items() if not np.isfinite(rows).all()]
        except BREAKS as error:
            refused[specimen.name] = f"{type(error).__name__}: {error}"
        else:
            refused |= {specimen.name: f"{broken} are not finite"} if broken else {}
            found += [] if broken else [specimen]
    return found, refused


def _given(structures):
    structures = [structures] if hasattr(structures, "numbers") else list(structures)
    made = [s if isinstance(s, Structure) else Structure.from_ase(s) for s in structures]
    if not made:
        raise ValueError("structures is empty: give at least one, or None for the audit's own")
    return [Specimen(f"structure {k}" if len(made) > 1 else "the structure", s) for k, s in enumerate(made)]
