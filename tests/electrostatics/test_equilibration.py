"""Charge equilibration: the minimum and its multiplier, closed forms and limits, exact derivatives, refusals."""

import math
import sys
import types

import numpy as np
import pytest
from scipy import special

from se3ref import electrostatics as es
from se3ref.electrostatics import equilibration
from se3ref.electrostatics.interactions import interaction
from se3ref.so3 import random_rotation
from se3ref.verify.gradients import complex_step, pullback_violation
from tests.electrostatics.test_ewald import ions
from tests.standin import DeviceArray

EPS = np.finfo(float).eps

KINDS = {"molecule": 0.0, "ion": 1.3, "crystal": 0.0, "charged crystal": -0.7}           # and their total charges
every_kind = pytest.mark.parametrize("kind", KINDS)


def problem(kind, n=8, seed=0):
    """positions, cell, chi, J, widths, Q; cells are triclinic, and J is what keeps the energy convex, and some more."""
    rng = np.random.default_rng(seed)
    positions, _, cell = ions(n, 2.8 * n ** (1 / 3), 0.4, seed=seed)
    chi, widths = 3 * rng.standard_normal(n), rng.uniform(0.4, 0.7, n)
    J = es.COULOMB / (math.sqrt(math.pi) * widths) + rng.uniform(1, 5, n)
    return positions, cell if "crystal" in kind else None, chi, J, widths, KINDS[kind]


def energy_of(charges, positions, cell, chi, J, widths):
    """Equation (1) and its slope chi + J q + phi, by `ewald_sum`."""
    found = es.ewald_sum(positions, charges, cell, accuracy=1e-13, widths=widths)
    return chi @ charges + 0.5 * J @ charges**2 + found.energy, chi + J * charges + found.potential, found


# --- the minimum ----------------------------------------------------------------------------------------------

@every_kind
@pytest.mark.parametrize("n", [2, 8, 40])
def test_at_the_minimum_every_atom_holds_on_equally(kind, n):
    """Slopes are one number, mu, and the charges add up to Q: to 1e-11 of chi, where 1e-13 is asked of the sums."""
    *arguments, Q = problem(kind, n)
    found = es.equilibrate(*arguments, Q, accuracy=1e-13)
    E, slopes, _ = energy_of(found.charges, *arguments)
    assert np.abs(slopes - found.potential).max() <= 1e-11 * np.abs(arguments[2]).max()
    assert found.charges.sum() == pytest.approx(Q, abs=1e-13 * n)
    assert found.energy == pytest.approx(E, rel=1e-11)


@every_kind
def test_other_charges_of_the_same_sum_cost_more(kind):
    *arguments, Q = problem(kind)
    found, rng = es.equilibrate(*arguments, Q, accuracy=1e-12), np.random.default_rng(1)
    for size in (1e-3, 0.1, 1.0):
        step = size * rng.standard_normal(8)
        step -= step.mean()
        assert energy_of(found.charges + step, *arguments)[0] > found.energy + 0.1 * (step @ step)


def test_two_atoms_in_closed_form():
    """q_1 = (chi_2 - chi_1 + Q (J_2 - g))/(J_1 + J_2 - 2 g), g = coulomb erf(gamma r)/r."""
    (chi1, chi2), (J1, J2), (s1, s2), r, Q = (2.0, 5.5), (16.0, 21.0), (0.6, 0.5), 1.3, 0.4
    g = es.COULOMB * math.erf(r / math.sqrt(2 * (s1**2 + s2**2))) / r
    q1 = (chi2 - chi1 + Q * (J2 - g)) / (J1 + J2 - 2 * g)
    found = es.equilibrate([[0, 0, 0], [0, r, 0]], None, [chi1, chi2], [J1, J2], [s1, s2], Q)
    assert found.charges == pytest.approx([q1, Q - q1], rel=1e-14)
    assert found.potential == pytest.approx(chi1 + J1 * q1 + g * (Q - q1), rel=1e-14)


def test_an_atom_by_itself_has_the_total_charge():
    found = es.equilibrate([[1.0, 2, 3]], None, [4.0], [16.0], [0.6], -0.5)
    assert found.charges == [-0.5] and found.energy == 4 * -0.5 + 8 * 0.25 and found.potential == 4 - 8


