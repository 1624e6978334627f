"""Forces and stress are exact derivatives of the energy, and what follows from its symmetries (P45-P51, P40, P41)."""

import numpy as np
import pytest

from se3ref import models
from se3ref.nn import params as trees
from se3ref.systems import Structure, join, neighbor_graph
from se3ref.verify.gradients import pullback_violation
from tests.models.zoo import ALL, CUTOFF, EQUIVARIANT, FINITE, PERIODIC, STRUCTURES, evaluate, model_and_params, scales

H = 1e-30
every_model = pytest.mark.parametrize("name", ALL)             # the foil too: its forces are a gradient
fresh_and_trained = pytest.mark.parametrize("trained", [False, True], ids=["fresh", "trained"])
every_structure = pytest.mark.parametrize("kind", STRUCTURES)


def slopes(name, structure, trained, displacements, dcells=0.0):
    """Derivatives (k,) of the energy by the complex step, along displacements (k,n,3) and changes of the cell (k,3,3):
    of so many copies of the structure in one graph, each along its own."""
    model, params = model_and_params(name, trained)
    graph = join(len(displacements) * [neighbor_graph(structure, CUTOFF)])
    moved = graph.at(graph.positions + 1j * H * displacements.reshape(-1, 3), graph.cell + 1j * H * dcells)
    return model.energy(params, moved)[0].imag / H


@every_model
@fresh_and_trained
@every_structure
def test_P45_forces_are_the_gradient(name, trained, kind):
    s = STRUCTURES[kind]
    result = evaluate(name, s, trained)
    v = np.random.default_rng(0).standard_normal(s.positions.shape)
    slope = slopes(name, s, trained, v[None])[0]
    assert abs(slope + (result.forces * v).sum()) <= 1e-12 * scales(result)[1] * np.abs(v).sum()


@every_model
@fresh_and_trained
@pytest.mark.parametrize("kind", PERIODIC)
def test_P51_stress_is_the_strain_derivative(name, trained, kind):
    """1e-11 eV/angstrom^3, beside stresses of 1e-2 to 1."""
    s = STRUCTURES[kind]
    stress, transposed = evaluate(name, s, trained, stress=True).stress, np.eye(9).reshape(9, 3, 3)
    slope = slopes(name, s, trained, s.positions @ transposed, s.cell @ transposed) / abs(np.linalg.det(s.cell))
    assert np.abs(slope - stress.T.ravel()).max() <= 1e-11 * (1 + np.abs(stress).max())


@pytest.mark.parametrize("name", EQUIVARIANT)
@pytest.mark.parametrize("kind", PERIODIC)
def test_P51_stress_is_symmetric(name, kind):
    stress = evaluate(name, STRUCTURES[kind], stress=True).stress
    assert np.abs(stress - stress.T).max() <= 1e-12 * np.abs(stress).max()


def test_the_foils_stress_is_not_symmetric():
    stress = evaluate("Coordinates", STRUCTURES["triclinic"], stress=True).stress
    assert np.abs(stress - stress.T).max() > 1e-3 * np.abs(stress).max()


def test_stress_against_finite_strains():
    """A second look that shares nothing with the complex step: central differences, error about h^2."""
    s, h = STRUCTURES["triclinic"], 1e-5
    stress = evaluate("NequIP", s, stress=True).stress
    for strain in (np.diag([1.0, 0, 0]), np.array([[0, 1.0, 0], [0, 0, 0], [0, 0, 0]])):
        energies = [evaluate("NequIP", Structure(s.numbers, s.positions @ (np.eye(3) + t * strain).T,
                                                 s.cell @ (np.eye(3) + t * strain).T, True)).energy for t in (h, -h)]
        slope = (energies[0] - energies[1]) / (2 * h) / abs(np.linalg.det(s.cell))
        assert abs(slope - (stress * strain).sum()) <= 1e-9 * (1 + np.abs(stress).max())


def jacobian(name, structure):
    """dF/dr (3n,3n) by the complex step through the forces: of 3n copies, each with one coordinate moved."""
    (model, params), size = model_and_params(name, False), structure.positions.size
    graph = join(size * [neighbor_graph(structure, CUTOFF)])
    moved = graph.at(graph.positions + 1j * H * np.eye(size).reshape(-1, 3))
    dr, _ = moved.pull(model.energy(params, moved)[1](np.ones(size, complex))[1])
    return -dr.imag.reshape(size, size).T / H


@every_model
@pytest.mark.parametrize("kind", ["ethanol", "small cell"])
def test_P46_the_force_field_has_no_curl(name, kind):
    J = jacobian(name, STRUCTURES[kind])
    assert np.abs(J - J.T).max() <= 1e-12 * np.abs(J).max() and np.abs(J).max() > 0


@pytest.mark.parametrize("name", EQUIVARIANT)
@fresh_and_trained
@every_structure
def test_P48_no_net_force(name, trained, kind):
    F = evaluate(name, STRUCTURES[kind], trained).forces
    assert np.abs(F.sum(0)).max() <= 1e-13 * np.abs(F).sum()


