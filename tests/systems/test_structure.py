"""A Structure keeps what it was given, turns as space turns, and refuses what is no structure."""

import copy
import pickle
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from se3ref.so3.rotations import random_orthogonal
from se3ref.systems import Structure
from se3ref.systems.structure import COINCIDENT, SYMBOLS

WATER = [8, 1, 1], [[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]]
EPS = np.finfo(np.float64).eps
FIELDS = ("numbers", "positions", "cell", "pbc", "charge")


@st.composite
def structures(draw):
    """1-6 atoms at least 0.5 angstrom apart, without a cell or in one, periodic along any vector."""
    places = draw(st.lists(st.tuples(*[st.integers(-4, 4)] * 3), min_size=1, max_size=6, unique=True))
    n = len(places)
    numbers = draw(arrays(np.int64, n, elements=st.integers(1, 118)))
    jitter = draw(arrays(np.float64, (n, 3), elements=st.floats(-0.25, 0.25)))
    charge = draw(st.floats(-5, 5))
    if not draw(st.booleans()):
        return Structure(numbers, np.array(places) + jitter, charge=charge)
    pbc = draw(arrays(np.bool_, 3))
    skew = draw(arrays(np.float64, (3, 3), elements=st.floats(-2, 2)))
    return Structure(numbers, np.array(places) + jitter, 20 * np.eye(3) + skew, pbc, charge)


def vectors(structure):
    """Positions and lattice vectors, (n,3) or (n+3,3)."""
    return structure.positions if structure.cell is None else np.vstack([structure.positions, structure.cell])


def assert_same(a, b):
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)
        assert type(getattr(a, field)) is type(getattr(b, field)), field


# --- to and from ASE ----------------------------------------------------------------------------------------

@given(structures())
def test_ase_round_trip_is_exact(structure):
    pytest.importorskip("ase")
    assert_same(Structure.from_ase(structure.to_ase()), structure)


def test_ase_round_trip_from_ase():
    build = pytest.importorskip("ase.build")
    slab = build.fcc111("Cu", (2, 2, 3))                    # periodic along two vectors, the third one zero
    slab.info["charge"] = -1.0
    back = Structure.from_ase(slab).to_ase()
    assert back == slab                                     # numbers, positions, cell and pbc
    assert back.info["charge"] == -1.0


def test_ase_charge_is_the_sum_of_initial_charges_unless_stated():
    ase = pytest.importorskip("ase")
    ammonium = ase.Atoms("NH", [[0, 0, 0], [0, 0, 1]], charges=[0.5, 0.5])
    assert Structure.from_ase(ammonium).charge == 1.0
    ammonium.info["charge"] = 2
    assert Structure.from_ase(ammonium).charge == 2.0


def test_ase_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ase", None)
    with pytest.raises(ImportError, match="pip install ase"):
        Structure(*WATER).to_ase()
    with pytest.raises(ImportError, match="pip install ase"):
        Structure.from_ase(None)


def test_from_ase_of_a_file_name():
    pytest.importorskip("ase")
    with pytest.raises(TypeError, match=r"got str: ase\.io\.read"):
        Structure.from_ase("water.xyz")


def test_symbols_agree_with_ase():
    assert SYMBOLS == pytest.importorskip("ase.data").chemical_symbols


# --- what it holds ------------------------------------------------------------------------------------------

