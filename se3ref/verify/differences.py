r"""Numbers from a program that is only called: the noise of its values, derivatives with their error, jumps.

Noise.  In a table of differences of values at m+1 points a step h apart, the smooth part falls as h^k, and what a
rounding of variance s^2 leaves in the k-th column has the variance s^2 (2k)!/(k!)^2.  So

    s^2 = (k!)^2/(2k)!  mean_i (Delta^k f_i)^2.                                                            (1)

Source: More and Wild, SIAM J. Sci. Comput. 33 (2011) 1292, eq. (2.5), where (1) is derived.

Derivative.  With c_j = 2 (-1)^(j+1) (p!)^2 / ((p-j)! (p+j)!) / (2j), which make the formula exact for polynomials of
degree 2p:  f'(0) = sum_{j=1..p} c_j (f(jh) - f(-jh)) / h + O(h^2p).  Expand f(jh) - f(-jh) = 2 sum_odd f^(n) (jh)^n/n!:
the conditions are sum_j c_j j = 1/2 and sum_j c_j j^n = 0 for n = 3, 5, ..., 2p-1.  The error is known from two
orders, p = 4 and p = 3, and from the noise; of several steps h the one that errs least is taken.
"""

import math

import numpy as np

NOISE_STEP = 1e-5                       # angstrom: many roundings of single precision, and nothing to a smooth function
NOISE_ORDER = 6
STEPS = (0.04, 0.01, 0.0025, 0.0006)    # angstrom: for values in single precision, and in double
ORDER = 4
FINEST = 1e-10                          # angstrom, the width at which a jump is told from a slope
NEARBY = 8                              # points of a grid, to either side
PLATEAU = 3                             # divisions by four, 64 in width


def noise_level(f, lines):
    """The standard deviation of the rounding in f, (...): the median over lines, the largest of its entries.

    f(x) -> {name: array}; lines: functions t -> x of a parameter in angstrom.  Returns {name: float}.
    """
    found = [_noise({t: f(line(t)) for t in NOISE_STEP * np.arange(NOISE_ORDER + 3)}) for line in lines]
    return {name: float(np.median([one[name] for one in found])) for name in found[0]}


def _noise(values):
    k = NOISE_ORDER
    share = math.factorial(k) ** 2 / math.factorial(2 * k)
    levels = {}
    for name in next(iter(values.values())):
        column = np.diff(np.array([value[name] for value in values.values()]), n=k, axis=0)
        levels[name] = float(np.sqrt(share * (column**2).mean(0)).max())                       # (1)
    return levels


def derivative(f, noise):
    """(f'(0), error), each {name: array}, of f: t -> {name: array}, t in angstrom.

    noise: {name: float}, of f's values.  The error of an entry is what the last order changed or what the next step
    does, where that is more (at a kink the orders may agree by chance), and what noise does.
    """
    steps = [{j: f(j * h) for j in (*range(-ORDER, 0), *range(1, ORDER + 1))} for h in STEPS]
    slopes, errors = {}, {}
    for name in steps[0][1]:
        found = np.array([[_difference(values, name, p) / h for p in (ORDER, ORDER - 1)]
                          for h, values in zip(STEPS, steps, strict=True)])                # (steps, 2, ...)
        best, lower = found[:, 0], found[:, 1]
        changed = np.abs(np.diff(best, axis=0, append=best[-1:]))
        rounding = noise[name] * np.sqrt(2 * (_weights(ORDER) ** 2).sum()) / np.array(STEPS)
        error = np.maximum(np.abs(best - lower), changed) + rounding.reshape(-1, *[1] * (best.ndim - 1))
        k = np.where(np.isnan(error), np.inf, error).argmin(0)[None]       # a NaN far off says nothing of what is near
        slopes[name], errors[name] = (np.take_along_axis(each, k, 0)[0] for each in (best, error))
    return slopes, errors


def _weights(p):
    j = np.arange(1, p + 1)
    factorials = np.array([math.factorial(p) ** 2 / (math.factorial(p - i) * math.factorial(p + i)) for i in j])
    return (-1.0) ** (j + 1) * factorials / j


def _difference(values, name, p):
    return sum(c * (values[j][name] - values[-j][name]) for j, c in enumerate(_weights(p), start=1))


# --- jumps ----------------------------------------------------------------------------------------------------

def largest_jump(f, grid, floor, candidates=4):
    """(size, place): the largest discontinuity of f: t -> (q,) on the range of an even grid (m,); (0, nan) for none.

    A jump J between two points of a row of six changes its fifth difference by 6 J where they are the middle ones, and
    by less elsewhere; what is smooth leaves only h^5 f^(5) there.  Where it stands out from what is usual nearby, or f
    begins to be constant, the interval is divided by four, again and again, into the part where it is largest: what is
    smooth falls a thousandfold each time, a jump stays.  floor: the noise of f.
    """
    values = np.array([f(t) for t in grid])
    best = 0.0, math.nan
    for k in _suspects(values, floor, candidates):
        size, place = _descend(f, float(grid[k]), float(grid[k + 1]), floor)
        if size > best[0]:
            best = size, place
    return best


def _jumps(values):
    """|fifth difference|/6 (m-5,q) of points k..k+5: the jump in the middle interval (k+2, k+3)."""
    return np.abs(np.diff(values, n=5, axis=0)) / 6


def _suspects(values, floor, candidates):
    """Indices k of the intervals (k, k+1) to look into."""
    found = _jumps(values)
    around = np.pad(found, ((NEARBY, NEARBY), (0, 0)), mode="reflect")
    usual = np.median(np.lib.stride_tricks.sliding_window_view(around, 2 * NEARBY + 1, axis=0), axis=-1)
    stands_out = (found / (usual + floor + np.finfo(float).tiny)).max(1)
    peaks = [k for k in range(len(found)) if stands_out[k] == stands_out[max(k - 2, 0):k + 3].max() > 0]
    first = sorted(peaks, key=lambda k: -stands_out[k])[:candidates]
    moving = np.flatnonzero(np.abs(np.diff(values, axis=0)).max(1) > 0)
    ends = [int(moving[0]), int(moving[-1])] if len(moving) else []
    return sorted({k + 2 for k in first} | set(ends))


def _descend(f, a, b, floor):
    """Follow the largest jump from the interval (a, b) to FINEST: the last that did not fall for PLATEAU divisions.

    A kink falls fourfold each time, and is none; a steep step is one until intervals are as narrow as it is.
    """
    size, level, jump = math.inf, 0, (0.0, math.nan)
    while b - a > FINEST:
        before, width = size, (b - a) / 4
        t = a + width * np.arange(-2, 7)
        found = _jumps(np.array([f(x) for x in t])).max(1)     # in the four parts
        k = int(found.argmax())
        a, b, size = float(t[k + 2]), float(t[k + 3]), float(found[k])
        level = level + 1 if size > 0.5 * before else 0
        if size <= floor:
            break
        if level >= PLATEAU:
            jump = size, 0.5 * (a + b)
    return jump
