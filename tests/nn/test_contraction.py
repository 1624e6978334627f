"""The symmetric contraction: couplings counted by characters, orthonormal, equivariant (P32), known ones by hand;
the fast form is the definition; and its pullback (P40, P41)."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings

from se3ref.nn import contraction
from se3ref.nn import couplings as coefficients
from se3ref.nn.contraction import init_contraction
from se3ref.nn.couplings import monomials
from se3ref.so3 import (
    Irrep,
    Irreps,
    cartesian_from_irreps,
    clebsch_gordan,
    random_rotation,
    rotate_features,
    wigner_3j,
)
from tests import strategies as draw
from tests.nn.checks import EPS, PRECISIONS, cast, check_on_stand_in, distance, numbers
from tests.nn.test_linear import SPECIES, features, rows_of

S, V, V_E, T = Irrep(0, 1), Irrep(1, -1), Irrep(1, 1), Irrep(2, 1)
SETS = {                                                       # irreps of A, and the highest degree of products tried
    "one vector": ("1o", 4), "one tensor": ("2e", 4),
    "natural to 1": ("0e+1o", 4), "natural to 2": ("0e+1o+2e", 4), "natural to 3": ("0e+1o+2e+3o", 4),
    "unnatural to 3": ("0o+1e+2o+3e", 4), "SO(3)": ("0e+1e+2e", 4), "both to 1": ("0o+0e+1o+1e", 4),
    "both to 2": ("0o+0e+1o+1e+2o+2e", 3),
}
DEGREES = [(name, nu) for name, (_, most) in SETS.items() for nu in range(1, most + 1)]
TARGETS = [Irrep(l, p) for l in range(4) for p in (-1, 1)]
each_degree = pytest.mark.parametrize("name, nu", DEGREES)


def couplings(irreps, target, nu):
    return coefficients.symmetric_couplings(irreps, target, nu)


def irreps_of(text):
    return tuple(sorted(irrep for _, irrep in Irreps(text)))


def row(irreps):
    """Where each irrep of A stands in its row of components."""
    ends = np.cumsum([0, *(irrep.dim for irrep in irreps)]).tolist()
    return {irrep: slice(a, b) for irrep, a, b in zip(irreps, ends[:-1], ends[1:], strict=True)}


def orders(dim, nu):
    """m(k): in how many orders the indices of each monomial can stand, by counting them."""
    return np.array([len(set(itertools.permutations(k))) for k in monomials(dim, nu).tolist()])


def values(U, A, nu):
    """The polynomials U (paths, 2L+1, monomials) at A (dim,): (paths, 2L+1)."""
    return U @ A[monomials(len(A), nu)].prod(1)


# --- how many there are ---------------------------------------------------------------------------------------

def character(irreps, w, improper):
    """The trace of a rotation by angles w, or of minus it, on a sum of irreps."""
    return sum((irrep.p if improper else 1) * (1 + 2 * sum(np.cos(m * w) for m in range(1, irrep.l + 1)))
               for irrep in irreps)


def symmetric_power(irreps, nu, w, improper):
    """The trace on products of nu equal factors, by Newton's identities: n h_n = sum_k p_k h_(n-k), where p_k is the
    trace of the k-th power of the rotation; an even power of an improper one is proper."""
    h = [np.ones_like(w)]
    for n in range(1, nu + 1):
        h.append(sum(character(irreps, k * w, improper and k % 2) * h[n - k] for k in range(1, n + 1)) / n)
    return h[nu]


def multiplicity(irreps, target, nu):
    """How often `target` occurs in the symmetric power: the mean over O(3) of the product of both characters.  Over
    angles, (1 - cos w)/pi is the measure; the trapezoid rule is exact for these polynomials of cos w."""
    most = nu * max(irrep.l for irrep in irreps) + target.l + 2
    w = 2 * np.pi * np.arange(most) / most
    both = [symmetric_power(irreps, nu, w, improper) * character([target], w, improper) for improper in (False, True)]
    mean = ((1 - np.cos(w)) * np.array(both)).mean()
    assert abs(mean - round(mean)) < 1e-9
    return round(mean)


@each_degree
def test_there_are_as_many_paths_as_characters_say(name, nu):
    irreps = irreps_of(SETS[name][0])
    for target in TARGETS:
        assert len(couplings(irreps, target, nu)) == multiplicity(irreps, target, nu), target


def test_dimensions_add_up():
    """Counted another way: the polynomials of degree 3 in 0e+1o+2e are 165, each in one irrep."""
    irreps = irreps_of("0e+1o+2e")
    found = [len(couplings(irreps, Irrep(l, p), 3)) * (2 * l + 1) for l in range(7) for p in (-1, 1)]
    assert sum(found) == math.comb(9 + 2, 3)


@pytest.mark.parametrize("irreps, first", [("0e+1o", None), ("0e+1o+2e", 6), ("0e+1o+2e+3o", 4)])
def test_three_vectors_of_one_channel_have_no_triple_product(irreps, first):
    """They are one and the same vector.  A pseudoscalar needs more factors: v . (Tv x TTv), of degree 6, is the first
    one of a vector and a tensor; with l = 3 there is one of degree 4."""
    irreps = irreps_of(irreps)
    degrees = [nu for nu in range(1, 9) if multiplicity(irreps, Irrep(0, -1), nu)]
    assert degrees[:1] == ([first] if first else [])
    found = [nu for nu in range(1, 5) if len(couplings(irreps, Irrep(0, -1), nu))]
    assert found == [nu for nu in degrees if nu < 5]


# --- a basis --------------------------------------------------------------------------------------------------

@each_degree
def test_paths_are_orthonormal(name, nu):
    """In the inner product (3), where by Schur's lemma the components of a path are orthogonal too.  Gram and Schmidt
    twice leave rounding: sums of up to 4000 products, most of them zeros; 30 eps."""
    irreps = irreps_of(SETS[name][0])
    m = orders(sum(irrep.dim for irrep in irreps), nu)
    for target in TARGETS:
        U = couplings(irreps, target, nu).reshape(-1, len(m))
        assert np.abs((U / m) @ U.T - np.eye(len(U))).max(initial=0) <= 30 * EPS


@each_degree
def test_P25_couplings_are_equivariant(name, nu):
    """U(D A) = D U(A) on O(3).  D rounds by some eps, for each of nu factors: 40 eps of the largest."""
    irreps = irreps_of(SETS[name][0])
    rng = np.random.default_rng(nu)
    A = rng.standard_normal(sum(irrep.dim for irrep in irreps))
    R = random_rotation(rng)
    for turn in (R, -R):
        DA = Irreps([(1, irrep) for irrep in irreps]).D(turn) @ A
        for target in TARGETS:
            U = couplings(irreps, target, nu)
            expected = values(U, A, nu) @ target.D(turn).T
            assert np.abs(values(U, DA, nu) - expected).max(initial=0) <= 40 * EPS * np.abs(expected).max(initial=0)


def test_the_basis_is_frozen():
    """Weights in files belong to these polynomials, in this order and with these signs.  A = 1/(1+a): every component
    another number."""
    A = 1 / np.arange(1.0, 10)
    for (nu, target), expected in FROZEN.items():
        found = values(couplings(irreps_of("0e+1o+2e"), Irrep.parse(target), nu), A, nu)[:, 0]
        np.testing.assert_allclose(found, expected, atol=1e-14)


FROZEN = {                                                     # first components of all paths
    (2, "0e"): [1.0, 0.2445719890317165, 0.05194681969611119],
    (2, "1o"): [0.7071067811865476, 0.006786005212077173],
    (2, "2e"): [0.282842712474619, 0.1767766952966369, -0.01125622318758701],
    (3, "0e"): [1.0, 0.4236111111111111, 0.08997453100528426, 0.0537368245638202, 0.001894345321125221],
    (3, "1o"): [0.8660254037844387, 0.01175370580774485, 0.1640638778601753, 0.03946790435468962, -0.02655959046986498],
    (3, "2e"): [0.3464101615137755, 0.3061862178478973, -0.01949635046223562, 0.08472222222222223, 0.02281516957266827,
                0.01520847153926376],
}


def test_tables_cannot_be_written_over():
    with pytest.raises(ValueError, match="read-only"):
        couplings((S, V), V, 2)[:] = 0


# --- those that one knows -------------------------------------------------------------------------------------

def up_to_sign(U, A, nu, expected):
    """Whether the one path of U is plus or minus these values (2L+1,), at A: to 30 roundings."""
    assert len(U) == 1
    found = values(U, A, nu)[0]
    return min(np.abs(found - sign * expected).max() for sign in (1, -1)) <= 30 * EPS * np.abs(expected).max()


@pytest.mark.parametrize("l1", range(4))
@pytest.mark.parametrize("l2", range(4))
def test_two_different_factors_are_clebsch_gordans(l1, l2):
    """sqrt(2) C A1 A2: each entry stands in two orders.  Of opposite parities, so that odd products are mixed ones."""
    irreps = tuple(sorted([Irrep(l1, 1), Irrep(l2, -1)]))
    A = numbers(2 * l1 + 2 * l2 + 2)
    a, b = (A[row(irreps)[irrep]] for irrep in (Irrep(l1, 1), Irrep(l2, -1)))
    for L in range(abs(l1 - l2), l1 + l2 + 1):
        expected = math.sqrt(2) * np.einsum("abm,a,b->m", clebsch_gordan(l1, l2, L), a, b)
        assert up_to_sign(couplings(irreps, Irrep(L, -1), 2), A, 2, expected)


@pytest.mark.parametrize("l", range(5))
def test_two_equal_factors_are_the_symmetric_clebsch_gordans(l):
    """C A A where C is symmetric, for even L; for L = 0 it is A.A / sqrt(2l+1).  A x A is 0."""
    irreps, A = (Irrep(l, -1),), numbers(2 * l + 1)
    for L in range(2 * l + 1):
        U = couplings(irreps, Irrep(L, 1), 2)
        if L % 2:
            assert not len(U)
        else:
            assert up_to_sign(U, A, 2, np.einsum("abm,a,b->m", clebsch_gordan(l, l, L), A, A))
    assert up_to_sign(couplings(irreps, S, 2), A, 2, np.array([A @ A / math.sqrt(2 * l + 1)]))


def test_three_equal_factors_with_one_path():
    """v |v|^2: the symmetric part of delta_ij delta_kM has the norm 5, so sqrt(3/5).  Of a tensor, the 3j symbol
    (2 2 2), which is symmetric and has the norm 1."""
    v, t = numbers(3), numbers(5)
    assert up_to_sign(couplings((V,), V, 3), v, 3, math.sqrt(3 / 5) * v * (v @ v))
    expected = np.einsum("abc,a,b,c->", wigner_3j(2, 2, 2), t, t, t)
    assert up_to_sign(couplings((T,), S, 3), t, 3, np.array([expected]))


PRODUCTS = {                                                   # of a vector v and a symmetric tensor M without trace
    "v.Mv": ("0e", 3, lambda v, M: v @ M @ v), "det M": ("0e", 3, lambda v, M: np.linalg.det(M)),
    "MMv": ("1o", 3, lambda v, M: M @ M @ v), "v |M|^2": ("1o", 3, lambda v, M: (M * M).sum() * v),
    "v x Mv": ("1e", 3, lambda v, M: np.cross(v, M @ v)), "v.MMv": ("0e", 4, lambda v, M: v @ M @ M @ v),
    "v x MMv": ("1e", 4, lambda v, M: np.cross(v, M @ M @ v)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_what_one_writes_with_arrows_is_among_them(name):
    """A product by its Cartesian formula is a sum of the paths, found from some values and tried on others."""
    target, nu, formula = PRODUCTS[name]
    A = numbers(60, 8)
    M = cartesian_from_irreps({S: np.zeros((60, 1, 1)), T: A[:, 3:, None]}, "ij=ji")
    U = couplings((V, T), Irrep.parse(target), nu)
    found = np.stack([values(U, a, nu).T for a in A])                                    # (60, 2L+1, paths)
    expected = np.stack([np.atleast_1d(formula(a[:3], m)) for a, m in zip(A, M, strict=True)])
    weights = np.linalg.lstsq(found[:30].reshape(-1, len(U)), expected[:30].ravel(), rcond=None)[0]
    assert np.abs(found[30:] @ weights - expected[30:]).max() <= 1e-13 * np.abs(expected).max()


# --- monomials ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dim", range(1, 7))
@pytest.mark.parametrize("nu", range(1, 5))
def test_monomials_stand_where_equation_3_says(dim, nu):
    """All of them, once, sorted by the largest index, then the next; and the layer makes them in this order."""
    k = monomials(dim, nu)
    everything = {tuple(sorted(a)) for a in itertools.product(range(dim), repeat=nu)}
    assert [tuple(a) for a in k.tolist()] == sorted(everything, key=lambda a: a[::-1])
    assert coefficients._rows(k).tolist() == list(range(len(k)))
    x = numbers(dim, 6)
    count = [math.comb(dim + n - 1, n) for n in range(1, nu + 1)]
    P = contraction._products(x, nu + 1, 1 + sum(count))
    by_hand = np.stack([np.prod(x[each], axis=0) for each in k])
    assert np.abs(P[-count[-1]:] - by_hand).max() <= 4 * EPS * np.abs(by_hand).max()


# --- the layer ------------------------------------------------------------------------------------------------

def params_of(irreps, out, nu_max, channels=3):
    """Random weights for three species, as many as characters say."""
    counts = {(irrep, nu): multiplicity(irreps_of(irreps), irrep, nu)
              for irrep in irreps_of(out) for nu in range(1, nu_max + 1)}
    return {str(irrep): {str(nu): numbers(3, counts[irrep, nu], channels, seed=nu) for nu in range(1, nu_max + 1)
                         if counts[irrep, nu]} for irrep in irreps_of(out)}


def all_atoms(params, h):
    return contraction.contract(params, h, rows_of(SPECIES))


def case(irreps, out, nu_max):
    """A layer with its arguments: five atoms of three species, of one of which there is none."""
    each = "+".join(f"3x{irrep}" for irrep in irreps_of(irreps))
    return all_atoms, params_of(irreps, out, nu_max), features(each)


LAYERS = {
    "contract": case("0e+1o+2e", "0e+1o+2e", 3),
    "contract, both parities": case("0o+0e+1o+1e", "0o+0e+1o+1e", 3),
    "contract, degree 4": case("0e+1o", "0e+1o+2e", 4),
    "contract, linear": case("0e+1o+2e", "0e+1o+2e", 1),
    "contract, to vectors": case("1o+2e", "1o", 2),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def dense(U, dim, nu):
    """The symmetric tensors S (paths, 2L+1, dim, ..., dim): g/m at each order of a monomial's indices."""
    tensor = np.zeros((*U.shape[:2], *[dim] * nu))
    for k, m, g in zip(monomials(dim, nu).tolist(), orders(dim, nu), np.moveaxis(U, 2, 0), strict=True):
        for order in set(itertools.permutations(k)):
            tensor[(slice(None), slice(None), *order)] = g / m
    return tensor


