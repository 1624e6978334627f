"""Particle-mesh Ewald: the answers of Ewald's sum within its promise, exact derivatives, splines and their aliases."""

import sys
import types
from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from se3ref import electrostatics as es
from se3ref.electrostatics import ewald, mesh_errors, pairs, pme, splines
from se3ref.systems.neighbors import neighbor_list
from tests.electrostatics.test_ewald import distance, ions
from tests.standin import DeviceArray

H = 1e-30


# --- splines --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("order", pme.ORDERS)
def test_splines_by_divided_differences(order):
    """M_p(u) = 1/(p-1)! sum_k (-1)^k binom(p,k) (u-k)_+^(p-1): Essmann, eq. (3.7).  A sum of alternating terms of size
    p^(p-1), which rounds by so many eps."""
    t = np.linspace(0, 1, 11)[:-1]
    weights, slopes = splines.weights(t, order)
    for touched in range(order):                               # the point order-1-touched steps below
        u = t + order - 1 - touched
        terms = [(-1.0) ** k * _binomial(order, k) * np.where(u > k, (u - k) ** (order - 1), 0) for k in range(order)]
        direct = np.sum(terms, axis=0) / np.prod(np.arange(1.0, order))
        assert np.abs(weights[touched] - direct).max() <= 1e-16 * order**order
    moved, _ = splines.weights(t + 1j * H, order)
    assert np.abs(moved.imag / H - slopes).max() <= 1e-15
    assert np.abs(weights.sum(0) - 1).max() <= 1e-15 and np.abs(slopes.sum(0)).max() <= 1e-15


def _binomial(n, k):
    return np.prod(np.arange(n - k + 1, n + 1)) / np.prod(np.arange(1, k + 1))


@pytest.mark.parametrize("order", pme.ORDERS)
def test_waves_are_what_their_aliases_say(order):
    """b(n) sum_l M_p(u - l) exp(2 pi i n l/K) = sum_s a_s exp(2 pi i (n + sK) u/K), for many s, at any u."""
    K, u, n = 15, np.array([0.3, 4.8, 9.01]), np.array([0.0, 1.0, 5.0])
    w, _ = splines.weights(u - np.floor(u), order)
    points = np.floor(u)[:, None] - order + 1 + np.arange(order)
    a, waves = splines.aliases(n, K, order, most=200)
    for j in range(3):
        mesh = (w.T * np.exp(2j * np.pi * n[j] * points / K)).sum(1)
        exact = (a[j] * np.exp(2j * np.pi * waves[j] * u[:, None] / K)).sum(1)
        b = exact[0] / mesh[0]                                 # one number for all places, and of the size it says
        assert abs(b) ** 2 == pytest.approx(splines.damping(n[j:j + 1], K, order)[0], rel=1e-6)
        assert np.abs(mesh * b - exact).max() <= 1e-6          # 200 aliases on each side leave 200^(1-order)


# --- the sum --------------------------------------------------------------------------------------------------

SYSTEMS = [(12, 6.0, 0.0, False), (30, 7.0, 0.6, True), (120, 11.0, 0.3, False)]


def error(found, exact):
    return np.sqrt(((found.forces - exact.forces) ** 2).mean() / (exact.forces**2).mean())


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("accuracy", [1e-3, 1e-5, 1e-8])
def test_promises_are_kept_and_not_by_waste(system, accuracy):
    """Beside Ewald's sum: the error of the forces is at most the promise, and no less than a twentieth of it."""
    positions, charges, cell = ions(*system)
    exact = es.ewald_sum(positions, charges, cell, accuracy=1e-12)
    found = es.pme_sum(positions, charges, cell, accuracy=accuracy)
    assert 0.05 <= error(found, exact) / accuracy <= 1
    assert found.energy == pytest.approx(exact.energy, rel=10 * accuracy)
    assert np.abs(found.stress - exact.stress).max() <= 10 * accuracy * np.abs(exact.stress).max()
    assert np.abs(found.potential - exact.potential).max() <= 10 * accuracy * np.abs(exact.potential).max()


@pytest.mark.parametrize("order", pme.ORDERS)
def test_every_order_serves(order):
    positions, charges, cell = ions(30, 7.0, 0.3, True)
    exact = es.ewald_sum(positions, charges, cell, accuracy=1e-10)
    assert error(es.pme_sum(positions, charges, cell, accuracy=1e-5, order=order), exact) <= 1e-5


