"""A network and the electrostatics of its charges obey one set of laws, near and far (P32-P60).

Errors are relative to the size of energies and forces, as in test_laws; Ewald's sums are carried to 1e-12 of typical
forces, which is what the tolerance of laws, 1e-10, leaves room for.  The mesh keeps to its promise.
"""

import dataclasses
import functools

import numpy as np
import pytest

from se3ref import electrostatics as es
from se3ref import models
from se3ref.nn import params as trees
from se3ref.so3 import random_rotation
from se3ref.systems import Structure, join, neighbor_graph
from se3ref.verify.gradients import pullback_violation
from tests.models import zoo
from tests.models.test_laws import jump_at_the_cutoff
from tests.models.zoo import CUTOFF, SPECIES, scales

WIDTHS = (0.4, 0.6, 0.5)
KINDS = {"points": ("charges", None), "Gaussians": ("charges", WIDTHS), "dipoles": ("dipole", 0.5),
         "equilibrium": ("electronegativity", WIDTHS)}


def charged(kind, charge):
    return dataclasses.replace(zoo.STRUCTURES[kind], charge=charge)


STRUCTURES = {"molecule": charged("ethanol", 0.0), "ion": charged("cluster", 1.0), "crystal": charged("triclinic", 0.0),
              "charged crystal": charged("triclinic", -1.0), "small cell": charged("small cell", 0.5)}
FINITE, PERIODIC = ["molecule", "ion"], ["crystal", "charged crystal", "small cell"]
CASES = [(kind, name) for kind in KINDS for name in STRUCTURES if kind != "dipoles" or name in FINITE]
CRYSTALS = [case for case in CASES if case[1] in PERIODIC]
every_case = pytest.mark.parametrize("kind, name", CASES)
every_crystal = pytest.mark.parametrize("kind, name", CRYSTALS)
TOLERANCE, H = 1e-10, 1e-30


@functools.cache
def hybrid(kind, electrostatics="ewald", accuracy=1e-12):
    """A model of two architectures, and fresh parameters."""
    head, widths = KINDS[kind]
    model = models.Hybrid(short_range=models.SchNet(SPECIES, CUTOFF, channels=6, layers=1),
                          charges=models.PaiNN(SPECIES, CUTOFF, channels=6, layers=2, heads=head),
                          electrostatics=electrostatics, accuracy=accuracy, widths=widths)
    return model, model.init(np.random.default_rng(0))


def evaluate(kind, structure, electrostatics="ewald", accuracy=1e-12, stress=False):
    return models.evaluate(*hybrid(kind, electrostatics, accuracy), structure, stress=stress)


def violation(kind, structure, other, turn=lambda F: F, times=1, **settings):
    """How far the energy of `other` is from `times` that of `structure`, its forces from their image."""
    a, b = (evaluate(kind, s, **settings) for s in (structure, other))
    energy, force = scales(a)
    return max(abs(b.energy - times * a.energy) / (times * energy), np.abs(b.forces - turn(a.forces)).max() / force)


def along(kind, structure, direction=0.0, strain=None, what="energies"):
    """The derivative by the complex step of an output of the atoms (n,), along a displacement and a strain."""
    model, params = hybrid(kind)
    graph = neighbor_graph(structure, CUTOFF)
    e = np.zeros((3, 3)) if strain is None else strain
    step = 1j * H * (direction + graph.positions @ e.T)
    outputs, _ = model.forward(params, graph.at(graph.positions + step, graph.cell + 1j * H * graph.cell @ e.T))
    return outputs[what].imag / H


# --- forces and stress ----------------------------------------------------------------------------------------

@every_case
def test_P45_forces_are_the_gradient(kind, name):
    """By the complex step, at 1e-12: the plan is the same."""
    s = STRUCTURES[name]
    v = np.random.default_rng(0).standard_normal(s.positions.shape)
    result = evaluate(kind, s)
    assert abs(along(kind, s, v).sum() + (result.forces * v).sum()) <= 1e-12 * scales(result)[1] * np.abs(v).sum()


