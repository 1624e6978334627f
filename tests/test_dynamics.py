"""Velocity Verlet keeps what mechanics keeps, its error falls as dt^2; the diagnostics see a field without energy."""

import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from se3ref import dynamics, models
from se3ref.systems import Structure

EPS = np.finfo(float).eps
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.55
CARBON = Structure([6] * 4, TETRAHEDRON)
WATER = Structure([8, 1, 1], [[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]])
IN_A_CELL = Structure([6, 1, 8], [[0.1, 0.2, 0.3], [1.3, 0.9, 0.2], [0.8, 2.0, 1.7]],
                      [[2.7, 0.2, 0.0], [0.5, 3.1, 0.1], [-0.4, 0.3, 2.9]], True)


def springs(r):
    """E = sum over pairs (r_ij^2 - 2)^2 / 4: a bound cluster, with forces by hand."""
    d = r[:, None] - r
    stretch = (d * d).sum(-1) - 2 * (1 - np.eye(len(r)))
    return float((stretch * stretch).sum() / 8), -(stretch[:, :, None] * d).sum(1)


def whirl(r):
    """F = (-y, x, 0): not the gradient of anything."""
    return 0.0, r @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 0.0]])


def steps(forces, r, v, m, dt, count):
    """Positions, velocities and energy after so many steps."""
    run = dynamics.verlet(forces, r, v, m, dt)
    for _ in range(count):
        next(run)
    return next(run)


@pytest.fixture(scope="module")
def nequip():
    model = models.NequIP(species=[1, 6, 8], cutoff=3.0, lmax=1, channels=4, layers=2, basis=4, hidden=(8,),
                          heads=("energy", "direct_forces"))
    return model, model.init(np.random.default_rng(0))


# --- units ----------------------------------------------------------------------------------------------------

def test_masses_are_the_standard_weights():
    """Beside ASE's table of 2016: five digits each, so half a unit of the fifth, and small revisions since."""
    data = pytest.importorskip("ase.data")
    known = [data.atomic_numbers[symbol] for symbol in dynamics.WEIGHTS]
    assert len(known) == 84                                    # 92 less Tc, Pm, and the six from Po to Ac
    np.testing.assert_allclose(dynamics.masses(known), data.atomic_masses_iupac2016[known], rtol=1e-4)
    with pytest.raises(ValueError, match="'Tc'.*no standard atomic weight"):
        dynamics.masses([6, 43])


def test_units_are_those_of_ase():
    units = pytest.importorskip("ase.units")
    assert dynamics.BOLTZMANN == pytest.approx(units.kB, rel=1e-6)
    assert dynamics.ACCELERATION == pytest.approx(units.fs**2, rel=1e-6)       # of ASE's time A sqrt(amu/eV)


# --- the integrator -------------------------------------------------------------------------------------------

def test_harmonic_oscillator_has_the_shifted_frequency():
    """From rest x_k = x_0 cos(k w' dt), cos(w' dt) = 1 - (w dt)^2/2, exactly: rounding grows with k."""
    m, k, dt = np.array([12.011]), 3.0, 4.0
    wdt = math.sqrt(k * dynamics.ACCELERATION / m[0]) * dt
    run = dynamics.verlet(lambda r: (0.0, -k * r), [[0.3, 0, 0]], [[0.0, 0, 0]], m, dt)
    x = np.array([next(run)[0][0, 0] for _ in range(200)])
    exact = 0.3 * np.cos(np.arange(200) * math.acos(1 - wdt**2 / 2))
    np.testing.assert_allclose(x, exact, atol=0.3 * 200 * 10 * EPS)
    assert np.abs(x - 0.3 * np.cos(np.arange(200) * wdt)).max() > 0.01         # the true one is elsewhere


def test_time_reversal():
    """Back with -dt, or with -v.  Rounding errors grow along the trajectory: 1e-12 after 400 steps."""
    v = dynamics.thermal_velocities(CARBON, 300, np.random.default_rng(0))
    m = dynamics.masses(CARBON.numbers)
    r1, v1, _ = steps(springs, TETRAHEDRON, v, m, 1.0, 400)
    assert np.abs(r1 - TETRAHEDRON).max() > 0.05
    for back in (steps(springs, r1, v1, m, -1.0, 400), steps(springs, r1, -v1, m, 1.0, 400)):
        np.testing.assert_allclose(back[0], TETRAHEDRON, atol=1e-12)
        np.testing.assert_allclose(np.abs(back[1]), np.abs(v), atol=1e-12)


