"""A target on one specimen: what it gives there, the noise of that, and how a violation is held against both."""

import functools
from dataclasses import dataclass, field, replace

import numpy as np

from se3ref.verify.differences import derivative, noise_level
from se3ref.verify.specimens import Specimen
from se3ref.verify.targets import Target

EXACT = 4096 * np.finfo(np.float64).eps         # relative: the rounding of a function of some thousand operations
FACTOR = 30.0                                   # of the noise, within which a violation is rounding: of many entries
                                                # the largest has 4 sigma, sigma of nine values is known to a factor 2,
                                                # and rounding along a turn is not that along a line
SLOWEST = 0.9                                   # power: the energy of two charges falls with the first, and a part in
                                                # a hundred beside it where they are molecules


class NotMeasured(Exception):
    """A law that says nothing here; the message says why."""


@dataclass(frozen=True)
class Case:
    """One measurement of a law.

    violation: in `unit`; exact: up to here it is the rounding of double precision; floor: the standard deviation of the
    target's own noise, and of the measurement's; falls: for what should vanish far away, the power with which it does;
    trace: x, y and what they are, to be drawn.
    """
    quantity: str
    unit: str
    violation: float
    exact: float
    floor: float
    note: str = ""
    falls: float | None = None
    trace: dict | None = None

    @property
    def allowed(self):
        """What rounding and noise explain."""
        return max(self.exact, FACTOR * self.floor)

    @property
    def ratio(self):
        """The violation in units of what is allowed; a NaN is infinitely much."""
        if np.isnan(self.violation):
            return float("inf")
        return self.violation / self.allowed if self.allowed else float("inf") if self.violation else 0.0

    @property
    def verdict(self):
        """"exact", "noise floor", "decays" or "broken"."""
        if self.violation <= self.exact:
            return "exact"
        if self.ratio <= 1:
            return "noise floor"
        return "decays" if self.falls is not None and self.falls > SLOWEST else "broken"


@dataclass(frozen=True, eq=False)
class Subject:
    """A target on a specimen; seed: of the random lines through it."""
    target: Target
    specimen: Specimen
    seed: int = 0
    _slopes: dict = field(default_factory=dict, repr=False)

    @property
    def structure(self):
        """The specimen's structure."""
        return self.specimen.structure

    @functools.cached_property
    def values(self):
        """{quantity: (rows,d)} of the structure as it is."""
        return self.target.observe(self.structure)

    @functools.cached_property
    def noise(self):
        """{quantity: standard deviation of its rounding}.

        `noise_level` on three lines that begin beside the structure, each elsewhere, so that not all meet a kink that
        is near; no less than the spacing of floating point numbers, of single precision where all values are such.
        """
        lines = [lambda t, k=k: self.line(k)(0.01 * (k + 1) + t) for k in range(3)]
        found = noise_level(self.target.observe, lines)
        return {name: max(found[name], _spacing(value)) for name, value in self.values.items()}

    def kind(self, name):
        """The `Kind` of a quantity."""
        return self.target.kinds[name]

    @functools.cached_property
    def moved(self):
        """{quantity: (rows,d)} when every atom has moved by a tenth of an angstrom."""
        return self.target.observe(self.line(0)(0.1))

    def scale(self, name):
        """The largest entry of a quantity, here or beside: what symmetry makes zero here is not zero there."""
        return float(max(np.abs(self.values[name]).max(), np.abs(self.moved[name]).max()))

    def direction(self, k):
        """Random displacements (n,3), the largest of length 1."""
        v = np.random.default_rng([self.seed, k]).standard_normal(self.structure.positions.shape)
        return v / np.sqrt((v * v).sum(1)).max()

    def line(self, k):
        """t, angstrom -> the structure with its atoms displaced by t along direction k."""
        v = self.direction(k)
        return lambda t: replace(self.structure, positions=self.structure.positions + t * v)

    def slopes(self, k):
        """(derivative, error) of every quantity along line k, kept."""
        if k not in self._slopes:
            line = self.line(k)
            self._slopes[k] = derivative(lambda t: self.target.observe(line(t)), self.noise)
        return self._slopes[k]

    def compare(self, structure, expected, note="", grown=1.0):
        """Cases of what the target gives on another structure against what the law expects, {quantity: rows}.

        grown: by how much coordinates have become larger, and with them their rounding.
        """
        found = self.target.observe(structure)
        return [self.case(name, np.abs(found[name] - rows).max() if name in found else np.nan, note, grown)
                for name, rows in expected.items()]

    def case(self, name, violation, note="", grown=1.0, floor=0.0, falls=None, trace=None):
        """A `Case` of a quantity; floor: the error of the measurement, besides the target's noise."""
        return Case(name, self.kind(name).unit, float(violation), EXACT * self.scale(name) * grown,
                    self.noise[name] * grown + float(floor), note, falls, trace)


def _spacing(value):
    """Of single precision, if no value needs more than its 24 binary digits, and one needs more than 11: of -4 nothing
    can be told."""
    digits = np.frexp(value)[0]
    single = _whole(2.0**24 * digits).all() and not _whole(2.0**11 * digits).all()
    return float(np.finfo(np.float32 if single else np.float64).eps * np.abs(value).max())


def _whole(x):
    return x == np.rint(x)
