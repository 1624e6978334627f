"""Bugs planted in the certificates and in the museum; part of the list of `seeded_bugs`."""

import itertools

import numpy as np

from se3ref.verify import alignment, certificates, exhibits
from tests.seeded_network_bugs import of


def kabsch_with(signs):
    """`kabsch` with another diagonal Z: signs(hand, det U V) -> three numbers."""
    def wrong(x, y, hand=1):
        U, _, Vt = np.linalg.svd(np.swapaxes(y, -1, -2) @ x)
        Z = [np.broadcast_to(z, U.shape[:-2]) for z in signs(hand, np.sign(np.linalg.det(U @ Vt)))]
        return (U * np.stack(Z, -1)[..., None, :]) @ Vt
    return [(alignment, "kabsch", wrong)]


def every_start_of_one_element():
    search = alignment._search
    return [(alignment, "_search", lambda x, y, numbers, *rest: search(x, y, 0 * numbers, *rest))]


def permutation_backwards():
    align = alignment._alignment
    return [(alignment, "_alignment", lambda x, y, p, hand: align(x, y, np.argsort(p), hand))]


def starts_changed(change):
    starts = alignment._starts

    def changed(*args):
        anchors, images = starts(*args)
        return anchors, change(images)
    return [(alignment, "_starts", changed)]


def nearest_is_the_largest_product():
    return [(alignment, "_nearest", lambda x, y, apart, R: (apart - x @ np.swapaxes(R, -1, -2) @ y.T).argmin(2))]


def polished_not_at_all():
    def wrong(x, y, apart, R, hand):
        return np.inf, alignment._nearest(x, y, apart, R[None])[0]
    return [(alignment, "_polished", wrong)]


def residual_of_the_singular_values():
    """sum |x|^2 + |y|^2 - 2 tr instead of the distances themselves: half the digits are gone."""
    align = alignment._alignment

    def wrong(x, y, p, hand):
        found = align(x, y, p, hand)
        x, y = x - x.mean(0), y[p] - y.mean(0)
        squares = (x * x).sum() + (y * y).sum() - 2 * (y.T @ x * found.R).sum()
        return alignment.Alignment(float(np.sqrt(abs(squares) / len(x))), found.R, found.translation, found.permutation)
    return [(alignment, "_alignment", wrong)]


def lengths_in_bins():
    """Rounded to the tolerance: a length on the edge of a bin falls on either side."""
    exact = certificates._lengths
    return [(certificates, "_lengths", lambda structures, tolerance: [
        np.round(D / tolerance) * tolerance for D in exact(structures, 0.0)])]


def seen_changed(change):
    """What an atom sees, (colour, neighbours): change(colour, neighbours) instead."""
    seen = certificates._seen
    return [(certificates, "_seen", lambda *args: [change(*each) for each in seen(*args)])]


def one_round_less():
    refinements = certificates._refinements
    return [(certificates, "_refinements", lambda *args: itertools.islice(refinements(*args), 2))]


def cutoff_forgotten():
    certify = certificates.certify
    return [(exhibits, "certify", lambda a, b, centre=None, cutoff=None: certify(a, b, centre))]


C, M = "verify/test_certificates", "verify/test_museum"
COPY = of(C, "a_copy_is_the_same_and_a_mirror_image_is_one[cluster,like]")
NOISY = of(C, "a_noisy_copy_finds_its_own[cluster]")
ORACLE = of(C, "against_all_permutations")
BLIND_ORACLE = of(C, "against_all_permutations[3]")
LABELS = of(M, "the_certificate_is_what_the_label_says")
SIGNS = of(C, "a_mirror_is_seen_by_signed_bodies_alone")
EDGES = of(C, "no_length_falls_on_the_edge_of_a_bin")
BLIND_EDGES = of(C, "no_length_falls_on_the_edge_of_a_bin[3]")         # one seed of twenty shows what it cannot see

# name, plant, caught, blind
CERTIFICATE_BUGS = [
    ("any orthogonal matrix for a rotation", lambda: kabsch_with(lambda hand, sign: (1, 1, 1)),
        COPY + LABELS + of(C, "kabsch_is_the_best_rotation"), BLIND_EDGES),
    ("the largest singular value pays for the hand", lambda: kabsch_with(lambda hand, sign: (hand * sign, 1, 1)),
        ORACLE + of(C, "kabsch_is_the_best_rotation"), of(C, "what_is_exhibited_does_what_it_says")),
    ("all atoms of one element", every_start_of_one_element,
        of(C, "what_is_exhibited_does_what_it_says") + ORACLE, NOISY),
    ("a permutation read backwards", permutation_backwards, COPY + ORACLE, SIGNS),
    ("the best start only", lambda: starts_changed(lambda images: images[:1]),
        ORACLE, of(C, "what_is_exhibited_does_what_it_says") + NOISY),
    ("the worst start only", lambda: starts_changed(lambda images: images[-1:]), COPY, BLIND_EDGES),
    ("nearest by the largest product", nearest_is_the_largest_product,
        of(C, "nearest_is_nearest_of_its_species"), NOISY),
    ("no refined assignment", polished_not_at_all, ORACLE, BLIND_EDGES),
    ("a residual with half its digits", residual_of_the_singular_values,
        of(M, "residuals_are_rounding_or_a_good_part_of_a_bond"), BLIND_ORACLE),
    ("lengths counted in bins", lengths_in_bins, EDGES, LABELS),
    ("handedness without the order of the atoms", lambda: [(certificates, "_parity", lambda order: 1)],
        of(C, "the_sign_of_a_tetrahedron") + EDGES, SIGNS),
    ("no handedness", lambda: [(certificates, "_handedness", lambda r, tolerance: 0)],
        SIGNS + LABELS + of(M, "mirror_images_share_all_but_the_signs"), BLIND_EDGES),
    ("colours without distances", lambda: seen_changed(lambda c, near: (c, tuple(sorted(n for _, n in near)))),
        of(C, "a_hexagon_and_two_triangles_have_the_same_colours_up_to_the_cutoff"), LABELS),
    ("colours of sets, not of multisets", lambda: seen_changed(lambda c, near: (c, tuple(sorted(set(near))))),
        of(C, "colours_split_as_far_as_the_distances_let_them"), SIGNS),
    ("colours of one round", one_round_less,
        LABELS + of(M, "the_nearer_end_is_heard_of_one_round_later_for_each_carbon"), BLIND_EDGES),
    ("a certificate without the cutoff", cutoff_forgotten, LABELS, of(M, "mirror_images_share_all_but_the_signs")),
]