@pytest.mark.parametrize("order", pme.ORDERS)
@pytest.mark.parametrize("h", [0.5, 0.9])
def test_errors_are_known_before(order, h):
    """The estimate beside the measured error of the mesh alone, for charges at places that are random, as it assumes.
    Four systems of 600 components give .94 to 1.01 of it over orders and meshes; ions that keep a distance .88 to .98.
    """
    alpha, cell = 0.7, ions(2, 13.0, 0.3)[2]
    mesh = pme._mesh(cell, h, order)
    waves = ewald.Plan(alpha, 1.0, 13 * alpha, None, ewald._indices(cell, 13 * alpha))         # to exp(-42)
    ratios = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        positions, charges = rng.random((200, 3)) @ cell, rng.uniform(0.5, 1.5, 200) * (-1.0) ** np.arange(200)
        plan = pme.MeshPlan(alpha, 1.0, None, order, mesh, np.eye(3, dtype=int))
        off = (pme.mesh_waves(plan, positions, charges, cell)[1]
               - ewald.waves(waves, positions, charges, cell)[1])
        said = mesh_errors.mesh_error(cell, mesh, order, alpha, (charges**2).sum(), (charges**4).sum(), 200)
        ratios.append((off**2).sum() / 200 / said**2)
    assert np.sqrt(np.mean(ratios)) == pytest.approx(1, abs=0.1)


def test_a_charge_alone_feels_the_mesh_as_foreseen():
    """Forces on one charge by its own mesh, at 200 places: the second part of the estimate, to 5 % by chance."""
    cell, alpha = ions(2, 13.0, 0.6)[2], 0.7
    for order in pme.ORDERS:
        mesh = pme._mesh(cell, 0.7, order)
        plan = pme.MeshPlan(alpha, 1.0, None, order, mesh, np.eye(3, dtype=int))
        places = np.random.default_rng(0).random((200, 1, 3)) @ cell
        squares = [(pme.mesh_waves(plan, place, np.ones(1), cell)[1] ** 2).sum() for place in places]
        Y = mesh_errors.error_parts(cell, mesh, order, alpha)[1]
        assert np.sqrt(np.mean(squares) / Y) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("accuracy", [1e-3, 1e-5, 1e-8])
def test_a_strongly_skewed_basis_of_the_same_lattice(accuracy):
    """Angles down to 2 degrees: the mesh is laid along short lattice vectors, so that the answer is the same but for
    rounding, where one along those given would lose long waves in silence."""
    r, q, cell = ions(50, 10.0)
    plain = es.pme_sum(r, q, cell, accuracy=accuracy)
    for U in ([[1, 0, 0], [20, 1, 0], [0, 0, 1]], [[1, 0, 0], [20, 1, 0], [-20, 13, 1]]):
        skewed = es.pme_sum(r, q, np.array(U) @ cell, accuracy=accuracy)
        assert distance(skewed, plain) <= 1e-11


def test_a_mesh_too_large_is_refused():
    r, q, cell = 40 * np.random.default_rng(0).random((2000, 3)), np.resize([1.0, -1.0], 2000), 40 * np.eye(3)
    with pytest.raises(ValueError, match="mesh of .* with splines of order 4: ask for less"):
        pme.plan_for(r, q, cell, 1e-11, order=4)


def test_P45_forces_potential_and_stress_are_exact_derivatives():
    """At a fixed mesh, by the complex step, at 1e-12 of the sums' size; E = 1/2 sum q phi."""
    r, q, h = ions(12, 6.0, 0.4, True)
    plan = pme.plan_for(r, q, h, 1e-4)
    phi, dr, strain = pme.mesh_sum(plan, r, q, h)
    rng = np.random.default_rng(0)
    v, u, e = rng.standard_normal(r.shape), rng.standard_normal(q.shape), rng.standard_normal((3, 3))

    def slope(r, q, h):
        return (0.5 * (q @ pme.mesh_sum(plan, r, q, h)[0])).imag / H
    size = 1e-12 * (np.abs(phi).sum() + np.abs(dr).sum() + np.abs(strain).sum())
    assert abs(slope(r + 1j * H * v, q + 0j, h + 0j) - (dr * v).sum()) <= size
    assert abs(slope(r + 0j, q + 1j * H * u, h + 0j) - phi @ u) <= size
    assert abs(slope(r + 1j * H * r @ e.T, q + 0j, h + 1j * H * h @ e.T) - (strain * e).sum()) <= size


def test_P48_momentum_is_kept_to_the_error_only():
    """A mesh has an origin: the net force is no rounding, but of the size of the error, and falls with it."""
    positions, charges, cell = ions(60, 9.0, 0.0)
    net = [np.abs(es.pme_sum(positions, charges, cell, accuracy=a).forces.sum(0)).max() for a in (1e-3, 1e-6)]
    assert 1e-10 < net[1] < net[0] / 100


def test_where_the_cell_is_cut_does_not_matter_beyond_the_error():
    positions, charges, cell = ions(20, 6.0, 0.5, True)
    here = es.pme_sum(positions, charges, cell, accuracy=1e-6)
    for moved in (positions + [0.3, -40.0, 7.0], positions + np.arange(60).reshape(20, 3) % 5 @ cell):
        assert error(es.pme_sum(moved, charges, cell, accuracy=1e-6), here) <= 2e-6


