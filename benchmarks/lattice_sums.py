"""Lattice sums of 64 to 97,336 ions beside torch-pme and OpenMM, all to one measured error of the forces.

    python -m benchmarks.lattice_sums                   # about five minutes; writes the results and the figure
    python -m benchmarks.lattice_sums 64 512 4096       # only these sizes: prints the table, writes nothing

Writes results_lattice_sums.md, results_lattice_sums.json and figures/lattice_sums.png.  The exit code is 1 if the
forces of any side miss the accuracy.
"""

import argparse
import dataclasses
import json
import statistics
import sys

import numpy as np
from tqdm import tqdm

from benchmarks import report
from benchmarks.__main__ import ROOT
from benchmarks.harness import peak_memory, rounds, settle_memory
from benchmarks.lattice_sides import ACCURACY, OpenMM, OurEwald, OurMesh, TorchPME, forget, gas, rms
from benchmarks.lattice_tuning import FILE, SIZES, force_error, reference

MESH, EWALD = "se3ref PME", "se3ref Ewald"
TORCH_EWALD, P3M = "torch-pme Ewald", "torch-pme P3M"
EWALD_MOST = 40_000                                            # ions; a plain sum of more would take a minute
BESIDE = {TORCH_EWALD: EWALD}                                  # all others stand beside MESH
HEADINGS = ("ions", "library", "error", "error, whole", "sum, ms", "ours/its", "quartiles", "whole, ms", "ours/its",
            "quartiles", "memory, MB")


@dataclasses.dataclass(frozen=True)
class Line:
    """One library at one size: relative errors of the forces, CPU seconds a call (medians), the first quartile, median
    and third quartile of ours/its over the rounds, and the peak of memory from positions to forces, bytes."""
    ions: int
    library: str
    settings: dict
    errors: dict
    seconds: dict
    ratios: dict
    rounds: int
    memory: int | None


# --- the measurement ------------------------------------------------------------------------------------------

def ours(kind, ions, truth):
    """Ours with the coarsest plan whose measured error is the accuracy, as the peers have theirs."""
    error = 1.2 * ACCURACY
    while True:
        side = kind(ions, error, rms(truth))
        if force_error(side.sum()[1], truth) <= ACCURACY:
            return side
        error *= 0.93


def all_sides(ions, truth, skipped):
    """{library: Side}; a peer that is not installed adds a line to `skipped`."""
    made = {MESH: ours(OurMesh, ions, truth)}
    if len(ions) <= EWALD_MOST:
        made[EWALD] = ours(OurEwald, ions, truth)
    for library, table in json.loads(FILE.read_text())["settings"].items():
        found = dict(table.get(str(len(ions)), {}))
        if not found:
            continue
        for only_told in ("ms", "error"):
            found.pop(only_told)
        try:
            made[library] = (OpenMM if library == "OpenMM" else TorchPME)(ions, **found)
            if library == P3M:
                made[f"{P3M}, float32"] = TorchPME(ions, **found | {"dtype": "float32"})
        except ModuleNotFoundError as error:
            skipped.add(f"skipped: {library}: {error.name} is not installed")
    return made


def measure(n, seconds, skipped):
    """The lines of n ions: errors, memory, then all sides in turn, round after round."""
    settle_memory()
    ions = gas(n)
    truth = reference(ions)
    sides = all_sides(ions, truth, skipped)
    errors = {name: {part: force_error(task()[1], truth) for part, task in side.timed().items() if part != "pairs"}
              for name, side in sides.items()}
    memory = {name: peak_memory(side.fresh, before=forget) for name, side in sides.items()}
    tasks = {(name, part): task for name, side in sides.items() for part, task in side.timed().items()}
    times = {key: np.array(each) for key, each in rounds(tasks, seconds, 5 if n < 30_000 else 3).items()}
    for name in sides:
        if (name, "pairs") in times:
            times[name, "whole"] = times[name, "sum"] + times.pop((name, "pairs"))
    return [line(n, name, side.settings, errors[name], memory[name], times) for name, side in sides.items()]


def line(n, name, settings, errors, memory, times):
    """The medians of one library, and of the ratios to it, round by round."""
    beside = BESIDE.get(name, MESH)
    seconds, ratios = {}, {}
    for part in ("sum", "whole"):
        its = times[name, part]
        seconds[part] = statistics.median(its)
        low, middle, high = statistics.quantiles(times[beside, part] / its, n=4)
        ratios[part] = [low, middle, high]
    return Line(n, name, settings, errors, seconds, ratios, len(its), memory)


# --- what is told of it ---------------------------------------------------------------------------------------

def curve(lines, library, part):
    """Sizes and seconds of one library."""
    return np.array([(x.ions, x.seconds[part]) for x in lines if x.library == library]).T


def growth(lines, library, part):
    """The exponent p of seconds ~ N^p, fitted from 1,000 ions on; None if there are not three sizes."""
    sizes, seconds = curve(lines, library, part)
    large = sizes >= 1_000
    return float(np.polyfit(np.log(sizes[large]), np.log(seconds[large]), 1)[0]) if large.sum() >= 3 else None


