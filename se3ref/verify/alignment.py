"""Two molecules compared: is one the other turned, its mirror image, or neither?"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from se3ref.systems.structure import Structure

TRIED = 1000                    # starting rotations tried beyond those that the tolerance asks for
POLISHED = 8                    # of them, those whose assignment is then refined
BATCH = 2_000_000               # numbers held at once: starting rotations x atoms x atoms


@dataclass(frozen=True, eq=False)
class Alignment:
    """b's atom permutation[k] lies where `R @ r_k + translation` brings atom k of a, up to `residual`.

    residual: float, root mean square distance over the atoms, angstrom;  R (3,3);  translation (3,), angstrom;
    permutation (n,), int.
    """
    residual: float
    R: np.ndarray
    translation: np.ndarray
    permutation: np.ndarray


@dataclass(frozen=True, eq=False)
class Congruence:
    """What `congruence` found.

    by_rotation, by_reflection: the best Alignment with det R = 1 and with det R = -1; None where the species differ.
    tolerance: angstrom, what the verdict holds the residuals against.
    """
    by_rotation: Alignment | None
    by_reflection: Alignment | None
    tolerance: float

    @property
    def rotation(self):
        """The residual after the best rotation found, angstrom; inf where the species differ."""
        return math.inf if self.by_rotation is None else self.by_rotation.residual

    @property
    def reflection(self):
        """The residual after the best rotation of the mirror image, angstrom; inf where the species differ."""
        return math.inf if self.by_reflection is None else self.by_reflection.residual

    @property
    def verdict(self):
        """"same": one structure, turned;  "mirror": its mirror image, not itself;  "different": neither."""
        if self.rotation <= self.tolerance:
            return "same"
        return "mirror" if self.reflection <= self.tolerance else "different"

    @property
    def achiral(self):
        """Whether both residuals vanish: one structure, and its own mirror image."""
        return max(self.rotation, self.reflection) <= self.tolerance

    def __str__(self):
        return (f"{self.verdict}: {self.rotation:.2g} angstrom after a rotation, {self.reflection:.2g} after a "
                f"reflection (tolerance {self.tolerance:.2g})")


def congruence(a, b, tolerance=1e-6):
    """Are two molecules related by a rotation, by a reflection, or not at all?  Returns a `Congruence`.

    Sought are R in O(3), t and a permutation p that keeps the species, with the least

        residual^2 = (1/n) sum_k |R a_k + t - b_p(k)|^2 ,

    once with det R = 1 and once with det R = -1.  The best t brings the centroid of a to that of b, so both are
    moved there first.  tolerance: angstrom, the largest residual that counts as none.  Cells that do not repeat and
    total charges play no part.  TypeError for what is no Structure, ValueError for one that is periodic.

    **How.**  Two anchors are chosen in a: i farthest from the centroid, j farthest from the line through i.  Where
    they go, (i, j) -> (k, l), fixes R.  Every pair (k, l) of b is a start: its R by `kabsch`, for every atom the
    nearest of its species, and from this assignment R again.  Pairs are tried in the order of a mismatch, the sum of
    squares of three differences: sorted distances from i to all atoms and those from k (root mean square), the same
    for j and l, and |ij| - |kl|.  The starts that come nearest are refined: best assignment, best R, in turns.

    **"same" and "mirror" are proofs**: R, t and p are there, and the residual is computed from them.

    **Nothing within the tolerance is missed**, if the tolerance is small against the least distance s between like
    atoms of b.  Let R*, p* have a residual <= tolerance; then the squared distances that it leaves sum to d^2 at
    most, d = sqrt(n) tolerance.  Sorting brings two lists only nearer to each other, and (u + v)^2 <= 2u^2 + 2v^2, so
    the mismatch of the pair (p*(i), p*(j)) is at most 4 (n + 1) tolerance^2 <= 8 d^2: up to there every pair is
    tried.  Its R leaves the anchors within d of k and l, as R* does, so from R* to R they move by e <= 2d.  What does
    that do to an atom w?  A turn moves a point in proportion to its distance from an axis, and such a distance is a
    seminorm.  Split w into its parts along i, along j across i, and along the third direction: the first is no longer
    than i, the other two together no longer than j's part across i.  At these lengths they move by at most e, 2e and
    sqrt(5) e, so w moves by at most e + 3e <= 8d.  All atoms are then within 9d of their true images, which are the
    nearest if 18 sqrt(n) tolerance < s.  The assignment found is p*, and for that `kabsch` is exact.

    **The residual of different structures is an upper bound** of the least one: beyond that tolerance this is a
    search that can stop short.  It is made from a to b and from b to a.  Copies of a hundred atoms with noise of some
    hundredths of an angstrom find their own; hundreds of like atoms on a sphere may not.
    Source: Umeyama, IEEE Trans. Pattern Anal. 13 (1991) 376, for R.
    """
    check_finite(a, b)
    if not tolerance > 0:
        raise ValueError(f"tolerance is a length above 0, in angstrom; got {tolerance!r}")
    order_a, order_b = (np.argsort(s.numbers, kind="stable") for s in (a, b))
    numbers = a.numbers[order_a]
    if not np.array_equal(numbers, b.numbers[order_b]):
        return Congruence(None, None, tolerance)
    x, y = (s.positions[order] - s.positions.mean(0) for s, order in ((a, order_a), (b, order_b)))
    found = []
    for hand in (1, -1):
        p = order_b[_best(x, y, numbers, tolerance, hand)][np.argsort(order_a)]
        found.append(_alignment(a.positions, b.positions, p, hand))
    return Congruence(*found, tolerance)


def kabsch(x, y, hand=1):
    """The R with det R = hand that brings x nearest to y: arrays (..., n, 3) of matched rows -> (..., 3, 3).

    sum_k |R x_k - y_k|^2 = const - 2 tr(R^T H) with H = sum_k y_k x_k^T = U S V^T, its singular values s1 >= s2 >= s3.
    With Z = U^T R V, tr(R^T H) = sum_k s_k Z_kk.  Z is orthogonal, so no Z_kk is above 1, and Z = 1 is best where
    its determinant, hand det(U V), is 1.  Where that is -1, the eigenvalues of Z are -1 and exp(+-iw), so tr Z <= 1:
        sum_k s_k Z_kk = s3 tr Z + (s1 - s3) Z_11 + (s2 - s3) Z_22 <= s1 + s2 - s3 ,
    which Z = diag(1, 1, -1) reaches: the smallest singular value pays.  R = U Z V^T.
    Source: Kabsch, Acta Cryst. A 34 (1978) 827; Umeyama (1991), lemma.
    """
    U, _, Vt = np.linalg.svd(np.swapaxes(y, -1, -2) @ x)
    Z = np.ones(U.shape[:-1])
    Z[..., 2] = hand * np.sign(np.linalg.det(U @ Vt))
    return (U * Z[..., None, :]) @ Vt


def check_finite(*structures):
    """TypeError or ValueError unless these are Structures that do not repeat."""
    for structure in structures:
        if not isinstance(structure, Structure):
            raise TypeError(f"two Structures are compared; got {type(structure).__name__}: "
                            f"Structure(numbers, positions) makes one")
        if structure.pbc.any():
            raise ValueError(f"only molecules are compared; this structure is periodic along {structure.pbc.tolist()}: "
                             f"cut out a piece, with pbc=False")


# --- the search: positions centred, atoms sorted by species ---------------------------------------------------

def _best(x, y, numbers, tolerance, hand):
    """The best permutation found, y[p] matched to x, for det R = hand."""
    p = _search(x, y, numbers, *_starts(x, y, numbers, tolerance), hand)
    if _alignment(x, y, p, hand).residual <= tolerance:
        return p
    other = np.argsort(_search(y, x, numbers, *_starts(y, x, numbers, tolerance), hand))     # perhaps better anchors
    return min((p, other), key=lambda q: _alignment(x, y, q, hand).residual)


def _starts(x, y, numbers, tolerance):
    """Anchors (i, j) of x, and the pairs (m,2) of y that they may go to, by mismatch, the least first."""
    i = int((x * x).sum(1).argmax())
    j = int((np.cross(x, x[i]) ** 2).sum(1).argmax())
    Dx, Dy = cdist(x, x), cdist(y, y)
    Fx, Fy = _fingerprints(Dx, numbers), _fingerprints(Dy, numbers)
    other = np.where(numbers[:, None] == numbers, 0.0, np.inf)         # no atom goes to another species
    to_k, to_l = cdist(Fx[[i, j]], Fy, "sqeuclidean") / len(x) + other[[i, j]]
    mismatch = to_k[:, None] + to_l + (Dx[i, j] - Dy) ** 2
    like = (Dy + other)[Dy > 0].min(initial=np.inf)
    asked = 8 * min(np.sqrt(len(x)) * tolerance, like / 18) ** 2       # beyond like / 18 nothing is promised
    order = np.argsort(mismatch, axis=None)[:np.isfinite(mismatch).sum()]
    tried = max(int((mismatch <= asked).sum()), TRIED)
    return [i, j], np.stack(np.unravel_index(order[:tried], mismatch.shape), 1)


def _fingerprints(D, numbers):
    """Of every atom the distances to all atoms, sorted within each species; (n,n)."""
    return np.hstack([np.sort(D[:, numbers == z], axis=1) for z in np.unique(numbers)])


def _search(x, y, numbers, anchors, images, hand):
    """The permutation y[p] that the starts lead to, for det R = hand."""
    apart = np.where(numbers[:, None] == numbers, 0.0, np.inf)
    n, step = len(x), max(1, BATCH // len(x) ** 2)
    p = np.concatenate([_nearest(x, y, apart, kabsch(x[anchors], y[images[k:k + step]], hand))
                        for k in range(0, len(images), step)])
    squares = _squares(x, y[p], kabsch(x, y[p], hand))
    one_to_one = (np.sort(p, axis=1) == np.arange(n)).all(1)
    chosen = {int(np.where(one_to_one, squares, np.inf).argmin()), *np.argsort(squares)[:POLISHED].tolist()}
    polished = [_polished(x, y, apart, kabsch(x, y[p[k]], hand), hand) for k in sorted(chosen)]
    return min(polished, key=lambda result: result[0])[1]


def _nearest(x, y, apart, R):
    """For each R (b,3,3) and each atom of R x the nearest of its species in y, by |y|^2 - 2 (R x).y; (b,n)."""
    return ((y * y).sum(1) + apart - 2 * (x @ np.swapaxes(R, -1, -2)) @ y.T).argmin(2)


def _polished(x, y, apart, R, hand):
    """Best assignment for R, best R for it, and so on while the sum of squares falls: (sum, permutation)."""
    before, best = np.inf, None
    while True:
        p = linear_sum_assignment(cdist(x @ R.T, y, "sqeuclidean") + apart)[1]
        R = kabsch(x, y[p], hand)
        squares = float(_squares(x, y[p], R))
        if not squares < before:
            return before, best
        before, best = squares, p


def _squares(x, y, R):
    """sum_k |R x_k - y_k|^2 for arrays (..., n, 3) of matched rows."""
    return ((x @ np.swapaxes(R, -1, -2) - y) ** 2).sum((-2, -1))


def _alignment(x, y, p, hand):
    """The best Alignment of rows x to y[p]; the residual from what it holds, not from the sum of singular values."""
    R = kabsch(x - x.mean(0), y[p] - y.mean(0), hand)
    t = y.mean(0) - R @ x.mean(0)
    return Alignment(float(np.sqrt(((x @ R.T + t - y[p]) ** 2).sum(1).mean())), R, t, p)
