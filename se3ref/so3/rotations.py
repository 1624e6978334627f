"""Rotations and reflections of space: how to make them, name them, convert them and recognise them.

A rotation is a matrix R (3,3) with R^T R = 1 and det R = 1 that acts on columns, x' = R x; on the rows of an array
of positions, `positions @ R.T`.  Everything here takes one object or a batch: R (3,3) or (n,3,3), quaternions (4,)
or (n,4) as (w,x,y,z), axes and rotation vectors (3,) or (n,3), angles in radians.
"""

import numpy as np

from se3ref.backend import constant, real_dtype

_AXES = {"x": 0, "y": 1, "z": 2}
_ONE = np.eye(3)
_X = np.zeros((3, 3, 3))                                       # X[k] v = e_k x v
for _k in range(3):
    _X[_k, (_k + 2) % 3, (_k + 1) % 3], _X[_k, (_k + 1) % 3, (_k + 2) % 3] = 1.0, -1.0


# --- sampling -------------------------------------------------------------------------------------------------

def random_rotation(rng, n=None):
    """Rotations drawn uniformly (by Haar measure) from SO(3): (3,3), or (n,3,3); `rng` a numpy Generator.

    A vector of four independent Gaussians points in a uniformly random direction of R^4, and unit quaternions
    cover SO(3) twice, evenly: the group acts on them by rotations of R^4, which leave that distribution alone.
    Source: Shoemake, Graphics Gems III (1992) 124.
    """
    if not hasattr(rng, "standard_normal"):
        raise ValueError(f"random_rotation needs a numpy Generator, such as np.random.default_rng(0); got {rng!r}")
    return rotation_from_quaternion(rng.standard_normal((4,) if n is None else (n, 4)))


def random_orthogonal(rng, n=None):
    """Rotations and improper rotations, evenly: uniform on O(3).  Shapes as `random_rotation`."""
    R = random_rotation(rng, n)
    return R * rng.choice([-1.0, 1.0], size=R.shape[:-2])[..., None, None]


# --- axis and angle, rotation vector --------------------------------------------------------------------------

def rotation_from_axis_angle(axis, angle):
    """Turn by `angle` about `axis` (any length but zero), counter-clockwise seen from the tip of the axis.

    Rodrigues' formula, with k the unit axis and K = [k]_x, K v = k x v:   R = 1 + sin(a) K + (1 - cos(a)) K^2.
    """
    axis = _unit("rotation axis", axis, (3,))
    angle = angle if hasattr(angle, "dtype") else np.asarray(angle, axis.dtype, like=axis)
    if not np.isfinite(angle).all():
        raise ValueError(f"the rotation angle must be finite; got {angle}")
    return rotation_from_vector(axis * angle[..., None])


def rotation_from_vector(vector):
    """exp: the rotation by |vector| about `vector`;  R = exp(vector . X) with X = `generators()`.

    Rodrigues' formula divided through by the angle a = 2h, so that it holds at 0:  R = 1 + s cos(h) K + s^2/2 K^2
    with s = sin(h)/h and now K = [vector]_x, since sin(a) = 2 sin(h) cos(h) and 1 - cos(a) = 2 sin(h)^2.
    """
    vector = _floats("rotation vector", vector, (3,))
    h = np.sqrt((vector * vector).sum(-1))[..., None, None] / 2
    s = np.where(h > 0, np.sin(h) / np.where(h > 0, h, 1), 1)
    K = np.einsum("...k,kij->...ij", vector, constant(_X, vector))
    return constant(_ONE, vector) + s * np.cos(h) * K + 0.5 * s * s * (K @ K)


def vector_from_rotation(R):
    """log: the rotation vector of R, of length 0..pi (at pi, where two answers exist, one of them)."""
    q = quaternion_from_rotation(R)
    w, v = q[..., 0], q[..., 1:]
    sin = np.sqrt((v * v).sum(-1))                              # of half the angle; w >= 0 is its cosine
    ratio = np.where(sin > 0, 2 * np.arctan2(sin, w) / np.where(sin > 0, sin, 1), 2.0)
    return ratio[..., None] * v


def axis_angle_from_rotation(R):
    """(axis, angle) with a unit axis and 0 <= angle <= pi; the identity gets the axis z."""
    vector = vector_from_rotation(R)
    turned = (vector != 0).any(-1, keepdims=True)
    axis = _unit("axis", np.where(turned, vector, constant(_ONE, vector)[2]), (3,))
    return axis, (axis * vector).sum(-1)


# --- quaternions ----------------------------------------------------------------------------------------------

