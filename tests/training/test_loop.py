"""Training: it learns, it is reproducible bit for bit, an interrupt loses nothing, and ranks share the work."""

import inspect
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
from se3ref.training import run as run_module
from se3ref.training.run import Run
from se3ref.training.units import Units

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


@pytest.fixture(scope="module")
def whole():
    """A run that nothing stops."""
    return training.fit(MODEL, TRAIN, VALIDATION, **SETTINGS)


def test_a_stopped_run_goes_on_to_the_same_numbers(whole, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "tqdm", Interrupt)
        stopped = training.fit(MODEL, TRAIN, VALIDATION, **SETTINGS, checkpoint=path)
    assert not stopped.finished and path.exists() and not same(stopped.params, whole.params)
    resumed = training.fit(MODEL, TRAIN, VALIDATION, **SETTINGS, checkpoint=path)
    assert resumed.finished and same(resumed.params, whole.params)
    assert [e["errors"] for e in resumed.history] == [e["errors"] for e in whole.history]


LINES = ["theta, adam", "adam.update", "self.state = dataclasses.replace(old", "best = state.average",
         "self.state = dataclasses.replace(state"]


@pytest.mark.parametrize("line", LINES)
def test_an_interrupt_at_any_line_loses_nothing(line, whole, tmp_path):
    """Ctrl-C before this line of a step or of a look, at the fifth time it comes (the second, for a look)."""
    path, seen = tmp_path / "run.npz", []
    source = inspect.getsource(run_module).splitlines()
    number = next(k for k, text in enumerate(source, 1) if text.strip().startswith(line))

    def trace(frame, event, _):
        if frame.f_code.co_filename != run_module.__file__:
            return None
        if event == "line" and frame.f_lineno == number:
            seen.append(number)
            if len(seen) == (2 if "state" in line and "old" not in line else 5):
                raise KeyboardInterrupt
        return trace
    sys.settrace(trace)
    try:
        stopped = training.fit(MODEL, TRAIN, VALIDATION, **SETTINGS, checkpoint=path)
    finally:
        sys.settrace(None)
    resumed = training.fit(MODEL, TRAIN, VALIDATION, **SETTINGS, checkpoint=path)
    assert not stopped.finished and resumed.finished and same(resumed.params, whole.params)
    assert [e["step"] for e in resumed.history] == [e["step"] for e in whole.history]


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
    with pytest.raises(ValueError, match="training data: "):
        training.fit(MODEL, VALIDATION, **SETTINGS, weights=training.default_weights(TRAIN), checkpoint=path)
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
    params = training.initial_params(MODEL, TRAIN)
    params["trunk"]["embedding"][:] = 1e30
    with pytest.raises(FloatingPointError, match="at step 0: try a lower rate"), np.errstate(all="ignore"):
        training.fit(MODEL, TRAIN, **SETTINGS, params=params)
    with pytest.raises(FloatingPointError, match="try a lower rate than 1000000.0"), np.errstate(all="ignore"):
        training.fit(MODEL, TRAIN, steps=30, rate=1e6, progress=False)


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


def test_odd_targets_train_too():
    """A triple product, vectors, and pseudovectors made of both: the errors fall to a third of their sizes or less."""
    model = models.MACE(species=[1, 8], cutoff=4.0, irreps="4x0e+4x0o+4x1o+4x1e", channels=4, correlation=2,
                        heads=("pseudoscalar", "vector", "pseudovector"))
    frames = datasets.load("h2o2")[:40]
    a, b, c = (frames.positions[:, k] - frames.positions[:, j] for j, k in ((0, 2), (0, 1), (1, 3)))
    triple = np.einsum("si,si->s", a, np.cross(b, c))
    targets = {"pseudoscalar": triple, "vector": a + c, "pseudovector": triple[:, None] * (a + c)}
    data = training.Dataset.from_arrays(frames.numbers, frames.positions, **targets)
    found = training.errors(model, training.fit(model, data, steps=120, batch=5, progress=False).params, data)
    for name, target in targets.items():
        assert found[name][1] < np.sqrt((target**2).mean()) / 3