def test_types_and_defaults():
    water = Structure([8, 1, 1], [[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    assert water.numbers.dtype == np.int64 and water.positions.dtype == np.float64
    assert water.cell is None and water.pbc.tolist() == [False] * 3 and water.charge == 0.0
    assert len(water) == 3


def test_arrays_are_read_only_copies():
    positions = np.array(WATER[1])
    water = Structure(WATER[0], positions)
    positions[:] = 0
    assert water.positions.any()
    with pytest.raises(ValueError, match="read-only"):
        water.positions[0] = 1
    with pytest.raises(AttributeError):
        water.positions = positions


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda structure: pickle.loads(pickle.dumps(structure))])
def test_copies_and_pickles_stay_read_only(again):
    slab = Structure(*WATER, cell=np.diag([5.0, 5.0, 0.0]), pbc=[True, True, False], charge=-1)
    same = again(slab)
    for name in ("numbers", "positions", "cell", "pbc"):
        np.testing.assert_array_equal(getattr(same, name), getattr(slab, name))
        assert not getattr(same, name).flags.writeable
    assert same.charge == -1


def test_all_zero_cell_is_none():
    assert Structure(*WATER, cell=np.zeros((3, 3))).cell is None


@pytest.mark.parametrize("numbers, text", [
    ([8, 1, 1], "H2O, 3 atoms"), ([6, 6, 8, 1], "C2HO, 4 atoms"), ([17, 11], "ClNa, 2 atoms"),
    ([1, 35, 6, 17], "CHBrCl, 4 atoms"), ([118], "Og, 1 atom")])
def test_repr_has_the_formula_in_hills_order(numbers, text):
    assert repr(Structure(numbers, np.eye(4, 3)[:len(numbers)])) == f"Structure({text})"


@given(structures())
def test_formula_agrees_with_ase(structure):
    pytest.importorskip("ase")
    assume(6 in structure.numbers or 1 not in structure.numbers)        # without C, ase still puts H first
    assert structure.to_ase().get_chemical_formula("hill") == repr(structure)[10:].split(",")[0]


def test_repr_of_a_charged_slab():
    slab = Structure([29], [[0, 0, 0]], np.diag([2.5, 3, 10.125]), (True, True, False), charge=-1)
    assert repr(slab) == "Structure(Cu, 1 atom, cell 2.5 x 3 x 10.12 angstrom, periodic along ab, charge -1)"


# --- rotations and translations -----------------------------------------------------------------------------

@given(structures(), st.integers(0, 2**32 - 1))
def test_rotation_is_a_group_action_that_keeps_lengths(structure, seed):
    """(R1 R2) x = R1 (R2 x), improper included, and <x, y> is kept.

    Coordinates are below 25, so products are below 3 * 25^2; both are good to 20 eps.
    """
    R1, R2 = random_orthogonal(np.random.default_rng(seed), 2)
    turned = structure.rotated(R2).rotated(R1)
    at_once = structure.rotated(R1 @ R2)
    np.testing.assert_allclose(turned.positions, at_once.positions, atol=20 * EPS * 25)
    x, y = vectors(structure), vectors(turned)
    np.testing.assert_allclose(y @ y.T, x @ x.T, atol=20 * EPS * 3 * 25**2)
    assert_same(structure.rotated(np.eye(3)), structure)


def test_rotation_is_active():
    """A quarter turn about z brings x to y."""
    R = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    turned = Structure([1], [[1.0, 0, 0]], cell=np.diag([2.0, 3, 4])).rotated(R)
    np.testing.assert_array_equal(turned.positions, [[0, 1, 0]])
    np.testing.assert_array_equal(turned.cell, [[0, 2, 0], [-3, 0, 0], [0, 0, 4]])


@given(structures(), arrays(np.float64, 3, elements=st.floats(-30, 30)))
def test_translation_moves_atoms_and_not_the_cell(structure, t):
    moved = structure.translated(t)
    np.testing.assert_array_equal(moved.positions, structure.positions + t)
    for field in ("numbers", "cell", "pbc", "charge"):
        np.testing.assert_array_equal(getattr(moved, field), getattr(structure, field))


@pytest.mark.parametrize("R, message", [
    (1.001 * np.eye(3), r"not a rotation.*0\.0017"), (np.full((3, 3), np.nan), "finite"),
    (np.eye(2), r"\(3, 3\)"), (np.eye(3)[None], "one matrix")])
def test_rotated_refuses_what_is_no_rotation(R, message):
    with pytest.raises(ValueError, match=message):
        Structure(*WATER).rotated(R)


# --- bad input ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("change, message", [
    ({"numbers": ["O", "H", "H"]}, r"not symbols.*: write \[8, 1, 1\]"),
    ({"numbers": "H2O"}, "not symbols; got 'H2O'"),
    ({"numbers": [8.0, 1.0, 1.0]}, "integers.*float64"),
    ({"numbers": [True, False, True]}, "integers.*bool"),
    ({"numbers": [[8, 1, 1]]}, r"shape \(1, 3\)"),
    ({"numbers": []}, "n >= 1"),
    ({"numbers": [8, 0, 1]}, "1 to 118; got 0 for atom 1"),
    ({"numbers": [8, 1, 119]}, "got 119 for atom 2"),
    ({"numbers": [8, 1, -1]}, "got -1 for atom 2"),
    ({"numbers": [8, 1]}, r"positions must be real numbers of shape \(2, 3\).*shape \(3, 3\)"),
    ({"positions": np.zeros(9)}, r"shape \(3, 3\).*shape \(9,\)"),
    ({"positions": [[0, 0, 0], [1, 1], [2, 2, 2]]}, "positions must have rows of equal length"),
    ({"positions": 1j * np.eye(3)}, "real numbers.*complex128"),
    ({"positions": [["a"] * 3] * 3}, "real numbers"),
    ({"positions": np.diag([1, np.nan, 1])}, r"positions must be finite; got nan at index \[1, 1\]"),
    ({"positions": np.diag([1, 1, -np.inf])}, r"got -inf at index \[2, 2\]"),
    ({"positions": None}, "positions must be real numbers"),
    ({"cell": [10, 10, 10]}, r"cell must be real numbers of shape \(3, 3\).*shape \(3,\)"),
    ({"cell": np.diag([1, np.inf, 1])}, "cell must be finite"),
    ({"pbc": True}, r"no cell: give cell="),
    ({"pbc": True, "cell": np.zeros((3, 3))}, "no cell"),
    ({"pbc": (False, True), "cell": 9 * np.eye(3)}, "True, False or three"),
    ({"pbc": "yes", "cell": 9 * np.eye(3)}, "True, False or three"),
    ({"pbc": True, "cell": np.diag([9, 9, 0])}, "linearly dependent"),
    ({"pbc": True, "cell": [[9, 0, 0], [0, 9, 0], [9, 9, 0]]}, "linearly dependent"),
    ({"pbc": (True, False, True), "cell": [[9, 0, 0], [0, 9, 0], [-9, 1e-7, 0]]}, "linearly dependent"),
    ({"charge": np.nan}, "charge must be finite"),
    ({"charge": "+1"}, "charge must be real"),
    ({"charge": [1, 0, 0]}, r"charge must be real numbers of shape \(\)"),
])
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Structure(**{"numbers": WATER[0], "positions": WATER[1]} | change)


