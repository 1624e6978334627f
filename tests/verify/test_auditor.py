"""The audit says of every control what is broken in it, and nothing else; of sound potentials that they pass."""

import functools

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from se3ref import verify
from se3ref.systems import Structure
from se3ref.verify.specimens import rattled
from tests.verify import broken
from tests.verify.controls import CONTROLS

CORNERS = [[0, 0, 0], [2.4, 0.3, 0], [0.2, 2.6, 0.4], [2.5, 2.4, -0.3]]
INSIDE = [[0, 0, 0], [2.0, 1.9, 0.2], [0.1, 1.8, 2.2]]
CLUSTER, MIXED = (rattled(numbers, CORNERS, seed=6) for numbers in ([29] * 4, [29, 13, 29, 29]))
CRYSTAL, ALLOY = (rattled(numbers, INSIDE, 3.9 * np.eye(3), True, seed=2) for numbers in ([29] * 3, [29, 13, 29]))
COPPER = rattled([29, 29], [[0, 0, 0], [1.28, 1.28, 1.8]], np.diag([2.56, 2.56, 3.6]), True, seed=2)
THREE = rattled([29] * 3, [[0, 0, 0], [2.5, 0, 0], [0.3, 2.5, 0.2]], seed=7)

MULTIPLES = {"single precision", "images forgotten", "a mean", "energy squared", "levelling at any distance",
             "lengths of lattice vectors", "forces 1.001 times", "another energy", "pressure for stress",
             "a stress without the volume", "an unsymmetric stress", "a constant", "NaN in half of all frames",
             "noise of 1e-3 on forces", "a wave fixed in space", "the first atom"}
ROUGH = [law for law in verify.LAWS if law != "smoothness"]    # for them: most of an audit's time goes into that law


@functools.cache
def audited(name):
    return verify.audit(CONTROLS[name].make(), [CLUSTER, CRYSTAL], ROUGH if name in MULTIPLES else "all")


# --- controls ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_breaks_what_it_must_and_nothing_else(name):
    report = audited(name)
    assert set(report.broken) == set(CONTROLS[name].broken), f"{CONTROLS[name].why}\n{report}"
    assert report.passed == (not CONTROLS[name].broken)


def test_every_law_is_broken_by_a_control():
    assert {law for control in CONTROLS.values() for law in control.broken} == set(verify.LAWS)


def test_the_sound_potential_is_exact():
    """Symmetries to the rounding of double precision; what is measured by differences, to the error of those."""
    assert verify.audit(broken.potential(), [MIXED, ALLOY], ROUGH).passed
    report = audited("sound")
    by_differences = {"gradient", "curl", "stress", "nve"}
    assert {name for name in verify.LAWS if report[name].verdict != "exact"} <= by_differences
    assert report["gradient"].violation < 1e-10 and report["rotation"].violation < 1e-13


def test_a_tolerance_is_for_the_size_of_a_violation():
    """Of settings that are known: what is larger is broken all the same, and a constant is none the better for it."""
    wrong = CONTROLS["forces 1.001 times"].make()
    found = verify.audit(wrong, CLUSTER, "gradient")["gradient"].violation
    assert verify.audit(wrong, CLUSTER, "gradient", tolerance=1.01 * found).passed
    less = verify.audit(wrong, CLUSTER, "gradient", tolerance=0.99 * found)["gradient"]
    assert not less.passed and verify.replay(wrong, less.worst)[0].verdict == "broken"
    assert verify.audit(CONTROLS["a constant"].make(), CLUSTER, "response", tolerance=2.0).broken == ["response"]
    with pytest.raises(ValueError, match="tolerance is a violation, 0 or more"):
        verify.audit(wrong, CLUSTER, "gradient", tolerance=-1e-3)


def test_single_precision_is_noise_and_a_lie_where_double_was_claimed():
    report = audited("single precision")
    assert report["rotation"].verdict == "noise floor" and report["precision"].verdict == "noise floor"
    single = CONTROLS["single precision"].make()
    assert verify.audit(single, CLUSTER, "precision", precision="float32").passed
    assert verify.audit(single, CLUSTER, "precision", precision="float64").broken == ["precision"]
    assert verify.audit(broken.potential(), CLUSTER, "precision", precision="float64").passed


def test_the_size_of_a_violation_is_reported():
    """Where it can be said beforehand: a thousandth of forces, and of single precision the noise."""
    forces = np.abs(broken.potential()(*_given(CLUSTER))[1]).max()
    assert 1e-4 * forces < audited("forces 1.001 times")["gradient"].violation < 2e-3 * forces
    noise = audited("single precision").noise["structure 0"]
    assert 1e-8 < noise["energy"] / abs(broken.potential()(*_given(CLUSTER))[0]) < 2e-7
    assert 3e-4 < audited("noise of 1e-3 on forces").noise["structure 0"]["forces"] < 3e-3