def test_a_hair_below_the_cell_is_in_the_cell():
    positions, charges = np.array([[-1e-17, 0, 0], [2.0, 0.3, 0]]), [1.0, -1.0]
    here, there = (es.pme_sum(positions + shift, charges, 6 * np.eye(3)).forces for shift in (0, 1e-17))
    assert np.abs(here - there).max() <= 1e-12 * np.abs(here).max()


# --- refusals -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("named, message", [
    ({"cell": None}, "a mesh needs a cell"), ({"accuracy": 1e-12}, "accuracy"), ({"order": 3}, "order 4 to 8"),
    ({"cell": np.zeros((3, 3))}, "cell"), ({"charges": [1.0]}, "charges must be 2"),
])
def test_bad_input_is_refused(named, message):
    arguments = {"positions": [[0, 0, 0], [2.0, 0, 0]], "charges": [1.0, -1.0], "cell": 5 * np.eye(3), **named}
    with pytest.raises(ValueError, match=message):
        es.pme_sum(**arguments)


def test_without_charges_there_is_nothing():
    found = es.pme_sum(np.eye(3), np.zeros(3), 5 * np.eye(3))
    assert found.energy == 0 and not found.forces.any()


# --- pairs, set-ups, devices ----------------------------------------------------------------------------------

@pytest.mark.parametrize("cutoff", [1.5, 4.0, 9.0])
@pytest.mark.parametrize("skew", [0.0, 0.8])
def test_every_pair_once(skew, cutoff):
    """Both ways round they are the neighbour list, an atom's own images and cells smaller than the cutoff included."""
    positions, _, cell = ions(12, 6.0, skew)
    positions = positions + np.arange(36).reshape(12, 3) % 5 @ cell            # far outside the cell, too
    first, second, atom, shift = pairs.pairs_within(positions, cell, cutoff)
    i, j, d = atom[first], atom[second], shift[second] - shift[first]
    both = np.concatenate([np.column_stack([i, j, d]), np.column_stack([j, i, -d])])
    i, j, d = neighbor_list(positions, cell, np.ones(3, bool), cutoff)
    assert np.array_equal(both[np.lexsort(both.T[::-1])], np.column_stack([i, j, d]))


def test_what_is_kept_for_a_cell_is_for_that_cell_alone():
    """The second call finds the set-up of the first; a cell that differs in its last digit does not."""
    positions, charges, cell = ions(30, 7.0, 0.3, True)
    pme._kept_weights.cache_clear()
    first = es.pme_sum(positions, charges, cell)
    made = pme._kept_weights.cache_info().misses
    again = es.pme_sum(positions, charges, cell)
    assert pme._kept_weights.cache_info().misses == made and np.array_equal(first.forces, again.forces)
    plan = pme.plan_for(positions, charges, cell, 1e-5)
    kept = [pme._mesh_weights(plan.mesh, plan.order, plan.alpha, c)[0] for c in (cell, cell * (1 + 1e-15))]
    assert not np.array_equal(*kept)


@pytest.mark.parametrize("step", [0, 1j * H])
def test_the_same_on_a_device(step, monkeypatch):
    """With a plan made on the host, all arrays of the sum stay on the device."""
    for module in ("cupyx", "cupyx.scipy"):
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace())
    device_erfc = types.SimpleNamespace(erfc=lambda x: DeviceArray(special.erfc(x.get())))
    monkeypatch.setitem(sys.modules, "cupyx.scipy.special", device_erfc)
    positions, charges, cell = ions(30, 7.0, 0.4, True)
    plan = pme.plan_for(positions, charges, cell, 1e-4)
    there = replace(plan, edges=tuple(map(DeviceArray, plan.edges)))
    arguments = positions + step * positions[::-1], charges + step, cell + step * cell.T
    here, there = pme.mesh_sum(plan, *arguments), pme.mesh_sum(there, *map(DeviceArray, arguments))
    for one, other in zip(here, there, strict=True):
        assert isinstance(other, DeviceArray) and other.dtype == one.dtype
        for part in (np.real, np.imag):                        # eps by the number of terms: a thousand pairs each
            assert np.abs(part(one) - part(other.get())).max() <= 1e-13 * np.abs(part(one)).max()


def test_single_precision_stays_single():
    """Its rounding, 6e-8, by the thousand terms of a force; the float64 sum is the same as with rounded arguments."""
    arguments = [x.astype(np.float32) for x in ions(30, 7.0, 0.4, True)]
    double = [x.astype(float) for x in arguments]
    plan = pme.plan_for(*double, 1e-4)
    for one, other in zip(pme.mesh_sum(plan, *arguments), pme.mesh_sum(plan, *double), strict=True):
        assert one.dtype == np.float32 and np.abs(one - other).max() <= 1e-5 * np.abs(other).max()
