"""Ten picoseconds of ethanol at constant energy, with gradient forces and with direct ones: what chapter 10 shows.

    python experiments/nve.py

Writes nve.json beside this file: for each run its total energy, the temperature and the speed of the centre of mass
at every 40th step.  A direct force head has no energy, so for all runs there is also the total energy with the
potential of one model, METER.  A run that is in the file is not made again; delete the file to start afresh.  Each
takes one to four minutes.
"""

import json
import time
from pathlib import Path

import numpy as np

from se3ref import dynamics, models
from se3ref.nn.params import cast
from se3ref.systems import Structure, datasets

OUT = Path(__file__).with_name("nve.json")
METER = "nequip_ethanol_200"
DT, STEPS, EVERY = 0.5, 20_000, 40                             # fs
TEMPERATURE = 300.0                                            # K, of the run
RUNS = {                                                       # model, precision, seed of the velocities
    "gradient": ("nequip_ethanol_200", "float64", 0),
    "direct": ("direct_ethanol_200", "float64", 0),
    "gradient in float32": ("nequip_ethanol_200", "float32", 0),
    "direct, seed 1": ("direct_ethanol_200", "float64", 1),
    "direct, seed 2": ("direct_ethanol_200", "float64", 2),
    "SchNet": ("schnet_ethanol_short", "float64", 0),
}


def start(seed):
    """The relaxed molecule, and velocities (9,3), scaled to exactly 2 TEMPERATURE: half of it the vibrations store."""
    ethanol = datasets.load("ethanol")
    molecule = Structure(ethanol.numbers, ethanol.about["minimum"]["positions"])
    v = dynamics.thermal_velocities(molecule, 2 * TEMPERATURE, np.random.default_rng(seed))
    wanted = dynamics.degrees_of_freedom(molecule) * dynamics.BOLTZMANN * TEMPERATURE
    return molecule, v * np.sqrt(wanted / dynamics.kinetic_energy(dynamics.masses(molecule.numbers), v))


def field(name, dtype="float64"):
    """The force field of a trained model, in this precision."""
    model, params, _ = models.shipped(name)
    return dynamics.force_field(model, cast(params, dtype), start(0)[0], direct="direct_forces" in model.heads)


def measured(run):
    """What is kept of a Trajectory: total energies from the start, temperature, and speed of the centre of mass."""
    meter, m = field(METER), dynamics.masses(run.structure.numbers)
    metered = run.kinetic + np.array([meter(r)[0] for r in run.positions])
    centre = m @ run.velocities / m.sum()                      # (k,3)
    own = None if np.isnan(run.potential).all() else from_start(run.total)
    return {"energy_meV": own, "metered_meV": from_start(metered), "temperature_K": run.temperature.round(2).tolist(),
            "speed_angstrom_per_ps": (1000 * np.sqrt((centre * centre).sum(1))).round(5).tolist(),
            "stopped": run.stopped}


def from_start(energy):
    """Energies (k,), eV, as a list of their changes since the start, meV."""
    return (1000 * (energy - energy[0])).round(5).tolist()


def made(name, dtype, seed):
    """One run and what it took."""
    began = time.process_time()
    run = dynamics.simulate(field(name, dtype), *start(seed), DT, STEPS, every=EVERY, progress=True)
    return {"model": name, "dtype": dtype, "seed": seed, **measured(run),
            "cpu_seconds": round(time.process_time() - began)}


def main():
    about = {"command": "python experiments/nve.py", "meter": METER, "dt_fs": DT, "steps": STEPS, "every": EVERY,
             "temperature_K": TEMPERATURE}
    kept = json.loads(OUT.read_text())["runs"] if OUT.exists() else {}
    for label, settings in RUNS.items():
        if label in kept:
            continue
        print(f"{label}: {STEPS * DT / 1000:g} ps")
        kept[label] = made(*settings)
        if kept[label]["stopped"] == "interrupted":
            raise SystemExit("stopped; the same command goes on with this run")
        part = OUT.with_name(OUT.name + ".part")
        part.write_text(json.dumps({"about": about, "runs": kept}, indent=0).replace(",\n", ", ") + "\n")
        part.replace(OUT)


if __name__ == "__main__":
    main()
