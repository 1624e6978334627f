r"""The symmetry spectrometer: which spurious degrees does a model's output carry, how much of each, and whence?

**A function on the group.**  Turn a structure x by R, and let f(R) be what the model says of R x.  If it should turn
by rho, then

    g(R) = rho(R)^-1 f(R)                                                                                  (1)

is a constant if and only if the model is equivariant on the orientations of x: f(R) = rho(R) f(1) for every R.

**Its degrees.**  Let < > be the average over rotations.  <D^l_mn D^l'_m'n'> is 1/(2l+1) if all indices agree and
else 0 (Schur), and only zero is orthogonal to every D^l_mn (Peter and Weyl).  So

    g(R) = sum_l (2l+1) sum_mn G^l_mn D^l_mn(R),     G^l_mn = <g D^l_mn>,                                  (2)
    <|g|^2> = sum_l S_l,                             S_l = (2l+1) sum_mn |G^l_mn|^2.                       (3)

S_0 = |<g>|^2 is the equivariant part: rho(R) <g> is what averaging over the group would make of the model.  S_l with
l > 0 is spurious power.  A quadrature exact up to degree 2 lmax keeps the D^l with l <= lmax orthogonal on its nodes,
so the S_l are exact if g has no degree above lmax.  If it has, some of that is taken for lower degrees.  That shows:
in the remainder <|g|^2> - sum_{l <= lmax} S_l, never negative, and in the error of (2) at rotations that are no nodes.

**Mirrors.**  g(-R), the improper half of O(3), is another function on the rotations.  The degrees of
(g(R) - g(-R))/2 turn over in a mirror, those of (g(R) + g(-R))/2 do not, and their powers add up to the average of
the powers of g(R) and g(-R).  The odd part is spurious, degree 0 included: that is a model that turns as it should
and gives mirror images different values.

**Two sides.**  D(QR) = D(Q) D(R), so the rows m of G^l belong to the laboratory, the columns to the structure.  Where
the model keeps the turns Q of the laboratory alone, f(QR) = rho(Q) f(R), there g(QR) = g(R).  Of a Cartesian mesh
these are the 24 turns of a cube (the degrees 0, 4, 6, 8, 9... have functions that they leave alone), if R turns about
a point in which the mesh has a cube's symmetry, such as one of its own.  With the average over these Q,

    cubic = <|<g(QR)>_Q - <g>|^2> / <|g - <g>|^2>                                                          (4)

is 1 there, and 1/24 or less for most else.  Along turns about an axis g is a sum of cos m a and sin m a; k
longitudes leave m = 0, k, 2k..., one preferred direction m = 0 alone.  Both are measured along orbits, and not by (2):
so they hold for a mesh however fine.

**Noise.**  The fourth difference of g along steps of 1e-4 radian leaves nothing of a smooth function; of rounding,
another number at every call, it leaves the variance times 1 + 16 + 36 + 16 + 1 = 70.  A variance s^2 in every value
puts s^2 (2l+1)^2 sum_k w_k^2 into degree l, for quadrature weights w_k; what lies beyond lmax adds as much at most.

Sources: Peter and Weyl, Math. Ann. 97 (1927) 737; for the quadrature, Kostelec and Rockmore, J. Fourier Anal. Appl. 14
(2008) 145; for the noise, Moré and Wild, SIAM J. Sci. Comput. 33 (2011) 1292.
"""

import itertools
import math

import numpy as np
from tqdm import tqdm

from se3ref.so3 import Irreps, random_rotation, rotation_from_vector, rotation_quadrature, wigner_D
from se3ref.verify.spectrum import SymmetrySpectrum

CUBE = np.array([np.array(signs)[:, None] * np.eye(3)[list(order)] for order in itertools.permutations(range(3))
                 for signs in itertools.product([1, -1], repeat=3)])
CUBE = CUBE[np.linalg.det(CUBE) > 0]                           # its 24 turns
TURNS = 32                      # about an axis, evenly spaced
ABOUT = {name: rotation_from_vector(2 * np.pi / TURNS * np.outer(np.arange(TURNS), axis))
         for name, axis in zip("xyz", np.eye(3), strict=True)}
