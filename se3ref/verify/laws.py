"""The laws of rotations, harmonics, Wigner matrices and couplings, each a function that returns its violation.

A violation is a number that is 0 in exact arithmetic and some multiple of eps in floating point.  Tests hold it
against a tolerance; chapters print it; a researcher passes in functions of another library.  Functions under test
are arguments with the library's own as default:

    harmonics(lmax, xyz) -> (n, (lmax+1)^2), component normalisation      D(l, R) -> (2l+1, 2l+1), or a batch
    C(l1, l2, l3) -> (2l1+1, 2l2+1, 2l3+1), orthonormal columns
"""

import numpy as np

from se3ref import so3
from se3ref.so3 import degree


def _largest(x):
    return float(np.abs(x).max()) if np.size(x) else 0.0


def _worst(violations):
    """The largest of several numbers; a NaN is not lost, as it is by Python's `max`."""
    return float(np.max(list(violations)))


def _apply(D, Y):
    """D (2l+1, 2l+1) on rows Y (n, 2l+1)."""
    return Y @ np.swapaxes(D, -1, -2)


# --- representations ------------------------------------------------------------------------------------------

def orthogonality(D):
    """D D^T = 1, for one matrix or a batch."""
    return _largest(D @ np.swapaxes(D, -1, -2) - np.eye(D.shape[-1]))


def homomorphism(l, R1, R2, D=so3.wigner_D):
    """D(R1 R2) = D(R1) D(R2)."""
    return _largest(D(l, R1 @ R2) - D(l, R1) @ D(l, R2))


def inverse(l, R, D=so3.wigner_D):
    """D(R^T) = D(R)^T."""
    return _largest(D(l, np.swapaxes(R, -1, -2)) - np.swapaxes(D(l, R), -1, -2))


def vector_representation(R, D=so3.wigner_D):
    """D^1(R) = R."""
    return _largest(D(1, R) - R)


def inversion_parity(l, R, D=so3.wigner_D):
    """D(-R) = (-1)^l D(R)."""
    return _largest(D(l, -R) - (-1) ** l * D(l, R))


def character(l, axis, angle, D=so3.wigner_D):
    """trace D(R) = sin((l + 1/2) a) / sin(a/2), the sum of cos(m a): the same for every axis."""
    trace = np.trace(D(l, so3.rotation_from_axis_angle(axis, angle)))
    return abs(float(trace - np.cos(np.arange(-l, l + 1) * angle).sum()))


def schur_orthogonality(l1, l2, D=so3.wigner_D):
    """Haar average of D^l1_ab D^l2_cd = delta_l1l2 delta_ac delta_bd / (2l+1), by exact quadrature."""
    R, weights = so3.rotation_quadrature(l1 + l2)
    average = np.einsum("n,nab,ncd->abcd", weights, D(l1, R), D(l2, R), optimize=True)
    if l1 == l2:
        one = np.eye(2 * l1 + 1)
        average = average - np.einsum("ac,bd->abcd", one, one) / (2 * l1 + 1)
    return _largest(average)


def angular_momentum_algebra(L):
    """[L_x, L_y] = L_z and its cyclic kin, and -L.L = l (l+1), relative to l (l+1); L (3, 2l+1, 2l+1)."""
    l = (L.shape[-1] - 1) // 2
    brackets = [_largest(L[i] @ L[j] - L[j] @ L[i] - L[k]) for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1))]
    casimir = _largest(-np.einsum("kab,kbc->ac", L, L) - l * (l + 1) * np.eye(2 * l + 1))
    return _worst([*brackets, casimir]) / max(l * (l + 1), 1)


# --- harmonics ------------------------------------------------------------------------------------------------

def orthonormality(lmax, harmonics=so3.spherical_harmonics):
    """The mean of Y_a Y_b over the sphere = delta_ab (component normalisation), by exact quadrature."""
    points, weights = so3.sphere_quadrature(2 * lmax)
    Y = harmonics(lmax, points)
    return _largest(Y.T @ (weights[:, None] / (4 * np.pi) * Y) - np.eye(Y.shape[1]))


