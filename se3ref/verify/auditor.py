"""The audit: every law, on structures of its own or given ones, held against the target's own noise.

    report = verify.audit(calculator)
    print(report)

What a model says must not depend on where the observer stands, in which order atoms are counted or which cell of a
crystal is drawn; its forces must be a gradient, smooth where neighbours come and go.  Every law is measured as a
violation, in the unit of the quantity, and graded:

    exact           the rounding of double precision explains it
    noise floor     the noise of the target explains it, 30 standard deviations: rounding in single precision, say.  An
                    iteration that stops early, or a sum that is cut, errs the same way every time, which is no noise:
                    with `tolerance` one says what it may amount to
    decays          it falls with distance, as interactions of long range do (extensivity and locality alone)
    broken          neither
    not measured    there is nothing here to measure it on; the note says why

The worst case of each law is kept with its structure and seed, so that it can be measured again: `replay`.
"""

import zlib
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from se3ref.systems import Structure
from se3ref.verify import mechanics, ranges, symmetries
from se3ref.verify.ranges import dimers
from se3ref.verify.reports import ORDER, Finding, Report
from se3ref.verify.specimens import BREAKS, Specimen, can_do, chosen
from se3ref.verify.subjects import FACTOR, Case, NotMeasured, Subject
from se3ref.verify.targets import Target, as_target


@dataclass(frozen=True)
class Law:
    """How a law is measured, how often on each specimen, and whether on dimers or on the first specimen alone.

    somewhere: it holds for a quantity if it holds on one specimen.
    """
    measure: object
    trials: int = 1
    dimers: bool = False
    first: bool = False
    somewhere: bool = False


LAWS = {
    "response": Law(ranges.response, somewhere=True),
    "precision": Law(ranges.precision),
    "rotation": Law(symmetries.rotation, 3),
    "reflection": Law(symmetries.reflection),
    "translation": Law(symmetries.translation, 2),
    "permutation": Law(symmetries.permutation, 2),
    "images": Law(symmetries.images, 2),
    "cell_choice": Law(symmetries.cell_choice, 2),
    "supercell": Law(symmetries.supercell),
    "gradient": Law(mechanics.gradient),
    "curl": Law(mechanics.curl),
    "net_force": Law(mechanics.net_force),
    "torque": Law(mechanics.torque),
    "stress": Law(mechanics.stress),
    "nve": Law(mechanics.nve, first=True),
    "smoothness": Law(ranges.smoothness, dimers=True),
    "extensivity": Law(ranges.extensivity),
    "locality": Law(ranges.locality),
}


@dataclass(frozen=True, eq=False)
class Auditor:
    """A target with the subjects to measure it on; `finding` measures one law.

    subjects: one for every specimen; twos: dimers, for smoothness; refused: {specimen: why} that the target cannot do.
    """
    target: Target
    subjects: list
    twos: list
    refused: dict
    precision: str | None = None
    tolerance: float = 0.0

    @classmethod
    def of(cls, target, structures=None, precision=None, seed=0, irreps=None, per="structure", tolerance=0.0):
        """The arguments are those of `audit`."""
        if precision not in (None, "float32", "float64"):
            raise ValueError(f"precision is 'float64', 'float32' or None; got {precision!r}")
        if not 0 <= tolerance < np.inf:
            raise ValueError(f"tolerance is a violation, 0 or more, in eV and angstrom; got {tolerance!r}")
        target = as_target(target, irreps, per)
        found, refused = chosen(target, structures)
        pairs, not_these = can_do(target, dimers(found))
        subjects, twos = ([Subject(target, specimen, seed) for specimen in each] for each in (found, pairs))
        return cls(target, subjects, twos, refused | not_these, precision, tolerance)

    def finding(self, name):
        """All cases of one law, and what the worst was measured on."""
        law, rows, silent = LAWS[name], [], []
        for subject in (self.subjects[:1] if law.first else self.subjects) + (self.twos if law.dimers else []):
            for trial in range(law.trials):
                try:
                    rows += [(case, subject, trial)
                             for case in _measured(name, subject, trial, self.precision, self.tolerance)]
                except NotMeasured as reason:
                    silent.append(str(reason))
                    break
        statement = law.measure.__doc__.split("\n")[0]
        if not rows:
            return Finding(name, statement, (), None, silent[0])
        if law.somewhere:
            held = {case.quantity for case, *_ in rows if case.verdict != "broken"}
            rows = [row for row in rows if row[0].verdict != "broken" or row[0].quantity not in held]
        rows = _worst_first(rows)
        cases = tuple((subject.specimen.name, case) for case, subject, _ in rows)
        return Finding(name, statement, cases, _described(name, *rows[0], self.precision, self.tolerance))


