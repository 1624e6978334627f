"""Measure, print the table, write the JSON file and the figure: `python -m benchmarks`."""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from benchmarks import report, so3
from benchmarks.harness import measure

ROOT = Path(__file__).resolve().parents[1]


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
    options = arguments()
    cases = [case for case in so3.cases(options.compiled)
             if not options.kernel or any(word in case.kernel for word in options.kernel)]
    results, skipped = run(cases, options.seconds)
    print(report.table(results), *skipped, sep="\n")
    if not options.kernel and not skipped:                     # only a whole run replaces what is kept
        report.save(results, ROOT / "benchmarks", "so3")
        report.save_figure(results, ROOT / "figures" / "speed_so3.png", report.machine()["processor"])
    return 0 if all(r.agrees for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
