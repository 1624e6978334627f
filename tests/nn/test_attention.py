"""Attention over neighbours: weights are invariant and sum to 1 (P37), nothing jumps at the cutoff (P57), and the
pullbacks are transposes (P40, P41)."""

import numpy as np
import pytest

from se3ref.nn.attention import attend, attention_logits, attention_weights
from se3ref.nn.convolution import output_channels, paths, weight_count
from se3ref.nn.radial import envelope
from se3ref.so3 import Irrep, clebsch_gordan, degree, random_rotation, rotate_features
from se3ref.so3.harmonics import spherical_harmonics
from se3ref.systems import Structure, neighbor_graph
from se3ref.verify.gradients import pullback_violation

CUTOFF, CHANNELS, HEADS = 3.0, 4, 2
IRREPS = (Irrep(0, 1), Irrep(1, -1), Irrep(2, 1))
TERMS = paths(IRREPS, 2, IRREPS)
EPS = np.finfo(float).eps
AND_ONE_ALONE = [[9.0, 9.0, 9.0]]


def case(dtype=np.float64):
    """A graph of 7 atoms, one of them alone, and random w, q, h, Y, u for it."""
    rng = np.random.default_rng(0)
    places = np.vstack([rng.random((6, 3)) * 3, AND_ONE_ALONE])
    graph = neighbor_graph(Structure([6] * 7, places), CUTOFF)
    assert len({b.count for b in graph.blocks}) > 1
    channels = dict.fromkeys(IRREPS, CHANNELS)
    h = {irrep: rng.standard_normal((7, irrep.dim, CHANNELS)).astype(dtype) for irrep in IRREPS}
    q = {irrep: rng.standard_normal((7, irrep.dim, c)).astype(dtype)
         for irrep, c in output_channels(TERMS, channels).items()}
    w = rng.standard_normal((graph.n_edges, weight_count(TERMS, channels))).astype(dtype)
    graph = graph.cast(dtype)
    u = rng.random(graph.n_edges).astype(dtype)
    return graph, w, q, h, spherical_harmonics(2, graph.vec), u


def by_edges(graph, w, h, Y, e):
    """The message of one edge, straight from its definition: {irrep: (2l+1, paths * channels)}."""
    out, start = {}, 0
    for path in TERMS:
        weights = w[e, start:start + CHANNELS]
        message = np.einsum("abm,a,bc->mc", clebsch_gordan(path.l, path.h.l, path.y.l), Y[e, degree(path.l)],
                            h[path.h][graph.senders[e]] * weights)
        out.setdefault(path.y, []).append(message)
        start += CHANNELS
    return {irrep: np.concatenate(parts, axis=1) for irrep, parts in out.items()}


def head_slices(columns):
    """For each head, the columns of a feature that belong to it: paths side by side, channels divided in each."""
    head = np.arange(columns) % CHANNELS // (CHANNELS // HEADS)
    return [np.flatnonzero(head == k) for k in range(HEADS)]


def test_logits_and_values_are_their_definitions():
    """Keys and values built edge by edge; sums of some hundred products."""
    graph, w, q, h, Y, u = case()
    s, _ = attention_logits(TERMS, w, q, h, Y, graph, HEADS)
    a, _ = attention_weights(s, u, graph)
    y, _ = attend(TERMS, a, w, h, Y, graph)
    expected = {irrep: np.zeros_like(x) for irrep, x in y.items()}
    for e, i in enumerate(graph.receivers):
        message = by_edges(graph, w, h, Y, e)
        for k in range(HEADS):
            inner = sum((q[irrep][i] * m)[:, head_slices(m.shape[1])[k]].sum() for irrep, m in message.items())
            assert abs(s[e, k] - inner) <= 500 * EPS * np.abs(s).max()
            for irrep, m in message.items():
                own = head_slices(m.shape[1])[k]
                expected[irrep][i][:, own] += a[e, k] * m[:, own]
    for irrep in y:
        assert np.abs(y[irrep] - expected[irrep]).max() <= 500 * EPS * np.abs(y[irrep]).max()


def test_P37_weights_sum_to_one_or_to_zero():
    graph, w, q, h, Y, u = case()
    a, _ = attention_weights(attention_logits(TERMS, w, q, h, Y, graph, HEADS)[0], u, graph)
    sums = graph.sum_edges(a)
    assert (a > 0).all() and np.abs(sums[:6] - 1).max() <= 1e-14 and not sums[6].any()


def test_P37_weights_are_invariant_and_values_turn():
    graph, w, q, h, Y, u = case()
    for R in [*random_rotation(np.random.default_rng(1), 3), -np.eye(3)]:
        turned, q_t, h_t = graph.at(graph.positions @ R.T), rotate_features(q, R), rotate_features(h, R)
        Y_t = spherical_harmonics(2, turned.vec)
        s, s_t = (attention_logits(TERMS, w, *x, graph, HEADS)[0] for x in ((q, h, Y), (q_t, h_t, Y_t)))
        a, a_t = attention_weights(s, u, graph)[0], attention_weights(s_t, u, graph)[0]
        assert np.abs(s - s_t).max() <= 1e-13 * np.abs(s).max() and np.abs(a - a_t).max() <= 1e-14
        y = rotate_features(attend(TERMS, a, w, h, Y, graph)[0], R)
        y_t = attend(TERMS, a_t, w, h_t, Y_t, graph)[0]
        assert max(np.abs(y[irrep] - y_t[irrep]).max() for irrep in y) <= 1e-12