def test_a_jump_is_found_at_its_place():
    """exp(-3.7)/10 seen from both ends, 3.7 angstrom apart."""
    finding = audited("a hard cutoff")["smoothness"]
    dimers = {case.quantity: case for name, case in finding.cases if name.startswith("dimer")}
    assert dimers["energy"].violation == pytest.approx(0.2 * np.exp(-3.7), rel=1e-6)
    assert dimers["forces"].note == "jumps at 3.7000 angstrom"
    assert np.ptp(finding.case.trace["y"]) > 0.5 * finding.violation


def test_charges_decay_and_do_not_break():
    """The energy of two neutral molecules falls faster than 1/r; that atoms feel it is no mistake."""
    report = verify.audit(broken.potential(change=broken.charged), MIXED, ROUGH)
    assert report.passed
    assert {name for name in report.findings if report[name].verdict == "decays"} == {"extensivity", "locality"}
    assert report["extensivity"].case.falls > 1.9


def test_two_ions_decay_with_the_first_power():
    """Charge on charge is the slowest that falls: the energy as 1/r, exactly."""
    report = verify.audit(broken.potential(change=broken.ions), MIXED, "extensivity,locality")
    energy = next(case for _, case in report["extensivity"].cases if case.quantity == "energy")
    assert energy.falls == pytest.approx(1, abs=0.01) and report.passed


def test_a_model_that_remembers_is_told_by_asking_twice():
    report = verify.audit(broken.one_call_late(broken.potential()), CLUSTER, "precision,rotation,permutation")
    assert report.broken == ["precision", "rotation", "permutation"]


# --- calculators of ASE -------------------------------------------------------------------------------------------

def test_smooth_lennard_jones_passes_everything():
    smooth = LennardJones(smooth=True, sigma=2.2, rc=4.0, ro=3.2)
    report = verify.audit(smooth, [THREE, COPPER], ROUGH)
    assert report.passed and all(finding.cases for finding in report.findings.values())
    assert verify.audit(smooth, THREE, "smoothness").passed


def test_lennard_jones_of_ase_jumps_at_its_cutoff():
    """The energy is shifted to zero there, the force is not: 24 eps (2 x^12 - x^6) / r_c with x = sigma/r_c."""
    report = verify.audit(LennardJones(sigma=2.2, rc=5.0), THREE)
    x = (2.2 / 5.0) ** 6
    assert report.broken == ["smoothness"]
    assert report["smoothness"].violation == pytest.approx(24 * (x - 2 * x * x) / 5.0, rel=1e-5)
    assert "at 5.0000 angstrom" in report["smoothness"].case.note


def test_the_jump_of_effective_medium_theory():
    """2.6e-4 eV/angstrom of a copper dimer at 5.8768 angstrom, known from ASE's own code."""
    report = verify.audit(EMT(), THREE)
    assert verify.audit(EMT(), COPPER, "rotation,images,cell_choice,supercell,net_force,stress").passed
    assert report.broken == ["smoothness"]
    case = next(case for name, case in report["smoothness"].cases if (name, case.quantity) == ("dimer Cu-Cu", "forces"))
    assert case.violation == pytest.approx(2.6e-4, rel=0.02) and "at 5.876" in case.note


# --- structures, laws, errors ---------------------------------------------------------------------------------------

def test_what_cannot_be_measured_says_why():
    report = verify.audit(broken.potential(), Structure([29], [[0, 0, 0]]), "permutation,images,stress,gradient")
    assert {name: finding.silent for name, finding in report.findings.items() if not finding.cases} == {
        "permutation": "one atom cannot be renumbered", "images": "it does not repeat",
        "stress": "there is no stress"}
    assert np.isnan(report["images"].violation) and report["images"].passed


def test_one_structure_that_responds_is_enough():
    """Atoms out of each other's reach say nothing of a model that has a reach."""
    apart = Structure([29, 13], [[0, 0, 0], [7.0, 0, 0]])
    assert verify.audit(broken.potential(), [apart, CLUSTER], "response").passed
    assert verify.audit(broken.potential(), apart, "response").broken == ["response"]
    assert not verify.audit(broken.potential(), Structure([29], [[0, 0, 0]]), "response")["response"].cases