def rotation_from_quaternion(q):
    """The rotation x -> q x q* of a quaternion (w,x,y,z) of any length but zero; q and -q give the same R.

    With v = (x,y,z) and |q| = 1:   R = (w^2 - v.v) 1 + 2 v v^T + 2 w [v]_x.
    """
    q = _unit("quaternion (w,x,y,z)", q, (4,))
    w, v = q[..., :1, None], q[..., 1:, None]                  # (...,1,1), (...,3,1)
    cross = np.einsum("...k,kij->...ij", v[..., 0], constant(_X, v))
    vT = v.swapaxes(-1, -2)
    return (w * w - vT @ v) * constant(_ONE, v) + 2 * v @ vT + 2 * w * cross


def quaternion_from_rotation(R):
    """The unit quaternion (w,x,y,z) of a proper rotation, with w >= 0.

    The formula of `rotation_from_quaternion`, read backwards, gives all products 4 q_a q_b as sums of entries of R.
    Each row of that rank-one matrix is q times a number; the row with the largest diagonal loses no digits.
    Source: Shepperd, J. Guidance and Control 1 (1978) 223.
    """
    R = check_rotation(R, proper=True)
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = np.moveaxis(R, (-2, -1), (0, 1))
    Q = np.stack([np.stack(row, -1) for row in (
        (1 + xx + yy + zz, zy - yz, xz - zx, yx - xy),
        (zy - yz, 1 + xx - yy - zz, xy + yx, xz + zx),
        (xz - zx, xy + yx, 1 - xx + yy - zz, yz + zy),
        (yx - xy, xz + zx, yz + zy, 1 - xx - yy + zz))], -2)               # (..., 4, 4)
    largest = np.argmax(np.diagonal(Q, axis1=-2, axis2=-1), -1)
    q = np.take_along_axis(Q, largest[..., None, None], -2)[..., 0, :]
    return np.where(q[..., :1] < 0, -q, q) / np.sqrt((q * q).sum(-1, keepdims=True))


# --- Euler angles: only with the axes said --------------------------------------------------------------------

def rotation_from_euler(axes, angles):
    """R = R_a(angles[0]) R_b(angles[1]) R_c(angles[2]) for axes "abc"; angles (3,) or (n,3).

    Upper case ("ZYZ") is intrinsic, about axes that turn with the body: the product as written.  Lower case
    ("zyz") is extrinsic, about axes fixed in space: the first turn acts first, so the factors stand in reverse.
    """
    i, j, k, intrinsic = _euler_axes(axes)
    angles = _floats("Euler angles", angles, (3,))
    if not intrinsic:
        (i, j, k), angles = (k, j, i), angles[..., ::-1]
    e = constant(_ONE, angles)
    first, second, third = (rotation_from_axis_angle(e[a], angles[..., n]) for n, a in enumerate((i, j, k)))
    return first @ second @ third


def euler_from_rotation(axes, R):
    """The angles (3,) or (n,3) with `rotation_from_euler(axes, angles) = R`, at the poles too.

    The image of the third axis, v = R e_c = R_a(alpha) R_b(beta) e_c, knows nothing of the third angle and gives
    the first two.  The third is what is left: R_b(-beta) R_a(-alpha) R = R_c(gamma).  At a pole v does not fix
    alpha; whatever alpha then is, gamma makes up for it, and the product is right to rounding.
    """
    i, j, k, intrinsic = _euler_axes(axes)
    R = check_rotation(R, proper=True)
    if not intrinsic:
        (i, j, k) = (k, j, i)
    n = 3 - i - j                                              # the axis that is neither a nor b
    eps = 1.0 if (j - i) % 3 == 1 else -1.0                    # e_a x e_b = eps e_n
    v = np.moveaxis(R[..., :, k], -1, 0)
    if k == i:      # v = cos(b) e_a + sin(b) (sin(a) e_b - eps cos(a) e_n)
        alpha = np.arctan2(v[j], -eps * v[n])
        beta = np.arctan2(np.sqrt(v[j] * v[j] + v[n] * v[n]), v[i])
    else:           # v = eps sin(b) e_a + cos(b) (cos(a) e_n - eps sin(a) e_b)
        alpha = np.arctan2(-eps * v[j], v[n])
        beta = np.arctan2(eps * v[i], np.sqrt(v[j] * v[j] + v[n] * v[n]))
    e = constant(_ONE, R)
    rest = rotation_from_axis_angle(e[j], -beta) @ rotation_from_axis_angle(e[i], -alpha) @ R
    p, q = (k + 1) % 3, (k + 2) % 3                            # the plane that R_c turns: e_p -> cos e_p + sin e_q
    gamma = np.arctan2(rest[..., q, p], rest[..., p, p])
    angles = [alpha, beta, gamma] if intrinsic else [gamma, beta, alpha]
    return np.stack(angles, -1)


