"""The trained models that come with the library do what their cards say, on test sets they never saw."""

from importlib import resources

import numpy as np
import pytest

from experiments import train
from se3ref import models
from se3ref.nn import params as trees
from se3ref.systems import Structure, datasets

NAMES = sorted(file.name.removesuffix(".npz") for file in (resources.files("se3ref") / "data" / "models").iterdir()
               if file.name.endswith(".npz"))
DEBYE = 4.80320                 # debye in one e*angstrom
BOUNDS = {                      # what the models must reach: mean absolute errors
    "nequip_ethanol_200": ("forces", 13e-3), "nequip_ethanol_950": ("forces", 8e-3),
    "nequip_ethanol_dipole": ("dipole", 15e-3 / DEBYE),
}


def test_every_model_has_a_recipe_and_the_bounded_ones_are_there():
    assert set(NAMES) <= set(train.RECIPES) and set(BOUNDS) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_tells_the_truth(name):
    """Errors computed anew: to three digits, since sums of another BLAS round otherwise."""
    model, params, card = models.shipped(name)
    recipe = train.RECIPES[name]
    assert model == recipe.model and card["frames"] == recipe.frames and card["parameters"] == trees.count(params)
    assert card["fit"] == {**recipe.fit, "seed": 0} and "limits" in card
    for target, (mae, rmse) in train.errors_on_test_frames(recipe, params).items():
        assert mae == pytest.approx(card["errors"][target]["mae"], rel=1e-3)
        assert rmse == pytest.approx(card["errors"][target]["rmse"], rel=1e-3)


@pytest.mark.parametrize("name", BOUNDS)
def test_the_errors_are_small(name):
    target, bound = BOUNDS[name]
    assert models.shipped(name)[2]["errors"][target]["mae"] <= bound


def test_optical_rotation_of_geometries_from_another_seed():
    """R^2 = 1 - mean d^2 / variance; a mirror turns the sign of what is said, and leaves the other heads alone."""
    model, params, card = models.shipped("nequip_h2o2")
    test = datasets.load("h2o2_test")
    assert 1 - (card["errors"]["pseudoscalar"]["rmse"] / test.extra["rotations"].std()) ** 2 >= 0.99
    both = [models.evaluate(model, params, Structure(test.numbers, sign * test.positions[0])) for sign in (1, -1)]
    a, b = (e.outputs["pseudoscalar"][0] for e in both)
    assert abs(a + b) <= 1e-13 * abs(a) and abs(a) > 1e-3
    assert abs(both[0].energy - both[1].energy) <= 1e-13 * abs(both[0].energies).sum()


def card_errors(name):
    """Errors on the card: those of energies for each atom."""
    _, _, card = models.shipped(name)
    frames = datasets.load(f"{train.RECIPES[name].data}_test")
    return card["errors"]["energy"]["mae"], card["errors"]["energy"]["rmse"] / len(frames.numbers), card["errors"]


def test_beyond_the_cutoff_charges_know_what_a_local_network_cannot():
    """Ions in orientations that no training saw, farther apart than any that it saw; the same steps for both."""
    assert card_errors("hybrid_formate_ammonium")[0] <= 15e-3 and card_errors("local_formate_ammonium")[0] > 0.3


def test_a_gas_of_ions():
    """Root-mean-square errors: 1 meV an atom and 20 meV/angstrom, and fifty times as much without charges."""
    (_, e, near), (_, e_local, local) = card_errors("hybrid_ion_gas"), card_errors("local_ion_gas")
    assert e <= 1e-3 and near["forces"]["rmse"] <= 20e-3
    assert e_local > 50 * e and local["forces"]["rmse"] > 50 * near["forces"]["rmse"]


def test_two_charges_in_one_geometry():
    """Ag3+ and Ag3-: neighbours are the same, so a local network says the same of both."""
    silver = datasets.load("silver_trimers_test")
    pair = silver.structures[:2]
    for name, tells in (("local_silver_trimers", False), ("hybrid_silver_trimers", True)):
        model, params, _ = models.shipped(name)
        E = models.evaluate(model, params, pair).energy
        assert (abs(E[0] - E[1] - silver.energies[0] + silver.energies[1]) < 0.1) == tells, name
        assert (E[0] != E[1]) == tells


def test_a_run_that_draws_other_frames_would_show():
    """The training frames of a recipe are part of what its card promises: a choice, and the same choice again."""
    recipe = train.RECIPES["nequip_ethanol_200"]
    a, b, c = (train.chosen_frames(recipe, seed).positions for seed in (0, 0, 1))
    assert len(a) == 200 and np.array_equal(a, b) and not np.array_equal(a, c)