def addition_theorem(lmax, x, y, harmonics=so3.spherical_harmonics):
    """sum_m Y_lm(x) Y_lm(y) = (2l+1) P_l(x.y) for unit vectors, relative to 2l+1; x, y (n,3)."""
    x, y = (v / np.sqrt((v * v).sum(-1, keepdims=True)) for v in (x, y))
    products = harmonics(lmax, x) * harmonics(lmax, y)
    P = np.polynomial.legendre.legvander((x * y).sum(-1), lmax)
    return _worst(_largest(products[:, degree(l)].sum(-1) / (2 * l + 1) - P[:, l]) for l in range(lmax + 1))


def constant_norm(lmax, xyz, harmonics=so3.spherical_harmonics):
    """sum_m Y_lm^2 = 2l+1 in every direction, relative to 2l+1."""
    Y = harmonics(lmax, xyz)
    return _worst(_largest((Y[:, degree(l)] ** 2).sum(-1) / (2 * l + 1) - 1) for l in range(lmax + 1))


def rotation_law(l, R, xyz, harmonics=so3.spherical_harmonics, D=so3.wigner_D):
    """Y(R x) = D(R) Y(x), R (3,3) proper or not, relative to sqrt(2l+1), the norm of Y."""
    before, after = harmonics(l, xyz)[:, degree(l)], harmonics(l, xyz @ R.T)[:, degree(l)]
    return _largest(after - _apply(D(l, R), before)) / np.sqrt(2 * l + 1)


def parity(lmax, xyz, harmonics=so3.spherical_harmonics):
    """Y_l(-x) = (-1)^l Y_l(x)."""
    here, there = harmonics(lmax, xyz), harmonics(lmax, -xyz)
    return _worst(_largest(there[:, degree(l)] - (-1) ** l * here[:, degree(l)]) for l in range(lmax + 1))


def homogeneity(lmax, xyz, factor, solid=None):
    """Solid harmonics: Y_l(s x) = s^l Y_l(x), relative to the largest value of the degree."""
    solid = solid or _solid
    here, there = solid(lmax, xyz), solid(lmax, factor * xyz)
    return _worst(_largest(there[:, degree(l)] / factor**l - here[:, degree(l)]) / _largest(here[:, degree(l)])
               for l in range(lmax + 1))


def laplacian(lmax, xyz, gradient=so3.gradient_matrices):
    """Solid harmonics are harmonic: sum_k A_l[k] A_{l-1}[k] Y_{l-2} = 0, relative to the size of its terms."""
    Y, violations = _solid(lmax, xyz), [0.0]
    for l in range(2, lmax + 1):
        terms = [Y[:, degree(l - 2)] @ (gradient(l)[k] @ gradient(l - 1)[k]).T for k in range(3)]
        violations.append(_largest(sum(terms)) / _worst(map(_largest, terms)))
    return _worst(violations)


def hessian_symmetry(lmax, gradient=so3.gradient_matrices):
    """d_j d_k Y = d_k d_j Y: the matrices A_l[j] A_{l-1}[k] are symmetric in j and k, relative to their size."""
    violations = [0.0]
    for l in range(2, lmax + 1):
        second = np.einsum("jab,kbc->jkac", gradient(l), gradient(l - 1))
        violations.append(_largest(second - second.swapaxes(0, 1)) / _largest(second))
    return _worst(violations)


def _solid(lmax, xyz):
    return so3.spherical_harmonics(lmax, xyz, normalize=False)


# --- coupling -------------------------------------------------------------------------------------------------

def coupling_unitarity(l1, l2, C=so3.clebsch_gordan):
    """All C(l1, l2, l3) side by side are one orthogonal matrix: orthonormal columns, and rows, so nothing is lost."""
    size = (2 * l1 + 1) * (2 * l2 + 1)
    matrix = np.concatenate([C(l1, l2, l3).reshape(size, -1) for l3 in range(abs(l1 - l2), l1 + l2 + 1)], axis=1)
    return _worst([_largest(matrix.T @ matrix - np.eye(size)), _largest(matrix @ matrix.T - np.eye(size))])


