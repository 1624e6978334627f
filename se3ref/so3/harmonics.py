r"""Real spherical harmonics of any degree, by a recursion in x, y, z that has no poles, and their gradient.

The derivation.  Write X, Y, Z for the axes with Z the polar one, and w = X + iY.  (The library follows e3nn:
the polar axis is y, so X, Y, Z = z, x, y, and Y_1 = (x, y, z) in plain order.)  For every number t the vector
a(t) with  a . x = Z + t w*/2 - w/(2t)  has a . a = 0, so the powers (a . x)^l are harmonic polynomials,
homogeneous of degree l.  Their coefficients in powers of t are the 2l+1 complex solid harmonics S_lm:

    (a . x)^l / l! = sum_m (-1/t)^m S_lm                                                              (1)

Differentiate (1): each derivative of a . x is a number, and degree l falls to l-1,

    d_Z S_lm = S_{l-1,m}    (d_X - i d_Y) S_lm = S_{l-1,m-1}    (d_X + i d_Y) S_lm = -S_{l-1,m+1}     (2)

So S_mm = w^m / (2^m m!), and S_lm = w^m times a polynomial in Z and r^2.  That polynomial obeys

    (l^2 - m^2) S_lm = (2l-1) Z S_{l-1,m} - r^2 S_{l-2,m}                                             (3)

because the right side f is harmonic, by (2): Lap(Z S_{l-1}) = 2 S_{l-2} and Lap(r^2 S_{l-2}) = (4l-2) S_{l-2};
it turns as w^m, so it is k_l S_lm for a number k_l; and d_Z f = (2l-1 + k_{l-1}) S_{l-1,m} gives
k_l = k_{l-1} + 2l-1, with k_m = 0.

Real harmonics: cos m phi goes to component +m, sin m phi to component -m, with no Condon-Shortley sign,

    Y_{l,m} = N_lm Re S_lm,  Y_{l,-m} = N_lm Im S_lm,  N_lm^2 = (2l+1)(2 - delta_m0)(l+m)!(l-m)!      (4)

in `component` normalisation, sum_m Y_lm^2 = 2l+1 on the unit sphere.  `integral` divides by sqrt(4 pi), so that
the integral of Y_lm^2 over the sphere is 1; `norm` divides by sqrt(2l+1), so that sum_m Y_lm^2 = 1.

Chapter 3 derives all of this at leisure.  Source of (1): Hobson, Spherical and Ellipsoidal Harmonics (1931), ch. 4.
"""

import functools
import math

import numpy as np

from se3ref.backend import constant, pieces, real_dtype


def spherical_harmonics(lmax, xyz, normalization="component", normalize=True):
    """Real spherical harmonics of degrees 0..lmax at points xyz (n,3): (n, (lmax+1)^2), l ascending, m = -l..l.

    Points are made unit vectors first; `normalize=False` gives the solid harmonics r^l Y instead.  The zero
    vector has no direction: it gives 0 for l > 0.  normalization: "component" (sum_m Y^2 = 2l+1), "integral"
    or "norm".  Works in the dtype that comes in, complex for the complex step; degree l is `degree(l)` of the
    last axis.  Law: Y(R x) = D(R) Y(x) for every R of O(3), D = `wigner_D`.
    ValueError for lmax < 0, another shape, NaN or infinity.
    """
    return spherical_harmonics_and_pull(lmax, xyz, normalization, normalize)[0]


