"""Train the models that come with the library, by named recipes: `python experiments/train.py nequip_ethanol_200`.

Writes NAME.npz, architecture, weights and model card in one file, and prints the errors on the test set: of ethanol
another trajectory, of the other sets geometries of another seed, which no training has seen.
A stopped run goes on from NAME.checkpoint.npz.
"""

import argparse
import dataclasses
import functools
from pathlib import Path

import numpy as np

import se3ref
from se3ref import models, training
from se3ref.nn.params import count
from se3ref.so3 import random_rotation
from se3ref.systems import datasets

FORCES = ("energy", "forces")
PROPERTIES = ("energy", "dipole", "polarizability", "pseudoscalar")
ETHANOL = dict(species=[1, 6, 8], cutoff=5.0)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A model, how many frames it learns from, and the settings of `training.fit`."""
    model: models.Model
    frames: int
    fit: dict
    targets: tuple = FORCES
    rotated: bool = False
    data: str = "ethanol"                                      # and its test set, of the same name with _test
    reach: float | None = None                                 # trained on separations up to this, tested beyond it


def pair_of(data, frames, fit, far, near, head="charges", **more):
    """Two recipes: a NequIP of these fields, and a hybrid of two of them."""
    short, charges = models.NequIP(**near), models.NequIP(**near, heads=head)
    hybrid = models.Hybrid(short_range=short, charges=charges, **far)
    return {f"{name}_{data}": Recipe(model, frames, fit, data=data, **more)
            for name, model in (("local", short), ("hybrid", hybrid))}


RECIPES = {
    "nequip_ethanol_200": Recipe(models.NequIP(**ETHANOL, channels=16), 200, dict(steps=28000)),
    "nequip_ethanol_950": Recipe(models.NequIP(**ETHANOL, channels=16), 950, dict(steps=30000)),
    "nequip_ethanol_dipole": Recipe(models.NequIP(**ETHANOL, channels=16, heads="dipole"), 200, dict(steps=20000),
                                    ("dipole",), rotated=True),
    "direct_ethanol_200": Recipe(models.NequIP(**ETHANOL, channels=16, heads="direct_forces"), 200,
                                 dict(steps=28000), ("direct_forces",)),
    "nequip_h2o2": Recipe(
        models.NequIP([1, 8], 5.0, irreps="16x0e+8x0o+16x1o+8x1e+16x2e", heads=PROPERTIES),
        1000, dict(steps=12000), PROPERTIES, data="h2o2"),
    # six architectures at equal CPU time, a third of the first recipe's
    "nequip_ethanol_short": Recipe(models.NequIP(**ETHANOL, channels=16), 200, dict(steps=9300)),
    "schnet_ethanol_short": Recipe(models.SchNet(**ETHANOL), 200, dict(steps=41000)),
    "painn_ethanol_short": Recipe(models.PaiNN(**ETHANOL), 200, dict(steps=16400)),
    "egnn_ethanol_short": Recipe(models.EGNN(**ETHANOL), 200, dict(steps=21000)),
    "mace_ethanol_short": Recipe(models.MACE(**ETHANOL, channels=32, irreps="32x0e+32x1o"), 200, dict(steps=5700)),
    "se3_transformer_ethanol_short": Recipe(models.SE3Transformer(**ETHANOL), 200, dict(steps=7200)),
    # a local network, and the same with learned charges
    **pair_of("formate_ammonium", 80, dict(steps=6000, batch=8), dict(electrostatics="direct", widths=0.7),
              dict(species=[1, 6, 7, 8], cutoff=5.0, channels=8, layers=2, lmax=1), targets=("energy",), reach=6.01),
    **pair_of("silver_trimers", 400, dict(steps=3000, batch=10), dict(electrostatics="direct", widths=1.3),
              dict(species=[47], cutoff=6.0, channels=8, layers=2, lmax=1, neighbors=2.0), head="electronegativity"),
    **pair_of("ion_gas", 250, dict(steps=3000, batch=2, rate=1e-2), dict(accuracy=1e-5),
              dict(species=[11, 17], cutoff=4.5, channels=8, layers=1, lmax=0, neighbors=8.0)),
    **pair_of("sodium_chloride", 200, dict(steps=3000, batch=2, rate=1e-2), dict(accuracy=1e-5),
              dict(species=[11, 17], cutoff=4.5, channels=8, layers=1, lmax=0, neighbors=8.0)),
}


def chosen_frames(recipe, seed):
    """The training frames: a random choice of the set, turned at random where the recipe says so."""
    frames = datasets.load(recipe.data)
    if recipe.reach is not None:
        frames = frames[frames.extra["separation"] <= recipe.reach]
    rng = np.random.default_rng(seed)
    frames = frames[rng.permutation(len(frames))[:recipe.frames]]
    return turned(frames, rng) if recipe.rotated else frames


def turned(frames, rng):
    """Every frame by a random rotation of its own: positions, forces and dipoles."""
    R = random_rotation(rng, len(frames))
    forces, positions = (x @ R.swapaxes(1, 2) for x in (frames.forces, frames.positions))
    dipoles = (R @ frames.dipoles[:, :, None])[:, :, 0]
    return dataclasses.replace(frames, positions=positions, forces=forces, dipoles=dipoles)


def errors_on_test_frames(recipe, params):
    """{name: (mae, rmse)} on the test set."""
    frames = _test_frames(recipe.data, recipe.targets, recipe.rotated, recipe.reach)
    return training.errors(recipe.model, params, frames)


@functools.lru_cache(maxsize=4)                                # a Dataset keeps its graphs, and models share them
def _test_frames(data, targets, rotated, reach):
    frames = datasets.load(f"{data}_test")
    if reach is not None:
        frames = frames[frames.extra["separation"] > reach]
    frames = turned(frames, np.random.default_rng(1)) if rotated else frames
    return training.Dataset.from_frames(frames, targets)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--out", type=Path, help="file to write (default: NAME.npz)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    recipe, out = RECIPES[args.recipe], args.out or Path(f"{args.recipe}.npz")
    train = training.Dataset.from_frames(chosen_frames(recipe, args.seed), recipe.targets)
    result = training.fit(recipe.model, train, seed=args.seed, checkpoint=out.with_suffix(".checkpoint.npz"),
                          **recipe.fit)
    if not result.finished:
        raise SystemExit("stopped; the same command goes on from the checkpoint")
    found, about = errors_on_test_frames(recipe, result.params), datasets.load(recipe.data).about
    card = {
        "name": args.recipe, "script": f"experiments/train.py {args.recipe} --seed {args.seed}",
        "version": se3ref.__version__, "data": about["what"], "level": about["level"],
        "frames": recipe.frames, "targets": list(recipe.targets),
        "rotated": recipe.rotated, "fit": {**recipe.fit, "seed": args.seed}, "parameters": count(result.params),
        "cpu_seconds": round(result.history[-1]["seconds"], 1),
        "test": f"{recipe.data}_test, which training has not seen; mean absolute and root-mean-square errors",
        "reach": recipe.reach and f"trained on separations up to {recipe.reach} angstrom, tested beyond",
        "errors": {name: {"mae": mae, "rmse": rmse} for name, (mae, rmse) in found.items()},
        "limits": "one system, sampled as its data set: nothing else is known to this model",
    }
    models.save(out, recipe.model, result.params, card)
    out.with_suffix(".checkpoint.npz").unlink(missing_ok=True)
    words = ", ".join(f"{name} mae {1e3 * mae:.2f}e-3 rmse {1e3 * rmse:.2f}e-3" for name, (mae, rmse) in found.items())
    print(f"wrote {out}: {card['parameters']} parameters, {card['cpu_seconds']:.0f} s of CPU time; test: {words}")


if __name__ == "__main__":
    main()