def test_P41_pullbacks():
    rng = np.random.default_rng(2)
    graph, w, q, h, Y, u = case()
    a = rng.random((graph.n_edges, HEADS))
    assert pullback_violation(lambda w, q, h, Y: attention_logits(TERMS, w, q, h, Y, graph, HEADS),
                              [w, q, h, Y], rng) <= 1e-14
    assert pullback_violation(lambda s, u: attention_weights(s, u, graph), [3 * a, u], rng) <= 1e-14
    assert pullback_violation(lambda a, w, h, Y: attend(TERMS, a, w, h, Y, graph), [a, w, h, Y], rng) <= 1e-14


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.complex128])
def test_precision_stays(dtype):
    graph, w, q, h, Y, u = case(dtype)
    s, pull_s = attention_logits(TERMS, w, q, h, Y, graph, HEADS)
    a, pull_a = attention_weights(s, u, graph)
    y, pull_y = attend(TERMS, a, w, h, Y, graph)
    da, dw, dh, dY = pull_y(y)
    ds, du = pull_a(da)
    dw_k, dq, dh_k, dY_k = pull_s(ds)
    assert {x.dtype for x in (s, a, da, dw, dY, ds, du, dw_k, dY_k, *y.values(), *dh.values(), *dq.values())} \
        == {np.dtype(dtype)}


def test_large_logits_and_common_offsets():
    """Weights are invariant to an offset of an atom's logits; exp(2000) would be infinite."""
    graph, _, _, _, _, u = case()
    s = np.random.default_rng(3).standard_normal((graph.n_edges, HEADS))
    offset = np.array([2000.0, -2000.0, 700.0, 0, 0, 0, 0])[graph.receivers][:, None]
    a, b = attention_weights(s, u, graph)[0], attention_weights(s + offset, u, graph)[0]
    assert np.abs(a - b).max() <= 2000 * EPS                   # the offset itself is rounded


def test_edges_without_envelope_count_as_none():
    graph, _, _, _, _, u = case()
    s = np.random.default_rng(3).standard_normal((graph.n_edges, HEADS))
    gone = graph.receivers == 2
    u[gone] = [0.0, -1e-20] + [0.0] * (gone.sum() - 2)
    a, pull = attention_weights(s, u, graph)
    assert not a[gone].any() and np.abs(graph.sum_edges(a)[[0, 1, 3, 4, 5]] - 1).max() <= 1e-14
    ds, du = pull(np.ones_like(a))
    assert not ds[gone].any() and not du[gone].any()


def test_no_edges():
    graph = neighbor_graph(Structure([6, 6], [[0, 0, 0], [9.0, 0, 0]]), CUTOFF)
    _, w, q, h, _, _ = case()
    h, q = ({irrep: x[:2] for irrep, x in feature.items()} for feature in (h, q))
    Y = np.zeros((0, 9))
    s, pull_s = attention_logits(TERMS, w[:0], q, h, Y, graph, HEADS)
    a, pull_a = attention_weights(s, np.zeros(0), graph)
    y, pull_y = attend(TERMS, a, w[:0], h, Y, graph)
    assert a.shape == (0, HEADS) and not any(x.any() for x in y.values())
    assert not any(x.any() for x in pull_s(pull_a(pull_y(y)[0])[0])[1].values())


def test_heads_divide_the_channels():
    graph, w, q, h, Y, _ = case()
    with pytest.raises(ValueError, match="3 heads"):
        attention_logits(TERMS, w, q, h, Y, graph, 3)


# --- the cutoff -----------------------------------------------------------------------------------------------

def leaving(r, naive=False):
    """y of an atom whose neighbours stand at distances r (k,), by (2) and (3): envelope in weights and values; naive:
    in the weights alone.  Logits and values vary smoothly with r."""
    u, _ = envelope(r, CUTOFF)
    k = np.arange(1, len(r) + 1)
    star = np.vstack([np.zeros(3), np.eye(3), -np.eye(3)])[:len(r) + 1]
    graph = neighbor_graph(Structure([1] * len(star), star), 1.2)
    edges = slice(0, len(r))                                   # those that arrive at the first atom
    s, all_u = np.zeros((graph.n_edges, 1), r.dtype), np.ones(graph.n_edges, r.dtype)
    s[edges, 0], all_u[edges] = np.sin(k * r) * u, u
    a = attention_weights(s, all_u, graph)[0][edges, 0]
    return (a * (1 if naive else u) * np.cos(r / k)).sum()


@pytest.mark.parametrize("others", [[1.0, 2.0], [1.0], []], ids=["two stay", "one stays", "the last leaves"])
@pytest.mark.parametrize("together", [1, 2])
@pytest.mark.parametrize("t", [1e-3, 1e-4])
def test_P57_neighbours_leave_smoothly(others, together, t):
    """t angstrom before one neighbour leaves, or two do at different speeds, y differs from what the others make by
    t^3, its slope by t^2, and its second one by t: as the envelope, u = 56 (t/cutoff)^3, with room for a factor 4."""
    speeds, h = np.array([1.0, 0.6])[:together], 1e-30

    def y(t, h=0.0):
        return leaving(np.array([*others, *(CUTOFF - speeds * (t + 1j * h))]))
    slope, steeper = y(t, h).imag / h, y(2 * t, h).imag / h
    change = y(t).real - (leaving(np.array(others)) if others else 0)
    limit = 4 * 56 / CUTOFF**3
    assert 0 < abs(change) <= limit * t**3
    assert 0 < abs(slope) <= 3 * limit * t**2
    assert abs(steeper - slope) / t <= 3 * 3 * limit * t       # (2t)^2 - t^2 = 3 t^2


def test_P57_sees_the_envelope_missing_from_the_values():
    """The last neighbour keeps the weight 1 to the end; where another one stays, nothing is to be seen."""
    near = CUTOFF - 1e-4
    assert abs(leaving(np.array([near]), naive=True)) > 0.1
    assert abs(leaving(np.array([1.0, near]), naive=True) - leaving(np.array([1.0]), naive=True)) < 1e-10
