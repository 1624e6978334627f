r"""Probe an unknown function until the matrices show that connect its harmonics, D or couplings with ours.

Three kinds of function are known by how they may be called, and each gives matrices M_l, one a degree:

    harmonics    fn(l, xyz) = M_l Y_l(xyz)                   M_l by least squares over random points            (1)
    Wigner D     fn(l, R) M_l = M_l D_l(R)   active          M_l is the null vector of these linear equations,
                 fn(l, R) M_l = M_l D_l(R^T) passive         by Schur's lemma unique up to a factor             (2)
    couplings    fn(l1, l2, l3) = f (W_l1 (x) W_l2 (x) M_l3) C,   W = M^-T (M* where M is unitary)              (3)

The right side of (3) makes y_k = sum_ij fn_ijk a_i b_j turn as the harmonics M Y do when a and b turn so; with W_l3
in place of M_l3 the number sum_ijk fn_ijk a_i b_j c_k is invariant instead, as for complex 3j symbols.  Since
C (D1 a, D2 b) = D3 C (a, b), equation (3) leaves one rotation, common to all M_l, open: couplings do not say where
the polar axis is.  That freedom is what solves (3).  The path (1,1,0) is g = f W_1 W_1^T / sqrt 3, and any W_1 with
this product will do (`_first_degree`).  The columns of C are orthonormal, so the path (1, l-1, l) then gives M_l:

    f M_l = sum fn_ijk (M_1)_ia (M_{l-1})_jb C_abc                                                              (4)

`conventions.identify` reads off the matrices what they mean.
"""

import dataclasses
import itertools
import textwrap

import numpy as np

from se3ref.backend import real_dtype
from se3ref.so3.coupling import clebsch_gordan, complex_from_real
from se3ref.so3.harmonics import degree, spherical_harmonics
from se3ref.so3.rotations import random_rotation
from se3ref.so3.wigner import wigner_D

LMAX = 4                                                       # degrees probed, as far as the function goes


@dataclasses.dataclass(frozen=True)
class Probe:
    """What probing shows: the kind, {l: M}, the relative residual of (1), (2) or (3) and how much is tolerated."""
    kind: str
    matrices: dict
    residual: float
    tolerance: float
    active: bool | None = None                                 # of D
    tensors: dict | None = None                                # of couplings, {(l1, l2, l3): array}


class _AnotherKind(Exception):
    """The function cannot be called this way, or its answers have another shape."""


def probe(fn):
    """The `Probe` of fn: couplings are tried first, then harmonics, then D.

    ValueError where no way to call fn works, saying what came of each, or where one works but (1), (2) or (3) fails.
    """
    reasons = []
    for kind, ask, fit in (("coupling", _ask_coupling, _fit_coupling), ("harmonics", _ask_harmonics, _fit_harmonics),
                           ("wigner_D", _ask_wigner, _fit_wigner)):
        try:
            answers = ask(fn)
        except _AnotherKind as reason:
            reasons.append(f"as {kind}: {reason}")
            continue
        lowest = max(np.finfo(real_dtype(answer.dtype)).eps for answer in answers.values())
        return fit(answers, float(np.sqrt(lowest)))            # half the digits, as for rotations
    raise ValueError("fn is called as fn(l1, l2, l3), fn(l, xyz (n,3)) and fn(l, R (3,3)), and must answer one of them "
                     "for degrees 0 and 1 at least (wrap it in a lambda where its arguments differ); "
                     + "; ".join(reasons))


def _answers(ask, questions):
    """{question: array} for the questions that fn answers; `questions` maps each to the shapes that are right."""
    answers, refusal = {}, ""
    for question, shapes in questions.items():
        try:
            answer = np.asarray(ask(*question))
        except Exception as error:                             # whatever an unknown function may raise
            refusal = refusal or f"{question} raised {textwrap.shorten(f'{type(error).__name__}: {error}', 200)}"
            continue
        if answer.shape not in shapes or answer.dtype.kind not in "fciu":
            raise _AnotherKind(f"{question} gave shape {answer.shape}, dtype {answer.dtype}, not {shapes}")
        if not np.isfinite(answer).all():
            raise ValueError(f"fn gave NaN or infinity at degree(s) {question}")
        answers[question] = answer
    if not {max(question) for question in answers} >= {0, 1}:
        raise _AnotherKind(refusal)
    return answers


