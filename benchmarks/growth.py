"""How cost grows: with edges, channels and degree, and with atoms for whole networks; `python -m benchmarks.growth`.

Writes results_growth.json and figures/growth.png.  CPU time on one thread, the median of five calls.
"""

import functools
import json
import statistics
import sys

import numpy as np
from tqdm import tqdm

from benchmarks import convolution, report
from benchmarks.__main__ import ROOT
from benchmarks.harness import cpu_time, settle_memory
from se3ref import models
from se3ref.nn.convolution import convolve
from se3ref.nn.rotated import convolve_rotated
from se3ref.so3 import spherical_harmonics
from se3ref.systems import Structure, neighbor_graph

STANDARD = dict(edges=2_000, channels=32, lmax=2)
AXES = {"edges": [500, 2_000, 8_000, 32_000], "channels": [8, 16, 32, 64, 128], "lmax": [1, 2, 3, 4, 5, 6]}
LABELS = {"edges": "edges", "channels": "channels", "lmax": "largest degree l"}


def both_ways(function):
    """Forward and back."""
    y, pull = function()
    pull(y)


def ours(edges, channels, lmax):
    terms, w, h, graph = convolution.arguments(edges, channels, lmax, "float64")
    Y = spherical_harmonics(lmax, graph.vec)
    return functools.partial(both_ways, lambda: convolve(terms, w, h, Y, graph))


def rotated(edges, channels, lmax):
    terms, w, h, graph = convolution.arguments(edges, channels, lmax, "float64")
    return functools.partial(both_ways, lambda: convolve_rotated(terms, w, h, graph.vec, graph))


def e3nn(edges, channels, lmax):
    terms, w, h, graph = convolution.arguments(edges, channels, lmax, "float64")
    return convolution.e3nn_side(terms, w, h, graph.vec, graph, True, False, False)[0]


SIDES = {"coupling outside the sum": ours, "edges turned to the axis": rotated, "e3nn": e3nn}


def network(atoms):
    """Energy and forces of a liquid of so many atoms by a NequIP of 16 channels, neighbours included."""
    model = models.NequIP(species=[1], cutoff=4.0, channels=16)
    params, rng = model.init(np.random.default_rng(0)), np.random.default_rng(atoms)
    m = int(np.ceil(atoms ** (1 / 3)))
    sites = np.array(list(np.ndindex(m, m, m)))[rng.permutation(m**3)[:atoms]]
    structure = Structure(np.ones(atoms, int), (sites + rng.uniform(-0.2, 0.2, (atoms, 3))) * 2.4,
                          m * 2.4 * np.eye(3), True)
    neighbor_graph(structure, model.cutoff)
    return lambda: models.evaluate(model, params, structure)


def median(function, at_most=20.0):
    """The median of five CPU times; of fewer where they would take too long."""
    first = cpu_time(function, 1)
    return statistics.median([cpu_time(function, 1) for _ in range(5 if 5 * first < at_most else 1)])


def measure():
    """{axis: {side: [[value, seconds], ...]}}; a peer that is not installed is left out."""
    found = {}
    tasks = [(axis, value, side) for axis, values in AXES.items() for side in SIDES for value in values]
    for axis, value, side in tqdm(tasks):
        try:
            seconds = median(SIDES[side](**{**STANDARD, axis: value}))
        except ModuleNotFoundError as error:
            print(f"skipped: {side}: {error.name} is not installed")
            continue
        found.setdefault(axis, {}).setdefault(side, []).append([value, seconds])
    found["atoms"] = {"NequIP, energy and forces": [[n, median(network(n))] for n in (10, 100, 1_000, 10_000)]}
    return found


def draw(found, path):
    """Four panels, logarithmic, with a line of slope 1 where growth should be linear."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, panels = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
    names = [*SIDES, "NequIP, energy and forces"]
    colours = dict(zip(names, ["#0072B2", "#009E73", "#D55E00", "#CC79A7"], strict=True))
    for panel, (axis, sides) in zip(panels, found.items(), strict=True):
        for side, points in sides.items():
            x, seconds = np.array(points).T
            panel.plot(x, 1e3 * seconds, "o-", ms=4, color=colours[side], label=side)
        x0, x1 = x[0], x[-1]
        if axis in ("edges", "atoms"):
            panel.plot([x0, x1], 1e3 * seconds[-1] * np.array([x0 / x1, 1]), ":", color="0.6", label="slope 1")
        panel.set(yscale="log", xscale="linear" if axis == "lmax" else "log", xlabel=LABELS.get(axis, axis))
    panels[0].set_ylabel("CPU time of one call, ms")
    panels[0].legend(fontsize=7)
    panels[3].legend(fontsize=7)
    fixed = ", ".join(f"{value:,} {LABELS[axis]}" for axis, value in STANDARD.items())
    figure.suptitle(f"Convolution, forward and all gradients, float64 (elsewhere {fixed}); right: a whole network",
                    fontsize=9)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def main():
    settle_memory()
    found = measure()
    text = json.dumps({"machine": report.machine(), "cpu_seconds": found}, indent=1)
    (ROOT / "benchmarks" / "results_growth.json").write_text(text + "\n")
    draw(found, ROOT / "figures" / "growth.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
