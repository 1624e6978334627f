"""The face that models share: what they refuse, and what a single atom or a file of weights gives."""

import json

import numpy as np
import pytest

from se3ref import models, training
from se3ref.models import heads
from se3ref.nn import params as trees
from se3ref.so3 import Irreps
from se3ref.systems import Structure, neighbor_graph
from tests.models.zoo import ALL, CUTOFF, SPECIES, STRUCTURES, evaluate, model_and_params

every_model = pytest.mark.parametrize("name", ALL)


@every_model
def test_an_atom_alone(name):
    """No neighbour: a finite energy that is the same wherever it stands, and no force."""
    result = evaluate(name, Structure([8], [[0.1, 0.2, 0.3]]))
    assert np.isfinite(result.energy) and result.forces.shape == (1, 3)
    if name != "Coordinates":
        assert not result.forces.any()
        assert result.energy == evaluate(name, Structure([8], [[9.0, 0, 0]])).energy


@every_model
def test_an_atom_alone_among_others(name):
    """An isolated atom in a batch, and in a structure whose other atoms have neighbours."""
    lonely = Structure([6, 8, 1], [[0, 0, 0], [1.1, 0, 0], [50.0, 0, 0]])
    model, params = model_and_params(name, False)
    together = models.evaluate(model, params, [lonely, Structure([1], [[50.0, 0, 0]])])
    assert np.isfinite(together.forces).all()
    assert together.energies[2] == pytest.approx(together.energies[3], abs=1e-12)


@pytest.mark.parametrize("structure, message", [
    (lambda: Structure([], np.zeros((0, 3))), "n >= 1"),
    (lambda: Structure([8, 1], [[0, 0, 0], [0, 0, 0.0]]), "coincide"),
    (lambda: Structure([8], [[np.nan, 0, 0]]), "finite"),
    (lambda: Structure([8], [[0, 0, 0]], pbc=True), "no cell"),
    (lambda: Structure([7, 8], [[0, 0, 0], [1.1, 0, 0]]), "not .'N'.: give all elements in species="),
], ids=["empty", "coincident", "NaN", "pbc without a cell", "unknown species"])
def test_what_is_no_structure_for_it(structure, message):
    with pytest.raises(ValueError, match=message):
        evaluate("NequIP", structure())


@pytest.mark.parametrize("arguments, message", [
    (dict(species=[], cutoff=5.0), "species are different atomic numbers"),
    (dict(species=[6, 6], cutoff=5.0), "species are different atomic numbers"),
    (dict(species=[0, 6], cutoff=5.0), "species are different atomic numbers"),
    (dict(species=[6], cutoff=0.0), "length > 0 in angstrom; got 0.0"),
    (dict(species=[6], cutoff=-1.0), "length > 0"),
    (dict(species=[6], cutoff=np.nan), "length > 0"),
    (dict(species=[6], cutoff=5.0, heads="enrgy"), "got 'enrgy'"),
    (dict(species=[6], cutoff=5.0, group="SU(2)"), "got 'SU"),
    (dict(species=[6], cutoff=5.0, lmax=1, heads="polarizability"), "reads features"),
    (dict(species=["C"], cutoff=5.0), "species are different atomic numbers"),
    (dict(species=[6.5], cutoff=5.0), "species are different atomic numbers"),
    (dict(species=[6], cutoff="5"), "length > 0 in angstrom; got '5'"),
    (dict(species=[6], cutoff=5.0, layers=0), "layers is a whole number, at least 1; got 0"),
    (dict(species=[6], cutoff=5.0, channels=0), "channels is a whole number"),
    (dict(species=[6], cutoff=5.0, basis=0), "basis is a whole number"),
    (dict(species=[6], cutoff=5.0, lmax=-1), "lmax is a whole number, at least 0; got -1"),
    (dict(species=[6], cutoff=5.0, hidden=32), "hidden is a tuple of sizes"),
    (dict(species=[6], cutoff=5.0, neighbors=0), "neighbors is a number above 0"),
    (dict(species=[6], cutoff=5.0, heads=()), "at least one, each once"),
    (dict(species=[6], cutoff=5.0, heads=("energy", "energy")), "at least one, each once"),
    (dict(species=[6], cutoff=5.0, heads=("charges", "dipole")), "'dipole' brings the charges"),
    (dict(species=[6], cutoff=5.0, irreps="4x0e+4x1o", group="SO(3)"), "reach no .1o"),
    (dict(species=[6], cutoff=5.0, irreps="4x0e+4x0o", layers=2), "reach no .0o"),
    (dict(species=[6], cutoff=5.0, irreps="4x1o"), "features start from scalars"),
])
def test_bad_architectures_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.NequIP(**arguments)


def test_a_head_that_a_model_cannot_have():
    with pytest.raises(ValueError, match="reads features"):
        models.SchNet(SPECIES, CUTOFF, heads="direct_forces")


def test_a_graph_of_another_cutoff_is_refused():
    model, params = model_and_params("NequIP", False)
    with pytest.raises(ValueError, match="the graph has the cutoff 4.0, the model 3.2"):
        model.energy(params, neighbor_graph(STRUCTURES["ethanol"], 4.0))


def test_structures_are_not_graphs():
    model, params = model_and_params("NequIP", False)
    with pytest.raises(TypeError, match="takes the graph of a structure"):
        model.energy(params, STRUCTURES["ethanol"])


def test_stress_needs_a_volume():
    with pytest.raises(ValueError, match="give cells with three vectors"):
        evaluate("NequIP", STRUCTURES["ethanol"], stress=True)


