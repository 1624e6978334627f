"""Bugs planted in the audit of anybody's model; part of the list of `seeded_bugs`.

An audit errs in two ways: it calls broken what is sound, or lets pass what is broken.  Each bug here does one of them.
"""

import numpy as np

from se3ref.verify import auditor, differences, mechanics, subjects, symmetries, targets
from tests.seeded_network_bugs import of


def stencil_without_signs():
    weights = differences._weights
    return [(differences, "_weights", lambda p: np.abs(weights(p)))]


def noise_times(factor):
    noise = differences._noise
    return [(differences, "_noise", lambda values: {name: factor * level for name, level in noise(values).items()})]


def jumps_at_the_ends_alone():
    """Where a function begins or ends to be constant, and nowhere else."""
    suspects = differences._suspects
    return [(differences, "_suspects", lambda values, floor, candidates: suspects(values, floor, 0))]


def no_inversion():
    def twice(subject, rng):
        """f(x) = f(x)."""
        return subject.compare(subject.structure, subject.values)
    return [(auditor, "LAWS", auditor.LAWS | {"reflection": auditor.Law(twice)})]


def tensors_turned_on_one_side():
    matrix = targets.Kind.matrix
    return [(targets.Kind, "matrix", lambda self, R: matrix(self, R) if self.irreps else np.kron(R, np.eye(3)))]


def one_direction_for_all_lines():
    direction = subjects.Subject.direction
    return [(subjects.Subject, "direction", lambda self, k: direction(self, 0))]


def nan_is_nothing():
    ratio = subjects.Case.ratio
    return [(subjects.Case, "ratio", property(lambda self: 0.0 if np.isnan(self.violation) else ratio.fget(self)))]


def the_best_case_for_the_worst():
    worst_first = auditor._worst_first
    return [(auditor, "_worst_first", lambda rows: worst_first(rows)[::-1])]


def drift_of_the_last_step():
    return [(mechanics, "_departure", lambda H: abs(H[-1] - H[-2]))]


A, D, T, R = ("verify/test_" + name for name in ("auditor", "differences", "audit_targets", "audit_reports"))


def finds(*laws):
    return [test for law in laws for test in of(A, f"a_law_finds_its_control[{law}]")]


def passes(*laws):
    return [test for law in laws for test in of(A, f"a_law_lets_the_sound_pass[{law}]")]


# name, plant, caught, blind
AUDIT_BUGS = [
    ("a stencil without alternating signs", stencil_without_signs,
        of(D, "derivative_within_its_error") + passes("gradient", "curl"), passes("rotation")),
    ("the variance of differences, not of values", lambda: noise_times(924**0.5),
        of(D, "planted_noise"), finds("gradient") + passes("rotation")),
    ("noise that forgives everything", lambda: noise_times(1e9),
        of(D, "planted_noise") + passes("rotation", "gradient", "net_force"), of(D, "planted_jumps")),
    ("jumps sought at the ends alone", jumps_at_the_ends_alone, of(D, "planted_jumps"), of(D, "nothing_jumps")),
    ("a reflection that is none", no_inversion, finds("reflection"), passes("reflection") + finds("rotation")),
    ("the stress turned on one side", tensors_turned_on_one_side, passes("rotation"), finds("rotation", "stress")),
    ("a permutation that is none", lambda: [(symmetries, "_moving_order", lambda n, rng: np.arange(n))],
        finds("permutation"), passes("permutation")),
    ("the same line each time", one_direction_for_all_lines, finds("curl"), finds("gradient") + passes("curl")),
    ("a NaN obeys every law", nan_is_nothing, of(A, "a_target_that_fails_on_the_way_has_broken_the_law"),
        finds("rotation") + passes("rotation")),
    ("the best case for the worst", the_best_case_for_the_worst, finds("stress"), passes("stress", "rotation")),
    ("a margin of a percent", lambda: [(subjects, "EXACT", 0.01)], passes("rotation", "images") + finds("gradient"),
        finds("permutation")),
    ("what the last step lost for what all lost", drift_of_the_last_step,
        of(D, "energy_lost_in_single_steps_is_left_out"), passes("nve")),
]