@pytest.mark.parametrize("numbers, positions, cell, pbc", [
    ([29], [[1, 2, 3]], None, False), ([29], [[0, 0, 0]], [[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]], True),
    ([29, 13], [[0, 0, 0], [0, 0, 2.2]], None, False), ([8, 6, 8], [[0, 0, 0], [0, 0, 1.2], [0, 0, 2.4]], None, False),
    ([29, 13], [[0, 0, 0], [1, 1, 2]], np.diag([9.0, 9, 6]), [False, False, True]),
    ([29, 13], [[0, 0, 0], [2, 1.1, 1]], [[4, 0, 0], [11.7, 4, 0], [-3, 9, 4.2]], True),
    ([29, 13], [[0, 0, 0], [2, 1.1, 1]], [[4, 0, 0], [0, 4, 0], [0.3, 0.2, -4.2]], True),
    ([29, 13], [[1000, 0, 0], [1002, 1.1, 1]], None, False)])
def test_the_sound_potential_passes_on_odd_structures(numbers, positions, cell, pbc):
    """Alone, on a line, in wires, in skew and left-handed cells, far from the origin."""
    laws = [law for law in ROUGH if law != "nve"]
    report = verify.audit(broken.potential(), Structure(numbers, positions, cell, pbc), laws)
    assert report.passed, str(report)


def test_structures_of_its_own():
    """Four, molecules and crystals, of those that the target can do."""
    only_copper = _only({29})
    report = verify.audit(only_copper, laws="rotation")
    assert set(report.noise) == {"copper", "cluster of copper"} and "ethanol" in report.refused
    assert len(verify.audit(broken.potential(), laws="translation").noise) == 4
    with pytest.raises(ValueError, match="cannot be evaluated on: .*only.*Give structures that it knows"):
        verify.audit(_only({118}), laws="rotation")
    with pytest.raises(ValueError, match="structure 1 .*only"):
        verify.audit(only_copper, [COPPER, ALLOY])


@pytest.mark.parametrize("options, words", [
    (dict(laws="rotations"), "got rotations"), (dict(laws=[]), "got none"), (dict(structures=[]), "empty"),
    (dict(precision="double"), "precision is 'float64'")])
def test_bad_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        verify.audit(broken.potential(), **options)


def test_a_target_that_fails_on_the_way_has_broken_the_law():
    def fails(species, positions, cell, pbc):
        if positions[0] @ positions[0] > 9:
            raise RuntimeError("too far from home")
        return broken.potential()(species, positions, cell, pbc)
    report = verify.audit(fails, CLUSTER, "translation,permutation")
    assert report.broken == ["translation"] and "RuntimeError: too far from home" in str(report)


def test_an_interrupt_is_none_of_its_failures():
    def interrupted(*given):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        verify.audit(interrupted, CLUSTER)


def test_what_was_measured_outlives_an_interrupt():
    """And is no pass, since the rest was not measured."""
    calls = iter(range(60))

    def stopped(*given):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return broken.potential()(*given)
    report = verify.audit(stopped, CLUSTER, "net_force,permutation,torque,smoothness,rotation")
    assert list(report.findings) == ["net_force", "permutation", "torque"] and not report.passed
    assert report.summary == "none broken; interrupted before smoothness, rotation"


def _only(known):
    def model(species, *rest):
        if set(species.tolist()) - known:
            raise KeyError(f"only {known}")
        return broken.potential()(species, *rest)
    return model


def _given(structure):
    cell = np.zeros((3, 3)) if structure.cell is None else structure.cell
    return structure.numbers, structure.positions, cell, structure.pbc


# --- law by law: cheap, for the bugs planted in the audit itself -----------------------------------------------------

OF_A_LAW = {"response": "a constant", "rotation": "a rotated frame", "reflection": "left is not right",
            "translation": "a wave fixed in space", "permutation": "the first atom", "images": "images forgotten",
            "cell_choice": "lengths of lattice vectors", "supercell": "the nearest image alone",
            "gradient": "forces 1.001 times", "curl": "forces with a curl", "net_force": "net force",
            "torque": "net torque", "stress": "pressure for stress", "nve": "another energy",
            "extensivity": "energy squared", "locality": "levelling at any distance"}


@pytest.mark.parametrize("law", OF_A_LAW)
def test_a_law_finds_its_control(law):
    assert verify.audit(CONTROLS[OF_A_LAW[law]].make(), [CLUSTER, CRYSTAL], law).broken == [law]


@pytest.mark.parametrize("law", OF_A_LAW)
def test_a_law_lets_the_sound_pass(law):
    finding = verify.audit(broken.potential(), [CLUSTER, CRYSTAL], law)[law]
    assert finding.cases and finding.passed, str(finding)
    assert finding.case.allowed < 1e-8                         # not by looking away
