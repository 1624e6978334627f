"""The convolution in the frame of each edge: it is the convolution (P35), at the poles too; its pullback (P40, P41)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from se3ref import so3
from se3ref.backend import to_device
from se3ref.nn import rotated
from se3ref.nn.convolution import convolve, paths, weight_count
from se3ref.nn.rotated import convolve_rotated
from se3ref.so3 import Irrep, random_rotation, rotate_features
from se3ref.so3.harmonics import spherical_harmonics_and_pull
from se3ref.verify.gradients import pullback_violation
from tests import strategies as draw
from tests.nn import test_convolution as unrotated
from tests.nn.checks import EPS, cast, check_on_stand_in, check_precision, check_pullback, distance, numbers
from tests.nn.test_convolution import CASES, case, channels, features, paths_of, small_graph

graph = unrotated.graph                                        # the fixture: graphs of all kinds
SLOPE = np.sqrt(0.5)
PLACES = np.array([[0, 1, 0], [0, -1, 0], [0, 2.5, 0], [1e-9, 1, -1e-9], [1e-160, -1, 0], [0, 1, 1e-30],    # the poles
                   [SLOPE, SLOPE, 0], [0, SLOPE, -SLOPE], [SLOPE, -SLOPE, 1e-9],  # where the other angles take over
                   [1, 0, 0], [0, 0, -3], [0.3, 0.4, 0.5], [1, -0.7, 2]])
degrees = st.integers(0, 6)


def places(graph, points=PLACES):
    """Edge vectors (e,3) that take every one of these points."""
    return points[np.arange(graph.n_edges) % len(points)]


def arguments(name, graph):
    """terms, and random w and h, of the cases of test_convolution."""
    terms = paths_of(name)
    return terms, numbers(graph.n_edges, weight_count(terms, channels(CASES[name][0])), seed=1), features(
        CASES[name][0], graph.n_atoms)


def full(lmax, group, graph):
    """The same with all paths between features of every degree to lmax; `both`: natural and unnatural parities."""
    irreps = tuple(Irrep(l, p if group == "both" else (-1) ** l if group == "O(3)" else 1)
                   for l in range(lmax + 1) for p in ((1, -1) if group == "both" else (1,)))
    terms = paths(irreps, lmax, irreps, "SO(3)" if group == "SO(3)" else "O(3)")
    h = {irrep: numbers(graph.n_atoms, irrep.dim, 2, seed=irrep.l) for irrep in irreps}
    return terms, numbers(graph.n_edges, weight_count(terms, dict.fromkeys(irreps, 2)), seed=1), h


def by_harmonics(terms, w, h, vec, graph):
    """`convolve` of the harmonics of vec, and the pullback of both."""
    lmax = max((path.l for path in terms), default=0)
    Y, pull_Y = spherical_harmonics_and_pull(lmax, vec)
    y, pull = convolve(terms, w, h, Y, graph)

    def pull_both(dy):
        dw, dh, dY = pull(dy)
        return dw, dh, pull_Y(dY)
    return y, pull_both


def both_forms(terms, w, h, vec, graph, scale=1.0):
    """[value, cotangents] of the two forms; the cotangent of vec times |vec|, so that all its rows count alike."""
    results = []
    for form in (convolve_rotated, by_harmonics):
        y, pull = form(terms, w, h, vec, graph)
        dw, dh, dvec = pull({irrep: scale * numbers(*x.shape, seed=irrep.l).astype(x.dtype) for irrep, x in y.items()})
        results.append([y, dw, dh, dvec * np.sqrt((vec * vec).sum(1, keepdims=True))])
    return results


# --- the same function ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("group", ["O(3)", "SO(3)", "both"])
@settings(max_examples=15)                                     # each of them all paths of its degrees, at five places
@given(lmax=degrees, xyz=draw.points(n=5, extreme=False))
def test_P35_rotate_to_edge_is_the_convolution(group, lmax, xyz):
    """Values and all cotangents, on the axes and beside them.  D and Y are good to some l eps and sums of some hundred
    products round at random: 100 eps of the largest entry (2e-14)."""
    some = small_graph()
    terms, w, h = full(lmax if group != "both" else min(lmax, 3), group, some)
    assert distance(*both_forms(terms, w, h, places(some, xyz), some)) <= 100 * EPS


@pytest.mark.parametrize("lmax", range(7))
def test_P35_at_the_poles(lmax):
    """The same where a frame has no unique choice, and where one choice hands over to the other."""
    some = small_graph()
    terms, w, h = full(lmax, "SO(3)", some)
    assert distance(*both_forms(terms, w, h, places(some), some)) <= 100 * EPS


@case
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_P35_on_all_kinds_of_graphs(name, graph, dtype):
    terms, *args = arguments(name, graph)
    w, h, vec = (cast(x, dtype) for x in (*args, graph.vec))
    assert distance(*both_forms(terms, w, h, vec, graph)) <= 100 * np.finfo(dtype).eps


@pytest.mark.parametrize("lmax", [1, 3, 6])
def test_P35_complex_step_through_both_passes(lmax):
    """The change of values and cotangents along a random direction: what the loss on forces differentiates.  To the
    same 100 eps of the largest, also beside the poles: no derivative of a frame's free turn is left in it."""
    some, h, rng = small_graph(), 1e-30, np.random.default_rng(5)
    terms, w, x = full(lmax, "SO(3)", some)
    vec = places(some)
    moved = vec + 1j * h * rng.standard_normal(vec.shape) * np.sqrt((vec * vec).sum(1, keepdims=True))
    stepped = [w + 1j * h * rng.standard_normal(w.shape), {k: v * (1 + 1j * h) for k, v in x.items()}, moved]
    found, expected = both_forms(terms, *stepped, some, scale=1 + 0.5j * h)
    assert distance(found, expected) <= 100 * EPS

    def slopes(tree):
        return [{k: v.imag / h for k, v in part.items()} if isinstance(part, dict) else part.imag / h for part in tree]
    assert distance(slopes(found), slopes(expected)) <= 100 * EPS


