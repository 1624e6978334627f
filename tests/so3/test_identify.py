"""`identify` recognises harmonics, Wigner matrices and couplings of any convention, and refuses all else."""

import math

import numpy as np
import pytest

from se3ref import so3
from se3ref.so3.conventions import change_of_basis, identify, names

EPS = np.finfo(float).eps
LMAX = 4                                                       # what identify probes
FIT = 1000 * EPS        # a fit of 9 x 9 matrices, and products of four of them: (2l+1)^2 sums and tens of eps each


def ours(l, xyz):
    return so3.spherical_harmonics(l, xyz, "integral")[:, so3.degree(l)]


# --- functions built from matrices {l: M}, as `identify` may meet them ----------------------------------------

def harmonics(M):
    return lambda l, xyz: ours(l, xyz) @ M[l].T


def active(M):
    return lambda l, R: M[l] @ so3.wigner_D(l, R) @ np.linalg.inv(M[l])


def passive(M):
    return lambda l, R: active(M)(l, R.T)


def couplings(M, factor=lambda *path: 1):
    """y_k = sum_ij T_ijk a_i b_j turns as the harmonics M Y do."""
    W = {l: np.linalg.inv(m).T for l, m in M.items()}
    return lambda *path: factor(*path) * np.einsum(
        "ia,jb,kc,abc->ijk", W[path[0]], W[path[1]], M[path[2]], so3.clebsch_gordan(*path), optimize=True)


def named(name):
    return {l: change_of_basis(name, l) for l in range(LMAX + 1)}


# --- named conventions ----------------------------------------------------------------------------------------

TOLD_APART = [name for name in names() if name not in ("e3nn_component", "e3nn_norm")]


@pytest.mark.parametrize("name", names())
def test_harmonics_of_named_conventions_are_identified(name):
    report, convention = identify(harmonics(named(name))), names()[name]
    assert (report.kind, report.names, report.form) == ("harmonics", (name,), convention.form)
    assert (report.axis, report.normalization) == (convention.axis, convention.normalization)
    assert report.condon_shortley == convention.condon_shortley
    assert report.order == {l: convention.order(l) for l in range(LMAX + 1)}
    for l in (0, 2, 7):
        np.testing.assert_allclose(report.matrix(l), change_of_basis(name, l), rtol=0, atol=FIT)


@pytest.mark.parametrize("name", TOLD_APART)
@pytest.mark.parametrize("sense", [active, passive])
def test_wigner_matrices_of_named_conventions_are_identified(name, sense):
    """D shows no normalisation; of e3nn's three it names all."""
    report, convention = identify(sense(named(name))), names()[name]
    alike = ("e3nn", "e3nn_component", "e3nn_norm") if name == "e3nn" else (name,)
    assert (report.kind, report.names, report.active) == ("wigner_D", alike, sense is active)
    assert (report.axis, report.form, report.normalization) == (convention.axis, convention.form, "orthonormal")
    assert report.condon_shortley == convention.condon_shortley
    for l in range(LMAX + 1):
        np.testing.assert_allclose(report.matrix(l), change_of_basis(name, l), rtol=0, atol=FIT)


@pytest.mark.parametrize("name", TOLD_APART)
def test_couplings_of_named_conventions_are_identified(name):
    fn = couplings(named(name))
    report = identify(fn)
    assert report.kind == "coupling" and name in report.names
    assert report.normalization == "Clebsch-Gordan" and not report.invariant and report.axis is None
    again = couplings(report.matrices, lambda *path: report.paths[path])
    for path, f in report.paths.items():
        np.testing.assert_allclose(again(*path), fn(*path), rtol=0, atol=FIT)
        assert abs(f - 1) < FIT or name == "scipy_conjugate"        # found as scipy, with other signs


def test_couplings_tell_apart_what_no_rotation_connects():
    found = {name: identify(couplings(named(name))).names for name in ("e3nn", "scipy", "pyscf", "molden")}
    assert set(found["e3nn"]) == {"e3nn", "e3nn_component", "e3nn_norm", "sphericart", "scipy_real"}
    assert set(found["scipy"]) == {"scipy", "scipy_conjugate"}
    assert found["pyscf"] == ("pyscf",) and found["molden"] == ("molden",)


