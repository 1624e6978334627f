"""Hybrids learn, are stored, stopped and resumed, and drive dynamics and ASE, as all models do."""

import dataclasses

import numpy as np
import pytest

from se3ref import dynamics, models, training
from se3ref.nn import params as trees
from se3ref.systems import Structure, neighbor_graph
from se3ref.training import loop
from tests.models.test_hybrid import CUTOFF, STRUCTURES, charged, hybrid

GROUPS = {"molecules": ["molecule", "ion"], "crystals": ["charged crystal", "small cell"],
          "both": ["ion", "charged crystal"]}
TARGETS = {"molecules": ["energy", "forces", "dipole", "charges"], "both": ["energy", "forces", "charges"],
           "crystals": ["energy", "forces", "stress", "charges"]}
WEIGHTS = {"energy": 1.0, "forces": 2.0, "stress": 50.0, "dipole": 3.0, "charges": 0.5}
CASES = [(kind, group) for kind in ("points", "Gaussians", "dipoles", "equilibrium") for group in GROUPS
         if kind != "dipoles" or group == "molecules"]
every_case = pytest.mark.parametrize("kind, group", CASES)


def problem(kind, group, electrostatics="ewald"):
    """Targets some way off what is predicted; plans to 1e-6, since derivatives are exact for any plan."""
    model, params = hybrid(kind, electrostatics, 1e-6)
    graph, rng = neighbor_graph([STRUCTURES[name] for name in GROUPS[group]], CUTOFF), np.random.default_rng(0)
    found = training.predict(model, params, graph, TARGETS[group])
    targets = {name: found[name] + rng.standard_normal(found[name].shape) * min(1, np.abs(found[name]).max())
               for name in found if name in TARGETS[group]}
    return model, params, graph, targets, {name: WEIGHTS[name] for name in targets}


def slope_along(problem, direction, h=5e-4):
    """Of the loss along a direction of parameters: central differences of fourth order."""
    model, params, graph, targets, weights = problem

    def at(t):
        moved = trees.map_leaves(lambda x, v: x + t * v, params, direction)
        return training.loss_and_gradient(model, moved, graph, targets, weights)[0]
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


@every_case
def test_P43_gradient_is_the_slope_of_the_loss(kind, group):
    """Along a random direction; 1e-8 covers h^4 of the fifth derivative and eps/h of rounding."""
    case, rng = problem(kind, group), np.random.default_rng(1)
    direction = trees.map_leaves(lambda x: rng.standard_normal(x.shape) / 10, case[1])
    loss, grads = training.loss_and_gradient(*case)
    exact = float(trees.flatten(grads) @ trees.flatten(direction))
    assert abs(slope_along(case, direction) - exact) <= 1e-8 * max(loss, abs(exact))


@pytest.mark.parametrize("kind", ["points", "equilibrium"])
@pytest.mark.parametrize("name", ["energy", "forces", "stress", "charges"])
def test_P43_each_term_by_itself_on_a_mesh(kind, name):
    """So that no term hides in the sum of the others, and through splines and Fourier transforms."""
    model, params, graph, targets, weights = problem(kind, "crystals", "pme")
    case, rng = (model, params, graph, {name: targets[name]}, weights), np.random.default_rng(2)
    direction = trees.map_leaves(lambda x: rng.standard_normal(x.shape) / 10, params)
    loss, grads = training.loss_and_gradient(*case)
    exact = float(trees.flatten(grads) @ trees.flatten(direction))
    assert abs(slope_along(case, direction) - exact) <= 1e-8 * max(loss, abs(exact))


@every_case
def test_float32_stays_float32(kind, group):
    """Gradients in single precision, and through a complex64 step of 1e-15: 1e-4 of the largest entry, since charges of
    6e-8 are multiplied by potentials of some ten volts that cancel."""
    model, params, graph, targets, weights = problem(kind, group)
    exact = trees.flatten(training.loss_and_gradient(model, params, graph, targets, weights)[1])
    single = training.loss_and_gradient(model, trees.cast(params, np.float32), graph, targets, weights)[1]
    assert {leaf.dtype for _, leaf in trees.leaves(single)} == {np.dtype(np.float32)}
    assert np.abs(trees.flatten(single) - exact).max() <= 1e-4 * np.abs(exact).max()


# --- training -------------------------------------------------------------------------------------------------