# --- harmonics ------------------------------------------------------------------------------------------------

def _ask_harmonics(fn):
    """Values of degree l alone (n, 2l+1), or of all degrees up to l (n, (l+1)^2): either way the last 2l+1 count."""
    n = len(_points())
    shapes = {(l,): [(n, 2 * l + 1), (n, (l + 1) ** 2)] for l in range(LMAX + 1)}
    return {l: Y[:, -(2 * l + 1):] for (l,), Y in _answers(lambda l: fn(l, _points()), shapes).items()}


def _points():
    """60 random unit vectors, many more than the 2l+1 unknowns of a row of M."""
    x = np.random.default_rng(0).standard_normal((60, 3))
    return x / np.sqrt((x * x).sum(-1, keepdims=True))


def _fit_harmonics(answers, tolerance):
    """Equation (1)."""
    Y = spherical_harmonics(LMAX, _points(), "integral")
    matrices, worst = {}, 0.0
    for l, values in answers.items():
        M = np.linalg.lstsq(Y[:, degree(l)], values)[0].T
        residual = _relative(Y[:, degree(l)] @ M.T - values, values)
        _check("spherical harmonics", f"at degree {l}", residual, tolerance)
        _check_invertible(M, f"the {2 * l + 1} components of degree {l} are not independent", tolerance)
        matrices[l], worst = M, max(worst, residual)
    return Probe("harmonics", matrices, worst, tolerance)


# --- Wigner D -------------------------------------------------------------------------------------------------

def _ask_wigner(fn):
    """fn(l, R) for each of the probing rotations, stacked: (4, 2l+1, 2l+1)."""
    R = _rotations()
    shapes = {(l,): [(len(R), 2 * l + 1, 2 * l + 1)] for l in range(LMAX + 1)}
    return {l: D for (l,), D in _answers(lambda l: np.stack([np.asarray(fn(l, r)) for r in R]), shapes).items()}


def _rotations():
    return random_rotation(np.random.default_rng(1), 4)


def _fit_wigner(answers, tolerance):
    """Equation (2), active or passive, whichever fits better."""
    fits = []
    for active in (True, False):
        matrices, residuals = {}, []
        for l, F in answers.items():
            D = wigner_D(l, _rotations())
            D = D if active else D.swapaxes(1, 2)
            matrices[l] = M = _intertwiner(F, D)
            residuals.append(_relative(F @ M - M @ D, M @ D))
        fits.append(Probe("wigner_D", matrices, max(residuals), tolerance, active=active))
    best = min(fits, key=lambda fit: fit.residual)
    _check("Wigner D matrices", "in fn(l, R) M = M D(R), and with R^T,", best.residual, tolerance)
    return best


def _intertwiner(F, D):
    """The M of Frobenius norm sqrt(2l+1) that minimises sum_R |F M - M D|^2: the last right singular vector."""
    one = np.eye(F.shape[1])
    equations = np.concatenate([np.kron(f, one) - np.kron(one, d.T) for f, d in zip(F, D, strict=True)])
    M = np.linalg.svd(equations, full_matrices=False)[2][-1].conj()
    return M.reshape(one.shape) * np.sqrt(len(one))


# --- couplings ------------------------------------------------------------------------------------------------

def _ask_coupling(fn):
    """All tensors up to the largest degree for which every allowed path is answered."""
    degrees = range(LMAX + 1)
    paths = [p for p in itertools.product(degrees, repeat=3) if abs(p[0] - p[1]) <= p[2] <= p[0] + p[1]]
    answers = _answers(fn, {p: [tuple(2 * l + 1 for l in p)] for p in paths})
    complete = min((max(p) for p in paths if p not in answers), default=LMAX + 1)
    if complete < 2:
        raise _AnotherKind("some paths of degrees 0 and 1 are missing")
    return {p: T for p, T in answers.items() if max(p) < complete}