@pytest.mark.parametrize("name", EQUIVARIANT)
@fresh_and_trained
@pytest.mark.parametrize("kind", FINITE)
def test_P49_no_net_torque(name, trained, kind):
    s = STRUCTURES[kind]
    F = evaluate(name, s, trained).forces
    torque = np.cross(s.positions, F)
    assert np.abs(torque.sum(0)).max() <= 1e-13 * np.abs(torque).sum()


def test_the_foil_has_a_net_force_and_torque():
    s = STRUCTURES["cluster"]
    F = evaluate("Coordinates", s).forces
    assert np.abs(F.sum(0)).max() > 1e-3 * np.abs(F).sum()
    assert np.abs(np.cross(s.positions, F).sum(0)).max() > 1e-3 * np.abs(np.cross(s.positions, F)).sum()


@every_model
def test_P47_closed_loop_work_is_zero(name):
    """F . dr once around a circle of one atom: smooth and periodic, so the trapezoid rule converges geometrically;
    48 points leave less than 1e-10 of the work done on the way."""
    s = STRUCTURES["ethanol"]
    t = 2 * np.pi * np.arange(48) / 48
    circle = 0.05 * np.stack([np.cos(t), np.sin(t), 0 * t], 1)
    around = [Structure(s.numbers, s.positions + np.eye(len(s))[8][:, None] * step) for step in circle]
    F = evaluate(name, around).forces.reshape(48, -1, 3)[:, 8]
    work = (F * np.cross([0, 0, 1], circle)).sum(1)
    assert abs(work.sum()) <= 1e-10 * np.abs(work).sum()


@every_model
def test_P41_pullback_of_the_whole_model(name):
    """Energies with respect to parameters and edge vectors (and positions, for the foil), at 1e-13."""
    model, params = model_and_params(name, False)
    graph = neighbor_graph(STRUCTURES["triclinic"], CUTOFF)

    def layer(params, positions):
        moved = graph.at(positions)
        outputs, pull = model.forward(params, moved)

        def back(de):
            dparams, dgeometry = pull({"energies": de})
            return dparams, moved.pull(dgeometry)[0]
        return outputs["energies"], back
    assert pullback_violation(layer, [params, graph.positions], np.random.default_rng(1)) <= 1e-13


@every_model
def test_single_precision_stays_single(name):
    """Energies to 1e-5 and forces to 1e-4 of their scale: a thousand roundings of 6e-8."""
    model, params = model_and_params(name, False)
    single = trees.cast(params, np.float32)
    s = STRUCTURES["triclinic"]
    a, b = models.evaluate(model, params, s, stress=True), models.evaluate(model, single, s, stress=True)
    assert {b.energies.dtype, b.forces.dtype, b.stress.dtype} == {np.dtype(np.float32)}
    energy, force = scales(a)
    assert abs(a.energy - b.energy) <= 1e-5 * energy and np.abs(a.forces - b.forces).max() <= 1e-4 * force


# --- other outputs --------------------------------------------------------------------------------------------

WITH_VECTORS = {"NequIP": dict(channels=4), "PaiNN": dict(channels=8), "EGNN": dict(channels=8),
                "SE3Transformer": dict(channels=8), "SchNet": dict(channels=8), "MACE": dict(channels=4)}


@pytest.mark.parametrize("name", WITH_VECTORS)
def test_dipoles_turn_and_move_with_the_charge(name):
    model = getattr(models, name)((1, 6, 8), CUTOFF, heads=("dipole",), layers=2, **WITH_VECTORS[name])
    params, s = model.init(np.random.default_rng(0)), STRUCTURES["ethanol"]
    ion = Structure(s.numbers, s.positions, charge=-2.0)
    R, t = -np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0], np.array([1.0, -2.0, 0.5])
    mu, turned, moved = (models.evaluate(model, params, x).outputs["dipole"][0]
                         for x in (ion, ion.rotated(R), ion.translated(t)))
    assert np.abs(turned - R @ mu).max() <= 1e-12 * np.abs(mu).max()
    assert np.abs(moved - mu + 2.0 * t).max() <= 1e-12 * np.abs(mu).max()
    assert models.evaluate(model, params, ion).outputs["charges"].sum() == pytest.approx(-2.0, abs=1e-12)


def test_polarizabilities_turn_and_are_symmetric():
    model = models.NequIP((1, 6, 8), CUTOFF, heads="polarizability", channels=4, layers=2)
    params, s = model.init(np.random.default_rng(0)), STRUCTURES["ethanol"]
    R = -np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    a, b = (models.evaluate(model, params, x).outputs["polarizability"][0] for x in (s, s.rotated(R)))
    assert np.abs(b - R @ a @ R.T).max() <= 1e-12 * np.abs(a).max() and np.abs(a - a.T).max() == 0
    assert np.abs(a - np.trace(a) / 3 * np.eye(3)).max() > 1e-3 * np.abs(a).max()
