"""Parameters of the peers in `lattice_sums`, the fastest of each that meet the accuracy: writes a file of them.

    python -m benchmarks.lattice_tuning [N ...]

The error of a peer is measured, not believed.  For every mesh and every order of interpolation that may pay, the
smallest smearing (with the cutoff that belongs to it) whose forces are good enough is found by bisection; the fastest
of these is kept.  OpenMM likewise, over cutoffs.
"""

import argparse
import itertools
import json
import math
import sys
from pathlib import Path

import numpy as np
from scipy import fft

from benchmarks import report
from benchmarks.harness import cpu_time, settle_memory
from benchmarks.lattice_sides import ACCURACY, OpenMM, TorchPME, gas, rms
from se3ref import electrostatics
from se3ref.electrostatics import COULOMB
from se3ref.electrostatics.ewald import pair_reach

FILE = Path(__file__).with_name("lattice_parameters.json")
SIZES = (64, 216, 512, 1_000, 4_096, 10_648, 32_768, 97_336)
EWALD_IONS, EWALD_MOST = 4_096, 1.2e7          # torch-pme holds several arrays of ions times waves
WANTED = 0.95 * ACCURACY            # a little room, for single precision has the same parameters
PAIRS = 0.6                         # the share of the error that pairs may have; the mesh has 0.8, squares add up


def reference(ions):
    """Forces to 1e-9 by plain Ewald, for many ions to 1e-8 on the mesh (held equal to Ewald's by the tests)."""
    if len(ions) <= 4_096:
        return electrostatics.ewald_sum(ions.positions, ions.charges, ions.cell, accuracy=1e-9).forces
    return electrostatics.pme_sum(ions.positions, ions.charges, ions.cell, accuracy=1e-8).forces


def force_error(forces, truth):
    """Relative, root mean square."""
    return rms(forces - truth) / rms(truth)


def cutoff_for(ions, smearing, truth):
    """Where the error of pairs is its share, by the estimate of Kolafa and Perram."""
    q2 = float(ions.charges @ ions.charges)
    error = PAIRS * WANTED * rms(truth) / COULOMB
    return round(float(pair_reach(1 / (math.sqrt(2) * smearing), error, q2, len(ions), ions.edge**3)), 3)


def smallest_smearing(ions, truth, guess, most, **settings):
    """The TorchPME with the smallest smearing, to 1 %, that keeps WANTED; None if there is none up to `most`."""
    low, high, kept, smearing = 0.0, math.inf, None, guess
    while high / max(low, 1e-9) > 1.01 and smearing < most:
        smearing = round(smearing, 4)
        side = TorchPME(ions, smearing=smearing, cutoff=cutoff_for(ions, smearing, truth), **settings)
        error = force_error(side.sum()[1], truth)
        if error <= WANTED:
            high, kept = smearing, side
            if error > 0.93 * WANTED:
                break
        else:
            low = smearing
        smearing = math.sqrt(low * high) if low and high < math.inf else 1.12 * low or high / 1.12
    return kept


def meshes(ions, kind, nodes, truth):
    """For every power of 2 that may pay, and every number of nodes."""
    starts = {4: 7.5, 5: 3.4, 6: 5.0, 7: 3.75}                 # smearing in mesh spacings, where the search begins
    for mesh, k in itertools.product((16, 32, 64, 128, 256, 512), nodes):
        spacing = ions.edge / mesh
        if 0.4 < spacing < 1.4:
            yield smallest_smearing(ions, truth, starts[k] * spacing, 5.0, kind=kind, mesh=mesh, nodes=k)


def plain(ions, truth):
    """Ewald's sum in torch-pme: waves in a cube, `mesh` along each edge."""
    for mesh in range(6, 20, 2):
        guess = 4.4 * ions.edge / (math.pi * mesh)
        if len(ions) <= EWALD_IONS and mesh**3 * len(ions) <= EWALD_MOST and guess < 8.0:
            yield smallest_smearing(ions, truth, guess, 10.0, kind="Ewald", mesh=mesh)


def openmm(ions, truth):
    """For every cutoff the coarsest mesh that is good enough."""
    for cutoff in (6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 16.0):
        options = np.linspace(0.1, 1, 901)
        reach = np.array([cutoff_for(ions, 1 / (math.sqrt(2) * a), truth) for a in options])
        alpha = round(float(options[np.argmax(reach <= cutoff)]), 3)
        if cutoff >= ions.edge / 2:
            break
        spacings = cutoff * np.arange(0.045, 0.1, 0.001)
        for mesh in sorted({fft.next_fast_len(math.ceil(ions.edge / h), real=True) for h in spacings}):
            side = OpenMM(ions, alpha, mesh, cutoff)
            if force_error(side.sum()[1], truth) <= WANTED:
                yield side
                break


def fastest(sides, truth):
    """The settings of the side that costs least, with its milliseconds and error."""
    timed = []
    for side in filter(None, sides):
        side.sum()
        timed.append((min(cpu_time(side.sum, 1) for _ in range(3)), len(timed), side))
        print(f"    {1e3 * timed[-1][0]:9.1f} ms  {side.settings}", flush=True)
    if not timed:
        return None
    seconds, _, side = min(timed)
    return side.settings | {"ms": round(1e3 * seconds, 1), "error": float(f"{force_error(side.sum()[1], truth):.3g}")}


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lattice_tuning", description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    settle_memory()
    found = json.loads(FILE.read_text())["settings"] if FILE.exists() else {}
    for n in parser.parse_args().sizes:
        ions = gas(n)
        truth = reference(ions)
        for name, sides in (("torch-pme P3M", meshes(ions, "P3M", (4, 5), truth)),
                            ("torch-pme PME", meshes(ions, "PME", (6, 7), truth)),
                            ("torch-pme Ewald", plain(ions, truth)), ("OpenMM", openmm(ions, truth))):
            print(f"{n:,} ions, {name}")
            if (settings := fastest(sides, truth)) is not None:
                found.setdefault(name, {})[str(n)] = settings
        FILE.write_text(json.dumps({"machine": report.machine(), "settings": found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
