"""Copies and mirror images are recognised, whatever their symmetry; what is not shared is not shared."""

from itertools import permutations

import numpy as np
import pytest

from se3ref import verify
from se3ref.so3 import random_orthogonal, random_rotation, reflection, rotation_from_vector
from se3ref.systems import Structure
from se3ref.verify import alignment

EPS = np.finfo(float).eps
GOLDEN = (1 + np.sqrt(5)) / 2


def scattered(rng, n, box, apart):
    """n points in a box, none nearer to another than `apart`."""
    points = np.empty((0, 3))
    while len(points) < n:
        new = rng.uniform(0, box, 3)
        if (((points - new) ** 2).sum(1) > apart**2).all():
            points = np.vstack([points, new])
    return points


def with_signs_and_cycles(*corners):
    """All (+-x, +-y, +-z) and their cyclic shifts: the corners of icosahedral polyhedra."""
    signs = np.array(list(np.ndindex(2, 2, 2))) * 2 - 1
    every = [np.roll(sign * corner, shift) for corner in corners for sign in signs for shift in range(3)]
    return np.unique(np.round(every, 12) + 0.0, axis=0)


def shapes():
    """Name -> (positions, whether it is achiral)."""
    rng = np.random.default_rng(5)
    sphere = rng.standard_normal((40, 3))
    turn = 2 * np.pi * np.arange(36) / 36
    return {
        "cluster": (scattered(rng, 30, 6, 1.2), False),
        "sphere": (5 * sphere / np.linalg.norm(sphere, axis=1)[:, None], False),
        "lattice block": (2.5 * np.array(list(np.ndindex(4, 4, 3)), float), True),
        "icosahedron": (1.6 * with_signs_and_cycles([0, 1, GOLDEN]), True),
        "C60": (0.7 * with_signs_and_cycles([0, 1, 3 * GOLDEN], [1, 2 + GOLDEN, 2 * GOLDEN],
                                            [2, 1 + 2 * GOLDEN, GOLDEN]), True),
        "helix": (np.stack([2 * np.cos(turn * 3), 2 * np.sin(turn * 3), 0.4 * np.arange(36)], 1), False),
        "ring": (np.stack([6 * np.cos(turn), 6 * np.sin(turn), 0 * turn], 1), True),
        "plane": (np.hstack([rng.uniform(-5, 5, (12, 2)), np.zeros((12, 1))]), True),
        "line": (np.outer(np.sort(rng.uniform(0, 30, 20)), [1.0, 2, 3]), True),
        "two atoms": (np.array([[0, 0, 0], [0, 0, 1.1]]), True),
        "one atom": (np.ones((1, 3)), True),
    }


SHAPES = shapes()
shape = pytest.mark.parametrize("name", SHAPES)


def copy_of(structure, rng, R, noise=0.0):
    """Moved, turned, its atoms in another order: (copy, where each atom has gone)."""
    n = len(structure)
    order = rng.permutation(n)
    r = (structure.positions + noise * rng.standard_normal((n, 3)))[order] @ R.T + rng.uniform(-9, 9, 3)
    return Structure(structure.numbers[order], r), np.argsort(order)


def rounding(structure):
    """Some dozen operations on coordinates below 10 angstrom more than the size."""
    return 64 * EPS * (10 + np.abs(structure.positions).max())


def residual(a, b, p, hand):
    """Of the best alignment for one assignment: by the singular values, sum |x|^2 + |y|^2 - 2 tr."""
    x, y = a.positions - a.positions.mean(0), b.positions[p] - b.positions.mean(0)
    H = y.T @ x
    s, sign = np.linalg.svd(H, compute_uv=False), np.sign(np.linalg.det(H))
    largest = s[0] + s[1] + hand * (sign if sign else 1) * s[2]
    return np.sqrt(max((x * x).sum() + (y * y).sum() - 2 * largest, 0) / len(x))


def least_residual(a, b, hand):
    """The oracle: over all permutations that keep the species; inf where there are none."""
    return min((residual(a, b, np.array(p), hand) for p in permutations(range(len(a)))
                if np.array_equal(a.numbers, b.numbers[list(p)])), default=np.inf)


# --- congruence: copies are found -----------------------------------------------------------------------------

