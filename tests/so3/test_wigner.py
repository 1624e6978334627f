"""Wigner matrices: a representation of O(3), derived twice (P4-P11), and the numbers of e3nn and mpmath."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from se3ref import so3
from se3ref.verify import gradients, laws
from tests import strategies as draw

EPS = np.finfo(np.float64).eps
REFERENCE = Path(__file__).parents[1] / "reference"
precisions = pytest.mark.parametrize("dtype", [np.float64, np.float32])
degrees = st.integers(0, 10)


def turned(l):
    """Rounding of D^l in eps: R fixes its angles to 2-3 eps, and a turn by eps moves the component m by m eps."""
    return 4 * (l + 1)


def special_rotations():
    """By 0, by pi and within 1e-15 of them, about many axes; beside both poles of the Euler angles."""
    axes = [*draw.SPECIAL_AXES, [0.3, -0.5, 0.8]]
    turns = [so3.rotation_from_axis_angle(axis, angle) for axis in axes for angle in draw.SPECIAL_ANGLES]
    tilted = [so3.rotation_from_euler(axes, [0.7, tilt, -2.1]) for axes in ("YXY", "ZYZ") for tilt in draw.TILTS]
    return np.array(turns + tilted)


# --- the laws -------------------------------------------------------------------------------------------------

@precisions
@given(l=degrees, data=st.data())
def test_P4_homomorphism(dtype, l, data):
    """On O(3), to l = 10: 44 eps = 1e-14."""
    R1, R2 = (data.draw(draw.rotations(improper=True, dtype=dtype)) for _ in range(2))
    assert laws.homomorphism(l, R1, R2) <= turned(l) * np.finfo(dtype).eps


@precisions
@given(l=degrees, data=st.data())
def test_P5_inverse_is_transpose(dtype, l, data):
    R = data.draw(draw.rotations(improper=True, dtype=dtype))
    assert laws.inverse(l, R) <= turned(l) * np.finfo(dtype).eps
    assert laws.orthogonality(so3.wigner_D(l, R)) <= 2 * turned(l) * np.finfo(dtype).eps     # D twice


@precisions
@given(data=st.data())
def test_P6_degree_one_is_R(dtype, data):
    """D^1 is orthogonal where R is off by up to 12 eps in R^T R, half of it in R."""
    R = data.draw(draw.rotations(improper=True, dtype=dtype))
    assert laws.vector_representation(R) <= 8 * np.finfo(dtype).eps


@precisions
@given(l=degrees, data=st.data())
def test_P7_inversion(dtype, l, data):
    """D(-R) = (-1)^l D(R), exactly: only signs differ."""
    assert laws.inversion_parity(l, data.draw(draw.rotations(improper=True, dtype=dtype))) == 0


@pytest.mark.parametrize("l", [0, 1, 2, 3, 5, 10, 20, 50])
def test_P8_angular_momentum_algebra(l):
    """L_x comes from the half turn, good to eps l; relative to l (l+1)."""
    assert laws.angular_momentum_algebra(so3.angular_momentum(l)) <= turned(l) * EPS


@given(l=degrees, axis=draw.axes, angle=draw.angles)
def test_P8_D_is_the_exponential(l, axis, angle):
    """D(exp(v.X)) = exp(v.L), the exponential by the eigenvalues i m |v|, each good to eps l |v|."""
    vector = np.array(axis) / np.sqrt(np.dot(axis, axis)) * angle
    im, V = np.linalg.eigh(-1j * np.einsum("k,kij->ij", vector, so3.angular_momentum(l)))
    exponential = (V * np.exp(1j * im)) @ V.conj().T
    tolerance = turned(l) * (1 + abs(angle)) * EPS
    assert np.abs(so3.wigner_D(l, so3.rotation_from_vector(vector)) - exponential).max() <= tolerance


@precisions
@given(l=st.integers(0, 50), axis=draw.axes, angle=draw.angles)
def test_P9_character(dtype, l, axis, angle):
    """The sum of cos(m a) moves by up to l (l+1) when a moves by one, and a is known to eps (2 + |a|)."""
    error = laws.character(l, np.array(axis, dtype), dtype(angle))
    assert error <= (l + 1) ** 2 * (2 + abs(angle)) * np.finfo(dtype).eps


@pytest.mark.parametrize("l1, l2", [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 4), (3, 3), (4, 4), (6, 6), (5, 6)])
def test_P10_schur_orthogonality(l1, l2):
    """By exact Haar quadrature; averages of products below 1."""
    assert laws.schur_orthogonality(l1, l2) <= 8 * EPS


@precisions
@given(l=degrees, data=st.data())
def test_P11_two_derivations_agree(dtype, l, data):
    """Equation (4) is a polynomial in R and follows R off O(3), where equation (1) cannot: twice `turned`."""
    R = data.draw(draw.rotations(improper=True, dtype=dtype))
    difference = so3.wigner_D(l, R) - so3.wigner_D_by_gradient(l, R)
    assert np.abs(difference).max() <= 2 * turned(l) * np.finfo(dtype).eps


# --- high degree and hard rotations ---------------------------------------------------------------------------

@pytest.mark.parametrize("l", [20, 50])
def test_high_degree(l):
    """l = 50: orthogonal, a homomorphism within 1e-13 and twice derived, rotations by 0 and pi and poles included.

    What `turned` allows at l = 50 is 4.5e-14.
    """
    R = np.concatenate([special_rotations(), so3.random_rotation(np.random.default_rng(0), 20)])
    D, others = so3.wigner_D(l, R), np.random.default_rng(1).permutation(len(R))
    assert laws.orthogonality(D) <= 1e-13
    assert np.abs(so3.wigner_D(l, R @ R[others]) - D @ D[others]).max() <= turned(l) * EPS
    assert np.abs(so3.wigner_D(l, R.swapaxes(1, 2)) - D.swapaxes(1, 2)).max() <= turned(l) * EPS
    twin = so3.wigner_D_by_gradient(l, R[::16])                # l^4 operations each: six of them
    assert np.abs(twin - D[::16]).max() <= 2 * turned(l) * EPS                   # 9e-14; asked: 5e-12


@pytest.mark.parametrize("l", [20, 50])
def test_values_of_mpmath(l):
    """Rotations good to 4e-18, so that what is left is the library's own rounding."""
    with np.load(REFERENCE / "high_degree.npz") as table:
        assert np.abs(so3.wigner_D(l, table["R"]) - table[f"D_{l}"]).max() <= turned(l) / 4 * EPS
        assert np.abs(so3.wigner_D_by_gradient(l, table["R"]) - table[f"D_{l}"]).max() <= turned(l) / 4 * EPS