def crossing(lines, part):
    """The number of ions from which our mesh is faster than our plain sum, on straight lines between logarithms; None
    if the curves don't cross."""
    mesh, plain = (dict(curve(lines, name, part).T) for name in (MESH, EWALD))
    sizes = sorted(set(mesh) & set(plain))
    ahead = [np.log(mesh[n] / plain[n]) for n in sizes]
    for k in range(len(sizes) - 1):
        if ahead[k] > 0 >= ahead[k + 1]:
            return float(np.exp(np.interp(0, [-ahead[k], -ahead[k + 1]], np.log(sizes[k:k + 2]))))
    return None


def libraries(lines):
    return list(dict.fromkeys(x.library for x in lines))


def cells(x):
    """One row of the table."""
    def part(name):
        low, middle, high = x.ratios[name]
        apart = [""] * 2 if x.library in (MESH, EWALD) else [f"{middle:.3f}", f"{low:.3f}-{high:.3f}"]
        return [f"{1e3 * x.seconds[name]:.2f}", *apart]
    missed = " MISSED" if max(x.errors.values()) > ACCURACY else ""
    errors = [f"{x.errors[name]:.1e}" if name in x.errors else "" for name in ("sum", "whole")]
    memory = "" if x.memory is None else f"{x.memory / 1e6:.1f}"
    return [f"{x.ions:,}", x.library + missed, *errors, *part("sum"), *part("whole"), memory]


def text(lines):
    """The table, then growth and crossings."""
    said = [report.markdown([HEADINGS, *map(cells, lines)])]
    for part in ("sum", "whole"):
        grown = {name: p for name in libraries(lines) if (p := growth(lines, name, part)) is not None}
        if grown:
            said.append(f"Growth of the {part} from 1,000 ions on: "
                        + ", ".join(f"{name} N^{p:.2f}" for name, p in grown.items()) + ".")
        if (n := crossing(lines, part)) is not None:
            said.append(f"Of our own {part}s, the mesh is faster than the plain sum from about {n:,.0f} ions on.")
    return "\n\n".join(said)


def draw(lines, path):
    """Three panels against the number of ions, all logarithmic: the sum, the whole call, memory."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    colours = dict(zip([MESH, EWALD, P3M, f"{P3M}, float32", "torch-pme PME", TORCH_EWALD, "OpenMM"],
                       ["#0072B2", "#0072B2", "#D55E00", "#D55E00", "#E69F00", "#D55E00", "#009E73"], strict=True))
    figure, panels = plt.subplots(1, 3, figsize=(13, 5.4), layout="constrained")
    for panel, part in zip(panels, ("sum", "whole"), strict=False):
        for name in libraries(lines):
            p = growth(lines, name, part)
            panel.plot(*curve(lines, name, part) * [[1], [1e3]], marker="o", ms=4, color=colours[name],
                       ls="--" if "Ewald" in name else ":" if "float32" in name else "-",
                       label=name if p is None else f"{name}: $N^{{{p:.2f}}}$")
        if (n := crossing(lines, part)) is not None:
            panel.axvline(n, color="0.7", lw=0.8)
            panel.annotate(f"plain sum and mesh\ncross at {n:,.0f}", (n, 0.02), xycoords=("data", "axes fraction"),
                           xytext=(4, 0), textcoords="offset points", fontsize=7)
        panel.legend(fontsize=7, handlelength=4, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    for name in libraries(lines):
        points = np.array([(x.ions, x.memory / 1e6) for x in lines if x.library == name and x.memory]).T
        if len(points):
            panels[2].plot(*points, marker="o", ms=4, color=colours[name],
                           ls="--" if "Ewald" in name else ":" if "float32" in name else "-")
    titles = ("the sum, pairs and set-up given", "the whole call, pairs found anew", "from positions to forces")
    units = ("CPU time, ms", "CPU time, ms", "peak of memory, MB")
    for panel, title, unit in zip(panels, titles, units, strict=True):
        panel.set(xscale="log", yscale="log", xlabel="ions", ylabel=unit)
        panel.set_title(title, fontsize=9)
    figure.suptitle(f"Energy and forces of ions in a cube, relative error of the forces {ACCURACY:g}, one thread",
                    fontsize=10)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lattice_sums", description=__doc__.split("\n")[0])
    parser.add_argument("sizes", nargs="*", type=int, help="only these numbers of ions; then nothing is written")
    parser.add_argument("--seconds", type=float, default=4.0, help="CPU time spent on each size, at least (default: 4)")
    options, skipped = parser.parse_args(), set()
    lines = [x for n in tqdm(options.sizes or SIZES, unit="size") for x in measure(n, options.seconds, skipped)]
    print(text(lines), *skipped, sep="\n")
    if not options.sizes and not skipped:                      # only a whole run replaces what is kept
        where, name = report.machine(), ROOT / "benchmarks" / "results_lattice_sums"
        content = {"machine": where, "accuracy": ACCURACY, "lines": [dataclasses.asdict(x) for x in lines]}
        report.write(name.with_suffix(".json"), json.dumps(content, indent=1) + "\n")
        report.write(name.with_suffix(".md"), f"{report.heading(where)}\n\n{text(lines)}\n")
        draw(lines, ROOT / "figures" / "lattice_sums.png")
    return 0 if all(max(x.errors.values()) <= ACCURACY for x in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
