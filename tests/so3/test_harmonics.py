"""Spherical harmonics: the laws P12-P21, and the numbers of closed forms, e3nn, SciPy and mpmath."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from se3ref import so3
from se3ref.so3 import degree
from se3ref.verify import gradients, laws
from tests import strategies as draw

EPS = np.finfo(np.float64).eps
REFERENCE = Path(__file__).parents[1] / "reference"
precisions = pytest.mark.parametrize("dtype", [np.float64, np.float32])
degrees = st.integers(0, 20)


def growth(l):
    """Rounding of a harmonic of degree l, relative to sqrt(2l+1), in eps.

    4 for the direction and the sum, 2 for each step of the recursion, and l^2/8 for what no algorithm escapes: near
    the pole Y_l0 changes by l^2/2 for each unit of its argument, and a number below 1 is rounded by eps/4.
    """
    return 4 + 2 * l + l * l / 8


# --- on the sphere --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("l", [0, 1, 2, 3, 5, 10, 20])
def test_P12_orthonormality(l):
    """By exact quadrature, whose nodes and weights carry a few eps too."""
    assert laws.orthonormality(l) <= growth(l) * EPS


@precisions
@given(l=degrees, data=st.data())
def test_P13_addition_theorem(dtype, l, data):
    """The reference P_l(x.y) changes by l(l+1)/2 per unit of x.y, which carries 2 eps: l^2 beside the growth of Y."""
    x, y = data.draw(draw.points(dtype=dtype)), data.draw(draw.points(dtype=dtype))
    assert laws.addition_theorem(l, x, y) <= (2 * growth(l) + l * l) * np.finfo(dtype).eps


@precisions
@given(l=degrees, data=st.data())
def test_P14_sum_of_squares_is_constant(dtype, l, data):
    """Squares: twice the relative error of a value."""
    assert laws.constant_norm(l, data.draw(draw.points(dtype=dtype))) <= 2 * growth(l) * np.finfo(dtype).eps


@precisions
@given(l=degrees, data=st.data())
def test_P15_rotation_law(dtype, l, data):
    """Y(R x) = D Y(x) for R in O(3): two harmonics and a D, 4 (l+1) eps (see test_wigner)."""
    R, xyz = data.draw(draw.rotations(improper=True, dtype=dtype)), data.draw(draw.points(dtype=dtype))
    assert laws.rotation_law(l, R, xyz) <= (2 * growth(l) + 4 * (l + 1)) * np.finfo(dtype).eps


@pytest.mark.parametrize("angle", [0, np.pi, 1e-15, np.pi - 1e-15])
@pytest.mark.parametrize("pole", [1.0, -1.0])
def test_P15_rotation_law_at_the_poles(pole, angle):
    xyz = np.array([[0, pole, 0], [1e-15, pole, 0], [1e-15, pole, -1e-15], [0, pole, 1e-300]])
    for axis in ([0, 1, 0], [1, 0, 0], [1, 0, 1], [1e-15, 1, 0]):
        R = so3.rotation_from_axis_angle(axis, angle)
        for sign in (1, -1):
            assert laws.rotation_law(10, sign * R, xyz) <= (2 * growth(10) + 44) * EPS


@precisions
@given(l=degrees, data=st.data())
def test_P16_parity(dtype, l, data):
    assert laws.parity(l, data.draw(draw.points(dtype=dtype))) == 0              # signs only: exact


# --- solid harmonics ------------------------------------------------------------------------------------------

@given(l=degrees, xyz=draw.points(extreme=False), factor=st.floats(0.5, 2))
def test_P17_homogeneity(l, xyz, factor):
    """l factors of s, each of them rounded, on both sides; relative to the largest value."""
    unit = xyz / np.sqrt((xyz * xyz).sum(1, keepdims=True))
    assert laws.homogeneity(l, unit, factor) <= 2 * growth(l) * EPS


@given(l=st.integers(2, 30), xyz=draw.points(extreme=False))
def test_P17_laplacian_vanishes(l, xyz):
    """Three terms of two matrices with at most four entries in a row: 16 roundings."""
    assert laws.laplacian(l, xyz / np.sqrt((xyz * xyz).sum(1, keepdims=True))) <= 16 * EPS


@given(l=st.integers(0, 8), xyz=draw.points(extreme=False))
def test_P17_solid_harmonics_are_powers_times_surface_harmonics(l, xyz):
    r = np.sqrt((xyz * xyz).sum(1, keepdims=True))
    solid, surface = so3.spherical_harmonics(l, xyz, normalize=False), so3.spherical_harmonics(l, xyz)
    error = np.abs(solid[:, degree(l)] / r**l - surface[:, degree(l)]).max()
    assert error <= 2 * growth(l) * np.sqrt(2 * l + 1) * EPS


# --- derivatives ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("normalization", ["component", "integral", "norm"])
@pytest.mark.parametrize("normalize", [True, False])
@given(l=st.integers(1, 12), xyz=draw.points(extreme=False), seed=st.integers(0, 2**32 - 1))
def test_P18_gradient_against_complex_step(normalize, normalization, l, xyz, seed):
    """Every entry of dxyz = sum dY dY/dxyz; both sides are recursions of l steps over values with `growth`."""
    def harmonics(xyz):
        return so3.spherical_harmonics(l, xyz, normalization, normalize)

    dY = np.random.default_rng(seed).standard_normal((len(xyz), (l + 1) ** 2))
    J = np.stack([gradients.complex_step(harmonics, [xyz], [np.tile(e, (len(xyz), 1))]) for e in np.eye(3)], -1)
    dxyz = so3.spherical_harmonics_and_pull(l, xyz, normalization, normalize)[1](dY)
    size = np.sqrt((dY * dY).sum(1, keepdims=True) * (J * J).sum((1, 2), keepdims=True)[:, 0])
    assert (np.abs(dxyz - np.einsum("ni,nik->nk", dY, J)) <= growth(l) * EPS * size).all()


@given(l=st.integers(1, 12), xyz=draw.points(), seed=st.integers(0, 2**32 - 1))
def test_P18_gradient_is_across_the_position(l, xyz, seed):
    """Y does not depend on the length of x, so x . dxyz = 0: what remains is rounding of a gradient of size l/r."""
    dY = np.random.default_rng(seed).standard_normal((len(xyz), (l + 1) ** 2))
    Y, pull = so3.spherical_harmonics_and_pull(l, xyz)
    radial = np.abs((xyz * pull(dY)).sum(1))
    assert (radial <= growth(l) * (l + 1) * EPS * np.sqrt((dY * dY).sum(1) * (Y * Y).sum(1))).all()


def test_P19_gradient_matrices_commute():
    """d_j d_k = d_k d_j as matrices, to the rounding of two factors; and sum_k A_k A_k^T = l (2l+1)."""
    assert laws.hessian_symmetry(50) <= 4 * EPS
    for l in range(1, 51):
        A = so3.gradient_matrices(l)
        total = np.einsum("kij,klj->il", A, A)
        assert np.abs(total - l * (2 * l + 1) * np.eye(2 * l + 1)).max() <= 8 * EPS * l * (2 * l + 1)


@pytest.mark.parametrize("normalize", [True, False])
@given(l=st.integers(1, 8), xyz=draw.points(n=1, extreme=False), seed=st.integers(0, 2**32 - 1))
def test_P19_hessian_is_symmetric(normalize, l, xyz, seed):
    """The second derivative, by complex step through the pullback itself; two gradients of size l each."""
    dY = np.random.default_rng(seed).standard_normal((1, (l + 1) ** 2))

    def gradient(xyz):
        return so3.spherical_harmonics_and_pull(l, xyz, normalize=normalize)[1](dY)

    H = np.stack([gradients.complex_step(gradient, [xyz], [e[None]])[0] for e in np.eye(3)])
    r, size = np.sqrt((xyz * xyz).sum()), np.sqrt((dY * dY).sum() * (l + 1) ** 2)
    power = 1 / r**2 if normalize else max(r, 1) ** (l - 2)    # how a second derivative scales
    assert np.abs(H - H.T).max() <= 4 * growth(l) * l * l * EPS * size * power


# --- the hard places ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("length", [5e-324, 1e-310, 1e-200, 1e-8, 1.0, 1e8, 1e200, 1e307])
def test_P20_finite_everywhere(length):
    """At 0, on the axes and planes, at subnormal and huge lengths, l = 0..100: finite, and sum_m Y^2 = 2l+1."""
    corners = np.array([v for v in itertools.product([-1.0, 0.0, 1.0], repeat=3) if any(v)]) * length
    Y = so3.spherical_harmonics(100, corners)
    assert np.isfinite(Y).all()
    assert laws.constant_norm(100, corners) <= 2 * growth(100) * EPS
    assert np.array_equal(Y, so3.spherical_harmonics(100, np.sign(corners)))     # a power of two, or a common factor


@pytest.mark.parametrize("normalize", [True, False])
def test_P20_the_zero_vector(normalize):
    """No direction, so Y = 0 for l > 0, and nothing flows back, also not through a complex step."""
    zero = np.zeros((1, 3))
    Y, pull = so3.spherical_harmonics_and_pull(5, zero, normalize=normalize)
    assert Y[0, 0] == 1 and not Y[0, 1:].any()
    if normalize:
        assert not pull(np.ones((1, 36))).any()
        assert not gradients.complex_step(lambda x: so3.spherical_harmonics(5, x), [zero], [np.ones((1, 3))]).any()


@precisions
@given(exponent=st.integers(-100, 100), l=st.integers(0, 10), data=st.data())
def test_length_does_not_matter(dtype, exponent, l, data):
    xyz = data.draw(draw.points(dtype=dtype, extreme=False))
    xyz = xyz * (np.abs(xyz) > 1e-6)                           # so that no component turns subnormal
    scaled = xyz * dtype(2.0 ** (exponent if dtype is np.float64 else exponent // 2))
    assert np.array_equal(so3.spherical_harmonics(l, scaled), so3.spherical_harmonics(l, xyz))


def test_rows_are_independent():
    """Many points go through in pieces, and come out as one by one."""
    xyz = np.random.default_rng(0).standard_normal((1000, 3))
    Y, pull = so3.spherical_harmonics_and_pull(20, xyz)
    assert np.array_equal(Y[123:130], so3.spherical_harmonics(20, xyz[123:130]))
    assert np.array_equal(Y[-1:], so3.spherical_harmonics(20, xyz[-1:]))
    part = so3.spherical_harmonics_and_pull(20, xyz[990:])[1](Y[990:])
    size = np.abs(pull(Y)[990:]).max()
    assert np.abs(pull(Y)[990:] - part).max() <= 441 * EPS * max(size, 1)        # sums of 441 terms, in any order
    assert so3.spherical_harmonics(3, xyz[:0]).shape == (0, 16)


@pytest.mark.parametrize("dtype, out", [(np.float32, np.float32), (np.complex64, np.complex64), (np.int8, np.float64),
                                        (np.float64, np.float64), (np.int64, np.float64)])
def test_dtype_stays(dtype, out):
    xyz = np.array([[1, 2, 3], [0, -1, 0]], dtype)
    for normalization in ("component", "integral", "norm"):
        Y, pull = so3.spherical_harmonics_and_pull(4, xyz, normalization)
        assert Y.dtype == out and pull(Y).dtype == out
        truth = so3.spherical_harmonics(4, xyz.real.astype(float), normalization)
        assert np.abs(Y - truth).max() <= 3 * growth(4) * np.finfo(out).eps


# --- numbers of others ----------------------------------------------------------------------------------------

def closed_form(x, y, z):
    """Degrees 0..4 in component normalisation, written out; r = 1, the polar axis is y (P21)."""
    root = np.sqrt
    return [
        1 + 0 * x,
        root(3) * x,
        root(3) * y,
        root(3) * z,
        root(15) * x * z,
        root(15) * x * y,
        root(5) / 2 * (3 * y**2 - 1),
        root(15) * y * z,
        root(15) / 2 * (z**2 - x**2),
        root(35 / 8) * x * (3 * z**2 - x**2),
        root(105) * x * y * z,
        root(21 / 8) * x * (5 * y**2 - 1),
        root(7) / 2 * y * (5 * y**2 - 3),
        root(21 / 8) * z * (5 * y**2 - 1),
        root(105) / 2 * y * (z**2 - x**2),
        root(35 / 8) * z * (z**2 - 3 * x**2),
        3 / 2 * root(35) * x * z * (z**2 - x**2),
        3 / 2 * root(35 / 2) * x * y * (3 * z**2 - x**2),
        3 / 2 * root(5) * x * z * (7 * y**2 - 1),
        3 / 2 * root(5 / 2) * x * y * (7 * y**2 - 3),
        3 / 8 * (35 * y**4 - 30 * y**2 + 3),
        3 / 2 * root(5 / 2) * z * y * (7 * y**2 - 3),
        3 / 4 * root(5) * (z**2 - x**2) * (7 * y**2 - 1),
        3 / 2 * root(35 / 2) * y * z * (z**2 - 3 * x**2),
        3 / 8 * root(35) * (z**4 - 6 * z**2 * x**2 + x**4),
    ]


@given(xyz=draw.points())
def test_P21_closed_forms(xyz):
    """8 eps of the scale sqrt(2l+1) for each; the cancelling polynomial of l = 4 has terms 4 times its scale."""
    largest = np.abs(xyz).max(1, keepdims=True)
    unit = xyz / largest / np.sqrt(((xyz / largest) ** 2).sum(1, keepdims=True))
    error = np.abs(so3.spherical_harmonics(4, xyz) - np.stack(closed_form(*unit.T), -1))
    scale = np.sqrt(2 * np.sqrt(np.arange(25)).astype(int) + 1)
    assert (error <= 8 * EPS * scale * np.maximum(1, np.arange(25) // 16 * 4)).all()


@pytest.mark.parametrize("normalization", ["component", "integral", "norm"])
def test_values_of_e3nn(normalization):
    """To l = 10; 1e-13 is what e3nn's own float64 holds (make_tables prints its error)."""
    with np.load(REFERENCE / "e3nn_values.npz") as table:
        error = so3.spherical_harmonics(10, table["xyz"], normalization) - table[f"Y_{normalization}"]
    assert np.abs(error).max() <= 1e-13