@every_kind
def test_hard_atoms_share_the_total_charge(kind):
    """J -> infinity: q = Q/n, and J (q - Q/n) -> the mean less each atom's own slope there; both to some 1/J."""
    positions, cell, chi, _, widths, Q = problem(kind)
    even = np.full(8, Q / 8)
    _, slope, _ = energy_of(even, positions, cell, chi, np.zeros(8), widths)
    for J in (1e4, 1e6):
        q = es.equilibrate(positions, cell, chi, np.full(8, J), widths, Q, accuracy=1e-12).charges
        assert np.abs(J * (q - even) - (slope.mean() - slope)).max() <= 100 / J * np.abs(slope - slope.mean()).max()


@every_kind
def test_charges_are_linear_in_electronegativities_and_total_charge(kind):
    positions, cell, chi, J, widths, _ = problem(kind)
    other = np.random.default_rng(2).standard_normal(8)

    def charges(chi, Q):
        return es.equilibrate(positions, cell, chi, J, widths, Q).charges
    a, b, both = charges(chi, 0.3), charges(other, -1.1), charges(chi + 2 * other, 0.3 - 2.2)
    assert np.abs(both - a - 2 * b).max() <= 1e-12 * np.abs(both).max()
    assert np.abs(charges(chi + 7.0, 0.3) - a).max() <= 1e-12                        # only differences count


def test_lattice_laws():
    """Turned, moved, permuted, and as part of a supercell with its share of the charge: 1e-11 at 1e-13."""
    positions, cell, chi, J, widths, Q = problem("charged crystal")
    rng, here = np.random.default_rng(3), es.equilibrate(*problem("charged crystal"), accuracy=1e-13)
    R, order, images = -random_rotation(rng), rng.permutation(8), np.array(list(np.ndindex(2, 1, 2))) @ cell
    moved = es.equilibrate(positions @ R.T + [3.0, 50, -7], cell @ R.T, chi, J, widths, Q, accuracy=1e-13)
    mixed = es.equilibrate(positions[order], cell, chi[order], J[order], widths[order], Q, accuracy=1e-13)
    four = es.equilibrate((images[:, None] + positions).reshape(-1, 3), np.array([2, 1, 2])[:, None] * cell,
                          *(np.tile(x, 4) for x in (chi, J, widths)), 4 * Q, accuracy=1e-13)
    for q, E in ((moved.charges, moved.energy), (mixed.charges[np.argsort(order)], mixed.energy),
                 (four.charges.reshape(4, 8), four.energy / 4)):
        assert np.abs(q - here.charges).max() <= 1e-11 and abs(E - here.energy) <= 1e-11 * abs(here.energy)


# --- derivatives ----------------------------------------------------------------------------------------------

def moved_by_strain(A, strain):
    """An Interaction with the space around it strained."""
    stretch = np.eye(3) + strain
    cell = None if A.cell is None else A.cell @ stretch.T
    return es.Interaction(A.positions @ stretch.T, cell, A.widths, A.plan, A.coulomb)


@every_kind
@pytest.mark.parametrize("method", ["ewald", "pme"])
def test_P41_pullback_against_the_complex_step(kind, method):
    """Charges and terms of the energy with respect to everything, at a fixed plan; 1e-11: M is solved to 1e-14, and
    condition numbers are some ten to hundred."""
    positions, cell, chi, J, widths, Q = problem(kind)
    A = es.interaction(method, positions, cell, widths, 1e-6)

    def layer(places, strain, chi, J, Q):
        moved = moved_by_strain(es.Interaction(places, cell, widths, A.plan, A.coulomb), strain)
        q, e, _, pull = equilibration.equilibrated(moved, chi, J, Q[0])

        def back(dy):
            d = pull(dy["terms"], dy["charges"])
            return d["positions"], d["strain"], d["electronegativity"], d["hardness"], np.array([d["total_charge"]])
        return {"charges": q, "terms": e}, back
    arguments = [positions, np.zeros((3, 3)), chi, J, np.array([Q])]
    assert pullback_violation(layer, arguments, np.random.default_rng(4)) <= 1e-11


