r"""Coupling of irreps: exact Clebsch-Gordan, 3j, 6j and 9j coefficients, and the real coupling tensors made from them.

Exact numbers.  Three spinors (x_i, y_i) have the invariants x_i y_j - x_j y_i, and no others.  An irrep of degree l
is the homogeneous polynomials of degree 2l in a spinor, with orthonormal basis sqrt(binom(2l, l+m)) x^(l+m) y^(l-m).
So there is one invariant of degrees 2l1, 2l2, 2l3 in the three spinors,

    (x1 y2 - x2 y1)^n1 (x1 y3 - x3 y1)^n2 (x2 y3 - x3 y2)^n3,
    n1 = l1+l2-l3,  n2 = l1-l2+l3,  n3 = -l1+l2+l3,

and expanding its three powers gives the coefficient of every product of basis polynomials as a sum of products of
three binomials.  With the third index turned from bra to ket, and the norm fixed, in the phase of Condon and Shortley:

    <l1 m1 l2 m2|l3 m3> = sqrt( K / (binom(2l1, l1+m1) binom(2l2, l2+m2) binom(2l3, l3+m3)) ) S(m1, m2)
    S(m1, m2) = sum_t (-1)^t binom(n1, t) binom(n2, l1-m1-t) binom(n3, l2+m2-t)                                 (1)
    K = (2l3+1) (2l1)! (2l2)! (2l3)! / ((l1+l2+l3+1)! n1! n2! n3!)

S is an integer and K a rational, so every coefficient is a rational's square root with a sign: a `SignedRoot`.

The real basis.  The real harmonics are Y_real = U Y_complex, with Y_complex the harmonics of Condon and Shortley:
Y_0 stays, sqrt 2 Re (-1)^m Y_m is the component +m, sqrt 2 Im (-1)^m Y_m the component -m.  Coupling tensors
follow their indices,

    C_ijk = (-i)^(l1+l2-l3) sum_{m1 m2 m3} U1*_{i m1} U2*_{j m2} U3_{k m3} <l1 m1 l2 m2|l3 m3>                  (2)

The coefficient is real, so without the power of i the tensor would be real where l1+l2+l3 is even and imaginary
where it is odd.  The power is a choice of phase for each path; it is e3nn's, and fixes the sign of every path.

Sources: van der Waerden, Die gruppentheoretische Methode in der Quantenmechanik (1932), 17; Racah, Phys. Rev. 62
(1942) 438; Varshalovich, Moskalev, Khersonskii, Quantum Theory of Angular Momentum
(1988), ch. 8-10; Edmonds, Angular Momentum in Quantum Mechanics (1957), (3.7.3), (6.4.3).
"""

import dataclasses
import functools
import math
from fractions import Fraction
from math import comb, factorial

import numpy as np

from se3ref.so3.harmonics import check_degree

_cached = functools.lru_cache(maxsize=None, typed=True)        # typed: 1.0 and True are not taken for a cached 1


