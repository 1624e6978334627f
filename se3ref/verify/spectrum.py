"""A symmetry spectrum, and how to read it: by its lowest degrees, by how it falls, by what it keeps.

The powers are those of `spectrometer`.  How do they fall?  S_l ends for a polynomial in the entries of R, goes as a
power q^l for an analytic function, as l^-2 where f jumps, as l^-4 where it has kinks.  What lies beyond lmax is then
nothing; q^(lmax+1)/(1-q), which is less than the last two degrees if q < 0.7; about 1/lmax, which is more than their
2/lmax^2; and 1/(3 lmax^3), which is less than their 2/lmax^4 up to lmax = 6.
"""

import math
from dataclasses import dataclass

import numpy as np

KEPT = 0.99                     # of the spurious power must keep a law of the laboratory, or it is not kept
UNRESOLVED = 0.6                # of the spurious power; jumps of many frames leave half of it beyond lmax = 6
NOISY = 25                      # five times the noise of one value, squared: what is less is not read

READING = {
    "equivariant": "the spurious part is no larger than the rounding of single values",
    "handed": "all rotations are right; mirror images get different values",
    "grid": "it keeps the turns of a cube along x, y, z: a Cartesian mesh, or components treated one by one",
    "jumps": "its degrees fall slowly: frames that flip, the nearest or largest chosen, another step or kink",
    "broken path": "low degrees, no law of the laboratory: a wrong coefficient, mixed components, absolute positions",
    "longitudes": "it keeps some turns about one axis: a grid on the sphere, of longitudes and latitudes",
    "one axis": "it keeps all turns about one axis: a coordinate or field fed in, or a grid of many longitudes",
    "unresolved": "most of it lies beyond lmax: a fine grid, or many jumps; ask for a larger lmax",
}


@dataclass(frozen=True, eq=False)
class SymmetrySpectrum:
    """What `symmetry_spectrum` found.  All powers are shares of <|f|^2>.

    power: (lmax+1,), S_l, both halves of O(3) averaged;  odd: (lmax+1,), how much of it a mirror turns over, or None
    turning: what varies over rotations, all degrees above 0;  beyond: its remainder after degree lmax
    fresh: mean square error of the expansion at other rotations
    noise: variance of one value, by rounding;  spread: (lmax+1,), how much of such a variance falls to each degree
    cubic: share of the turning part that keeps the turns of a cube;  axial: {"x": (17,), "y":, "z":}, its shares with
        |m| = 0..16 about each axis (|m| above 16 counts as its distance from the nearest multiple of 32)
    size: sqrt <|f|^2>, in units of f;  evaluations: how often f was called
    """
    power: np.ndarray
    odd: np.ndarray | None
    turning: float
    beyond: float
    fresh: float
    noise: float
    spread: np.ndarray
    cubic: float
    axial: dict
    size: float
    evaluations: int

    @property
    def degrees(self):
        """0..lmax."""
        return np.arange(len(self.power))

    @property
    def amplitude(self):
        """Root mean square of the spurious part, in units of f."""
        return self.size * math.sqrt(self.spurious)

    @property
    def spurious(self):
        """All but the equivariant part."""
        return self.turning + (0.0 if self.odd is None else float(self.odd[0]))

    @property
    def floor(self):
        """(lmax+1,): up to there the power of a degree may be noise, or come from beyond lmax."""
        return self.spread * max(NOISY * self.noise, self.fresh)

    @property
    def seen(self):
        """The degrees above 0 whose power is above the floor."""
        return [int(l) for l in self.degrees[1:] if self.power[l] > self.floor[l]]

    @property
    def fall(self):
        """How S_l falls: "ends" below lmax, "fast", "slow" (more beyond than in the last two degrees), "unresolved" (at
        other rotations the expansion leaves more than 0.6 of the turning part), or "noise"."""
        if self.turning <= NOISY * self.noise:
            return "noise"
        if self.fresh <= NOISY * self.noise:
            return "ends"
        if self.fresh > UNRESOLVED * self.turning:
            return "unresolved"
        return "slow" if self.fresh > self.power[-2:].sum() else "fast"

    @property
    def folds(self):
        """{axis: k}: it keeps the turns by 2 pi/k, k > 1, about x, y or z of the laboratory; inf: all turns."""
        found = {}
        for axis, shares in self.axial.items():
            kept = [k for k in range(2, len(shares)) if shares[::k].sum() > KEPT]
            if kept:
                found[axis] = math.inf if shares[0] > KEPT else max(kept)
        return found

    @property
    def diagnosis(self):
        """One of the words of READING: the first that fits, in the order below.

        "equivariant": spurious <= 25 noise;  "handed": its turning part is;  "grid": cubic > 0.99;  "longitudes":
        turns by 2 pi/k about x, y or z are kept, k > 2, and not all turns;  "jumps": the degrees fall slowly;  "broken
        path": they end;  "one axis": all turns about x, y or z are kept;  "unresolved";  "broken path": they fall fast.
        A pattern is read here, and nothing proved: a mesh turned about a point of no symmetry looks like a broken
        path, components treated one by one like a mesh, a kink like a broken path up to lmax = 6, a steep function like
        a jump, and half the degrees of a polynomial like anything: where lmax is too small, it is asked for more.
        """
        if self.fall == "noise":
            return "equivariant" if self.spurious <= NOISY * self.noise else "handed"
        k = max(self.folds.values(), default=0)
        rules = {"grid": self.cubic > KEPT, "longitudes": 2 < k < math.inf, "jumps": self.fall == "slow",
                 "broken path": self.fall == "ends", "one axis": k == math.inf, "unresolved": self.fall == "unresolved"}
        return next((word for word, holds in rules.items() if holds), "broken path")

    def __str__(self):
        odd = [None] * len(self.power) if self.odd is None else self.odd
        rows = [_row(str(l), S, o, n, self.noise) for l, S, o, n in
                zip(self.degrees, self.power, odd, self.floor, strict=True)]
        laws = [f"turns of a cube {self.cubic:.3f}"] * (self.cubic > KEPT)
        laws += [f"turns about {axis}" + f" by 1/{k}" * (k < math.inf) for axis, k in self.folds.items()]
        lines = ["degree    power  odd part     floor", *rows,
                 _row("beyond", self.beyond, None, NOISY * self.noise, self.noise),
                 f"spurious: {self.spurious:.2g} of the power; in units of f {self.amplitude:.3g}, where f is "
                 f"{self.size:.6g} and its noise {self.size * math.sqrt(self.noise):.1g}",
                 f"the expansion leaves elsewhere {self.fresh:.2g}, {self.fall}; {self.evaluations} calls of f"]
        if self.fall != "noise":
            lines.append("kept in the laboratory: " + (", ".join(laws) or "nothing"))
        return "\n".join([*lines, f"{self.diagnosis}: {READING[self.diagnosis]}"])

    def save(self, path):
        """Draw the spectrum into a file: PNG, PDF or SVG."""
        from se3ref.plotting.spectra import save_figure
        save_figure(self, path)


def _row(name, power, odd, floor, noise):
    """A line of the table; the bar, where there is something to see, has a mark for each factor of ten above noise."""
    bar = "#" * round(math.log10(power / noise)) if power > floor else ""
    return f"{name:>6} {power:>8.1e}  {'' if odd is None else f'{odd:.1e}':>8}  {floor:>8.1e}  {bar}".rstrip()
