"""Every exhibit is what its label says: the verdict, the body order, the degree and the depth that tell it apart."""

from itertools import combinations_with_replacement

import numpy as np
import pytest

from se3ref import models, so3, verify
from se3ref.systems import Structure, neighbor_graph
from se3ref.verify import exhibits

SPECIES = (1, 6, 8, 9, 16, 17, 35)
ROUNDING = 64 * np.finfo(float).eps * 10                       # some dozen operations on coordinates below 10 angstrom
NAMES = [exhibit.name for exhibit in verify.museum()]
each = pytest.mark.parametrize("name", NAMES)


def fresh(name):
    """The exhibit, its certificate still to be computed."""
    return {exhibit.name: exhibit for exhibit in verify.museum()}[name]


def named(*names):
    return pytest.mark.parametrize("name", names)


# --- the labels -----------------------------------------------------------------------------------------------

@each
def test_the_certificate_is_what_the_label_says(name):
    exhibit = fresh(name)
    found = exhibit.certificate
    assert (found.congruence.verdict, found.order, found.rounds) == (exhibit.verdict, exhibit.order, exhibit.rounds)
    assert found is exhibit.certificate                         # computed once


@each
def test_residuals_are_rounding_or_a_good_part_of_a_bond(name):
    """The residual of a "different" pair is an upper bound; with seven or eight atoms it is not far from the truth."""
    exhibit = fresh(name)
    found = exhibit.certificate.congruence
    assert (found.rotation < ROUNDING) == (exhibit.verdict == "same")
    assert (min(found.rotation, found.reflection) < ROUNDING) == (exhibit.verdict != "different")
    assert exhibit.verdict == "same" or found.rotation > 0.1


@each
def test_a_sane_structure_whose_centre_sees_its_neighbors(name):
    """No two atoms nearer than a bond to H, elements that the models know, and the cutoff as documented."""
    exhibit = fresh(name)
    for structure in (exhibit.a, exhibit.b):
        assert set(structure.numbers) <= set(SPECIES)
        shortest = {pair: lengths.min() for pair, lengths in verify.distances(structure).items()}
        assert all(length > (0.9 if 1 in pair else 1.29) for pair, length in shortest.items())
        graph = neighbor_graph(structure, exhibit.cutoff)
        neighbors = np.bincount(graph.receivers, minlength=len(structure))
        if exhibit.centre is None:
            assert (neighbors == len(structure) - 1).all()
        else:
            assert neighbors[exhibit.centre] == (2 if "ends" in exhibit.name else len(structure) - 1)


def test_names_and_words():
    assert len(set(NAMES)) == len(NAMES) == 16
    assert all(exhibit.fools and exhibit.source and exhibit.name in repr(exhibit) for exhibit in verify.museum())


# --- published pairs, against their coordinates ---------------------------------------------------------------

PUBLISHED = {       # the neighbours of the origin: those in both, and the one that differs
    "three_body": ([[5, 0, 5], [5, 5, 5], [-5, -5, 5]], [[0, 5, 5], [0, -5, 5]], 0.32),
    "signed_four_body": ([[5, 2, 0], [3, 2, 4], [-4, 2, 3], [3.8242109364, -2, -3.2210884362],
                          [4.8713973108, -2, 1.1267156874], [-1.1267156874, -2, 4.8713973108]],
                         [[0, 5, 0], [0, -5, 0]], 0.4),
    "plane_and_apex": ([[3, 0, -4], [0, 0, 5], [-3, 0, -4]], [[0, 5, 0], [0, -5, 0]], 0.4),
    "isosceles_and_apex": ([[3, 2, -4], [0, 2, 5], [-3, 2, -4], [4.7781919923, -2, -1.4727122206],
                            [-2.9389262615, -2, 4.0450849719], [-0.0759099740, -2, -4.9994237344]],
                           [[0, 5, 0], [0, -5, 0]], 0.4),
}


@named(*PUBLISHED)
def test_published_pairs_are_those_published(name):
    """Up to one rotation or reflection for both; the coordinates have ten decimals."""
    exhibit = fresh(name)
    common, last, scale = PUBLISHED[exhibit.name]
    a, b = (Structure(exhibit.a.numbers, scale * np.array([[0, 0, 0], *common, apex], float)) for apex in last)
    to_a, to_b = verify.congruence(exhibit.a, a, 1e-9), verify.congruence(exhibit.b, b, 1e-9)
    assert to_a.verdict == to_b.verdict != "different"
    assert verify.congruence(a, b).verdict == exhibit.verdict


