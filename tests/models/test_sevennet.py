"""SevenNet: its authors' numbers to the last digit, without PyTorch; the laws of SO(3); what it is not."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from se3ref import interop, models
from se3ref.models import published, sevennet
from se3ref.nn import params as trees
from se3ref.nn.radial import bessel, sines, switch
from se3ref.so3 import random_rotation
from se3ref.systems import Structure, neighbor_graph
from se3ref.verify.gradients import pullback_violation

REFERENCE = Path(__file__).parents[1] / "reference"
FILES = [np.load(REFERENCE / f"sevennet_{which}.npz") for which in ("reference", "more")]
TRUTH = {name: array for file in FILES for name, array in file.items()}
NAMES = [name for file in FILES for name in file["names"].tolist()]
VOIGT = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]


@pytest.fixture(scope="module")
def potential():
    return sevennet.load()


@pytest.fixture(scope="module")
def l3i5():
    """SevenNet-l3i5 in the cache of whoever runs the tests."""
    return published_checkpoint("SevenNet-l3i5")


def published_checkpoint(name):
    try:
        return published.find(name)
    except ValueError as error:
        pytest.skip(str(error))


def structure(name):
    return Structure(*(TRUTH[f"{name}/{field}"] for field in ("numbers", "positions", "cell", "pbc")))


def truth(name, tag, suffix=""):
    """What the package says: energy an atom, energies, forces, stress (zero without a volume)."""
    energy, energies, forces, stress = (TRUTH[f"{name}/{tag}/{field}{suffix}"]
                                        for field in ("energy", "energies", "forces", "stress"))
    return energy / len(energies), energies, forces, np.nan_to_num(stress)


def said(potential, name):
    """What the potential says, in the form of `truth`."""
    s = structure(name)
    found = potential.evaluate(s, stress=neighbor_graph(s, 5.0).volume[0] > 0)
    stress = np.zeros(6) if found.stress is None else np.array([found.stress[ij] for ij in VOIGT])
    return found.energy / len(s), found.energies, found.forces, stress


def differences(potential, name, tag="7net-0"):
    return [float(np.abs(a - b).max()) for a, b in zip(said(potential, name), truth(name, tag), strict=True)]


# --- the authors' numbers -------------------------------------------------------------------------------------

EXACT = np.array([1e-12, 1e-12, 1e-11, 1e-11])                 # eV an atom, eV, eV/angstrom, eV/angstrom^3


@pytest.mark.parametrize("name", NAMES)
def test_the_last_digit(potential, name):
    """Some thousand roundings of numbers up to 50, and in `torn` of forces up to 400 eV/angstrom."""
    assert (differences(potential, name) <= EXACT).all()


def test_the_last_digit_of_l3i5(l3i5):
    """Up to degree 3, another radial basis, other tables to compare signs with."""
    potential = sevennet.load(l3i5)
    found = {name: differences(potential, name, "7net-l3i5") for name in NAMES}
    assert {name: d for name, d in found.items() if not (d <= EXACT).all()} == {}


def test_shipped_weights_are_the_checkpoint(potential):
    """All that is computed with, bit for bit; where the checkpoint has been fetched."""
    whole = sevennet.load(published_checkpoint("SevenNet-0"))
    assert whole.model == potential.model
    assert np.array_equal(trees.flatten(whole.params), trees.flatten(potential.params))


def noise(potential, tag):
    """Root mean squares over all structures of errors in single precision, ours and the package's: (2, quantities).

    Forces, and the rounding of all else with them, span four orders of magnitude: an error counts in parts of the
    largest force, or of 1 eV/angstrom where that is less.
    """
    errors = []
    for name in NAMES:
        right = truth(name, tag)
        scale = max(1.0, np.abs(right[2]).max())
        errors.append([[np.sqrt(np.mean((x - y) ** 2)) / scale for x, y in zip(each, right, strict=True)]
                       for each in (said(potential, name), truth(name, tag, "_float32"))])
    return np.sqrt(np.mean(np.square(errors), axis=0))


def test_single_precision():
    """Within the noise of the package in single precision: both are samples of rounding, ours 1.0 to 1.6 times its."""
    single = sevennet.load(dtype=np.float32)
    ours, its = noise(single, "7net-0")
    assert (ours <= 2 * its).all()
    assert single.evaluate(structure("one_atom")).forces.dtype == np.float32


def test_single_precision_of_l3i5(l3i5):
    ours, its = noise(sevennet.load(l3i5, np.float32), "7net-l3i5")
    assert (ours <= 2 * its).all()


def test_torch_is_not_imported():
    """In a fresh interpreter, by loading a potential and evaluating it."""
    code = ("import sys; from se3ref.models import sevennet; from se3ref.systems import Structure; "
            "found = sevennet.load().evaluate(Structure([3, 1], [[0, 0, 0], [0, 0, 1.6]], [[4, 0, 0], [0, 4, 0], "
            "[0, 0, 4]], True), stress=True); assert found.stress.shape == (3, 3); "
            "assert not {'torch', 'e3nn', 'sevenn'} & set(sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_it_is_the_size_that_was_published(potential):
    """842,440 parameters with the two linear maps of the head, which are one here: 128 x 64 + 64 become 128; shift and
    scale are 178 of ours."""
    assert trees.count(potential.params) - 178 - 128 + 128 * 64 + 64 == 842_440
    assert potential.model.group == "SO(3)" and str(potential.model.irreps) == "128x0e+64x1e+32x2e"


# --- laws -----------------------------------------------------------------------------------------------------

def test_rotations_leave_it_and_mirrors_do_not(potential):
    """The finding told by its authors' choice of labels: mirror images differ, here by 1e-6 to 1e-3 eV an atom."""
    s = structure("ethanol_vacuum")
    here = potential.evaluate(s)
    for R in random_rotation(np.random.default_rng(0), 2):
        there = potential.evaluate(s.rotated(R))
        assert abs(there.energy - here.energy) <= 1e-12 * np.abs(here.energies).sum()
        assert np.abs(there.forces - here.forces @ R.T).max() <= 1e-12 * np.abs(here.forces).max()
        mirrored = potential.evaluate(s.rotated(-R))
        assert 1e-6 < abs(mirrored.energy - here.energy) / len(s) < 1e-3