def test_a_step_is_symplectic():
    """M^T J M = J for M the derivative of a step in (r, p), by central differences: (1e-5)^2, times the curvature."""
    m, rng, h = dynamics.masses([6, 6, 1, 8]), np.random.default_rng(0), 1e-5
    r, p = TETRAHEDRON + 0.1 * rng.standard_normal((4, 3)), rng.standard_normal((4, 3))

    def step(z):
        r, v, _ = steps(springs, z[:12].reshape(4, 3), z[12:].reshape(4, 3) / m[:, None], m, 5.0, 1)
        return np.concatenate([r.ravel(), (m[:, None] * v).ravel()])
    z = np.concatenate([r.ravel(), p.ravel()])
    M = np.array([(step(z + h * e) - step(z - h * e)) / (2 * h) for e in np.eye(24)]).T
    J = np.kron([[0, 1], [-1, 0]], np.eye(12))
    assert np.abs(M - np.eye(24)).max() > 0.1
    np.testing.assert_allclose(M.T @ J @ M, J, atol=1e-8)


def energy_error(forces, structure, velocities, dt, time=60.0):
    run = dynamics.simulate(forces, structure, velocities, dt, round(time / dt))
    return np.sqrt(np.mean((run.total - run.total[0]) ** 2))


def slope(errors):
    return np.polyfit(np.log(list(errors)), np.log(list(errors.values())), 1)[0]


def test_P50_energy_error_falls_as_dt_squared(nequip):
    for forces, structure in ((springs, CARBON), (dynamics.force_field(*nequip, IN_A_CELL), IN_A_CELL)):
        v = dynamics.thermal_velocities(structure, 500, np.random.default_rng(1))
        assert abs(slope({dt: energy_error(forces, structure, v, dt) for dt in (1.0, 0.5, 0.25)}) - 2) < 0.1


def test_P50_sees_a_first_order_scheme(monkeypatch):
    """Euler's scheme with the old forces in the drift and the kick: slope 1."""
    def euler(forces, r, v, m, dt):
        while True:
            E, F = forces(r)
            yield r, v, E
            r, v = r + dt * v, v + dt * dynamics.ACCELERATION * F / m[:, None]
    monkeypatch.setattr(dynamics, "verlet", euler)
    v = dynamics.thermal_velocities(CARBON, 500, np.random.default_rng(1))
    assert abs(slope({dt: energy_error(springs, CARBON, v, dt) for dt in (0.1, 0.05, 0.025)}) - 1) < 0.2


def test_momentum_and_angular_momentum_stay(nequip):
    """Both are kept step by step, to the rounding of 100 steps."""
    v = dynamics.thermal_velocities(WATER, 300, np.random.default_rng(0)) + [0.01, 0.02, -0.01]
    run = dynamics.simulate(dynamics.force_field(*nequip, WATER), WATER, v, 0.5, 100)
    p = dynamics.masses(WATER.numbers)[:, None] * run.velocities
    assert np.abs(p - p[0]).max() > 1e-3
    np.testing.assert_allclose(p.sum(1), np.broadcast_to(p[0].sum(0), (101, 3)), atol=100 * EPS)
    L = np.cross(run.positions, p).sum(1)
    np.testing.assert_allclose(L, np.broadcast_to(L[0], L.shape), atol=100 * EPS * 4)


# --- velocities -----------------------------------------------------------------------------------------------

LINEAR = Structure([8, 6, 8], np.outer([-1.16, 0, 1.16], [0.6, 0, 0.8]))


@pytest.mark.parametrize("structure, f", [(CARBON, 6), (WATER, 3), (LINEAR, 4), (IN_A_CELL, 6)],
                         ids=["cluster", "water", "linear", "cell"])
def test_thermal_velocities(structure, f):
    """No momentum, no rotation of a molecule, and f kT/2 of kinetic energy within 5 of its standard errors."""
    rng, m = np.random.default_rng(3), dynamics.masses(structure.numbers)
    assert dynamics.degrees_of_freedom(structure) == f
    kinetic = []
    for _ in range(800):
        v = dynamics.thermal_velocities(structure, 300, rng)
        p = m[:, None] * v
        assert np.abs(p.sum(0)).max() < 50 * EPS
        if not structure.pbc.any():
            assert np.abs(np.cross(structure.positions, p).sum(0)).max() < 100 * EPS
        kinetic.append(dynamics.kinetic_energy(m, v))
    kT = dynamics.BOLTZMANN * 300
    assert abs(np.mean(kinetic) / (f * kT / 2) - 1) < 5 * math.sqrt(2 / f / 800)


