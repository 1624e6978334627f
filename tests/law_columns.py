"""The laws as columns of the seeded-bug matrix: for each one a few tests that stand for it.

A column is chosen to look at its law wherever the project holds it (in so3, in layers, in every architecture, in
crystals, in lattice sums), with arguments that cost little: all columns together take some fifteen seconds.  That a bug
is blind to a column means blind to these tests.

P36 is about nonlinearities on a grid, of which there are none here.  P44 asks for a GPU; in its place stand the array
that refuses to mix with NumPy's, and single precision.
"""

from tests.seeded_network_bugs import of

R, W, H, C, I = ("so3/test_" + name for name in ("rotations", "wigner", "harmonics", "coupling", "irreps"))
N, G = "systems/test_neighbors", "systems/test_graph"
LAYERS, GATE, LINEAR, CONVOLUTION, ROTATED, ATTENTION, CONTRACTION, RADIAL, OPS = ("nn/test_" + name for name in (
    "layers", "gate", "linear", "convolution", "rotated", "attention", "contraction", "radial", "ops"))
LAWS, MECHANICS, PARITY, SE3 = ("models/test_" + name for name in ("laws", "mechanics", "parity", "se3_transformer"))
EWALD, PME, SUMS, EQUILIBRIUM = ("electrostatics/test_" + name for name in (
    "ewald", "pme", "interactions", "equilibration"))
HYBRID, HYBRID_TRAINING, HYBRID_TAPE = "models/test_hybrid", "models/test_hybrid_training", "models/test_hybrid_oracle"
LOSS, OPTIMIZER, LOOP, TAPE = ("training/test_" + name for name in ("loss", "optimizer", "loop", "oracle"))
GRADIENTS, EQUIVARIANCE, CERTIFICATES, MUSEUM, DIFFERENCES, AUDITOR = ("verify/test_" + name for name in (
    "gradients", "equivariance", "certificates", "museum", "differences", "auditor"))
SOME = ["SchNet", "PaiNN", "NequIP", "MACE", "SE3Transformer"]                 # where every model would cost too much


def each(test, names, rest=None):
    """One test for each name among its arguments, the rest of them the same."""
    return [f"{test}[{name},{rest}]" if rest else f"{test}[{name}]" for name in names]


