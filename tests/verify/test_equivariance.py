"""`check_equivariance` and the laws themselves: they pass what is right, and catch, name and show what is wrong."""

import numpy as np
import pytest

from se3ref import so3, verify
from se3ref.verify import laws

EPS = np.finfo(np.float64).eps


def product(path, C=so3.clebsch_gordan):
    """The coupling of two flat features by one path, as a function for `check_equivariance`."""
    return lambda a, b: np.einsum("ijk,ni,nj->nk", C(*path), a, b)


EQUIVARIANT = {
    "harmonics": (lambda v: so3.spherical_harmonics(3, v), "1o", "0e+1o+2e+3o"),
    "length": (lambda v: (v * v).sum(1, keepdims=True), "1o", "0e"),
    "cross product": (np.cross, ["1o", "1o"], "1e"),
    "coupling": (product((2, 3, 4)), ["2e", "3o"], "4o"),
    "volume": (lambda a, b, c: (np.cross(a, b) * c).sum(1, keepdims=True), ["1o", "1o", "1o"], "0o"),
    "sum over rows": (lambda v: v.sum(0), "1o", "1o"),
    "in place": (lambda v: doubled_in_place(v), "1o", "1o"),
}


@pytest.mark.parametrize("fn, irreps_in, irreps_out", EQUIVARIANT.values(), ids=EQUIVARIANT)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equivariant_functions_pass(fn, irreps_in, irreps_out, dtype):
    report = verify.check_equivariance(fn, irreps_in, irreps_out, dtype=dtype)
    assert report.passed and str(report).startswith("equivariant: violation")
    assert report.violation <= 64 * np.finfo(dtype).eps        # a product or two of numbers of size 1 to 10
    assert report.dependence > 0.1


def doubled_in_place(v):
    v *= 2
    return v


WRONG = {
    "one component": (lambda v: v[:, :1], "1o", "0e"),
    "ReLU": (lambda v: np.maximum(v, 0), "1o", "1o"),
    "bias": (lambda v: v + [0.1, 0, 0], "1o", "1o"),
    "rolled axes": (lambda v: np.roll(so3.spherical_harmonics(2, v)[:, 4:], 1, axis=1), "1o", "2e"),
    "reversed m": (lambda v: so3.spherical_harmonics(2, v)[:, :3:-1], "1o", "2e"),
}


