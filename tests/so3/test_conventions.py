"""Named conventions agree with the libraries they are named after, and the page about them tells the truth."""

import contextlib
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from se3ref import so3
from se3ref.so3.conventions import change_of_basis, names

EPS = np.finfo(float).eps
REFERENCE = np.load(Path(__file__).parents[1] / "reference" / "conventions.npz")
PAGE = Path(__file__).parents[2] / "chapters" / "conventions.md"


def unit_vectors(seed, n=40):
    """(n+6, 3): random directions, and both ends of the three axes."""
    x = np.random.default_rng(seed).standard_normal((n, 3))
    return np.concatenate([x / np.linalg.norm(x, axis=1, keepdims=True), np.eye(3), -np.eye(3)])


def ours(l, xyz):
    return so3.spherical_harmonics(l, xyz, "integral")[:, so3.degree(l)]


# --- the matrices ---------------------------------------------------------------------------------------------

def scipy_angles(xyz):
    return np.arctan2(np.hypot(xyz[:, 0], xyz[:, 1]), xyz[:, 2]), np.arctan2(xyz[:, 1], xyz[:, 0])


@pytest.mark.parametrize("l", range(21))
def test_scipy_at_random_points_axes_and_poles(l):
    """To 1e-12, of values up to sqrt((2l+1)/4 pi) ~ 2: about l^2 eps, twentyfold, for two libraries' rounding."""
    xyz = unit_vectors(l)
    theta, phi = scipy_angles(xyz)
    theirs = np.stack([special.sph_harm_y(l, m, theta, phi) for m in range(-l, l + 1)], axis=-1)
    np.testing.assert_allclose(ours(l, xyz) @ change_of_basis("scipy", l).T, theirs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours(l, xyz) @ change_of_basis("scipy_conjugate", l).T, theirs.conj(), rtol=0,
                               atol=1e-12)


@pytest.mark.parametrize("l", range(21))
def test_real_form_made_of_scipys(l):
    xyz = unit_vectors(l)
    Y = ours(l, xyz) @ change_of_basis("scipy_real", l).T
    theta, phi = scipy_angles(xyz)
    for m in range(l + 1):
        theirs = special.sph_harm_y(l, m, theta, phi) * (math.sqrt(2) if m else 1)
        np.testing.assert_allclose(Y[:, l + m], theirs.real, rtol=0, atol=1e-12)
        if m:
            np.testing.assert_allclose(Y[:, l - m], theirs.imag, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["e3nn", "e3nn_component", "e3nn_norm", "sphericart", "pyscf", "molden"])
def test_recorded_values_of_other_libraries(name):
    """To 300 eps: values up to sqrt(13), each library's recursion to degree 6 off by a few eps of that."""
    table = REFERENCE[name]
    for l in range(math.isqrt(table.shape[1])):
        Y = ours(l, REFERENCE["xyz"]) @ change_of_basis(name, l).T
        np.testing.assert_allclose(Y, table[:, so3.degree(l)], rtol=0, atol=300 * EPS)


@pytest.mark.parametrize(("name", "library"), [("scipy", "spherical"), ("scipy_conjugate", "sympy")])
def test_recorded_wigner_matrices_of_other_libraries(name, library):
    """SymPy's, as quantum mechanics', turn coefficients, which follow the conjugates of the functions."""
    for l in range(4):
        B = change_of_basis(name, l)
        theirs = REFERENCE[f"D_{library}_{l}"]
        np.testing.assert_allclose(B @ so3.wigner_D(l, REFERENCE["R"]) @ B.conj().T, theirs, rtol=0, atol=100 * EPS)