# title of a group: {label: (what it says, tests)}
GROUPS = {
    "representation": {
        "P1": ("R^T R = 1", of(R, "P1_rotation_from_axis_angle_is_orthogonal", "P1_reflection_is_improper",
                               "P1_rotation_from_quaternion_is_orthogonal", "P1_an_axis_of_any_length")),
        "P2": ("round trips", of(R, "P2_quaternion_round_trip[float64]", "P2_rotation_round_trip_from_vector",
                                 "P2_euler_round_trip[float64]", "P2_euler_round_trip_at_its_own_poles")),
        "P3": ("Haar moments", of(R, "P3_haar_moments")),
        "P4": ("D(R1 R2) = D(R1) D(R2)", of(W, "P4_homomorphism[float64]")
               + of(I, "P4_homomorphism_with_parity[float64]")),
        "P5": ("D(R^-1) = D^T", of(W, "P5_inverse_is_transpose[float64]")),
        "P6": ("D^1(R) = R", of(W, "P6_degree_one_is_R[float64]")),
        "P7": ("D(-R) = (-1)^l D(R)", of(W, "P7_inversion[float64]") + of(I, "P7_parity_label",
                                                                 "P7_mirrors_know_vectors_from_pseudovectors")),
        "P8": ("generators", of(W, "P8_angular_momentum_algebra", "P8_D_is_the_exponential")),
        "P9": ("characters", of(W, "P9_character[float64]")),
        "P10": ("Schur orthogonality", of(W, "P10_schur_orthogonality")),
        "P11": ("two derivations of D", of(W, "P11_two_derivations_agree[float64]")),
    },
    "harmonics": {
        "P12": ("orthonormal", of(H, "P12_orthonormality")),
        "P13": ("addition theorem", of(H, "P13_addition_theorem[float64]")),
        "P14": ("sum of squares", of(H, "P14_sum_of_squares_is_constant[float64]")),
        "P15": ("Y(R x) = D(R) Y(x)", of(H, "P15_rotation_law[float64]", "P15_rotation_law_at_the_poles")),
        "P16": ("Y(-x) = (-1)^l Y(x)", of(H, "P16_parity[float64]")),
        "P17": ("harmonic, homogeneous", of(H, "P17_homogeneity", "P17_laplacian_vanishes")),
        "P18": ("gradient", of(H, "P18_gradient_is_across_the_position",
                               "P18_gradient_against_complex_step[component]")),
        "P19": ("symmetric Hessian", of(H, "P19_gradient_matrices_commute", "P19_hessian_is_symmetric")),
        "P20": ("finite everywhere", of(H, "P20_finite_everywhere", "P20_the_zero_vector")),
        "P21": ("closed forms in x, y, z", of(H, "P21_closed_forms")),
    },
    "coupling": {
        "P22": ("unitary", of(C, "P22_unitarity", "P22_columns_of_high_degree")),
        "P23": ("selection rules", of(C, "P23_selection_rules")
                + of(CONVOLUTION, "P23_paths_obey_the_selection_rules")),
        "P24": ("sign under exchange", of(C, "P24_swap_sign")),
        "P25": ("intertwiner", of(C, "P25_intertwiner", "P25_intertwiner_of_generators")
                + of(CONTRACTION, "P25_couplings_are_equivariant[natural to 2,3]")),
        "P26": ("6j by recoupling", of(C, "P26_recoupling_gives_6j", "P26_recoupling_to_l_4")),
        "P27": ("9j by recoupling", of(C, "P27_recoupling_gives_9j")),
        "P28": ("Gaunt integrals", of(C, "P28_gaunt_is_the_integral_of_three_harmonics",
                                      "P28_gaunt_is_proportional_to_clebsch_gordan")),
        "P29": ("1 x 1 by hand", of(C, "P29_two_vectors") + of(CONVOLUTION, "P29_scalars_and_vectors_by_hand")),
        "P30": ("frozen signs", of(C, "P30_signs_of_every_path")),
        "P31": ("Cartesian and back", of(I, "P31_cartesian_round_trip", "P31_flat_features_round_trip")),
    },
    "layers": {
        "P32": ("rotations", of(GATE, "P32_under_rotations_and_reflections[float64]", "P32_pseudoscalars_alone")
                + of(LINEAR, "P32_linear_maps_are_equivariant") + of(CONTRACTION, "P32_equivariance[contract,float64]")
                + of(CONVOLUTION, "P32_equivariance[natural parities,convolve]") + of(ROTATED, "P32_equivariance")
                + of(LAWS, "P32_rotations[cluster,False]") + of(I, "cartesian_tensors_turn_as_irreps")
                + of(PARITY, "P59_every_output_obeys_its_law[NequIP,rotation]")
                + of(HYBRID, "P32_P59_rotations_and_reflections[ion]")),
        "P33": ("permutations", of(G, "P33_permuted_atoms_have_the_permuted_graph")
                + of(LAWS, "P33_permutations[cluster,False]") + of(HYBRID, "P33_permutations[crystal]")),
        "P34": ("irreps split, merged", of(LINEAR, "P34_equal_irreps_split_or_merged",
                                           "P34_the_order_of_terms_in_flat_arrays_changes_nothing")
                + of(CONVOLUTION, "P34_equal_irreps_split_or_merged")
                + of(GATE, "P34_gates_of_split_channels", "P34_channels_in_another_order")),
        "P35": ("on the axis", of(ROTATED, "P35_at_the_poles", "P35_complex_step_through_both_passes",
                                  "P35_rotate_to_edge_is_the_convolution[SO(3)]")),
        "P37": ("attention weights", of(ATTENTION, "P37_weights_sum_to_one_or_to_zero",
                                        "P37_weights_are_invariant_and_values_turn")
                + of(SE3, "P37_weights_sum_to_one", "P37_weights_are_invariant")),
        "P38": ("batch = its parts", of(G, "P38_a_batch_is_its_structures_side_by_side",
                                        "P38_no_gradient_crosses_from_frame_to_frame")
                + of(LAWS, "P38_no_gradient_crosses_structures", *each("P38_a_batch_is_its_parts", SOME))
                + of(HYBRID, "P38_a_batch_is_its_parts[ewald]")),
        "P39": ("trained weights", of(LAWS, *each("P32_rotations", SOME, "cluster,True"),
                                      *each("P57_smooth_through_the_cutoff", SOME, "True"))
                + of(MECHANICS, *each("P45_forces_are_the_gradient", SOME, "cluster,True"))),
    },
    "gradients": {
        "P40": ("pullbacks, by complex step", of(OPS, "P40_lifted_functions_are_analytic")
                + of(LAYERS, "P40_P41_pullbacks") + of(CONVOLUTION, "P40_P41_pullbacks[natural parities,convolve]")
                + of(ROTATED, "P40_P41_pullbacks")),
        "P41": ("<dy, Jv> = <pull(dy), v>", of(GRADIENTS, "P41_features_and_tensors", "P41_harmonics[float64]")
                + of(ATTENTION, "P41_pullbacks") + of(G, "P41_pullback_to_positions_and_strain")
                + of(SUMS, "P41_pullback_of_the_atoms_energies")
                + of(EQUILIBRIUM, "P41_pullback_against_the_complex_step")
                + of(MECHANICS, "P41_pullback_of_the_whole_model") + of(PARITY, "P41_pullbacks_of_the_heads")
                + of(HYBRID, "P41_pullback_of_all_outputs[ewald]")),
        "P42": ("mixed partials commute", of(LOSS, "P42_mixed_partials_commute")
                + of(TAPE, "P42_mixed_partials_commute")),
        "P43": ("slope of the loss", of(LOSS, "P43_gradient_is_the_slope_of_the_loss")
                + of(HYBRID_TRAINING, "P43_gradient_is_the_slope_of_the_loss[crystals]")),
        "P43 tape": ("loss, by a tape", of(TAPE, *each("P43_gradient_of_the_loss_is_that_of_the_tape", SOME, "mixed"))
                     + of(HYBRID_TAPE, *each("P43_what_is_predicted_and_its_loss_gradient_are_those_of_the_tape",
                                             ["molecules", "crystals"], "equilibrium"))),
        "P44": ("float32, stand-in for a GPU", of("test_backend", "float32_stays_float32", "runs_on_the_stand_in")),
    },
    "mechanics": {
        "P45": ("F = -dE/dr", of(G, "P45_P51_forces_and_strain_against_complex_step")
                + of(MECHANICS, "P45_forces_are_the_gradient[cluster,False]")
                + of(EWALD, "P45_forces_potential_and_stress_are_exact_derivatives")
                + of(PME, "P45_forces_potential_and_stress_are_exact_derivatives")
                + of(SUMS, "P45_derivatives_with_two_sets_of_charges")
                + of(HYBRID, "P45_forces_are_the_gradient[ion]", "P45_forces_are_the_gradient[crystal]",
                     "P45_forces_against_finite_differences[equilibrium,ion]")),
        "P46": ("no curl", of(MECHANICS, "P46_the_force_field_has_no_curl[small cell]")
                + of(HYBRID, "P46_the_force_field_has_no_curl[small cell]", "P46_the_force_field_has_no_curl[ion]")),
        "P47": ("no work around a loop", of(MECHANICS, *each("P47_closed_loop_work_is_zero", ["PaiNN", "NequIP"]))),
        "P48": ("no net force", of(G, "P48_P51_no_total_force_and_a_symmetric_stress")
                + of(MECHANICS, "P48_no_net_force[cluster,False]", "P48_no_net_force[triclinic,False]")
                + of(HYBRID, "P48_P49_no_net_force_and_no_net_torque[ion]")
                + of(PME, "P48_momentum_is_kept_to_the_error_only")),
        "P49": ("no net torque", of(MECHANICS, "P49_no_net_torque[cluster,False]")
                + of(HYBRID, "P48_P49_no_net_force_and_no_net_torque[ion]")),
        "P50": ("dynamics keeps E", of(HYBRID_TRAINING, "P50_dynamics_keeps_its_energy[Gaussians,ion]")),
        "P51": ("stress", of(MECHANICS, *each("P51_stress_is_the_strain_derivative", SOME, "triclinic,False"),
                             "P51_stress_is_symmetric[triclinic]")
                + of(HYBRID, "P51_stress_is_the_strain_derivative[crystal]",
                     "P51_stress_against_finite_strains[points,crystal]",
                     "P51_stress_against_finite_strains[equilibrium,crystal]")),
        "P52": ("fragments add", of(LAWS, "P52_separate_fragments_add")),
    },
    "periodic": {
        "P53": ("origin, images", of(G, "P53_wrapping_and_translation_change_only_shifts")
                + of(LAWS, "P53_translations[cluster,1.0]", "P53_images_are_all_the_same_atom[triclinic,False]")
                + of(HYBRID, "P53_translations[crystal]", "P53_P54_P55_images_supercells_and_other_cells[crystal]")),
        "P54": ("supercells", of(G, "P54_a_supercell_repeats_every_neighbourhood") + of(EWALD, "P54_supercells")
                + of(LAWS, "P54_supercells[triclinic]")
                + of(HYBRID, "P53_P54_P55_images_supercells_and_other_cells[crystal]")),
        "P55": ("other lattice vectors", of(N, "P55_other_lattice_vectors")
                + of(LAWS, "P55_other_vectors_of_the_same_lattice[triclinic]")
                + of(HYBRID, "P53_P54_P55_images_supercells_and_other_cells[crystal]")),
        "P56": ("neighbours, brute force", of(N, "P56_equal_to_a_sum_over_images", "P56_ties_at_the_cutoff")),
        "P57": ("smooth cutoff", of(RADIAL, "P57_two_derivatives_vanish_at_the_cutoff",
                                    "P57_a_basis_times_the_envelope_vanishes_with_two_derivatives")
                + of(ATTENTION, "P57_neighbours_leave_smoothly") + of(SE3, "P57_all_neighbours_leave_at_once")
                + of(LAWS, "P57_smooth_through_the_cutoff[False]") + of(HYBRID, "P57_smooth_through_the_cutoff")),
        "P58": ("receptive field", of(LAWS, "P58_nothing_beyond_the_receptive_field")),
    },
    "chirality, long range": {
        "P59": ("mirror images", of(LAWS, "P59_reflections[cluster,False]")
                + of(PARITY, "P59_every_output_obeys_its_law[mirror]",
                     "P59_pseudoscalars_vanish_on_achiral_shapes_only")
                + of(HYBRID, "P32_P59_rotations_and_reflections[ion]")),
        "P60": ("splitting, big cells", of(EWALD, "a_big_cell_is_a_molecule")
                + of(HYBRID, "P60_the_result_does_not_depend_on_how_sums_are_split", "P60_a_big_cell_is_a_molecule")),
    },
    "values": {
        "by hand": ("closed forms", of(R, "rotations_are_active_and_right_handed")
                    + of(I, "cartesian_parts_have_their_meaning") + of(EWALD, "the_plain_sum_is_coulombs_law")
                    + of(EQUILIBRIUM, "two_atoms_in_closed_form", "an_atom_by_itself_has_the_total_charge")
                    + of(CONTRACTION, "three_equal_factors_with_one_path", "what_one_writes_with_arrows_is_among_them")
                    + of(N, "shells_of_known_crystals") + of(LOSS, "loss_is_the_formula")
                    + of(OPTIMIZER, "adam_is_the_paper", "the_first_step_has_the_length_of_the_rate")),
        "others": ("e3nn, SciPy, SymPy", of(H, "values_of_e3nn", "values_of_scipy") + of(W, "values_of_e3nn")
                   + of(C, "values_of_e3nn", "exact_values_of_sympy") + of(I, "flat_order_is_e3nns")
                   + of(R, "quaternions_as_in_scipy", "rotation_vectors_as_in_scipy", "euler_angles_as_in_scipy")),
        "50 digits": ("lattice sums, mpmath", of(EWALD, "the_sum_is_the_truth",
                                                 "promises_are_kept_and_not_by_waste[1e-08]")
                      + of(PME, "promises_are_kept_and_not_by_waste[1e-05]") + of(SUMS, "it_is_what_the_sums_say")),
        "frozen": ("tables kept in the tests", of(CONTRACTION, "the_basis_is_frozen")),
        "defined": ("by the definition, slowly", of(CONTRACTION, "the_fast_form_is_the_definition")
                    + of(G, "sums_against_scatter[float64]", "reverse_is_the_same_edge_from_the_other_end",
                         "vectors_lead_to_an_image_of_the_sender")
                    + of(LOOP, "shares_of_a_batch_add_up")),
        "counts": ("dimensions and degrees", of(CONTRACTION, "there_are_as_many_paths_as_characters_say",
                                                "dimensions_add_up", "paths_are_orthonormal[natural to 2,3]")
                   + of("so3/test_quadrature", "sphere_quadrature_is_exact_to_its_degree",
                        "rotation_quadrature_is_exact_to_its_degree")),
    },
    "meaning": {
        "vacuity": ("answers depend on input", of(EQUIVARIANCE, "equivariant_functions_pass[float64]")
                    + of(MECHANICS, "dipoles_turn_and_move_with_the_charge")),
        "charges": ("they add up, and rest", of(MECHANICS, "dipoles_turn_and_move_with_the_charge")
                    + of(EQUILIBRIUM, "at_the_minimum_every_atom_holds_on_equally",
                         "charges_at_their_minimum_do_not_show_in_forces")
                    + of(HYBRID, "charges_add_up_to_the_total_charge", "far_fragments_feel_each_other_as_charges",
                         "P60_dipoles_turn_and_move_with_the_charge")),
        "plans": ("what is kept", of(SUMS, "a_plan_is_kept_for_the_same_places_and_no_others[ewald]")),
        "same?": ("same or mirror image", of(CERTIFICATES, "a_copy_is_the_same_and_a_mirror_image_is_one[cluster,like]",
                                             "kabsch_is_the_best_rotation", "nearest_is_nearest_of_its_species",
                                             *each("against_all_permutations", range(10)))
                  + of(MUSEUM, *each("residuals_are_rounding_or_a_good_part_of_a_bond",
                                      ["bent_ends", "water", "three_body"]))),
        "told apart": ("what models can see", of(CERTIFICATES, "the_sign_of_a_tetrahedron",
                                                 "a_mirror_is_seen_by_signed_bodies_alone",
                                                 "colours_split_as_far_as_the_distances_let_them",
                                                 *each("no_length_falls_on_the_edge_of_a_bin", [4, 10]),
                                                 "a_hexagon_and_two_triangles_have_the_same_colours_up_to_the_cutoff")
                       + of(MUSEUM, "the_certificate_is_what_the_label_says")),
        "audited": ("an audit's verdicts", of(DIFFERENCES, "derivative_within_its_error", "planted_noise",
                                              "planted_jumps", "energy_lost_in_single_steps_is_left_out")
                    + of(AUDITOR, *each("a_law_lets_the_sound_pass", ["rotation"]),
                         *each("a_law_finds_its_control", ["reflection", "permutation", "curl", "stress"]),
                         "a_target_that_fails_on_the_way_has_broken_the_law")),
    },
}
LAWS_AND_TESTS = {label: tests for group in GROUPS.values() for label, (_, tests) in group.items()}