ORBITS, CIRCLES, PLACES = 4, 4, 12             # random rotations: for CUBE, for each axis of ABOUT, for the noise
STEP = 1e-4                     # radian: above the rounding of positions in float32, far below any smooth structure
FOURTH = np.array([1.0, -4.0, 6.0, -4.0, 1.0])


def symmetry_spectrum(f, irreps="0e", lmax=6, mirrors=True, rng=None, progress=False):
    """Take f apart into degrees over all rotations of one structure: a `SymmetrySpectrum`; `print` it for the table.

    f: takes R (3,3) and returns the model's output for the structure turned by R, an array (..., irreps.dim), or a
    number for a scalar; `turned` makes it.  irreps: of the last axis of the output, "1o" for forces of shape (n,3).
    lmax: 2 or more, up to which degree; a wrong coefficient of a path 2x2->2 reaches 6.  mirrors: whether improper R
    are tried too.  rng: draws the random rotations.  progress: whether a bar shows it.
    f is called (lmax+1) (2 lmax+1)^2 times, twice that with mirrors, and 540 times more: 2906 times by default.
    ValueError for outputs of another shape, NaN, or where f is zero.

    **Limits.**  One structure at a time, and only its rotations about one point: its own symmetry can hide a bug, and
    a dropped or doubled path is equivariant.  Translations are another law.  What turns a cell with its atoms, as
    `Structure.rotated` does, also turns a mesh that follows the cell.
    """
    irreps, rng = Irreps(irreps), np.random.default_rng(0) if rng is None else rng
    if not isinstance(lmax, int | np.integer) or lmax < 2:
        raise ValueError(f"lmax is an integer from 2 on: its last two degrees show how it falls; got {lmax!r}")
    where, w = _rotations(lmax, mirrors, rng)
    g, eps = _pulled_back(f, irreps, where, progress)
    halves, even = _centred([g["nodes"], g["mirrored"]] if mirrors else [g["nodes"]], w)
    G = [np.array([_coefficients(l, where["nodes"], w, half) for half in halves]) for l in range(lmax + 1)]
    proper = [each[0] for each in G]
    power, odd = (np.array([(2 * l + 1) * part(each) for l, each in enumerate(G)]) for part in (_both, _odd))
    turning = np.mean([w @ ((half - each) ** 2).sum(1) for half, each in zip(halves, G[0][:, 0, 0], strict=True)])
    total = turning + power[0] + even @ even                   # before even is added, power[0] is odd[0]
    if total == 0:
        raise ValueError("f is zero at every rotation: there is nothing to take apart")
    noise = max(_noise(g["near"]), eps * eps * total)
    beyond = max(turning - power[1:].sum(), 0.0)               # the subtraction may round below zero
    power[0] += even @ even
    others = {name: g[name] - even for name in ("cube", *ABOUT)}
    return SymmetrySpectrum(
        power / total, odd / total if mirrors else None, float(turning / total), float(beyond / total),
        _error(np.concatenate([where[name] for name in others]), np.concatenate(list(others.values())), proper) / total,
        float(noise / total), (w @ w) * (2 * np.arange(lmax + 1) + 1) ** 2, _cubic(others["cube"] - proper[0][0, 0]),
        {axis: _by_m(others[axis] - proper[0][0, 0]) for axis in ABOUT}, math.sqrt(total),
        sum(map(len, where.values())))


def turned(of_structure, structure):
    """R -> of_structure(structure turned by R about the origin, its cell too): the f of `symmetry_spectrum`."""
    return lambda R: of_structure(structure.rotated(R))


# --- rotations, and values at them ----------------------------------------------------------------------------

def _rotations(lmax, mirrors, rng):
    """{name: rotations (n,3,3)}, and the quadrature weights of its "nodes" and "mirrored"."""
    R, w = rotation_quadrature(2 * lmax)
    R = random_rotation(rng) @ R @ random_rotation(rng)        # still exact, and no node lies on an axis of symmetry
    return {"nodes": R, "mirrored": -R if mirrors else R[:0], "cube": _orbits(CUBE, ORBITS, rng),
            **{axis: _orbits(turns, CIRCLES, rng) for axis, turns in ABOUT.items()}, "near": _near(rng)}, w


