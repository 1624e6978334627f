"""The shipped sets obey the laws of physics that their labels claim to obey."""

import hashlib
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from scipy.spatial import cKDTree

from se3ref.systems import Structure, datasets

NOISE = 4e-6                    # eV/angstrom: what the SCF start does to a force (data/README.md)
DEBYE = 4.80320                 # debye in one e*angstrom
KT = 8.617333e-5 * 500          # eV, at the temperature of the ethanol set
FLOAT32 = 2.0**-24              # relative rounding of a stored single-precision number

# A chapter prints numbers made from these files; a changed file must be a decision, not an accident.
SHA256 = {
    "ethanol": "5e4a898675285fe3d2465931d8906a7688234aee488715355d1c213bb1d42d60",
    "ethanol_test": "4e03a10d7db73f249ef42844fd23f399608c3a15f636ec651f489eb88400c7d0",
    "dichloroethane": "55f287d1a9c3c27ade44955f203cb2ee072ed88b968e78ba2bc8858f706aff86",
    "water": "bf7a08b39198613fcd0e688561852fdb5e5c522945ab576f1ca075a7b09b090e",
    "h2o2": "23790ef523bed0579a6bd4b49812a7f878fc2128fa41ed2a1969b1e5f27b4ae1",
    "h2o2_scan": "d6ac44faf858446bc6d0f9cfce97fb30948c0bfc883f1557d547953475887a8d",
    "h2o2_test": "5f4788b38468d057baf1013a987b58265081606918aa5b25e42a9c23698c75e7",
    "antiprisms": "0b37190349e9ba1884cc1928345ca0f6d8701d4bde42772f6c0da5e26306cbfb",
    "chiral_methanes": "929b12e202b0950e73dd26a03e033bb2835c25c5a61ad898de7650a4abbb5abc",
    "formate_ammonium": "25b94032bdfb2abcdcc0317af2e020afe2436ac1f866c856abc106cffe86ce33",
    "formate_ammonium_test": "a0cdd5bffdc58458489e6ff30c821271b9fc73ea72b212ad3caa571fce676383",
    "silver_trimers": "012ede4996c8d889fcc2db9e9e749bf6f45f6da85828df09d991a693ff03d634",
    "silver_trimers_test": "8553f69dff4e2b9e12750e6d9153cde8d3caf89022397601f0f880b3c1dd0685",
    "carbon_chains": "aedcedab3a68d3b64c92598437edd35f820b3df2f49e71358f1aacac924fcfbc",
    "carbon_chains_test": "96768ba7802345bc5d3ce1204be0875d3e66d91e796afb99ed5f508cab92896a",
    "ion_gas": "57c846317e9af4f4685f0f37fcb314f0f283d1ef6921963470358d0e7b16c565",
    "ion_gas_test": "eae0b7c0864c5c7429634b6fd93b368e3204f9ab9081a1ac1494edd40a6e31b7",
    "sodium_chloride": "8a1575e804d6fa4b82aed22a1e32c072c245aad11b2b60e78e35736176aae09c",
    "sodium_chloride_test": "cde30aa111888f0a11389b7dae1fa5a54f591d2b8c33bd44acece27462344d78",
}

SETS = datasets.names()
FRAMES = [name for name in SETS if name not in ("chiral_methanes", "carbon_chains", "carbon_chains_test")]
PERIODIC = ["ion_gas", "ion_gas_test", "sodium_chloride", "sodium_chloride_test"]
ONE_MOLECULE = [name for name in FRAMES if name not in PERIODIC]
every_set = pytest.mark.parametrize("name", SETS)
every_frames = pytest.mark.parametrize("name", FRAMES)
every_molecule = pytest.mark.parametrize("name", ONE_MOLECULE)

MASSES = {1: 1.008, 6: 12.011, 7: 14.007, 8: 15.999, 9: 18.998, 16: 32.06, 17: 35.45, 35: 79.904, 47: 107.87}
GFN2, HARTREE_FOCK = ("GFN2-xTB (tblite", "semi-empirical"), ("RHF/6-31++G** (pyscf", "no electron correlation")
FITTED, IONS = ("DF-RHF/def2-SVP (pyscf", "no electron correlation"), ("point charges", "no quantum chemistry")
METHODS = {"h2o2": HARTREE_FOCK, "formate": FITTED, "ion": IONS, "sodium": IONS}


@every_set
def test_file_is_the_one_that_was_frozen(name):
    content = (resources.files("se3ref") / "data" / f"{name}.npz").read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256[name]


@every_set
def test_about_names_the_method_and_what_it_lacks(name):
    about = datasets.load(name).about
    method, lacks = next((known for start, known in METHODS.items() if name.startswith(start)), GFN2)
    assert about["level"].startswith(method) and lacks in about["level"]
    assert about["script"] == f"data/make_{name.removesuffix('_test')}.py"
    assert {"what", "units", "seed"} <= set(about)