def spherical_harmonics_and_pull(lmax, xyz, normalization="component", normalize=True):
    """`spherical_harmonics` and its pullback: Y (n,dim) and pull(dY (n,dim)) -> dxyz (n,3).  `pull` reads Y: keep it.

    The gradient of a solid harmonic is a solid harmonic of one degree less, d_k Y_l = A_l[k] Y_{l-1}
    (`gradient_matrices`), so   g_k = sum_l dY_l . A_l[k] Y_{l-1}   at the unit vector u = x/r.  The direction u
    turns only across x:   dx = (g - u (u . g)) / r,  and 0 at x = 0.
    """
    lmax, xyz = _check(lmax, xyz)
    scale = _scale(lmax, normalization)
    xyz = np.ascontiguousarray(xyz.T, like=xyz)                # (3,n): component first, long rows for the processor
    u, r = _unit(xyz) if normalize else (xyz, None)
    Y = np.empty(((lmax + 1) ** 2, xyz.shape[1]), u.dtype, like=u)
    for n in pieces(xyz.shape[1], lmax + 1, u):
        _solid(lmax, u[:, n], out=Y[:, n])
    if normalization != "component":
        Y *= constant(_row_scale(lmax, normalization), u)

    def pull(dY):
        g = np.zeros(u.shape, np.result_type(u.dtype, dY.dtype), like=u)
        for n in pieces(xyz.shape[1], lmax + 1, u):
            for l in range(1, lmax + 1):
                A = constant(_scaled_gradient(l, scale[l] / scale[l - 1]), u)       # (3 (2l-1), 2l+1)
                dYA = (A @ dY[n, degree(l)].T).reshape(3, 2 * l - 1, -1)
                g[:, n] += np.einsum("kmn,mn->kn", dYA, Y[degree(l - 1), n])
        if not normalize:
            return g.T
        across = g - u * (u * g).sum(0)
        return np.where(r.real > 0, across / np.where(r.real > 0, r, 1), 0).T
    return Y.T, pull


def degree(l):
    """The slice of degree l in an array of all degrees: columns l^2 .. (l+1)^2 - 1, m = -l..l."""
    return slice(l * l, (l + 1) * (l + 1))


def check_degree(l, name="the degree l", least=0):
    """l as Python's integer, which never overflows; else a ValueError (True is no degree, nor is 1.0)."""
    if isinstance(l, bool) or not isinstance(l, int | np.integer) or l < least:
        raise ValueError(f"{name} must be an integer >= {least}; got {l!r}")
    return int(l)


def _solid(lmax, xyz, out):
    """Write the solid harmonics at xyz (3,n), component normalisation, to out ((lmax+1)^2, n).

    Equation (3) times N_lm and divided by w^m, for all m < l at once:
    Q_l = a_lm (Z Q_{l-1} - r^2 Q_{l-2} / a_{l-1,m}),
    where Y_{l,+-m} = Q_lm * (Re, Im) w^m  and  a_lm = sqrt((4 l^2 - 1) / (l^2 - m^2)).
    """
    Y, Z, X = xyz                                              # e3nn's axes: the polar one is y
    r2 = X * X + Y * Y + Z * Z
    shape = lmax + 1, len(Z)
    cos, sin = np.empty((2, *shape), xyz.dtype, like=xyz)      # w^m = cos + i sin (times |w|^m)
    cos[0], sin[0], out[0] = 1, 0, 1
    Q, Q_before, product = np.zeros((3, *shape), xyz.dtype, like=xyz)
    Q[0] = 1
    for l in range(1, lmax + 1):
        cos[l] = X * cos[l - 1] - Y * sin[l - 1]
        sin[l] = X * sin[l - 1] + Y * cos[l - 1]
        a, b, top = _recursion(l)
        np.multiply(Z, Q[:l], out=product[:l])                 # in place: fresh arrays would double the time
        Q_before[:l] *= r2
        Q_before[:l] *= constant(b, xyz)
        np.subtract(product[:l], Q_before[:l], out=Q_before[:l])
        Q_before[:l] *= constant(a, xyz)
        Q_before[l] = top
        Q, Q_before = Q_before, Q
        middle = l * l + l                                     # the row of m = 0
        np.multiply(Q[:l + 1], cos[:l + 1], out=out[middle:middle + l + 1])
        np.multiply(Q[l:0:-1], sin[l:0:-1], out=out[middle - l:middle])


@functools.cache
def _recursion(l):
    """a_lm and 1/a_{l-1,m} for m = 0..l-1, as columns, and Q_ll = N_ll / (2^l l!)."""
    m = np.arange(l)
    a = np.sqrt((4 * l * l - 1) / (l * l - m * m))
    b = np.sqrt(((l - 1) ** 2 - m * m) / (4 * (l - 1) ** 2 - 1)) if l > 1 else np.zeros(1)
    top = math.sqrt(2 * math.prod((2 * k + 1) / (2 * k) for k in range(1, l + 1)))
    return a[:, None], b[:, None], top


