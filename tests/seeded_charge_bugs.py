"""Bugs planted where charges meet networks, each with the tests that must catch it and some that are blind to it."""

from dataclasses import replace

import numpy as np

from se3ref.electrostatics import COULOMB, equilibration, interactions
from se3ref.models import hybrid
from tests.seeded_network_bugs import of

Interaction, Hybrid = interactions.Interaction, hybrid.Hybrid


def charges_that_stay():
    """Forces without dq/dr: the cotangent of charges is not carried back to their network."""
    function = Hybrid._far

    def far(self, *args):
        q, e, pull = function(self, *args)

        def pull_fixed(de, dq):
            dsaid, dparams, dgeometry = pull(de, dq)
            return 0 * dsaid, dparams, dgeometry
        return q, e, pull_fixed
    return [(Hybrid, "_far", far)]


def equilibrium_changed(change):
    """`equilibrated` where hybrids and `equilibrate` find it."""
    changed = change(equilibration.equilibrated)
    return [(module, "equilibrated", changed) for module in (equilibration, hybrid)]


def adjoint_without_electronegativity():
    """g lacks the slope of chi_i q_i: the energy's own charges show in its forces."""
    def change(function):
        def equilibrated(A, chi, J, Q):
            q, e, mu, pull = function(A, chi, J, Q)
            return q, e, mu, lambda de, dq: pull(de, dq - de * chi)
        return equilibrated
    return equilibrium_changed(change)


def always_neutral():
    return equilibrium_changed(lambda function: lambda A, chi, J, Q: function(A, chi, J, 0.0))


def no_constraint():
    """(J + A) x = b, whatever the charges add up to; with the imaginary part that belongs to it."""
    def solve(A, J, b, Q):
        M = np.array([A(column)[0] for column in np.eye(len(b))]).T + np.diag(J)
        return np.linalg.solve(M, b), 0.0
    return [(equilibration, "_solve", solve)]


def real_charges():
    """Charges do not follow an imaginary step: the energy does not show it, being at its minimum."""
    def solve(A, J, b, Q):
        return equilibration._conjugate_gradients(A.real, J.real, b.real, Q.real)
    return [(equilibration, "_solve", solve)]


def every_pair_twice():
    """E = q.A q, with the derivatives that belong to it."""
    function = Interaction.energies

    def energies(self, q):
        return function(replace(self, coulomb=2 * self.coulomb), q)
    return [(Interaction, "energies", energies)]


def gaussians_with_themselves():
    """The energy of a Gaussian by itself, in A as well as in J."""
    function = Interaction.__call__

    def call(self, charges):
        phi, dr, strain = function(self, charges)
        return phi + (0 if self.widths is None else COULOMB / np.sqrt(np.pi) / self.widths * charges), dr, strain
    return [(Interaction, "__call__", call)]


def polarisation_without_its_half():
    function = Interaction.between

    def between(self, p, q):
        dr, strain = function(self, p, q)
        return 2 * dr, 2 * strain
    return [(Interaction, "between", between)]


def plans_of_other_places():
    """What was decided for other positions of as many atoms."""
    kept = {}

    def plan(method, accuracy, positions, *rest):
        made = interactions._made(method, accuracy, positions, *rest)
        return kept.setdefault((method, accuracy, len(positions)), made)
    return [(interactions, "_plan", plan)]


def a_cell_that_does_not_pull():
    return [(hybrid, "_of_cell", lambda strain, cell: np.zeros_like(strain))]


INTERACTIONS, EQUILIBRIUM = "electrostatics/test_interactions", "electrostatics/test_equilibration"
HYBRID, TRAINING = "models/test_hybrid", "models/test_hybrid_training"
SYMMETRY = of(HYBRID, "P32_P59_rotations_and_reflections[points,ion]", "P33_permutations[equilibrium,crystal]",
              "P48_P49_no_net_force_and_no_net_torque[points,ion]")

