r"""Other people's conventions, executable: change to them and back, and find out which one a function follows.

`change_of_basis(name, l)` and `names()` come from `bases`, where the conventions are defined and derived.
`identify(fn)` takes a function nobody has documented.  `probing` finds the matrices M_l that connect it with ours;
here they are read.  M = G B, where B is the plain basis of one of the three axes, and if G has one entry in every row
and column, then every component is one m of that axis: the columns give the order, the entries sign and size.
"""

import dataclasses
import itertools

import numpy as np

from se3ref.so3.bases import change_of_basis, condon_shortley, names, plain_basis, scale
from se3ref.so3.probing import coupling_factors, probe

__all__ = ["change_of_basis", "names", "identify", "Report"]


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """What `identify` found; print it.  Degrees l are those that fn answered, 0..4 at most.

        kind             "harmonics", "wigner_D" or "coupling"
        names            the named conventions that fit; where several do, this kind of function cannot tell them apart
        form             "real" (cos m phi, sin m phi), "complex" (exp(i m phi)) or "conjugate" (exp(-i m phi))
        axis             the polar axis, or None: no coordinate axis, or not to be seen from what fn shows
        order            {l: m of each component}; None where components mix several m about every coordinate axis
        factors          {l: what multiplies the plain function of that m, `integral` normalisation}; None as above
        condon_shortley  True, False, or None: the signs in `factors` follow another pattern
        normalization    of harmonics "integral", "component" or "norm"; of D "orthonormal"; of couplings
                         "Clebsch-Gordan" (sum_ij C_ijk C_ijk' = delta_kk') or "3j" (Frobenius norm 1); or "other"
        active           of D: True for fn(l, R) = M D(R) M^-1, False for M D(R^T) M^-1; else None
        paths            of couplings: {(l1, l2, l3): f}, fn = f (W_l1 (x) W_l2 (x) M_l3) C with W = M^-T; else None
        invariant        of couplings: True if W_l3 stands for M_l3, as in complex 3j symbols; else None
        matrices         {l: M}; of harmonics fn = M Y_integral, of D and couplings as above
        residual         relative error with which all this reproduces fn
    """
    kind: str
    names: tuple
    form: str
    axis: str | None
    order: dict | None
    factors: dict | None
    condon_shortley: bool | None
    normalization: str
    active: bool | None
    paths: dict | None
    invariant: bool | None
    matrices: dict
    residual: float

    def matrix(self, l):
        """M of degree l; beyond the degrees probed, that of the named convention.  ValueError if there is none."""
        if l in self.matrices:
            return self.matrices[l]
        if not self.names:
            raise ValueError(f"degree {l} was not probed, and no named convention fits that would give its matrix; "
                             f"the degrees probed are {list(self.matrices)}")
        return change_of_basis(self.names[0], l)

    def __str__(self):
        return _text(self)


def identify(fn):
    """Find out the convention of a function of harmonics, Wigner D matrices or couplings: a `Report`.

    fn is called as fn(l1, l2, l3) -> (2l1+1, 2l2+1, 2l3+1); fn(l, xyz (n,3)) -> (n, 2l+1), or (n, (l+1)^2) for all
    degrees up to l; or fn(l, R (3,3)) -> (2l+1, 2l+1), l = 0, 1 and as many of 2..4 as it knows.  The first way that
    works says what it is; anything that np.asarray takes may come back.  Wrap a function that is called otherwise:

        identify(lambda l, R: their_D(l, *so3.euler_from_rotation("ZYZ", R)))

    What cannot be seen is not guessed: D leaves a factor of each M_l open, couplings besides one rotation common to
    all degrees.  The factor is fixed so that m = 0 is positive.  ValueError for a function that is none of the three,
    with the residual: half the digits of its dtype must agree.
    """
    found = probe(fn)
    fitting = tuple(name for name in names() if _follows(found, name))
    matrices, paths, invariant, residual = found.matrices, None, None, found.residual
    if found.kind == "coupling" and fitting:                   # of all rotations, the one that gives it a name
        matrices = {l: change_of_basis(fitting[0], l) for l in matrices}
    form, axis, order, factors = _read(matrices, 10 * found.tolerance)
    if found.kind != "harmonics" and order:
        phase = {l: factors[l][order[l].index(0)] / abs(factors[l][order[l].index(0)]) for l in order}
        matrices, factors = ({l: part[l] / phase[l] for l in order} for part in (matrices, factors))
    if found.kind == "coupling":
        axis, invariant = None, coupling_factors(found.tensors, matrices, False)[1] > found.tolerance
        paths, residual = coupling_factors(found.tensors, matrices, invariant)
    return Report(found.kind, fitting, form, axis, order, factors, _has_condon_shortley(form, order, factors),
                  _normalization(found.kind, matrices, paths, 10 * found.tolerance), found.active, paths, invariant,
                  matrices, residual)