def contract_by_definition(params, h, species):
    """Equation (1) to the letter: no monomials, no G, no pieces."""
    irreps = tuple(sorted(h))
    A, B = np.concatenate([h[irrep] for irrep in irreps], axis=1), {}
    for name, own in params.items():
        B[Irrep.parse(name)] = sum(
            np.einsum(f"npc,pM{letters},{','.join(f'n{a}c' for a in letters)}->nMc", W[species],
                      dense(couplings(irreps, Irrep.parse(name), int(nu)), A.shape[1], int(nu)),
                      *[A] * int(nu), optimize="greedy")
            for nu, W in own.items() for letters in ["wxyz"[:int(nu)]])
    return B


@every_layer
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
def test_the_fast_form_is_the_definition(name, dtype):
    """Sums of some hundred products in another order, whose rounding adds up at random: 16 eps of the largest."""
    _, params, h = LAYERS[name]
    h = {irrep: x.astype(dtype) * (1 + 0.2j if np.dtype(dtype).kind == "c" else 1) for irrep, x in h.items()}
    params = cast(params, np.finfo(dtype).dtype)
    assert distance(all_atoms(params, h)[0], contract_by_definition(params, h, SPECIES)) <= 16 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", PRECISIONS)
@every_layer
@settings(max_examples=10)
@given(R=draw.rotations(improper=True))
def test_P32_equivariance(name, dtype, R):
    """Rotations, and reflections with their parities: D rounds by some eps, in each of up to 4 factors: 40 eps."""
    _, params, h = cast_case(name, dtype)
    turned, expected = (all_atoms(params, rotate_features(h, R.astype(dtype)))[0],
                        rotate_features(all_atoms(params, h)[0], R.astype(dtype)))
    assert distance(turned, expected) <= 40 * np.finfo(dtype).eps


