"""Bugs planted on purpose, and the named tests that must catch each: `python -m tests.seeded_bugs` prints the table.

A test that cannot fail proves nothing.  Every bug replaces one function or table of the library, as a slip of the
pen would; the tests named under `caught` must then fail, and those under `blind` pass all the same: they look at
another law, and show what it cannot see.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import itertools
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import hypothesis
import numpy as np
import pytest

from se3ref import backend, so3
from se3ref.electrostatics import interactions, mesh_errors, pme
from se3ref.nn import contraction, convolution, couplings, rotated
from se3ref.so3 import coupling, degree, harmonics, irreps, rotations, wigner
from tests.seeded_audit_bugs import AUDIT_BUGS
from tests.seeded_certificate_bugs import CERTIFICATE_BUGS
from tests.seeded_charge_bugs import CHARGE_BUGS
from tests.seeded_lattice_bugs import LATTICE_BUGS
from tests.seeded_neighbor_bugs import NEIGHBOR_BUGS
from tests.seeded_network_bugs import NETWORK_BUGS, of
from tests.seeded_parity_bugs import PARITY_BUGS

ROOT = Path(__file__).parents[1]
HUNT = hypothesis.settings(max_examples=10, derandomize=True, deadline=None, database=None, report_multiple_bugs=False,
                           phases=[hypothesis.Phase.generate])                   # a bug is caught, not shrunk


@dataclasses.dataclass(frozen=True)
class Bug:
    """A slip: what `plant()` replaces, as (module, name, replacement), and who sees it."""
    name: str
    plant: Callable
    caught: list
    blind: list


# --- the slips ------------------------------------------------------------------------------------------------

def harmonics_changed(change):
    """`_solid` with its rows changed: change(lmax, xyz, out) after they were written."""
    solid = harmonics._solid

    def changed(lmax, xyz, out):
        solid(lmax, xyz, out)
        change(lmax, xyz, out)
    return [(harmonics, "_solid", changed)]


def reverse_m(lmax, xyz, out):
    for l in range(lmax + 1):
        out[degree(l)] = out[degree(l)][::-1].copy()


def leave_condon_shortley(lmax, xyz, out):
    for l in range(lmax + 1):
        out[degree(l)] *= (-1.0) ** np.arange(-l, l + 1)[:, None]


def normalize_as_norm(lmax, xyz, out):
    for l in range(lmax + 1):
        out[degree(l)] /= np.sqrt(2 * l + 1)


def roll_axes():
    solid = harmonics._solid

    def rolled(lmax, xyz, out):
        solid(lmax, xyz, out)
        other = np.empty_like(out)
        solid(lmax, np.roll(xyz, 1, axis=0), other)
        for l in range(2, lmax + 1):
            out[degree(l)] = other[degree(l)]
    return [(harmonics, "_solid", rolled)]


def one_recursion_coefficient():
    recursion = harmonics._recursion

    def off(l):
        a, b, top = recursion(l)
        return (a * np.where(np.arange(l) == 2, 1 + 1e-9, 1)[:, None] if l == 5 else a), b, top
    return [(harmonics, "_recursion", off)]


def noise_for_directions():
    def unit(xyz):
        u = np.random.default_rng(0).standard_normal(xyz.shape).astype(xyz.dtype)
        return u / np.sqrt((u * u).sum(0)), np.ones_like(xyz[0])
    return [(harmonics, "_unit", unit)]


def lengths_without_care():
    def unit(xyz):
        r = np.sqrt((xyz * xyz).sum(0))
        return xyz / r, r
    return [(harmonics, "_unit", unit)]


def solid_harmonics_of_unit_length():
    """Those of the direction, where r^l times that is asked for."""
    solid = harmonics._solid

    def of_directions(lmax, xyz, out):
        r = np.sqrt((xyz * xyz).sum(0))
        solid(lmax, xyz / np.where(r.real > 0, r, 1), out)
    return [(harmonics, "_solid", of_directions)]


def half_a_gradient():
    scaled = harmonics._scaled_gradient

    def halved(l, ratio):
        A = scaled(l, ratio).copy()
        if l == 3:
            A[:2 * l - 1] *= 0.5                               # the part along x
        return A
    return [(harmonics, "_scaled_gradient", halved)]


def no_projection():
    function = so3.spherical_harmonics_and_pull

    def wrong(lmax, xyz, normalization="component", normalize=True):
        Y, pull = function(lmax, xyz, normalization, normalize)
        r = np.sqrt((xyz * xyz).sum(1, keepdims=True))
        solid = function(lmax, xyz / r, normalization, False)[1] if normalize else None
        return Y, (lambda dY: solid(dY) / r) if normalize else pull
    return [(module, "spherical_harmonics_and_pull", wrong) for module in (so3, harmonics)]


def transposed_rotation():
    turns = wigner._by_turns
    return [(wigner, "_by_turns", lambda l, R: turns(l, R.swapaxes(1, 2)))]


def parity_of_D():
    def proper(R):
        return R * np.sign(so3.determinant(R)).astype(R.dtype)[..., None, None]
    return [(wigner, "check_rotation", proper)]


def parity_label():
    return [(irreps, "determinant", lambda R: np.ones(R.shape[:-2]))]


def pole():
    turns = wigner._zyz_turns

    def crude(R):
        (ca, sa), (cb, sb), (cc, sc) = turns(R)
        flat = sb < 1e-7                                       # "no tilt, so no turn"
        (ca, cc), (sa, sc) = np.where(flat, 1, (ca, cc)), np.where(flat, 0, (sa, sc))
        return [(ca, sa), (cb, sb), (cc, sc)]
    return [(wigner, "_zyz_turns", crude)]


def cosines_before_sines():
    """cos m a is overwritten before sin m a has read it."""
    def multiples(l, c, s):
        cos, sin = np.empty((2, l + 1, len(c)), c.dtype, like=c)
        cos[0], sin[0] = 1, 0
        for m in range(1, l + 1):
            cos[m] = c * cos[m - 1] - s * sin[m - 1]
            sin[m] = c * sin[m - 1] + s * cos[m]
        return cos, sin
    return [(wigner, "_multiples", multiples)]


def coupling_changed(path, change):
    """One path of the complex coefficients, before they are turned to the real basis."""
    def plant():
        tensor = coupling._complex_clebsch_gordan
        return [(coupling, "_complex_clebsch_gordan", lambda *p: change(tensor(*p)) if p == path else tensor(*p))]
    return plant


def a_millionth(C):
    C[2, 2, 2] += 1e-6
    return C


def outside_the_triangle(C):
    C[1, 1, 4] = 0.5
    return C


def complex_basis():
    return [(coupling, "complex_from_real", lambda l: np.eye(2 * l + 1, dtype=complex))]


def triangle_factorial():
    square = coupling._triangle_square
    return [(coupling, "_triangle_square", lambda triad: square(triad) * (sum(triad) + 1))]


def quaternion_order():
    function = so3.rotation_from_quaternion
    return [(module, "rotation_from_quaternion", lambda q: function(np.roll(q, 1, -1))) for module in (so3, rotations)]


def uniform_euler_angles():
    def biased(rng, n=None):
        angles = rng.uniform(0, [2 * np.pi, np.pi, 2 * np.pi], (3,) if n is None else (n, 3))
        return so3.rotation_from_euler("ZYZ", angles)
    return [(module, "random_rotation", biased) for module in (so3, rotations)]


def intrinsic_for_extrinsic():
    axes = rotations._euler_axes

    def swapped(text):
        *ijk, intrinsic = axes(text)
        return *ijk, not intrinsic
    return [(rotations, "_euler_axes", swapped)]


def table_in_float64():
    return [(rotations, "constant", lambda table, like: table)]


def one_node_short():
    sphere = so3.sphere_quadrature
    return [(so3, "sphere_quadrature", lambda L: sphere(max(L - 1, 0)))]


def transposed_tensor():
    function = so3.irreps_from_cartesian
    return [(so3, "irreps_from_cartesian", lambda T, symmetry: function(T.swapaxes(1, -1), symmetry))]


def channels_first():
    def features(text, flat):
        terms = so3.Irreps(text)
        blocks = {}
        for (multiplicity, irrep), part in zip(terms, terms.slices(), strict=True):
            blocks.setdefault(irrep, []).append(flat[:, part].reshape(len(flat), irrep.dim, multiplicity))
        return {irrep: np.concatenate(arrays, axis=2) for irrep, arrays in blocks.items()}
    return [(so3, "features_from_flat", features)]


# --- who catches them -----------------------------------------------------------------------------------------

H, W, C, R = "so3/test_harmonics", "so3/test_wigner", "so3/test_coupling", "so3/test_rotations"
INTERTWINERS = of(C, "P25_intertwiner", "P25_intertwiner_of_generators")
EQUIVARIANCE = of("verify/test_equivariance", "blind_spot_sign_size_and_loss_of_a_path")
ON_THE_SPHERE = of(H, "P12_orthonormality", "P13_addition_theorem", "P14_sum_of_squares_is_constant", "P16_parity")

BUGS = [
    Bug("m order reversed", lambda: harmonics_changed(reverse_m),
        of(H, "P15_rotation_law", "P21_closed_forms", "values_of_e3nn"), ON_THE_SPHERE),
    Bug("axes rolled from l = 2 on", roll_axes, of(H, "P15_rotation_law", "P21_closed_forms"), ON_THE_SPHERE),
    Bug("sign of Condon and Shortley left in", lambda: harmonics_changed(leave_condon_shortley),
        of(H, "P15_rotation_law", "P21_closed_forms", "values_of_scipy"), ON_THE_SPHERE),
    Bug("norm for component normalisation", lambda: harmonics_changed(normalize_as_norm),
        of(H, "P12_orthonormality", "P14_sum_of_squares_is_constant", "P21_closed_forms"),
        of(H, "P15_rotation_law", "P16_parity")),
    Bug("one recursion coefficient off by 1e-9", one_recursion_coefficient,
        of(H, "P12_orthonormality", "P13_addition_theorem", "P14_sum_of_squares_is_constant"),
        of(H, "P16_parity", "P17_homogeneity", "P19_gradient_matrices_commute")),
    Bug("directions replaced by noise", noise_for_directions,
        of(H, "P15_rotation_law", "P21_closed_forms") + of("verify/test_equivariance", "equivariant_functions_pass"),
        of(H, "P14_sum_of_squares_is_constant")),
    Bug("solid harmonics of unit length", solid_harmonics_of_unit_length, of(H, "P17_homogeneity"),
        of(H, "P12_orthonormality", "P14_sum_of_squares_is_constant[float64]")),
    Bug("directions of vectors as short as 0", lengths_without_care, of(H, "P20_the_zero_vector"),
        of(H, "P15_rotation_law_at_the_poles", "P21_closed_forms")),
    Bug("part of the l = 3 gradient halved", half_a_gradient,
        of(H, "P18_gradient_against_complex_step") + of("verify/test_gradients", "P41_harmonics"),
        of(H, "P15_rotation_law", "P17_laplacian_vanishes", "P19_gradient_matrices_commute")),
    Bug("pullback without the projection across x", no_projection,
        of(H, "P18_gradient_against_complex_step", "P18_gradient_is_across_the_position")
        + of("verify/test_gradients", "P41_harmonics"), of(H, "P15_rotation_law", "P21_closed_forms")),
    Bug("R for its transpose", transposed_rotation,
        of(W, "P4_homomorphism", "P6_degree_one_is_R", "P11_two_derivations_agree") + of(H, "P15_rotation_law"),
        of(W, "P5_inverse_is_transpose", "P7_inversion", "P9_character", "P10_schur_orthogonality")),
    Bug("improper rotations without their parity", parity_of_D,
        of(W, "P6_degree_one_is_R", "P7_inversion", "P11_two_derivations_agree") + of(H, "P15_rotation_law"),
        of(W, "P4_homomorphism", "P5_inverse_is_transpose", "P9_character")),
    Bug("parity label ignored", parity_label,
        of("so3/test_irreps", "P7_parity_label", "P7_mirrors_know_vectors_from_pseudovectors"),
        of("so3/test_irreps", "P4_homomorphism_with_parity")),
    Bug("angles at the poles", pole,
        of(W, "P4_homomorphism", "P6_degree_one_is_R", "P11_two_derivations_agree")
        + of(H, "P15_rotation_law_at_the_poles"), of(W, "values_of_e3nn")),
    Bug("cosines written before sines have read them", cosines_before_sines,
        of(W, "P5_inverse_is_transpose[float64]", "P9_character[float64]", "P10_schur_orthogonality"),
        of(H, "P12_orthonormality")),
    Bug("a path outside the triangle", coupling_changed((1, 1, 4), outside_the_triangle),
        of(C, "P23_selection_rules"), of(C, "P24_swap_sign", "P26_recoupling_gives_6j", "P29_two_vectors")),
    Bug("one coefficient + 1e-6", coupling_changed((2, 2, 2), a_millionth),
        of(C, "P22_unitarity", "values_of_e3nn") + INTERTWINERS, of(C, "P23_selection_rules", "P24_swap_sign")),
    Bug("sign of the path 1x1->1", coupling_changed((1, 1, 1), np.negative),
        of(C, "P26_recoupling_gives_6j", "P26_sees_the_sign_of_one_path", "P29_two_vectors",
           "P30_signs_of_every_path"), of(C, "P22_unitarity", "P24_swap_sign") + INTERTWINERS + EQUIVARIANCE),
    Bug("sign of the path 1x2->2", coupling_changed((1, 2, 2), np.negative),
        of(C, "P24_swap_sign", "P26_recoupling_gives_6j", "P30_signs_of_every_path"),
        of(C, "P22_unitarity") + INTERTWINERS),
    Bug("the path 1x1->1 dropped", coupling_changed((1, 1, 1), lambda C: 0 * C),
        of(C, "P22_unitarity", "P29_two_vectors", "P30_signs_of_every_path"),
        of(C, "P23_selection_rules", "P24_swap_sign") + INTERTWINERS + EQUIVARIANCE),
    Bug("the path 2x2->2 halved", coupling_changed((2, 2, 2), lambda C: C / 2),
        of(C, "P22_unitarity", "values_of_e3nn"), of(C, "P24_swap_sign", "P30_signs_of_every_path") + INTERTWINERS),
    Bug("complex coefficients on the real basis", complex_basis,
        of(C, "P22_unitarity", "P29_two_vectors") + INTERTWINERS, of(C, "P23_selection_rules", "P24_swap_sign")),
    Bug("a factorial in the 6j symbol", triangle_factorial,
        of(C, "P26_recoupling_gives_6j", "P27_recoupling_gives_9j", "exact_values_of_sympy"), of(C, "P22_unitarity")),
    Bug("quaternions as (x,y,z,w)", quaternion_order,
        of(R, "quaternions_as_in_scipy", "P2_quaternion_round_trip"),
        of(R, "P1_rotation_from_quaternion_is_orthogonal", "P3_haar_moments")),
    Bug("rotations turn the other way", lambda: [(rotations, "_X", -rotations._X)],
        of(R, "rotations_are_active_and_right_handed", "P2_quaternion_round_trip", "rotation_vectors_as_in_scipy"),
        of(R, "P1_rotation_from_axis_angle_is_orthogonal", "P3_haar_moments")),
    Bug("intrinsic for extrinsic Euler angles", intrinsic_for_extrinsic, of(R, "euler_angles_as_in_scipy"),
        of(R, "P2_euler_round_trip")),
    Bug("sampler uniform in Euler angles", uniform_euler_angles, of(R, "P3_haar_moments"),
        of(R, "a_batch_is_its_members")),
    Bug("a table that stays float64, on the host", table_in_float64,
        of(R, "P1_rotation_from_axis_angle_is_orthogonal")
        + of("test_backend", "float32_stays_float32", "runs_on_the_stand_in"), of(R, "P1_reflection_is_improper")),
    Bug("quadrature one degree short", one_node_short,
        of("so3/test_quadrature", "sphere_quadrature_is_exact_to_its_degree") + of(H, "P12_orthonormality"),
        of("so3/test_quadrature", "rotation_quadrature_is_exact_to_its_degree")),
    Bug("Cartesian tensors transposed", transposed_tensor,
        of("so3/test_irreps", "P31_cartesian_round_trip", "cartesian_parts_have_their_meaning"),
        of("so3/test_irreps", "cartesian_tensors_turn_as_irreps")),
    Bug("flat features with the channels first", channels_first,
        of("so3/test_irreps", "flat_order_is_e3nns", "P31_flat_features_round_trip"), []),
    *(Bug(*row) for row in [*NEIGHBOR_BUGS, *NETWORK_BUGS, *PARITY_BUGS, *CERTIFICATE_BUGS, *LATTICE_BUGS,
                               *CHARGE_BUGS, *AUDIT_BUGS]),
]


# --- the hunt -------------------------------------------------------------------------------------------------

def clear_caches():
    """Tables computed before the bug, or with it."""
    for module in (coupling, harmonics, wigner, convolution, rotated, couplings, contraction, mesh_errors, pme):
        for item in vars(module).values():
            if hasattr(item, "cache_clear"):
                item.cache_clear()
    backend._copies.clear()
    interactions._kept.clear()


@contextlib.contextmanager
def planted(bug):
    with contextlib.ExitStack() as stack:
        for module, name, replacement in bug.plant():
            stack.enter_context(mock.patch.object(module, name, replacement))
        clear_caches()
        yield
    clear_caches()


def parametrizations(test):
    """The arguments pytest would give: the product of its `parametrize` marks."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    choices = []
    for mark in marks:
        names = [name.strip() for name in mark.args[0].split(",")]
        choices.append([dict(zip(names, row if len(names) > 1 else [row], strict=True)) for row in mark.args[1]])
    return [{name: value for part in parts for name, value in part.items()} for parts in itertools.product(*choices)]