# name, plant, caught, blind
CHARGE_BUGS = [
    ("forces without dq/dr", charges_that_stay,
     of(HYBRID, "P45_forces_are_the_gradient[points,ion]", "P45_forces_are_the_gradient[Gaussians,crystal]",
        "P46_the_force_field_has_no_curl[points,crystal]", "P51_stress_is_the_strain_derivative[points,crystal]",
        "forces_are_those_at_fixed_charges_and_of_charges_that_change")
     + of(TRAINING, "P50_dynamics_keeps_its_energy[Gaussians,ion]"),
     SYMMETRY + of(HYBRID, "P53_P54_P55_images_supercells_and_other_cells[points,crystal]",
                   "far_fragments_feel_each_other_as_charges[points]")),
    ("an adjoint without electronegativities", adjoint_without_electronegativity,
     of(EQUILIBRIUM, "charges_at_their_minimum_do_not_show_in_forces[crystal]",
        "P41_pullback_against_the_complex_step[crystal,ewald]", "pullback_against_finite_differences[molecule]")
     + of(HYBRID, "P45_forces_are_the_gradient[equilibrium,ion]"),
     of(EQUILIBRIUM, "at_the_minimum_every_atom_holds_on_equally[ion,8]", "two_atoms_in_closed_form") + SYMMETRY),
    ("total charge ignored in equilibrium", always_neutral,
     of(EQUILIBRIUM, "two_atoms_in_closed_form", "at_the_minimum_every_atom_holds_on_equally[ion,8]")
     + of(HYBRID, "charges_add_up_to_the_total_charge[equilibrium,ion]",
          "one_geometry_and_three_total_charges[equilibrium]"),
     of(HYBRID, "P45_forces_are_the_gradient[equilibrium,ion]") + SYMMETRY),
    ("equilibrium without its constraint", no_constraint,
     of(EQUILIBRIUM, "two_atoms_in_closed_form", "at_the_minimum_every_atom_holds_on_equally[crystal,8]",
        "an_atom_by_itself_has_the_total_charge", "hard_atoms_share_the_total_charge[ion]")
     + of(HYBRID, "charges_add_up_to_the_total_charge[equilibrium,molecule]"),
     of(HYBRID, "P45_forces_are_the_gradient[equilibrium,ion]", "P46_the_force_field_has_no_curl[equilibrium,ion]",
        "P41_pullback_of_all_outputs[equilibrium,ion,ewald]") + SYMMETRY),
    ("charges in equilibrium that drop an imaginary step", real_charges,
     of(EQUILIBRIUM, "P41_pullback_against_the_complex_step[crystal,ewald]")
     + of(TRAINING, "P43_gradient_is_the_slope_of_the_loss[equilibrium,crystals]"),
     of(HYBRID, "P45_forces_are_the_gradient[equilibrium,ion]", "P46_the_force_field_has_no_curl[equilibrium,crystal]",
        "P45_forces_against_finite_differences[equilibrium,ion]",
        "P51_stress_is_the_strain_derivative[equilibrium,crystal]")
     + of(EQUILIBRIUM, "pullback_against_finite_differences[crystal]")),
    ("every pair counted twice", every_pair_twice,
     of(INTERACTIONS, "it_is_what_the_sums_say[ewald,True]", "it_is_what_the_sums_say[direct,False]")
     + of(HYBRID, "far_fragments_feel_each_other_as_charges[points]", "P60_a_big_cell_is_a_molecule[points]"),
     of(HYBRID, "P45_forces_are_the_gradient[points,crystal]", "P51_stress_is_the_strain_derivative[points,crystal]",
        "P41_pullback_of_all_outputs[points,crystal,ewald]") + SYMMETRY),
    ("Gaussians that meet themselves twice", gaussians_with_themselves,
     of(INTERACTIONS, "it_is_what_the_sums_say[ewald,True]") + of(EQUILIBRIUM, "two_atoms_in_closed_form"),
     of(EQUILIBRIUM, "charges_are_linear_in_electronegativities_and_total_charge[crystal]")
     + of(HYBRID, "P45_forces_are_the_gradient[equilibrium,ion]") + SYMMETRY),
    ("the polarisation identity without its half", polarisation_without_its_half,
     of(INTERACTIONS, "P45_derivatives_with_two_sets_of_charges[ewald,False]",
        "P41_pullback_of_the_atoms_energies[direct,False]")
     + of(EQUILIBRIUM, "P41_pullback_against_the_complex_step[crystal,ewald]")
     + of(HYBRID, "P41_pullback_of_all_outputs[points,crystal,ewald]"),
     of(HYBRID, "P45_forces_are_the_gradient", "P51_stress_is_the_strain_derivative[equilibrium,crystal]")),
    ("plans of other places", plans_of_other_places,
     of(INTERACTIONS, "a_plan_is_kept_for_the_same_places_and_no_others[ewald]"),
     of(INTERACTIONS, "P45_derivatives_with_two_sets_of_charges[ewald,False]")
     + of(HYBRID, "P45_forces_are_the_gradient[points,crystal]")),
    ("a cell that does not pull", a_cell_that_does_not_pull,
     of(HYBRID, "P51_stress_is_the_strain_derivative[points,crystal]", "P51_stress_against_finite_strains[equilibrium]")
     + of(TRAINING, "P43_gradient_is_the_slope_of_the_loss[points,crystals]"),
     of(HYBRID, "P45_forces_are_the_gradient", "P53_P54_P55_images_supercells_and_other_cells[points,crystal]")),
]