def taught(kind, count=12):
    """Ions and crystals, moved about, labelled by a hybrid of other parameters."""
    model, _ = hybrid(kind, "ewald", 1e-6)
    rng, structures = np.random.default_rng(3), []
    for k in range(count):
        s = STRUCTURES["charged crystal"] if k % 2 else charged("cluster", float(k % 3 - 1))
        structures.append(dataclasses.replace(s, positions=s.positions + 0.03 * rng.standard_normal(s.positions.shape)))
    told = models.evaluate(model, model.init(rng), structures)
    forces = np.split(told.forces, np.cumsum([len(s) for s in structures])[:-1])
    return model, training.Dataset(structures, energy=told.energy, forces=forces)


SETTINGS = dict(steps=20, batch=3, every=5, progress=False)


@pytest.mark.parametrize("kind", ["points", "equilibrium"])
def test_it_learns(kind):
    """Twenty steps, on charges it has no labels for, take a fifth off the loss of structures it has not seen."""
    model, data = taught(kind)
    result = training.fit(model, data[:9], data[9:], **SETTINGS, rate=1e-2, averaging=0.5)
    start = training.errors(model, training.initial_params(model, data[:9], 0), data[9:])
    weights = training.default_weights(data[:9])

    def loss(errors):
        sizes = {"energy": np.mean([len(s) for s in data[9:].structures]), "forces": 1}
        return sum(weights[name] * (rmse / sizes[name]) ** 2 for name, (_, rmse) in errors.items())
    assert result.finished and loss(training.errors(model, result.params, data[9:])) < 0.8 * loss(start)


@pytest.mark.parametrize("kind", ["points", "equilibrium"])
def test_a_stopped_run_goes_on_to_the_same_numbers(kind, tmp_path, monkeypatch):
    (model, data), path, steps = taught(kind, 5), tmp_path / "run.npz", []
    settings = {**SETTINGS, "steps": 8, "batch": 2}

    class Interrupt(loop.tqdm):
        """Ctrl-C after six steps."""
        def update(self, n=1):
            steps.append(n)
            if len(steps) == 6:
                raise KeyboardInterrupt
    whole = training.fit(model, data, **settings)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "tqdm", Interrupt)
        stopped = training.fit(model, data, **settings, checkpoint=path)
    resumed = training.fit(model, data, **settings, checkpoint=path)
    assert not stopped.finished and resumed.finished
    assert np.array_equal(trees.flatten(resumed.params), trees.flatten(whole.params))
    other, _ = hybrid(kind, "ewald", 1e-7)
    with pytest.raises(ValueError, match="checkpoint of another run"):
        training.fit(other, data, **settings, checkpoint=path)


# --- files ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["points", "Gaussians", "dipoles", "equilibrium"])
def test_save_and_load(kind, tmp_path):
    """Two models and what joins them: the same model, the same numbers, and a file that is written the same again."""
    model, params = hybrid(kind)
    models.save(tmp_path / "one.npz", model, params, {"data": "none"})
    again, same, card = models.load(tmp_path / "one.npz")
    assert again == model and hash(again) == hash(model) and repr(again) == repr(model) and card == {"data": "none"}
    assert np.array_equal(trees.flatten(same), trees.flatten(params))
    assert [path for path, _ in trees.leaves(same)] == [path for path, _ in trees.leaves(params)]
    models.save(tmp_path / "two.npz", again, same, card)
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        assert one.files == two.files and all(one[name].tobytes() == two[name].tobytes() for name in one.files)


def test_a_file_without_one_of_its_models_is_refused(tmp_path):
    model, params = hybrid("equilibrium")
    models.save(tmp_path / "model.npz", model, params)
    for wrong in ({key: value for key, value in params.items() if key != "hardness"},
                  {**params, "charges": params["short_range"]}):
        with pytest.raises(ValueError, match="of another model"):
            models.save(tmp_path / "other.npz", model, wrong)
    with np.load(tmp_path / "model.npz") as stored:
        arrays = {name: stored[name] for name in stored.files if name != "hardness"}
    np.savez(tmp_path / "model.npz", **arrays)
    with pytest.raises(ValueError, match="missing .'hardness'."):
        models.load(tmp_path / "model.npz")


# --- dynamics and ASE -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind, name", [("Gaussians", "ion"), ("Gaussians", "charged crystal"),
                                        ("equilibrium", "small cell")])
def test_P50_dynamics_keeps_its_energy(kind, name):
    """Fifty steps: the energy wavers as dt^2, four times less for half the step; forces that are no gradient would
    not let it."""
    model, params = hybrid(kind, "ewald", 1e-7)
    s, spread = STRUCTURES[name], []
    v = dynamics.thermal_velocities(s, 300.0, np.random.default_rng(4))
    for dt, steps in ((0.02, 25), (0.01, 50)):
        run = dynamics.simulate(dynamics.force_field(model, params, s), s, v, dt, steps)
        assert run.stopped is None
        spread.append(np.ptp(run.total))
    assert spread[0] / spread[1] == pytest.approx(4, rel=0.01) and spread[1] < 1e-4 * np.ptp(run.kinetic)


