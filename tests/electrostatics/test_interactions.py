"""What charges at fixed places feel: a symmetric matrix, its derivatives with two sets of charges, kept plans."""

from dataclasses import replace

import numpy as np
import pytest

from se3ref import electrostatics as es
from se3ref.electrostatics import interactions
from se3ref.verify.gradients import complex_step, pullback_violation
from tests.electrostatics.test_ewald import ions

CASES = [("direct", False), ("direct", True), ("ewald", False), ("ewald", True), ("pme", False), ("pme", True)]
every_case = pytest.mark.parametrize("method, gaussian", CASES)


def places(method, gaussian, n=10, seed=0):
    """positions, cell (triclinic, or None for the plain sum), widths or None."""
    positions, _, cell = ions(n, 5.0, 0.4, seed=seed)
    return positions, None if method == "direct" else cell, np.linspace(0.3, 0.6, n) if gaussian else None


def strained(A, strain):
    stretch = np.eye(3) + strain
    return replace(A, positions=A.positions @ stretch.T, cell=None if A.cell is None else A.cell @ stretch.T)


def scale_of_forces(charges, cell):
    """What accuracy is relative to: coulomb <q^2>/(4 (V/N)^(2/3))."""
    n = len(charges)
    return es.COULOMB * (charges @ charges / n) / (4 * (abs(np.linalg.det(cell)) / n) ** (2 / 3))


# --- the matrix -----------------------------------------------------------------------------------------------

@every_case
def test_A_is_symmetric_and_linear(method, gaussian):
    """p.A q = q.A p, to rounding: on a mesh too, since it is spread and read by the same splines."""
    A, rng = es.interaction(method, *places(method, gaussian), 1e-6), np.random.default_rng(1)
    p, q = rng.standard_normal((2, 10))
    Ap, Aq = A(p)[0], A(q)[0]
    size = np.abs(p) @ np.abs(Aq) + np.abs(q) @ np.abs(Ap)
    assert abs(p @ Aq - q @ Ap) <= 1e-13 * size
    assert np.abs(A(p + 3 * q)[0] - Ap - 3 * Aq).max() <= 1e-13 * size


@every_case
def test_it_is_what_the_sums_say(method, gaussian):
    """Energies, forces, potentials and strain derivatives of `ewald_sum`, within the accuracy promised here (forces),
    times some angstrom for the others: ten times it covers all."""
    (positions, cell, widths), q = places(method, gaussian), np.random.default_rng(2).standard_normal(10)
    exact = es.ewald_sum(positions, q, cell, accuracy=1e-13, widths=widths)
    A = es.interaction(method, positions, cell, widths, 1e-7)
    phi, dr, strain = A(q)
    off = 1e-12 * np.abs(exact.forces).max() if cell is None else 1e-6 * scale_of_forces(q, cell)
    assert np.abs(dr + exact.forces).max() <= off and np.abs(phi - exact.potential).max() <= off
    assert abs(A.energies(q)[0].sum() - exact.energy) <= 10 * off
    if cell is not None:
        assert np.abs(strain - exact.stress * abs(np.linalg.det(cell))).max() <= 10 * off


def test_a_plain_sum_has_the_virial():
    """Every energy goes as 1/length where all lengths are stretched, and the charges are points: tr dE/dstrain = -E."""
    positions, q = places("direct", False)[0], np.random.default_rng(3).standard_normal(10)
    A = es.interaction("direct", positions)
    assert np.trace(A(q)[2]) == pytest.approx(-A.energies(q)[0].sum(), rel=1e-12)


@pytest.mark.parametrize("n, edge, skew", [(10, 5.0, 0.5), (40, 8.0, 0.0), (150, 12.0, 0.3)])
@pytest.mark.parametrize("method, gaussian, accuracy", [
    ("ewald", False, 1e-3), ("ewald", False, 1e-6), ("ewald", True, 1e-6), ("ewald", False, 1e-10),
    ("pme", False, 1e-3), ("pme", False, 1e-5), ("pme", False, 1e-7), ("pme", True, 1e-5)])
def test_promises_are_kept_and_not_by_waste(n, edge, skew, method, gaussian, accuracy):
    """The root-mean-square error of forces is the promise within a factor 2, for charges the plan knew nothing of; and
    no less than a twentieth."""
    positions, signs, cell = ions(n, edge, skew, True)
    rng = np.random.default_rng(4)
    q, widths = signs * rng.uniform(0.1, 2, n), rng.uniform(0.3, 0.6, n) if gaussian else None
    exact = es.ewald_sum(positions, q, cell, accuracy=1e-14, widths=widths).forces
    dr = es.interaction(method, positions, cell, widths, accuracy)(q)[1]
    error = np.sqrt(((dr + exact) ** 2).sum(1).mean()) / scale_of_forces(q, cell)
    assert 0.05 * accuracy <= error <= 2 * accuracy


# --- derivatives ----------------------------------------------------------------------------------------------