# --- what the matrices mean -----------------------------------------------------------------------------------

def _follows(found, name):
    """Whether the matrices are those of the named convention: all of M for harmonics, up to a factor for D."""
    bases = {l: change_of_basis(name, l) for l in found.matrices}
    if found.kind == "coupling":
        return any(coupling_factors(found.tensors, bases, invariant)[1] <= found.tolerance
                   for invariant in (False, True))
    for l, M in found.matrices.items():
        B = bases[l]
        factor = 1 if found.kind == "harmonics" else np.vdot(B, M) / np.vdot(B, B)
        if not np.linalg.norm(M - factor * B) <= 10 * found.tolerance * np.linalg.norm(M):
            return False
    return True


def _read(matrices, tolerance):
    """form, axis, order, factors of `Report`: a plain basis in which every M has one entry a row and column.

    Functions exp(i m phi) with falling m are also conjugates with rising m; the reading with rising m is taken.
    """
    readings = []
    for form, axis in itertools.product(("real", "complex", "conjugate"), "yzx"):
        rows = {l: _one_a_row(M @ plain_basis(axis, form, l).conj().T, tolerance) for l, M in matrices.items()}
        if all(rows.values()):
            order, factors = ({l: row[part] for l, row in rows.items()} for part in (0, 1))
            readings.append((form, axis, order, factors))
    if not readings:
        imaginary = any(np.abs(np.imag(M)).max() > tolerance * np.abs(M).max() for M in matrices.values())
        return "complex" if imaginary else "real", None, None, None
    rising = [reading for reading in readings if all(m == sorted(m) for m in reading[2].values())]
    form, axis, order, factors = (rising or readings)[0]
    seen = len({reading[1] for reading in readings}) == 1      # degree 1 alone, real, fits every axis
    return form, axis if seen else None, order, factors