@named("water", "plane_and_apex", "isosceles_and_apex")
def test_one_structure_shares_everything(name):
    exhibit = fresh(name)
    assert all(exhibit.certificate.shared.values())
    assert exhibit.certificate.congruence.achiral == (exhibit.name != "isosceles_and_apex")


# --- body order and degree, by harmonics ----------------------------------------------------------------------

def shells(exhibit, structure, lmax):
    """sum_j Y_l(r_j) over the neighbours of one element at one distance: {(shell, l): (2l+1,)}."""
    r = np.delete(structure.positions - structure.positions[exhibit.centre], exhibit.centre, 0)
    numbers = np.delete(structure.numbers, exhibit.centre)
    names = list(zip(numbers.tolist(), np.round(np.linalg.norm(r, axis=1), 6).tolist(), strict=True))
    Y = so3.spherical_harmonics(lmax, r)
    return {(name, l): Y[[other == name for other in names]][:, so3.degree(l)].sum(0)
            for name in sorted(set(names)) for l in range(lmax + 1)}


def coupled(pairs):
    """All couplings of pairs of ((l, tensor), (l, tensor)): a list of (l, tensor)."""
    return [(l, np.einsum("ijk,i,j->k", so3.clebsch_gordan(la, lb, l), a, b)) for (la, a), (lb, b) in pairs
            for l in range(abs(la - lb), la + lb + 1)]


def scalars(exhibit, structure, factors, lmax):
    """All invariants of 1 to 4 sums over neighbours: bodies 2 to 5, by coupling in pairs; pseudoscalars included."""
    one = [(l, x) for (_, l), x in shells(exhibit, structure, lmax).items()]
    if factors == 1:
        return np.array([x[0] for l, x in one if l == 0])
    two = coupled(combinations_with_replacement(one, 2))
    left, right = {2: (one, one), 3: (two, one), 4: (two, two)}[factors]
    return np.array([a @ b for la, a in left for lb, b in right if la == lb])


def gap(exhibit, factors, lmax):
    """How much the invariants of a and b differ, relative to the largest."""
    one, other = (scalars(exhibit, s, factors, lmax) for s in (exhibit.a, exhibit.b))
    return np.abs(one - other).max() / np.abs(one).max()


@named(*(exhibit.name for exhibit in verify.museum() if exhibit.degree))
def test_harmonics_see_it_at_its_order_and_degree_and_not_below(name):
    """order - 1 factors of that degree do; one factor less, two degrees more, do not, nor does one degree less.

    A pair equal in k bodies is equal in k - 1 factors of any degree.  Rounding: sums of 1e4 products.
    """
    exhibit = fresh(name)
    factors = exhibit.order - 1
    assert gap(exhibit, factors, exhibit.degree) > 1e-3
    assert gap(exhibit, factors, exhibit.degree - 1) < 1e-12
    assert gap(exhibit, factors - 1, exhibit.degree + (2 if factors < 4 else 0)) < 1e-12


@pytest.mark.parametrize("factors", [2, 3])
def test_no_coupling_of_degrees_below_four_sees_the_rings(factors):
    rings = fresh("twisted_rings")
    assert gap(rings, factors, 3) < 1e-12
    assert gap(rings, 2, 4) > 1e-3


def test_no_depth_helps_below_degree_four():
    """Equivariant networks of three layers with random weights: the centre's energy is the same to rounding, or not.

    The difference at degree 4 is small, 1e-5 of the energy, since weights of three layers multiply it; rounding is
    1e-15.
    """
    rings = fresh("twisted_rings")
    for lmax, seen in ((2, False), (3, False), (4, True)):
        model = models.NequIP(SPECIES, rings.cutoff, lmax=lmax, channels=4, layers=3)
        params = model.init(np.random.default_rng(0))
        a, b = (model.forward(params, neighbor_graph(s, rings.cutoff))[0]["energies"][0] for s in (rings.a, rings.b))
        assert (abs(a - b) > 1e-9 * abs(a)) == seen
        assert seen or abs(a - b) < 1e-13 * abs(a)


# --- distances at any depth -----------------------------------------------------------------------------------

