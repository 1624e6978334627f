"""The calculator of ASE: against ASE's own finite differences, in its optimisers and its dynamics."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from se3ref import dynamics, interop, models
from se3ref.systems import Structure

ase = pytest.importorskip("ase")

from ase import units  # noqa: E402
from ase.calculators.calculator import PropertyNotImplementedError  # noqa: E402
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress  # noqa: E402
from ase.filters import ExpCellFilter, FrechetCellFilter  # noqa: E402
from ase.io import Trajectory, read  # noqa: E402
from ase.md.verlet import VelocityVerlet  # noqa: E402
from ase.optimize import BFGS  # noqa: E402

from se3ref.nn.params import cast  # noqa: E402

CELL = np.array([[2.9, 0.2, 0.0], [0.5, 3.1, 0.1], [-0.4, 0.3, 3.3]])
PLACES = np.array([[0.1, 0.2, 0.3], [1.4, 0.9, 0.2], [0.8, 2.0, 1.7]])


def make(**fields):
    model = models.NequIP(species=[1, 6, 8], cutoff=3.4, lmax=1, channels=4, layers=2, basis=4, hidden=(8,), **fields)
    return model, model.init(np.random.default_rng(0))


MODEL, PARAMS = make()


def molecule(calculator=None):
    atoms = ase.Atoms("OH2", [[0.0, 0.0, 0.0], [0.76, 0.59, 0.1], [-0.76, 0.59, 0.0]])
    atoms.calc = calculator or interop.ase.Calculator(MODEL, PARAMS)
    return atoms


def crystal(calculator=None, pbc=True):
    atoms = ase.Atoms("CHO", PLACES, cell=CELL, pbc=pbc)
    atoms.calc = calculator or interop.ase.Calculator(MODEL, PARAMS)
    return atoms


# --- values ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("atoms", [molecule(), crystal(), crystal(pbc=[True, False, True])],
                         ids=["molecule", "crystal", "slab"])
def test_forces_against_finite_differences_of_ase(atoms):
    """ASE's central differences of 1e-4: their error is 1e-8 of the third derivative, and eps |E| / 1e-4."""
    forces = atoms.get_forces()
    assert np.abs(forces).max() > 1e-3
    np.testing.assert_allclose(forces, calculate_numerical_forces(atoms, eps=1e-4), atol=1e-8)


def test_stress_against_finite_differences_of_ase():
    """Sign, order and volume: all six differ, and a sheared cell tells them apart."""
    atoms = crystal()
    stress = atoms.get_stress()
    assert stress.shape == (6,) and len(set(np.abs(stress).round(6))) == 6
    np.testing.assert_allclose(stress, calculate_numerical_stress(atoms, eps=1e-4), atol=1e-8)
    said = models.evaluate(MODEL, PARAMS, Structure.from_ase(atoms), stress=True)
    np.testing.assert_allclose(atoms.get_stress(voigt=False), said.stress, atol=1e-15)


def test_energies_are_those_of_the_model():
    for atoms in (molecule(), crystal()):
        here = models.evaluate(MODEL, PARAMS, Structure.from_ase(atoms))
        assert atoms.get_potential_energy() == atoms.get_potential_energy(force_consistent=True) == here.energy
        np.testing.assert_array_equal(atoms.get_potential_energies(), here.energies)
        np.testing.assert_array_equal(atoms.get_forces(), here.forces)


def test_charges_and_dipole():
    model, params = make(heads=("energy", "dipole"))
    atoms = molecule(interop.ase.Calculator(model, params))
    q, dipole = atoms.get_charges(), atoms.get_dipole_moment()
    assert dipole.shape == (3,) and abs(q.sum()) < 1e-14
    atoms.info["charge"] = 1.0                                 # what ASE's own comparison of atoms overlooks
    assert abs(atoms.get_charges().sum() - 1) < 1e-14
    moved = atoms.copy()
    moved.calc = atoms.calc
    moved.translate([1.0, 2.0, 3.0])
    np.testing.assert_allclose(moved.get_dipole_moment() - atoms.get_dipole_moment(), [1.0, 2.0, 3.0], atol=1e-13)


