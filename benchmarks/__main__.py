"""Measure, print tables, write JSON files and figures, room by room: `python -m benchmarks`."""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from benchmarks import contraction, convolution, neighbors, report, so3, training
from benchmarks.harness import measure

ROOT = Path(__file__).resolve().parents[1]
# The files that make up one table.
ROOMS = {"so3": [so3], "networks": [neighbors, convolution, training, contraction]}


def arguments():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("kernel", nargs="*", help="only kernels whose name contains one of these words")
    parser.add_argument("--seconds", type=float, default=4.0, help="CPU time spent on each row (default: 4)")
    parser.add_argument("--compiled", action="store_true", help="add rows for e3nn with torch.compile (slow)")
    return parser.parse_args()


def run(cases, seconds):
    """Results of the cases whose peer is installed, and one line for each that was skipped."""
    results, skipped = [], []
    for case in (bar := tqdm(cases, unit="case")):
        bar.set_description(f"{case.kernel} beside {case.peer}")
        try:
            results.append(measure(case, seconds))
        except ModuleNotFoundError as error:
            skipped.append(f"skipped: {case.kernel}, {case.size}, {case.peer}: {error.name} is not installed")
    return results, skipped


def main():
    options, agree = arguments(), True
    for room, files in ROOMS.items():
        cases = [case for file in files for case in file.cases(options.compiled)
                 if not options.kernel or any(word in case.kernel for word in options.kernel)]
        if not cases:
            continue
        results, skipped = run(cases, options.seconds)
        print(report.table(results), *skipped, sep="\n")
        if not options.kernel and not skipped:                 # only a whole run replaces what is kept
            report.save(results, ROOT / "benchmarks", room)
            report.save_figure(results, ROOT / "figures" / f"speed_{room}.png", report.machine()["processor"])
        agree = agree and all(r.agrees for r in results)
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