# --- runs -----------------------------------------------------------------------------------------------------

def test_a_trajectory_of_a_model(nequip):
    model, params = nequip
    v = dynamics.thermal_velocities(IN_A_CELL, 300, np.random.default_rng(0))
    run = dynamics.simulate(dynamics.force_field(model, params, IN_A_CELL), IN_A_CELL, v, 0.5, 20, every=5)
    assert len(run) == 5 and run.stopped is None
    np.testing.assert_array_equal(run.times, [0, 2.5, 5, 7.5, 10])
    np.testing.assert_array_equal(run.positions[0], IN_A_CELL.positions)
    last = models.evaluate(model, params, replace(IN_A_CELL, positions=run.positions[-1]))
    assert run.potential[-1] == last.energy
    np.testing.assert_allclose(run.temperature * 6 * dynamics.BOLTZMANN / 2, run.kinetic, rtol=1e-14)


def test_neighbours_follow_the_atoms(nequip):
    """An atom that flies away leaves the cutoff: with the edges of the start its force would not vanish."""
    model, params = nequip
    pair = Structure([1, 8], [[0.0, 0, 0], [2.9, 0, 0]])
    forces = dynamics.force_field(model, params, pair)
    assert np.abs(forces(pair.positions)[1]).max() > 0
    assert not forces(pair.positions * 1.05)[1].any()


def interrupt_after(count, error):
    def forces(r):
        forces.calls += 1
        if forces.calls > count:
            raise error
        return springs(r)
    forces.calls = 0
    return forces


def test_an_interrupt_loses_nothing():
    rest = np.zeros((4, 3))
    whole = dynamics.simulate(springs, CARBON, rest, 1.0, 40, every=2)
    part = dynamics.simulate(interrupt_after(14, KeyboardInterrupt()), CARBON, rest, 1.0, 40, every=2)
    assert part.stopped == "interrupted" and len(part) == 7
    np.testing.assert_array_equal(part.positions, whole.positions[:7])
    there = replace(CARBON, positions=part.positions[-1])
    on = dynamics.simulate(springs, there, part.velocities[-1], 1.0, 28, every=2)
    np.testing.assert_array_equal(on.positions, whole.positions[6:])


def test_a_force_field_that_gives_up():
    with pytest.warns(UserWarning, match="ended after 4 of 40 steps: atoms coincide"):
        run = dynamics.simulate(interrupt_after(5, ValueError("atoms coincide")), CARBON, np.zeros((4, 3)), 1.0, 40)
    assert len(run) == 5 and run.stopped == "atoms coincide"
    with pytest.warns(UserWarning, match="no longer finite"):
        dynamics.simulate(lambda r: (0.0, np.where(r > 0.6, np.nan, 1.0)), CARBON, np.zeros((4, 3)), 1.0, 40)
    with pytest.raises(ValueError, match="at the start"):
        dynamics.simulate(interrupt_after(0, ValueError("at the start")), CARBON, np.zeros((4, 3)), 1.0, 40)


@pytest.mark.parametrize("dt", [0, math.nan, math.inf])
def test_dt_is_a_time(dt):
    with pytest.raises(ValueError, match="dt is a finite time"):
        dynamics.simulate(springs, CARBON, np.zeros((4, 3)), dt, 10)


def test_progress_goes_to_stderr_only_when_asked(capsys):
    dynamics.simulate(springs, CARBON, np.zeros((4, 3)), 1.0, 3)
    assert capsys.readouterr().err == ""
    dynamics.simulate(springs, CARBON, np.zeros((4, 3)), 1.0, 3, progress=True)
    assert "3/3" in capsys.readouterr().err and "tqdm" in sys.modules


# --- diagnostics ----------------------------------------------------------------------------------------------

def test_drift_is_a_slope():
    """A line with a slope of 7 meV/ps and a wave of amplitude 2 meV, whole periods of it."""
    t = np.arange(1000.0)
    energy = 1.0 + 7e-6 * t + 2e-3 * np.cos(2 * math.pi * t / 50)
    run = dynamics.Trajectory(CARBON, t, np.zeros((1000, 4, 3)), np.zeros((1000, 4, 3)), energy)
    drift, rms = dynamics.energy_drift(run)
    assert drift == pytest.approx(7, abs=0.02) and rms == pytest.approx(math.sqrt(2), rel=1e-3)