def test_forces_of_a_direct_head():
    """They are the forces where there is no energy to take the gradient of."""
    model, params = make(heads=("direct_forces",))
    atoms = molecule(interop.ase.Calculator(model, params))
    said = models.evaluate(model, params, Structure.from_ase(atoms)).outputs["direct_forces"]
    np.testing.assert_array_equal(atoms.get_forces(), said)
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_potential_energy()
    both, params = make(heads=("energy", "direct_forces"))
    atoms = molecule(interop.ase.Calculator(both, params))
    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), atol=1e-8)


def test_precision_follows_the_parameters():
    """float32 inside: near the float64 forces, not nearer than its rounding; ASE gets float64 arrays."""
    exact, rough = crystal(), crystal(interop.ase.Calculator(MODEL, cast(PARAMS, np.float32)))
    error = np.abs(rough.get_forces() - exact.get_forces()).max() / np.abs(exact.get_forces()).max()
    assert 1e-9 < error < 1e-5
    assert rough.get_forces().dtype == rough.get_stress().dtype == np.float64


# --- ASE's ways -----------------------------------------------------------------------------------------------

def test_results_are_kept_until_the_atoms_change(monkeypatch):
    calls = []
    evaluate_graph = interop.ase.evaluate_graph
    monkeypatch.setattr(interop.ase, "evaluate_graph", lambda *a, **k: calls.append(1) or evaluate_graph(*a, **k))
    atoms = crystal()
    energy = atoms.get_potential_energy()
    atoms.get_forces(), atoms.get_stress(), atoms.get_potential_energies()
    assert len(calls) == 1
    for change in (lambda: atoms.rattle(0.01), lambda: atoms.set_cell(CELL * 1.01),
                   lambda: atoms.set_pbc([True, True, False]), lambda: atoms.set_atomic_numbers([6, 1, 1])):
        change()
        assert atoms.get_potential_energy() != energy
        energy = atoms.get_potential_energy()
    assert len(calls) == 5
    atoms.set_initial_magnetic_moments([1, 0, 0])
    assert atoms.get_potential_energy() == energy and len(calls) == 5


def test_what_is_not_there_is_refused():
    atoms = molecule()
    for ask in (atoms.get_dipole_moment, atoms.get_charges, atoms.get_magnetic_moment):
        with pytest.raises(PropertyNotImplementedError):
            ask()
    for _ in range(2):                                         # the second time too
        with pytest.raises(PropertyNotImplementedError, match="no cell"):
            atoms.get_stress()
    assert np.isfinite(atoms.get_potential_energy())
    atoms.set_atomic_numbers([8, 1, 7])
    with pytest.raises(ValueError, match=r"knows \['H', 'C', 'O'\], not \['N'\]"):
        atoms.get_forces()
    atoms.set_atomic_numbers([8, 1, 1])
    atoms.positions[1] = np.nan
    with pytest.raises(ValueError, match="positions must be finite"):
        atoms.get_forces()


def test_stress_where_there_is_a_volume_and_no_pbc():
    """A molecule in a box: strain moves its atoms, the volume is that of the box."""
    atoms = molecule()
    atoms.set_cell([8.0, 9.0, 10.0])
    np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-4), atol=1e-10)
    assert np.abs(atoms.get_stress()).max() > 1e-6