@pytest.mark.parametrize(("fn", "normalization"), [(so3.clebsch_gordan, "Clebsch-Gordan"), (so3.wigner_3j, "3j")])
def test_our_own_couplings(fn, normalization):
    report = identify(fn)
    assert (report.names[0], report.normalization) == ("e3nn", normalization)
    assert "paths          as ours" in str(report) and "Condon-Shortley or none: not to be seen" in str(report)


def test_our_own_harmonics_and_D():
    assert identify(so3.spherical_harmonics).names == ("e3nn_component",)
    assert identify(so3.wigner_D).active


# --- functions under no name ----------------------------------------------------------------------------------

def monomial(rng, l, form):
    """A random order and random signs: (m of each component, factor of each, matrix)."""
    order = rng.permutation(2 * l + 1) - l
    factors = rng.choice([-1.0, 1.0], 2 * l + 1) if form == "real" else np.exp(2j * np.pi * rng.random(2 * l + 1))
    return order.tolist(), factors, factors[:, None] * np.eye(2 * l + 1)[order + l]


def plain(axis, form, l):
    """Functions of m = -l..l about an axis without any sign, made from two named conventions."""
    B = change_of_basis("sphericart", l)
    if form == "complex":
        m = np.arange(-l, l + 1)
        B = np.where((m > 0) & (m % 2 == 1), -1, 1)[:, None] * change_of_basis("scipy", l)
    towards_z = np.roll(np.eye(3), "xyz".index(axis) - 2, axis=1)          # (R x)_z is the component on `axis`
    return B @ so3.wigner_D(l, towards_z)


@pytest.mark.parametrize("axis", "xyz")
@pytest.mark.parametrize("form", ["real", "complex"])
@pytest.mark.parametrize("seed", range(3))
def test_any_order_sign_and_axis_of_harmonics_is_read_off(axis, form, seed):
    rng = np.random.default_rng(seed)
    drawn = {l: monomial(rng, l, form) for l in range(LMAX + 1)}
    M = {l: drawn[l][2] @ plain(axis, form, l) for l in drawn}
    report = identify(harmonics(M))
    assert (report.names, report.axis, report.form, report.normalization) == ((), axis, form, "integral")
    for l, (order, factors, _) in drawn.items():
        assert report.order[l] == order
        np.testing.assert_allclose(report.factors[l], factors, rtol=0, atol=FIT)
        np.testing.assert_allclose(report.matrix(l), M[l], rtol=0, atol=FIT)
    with pytest.raises(ValueError, match="degree 5 was not probed"):
        report.matrix(5)


@pytest.mark.parametrize("axis", "xyz")
@pytest.mark.parametrize("form", ["real", "complex"])
@pytest.mark.parametrize("sense", [active, passive])
def test_any_order_sign_and_axis_of_D_is_read_off(axis, form, sense):
    rng = np.random.default_rng(5)
    drawn = {l: monomial(rng, l, form) for l in range(LMAX + 1)}
    M = {l: drawn[l][2] @ plain(axis, form, l) for l in drawn}
    report = identify(sense(M))
    assert (report.names, report.axis, report.form, report.active) == ((), axis, form, sense is active)
    for l, (order, factors, _) in drawn.items():
        assert report.order[l] == order
        sign = factors / factors[order.index(0)]               # a factor of M leaves no trace in M D M^-1
        np.testing.assert_allclose(report.factors[l], sign, rtol=0, atol=FIT)
        R = so3.random_rotation(rng)
        D = report.matrix(l) @ so3.wigner_D(l, R if sense is active else R.T) @ np.linalg.inv(report.matrix(l))
        np.testing.assert_allclose(D, sense(M)(l, R), rtol=0, atol=FIT)


@pytest.mark.parametrize("form", ["real", "complex"])
@pytest.mark.parametrize("seed", range(4))
def test_any_couplings_are_reproduced_by_their_report(form, seed):
    """Which matrices they came from is open up to a rotation; that the ones found give them back is not."""
    rng = np.random.default_rng(seed)
    M = {l: monomial(rng, l, form)[2] @ plain("xyz"[seed % 3], form, l) for l in range(LMAX + 1)}
    fn = couplings(M, lambda l1, l2, l3: (-1) ** (l1 * l2 + l3) / math.sqrt(2 * l3 + 1))
    report = identify(fn)
    assert report.normalization == "3j" and report.order is not None
    again = couplings(report.matrices, lambda *path: report.paths[path])
    for path in report.paths:
        np.testing.assert_allclose(again(*path), fn(*path), rtol=0, atol=FIT)