@dataclasses.dataclass(frozen=True)
class SignedRoot:
    """The exact number sign(square) * sqrt(|square|), with `square` a Fraction: -1/3 stands for -sqrt(1/3)."""
    square: Fraction

    def __float__(self):
        """Correct to the last bit or two for numbers of any length: the root is taken of an integer.

        p/q is scaled by 4^s until its integer part has more than 128 bits; `isqrt` of it is exact to one unit.
        """
        p, q = abs(self.square.numerator), self.square.denominator
        s = max(0, 64 + (q.bit_length() - p.bit_length()) // 2)
        root = math.isqrt((p << 2 * s) // q)
        return math.copysign(float(Fraction(root, 1 << s)), self.square) if p else 0.0

    def __str__(self):
        return ("-" if self.square < 0 else "") + f"sqrt({abs(self.square)})"


# --- exact coefficients ---------------------------------------------------------------------------------------

def exact_clebsch_gordan(l1, m1, l2, m2, l3, m3):
    """<l1 m1 l2 m2|l3 m3> as a `SignedRoot`, by equation (1); zero where a selection rule forbids it."""
    (l1, l2, l3), (m1, m2, m3) = _check_degrees(l1, l2, l3), _check_components(m1, m2, m3)
    if m1 + m2 != m3 or not _triangle(l1, l2, l3) or abs(m1) > l1 or abs(m2) > l2 or abs(m3) > l3:
        return SignedRoot(Fraction(0))
    n1, n2, n3 = l1 + l2 - l3, l1 - l2 + l3, -l1 + l2 + l3
    S = sum(_parity(t) * comb(n1, t) * comb(n2, l1 - m1 - t) * comb(n3, l2 + m2 - t)
            for t in range(min(n1, l1 - m1, l2 + m2) + 1))
    binomials = comb(2 * l1, l1 + m1) * comb(2 * l2, l2 + m2) * comb(2 * l3, l3 + m3)
    return SignedRoot(_K(l1, l2, l3) / binomials * S * abs(S))


def exact_wigner_3j(l1, l2, l3, m1, m2, m3):
    """(l1 l2 l3; m1 m2 m3) = (-1)^(l1-l2-m3) (2 l3+1)^(-1/2) <l1 m1 l2 m2|l3 -m3> as a `SignedRoot`."""
    (l1, l2, l3), (m1, m2, m3) = _check_degrees(l1, l2, l3), _check_components(m1, m2, m3)
    coefficient = exact_clebsch_gordan(l1, m1, l2, m2, l3, -m3)
    return SignedRoot(_parity(l1 - l2 - m3) * coefficient.square / (2 * l3 + 1))


def _K(l1, l2, l3):
    n1, n2, n3 = l1 + l2 - l3, l1 - l2 + l3, -l1 + l2 + l3
    return Fraction((2 * l3 + 1) * factorial(2 * l1) * factorial(2 * l2) * factorial(2 * l3),
                    factorial(l1 + l2 + l3 + 1) * factorial(n1) * factorial(n2) * factorial(n3))


def exact_wigner_6j(a, b, c, d, e, f):
    """{a b c; d e f} as a `SignedRoot`: how the two orders of coupling three irreps overlap.

    Racah's sum, over t, of (-1)^t (t+1)! / (prod_i (t - triad_i)! prod_j (quad_j - t)!), times the four triangle
    coefficients; zero unless (abc), (aef), (dbf), (dec) are triangles.  Source: Edmonds (6.3.7).
    """
    a, b, c, d, e, f = _check_degrees(a, b, c, d, e, f)
    triads = (a, b, c), (a, e, f), (d, b, f), (d, e, c)
    if not all(_triangle(*triad) for triad in triads):
        return SignedRoot(Fraction(0))
    sums, quads = [sum(triad) for triad in triads], [a + b + d + e, b + c + e + f, c + a + f + d]
    total = sum(Fraction(_parity(t) * factorial(t + 1),
                         math.prod(factorial(t - s) for s in sums) * math.prod(factorial(q - t) for q in quads))
                for t in range(max(sums), min(quads) + 1))
    return SignedRoot(math.prod(map(_triangle_square, triads)) * total * abs(total))


def exact_wigner_9j(a, b, c, d, e, f, g, h, i):
    """{a b c; d e f; g h i} as a `SignedRoot`: how the two ways of coupling four irreps in pairs overlap.

    sum_x (2x+1) {a b c; f i x} {d e f; b x h} {g h i; x a d}  (integer degrees).  Each product is a rational
    times the same root, that of the first non-zero product.  Source: Edmonds (6.4.3).
    """
    a, b, c, d, e, f, g, h, i = _check_degrees(a, b, c, d, e, f, g, h, i)
    terms = []                                                 # signed squares of the products, and 2x+1
    for x in range(max(abs(a - i), abs(d - h), abs(b - f)), min(a + i, d + h, b + f) + 1):
        squares = [exact_wigner_6j(*symbol).square
                   for symbol in ((a, b, c, f, i, x), (d, e, f, b, x, h), (g, h, i, x, a, d))]
        negative = sum(s < 0 for s in squares)
        terms.append((_parity(negative) * abs(math.prod(squares)), 2 * x + 1))
    root = next((abs(square) for square, _ in terms if square), Fraction(1))
    total = sum(weight * (-1 if square < 0 else 1) * _rational_root(abs(square) / root) for square, weight in terms)
    return SignedRoot(root * total * abs(total))


def _rational_root(x):
    """The square root of a Fraction that is a square."""
    return Fraction(math.isqrt(x.numerator), math.isqrt(x.denominator))


def _parity(k):
    """(-1)^k in integers."""
    return -1 if k % 2 else 1


def _triangle(a, b, c):
    return abs(a - b) <= c <= a + b


def _triangle_square(triad):
    """(a+b-c)! (a-b+c)! (-a+b+c)! / (a+b+c+1)!"""
    a, b, c = triad
    return Fraction(factorial(a + b - c) * factorial(a - b + c) * factorial(-a + b + c), factorial(a + b + c + 1))


# --- tensors in the real basis --------------------------------------------------------------------------------

@_cached
def clebsch_gordan(l1, l2, l3):
    """C (2l1+1, 2l2+1, 2l3+1), real: y_k = sum_ij C_ijk a_i b_j is the part of a (x) b that turns with D^l3.

    By equation (2).  Laws: sum_ij C_ijk C_ijk' = delta_kk'; C(D1 a, D2 b) = D3 C(a, b); exchanging the factors,
    C_l1l2 to C_l2l1, costs (-1)^(l1+l2+l3).  Zero unless |l1-l2| <= l3 <= l1+l2.  Read-only; ValueError for l < 0.
    """
    l1, l2, l3 = _check_degrees(l1, l2, l3)
    C = _complex_clebsch_gordan(l1, l2, l3)
    for V in (complex_from_real(l1), complex_from_real(l2), complex_from_real(l3).conj()):     # V = U^dagger
        C = C.reshape(len(V), -1).T @ V                        # sums over the first index, the new one comes last
    C = ((-1j) ** (l1 + l2 - l3) * C).real
    return _frozen(C.reshape(2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))


def _complex_clebsch_gordan(l1, l2, l3):
    """All coefficients of equation (1): S is the product of two Toeplitz matrices of binomials, in exact integers."""
    C = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    if not _triangle(l1, l2, l3):
        return C
    n1, n2, n3 = l1 + l2 - l3, l1 - l2 + l3, -l1 + l2 + l3
    integer = np.int64 if l1 + l2 + l3 < 62 else object        # |S| <= 2^(l1+l2+l3); beyond, Python's own integers
    t, a, b = np.arange(n1 + 1), np.arange(2 * l1, -1, -1), np.arange(2 * l2 + 1)      # a = l1 - m1, b = l2 + m2
    signed = _pascal(n1, integer) * (1 - 2 * (t % 2))
    S = (_toeplitz(_pascal(n2, integer), a, t) * signed) @ _toeplitz(_pascal(n3, integer), b, t).T
    i, j = np.nonzero(np.abs(a[:, None] - l1 - b + l2) <= l3)  # |m1 + m2| <= l3
    k = i + j - l1 - l2 + l3                                   # m3 = m1 + m2
    w1, w2, w3 = (_weights(l) for l in (l1, l2, l3))
    C[i, j, k] = math.sqrt(_K(l1, l2, l3)) * S[i, j].astype(float) * (w1[i] * w2[j] * w3[k])
    return C


@functools.cache
def _weights(l):
    """1 / sqrt(binom(2l, l+m)), m = -l..l."""
    return np.array([1 / math.sqrt(comb(2 * l, l + m)) for m in range(-l, l + 1)])


def _toeplitz(row, a, t):
    """T[a, t] = row[a - t], zero outside the row."""
    index = a[:, None] - t
    return np.where((index >= 0) & (index < len(row)), row[index % len(row)], 0)


@functools.cache
def _pascal(n, integer):
    """binom(n, k) for k = 0..n."""
    return np.array([comb(n, k) for k in range(n + 1)], integer)


@_cached
def wigner_3j(l1, l2, l3):
    """The same tensor with Frobenius norm 1, C / sqrt(2 l3+1): an invariant of three irreps, in e3nn's sign."""
    C = clebsch_gordan(l1, l2, l3)
    return _frozen(C / math.sqrt(C.shape[2]))


@_cached
def gaunt(l1, l2, l3):
    """G (2l1+1, 2l2+1, 2l3+1): the integral of Y_l1 Y_l2 Y_l3 over the sphere, `integral` normalisation.

    G = sqrt((2l1+1)(2l2+1)/(4 pi (2l3+1))) <l1 0 l2 0|l3 0> C up to the sign of the phase in equation (2),
    i^(l1+l2-l3), which is real here: G vanishes where l1+l2+l3 is odd.  Source: Edmonds (4.6.3).
    """
    l1, l2, l3 = _check_degrees(l1, l2, l3)
    if (l1 + l2 + l3) % 2:
        return _frozen(np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1)))
    phase = _parity((l1 + l2 - l3) // 2)
    middle = float(exact_clebsch_gordan(l1, 0, l2, 0, l3, 0))
    norm = math.sqrt((2 * l1 + 1) * (2 * l2 + 1) / (4 * math.pi * (2 * l3 + 1)))
    return _frozen(phase * norm * middle * clebsch_gordan(l1, l2, l3))


@_cached
def complex_from_real(l):
    """U^dagger (2l+1, 2l+1), complex and unitary: Y_complex = U^dagger Y_real, rows and columns m = -l..l.

    Y_complex carries the sign of Condon and Shortley, Y_real none:  Y_m = (-1)^m (Y_{+m} + i Y_{-m}) / sqrt 2 and
    Y_{-m} = (Y_{+m} - i Y_{-m}) / sqrt 2, for m > 0.
    """
    l, = _check_degrees(l)
    U = np.zeros((2 * l + 1, 2 * l + 1), complex)
    U[l, l] = 1
    for m in range(1, l + 1):
        U[l + m, l + m], U[l + m, l - m] = (-1) ** m / math.sqrt(2), 1j * (-1) ** m / math.sqrt(2)
        U[l - m, l + m], U[l - m, l - m] = 1 / math.sqrt(2), -1j / math.sqrt(2)
    return _frozen(U)


def _frozen(array):
    """The array, read-only: it is cached and shared."""
    array.flags.writeable = False
    return array


def _check_degrees(*degrees):
    return [check_degree(l, f"each of the degrees {degrees}") for l in degrees]


def _check_components(*components):
    for m in components:
        if isinstance(m, bool) or not isinstance(m, int | np.integer):
            raise ValueError(f"components m must be integers; got {components}")
    return [int(m) for m in components]
