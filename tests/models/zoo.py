"""Every model of the library, small, fresh and trained, and the structures that the laws are tried on."""

import functools

import numpy as np

from se3ref import models, training
from se3ref.systems import Structure, datasets

SPECIES, CUTOFF = (1, 6, 8), 3.2
EQUIVARIANT = {
    "SchNet": lambda: models.SchNet(SPECIES, CUTOFF, channels=8, layers=2),
    "EGNN": lambda: models.EGNN(SPECIES, CUTOFF, channels=8, layers=2),
    "PaiNN": lambda: models.PaiNN(SPECIES, CUTOFF, channels=8, layers=2),
    "NequIP": lambda: models.NequIP(SPECIES, CUTOFF, channels=4, layers=2),
    "NequIP all parities": lambda: models.NequIP(SPECIES, CUTOFF, irreps="4x0e+3x1o+2x1e+2x2e+2x2o", layers=2),
    "NequIP lmax 4": lambda: models.NequIP(SPECIES, CUTOFF, lmax=4, channels=2, layers=2),
    "NequIP SO(3)": lambda: models.NequIP(SPECIES, CUTOFF, channels=4, layers=3, group="SO(3)"),    # 3: a . (b x c)
    "MACE": lambda: models.MACE(SPECIES, CUTOFF, channels=4, layers=2),
    "MACE all parities": lambda: models.MACE(SPECIES, CUTOFF, irreps="4x0e+4x0o+4x1o+4x1e", channels=4, layers=2),
    "MACE SO(3)": lambda: models.MACE(SPECIES, CUTOFF, channels=4, layers=2, correlation=2, group="SO(3)"),
    "SE3Transformer": lambda: models.SE3Transformer(SPECIES, CUTOFF, channels=8, layers=2),
    "SE3Transformer all parities": lambda: models.SE3Transformer(SPECIES, CUTOFF, channels=4, layers=2,
                                                                 irreps="4x0e+4x1o+4x1e+4x2e"),
}
O3 = [name for name in EQUIVARIANT if "SO(3)" not in name]
ALL = {**EQUIVARIANT, "Coordinates": lambda: models.Coordinates(SPECIES, CUTOFF, channels=8, layers=2)}


@functools.cache
def model_and_params(name, trained):
    """The model, and its parameters: a fresh draw, or after some steps on ethanol."""
    model = ALL[name]()
    if not trained:
        return model, model.init(np.random.default_rng(0))
    data = training.Dataset.from_frames(datasets.load("ethanol")[:40])
    result = training.fit(model, data, steps=12, rate=1e-2, progress=False)
    result.params["heads"]["energy"]["shift"][:] = 0           # 20 eV an atom would hide what is being tested
    return model, result.params


def _random(n, box, seed, cell=None, pbc=False):
    """n atoms at least 0.8 angstrom apart (images too), in no order that a bug could lean on."""
    rng, places = np.random.default_rng(seed), np.empty((0, 3))
    images = np.zeros((1, 3)) if cell is None else np.array(list(np.ndindex(3, 3, 3))) @ cell - cell.sum(0)
    while len(places) < n:
        new = rng.random(3) @ (box * np.eye(3) if cell is None else cell)
        if not len(places) or np.linalg.norm(places[:, None] + images - new, axis=2).min() > 0.8:
            places = np.vstack([places, new])
    return Structure(rng.choice(SPECIES, n), places, cell, pbc)


TRICLINIC = np.array([[4.1, 0.3, -0.2], [1.2, 3.7, 0.4], [-0.5, 0.9, 4.4]])
SMALL = np.array([[2.1, 0.2, 0.1], [0.7, 2.3, -0.2], [-0.3, 0.4, 2.2]])       # smaller than the cutoff: self-images
STRUCTURES = {
    "ethanol": datasets.load("ethanol").structure(0),
    "cluster": _random(12, 4.0, 1),
    "triclinic": _random(8, None, 2, TRICLINIC, True),
    "small cell": _random(2, None, 3, SMALL, True),
    "slab": _random(6, None, 4, TRICLINIC, [True, True, False]),
}
PERIODIC = ["triclinic", "small cell"]
FINITE = ["ethanol", "cluster"]


def evaluate(name, structure, trained=False, stress=False):
    """`models.evaluate` of a model of the zoo."""
    model, params = model_and_params(name, trained)
    return models.evaluate(model, params, structure, stress=stress)


def scales(result):
    """(energy, forces): the sizes that errors are relative to, each at least a thousandth of an eV or eV/angstrom."""
    return np.abs(result.energies).sum() + 1e-3, np.abs(result.forces).max() + 1e-3
