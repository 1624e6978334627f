"""The symmetry spectrometer: powers that are known beforehand are found, and every control gets its diagnosis."""

import math

import numpy as np
import pytest

from se3ref import electrostatics, models, so3
from se3ref.nn import convolution
from se3ref.nn import params as trees
from se3ref.systems import Structure
from se3ref.verify import spectrometer, symmetry_spectrum, turned
from se3ref.verify.spectrum import NOISY, READING
from tests import seeded_bugs

EPS = np.finfo(float).eps
RNG = np.random.default_rng(1)
X = 1.2 * RNG.standard_normal((6, 3))                          # six particles without symmetry
CHARGES = RNG.standard_normal(6) - 0.2
MOLECULE = Structure([6, 8, 1, 1], [[0, 0, 0], [1.4, 0, 0.1], [-0.5, 0.9, 0.2], [-0.3, -0.5, 0.9]])


@pytest.fixture
def few(monkeypatch):
    """Fewer orbits, 180 calls for 540: for models, whose calls take a millisecond."""
    for name in ("ORBITS", "CIRCLES"):
        monkeypatch.setattr(spectrometer, name, 1)


def spectrum(f, irreps="0e", lmax=5, **options):
    """As `symmetry_spectrum`, with the sum that must always be 1."""
    found = symmetry_spectrum(f, irreps, lmax, **options)
    assert found.power.sum() + found.beyond == pytest.approx(1, abs=1e-12)
    assert found.diagnosis in READING and READING[found.diagnosis] in str(found)
    return found


# --- powers that are known ------------------------------------------------------------------------------------

def D(l, m, n, R):
    """D^l_mn of the proper one of R and -R, which knows nothing of mirrors."""
    return so3.wigner_D(l, R * np.linalg.det(R))[m + l, n + l]


@pytest.mark.parametrize("rng", [None, np.random.default_rng(5)], ids=["default", "another turn"])
def test_powers_of_a_polynomial(rng):
    """c D^l_mn has the power c^2/(2l+1), and a factor det R makes it odd.  Rounding: some thousand terms of size 1."""
    def f(R):
        return 3 + 0.5 * D(1, 0, -1, R) + 0.2 * D(3, 2, -3, R) * np.linalg.det(R) + 0.1 * D(3, 1, 1, R)
    found = spectrum(f, lmax=3, rng=rng)
    total = 9 + 0.25 / 3 + 0.04 / 7 + 0.01 / 7
    np.testing.assert_allclose(found.power * total, [9, 0.25 / 3, 0, 0.05 / 7], atol=1e-13)
    np.testing.assert_allclose(found.odd * total, [0, 0, 0, 0.04 / 7], atol=1e-13)
    assert found.spurious == pytest.approx(1 - 9 / total, rel=1e-12) and found.size == pytest.approx(math.sqrt(total))
    assert found.amplitude**2 == pytest.approx(total - 9, rel=1e-12)
    assert found.seen == [1, 3] and found.fall == "ends" and max(found.beyond, found.fresh) < 1e-28


def test_rotations_alone_do_not_ask_for_mirrors():
    def f(R):
        assert np.linalg.det(R) > 0
        return 1 + D(2, 1, 0, R)
    found = spectrum(f, lmax=3, mirrors=False)
    assert found.odd is None and found.turning == found.spurious == pytest.approx(0.2 / 1.2, rel=1e-12)


def test_an_output_is_turned_back_before_it_is_taken_apart():
    """A vector and a field: v(R) = R a + e.  Pulled back, R^-1 e has degree 1 and the power |e|^2, odd in mirrors."""
    a, e = np.array([1.0, 2, 2]), np.array([0, 0, 0.3])
    found = spectrum(lambda R: R @ a + e, "1o", lmax=3)
    np.testing.assert_allclose(found.power, np.array([9, 0.09, 0, 0]) / 9.09, atol=1e-14)
    np.testing.assert_allclose(found.odd, np.array([0, 0.09, 0, 0]) / 9.09, atol=1e-14)
    assert found.folds == {"z": math.inf} and found.diagnosis == "broken path"


