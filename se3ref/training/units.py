"""Units in which a model learns: its start, the weights of the loss, energies without shifts, in units of the scale.

Total energies are large and their differences small, so that single precision would keep few of their digits; and a
learning rate is a step in units of the parameters.  So energies are learned relative to the shifts of the species, and
energies, forces and stress in units of the model's scale; both are put back on the result.
"""

import numpy as np

from se3ref.nn import params as trees
from se3ref.training.dataset import Dataset

SCALED = ("energy", "forces", "stress")                        # what is proportional to the scale of the energies


def initial_params(model, train, seed=0):
    """A fresh draw, with the energies' scale the spread of the forces and each species' shift by least squares.

    Without forces the scale is the spread of the energies, less their shifts, for one atom.
    """
    params = model.init(np.random.default_rng(seed))
    head = model.energy_head(params)
    if head is None:
        return params
    if "energy" in train.targets:
        head["shift"] += _shifts(train, model.species)
    if "forces" in train.targets:
        head["scale"] *= _spread(train.targets["forces"])
    elif "energy" in train.targets:
        head["scale"] *= _energy_spread(train)
    return params


def default_weights(train):
    """Weights of the loss that make its terms comparable.

    With forces of spread s: 10/s^2 for them and 9/s^2 for energies per atom.  Any other target counts once in units
    of its own spread; energies alone by the spread per atom of what the shifts leave.
    """
    weights = {name: 1 / _spread(values) ** 2 for name, values in train.targets.items()}
    if "forces" in weights:
        weights["forces"] *= 10
    if "energy" in weights:
        weights["energy"] = 0.9 * weights["forces"] if "forces" in weights else 1 / _energy_spread(train) ** 2
    return weights


def _spread(values):
    """The standard deviation of all entries; 1 where it is rounding, since then they do not vary."""
    flat = np.concatenate([np.ravel(v) for v in values])
    spread = float(flat.std())
    return spread if spread > 1e-10 * float(np.abs(flat).max()) else 1.0


def _shifts(train, species):
    return np.linalg.lstsq(train.compositions(species), np.array(train.targets["energy"]))[0]


def _energy_spread(train):
    """The spread of (E - shifts)/n."""
    species = sorted({int(z) for s in train.structures for z in s.numbers})
    counts, E = train.compositions(species), np.array(train.targets["energy"])
    rest = (E - counts @ _shifts(train, species)) / counts.sum(1)
    return _spread([rest]) if np.abs(rest).max() > 1e-10 * np.abs(E).max() else 1.0


class Units:
    """The shifts and the scale of a start, taken off the data and put back on parameters."""

    def __init__(self, model, params):
        """Without the head "energy" nothing changes; the scale stays where some energies do not depend on it."""
        self.model = model
        head = model.energy_head(params)
        self.shift = None if head is None else head["shift"].astype(np.float64)
        self.scale = 1.0
        if head is not None and model.proportional:
            self.scale = float(np.sqrt((head["scale"] ** 2).mean())) or 1.0

    def of_data(self, data):
        """The data with energies less their shifts, and energies, forces and stress in units of the scale."""
        if self.shift is None:
            return data
        targets = dict(data.targets)
        if "energy" in targets:
            base = data.compositions(self.model.species) @ self.shift
            targets["energy"] = [e - b for e, b in zip(targets["energy"], base, strict=True)]
        for name in set(SCALED) & set(targets):
            targets[name] = [value / self.scale for value in targets[name]]
        return Dataset(data.structures, **targets).sharing_graphs_of(data)

    def of_weights(self, weights):
        """Weights for errors in these units: the loss stays the same number."""
        return {name: w * self.scale**2 if name in SCALED else w for name, w in weights.items()}

    def of_errors(self, name, values):
        """Errors in these units, in eV and angstrom again."""
        return [v * self.scale for v in values] if name in SCALED else list(values)

    def start(self, params):
        """A copy of the parameters, without shifts, in these units."""
        params = trees.map_leaves(np.copy, params)
        if self.shift is not None:
            head = self.model.energy_head(params)
            head["shift"][:] = 0
            head["scale"] /= self.scale
        return params

    def end(self, params):
        """Learned parameters as float64, in eV, with their shifts."""
        params = trees.cast(params, np.float64)
        if self.shift is not None:
            head = self.model.energy_head(params)
            head["scale"] *= self.scale
            head["shift"] = self.scale * head["shift"] + self.shift
        return params