@every_kind
def test_the_multiplier_under_the_complex_step(kind):
    """d mu/dQ = d2E/dQ2, which is also the change of mu between two charges one apart, since mu is linear in Q."""
    positions, cell, chi, J, widths, Q = problem(kind)
    A = es.interaction("ewald", positions, cell, widths, 1e-6)
    slope = complex_step(lambda Q: equilibration.equilibrated(A, chi, J, Q)[2], [np.array(Q)], [np.array(1.0)])
    difference = equilibration.equilibrated(A, chi, J, Q + 1)[2] - equilibration.equilibrated(A, chi, J, Q)[2]
    assert slope == pytest.approx(difference, rel=1e-12) and slope > 0


@every_kind
def test_pullback_against_finite_differences(kind):
    """With plans made anew: central differences of a random function of charges, 1e-7 where steps are 1e-4."""
    positions, cell, chi, J, widths, Q = problem(kind)
    rng, h = np.random.default_rng(5), 1e-4
    g, along = rng.standard_normal(8), {name: rng.standard_normal(8) for name in ("electronegativity", "hardness")}
    along |= {"positions": rng.standard_normal((8, 3)), "strain": 0.1 * rng.standard_normal((3, 3)),
              "total_charge": 1.0}

    def at(t, name):
        move = {key: t * along[key] * (key == name) for key in along}
        stretch = np.eye(3) + move["strain"]
        found = es.equilibrate((positions + move["positions"]) @ stretch.T, None if cell is None else cell @ stretch.T,
                               chi + move["electronegativity"], J + move["hardness"], widths, Q + move["total_charge"],
                               accuracy=1e-12)
        return g @ found.charges + 2 * found.energy
    pulled = es.equilibrate(positions, cell, chi, J, widths, Q, accuracy=1e-12).pull(g, 2.0)
    for name, step in along.items():
        slope = (at(h, name) - at(-h, name)) / (2 * h)
        assert slope == pytest.approx(np.sum(pulled[name] * step), rel=1e-7, abs=1e-7), name