@given(lmax=degrees, xyz=draw.points(n=6, extreme=False))
def test_frames_turn_edges_to_the_axis(lmax, xyz):
    """D^1 = R takes the edge to y, and D^l is the representation of this R: to the rounding of D (see test_wigner)."""
    xyz = np.concatenate([xyz, PLACES[:12]])
    D = [d.swapaxes(1, 2).reshape(len(xyz), 2 * l + 1, -1) for l, d in enumerate(rotated._frames(lmax + 1, xyz, 3))]
    r = np.sqrt((xyz * xyz).sum(1, keepdims=True))
    assert np.abs(np.einsum("eij,ej->ei", D[1], xyz / r) - [0, 1, 0]).max() <= 8 * EPS
    assert (so3.determinant(D[1]) > 0).all()
    for l in range(lmax + 1):
        assert np.abs(D[l] - so3.wigner_D(l, D[1])).max() <= 16 * (l + 1) * EPS


@pytest.mark.parametrize("sign", [1, -1])
def test_P32_equivariance(sign):
    """Rotations, and reflections with their parities."""
    some = small_graph()
    terms, w, h = full(3, "both", some)
    y = convolve_rotated(terms, w, h, some.vec, some)[0]
    for R in sign * random_rotation(np.random.default_rng(2), 4):
        turned = convolve_rotated(terms, w, rotate_features(h, R), some.vec @ R.T, some)[0]
        assert distance(turned, rotate_features(y, R)) <= 500 * EPS


# --- the pullback ---------------------------------------------------------------------------------------------

@case
def test_P40_P41_pullbacks(name):
    some = small_graph()
    terms, *args = arguments(name, some)
    check_pullback(lambda w, h, vec: convolve_rotated(terms, w, h, vec, some), *args, some.vec, entries=4)


@pytest.mark.parametrize("lmax", range(1, 7))
def test_P41_at_the_poles(lmax):
    """45 eps, as in `check_pullback`."""
    some = small_graph()
    terms, *args = full(lmax, "SO(3)", some)
    for seed in range(3):
        assert pullback_violation(lambda w, h, vec: convolve_rotated(terms, w, h, vec, some), [*args, places(some)],
                                  np.random.default_rng(seed)) <= 45 * EPS


# --- controls: what the tests above must see ------------------------------------------------------------------

def coupling_unsigned(l2, l1, l3, diagonal=rotated._diagonal):
    columns, rows, t = diagonal(l2, l1, l3)
    return columns, rows, np.abs(t)


def not_reversed(l2, l1, l3, diagonal=rotated._diagonal):
    columns, rows, t = diagonal(l2, l1, l3)
    mu = len(t) // 2
    return slice(l1 - mu, l1 + mu + 1), rows, t


def one_degree_forgotten(l, dx, x, torque=rotated._torque):
    return torque(l, dx, x) * (l != 2)


def other_way_round(torque, R, vec, across=rotated._across):
    return -across(torque, R, vec)


def shallow_multiples(l, c, s, multiples=rotated._multiples):
    cos, sin = multiples(l, c, s)
    return cos, sin * (np.abs(np.arange(-l, l + 1)) < 3)[:, None]


WRONG = {"_diagonal": [coupling_unsigned, not_reversed], "_torque": [one_degree_forgotten],
         "_across": [other_way_round], "_multiples": [shallow_multiples]}


@pytest.mark.parametrize("name, wrong", [(name, wrong) for name in WRONG for wrong in WRONG[name]])
def test_P35_sees_one_wrong_term(monkeypatch, name, wrong):
    some = small_graph()
    monkeypatch.setattr(rotated, name, wrong)
    assert distance(*both_forms(*full(3, "SO(3)", some), some.vec, some)) > 1e-3


# --- precisions, devices, refusals ----------------------------------------------------------------------------

def test_precision_stays(graph):
    terms, *args = arguments("all parities", graph)
    check_precision(lambda w, h, vec: convolve_rotated(terms, w, h, vec, graph), *args, graph.vec)


def test_runs_on_the_stand_in(monkeypatch, graph):
    terms, *args = arguments("all parities", graph)

    def layer(w, h, vec):
        return convolve_rotated(terms, w, h, vec, graph if isinstance(w, np.ndarray) else to_device(graph))
    check_on_stand_in(monkeypatch, layer, *args, graph.vec)


def test_a_wrong_number_of_weights_is_refused():
    some = small_graph()
    terms, w, h = arguments("natural parities", some)
    with pytest.raises(ValueError, match=f"take {w.shape[1]} radial weights for each edge; got {w.shape[1] - 1}"):
        convolve_rotated(terms, w[:, 1:], h, some.vec, some)
