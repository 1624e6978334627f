"""The training loop: mini-batches, validation, early stop, progress, checkpoints that a stopped run goes on from."""

import dataclasses
from pathlib import Path

import numpy as np
from tqdm import tqdm

from se3ref.nn.params import check_like
from se3ref.training.dataset import Dataset
from se3ref.training.run import Run
from se3ref.training.units import Units, default_weights, initial_params


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What `fit` returns.  params: the averaged parameters with the least validation loss (without validation, the
    last ones), float64.  history: one dict for each look at the validation set: step, seconds of CPU time, loss and
    [mae, rmse] by name under errors.  finished: False where the run was interrupted."""
    params: dict
    history: list
    finished: bool


def fit(model, train, validation=None, *, steps=2000, batch=5, rate=5e-3, weights=None, decay=0.0, clip=10.0,
        averaging=0.99, params=None, seed=0, dtype=np.float32, every=None, patience=None, checkpoint=None,
        progress=True, communicator=None):
    """Train a model on a `Dataset`; returns a `Result`.

    steps: gradient steps, each on `batch` structures.  rate: the learning rate of Adam, constant for 30 % of the
    steps and then falling linearly to 1 %.  weights: of the terms of the loss (and of what is only watched in the
    validation data), by default such that the errors of energies per atom and of forces count 9 and 10 times their
    squares in units of the forces' spread, and other targets once in units of their own (`default_weights`).
    decay: of weights, decoupled.  clip: longest gradient.
    averaging: of the parameters over steps, an exponential moving average; validation and result use the average.
    params: where to start (fine-tuning); by default a fresh draw with scale and shifts from the data.
    every: steps between looks at the validation set (by default 20 looks); patience: stop after so many looks
    without a lower loss.  checkpoint: a file; a run that stopped goes on from it, to the same numbers.
    dtype: float32 trains as well as float64, in half the time.  communicator: of mpi4py; each rank computes a share of
    every batch, and the gradients are added.
    The same seed gives the same result bit for bit.  An interrupt (Ctrl-C) writes the checkpoint and returns what
    there is, with finished=False.
    """
    settings = _checked(dict(steps=steps, batch=batch, rate=rate, decay=decay, clip=clip, averaging=averaging,
                             seed=seed))
    every = max(1, steps // 20) if every is None else _whole("every", every)
    weights = _checked_weights(train, validation, weights)
    if patience is not None and (validation is None or _whole("patience", patience) < 1):
        raise ValueError("patience counts looks at the validation set: it takes validation data, and is at least 1")
    params = initial_params(model, train, seed) if params is None else params
    check_like(params, model.init(np.random.default_rng(0)))
    units = Units(model, params)
    run = Run(model, units.of_data(train), None if validation is None else units.of_data(validation),
              units.of_weights(weights), settings, units.start(params), dtype, units, communicator)
    if checkpoint is not None and Path(checkpoint).exists():
        run.resume(checkpoint)
    with tqdm(total=steps, initial=run.state.step, disable=not progress, unit="step", mininterval=0.5) as bar:
        finished = _steps(run, steps, every, patience, checkpoint, bar)
    return Result(run.result(), list(run.state.history), finished)


def _steps(run, steps, every, patience, checkpoint, bar):
    """Step by step to the end; whether it was reached.  A look that an interrupt cut short is made up for."""
    try:
        while True:
            if run.due(every):
                run.look()
                if checkpoint is not None:
                    run.save(checkpoint)
            if run.state.step >= steps or run.exhausted(patience):
                return True
            terms = run.advance()
            bar.update()
            if run.state.step % 10 == 0:
                bar.set_postfix_str(_words(terms, run))
    except KeyboardInterrupt:
        if checkpoint is not None:
            run.save(checkpoint)
        return False


def _words(terms, run):
    """The root-mean-square errors of the current batch, and the last validation loss, for the progress bar."""
    now = [f"{name} {1e3 * run.units.of_errors(name, [np.sqrt(term / run.weights[name])])[0]:.1f}"
           for name, term in terms.items() if run.weights[name]]
    history = run.state.history
    seen = [f"validation {history[-1]['loss']:.3g}"] if history and "loss" in history[-1] else []
    return ", ".join([*now, *seen]) + " (rms, 1e-3)"


# --- what is asked for ----------------------------------------------------------------------------------------

def _whole(name, value):
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} is a whole number above 0; got {value!r}")
    return int(value)


def _checked(settings):
    """The settings as plain Python numbers; ValueError for what makes no sense."""
    for name in ("steps", "batch"):
        settings[name] = _whole(name, settings[name])
    seed = settings["seed"]
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed is a whole number, at least 0; got {seed!r}")
    for name, good, words in (("rate", lambda x: x > 0, "above 0"), ("clip", lambda x: x > 0, "above 0"),
                              ("decay", lambda x: x >= 0, "at least 0"),
                              ("averaging", lambda x: 0 <= x < 1, "from 0 to below 1")):
        settings[name] = float(settings[name])
        if not good(settings[name]):
            raise ValueError(f"{name} is a number {words}; got {settings[name]}")
    return {**settings, "seed": int(seed)}


def _checked_weights(train, validation, weights):
    for name, data in (("train", train), ("validation", validation)):
        if not (isinstance(data, Dataset) or name == "validation" and data is None):
            raise TypeError(f"{name} must be a training.Dataset; got {type(data).__name__}: Dataset.from_frames, "
                            f"from_arrays and from_file make one")
    weights = default_weights(train) if weights is None else {k: float(w) for k, w in weights.items()}
    watched = set(train.targets) if validation is None else set(validation.targets)
    if not set(train.targets) <= watched:
        raise ValueError(f"validation data must have the targets of the training data, {sorted(train.targets)}; "
                         f"got {sorted(watched)}")
    if not set(train.targets) <= set(weights) <= watched or not all(0 <= w < np.inf for w in weights.values()):
        raise ValueError(f"weights are numbers >= 0, one for each target {sorted(train.targets)}; got {weights}")
    return weights