@shape
@pytest.mark.parametrize("species", ["like", "two"])
def test_a_copy_is_the_same_and_a_mirror_image_is_one(name, species):
    """Turned, moved, permuted; the mirror image of an achiral shape is the same shape."""
    positions, achiral = SHAPES[name]
    rng = np.random.default_rng(0)
    a = Structure(np.full(len(positions), 6), positions)
    if species == "two":                                       # the far atoms are another element: no symmetry is lost
        far = ((positions - positions.mean(0)) ** 2).sum(1)
        a = Structure(np.where(far > far.max() - 0.1, 8, 6), positions)
    copy = verify.congruence(a, copy_of(a, rng, random_rotation(rng))[0])
    image = verify.congruence(a, copy_of(a, rng, -random_rotation(rng))[0])
    assert copy.verdict == "same" and copy.rotation < rounding(a)
    assert image.reflection < rounding(a)
    assert (image.verdict, image.achiral, copy.achiral) == ("same" if achiral else "mirror", achiral, achiral)
    assert achiral or min(copy.reflection, image.rotation) > 0.1


@shape
def test_what_is_exhibited_does_what_it_says(name):
    """R in O(3) with the hand it should have, a permutation that keeps the species, and the residual they give."""
    rng = np.random.default_rng(1)
    positions = SHAPES[name][0]
    a = Structure(rng.choice([1, 6], len(positions)), positions)
    b, _ = copy_of(a, rng, random_orthogonal(rng), noise=0.05)
    found = verify.congruence(a, b)
    for hand, best in ((1, found.by_rotation), (-1, found.by_reflection)):
        np.testing.assert_allclose(best.R @ best.R.T, np.eye(3), atol=16 * EPS)
        assert np.sign(np.linalg.det(best.R)) == hand
        assert sorted(best.permutation) == list(range(len(a)))
        np.testing.assert_array_equal(b.numbers[best.permutation], a.numbers)
        moved = a.rotated(best.R).translated(best.translation).positions
        off = ((moved - b.positions[best.permutation]) ** 2).sum(1)
        assert best.residual == pytest.approx(np.sqrt(off.mean()), abs=rounding(a))
    assert (found.rotation, found.reflection) == (found.by_rotation.residual, found.by_reflection.residual)


@shape
@pytest.mark.parametrize("hand", [1, -1])
def test_a_noisy_copy_finds_its_own(name, hand):
    """0.05 angstrom in every coordinate: the residual is no larger than that of the true assignment."""
    rng = np.random.default_rng(2)
    a = Structure(np.full(len(SHAPES[name][0]), 6), SHAPES[name][0])
    b, true = copy_of(a, rng, hand * random_rotation(rng), noise=0.05)
    found = verify.congruence(a, b)
    reached = found.rotation if hand == 1 else found.reflection
    assert reached <= alignment._alignment(a.positions, b.positions, true, hand).residual + rounding(a)
    assert len(a) == 1 or found.verdict == "different"


@pytest.mark.parametrize("seed", range(40))
def test_against_all_permutations(seed):
    """Up to six atoms, of the grid, of an octahedron or anywhere: never below the truth, and the truth where it counts.

    The oracle's residual is the root of a difference of numbers near 100 and good to sqrt(100 eps) = 1.5e-7.
    """
    rng = np.random.default_rng(seed)
    grid, octahedron = np.array(list(np.ndindex(3, 3, 2)), float), np.vstack([np.eye(3), -np.eye(3)])
    n = rng.integers(1, 7)
    places = [grid, octahedron, rng.uniform(-2, 2, (8, 3))][seed % 3]
    numbers = rng.choice([1, 6], n)
    a, b, other = (Structure(numbers, places[rng.choice(len(places), n, replace=False)]) for _ in range(3))
    shaken = Structure(numbers, b.positions + 10.0 ** rng.integers(-9, -1) * rng.standard_normal((n, 3)))
    for x, y in ((a, other), (b, shaken), (shaken, copy_of(b, rng, random_orthogonal(rng))[0])):
        found = verify.congruence(x, y, tolerance=1e-5)
        for hand, reached in ((1, found.rotation), (-1, found.reflection)):
            least = least_residual(x, y, hand)
            assert reached > least - 2e-7
            assert (reached < 1e-5) == (least < 1e-5)
            assert least > 0.1 or reached < least + 2e-7


# --- congruence: the tolerance --------------------------------------------------------------------------------