@pytest.mark.parametrize("l", [20, 50, 100])
def test_values_of_mpmath(l):
    """Exact to the last digit, the poles and their neighbourhood included."""
    with np.load(REFERENCE / "high_degree.npz") as table:
        error = so3.spherical_harmonics(l, table["xyz"], "integral")[:, degree(l)] - table[f"Y_{l}"]
    assert np.abs(error).max() <= growth(l) * EPS * np.sqrt((2 * l + 1) / (4 * np.pi))


def scipy_harmonics(l, xyz):
    """SciPy's complex harmonics of degree l, polar axis y, made real without the sign of Condon and Shortley."""
    x, y, z = xyz.T
    theta, phi = np.arctan2(np.hypot(x, z), y), np.arctan2(x, z)
    m = np.arange(l + 1)
    Y = (-1.0) ** m * scipy.special.sph_harm_y(l, m, theta[:, None], phi[:, None])
    Y[:, 1:] *= np.sqrt(2)
    return np.concatenate([Y.imag[:, :0:-1], Y.real], axis=1)


@given(xyz=draw.points())
def test_values_of_scipy(xyz):
    """l = 20 to 1e-12, axes and poles too; SciPy's angles carry eps, and cos(m phi) multiplies it by m."""
    xyz = np.concatenate([xyz, np.eye(3), -np.eye(3), draw.BESIDE_AXES])
    assert np.abs(so3.spherical_harmonics(20, xyz, "integral")[:, degree(20)] - scipy_harmonics(20, xyz)).max() <= 1e-12


