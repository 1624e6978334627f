"""Whatever can be audited gives the same numbers behind one face; what cannot says why."""

import sys

import numpy as np
import pytest
from ase.calculators.calculator import BaseCalculator, Calculator, all_changes
from ase.calculators.lj import LennardJones

from se3ref import interop, models, verify
from se3ref.systems import Structure
from tests.verify import broken
from tests.verify.test_auditor import ALLOY, MIXED, ROUGH, THREE

SOUND = broken.potential()
OBSERVERS = "rotation,reflection,translation,permutation"


def expected(structure):
    cell = np.zeros((3, 3)) if structure.cell is None else structure.cell
    return SOUND(structure.numbers, structure.positions, cell, structure.pbc)


def gives(change):
    return verify.as_target(lambda *given: change(*SOUND(*given)))


# --- functions ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("change", [
    lambda E, F, s: (E, F, s), lambda E, F, s: (float(E), F.tolist(), s.tolist()),
    lambda E, F, s: (np.array([E]), F.ravel().reshape(-1, 3), s.ravel()),
    lambda E, F, s: {"energy": E, "forces": F, "stress": s},
    lambda E, F, s: {"energy": E, "forces": F, "stress": s, "charges": None}])
def test_a_function_may_give_arrays_lists_or_a_dict(change):
    E, F, stress = expected(ALLOY)
    found = gives(change).observe(ALLOY)
    assert found["energy"].item() == E and (found["forces"] == F).all() and (found["stress"] == stress.ravel()).all()


def test_what_is_lacking_is_left_out():
    assert set(gives(lambda E, F, s: (E, F)).observe(ALLOY)) == {"energy", "forces"}
    assert set(gives(lambda E, F, s: (None, F, None)).observe(ALLOY)) == {"forces"}
    assert set(gives(lambda E, F, s: (E, F, s)).observe(MIXED)) == {"energy", "forces"}      # no cell, no stress
    report = verify.audit(gives(lambda E, F, s: (None, F)), MIXED, "gradient,curl,net_force,torque,nve")
    assert report.passed and report["gradient"].silent == report["nve"].silent == "there is no energy"


@pytest.mark.parametrize("change, words", [
    (lambda E, F, s: E, "must return .energy, forces.*got float64.*name its irreps"),
    (lambda E, F, s: (E,), "must return"), (lambda E, F, s: (E, F[:-1]), "forces must be 3 x 3 real numbers"),
    (lambda E, F, s: (E, F.T.ravel()), "forces must be 3 x 3 real numbers"),
    (lambda E, F, s: (E, F, s[0]), "stress must be 1 x 9"), (lambda E, F, s: (E + 0j, F), "complex128"),
    (lambda E, F, s: (None, None), "gave none of"), (lambda E, F, s: (E, [[1], [2, 3]]), "rows differ in length")])
def test_what_cannot_be_used(change, words):
    with pytest.raises(ValueError, match=words):
        gives(change).observe(ALLOY)


def test_a_model_may_write_into_what_it_is_given():
    def greedy(species, positions, cell, pbc):
        found = SOUND(species, positions, cell, pbc)
        for array in (species, positions, cell, pbc):
            array[...] = 1
        return found
    assert verify.audit(greedy, ALLOY, OBSERVERS).passed


def test_a_model_may_give_the_same_array_again():
    """Its buffer, overwritten by the next call."""
    kept = np.zeros((4, 3))

    def into_a_buffer(*given):
        E, kept[...], _ = SOUND(*given)
        return E, kept
    assert verify.audit(into_a_buffer, MIXED, OBSERVERS + ",gradient,nve").passed


# --- ASE ------------------------------------------------------------------------------------------------------------