@pytest.mark.parametrize("fn, irreps_in, irreps_out", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("group", ["O(3)", "SO(3)"])
def test_wrong_functions_fail_and_the_rotation_is_shown(fn, irreps_in, irreps_out, group):
    report = verify.check_equivariance(fn, irreps_in, irreps_out, group=group)
    assert not report.passed and str(report).startswith("NOT equivariant")
    x, R = np.random.default_rng(1).standard_normal((20, 3)), report.rotation
    again = fn(x @ R.T) - fn(x) @ so3.Irreps(irreps_out).D(R).T
    assert np.abs(again).max() > 0.01                          # the R of the report breaks the law by itself


def test_a_wrong_parity_shows_under_improper_rotations_only():
    report = verify.check_equivariance(np.cross, ["1o", "1o"], "1o")
    assert report.improper > 0.1 and report.proper <= 64 * EPS and not report.passed
    assert np.linalg.det(report.rotation) < 0
    proper = verify.check_equivariance(np.cross, ["1o", "1o"], "1o", group="SO(3)")
    assert proper.passed and proper.improper is None


VACUOUS = {
    "constant": (lambda v: np.ones((len(v), 1)), "1o", "0e"),
    "zero": (lambda v: 0 * v, "1o", "1o"),
    "angles replaced by noise": (
        lambda v: (so3.spherical_harmonics(2, np.random.default_rng(0).standard_normal(v.shape)) ** 2)[:, 4:].sum(
            1, keepdims=True), "1o", "0e"),
    "one input replaced by noise": (
        lambda s, v: s * (np.random.default_rng(0).standard_normal(v.shape) ** 2).sum(1, keepdims=True),
        ["0e", "1o"], "0e"),
}


@pytest.mark.parametrize("fn, irreps_in, irreps_out", VACUOUS.values(), ids=VACUOUS)
def test_vacuous_functions_do_not_pass(fn, irreps_in, irreps_out):
    """They obey the law, and their test would pass with any other law as well."""
    report = verify.check_equivariance(fn, irreps_in, irreps_out)
    assert report.violation <= report.tolerance
    assert report.vacuous and not report.passed and str(report).startswith("vacuous")


@pytest.mark.parametrize("limit", [2.5, 1.0, -np.inf], ids=["for some inputs", "for most", "always"])
def test_NaN_is_a_violation(limit):
    """Once seen it is not forgotten, and it is no vacuity."""
    report = verify.check_equivariance(lambda v: np.where(v > limit, np.nan, v), "1o", "1o")
    assert np.isnan(report.violation) and not report.passed and str(report).startswith("NOT equivariant")


def test_tolerance_and_generator_are_used():
    rough = verify.check_equivariance(lambda v: v + 1e-6 * v[:, :1], "1o", "1o", tolerance=1e-3)
    assert rough.passed and rough.tolerance == 1e-3 and 1e-8 < rough.violation < 1e-5
    runs = [verify.check_equivariance(lambda v: v[:, :1], "1o", "0e", rng=np.random.default_rng(seed)).violation
            for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_bad_input_says_what_came():
    with pytest.raises(ValueError, match="last axis is 3 long, for 1x1o; got shape .5, 1."):
        verify.check_equivariance(lambda v: v[:, :1], "1o", "1o")
    with pytest.raises(ValueError, match="got shape ()"):
        verify.check_equivariance(lambda v: v.sum(), "1o", "0e")
    with pytest.raises(ValueError, match="at least 2 samples are needed"):
        verify.check_equivariance(np.cross, ["1o", "1o"], "1e", samples=1)
    with pytest.raises(ValueError, match="group is 'O.3.' or 'SO.3.'; got 'SE"):
        verify.check_equivariance(np.cross, ["1o", "1o"], "1e", group="SE(3)")


# --- what an equivariance test cannot see ---------------------------------------------------------------------

def signed(sign):
    """Cross product and dot product of two vectors, the first with the wrong sign, size, or not at all."""
    def fn(a, b):
        cross, dot = product((1, 1, 1))(a, b), product((1, 1, 0))(a, b)
        return np.concatenate([sign * cross, dot], axis=1)
    return fn


@pytest.mark.parametrize("sign", [1, -1, 0, 0.5], ids=["right", "flipped", "dropped", "halved"])
def test_blind_spot_sign_size_and_loss_of_a_path(sign):
    """Schur: a path times any number is equivariant.  P22 and P26 see what this test cannot (test_coupling)."""
    assert verify.check_equivariance(signed(sign), ["1o", "1o"], "1e+0e").passed


# --- the laws do not lose a NaN -------------------------------------------------------------------------------

def broken_harmonics(lmax, xyz):
    Y = so3.spherical_harmonics(lmax, xyz).copy()
    Y[:, 9:16] = np.nan                                        # all of l = 3, neither the first degree nor the last
    return Y


def broken_coupling(*path):
    return so3.clebsch_gordan(*path) * (np.nan if path == (1, 1, 1) else 1)


XYZ = np.random.default_rng(0).standard_normal((4, 3))
NAN_LAWS = {
    "orthonormality": lambda: laws.orthonormality(4, broken_harmonics),
    "addition_theorem": lambda: laws.addition_theorem(4, XYZ, XYZ[::-1], broken_harmonics),
    "constant_norm": lambda: laws.constant_norm(4, XYZ, broken_harmonics),
    "parity": lambda: laws.parity(4, XYZ, broken_harmonics),
    "homogeneity": lambda: laws.homogeneity(4, XYZ, 1.5, broken_harmonics),
    "hessian_symmetry": lambda: laws.hessian_symmetry(
        4, lambda l: so3.gradient_matrices(l) * (np.nan if l == 3 else 1)),
    "laplacian": lambda: laws.laplacian(4, XYZ, lambda l: so3.gradient_matrices(l) * (np.nan if l == 3 else 1)),
    "coupling_unitarity": lambda: laws.coupling_unitarity(1, 1, broken_coupling),
    "angular_momentum_algebra": lambda: laws.angular_momentum_algebra(
        so3.angular_momentum(1) * np.array([1, 1, np.nan])[:, None, None]),
}


@pytest.mark.parametrize("law", NAN_LAWS.values(), ids=NAN_LAWS)
def test_a_law_does_not_lose_a_NaN(law):
    """Python's max drops a NaN that does not come first."""
    assert np.isnan(law())
