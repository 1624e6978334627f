"""Training: it learns, it is reproducible bit for bit, an interrupt loses nothing, and ranks share the work."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from se3ref import models, training
from se3ref.nn import params as trees
from se3ref.systems import datasets
from se3ref.training import loop

FRAMES = datasets.load("ethanol")[:30]
MODEL = models.NequIP(species=[1, 6, 8], cutoff=3.0, channels=4, layers=1, lmax=1)
DATA = training.Dataset.from_frames(FRAMES)
TRAIN, VALIDATION = DATA[:20], DATA[20:]
SETTINGS = dict(steps=12, batch=3, every=4, progress=False)


def same(a, b):
    return np.array_equal(trees.flatten(a), trees.flatten(b))


def test_it_learns():
    """Some steps more than halve the loss on frames it has not seen."""
    result = training.fit(MODEL, TRAIN, VALIDATION, steps=120, batch=3, every=20, progress=False)
    losses = [entry["loss"] for entry in result.history]
    assert result.finished and min(losses) < 0.5 * losses[0]
    found = training.errors(MODEL, result.params, VALIDATION)
    best = min(result.history, key=lambda entry: entry["loss"])
    assert found["forces"][1] == pytest.approx(best["errors"]["forces"][1], rel=1e-3)        # shifts put back


def test_seeds_reproduce_bit_for_bit():
    a, b = (training.fit(MODEL, TRAIN, VALIDATION, **SETTINGS, seed=3) for _ in range(2))
    assert same(a.params, b.params)
    assert not same(a.params, training.fit(MODEL, TRAIN, VALIDATION, **SETTINGS, seed=4).params)


class Interrupt(loop.tqdm):
    """Ctrl-C after seven steps."""
    steps = 0

    def update(self, n=1):
        Interrupt.steps += 1
        if Interrupt.steps == 7:
            raise KeyboardInterrupt


def test_a_stopped_run_goes_on_to_the_same_numbers(tmp_path, monkeypatch):
    whole = training.fit(MODEL, TRAIN, VALIDATION, **SETTINGS)
    path = tmp_path / "run.npz"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "tqdm", Interrupt)
        stopped = training.fit(MODEL, TRAIN, VALIDATION, **SETTINGS, checkpoint=path)
    assert not stopped.finished and path.exists() and not same(stopped.params, whole.params)
    resumed = training.fit(MODEL, TRAIN, VALIDATION, **SETTINGS, checkpoint=path)
    assert resumed.finished and same(resumed.params, whole.params)
    assert [e["errors"] for e in resumed.history] == [e["errors"] for e in whole.history]


def test_a_finished_run_is_not_run_again(tmp_path):
    path = tmp_path / "run.npz"
    first = training.fit(MODEL, TRAIN, VALIDATION, **SETTINGS, checkpoint=path)
    again = training.fit(MODEL, TRAIN, VALIDATION, **SETTINGS, checkpoint=path)
    assert same(first.params, again.params) and len(again.history) == len(first.history)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    training.fit(MODEL, TRAIN, **SETTINGS, checkpoint=path)
    with pytest.raises(ValueError, match="checkpoint of another run"):
        training.fit(MODEL, TRAIN, **{**SETTINGS, "batch": 4}, checkpoint=path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="damaged"):
        training.fit(MODEL, TRAIN, **SETTINGS, checkpoint=path)


def test_patience_stops_early():
    """At a rate this large it gets worse before long."""
    result = training.fit(MODEL, TRAIN, VALIDATION, steps=400, batch=3, every=2, rate=0.5, patience=3, progress=False)
    assert result.finished and result.history[-1]["step"] < 400
    losses = [entry["loss"] for entry in result.history]
    assert min(losses) < min(losses[-3:])


def test_a_loss_that_is_no_number_stops_the_run():
    params = loop.initial_params(MODEL, TRAIN)
    params["trunk"]["embedding"][:] = 1e30
    with pytest.raises(FloatingPointError, match="at step 0: try a lower rate"), np.errstate(all="ignore"):
        training.fit(MODEL, TRAIN, **SETTINGS, params=params)


def test_fine_tuning_starts_from_given_parameters():
    first = training.fit(MODEL, TRAIN, VALIDATION, steps=60, batch=3, progress=False)
    further = training.fit(MODEL, TRAIN, VALIDATION, steps=1, every=1, rate=1e-9, params=first.params, progress=False)
    a, b = (training.errors(MODEL, p, VALIDATION)["forces"][0] for p in (first.params, further.params))
    assert a == pytest.approx(b, rel=1e-4)


def test_other_targets_train_too():
    model = models.NequIP(species=[1, 6, 8], cutoff=3.0, channels=4, layers=1, lmax=1, heads="dipole")
    data = training.Dataset.from_frames(FRAMES, ("dipole", "charges"))
    result = training.fit(model, data, steps=150, batch=3, progress=False)
    found = training.errors(model, result.params, data)
    assert found["dipole"][1] < 0.5 * float(np.sqrt((FRAMES.dipoles**2).mean()))


MPI = """
import sys
import numpy as np
from mpi4py import MPI
sys.path.insert(0, {root!r})
from tests.training.test_loop import MODEL, TRAIN, loop, trees
weights, settings = loop.default_weights(TRAIN), dict(steps=1, batch=5, rate=1e-3, decay=0.0, clip=10.0, averaging=0.9,
                                                      seed=0)
