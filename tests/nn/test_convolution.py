"""The convolution: paths by their selection rules, two forms that agree, equivariance (P32), split irreps (P34), and
pullbacks (P40, P41), on graphs of all kinds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from se3ref.backend import to_device
from se3ref.nn import convolution
from se3ref.nn.convolution import Path, convolve, convolve_by_edges, output_channels, paths, weight_count
from se3ref.so3 import Irrep, clebsch_gordan, random_rotation, rotate_features, spherical_harmonics
from se3ref.systems import Structure, datasets, neighbor_graph
from se3ref.systems import graph as graphs
from se3ref.verify.gradients import pullback_violation
from tests.nn.checks import EPS, cast, check_on_stand_in, check_precision, check_pullback, distance, numbers
from tests.nn.test_linear import channels, features

S, V = Irrep(0, 1), Irrep(1, -1)


def cluster(n=8, seed=3):
    """Atoms with different numbers of neighbours, in no order, and one of them alone."""
    places = np.random.default_rng(seed).random((n, 3)) * 3.0
    places[2] = 20.0
    return Structure([6] * n, places)


COPPER = Structure([29], [[0.0, 0.0, 0.0]], 1.8 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]), True)
SMALL_CELL = Structure([11, 17], [[0, 0, 0], [1.2, 0.9, 1.4]], [[2.4, 0.1, 0.4], [0, 2.5, 0.1], [0.3, 0, 2.6]], True)
APART = Structure([6, 6], [[0, 0, 0], [9.0, 0, 0]])


@pytest.fixture(params=["cluster", "one after another", "self-images", "small cell", "batch", "no edges", "one atom"])
def graph(request, monkeypatch):
    """Graphs of all kinds; blocks of at most 16 edges, so that atoms of equal count make several."""
    monkeypatch.setattr(graphs, "EDGES_PER_BLOCK", 16)
    ethanol = datasets.load("ethanol")
    return neighbor_graph({
        "cluster": cluster(), "one after another": [ethanol.structure(k) for k in range(2)], "self-images": COPPER,
        "small cell": SMALL_CELL, "batch": [cluster(5), COPPER, APART, cluster(6, 1)], "no edges": [APART, APART],
        "one atom": Structure([1], [[0.0, 0, 0]])}[request.param], 9.0 if "another" in request.param else 2.6)


CASES = {                                                      # irreps of h, lmax, irreps of y, group
    "natural parities": ("3x0e+2x1o+1x2e", 2, "0e+1o+2e", "O(3)"),
    "all parities": ("2x0e+1x0o+2x1o+1x1e+1x2e+1x2o", 2, "0e+0o+1o+1e+2e+2o", "O(3)"),
    "SO(3)": ("2x0e+3x1e+1x2e", 2, "0e+1e+2e", "SO(3)"),
    "lmax 3, to scalars and l = 3": ("2x0e+1x2e+1x3o", 3, "0e+3o", "O(3)"),
    "an irrep that no path takes": ("2x0e+1x3o", 1, "1o", "O(3)"),
}
case = pytest.mark.parametrize("name", CASES)


def paths_of(name):
    irreps, lmax, out, group = CASES[name]
    return paths(tuple(channels(irreps)), lmax, tuple(map(Irrep.parse, out.split("+"))), group)


def arguments(name, graph, dtype=np.float64):
    """terms, and random w, h and the harmonics of the edges."""
    irreps, lmax = CASES[name][:2]
    terms, h = paths_of(name), features(irreps, graph.n_atoms)
    w = numbers(graph.n_edges, weight_count(terms, channels(irreps)), seed=1)
    return terms, *(cast(x, dtype) for x in (w, h, spherical_harmonics(lmax, graph.vec)))


def small_graph():
    graph = neighbor_graph(cluster(), 2.6)
    kinds = {type(block.nodes) for block in graph.blocks}
    assert len({block.count for block in graph.blocks}) > 1 and kinds == {slice, np.ndarray}
    return graph


# --- paths ----------------------------------------------------------------------------------------------------

irrep_sets = st.sets(st.builds(Irrep, st.integers(0, 4), st.sampled_from([1, -1])), min_size=1, max_size=6).map(tuple)


@given(irrep_sets, st.integers(0, 4), irrep_sets)
def test_P23_paths_obey_the_selection_rules(irreps_h, lmax, irreps_y):
    """|l1-l2| <= l3 <= l1+l2, and in O(3) the parity (-1)^l2 of the harmonics; every one, once, sorted."""
    for group in ("O(3)", "SO(3)"):
        expected = [Path(h, l, y) for h in irreps_h for l in range(lmax + 1) for y in irreps_y
                    if abs(h.l - l) <= y.l <= h.l + l and y.p == h.p * ((-1) ** l if group == "O(3)" else 1)]
        assert list(paths(irreps_h, lmax, irreps_y, group)) == sorted(expected)


def test_channels_and_weights_of_paths():
    terms = paths((S, V), 1, (S, V))
    assert terms == (Path(S, 0, S), Path(S, 1, V), Path(V, 0, V), Path(V, 1, S))
    assert weight_count(terms, {S: 3, V: 2}) == 3 + 3 + 2 + 2
    assert output_channels(terms, {S: 3, V: 2}) == {S: 3 + 2, V: 3 + 2}


# --- values ---------------------------------------------------------------------------------------------------

@case
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
def test_the_fast_form_is_the_readable_one(name, graph, dtype):
    """Values and all cotangents.  Sums of some hundred products in another order, whose rounding adds up at random:
    100 eps of the largest entry (2e-14 in float64)."""
    terms, w, h, Y = arguments(name, graph, dtype)
    if np.dtype(dtype).kind == "c":
        w, Y = w * (1 + 0.3j), Y * (1 - 0.2j)
    (fast, pull_fast), (readable, pull_readable) = (f(terms, w, h, Y, graph) for f in (convolve, convolve_by_edges))
    assert {irrep: x.shape[2] for irrep, x in fast.items()} == output_channels(terms, channels(CASES[name][0]))
    assert distance(fast, readable) <= 100 * np.finfo(dtype).eps
    dy = {irrep: numbers(*x.shape, seed=irrep.l).astype(dtype) for irrep, x in fast.items()}
    assert distance(pull_fast(dy), pull_readable(dy)) <= 100 * np.finfo(dtype).eps


@pytest.mark.parametrize("form", [convolve, convolve_by_edges])
def test_P29_scalars_and_vectors_by_hand(form):
    """With u the unit vectors, Y_1 = sqrt(3) u: sums of w s, sqrt(3) w u s, w v, and w u.v (C = 1/sqrt(3) there)."""
    graph = small_graph()
    terms, h = paths((S, V), 1, (S, V)), features("2x0e+3x1o", graph.n_atoms)
    w, u = numbers(graph.n_edges, 10), graph.vec / np.sqrt((graph.vec**2).sum(1, keepdims=True))
    s, v = h[S][graph.senders], h[V][graph.senders]
    w1, w2, w3, w4 = (x[:, None] for x in np.split(w, [2, 4, 7], axis=1))
    scalars = [w1 * s, w4 * (u[:, :, None] * v).sum(1, keepdims=True)]
    vectors = [w2 * np.sqrt(3) * u[:, :, None] * s, w3 * v]
    expected = {S: np.zeros((graph.n_atoms, 1, 5)), V: np.zeros((graph.n_atoms, 3, 5))}
    for irrep, parts in ((S, scalars), (V, vectors)):
        np.add.at(expected[irrep], graph.receivers, np.concatenate(parts, axis=2))
    assert distance(form(terms, w, h, spherical_harmonics(1, graph.vec), graph)[0], expected) <= 30 * EPS


@case
def test_every_path_contributes(name):
    """Its weights alone give something, in its own channels only."""
    graph = small_graph()
    terms, w, h, Y = arguments(name, graph)
    start, used = 0, {}
    for path in terms:
        c, alone = h[path.h].shape[2], np.zeros_like(w)
        alone[:, start:start + c] = w[:, start:start + c]
        first = used.get(path.y, 0)
        start, used[path.y] = start + c, first + c
        y = convolve(terms, alone, h, Y, graph)[0]
        own = y[path.y][:, :, first:first + c].copy()
        y[path.y][:, :, first:first + c] = 0
        assert np.abs(own).max() > 0.1 and not any(x.any() for x in y.values())


def test_isolated_atoms_receive_and_give_nothing():
    graph = small_graph()
    terms, w, h, Y = arguments("natural parities", graph)
    y, pull = convolve(terms, w, h, Y, graph)
    dh = pull({irrep: x + 1 for irrep, x in y.items()})[1]
    assert all(not x[2].any() and x[[0, 1]].any() for x in (*y.values(), *dh.values()))


# --- symmetries -----------------------------------------------------------------------------------------------

def violation(terms, h, lmax, R, form=convolve):
    """The largest entry of convolve(D h, Y(R x)) - D convolve(h, Y(x)), relative to the largest of y."""
    graph = small_graph()
    w = numbers(graph.n_edges, weight_count(terms, {irrep: x.shape[2] for irrep, x in h.items()}))
    y, turned = (form(terms, w, x, spherical_harmonics(lmax, vec), graph)[0]
                 for x, vec in ((h, graph.vec), (rotate_features(h, R), graph.vec @ R.T)))
    return distance(turned, rotate_features(y, R))


@case
@pytest.mark.parametrize("form", [convolve, convolve_by_edges])
def test_P32_equivariance(name, form):
    """Rotations, and in O(3) reflections too; D and Y are good to some l eps, sums add some hundred products."""
    irreps, lmax, _, group = CASES[name]
    for R in random_rotation(np.random.default_rng(2), 3):
        for improper in (1, -1) if group == "O(3)" else (1,):
            assert violation(paths_of(name), features(irreps, 8), lmax, improper * R, form) <= 500 * EPS


def test_P32_sees_a_path_of_the_wrong_parity():
    """1o times 1o to a vector is a cross product, 1e: called 1o it passes rotations, and fails reflections."""
    terms, h, R = (Path(V, 1, V),), features("2x1o", 8), random_rotation(np.random.default_rng(2))
    assert violation(terms, h, 1, R) <= 500 * EPS and violation(terms, h, 1, -R) > 0.1


def test_P32_sees_one_wrong_coefficient(monkeypatch):
    """One entry of C off by 1e-6: eight orders above the rounding."""
    def wrong(*degrees):
        C = clebsch_gordan(*degrees).copy()
        C[0, 0, 0] += 1e-6 if degrees == (2, 1, 1) else 0
        return C
    convolution._layout.cache_clear()
    monkeypatch.setattr(convolution, "clebsch_gordan", wrong)
    found = violation(paths((V,), 2, (V,)), features("2x1o", 8), 2, random_rotation(np.random.default_rng(2)))
    convolution._layout.cache_clear()
    assert 1e-8 < found < 1e-5


def test_P34_equal_irreps_split_or_merged():
    """The convolution never mixes channels: parts of them, with their own columns of w, give the parts of y."""
    graph, terms = small_graph(), paths((S, V), 2, (S, V))
    h, Y = features("3x0e+3x1o", graph.n_atoms), spherical_harmonics(2, graph.vec)
    w = numbers(graph.n_edges, len(terms), 3)

    def run(part):
        y, _ = convolve(terms, w[:, :, part].reshape(len(w), -1), {k: x[:, :, part] for k, x in h.items()}, Y, graph)
        return {k: x.reshape(*x.shape[:2], -1, len(range(3)[part])) for k, x in y.items()}     # (n,m,paths,channels)
    first, others = run(slice(0, 1)), run(slice(1, 3))
    assert distance(run(slice(0, 3)), {k: np.concatenate([first[k], others[k]], axis=3) for k in first}) <= 30 * EPS


# --- pullbacks ------------------------------------------------------------------------------------------------

@case
@pytest.mark.parametrize("form", [convolve, convolve_by_edges])
def test_P40_P41_pullbacks(name, form):
    graph = small_graph()
    terms, *args = arguments(name, graph)
    check_pullback(lambda w, h, Y: form(terms, w, h, Y, graph), *args, entries=4)


def test_P41_on_all_kinds_of_graphs(graph):
    """45 eps, as in `check_pullback`; without edges there is nothing to differentiate, and all is zero."""
    terms, *args = arguments("all parities", graph)
    if graph.n_edges:
        assert pullback_violation(lambda w, h, Y: convolve(terms, w, h, Y, graph), args,
                                  np.random.default_rng(3)) <= 45 * EPS
        return
    y, pull = convolve(terms, *args, graph)
    dw, dh, dY = pull({irrep: x + 1 for irrep, x in y.items()})
    assert dw.shape == args[0].shape and dY.shape == args[2].shape and {k: x.shape for k, x in dh.items()} == {
        k: x.shape for k, x in args[1].items()}
    assert not any(x.any() for x in (*y.values(), *dh.values()))


WRONG = {                                                      # one term of the pullback each
    "last path of dw halved": lambda dw, dh, dY, graph: (np.hstack([dw[:, :-1], dw[:, -1:] / 2]), dh, dY),
    "dh not brought to the senders": lambda dw, dh, dY, graph: (
        dw, {k: x[::-1] for k, x in dh.items()}, dY),
    "no derivative to l = 2": lambda dw, dh, dY, graph: (dw, dh, dY * (np.arange(9) < 4)),
    "sign of dY": lambda dw, dh, dY, graph: (dw, dh, -dY),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_P41_sees_one_wrong_term(wrong):
    graph = small_graph()
    terms, *args = arguments("natural parities", graph)

    def layer(w, h, Y):
        y, pull = convolve(terms, w, h, Y, graph)
        return y, lambda dy: WRONG[wrong](*pull(dy), graph)
    assert pullback_violation(layer, args, np.random.default_rng(3)) > 1e-5


# --- precisions, devices, refusals ----------------------------------------------------------------------------

@pytest.mark.parametrize("form", [convolve, convolve_by_edges])
def test_precision_stays(graph, form):
    terms, *args = arguments("all parities", graph)
    check_precision(lambda w, h, Y: form(terms, w, h, Y, graph), *args)


@pytest.mark.parametrize("form", [convolve, convolve_by_edges])
def test_runs_on_the_stand_in(monkeypatch, graph, form):
    terms, *args = arguments("all parities", graph)

    def layer(w, h, Y):
        return form(terms, w, h, Y, graph if isinstance(w, np.ndarray) else to_device(graph))
    check_on_stand_in(monkeypatch, layer, *args)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_the_order_in_memory_changes_nothing(dtype):
    """Features and cotangents with channels outermost in memory, as `features_from_flat` gives them."""
    graph = small_graph()
    terms, w, h, Y = arguments("all parities", graph, dtype)
    results = []
    for order in (np.ascontiguousarray, np.asfortranarray):
        y, pull = convolve(terms, w, {irrep: order(x) for irrep, x in h.items()}, Y, graph)
        results.append([y, pull({irrep: order(x) for irrep, x in y.items()})])
    assert distance(*results) <= 100 * EPS


@pytest.mark.parametrize("form", [convolve, convolve_by_edges])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_number_of_weights_is_refused(form, change):
    graph = small_graph()
    terms, w, h, Y = arguments("natural parities", graph)
    count = w.shape[1]
    w = np.ones((len(w), count + change))
    with pytest.raises(ValueError, match=f"take {count} radial weights for each edge; got {count + change}"):
        form(terms, w, h, Y, graph)
