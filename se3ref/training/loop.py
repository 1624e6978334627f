"""The training loop: mini-batches, validation, early stop, progress, checkpoints that a stopped run goes on from."""

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from se3ref.nn import params as trees
from se3ref.training.dataset import PER_ATOM
from se3ref.training.loss import predict, terms_and_gradient
from se3ref.training.optimizer import Adam, clipped, schedule

CHUNK = 50                                                     # structures a graph, where nothing is learned


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What `fit` returns.  params: the averaged parameters with the least validation loss (without validation, the
    last ones), float64.  history: one dict for each look at the validation set: step, seconds of CPU time, and the
    `errors` by name.  finished: False where the run was interrupted."""
    params: dict
    history: list
    finished: bool


def fit(model, train, validation=None, *, steps=2000, batch=5, rate=5e-3, weights=None, decay=0.0, clip=10.0,
        averaging=0.99, params=None, seed=0, dtype=np.float32, every=None, patience=None, checkpoint=None,
        progress=True, communicator=None):
    """Train a model on a `Dataset`; returns a `Result`.

    steps: gradient steps, each on `batch` structures.  rate: the learning rate of Adam, constant for 30 % of the
    steps and then falling linearly to 1 %.  weights: of the terms of the loss, by default such that the errors of
    energies per atom and of forces count 9 and 10 times their squares in units of the forces' spread, and other
    targets once in units of their own (`default_weights`).  decay: of weights, decoupled.  clip: longest gradient.
    averaging: of the parameters over steps, an exponential moving average; validation and result use the average.
    params: where to start (fine-tuning); by default a fresh draw with scale and shifts from the data.
    every: steps between looks at the validation set (by default 20 looks); patience: stop after so many looks
    without a lower loss.  checkpoint: a file; a run that stopped goes on from it, to the same numbers.
    dtype: float32 trains as well as float64, in half the time.  communicator: of mpi4py; each rank computes a share of
    every batch, and the gradients are added.
    The same seed gives the same result bit for bit.  An interrupt (Ctrl-C) writes the checkpoint and returns what
    there is, with finished=False.
    """
    params = initial_params(model, train, seed) if params is None else params
    weights = default_weights(train) if weights is None else weights
    run = _Run(model, _without_shifts(train, model, params), weights, dict(steps=steps, batch=batch, rate=rate,
               decay=decay, clip=clip, averaging=averaging, seed=seed), params, dtype, communicator)
    watched = None if validation is None else _without_shifts(validation, model, params)
    if checkpoint is not None and Path(checkpoint).exists():
        run.resume(checkpoint)
    every = max(1, steps // 20) if every is None else every
    bar = tqdm(total=steps, initial=run.step, disable=not progress, unit="step", mininterval=0.5)
    try:
        while run.step < steps and not run.exhausted(patience):
            terms = run.advance()
            bar.update()
            if progress and run.step % 10 == 0:
                bar.set_postfix_str(_words(terms, weights, run.history))
            if run.step % every == 0 or run.step == steps:
                run.look(watched)
                if checkpoint is not None:
                    run.save(checkpoint)
        finished = True
    except KeyboardInterrupt:
        finished = False
        if checkpoint is not None:
            run.save(checkpoint)
    finally:
        bar.close()
    return Result(_with_shifts(run.result(), params), run.history, finished)


def errors(model, params, dataset, names=None):
    """Mean absolute and root-mean-square errors by target, {name: (mae, rmse)}; energies of structures, not atoms."""
    names = [name for name in dataset.targets if names is None or name in names]
    differences = {name: [] for name in names}
    for start in range(0, len(dataset), CHUNK):
        graph, targets = dataset.batch(range(start, min(start + CHUNK, len(dataset))), model.cutoff)
        predicted = predict(model, params, graph, names)
        for name in names:
            differences[name].append((predicted[name] - targets[name]).ravel())
    joined = {name: np.concatenate(parts).astype(np.float64) for name, parts in differences.items()}
    return {name: (float(np.abs(d).mean()), float(np.sqrt((d * d).mean()))) for name, d in joined.items()}


def initial_params(model, train, seed=0):
    """A fresh draw, with the energies' scale the spread of the forces and each species' shift by least squares."""
    params = model.init(np.random.default_rng(seed))
    if "energy" in model.heads and "energy" in train.targets:
        counts = train.compositions(model.species)
        params["heads"]["energy"]["shift"] += np.linalg.lstsq(counts, np.array(train.targets["energy"]))[0]
    if "energy" in model.heads and "forces" in train.targets:
        params["heads"]["energy"]["scale"] *= _spread(train.targets["forces"])
    return params


def default_weights(train):
    """Weights of the loss that make its terms comparable: see `fit`."""
    force = _spread(train.targets["forces"]) if "forces" in train.targets else None
    weights = {name: 1 / _spread(values) ** 2 for name, values in train.targets.items()}
    if force is not None:
        weights |= {"forces": 10 / force**2} | ({"energy": 9 / force**2} if "energy" in weights else {})
    return weights


def _spread(values):
    """The standard deviation of all entries; 1 where they do not vary."""
    return float(np.concatenate([v.ravel() for v in values]).std()) or 1.0


# --- energies are learned relative to the species' shifts, so that single precision keeps their small differences ---

def _without_shifts(data, model, params):
    """The data with the shifts of `params` taken off its energies."""
    if "energy" not in model.heads or "energy" not in data.targets:
        return data
    base = data.compositions(model.species) @ params["heads"]["energy"]["shift"]
    other = data[:]
    other.targets["energy"] = [e - b for e, b in zip(data.targets["energy"], base, strict=True)]
    return other


def _with_shifts(params, start):
    """Float64 parameters with the shifts of the start put back on."""
    params = trees.cast(params, np.float64)
    if "energy" in params["heads"]:
        params["heads"]["energy"]["shift"] += start["heads"]["energy"]["shift"]
    return params


def _words(terms, weights, history):
    """The root-mean-square errors of the current batch, and the last validation loss, for the progress bar."""
    now = [f"{name} {1e3 * np.sqrt(term / weights[name]):.1f}" for name, term in terms.items()]
    seen = [f"validation {history[-1]['loss']:.3g}"] if history and "loss" in history[-1] else []
    return ", ".join([*now, *seen]) + " (rms, 1e-3)"


class _Run:
    """A training run between two steps: parameters, their average, the optimiser, and what was seen."""

    def __init__(self, model, train, weights, settings, params, dtype, communicator):
        params = trees.map_leaves(np.copy, params)
        if "energy" in params["heads"]:
            params["heads"]["energy"]["shift"][:] = 0
        self.model, self.train, self.weights, self.settings = model, train, weights, settings
        self.like, self.communicator = trees.cast(params, dtype), communicator
        self.theta = trees.flatten(self.like)
        self.average, self.best, self.adam = self.theta.copy(), None, Adam.start(self.theta)
        self.decay = settings["decay"] * trees.flatten(
            trees.map_leaves(lambda leaf: np.full(leaf.shape, leaf.ndim > 1, dtype), self.like))
        self.step, self.history, self.cpu = 0, [], 0.0

    def advance(self):
        """One gradient step; returns the terms of the loss."""
        began = time.process_time()
        terms, gradient = self._gradient(self._rows())
        if not np.isfinite(sum(terms.values())):
            raise FloatingPointError(f"the loss is {sum(terms.values())} at step {self.step}: try a lower rate than "
                                     f"{self.settings['rate']}, and look for odd labels in the data")
        s = self.settings
        rate = s["rate"] * schedule(self.step / s["steps"])
        self.adam.update(self.theta, clipped(gradient, s["clip"]), rate, self.decay)
        self.step += 1
        keep = min(s["averaging"], self.step / (self.step + 10))                 # a short memory at first
        self.average += (1 - keep) * (self.theta - self.average)
        self.cpu += time.process_time() - began
        return terms

    def _rows(self):
        """The structures of this step: each epoch is one permutation, a function of the seed and the epoch alone."""
        n, size = len(self.train), min(self.settings["batch"], len(self.train))
        per_epoch = n // size
        epoch, k = divmod(self.step, per_epoch)
        order = np.random.default_rng([self.settings["seed"], epoch]).permutation(n)
        return order[k * size:(k + 1) * size]

    def _gradient(self, rows):
        if self.communicator is None:
            return self._terms_and_gradient(rows, self.weights)
        return self._shared_gradient(rows)

    def _terms_and_gradient(self, rows, weights):
        graph, targets = self.train.batch(rows, self.model.cutoff)
        params = trees.unflatten(self.theta, self.like)
        terms, grads = terms_and_gradient(self.model, params, graph, targets, weights)
        return terms, trees.flatten(grads)

    def _shared_gradient(self, rows):
        """Each rank takes every size-th structure; its means count by its share, and the sums go to all ranks."""
        ranks, rank = self.communicator.Get_size(), self.communicator.Get_rank()
        own, sizes = rows[rank::ranks], np.array([len(s) for s in self.train.structures])
        share = {name: sizes[own].sum() / sizes[rows].sum() if name in PER_ATOM else len(own) / len(rows)
                 for name in self.weights}
        terms, gradient = dict.fromkeys(self.weights, 0.0), np.zeros_like(self.theta)
        if len(own):
            terms, gradient = self._terms_and_gradient(own, {k: w * share[k] for k, w in self.weights.items()})
        return {name: self.communicator.allreduce(term) for name, term in terms.items()}, \
            self.communicator.allreduce(gradient)

    # --- validation ---------------------------------------------------------------------------------------------

    def look(self, validation):
        """Write the errors of the averaged parameters into the history, and keep the best ones."""
        entry = {"step": self.step, "seconds": self.cpu}
        if validation is not None:
            found = errors(self.model, trees.unflatten(self.average, self.like), validation, self.weights)
            entry["errors"] = {name: list(pair) for name, pair in found.items()}
            entry["loss"] = float(sum(self.weights[name] * _per_atom(name, rmse, validation) ** 2
                                      for name, (_, rmse) in found.items()))
            if entry["loss"] <= min((e["loss"] for e in self.history), default=np.inf):
                self.best = self.average.copy()
        self.history.append(entry)

    def exhausted(self, patience):
        """Whether the last `patience` looks brought nothing better than an earlier one."""
        losses = [entry["loss"] for entry in self.history if "loss" in entry]
        return patience is not None and len(losses) > patience and min(losses[-patience:]) > min(losses[:-patience])

    def result(self):
        """The parameters to keep."""
        return trees.unflatten(self.average if self.best is None else self.best, self.like)

    # --- checkpoints --------------------------------------------------------------------------------------------

    def save(self, path):
        """Everything that the next step depends on, written whole or not at all."""
        vectors = {"theta": self.theta, "average": self.average, "m": self.adam.m, "v": self.adam.v}
        if self.best is not None:
            vectors["best"] = self.best
        trees.write(path, vectors, {"run": self._identity(), "step": self.step, "history": self.history,
                                    "cpu": self.cpu})

    def resume(self, path):
        """Go on from a checkpoint; ValueError where it was written with another model or other settings."""
        vectors, about = trees.read(path)
        if about.get("run") != self._identity():
            raise ValueError(f"{path} is the checkpoint of another run:\n{about.get('run')}\nthis run is\n"
                             f"{self._identity()}\ngive another checkpoint=, or delete that file")
        trees.check_like({name: v for name, v in vectors.items() if name != "best"},
                         dict.fromkeys(("theta", "average", "m", "v"), self.theta), "checkpoint")
        self.theta, self.average, self.best = vectors["theta"], vectors["average"], vectors.get("best")
        self.adam = Adam(vectors["m"], vectors["v"], about["step"])
        self.step, self.history, self.cpu = about["step"], about["history"], about["cpu"]

    def _identity(self):
        """What must be the same for a run to go on: JSON turns tuples into lists, so it goes through it here too."""
        return json.loads(json.dumps({"model": repr(self.model), "structures": len(self.train),
                                      "weights": self.weights, "dtype": str(self.theta.dtype), **self.settings}))


def _per_atom(name, rmse, data):
    """Energies count per atom in the loss; their errors are given per structure."""
    return rmse / np.mean([len(s) for s in data.structures]) if name == "energy" else rmse