def test_shares_of_waves_about_an_axis():
    """1 + sqrt 2 cos 3a + cos 16a: each has the mean square 1, and the last is the highest that 32 turns can show."""
    a = 2 * np.pi * np.arange(spectrometer.TURNS) / spectrometer.TURNS
    shares = spectrometer._by_m(1 + math.sqrt(2) * np.cos(3 * a) + np.cos(16 * a))
    np.testing.assert_allclose(shares[[0, 3, 16]], 1 / 3, atol=8 * EPS)


def test_what_a_mirror_turns_over_is_no_law_of_the_laboratory():
    """30 det R is constant on either half of O(3), and is not counted among what keeps turns."""
    found = spectrum(lambda R: 5.1 + 30 * np.linalg.det(R) + R[2, 0], lmax=2)
    assert found.folds == {"z": math.inf} and found.cubic < 1e-12 and found.odd[0] > found.odd[1] > 0


def test_entries_add_up():
    """Twenty numbers at once, of three irreps and leading axes (2, 2): the power is the sum of theirs."""
    one, other = (so3.Irreps("1o+0e+0e"), np.array([[[3.0], [4.0]], [[0.0], [1.0]]]))
    found = spectrum(lambda R: other * np.concatenate([R @ [1, 0, 0], [1 + D(1, 0, 0, R), 0]]), one, lmax=2)
    np.testing.assert_allclose(found.power, np.array([52, 26 / 3, 0]) / (52 + 26 / 3), atol=1e-14)


def test_a_wrong_parity_label_is_odd_power_of_degree_0():
    a, b = X[:2]
    found = {p: spectrum(lambda R: np.cross(R @ a, R @ b), p, lmax=2) for p in ("1e", "1o")}
    assert found["1e"].diagnosis == "equivariant" and found["1o"].diagnosis == "handed"
    assert found["1o"].turning < 1e-29                         # not a difference of numbers near 1
    assert found["1o"].odd[0] == pytest.approx(1, abs=1e-14) and found["1o"].seen == []


def test_steps_have_the_powers_of_the_textbook():
    """sign(z . R u) = sum over odd l of (2l+1) int_0^1 P_l P_l: powers 3/4, 7/64, 11/256.  The floor says how exact."""
    u = np.array([0.36, 0.48, 0.8])
    found = spectrum(lambda R: 2 + np.sign(R[2] @ u), lmax=6)
    exact = np.array([4, 3 / 4, 0, 7 / 64, 0, 11 / 256, 0]) / 5
    assert (np.abs(found.power - exact)[1:] < 2 * found.floor[1:]).all() and found.floor[6] < 0.01
    assert 1 / 2 < found.beyond / (1 - exact.sum()) < 2 and found.fresh > found.beyond
    assert found.diagnosis == "jumps" and found.folds == {"z": math.inf}


def test_more_degrees_resolve_what_fewer_cannot():
    """exp(z . R u) is smooth; its degrees stay what they are while the remainder goes."""
    less, more = (spectrum(lambda R: np.exp(2 * R[2, 0]), lmax=lmax, mirrors=False) for lmax in (3, 8))
    wrong = np.sqrt(less.power) - np.sqrt(more.power[:4])      # amplitudes add up
    np.testing.assert_array_less(wrong[1:] ** 2, less.floor[1:])
    assert more.fresh < 1e-6 * less.fresh
    for left in (less.beyond, less.fresh):
        assert 1 / 2 < left / more.power[4:].sum() < 3


# --- noise ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("sigma", [1e-12, 1e-6])
def test_noise_is_measured_and_not_read(sigma):
    """Its variance from 12 places with 18 numbers each, within a factor 1.5; its powers spread as (2l+1)^2."""
    rng = np.random.default_rng(0)
    found = spectrum(lambda R: X @ R.T + sigma * rng.standard_normal((6, 3)), "1o")
    variance = 18 * sigma**2 / (X**2).sum()
    assert 1 / 1.5 < found.noise / variance < 1.5 and 1 / 1.5 < found.spurious / variance < 1.5
    expected = found.noise * found.spread[1:]
    assert (found.power[1:] < 1.5 * expected).all() and (found.power[1:] > expected / 1.5).all()
    assert found.diagnosis == "equivariant" and found.seen == []