def _fit_coupling(tensors, tolerance):
    """Equations (3) and (4), with M_l3 or W_l3 at the third index, whichever fits better."""
    fits = []
    for invariant in (False, True):
        matrices = _coupling_matrices(tensors, invariant, tolerance)
        fits.append(Probe("coupling", matrices, coupling_factors(tensors, matrices, invariant)[1], tolerance,
                          tensors=tensors))
    best = min(fits, key=lambda fit: fit.residual)
    _check("coupling tensors", "in C(D1 a, D2 b) = D3 C(a, b)", best.residual, tolerance)
    return best


def coupling_factors(tensors, matrices, invariant):
    """{path: f} of equation (3), with W_l3 at the third index if `invariant`; and the worst relative residual."""
    W = {l: np.linalg.inv(M).T for l, M in matrices.items()}
    largest = max(np.linalg.norm(T) for T in tensors.values())
    factors, worst = {}, 0.0
    for (l1, l2, l3), T in tensors.items():
        C = clebsch_gordan(l1, l2, l3) @ (W if invariant else matrices)[l3].T                # (a,b,k)
        C = np.tensordot(W[l1], W[l2] @ C, 1)                                                # (i,j,k)
        f = np.vdot(C, T) / np.vdot(C, C)
        factors[l1, l2, l3] = f
        worst = max(worst, float(np.linalg.norm(T - f * C) / largest))
    return factors, worst


def _coupling_matrices(tensors, invariant, tolerance):
    """{l: M} by equation (4), each of Frobenius norm sqrt(2l+1)."""
    matrices = {0: np.eye(1), 1: _first_degree(tensors[1, 1, 0][:, :, 0], tolerance)}
    for l in range(2, max(map(max, tensors)) + 1):
        M = np.einsum("ia,jb,ijk,abc->kc", matrices[1], matrices[l - 1], tensors[1, l - 1, l],
                      clebsch_gordan(1, l - 1, l), optimize=True)
        _check_invertible(M, f"the path (1, {l - 1}, {l}) is zero, or not of full rank", tolerance)
        matrices[l] = _sized(np.linalg.inv(M).T if invariant else M)
    return matrices


def _first_degree(g, tolerance):
    """M_1 = W^-T with W W^T = g up to a factor, g (3,3) the coupling of two degrees 1 to a scalar.

    Real components have a diagonal g, W a diagonal of roots.  Complex ones, e^{i m phi}, pair m with -m: g has one
    diagonal entry (m = 0) and one pair p, q (m = -1, +1), and W = H V* with V = `complex_from_real`, H diagonal up
    to order, for which g_00 = f h_0^2 and g_pq = -f h_p h_q.
    """
    _check_invertible(g, "the path (1, 1, 0) is zero, or not of full rank", tolerance)
    row, column = np.nonzero(np.abs(g) > 10 * tolerance * np.abs(g).max())
    if np.array_equal(row, column):
        return _sized(np.diag(1 / _root(np.diagonal(g) / g[0, 0])))
    if len(row) != 3 or not np.array_equal(np.sort(column), row):
        raise ValueError(f"the coupling of two degrees 1 to a scalar is neither that of real components (diagonal) "
                         f"nor that of complex ones (m with -m): {g}")
    middle = row[row == column][0]
    p, q = row[row != column]
    H = np.zeros((3, 3), complex)
    H[p, 0], H[middle, 1], H[q, 2] = 1, 1, -g[p, q] / g[middle, middle]
    return _sized(np.linalg.inv(H @ complex_from_real(1).conj()).T)


def _root(x):
    return np.sqrt(x) if np.isrealobj(x) and (x > 0).all() else np.sqrt(x.astype(complex))


def _sized(M):
    return M * (np.sqrt(len(M)) / np.linalg.norm(M))


# --- what is refused ------------------------------------------------------------------------------------------

def _relative(difference, whole):
    size = np.linalg.norm(whole)
    return float(np.linalg.norm(difference) / size) if size > 0 else np.inf


def _check(what, where, residual, tolerance):
    if not residual <= tolerance:
        raise ValueError(f"these are no {what}: {where} the best fit is off by {residual:.1e} (relative), where "
                         f"{tolerance:.1e}, half the digits of fn's dtype, is tolerated"
                         + (". A function that computes in float32 should return float32" if residual < 1e-3 else ""))


def _check_invertible(M, otherwise, tolerance):
    s = np.linalg.svd(M, compute_uv=False)
    if not s[-1] > tolerance * s[0]:
        raise ValueError(otherwise)
