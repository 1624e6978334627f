"""Bugs planted in the lattice sums, each with the tests that must catch it and some that are blind to it."""

import numpy as np

from se3ref.electrostatics import ewald, pairs, pme, splines
from tests.seeded_network_bugs import of


def no_background():
    def without(alpha, charges, cell, widths=None):
        return -(2 * alpha / np.sqrt(np.pi)) * charges, 0.0, np.zeros((3, 3))
    return [(module, "self_and_background", without) for module in (ewald, pme)]


def no_self_term():
    function = ewald.self_and_background

    def without(alpha, charges, cell, widths=None):
        phi, dr, strain = function(alpha, charges, cell, widths)
        return phi + (2 * alpha / np.sqrt(np.pi)) * charges, dr, strain
    return [(module, "self_and_background", without) for module in (ewald, pme)]


def nearest_images_only():
    """Of every pair the nearest image, and none of an atom itself."""
    function = ewald.pairs_within

    def nearest(positions, cell, cutoff):
        i, j, atom, shift = function(positions, cell, cutoff)
        places = pairs.images_at(positions, cell, atom, shift)
        r = np.linalg.norm(places[j] - places[i], axis=1)
        order = np.lexsort((r, *np.sort([atom[i], atom[j]], axis=0)))
        low, high = np.sort([atom[i], atom[j]], axis=0)[:, order]
        first = np.r_[True, (np.diff(low) != 0) | (np.diff(high) != 0)]
        keep = order[first & (low != high)]
        return i[keep], j[keep], atom, shift
    return [(ewald, "pairs_within", nearest)]


def volume_of_a_box():
    return [(module, "volume", lambda cell: np.sqrt((cell * cell).sum(1)).prod()) for module in (ewald, pme)]


def half_the_force_of_waves():
    function = ewald.waves

    def halved(*args):
        phi, dr, strain = function(*args)
        return phi, 0.5 * dr, strain
    return [(ewald, "waves", halved)]


def cutoffs_too_short():
    function = ewald._reaches
    return [(ewald, "_reaches", lambda *args: tuple(np.multiply(function(*args), (1, 0.8, 0.8)).tolist()))]


def waves_not_undamped():
    return [(splines, "damping", lambda n, mesh, order: np.ones(len(n)))]


EWALD, PME = "electrostatics/test_ewald", "electrostatics/test_pme"
DERIVATIVES = of(EWALD, "P45_forces_potential_and_stress_are_exact_derivatives[charged,None]")

# name, plant, caught, blind
LATTICE_BUGS = [
    ("no background in a charged cell", no_background, of(EWALD, "the_sum_is_the_truth[charged]"),
     of(EWALD, "the_sum_is_the_truth[cubic]") + DERIVATIVES),
    ("no self term", no_self_term, of(EWALD, "the_sum_is_the_truth[cubic]", "a_big_cell_is_a_molecule"), DERIVATIVES),
    ("nearest images only", nearest_images_only, of(EWALD, "the_sum_is_the_truth[triclinic]"), DERIVATIVES),
    ("volume of a box with right angles, in lattice sums", volume_of_a_box,
     of(EWALD, "the_sum_is_the_truth[triclinic]"), of(EWALD, "the_sum_is_the_truth[cubic]")),
    ("half the force of the waves", half_the_force_of_waves, DERIVATIVES + of(EWALD, "the_sum_is_the_truth[cubic]"),
     of(EWALD, "the_plain_sum_is_coulombs_law")),
    ("cutoffs a fifth too short", cutoffs_too_short,
     of(EWALD, "promises_are_kept_and_not_by_waste[1e-08,40]"), DERIVATIVES),
    ("splines whose damping is not undone", waves_not_undamped,
     of(PME, "promises_are_kept_and_not_by_waste[1e-05]"),
     of(PME, "P45_forces_potential_and_stress_are_exact_derivatives")),
]