def test_below_the_noise_of_one_value_a_degree_is_seen_still():
    """A field as strong as the noise of 18 numbers is lost in one value; in a thousand it is seen."""
    rng, sigma = np.random.default_rng(0), 1e-7
    found = spectrum(lambda R: X @ R.T + sigma * rng.standard_normal((6, 3)) + sigma * np.array([0, 0, 1.7]), "1o")
    assert found.diagnosis == "equivariant" and found.seen == [1]


def test_neither_slopes_nor_jumps_pass_for_noise():
    steep = spectrum(lambda R: np.tanh(3 * R[0, 0]) + R[1, 1] ** 3)
    jumps = spectrum(lambda R: 1 / 3 + np.sign(R[0] @ [0.6, 0, 0.8]))
    assert steep.noise < 1e-24 and jumps.noise < 1e-30


def test_two_places_at_a_jump_do_not_count_as_noise():
    g = 1e-9 * np.random.default_rng(0).standard_normal((60, 40))
    g[[2, 16]] += 1.0                                          # in two of the twelve places, one of five steps
    assert spectrometer._noise(g) == pytest.approx(40e-18, rel=0.3)


def test_a_constant_is_equivariant():
    """Nothing is divided by its zero power."""
    found = spectrum(lambda R: -4000.1, lmax=3)
    assert found.diagnosis == "equivariant" and found.spurious == found.cubic == 0 and found.size == 4000.1


# --- models ---------------------------------------------------------------------------------------------------

def energy_of(model, dtype=np.float64):
    params = trees.cast(model.init(np.random.default_rng(0)), dtype)
    return turned(lambda s: models.evaluate(model, params, s, forces=False).energy, MOLECULE)


SMALL = dict(channels=2, lmax=2, layers=3)
SLIP = RNG.standard_normal((5, 5, 5))                          # every entry of a coupling 2x2->2


def test_an_honest_model_is_equivariant(few):
    """NequIP: energy, in float64 and in float32, each at its own noise; and forces."""
    model = models.NequIP([1, 6, 8], 3.0, **SMALL | {"layers": 2})
    single, double = (spectrum(energy_of(model, dtype), lmax=2, mirrors=mirrors)
                      for dtype, mirrors in ((np.float32, False), (np.float64, True)))
    assert double.diagnosis == single.diagnosis == "equivariant"
    assert double.noise < 1e-28 and 1e-17 < single.noise < 1e-11
    params = model.init(np.random.default_rng(0))
    forces = turned(lambda s: models.evaluate(model, params, s).forces, MOLECULE)
    found = spectrum(forces, "1o", lmax=2, mirrors=False)
    assert found.diagnosis == "equivariant" and found.size > 1e-3


def test_SO3_labels_are_right_in_rotations_and_wrong_in_mirrors(few):
    found = spectrum(energy_of(models.NequIP([1, 6, 8], 3.0, group="SO(3)", **SMALL)), lmax=2)
    assert found.diagnosis == "handed" and found.odd[0] > 1e6 * found.noise and found.seen == []


def test_absolute_positions_are_a_broken_path(few):
    found = spectrum(energy_of(models.Coordinates([1, 6, 8], 3.0, channels=4)), lmax=3)
    assert found.diagnosis == "broken path" and found.fall == "fast" and 1 in found.seen
    assert "x" not in found.folds and found.cubic < 0.5


