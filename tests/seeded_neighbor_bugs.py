"""Bugs planted in neighbour lists and graphs; part of the list of `seeded_bugs`."""

import numpy as np

from se3ref.systems import graph, neighbors
from tests.seeded_network_bugs import of


def list_changed(change):
    """`neighbor_list` with its rows (i, j, shift) chosen or changed: change(positions, cell, i, j, shifts) after."""
    function = neighbors.neighbor_list

    def changed(positions, cell, pbc, cutoff):
        return change(positions, cell, *function(positions, cell, pbc, cutoff))
    return [(module, "neighbor_list", changed) for module in (neighbors, graph)]


def no_self_image(positions, cell, i, j, shifts):
    keep = i != j
    return i[keep], j[keep], shifts[keep]


def nearest(count, per_pair):
    """Only the `count` nearest of each atom, or of each pair of atoms (its minimum image)."""
    def change(positions, cell, i, j, shifts):
        length = neighbors.lengths(neighbors.edge_vectors(positions, i, j, shifts, cell))
        group = i * len(positions) + j if per_pair else i
        order = np.lexsort((length, group))
        rank = np.arange(len(i)) - np.searchsorted(group[order], group[order])
        keep = np.sort(order[rank < count])
        return i[keep], j[keep], shifts[keep]
    return change


def shift_forgotten():
    function = neighbors.edge_vectors

    def wrong(positions, receivers, senders, shifts, cell, structure=None):
        return function(positions, receivers, senders, 0 * shifts, cell, structure)
    return [(graph, "edge_vectors", wrong)]


def shift_of_the_wrapped_atoms():
    images = neighbors.images_within

    def wrong(positions, cell, pbc, cutoff):
        home, atom, shift, margin = images(positions, cell, pbc, cutoff)
        return 0 * home, atom, shift, margin
    return [(neighbors, "images_within", wrong)]


def tie_kept():
    function = neighbors.neighbor_list
    return [(module, "neighbor_list", lambda positions, cell, pbc, cutoff:
             function(positions, cell, pbc, np.nextafter(cutoff, np.inf))) for module in (neighbors, graph)]


def reversed_without_shift():
    def wrong(receivers, senders, n):
        return np.lexsort((receivers, senders))
    return [(graph, "_reverse", wrong)]


def pull_changed(change):
    pull = graph.Graph.pull

    def wrong(self, dgeometry):
        return change(*pull(self, dgeometry))
    return [(graph.Graph, "pull", wrong)]


def cell_does_not_strain():
    pull = graph.Graph.pull
    return [(graph.Graph, "pull", lambda self, d: pull(self, {k: v for k, v in d.items() if k != "cell"}))]


def force_on_one_end():
    pull = graph.Graph.pull

    def wrong(self, dgeometry):
        return -self.sum_edges(dgeometry["vec"]), pull(self, dgeometry)[1]
    return [(graph.Graph, "pull", wrong)]


def leaving_is_arriving():
    return [(graph.Graph, "sum_leaving", graph.Graph.sum_edges)]


N, G = "systems/test_neighbors", "systems/test_graph"
P56 = of(N, "P56_equal_to_a_sum_over_images")
BOTH_ENDS = of(G, "reverse_is_the_same_edge_from_the_other_end")
WAY_BACK = of(G, "P41_pullback_to_positions_and_strain", "P45_P51_forces_and_strain_against_complex_step")

# name, plant, caught, blind
NEIGHBOR_BUGS = [
    ("periodic shift missing in the vectors", shift_forgotten,
        of(G, "vectors_lead_to_an_image_of_the_sender", "P53_wrapping_and_translation_change_only_shifts"),
        P56 + of(G, "blocks_partition_the_edges")),
    ("shifts of wrapped atoms, not of the atoms given", shift_of_the_wrapped_atoms,
        P56 + of(G, "P53_wrapping_and_translation_change_only_shifts"), of(N, "shells_of_known_crystals")),
    ("images of the atom itself left out", lambda: list_changed(no_self_image),
        P56 + of(N, "shells_of_known_crystals") + of(G, "self_images_and_several_images_of_one_atom"),
        BOTH_ENDS + of(N, "sorted_and_symmetric") + of(G, "P33_permuted_atoms_have_the_permuted_graph")),
    ("only the 6 nearest neighbours", lambda: list_changed(nearest(6, False)),
        P56 + of(N, "sorted_and_symmetric"), of(G, "blocks_partition_the_edges")),
    ("only the nearest image of each pair", lambda: list_changed(nearest(1, True)),
        P56 + of(N, "shells_of_known_crystals"), of(G, "blocks_partition_the_edges")),
    ("a tie at the cutoff is an edge", tie_kept, of(N, "P56_ties_at_the_cutoff", "shells_of_known_crystals"),
        of(N, "sorted_and_symmetric") + BOTH_ENDS),
    ("reversed edge of another image", reversed_without_shift, BOTH_ENDS, of(G, "sums_without_any_edge")),
    ("sign of the strain", lambda: pull_changed(lambda dr, strain: (dr, -strain)), WAY_BACK,
        of(G, "P48_P51_no_total_force_and_a_symmetric_stress", "pullback_follows_a_rotation")),
    ("strain transposed", lambda: pull_changed(lambda dr, strain: (dr, strain.swapaxes(1, 2))),
        of(G, "P41_pullback_to_positions_and_strain"),
        of(G, "P45_P51_forces_and_strain_against_complex_step", "P48_P51_no_total_force_and_a_symmetric_stress")),
    ("lattice vectors left out of the strain", cell_does_not_strain, of(G, "P41_pullback_to_positions_and_strain"),
        of(G, "P45_P51_forces_and_strain_against_complex_step", "pullback_follows_a_rotation")),
    ("force on the receiver only", force_on_one_end,
        WAY_BACK, of(G, "P48_P51_no_total_force_and_a_symmetric_stress")),
    ("arriving edges for leaving ones", leaving_is_arriving, of(G, "sums_against_scatter"), WAY_BACK),
]
