"""The shipped sets of ions obey the laws of electrostatics that their labels claim to obey."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from se3ref.electrostatics import COULOMB, ewald_sum
from se3ref.systems import datasets
from se3ref.training import Dataset

NOISE = 4e-6                    # eV/angstrom: what the SCF start does to a force (data/README.md)
FLOAT32 = 2.0**-24              # relative rounding of a stored single-precision number
BOLTZMANN = 8.617333e-5         # eV/K

dimers = pytest.mark.parametrize("name", ["formate_ammonium", "formate_ammonium_test"])
trimers = pytest.mark.parametrize("name", ["silver_trimers", "silver_trimers_test"])
chains = pytest.mark.parametrize("name", ["carbon_chains", "carbon_chains_test"])
lattices = pytest.mark.parametrize("name", ["ion_gas", "ion_gas_test", "sodium_chloride", "sodium_chloride_test"])


def rms(x):
    return np.sqrt(np.mean(np.square(x)))


def distances(r):
    """The sorted distances of (frames,n,3) within each frame, (frames,pairs): the same however it is turned."""
    i, j = np.triu_indices(r.shape[1], 1)
    return np.sort(np.linalg.norm(r[:, i] - r[:, j], axis=2), axis=1)


# --- all of them --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["formate_ammonium", "silver_trimers", "carbon_chains", "ion_gas", "sodium_chloride"])
def test_twins_differ_by_their_seed_alone(name):
    train, test = datasets.load(name).about, datasets.load(f"{name}_test").about
    assert [key for key in train if train[key] != test[key]] == ["seed"]
    assert (train["seed"], test["seed"]) == (1, 2)


@pytest.mark.parametrize("name", ["formate_ammonium", "silver_trimers", "ion_gas", "sodium_chloride"])
def test_no_frame_of_a_twin_is_one_of_training(name):
    """Nor a turned one: no list of distances is in both sets; those of a copy would agree to rounding."""
    train, test = (distances(datasets.load(key).positions) for key in (name, f"{name}_test"))
    assert cKDTree(train).query(test)[0].min() > 1e-3


def test_a_set_for_training_has_charges_cells_and_stresses():
    gas, trimers = datasets.load("ion_gas")[3:8:2], datasets.load("silver_trimers")[[4, 1]]
    structure = gas.structure(1)
    np.testing.assert_array_equal(structure.positions, datasets.load("ion_gas").positions[5])
    assert structure.pbc.all() and np.array_equal(structure.cell, 15 * np.eye(3)) and structure.charge == 0
    assert [s.charge for s in trimers.structures] == [1.0, -1.0] and trimers.structure(0).cell is None
    graph, targets = Dataset.from_frames(gas, ("energy", "stress", "charges")).batch([2, 0], 4.0)
    np.testing.assert_array_equal(targets["stress"], gas.extra["stresses"][[2, 0]])
    assert graph.pbc.all()
    graph, _ = Dataset.from_frames(trimers).batch([1, 0], 4.0)
    assert graph.charge.tolist() == [-1.0, 1.0]
    with pytest.raises(ValueError, match="this set has no .'dipole'."):
        Dataset.from_frames(gas, ("dipole",))


# --- formate and ammonium -----------------------------------------------------------------------------------

def halves(frames):
    """Formate (frames,4,3) and ammonium (frames,5,3)."""
    return frames.positions[:, :4], frames.positions[:, 4:]


def point_charges(frames):
    """The Coulomb energy between the Mulliken charges that each ion has when alone, (frames,) eV."""
    a, b = frames.about["ions"]["charges"]
    x, y = halves(frames)
    distance = np.linalg.norm(x[:, :, None] - y[:, None], axis=3)
    return COULOMB * np.einsum("i,j,fij->f", a, b, 1 / distance)


@dimers
def test_dimers_are_sampled_as_stated(name):
    """8 orientations x 16 separations; both ions rigid, ammonium moved along the line of centres alone."""
    frames = datasets.load(name)
    a, b = halves(frames)
    shortest = [cdist(x, y).min() for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(shortest, frames.extra["separation"], rtol=1e-14)
    assert frames.extra["orientation"].tolist() == np.repeat(np.arange(8), 16).tolist()
    for r in (a, b):
        turned = (r - r.mean(1, keepdims=True)).reshape(8, 16, -1)
        assert np.ptp(turned, axis=1).max() < 1e-13                            # rounding: the same at all separations
        assert np.ptp(distances(r), axis=0).max() < 1e-13
    line = (b.mean(1) - a.mean(1)).reshape(8, 16, 3)
    assert np.abs(np.cross(line[:, 1:], line[:, :-1])).max() < 1e-12


@dimers
def test_dimers_interaction_is_coulombs_law_far_away(name):
    """-coulomb/R, up to the dipoles of the ions about their centres, which fall off as 1/R^2."""
    frames = datasets.load(name)
    a, b = halves(frames)
    R = np.linalg.norm(a.mean(1) - b.mean(1), axis=1)
    far = frames.extra["separation"] == 15
    assert np.abs(frames.extra["interaction"] * R / -COULOMB - 1)[far].max() < 0.05
    error = frames.extra["interaction"] - point_charges(frames)
    near = frames.extra["separation"] == 7
    assert 0.8 < rms(error[far]) / rms(error[near]) * (R[far].mean() / R[near].mean()) ** 2 < 1.2
    ions = sum(frames.about["ions"]["energies"])
    np.testing.assert_allclose(frames.energies - frames.extra["interaction"], ions, rtol=1e-15)


@dimers
def test_dimers_keep_a_whole_charge_each(name):
    """No electron leaks to the other ion beyond 6 angstrom; in contact a few hundredths do."""
    frames = datasets.load(name)
    leaked = np.abs(frames.charges[:, :4].sum(1) + 1)
    separation = frames.extra["separation"]
    assert leaked[separation >= 6].max() < 1e-5 < 1e-2 < leaked[separation == 1.8].min()


@dimers
def test_dimers_forces_are_minus_the_gradient(name):
    """Along the line of centres: the slope of a cubic spline of E in 1/R, in which Coulomb's law is a straight line.

    Between 16 points the spline errs by 3e-3 from 2.6 angstrom on, where exponential terms fade, and by 5e-5 from 6.
    """
    frames = datasets.load(name)
    a, b = halves(frames)
    line = b.mean(1) - a.mean(1)
    R = np.linalg.norm(line, axis=1)
    pull = (frames.forces[:, 4:].sum(1) * line).sum(1) / R                      # -dE/dR
    for rows in np.arange(128).reshape(8, 16):
        u = 1 / R[rows]
        slope = u**2 * CubicSpline(u[::-1], frames.energies[rows][::-1])(u, 1)
        error = np.abs(slope / pull[rows] - 1)
        assert error[2:].max() < 5e-3 and error[9:15].max() < 1e-4


# --- silver -------------------------------------------------------------------------------------------------

@trimers
def test_trimers_come_in_pairs_of_one_geometry(name):
    frames = datasets.load(name)
    plus, minus = frames[::2], frames[1::2]
    np.testing.assert_array_equal(plus.positions, minus.positions)
    np.testing.assert_array_equal(plus.extra["geometry"], np.arange(len(plus)))
    np.testing.assert_array_equal(minus.extra["geometry"], np.arange(len(plus)))
    assert set(plus.total_charges) == {1.0} and set(minus.total_charges) == {-1.0}


@trimers
def test_trimers_of_one_geometry_differ_in_forces(name):
    """Root mean square 0.65 eV/angstrom in one set, 0.71 in the other: a model that takes no total charge gives both
    ions of a pair the same forces, and its error is at least half of that."""
    frames = datasets.load(name)
    difference = rms(frames.forces[::2] - frames.forces[1::2])
    assert difference > 0.6 and difference > 0.5 * rms(frames.forces)


@trimers
def test_trimers_are_sampled_as_stated(name):
    """About a triangle and a line in turn; noise of 0.15 along every axis, less its mean."""
    r = datasets.load(name).positions[::2]
    triangle, line = r[::2], r[1::2]
    for group in (triangle, line):
        spread = group.std(0) / (0.15 * np.sqrt(2 / 3))                        # the centre is taken out
        assert abs(rms(spread) - 1) < 4 / np.sqrt(2 * 6 * len(group))          # 6 directions are left of 9
    assert abs(distances(triangle).mean() - 2.75) < 0.1
    assert np.abs(distances(line).mean(0)[2] - 2 * 2.65) < 0.1


# --- carbon chains ------------------------------------------------------------------------------------------

def members(name):
    """C10H2 and C10H3+."""
    data = datasets.load(name)
    return data[::2], data[1::2]


@chains
def test_chains_are_whole_and_balanced(name):
    """Sum F = 0, sum r x F = 0, charges add up; forces and charges have a row for each atom."""
    for part, n, charge in zip(members(name), (12, 13), (0.0, 1.0), strict=True):
        assert {len(s) for s in part.structures} == {n} and {s.charge for s in part.structures} == {charge}
        r, F, q = (np.array(x) for x in ([s.positions for s in part.structures], part.forces, part.charges))
        assert F.shape == r.shape and q.shape == r.shape[:2]
        assert np.abs(F.sum(1)).max() < NOISE * n
        lever = np.linalg.norm(r, axis=2).sum(1)
        assert (np.abs(np.cross(r, F).sum(1)).max(1) < NOISE * lever).all()
        assert (np.abs(q.sum(1) - charge) < FLOAT32 * np.abs(q).sum(1)).all()


@chains
def test_chains_scatter_about_their_minima(name):
    """Noise of 0.05 angstrom along every axis, less the motion of the centre of mass; energies above the minimum."""
    for part, minimum in zip(members(name), part_minima(name), strict=True):
        noise = np.array([s.positions for s in part.structures]) - minimum["positions"]
        assert abs(rms(noise) / 0.05 - 1) < 0.07                                # 1/13 of the variance is the centre's
        assert part.energies.min() > minimum["energy"]


def part_minima(name):
    return datasets.load(name).about["minima"]


@chains
def test_chains_feel_the_proton_at_their_far_end(name):
    """Atoms 0, 1 (carbons) and 10 (their hydrogen) are 11 angstrom from where C10H3+ has one H more."""
    without, proton = (np.array([q[[0, 1, 10]] for q in part.charges]) for part in members(name))
    shift = proton.mean(0) - without.mean(0)
    assert (shift > 0.04).all() and (shift > 4 * proton.std(0)).all()


def test_choosing_chains_chooses_all_their_labels():
    data = datasets.load("carbon_chains")
    part = data[[7, 2]]
    assert part.structures == [data.structures[7], data.structures[2]]
    for field in ("forces", "charges"):
        (a, b), rows = getattr(part, field), getattr(data, field)
        assert np.array_equal(a, rows[7]) and np.array_equal(b, rows[2])
    _, targets = Dataset.from_frames(part, ("energy", "forces", "charges")).batch([0, 1], 3.0)
    assert targets["forces"].shape == (25, 3) and targets["charges"].sum() == pytest.approx(1, abs=1e-6)


# --- ions in a periodic cube --------------------------------------------------------------------------------

def repulsion(frames, k):
    """Of all pairs within half the edge in frame k: the Born-Mayer energies e, i, j, vec = r_j - r_i, its length r."""
    facts, edge, z = frames.about["repulsion"], frames.about["edge"], frames.numbers
    i, j = np.triu_indices(len(z), 1)
    vec = frames.positions[k][j] - frames.positions[k][i]
    vec -= edge * np.round(vec / edge)
    r = np.linalg.norm(vec, axis=1)
    i, j, vec, r = (x[r < edge / 2] for x in (i, j, vec, r))
    size = np.array([facts["sizes"][str(x)] for x in z])
    factor = np.array([facts["factors"][f"{min(a, b)}-{max(a, b)}"] for a, b in zip(z[i], z[j], strict=True)])
    return facts["A"] * factor * np.exp((size[i] + size[j] - r) / facts["rho"]), i, j, vec, r


@lattices
def test_lattice_labels_are_ewalds_sum_and_the_repulsion(name):
    """Made again from the parameters in `about`: energies to 1e-9 eV, forces and stresses to the file's rounding."""
    frames = datasets.load(name)
    rho = frames.about["repulsion"]["rho"]
    np.testing.assert_allclose(frames.energies, frames.extra["energies_coulomb"] + frames.extra["energies_short"],
                               rtol=1e-15)
    for k in range(0, len(frames), 17):
        long = ewald_sum(frames.positions[k], frames.charges[k], frames.cells[k], accuracy=1e-11)
        e, i, j, vec, r = repulsion(frames, k)
        assert abs(long.energy - frames.extra["energies_coulomb"][k]) < 1e-9
        assert abs(e.sum() - frames.extra["energies_short"][k]) < 1e-12
        pull = (-e / rho / r)[:, None] * vec
        forces, stress = long.forces.copy(), long.stress + pull.T @ vec / np.linalg.det(frames.cells[k])
        np.add.at(forces, i, pull)
        np.subtract.at(forces, j, pull)
        np.testing.assert_allclose(frames.forces[k], forces, rtol=FLOAT32, atol=1e-9)
        np.testing.assert_allclose(frames.extra["stresses"][k], stress, rtol=FLOAT32, atol=1e-11)


