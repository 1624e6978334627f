"""SevenNet-0 beside the package that published it: energy, forces and stress of crystals of 64 to 1,000 atoms.

    python -m benchmarks.universal                      # about six minutes; writes the results and the figure
    python -m benchmarks.universal 64 216               # only these sizes: prints the table, writes nothing

Writes results_universal.md, results_universal.json and figures/speed_universal.png.  The exit code is 1 if any two
answers disagree.
"""

import argparse
import dataclasses
import functools
import json
import multiprocessing
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from tqdm import tqdm

from benchmarks import report
from benchmarks.__main__ import ROOT
from benchmarks.harness import peak_memory, rounds, settle_memory
from se3ref.models import sevennet
from se3ref.systems import Structure, neighbor_graph

SIZES = {64: 2, 216: 3, 512: 4, 1000: 5}                       # atoms: cubes of eight atoms along each axis
MOST = {("rock salt", "float32"): 1000, ("rock salt", "float64"): 512, ("mixed oxide", "float32"): 512}      # atoms
# eV an atom, eV/angstrom, eV/angstrom^3: some tens of roundings of forces up to 21 eV/angstrom, and some thousand
TOLERANCE = {"float32": 1e-4, "float64": 1e-11}
VOIGT = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)
HEADINGS = ("crystal", "atoms", "neighbours", "precision", "ours, s", "sevenn, s", "ours/its", "quartiles", "ours, MB",
            "sevenn, MB", "ours/its", "difference")


def crystal(name, atoms):
    """Atoms of ASE.  "rock salt": NaCl shaken by 0.1 angstrom; "mixed oxide": (Mg,Ca,Sr)O at random, by 0.2."""
    from ase.build import bulk
    rng, n = np.random.default_rng(0), SIZES[atoms]
    made = bulk("NaCl", "rocksalt", a=5.64 if name == "rock salt" else 4.85, cubic=True) * (n, n, n)
    if name == "mixed oxide":
        cations = made.numbers == 11
        made.numbers[:] = 8
        made.numbers[cations] = rng.choice([12, 20, 38], cations.sum())
    made.positions += (0.1 if name == "rock salt" else 0.2) * rng.standard_normal(made.positions.shape)
    return made


# --- both sides: precision -> a function of Atoms that says energy, forces and stress (6,) ----------------------

def ours(precision):
    potential = sevennet.load(dtype=getattr(np, precision))

    def answer(atoms):
        found = potential.evaluate(Structure.from_ase(atoms), stress=True)
        return found.energy, found.forces, found.stress[VOIGT]
    return answer


def its(precision):
    """The package's calculator for ASE, as it is in float32; all of it in float64, with couplings to the last digit."""
    import torch
    from sevenn.calculator import SevenNetCalculator
    torch.set_num_threads(1)
    if precision == "float64":
        sys.path.append(str(ROOT / "tests" / "reference"))
        from from_sevenn import Double
        calculator = Double("7net-0")
    else:
        calculator = SevenNetCalculator("7net-0", device="cpu")

    def answer(atoms):
        calculator.calculate(atoms)
        return tuple(calculator.results[name] for name in ("energy", "forces", "stress"))
    return answer


SIDES = {"ours": ours, "its": its}


def difference(a, b, atoms):
    """The largest, of energies an atom, forces and stress."""
    return max(float(np.abs(np.asarray(x) - y).max()) / n for x, y, n in zip(a, b, (atoms, 1, 1), strict=True))


# --- the measurement ------------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Line:
    """One crystal at one size and precision: CPU seconds a call (medians), the quartiles of ours/its over the rounds,
    the peak of memory of each side in a process of its own, bytes, and how far apart the answers are."""
    crystal: str
    atoms: int
    neighbors: float
    precision: str
    seconds: dict
    ratio: list
    rounds: int
    memory: dict
    difference: float