@pytest.mark.parametrize("form", ["real", "complex"])
def test_couplings_of_components_of_unequal_size_are_reproduced(form):
    """M is not unitary, so that W = M^-T is not M*; fourfold rounding, as M and W stretch by up to 2."""
    M = {l: np.linspace(1, 2, 2 * l + 1)[:, None] * plain("z", form, l) for l in range(LMAX + 1)}
    report = identify(couplings(M))
    assert report.normalization == "other"
    again = couplings(report.matrices, lambda *path: report.paths[path])
    for path in report.paths:
        np.testing.assert_allclose(again(*path), couplings(M)(*path), rtol=0, atol=4 * FIT)


def test_components_that_mix_m_are_reported_as_such():
    rng = np.random.default_rng(1)
    M = {l: np.linalg.qr(rng.standard_normal((2 * l + 1, 2 * l + 1)))[0] for l in range(LMAX + 1)}
    for fn in (harmonics(M), active(M), couplings(M)):
        report = identify(fn)
        assert (report.names, report.axis, report.order, report.form) == ((), None, None, "real")
        assert "components mix several m" in str(report)
    report = identify(harmonics(M))
    assert report.normalization == "integral"
    np.testing.assert_allclose(report.matrix(4), M[4], rtol=0, atol=FIT)


def test_other_sizes_are_called_other():
    sizes = {l: np.linspace(1, 2, 2 * l + 1) for l in range(LMAX + 1)}
    report = identify(harmonics({l: np.diag(size) for l, size in sizes.items()}))
    assert (report.axis, report.normalization, report.condon_shortley) == ("y", "other", False)
    np.testing.assert_allclose(report.factors[3], sizes[3], rtol=0, atol=FIT)
    assert "other; sizes l=1: 1, 1.5, 2; l=2" in str(report)
    assert identify(active({l: np.diag(size) for l, size in sizes.items()})).normalization == "other"
    assert identify(so3.gaunt).normalization == "other"


def test_degree_one_alone_leaves_the_axis_open():
    def only_one(l, xyz):
        if l > 1:
            raise NotImplementedError("l > 1")
        return ours(l, xyz)
    report = identify(only_one)
    assert report.axis is None and list(report.matrices) == [0, 1]
    assert report.names == ("e3nn", "pyscf", "molden")
    assert "not to be seen in degrees 0 and 1" in str(report)


# --- couplings of other texts ---------------------------------------------------------------------------------

def complex_tensor(exact, l1, l2, l3, m3):
    T = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    for m1 in range(-l1, l1 + 1):
        for m2 in range(-l2, l2 + 1):
            if abs(m3(m1, m2)) <= l3:
                T[l1 + m1, l2 + m2, l3 + m3(m1, m2)] = float(exact(m1, m2, m3(m1, m2)))
    return T


def test_textbook_clebsch_gordan_coefficients():
    def fn(l1, l2, l3):
        return complex_tensor(lambda m1, m2, m3: so3.exact_clebsch_gordan(l1, m1, l2, m2, l3, m3), l1, l2, l3,
                              lambda m1, m2: m1 + m2)
    report = identify(fn)
    assert (report.names[0], report.normalization, report.invariant) == ("scipy", "Clebsch-Gordan", False)
    for (l1, l2, l3), f in report.paths.items():
        assert abs(f - 1j ** (l1 + l2 - l3)) < FIT
    assert "ours times i^(l1+l2-l3)" in str(report)


def test_textbook_3j_symbols_are_invariants():
    def fn(l1, l2, l3):
        return complex_tensor(lambda m1, m2, m3: so3.exact_wigner_3j(l1, l2, l3, m1, m2, m3), l1, l2, l3,
                              lambda m1, m2: -m1 - m2)
    report = identify(fn)
    assert (report.names[0], report.normalization, report.invariant) == ("scipy", "3j", True)
    assert "ours times (-i)^(l1+l2+l3)" in str(report)


# Paths up to l = 4 on which o3.wigner_3j of e3nn 0.4.4 has the other sign than that of 0.5 and later; all have
# l1+l2+l3 odd.
FLIPPED = {(1, 2, 2), (2, 1, 2), (2, 2, 1), (1, 3, 3), (3, 1, 3), (3, 3, 1), (1, 4, 4), (4, 1, 4), (4, 4, 1)}