def audit(target, structures=None, laws="all", precision=None, seed=0, progress=False, irreps=None, per="structure",
          tolerance=0.0):
    """A `Report` of how well a target obeys the laws.

    target: an ASE calculator, a function (species, positions, cell, pbc) -> energy, forces, stress, a model with its
    parameters, "module:factory", or with `irreps` a function to a tensor: see `as_target`.
    structures: Structures or ase.Atoms; None: up to four that the audit makes itself.
    laws: "all", or names of LAWS as a list or with commas between.
    precision: "float64" where the target claims it, and noise of single precision is to count as broken.
    tolerance: a violation up to this, in the unit of its quantity, is what the target's settings allow.
    seed: of everything random.  progress: show a bar.  On an interrupt (Ctrl-C) the report is of the laws measured so
    far, and has not passed.

    ValueError for a law there is not, and where the target can be evaluated on no structure.
    """
    names = _names(laws)
    auditor, findings = Auditor.of(target, structures, precision, seed, irreps, per, tolerance), {}
    with tqdm(names, disable=not progress, unit="law") as bar:
        try:
            for name in bar:
                bar.set_postfix_str(name)
                findings[name] = auditor.finding(name)
        except KeyboardInterrupt:                              # what was measured is kept, and what was not is said
            if not findings:
                raise
    noise = {subject.specimen.name: subject.noise for subject in auditor.subjects}
    units = {name: kind.unit for name, kind in auditor.target.kinds.items()}
    return Report(auditor.target.name, findings, noise, units, auditor.refused, tuple(names[len(findings):]))


def replay(target, worst, irreps=None, per="structure"):
    """Measure a worst case again: `worst` is report[law].worst, or what the JSON of a report has there.

    Returns the cases, worst first; with the same target they are those of the report.
    """
    specimen = Specimen(worst["specimen"], Structure(**worst["structure"]))
    subject = Subject(as_target(target, irreps, per), specimen, worst["seed"])
    cases = _measured(worst["law"], subject, worst["trial"], worst["precision"], worst["tolerance"])
    return sorted(cases, key=lambda case: -case.ratio)


def _names(laws):
    if isinstance(laws, str):
        laws = list(LAWS) if laws == "all" else [name.strip() for name in laws.split(",")]
    unknown = sorted(set(laws) - set(LAWS))
    if unknown or not laws:
        raise ValueError(f"laws is 'all' or some of {', '.join(LAWS)}; got {', '.join(unknown) or 'none'}")
    return list(dict.fromkeys(laws))


def _worst_first(rows):
    """By verdict, then by the quantity that is worst, then by the size of the violation in its unit."""
    quantity = {}
    for case, *_ in rows:
        key = case.quantity, case.unit
        quantity[key] = max(quantity.get(key, 0.0), case.ratio)
    return sorted(rows, key=lambda row: (ORDER.index(row[0].verdict), quantity[row[0].quantity, row[0].unit],
                                         np.nan_to_num(row[0].violation, nan=np.inf)), reverse=True)


def _measured(name, subject, trial, precision, tolerance):
    """The cases of one trial; a target that fails on the way has broken the law, and the note says how."""
    rng = np.random.default_rng([subject.seed, trial, zlib.crc32(name.encode())])
    try:
        if name == "precision":
            return ranges.precision(subject, rng, precision)
        cases = LAWS[name].measure(subject, rng)
        allowed = 0.0 if name == "response" else tolerance
        return [replace(case, floor=max(case.floor, allowed / FACTOR)) for case in cases]
    except NotMeasured:
        raise
    except BREAKS as error:
        return [Case("evaluation", "", float("nan"), 0.0, 0.0, f"{type(error).__name__}: {error}")]


def _described(name, case, subject, trial, precision, tolerance):
    """What `replay` needs, of plain numbers."""
    s = subject.structure
    structure = {"numbers": s.numbers.tolist(), "positions": s.positions.tolist(), "pbc": s.pbc.tolist(),
                 "cell": None if s.cell is None else s.cell.tolist(), "charge": s.charge}
    return {"law": name, "specimen": subject.specimen.name, "trial": trial, "seed": subject.seed,
            "precision": precision, "tolerance": tolerance, "quantity": case.quantity, "violation": case.violation,
            "structure": structure}