@every_kind
def test_charges_at_their_minimum_do_not_show_in_forces(kind):
    """The energy's own derivatives: forces and strain at fixed charges, q, q^2/2 and mu; and its slope along Q."""
    *arguments, Q = problem(kind)
    found = es.equilibrate(*arguments, Q, accuracy=1e-12)
    pulled, fixed = found.pull(np.zeros(8), 1.0), energy_of(found.charges, *arguments)[2]
    assert np.abs(pulled["positions"] + fixed.forces).max() <= 1e-10 * np.abs(fixed.forces).max()
    if fixed.stress is not None:
        strain = fixed.stress * abs(np.linalg.det(arguments[1]))
        assert np.abs(pulled["strain"] - strain).max() <= 1e-10 * np.abs(strain).max()
    assert np.abs(pulled["electronegativity"] - found.charges).max() <= 1e-12
    assert np.abs(pulled["hardness"] - 0.5 * found.charges**2).max() <= 1e-12
    assert pulled["total_charge"] == pytest.approx(found.potential, rel=1e-12)
    more, less = (es.equilibrate(*arguments, Q + d, accuracy=1e-12).energy for d in (0.5, -0.5))    # a parabola
    assert more - less == pytest.approx(found.potential, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("kind", ["crystal", "charged crystal"])
@pytest.mark.parametrize("accuracy", [1e-4, 1e-6])
def test_on_a_mesh_the_same_within_its_accuracy(kind, accuracy):
    """Charges are off by the error of potentials over J: that of forces times a few angstrom, and times 3 for the worst
    of 30 atoms."""
    *arguments, Q = problem(kind, 30)
    exact = es.equilibrate(*arguments, Q, accuracy=1e-12)
    found = es.equilibrate(*arguments, Q, electrostatics="pme", accuracy=accuracy)
    spread = exact.charges @ exact.charges / 30
    promise = accuracy * es.COULOMB * spread / (4 * (abs(np.linalg.det(arguments[1])) / 30) ** (2 / 3))
    assert np.abs(found.charges - exact.charges).max() <= 10 * promise / arguments[3].min()
    assert not np.array_equal(found.charges, exact.charges)


# --- refusals -------------------------------------------------------------------------------------------------

TWO = dict(positions=[[0, 0, 0], [2.0, 0, 0]], cell=5 * np.eye(3), electronegativity=[0.0, 1.0], hardness=[15.0, 15.0],
           widths=[0.6, 0.6])


@pytest.mark.parametrize("named, message", [
    ({"hardness": [15.0, -1.0]}, "hardness is above 0, in V/e; the least is -1"),
    ({"hardness": [15.0]}, "hardness must be 2 finite numbers"),
    ({"hardness": 15.0}, "hardness must be 2 finite numbers"),
    ({"hardness": [15.0, np.nan]}, "hardness must be 2 finite numbers"),
    ({"electronegativity": [1.0, 2.0, 3.0]}, "electronegativity must be 2 finite numbers"),
    ({"electronegativity": [1.0, np.inf]}, "electronegativity must be 2 finite numbers"),
    ({"widths": [0.6]}, "widths must be 2 finite numbers"),
    ({"widths": [0.6, 0.0]}, "widths of Gaussian charges are above 0"),
    ({"positions": [[0, 0, 0], [np.nan, 0, 0]]}, "positions"),
    ({"positions": [[0, 0, 0], [5.0, 0, 0]]}, "coincide"),
    ({"cell": np.ones((3, 3))}, "linearly dependent"),
    ({"total_charge": np.nan}, "total_charge must be a finite number"),
    ({"total_charge": None}, "total_charge must be a finite number"),
    ({"electrostatics": "p3m"}, "electrostatics is one of ewald, pme, direct; got 'p3m'"),
    ({"electrostatics": "direct"}, "plain sum over all images has no limit"),
    ({"accuracy": 0.0}, "accuracy"),
    ({"hardness": [2.0, 2.0], "widths": [0.1, 0.1]}, "no least energy.*every hardness must be above"),
])
def test_bad_input_is_refused(named, message):
    with pytest.raises(ValueError, match=message):
        es.equilibrate(**{**TWO, **named})


@pytest.mark.parametrize("dcharges", [1.0, [1.0], [1.0, 2.0, 3.0], [1.0, np.nan]])
def test_cotangents_of_another_length_are_refused(dcharges):
    with pytest.raises(ValueError, match="dcharges must be 2 finite numbers"):
        es.equilibrate(**TWO).pull(dcharges)


# --- on a device ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", ["direct", "ewald", "pme"])
@pytest.mark.parametrize("step", [0.0, 1e-30j])
def test_charges_settle_on_a_device(method, step, monkeypatch):
    """With the plan made on the host; the same operations on the same numbers: 1000 eps, for the steps."""
    for module in ("cupyx", "cupyx.scipy"):
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace())
    device_erfc = types.SimpleNamespace(erfc=lambda x: DeviceArray(special.erfc(x.get())))
    monkeypatch.setitem(sys.modules, "cupyx.scipy.special", device_erfc)
    positions, _, cell = ions(20, 6.5, 0.4)
    chi, J, widths = np.sin(np.arange(20.0)) + 0 * step, np.full(20, 20.0), np.full(20, 0.6)
    arguments = positions + step * positions[::-1], None if method == "direct" else cell, widths
    there = [None if x is None else DeviceArray(x) for x in arguments]
    q, _, _, pull = equilibration.equilibrated(interaction(method, *arguments, 1e-5), chi, J, 0.5)
    q_there, _, _, pull_there = equilibration.equilibrated(
        interaction(method, *there, 1e-5), DeviceArray(chi), DeviceArray(J), 0.5)
    d, d_there = pull(np.ones(20), chi), pull_there(DeviceArray(np.ones(20)), DeviceArray(chi))
    for one, other in ((q, q_there), *((d[name], d_there[name]) for name in d)):
        assert isinstance(other, DeviceArray)
        for part in (np.real, np.imag):
            assert np.abs(part(one) - part(other.get())).max() <= 1000 * EPS * (1e-40 + np.abs(part(one)).max())