@every_case
def test_P45_forces_against_finite_differences(kind, name):
    """A second look, with plans made anew: central differences of fourth order, whose error h^4 and rounding eps/h stay
    below 1e-10 of the forces at h = 2e-4."""
    s, h = STRUCTURES[name], 2e-4
    v = np.random.default_rng(1).standard_normal(s.positions.shape)
    v /= np.sqrt((v * v).sum())
    E = {k: evaluate(kind, dataclasses.replace(s, positions=s.positions + k * h * v)).energy for k in (-2, -1, 1, 2)}
    slope, result = (8 * (E[1] - E[-1]) - (E[2] - E[-2])) / (12 * h), evaluate(kind, s)
    assert abs(slope + (result.forces * v).sum()) <= 1e-10 * np.abs(result.forces).sum()


@pytest.mark.parametrize("kind", ["points", "Gaussians"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_forces_are_those_at_fixed_charges_and_of_charges_that_change(kind, name):
    """Equation (2): F = F(short range) + F(fixed charges) - sum phi_i dq_i/dr, the last along a random direction, with
    dq/dr by the complex step.  It is no small term: without it forces miss more than a hundredth."""
    s = STRUCTURES[name]
    model, params = hybrid(kind)
    result, v = models.evaluate(model, params, s), np.random.default_rng(2).standard_normal(s.positions.shape)
    near, q = models.evaluate(model.short_range, params["short_range"], s), result.outputs["charges"]
    widths = None if model.widths is None else np.array([WIDTHS[SPECIES.index(z)] for z in s.numbers])
    far = es.ewald_sum(s.positions, q, s.cell if s.pbc.all() else None, accuracy=1e-13, widths=widths)
    assert result.energy == pytest.approx(near.energy + far.energy, rel=1e-12)
    dq = along(kind, s, v, what="charges")
    rest = ((result.forces - near.forces - far.forces) * v).sum()
    size = scales(result)[1] * np.abs(v).sum()
    assert abs(rest + far.potential @ dq) <= 1e-11 * size
    if name != "small cell":                                   # two atoms of one element there: charges stay equal
        assert np.abs(result.forces - near.forces - far.forces).max() > 1e-2 * np.abs(result.forces).max()


@pytest.mark.parametrize("name", STRUCTURES)
def test_an_equilibrium_is_what_equilibrate_says(name):
    """With electronegativities of the network, and hardness coulomb/(sqrt(pi) width) + h^2, at 1e-11 of the energy."""
    (model, params), s = hybrid("equilibrium"), STRUCTURES[name]
    result, near = models.evaluate(model, params, s), models.evaluate(model.short_range, params["short_range"], s)
    said, _ = model.charges.forward(params["charges"], neighbor_graph(s, CUTOFF))
    kind = [SPECIES.index(z) for z in s.numbers]
    widths = np.array(WIDTHS)[kind]
    J = es.COULOMB / np.sqrt(np.pi) / widths + params["hardness"][kind] ** 2
    far = es.equilibrate(s.positions, s.cell, said["electronegativities"], J, widths, s.charge, accuracy=1e-13)
    assert np.abs(result.outputs["charges"] - far.charges).max() <= 1e-11
    assert result.energy == pytest.approx(near.energy + far.energy, rel=1e-11)


@every_crystal
def test_P51_stress_is_the_strain_derivative(kind, name):
    """All nine strains, shear among them: at 1e-11 by the complex step; symmetric to 1e-12."""
    s = STRUCTURES[name]
    stress, V = evaluate(kind, s, stress=True).stress, abs(np.linalg.det(s.cell))
    slopes = np.array([along(kind, s, strain=e).sum() / V for e in np.eye(9).reshape(9, 3, 3)]).reshape(3, 3)
    assert np.abs(slopes - stress).max() <= 1e-11 * np.abs(stress).max()
    assert np.abs(stress - stress.T).max() <= 1e-12 * np.abs(stress).max()


@every_crystal
def test_P51_stress_against_finite_strains(kind, name):
    """With plans made anew: differences of fourth order, at 1e-8 of the stress."""
    s, h = STRUCTURES[name], 2e-4
    stress, V = evaluate(kind, s, stress=True).stress, abs(np.linalg.det(s.cell))
    for strain in (np.diag([1.0, -0.3, 0.2]), np.array([[0, 1.0, 0], [0, 0, 0.5], [0, 0, 0]])):
        E = {}
        for k in (-2, -1, 1, 2):
            stretch = np.eye(3) + k * h * strain.T
            E[k] = evaluate(kind, Structure(s.numbers, s.positions @ stretch, s.cell @ stretch, True, s.charge)).energy
        slope = (8 * (E[1] - E[-1]) - (E[2] - E[-2])) / (12 * h) / V
        assert abs(slope - (stress * strain).sum()) <= 1e-8 * np.abs(stress).max()


@every_case
def test_P46_the_force_field_has_no_curl(kind, name):
    """u.(dF/dr) v = v.(dF/dr) u for random u and v, at 1e-12: it takes all of the pullback, with imaginary charges."""
    graph, (model, params) = neighbor_graph(STRUCTURES[name], CUTOFF), hybrid(kind)
    u, v = np.random.default_rng(9).standard_normal((2, *graph.positions.shape))

    def change_along(w):
        moved = graph.at(graph.positions + 1j * H * w)
        return moved.pull(model.energy(params, moved)[1](np.ones(1, complex))[1])[0].imag / H
    Jv, Ju = change_along(v), change_along(u)
    assert abs((u * Jv).sum() - (v * Ju).sum()) <= 1e-12 * np.abs(u * Jv).sum()


@every_case
@pytest.mark.parametrize("electrostatics", ["ewald", "pme"])
def test_P41_pullback_of_all_outputs(kind, name, electrostatics):
    """Random weights for the energy of each atom, each charge and the dipole; positions, cell and every parameter:
    1e-12, and it is an inner product of a thousand terms."""
    model, params = hybrid(kind, electrostatics, accuracy=1e-6)
    graph = neighbor_graph(STRUCTURES[name], CUTOFF)

    def layer(params, positions, strain):
        stretch = np.eye(3) + strain.T
        moved = graph.at(positions @ stretch, graph.cell @ stretch)
        outputs, pull = model.forward(params, moved)

        def back(d):
            dparams, dgeometry = pull(d)
            dr, dstrain = moved.pull(dgeometry)
            return dparams, dr, dstrain[0]
        return outputs, back
    arguments = [params, graph.positions, np.zeros((3, 3))]
    assert pullback_violation(layer, arguments, np.random.default_rng(3)) <= 1e-12


# --- symmetry -------------------------------------------------------------------------------------------------

@every_case
def test_P32_P59_rotations_and_reflections(kind, name):
    s = STRUCTURES[name]
    for R in (random_rotation(np.random.default_rng(4)), -random_rotation(np.random.default_rng(5))):
        assert violation(kind, s, s.rotated(R), lambda F, R=R: F @ R.T) <= TOLERANCE


@every_case
def test_P33_permutations(kind, name):
    s = STRUCTURES[name]
    order = np.random.default_rng(6).permutation(len(s))
    other = Structure(s.numbers[order], s.positions[order], s.cell, s.pbc, s.charge)
    assert violation(kind, s, other, lambda F: F[order]) <= TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("electrostatics", ["ewald", "pme", "direct"])
def test_P38_a_batch_is_its_parts(kind, electrostatics):
    """Molecules, ions and crystals in one graph; no gradient crosses from one to another, exactly."""
    model, params = hybrid(kind, electrostatics, accuracy=1e-6)
    finite = kind == "dipoles" or electrostatics == "direct"
    parts = [STRUCTURES[name] for name in STRUCTURES if name in FINITE or not finite]
    together, alone = models.evaluate(model, params, parts), [models.evaluate(model, params, s) for s in parts]
    energy, force = (max(column) for column in zip(*map(scales, alone), strict=True))
    assert np.abs(together.energy - [e.energy for e in alone]).max() <= 1e-12 * energy
    assert np.abs(together.forces - np.concatenate([e.forces for e in alone])).max() <= 1e-12 * force
    assert ("dipole" in together.outputs) == finite
    q = np.concatenate([e.outputs["charges"] for e in alone])
    assert np.abs(together.outputs["charges"] - q).max() <= 1e-12 * np.abs(q).max()
    graph = join([neighbor_graph(s, CUTOFF) for s in parts])
    dr, _ = graph.pull(model.energy(params, graph)[1](np.eye(len(parts))[1])[1])
    assert np.abs(dr[graph.structure == 1]).max() > 0 and not dr[graph.structure != 1].any()


@every_case
def test_P48_P49_no_net_force_and_no_net_torque(kind, name):
    """To rounding of the sums: 1e-13 of what is added up, tenfold for waves."""
    s = STRUCTURES[name]
    F = evaluate(kind, s).forces
    assert np.abs(F.sum(0)).max() <= 1e-12 * np.abs(F).sum()
    if name in FINITE:
        torque = np.cross(s.positions, F)
        assert np.abs(torque.sum(0)).max() <= 1e-12 * np.abs(torque).sum()


@every_case
@pytest.mark.parametrize("shift", [1.0, 100.0, 5000.0])
def test_P53_translations(kind, name, shift):
    """Far from the origin positions themselves are rounded: eps times the distance, times how stiff the forces are."""
    s = STRUCTURES[name]
    moved = s.translated(shift * np.array([0.6, -0.48, 0.64]))
    assert violation(kind, s, moved) <= TOLERANCE + 100 * np.finfo(float).eps * shift


# --- periodic boundaries --------------------------------------------------------------------------------------

def images(s):
    shifts = np.random.default_rng(7).integers(-2, 3, (len(s), 3))
    return dataclasses.replace(s, positions=s.positions + shifts @ s.cell)


def other_cell(s):
    return dataclasses.replace(s, cell=np.array([[1, 2, 0], [0, 1, -1], [1, 2, 1]]) @ s.cell)


def supercell(s, times=(2, 1, 2)):
    lattice = np.array(list(np.ndindex(*times))) @ s.cell
    return Structure(np.tile(s.numbers, len(lattice)), (lattice[:, None] + s.positions).reshape(-1, 3),
                     np.array(times)[:, None] * s.cell, True, len(lattice) * s.charge)


@every_crystal
def test_P53_P54_P55_images_supercells_and_other_cells(kind, name):
    s = STRUCTURES[name]
    assert violation(kind, s, images(s)) <= TOLERANCE
    assert violation(kind, s, other_cell(s)) <= TOLERANCE
    assert violation(kind, s, supercell(s), lambda F: np.tile(F, (4, 1)), times=4) <= TOLERANCE


def promise(result, s, accuracy):
    """The root-mean-square error of forces that is promised, eV/angstrom."""
    q = result.outputs["charges"]
    return accuracy * es.COULOMB * (q @ q / len(q)) / (4 * (abs(np.linalg.det(s.cell)) / len(q)) ** (2 / 3))


@every_crystal
@pytest.mark.parametrize("accuracy", [1e-4, 1e-6])
def test_P48_P53_P54_P55_on_a_mesh_within_the_promise(kind, name, accuracy):
    """A mesh has an origin and axes: what moves through it, or lies in another one, has other errors, whose root mean
    square over all these is within twice the promise; and the net force is no more than that of atoms that err each by
    itself, with a half more because they do not quite."""
    s, rng = STRUCTURES[name], np.random.default_rng(10)
    exact, error = evaluate(kind, s), promise(evaluate(kind, s), s, accuracy)
    off, net = [], []
    elsewhere = [s.translated(9 * rng.standard_normal(3)) for _ in range(3)]
    for other in (s, *elsewhere, images(s), other_cell(s), supercell(s)):
        F = evaluate(kind, other, "pme", accuracy).forces
        off.append(((F - np.tile(exact.forces, (len(F) // len(s), 1))) ** 2).sum(1).mean())
        net.append((F.sum(0) ** 2).sum() / len(F))
    assert 0.05 * error <= np.sqrt(np.mean(off)) <= 2 * error and np.sqrt(np.mean(net)) <= 3 * error


@pytest.mark.parametrize("kind", ["points", "Gaussians", "equilibrium"])
def test_P60_the_result_does_not_depend_on_how_sums_are_split(kind):
    """Accuracies bring other alphas, and the same forces; errors in units of what is promised have a root mean square
    below 2.  (The promise is of forces at fixed charges; errors of potentials come along with charges that change.)"""
    s, off = STRUCTURES["charged crystal"], []
    exact = evaluate(kind, s, accuracy=1e-13)
    for accuracy in (1e-11, 1e-9, 1e-7, 1e-5, 1e-3):
        F = evaluate(kind, s, accuracy=accuracy).forces
        off.append(((F - exact.forces) ** 2).sum(1).mean() / promise(exact, s, accuracy) ** 2)
    assert 0.1 <= np.sqrt(np.mean(off)) <= 2


@pytest.mark.parametrize("kind", ["points", "Gaussians", "equilibrium"])
def test_P60_a_big_cell_is_a_molecule(kind):
    """Images of a neutral molecule are dipoles in a conductor: E(L) - E = -2 pi/3 coulomb mu^2/L^3, and corrections of
    a higher power: fitted exponent and coefficient, on boxes of 30 to 60 angstrom."""
    s = STRUCTURES["molecule"]
    alone, L = evaluate(kind, s), np.array([30.0, 40.0, 60.0])
    boxes = [Structure(s.numbers, s.positions, edge * np.eye(3), True) for edge in L]
    off = [evaluate(kind, box).energy - alone.energy for box in boxes]
    slope, _ = np.polyfit(np.log(L), np.log(-np.array(off)), 1)
    mu2 = (alone.outputs["dipole"][0] ** 2).sum()
    assert slope == pytest.approx(-3, abs=0.05)
    assert off[-1] * L[-1] ** 3 == pytest.approx(-2 * np.pi / 3 * es.COULOMB * mu2, rel=0.01)


# --- charges --------------------------------------------------------------------------------------------------

@every_case
def test_charges_add_up_to_the_total_charge(kind, name):
    s = STRUCTURES[name]
    assert evaluate(kind, s).outputs["charges"].sum() == pytest.approx(s.charge, abs=1e-13 * len(s))


@pytest.mark.parametrize("kind", KINDS)
def test_one_geometry_and_three_total_charges(kind):
    """The network sees the same atoms three times; the energies differ by volts, and are a parabola in Q."""
    E = [evaluate(kind, dataclasses.replace(STRUCTURES["molecule"], charge=Q)).energy for Q in (-2, -1.0, 0, 1)]
    assert np.abs(np.subtract.outer(E, E))[np.triu_indices(4, 1)].min() > 0.1
    assert abs(np.diff(E, 3)[0]) <= 1e-12 * np.abs(E).max()


@pytest.mark.parametrize("kind", KINDS)
def test_P60_dipoles_turn_and_move_with_the_charge(kind):
    """mu(R r) = R mu and mu(r + t) = mu + Q t, at 1e-12; of atoms with dipoles too."""
    s, t, R = STRUCTURES["ion"], np.array([1.0, -20.0, 0.5]), -random_rotation(np.random.default_rng(8))
    mu, moved, turned = (evaluate(kind, x).outputs["dipole"][0] for x in (s, s.translated(t), s.rotated(R)))
    assert np.abs(moved - mu - s.charge * t).max() <= 1e-12 * np.abs(t).max()
    assert np.abs(turned - R @ mu).max() <= 1e-12 * np.abs(mu).max()


@pytest.mark.parametrize("kind", ["points", "Gaussians"])
def test_far_fragments_feel_each_other_as_charges(kind):
    """At 20, 40 and 80 angstrom: the network's part is flat and the charges stay; what is left is Coulomb's law for all
    pairs, and R E -> coulomb Q1 Q2: the rest halves as R doubles (dipoles), but for the next order."""
    a, b = STRUCTURES["molecule"], charged("cluster", 0.0)
    model, params = hybrid(kind)
    near, rest, off = [], [], []
    for R in (20.0, 40.0, 80.0):
        both = Structure(np.append(a.numbers, b.numbers), np.vstack([a.positions, b.positions + [R, 0, 0]]), charge=1.0)
        result = models.evaluate(model, params, both)
        near.append(models.evaluate(model.short_range, params["short_range"], both).energy)
        q = result.outputs["charges"]
        qa, qb = q[:len(a)], q[len(a):]
        apart = np.linalg.norm(both.positions[:len(a), None] - both.positions[len(a):], axis=2)
        E = es.COULOMB * (np.outer(qa, qb) / apart).sum()
        rest.append([result.energy - E, *q])
        off.append(R * E / (es.COULOMB * qa.sum() * qb.sum()) - 1)
    assert np.ptp(near) <= 1e-12 * np.abs(near[0]) and np.ptp(rest, axis=0).max() <= 1e-12 * np.abs(rest).max()
    halved = np.divide(off[:2], off[1:])
    assert abs(qa.sum()) > 0.1 and (np.abs(halved - 2) <= [0.25, 0.125]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_P57_smooth_through_the_cutoff(kind):
    """No jump in E, F or dF/dr: charges come and go with the envelope.  The atom moves by 2e-10 angstrom, and forces
    change by up to a hundred times their size for each, where those that they are compared to are small."""
    assert max(jump_at_the_cutoff(*hybrid(kind))) <= 2e-8


@every_case
def test_float32_is_float64_to_its_digits(kind, name):
    """Energies to 1e-5 and forces to 1e-4 of their scale, as for networks: sums over charges run in double."""
    model, params = hybrid(kind, accuracy=1e-6)
    s, stress = STRUCTURES[name], name in PERIODIC
    a, b = (models.evaluate(model, p, s, stress=stress) for p in (params, trees.cast(params, np.float32)))
    assert {x.dtype for x in (b.energies, b.forces, *b.outputs.values())} == {np.dtype(np.float32)}
    energy, force = scales(a)
    assert abs(a.energy - b.energy) <= 1e-5 * energy and np.abs(a.forces - b.forces).max() <= 1e-4 * force
    if stress:
        assert b.stress.dtype == np.float32 and np.abs(a.stress - b.stress).max() <= 1e-4 * np.abs(a.stress).max()


@pytest.mark.parametrize("kind", ["points", "Gaussians"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_sums_over_charges_run_in_double_precision(kind, name):
    """With the charges that a float32 network says, each atom's electrostatic energy is that of `ewald_sum` but for the
    two roundings at the end."""
    (model, params), s, eps = hybrid(kind), STRUCTURES[name], np.finfo(np.float32).eps
    single, graph = trees.cast(params, np.float32), neighbor_graph(s, CUTOFF).cast(np.float32)
    outputs, _ = model.forward(single, graph)
    near, _ = model.short_range.forward(single["short_range"], graph)
    near, q, r = near["energies"], outputs["charges"].astype(float), graph.positions.astype(float)
    widths = None if model.widths is None else np.array([WIDTHS[SPECIES.index(z)] for z in s.numbers])
    cell = graph.cell[0].astype(float) if s.pbc.all() else None
    e = 0.5 * q * es.ewald_sum(r, q, cell, accuracy=1e-13, widths=widths).potential
    assert (np.abs(outputs["energies"] - near - e) <= 2 * eps * (np.abs(near) + np.abs(e))).all()


# --- refusals -------------------------------------------------------------------------------------------------

def part(head="charges", architecture=models.PaiNN, species=SPECIES, cutoff=CUTOFF):
    return architecture(species, cutoff, channels=4, layers=1, heads=head)


@pytest.mark.parametrize("fields, message", [
    (dict(short_range=part()), "short_range is a model with one head, energy"),
    (dict(short_range=None), "short_range is a model with one head, energy"),
    (dict(charges=part("energy")), "charges is a model with one head, charges or dipole or electronegativity"),
    (dict(charges=part(("energy", "charges"))), "charges is a model with one head"),
    (dict(short_range=part("energy", species=(8, 6, 1))), "the same species, in one order"),
    (dict(short_range=part("energy", cutoff=4.0)), "one cutoff"),
    (dict(electrostatics="p3m"), "electrostatics is one of ewald, pme, direct; got 'p3m'"),
    (dict(accuracy=1.0), "accuracy is a relative error of the forces, between 1e-14 and 0.1; got 1.0"),
    (dict(accuracy="high"), "accuracy is a relative error of the forces, between"),
    (dict(electrostatics="pme", accuracy=1e-12), "accuracy is a relative error of the forces, between 1e-09 and 0.1"),
    (dict(widths=-0.5), "widths is a length above 0"),
    (dict(widths=np.nan), "widths is a length above 0"),
    (dict(widths="wide"), "widths is a length above 0"),
    (dict(widths=(0.5, 0.5)), "one for each of 3 species"),
    (dict(charges=part("electronegativity")), "charges that equilibrate are Gaussian: give widths"),
])
def test_models_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        models.Hybrid(**{"short_range": part("energy"), "charges": part(), **fields})


def test_structures_beyond_it_are_refused():
    model, params = hybrid("points", "direct")
    with pytest.raises(ValueError, match="repeat in three directions; got pbc .True, True, False."):
        models.evaluate(model, params, zoo.STRUCTURES["slab"])
    with pytest.raises(ValueError, match="plain sum over all images has no limit"):
        models.evaluate(model, params, STRUCTURES["crystal"])
    model, params = hybrid("dipoles")
    with pytest.raises(ValueError, match="depends on where its cell is cut"):
        models.evaluate(model, params, STRUCTURES["crystal"])
    _, pull = model.forward(params, neighbor_graph(STRUCTURES["molecule"], CUTOFF))
    with pytest.raises(ValueError, match="outputs are"):
        pull({"polarizability": np.zeros((1, 3, 3))})


@pytest.mark.parametrize("missing", ["short_range", "charges", "hardness"])
def test_what_are_no_parameters(missing):
    model, params = hybrid("equilibrium")
    with pytest.raises(ValueError, match="parameters are what model.init"):
        models.evaluate(model, {key: part for key, part in params.items() if key != missing}, STRUCTURES["molecule"])


def test_a_single_atom_and_a_molecule_in_a_box():
    """One atom has the total charge and no force; a cell without periodicity changes nothing."""
    for kind in KINDS:
        alone = evaluate(kind, Structure([8], [[0.1, 0.2, 0.3]], charge=-1.0))
        assert alone.outputs["charges"] == -1 and not alone.forces.any()
        s = STRUCTURES["ion"]
        boxed, free = evaluate(kind, dataclasses.replace(s, cell=9 * np.eye(3)), stress=True), evaluate(kind, s)
        assert boxed.energy == free.energy and np.array_equal(boxed.forces, free.forces)
