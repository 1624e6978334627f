"""What an audit found: a verdict for each law, as a table, as JSON and as a page with plots."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

ORDER = ("not measured", "exact", "noise floor", "decays", "broken")


@dataclass(frozen=True)
class Finding:
    """What was measured of one law.

    cases: (specimen, Case), of every trial, worst first; worst: the first, with all that `replay` needs;
    silent: why there are none.
    """
    law: str
    statement: str
    cases: tuple
    worst: dict | None
    silent: str = ""

    @property
    def case(self):
        """The worst case, or None."""
        return self.cases[0][1] if self.cases else None

    @property
    def verdict(self):
        """Of the worst case, one of ORDER."""
        return self.case.verdict if self.cases else ORDER[0]

    @property
    def passed(self):
        """Whether it is not broken."""
        return self.verdict != "broken"

    @property
    def violation(self):
        """Of the worst case, in its unit; NaN where nothing was measured."""
        return self.case.violation if self.cases else float("nan")

    def __str__(self):
        return _table(_rows(self))


@dataclass(frozen=True)
class Report:
    """Findings by law; noise: {specimen: {quantity: standard deviation}}, in units; refused: {specimen: why}, those
    that the target could not do; left: laws that an interrupt left out.

    report[law] is a `Finding`; print(report) a table.
    """
    target: str
    findings: dict
    noise: dict
    units: dict
    refused: dict
    left: tuple = ()

    def __getitem__(self, law):
        if law not in self.findings:
            raise KeyError(f"{law!r} was not asked for; there are {', '.join(self.findings)}")
        return self.findings[law]

    @property
    def passed(self):
        """Whether no law is broken, and none was left out by an interrupt."""
        return not self.left and all(finding.passed for finding in self.findings.values())

    @property
    def broken(self):
        """Names of the broken laws."""
        return [name for name, finding in self.findings.items() if not finding.passed]

    def __str__(self):
        rows = [row for finding in self.findings.values() for row in _rows(finding)]
        return f"{self.target}: {self.summary}\non {', '.join(self.noise)}\n\n{_table(rows)}"

    @property
    def summary(self):
        """Passed or not, in a few words."""
        if self.passed:
            measured = [finding for finding in self.findings.values() if finding.cases]
            return f"passed, {len(measured)} of {len(self.findings)} laws measured"
        broken = f"BROKEN: {', '.join(self.broken)}" if self.broken else "none broken"
        return f"{broken}; interrupted before {', '.join(self.left)}" if self.left else broken

    def to_json(self, path=None):
        """The whole report as JSON, written to `path` if one is given; NaN is null."""
        laws = {name: {"verdict": finding.verdict, "violation": finding.violation, "statement": finding.statement,
                       "silent": finding.silent, "worst": finding.worst,
                       "cases": [{"specimen": specimen, **asdict(case), "ratio": case.ratio, "verdict": case.verdict}
                                 for specimen, case in finding.cases]} for name, finding in self.findings.items()}
        text = json.dumps(_plain({"target": self.target, "passed": self.passed, "broken": self.broken, "laws": laws,
                                  "noise": self.noise, "refused": self.refused, "left": self.left}), indent=1)
        if path is not None:
            Path(path).write_text(text, "utf-8")
        return text

    def to_html(self, path):
        """One page with the table and plots, that needs no other file."""
        from se3ref.plotting.audits import page
        Path(path).write_text(page(self), "utf-8")


def _table(rows):
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, [*widths, 0], strict=True)).rstrip()
                     for row in rows)


def _rows(finding):
    """law, verdict, violation, where and how; of a broken law also where else."""
    if not finding.cases:
        return [(finding.law, finding.verdict, "", "", finding.silent)]
    rows, seen = [], set()
    for specimen, case in finding.cases:
        if rows and (finding.passed or case.verdict != "broken" or specimen in seen):
            continue
        seen.add(specimen)
        note = f"of {case.allowed:.1e} allowed" if finding.passed else case.note
        head = ("", "") if rows else (finding.law, finding.verdict)
        rows.append((*head, f"{case.violation:.1e} {case.unit}".strip(), f"{case.quantity} of {specimen}", note))
    return rows


def _plain(value):
    """Without NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
