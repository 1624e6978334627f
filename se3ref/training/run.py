"""A training run between two steps: its state, one step further, a look at validation data, checkpoints."""

import dataclasses
import json
import time
import zlib

import numpy as np

from se3ref.nn import params as trees
from se3ref.training.dataset import PER_ATOM
from se3ref.training.loss import predict, terms_and_gradient
from se3ref.training.optimizer import Adam, clipped, schedule

EDGES = 20_000                                                 # in one graph, where nothing is learned


@dataclasses.dataclass(frozen=True)
class State:
    """Everything that the next step depends on.  A step makes a new one, so that an interrupt finds the old one whole.

    theta, average: the parameters and their moving average, vectors; adam; step; cpu: seconds so far; history, best:
    what was seen of the validation data, and the average that did best there.
    """
    theta: np.ndarray
    average: np.ndarray
    adam: Adam
    step: int = 0
    cpu: float = 0.0
    history: tuple = ()
    best: np.ndarray | None = None


class Run:
    """A model that learns from `train`, watched on `validation` or None; both in the units of `units`."""

    def __init__(self, model, train, validation, weights, settings, params, dtype, units, communicator):
        self.model, self.train, self.validation, self.weights = model, train, validation, weights
        self.settings, self.units, self.communicator = settings, units, communicator
        self.like = trees.cast(params, dtype)
        theta = trees.flatten(self.like)
        self.state = State(theta, theta.copy(), Adam.start(theta))
        self.decay = settings["decay"] * trees.flatten(
            trees.map_leaves(lambda leaf: np.full(leaf.shape, leaf.ndim > 1, dtype), self.like))
        self.identity = _identity(model, train, validation, weights, settings, theta)

    def advance(self):
        """One gradient step; returns the terms of the loss.  FloatingPointError where the loss is no number."""
        began, s, old = time.process_time(), self.settings, self.state
        try:
            terms, gradient = self.gradient(self.rows())
        except FloatingPointError as error:
            raise FloatingPointError(f"{error}, at step {old.step}: try a lower rate than {s['rate']}, and look for "
                                     f"odd labels in the data") from None
        theta, adam = old.theta.copy(), Adam(old.adam.m.copy(), old.adam.v.copy(), old.adam.steps)
        adam.update(theta, clipped(gradient, s["clip"]), s["rate"] * schedule(old.step / s["steps"]), self.decay)
        keep = min(s["averaging"], (old.step + 1) / (old.step + 11))             # a short memory at first
        average = old.average + (1 - keep) * (theta - old.average)
        self.state = dataclasses.replace(old, theta=theta, average=average, adam=adam, step=old.step + 1,
                                         cpu=old.cpu + time.process_time() - began)
        return terms

    def rows(self):
        """The structures of this step: each epoch is one permutation, a function of the seed and the epoch alone."""
        n, size = len(self.train), min(self.settings["batch"], len(self.train))
        epoch, k = divmod(self.state.step, n // size)
        order = np.random.default_rng([self.settings["seed"], epoch]).permutation(n)
        return order[k * size:(k + 1) * size]

    def gradient(self, rows):
        """The terms of the loss on these structures, and its gradient, a vector; shared among ranks if there are."""
        return self._own(rows, self.weights) if self.communicator is None else self._shared(rows)

    def _own(self, rows, weights):
        graph, targets = self.train.batch(rows, self.model.cutoff)
        params = trees.unflatten(self.state.theta, self.like)
        terms, grads = terms_and_gradient(self.model, params, graph, targets, weights)
        return terms, trees.flatten(grads)

    def _shared(self, rows):
        """Each rank takes every size-th structure; its means count by its share, and the sums go to all ranks."""
        ranks, rank = self.communicator.Get_size(), self.communicator.Get_rank()
        own, sizes = rows[rank::ranks], np.array([len(s) for s in self.train.structures])
        share = {name: sizes[own].sum() / sizes[rows].sum() if name in PER_ATOM else len(own) / len(rows)
                 for name in self.train.targets}
        terms, gradient = dict.fromkeys(share, 0.0), np.zeros_like(self.state.theta)
        if len(own):
            terms, gradient = self._own(own, {name: self.weights[name] * part for name, part in share.items()})
        return {name: self.communicator.allreduce(terms[name]) for name in sorted(terms)}, \
            self.communicator.allreduce(gradient)

    # --- validation -------------------------------------------------------------------------------------------

    def due(self, every):
        """Whether the validation data should be looked at, and were not at this step."""
        step, history = self.state.step, self.state.history
        return (step > 0 and (step % every == 0 or step == self.settings["steps"])
                and (not history or history[-1]["step"] != step))

    def look(self):
        """Write the errors of the averaged parameters into the history, and keep the best ones."""
        state, entry, best = self.state, {"step": self.state.step, "seconds": self.state.cpu}, self.state.best
        if self.validation is not None:
            found = errors(self.model, trees.unflatten(state.average, self.like), self.validation, self.weights)
            entry["errors"] = {name: self.units.of_errors(name, pair) for name, pair in found.items()}
            entry["loss"] = float(sum(self.weights[name] * (rmse / self._size(name)) ** 2
                                      for name, (_, rmse) in found.items()))
            if entry["loss"] <= min((e["loss"] for e in state.history), default=np.inf):
                best = state.average
        self.state = dataclasses.replace(state, history=(*state.history, entry), best=best)

    def _size(self, name):
        """Energies count per atom in the loss, and their errors are those of structures."""
        return np.mean([len(s) for s in self.validation.structures]) if name == "energy" else 1.0

    def exhausted(self, patience):
        """Whether the last `patience` looks brought nothing better than an earlier one."""
        losses = [entry["loss"] for entry in self.state.history if "loss" in entry]
        return patience is not None and len(losses) > patience and min(losses[-patience:]) > min(losses[:-patience])

    def result(self):
        """The parameters to keep, in eV."""
        best = self.state.average if self.state.best is None else self.state.best
        return self.units.end(trees.unflatten(best, self.like))

    # --- checkpoints ------------------------------------------------------------------------------------------

    def save(self, path):
        """The state, written whole or not at all; of several ranks the first one writes."""
        if self.communicator is not None and self.communicator.Get_rank() > 0:
            return
        s = self.state
        vectors = {"theta": s.theta, "average": s.average, "m": s.adam.m, "v": s.adam.v}
        vectors |= {} if s.best is None else {"best": s.best}
        trees.write(path, vectors, {"run": self.identity, "step": s.step, "history": list(s.history), "cpu": s.cpu})

    def resume(self, path):
        """Go on from a checkpoint; ValueError where it was written by another run."""
        vectors, about = trees.read(path)
        given = about.get("run", {})
        if odd := sorted(k for k in {*self.identity, *given} if self.identity.get(k) != given.get(k)):
            told = "; ".join(f"{k}: {given.get(k)!r} there, {self.identity.get(k)!r} here" for k in odd)
            raise ValueError(f"{path} is the checkpoint of another run ({told}): give another checkpoint=, or delete "
                             f"that file")
        trees.check_like(vectors, dict.fromkeys(("theta", "average", "m", "v", *({"best"} & set(vectors))),
                                                self.state.theta), "checkpoint")
        self.state = State(vectors["theta"], vectors["average"], Adam(vectors["m"], vectors["v"], about["step"]),
                           about["step"], about["cpu"], tuple(about["history"]), vectors.get("best"))


def errors(model, params, dataset, names=None):
    """Mean absolute and root-mean-square errors by target, {name: (mae, rmse)}; energies of structures, not atoms."""
    names = [name for name in dataset.targets if names is None or name in names]
    differences = {name: [] for name in names}
    for rows in _portions(dataset, model.cutoff):
        graph, targets = dataset.batch(rows, model.cutoff)
        predicted = predict(model, params, graph, names)
        for name in names:
            differences[name].append((predicted[name] - targets[name]).ravel())
    joined = {name: np.concatenate(parts).astype(np.float64) for name, parts in differences.items()}
    return {name: (float(np.abs(d).mean()), float(np.sqrt((d * d).mean()))) for name, d in joined.items()}


def _portions(dataset, cutoff):
    """Structures in turn, as many at a time as have about EDGES edges, at least one."""
    ends = np.cumsum([graph.n_edges for graph in dataset.graphs(cutoff)]) // EDGES
    return np.split(np.arange(len(dataset)), np.flatnonzero(np.diff(ends)) + 1)


def _identity(model, train, validation, weights, settings, theta):
    """What must be the same for a run to go on.  JSON turns tuples into lists, so it goes through it here too."""
    def mark(data):
        arrays = [] if data is None else [
            *(a for s in data.structures for a in (s.numbers, s.positions, s.charge, () if s.cell is None else s.cell)),
            *(a for name in sorted(data.targets) for a in data.targets[name])]
        return zlib.crc32(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays))
    return json.loads(json.dumps({
        "model": repr(model), "training data": mark(train), "validation data": mark(validation), "weights": weights,
        "start": zlib.crc32(theta.tobytes()), "dtype": str(theta.dtype), **settings}))
