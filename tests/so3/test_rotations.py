"""Rotations: they are orthogonal, convert into one another without loss, and are drawn evenly (P1-P3)."""

import itertools

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from se3ref import so3
from se3ref.verify import laws
from tests import strategies as draw

EPS = np.finfo(np.float64).eps
euler_axes = st.sampled_from([f("".join(axes)) for axes in itertools.product("xyz", repeat=3)
                              if axes[0] != axes[1] != axes[2] for f in (str.upper, str.lower)])
precisions = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def close(a, b, tolerance):
    return np.abs(np.asarray(a) - np.asarray(b)).max() <= tolerance


# --- P1 -------------------------------------------------------------------------------------------------------
# A product k_i k_j of a unit vector carries 2 eps, stands doubled in R, and R twice in R^T R: 8 eps to first order,
# 12 with the sums.  (1e-15, often quoted, is 4.5 eps: no Rodrigues formula in float64 stays below it everywhere.)

@precisions
@given(axis=draw.axes, angle=st.floats(-1e6, 1e6) | draw.angles)
def test_P1_rotation_from_axis_angle_is_orthogonal(dtype, axis, angle):
    R = so3.rotation_from_axis_angle(np.array(axis, dtype), angle)
    assert R.dtype == dtype
    assert laws.orthogonality(R) <= 12 * np.finfo(dtype).eps
    assert close(so3.determinant(R), 1, 12 * np.finfo(dtype).eps)


@precisions
@given(q=draw.quaternions)
def test_P1_rotation_from_quaternion_is_orthogonal(dtype, q):
    R = so3.rotation_from_quaternion(np.array(q, dtype))
    assert R.dtype == dtype
    assert laws.orthogonality(R) <= 12 * np.finfo(dtype).eps
    assert close(so3.determinant(R), 1, 12 * np.finfo(dtype).eps)


@given(normal=draw.axes)
def test_P1_reflection_is_improper(normal):
    mirror = so3.reflection(normal)
    assert laws.orthogonality(mirror) <= 12 * EPS
    assert close(so3.determinant(mirror), -1, 12 * EPS)
    assert close(mirror @ normal, -np.array(normal), 12 * EPS)


@pytest.mark.parametrize("length", [5e-324, 1e-200, 1.0, 1e200, 1.7e308])
def test_P1_an_axis_of_any_length(length):
    """Lengths whose squares leave float64 are lengths like others."""
    for make in (lambda v: so3.rotation_from_axis_angle(v, 0.3), so3.reflection):
        assert np.array_equal(make([0, 0, length]), make([0, 0, 1]))
    assert np.array_equal(so3.rotation_from_quaternion([0, 0, 0, length]), np.diag([-1, -1, 1]))


# --- P2 -------------------------------------------------------------------------------------------------------
# There and back passes through unit vectors known to eps: R comes back within the rounding of P1, 12 eps; three
# Euler factors add up to 24.

@precisions
@given(data=st.data())
def test_P2_quaternion_round_trip(dtype, data):
    R = data.draw(draw.rotations(dtype=dtype))
    q = so3.quaternion_from_rotation(R)
    assert q.dtype == dtype and q[0] >= 0
    assert close(so3.rotation_from_quaternion(q), R, 12 * np.finfo(dtype).eps)
    assert close(so3.rotation_from_quaternion(-q), R, 12 * np.finfo(dtype).eps)


@given(q=draw.quaternions)
def test_P2_rotation_round_trip_from_quaternion(q):
    unit = q / np.sqrt(np.dot(q, q))
    back = so3.quaternion_from_rotation(so3.rotation_from_quaternion(q))
    assert min(np.abs(back - unit).max(), np.abs(back + unit).max()) <= 12 * EPS