@every_case
def test_P45_derivatives_with_two_sets_of_charges(method, gaussian):
    """`between`, against the complex step of p.A q, at a fixed plan; 1e-12 of sums that cancel."""
    A, rng = es.interaction(method, *places(method, gaussian), 1e-5), np.random.default_rng(5)
    p, q = rng.standard_normal((2, 10))
    v, e = rng.standard_normal((10, 3)), rng.standard_normal((3, 3))
    dr, dstrain = A.between(p, q)
    along = complex_step(lambda r: p @ replace(A, positions=r)(q)[0], [A.positions], [v])
    assert abs(along - (dr * v).sum()) <= 1e-12 * np.abs(dr).sum()
    along = complex_step(lambda e: p @ strained(A, e)(q)[0], [np.zeros((3, 3))], [e])
    assert abs(along - (dstrain * e).sum()) <= 1e-12 * (np.abs(dstrain).sum() + np.abs(dr).sum())


@every_case
@pytest.mark.parametrize("same", [True, False], ids=["the whole energy", "weighted atoms"])
def test_P41_pullback_of_the_atoms_energies(method, gaussian, same):
    """To 1e-12 for random weights of the atoms, and for the same weight of all, which takes another way."""
    A = es.interaction(method, *places(method, gaussian), 1e-5)
    q, rng = np.random.default_rng(6).standard_normal(10), np.random.default_rng(7)

    def layer(q, r, strain):
        e, pull = strained(replace(A, positions=r), strain).energies(q)

        def back(de):
            d = pull(np.full(10, de[0]) if same else de)
            return d["charges"], d["positions"], d["strain"]
        return np.array([e.sum()]) if same else e, back
    assert pullback_violation(layer, [q, A.positions, np.zeros((3, 3))], rng) <= 1e-12


# --- plans that are kept --------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", ["ewald", "pme"])
def test_a_plan_is_kept_for_the_same_places_and_no_others(method):
    """Another position, cell, width or accuracy makes another plan: with the old one an ion that has come within the
    cutoff of another would not be seen."""
    positions, cell, widths = places(method, True)
    A = es.interaction(method, positions, cell, widths, 1e-4)
    assert es.interaction(method, positions.copy(), cell.copy(), widths.copy(), 1e-4).plan.edges[0] is A.plan.edges[0]
    assert es.interaction(method, positions + 1j, cell + 1j, widths, 1e-4).plan.edges[0] is A.plan.edges[0]
    moved, q = positions.copy(), np.resize([1.0, -1.0], 10)
    moved[0] += [2.4, -2.1, 2.6]                               # half a cell
    for new in ((moved, cell, widths, 1e-4), (positions, 1.3 * cell, widths, 1e-4), (positions, cell, 2 * widths, 1e-4),
                (positions, cell, widths, 1e-3)):
        B = es.interaction(method, *new)
        exact = es.ewald_sum(new[0], q, new[1], accuracy=1e-12, widths=new[2]).forces
        assert B.plan.edges[0] is not A.plan.edges[0]
        assert np.sqrt(((B(q)[1] + exact) ** 2).sum(1).mean()) <= 2 * new[3] * scale_of_forces(q, new[1])
    stale, new = replace(A, positions=moved)(q)[1], es.interaction(method, moved, cell, widths, 1e-4)(q)[1]
    assert np.abs(stale - new).max() > 100 * 1e-4 * scale_of_forces(q, cell)


def test_kept_plans_do_not_fill_the_memory(monkeypatch):
    """Dynamics never comes back: the plans used longest ago go, and the pairs of all together stay below a bound."""
    monkeypatch.setattr(interactions, "_kept", {})
    monkeypatch.setattr(interactions, "PAIRS", 2000)
    positions, cell, _ = places("ewald", False, 20)
    plans = [es.interaction("ewald", positions + [0.01 * k, 0, 0], cell, accuracy=1e-6).plan for k in range(30)]
    assert 1 < len(interactions._kept) < 30
    assert sum(len(plan.edges[0]) for plan in interactions._kept.values()) <= 2000
    assert es.interaction("ewald", positions + [0.29, 0, 0], cell, accuracy=1e-6).plan.edges[0] is plans[-1].edges[0]
    assert es.interaction("ewald", positions, cell, accuracy=1e-6).plan.edges[0] is not plans[0].edges[0]


def test_integers_and_single_precision_are_places_too():
    """The plan is made of what the numbers say, not of how they are stored."""
    q = np.array([1.0, -1.0])
    exact = es.interaction("ewald", np.array([[0, 0, 0], [2.0, 0, 0]]), 5 * np.eye(3))(q)[0]
    for dtype in (np.int64, np.float32):
        r, cell = np.array([[0, 0, 0], [2, 0, 0]], dtype), np.array(5 * np.eye(3), dtype)
        assert np.abs(es.interaction("ewald", r, cell)(q)[0] - exact).max() <= 1e-5


@pytest.mark.parametrize("named, message", [
    ({"method": "p3m"}, "electrostatics is one of ewald, pme, direct"), ({"method": "direct"}, "has no limit"),
    ({"accuracy": 0.0}, "accuracy"), ({"method": "pme", "accuracy": 1e-12}, "accuracy"),
])
def test_bad_input_is_refused(named, message):
    arguments = dict(method="ewald", positions=np.array([[0, 0, 0], [2.0, 0, 0]]), cell=5 * np.eye(3))
    with pytest.raises(ValueError, match=message):
        es.interaction(**{**arguments, **named})