@functools.cache
def load(file):
    """A test file imported anew, since Hypothesis binds a profile to a test where the test is defined."""
    spec = importlib.util.spec_from_file_location(f"hunted_{Path(file).stem}", ROOT / file)
    module = importlib.util.module_from_spec(spec)
    before = hypothesis.settings.default
    hypothesis.settings.register_profile("hunt", HUNT)
    hypothesis.settings.load_profile("hunt")
    spec.loader.exec_module(module)
    hypothesis.settings.register_profile("before", before)
    hypothesis.settings.load_profile("before")
    return module


def failure(test):
    """The exception in which a test, "file::name", ends with one of its arguments, or None; it must not be skipped.

    "file::name[a,b]" is the test with those arguments only that have the values a and b among them; functions and
    types go by their names.
    """
    file, name = test.split("::")
    name, _, values = name.rstrip("]").partition("[")
    function, values = getattr(load(file), name), set(values.split(",")) - {""}
    chosen = [arguments for arguments in parametrizations(function)
              if values <= {getattr(value, "__name__", str(value)) for value in arguments.values()}]
    if not chosen:
        raise RuntimeError(f"{test} names no arguments of that test")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for arguments in chosen:
                function(**arguments)
    except pytest.skip.Exception as skipped:
        raise RuntimeError(f"{test} was skipped, so it tells nothing: {skipped}") from None
    except Exception as error:
        return error
    return None


def passes(test):
    """Whether a test passes with every one of its arguments."""
    return failure(test) is None


def hunt(bug):
    """(tests that should catch the bug and do not, tests that should be blind to it and are not)."""
    with planted(bug):
        return [test for test in bug.caught if passes(test)], [test for test in bug.blind if not passes(test)]


def main():
    """Print every bug with the tests that caught it; exit status 1 if one was missed."""
    failures = 0
    for bug in BUGS:
        uncaught, seen = hunt(bug)
        failures += bool(uncaught or seen or not bug.caught)
        print(f"\n{'MISSED' if uncaught else 'caught'}  {bug.name}")
        for tests, verb in ((set(bug.caught) - set(uncaught), "sees it"), (uncaught, "MISSES IT"),
                            (set(bug.blind) - set(seen), "is blind"), (seen, "SEES IT TOO: not blind")):
            for test in sorted(tests):
                print(f"        {verb:10s} {test.removeprefix('tests/')}")
    print(f"\n{len(BUGS)} bugs, {failures} not as they should be")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