@every_frames
def test_shapes(name):
    frames = datasets.load(name)
    f, n = len(frames), len(frames.numbers)
    shapes = {"positions": (f, n, 3), "energies": (f,), "forces": (f, n, 3), "charges": (f, n)}
    shapes |= {"cells": (f, 3, 3)} if name in PERIODIC else {"dipoles": (f, 3)}
    shapes |= {"total_charges": (f,)} if name.startswith("silver") else {}
    assert all(getattr(frames, field) is None for field in {"cells", "dipoles", "total_charges"} - set(shapes))
    for field, shape in shapes.items():
        values = getattr(frames, field)
        assert values.shape == shape and values.dtype == np.float64 and np.isfinite(values).all()
    assert all(len(values) == f for values in frames.extra.values())
    assert f"{f} frames" in repr(frames)


@every_frames
def test_no_net_force(name):
    """Energy is invariant under translations, so sum F = 0."""
    frames = datasets.load(name)
    assert np.abs(frames.forces.sum(1)).max() < NOISE * len(frames.numbers)


@every_molecule
def test_no_net_torque(name):
    """Energy is invariant under rotations, so sum r x F = 0; not so in a cell, which has directions of its own."""
    frames = datasets.load(name)
    lever = np.linalg.norm(frames.positions, axis=2).sum(1)
    torque = np.cross(frames.positions, frames.forces).sum(1)
    assert (np.abs(torque).max(1) < NOISE * lever).all()


@every_molecule
def test_centre_of_mass_is_at_the_origin(name):
    frames = datasets.load(name)
    masses = np.array([MASSES[z] for z in frames.numbers.tolist()])
    assert np.abs(masses @ frames.positions).max() / masses.sum() < 1e-13     # rounding


@every_frames
def test_charges_add_up_to_the_total_charge(name):
    frames = datasets.load(name)
    total = 0.0 if frames.total_charges is None else frames.total_charges
    assert (np.abs(frames.charges.sum(1) - total) < FLOAT32 * np.abs(frames.charges).sum(1)).all()


