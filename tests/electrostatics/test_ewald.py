"""Ewald's sum: the truth to 25 digits, Madelung constants, promises of accuracy, exact derivatives, lattice laws."""

from pathlib import Path

import numpy as np
import pytest

from se3ref import electrostatics as es
from se3ref.electrostatics import ewald, pairs
from se3ref.so3 import random_rotation
from se3ref.systems import Structure

EPS = np.finfo(float).eps
TRUTH = np.load(Path(__file__).parents[1] / "reference" / "lattice_sums.npz")
SYSTEMS = ["cubic", "triclinic", "charged", "gaussian"]
FIELDS = ["energy", "forces", "potential", "stress"]


def truth(name, *fields):
    """Entries of the frozen table; None for widths of point charges."""
    return [TRUTH[f"{name}_{field}"] if f"{name}_{field}" in TRUTH.files else None for field in fields]


def ions(n, edge, skew=0.0, charged=False, seed=0):
    """n ions of both signs at least 1 angstrom apart (images too): positions, charges, cell."""
    rng = np.random.default_rng(seed)
    cell = edge * (np.eye(3) + skew * np.tril(rng.uniform(-1, 1, (3, 3)), -1))
    images = np.array(list(np.ndindex(3, 3, 3))) @ cell - cell.sum(0)
    places = np.empty((0, 3))
    while len(places) < n:
        new = rng.random(3) @ cell
        if not len(places) or np.linalg.norm(places[:, None] + images - new, axis=2).min() > 1.0:
            places = np.vstack([places, new])
    charges = np.where(np.arange(n) % 2, 1.0, -1.0)
    return places, charges + charged * rng.uniform(0, 0.5, n), cell


def distance(found, expected):
    """The largest difference of all four results, each relative to its largest entry."""
    return max(np.abs(np.subtract(getattr(found, f), getattr(expected, f))).max()
               / np.abs(getattr(expected, f)).max() for f in FIELDS)


# --- truth ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", SYSTEMS)
def test_the_sum_is_the_truth(name):
    """To 1e-12 of the largest entry where 1e-13 is promised for forces; stress weighs the neglected waves more."""
    positions, charges, cell, widths, *expected = truth(name, "positions", "charges", "cell", "widths", *FIELDS)
    found = es.ewald_sum(positions, charges, cell, accuracy=1e-13, widths=widths, coulomb=1.0)
    for field, value in zip(FIELDS, expected, strict=True):
        assert np.abs(getattr(found, field) - value).max() <= 1e-12 * np.abs(value).max(), field


def test_gaussian_charges_need_no_ewald():
    """Their Fourier series converges by itself: E = sum_k 2 pi/(V k^2) |sum_j q_j exp(-k^2 s_j^2/2 + i k.r_j)|^2, less
    each cloud's own energy q^2/(2 sqrt(pi) s).  Waves to |k| s = 8 leave exp(-64); 1e-12: sums of 1e4 waves."""
    positions, charges, cell, widths = truth("gaussian", "positions", "charges", "cell", "widths")
    assert abs(charges.sum()) > 0.1
    n = np.array(list(np.ndindex(45, 45, 45))) - 22
    k = 2 * np.pi * n[n.any(1)] @ np.linalg.inv(cell).T
    k2 = (k * k).sum(1)
    S = np.exp(-0.5 * k2[:, None] * widths**2 + 1j * k @ positions.T) @ charges
    E = (2 * np.pi / np.linalg.det(cell) * np.abs(S) ** 2 / k2).sum()
    E -= (charges**2 / (2 * np.sqrt(np.pi) * widths)).sum()
    found = es.ewald_sum(positions, charges, cell, accuracy=1e-13, widths=widths, coulomb=1.0)
    assert found.energy == pytest.approx(E, rel=1e-12)


def rock_salt(edge=5.64):
    a = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return Structure([11] * 4 + [17] * 4, edge * np.vstack([a, a + [0.5, 0, 0]]), edge * np.eye(3), True)


