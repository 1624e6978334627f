"""Nonlinearities: equivariant under rotations and reflections (P32), equal irreps may be split (P34), and their
pullbacks are transposes (P40, P41); what treats single components is caught."""

import numpy as np
import pytest
from scipy.special import expit

from se3ref.nn import gate
from se3ref.so3 import Irrep, Irreps
from se3ref.verify import check_equivariance
from tests.nn.checks import EPS, PRECISIONS, cast, distance
from tests.nn.checks import numbers as random_numbers
from tests.nn.test_linear import channels, features, on_flat

OUT = "3x0e+2x0o+3x1o+2x1e+2x2e+1x2o"                          # natural and unnatural parities
GATED_IN = "11x0e+2x0o+3x1o+2x1e+2x2e+1x2o"                    # 3 + 8 gates
SCALAR, VECTOR = Irrep(0, 1), Irrep(1, -1)


def biases(irreps):
    return {str(irrep): random_numbers(count, seed=irrep.l) for count, irrep in Irreps(irreps)}


def scales(irreps):
    """Parameters of `layer_norm`, none of them special."""
    return {name: {key: x + random_numbers(*x.shape, seed=len(key)) for key, x in part.items()}
            for name, part in gate.init_layer_norm(channels(irreps)).items()}


LAYERS = {
    "gated": (gate.gated, features(GATED_IN)),
    "gated, without tensors": (gate.gated, features("4x0e+2x0o")),
    "gated, all scalars are gates": (gate.gated, features("3x0e+2x1o+1x1e")),
    "gated, scalars only": (gate.gated, features("4x0e")),
    "gated, pseudoscalars only": (gate.gated, features("3x0o")),
    "gated, opening by silu": (lambda h: gate.gated(h, "silu"), features(GATED_IN)),
    "norm_activation": (gate.norm_activation, biases(OUT), features(OUT)),
    "layer_norm": (gate.layer_norm, scales(OUT), features(OUT)),
    "layer_norm, vectors only": (gate.layer_norm, scales("3x1o"), features("3x1o")),
}


# --- equivariance ---------------------------------------------------------------------------------------------

PARAMS = {"gated": [], "norm_activation": [biases(OUT)], "layer_norm": [scales(OUT)]}


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", PARAMS)
def test_P32_under_rotations_and_reflections(name, dtype):
    params, irreps_in = [cast(tree, dtype) for tree in PARAMS[name]], GATED_IN if name == "gated" else OUT
    layer = on_flat(lambda h: getattr(gate, name)(*params, h), irreps_in, OUT)
    report = check_equivariance(layer, irreps_in, OUT, dtype=dtype)
    assert report.passed, report


def relu_of_components(h):
    return {irrep: np.where(x > 0, x, 0) for irrep, x in h.items()}, None


def silu_of_pseudoscalars(h):
    y, pull = gate.gated(h)
    return {**y, Irrep(0, -1): gate.silu(h[Irrep(0, -1)])[0]}, pull


def offset_on_vectors(h):
    params = scales(OUT)
    params["1o"]["offset"] = np.ones(3)
    return gate.layer_norm(params, h)


def mean_off_vectors(h):
    """One component's mean is taken from all: it knows the axes."""
    y, pull = gate.layer_norm(scales(OUT), h)
    return {irrep: x - x.mean(1, keepdims=True) if irrep == VECTOR else x for irrep, x in y.items()}, pull


@pytest.mark.parametrize("layer, irreps_in, proper", [
    (relu_of_components, OUT, True), (offset_on_vectors, OUT, True), (mean_off_vectors, OUT, True),
    (silu_of_pseudoscalars, GATED_IN, False)])
def test_P32_sees_what_is_not_equivariant(layer, irreps_in, proper):
    """A function that is not odd on pseudoscalars passes all rotations: only reflections see it."""
    report = check_equivariance(on_flat(layer, irreps_in, OUT), irreps_in, OUT)
    assert not report.passed and report.improper > 0.01
    assert report.proper > 0.01 if proper else report.proper < 1e-13


def test_P32_pseudoscalars_alone():
    """They need no gate, and tanh turns its sign with them: exactly."""
    h, odd = features("3x0o"), Irrep(0, -1)
    assert gate.gate_channels({odd: 3}) == {odd: 3}
    (y, _), (mirrored, _) = gate.gated(h), gate.gated({odd: -h[odd]})
    assert set(y) == {odd} and np.array_equal(y[odd], np.tanh(h[odd])) and np.array_equal(mirrored[odd], -y[odd])


