"""Is a function equivariant?  For any callable that takes and returns arrays whose last axis carries irreps."""

import dataclasses

import numpy as np

from se3ref.so3 import Irreps, random_rotation


@dataclasses.dataclass(frozen=True)
class EquivarianceReport:
    """What `check_equivariance` found.

    violation: largest |f(D_in x) - D_out f(x)|, relative to the largest |f|; rotation (3,3): the R that gave it;
    proper, improper: the violation over each half of O(3) (improper is None for SO(3));
    dependence: how much f changes from one random input to another, relative to the largest |f|;
    tolerance: what the violation was held against.
    """
    violation: float
    rotation: np.ndarray
    proper: float
    improper: float | None
    dependence: float
    tolerance: float

    @property
    def vacuous(self):
        """Whether f hardly depends on its input, or is zero: then it passes for the wrong reason."""
        return not self.dependence > self.tolerance

    @property
    def passed(self):
        """The law holds within the tolerance, and its test is not vacuous."""
        return self.violation <= self.tolerance and not self.vacuous

    def __str__(self):
        verdict = "equivariant" if self.passed else "vacuous: the output does not depend on the input" if (
            self.vacuous) else "NOT equivariant"
        improper = "" if self.improper is None else f", improper {self.improper:.1e}"
        return (f"{verdict}: violation {self.violation:.1e} (rotations {self.proper:.1e}{improper}; "
                f"tolerance {self.tolerance:.1e}), dependence on the input {self.dependence:.1e}")


def check_equivariance(fn, irreps_in, irreps_out, rng=None, group="O(3)", rows=5, samples=16, tolerance=None,
                       dtype=np.float64):
    """Measure f(D_in(R) x) = D_out(R) f(x) over random inputs and random R; returns an `EquivarianceReport`.

    fn: takes one array (rows, dim) for each entry of irreps_in, which is one Irreps (or string) or a list of them,
    and returns one array whose last axis has the dim of irreps_out (leading axes free, so a sum over rows is fine).
    group: "O(3)", every second R improper, or "SO(3)", none.  samples: how many inputs and rotations.
    tolerance: 4096 eps unless given, the rounding of a function of some thousand operations.
    The report also says whether fn depends on its input at all: a constant passes every test of invariance.
    """
    if group not in ("O(3)", "SO(3)"):
        raise ValueError(f"group is 'O(3)' or 'SO(3)'; got {group!r}")
    rng = np.random.default_rng(0) if rng is None else rng
    inputs = [Irreps(irreps) for irreps in (irreps_in if isinstance(irreps_in, list) else [irreps_in])]
    out = Irreps(irreps_out)
    worst, where, scale, values = {1: 0.0, -1: 0.0}, {1: np.eye(3), -1: -np.eye(3)}, 0.0, []
    for sample in range(samples):
        sign = -1 if group == "O(3)" and sample % 2 else 1
        R = sign * random_rotation(rng)
        x = [rng.standard_normal((rows, irreps.dim)).astype(dtype) for irreps in inputs]
        y = _call(fn, x, out)
        turned = _call(fn, [a @ irreps.D(R).astype(dtype).T for a, irreps in zip(x, inputs, strict=True)], out)
        error = float(np.abs(turned - y @ out.D(R).astype(dtype).T).max())
        if not error <= worst[sign]:                           # NaN counts as the worst
            worst[sign], where[sign] = error, R
        scale = max(scale, float(np.abs(y).max()))
        values.append(y)
    unit = scale if scale > 0 else 1.0
    sign = max(worst, key=lambda s: np.nan_to_num(worst[s], nan=np.inf))
    return EquivarianceReport(
        violation=worst[sign] / unit, rotation=where[sign], proper=worst[1] / unit,
        improper=worst[-1] / unit if group == "O(3)" else None,
        dependence=float(np.abs(np.diff(values, axis=0)).max()) / unit,
        tolerance=4096 * float(np.finfo(dtype).eps) if tolerance is None else tolerance)


def _call(fn, x, out):
    y = np.asarray(fn(*x))
    if y.ndim == 0 or y.shape[-1] != out.dim:
        raise ValueError(f"the function must return an array whose last axis is {out.dim} long, for {out}; "
                         f"got shape {y.shape}")
    return y