def test_textbook_D_turns_coefficients_of_complex_harmonics():
    """f = sum c_m Y_m turned by R, that is f(R^-1 x), has the coefficients D c."""
    rng, l = np.random.default_rng(3), 3
    R, B, xyz = so3.random_rotation(rng), change_of_basis("scipy", l), unit_vectors(5)
    c = rng.standard_normal(2 * l + 1) + 1j * rng.standard_normal(2 * l + 1)
    V = change_of_basis("scipy_conjugate", l)
    D = V @ so3.wigner_D(l, R) @ V.conj().T
    turned = ours(l, xyz @ R) @ B.T @ c                        # rows of xyz @ R are R^-1 x
    np.testing.assert_allclose(ours(l, xyz) @ B.T @ (D @ c), turned, rtol=0, atol=100 * EPS * np.abs(c).sum())


@pytest.mark.parametrize("name", names())
def test_basis_is_unitary_but_for_the_normalisation(name):
    """B B^dagger = s^2 1 with s^2 (2l+1) = the sum of |B|^2; 2l+1 products of eps each."""
    expected = {"e3nn_component": lambda l: 4 * math.pi, "e3nn_norm": lambda l: 4 * math.pi / (2 * l + 1)}
    for l in (0, 1, 2, 3, 10, 50):
        B, square = change_of_basis(name, l), expected.get(name, lambda l: 1)(l)
        np.testing.assert_allclose(B @ B.conj().T, square * np.eye(2 * l + 1), rtol=0,
                                   atol=10 * (2 * l + 1) * EPS * square)
        assert np.isrealobj(B) == (names()[name].form == "real")


@pytest.mark.parametrize("name", names())
def test_D_follows_the_basis(name):
    """Y_named(R x) = B D B^-1 Y_named(x), B^-1 = B^dagger / s^2, for improper R too.

    Three products of sums of 11 terms, of values up to sqrt(11): tens of eps each.
    """
    rng = np.random.default_rng(11)
    xyz, R = unit_vectors(2, 5), so3.random_orthogonal(rng, 4)
    for l in range(6):
        B = change_of_basis(name, l)
        inverse = B.conj().T * (2 * l + 1) / np.linalg.norm(B) ** 2
        for r in R:
            D = B @ so3.wigner_D(l, r) @ inverse
            np.testing.assert_allclose(ours(l, xyz @ r.T) @ B.T, ours(l, xyz) @ B.T @ D.T, rtol=0,
                                       atol=300 * EPS)


def test_no_two_names_for_one_convention():
    """At degrees 1 to 3 every two conventions differ, by more than 0.1 in some entry."""
    bases = [np.concatenate([change_of_basis(name, l).ravel() for l in (1, 2, 3)]) for name in names()]
    assert min(np.abs(a - b).max() for i, a in enumerate(bases) for b in bases[:i]) > 0.1


def test_condon_shortley_on_real_harmonics_is_a_half_turn_about_the_pole():
    half_turn = np.diag([-1.0, -1.0, 1.0])
    for l in range(6):
        np.testing.assert_allclose(change_of_basis("sphericart", l) @ so3.wigner_D(l, half_turn),
                                   change_of_basis("scipy_real", l), rtol=0, atol=100 * EPS)


def test_unknown_names_and_bad_degrees_are_refused():
    with pytest.raises(ValueError, match="no convention is named 'e4nn'; known are e3nn"):
        change_of_basis("e4nn", 2)
    for l in (-1, 1.0, "2", True):
        for name in ("e3nn", "scipy"):
            with pytest.raises(ValueError):
                change_of_basis(name, l)


# --- the page -------------------------------------------------------------------------------------------------

def test_every_code_sample_of_the_page_is_true():
    """Python blocks run in order in one namespace; a `text` block is what the block before it prints.

    Only the residuals, which are rounding, may differ.
    """
    blocks = re.findall(r"^```(python|text)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert sum(kind == "text" for kind, _ in blocks) >= 2
    namespace, printed = {}, ""
    for kind, block in blocks:
        if kind == "python":
            with contextlib.redirect_stdout(io.StringIO()) as stdout:
                exec(compile(block, str(PAGE), "exec"), namespace)
            printed = stdout.getvalue()
        else:
            residual = r"residual [0-9.e+-]+"
            assert re.sub(residual, "residual", printed) == re.sub(residual, "residual", block)


def test_the_page_names_every_convention():
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.M)
    assert rows == list(names())
