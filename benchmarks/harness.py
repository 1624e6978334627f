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
    times = rounds({"ours": work.ours, "theirs": work.theirs}, seconds, before=work.before)
    pairs = list(zip(times["ours"], times["theirs"], strict=True))
    return _result(case, work, pairs, difference, memory)


def rounds(sides, seconds, at_least=5, before=nothing, shortest=0.05):
    """CPU seconds a call of each of `sides`, {name: function}, all in turn, round after round for about `seconds` of
    CPU time: {name: one number a round}.

    A timing lasts `shortest` at least, in as many calls as that takes, far above the clock's resolution.  The round
    that finds out how many is a second warm-up, and counts only if no side needs more than one.
    """
    times = {name: [cpu_time(side, 1, before)] for name, side in sides.items()}
    calls = {name: max(1, math.ceil(shortest / first)) for name, [first] in times.items()}
    spent = sum(first for [first] in times.values())
    if max(calls.values()) > 1:
        times = {name: [] for name in sides}
    while len(next(iter(times.values()))) < at_least or spent < seconds:
        for name, side in sides.items():
            times[name].append(cpu_time(side, calls[name], before))
            spent += times[name][-1] * calls[name]
    return times


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


def _result(case, work, pairs, difference, memory):
    ratios = [ours / theirs for ours, theirs in pairs]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Result(case.kernel, case.size, case.peer, case.target, ratio, (low, high), len(pairs),
                  ours, theirs, difference, work.tolerance, memory)


def _memory_ratio(work):
    """Peak memory of one call beyond what was held before it, ours/theirs; None where Linux does not tell."""
    ours, theirs = (peak_memory(side, work.before) for side in (work.ours, work.theirs))
    return ours / theirs if theirs else None


def peak_memory(function, before=nothing):
    """Bytes by which the process grows at most during one call, its result included; None where Linux does not tell.

    Freed memory goes back to the system first, so that the call cannot hide in it; then the high-water mark
    is reset (writing 5 to clear_refs, see proc(5)) and read again afterwards.
    """
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        return None
    before()
    ctypes.CDLL(None).malloc_trim(0)
    reset.write_text("5")
    held = _status("VmRSS")
    kept = function()
    grown = _status("VmHWM") - held
    del kept
    return grown


def _status(field):
    """One memory field of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))