@shape
@pytest.mark.parametrize("hand", [1, -1])
def test_nothing_within_the_tolerance_is_missed(name, hand):
    """Up to the tolerance that the docstring promises, s / (18 sqrt n), and displacements that leave 0.999 of it."""
    rng = np.random.default_rng(3)
    positions = SHAPES[name][0]
    n = len(positions)
    apart = np.linalg.norm(positions[:, None] - positions, axis=2)[~np.eye(n, dtype=bool)].min(initial=9.0)
    tolerance = 0.999 * apart / (18 * np.sqrt(n))
    for focus in (n, 1):                                       # on all atoms, and on one of them
        shift = np.zeros((n, 3))
        shift[rng.choice(n, focus, replace=False)] = rng.standard_normal((focus, 3))
        shift *= 0.999 * tolerance * np.sqrt(n / (shift**2).sum())
        a = Structure(np.full(n, 6), positions)
        b, _ = copy_of(Structure(np.full(n, 6), positions + shift), rng, hand * random_rotation(rng))
        found = verify.congruence(a, b, tolerance)
        assert (found.rotation if hand == 1 else found.reflection) <= tolerance


@pytest.mark.parametrize("name", ["cluster", "icosahedron", "C60", "plane", "line"])
def test_nothing_beyond_the_tolerance_passes(name):
    """One atom is moved outwards, so that no alignment brings all atoms within the tolerance again.

    Outwards by 4 tol sqrt(n): its distance from the centroid of the others changes by that, and in an alignment within
    tol no distance of two points, each off by tol sqrt(n) at most, changes by more than 2 tol sqrt(n).
    """
    a = Structure(np.full(len(SHAPES[name][0]), 6), SHAPES[name][0])
    positions, tolerance = a.positions.copy(), 1e-6
    outwards = positions[0] - positions[1:].mean(0)
    positions[0] += 4 * tolerance * np.sqrt(len(a)) * outwards / np.linalg.norm(outwards)
    found = verify.congruence(a, Structure(a.numbers, positions), tolerance)
    assert found.verdict == "different"
    assert 1 < found.rotation / tolerance < 4                  # all others in place: 4 sqrt(n) / sqrt(n) and no more


def test_a_near_symmetry_does_not_hide_the_copy():
    """An icosahedron out of shape by 1e-5 angstrom: 60 rotations nearly fit, one does."""
    rng = np.random.default_rng(4)
    a = Structure([6] * 12, SHAPES["icosahedron"][0] + 1e-5 * rng.standard_normal((12, 3)))
    b, where = copy_of(a, rng, random_rotation(rng))
    found = verify.congruence(a, b)
    np.testing.assert_array_equal(found.by_rotation.permutation, where)
    assert found.rotation < rounding(a) and found.verdict == "same" and not found.achiral
    assert 1e-6 < found.reflection < 1e-4


@pytest.mark.parametrize("tolerance", [1e-6, 1.0])
def test_few_starts_of_many_permutations(tolerance):
    """A hundred like atoms on a sphere, 1e158 permutations: no more than TRIED starts, however large the tolerance."""
    points = np.random.default_rng(6).standard_normal((100, 3))
    points *= 5 / np.linalg.norm(points, axis=1, keepdims=True)
    points -= points.mean(0)
    _, images = alignment._starts(points, points, np.full(100, 6), tolerance)
    assert len(images) <= alignment.TRIED


@pytest.mark.parametrize("hand", [1, -1])
def test_kabsch_is_the_best_rotation(hand):
    """No random R of the same hand does better, and for a moved copy it is the R that moved it."""
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((2, 5, 7, 3))
    R = alignment.kabsch(x, y, hand)
    np.testing.assert_allclose(np.linalg.det(R), hand, atol=16 * EPS)
    others = hand * random_rotation(rng, 3000)
    assert (alignment._squares(x, y, R) < alignment._squares(x, y, others[:, None])).all()
    small = rotation_from_vector(1e-3 * rng.standard_normal((200, 3)))
    assert (alignment._squares(x, y, R) < alignment._squares(x, y, R @ small[:, None])).all()
    true = hand * random_rotation(rng)
    np.testing.assert_allclose(alignment.kabsch(x, x @ true.T, hand), np.broadcast_to(true, (5, 3, 3)), atol=1e-13)