def test_a_wrong_coefficient_in_a_network_is_a_broken_path(few, monkeypatch):
    """2x2->2 off by a thousandth in a NequIP of three layers: only to second order more than 2 + 2 + 2."""
    model = models.NequIP([1, 6, 8], 3.0, **SMALL)

    def wrong(*path):
        return so3.clebsch_gordan(*path) + (1e-3 * SLIP if path == (2, 2, 2) else 0)
    with monkeypatch.context() as patch:
        patch.setattr(convolution, "clebsch_gordan", wrong)
        seeded_bugs.clear_caches()
        found = spectrum(energy_of(model), lmax=4, mirrors=False)
    seeded_bugs.clear_caches()
    assert found.diagnosis == "broken path" and 1e-20 < found.spurious < 1e-6 and found.seen == [1, 2, 3, 4]


def cubic_invariant(R, C):
    """sum_ijk C_ijk M_i M_j M_k for the moments M of X, turned by R, of degree 2."""
    r = np.sqrt((X * X).sum(1))
    M = np.exp(-r) @ so3.spherical_harmonics(2, X @ R.T)[:, so3.degree(2)]
    return 10 + np.einsum("ijk,i,j,k", C, M, M, M)


COUPLING = so3.clebsch_gordan(2, 2, 2)
BROKEN = {"right": (COUPLING, []), "coefficients": (COUPLING + 1e-3 * SLIP, [2, 3, 4, 6]),
          "m reversed": (COUPLING[::-1], [2, 4]), "m rolled": (np.roll(COUPLING, 1, 2), [2, 3, 4])}


@pytest.mark.parametrize("C, seen", BROKEN.values(), ids=BROKEN)
def test_a_wrong_coupling_ends_at_the_sum_of_its_degrees_or_before(C, seen):
    """2 + 2 + 2; the product of three equal moments of degree 2 has the degrees 0, 2, 3, 4 and 6."""
    found = spectrum(lambda R: cubic_invariant(R, C), lmax=7, mirrors=False)
    assert found.seen == seen and found.fall == ("ends" if seen else "noise")
    assert found.diagnosis == ("broken path" if seen else "equivariant")


def test_one_coordinate_fed_in_prefers_its_axis():
    found = spectrum(lambda R: 3 + np.tanh(X @ R.T)[:, 1].sum())
    assert found.diagnosis == "one axis" and found.folds == {"y": math.inf} and 1 in found.seen
    assert found.axial["y"][0] == pytest.approx(1, abs=1e-12) and found.axial["x"][0] < 0.9


# --- grids ----------------------------------------------------------------------------------------------------

def mesh_energy(R, h=1.5, origin=0.0):
    """Charges shared out among the eight points around them, on a periodic mesh, and a smooth sum of its waves."""
    u = X @ R.T / h + origin
    corner = np.floor(u).astype(int)
    mesh = np.zeros((16, 16, 16))
    for step in np.ndindex(2, 2, 2):
        np.add.at(mesh, tuple((corner + step).T % 16), CHARGES * np.where(step, u - corner, 1 + corner - u).prod(1))
    k = np.fft.fftfreq(16)
    w = np.exp(-40 * k * k)
    return np.einsum("abc,a,b,c", np.abs(np.fft.fftn(mesh)) ** 2, w, w, w)


def test_a_mesh_keeps_the_turns_of_a_cube():
    found = spectrum(mesh_energy, lmax=4)
    assert found.diagnosis == "grid" and found.cubic == pytest.approx(1, abs=1e-10)
    assert "#" not in str(found).splitlines()[2]               # degree 1: above the noise, and below the floor
    assert found.seen == [4] and set(found.folds) == set("xyz") and found.odd.max() < 1e-28


def test_a_mesh_too_fine_for_lmax_is_known_by_its_cube():
    found = spectrum(lambda R: mesh_energy(R, h=0.3), lmax=2)
    assert found.fall == "unresolved" and found.diagnosis == "grid" and found.cubic == pytest.approx(1, abs=1e-10)


def test_a_mesh_turned_about_a_point_of_no_symmetry_is_misread():
    """The limit that the docstring names: degrees 1 and 3 come in, and half of what is seen is no longer cubic."""
    found = spectrum(lambda R: mesh_energy(R, origin=0.3), lmax=4, mirrors=False)
    assert found.diagnosis != "grid" and found.cubic < 0.9 and {1, 3} <= set(found.seen)


