"""How far a target reaches: smooth where neighbours come and go, additive for what is far apart, and not inert."""

from dataclasses import replace

import numpy as np

from se3ref.systems import Structure, neighbor_graph
from se3ref.systems.structure import SYMBOLS
from se3ref.verify.differences import largest_jump, noise_level
from se3ref.verify.specimens import BREAKS, Specimen
from se3ref.verify.subjects import FACTOR, Case, NotMeasured

FAR = (50.0, 100.0)                     # angstrom between fragments
SCAN = np.arange(0.0, 15.0, 0.1)        # angstrom, how far a dimer is stretched
WIGGLE = np.arange(-0.3, 0.301, 0.015)  # angstrom, along a random line through a larger structure
BESIDE = [lambda u, s=s: s * (1e-3 + u) for s in (-1, 1, 2)]   # lines that begin a little off a jump: the noise there
REACH = 6.0                             # angstrom: pairs of elements nearer than that are bonded, or next to it
DOUBLE, SINGLE = 1e-11, 1e-4            # relative noise of forces up to which a program computes in that precision


def response(subject, rng):
    """The target depends on positions, somewhere: a constant obeys every law of invariance."""
    if len(subject.structure) == 1:
        raise NotMeasured("moving one atom moves the whole")
    return [Case(name, "", float(not np.abs(subject.moved[name] - rows).max() > 0), 0.0, 0.0,
                 "it did not change when every atom moved") for name, rows in subject.values.items()]


def precision(subject, rng, claimed=None):
    """The noise of the values, relative to the largest: of double precision up to 1e-11, of single up to 1e-4.

    claimed: "float64", where noise of single precision breaks a promise.
    """
    allowed = DOUBLE if claimed == "float64" else SINGLE
    again = subject.target.observe(subject.structure)
    cases = []
    for name, rows in subject.values.items():
        if len(rows) == 1 and subject.kind(name).per == "atom":
            continue                                           # of one atom alone: zero, with nothing to compare it to
        noise = max(subject.noise[name], float(np.abs(again[name] - rows).max()))
        cases.append(Case(name, "relative", noise / (subject.scale(name) or 1.0), DOUBLE, allowed / FACTOR))
    return cases


def smoothness(subject, rng):
    """Energy and forces have no jumps: as two atoms are pulled apart, or along a random line through many."""
    s, known, cases = subject.structure, {}, []
    two = len(s) == 2 and not s.pbc.any()
    at, grid = (_stretched(s), SCAN) if two else (subject.line(0), WIGGLE)

    def observed(name, t):
        if t not in known:
            known[t] = subject.target.observe(at(t))
        return known[t][name].ravel()
    for name in ("energy", "forces", "tensor"):
        if name in subject.values:
            size, t = largest_jump(lambda t, name=name: observed(name, t), grid, FACTOR * subject.noise[name])
            if not size:
                cases.append(subject.case(name, size))
                continue
            there = noise_level(lambda u, t=t: subject.target.observe(at(t + u)), BESIDE)[name]
            cases.append(subject.case(name, size, f"jumps {_place(at, t, two)}", floor=there,
                                      trace=_trace(at, t, two, known, name)))
    return cases


def _trace(at, t, two, known, name):
    """The entry that jumps most, as far as it was looked at within half an angstrom of the jump."""
    near = sorted(x for x in known if abs(x - t) < 0.5)
    rows = np.array([known[x][name].ravel() for x in near])
    k = np.abs(np.diff(rows, axis=0)).max(0).argmax()
    start = _distance(at(0.0)) if two else 0.0
    return {"x": [start + x for x in near], "y": rows[:, k].tolist(),
            "x_label": "distance (angstrom)" if two else "displacement (angstrom)", "y_label": f"one entry of {name}"}


def _place(at, t, two):
    return f"at {_distance(at(t)):.4f} angstrom" if two else f"{t:+.4f} angstrom along a line"


def _stretched(s):
    """t -> two atoms, t farther apart."""
    axis = s.positions[1] - s.positions[0]
    axis = axis / np.sqrt((axis * axis).sum())
    return lambda t: replace(s, positions=s.positions + t * np.array([np.zeros(3), axis]))


def _distance(s):
    return float(np.sqrt(((s.positions[1] - s.positions[0]) ** 2).sum()))


def dimers(specimens, at_most=6):
    """Two atoms for every pair of elements in the specimens, at .75 of the least distance there: where scans begin."""
    nearest = {}
    for specimen in specimens:
        graph = neighbor_graph(specimen.structure, REACH)      # with images: a crystal of one atom has a dimer too
        ends = graph.numbers[np.stack([graph.receivers, graph.senders], 1)]
        for (a, b), d in zip(np.sort(ends, axis=1).tolist(), np.sqrt((graph.vec**2).sum(1)), strict=True):
            nearest[a, b] = min(nearest.get((a, b), np.inf), d)
    chosen = sorted(nearest, key=lambda pair: (pair[0] != pair[1], pair))[:at_most]
    return [Specimen(f"dimer {SYMBOLS[a]}-{SYMBOLS[b]}", Structure([a, b], [[0, 0, 0], [0, 0, 0.75 * nearest[a, b]]]))
            for a, b in chosen]


# --- fragments ------------------------------------------------------------------------------------------------

def extensivity(subject, rng):
    """Two copies far apart: energies add, forces are those of each alone.

    Where something is left at 100 angstrom, the power with which it falls from 50 on tells long range from a mistake.
    """
    def expected(name, rows):
        return 2 * rows if subject.kind(name).per == "sum" else np.concatenate([rows, rows])
    return _falling(subject, rng, ("sum", "atom"), lambda pair, n: pair, expected)


def locality(subject, rng):
    """What belongs to atoms does not change when others, far away, move: two copies, one of them deformed."""
    change = 0.1 * rng.standard_normal(subject.structure.positions.shape)      # the same at both distances

    def deformed(pair, n):
        return replace(pair, positions=np.concatenate([pair.positions[:n], pair.positions[n:] + change]))
    return _falling(subject, rng, ("atom",), deformed, lambda name, rows: rows)


def _falling(subject, rng, per, change, expected):
    """Cases of pairs of copies of the atoms, without their cell, at the distances FAR."""
    s = Structure(subject.structure.numbers, subject.structure.positions)
    try:
        alone = subject.target.observe(s) if subject.structure.pbc.any() else subject.values
    except BREAKS as error:
        raise NotMeasured(f"it cannot do atoms without a cell: {type(error).__name__}: {error}") from None
    wanted = {name: expected(name, rows) for name, rows in alone.items()
              if name in subject.values and subject.kind(name).per in per}
    if not wanted:
        raise NotMeasured("nothing that it gives adds over parts or belongs to atoms")
    axis, left = rng.standard_normal(3), []
    for distance in FAR:
        away = s.positions + distance * axis / np.sqrt((axis * axis).sum())
        pair = Structure(np.tile(s.numbers, 2), np.concatenate([s.positions, away]))
        found = subject.target.observe(change(pair, len(s)))
        left.append({name: float(np.abs(found[name][:len(rows)] - rows).max()) for name, rows in wanted.items()})
    grown, cases = FAR[1] / max(float(np.abs(s.positions).max()), 1.0), []
    for name in wanted:
        near, far = (each[name] for each in left)
        falls = float(np.log2(near / far)) if near > 0 < far else None
        note = "" if falls is None else f"falls from 50 to 100 angstrom with the power {falls:.1f}"
        cases.append(subject.case(name, far, note, grown, falls=falls))
    return cases