params = loop.initial_params(MODEL, TRAIN)
runs = [loop._Run(MODEL, TRAIN, weights, settings, params, np.float64, c) for c in (None, MPI.COMM_WORLD)]
(one, g1), (two, g2) = (run._gradient(run._rows()) for run in runs)
assert MPI.COMM_WORLD.Get_size() == 2
assert all(abs(one[k] - two[k]) <= 1e-12 * one[k] for k in one), (one, two)
assert np.abs(g1 - g2).max() <= 1e-12 * np.abs(g1).max(), np.abs(g1 - g2).max()
print("ranks agree")
"""


def mpi_launcher():
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def test_two_ranks_give_the_gradient_of_one(tmp_path):
    """The sums of two halves differ from the sum of the whole in the last digits only: 1e-12."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    if mpi_launcher() is None:
        pytest.skip("there is no mpiexec: install an MPI, for example pip install mpich")
    script = tmp_path / "ranks.py"
    script.write_text(MPI.format(root=str(Path(__file__).parents[2])))
    ran = subprocess.run([mpi_launcher(), "-n", "2", sys.executable, str(script)], capture_output=True, text=True)
    assert ran.returncode == 0 and ran.stdout.count("ranks agree") == 2, ran.stderr


class OneOfTwo:
    """A communicator without MPI: two ranks take turns, and the second one adds what the first one sent."""
    def __init__(self, rank, sent):
        self.rank, self.sent = rank, sent

    def Get_size(self):
        return 2

    def Get_rank(self):
        return self.rank

    def allreduce(self, value):
        if self.rank == 0:
            self.sent.append(value)
            return value
        return self.sent.pop(0) + value


@pytest.mark.parametrize("batch", [5, 1])
def test_shares_of_a_batch_add_up(batch):
    """As above without MPI; with one structure for two ranks one of them has nothing to do."""
    settings = dict(steps=1, batch=batch, rate=1e-3, decay=0.0, clip=10.0, averaging=0.9, seed=0)
    params, weights, sent = loop.initial_params(MODEL, TRAIN), loop.default_weights(TRAIN), []
    runs = [loop._Run(MODEL, TRAIN, weights, settings, params, np.float64, c)
            for c in (None, OneOfTwo(0, sent), OneOfTwo(1, sent))]
    (one, whole), _, (two, shared) = (run._gradient(run._rows()) for run in runs)
    assert np.abs(whole - shared).max() <= 1e-12 * np.abs(whole).max()
    assert all(abs(one[name] - two[name]) <= 1e-12 * one[name] for name in one)