def test_a_gradient_does_not_drift_and_a_whirl_does():
    v = dynamics.thermal_velocities(CARBON, 300, np.random.default_rng(0))
    kept, _ = dynamics.energy_drift(dynamics.simulate(springs, CARBON, v, 0.5, 2000))

    def driven(r):
        E, F = springs(r)
        return E, F + 0.05 * whirl(r)[1]
    lost, _ = dynamics.energy_drift(dynamics.simulate(driven, CARBON, v, 0.5, 2000))
    assert abs(kept) < 0.1 and abs(lost) > 100


def test_P47_closed_loops(nequip):
    """A gradient does no work round a loop: 1e-10 of what it does on the way.  Rotating fields do: 2 x area."""
    model, params = nequip
    rng = np.random.default_rng(5)
    a, b = 0.03 * rng.standard_normal((2, 3, 3))               # across the cutoff, where F'' jumps, 1e-13 stays
    area = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() * math.pi
    assert dynamics.loop_work(whirl, WATER.positions, a, b) == pytest.approx(2 * area, rel=1e-12)
    for structure in (WATER, IN_A_CELL):
        gradient, direct = (dynamics.force_field(model, params, structure, direct=way) for way in (False, True))
        size = np.abs(gradient(structure.positions)[1]).max()
        assert size > 1e-3
        assert abs(dynamics.loop_work(gradient, structure.positions, a, b)) < 1e-10 * size
        assert abs(dynamics.loop_work(direct, structure.positions, a, b)) > 1e-4 * size


def test_direct_forces_need_their_head(nequip):
    model = replace(nequip[0], heads=("energy",))
    with pytest.raises(ValueError, match="direct=True takes a model with the head"):
        dynamics.force_field(model, nequip[1], WATER, direct=True)
    model = replace(nequip[0], heads=("direct_forces",))
    assert math.isnan(dynamics.force_field(model, model.init(np.random.default_rng(0)), WATER, direct=True)
                      (WATER.positions)[0])


# --- second derivatives ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("structure", [WATER, IN_A_CELL], ids=["molecule", "cell"])
def test_hessian_vector(nequip, structure):
    """Against the derivative of the force field by central differences of 1e-4: their error is its square."""
    model, params = nequip
    v = np.random.default_rng(0).standard_normal((3, 3))
    Hv, h = dynamics.hessian_vector(model, params, structure, v), 1e-4
    F = [models.evaluate(model, params, replace(structure, positions=structure.positions + s * h * v)).forces
         for s in (1, -1)]
    np.testing.assert_allclose(Hv, -(F[0] - F[1]) / (2 * h), atol=1e-6 * np.abs(Hv).max())


@pytest.mark.parametrize("structure", [WATER, IN_A_CELL], ids=["molecule", "cell"])
def test_P46_the_hessian_is_symmetric(nequip, structure):
    """Forces have no curl, to rounding; and no energy goes with a translation."""
    H = dynamics.hessian_vector(*nequip, structure, np.eye(9).reshape(9, 3, 3)).reshape(9, 9)
    assert np.abs(H).max() > 1e-3
    np.testing.assert_allclose(H, H.T, atol=1e-13 * np.abs(H).max())
    np.testing.assert_allclose(H.reshape(9, 3, 3).sum(1), 0, atol=1e-13 * np.abs(H).max())


def test_normal_modes_solve_the_equation_of_motion(nequip):
    """H x = m w^2 x, x = mode / sqrt(m), with hbar w by ASE's constants (to their digits); translations are free."""
    units = pytest.importorskip("ase.units")
    m = dynamics.masses(WATER.numbers)[:, None]
    nu, modes = dynamics.normal_modes(*nequip, WATER)
    np.testing.assert_allclose(modes.reshape(9, 9) @ modes.reshape(9, 9).T, np.eye(9), atol=100 * EPS)
    w = nu * units.invcm / (units._hbar * 1e10 / math.sqrt(units._e * units._amu))     # sqrt(eV/amu) / angstrom
    for k in range(9):
        x = modes[k] / np.sqrt(m)
        Hx = dynamics.hessian_vector(*nequip, WATER, x)
        np.testing.assert_allclose(Hx, np.sign(w[k]) * w[k] ** 2 * m * x, atol=1e-6 * np.abs(Hx).max() + 1e-12)
    assert (np.abs(nu) < 1e-6 * np.abs(nu).max()).sum() >= 3   # roots of rounding errors