def test_particle_mesh_ewald_shows_its_mesh(few):
    """The error of pme_sum beside ewald_sum: four charges in a box that does not turn with them."""
    q, cell = np.array([1.0, -1.0, 0.5, -0.5]), 9 * np.eye(3)

    def error(R):
        r = X[:4] @ R.T
        return (electrostatics.pme_sum(r, q, cell, accuracy=1e-2, order=4).energy
                - electrostatics.ewald_sum(r, q, cell, accuracy=1e-7).energy)
    found = spectrum(error, lmax=2, mirrors=False)
    assert found.diagnosis == "grid" and found.cubic > 1 - 1e-6


def silu_on_a_grid(R, points, weights):
    """A signal of degree 2 on the sphere, through silu at the points of a grid, projected back to degrees 0 to 2."""
    r = np.sqrt((X * X).sum(1))
    signal = 3 * np.exp(-r) @ so3.spherical_harmonics(2, X @ R.T)
    Y = so3.spherical_harmonics(2, points)
    values = Y @ signal
    return Y.T @ (weights * values / (1 + np.exp(-values)))


def test_a_grid_on_the_sphere_keeps_turns_by_one_longitude(few):
    """n + 1 longitudes for a quadrature of degree n, about its polar axis y; what they alias falls with n."""
    coarse, fine = (spectrum(lambda R, n=n: silu_on_a_grid(R, *so3.sphere_quadrature(n)), "0e+1o+2e", lmax=lmax,
                             mirrors=False) for n, lmax in ((4, 6), (7, 2)))
    assert coarse.diagnosis == fine.diagnosis == "longitudes"
    assert coarse.folds["y"] == 5 and coarse.seen == [5, 6] and fine.folds["y"] == 8
    assert coarse.spurious > 10 * fine.spurious > 0


def test_equal_steps_of_latitude_prefer_an_axis():
    """Many longitudes, few latitudes: about z every turn is kept."""
    theta, phi = np.meshgrid((np.arange(8) + 0.5) * np.pi / 8, np.arange(40) * np.pi / 20)
    points = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1).reshape(-1, 3)
    weights = np.sin(theta).ravel() * np.pi / 8 * np.pi / 20
    found = spectrum(lambda R: silu_on_a_grid(R, points, weights), "0e+1o+2e", mirrors=False)
    assert found.diagnosis == "one axis" and found.folds["z"] == math.inf and found.seen[0] == 2


# --- jumps ----------------------------------------------------------------------------------------------------

def principal_axes(R, sign):
    """A function of the positions in the frame of their principal axes, whose signs `sign` chooses."""
    y = X @ R.T
    axes = np.linalg.eigh(y.T @ y)[1]
    return 2 + np.tanh(y @ (axes * sign(axes)) @ [[1.0], [0.5], [-0.7]]).sum()


JUMPS = {
    "signs by a direction": lambda R: principal_axes(R, lambda axes: np.sign([0.3, 0.5, 0.8] @ axes)),
    "signs by the largest component": lambda R: principal_axes(
        R, lambda axes: np.sign(axes[np.abs(axes).argmax(0), range(3)])),
    "the foremost atom": lambda R: np.linalg.norm(X[np.argmax(X @ R.T @ [0.3, 0.5, 0.8])]),
}


@pytest.mark.parametrize("f", JUMPS.values(), ids=JUMPS)
def test_frames_that_flip_fall_slowly(f):
    found = spectrum(f)
    assert found.fall == "slow" and found.diagnosis == "jumps" and found.beyond > 0.02 * found.spurious


def test_a_frame_whose_signs_turn_with_the_molecule_does_not_flip():
    def sign(axes):
        return np.sign(((turned_X[0] @ axes) ** 3).sum(0))

    def f(R):
        turned_X[0] = X @ R.T
        return principal_axes(R, sign)
    turned_X = [X]
    assert spectrum(f, lmax=3).diagnosis == "equivariant"