def selection_rules(l1, l2, l3, C=so3.clebsch_gordan):
    """C is exactly zero off the triangle |l1-l2| <= l3 <= l1+l2, and where |m3| is not ||m1| +- |m2||."""
    tensor = C(l1, l2, l3)
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        return _largest(tensor)
    m1, m2, m3 = (np.abs(np.arange(-l, l + 1)) for l in (l1, l2, l3))
    m1, m2, m3 = np.meshgrid(m1, m2, m3, indexing="ij")
    return _largest(tensor[(m3 != m1 + m2) & (m3 != np.abs(m1 - m2))])


def swap_sign(l1, l2, l3, C=so3.clebsch_gordan):
    """C(l2, l1, l3)_jik = (-1)^(l1+l2+l3) C(l1, l2, l3)_ijk."""
    return _largest(C(l2, l1, l3).swapaxes(0, 1) - (-1) ** (l1 + l2 + l3) * C(l1, l2, l3))


def intertwiner(l1, l2, l3, R, C=so3.clebsch_gordan, D=so3.wigner_D):
    """C(D1 a, D2 b) = D3 C(a, b) for proper R (3,3).  Blind to the sign and the size of a whole path."""
    T = C(l1, l2, l3)
    turned = np.einsum("ijk,ia,jb->abk", T, D(l1, R), D(l2, R), optimize=True)
    return _largest(turned - np.einsum("abc,kc->abk", T, D(l3, R)))


def intertwiner_of_generators(l1, l2, l3, C=so3.clebsch_gordan):
    """The same law to first order:  L1 on i + L2 on j = L3 on k, relative to l1+l2+l3."""
    T = C(l1, l2, l3)
    L1, L2, L3 = (so3.angular_momentum(l) for l in (l1, l2, l3))
    moved = np.einsum("ijk,nia->najk", T, L1) + np.einsum("ijk,nja->niak", T, L2)
    return _largest(moved - np.einsum("ijc,nkc->nijk", T, L3)) / max(l1 + l2 + l3, 1)


def recoupling_6j(a, b, c, e, f, j, C=so3.clebsch_gordan):
    """((a b)e c) against (a (b c)f), both coupled to j: their overlap is a 6j symbol.

    sum C(a,b,e) C(e,c,j) C(b,c,f) C(a,f,j) = (-1)^(a+b+c+j) sqrt((2e+1)(2f+1)) {a b e; c j f} (2j+1)
    """
    left = np.einsum("ABE,ECJ->ABCJ", C(a, b, e), C(e, c, j))
    right = np.einsum("BCF,AFJ->ABCJ", C(b, c, f), C(a, f, j))
    symbol = float(so3.exact_wigner_6j(a, b, e, c, j, f)) * (-1) ** (a + b + c + j)
    return abs(float((left * right).sum()) / (2 * j + 1) - symbol * np.sqrt((2 * e + 1) * (2 * f + 1)))


def recoupling_9j(a, b, c, d, e, f, g, h, j, C=so3.clebsch_gordan):
    """((a b)c (d e)f)j against ((a d)g (b e)h)j: their overlap is a 9j symbol.

    sum C(a,b,c) C(d,e,f) C(c,f,j) C(a,d,g) C(b,e,h) C(g,h,j)
        = sqrt((2c+1)(2f+1)(2g+1)(2h+1)) {a b c; d e f; g h j} (2j+1)
    """
    left = np.einsum("ABC,DEF,CFJ->ABDEJ", C(a, b, c), C(d, e, f), C(c, f, j), optimize=True)
    right = np.einsum("ADG,BEH,GHJ->ABDEJ", C(a, d, g), C(b, e, h), C(g, h, j), optimize=True)
    symbol = float(so3.exact_wigner_9j(a, b, c, d, e, f, g, h, j))
    weight = np.sqrt((2 * c + 1) * (2 * f + 1) * (2 * g + 1) * (2 * h + 1))
    return abs(float((left * right).sum()) / (2 * j + 1) - symbol * weight)


def gaunt_integral(l1, l2, l3, gaunt=so3.gaunt):
    """The coefficients against the integral of three harmonics by exact quadrature."""
    points, weights = so3.sphere_quadrature(l1 + l2 + l3)
    Y1, Y2, Y3 = (so3.spherical_harmonics(l, points, "integral")[:, degree(l)] for l in (l1, l2, l3))
    return _largest(np.einsum("n,ni,nj,nk->ijk", weights, Y1, Y2, Y3, optimize=True) - gaunt(l1, l2, l3))