@lattices
def test_lattice_of_32_sodium_and_32_chloride_ions(name):
    frames = datasets.load(name)
    assert (frames.numbers == 11).sum() == (frames.numbers == 17).sum() == 32
    assert (frames.charges == np.where(frames.numbers == 11, 1, -1)).all()
    assert (frames.cells == frames.about["edge"] * np.eye(3)).all()
    assert frames.positions.min() >= 0 and frames.positions.max() <= frames.about["edge"]


@lattices
def test_lattice_stress_is_minus_the_pressure_of_its_forces(name):
    """V tr(stress) = dE/ds for r -> (1 + s) r: -E of a 1/r energy, -sum e r/rho of the repulsion."""
    frames = datasets.load(name)
    for k in range(0, len(frames), 17):
        e, *_, r = repulsion(frames, k)
        virial = -frames.extra["energies_coulomb"][k] - (e * r).sum() / frames.about["repulsion"]["rho"]
        trace = np.trace(frames.extra["stresses"][k])
        assert trace * frames.about["edge"] ** 3 == pytest.approx(virial, rel=1e-6, abs=1e-4)      # the file's rounding


@pytest.mark.parametrize("name", ["ion_gas", "ion_gas_test"])
def test_gas_is_sampled_as_stated(name):
    """No two ions nearer than 2 angstrom, by the rounding of the file; in all places alike; each frame on its own."""
    frames = datasets.load(name)
    shortest = [repulsion(frames, k)[-1].min() for k in range(len(frames))]
    assert 2 - 1e-6 < min(shortest) and np.median(shortest) < 2.2
    waves = np.exp(2j * np.pi / 15 * frames.positions)                         # uniform: their mean is zero
    assert np.abs(waves.mean((0, 1))).max() < 4 / np.sqrt(waves[..., 0].size)


