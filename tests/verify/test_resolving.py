"""Resolving power: theory and measurement agree, and either can be seen to fail."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from se3ref import models, verify
from se3ref.__main__ import main
from se3ref.models import Sight
from se3ref.so3 import random_rotation, reflection
from se3ref.systems import Structure
from se3ref.verify import Exhibit, exhibits, resolving
from se3ref.verify.resolving import measured, predicted
from se3ref.verify.walks import walk_colours


@pytest.fixture(scope="module")
def table():
    return verify.resolving_power()


def test_every_trial_goes_as_theory_predicts(table):
    assert [t for t in table.trials if t.told != t.predicted] == [] and table.agrees
    rows, columns = table.names()
    assert len(table.trials) == len(rows) * len(columns) and len(columns) == len(verify.museum())


def test_no_gap_lies_between_rounding_and_sight(table):
    """Whatever is told apart is far above rounding, whatever is not is at it: the threshold decides nothing."""
    assert all(t.gap > 1e4 * t.rounding if t.told else t.gap < 1e-12 for t in table.trials)


@pytest.mark.parametrize("model, exhibit, told", [
    ("SchNet", "antiprisms", False), ("EGNN", "antiprisms", True),
    ("MACE, 1 layer, correlation 2", "homometric_planar", False),
    ("MACE, 1 layer, correlation 3", "homometric_planar", True),
    ("MACE, 1 layer, correlation 3", "signed_four_body", False),
    ("MACE, 1 layer, correlation 4", "signed_four_body", True),
    ("MACE", "twisted_rings", False), ("MACE, 1 layer, correlation 2, lmax 4", "twisted_rings", True),
    ("NequIP", "halogens", False), ("NequIP, odd output", "halogens", True), ("MACE, SO(3)", "halogens", True),
    ("NequIP", "bent_ends", False), ("MACE", "bent_ends", True), ("MACE", "swapped_ends", False),
    ("Coordinates", "water", True), ("MACE, SO(3)", "isosceles_and_apex", False),
])
def test_what_the_chapters_say(table, model, exhibit, told):
    assert table[model, exhibit].told == told


def test_every_architecture_takes_part():
    kinds = {type(m) for m in resolving.contenders([1], 3.0).values()}
    every = {getattr(models, name) for name in models.__all__ if isinstance(getattr(models, name), type)
             and issubclass(getattr(models, name), models.Model)}
    assert kinds == every - {models.Model, models.Hybrid}      # made of these, and its sum sees all distances at once


def test_a_model_that_says_too_much_of_itself_is_found_out(monkeypatch):
    """Were pair messages called triples, theory would expect a pair to be told apart that is not."""
    exhibit = exhibits.two_body()
    honest = models.NequIP([1, 8], exhibit.cutoff, channels=4, layers=1)
    assert measured(honest, exhibit)[0] < 1e-12 and not predicted(honest, exhibit)
    boast = dataclasses.replace(honest.sight, bodies=3)
    monkeypatch.setattr(models.NequIP, "sight", property(lambda self: dataclasses.replace(boast, coupling="products")))
    assert predicted(honest, exhibit)


def test_a_model_that_leaks_parity_is_found_out(monkeypatch):
    """Pseudoscalars taken for scalars: mirror images differ where the labels say that they cannot."""
    exhibit = exhibits.hydrogen_peroxide()
    model = models.NequIP([1, 8], exhibit.cutoff, irreps="4x0e+4x0o+4x1o+4x1e", heads=("energy", "pseudoscalar"))
    model = dataclasses.replace(model, heads=("energy",))
    assert measured(model, exhibit)[0] < 1e-12
    so3 = dataclasses.replace(model, irreps=None, group="SO(3)", channels=4)
    assert measured(so3, exhibit)[0] > 1e-9
    monkeypatch.setattr(models.NequIP, "sight", property(lambda self: Sight(2, "walks", 2, 3)))
    assert not predicted(so3, exhibit)


def test_sight_of_every_model():
    sights = {name: model.sight for name, model in resolving.contenders([1], 3.0).items()}
    assert sights["SchNet"] == Sight(2, "distances", 0, 3)
    assert sights["PaiNN"] == Sight(3, "products", 1, 3)
    assert sights["SE(3)-Transformer, 4 layers"] == Sight(2, "products", 2, 4)
    assert sights["MACE"] == Sight(4, "products", 2, 2)
    assert sights["MACE, 1 layer, correlation 1"] == Sight(2, "walks", 2, 1)
    assert sights["NequIP, SO(3)"] == Sight(2, "walks", 2, 3, handed=True)
    assert sights["NequIP, odd output"].odd and sights["Coordinates"].frame
    assert not models.NequIP([1], 3.0, group="SO(3)", layers=2).sight.handed


@pytest.mark.parametrize("model", [models.NequIP([9, 16], 3.5, lmax=0), models.NequIP([9, 16], 3.5, irreps="8x0e"),
                                   models.MACE([9, 16], 3.5, lmax=0, channels=8)])
def test_without_directions_there_are_only_distances(model):
    assert model.sight.coupling == "distances"
    assert not predicted(model, exhibits.antiprisms()) and measured(model, exhibits.antiprisms())[0] < 1e-12


def test_with_vectors_alone_a_product_sees_three_bodies_at_most():
    exhibit = exhibits.three_body()
    model = models.MACE([9, 16], exhibit.cutoff, lmax=1, layers=1, channels=8)
    assert model.sight.bodies == 3 and not predicted(model, exhibit) and measured(model, exhibit)[0] < 1e-12


def test_the_pseudoscalar_of_far_atoms_counts_but_not_the_energy_of_the_centre():
    """CHFClBr and its mirror image, read at an oxygen that stands alone; and at the places of a foil."""
    s = exhibits.halogens().a
    a = Structure([*s.numbers, 8], [*s.positions, [0, 0, 6.0]])
    far = Exhibit("far", a, a.rotated(reflection([1, 0, 0])), 5, 2.3, "mirror", "", "")
    species = [1, 6, 8, 9, 17, 35]
    odd = models.NequIP(species, 2.3, irreps="8x0e+8x0o+8x1o+8x1e", heads=("energy", "pseudoscalar"))
    assert measured(odd, far)[0] > 1e-9 and predicted(odd, far)
    foil = models.Coordinates(species, 2.3, channels=8)
    assert measured(foil, far)[0] == 0 and not predicted(foil, far)


def test_the_centre_stays_the_centre():
    """A chain, read at its near and at its far end: one structure, and two answers."""
    places = np.array([[0, 0, 0], [1.2, 0, 0], [3.0, 0, 0]])
    ends = Exhibit("ends", Structure([6] * 3, places), Structure([6] * 3, places[::-1]), 0, 1.5, "same", "", "")
    model = models.SchNet([6], 1.5, channels=8)
    assert measured(model, ends)[0] > 1e-3 and predicted(model, ends)


def test_handed_products_of_one_layer_see_a_mirror():
    exhibit = exhibits.halogens()
    model = models.MACE([1, 6, 9, 17, 35], exhibit.cutoff, channels=4, layers=1, correlation=4, lmax=3, group="SO(3)")
    assert measured(model, exhibit)[0] > 1e-9 and predicted(model, exhibit)


def test_an_exception_that_the_docstring_names():
    """EGNN takes a square for a rhombus with the same edges: told apart by prediction, not by the model."""
    angle = np.radians(70)
    shapes = [np.array([[0, 0, 0], [1, 0, 0], [1 + np.cos(t), np.sin(t), 0], [np.cos(t), np.sin(t), 0]])
              for t in (np.pi / 2, angle)]
    a, b = (Structure([6] * 4, 1.4 * shape) for shape in shapes)
    pair = Exhibit("rhombus", a, b, None, 1.5, "different", "", "")
    model = models.EGNN([6], 1.5, channels=8)
    assert measured(model, pair)[0] < 1e-12 and predicted(model, pair)


def test_fewer_layers_than_a_triple_product_needs_see_no_hand():
    """Two layers of NequIP in SO(3) give mirror images one energy, three do not."""
    exhibit = exhibits.hydrogen_peroxide()
    for layers, told in ((2, False), (3, True)):
        model = models.NequIP([1, 8], exhibit.cutoff, channels=4, layers=layers, group="SO(3)")
        assert (measured(model, exhibit)[0] > 1e-9) == told == model.sight.handed


@pytest.mark.parametrize("lmax, correlation, layers, handed", [
    (1, 4, 1, False), (2, 4, 1, False), (3, 3, 1, False), (3, 4, 1, True), (4, 3, 1, True), (0, 3, 2, False),
    (1, 2, 2, True), (2, 2, 2, True), (2, 1, 2, False), (2, 1, 3, True)])
def test_when_MACE_sees_handedness(lmax, correlation, layers, handed):
    """Six neighbours without symmetry round a centre, and their mirror image; in SO(3), where labels allow it."""
    rng = np.random.default_rng(0)
    places = np.vstack([np.zeros(3), 1.3 * rng.standard_normal((6, 3))])
    a, b = (Structure([16, 9, 9, 9, 9, 9, 9], sign * places) for sign in (1, -1))
    pair = dataclasses.replace(exhibits.halogens(), a=a, b=b, centre=None, cutoff=8.0)
    model = models.MACE([9, 16], 8.0, lmax=lmax, correlation=correlation, layers=layers, channels=4, group="SO(3)")
    assert (measured(model, pair)[0] > 1e-9) == handed == model.sight.handed


# --- colours by walks -----------------------------------------------------------------------------------------

def cluster(seed=0, n=5):
    rng = np.random.default_rng(seed)
    return Structure(rng.choice([1, 6], n), 1.2 * rng.standard_normal((n, 3)))


def test_colours_stay_with_their_atoms_under_turns_and_renumbering():
    s, R, order = cluster(), -random_rotation(np.random.default_rng(1)), np.array([3, 0, 4, 1, 2])
    other = Structure(s.numbers[order], s.positions[order]).rotated(R)
    one, two = walk_colours(s, other, cutoff=3.0, layers=2)
    assert np.array_equal(one[order], two) and len(set(one)) == len(s)


def test_no_layers_leave_species_only():
    s = cluster()
    assert np.array_equal(walk_colours(s, cutoff=3.0, layers=0)[0], s.numbers)


def test_one_step_sees_distances_two_steps_see_angles():
    """Of water bent and straight, one step sees nothing, two steps from one H over O to the other see the angle."""
    exhibit = exhibits.two_body()
    for layers, differ in ((1, False), (2, True)):
        one, two = walk_colours(exhibit.a, exhibit.b, cutoff=exhibit.cutoff, layers=layers)
        assert (sorted(one) != sorted(two)) == differ


def test_signs_of_triple_products_tell_hands_apart_from_three_steps_on():
    exhibit = exhibits.hydrogen_peroxide()
    for layers, handed, differ in ((2, True, False), (3, False, False), (3, True, True)):
        one, two = walk_colours(exhibit.a, exhibit.b, cutoff=exhibit.cutoff, layers=layers, handed=handed)
        assert (sorted(one) != sorted(two)) == differ


def test_no_structures_or_layers_below_zero_are_refused():
    with pytest.raises(ValueError, match="walks need structures"):
        walk_colours(cutoff=3.0, layers=1)
    with pytest.raises(ValueError, match="0 or more layers"):
        walk_colours(cluster(), cutoff=3.0, layers=-1)


# --- the command ----------------------------------------------------------------------------------------------

def test_the_command_prints_the_table_and_draws_it(tmp_path, table, monkeypatch, capsys):
    """With the table that is there already: making it again would cost some seconds."""
    picture = tmp_path / "resolving.png"
    monkeypatch.setattr(verify, "resolving_power", lambda progress: table)
    assert main(["resolving-power", "--figure", str(picture)]) == 0
    count, printed = len(table.trials), capsys.readouterr().out
    assert f"{count} of {count} trials went as theory predicts" in printed and "antiprisms" in printed
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_command_line_helps():
    run = subprocess.run([sys.executable, "-m", "se3ref", "--help"], capture_output=True, text=True)
    assert run.returncode == 0 and "resolving-power" in run.stdout


def test_a_figure_without_a_folder_is_refused_before_the_work(tmp_path):
    with pytest.raises(SystemExit, match="no folder"):
        main(["resolving-power", "--figure", str(tmp_path / "nowhere" / "x.png")])


def test_what_is_not_there_is_refused(table):
    with pytest.raises(KeyError, match="there is no trial"):
        table["SchNet", "nothing"]
    with pytest.raises(ValueError, match="at least one Exhibit"):
        verify.resolving_power([])


def test_a_trial_against_theory_is_marked(table):
    first, *rest = table.trials
    wrong = resolving.ResolvingPower((dataclasses.replace(first, predicted=not first.predicted), *rest))
    assert not wrong.agrees and "!" in str(wrong).splitlines()[len(wrong.names()[1]) + 2]