def atoms_of(structure):
    ase = pytest.importorskip("ase")
    atoms = ase.Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)
    atoms.info["charge"] = structure.charge
    return atoms


@pytest.mark.parametrize("kind, name", [("equilibrium", "charged crystal"), ("points", "crystal"), ("dipoles", "ion")])
def test_the_calculator_of_ase(kind, name):
    """Energy, forces, stress, charges and dipole as `evaluate` has them, and forces as ASE's own differences say."""
    atoms, s = atoms_of(STRUCTURES[name]), STRUCTURES[name]
    from ase.calculators.fd import calculate_numerical_forces
    from ase.stress import voigt_6_to_full_3x3_stress

    from se3ref import interop
    model, params = hybrid(kind)
    atoms.calc = interop.ase.Calculator(model, params)
    expected = models.evaluate(model, params, s, stress=bool(s.pbc.all()))
    assert atoms.get_potential_energy() == expected.energy and np.array_equal(atoms.get_forces(), expected.forces)
    assert np.array_equal(atoms.get_charges(), expected.outputs["charges"])
    numerical = calculate_numerical_forces(atoms, eps=1e-4, iatoms=[0, 1])
    assert np.abs(numerical - expected.forces[:2]).max() <= 1e-6 * np.abs(expected.forces).max()
    if s.pbc.all():
        stress = voigt_6_to_full_3x3_stress(atoms.get_stress())
        assert np.abs(stress - expected.stress).max() <= 1e-12 * np.abs(stress).max()
    else:
        assert np.array_equal(atoms.get_dipole_moment(), expected.outputs["dipole"][0])
    atoms.info["charge"] = s.charge + 1                        # ASE overlooks it, the calculator does not
    assert abs(atoms.get_potential_energy() - expected.energy) > 0.1


def test_a_molecule_in_ase_has_the_dipole_of_its_charges():
    pytest.importorskip("ase")
    from se3ref import interop
    atoms, (model, params) = atoms_of(STRUCTURES["ion"]), hybrid("points")
    atoms.calc = interop.ase.Calculator(model, params)
    assert atoms.get_dipole_moment() == pytest.approx(atoms.get_charges() @ atoms.positions, rel=1e-12)


def test_a_batch_of_one_kind_of_target_without_energies():
    """Charges alone, or dipoles alone: no force is asked for, and the adjoint of equilibrium carries all."""
    for kind, name in (("equilibrium", "charges"), ("equilibrium", "dipole"), ("points", "dipole")):
        model, params, graph, targets, weights = problem(kind, "molecules")
        case = (model, params, graph, {name: targets[name]}, weights)
        rng = np.random.default_rng(5)
        direction = trees.map_leaves(lambda x, rng=rng: rng.standard_normal(x.shape) / 10, params)
        loss, grads = training.loss_and_gradient(*case)
        exact = float(trees.flatten(grads) @ trees.flatten(direction))
        assert abs(slope_along(case, direction) - exact) <= 1e-8 * max(loss, abs(exact)) and abs(exact) > 1e-3 * loss


def test_fine_tuning_starts_where_it_is_told():
    """Zero steps away from given parameters nothing changes: units go there and back, shifts and scale included."""
    model, data = taught("equilibrium", 4)
    params = training.initial_params(model, data, 1)
    head = model.energy_head(params)
    assert head is params["short_range"]["heads"]["energy"] and np.abs(head["shift"]).max() > 0
    units = training.units.Units(model, params)
    back = units.end(units.start(params))
    assert units.scale == 1 and np.array_equal(trees.flatten(back), trees.flatten(params))
    a, b = models.evaluate(model, params, data.structures[0]), units.start(params)
    lower = models.evaluate(model, b, data.structures[0]).energy + data.compositions(model.species)[0] @ units.shift
    assert lower == pytest.approx(a.energy, rel=1e-13)


def test_an_isolated_structure_is_the_same_by_every_method():
    """Without a lattice all three are the plain sum."""
    s = Structure([8, 1, 1], [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]], charge=-1.0)
    E = {method: models.evaluate(*hybrid("points", method, 1e-6), s).energy for method in ("ewald", "pme", "direct")}
    assert len(set(E.values())) == 1