def peak(side, name, atoms, precision):
    """How far one evaluation makes a process grow that has done a smaller one: `peak_memory`, in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak, side, name, atoms, precision).result()


def _peak(side, name, atoms, precision):
    answer = SIDES[side](precision)
    answer(crystal(name, 64)[:8])                              # what is made once: tables, threads, compiled code
    return peak_memory(functools.partial(answer, crystal(name, atoms)))


def measure(name, atoms, precision, answers, seconds):
    """Answers compared, both sides in turn, round after round, and their memory."""
    settle_memory()
    made = crystal(name, atoms)
    tasks = {side: functools.partial(answer, made) for side, answer in answers.items()}
    apart = difference(tasks["ours"](), tasks["its"](), atoms)
    times = {side: np.array(each) for side, each in rounds(tasks, seconds, 5 if atoms < 216 else 3).items()}
    ratio = statistics.quantiles(times["ours"] / times["its"], n=4)
    graph = neighbor_graph(Structure.from_ase(made), 5.0)
    medians = {side: statistics.median(each) for side, each in times.items()}
    memory = {side: peak(side, name, atoms, precision) for side in SIDES}
    return Line(name, atoms, graph.n_edges / atoms, precision, medians, ratio, len(times["ours"]), memory, apart)


# --- what is told of it ---------------------------------------------------------------------------------------

def cells(x):
    """One row of the table."""
    low, middle, high = x.ratio
    ours, its = x.memory["ours"], x.memory["its"]
    memory = ["", "", ""] if ours is None else [f"{ours / 1e6:.0f}", f"{its / 1e6:.0f}", f"{ours / its:.3f}"]
    return [x.crystal, f"{x.atoms:,}", f"{x.neighbors:.0f}", x.precision, f"{x.seconds['ours']:.3f}",
            f"{x.seconds['its']:.3f}", f"{middle:.3f}", f"{low:.3f}-{high:.3f}", *memory,
            f"{x.difference:.0e}" + ("" if x.difference <= TOLERANCE[x.precision] else " DISAGREE")]


def draw(lines, path):
    """CPU time and memory against the number of atoms, both logarithmic."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, panels = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
    looks = {"ours": ("se3ref", "#0072B2"), "its": ("sevenn, torch", "#D55E00")}
    for side, (label, colour) in looks.items():
        for kind, look in zip(MOST, ("o-", "o--", "s:"), strict=True):
            chosen = [x for x in lines if (x.crystal, x.precision) == kind]
            sizes, drawn = [x.atoms for x in chosen], {"ms": 4, "color": colour}
            panels[0].plot(sizes, [x.seconds[side] for x in chosen], look, **drawn, label=f"{label}, {', '.join(kind)}")
            panels[1].plot(sizes, [(x.memory[side] or np.nan) / 1e6 for x in chosen], look, **drawn)
    for panel, unit in zip(panels, ("CPU time, s", "peak of memory, MB"), strict=True):
        panel.set(xscale="log", yscale="log", xlabel="atoms", ylabel=unit, xticks=list(SIZES), xticklabels=list(SIZES))
        panel.minorticks_off()
    figure.legend(fontsize=7, handlelength=4, ncols=2, loc="outside lower center")
    figure.suptitle("SevenNet-0: energy, forces and stress, neighbours included, one thread", fontsize=10)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.universal", description=__doc__.split("\n")[0])
    parser.add_argument("sizes", nargs="*", type=int, help=f"only these of {list(SIZES)}; then nothing is written")
    parser.add_argument("--seconds", type=float, default=4.0, help="CPU time spent on each row, at least (default: 4)")
    options = parser.parse_args()
    if not set(options.sizes) <= set(SIZES):
        parser.error(f"sizes are some of {list(SIZES)}; got {options.sizes}")
    try:
        answers = {precision: {side: make(precision) for side, make in SIDES.items()} for precision in TOLERANCE}
    except ModuleNotFoundError as error:
        print(f"skipped: the package sevenn: {error.name} is not installed")
        return 0
    rows = [(name, atoms, precision) for (name, precision), most in MOST.items()
            for atoms in options.sizes or SIZES if atoms <= most]
    lines = [measure(*row, answers[row[2]], options.seconds) for row in tqdm(rows, unit="row")]
    table = report.markdown([HEADINGS, *map(cells, lines)])
    print(table)
    if not options.sizes:                                      # only a whole run replaces what is kept
        where, path = report.machine(), ROOT / "benchmarks" / "results_universal"
        content = {"machine": where, "lines": [dataclasses.asdict(x) for x in lines]}
        report.write(path.with_suffix(".json"), json.dumps(content, indent=1) + "\n")
        report.write(path.with_suffix(".md"), f"{report.heading(where)}\n\n{table}\n")
        draw(lines, ROOT / "figures" / "speed_universal.png")
    return 0 if all(x.difference <= TOLERANCE[x.precision] for x in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