def test_a_dipole_needs_a_molecule():
    model = models.PaiNN(SPECIES, CUTOFF, channels=4, layers=1, heads="dipole")
    with pytest.raises(ValueError, match="depends on where its cell is cut"):
        models.evaluate(model, model.init(np.random.default_rng(0)), STRUCTURES["triclinic"])


def test_cotangents_of_outputs_there_are_not():
    model, params = model_and_params("NequIP", False)
    _, pull = model.forward(params, neighbor_graph(STRUCTURES["ethanol"], CUTOFF))
    with pytest.raises(ValueError, match="outputs are"):
        pull({"dipole": np.zeros((1, 3))})


def test_a_list_of_structures():
    model, params = model_and_params("NequIP", False)
    pair = models.evaluate(model, params, [STRUCTURES["triclinic"], STRUCTURES["small cell"]], stress=True)
    assert pair.energy.shape == (2,) and pair.stress.shape == (2, 3, 3) and pair.forces.shape == (10, 3)
    one = models.evaluate(model, params, STRUCTURES["triclinic"], stress=True)
    assert isinstance(one.energy, float) and one.stress.shape == (3, 3) and one.energies.shape == (8,)


def test_lists_and_numpy_numbers_make_the_same_model():
    plain = models.NequIP(species=(1, 6), cutoff=4.0, channels=4, hidden=(8, 8), irreps="4x0e+4x1o")
    other = models.NequIP(species=np.array([1, 6]), cutoff=np.float32(4), channels=np.int64(4), hidden=[8, 8],
                          irreps=Irreps("4x0e+4x1o"))
    assert other == plain and hash(other) == hash(plain)


@pytest.mark.parametrize("params", [None, {}, {"heads": {"dipole": {}}}])
def test_what_are_no_parameters(params):
    model, _ = model_and_params("NequIP", False)
    with pytest.raises(ValueError, match="parameters are what"):
        models.evaluate(model, params, STRUCTURES["ethanol"])


# --- files ----------------------------------------------------------------------------------------------------

@every_model
def test_save_and_load(name, tmp_path):
    model, params = model_and_params(name, False)
    models.save(tmp_path / "model.npz", model, params, {"data": "none"})
    again, same, card = models.load(tmp_path / "model.npz")
    assert again == model and card == {"data": "none"}
    assert np.array_equal(trees.flatten(same), trees.flatten(params))


def change(path, edit):
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    edit(arrays)
    np.savez(path, **arrays)


def rename(arrays):
    about = json.loads(str(arrays["about"]))
    about["architecture"] = "Oracle"
    arrays["about"] = json.dumps(about)


@pytest.mark.parametrize("edit, message", [
    (lambda a: a.pop("trunk/embedding"), r"missing \['trunk/embedding'\]"),
    (lambda a: a.update({"trunk/embedding": a["trunk/embedding"][:1]}), "has shape"),
    (lambda a: a["trunk/embedding"].__setitem__((0, 0), np.nan), "NaN or infinity"),
    (lambda a: a.pop("about"), "damaged"),
    (rename, "architecture 'Oracle'; known are"),
])
def test_damaged_files_are_refused(edit, message, tmp_path):
    model, params = model_and_params("NequIP", False)
    models.save(tmp_path / "model.npz", model, params)
    change(tmp_path / "model.npz", edit)
    with pytest.raises(ValueError, match=message):
        models.load(tmp_path / "model.npz")


def test_a_truncated_file_is_refused(tmp_path):
    model, params = model_and_params("NequIP", False)
    models.save(tmp_path / "model.npz", model, params)
    whole = (tmp_path / "model.npz").read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 10):
        (tmp_path / "model.npz").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="damaged"):
            models.load(tmp_path / "model.npz")


def test_parameters_of_another_model_are_not_written(tmp_path):
    model, _ = model_and_params("NequIP", False)
    _, other = model_and_params("NequIP lmax 4", False)
    with pytest.raises(ValueError, match="of another model"):
        models.save(tmp_path / "model.npz", model, other)
    assert not list(tmp_path.iterdir())


def test_an_unknown_shipped_model_is_named():
    with pytest.raises(ValueError, match="no trained model 'gpt'; there are"):
        models.shipped("gpt")


def test_every_head_that_a_model_accepts_works():
    """Coordinates too, which has an output of any shape, and turns nothing."""
    s = STRUCTURES["ethanol"]
    for name in heads.HEADS:
        model = models.Coordinates((1, 6, 8), CUTOFF, channels=4, layers=1, heads=name)
        result = models.evaluate(model, model.init(np.random.default_rng(0)), s)
        assert result.outputs if name != "energy" else np.isfinite(result.energy)


def test_one_channel_is_enough_where_it_can_be():
    """A single channel trains on forces; a layer norm would leave nothing of a single scalar, and says so."""
    s = STRUCTURES["ethanol"]
    data = training.Dataset([s], forces=[np.ones((9, 3))])
    for architecture in (models.MACE, models.NequIP):
        model = architecture((1, 6, 8), CUTOFF, channels=1, layers=2)
        loss, slope = training.loss_and_gradient(model, model.init(np.random.default_rng(0)), *data.batch([0], CUTOFF),
                                                 {"forces": 1.0})
        assert np.isfinite(loss) and np.abs(trees.flatten(slope)).max() > 0
    with pytest.raises(ValueError, match="at least 2"):
        models.SE3Transformer((1, 6, 8), CUTOFF, channels=1, attention_heads=1)


@pytest.mark.parametrize("irreps", ["", "0x0e+4x1o", "4x1o"])
@pytest.mark.parametrize("architecture", [models.NequIP, models.MACE, models.SE3Transformer])
def test_features_without_scalars_are_refused(architecture, irreps):
    with pytest.raises(ValueError, match="start from scalars"):
        architecture((1, 6, 8), CUTOFF, irreps=irreps)
