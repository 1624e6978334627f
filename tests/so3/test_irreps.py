"""Irreps of O(3): representations with parity (P4, P7), strings, features, and Cartesian tensors (P31)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from se3ref import so3
from se3ref.so3 import Irrep, Irreps
from tests import strategies as draw

EPS = np.finfo(np.float64).eps
precisions = pytest.mark.parametrize("dtype", [np.float64, np.float32])
irreps = st.builds(Irrep, st.integers(0, 6), st.sampled_from([-1, 1]))
sums = st.lists(st.tuples(st.integers(0, 3), irreps), max_size=4).map(Irreps)
seeds = st.integers(0, 2**32 - 1)


def turned(l):
    """Rounding of D^l in eps, as in test_wigner."""
    return 4 * (l + 1)


# --- representations ------------------------------------------------------------------------------------------

@precisions
@given(irrep=irreps, data=st.data())
def test_P4_homomorphism_with_parity(dtype, irrep, data):
    R1, R2 = (data.draw(draw.rotations(improper=True, dtype=dtype)) for _ in range(2))
    D = irrep.D(R1 @ R2)
    assert D.dtype == dtype
    assert np.abs(D - irrep.D(R1) @ irrep.D(R2)).max() <= turned(irrep.l) * np.finfo(dtype).eps


@given(irrep=irreps, R=draw.rotations(improper=True))
def test_P7_parity_label(irrep, R):
    """D(-1) = p, exactly; with the parity of the harmonics, D is `wigner_D` itself."""
    assert np.array_equal(irrep.D(-R), irrep.p * irrep.D(R))
    proper = R if so3.determinant(R) > 0 else -R
    assert np.array_equal(irrep.D(proper), so3.wigner_D(irrep.l, proper))
    assert np.abs(irrep.D(-np.eye(3)) - irrep.p * np.eye(irrep.dim)).max() <= turned(irrep.l) * EPS


def test_P7_mirrors_know_vectors_from_pseudovectors():
    """A mirror turns over the normal part of a vector and the other parts of a pseudovector."""
    mirror = so3.reflection([0, 1, 0])
    assert np.abs(Irrep(1, -1).D(mirror) - np.diag([1, -1, 1])).max() <= 4 * EPS
    assert np.abs(Irrep(1, 1).D(mirror) - np.diag([-1, 1, -1])).max() <= 4 * EPS
    assert Irrep(0, -1).D(mirror) == -1 and Irrep(0, 1).D(mirror) == 1


@given(irreps=sums, R1=draw.rotations(improper=True), R2=draw.rotations(improper=True))
def test_P4_homomorphism_of_sums(irreps, R1, R2):
    D = irreps.D(R1 @ R2)
    assert D.shape == (irreps.dim, irreps.dim)
    assert np.abs(D - irreps.D(R1) @ irreps.D(R2)).max(initial=0) <= turned(6) * EPS
    assert np.abs(irreps.D(np.stack([R1, R2]))[1] - irreps.D(R2)).max(initial=0) <= turned(6) * EPS


@given(first=sums, second=sums, axis=draw.axes, angle=draw.angles, inversion=st.booleans())
def test_tensor_product_by_characters(first, second, axis, angle, inversion):
    """The character of a product is the product of characters; it names the irreps without any coefficient."""
    R = so3.rotation_from_axis_angle(axis, angle) * (-1 if inversion else 1)
    product = first.tensor_product(second)
    assert product.dim == first.dim * second.dim
    assert product == product.sort().simplify()
    characters = [np.trace(irreps.D(R)) for irreps in (first, second, product)]
    assert abs(characters[0] * characters[1] - characters[2]) <= 8 * turned(12) * max(product.dim, 1) * EPS


# --- strings and arithmetic -----------------------------------------------------------------------------------

@given(irreps=sums)
def test_strings_round_trip(irreps):
    assert Irreps(str(irreps)) == irreps
    assert Irreps(list(irreps)) == irreps and Irreps(irreps) is irreps
    assert irreps.dim == sum(m * (2 * irrep.l + 1) for m, irrep in irreps)


@given(irreps=sums)
def test_simplifying_changes_no_matrix(irreps):
    R = so3.rotation_from_axis_angle([1, 2, 3], 0.7)
    assert np.array_equal(irreps.simplify().D(-R), irreps.D(-R))
    assert irreps.sort().dim == irreps.dim and irreps.simplify().num_irreps == irreps.num_irreps
    assert all(a[1] != b[1] and a[0] for a, b in zip(irreps.simplify(), irreps.simplify()[1:], strict=False))


def test_strings_as_in_e3nn():
    assert repr(Irreps("8x0e+4x1o")) == "8x0e+4x1o" == str(Irreps([(8, "0e"), (4, Irrep(1, -1))]))
    assert Irreps(" 1o + 2 x 2e ") == Irreps("1x1o+2x2e") == Irreps("1o") + "2x2e"
    assert Irreps("1o+1o") == 2 * Irreps("1o") == Irreps(Irrep(1, -1)) * 2 != Irreps("2x1o")
    assert Irreps("1o+0x2e+1o").simplify() == Irreps("2x1o") + ""
    assert repr(Irreps("2x0e+1o+0o+2o+2e+1e").sort()) == "1x0o+2x0e+1x1o+1x1e+1x2o+1x2e"      # e3nn 0.6
    assert Irreps("1o").tensor_product("1o") == Irreps("0e+1e+2e")
    assert Irreps("1o+0o").tensor_product("1e") == Irreps("0o+2x1o+2o").sort().simplify()
    assert Irrep.parse("1o") * "2e" == [Irrep(1, -1), Irrep(2, -1), Irrep(3, -1)]


def test_properties():
    irreps = Irreps("8x0e+4x1o+0x5e+1o")
    assert (irreps.dim, irreps.num_irreps, irreps.lmax) == (8 + 12 + 3, 13, 5)
    assert irreps.count("1o") == 5 and "1o" in irreps and "1e" not in irreps and "5e" not in irreps
    assert irreps.slices() == [slice(0, 8), slice(8, 20), slice(20, 20), slice(20, 23)]
    assert irreps[1:3] == Irreps("4x1o+0x5e") and irreps[1:].dim == 15 and irreps[0] == (8, Irrep(0, 1))
    assert Irrep(np.int8(100), np.int8(1)).dim == 201
    assert Irreps("").dim == 0 and Irreps() == Irreps("") and Irreps("").D(np.eye(3)).shape == (0, 0)


@pytest.mark.parametrize("text", ["1x", "1", "o", "1p", "1o+", "+1o", "-1x0e", "1.5x0e", "1xx0e", "0e 1o", "1ox2",
                                  "1o,2e", "²o", "٣o", "٣x1o", "1O", "x1o", "1o++2e"])
def test_odd_strings_are_named(text):
    with pytest.raises(ValueError, match="cannot read '.*': irreps are written like '8x0e[+]4x1o'"):
        Irreps(text)


ONE_VECTOR = {Irrep(1, -1): np.ones((2, 3, 1))}
BAD = {
    "irrep": (lambda: Irrep.parse("2x1o"), "an irrep is written as its degree and e or o, such as '1o'; got '2x1o'"),
    "irrep none": (lambda: Irrep.parse(None), "got None"),
    "l < 0": (lambda: Irrep(-1, 1), "integer degree l >= 0 and parity"),
    "l float": (lambda: Irrep(1.0, 1), "got l=1.0"),
    "l bool": (lambda: Irrep(True, 1), "got l=True"),
    "parity 0": (lambda: Irrep(1, 0), "parity .1 or -1; got l=1, p=0"),
    "multiplicity": (lambda: Irreps([(-2, "1o")]), "a multiplicity is an integer >= 0; got -2 for 1o"),
    "multiplicity float": (lambda: Irreps([(1.5, "1o")]), "got 1.5 for 1o"),
    "list of strings": (lambda: Irreps(["1o", "2e"]), r"list of pairs such as \(8, '0e'\); got \['1o', '2e'\]"),
    "one pair": (lambda: Irreps((2, "1o")), r"got \(2, '1o'\)"),
    "three in a pair": (lambda: Irreps([(2, 1, -1)]), r"got \[\(2, 1, -1\)\]"),
    "dict": (lambda: Irreps({"1o": 2}), "got {'1o': 2}"),
    "none": (lambda: Irreps(None), "got None"),
    "product": (lambda: Irrep(1, 1) * "1", "got '1'"),
    "no lmax": (lambda: Irreps("").lmax, "empty Irreps have no lmax"),
    "no rotation": (lambda: Irreps("0e").D(2 * np.eye(3)), "not a rotation"),
    "flat width": (lambda: so3.features_from_flat("1o+0e", np.ones((2, 3))), r"has shape \(n, 4\); got \(2, 3\)"),
    "flat axes": (lambda: so3.features_from_flat("1o", np.ones(3)), r"has shape \(n, 3\); got \(3,\)"),
    "channels": (lambda: so3.flat_from_features("2x1o", ONE_VECTOR), "channels {1o: 1} are not those of 2x1o"),
    "missing": (lambda: so3.flat_from_features("1o+0e", ONE_VECTOR), "are not those of 1x1o[+]1x0e"),
    "symmetry": (lambda: so3.irreps_from_cartesian(np.ones((1, 3, 3)), "ijk"), "symmetry is one of 'i', 'ij'"),
    "tensor shape": (lambda: so3.irreps_from_cartesian(np.ones((3, 3)), "ij"), r"\('n', 3, 3\); got \(3, 3\)"),
    "vector shape": (lambda: so3.irreps_from_cartesian(np.ones((1, 3, 3)), "i"), r"\('n', 3\); got \(1, 3, 3\)"),
    "not symmetric": (lambda: so3.irreps_from_cartesian(np.arange(9.0).reshape(1, 3, 3), "ij=ji"),
                      "has not the symmetry 'ij=ji': largest difference 4, largest entry 8; use 'ij'"),
    "NaN": (lambda: so3.irreps_from_cartesian(np.full((1, 3, 3), np.nan), "ij=ji"), "difference nan"),
    "parts": (lambda: so3.cartesian_from_irreps({Irrep(0, 1): np.ones((1, 1, 1))}, "ij"), "one channel each of"),
    "two channels": (lambda: so3.cartesian_from_irreps({Irrep(1, -1): np.ones((1, 3, 2))}, "i"), "got {1o: 2}"),
}


@pytest.mark.parametrize("call, message", BAD.values(), ids=BAD)
def test_bad_input_says_what_came(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- features -------------------------------------------------------------------------------------------------

@given(irreps=sums.filter(len), n=st.integers(0, 3), seed=seeds)
def test_P31_flat_features_round_trip(irreps, n, seed):
    """Numbers are moved, not computed: exact.  No nodes and no channels are features too."""
    flat = np.random.default_rng(seed).standard_normal((n, irreps.dim))
    features = so3.features_from_flat(irreps, flat)
    assert {irrep: h.shape for irrep, h in features.items()} == {
        irrep: (n, irrep.dim, irreps.count(irrep)) for _, irrep in irreps}
    assert np.array_equal(so3.flat_from_features(irreps, features), flat)


@given(irreps=sums.filter(len), R=draw.rotations(improper=True), seed=seeds)
def test_features_turn_as_flat_arrays(irreps, R, seed):
    """D @ h for each irrep is the block-diagonal D on the flat array; sums of up to 13 terms of size 1-4."""
    rng = np.random.default_rng(seed)
    flat, weights = rng.standard_normal((2, irreps.dim)), {irrep: rng.standard_normal((irreps.count(irrep), 4))
                                                          for _, irrep in irreps}
    features = so3.features_from_flat(irreps, flat)
    turned = so3.rotate_features(features, R)
    assert np.abs(so3.flat_from_features(irreps, turned) - flat @ irreps.D(R).T).max(initial=0) <= 64 * EPS
    for irrep, h in features.items():                          # Schur's lemma: D (h W) = (D h) W
        assert np.abs(irrep.D(R) @ (h @ weights[irrep]) - turned[irrep] @ weights[irrep]).max(initial=0) <= 512 * EPS


def test_flat_order_is_e3nns():
    """All components of channel 0, then of channel 1."""
    features = so3.features_from_flat("2x1o+0e", np.arange(7.0)[None])
    assert features[Irrep(1, -1)].tolist() == [[[0, 3], [1, 4], [2, 5]]] and features[Irrep(0, 1)].tolist() == [[[6]]]


# --- Cartesian tensors ----------------------------------------------------------------------------------------

def tensors(symmetry, seed, dtype=np.float64):
    T = np.random.default_rng(seed).standard_normal((3, 3) if symmetry == "i" else (3, 3, 3)).astype(dtype)
    return {"i": T, "ij": T, "ij=ji": T + T.swapaxes(1, -1), "ij=-ji": T - T.swapaxes(1, -1)}[symmetry]


symmetries = st.sampled_from(["i", "ij", "ij=ji", "ij=-ji"])


@precisions
@given(symmetry=symmetries, seed=seeds)
def test_P31_cartesian_round_trip(dtype, symmetry, seed):
    """An orthogonal map there and back, nine terms: 16 eps of the largest entry; norms are kept."""
    T, eps = tensors(symmetry, seed, dtype), np.finfo(dtype).eps
    features = so3.irreps_from_cartesian(T, symmetry)
    back = so3.cartesian_from_irreps(features, symmetry)
    assert back.dtype == dtype
    assert np.abs(back - T).max() <= 16 * eps * np.abs(T).max()
    assert abs(sum((h * h).sum() for h in features.values()) - (T * T).sum()) <= 16 * eps * (T * T).sum()


@given(symmetry=symmetries, R=draw.rotations(improper=True), seed=seeds)
def test_cartesian_tensors_turn_as_irreps(symmetry, R, seed):
    """R T R^T in the Cartesian basis is D(R) h in that of irreps, mirrors included."""
    T = tensors(symmetry, seed)
    turned = T @ R.T if symmetry == "i" else R @ T @ R.T
    here = so3.rotate_features(so3.irreps_from_cartesian(T, symmetry), R)
    there = so3.irreps_from_cartesian(turned, symmetry)
    for irrep in here:
        assert np.abs(here[irrep] - there[irrep]).max() <= 64 * EPS * np.abs(T).max()


def test_cartesian_parts_have_their_meaning():
    """Trace, pseudovector and traceless part of one tensor; a vector is itself."""
    T = np.arange(9.0).reshape(1, 3, 3) ** 2
    parts = so3.irreps_from_cartesian(T, "ij")
    assert abs(parts[Irrep(0, 1)].item() - np.trace(T[0]) / np.sqrt(3)) <= 64 * EPS * 2
    axial = np.array([T[0, 1, 2] - T[0, 2, 1], T[0, 2, 0] - T[0, 0, 2], T[0, 0, 1] - T[0, 1, 0]]) / np.sqrt(2)
    assert np.abs(parts[Irrep(1, 1)].ravel() - axial).max() <= 64 * EPS * 4
    vector = np.array([[1.0, -2.0, 3.0]])
    assert np.array_equal(so3.irreps_from_cartesian(vector, "i")[Irrep(1, -1)], vector[:, :, None])


@pytest.mark.parametrize("symmetry", ["i", "ij", "ij=ji", "ij=-ji"])
@pytest.mark.parametrize("kind", ["none", "integers", "complex"])
def test_cartesian_tensors_of_other_kinds(symmetry, kind):
    """No tensors at all, integers, and complex ones for the complex step."""
    T = tensors(symmetry, 0)
    T = {"none": T[:0], "integers": np.sign(T).astype(int), "complex": T + 1e-30j * T}[kind]
    back = so3.cartesian_from_irreps(so3.irreps_from_cartesian(T, symmetry), symmetry)
    assert back.shape == T.shape and np.iscomplexobj(back) == (kind == "complex")
    assert np.abs(back - T).max(initial=0) <= 16 * EPS * np.abs(T).max(initial=0)