@pytest.mark.parametrize("make_atoms", [molecule, crystal])
def test_optimizer(make_atoms):
    """Energies times -100: ASE's BFGS starts from the stiffness of a bond, an untrained model is softer; and with
    this sign its atoms repel each other when near, so that there is a minimum."""
    stiff = copy.deepcopy(PARAMS)
    stiff["heads"]["energy"]["scale"] *= -100
    atoms = make_atoms(interop.ase.Calculator(MODEL, stiff))
    start = atoms.get_potential_energy()
    assert np.sqrt((atoms.get_forces() ** 2).sum(1)).max() > 1
    assert BFGS(atoms, logfile=None).run(fmax=1e-3, steps=100)
    assert np.sqrt((atoms.get_forces() ** 2).sum(1)).max() < 1e-3 and atoms.get_potential_energy() < start - 1


@pytest.mark.filterwarnings("ignore:Use FrechetCellFilter")
@pytest.mark.parametrize("cell_filter", [ExpCellFilter, FrechetCellFilter])
def test_cell_relaxation_follows_the_energy(cell_filter):
    """The filter's generalised forces, made of forces and stress, are the descent of the energy."""
    atoms = crystal()
    filtered = cell_filter(atoms)
    x, forces = filtered.get_positions().copy(), filtered.get_forces()
    direction, h = np.random.default_rng(0).standard_normal(x.shape), 1e-4
    energies = []
    for step in (h, -h):
        filtered.set_positions(x + step * direction)
        energies.append(filtered.get_potential_energy())
    assert (energies[0] - energies[1]) / (2 * h) == pytest.approx(-(forces * direction).sum(), rel=1e-6)


def test_dynamics_is_that_of_the_library():
    """ASE's velocity Verlet and ours, two programs: the same path, to the digits of the constants (ASE: CODATA 2014);
    and the energy's wave stays far below what the kinetic energy does."""
    atoms = molecule()
    structure = Structure.from_ase(atoms)
    v = dynamics.thermal_velocities(structure, 300, np.random.default_rng(0))
    ours = dynamics.simulate(dynamics.force_field(MODEL, PARAMS, structure), structure, v, 0.5, 100)
    atoms.set_velocities(v / units.fs)
    path, total = [], []
    run = VelocityVerlet(atoms, 0.5 * units.fs)
    run.attach(lambda: (path.append(atoms.get_positions()), total.append(atoms.get_total_energy())))
    run.run(100)
    moved = np.abs(ours.positions - structure.positions).max()
    assert moved > 0.1
    np.testing.assert_allclose(path, ours.positions, atol=1e-6 * moved)
    np.testing.assert_allclose(total, ours.total, atol=1e-7)
    assert np.ptp(total) < 0.01 * np.ptp(ours.kinetic)


def test_a_trajectory_file_keeps_the_results(tmp_path):
    atoms = crystal()
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    for name, digits in (("run.traj", 0), ("run.xyz", 1e-8)):
        if name.endswith("traj"):
            with Trajectory(tmp_path / name, "w") as stream:
                stream.write(atoms)
        else:
            atoms.write(tmp_path / name)
        again = read(tmp_path / name)
        np.testing.assert_allclose(again.get_potential_energy(), energy, atol=digits)
        np.testing.assert_allclose(again.get_forces(), forces, atol=digits)
        np.testing.assert_allclose(again.get_stress(), stress, atol=digits)


def test_a_calculator_can_be_copied():
    calculator = interop.ase.Calculator(MODEL, PARAMS)
    energy = molecule(calculator).get_potential_energy()
    for other in (copy.deepcopy(calculator), pickle.loads(pickle.dumps(calculator))):
        assert molecule(other).get_potential_energy() == energy


# --- without ASE ----------------------------------------------------------------------------------------------

WITHOUT_ASE = """
import sys
class NoASE:
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "ase":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoASE())
from se3ref import interop
try:
    interop.ase
except ImportError as error:
    assert "pip install ase" in str(error)
else:
    raise AssertionError("ASE was there")
"""


def test_without_ase_the_room_imports_and_the_bridge_says_what_is_missing():
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", WITHOUT_ASE], cwd=root).returncode == 0


def test_other_bridges_do_not_exist():
    with pytest.raises(AttributeError, match="no attribute 'lammps'"):
        interop.lammps  # noqa: B018