def _one_a_row(G, tolerance):
    """(m of each row, its entry) if G has one entry in every row and column; else None."""
    rows, columns = np.arange(len(G)), np.abs(G).argmax(1)
    entries, rest = G[rows, columns], G.copy()
    rest[rows, columns] = 0
    if len(set(columns)) < len(G) or np.linalg.norm(rest) > tolerance * np.linalg.norm(G):
        return None
    real = np.abs(entries.imag).max() <= tolerance * np.abs(entries).max()
    return (columns - len(G) // 2).tolist(), entries.real if real else entries


def _has_condon_shortley(form, order, factors):
    if order is None:
        return None
    signs = {l: factors[l] / np.abs(factors[l]) for l in order}
    for answer in (False, True):
        if all(np.allclose(signs[l], condon_shortley(form, order[l]) if answer else 1, atol=1e-2) for l in order):
            return answer
    return None


def _normalization(kind, matrices, paths, tolerance):
    """The normalisation's name: every M M^dagger = s^2 1 and s, or every |f|, as one of the names has it."""
    sizes = {}
    for l, M in matrices.items():
        square = np.vdot(M, M).real / len(M)
        if np.linalg.norm(M @ M.conj().T - square * np.eye(len(M))) > tolerance * np.linalg.norm(M) ** 2:
            return "other"
        sizes[l] = np.sqrt(square)
    if kind == "harmonics":
        rules = {name: {l: scale(name, l) for l in sizes} for name in ("integral", "component", "norm")}
    elif kind == "wigner_D":
        return "orthonormal"
    else:
        sizes = {path: abs(f) for path, f in paths.items()}
        rules = {"Clebsch-Gordan": dict.fromkeys(paths, 1.0), "3j": {p: (2 * p[2] + 1) ** -0.5 for p in paths}}
    for name, rule in rules.items():
        if all(abs(sizes[key] - rule[key]) <= tolerance * rule[key] for key in rule):
            return name
    return "other"


# --- the report in words --------------------------------------------------------------------------------------

_KINDS = {"harmonics": "spherical harmonics", "wigner_D": "Wigner D matrices", "coupling": "coupling tensors"}
_PHASES = {"as ours": lambda l1, l2, l3: 1,
           "ours times i^(l1+l2-l3), the phase of Condon and Shortley": lambda l1, l2, l3: 1j ** (l1 + l2 - l3),
           "ours times (-i)^(l1+l2+l3), as in 3j symbols of complex components":
               lambda l1, l2, l3: (-1j) ** (l1 + l2 + l3)}


def _text(report):
    lines = {"convention": _convention_text(report), "polar axis": report.axis or _no_axis_text(report),
             "order": _order_text(report), "signs": _signs_text(report), "normalisation": report.normalization}
    if report.normalization == "other" and report.factors and not report.paths:
        lines["normalisation"] = "other; sizes " + _list(report.factors, lambda f: f"{abs(f):.4g}")
    if report.active is not None:
        lines["sense"] = ("active: fn(l, R) = M D(R) M^-1, it turns the object; fn(R1 R2) = fn(R1) fn(R2)"
                          if report.active else
                          "passive: fn(l, R) = M D(R^T) M^-1, it turns the axes; fn(R1 R2) = fn(R2) fn(R1)")
    if report.paths:
        lines["third index"] = ("as the others: sum_ijk C_ijk a_i b_j c_k is invariant" if report.invariant
                                else "the result's: y_k = sum_ij C_ijk a_i b_j")
        lines["paths"] = _paths_text(report.paths)
    field = "real" if report.form == "real" else "complex"
    title = f"{_KINDS[report.kind]}, {field}, degrees 0..{max(report.matrices)} (residual {report.residual:.0e})"
    return "\n".join([title, *(f"  {label:14} {text}" for label, text in lines.items())])


def _convention_text(report):
    first, *others = report.names or ["none of the named ones"]
    return first + (f" (or {', '.join(others)}: {_KINDS[report.kind]} do not tell them apart)" if others else "")


def _no_axis_text(report):
    if report.kind == "coupling":
        return "not to be seen: couplings stay the same when all degrees are rotated together"
    return "not to be seen in degrees 0 and 1" if report.order else "none of x, y, z: components mix several m"


def _order_text(report):
    if report.order is None:
        return "none: components mix several m"
    others = {l: m for l, m in report.order.items() if m != sorted(m)}
    text = "m = -l..l" + (" but for " + _list(others, lambda m: f"{m:+d}" if m else "0") if others else "")
    return text + {"real": "; cos m phi at +m, sin m phi at -m", "complex": "; exp(i m phi)",
                   "conjugate": "; exp(-i m phi)"}[report.form]


def _signs_text(report):
    if report.condon_shortley is None:
        return _list(report.factors, lambda f: _phase(f / abs(f))) if report.factors else "in the matrices"
    if report.kind == "coupling" and report.form == "real":
        return "Condon-Shortley or none: not to be seen, the two differ by half a turn about the pole"
    return "Condon-Shortley" if report.condon_shortley else "no Condon-Shortley sign"


def _paths_text(paths):
    largest = max(abs(f) for f in paths.values())
    phases = {path: f / abs(f) for path, f in paths.items() if abs(f) > 1e-6 * largest}
    zero = f"; zero on {len(paths) - len(phases)} of {len(paths)} paths" if len(phases) < len(paths) else ""
    for name, rule in _PHASES.items():
        if all(abs(phase - rule(*path)) < 1e-2 for path, phase in phases.items()):
            return name + zero
    differing = [f"{path} {_phase(phase)}" for path, phase in phases.items() if abs(phase - 1) > 1e-2]
    return f"as ours but for {len(differing)} of {len(paths)}: " + ", ".join(differing) + zero


def _list(degrees, show):
    return "; ".join(f"l={l}: " + ", ".join(map(show, values)) for l, values in degrees.items() if l > 0)


def _phase(z):
    for name, value in (("+", 1), ("-", -1), ("+i", 1j), ("-i", -1j)):
        if abs(z - value) < 1e-2:
            return name
    return f"{z:.3f}"