CRYSTALS = {                                                   # and M of the literature: OEIS A085469, A181152, A182566
    "NaCl": (rock_salt(), [1.0] * 4 + [-1.0] * 4, 1.7475645946331821),
    "CsCl": (Structure([55, 17], [[0, 0, 0], [2, 2, 2]], 4 * np.eye(3), True), [1.0, -1.0], 1.7626747730709883),
    "ZnS": (Structure([30, 16], [[0, 0, 0], [1.35, 1.35, 1.35]], 2.7 * (1 - np.eye(3)), True), [2.0, -2.0],
            4 * 1.6380550533887894),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_madelung_constants(name):
    """To 13 digits; zinc blende is counted with charges 2, hence 4 times."""
    structure, charges, M = CRYSTALS[name]
    assert es.madelung(structure, charges) == pytest.approx(M, rel=1e-13)


def test_a_madelung_constant_needs_a_crystal_of_ions():
    molecule = Structure([11, 17], [[0, 0, 0], [2.4, 0, 0]])
    for structure, charges in ((molecule, [1, -1]), (rock_salt(), [1] * 8)):
        with pytest.raises(ValueError, match="crystal of ions"):
            es.madelung(structure, charges)


@pytest.mark.parametrize("skew, charged", [(0.0, False), (0.0, True), (0.5, False), (0.5, True)])
def test_the_result_does_not_depend_on_the_splitting(skew, charged):
    """P60: alpha from a half to twice the best, both sums carried to terms of exp(-6.2^2), as far as doubles go."""
    positions, charges, cell = ions(12, 7.0, skew, charged)
    best, found = ewald.plan_for(positions, charges, cell, 1e-8).alpha, []
    for alpha in (best, 0.6 * best, 1.7 * best):
        edges = pairs.pairs_within(positions, cell, 6.2 / alpha)
        plan = ewald.Plan(alpha, 6.2 / alpha, 12.4 * alpha, edges, ewald._indices(cell, 12.4 * alpha))
        found.append(ewald.lattice_sum(plan, positions, charges, cell))
    for one, *others in zip(*found, strict=True):
        assert all(np.abs(other - one).max() <= 1e-12 * np.abs(one).max() for other in others)


# --- promises -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("accuracy", [1e-3, 1e-5, 1e-8, 1e-11])
@pytest.mark.parametrize("n, edge, skew, charged", [(10, 5.0, 0.5, True), (40, 8.0, 0.0, False),
                                                    (150, 12.0, 0.3, True)])
def test_promises_are_kept_and_not_by_waste(accuracy, n, edge, skew, charged):
    """The measured error of the forces is at most the promise, and no less than a twentieth of it."""
    positions, charges, cell = ions(n, edge, skew, charged)
    exact = es.ewald_sum(positions, charges, cell, accuracy=1e-14).forces
    found = es.ewald_sum(positions, charges, cell, accuracy=accuracy).forces
    error = np.sqrt(((found - exact) ** 2).mean() / (exact**2).mean()) / accuracy
    assert 0.05 <= error <= 1


def test_in_a_perfect_crystal_the_floor_is_the_scale():
    """All forces vanish by symmetry; the promise is then of 1e-3 <q^2>/(V/N)^(2/3), and the sum comes to an end."""
    salt, charges, _ = CRYSTALS["NaCl"]
    found = es.ewald_sum(salt.positions, charges, salt.cell, accuracy=1e-6)
    floor = 1e-3 * es.COULOMB / (5.64**3 / 8) ** (2 / 3)
    assert np.abs(found.forces).max() <= 1e-6 * floor


def test_without_charges_there_is_nothing():
    found = es.ewald_sum(np.eye(3), np.zeros(3), 5 * np.eye(3))
    assert found.energy == 0 and not found.forces.any() and not found.potential.any() and not found.stress.any()


# --- derivatives: at a fixed plan the sums are analytic ---------------------------------------------------------

H = 1e-30
CASES = [("cubic", None), ("triclinic", None), ("charged", None), ("gaussian", None), ("triclinic", 2), ("charged", 0)]


def sums(name, slab):
    """E(positions, charges, cell), analytic, and its derivatives phi, dE/dr, dE/dstrain by hand; positions."""
    positions, charges, cell, widths = truth(name, "positions", "charges", "cell", "widths")
    plan = ewald.plan_for(positions, charges, cell, 1e-8, widths)

    def parts(r, q, h):
        found = ewald.lattice_sum(plan, r, q, h, widths)
        return found if slab is None else ewald.added(found, ewald.slab_term(r, q, h, slab))

    def energy(r, q, h):
        return 0.5 * (q @ parts(r, q, h)[0])
    return energy, parts(positions, charges, cell), (positions, charges, cell)


@pytest.mark.parametrize("name, slab", CASES)
def test_P45_forces_potential_and_stress_are_exact_derivatives(name, slab):
    """By the complex step along random directions, at 1e-12 of the sums' size."""
    energy, (phi, dr, strain), (r, q, h) = sums(name, slab)
    rng = np.random.default_rng(0)
    v, u, e = rng.standard_normal(r.shape), rng.standard_normal(q.shape), rng.standard_normal((3, 3))
    pairs_ = [(energy(r + 1j * H * v, q + 0j, h + 0j), (dr * v).sum()),
              (energy(r + 0j, q + 1j * H * u, h + 0j), phi @ u),
              (energy(r + 1j * H * r @ e.T, q + 0j, h + 1j * H * h @ e.T), (strain * e).sum())]
    for moved, by_hand in pairs_:
        assert abs(moved.imag / H - by_hand) <= 1e-12 * (np.abs(phi).sum() + np.abs(dr).sum() + np.abs(strain).sum())


def test_stress_against_finite_strains_of_shear():
    """A second look that shares nothing with the complex step, with a plan made anew each time."""
    positions, charges, cell = truth("charged", "positions", "charges", "cell")
    stress, h = es.ewald_sum(positions, charges, cell, accuracy=1e-12).stress, 1e-4
    for strain in (np.eye(3)[[1, 0, 2]] - np.diag([0, 0, 1.0]), np.diag([1.0, -0.5, 0.2])):
        E = [es.ewald_sum(positions @ (np.eye(3) + t * strain), charges, cell @ (np.eye(3) + t * strain),
                          accuracy=1e-12).energy for t in (h, -h)]
        slope = (E[0] - E[1]) / (2 * h) / abs(np.linalg.det(cell))
        assert slope == pytest.approx((stress * strain).sum(), rel=1e-6)


# --- laws -----------------------------------------------------------------------------------------------------

def test_laws_of_a_lattice():
    """Translations, wrapping, permutations, turns and other cells of the same lattice, at 1e-11 with 1e-13 promised."""
    positions, charges, cell = ions(10, 6.0, 0.5, True)
    rng = np.random.default_rng(1)
    here = es.ewald_sum(positions, charges, cell, accuracy=1e-13)
    R, order = -random_rotation(rng), rng.permutation(10)
    change = np.array([[1, 2, 0], [0, 1, -1], [1, 2, 1]])
    shifts = rng.integers(-3, 4, (10, 3)) @ cell
    for moved in (es.ewald_sum(positions + [100.0, -7, 3], charges, cell, accuracy=1e-13),
                  es.ewald_sum(positions + shifts, charges, cell, accuracy=1e-13),
                  es.ewald_sum(positions, charges, change @ cell, accuracy=1e-13)):
        assert distance(moved, here) <= 1e-11
    turned = es.ewald_sum(positions @ R.T, charges, cell @ R.T, accuracy=1e-13)
    back = es.Electrostatics(turned.energy, turned.forces @ R, turned.potential, R.T @ turned.stress @ R)
    assert distance(back, here) <= 1e-11
    mixed = es.ewald_sum(positions[order], charges[order], cell, accuracy=1e-13)
    assert np.abs(mixed.forces - here.forces[order]).max() <= 1e-11 * np.abs(here.forces).max()
    assert np.abs(here.forces.sum(0)).max() <= 1e-11 * np.abs(here.forces).sum()


def test_P54_supercells():
    positions, charges, cell = ions(6, 5.0, 0.4)
    one = es.ewald_sum(positions, charges, cell, accuracy=1e-13)
    images = np.array(list(np.ndindex(2, 1, 2))) @ cell
    many = es.ewald_sum((images[:, None] + positions).reshape(-1, 3), np.tile(charges, 4),
                        np.array([2, 1, 2])[:, None] * cell, accuracy=1e-13)
    assert many.energy == pytest.approx(4 * one.energy, rel=1e-12)
    assert np.abs(many.forces - np.tile(one.forces, (4, 1))).max() <= 1e-11 * np.abs(one.forces).max()
    assert np.abs(many.stress - one.stress).max() <= 1e-11 * np.abs(one.stress).max()


# --- isolated systems and slabs ---------------------------------------------------------------------------------

def test_the_plain_sum_is_coulombs_law():
    found = es.ewald_sum([[0, 0, 0], [3.0, 0, 4.0]], [1.0, -2.0])
    assert found.energy == pytest.approx(-2 * es.COULOMB / 5, rel=1e-15) and found.stress is None
    assert found.forces[0] == pytest.approx(2 * es.COULOMB / 25 * np.array([0.6, 0, 0.8]), rel=1e-14)
    assert found.potential == pytest.approx([-2 * es.COULOMB / 5, es.COULOMB / 5], rel=1e-15)


def test_widths_matter_near_and_not_far():
    """Gaussian charges: erf(r/(2 s))/r, which is 1/(s sqrt(pi)) where they meet and 1/r far away."""
    s = np.array([0.5, 0.5])
    near = es.ewald_sum([[0, 0, 0], [2e-3, 0, 0]], [1.0, 1.0], widths=s, coulomb=1.0).energy
    far = es.ewald_sum([[0, 0, 0], [20.0, 0, 0]], [1.0, 1.0], widths=s, coulomb=1.0).energy
    assert near == pytest.approx(1 / (0.5 * np.sqrt(np.pi)), rel=1e-5) and far == pytest.approx(1 / 20, rel=1e-15)


def test_a_big_cell_is_a_molecule():
    """Neutral and without dipole: images are quadrupoles, whose energy falls with the fifth power of the cell."""
    positions = np.array([[0, 0, 0], [1.2, 0, 0], [-1.2, 0, 0]])
    charges = np.array([2.0, -1.0, -1.0])
    alone = es.ewald_sum(positions, charges).energy
    off = [abs(es.ewald_sum(positions, charges, edge * np.eye(3), accuracy=1e-12).energy - alone) for edge in (20, 40)]
    assert np.log2(off[0] / off[1]) == pytest.approx(5, abs=0.1)


def test_images_of_a_slab_are_taken_out():
    """A layer of dipoles across the slab: with the correction the energy does not depend on the empty height."""
    rng = np.random.default_rng(3)
    positions, charges = rng.random((8, 3)) * [4.0, 4.0, 3.0], np.repeat([0.5, -0.5], 4)
    energies = {slab: [es.ewald_sum(positions, charges, np.diag([4.0, 4.0, height]), accuracy=1e-10, slab=slab).energy
                       for height in (30.0, 60.0)] for slab in (None, 2)}
    spread = {slab: abs(E[0] - E[1]) for slab, E in energies.items()}
    assert spread[2] <= 1e-7 * abs(energies[2][0]) < 1e-3 < spread[None]


# --- refusals -------------------------------------------------------------------------------------------------

CELL = 5 * np.eye(3)


@pytest.mark.parametrize("arguments, named, message", [
    (([[0, 0, 0], [1, 0, 0]], [1.0], CELL), {}, "charges must be 2"),
    (([[0, 0, 0], [1, 0, 0]], [1.0, np.nan], CELL), {}, "NaN or infinity"),
    (([[0, 0, 0], [1, 0, np.nan]], [1.0, -1.0], CELL), {}, "positions"),
    (([[0, 0, 0], [0, 0, 0]], [1.0, -1.0], CELL), {}, "coincide"),
    (([[0, 0, 0], [1, 0, 0]], [1.0, -1.0], np.ones((3, 3))), {}, "cell|lattice"),
    (([[0, 0, 0], [1, 0, 0]], [1.0, -1.0], CELL), {"accuracy": 0.5}, "accuracy"),
    (([[0, 0, 0], [1, 0, 0]], [1.0, -1.0], CELL), {"accuracy": "high"}, "accuracy"),
    (([[0, 0, 0], [1, 0, 0]], [1.0, -1.0], CELL), {"widths": [0.5]}, "widths must be 2"),
    (([[0, 0, 0], [1, 0, 0]], [1.0, -1.0], CELL), {"widths": [0.5, -0.5]}, "above 0"),
    (([[0, 0, 0], [1, 0, 0]], [1.0, -1.0], CELL), {"slab": 3}, "slab"),
    (([[0, 0, 0], [1, 0, 0]], [1.0, -1.0]), {"slab": 2}, "slab"),
    (([[0, 0, 0], [1, 0, 0]], [1.0, -1.0], CELL), {"slab": True}, "slab"),
    (([[0, 0, 0], [1, 0, 0]], [1.0, -1.0]), {"accuracy": "high"}, "accuracy"),
    (([[0, 0, 0], [1, 0, 0]], [1.0, -1.0j], CELL), {}, "charges must be an array of real numbers"),
    (([[0, 0, 0], [1j, 0, 0]], [1.0, -1.0], CELL), {}, "positions must be an array of real numbers"),
    ((None, [1.0, -1.0], CELL), {}, "positions must be an array of real numbers"),
    (([], [], CELL), {}, "n at least 1"),
    (([[0, 0, 0], [1, 0, 0]], [1.0, -1.0], CELL), {"coulomb": np.nan}, "coulomb"),
])
def test_bad_input_is_refused(arguments, named, message):
    """Complex numbers among it: the complex step goes through the sums with a plan, and here would be lost."""
    with pytest.raises(ValueError, match=message):
        es.ewald_sum(*arguments, **named)