# Not the antiprisms (no dipole), the scan (neighbours too alike) and silver (most of the dipole is in the atoms).
@pytest.mark.parametrize("name", [n for n in ONE_MOLECULE if not n.startswith(("antiprisms", "h2o2_scan", "silver"))])
def test_dipole_belongs_to_its_frame(name):
    """Point charges give most of a dipole, the rest is atomic: nearer to its own than to a neighbour's."""
    frames = datasets.load(name)
    point = np.einsum("fn,fnc->fc", frames.charges, frames.positions)

    def distance(shift):
        return np.square(np.roll(frames.dipoles, shift, axis=0) - point).sum()

    assert distance(0) < 0.6 * min(distance(-1), distance(1))
    assert distance(0) < 0.2 * distance(len(frames) // 3)


# --- dichloroethane -----------------------------------------------------------------------------------------

def superposing(a, b):
    """The proper rotation R that brings a (n,3) nearest to b: |a R^T - b| is least (Kabsch 1976)."""
    u, _, vt = np.linalg.svd((b - b.mean(0)).T @ (a - a.mean(0)))
    return (u * [1, 1, np.linalg.det(u @ vt)]) @ vt


def test_dichloroethane_mirror_images():
    """phi and 360 - phi are mirror images: equal energies, mirrored geometries and mirrored dipoles."""
    scan = datasets.load("dichloroethane")
    swap = [0, 1, 2, 3, 5, 4, 7, 6]                         # a mirror exchanges the two H of each carbon
    mirror = np.array([1, 1, -1])
    for k in range(35):
        a, b = scan[k:k + 1], scan[70 - k:71 - k]
        assert abs(a.energies[0] - b.energies[0]) < 1e-7
        image = a.positions[0, swap] * mirror
        R = superposing(image, b.positions[0])
        # relaxed until forces are below 1e-5 eV/angstrom, with bonds that resist by several eV/angstrom^2
        np.testing.assert_allclose(image @ R.T, b.positions[0], atol=1e-5)
        np.testing.assert_allclose(R @ (a.dipoles[0] * mirror), b.dipoles[0], atol=1e-5)
        assert np.linalg.norm(b.dipoles[0]) > 0.02          # so that the line above compares something


def test_dichloroethane_anti_form_has_no_dipole():
    """A centre of inversion sends the dipole to minus itself; the gauche forms have none, and 2.8 debye."""
    scan = datasets.load("dichloroethane")
    phi, dipole = scan.extra["phi_deg"], np.linalg.norm(scan.dipoles, axis=1) * DEBYE
    assert abs(phi[35] - 180) < 1e-3 and dipole[35] < 2e-5
    assert scan.energies.argmin() == 35
    assert abs(np.interp(68.1, phi, dipole) - 2.82) < 0.02


def test_dichloroethane_gauche_minimum():
    scan = datasets.load("dichloroethane")
    near = slice(10, 17)                                    # 55 to 85 degrees
    quartic = np.polynomial.Polynomial.fit(scan.extra["phi_deg"][near], scan.energies[near], 4)
    minimum = next(x.real for x in quartic.deriv().roots() if 60 < x.real < 75)
    assert abs(minimum - 68.1) < 0.1
    assert abs((quartic(minimum) - scan.energies.min()) * 23.0605 - 1.38) < 0.01        # kcal/mol


def test_dichloroethane_forces_are_minus_the_gradient():
    """E(k+1) - E(k) = -F.dr by the trapezoid rule, whose error for cos(3 phi) is (3h)^2/12 of the step."""
    scan = datasets.load("dichloroethane")
    steps, works = [], []
    for k in range(71):
        R = superposing(scan.positions[k + 1], scan.positions[k])
        step = scan.positions[k + 1] @ R.T - scan.positions[k]
        works.append(-(scan.forces[k] + scan.forces[k + 1] @ R.T).ravel() @ step.ravel() / 2)
        steps.append(scan.energies[k + 1] - scan.energies[k])
    h = np.radians(5)
    assert np.abs(np.subtract(steps, works)).max() < (3 * h) ** 2 / 12 * np.abs(steps).max()


def test_dichloroethane_barriers_show_its_three_forms():
    E = datasets.load("dichloroethane").energies
    lower = (E < np.roll(E, 1)) & (E < np.roll(E, -1))
    assert np.flatnonzero(lower).tolist() == [13, 35, 57]    # 70, 180 and 290 degrees on the grid


# --- ethanol ------------------------------------------------------------------------------------------------

def test_ethanol_spread_of_forces_and_energies():
    frames = datasets.load("ethanol")
    assert len(frames) == 2000
    assert abs(frames.forces.std() - 0.990) < 0.001
    assert abs(frames.energies.std() - 0.1357) < 0.0001


def test_ethanol_energy_obeys_equipartition():
    """<E> - E_min = (3n - 6)/2 kT at 500 K for a harmonic molecule.

    Blocks of 250 frames scatter by 0.02 eV, so the mean by 0.007; soft torsions add a few per cent more.
    """
    frames = datasets.load("ethanol")
    excess = frames.energies - frames.about["minimum"]["energy"]
    assert excess.min() > 0
    assert abs(excess.mean() / (21 / 2 * KT) - 1) < 0.08


def test_ethanol_forces_obey_the_virial_theorem():
    """<-sum r.F> = 3(n - 1) kT exactly, for a bound molecule; here within 4 standard errors of 20 blocks."""
    frames = datasets.load("ethanol")
    blocks = -np.einsum("fnc,fnc->f", frames.positions, frames.forces).reshape(20, -1).mean(1)
    error = blocks.std(ddof=1) / np.sqrt(20)
    assert abs(blocks.mean() - 24 * KT) < 4 * error < 0.5 * 24 * KT


def test_ethanol_forces_are_minus_the_gradient_of_its_energies():
    """A sum of quadratics in the 36 distances, fitted to the energies alone, has the forces as its gradient.

    Quadratics leave a tenth of the variance of the energies, so the forces agree in direction, not in digits.
    """
    frames = datasets.load("ethanol")
    i, j = np.triu_indices(9, 1)
    vec = frames.positions[:, j] - frames.positions[:, i]
    distance = np.linalg.norm(vec, axis=2)
    x = distance - distance.mean(0)
    X = np.hstack([np.ones((len(x), 1)), x, x**2])
    _, linear, square = np.split(np.linalg.lstsq(X, frames.energies, rcond=None)[0], [1, 37])
    pull = ((linear + 2 * square * x) / distance)[:, :, None] * vec         # dE/dr_j = -dE/dr_i
    F = np.zeros_like(frames.forces)
    np.add.at(F, (slice(None), i), pull)
    np.subtract.at(F, (slice(None), j), pull)
    assert np.corrcoef(F.ravel(), frames.forces.ravel())[0, 1] > 0.95


def test_ethanol_stays_ethanol():
    frames = datasets.load("ethanol")
    bonds = [(0, 1), (1, 2), (0, 3), (0, 4), (0, 5), (1, 6), (1, 7), (2, 8)]
    minimum = np.array(frames.about["minimum"]["positions"])
    for i, j in bonds:
        rest = np.linalg.norm(minimum[j] - minimum[i])
        lengths = np.linalg.norm(frames.positions[:, j] - frames.positions[:, i], axis=1)
        assert np.abs(lengths / rest - 1).max() < 0.25
        assert abs(lengths.mean() / rest - 1) < 0.02


# --- water --------------------------------------------------------------------------------------------------

def rms(x):
    return np.sqrt(np.mean(x * x))


def body_frame(frames):
    """Unit vectors along both bonds (frames,3) each, and normal to the plane."""
    a, b = (frames.positions[:, k] - frames.positions[:, 0] for k in (1, 2))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    normal = np.cross(a, b)
    return a, b, normal / np.linalg.norm(normal, axis=1, keepdims=True)


def internal(frames):
    """r1, r2 and the angle (frames,3), angstrom and radians."""
    return np.stack([frames.extra["r1"], frames.extra["r2"], np.radians(frames.extra["angle_deg"])], 1)


def test_water_dipole_and_forces_lie_in_the_plane():
    """The mirror in the molecule's plane leaves it as it is, hence its dipole and forces too."""
    frames = datasets.load("water")
    normal = body_frame(frames)[2]
    # rounding of the positions (1e-16) times the largest force constant (50 eV/angstrom^2) and a safety of 10
    assert np.abs(np.einsum("fac,fc->fa", frames.forces, normal)).max() < 1e-13
    assert np.abs(np.einsum("fc,fc->f", frames.dipoles, normal)).max() < 1e-13
    assert np.linalg.norm(frames.dipoles, axis=1).min() > 0.3


def test_water_internal_coordinates_are_those_of_the_positions():
    frames = datasets.load("water")
    a, b, _ = body_frame(frames)
    lengths = np.linalg.norm(frames.positions[:, 1:] - frames.positions[:, :1], axis=2)
    np.testing.assert_allclose(lengths, np.stack([frames.extra["r1"], frames.extra["r2"]], 1), rtol=1e-14)
    np.testing.assert_allclose((a * b).sum(1), np.cos(np.radians(frames.extra["angle_deg"])), atol=1e-14)


def test_water_dipole_turns_with_the_molecule_and_swaps_with_its_bonds():
    """D = f(r1, r2, angle) a + f(r2, r1, angle) b with a smooth f, whichever way the molecule is turned.

    A polynomial in shape alone, fitted to the first bond's part, gives both parts, better with each degree.
    """
    frames = datasets.load("water")
    a, b, _ = body_frame(frames)
    c = (a * b).sum(1)
    on_a, on_b = (frames.dipoles * a).sum(1), (frames.dipoles * b).sum(1)
    first, second = (on_a - c * on_b) / (1 - c * c), (on_b - c * on_a) / (1 - c * c)
    u = internal(frames)
    x, swapped = ((shape - u.mean(0)) / (3 * u.std(0)) for shape in (u, u[:, [1, 0, 2]]))

    def errors(degree):
        powers = [p for p in np.ndindex((degree + 1,) * 3) if sum(p) <= degree]
        X, Xs = (np.stack([np.prod(y ** np.array(p), axis=1) for p in powers], 1) for y in (x, swapped))
        f = np.linalg.lstsq(X, first, rcond=None)[0]
        return rms(X @ f - first), rms(Xs @ f - second)

    e2, e4, e6 = np.array([errors(d) for d in (2, 4, 6)])
    assert (e4 < e2 / 10).all() and (e6 < e4 / 10).all()


def test_water_forces_are_minus_the_gradient():
    """Between neighbouring shapes u, E' - E = -(f + f')/2 . (u' - u), f the force along internal coordinates.

    The trapezoid rule errs by the third power of the distance, the energy differs by the first.
    """
    frames = datasets.load("water")
    a, b, normal = body_frame(frames)
    u, F = internal(frames), frames.forces
    turn = u[:, 1:2] * np.cross(normal, b)                  # how atom 2 moves when the angle opens
    f = np.stack([(F[:, 1] * a).sum(1), (F[:, 2] * b).sum(1), (F[:, 2] * turn).sum(1)], 1)
    distance, near = (x[:, 1] for x in cKDTree(u).query(u, k=2))
    step = frames.energies[near] - frames.energies
    work = -((f + f[near]) / 2 * (u[near] - u)).sum(1)
    close = distance < 0.02
    assert close.sum() > 500
    # a Morse bond's third derivative, 330 eV/angstrom^3, times d^3/12: 9e-5 eV at d = 0.015; steps are 0.022
    assert rms((step - work)[close]) < 0.005 * rms(step[close])


def test_water_minimum_against_experiment():
    """Bond 0.957 angstrom, angle 104.5 degrees, dipole 1.855 debye; that of GFN2-xTB is too large."""
    rest = datasets.load("water").about["minimum"]
    assert abs(rest["bond"] - 0.957) < 0.005 and abs(rest["angle_deg"] - 104.5) < 3
    assert 1.855 < np.linalg.norm(rest["dipole"]) * DEBYE < 2.3
    assert datasets.load("water").energies.min() > rest["energy"]


def test_water_is_sampled_as_stated():
    """Means and spreads of 1000 Gaussian draws, within 4 standard errors; directions without preference."""
    frames = datasets.load("water")
    rest = frames.about["minimum"]
    for name, mean, spread in (("r1", rest["bond"], 0.05), ("r2", rest["bond"], 0.05),
                               ("angle_deg", rest["angle_deg"], 7.0)):
        draws = frames.extra[name]
        assert abs(draws.mean() - mean) < 4 * spread / np.sqrt(1000)
        assert abs(draws.std() - spread) < 4 * spread / np.sqrt(2000)
    for direction in body_frame(frames):
        assert np.abs(direction.mean(0)).max() < 4 * np.sqrt(1 / 3 / 1000)


# --- hydrogen peroxide --------------------------------------------------------------------------------------

def peroxide_frame(frames):
    """Rows (frames,3,3): a along O-O, b towards the first H, n = a x b. A mirror leaves a, b and turns n over."""
    r = frames.positions
    a, b = r[:, 1] - r[:, 0], r[:, 2] - r[:, 0]
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b - (a * b).sum(1, keepdims=True) * a
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    return np.stack([a, b, np.cross(a, b)], 1)


def peroxide_internal(frames):
    """O-O, both O-H (angstrom), both angles O-O-H and the torsion (radians): (frames,6)."""
    r = frames.positions
    oo, h, k = r[:, 1] - r[:, 0], r[:, 2] - r[:, 0], r[:, 3] - r[:, 1]
    lengths = np.stack([np.linalg.norm(x, axis=1) for x in (oo, h, k)], 1)
    axis = oo / lengths[:, :1]
    bends = np.arccos(np.stack([(h * axis).sum(1), -(k * axis).sum(1)], 1) / lengths[:, 1:])
    _, b, n = np.moveaxis(peroxide_frame(frames), 1, 0)
    torsion = np.arctan2((k * n).sum(1), (k * b).sum(1))
    return np.column_stack([lengths, bends, torsion])


BEND, BEND_SPREAD = np.radians([101, 5])
MEANS = np.array([1.45, 0.965, 0.965, BEND, BEND])
SPREADS = np.array([0.04, 0.03, 0.03, BEND_SPREAD, BEND_SPREAD])


def waves_of_the_torsion(frames, wave):
    """Quadratics in lengths and angles times wave(m phi), m = 0..4: odd under a mirror for sin, even for cos."""
    u = peroxide_internal(frames)
    x = np.column_stack([np.ones(len(u)), (u[:, :5] - MEANS) / SPREADS])
    i, j = np.triu_indices(6)
    return ((x[:, i] * x[:, j])[:, :, None] * wave(np.arange(5) * u[:, 5:])[:, None]).reshape(len(u), -1)


def fitted(frames, wave, y):
    """What least squares makes of y: a function of other frames."""
    weights = np.linalg.lstsq(waves_of_the_torsion(frames, wave), y - y.mean(), rcond=None)[0]
    return lambda others: waves_of_the_torsion(others, wave) @ weights + y.mean()


def peroxide_labels(frames):
    """Every label as numbers that a turn leaves alone, with their parity under a mirror: +1 even, -1 odd."""
    axes = peroxide_frame(frames)
    D = np.einsum("fkx,fx->fk", axes, frames.dipoles)
    alpha = np.einsum("fkx,fxy,fly->fkl", axes, frames.extra["polarizabilities"], axes)
    return {
        "E": (frames.energies, 1), "D_a": (D[:, 0], 1), "D_b": (D[:, 1], 1), "D_n": (D[:, 2], -1),
        "alpha_aa": (alpha[:, 0, 0], 1), "alpha_ab": (alpha[:, 0, 1], 1), "alpha_nn": (alpha[:, 2, 2], 1),
        "alpha_an": (alpha[:, 0, 2], -1), "alpha_bn": (alpha[:, 1, 2], -1),
        "beta": (frames.extra["rotations"], -1),
    }


@pytest.mark.parametrize("label", ["E", "D_a", "D_b", "D_n", "alpha_aa", "alpha_ab", "alpha_nn", "alpha_an", "alpha_bn",
                                   "beta"])
def test_peroxide_labels_have_their_parity_under_a_mirror(label):
    """phi -> -phi leaves the even ones and turns the odd ones over: what one set teaches, the other confirms.

    Functions of the wrong parity predict no better than the mean, for phi and -phi are equally frequent.
    """
    train, test = datasets.load("h2o2"), datasets.load("h2o2_test")
    (y, parity), (y_test, _) = peroxide_labels(train)[label], peroxide_labels(test)[label]

    def explained(wave):
        return 1 - (fitted(train, wave, y)(test) - y_test).var() / y_test.var()

    right, wrong = (np.cos, np.sin) if parity == 1 else (np.sin, np.cos)
    assert explained(right) > 0.99
    assert explained(wrong) < 0.05


def test_peroxide_rotation_vanishes_where_the_molecule_is_flat():
    """At 0 and 180 degrees it is its own mirror image; within 3 degrees beta is a tenth of the usual."""
    frames = datasets.load("h2o2")
    sine, beta = np.sin(np.radians(frames.extra["phi_deg"])), frames.extra["rotations"]
    flat = np.abs(sine) < 0.05
    assert flat.sum() > 20
    assert rms(beta[flat]) < 0.1 * rms(beta)


def test_peroxide_scan_is_its_own_mirror_image():
    """phi and 360 - phi: the mirror z -> -z, to the noise of the SCF; beta turns its sign, vanishes at 0 and 180."""
    scan = datasets.load("h2o2_scan")
    assert np.array_equal(scan.extra["phi_deg"], 10.0 * np.arange(36))
    image, beta = -np.arange(36) % 36, scan.extra["rotations"]
    assert np.abs(scan.positions[image] - scan.positions * [1, 1, -1]).max() < 1e-14
    assert np.abs(scan.energies[image] - scan.energies).max() < 1e-8
    assert np.abs(beta[image] + beta).max() < 1e-8 < 1e-2 < np.abs(beta).max() and np.abs(beta[[0, 18]]).max() < 1e-8
    sign = np.sign(beta[1:18])
    assert sign[0] == 1 and sign[-1] == -1 and (np.diff(sign) != 0).sum() == 1 and beta[11] > 0 > beta[12]


def test_peroxide_handedness_is_not_the_sign_of_its_rotation():
    """Of twists to the right (0 < phi < 180) the narrow ones rotate light to the right, the wide ones to the left."""
    frames = datasets.load("h2o2")
    phi, beta = np.radians(frames.extra["phi_deg"]), frames.extra["rotations"]
    agree = np.sign(np.sin(phi)) == np.sign(beta)
    folded = np.degrees(np.arccos(np.cos(phi)))
    assert 0.5 < agree.mean() < 0.6
    assert agree[(folded > 45) & (folded < 90)].mean() > 0.85
    assert agree[folded > 150].mean() < 0.1


def test_peroxide_polarizability_is_symmetric_and_positive():
    for name in ("h2o2", "h2o2_test"):
        alpha = datasets.load(name).extra["polarizabilities"]
        assert np.abs(alpha - alpha.swapaxes(1, 2)).max() <= 2 * FLOAT32 * np.abs(alpha).max()
        assert np.linalg.eigvalsh(alpha).min() > 0.5            # angstrom^3; the mean is near 1.8


def test_peroxide_torsion_is_that_of_the_positions():
    for name in ("h2o2", "h2o2_test"):
        frames = datasets.load(name)
        phi = peroxide_internal(frames)[:, 5]
        # angles of 1e-16 radians times 360 degrees, and a torsion magnifies rounding by 1/sin of the two bends
        np.testing.assert_allclose(np.exp(1j * phi), np.exp(1j * np.radians(frames.extra["phi_deg"])), atol=1e-14)


def test_peroxide_forces_are_minus_the_gradient_of_its_energies():
    """The energy fitted on one set, its slope along random directions against -F on the other.

    The fit misses 0.3 % of the variance of the energies, and a slope magnifies that: direction, not digits.
    """
    train, test = datasets.load("h2o2"), datasets.load("h2o2_test")
    energy = fitted(train, np.cos, train.energies)
    step = 1e-4 * np.random.default_rng(0).standard_normal(test.positions.shape)
    up, down = (energy(replace(test, positions=test.positions + s * step)) for s in (1, -1))
    work = -2 * (test.forces * step).sum((1, 2))
    assert 1 - (up - down - work).var() / work.var() > 0.95


def test_peroxide_is_sampled_as_stated():
    """Means and spreads within 4 standard errors; torsions and directions without preference."""
    frames = datasets.load("h2o2")
    u = peroxide_internal(frames)
    f = len(u)
    assert (np.abs(u[:, :5].mean(0) - MEANS) < 4 * SPREADS / np.sqrt(f)).all()
    assert (np.abs(u[:, :5].std(0) - SPREADS) < 4 * SPREADS / np.sqrt(2 * f)).all()
    assert np.abs(np.exp(1j * np.outer(u[:, 5], [1, 2, 3])).mean(0)).max() < 4 / np.sqrt(f)
    assert np.abs(peroxide_frame(frames).mean(0)).max() < 4 * np.sqrt(1 / 3 / f)


def test_peroxide_test_set_is_of_another_seed():
    """No geometry of it is one of training: the nearest pair is as far apart as within the training set."""
    train, test = datasets.load("h2o2"), datasets.load("h2o2_test")
    assert [key for key in train.about if train.about[key] != test.about[key]] == ["seed"]
    i, j = np.triu_indices(4, 1)
    a, b = (np.linalg.norm(f.positions[:, i] - f.positions[:, j], axis=2) for f in (train, test))
    within = cKDTree(a).query(a, k=2)[0][:, 1].min()
    assert len(train) == 1000 and len(test) == 250
    assert cKDTree(a).query(b)[0].min() > 0.5 * within > 0.001


# --- antiprisms ---------------------------------------------------------------------------------------------

def antiprism_pairs():
    frames = datasets.load("antiprisms")
    assert frames.extra["which"].tolist() == [1, -1] * (len(frames) // 2)
    return frames[::2], frames[1::2]


def test_antiprisms_share_every_list_of_distances():
    """Atom by atom, sorted, to 4 roundings of the longest distance."""
    lists = [np.sort(np.linalg.norm(f.positions[:, :, None] - f.positions[:, None], axis=3), axis=2)
             for f in antiprism_pairs()]
    np.testing.assert_allclose(lists[0], lists[1], rtol=0, atol=4 * np.finfo(float).eps * lists[0].max())
    assert np.ptp(lists[0][:, 1:], axis=1).max() < 1e-14        # and all fluorines of a frame have the same list


def test_antiprisms_are_different_structures():
    """The product of the cosines of three axes is c^3 or -c^3, whichever end of an axis is taken."""
    for sign, frames in zip([1, -1], antiprism_pairs(), strict=True):
        v = frames.positions[:, 1:4] / 1.58
        np.testing.assert_allclose(np.linalg.norm(v, axis=2), 1, rtol=1e-14)
        np.testing.assert_array_equal(frames.positions[:, 4:], -frames.positions[:, 1:4])
        cosines = (v * np.roll(v, 1, axis=1)).sum(2)
        np.testing.assert_allclose(cosines, sign * frames.extra["c"][:, None] * np.ones(3), atol=1e-15)


def test_antiprisms_differ_in_energy():
    """A is the lower, by both methods; the difference grows as c^3, the product of the three cosines."""
    a, b = antiprism_pairs()
    for energies in (b.energies - a.energies, b.extra["energies_hf"] - a.extra["energies_hf"]):
        slope = np.polyfit(np.log(a.extra["c"]), np.log(energies), 1)[0]
        assert abs(slope - 3) < 0.2
    known = a.extra["c"] == 0.15
    assert abs((b.energies - a.energies)[known] - 0.0462) < 1e-4


def test_antiprisms_have_no_dipole():
    """Each is its own image under inversion."""
    assert np.abs(datasets.load("antiprisms").dipoles).max() < 1e-12


# --- chiral methanes ----------------------------------------------------------------------------------------

RADII = {1: 0.31, 6: 0.76, 7: 0.71, 8: 0.66, 9: 0.57, 16: 1.05, 17: 1.02, 35: 1.20}        # covalent, angstrom


def bonds(structure):
    """(n,n) bool: nearer than 1.3 times the sum of covalent radii."""
    radius = np.array([RADII[z] for z in structure.numbers.tolist()])
    distance = np.linalg.norm(structure.positions[:, None] - structure.positions, axis=2)
    return (distance < 1.3 * (radius + radius[:, None])) & (distance > 0)


def test_methanes_come_in_pairs_of_R_and_S():
    data = datasets.load("chiral_methanes")
    label, mol_id = data.extra["label"], data.extra["mol_id"]
    assert len(data) == 420 and "420 structures" in repr(data)
    assert label[::2].tolist() == [1] * 210 and label[1::2].tolist() == [-1] * 210
    assert mol_id.tolist() == np.repeat(np.arange(210), 2).tolist()
    for R, S in zip(data.structures[::2], data.structures[1::2], strict=True):
        np.testing.assert_array_equal(R.numbers, S.numbers)
    assert len(set(data.extra["smiles"])) == 420


def test_methanes_kept_for_testing_are_whole_molecules():
    data = datasets.load("chiral_methanes")
    test = data.extra["test"]
    assert test.dtype == bool and test.sum() == 60 and test[::2].tolist() == test[1::2].tolist()
    assert not set(data[test].extra["mol_id"]) & set(data[~test].extra["mol_id"])


def test_methanes_triple_product_is_minus_the_label():
    """Seen with the last group away, R turns clockwise through the first three: a left-handed triple of vectors."""
    data = datasets.load("chiral_methanes")
    for k, structure in enumerate(data.structures):
        centre, groups = data.extra["centre"][k], data.extra["substituents"][k]
        v = structure.positions[groups] - structure.positions[centre]
        v = v / np.linalg.norm(v, axis=1, keepdims=True)
        chi = np.cross(v[0], v[1]) @ v[2]
        assert abs(chi - data.extra["chi"][k]) < 1e-14              # the same arithmetic in another order
        assert np.sign(chi) == -data.extra["label"][k]
        others = [np.linalg.det(v[[i, j, l]]) for i, j, l in ((0, 1, 3), (0, 2, 3), (1, 2, 3))]
        assert (np.sign(others) == np.sign(chi) * np.array([-1, 1, -1])).all()      # the other corners agree


def test_methanes_substituents_fall_in_rank():
    """Cahn, Ingold and Prelog: by atomic number, and among carbons by the atoms bound to them."""
    data = datasets.load("chiral_methanes")
    for k, structure in enumerate(data.structures):
        centre, groups, bond = data.extra["centre"][k], data.extra["substituents"][k], bonds(structure)
        assert np.flatnonzero(bond[centre]).tolist() == sorted(groups)
        bond[:, centre] = False                                     # onward only
        ranks = [(structure.numbers[g], sorted(structure.numbers[bond[g]], reverse=True)) for g in groups]
        assert all(first > second for first, second in zip(ranks, ranks[1:], strict=False))


def test_methanes_are_whole():
    """The bonds of n atoms make one tree of n - 1 edges: nothing torn off, no ring closed."""
    for structure in datasets.load("chiral_methanes").structures:
        bond = bonds(structure)
        reached = np.linalg.matrix_power(bond + np.eye(len(bond)), len(bond)) > 0
        assert bond.sum() == 2 * (len(bond) - 1) and reached.all()


def test_methanes_energies_belong_to_their_molecules():
    """A sum of one number for each atom gives them to 0.3 eV of 65; noise and bonds make the rest."""
    data = datasets.load("chiral_methanes")
    count = np.array([[(structure.numbers == z).sum() for z in RADII] for structure in data.structures])
    rest = data.energies - count @ np.linalg.lstsq(count, data.energies, rcond=None)[0]
    assert data.energies.std() > 50 and rms(rest) < 0.3
    assert np.abs(data.energies[::2] - data.energies[1::2]).max() < 1


# --- loading and choosing -----------------------------------------------------------------------------------

def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match="'methane'.*ethanol, ethanol_test, dichloroethane, water"):
        datasets.load("methane")


def test_a_user_cannot_spoil_the_next_load():
    datasets.load("water").positions[:] = 0
    assert datasets.load("water").positions.any()


@pytest.mark.parametrize("chosen", [slice(3, 40, 7), np.array([5, 2, 2]), np.arange(72) % 3 == 0, [1]])
def test_choosing_frames_chooses_all_their_labels(chosen):
    scan = datasets.load("dichloroethane")
    part = scan[chosen]
    for field in ("positions", "energies", "forces", "dipoles", "charges"):
        np.testing.assert_array_equal(getattr(part, field), getattr(scan, field)[chosen])
    np.testing.assert_array_equal(part.extra["phi_deg"], scan.extra["phi_deg"][chosen])
    assert len(part) == len(part.energies) and part.about == scan.about


def test_a_single_index_says_what_to_write():
    with pytest.raises(TypeError, match=r"frames.structure\(k\)"):
        datasets.load("water")[3]
    with pytest.raises(TypeError, match=r"molecules.structures\[k\]"):
        datasets.load("chiral_methanes")[3]


@pytest.mark.parametrize("chosen", [slice(3, 40, 7), np.array([5, -2, 2]), np.arange(420) % 3 == 0, [1]])
def test_choosing_molecules_chooses_all_their_labels(chosen):
    data = datasets.load("chiral_methanes")
    part = data[chosen]
    assert len(part) == len(part.energies) and part.about == data.about
    rows = np.arange(420)[chosen]
    assert part.structures == [data.structures[k] for k in rows]
    for field in ("energies", "dipoles"):
        np.testing.assert_array_equal(getattr(part, field), getattr(data, field)[rows])
    for key, values in data.extra.items():
        np.testing.assert_array_equal(part.extra[key], values[rows])


def test_a_frame_as_a_structure():
    frames = datasets.load("ethanol")
    structure = frames.structure(-1)
    assert isinstance(structure, Structure) and repr(structure) == "Structure(C2H6O, 9 atoms)"
    np.testing.assert_array_equal(structure.positions, frames.positions[-1])
    with pytest.raises(IndexError):
        frames.structure(2000)


def test_the_test_frames_are_of_another_run():
    """None of them is a training frame: the nearest pair is 0.050 angstrom apart (rms over distances), as the nearest
    pair of the two halves of one run is, 0.048; a copied frame would be at 0."""
    train, test = datasets.load("ethanol"), datasets.load("ethanol_test")
    i, j = np.triu_indices(9, 1)
    a, b = (np.linalg.norm(f.positions[:, i] - f.positions[:, j], axis=2) / 6 for f in (train, test))
    assert cKDTree(a).query(b)[0].min() > 0.02
    assert train.about["seed"] != test.about["seed"]


@pytest.mark.parametrize("atoms", [(1, 0, 2, 6), (0, 3, 4, 5)], ids=["CH2", "CH3"])
def test_equal_hydrogens_have_the_same_names_in_both_runs(atoms):
    """Around a carbon the neighbours keep their sense of turning, and it is the same in both sets."""
    senses = set()
    for name in ("ethanol", "ethanol_test"):
        r = datasets.load(name).positions
        x, y, z = (r[:, atoms[k]] - r[:, atoms[0]] for k in (1, 2, 3))
        senses |= set(np.sign((np.cross(x, y) * z).sum(1)))
    assert len(senses) == 1