def cast_case(name, dtype):
    layer, params, h = LAYERS[name]
    return layer, cast(params, dtype), cast(h, dtype)


@every_layer
def test_terms_of_degree_nu_scale_with_its_power(name):
    """By a power of two nothing is rounded: exactly."""
    _, params, h = LAYERS[name]
    for nu in {nu for own in params.values() for nu in own}:
        only = {key: {nu: own[nu]} for key, own in params.items() if nu in own}
        one, other = (all_atoms(only, {irrep: t * x for irrep, x in h.items()})[0] for t in (1.0, 2.0))
        assert distance(other, {irrep: 2.0 ** int(nu) * x for irrep, x in one.items()}) == 0


def test_degrees_and_irreps_add_up():
    """Weights of other degrees and of other irreps are terms of their own."""
    _, params, h = LAYERS["contract"]
    parts = [all_atoms({key: {nu: W}}, h)[0] for key, own in params.items() for nu, W in own.items()]
    total = {irrep: sum(part.get(irrep, 0) for part in parts) for irrep in (S, V, T)}
    assert distance(all_atoms(params, h)[0], total) <= 16 * EPS


# --- species, atoms, pieces -----------------------------------------------------------------------------------

def test_weights_are_those_of_the_species():
    """Other weights of one species change its atoms only; a species without atoms gets no gradient."""
    _, params, h = LAYERS["contract"]
    changed = cast(params, float)
    for own in changed.values():
        for W in own.values():
            W[2] *= 1.5
    (before, pull), (after, _) = (all_atoms(p, h) for p in (params, changed))
    for irrep in before:
        same = (before[irrep] == after[irrep]).all((1, 2))
        assert same.tolist() == (SPECIES != 2).tolist()
    dparams, _ = pull(before)
    for own in dparams.values():
        for dW in own.values():
            assert dW[[0, 2]].any((1, 2)).all() and not dW[1].any()