def a_run(batch, communicator):
    """A run in float64 before its first step."""
    params = training.initial_params(MODEL, TRAIN)
    units = Units(MODEL, params)
    settings = dict(steps=1, batch=batch, rate=1e-3, decay=0.0, clip=10.0, averaging=0.9, seed=0)
    return Run(MODEL, units.of_data(TRAIN), None, units.of_weights(training.default_weights(TRAIN)), settings,
               units.start(params), np.float64, units, communicator)


MPI = """
import sys
import numpy as np
from mpi4py import MPI
sys.path.insert(0, {root!r})
from tests.training.test_loop import a_run
runs = [a_run(5, communicator) for communicator in (None, MPI.COMM_WORLD)]
(one, g1), (two, g2) = (run.gradient(run.rows()) for run in runs)
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
    sent = []
    runs = [a_run(batch, communicator) for communicator in (None, OneOfTwo(0, sent), OneOfTwo(1, sent))]
    (one, whole), _, (two, shared) = (run.gradient(run.rows()) for run in runs)
    assert np.abs(whole - shared).max() <= 1e-12 * np.abs(whole).max()
    assert all(abs(one[name] - two[name]) <= 1e-12 * one[name] for name in one)


# --- units ----------------------------------------------------------------------------------------------------

def in_other_units(scale):
    """Labels times a factor."""
    return training.Dataset.from_arrays(FRAMES.numbers, FRAMES.positions, energy=scale * FRAMES.energies,
                                        forces=scale * FRAMES.forces)


@pytest.mark.parametrize("scale", [2.0**-10, 2.0**10])
def test_the_units_of_the_labels_do_not_matter(scale):
    """A thousandth or a thousandfold, by a power of two, which rounds nothing: errors scale to the last bit."""
    found = []
    for factor in (1.0, scale):
        data = in_other_units(factor)
        result = training.fit(MODEL, data, steps=40, batch=3, progress=False)
        found.append(training.errors(MODEL, result.params, data)["forces"][0] / factor)
    assert found[0] == found[1]


def test_labels_that_do_not_vary_get_a_plain_weight():
    structure = DATA.structures[0]
    data = training.Dataset([structure] * 7, energy=[-0.1] * 7)
    assert training.default_weights(data)["energy"] == 1.0
    assert training.default_weights(training.Dataset([structure] * 7, dipole=[[0.1] * 3] * 7))["dipole"] == 1.0


def test_energies_of_mixed_compositions_count_by_what_the_shifts_leave():
    water, ethanol = datasets.load("water")[:30], FRAMES
    structures = [frames.structure(k) for frames in (water, ethanol) for k in range(30)]
    data = training.Dataset(structures, energy=[*water.energies, *ethanol.energies])
    assert 0.003 < training.default_weights(data)["energy"] ** -0.5 < 0.3        # eV per atom; the totals vary by 85


@pytest.mark.parametrize("settings, message", [
    (dict(steps=0), "steps is a whole number"), (dict(steps=2.5), "steps is a whole number"),
    (dict(batch=0), "batch is a whole number"), (dict(every=0), "every is a whole number"),
    (dict(rate=-1.0), "rate is a number above 0"), (dict(averaging=2), "averaging is a number"),
    (dict(seed=None), "seed is a whole number"), (dict(patience=3), "patience counts looks"),
    (dict(weights={"energy": 1.0}), "one for each target"),
    (dict(weights={"energy": -1.0, "forces": 1.0}), "numbers >= 0"),
    (dict(validation=training.Dataset.from_frames(FRAMES, ("dipole",))), "must have the targets"),
    (dict(params={"trunk": {}}), "of another model"),
])
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        training.fit(MODEL, TRAIN, **{"progress": False, **settings})


def test_training_data_are_a_dataset():
    with pytest.raises(TypeError, match="train must be a training.Dataset; got Frames"):
        training.fit(MODEL, FRAMES)


def test_numpy_numbers_are_fine(tmp_path):
    result = training.fit(MODEL, TRAIN, steps=np.int64(2), seed=np.int64(1), rate=np.float32(1e-3), progress=True,
                          weights={"energy": np.float32(0), "forces": np.float32(1)}, checkpoint=tmp_path / "run.npz")
    assert result.finished