def test_path_signs_of_old_e3nn_are_seen():
    report = identify(lambda *path: so3.wigner_3j(*path) * (-1 if path in FLIPPED else 1))
    assert (report.names[0], report.normalization) == ("e3nn", "3j")
    assert {path for path, f in report.paths.items() if f < 0} == FLIPPED
    assert f"as ours but for {len(FLIPPED)} of {len(report.paths)}: (1, 2, 2) -" in str(report)


def test_gaunt_vanishes_on_odd_paths():
    report = identify(so3.gaunt)
    assert all((abs(f) < FIT) == bool(sum(path) % 2) for path, f in report.paths.items())
    assert "zero on 23 of 65 paths" in str(report)


# --- how functions are called, and what is refused ------------------------------------------------------------

class Tensor:
    """Not an array, but np.asarray takes it."""
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


def test_answers_may_be_tensors_lists_or_float32():
    assert identify(lambda l, xyz: Tensor(ours(l, xyz))).names == ("e3nn",)
    assert identify(lambda l, R: so3.wigner_D(l, R).tolist()).names[0] == "e3nn"
    assert identify(lambda l, xyz: ours(l, xyz.astype(np.float32))).names == ("e3nn",)
    assert identify(lambda l, R: so3.wigner_D(l, R.astype(np.float32))).names[0] == "e3nn"
    assert identify(lambda *l: so3.wigner_3j(*l).astype(np.float32)).normalization == "3j"


def test_a_function_that_stops_at_degree_two():
    def stops(l, *rest):
        if l > 2:
            raise NotImplementedError("l > 2")
        return so3.spherical_harmonics(l, *rest)
    assert sorted(identify(stops).matrices) == [0, 1, 2]
    assert identify(stops).names == ("e3nn_component",)

    def stopping_coupling(*path):
        assert max(path) <= 2
        return so3.clebsch_gordan(*path)
    assert sorted(identify(stopping_coupling).matrices) == [0, 1, 2]


@pytest.mark.parametrize("build", [harmonics, active, couplings])
def test_noise_is_refused_with_its_size(build):
    rng, exact = np.random.default_rng(4), build(named("e3nn"))

    def noisy(*args):
        T = exact(*args)
        return T + 1e-3 * rng.standard_normal(T.shape)
    with pytest.raises(ValueError, match="is off by|neither that of real components"):
        identify(noisy)


def test_couplings_wrong_on_one_path_are_refused():
    def wrong(*path):
        return so3.clebsch_gordan(*path) + (1e-3 if path == (2, 3, 4) else 0)
    with pytest.raises(ValueError, match="no coupling tensors.*off by"):
        identify(wrong)


@pytest.mark.parametrize(("fn", "message"), [
    (lambda: 0, "as harmonics:.*TypeError"),
    (lambda l, x: np.zeros((3, 3)), r"as wigner_D: \(0,\) gave shape"),
    (lambda l, x: "no", "dtype"),
    (lambda l, xyz: np.full((len(xyz), 2 * l + 1), np.nan), "NaN"),
    (lambda l, xyz: np.zeros((len(xyz), 2 * l + 1)), "no spherical harmonics.*off by inf"),
    (lambda l, xyz: xyz[:, :1] ** np.arange(2 * l + 1), "no spherical harmonics: at degree 1"),
    (lambda l, xyz: np.repeat(ours(l, xyz)[:, :1], 2 * l + 1, axis=1), "3 components of degree 1 are not independent"),
    (lambda l, R: np.ones((2 * l + 1, 2 * l + 1)), "no Wigner D matrices"),
    (lambda l, R: np.eye(2 * l + 1), r"in fn\(l, R\) M = M D\(R\), and with R\^T, the best fit is off .* tolerated$"),
    (lambda l, xyz: ours(l, xyz.astype(np.float32)).astype(float), "float32 should return float32"),
    (lambda xyz, l: ours(l, xyz), r"as harmonics: \(0,\) raised ValueError: .{,200}; as wigner_D"),
    (lambda l, R: -so3.wigner_D(l, R), "no Wigner D matrices"),
    (lambda a, b, c: np.zeros((2 * a + 1, 2 * b + 1, 2 * c + 1)), r"the path \(1, 1, 0\) is zero"),
    (lambda a, b, c: np.ones((2 * a + 1, 2 * b + 1, 2 * c + 1)), r"the path \(1, 1, 0\) is zero, or not of full rank"),
])
def test_functions_that_are_none_of_the_three_are_refused(fn, message):
    with pytest.raises(ValueError, match=message):
        identify(fn)