@pytest.mark.parametrize("n", [0, 1])
def test_one_atom_and_none(n):
    _, params, h = LAYERS["contract"]
    few = {irrep: x[:n] for irrep, x in h.items()}
    y, pull = contraction.contract(params, few, [np.arange(n), np.arange(0), np.arange(0)])
    dparams, dh = pull(y)
    whole = all_atoms(params, h)[0]
    assert distance(y, {irrep: x[:n] for irrep, x in whole.items()}) <= 16 * EPS
    assert {irrep: x.shape for irrep, x in dh.items()} == {irrep: x.shape for irrep, x in few.items()}
    assert all(dW.shape == (3, *dW.shape[1:]) for own in dparams.values() for dW in own.values())


def test_many_atoms_are_one_and_one():
    """150 atoms of 20 channels are more than one piece; cotangents of weights are sums over atoms: 150 roundings."""
    h, params = features("20x0e+20x1o+20x2e", 150), params_of("0e+1o+2e", "0e+1o", 3, channels=20)
    species = np.random.default_rng(0).integers(0, 2, 150)
    rows = [np.flatnonzero(species == z) for z in range(3)]
    assert len(contraction.pieces(len(rows[0]), 20 * 219, h[S])) > 1
    y, pull = contraction.contract(params, h, rows)
    dparams, dh = pull({irrep: numbers(*x.shape) for irrep, x in y.items()})
    sums = 0
    for i in range(150):
        yi, pull_i = contraction.contract(params, {irrep: x[[i]] for irrep, x in h.items()},
                              [np.arange(int(species[i] == z)) for z in range(3)])
        dpi, dhi = pull_i({irrep: numbers(*x.shape)[[i]] for irrep, x in y.items()})
        sums = dpi if i == 0 else {k: {nu: sums[k][nu] + dW for nu, dW in own.items()} for k, own in dpi.items()}
        assert distance([yi, dhi], [{k: x[[i]] for k, x in tree.items()} for tree in (y, dh)]) <= 100 * EPS
    assert distance(dparams, sums) <= 150 * EPS