def test_nearest_is_nearest_of_its_species():
    rng = np.random.default_rng(10)
    x, y, R = rng.standard_normal((9, 3)), rng.standard_normal((9, 3)), random_orthogonal(rng, 20)
    numbers = np.array([1] * 4 + [6] * 5)
    far = np.where(numbers[:, None] == numbers, 0.0, np.inf)
    distances = np.linalg.norm((x @ np.swapaxes(R, 1, 2))[:, :, None] - y, axis=3) + far
    np.testing.assert_array_equal(alignment._nearest(x, y, far, R), distances.argmin(2))


# --- congruence: what it refuses ------------------------------------------------------------------------------

WATER = Structure([8, 1, 1], [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])


@pytest.mark.parametrize("numbers, positions", [
    ([8, 1], [[0, 0, 0], [0, 0, 1]]), ([8, 8, 1], WATER.positions), ([8, 1, 1, 1], np.eye(4, 3))])
def test_other_atoms_are_different(numbers, positions):
    found = verify.congruence(WATER, Structure(numbers, positions))
    assert (found.verdict, found.rotation, found.reflection) == ("different", np.inf, np.inf)
    assert found.by_rotation is None and found.by_reflection is None and not found.achiral
    assert str(found) == "different: inf angstrom after a rotation, inf after a reflection (tolerance 1e-06)"
    found = verify.shared(WATER, Structure(numbers, positions))
    assert not any(same for name, same in found.items() if "4" not in name)        # three atoms have no 4 bodies


def test_bad_input_is_refused():
    crystal = Structure([8, 1, 1], WATER.positions, 9 * np.eye(3), (True, False, False))
    for function in (verify.congruence, verify.shared, verify.certify, verify.colours):
        with pytest.raises(TypeError, match="Structures are compared; got ndarray"):
            function(WATER, WATER.positions)
        with pytest.raises(ValueError, match=r"periodic along \[True, False, False\]"):
            function(crystal, WATER)
    for tolerance in (0, -1e-6, np.nan):
        with pytest.raises(ValueError, match="tolerance is a length above 0"):
            verify.congruence(WATER, WATER, tolerance)
    with pytest.raises(TypeError, match="got list"):
        verify.distances([WATER])
    with pytest.raises(ValueError, match="0 to 2; got 3"):
        verify.bodies(WATER, k=2, centre=3)
    with pytest.raises(ValueError, match="4 bodies have a sign; got k=3"):
        verify.bodies(WATER, k=3, signed=True)
    with pytest.raises(ValueError, match="0 or more, or None; got -1"):
        verify.colours(WATER, rounds=-1)


def test_an_idle_cell_and_the_charge_play_no_part():
    boxed = Structure(WATER.numbers, WATER.positions, 9 * np.eye(3), charge=1)
    assert verify.congruence(WATER, boxed).verdict == "same"


# --- invariants -----------------------------------------------------------------------------------------------

METHANE = Structure([6, 1, 1, 1, 1], np.vstack([np.zeros(3), 0.63 * np.array(
    [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])]))
CH, HH = 0.63 * np.sqrt(3), 0.63 * np.sqrt(8)


def tangle(seed=8, n=7):
    """A molecule without symmetry."""
    rng = np.random.default_rng(seed)
    return Structure(rng.choice([1, 6, 8], n), scattered(rng, n, 3, 0.8))


def test_histograms_of_methane():
    """By hand: 4 bonds, 6 edges; 6 triangles with C, 4 without; 4 tetrahedra with C, 1 without."""
    found = verify.distances(METHANE)
    np.testing.assert_allclose(found[1, 6], [CH] * 4, atol=4 * EPS)
    np.testing.assert_allclose(found[1, 1], [HH] * 6, atol=4 * EPS)
    counts = {k: sorted(verify.bodies(METHANE, k=k)[0].values()) for k in (1, 2, 3, 4, 5)}
    assert counts == {1: [1, 4], 2: [4, 6], 3: [4, 6], 4: [1, 4], 5: [1]}
    (triangles,) = verify.bodies(METHANE, k=3, centre=0)
    (key, count), = triangles.items()
    assert key[0] == (6, 1, 1) and count == 6 and key[1] == pytest.approx((CH, CH, HH), abs=4 * EPS)
    assert verify.bodies(METHANE, k=2, centre=0, cutoff=1.0) == [{}]