def test_normalizations():
    xyz = np.random.default_rng(0).standard_normal((5, 3))
    component, integral, norm = (so3.spherical_harmonics(6, xyz, name) for name in ("component", "integral", "norm"))
    l = np.sqrt(np.arange(49)).astype(int)
    np.testing.assert_allclose(integral * np.sqrt(4 * np.pi), component, rtol=4 * EPS, atol=0)
    np.testing.assert_allclose(norm * np.sqrt(2 * l + 1), component, rtol=4 * EPS, atol=0)


# --- bad input ------------------------------------------------------------------------------------------------

POINT = np.ones((1, 3))
BAD = {
    "lmax < 0": ((-1, POINT), "lmax must be an integer >= 0; got -1"),
    "lmax float": ((2.0, POINT), "lmax must be an integer"),
    "lmax bool": ((True, POINT), "lmax must be an integer >= 0; got True"),
    "lmax text": (("2", POINT), "lmax must be an integer"),
    "one point": ((2, np.ones(3)), r"shape \(n, 3\), one point a row; got shape \(3,\)"),
    "columns": ((2, np.ones((3, 4))), r"got shape \(3, 4\)"),
    "three axes": ((2, np.ones((1, 2, 3))), r"got shape \(1, 2, 3\)"),
    "text": ((2, [["a", "b", "c"]]), "numeric array"),
    "bool": ((2, np.ones((1, 3), bool)), "dtype bool"),
    "NaN": ((2, [[0, np.nan, 1]]), "xyz must be finite; got NaN or infinity"),
    "inf": ((2, [[0, np.inf, 1]]), "xyz must be finite"),
    "complex NaN": ((2, np.array([[0, 1, complex(0, np.nan)]])), "xyz must be finite"),
    "normalization": ((2, POINT, "4pi"), "normalization is one of 'component', 'norm', 'integral'; got '4pi'"),
}


@pytest.mark.parametrize("arguments, message", BAD.values(), ids=BAD)
def test_bad_input_says_what_came(arguments, message):
    with pytest.raises(ValueError, match=message):
        so3.spherical_harmonics(*arguments)


@pytest.mark.parametrize("l", [0, -1, 1.0, True, "1"])
def test_bad_degree_of_gradient_matrices(l):
    so3.gradient_matrices(1)                                   # cached, and still 1.0 and True are no degrees
    with pytest.raises(ValueError, match="the degree l must be an integer >= 1; got"):
        so3.gradient_matrices(l)


def test_shared_tables_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        so3.gradient_matrices(2)[0, 0, 0] = 1