def test_runs_on_the_stand_in(monkeypatch):
    """The rows of the species are on the device too."""
    _, params, h = LAYERS["contract, both parities"]
    def layer(params, h, *rows):
        return contraction.contract(params, h, rows)
    check_on_stand_in(monkeypatch, layer, params, h, *rows_of(SPECIES))


# --- refusals -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("params, h, message", [
    (params_of("0e+1o+2e", "0e+1o", 2), features("3x0e+2x1o+3x2e"), "channel by channel.*1o: 2"),
    (params_of("0e+1o+2e", "0e+1o", 2), features("4x0e+4x1o+4x2e"), r"4 channels\); got \(.*3\)"),
    (params_of("0e+1o+2e", "0e+1o", 2), features("3x0e+3x1o"), "paths"),                 # irreps that are not there
    ({"0o": {"3": numbers(3, 1, 3)}}, features("3x0e+3x1o+3x2e"), "0 paths"),            # a product there is not
    ({}, features("3x0e+3x1o"), "no weights"),
], ids=["channels", "channels of weights", "irreps", "unreachable", "none"])
def test_what_does_not_fit_is_refused(params, h, message):
    with pytest.raises(ValueError, match=message):
        all_atoms(params, h)


def test_weights_for_what_products_reach():
    """Of the right shapes, and none for the rest; a product of nu normal numbers spreads by sqrt(nu!)."""
    def init(irreps, out, nu_max):
        return init_contraction(np.random.default_rng(0), 100, irreps_of(irreps), irreps_of(out), nu_max, 3)
    found, expected = init("0e+1o+2e", "0e+1o+2e", 3), params_of("0e+1o+2e", "0e+1o+2e", 3, channels=100)
    assert distance(found, expected) > 0                       # and the same keys and shapes
    for own in found.values():
        for nu, W in own.items():
            assert W.std() == pytest.approx((W.shape[1] * math.factorial(int(nu))) ** -0.5, rel=0.15)
    assert set(init("0e+1o+2e", "0o+0e+1e", 3)) == {"0e", "1e"} and set(init("0e+1o+2e", "0e+1e", 2)) == {"0e"}
    assert init("0e+1o", "0o", 3) == {}