def _euler_axes(axes):
    intrinsic = str(axes).isupper()
    letters = str(axes).lower()
    if (len(letters) != 3 or set(letters) - set("xyz") or letters[0] == letters[1] or letters[1] == letters[2]
            or str(axes) not in (letters, letters.upper())):
        raise ValueError(f"Euler axes are three of x, y, z, no two neighbours equal, all upper case (intrinsic) or "
                         f"all lower case (extrinsic), such as 'ZYZ' or 'xyz'; got {axes!r}")
    return *(_AXES[letter] for letter in letters), intrinsic


# --- reflections, generators, SciPy ---------------------------------------------------------------------------

def reflection(normal):
    """The mirror 1 - 2 n n^T in the plane through the origin with the given normal (any length but zero)."""
    n = _unit("mirror normal", normal, (3,))
    return constant(_ONE, n) - 2 * n[..., :, None] * n[..., None, :]


def generators():
    """X (3,3,3): X[k] is the infinitesimal turn about axis k, X[k] v = e_k x v, so [X_x, X_y] = X_z."""
    return _X.copy()


def rotation_from_scipy(rotation):
    """The matrices of a `scipy.spatial.transform.Rotation`, (3,3) or (n,3,3)."""
    return rotation.as_matrix()


def scipy_from_rotation(R):
    """A `scipy.spatial.transform.Rotation` from proper rotation matrices."""
    from scipy.spatial.transform import Rotation
    return Rotation.from_matrix(check_rotation(R, proper=True))


# --- recognising a rotation -----------------------------------------------------------------------------------

def distance_from_O3(R):
    """Frobenius distance of R from the nearest matrix of O(3): sqrt(sum_k (s_k - 1)^2), s_k the singular values."""
    s = np.linalg.svd(_floats("matrix", R, (3, 3)), compute_uv=False)
    return np.sqrt(((s - 1) * (s - 1)).sum(-1))


def check_rotation(R, proper=False):
    """R as a floating array, or a ValueError that says why it is no rotation.

    Improper rotations pass unless `proper`.  A matrix may be off O(3) by sqrt(eps), half the digits of its
    dtype (1.5e-8 in float64): more is not rounding, and would come back as a wrong answer.
    """
    R = _floats("rotation", R, (3, 3))
    excess = np.swapaxes(R, -1, -2) @ R - constant(_ONE, R)
    near = np.sqrt((excess * excess).sum((-1, -2))) <= 2 * np.sqrt(np.finfo(R.dtype).eps)
    if not near.all():                                         # where squares overflow, excess is inf or NaN
        raise ValueError(f"not a rotation: a matrix is {float(distance_from_O3(R).max()):.2g} (Frobenius) away "
                         f"from O(3), the nearest orthogonal matrix; R^T R must be 1")
    if proper and (determinant(R) < 0).any():
        raise ValueError("an improper rotation (determinant -1) came where a proper one (+1) is needed; "
                         "-R is proper")
    return R


def determinant(R):
    """det R of (...,3,3): the triple product of its rows, r_0 . (r_1 x r_2)."""
    (a, b, c), (d, e, f), (g, h, i) = ([R[..., row, col] for col in range(3)] for row in range(3))
    return a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g)


def _floats(name, x, tail):
    """x as a floating array whose last axes are `tail`, all finite; else a ValueError naming what came."""
    x = x if hasattr(x, "dtype") else np.asarray(x)
    if x.dtype.kind not in "fiu" or x.shape[-len(tail):] != tail or x.ndim > len(tail) + 1:
        shape = ", ".join(map(str, tail))
        raise ValueError(f"{name} must be a real array of shape ({shape}) or (n, {shape}); "
                         f"got shape {x.shape}, dtype {x.dtype}")
    x = x.astype(real_dtype(x.dtype), copy=False)
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite; got NaN or infinity")
    return x


def _unit(name, x, tail):
    """x / |x|; divided first by the largest component, so that no square over- or underflows."""
    x = _floats(name, x, tail)
    largest = np.abs(x).max(-1, keepdims=True)
    if not np.all(largest > 0):
        raise ValueError(f"{name} must not be zero; got {x}")
    x = x / largest
    return x / np.sqrt((x * x).sum(-1, keepdims=True))