def test_histograms_and_colours_do_not_see_motions_and_permutations():
    rng, a = np.random.default_rng(9), tangle()
    b, where = copy_of(a, rng, random_rotation(rng))
    assert all(verify.shared(a, b).values())
    assert all(verify.shared(a, b, cutoff=1.7).values())
    one, other = verify.colours(a, b)
    np.testing.assert_array_equal(one, other[where])
    assert verify.bodies(a, b, k=4, centre=None, signed=True)[0].total() == 35


def test_a_mirror_is_seen_by_signed_bodies_alone():
    a = tangle()
    found = verify.shared(a, a.rotated(reflection([3, 1, 2])), centre=0)
    assert {name for name, same in found.items() if not same} == {name for name in found if "signed" in name}
    assert len([name for name in found if "signed" in name]) == 3


def test_the_sign_of_a_tetrahedron():
    """Right-handed x, y, z seen from a heavy atom, whatever the order of its atoms; its mirror image; flat; achiral."""
    numbers, r = np.array([35, 1, 6, 8]), np.vstack([np.zeros(3), np.diag([1.0, 1.1, 1.2])])

    def sign(numbers, r):
        (key,) = verify.bodies(Structure(numbers, r), k=4, signed=True)[0]
        return key[2]
    signs = {sign(numbers[list(p)], r[list(p)]) for p in permutations(range(4))}
    assert len(signs) == 1 and signs | {sign(numbers, r * [1, 1, -1])} == {-1, 1}
    assert sign(numbers, r * [1, 1, 0] + np.outer([0, 1, 2, 3], [0.4, 0, 0])) == 0
    assert sign([35, 1, 6, 6], r * [1, 1, 1.1 / 1.2]) == sign([35, 1, 6, 6], r * [1, 1, -1.1 / 1.2])
    centred = [verify.bodies(Structure(numbers, s), k=4, centre=0, signed=True)[0] for s in (r, r[[0, 2, 1, 3]])]
    assert centred[0] != centred[1]


@pytest.mark.parametrize("seed", range(20))
def test_no_length_falls_on_the_edge_of_a_bin(seed):
    """Copies off by 1e-8 share everything, also where all lengths are equal or round; off by 1e-3, next to nothing."""
    rng = np.random.default_rng(seed)
    for a in (METHANE, tangle(seed, 6), Structure([6] * 6, 1.5 * np.array(list(np.ndindex(3, 2, 1)), float))):
        b, _ = copy_of(a, rng, random_rotation(rng), noise=1e-8)
        assert all(verify.shared(a, b).values())
        far, _ = copy_of(a, rng, random_rotation(rng), noise=1e-3)
        assert not any(verify.shared(a, far).values())


def test_colours_split_as_far_as_the_distances_let_them():
    """A chain of five like atoms that see their neighbours: ends, then what is next to them, then the middle."""
    chain = Structure([6] * 5, np.outer(np.arange(5), [1.4, 0, 0]))
    partition = [[len(set(np.array(c)[[0, 4]])), len(set(c))] for t in range(4)
                 for c in verify.colours(chain, cutoff=1.5, rounds=t)]
    assert partition == [[1, 1], [1, 2], [1, 3], [1, 3]]
    np.testing.assert_array_equal(verify.colours(chain, cutoff=1.5)[0], verify.colours(chain, cutoff=1.5, rounds=9)[0])
    assert len(set(verify.colours(chain, rounds=1)[0])) == 3


def test_a_hexagon_and_two_triangles_have_the_same_colours_up_to_the_cutoff():
    """The classical pair: every atom has two neighbours at one distance; the whole distances tell them apart."""
    corner = np.pi / 3 * np.arange(6)
    hexagon = Structure([6] * 6, 1.4 * np.stack([np.cos(corner), np.sin(corner), 0 * corner], 1))
    triangle = 1.4 / np.sqrt(3) * hexagon.positions[::2] / 1.4
    triangles = Structure([6] * 6, np.vstack([triangle, triangle + [0, 0, 9]]))
    near, far = verify.certify(hexagon, triangles, cutoff=1.5), verify.certify(hexagon, triangles)
    assert near.shared["colours"] and near.rounds is None and near.order == 3
    assert not far.shared["colours"] and far.rounds == 1 and far.order == 2


def test_a_certificate_of_other_species():
    """One round is not needed where the species differ already, and no tolerance is."""
    found = verify.certify(WATER, Structure([16, 1, 1], WATER.positions), centre=0)
    assert found.rounds == 0 and found.order == 2 and found.congruence.verdict == "different"