@precisions
@given(data=st.data())
def test_P2_rotation_vector_round_trip(dtype, data):
    R, eps = data.draw(draw.rotations(dtype=dtype)), np.finfo(dtype).eps
    vector = so3.vector_from_rotation(R)
    assert vector.dtype == dtype
    assert np.sqrt((vector * vector).sum()) <= np.pi * (1 + 4 * eps)
    assert close(so3.rotation_from_vector(vector), R, 12 * eps)
    axis, angle = so3.axis_angle_from_rotation(R)
    assert axis.dtype == angle.dtype == dtype
    assert close((axis * axis).sum(), 1, 4 * eps)
    assert close(so3.rotation_from_axis_angle(axis, angle), R, 12 * eps)


@given(axis=draw.axes, angle=st.floats(1e-200, 3.1))
def test_P2_rotation_round_trip_from_vector(axis, angle):
    """Tiny angles keep all their digits: sin(a) = a there, relative to the angle and not to 1."""
    vector = np.array(axis) / np.sqrt(np.dot(axis, axis)) * angle
    back = so3.vector_from_rotation(so3.rotation_from_vector(vector))
    assert close(back, vector, 16 * EPS * angle if angle < 1 else 64 * EPS)      # near pi the axis loses 1/cos(a/2)


@precisions
@given(axes=euler_axes, data=st.data())
def test_P2_euler_round_trip(dtype, axes, data):
    R = data.draw(draw.rotations(dtype=dtype))
    angles = so3.euler_from_rotation(axes, R)
    assert angles.dtype == dtype
    assert close(so3.rotation_from_euler(axes, angles), R, 24 * np.finfo(dtype).eps)


@pytest.mark.parametrize("axes", ["ZYZ", "zyz", "XYZ", "xyz", "YXZ"])
@pytest.mark.parametrize("tilt", draw.TILTS)
def test_P2_euler_round_trip_at_its_own_poles(axes, tilt):
    """Where sin(beta) or cos(beta) vanishes one angle is free, and R must still come back."""
    beta = tilt if axes[0] == axes[2] else tilt - np.pi / 2
    R = so3.rotation_from_euler(axes, [0.7, beta, -2.1])
    assert close(so3.rotation_from_euler(axes, so3.euler_from_rotation(axes, R)), R, 24 * EPS)


@given(R=draw.rotations())
def test_P2_scipy_round_trip(R):
    assert close(so3.rotation_from_scipy(so3.scipy_from_rotation(R)), R, 12 * EPS)


# --- the same rotations as others make ------------------------------------------------------------------------

@given(q=draw.quaternions)
def test_quaternions_as_in_scipy(q):
    assert close(so3.rotation_from_quaternion(q), Rotation.from_quat(q, scalar_first=True).as_matrix(), 12 * EPS)


@given(axis=draw.axes, angle=draw.angles)
def test_rotation_vectors_as_in_scipy(axis, angle):
    vector = np.array(axis) / np.sqrt(np.dot(axis, axis)) * angle
    R = so3.rotation_from_vector(vector)
    assert close(R, so3.rotation_from_axis_angle(axis, angle), 32 * EPS)         # the angle, up to 7, rounds twice
    assert close(R, Rotation.from_rotvec(vector).as_matrix(), 32 * EPS)


@given(vector=st.lists(draw.components, min_size=3, max_size=3))
def test_rotation_vectors_as_exponentials(vector):
    expm = scipy.linalg.expm(np.einsum("k,kij->ij", vector, so3.generators()))
    assert close(so3.rotation_from_vector(vector), expm, 16 * EPS)               # angles below sqrt 3: expm's own


@given(axes=euler_axes, angles=st.tuples(draw.angles, draw.angles, draw.angles))
def test_euler_angles_as_in_scipy(axes, angles):
    assert close(so3.rotation_from_euler(axes, angles), Rotation.from_euler(axes, angles).as_matrix(), 48 * EPS)


def test_rotations_are_active_and_right_handed():
    """A quarter turn about z takes x to y; rows turn by R^T."""
    R = so3.rotation_from_axis_angle([0, 0, 1], np.pi / 2)
    assert close(R @ [1, 0, 0], [0, 1, 0], EPS)
    assert close(np.eye(3) @ R.T, [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], EPS)


