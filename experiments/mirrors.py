"""What SevenNet-0 says of mirror images: the price of labelling everything even, and which paths pay it.

    python experiments/mirrors.py                              # a minute; writes mirrors.json beside this file
    python experiments/mirrors.py --figure figures/mirror-energies.png

A mirror image is the inverted structure, -x.  Nature, as far as chemistry goes, gives both the same energy.  In
SevenNet-0 all features are labelled even, so that a path (l1, l2, l3) is allowed whatever l1 + l2 + l3 is.  Where the
sum is odd the coupling is antisymmetric, a cross product, and it makes a pseudovector where a vector is expected.
With the radial weights of these paths at zero, every feature of degree l has the parity (-1)^l, and mirror images
must be equal: `without` does that.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from se3ref import models
from se3ref.nn.params import cast
from se3ref.so3 import random_rotation
from se3ref.systems import Structure, datasets
from se3ref.verify.specimens import rattled

OUT = Path(__file__).with_name("mirrors.json")
QUARTZ = Path(__file__).parents[1] / "tests" / "reference" / "sevennet_reference.npz"
FRAMES = 20                                                    # of each family
ERRORS = {"energy_eV_per_atom": 0.011, "forces_eV_per_angstrom": 0.040, "stress_GPa": 0.28,
          "what": "mean absolute errors on its training set, as its authors' page of SevenNet-0 (11Jul2024) has them"}


def families():
    """{name: structures}: molecules as datasets have them, and crystals rattled and sheared, at different seeds."""
    every = slice(0, 1000, 1000 // FRAMES)
    found = {name: [Structure(data.numbers, r) for r in data.positions[every]]
             for name, data in (("water", datasets.load("water")), ("ethanol", datasets.load("ethanol")),
                                ("hydrogen peroxide", datasets.load("h2o2")))}
    methanes = datasets.load("chiral_methanes").structures
    found["chiral methanes"] = methanes[::len(methanes) // FRAMES][:FRAMES]
    fcc = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0.0]]) / 2
    for name, numbers, a, more in (("copper", [29] * 4, 3.615, ()), ("silicon", [14] * 8, 5.431, (0.25, 0.25, 0.25)),
                                   ("sodium chloride", [11] * 4 + [17] * 4, 5.64, (0.5, 0, 0))):
        places = a * (np.concatenate([fcc, fcc + more]) if more else fcc)
        found[name] = [rattled(numbers, places, a * np.eye(3), True, seed) for seed in range(FRAMES)]
    with np.load(QUARTZ) as file:
        found["quartz, perfect"] = [Structure(*(file[f"quartz_9/{key}"] for key in ("numbers", "positions", "cell")),
                                              True)]
    return found


def asymmetry(model, params, structures, sign=-1):
    """|E(x) - E(sign R x)| per atom and the largest entry of sign R F(x) - F(sign R x), of each structure: lists.

    R is one rotation: inversion alone changes signs and no digits, and would not show what rounding does.
    """
    R, energies, forces = sign * random_rotation(np.random.default_rng(0)), [], []
    for structure in structures:
        here, there = (models.evaluate(model, params, s) for s in (structure, structure.rotated(R)))
        energies.append(abs(float(here.energy) - float(there.energy)) / len(structure))
        forces.append(float(np.abs(here.forces @ R.T - there.forces).max()))
    return {"energy": energies, "forces": forces}


# --- which paths ----------------------------------------------------------------------------------------------

def degrees(path):
    """(l1, l2, l3) of a path: feature, harmonics, result."""
    return path.h.l, path.l, path.y.l


def odd_paths(model):
    """Sorted degrees of the antisymmetric paths, l1 + l2 + l3 odd."""
    return sorted({degrees(path) for _, _, terms in model._plan() for path in terms if sum(degrees(path)) % 2})


def without(potential, removed):
    """Its parameters with the radial weights of these paths, by degrees, at zero; and the share of columns removed."""
    model, trunk, counts = potential.model, dict(potential.params["trunk"]), [0, 0]
    for k, (come, _, terms) in enumerate(model._plan()):
        keep = np.concatenate([np.full(come[path.h], degrees(path) not in removed) for path in terms])
        layer = trunk[f"layer{k}"]
        last = str(max(map(int, layer["radial"])))
        trunk[f"layer{k}"] = {**layer, "radial": {**layer["radial"], last: layer["radial"][last] * keep}}
        counts = [counts[0] + int((~keep).sum()), counts[1] + len(keep)]
    return {**potential.params, "trunk": trunk}, counts[0] / counts[1]


def changes(potential, even, structures):
    """What removing the odd paths does to energies per atom and forces: mean, spread and root mean squares.

    mean_of_images: what is left between the energy without odd paths and the mean of both mirror images.
    """
    moved, from_mean, forces = [], [], []
    for structure in structures:
        images = structure, structure.rotated(-np.eye(3))
        a, mirrored = (models.evaluate(potential.model, potential.params, s) for s in images)
        b = models.evaluate(potential.model, even, structure)
        moved.append(float(b.energy - a.energy) / len(structure))
        from_mean.append(float(b.energy - 0.5 * (a.energy + mirrored.energy)) / len(structure))
        forces.append(float(np.sqrt(((b.forces - a.forces) ** 2).mean())))
    return {"energy_mean": float(np.mean(moved)), "energy_spread": float(np.std(moved)),
            "mean_of_images_rms": float(np.sqrt(np.mean(np.square(from_mean)))),
            "forces_rms": float(np.sqrt(np.mean(np.square(forces))))}


def measured():
    """Everything that the file holds."""
    double, single = models.sevennet.load(), models.sevennet.load(dtype=np.float32)
    everything, odd = families(), odd_paths(double.model)
    even, share = without(double, odd)
    found = {name: {} for name in (*SERIES, "change by removing odd paths", "one kind of odd paths alone")}
    for name, structures in everything.items():
        print(name, flush=True)
        for series, model, params, sign in (
                ("mirrored", double.model, double.params, -1), ("mirrored without odd paths", double.model, even, -1),
                ("turned", double.model, double.params, 1), ("turned, float32", single.model, single.params, 1)):
            found[series][name] = asymmetry(model, params, structures, sign)
        found["change by removing odd paths"][name] = changes(double, even, structures)
        found["one kind of odd paths alone"][name] = {
            str(kind): asymmetry(double.model, without(double, [k for k in odd if k != kind])[0], structures[:5])
            for kind in odd}
    model, params, _ = models.shipped("nequip_ethanol_950")
    found["mirrored, O(3)"]["ethanol"] = asymmetry(model, cast(params, "float64"), everything["ethanol"])
    about = {"command": "python experiments/mirrors.py", "frames": FRAMES, "units": "eV per atom; eV/angstrom",
             "odd_paths": odd, "odd_share_of_radial_weights": share, "errors_of_SevenNet-0": ERRORS}
    return {"about": about, "found": found}


# --- the figure -----------------------------------------------------------------------------------------------

SERIES = {"mirrored": ("#D55E00", "SevenNet-0, mirror images"),
          "turned, float32": ("#E69F00", "SevenNet-0, turned, float32: its noise floor"),
          "turned": ("#999999", "SevenNet-0, turned, float64: its noise floor"),
          "mirrored without odd paths": ("#56B4E9", "without its odd paths, mirror images"),
          "mirrored, O(3)": ("#009E73", "NequIP with O(3) labels, mirror images (ethanol)")}

ZERO = 1e-17                                                   # where the figure has what is exactly zero


def draw(path):
    """Dots for structures, by family and series; the errors of SevenNet-0 as a line."""
    import matplotlib.pyplot as plt
    file = json.loads(OUT.read_text())
    found, names = file["found"], list(file["found"]["mirrored"])
    errors = [file["about"]["errors_of_SevenNet-0"][key] for key in ("energy_eV_per_atom", "forces_eV_per_angstrom")]
    fig, axes = plt.subplots(1, 2, figsize=(8.6, 4.6), layout="constrained")
    for ax, key, title, error in zip(axes, ("energy", "forces"), ("difference of energies, eV per atom",
                                     "largest difference of forces, eV/angstrom"), errors, strict=True):
        for k, (series, (colour, label)) in enumerate(SERIES.items()):
            for x, name in enumerate(names):                   # series side by side, structures within
                values = np.maximum(found[series].get(name, {key: []})[key], ZERO)
                places = x + 0.17 * (k - 2 + 0.7 * ((np.arange(len(values)) + 0.5) / max(len(values), 1) - 0.5))
                ax.scatter(places, values, s=5, color=colour, linewidth=0, label=label if name == "ethanol" else None)
        for x in range(1, len(names)):
            ax.axvline(x - 0.5, color="0.85", linewidth=0.5)
        ax.axhline(error, color="black", linewidth=0.8, linestyle="--")
        ax.text(-0.4, error * 1.6, "mean error of SevenNet-0", fontsize=7.5)
        ax.set(yscale="log", xlim=(-0.5, len(names) - 0.5), ylim=(ZERO / 3, 1))
        powers = range(-16, 1, 2)
        ax.set_yticks([ZERO, *(10.0**k for k in powers)], ["0", *(f"$10^{{{k}}}$" for k in powers)])
        ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
        ax.set_title(title, fontsize=9)
        ax.tick_params(axis="y", labelsize=8)
        ax.grid(axis="y", linewidth=0.3)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=8,
               markerscale=2)
    fig.savefig(path, dpi=200)
    plt.close(fig)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--figure", metavar="PATH", help="draw what the file holds, and measure nothing")
    options = parser.parse_args()
    if options.figure:
        draw(options.figure)
    else:
        OUT.write_text(json.dumps(measured(), indent=1) + "\n")


if __name__ == "__main__":
    main()
