"""Is a function equivariant?  For any callable that takes and returns arrays whose last axis carries irreps."""

import dataclasses

import numpy as np

from se3ref.so3 import Irreps, random_rotation


@dataclasses.dataclass(frozen=True)
class EquivarianceReport:
    """What `check_equivariance` found.

    violation: largest |f(D_in x) - D_out f(x)|, relative to the largest |f|; rotation (3,3): the R that gave it;
    proper, improper: the violation over each half of O(3) (improper is None for SO(3));
    dependence: how much f changes when one of its inputs is exchanged for another random one, relative to the
    largest |f|; of several inputs, the one that f depends on least;
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
        """Whether f does not depend on one of its inputs, or is zero: then it passes for the wrong reason."""
        return self.dependence <= self.tolerance

    @property
    def passed(self):
        """The law holds within the tolerance, and its test is not vacuous."""
        return self.violation <= self.tolerance and not self.vacuous

    def __str__(self):
        verdict = "equivariant" if self.passed else "vacuous: the output does not depend on every input" if (
            self.vacuous) else "NOT equivariant"
        improper = "" if self.improper is None else f", improper {self.improper:.1e}"
        return (f"{verdict}: violation {self.violation:.1e} (rotations {self.proper:.1e}{improper}; "
                f"tolerance {self.tolerance:.1e}), dependence on the inputs {self.dependence:.1e}")


def check_equivariance(fn, irreps_in, irreps_out, rng=None, group="O(3)", rows=5, samples=16, tolerance=None,
                       dtype=np.float64):
    """Measure f(D_in(R) x) = D_out(R) f(x) over random inputs and random R; returns an `EquivarianceReport`.

    fn: takes one array (rows, dim) for each entry of irreps_in, which is one Irreps (or string) or a list of them,
    and returns one array whose last axis has the dim of irreps_out (leading axes free, so a sum over rows is fine).
    group: "O(3)", every second R improper, or "SO(3)", none.  samples: how many inputs and rotations.
    tolerance: 4096 eps unless given, the rounding of a function of some thousand operations.
    The report also says whether fn depends on each of its inputs: a constant passes every test of invariance.
    A NaN anywhere is a violation.  ValueError where fn returns another shape, or samples are too few.
    """
    if group not in ("O(3)", "SO(3)"):
        raise ValueError(f"group is 'O(3)' or 'SO(3)'; got {group!r}")
    inputs = [Irreps(irreps) for irreps in (irreps_in if isinstance(irreps_in, list) else [irreps_in])]
    if samples < max(2, len(inputs)):
        raise ValueError(f"at least {max(2, len(inputs))} samples are needed, for both halves of O(3) and every input; "
                         f"got {samples}")
    rng, out = np.random.default_rng(0) if rng is None else rng, Irreps(irreps_out)
    R = random_rotation(rng, samples)
    if group == "O(3)":
        R[1::2] *= -1
    errors, sizes, changes = np.empty((3, samples))
    for k in range(samples):
        x = [rng.standard_normal((rows, irreps.dim)).astype(dtype) for irreps in inputs]
        y = _call(fn, x, out)
        turned = _call(fn, [_turn(irreps, R[k], a) for irreps, a in zip(inputs, x, strict=True)], out)
        errors[k], sizes[k] = np.abs(turned - _turn(out, R[k], y)).max(), np.abs(y).max()
        which = k % len(inputs)                                # each input is exchanged in turn
        x[which] = rng.standard_normal(x[which].shape).astype(dtype)
        changes[k] = np.abs(_call(fn, x, out) - y).max()
    unit = sizes.max() or 1.0
    return EquivarianceReport(
        violation=float(errors.max() / unit), rotation=R[errors.argmax()],
        proper=float((errors[::2] if group == "O(3)" else errors).max() / unit),
        improper=float(errors[1::2].max() / unit) if group == "O(3)" else None,
        dependence=float(np.min([changes[i::len(inputs)].max() for i in range(len(inputs))]) / unit),
        tolerance=4096 * float(np.finfo(dtype).eps) if tolerance is None else tolerance)


def _turn(irreps, R, x):
    """D(R) on the last axis of x, in its dtype."""
    return x @ irreps.D(R).astype(x.dtype).T


def _call(fn, x, out):
    y = np.array(fn(*(a.copy() for a in x)))                   # copies: a function may work in place
    if y.ndim == 0 or y.shape[-1] != out.dim:
        raise ValueError(f"the function must return an array whose last axis is {out.dim} long, for {out}; "
                         f"got shape {y.shape}")
    return y