def test_hot_sodium_chloride_has_its_temperature():
    """<F^2> = kT <Laplacian of E>: in the canonical distribution, by partial integration; blocks of 20 frames scatter.

    The Laplacian of the repulsion is sum 2 e (1/rho^2 - 2/(rho r)); that of Coulomb's law is zero but for the
    neutralising background of each ion, -4 pi coulomb q^2/V.
    """
    frames = datasets.load("sodium_chloride")
    rho, V = frames.about["repulsion"]["rho"], frames.about["edge"] ** 3

    def laplacian(k):
        e, *_, r = repulsion(frames, k)
        return (2 * e * (1 / rho**2 - 2 / (rho * r))).sum() - 4 * np.pi * COULOMB * len(frames.numbers) / V

    mean = np.mean([laplacian(k) for k in range(len(frames))])
    T = np.square(frames.forces).sum((1, 2)).reshape(-1, 20).mean(1) / mean / BOLTZMANN
    error = T.std(ddof=1) / np.sqrt(len(T))
    assert abs(T.mean() - 1300) < 4 * error < 0.1 * 1300


@pytest.mark.parametrize("name", ["sodium_chloride", "sodium_chloride_test"])
def test_hot_sodium_chloride_is_still_a_crystal(name):
    """The Bragg peak |sum q e^{ik.r}|^2/64 at k = (pi/d)(1,1,1) is 64 in perfect rock salt, 1 for random places."""
    frames = datasets.load(name)
    k = 4 * np.pi / frames.about["edge"] * np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]])
    peak = np.square(np.abs((frames.charges[..., None] * np.exp(1j * frames.positions @ k.T)).sum(1))) / 64
    assert 38 < peak.mean() < 48 and peak.mean(1).min() > 20