def test_kinks_fall_faster_than_jumps():
    """|z . R u| has no jump: up to lmax = 6 it leaves less beyond than in the last two degrees."""
    found = spectrum(lambda R: 1 + np.abs(R[2] @ [0.36, 0.48, 0.8]))
    assert found.fall == "fast" and found.fresh > 1e-4


def test_too_fine_for_lmax_and_without_a_law_is_unresolved():
    found = spectrum(lambda R: np.sin(40 * R[0] @ [0.36, 0.48, 0.8] + 25 * R[1] @ [0.6, 0, -0.8]), lmax=3)
    assert found.diagnosis == "unresolved"


# --- the rest -------------------------------------------------------------------------------------------------

def test_the_cube_has_its_24_turns():
    keys = {tuple(Q.astype(int).ravel()) for Q in spectrometer.CUBE}
    products = {tuple((P @ Q).astype(int).ravel()) for P in spectrometer.CUBE for Q in spectrometer.CUBE}
    assert len(keys) == 24 and products == keys
    np.testing.assert_allclose(np.linalg.det(spectrometer.CUBE), 1, atol=4 * EPS)


def test_turned_turns_positions_and_cell_about_the_origin():
    crystal, R = Structure([11, 17], [[0, 0, 0], [2.8, 0, 0]], 5.6 * np.eye(3), True), so3.reflection([1, 2, 3])
    seen = turned(lambda s: s, crystal)(R)
    np.testing.assert_allclose(seen.positions, crystal.positions @ R.T, atol=8 * EPS)
    np.testing.assert_allclose(seen.cell, crystal.cell @ R.T, atol=16 * EPS)


def test_the_calls_are_as_many_as_said():
    calls = []
    found = spectrum(lambda R: calls.append(R) or 1.0, lmax=6)
    assert found.evaluations == len(calls) == 2906


def test_the_table_shows_what_was_found():
    found = spectrum(lambda R: 3 + np.tanh(X @ R.T)[:, 1].sum(), lmax=3)
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines[:6]] == ["degree", "0", "1", "2", "3", "beyond"]
    assert lines[2].endswith("#") and not str(spectrum(lambda R: X @ R.T, "1o", lmax=2)).splitlines()[2].endswith("#")
    assert "turns about y" in str(found) and f"{found.amplitude:.3g}" in str(found)
    noisy = [line for line in str(spectrum(lambda R: 1 + 1e-16 * R[0, 0])).splitlines() if "kept" in line]
    assert noisy == [] and NOISY > 1


def test_the_figure_is_drawn(tmp_path):
    """One, and several side by side."""
    from se3ref.plotting.spectra import save_figure
    one = spectrum(lambda R: X @ R.T, "1o", lmax=2)
    two = spectrum(lambda R: 1 + R[0, 0] ** 5, lmax=3, mirrors=False)
    one.save(tmp_path / "one.png")
    save_figure({"a": one, "b": two}, tmp_path / "two.png")
    sizes = [(tmp_path / name).read_bytes() for name in ("one.png", "two.png")]
    assert all(each.startswith(b"\x89PNG") for each in sizes) and len(sizes[1]) > len(sizes[0])


def test_bad_input_says_what_came():
    with pytest.raises(ValueError, match="last axis is 3 long, for 1x1o; got shape .6,."):
        symmetry_spectrum(lambda R: X[:, 0], "1o", lmax=2)
    with pytest.raises(ValueError, match="lmax is an integer from 2 on.*got 1"):
        symmetry_spectrum(lambda R: 1.0, lmax=1)
    with pytest.raises(ValueError, match="finite numbers; got NaN or infinity at R = "):
        symmetry_spectrum(lambda R: np.nan if R[0, 0] > 0.9 else 1.0, lmax=2)
    with pytest.raises(ValueError, match="zero at every rotation"):
        symmetry_spectrum(lambda R: np.zeros((2, 3)), "1o", lmax=2)
