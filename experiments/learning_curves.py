"""Learning curves: the error of five networks against the number of frames they learned from (chapter 9).

    python experiments/learning_curves.py

trains what is not yet in learning_curves.json beside it: all of it takes 15 to 20 minutes of CPU time on one thread.
The file is written anew after every point, under a temporary name and renamed, so a stopped run loses one point.
`train_and_test(task, network, n, seed, times)` makes one point again.
"""

import json
import os
import time
from pathlib import Path

import numpy as np
from train import turned

import se3ref
from se3ref import models, training
from se3ref.nn.params import count
from se3ref.systems import datasets

STORED = Path(__file__).with_suffix(".json")
SIZES = (25, 50, 100, 200)
BATCH, RATE = 5, 0.01

# name: (architecture, fields, steps, whether frames are turned anew at every draw).  Steps are such that all take
# about the same CPU time.  The last two differ from "l = 2" in l only, and in channels to make up for the time.
NETWORKS = {
    "coordinates": (models.Coordinates, dict(channels=32), 3000, False),
    "coordinates, turned": (models.Coordinates, dict(channels=32), 3000, True),
    "invariant": (models.SchNet, dict(channels=32), 4000, False),
    "l = 1": (models.PaiNN, dict(channels=24), 2000, False),
    "l = 2": (models.NequIP, dict(lmax=2, channels=8), 1200, False),
    "NequIP, l = 0": (models.NequIP, dict(lmax=0, channels=24), 2000, False),
    "NequIP, l = 1": (models.NequIP, dict(lmax=1, channels=12), 1500, False),
}
FIVE = tuple(NETWORKS)[:5]
# name: (head, targets, cutoff in angstrom, networks)
TASKS = {
    "dipole": ("dipole", ("dipole",), 5.0, FIVE),
    "forces": ("energy", ("energy", "forces"), 5.0, FIVE),
    "forces, cutoff 2": ("energy", ("energy", "forces"), 2.0, ("invariant", "l = 1", "l = 2")),
}


def model(task, network):
    """The network, not yet trained."""
    head, _, cutoff, _ = TASKS[task]
    architecture, fields, _, _ = NETWORKS[network]
    return architecture(species=[1, 6, 8], cutoff=cutoff, heads=head, **fields)


def data(task, network, n, seed, times=1):
    """(train, test): n frames of one trajectory and 250 of another, every frame turned at random.

    The n frames of a seed are among its 2n frames.  A network that is to learn from turned copies gets as many as it
    draws, so that it never sees a frame twice in the same orientation.
    """
    _, targets, _, _ = TASKS[task]
    _, _, steps, augmented = NETWORKS[network]
    train, test = datasets.load("ethanol"), datasets.load("ethanol_test")[::2]
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(train))[:n]
    copies = -(-times * steps * BATCH // n) if augmented else 1
    return (training.Dataset.from_frames(turned(train[np.tile(rows, copies)], rng), targets),
            training.Dataset.from_frames(turned(test, np.random.default_rng(2)), targets))


def train_and_test(task, network, n, seed, times=1):
    """One point, trained `times` as long as usual: mean absolute errors (eV, eV/angstrom, e*angstrom per component),
    and what it took."""
    net, (train, test) = model(task, network), data(task, network, n, seed, times)
    steps = times * NETWORKS[network][2]
    began = time.process_time()
    result = training.fit(net, train, steps=steps, batch=BATCH, rate=RATE, seed=seed, progress=False)
    seconds = time.process_time() - began
    if not result.finished:
        raise SystemExit("stopped; the same command goes on with the point that was under way")
    found = {name: round(mae, 6) for name, (mae, _) in training.errors(net, result.params, test).items()}
    return {"task": task, "network": network, "n": n, "seed": seed, **found, "steps": steps,
            "seconds": round(seconds, 1), "parameters": count(result.params), "version": se3ref.__version__}


def plan():
    """The points (task, network, n, seed, times): the curves, networks of one family, some points with another seed,
    and one point trained three times as long."""
    curves = [(task, network, n, 0, 1) for task, (*_, networks) in TASKS.items() for n in SIZES for network in networks]
    again = [("dipole", network, 50, 1, 1) for network in FIVE]
    again += [("forces", network, 50, 1, 1) for network in ("invariant", "l = 2")]
    family = [("forces", network, n, 0, 1) for network in tuple(NETWORKS)[5:] for n in (25, 100)]
    return curves + family + again + [("dipole", "l = 2", 200, 0, 3)]


def about():
    """What all stored points share."""
    networks = {name: {"architecture": architecture.__name__, **fields, "steps": steps, "turned at every draw": turning}
                for name, (architecture, fields, steps, turning) in NETWORKS.items()}
    tasks = {name: {"targets": list(targets), "cutoff": cutoff} for name, (_, targets, cutoff, *_) in TASKS.items()}
    return {"script": "experiments/learning_curves.py", "batch": BATCH, "rate": RATE, "networks": networks,
            "tasks": tasks, "errors": "mean absolute: energy eV, forces eV/angstrom, dipole e*angstrom per component",
            "seconds": "CPU time of training, on one thread"}


def load(path=STORED):
    """The stored points, a list of dicts; ValueError where they are of other networks or settings."""
    if not path.exists():
        return []
    stored = json.loads(path.read_text())
    if stored["about"] != about():
        raise ValueError(f"{path.name} holds results of other settings; move it away to make new ones")
    return stored["points"]


def save(points, path=STORED):
    """Write all points: to a temporary name, then renamed."""
    lines = ",\n".join(json.dumps(point) for point in points)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(f'{{"about": {json.dumps(about(), indent=1)},\n"points": [\n{lines}\n]}}\n')
    os.replace(temporary, path)


def main():
    points = load()
    done = {(p["task"], p["network"], p["n"], p["seed"], p["steps"] // NETWORKS[p["network"]][2]) for p in points}
    for wanted in plan():
        if wanted not in done:
            points.append(train_and_test(*wanted))
            print(points[-1], flush=True)
            save(points)


if __name__ == "__main__":
    main()