def test_flat_cell_is_welcome_where_it_is_not_periodic():
    flat = Structure(*WATER, cell=np.diag([9, 9, 0.0]), pbc=(True, True, False))
    assert flat.cell[2].tolist() == [0, 0, 0]


# --- coincident atoms ---------------------------------------------------------------------------------------

@given(structures(), st.data())
def test_coincident_atoms_are_refused_through_every_periodic_image(structure, data):
    """A copy of an atom, moved by whole lattice vectors, stands on it along periodic ones and only there."""
    k = data.draw(st.integers(0, len(structure) - 1))
    shift = np.array(data.draw(st.tuples(*[st.integers(-3, 3)] * 3)))
    cell = np.zeros((3, 3)) if structure.cell is None else structure.cell
    twin = structure.positions[k] + shift @ cell
    numbers, positions = np.append(structure.numbers, 1), np.vstack([structure.positions, twin])
    if (shift * ~structure.pbc) @ cell @ np.ones(3) != 0:
        Structure(numbers, positions, structure.cell, structure.pbc)
    else:
        with pytest.raises(ValueError, match=f"atom {k} and .*atom {len(structure)} coincide"):
            Structure(numbers, positions, structure.cell, structure.pbc)


@given(st.integers(0, 2**32 - 1), st.tuples(*[st.booleans()] * 3))
def test_coincidence_agrees_with_the_sum_over_images(seed, pbc):
    """Against the shortest distance over 27 images, for two atoms about COINCIDENT apart in a skewed cell."""
    rng = np.random.default_rng(seed)
    cell = 3 * np.eye(3) + rng.uniform(-1, 1, (3, 3))
    r = rng.uniform(-5, 5, 3)
    near = r + rng.standard_normal(3) * COINCIDENT / 2 + rng.integers(-1, 2, 3) * pbc @ cell
    images = np.array(list(product((-1, 0, 1), repeat=3))) * pbc @ cell
    distance = np.linalg.norm(near - r + images, axis=1).min()
    if distance < COINCIDENT:
        with pytest.raises(ValueError, match="coincide"):
            Structure([1, 1], [r, near], cell, pbc)
    else:
        Structure([1, 1], [r, near], cell, pbc)


def test_coincident_message():
    with pytest.raises(ValueError, match="atom 0 and atom 2 coincide: they are 0.0005 angstrom apart"):
        Structure([8, 1, 1], [[0, 0, 0], [1, 0, 0], [0, 0, 5e-4]])
    with pytest.raises(ValueError, match="atom 0 and a periodic image of atom 1 coincide"):
        Structure([8, 1], [[0, 0, 0], [0, 10, 0]], 5 * np.eye(3), pbc=True)