def test_generators_are_cross_products():
    X = so3.generators()
    assert np.array_equal(X[0] @ X[1] - X[1] @ X[0], X[2])
    for k, v in itertools.product(range(3), np.random.default_rng(0).standard_normal((4, 3))):
        assert np.array_equal(X[k] @ v, np.cross(np.eye(3)[k], v))
    X[0] = 7                                                   # a copy: nobody else sees this
    assert np.array_equal(so3.generators()[0, 1:, 1:], [[0, -1], [1, 0]])


@given(M=st.lists(st.integers(-1000, 1000), min_size=9, max_size=9))
def test_determinant(M):
    """Integers below 2^53 are exact; NumPy's elimination is off by less than one half."""
    M = np.reshape(M, (3, 3)).astype(float)
    assert so3.determinant(M) == round(np.linalg.det(M))


@given(R=draw.rotations(improper=True), scale=st.floats(0.5, 2))
def test_distance_from_O3(R, scale):
    """The nearest orthogonal matrix to s R is R, at a distance sqrt(3) |s - 1|."""
    assert close(so3.distance_from_O3(scale * R), np.sqrt(3) * abs(scale - 1), 32 * EPS)


@pytest.mark.parametrize("shape", [None, 0, 1, 5])
def test_a_batch_is_its_members(shape):
    R = so3.random_rotation(np.random.default_rng(3), shape)
    assert R.shape == ((3, 3) if shape is None else (shape, 3, 3))
    assert so3.random_orthogonal(np.random.default_rng(3), shape).shape == R.shape
    for convert in (so3.quaternion_from_rotation, so3.vector_from_rotation, so3.determinant,
                    lambda R: so3.euler_from_rotation("ZYZ", R)):
        batch = convert(R)
        for i in range(shape or 0):
            assert close(batch[i], convert(R[i]), 2 * EPS)     # sums may be taken in another order


# --- P3: the sampler ------------------------------------------------------------------------------------------

SAMPLES, SIGMAS = 20_000, 5


def haar_moments(R):
    """The largest mean of an entry of D^1..D^4 over the sample, in standard errors.

    Under Haar measure the mean is 0 and the variance 1/(2l+1) (Schur), so a standard error is 1/sqrt((2l+1) n).
    """
    means = [np.abs(so3.wigner_D(l, R).mean(0)).max() * np.sqrt((2 * l + 1) * len(R)) for l in range(1, 5)]
    return max(means)


def test_P3_haar_moments():
    """164 means of 20000 samples: one beyond 5 sigma in 10^4 seeds, and the seed is fixed."""
    rng = np.random.default_rng(2024)
    assert haar_moments(so3.random_rotation(rng, SAMPLES)) < SIGMAS
    R = so3.random_orthogonal(rng, SAMPLES)
    assert haar_moments(R) < SIGMAS                            # a sign drawn independently keeps the means at 0
    assert abs((so3.determinant(R) > 0).sum() - SAMPLES / 2) < SIGMAS * np.sqrt(SAMPLES) / 2


def test_P3_biased_samplers_are_seen():
    """Uniform Euler angles crowd the poles; quaternions from a cube lean towards its corners."""
    rng = np.random.default_rng(2024)
    euler = so3.rotation_from_euler("ZYZ", rng.uniform(0, [2 * np.pi, np.pi, 2 * np.pi], (SAMPLES, 3)))
    cube = so3.rotation_from_quaternion(rng.uniform(-1, 1, (SAMPLES, 4)))
    assert haar_moments(euler) > 10 * SIGMAS
    assert haar_moments(cube) > 2 * SIGMAS


# --- bad input ------------------------------------------------------------------------------------------------

NAN, ONE = np.full((3, 3), np.nan), np.eye(3)