@pytest.mark.parametrize("l", range(11))
def test_values_of_e3nn(l):
    """1e-13 is what e3nn's own float64 holds: it exponentiates matrices."""
    with np.load(REFERENCE / "e3nn_values.npz") as table:
        assert np.abs(so3.wigner_D(l, table["R"]) - table[f"D_{l}"]).max() <= 1e-13


@pytest.mark.parametrize("l", range(5))
@pytest.mark.parametrize("parity", [1, -1])
def test_values_of_e3nn_improper(l, parity):
    irrep = so3.Irrep(l, parity)
    with np.load(REFERENCE / "e3nn_values.npz") as table:
        assert np.abs(irrep.D(table["R_improper"]) - table[f"D_improper_{irrep}"]).max() <= 1e-13


@pytest.mark.parametrize("l", [0, 1, 2, 5, 50])
def test_the_half_turn_is_an_involution(l):
    J = so3.wigner.half_turn(l)
    assert np.abs(J - J.T).max() <= turned(l) * EPS
    assert np.abs(J @ J - np.eye(2 * l + 1)).max() <= turned(l) * EPS


# --- shapes, kinds, derivatives -------------------------------------------------------------------------------

@pytest.mark.parametrize("l", [0, 1, 4, 20])
def test_a_batch_is_its_members(l):
    """Also through the pieces that keep a large batch in the cache (155 rotations at l = 20)."""
    R = so3.random_orthogonal(np.random.default_rng(0), 260)
    for make, n in ((so3.wigner_D, 260), (so3.wigner_D_by_gradient, 3)):
        D = make(l, R[:n])
        assert D.shape == (n, 2 * l + 1, 2 * l + 1)
        for i in (0, n - 1):
            assert make(l, R[i]).shape == (2 * l + 1, 2 * l + 1)
            assert np.abs(make(l, R[i]) - D[i]).max() <= turned(l) * EPS         # sums in another order
        assert make(l, R[:0]).shape == (0, 2 * l + 1, 2 * l + 1)


@precisions
def test_precision_stays(dtype):
    R = so3.random_orthogonal(np.random.default_rng(0), 4)
    for make in (so3.wigner_D, so3.wigner_D_by_gradient):
        D = make(6, R.astype(dtype))
        assert D.dtype == dtype
        assert np.abs(D - make(6, R)).max() <= 2 * turned(6) * np.finfo(dtype).eps
    assert so3.wigner_D(3, np.diag([1, -1, -1])).dtype == np.float64


@given(l=st.integers(1, 6), R=draw.rotations(improper=True), axis=draw.axes)
def test_derivative_of_D_by_complex_step(l, R, axis):
    """d/da D(exp(a v.X) R) = (v.L) D(R) at a = 0: L has entries up to l, D of the second derivation `turned`."""
    v = np.array(axis)
    tangent = np.einsum("k,kij->ij", v, so3.generators()) @ R
    J = gradients.complex_step(lambda R: so3.wigner_D_by_gradient(l, R), [R], [tangent])
    L = np.einsum("k,kij->ij", v, so3.angular_momentum(l))
    assert np.abs(J - L @ so3.wigner_D(l, R)).max() <= 2 * turned(l) * l * EPS * max(1, np.abs(v).max())


BAD = {
    "l < 0": ((-1, np.eye(3)), "the degree l must be an integer >= 0; got -1"),
    "l float": ((1.0, np.eye(3)), "the degree l must be an integer >= 0; got 1.0"),
    "l bool": ((True, np.eye(3)), "got True"),
    "no rotation": ((1, np.diag([1, 1, 2])), r"not a rotation: a matrix is 1 \(Frobenius\) away from O\(3\)"),
    "NaN": ((1, np.full((3, 3), np.nan)), "rotation must be finite"),
    "shape": ((1, np.eye(2)), r"shape \(3, 3\) or \(n, 3, 3\); got shape \(2, 2\)"),
    "four axes": ((1, np.ones((1, 1, 3, 3))), r"got shape \(1, 1, 3, 3\)"),
    "complex": ((1, np.eye(3) + 0j), "real array"),
}


@pytest.mark.parametrize("arguments, message", BAD.values(), ids=BAD)
def test_bad_input_says_what_came(arguments, message):
    with pytest.raises(ValueError, match=message):
        so3.wigner_D(*arguments)


@pytest.mark.parametrize("make", [so3.wigner_D_by_gradient, lambda l, R: so3.angular_momentum(l)])
@pytest.mark.parametrize("l", [-1, 1.0, True])
def test_bad_degree(make, l):
    with pytest.raises(ValueError, match="the degree l must be an integer >= 0"):
        make(l, np.eye(3))