def test_P34_gates_of_split_channels():
    """The channels of 1o in two parts, each with its own gates, side by side: nothing mixes channels."""
    h = features("5x0e+3x1o")
    kept, gates = h[SCALAR][:, :, :2], h[SCALAR][:, :, 2:]
    parts = [gate.gated({SCALAR: np.concatenate([kept, gates[:, :, part]], axis=2), VECTOR: h[VECTOR][:, :, part]})[0]
             for part in (slice(0, 1), slice(1, 3))]
    y = gate.gated(h)[0]
    assert distance(y[VECTOR], np.concatenate([part[VECTOR] for part in parts], axis=2)) == 0
    assert distance(y[SCALAR], parts[0][SCALAR]) == 0


@pytest.mark.parametrize("name", ["norm_activation", "layer_norm"])
def test_P34_channels_in_another_order(name):
    """Channels and their parameters permuted together; the mean over channels is summed in another order."""
    params, layer, h = *PARAMS[name], getattr(gate, name), features(OUT)

    def permute(tree):
        return {key: permute(x) if isinstance(x, dict) else x[..., ::-1] for key, x in tree.items()}
    assert distance(layer(permute(params), permute(h))[0], permute(layer(params, h)[0])) <= 16 * EPS


# --- gates ----------------------------------------------------------------------------------------------------

def test_gate_channels_are_those_that_gated_takes():
    assert gate.gate_channels(channels(OUT)) == channels(GATED_IN)
    assert gate.gate_channels({VECTOR: 3}) == {VECTOR: 3, SCALAR: 3}
    for irreps, wanted in ((GATED_IN, OUT), ("4x0e+2x0o", "4x0e+2x0o")):
        y, _ = gate.gated(features(irreps))
        assert {irrep: x.shape[2] for irrep, x in y.items()} == channels(wanted)


def test_gated_is_its_formula():
    """Gates in the order of the sorted irreps: 1o, 1e, 2o, 2e."""
    h = features(GATED_IN)
    s, start = h[SCALAR], 3
    expected = {SCALAR: s[:, :, :3] * expit(s[:, :, :3]), Irrep(0, -1): np.tanh(h[Irrep(0, -1)])}
    for irrep in map(Irrep.parse, ("1o", "1e", "2o", "2e")):
        c = h[irrep].shape[2]
        expected[irrep] = expit(s[:, :, start:start + c]) * h[irrep]
        start += c
    assert start == 11 and distance(gate.gated(h)[0], expected) <= 4 * EPS


# --- activations of norms -------------------------------------------------------------------------------------

def test_norm_activation_changes_lengths_and_keeps_directions():
    """|y| = |silu(|h| + b)|; the smooth norm is within eps^2/|h| = 1e-12 of |h|."""
    b, h = biases("3x1o"), features("3x1o")
    y = gate.norm_activation(b, h)[0][VECTOR]
    size, new = (np.sqrt((x * x).sum(1)) for x in (h[VECTOR], y))
    a = size + b["1o"]
    np.testing.assert_allclose(new, np.abs(a * expit(a)), atol=1e-11)
    assert np.abs(np.cross(y, h[VECTOR], axis=1)).max() <= 10 * EPS * (size * new).max()


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_nothing_breaks_where_features_vanish(dtype):
    """In a symmetric environment they vanish exactly: values are zero there, derivatives finite."""
    h = {irrep: 0 * x.astype(dtype) for irrep, x in features(OUT).items()}
    ones = {irrep: x + 1 for irrep, x in h.items()}
    for layer, params in ((gate.norm_activation, biases(OUT)), (gate.layer_norm, scales(OUT))):
        y, pull = layer(cast(params, dtype), h)
        dh = pull(ones)[1]
        assert all(not y[irrep].any() for irrep in h if irrep.l) and all(np.isfinite(x).all() for x in dh.values())


# --- layer norm -----------------------------------------------------------------------------------------------

def test_layer_norm_makes_mean_squares_one():
    """sum_m y^2 averaged over channels is 1, up to eps^2 over what it was; scalars have mean 0."""
    h = {irrep: 1e3 * x for irrep, x in features(OUT).items()}
    y, _ = gate.layer_norm(gate.init_layer_norm(channels(OUT)), h)
    for x in y.values():
        np.testing.assert_allclose((x * x).sum((1, 2)) / x.shape[2], 1, rtol=1e-9)
    assert np.abs(y[SCALAR].mean(2)).max() <= 4 * EPS


def test_layer_norm_forgets_the_size_of_features():
    h, params = features(OUT), scales(OUT)
    large, larger = (gate.layer_norm(params, {k: size * x for k, x in h.items()})[0] for size in (1e3, 1e6))
    assert distance(large, larger) <= 1e-9


def test_only_scalars_have_an_offset():
    params = gate.init_layer_norm(channels(OUT))
    assert {name for name, part in params.items() if "offset" in part} == {"0e"}
    assert all((part["scale"] == 1).all() for part in params.values()) and not params["0e"]["offset"].any()