BAD = {
    "axis zero": (lambda: so3.rotation_from_axis_angle([0, 0, 0], 1.0), "rotation axis must not be zero"),
    "axis shape": (lambda: so3.rotation_from_axis_angle([1, 0], 1.0), r"shape \(3\) or \(n, 3\); got shape \(2,\)"),
    "axis NaN": (lambda: so3.rotation_from_axis_angle([np.nan, 0, 1], 1.0), "must be finite"),
    "axis text": (lambda: so3.rotation_from_axis_angle("xyz", 1.0), "rotation axis must be a real array"),
    "angle NaN": (lambda: so3.rotation_from_axis_angle([0, 0, 1], np.nan), "must be finite"),
    "angle inf": (lambda: so3.rotation_from_axis_angle([0, 0, 1], np.inf), "must be finite"),
    "vector complex": (lambda: so3.rotation_from_vector(np.ones(3, complex)), "must be a real array"),
    "quaternion zero": (lambda: so3.rotation_from_quaternion([0, 0, 0, 0]), "quaternion .* must not be zero"),
    "quaternion shape": (lambda: so3.rotation_from_quaternion([1, 0, 0]), r"shape \(4\) or \(n, 4\)"),
    "quaternion inf": (lambda: so3.rotation_from_quaternion([np.inf, 0, 0, 0]), "must be finite"),
    "one zero in a batch": (lambda: so3.rotation_from_quaternion(np.eye(5, 4)), "must not be zero"),
    "mirror zero": (lambda: so3.reflection([0, 0, 0]), "mirror normal must not be zero"),
    "no rotation": (lambda: so3.check_rotation(1.1 * ONE), r"not a rotation: a matrix is 0\.17 \(Frobenius\) away"),
    "one bad of a batch": (lambda: so3.check_rotation(np.stack([ONE, 2 * ONE])), "is 1.7 .Frobenius. away"),
    "rotation NaN": (lambda: so3.check_rotation(NAN), "rotation must be finite; got NaN"),
    "rotation shape": (lambda: so3.check_rotation(np.eye(4)), r"shape \(3, 3\) or \(n, 3, 3\); got shape \(4, 4\)"),
    "rotation complex": (lambda: so3.check_rotation(ONE * 1j), "real array"),
    "quaternion of a mirror": (lambda: so3.quaternion_from_rotation(-ONE), "improper rotation .* -R is proper"),
    "vector of a mirror": (lambda: so3.vector_from_rotation(-ONE), "improper"),
    "Euler of a mirror": (lambda: so3.euler_from_rotation("ZYZ", -ONE), "improper"),
    "SciPy of a mirror": (lambda: so3.scipy_from_rotation(-ONE), "improper"),
    "distance of NaN": (lambda: so3.distance_from_O3(NAN), "finite"),
    "generator": (lambda: so3.random_rotation(0), "needs a numpy Generator"),
}


@pytest.mark.parametrize("call, message", BAD.values(), ids=BAD)
def test_bad_input_says_what_came(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("axes", ["", "zy", "zyzy", "zzy", "zyy", "zYz", "abc", "ZY1", None, 3])
def test_bad_euler_axes(axes):
    with pytest.raises(ValueError, match="Euler axes are three of x, y, z"):
        so3.rotation_from_euler(axes, [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="Euler axes are three of x, y, z"):
        so3.euler_from_rotation(axes, ONE)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_a_matrix_whose_squares_overflow_is_no_rotation():
    """inf - inf is NaN, and NaN compares false: the test must be that R is near, not that it isn't far."""
    for M in (1e200 * ONE, [[1e200, 1e200, 0], [1e200, -1e200, 0], [0, 0, 1]], [[1e200, -1e200, 0]] * 3):
        with pytest.raises(ValueError, match="not a rotation"):
            so3.check_rotation(np.array(M))


@pytest.mark.parametrize("dtype, off", [(np.float64, 1e-8), (np.float32, 2e-4)])
def test_half_the_digits_of_a_rotation_are_enough(dtype, off):
    """A matrix off O(3) by less than sqrt(eps) is taken as rounded, by more refused."""
    R = so3.random_rotation(np.random.default_rng(1)).astype(dtype)
    so3.check_rotation(R * (1 + dtype(off) / 2))
    with pytest.raises(ValueError, match="not a rotation"):
        so3.check_rotation(R * (1 + 3 * dtype(off)))