@functools.lru_cache(maxsize=None, typed=True)                # typed: 1.0 and True are not taken for a cached 1
def gradient_matrices(l):
    """A (3, 2l+1, 2l-1), l >= 1, with d_k Y_l = A[k] Y_{l-1} for solid harmonics in component normalisation.

    Equation (2) in real and imaginary parts, with S_{l,-m} = (-1)^m S_lm* where an index falls below zero; the
    numbers are ratios of (4).  Law: sum_k A[k] A[k]^T = l (2l+1) 1, the mean of grad Y_m . grad Y_m' on the sphere.
    Read-only; ValueError for l < 1.
    """
    l = check_degree(l, least=1)
    A = np.zeros((3, 2 * l + 1, 2 * l - 1))
    d_Y, d_Z, d_X = A                                          # e3nn's axes, as in `_solid`

    def ratio(m, k):                                           # N_lm / N_{l-1,k}: of the factorials two factors stay
        left = {0: (l + m) * (l - m), 1: (l - m) * (l - m - 1), -1: (l + m) * (l + m - 1)}[k - m]
        twos = (1 + (m > 0)) / (1 + (k > 0))
        return math.sqrt((2 * l + 1) / (2 * l - 1) * twos * left)

    def put(matrix, m, k, value):
        if -l < k < l:
            matrix[l + m, l - 1 + k] = value

    put(d_Z, 0, 0, ratio(0, 0))
    put(d_X, 0, 1, -ratio(0, 1))                               # S_{l,-1} = -S_l1*: the two halves of (2) are equal
    put(d_Y, 0, -1, -ratio(0, 1))
    for m in range(1, l + 1):
        up, down = ratio(m, m + 1) / 2, ratio(m, m - 1) / 2
        for sign in (1, -1):                                   # Re S_lm, then Im S_lm
            put(d_Z, sign * m, sign * m, ratio(m, m))
            put(d_X, sign * m, sign * (m + 1), -up)
            put(d_Y, sign * m, -sign * (m + 1), -sign * up)
        put(d_X, m, m - 1, down)
        put(d_Y, -m, m - 1, down)
        if m > 1:                                              # Im S_l0 = 0
            put(d_X, -m, -(m - 1), down)
            put(d_Y, m, -(m - 1), -down)
    A.flags.writeable = False                                  # it is cached and shared
    return A


@functools.cache
def _scaled_gradient(l, ratio):
    """`gradient_matrices(l)` times the ratio of two degrees' normalisations, as one matrix (3 (2l-1), 2l+1)."""
    return ratio * gradient_matrices(l).transpose(0, 2, 1).reshape(-1, 2 * l + 1)


def _scale(lmax, normalization):
    """What each degree's component-normalised harmonics are multiplied by: (lmax+1,)."""
    l = np.arange(lmax + 1)
    scales = {"component": np.ones(lmax + 1), "norm": 1 / np.sqrt(2 * l + 1),
              "integral": np.full(lmax + 1, 1 / math.sqrt(4 * math.pi))}
    if normalization not in scales:
        raise ValueError(f"normalization is one of {', '.join(map(repr, scales))}; got {normalization!r}")
    return scales[normalization]


@functools.cache
def _row_scale(lmax, normalization):
    """`_scale` for every component, as a column ((lmax+1)^2, 1)."""
    return np.repeat(_scale(lmax, normalization), 2 * np.arange(lmax + 1) + 1)[:, None]


def _unit(xyz):
    """Unit vectors (3,n) and lengths (n,).  The zero vector stays zero, and so does what a complex step adds.

    Divided first by the largest component, so that tiny vectors do not underflow when squared.  That number is a
    choice of scale, which the direction does not depend on, so it is read off the real part.
    """
    largest = np.abs(xyz.real).max(0)
    safe = np.where(largest > 0, largest, 1)
    v = xyz * (largest > 0) / safe
    r = np.sqrt((v * v).sum(0))
    return v / np.where(largest > 0, r, 1), r * safe


def _check(lmax, xyz):
    lmax = check_degree(lmax, "lmax")
    xyz = xyz if hasattr(xyz, "dtype") else np.asarray(xyz)
    if xyz.ndim != 2 or xyz.shape[1] != 3 or xyz.dtype.kind not in "fciu":
        raise ValueError(f"xyz must be a numeric array of shape (n, 3), one point a row; "
                         f"got shape {xyz.shape}, dtype {xyz.dtype}")
    xyz = xyz.astype(np.result_type(xyz.dtype, real_dtype(xyz.dtype)), copy=False)
    if not np.isfinite(xyz).all():
        raise ValueError("xyz must be finite; got NaN or infinity")
    return lmax, xyz