class Foreign(Calculator):
    """As calculators are written, with what is asked for taken from `SOUND`; it says so on the screen."""
    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        E, F, s = SOUND(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
        self.results = {"energy": E + 1, "free_energy": E, "forces": F, "stress": self.form(s)}

    def form(self, s):
        return s


class Voigt(Foreign):
    def form(self, s):
        return s.ravel()[[0, 4, 8, 5, 2, 1]]


@pytest.mark.parametrize("calculator", [Foreign, Voigt])
def test_a_calculator_in_either_form_of_the_stress(calculator):
    """And with the energy that its forces are the gradient of."""
    found = verify.as_target(calculator()).observe(ALLOY)
    E, F, stress = expected(ALLOY)
    assert found["energy"].item() == E and np.abs(found["stress"] - stress.ravel()).max() < 1e-16


def test_a_calculator_is_asked_for_what_it_has():
    class NoStress(Foreign):
        implemented_properties = ["energy", "forces"]

    class ForcesAlone(Foreign):
        implemented_properties = ["forces"]
    assert set(verify.as_target(NoStress()).observe(ALLOY)) == {"energy", "forces"}
    assert set(verify.as_target(ForcesAlone()).observe(ALLOY)) == {"forces"}


def test_a_calculator_of_another_family():
    """What ASE's base class asks for, and no more: there is nothing to reset."""
    class Plain(BaseCalculator):
        implemented_properties = ["energy", "forces"]

        def calculate(self, atoms, properties, system_changes):
            E, F, _ = SOUND(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
            self.atoms, self.results = atoms.copy(), {"energy": E, "forces": F}
    assert verify.audit(Plain(), MIXED, OBSERVERS).passed


def test_ase_atoms_are_structures():
    report = verify.audit(LennardJones(), [THREE.to_ase()], "rotation")
    assert report.passed and list(report.noise) == ["the structure"]


# --- models of the library ------------------------------------------------------------------------------------------

def test_a_model_with_its_heads():
    """Every head by its own irreps: a dipole turns, a polarizability turns on both sides."""
    model = models.NequIP(species=[13, 29], cutoff=4.0, channels=4, layers=2,
                          heads=("energy", "dipole", "polarizability", "direct_forces"))
    params = model.init(np.random.default_rng(0))
    report = verify.audit((model, params), MIXED, OBSERVERS + ",extensivity")
    assert report.passed, str(report)
    assert set(report.units) == {"energy", "forces", "stress", "dipole", "polarizability"}
    assert verify.audit((model, params), MIXED, "gradient").broken == ["gradient"]        # direct forces have none


def test_a_potential_and_its_calculator_agree():
    potential = models.sevennet.load()
    a, b = (verify.as_target(each).observe(ALLOY) for each in (potential, interop.ase.Calculator(potential)))
    assert max(np.abs(a[name] - b[name]).max() for name in a) < 1e-12 and set(a) == set(b)


# --- tensors --------------------------------------------------------------------------------------------------------

def dipole(species, positions, cell, pbc):
    return (species - species.mean()) @ positions


def chirality(species, positions, cell, pbc):
    a = broken.Atoms.of(None, species, positions, cell, pbc)
    return broken.handed(a)[0]


@pytest.mark.parametrize("function, irreps, per, laws", [
    (dipole, "1o", "structure", []), (dipole, "1e", "structure", ["reflection"]),
    (dipole, "3x0e", "structure", ["rotation", "reflection"]), (chirality, "0o", "atom", []),
    (chirality, "0e", "atom", ["reflection"]),
    (lambda s, r, c, p: r - r.mean(0), "1o", "atom", ["extensivity", "locality"]),
    (lambda s, r, c, p: r, "1o", "atom", ["translation", "extensivity"]),
    (lambda s, r, c, p: dipole(s, r, c, p) ** 2, "1o", "structure", ["rotation", "reflection"])])
def test_a_tensor_is_held_against_its_irreps(function, irreps, per, laws):
    report = verify.audit(function, MIXED, ROUGH, irreps=irreps, per=per)
    assert report.broken == laws, str(report)


def test_a_tensor_has_a_known_size():
    with pytest.raises(ValueError, match="tensor must be 1 x 5 real numbers; got an array of shape .3,."):
        verify.as_target(dipole, "2e").observe(MIXED)
    with pytest.raises(ValueError, match="per is 'structure' or 'atom'"):
        verify.as_target(dipole, "1o", per="cell")


# --- by name --------------------------------------------------------------------------------------------------------

FILE = """
from ase.calculators.lj import LennardJones

def factory(rc=5.0, smooth=False):
    return LennardJones(rc=rc, smooth=smooth)

def energy(species, positions, cell, pbc):
    return 0.0, 0 * positions

ready = LennardJones(rc=3.0)

class Space:
    made = staticmethod(factory)

def spoilt(rc=5.0):
    raise KeyError("no weights")
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("name, rc", [("factory", 5.0), ("ready", 3.0), ("factory(7.5)", 7.5), ("Space.made", 5.0),
                                      ("factory(rc=4, smooth=True)", 4), ("factory()", 5.0)])
def test_a_file_of_python(file, name, rc):
    target = verify.as_target(f"{file}:{name}")
    assert target.name == f"{file}:{name}"
    same = verify.as_target(LennardJones(rc=rc, smooth="True" in name))
    assert target.observe(THREE)["energy"] == same.observe(THREE)["energy"]


def test_a_module_of_the_working_directory(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    assert verify.as_target("mine:energy").observe(THREE)["energy"] == 0
    assert "" not in sys.path or sys.path.count("") == 1


def test_a_class_of_a_package():
    target = verify.as_target("ase.calculators.lj:LennardJones(sigma=2.2, rc=5.0)")
    assert target.observe(THREE)["energy"] == verify.as_target(LennardJones(sigma=2.2, rc=5.0)).observe(THREE)["energy"]


@pytest.mark.parametrize("text, words", [
    ("LennardJones", "module:factory, file.py:factory or"), ("os:", "a target is written"),
    ("no_such_module:f", "'no_such_module' cannot be imported"), ("missing.py:f", "there is no file missing.py"),
    ("os:nothing", "os has no 'nothing'"), ("os:getcwd(__import__('os'))", "must be numbers, strings"),
    ("os:getcwd(1", "a target is written")])
def test_wrong_names(text, words):
    with pytest.raises(ValueError, match=words):
        verify.as_target(text)


@pytest.mark.parametrize("thing", [3, None, "os:sep", LennardJones, [SOUND]])
def test_what_is_no_target(thing):
    with pytest.raises((TypeError, ValueError), match="an audit takes an ASE calculator|target is written"):
        verify.as_target(thing)


def test_structures_are_copied_to_and_fro():
    """Nothing that a target does reaches the structure of the audit."""
    s = Structure([29, 13], [[0, 0, 0], [2.0, 0, 0]])
    with pytest.raises(ValueError, match="read-only"):
        s.positions[0] = 1