def test_P45_forces_are_the_gradient(potential):
    s = structure("quartz_9")
    graph, v = neighbor_graph(s, 5.0), np.random.default_rng(1).standard_normal(s.positions.shape)
    moved = graph.at(graph.positions + 1e-30j * v)
    slope = potential.model.energy(potential.params, moved)[0][0].imag / 1e-30
    forces = potential.evaluate(s).forces
    assert abs(slope + (forces * v).sum()) <= 1e-12 * np.abs(forces).max() * np.abs(v).sum()


def test_as_a_calculator(potential):
    pytest.importorskip("ase")
    atoms = structure("Si_8").to_ase()
    atoms.calc = interop.ase.Calculator(potential)
    assert atoms.get_potential_energy() == pytest.approx(float(TRUTH["Si_8/7net-0/energy"]), rel=1e-13)
    assert np.abs(atoms.get_stress() - TRUTH["Si_8/7net-0/stress"]).max() <= 1e-11


# --- its parts ------------------------------------------------------------------------------------------------

def test_sines_are_bessel_functions_at_their_start():
    r = np.linspace(0.3, 4.9, 9)
    y, pull = sines(np.arange(1, 6) * np.pi / 5, r, 5.0)
    assert np.abs(y / np.sqrt(2 / 5) - bessel(r, 5.0, 5)[0]).max() <= 1e-14
    layer = lambda c, x: sines(c, x, 5.0)                                               # noqa: E731
    assert pullback_violation(layer, (np.arange(1, 6) * 0.7, r), np.random.default_rng(0)) <= 1e-13


def test_the_switch_is_smooth_and_its_slope_is_its_slope():
    r = np.array([1.0, 4.4, 4.5, 4.5 + 1e-9, 4.7, 5 - 1e-9])
    u, pull = switch(r, 4.5, 5.0)
    assert np.array_equal(u[:3], [1, 1, 1]) and abs(u[3] - 1) < 1e-14 and 0 <= u[-1] < 1e-15
    slope = switch(r + 1e-30j, 4.5, 5.0)[0].imag / 1e-30
    assert np.abs(slope - pull(np.ones(6))).max() <= 1e-13


def test_an_untrained_one_trains_like_any_model():
    """Pullback and complex step with its options, small: gates by silu, one self-connection, learned frequencies."""
    model = sevennet.SevenNet([1, 8], 3.0, irreps="4x0e+3x1e+2x2e", layers=2, hidden=(5, 5), switch_on=2.5)
    params = model.init(np.random.default_rng(0))
    water = Structure([8, 1, 1], [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0.1]])
    graph, rng = neighbor_graph(water, 3.0), np.random.default_rng(1)
    E, pull = model.energy(params, graph)
    gradient = trees.flatten(pull(np.ones(1))[0])
    direction, h = rng.standard_normal(gradient.size), 1e-6
    theta = trees.flatten(params)
    up, down = (model.energy(trees.unflatten(theta + s * h * direction, params), graph)[0][0] for s in (1, -1))
    assert (up - down) / (2 * h) == pytest.approx(gradient @ direction, rel=1e-7)
    assert models.evaluate(model, params, water).forces.sum(0) == pytest.approx([0, 0, 0], abs=1e-14)


# --- refusals -------------------------------------------------------------------------------------------------

def test_other_settings_and_files_are_refused(tmp_path, potential):
    for fields, message in (({"switch_on": 6.0}, "switch begins"), ({"heads": ("energy", "charges")}, "head 'energy'")):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(potential.model, **fields)
    trees.write(tmp_path / "foreign.npz", {"a": np.ones(3)}, {"card": {}})
    with pytest.raises(ValueError, match="not made by sevennet.compact"):
        sevennet.load(tmp_path / "foreign.npz")
    with pytest.raises(ValueError, match="is_parity = True"):
        sevennet._settings({"is_parity": True})
    with pytest.raises(ValueError, match="damaged"):
        (tmp_path / "cut.npz").write_bytes(b"PK")
        sevennet.load(tmp_path / "cut.npz")
    s = Structure([118], [[0, 0, 0]])
    with pytest.raises(ValueError, match="Og"):
        potential.evaluate(s)
