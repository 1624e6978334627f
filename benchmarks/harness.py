"""Paired measurement: ours, theirs, ours, theirs in one process, in CPU time, both held to one answer."""

import ctypes
import dataclasses
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def nothing():
    """What a case does before each call unless it says otherwise."""


@dataclasses.dataclass(frozen=True)
class Work:
    """Two functions without arguments that do the same work, and how far apart their answers are.

    `difference(ours(), theirs())` is the largest absolute difference after the change of convention; it must
    not exceed `tolerance`.  `before` runs before each call, outside the clock.
    """
    ours: Callable
    theirs: Callable
    difference: Callable
    tolerance: float
    before: Callable = nothing


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table.  `setup()` imports the peer, makes the input and returns the `Work`."""
    kernel: str
    size: str
    peer: str
    setup: Callable
    target: float | None = None


@dataclasses.dataclass(frozen=True)
class Result:
    """What was measured: CPU seconds a call, and `ratio`, the median of ours/theirs over the pairs."""
    kernel: str
    size: str
    peer: str
    target: float | None
    ratio: float
    quartiles: tuple[float, float]
    pairs: int
    ours_s: float
    theirs_s: float
    difference: float
    tolerance: float
    memory_ratio: float | None

    @property
    def agrees(self):
        """Whether both sides gave the same answer (a NaN is no agreement)."""
        return self.difference <= self.tolerance


def measure(case, seconds):
    """Set a case up, compare the answers, then time pairs (at least 5) for about `seconds` of CPU time."""
    settle_memory()
    work = case.setup()
    difference = _compare(work)
    memory = _memory_ratio(work)
    ours_calls, theirs_calls = (_calls_per_timing(work, side) for side in (work.ours, work.theirs))
    pairs, spent = [], 0.0
    while len(pairs) < 5 or spent < seconds:
        ours = cpu_time(work.ours, ours_calls, work.before)
        theirs = cpu_time(work.theirs, theirs_calls, work.before)
        pairs.append((ours, theirs))
        spent += ours * ours_calls + theirs * theirs_calls
    return _result(case, work, pairs, difference, memory)


def cpu_time(function, calls, before=nothing):
    """CPU seconds a call (user and system, all threads of this process), over `calls` calls in a row."""
    total = 0.0
    for _ in range(calls):
        before()
        start = time.process_time()
        function()
        total += time.process_time() - start
    return total / calls


def settle_memory(size=31 << 20):
    """Bring the C library's allocator to the state it reaches in any program that works with large arrays.

    glibc raises its thresholds for handing freed memory back to the system whenever a larger block is
    freed, up to 32 MB.  Without this, what ran before a case would decide how many page faults it pays.
    """
    np.empty(size, np.uint8)


def _compare(work):
    """The difference of the answers; this is also each side's first warm-up call."""
    work.before()
    ours = work.ours()
    work.before()
    return float(work.difference(ours, work.theirs()))


def _calls_per_timing(work, side, at_least=0.05):
    """How many calls last about 0.05 s: far above the clock's resolution.  The call is a second warm-up."""
    return max(1, math.ceil(at_least / cpu_time(side, 1, work.before)))


def _result(case, work, pairs, difference, memory):
    ratios = [ours / theirs for ours, theirs in pairs]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Result(case.kernel, case.size, case.peer, case.target, ratio, (low, high), len(pairs),
                  ours, theirs, difference, work.tolerance, memory)


def _memory_ratio(work):
    """Peak memory of one call beyond what was held before it, ours/theirs; None where Linux does not tell."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    ours, theirs = (peak_memory(side, work.before) for side in (work.ours, work.theirs))
    return ours / theirs if theirs else None


def peak_memory(function, before=nothing):
    """Bytes by which the process grows at most during one call, its result included (Linux).

    Freed memory goes back to the system first, so that the call cannot hide in it; then the high-water mark
    is reset (writing 5 to clear_refs, see proc(5)) and read again afterwards.
    """
    before()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    held = _status("VmRSS")
    kept = function()
    grown = _status("VmHWM") - held
    del kept
    return grown


def _status(field):
    """One memory field of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))
