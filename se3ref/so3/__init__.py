"""The rotation group, its reflections and its representations: pure mathematics, nothing learned."""

from se3ref.so3 import conventions
from se3ref.so3.coupling import (
    SignedRoot,
    clebsch_gordan,
    complex_from_real,
    exact_clebsch_gordan,
    exact_wigner_3j,
    exact_wigner_6j,
    exact_wigner_9j,
    gaunt,
    wigner_3j,
)
from se3ref.so3.harmonics import degree, gradient_matrices, spherical_harmonics, spherical_harmonics_and_pull
from se3ref.so3.irreps import (
    Irrep,
    Irreps,
    cartesian_from_irreps,
    features_from_flat,
    flat_from_features,
    irreps_from_cartesian,
    rotate_features,
)
from se3ref.so3.quadrature import rotation_quadrature, sphere_quadrature
from se3ref.so3.rotations import (
    axis_angle_from_rotation,
    check_rotation,
    determinant,
    distance_from_O3,
    euler_from_rotation,
    generators,
    quaternion_from_rotation,
    random_orthogonal,
    random_rotation,
    reflection,
    rotation_from_axis_angle,
    rotation_from_euler,
    rotation_from_quaternion,
    rotation_from_scipy,
    rotation_from_vector,
    scipy_from_rotation,
    vector_from_rotation,
)
from se3ref.so3.wigner import angular_momentum, wigner_D, wigner_D_by_gradient

__all__ = [name for name in dir() if not name.startswith("_")]