@named("antiprisms", "centrosymmetric")
def test_distances_are_blind_at_any_depth_and_cutoff(name):
    """The stable colours agree, whatever the cutoff: between any two lengths, and beyond all of them."""
    exhibit = fresh(name)
    lengths = np.unique(np.concatenate(list(verify.distances(exhibit.a).values())))
    for cutoff in (*(lengths[:-1] + lengths[1:]) / 2, None):
        assert verify.certify(exhibit.a, exhibit.b, exhibit.centre, cutoff).rounds is None
    assert not exhibit.certificate.shared["3 bodies"]


@pytest.mark.parametrize("seed", range(10))
def test_any_three_axes_will_do(seed):
    """Turn the sign of one cosine: the same colours, and another structure unless a cosine is zero or lengths agree."""
    rng = np.random.default_rng(seed)
    lengths, cosines = rng.uniform(1.5, 3, 3), rng.uniform(0.1, 0.45, 3)
    a, b = (Structure([16] * 6, exhibits._axes(lengths, cosines * signs)) for signs in ([1, 1, 1], [1, -1, 1]))
    found = verify.certify(a, b)
    assert found.congruence.verdict == "different" and found.rounds is None and found.order == 3
    right = exhibits._axes(lengths, cosines * [1, 0, 1]), exhibits._axes(lengths, cosines * [-1, 0, 1])
    assert verify.congruence(*(Structure([16] * 6, axes) for axes in right)).verdict == "same"


# --- depth ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("left", [1, 2, 3, 4])
def test_the_nearer_end_is_heard_of_one_round_later_for_each_carbon(left):
    exhibit = exhibits.swapped_ends(left)
    assert exhibit.certificate.rounds == exhibit.rounds == left + 1


@pytest.mark.parametrize("carbons", [1, 2, 3, 6])
def test_bent_ends_have_no_colour(carbons):
    """Equal at every atom up to the cutoff: lengths, angles, and colours at any depth; seen whole, they differ."""
    exhibit = exhibits.bent_ends(carbons)
    found = verify.certify(exhibit.a, exhibit.b, cutoff=exhibit.cutoff)
    local = {name: same for name, same in found.shared.items() if "each" in name or "colour" in name}
    assert found.congruence.verdict == "different"
    assert all(local.values()) == (carbons > 1)                # a single carbon sees both ends
    assert not found.shared["2 bodies"]


# --- mirror images --------------------------------------------------------------------------------------------

@named("halogens", "hydrogen_peroxide", "dichloroethane")
def test_mirror_images_share_all_but_the_signs(name):
    exhibit = fresh(name)
    found = exhibit.certificate.shared
    assert {name for name, same in found.items() if not same} == {name for name in found if "signed" in name}
    assert not exhibit.certificate.congruence.achiral


def torsion(structure, i, j, k, l):
    """The angle from i to l about the bond from j to k, seen along it, degrees (IUPAC's sign)."""
    r = structure.positions
    along = (r[k] - r[j]) / np.linalg.norm(r[k] - r[j])
    u, v = r[i] - r[j], r[l] - r[k]
    return np.degrees(np.arctan2(along @ np.cross(u, v), u @ v - (u @ along) * (v @ along)))


def test_geometry_of_the_molecules():
    """Bond lengths, angles and torsions as the docstrings say."""
    peroxide = fresh("hydrogen_peroxide")
    r = peroxide.a.positions
    assert [torsion(s, 2, 0, 1, 3) for s in (peroxide.a, peroxide.b)] == pytest.approx([115, -115])
    assert np.linalg.norm(r[[1, 2, 3]] - r[[0, 0, 1]], axis=1) == pytest.approx([1.45, 0.965, 0.965])
    assert (r[2] - r[0]) @ (r[1] - r[0]) == pytest.approx(0.965 * 1.45 * np.cos(np.radians(101)))
    gauche = fresh("dichloroethane")
    chlorine, carbon = np.flatnonzero(gauche.a.numbers == 17), np.flatnonzero(gauche.a.numbers == 6)
    bonds = np.linalg.norm(gauche.a.positions[chlorine][:, None] - gauche.a.positions[carbon], axis=2)
    near = carbon[bonds.argmin(1)]
    angles = [torsion(s, chlorine[0], near[0], near[1], chlorine[1]) for s in (gauche.a, gauche.b)]
    assert abs(abs(angles[0]) - 68) < 3 and angles[0] == pytest.approx(-angles[1])
    halogens = fresh("halogens").a.positions[1:]
    units = halogens / np.linalg.norm(halogens, axis=1, keepdims=True)
    np.testing.assert_allclose(units @ units.T, np.where(np.eye(4), 1, -1 / 3), atol=1e-15)