def _orbits(turns, n, rng):
    """Each of the turns (k,3,3) after each of n random rotations: (k n, 3, 3)."""
    return (turns[:, None] @ random_rotation(rng, n)).reshape(-1, 3, 3)


def _near(rng):
    """Five steps along each of PLACES short arcs: (5 PLACES, 3, 3)."""
    R, axes = random_rotation(rng, PLACES), random_rotation(rng, PLACES)[:, 0]
    return np.concatenate([R @ rotation_from_vector(k * STEP * axes) for k in range(-2, 3)])


def _values(f, irreps, rotations, progress):
    """f at rotations (n,3,3), checked: (n, rows, irreps.dim)."""
    found = []
    for R in tqdm(rotations, disable=not progress, unit="rotation"):
        y = np.asarray(f(R), float)
        y = y.reshape(1) if y.ndim == 0 else y
        if y.shape[-1] != irreps.dim:
            raise ValueError(f"f must return an array whose last axis is {irreps.dim} long, for {irreps}; "
                             f"got shape {y.shape}")
        if not np.isfinite(y).all():
            raise ValueError(f"f must return finite numbers; got NaN or infinity at R = {R.tolist()}")
        found.append(y.reshape(-1, irreps.dim))
    return np.array(found)


def _pulled_back(f, irreps, where, progress):
    """(1) at rotations {name: (n,3,3)}, as {name: (n, entries)}, and eps of the precision in which the values came."""
    R = np.concatenate(list(where.values()))
    y = _values(f, irreps, R, progress)
    eps = np.finfo(np.float32 if (y == y.astype(np.float32)).all() else float).eps
    g = (y @ irreps.D(R)).reshape(len(R), -1)                  # y rho = rho^-1 y, since rho is orthogonal
    cuts = np.cumsum([len(each) for each in where.values()])
    return dict(zip(where, np.split(g, cuts[:-1]), strict=True)), float(eps)


# --- powers ---------------------------------------------------------------------------------------------------

def _centred(halves, w):
    """(g - <g> of each half, <g>), the average over all halves: what is constant would round into every degree."""
    first = halves[0][0]
    mean = np.mean([w @ (half - first) for half in halves], axis=0)
    return [half - first - mean for half in halves], first + mean


def _coefficients(l, R, w, g):
    """G^l of (2): (2l+1, 2l+1, entries)."""
    D = wigner_D(l, R).reshape(len(R), -1)
    return (D.T @ (w[:, None] * g)).reshape(2 * l + 1, 2 * l + 1, -1)


def _both(G):
    """The average power of the halves that are there; (halves, ...)."""
    return (G * G).sum() / len(G)


def _odd(G):
    """The power of half their difference."""
    return ((G[0] - G[-1]) ** 2).sum() / 4


def _error(R, g, G):
    """Mean square of g - (2)."""
    rest = g - sum((2 * l + 1) * np.einsum("kmn,mne->ke", wigner_D(l, R), each) for l, each in enumerate(G))
    return float((rest * rest).sum(1).mean())


def _cubic(g):
    """(4), for g - <g> on orbits of the cube."""
    g = g.reshape(len(CUBE), -1)
    return float((g.mean(0) ** 2).sum() / ((g * g).mean(0).sum() or 1.0))


def _by_m(g):
    """Shares of |m| = 0..16, for g - <g> along turns about an axis."""
    waves = np.abs(np.fft.rfft(g.reshape(TURNS, -1), axis=0)) ** 2
    shares = waves.sum(1) * ([1] + [2] * (TURNS // 2 - 1) + [1])       # m and -m
    return shares / (shares.sum() or 1.0)


def _noise(g):
    """The variance of a value, all entries together; two places are left out, since a step may cross a jump."""
    differences = np.tensordot(FOURTH, g.reshape(len(FOURTH), PLACES, -1), 1)
    return float(np.sort((differences * differences).sum(1))[:-2].mean() / (FOURTH @ FOURTH))
