"""The shipped sets obey the laws of physics that their labels claim to obey."""

import hashlib
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
}

every_set = pytest.mark.parametrize("name", datasets.names())


@every_set
def test_file_is_the_one_that_was_frozen(name):
    content = (resources.files("se3ref") / "data" / f"{name}.npz").read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256[name]


@every_set
def test_shapes_and_metadata(name):
    frames = datasets.load(name)
    f, n = len(frames), len(frames.numbers)
    shapes = {"positions": (f, n, 3), "energies": (f,), "forces": (f, n, 3), "dipoles": (f, 3),
              "charges": (f, n)}
    for field, shape in shapes.items():
        values = getattr(frames, field)
        assert values.shape == shape and values.dtype == np.float64 and np.isfinite(values).all()
    assert all(len(values) == f for values in frames.extra.values())
    assert "GFN2-xTB" in frames.about["level"] and "semi-empirical" in frames.about["level"]
    assert frames.about["script"] == f"data/make_{name.removesuffix('_test')}.py"
    assert {"what", "units", "seed"} <= set(frames.about)
    assert f"{f} frames" in repr(frames)


@every_set
def test_no_net_force_and_no_net_torque(name):
    """Energy is invariant under translations and rotations, so sum F = 0 and sum r x F = 0."""
    frames = datasets.load(name)
    assert np.abs(frames.forces.sum(1)).max() < NOISE * len(frames.numbers)
    lever = np.linalg.norm(frames.positions, axis=2).sum(1)
    torque = np.cross(frames.positions, frames.forces).sum(1)
    assert (np.abs(torque).max(1) < NOISE * lever).all()


@every_set
def test_centre_of_mass_is_at_the_origin(name):
    frames = datasets.load(name)
    masses = np.array([{1: 1.008, 6: 12.011, 8: 15.999, 17: 35.45}[z] for z in frames.numbers.tolist()])
    assert np.abs(masses @ frames.positions).max() / masses.sum() < 1e-13     # rounding


@every_set
def test_molecule_is_neutral(name):
    charges = datasets.load(name).charges
    assert (np.abs(charges.sum(1)) < FLOAT32 * np.abs(charges).sum(1)).all()


@every_set
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
