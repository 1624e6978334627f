"""Linear maps on irreps and perceptrons: they commute with rotations (P32), equal irreps may be split (P34), and
their pullbacks are transposes (P40, P41)."""

import numpy as np
import pytest

from se3ref.nn import linear
from se3ref.so3 import Irrep, Irreps, features_from_flat, flat_from_features
from se3ref.verify import check_equivariance
from tests.nn.checks import EPS, check_on_stand_in, distance, numbers

IRREPS = "5x0e+2x0o+3x1o+2x1e+2x2e+1x2o"                       # natural and unnatural parities
SPECIES = np.array([0, 2, 2, 0, 2])                            # of five atoms; there is none of species 1


def channels(irreps):
    return {irrep: count for count, irrep in Irreps(irreps)}


def features(irreps, n=5, seed=0):
    """A random feature {Irrep: (n,2l+1,c)}."""
    return features_from_flat(irreps, numbers(n, Irreps(irreps).dim, seed=seed))


def on_flat(layer, irreps_in, irreps_out):
    """The value of a layer of features as a function of flat arrays, for `check_equivariance`."""
    return lambda flat: flat_from_features(irreps_out, layer(features_from_flat(irreps_in, flat))[0])


def rows_of(species):
    return [np.flatnonzero(species == k) for k in range(3)]


OUT = "4x0e+1x0o+2x1o+5x1e+2x2e+3x2o"
RNG = np.random.default_rng(3)
WEIGHTS = linear.init_linear(RNG, channels(IRREPS), channels(OUT))
BY_SPECIES = linear.init_linear(RNG, channels(IRREPS), channels(OUT), 3)
LAYERS = {                                                     # with their parameters and their arguments
    "linear_map": (linear.linear_map, WEIGHTS, features(IRREPS)),
    "linear_map, fewer irreps": (linear.linear_map, {"1o": numbers(3, 2)}, features("3x1o")),
    "linear_map_by_species": (lambda params, h: linear.linear_map_by_species(params, h, rows_of(SPECIES)),
                              BY_SPECIES, features(IRREPS)),
    "mlp": (linear.mlp, linear.init_mlp(RNG, [4, 6, 5, 3]), numbers(7, 4)),
    "mlp of one layer": (linear.mlp, linear.init_mlp(RNG, [4, 3]), numbers(7, 4)),
}


def test_by_species_runs_on_the_stand_in(monkeypatch):
    """The rows of the species are on the device too."""
    check_on_stand_in(monkeypatch, lambda params, h, *rows: linear.linear_map_by_species(params, h, rows),
                      BY_SPECIES, features(IRREPS), *rows_of(SPECIES))


# --- on irreps ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("group", ["O(3)", "SO(3)"])
@pytest.mark.parametrize("name", ["linear_map", "linear_map_by_species"])
def test_P32_linear_maps_are_equivariant(name, group):
    layer, params, _ = LAYERS[name]
    report = check_equivariance(on_flat(lambda h: layer(params, h), IRREPS, OUT), IRREPS, OUT, group=group)
    assert report.passed, report


def test_P32_sees_a_bias_on_vectors():
    def biased(h):
        y, pull = linear.linear_map(WEIGHTS, h)
        return {irrep: x + 0.1 if irrep == Irrep(1, -1) else x for irrep, x in y.items()}, pull
    report = check_equivariance(on_flat(biased, IRREPS, OUT), IRREPS, OUT)
    assert not report.passed and report.violation > 0.01


def test_P34_equal_irreps_split_or_merged():
    """h W is the sum over parts of the channels of h and rows of W, and its columns are independent; 3 products."""
    h, W = features("3x1o"), {"1o": WEIGHTS["1o"]}
    y = linear.linear_map(W, h)[0]
    parts = [linear.linear_map({"1o": W["1o"][part]}, {Irrep(1, -1): h[Irrep(1, -1)][:, :, part]})[0]
             for part in (slice(0, 1), slice(1, 3))]
    assert distance(y, {Irrep(1, -1): sum(part[Irrep(1, -1)] for part in parts)}) <= 4 * EPS
    columns = [linear.linear_map({"1o": W["1o"][:, k:k + 1]}, h)[0][Irrep(1, -1)] for k in range(2)]
    assert distance(y, {Irrep(1, -1): np.concatenate(columns, axis=2)}) <= 4 * EPS


def test_P34_the_order_of_terms_in_flat_arrays_changes_nothing():
    flat = numbers(5, 14)
    merged, split = (features_from_flat(irreps, flat) for irreps in ("3x1o+1x2e", "1x1o+2x1o+1x2e"))
    params = linear.init_linear(np.random.default_rng(0), channels("3x1o+1x2e"), channels("2x1o+2x2e"))
    assert distance(linear.linear_map(params, merged)[0], linear.linear_map(params, split)[0]) == 0


def test_irreps_without_weights_are_not_passed_on():
    params = linear.init_linear(np.random.default_rng(0), channels("2x0e+3x1o"), channels("4x1o+1x2e"))
    assert {name: W.shape for name, W in params.items()} == {"1o": (3, 4)}
    y, pull = linear.linear_map(params, features("2x0e+3x1o"))
    assert set(y) == {Irrep(1, -1)} and set(pull(y)[0]) == {"1o"} and set(pull(y)[1]) == {Irrep(1, -1)}


def test_each_species_has_its_own_matrix():
    """Atom by atom; sums of up to 5 products."""
    h = features(IRREPS)
    y, pull = linear.linear_map_by_species(BY_SPECIES, h, rows_of(SPECIES))
    expected = {irrep: np.stack([x[i] @ BY_SPECIES[str(irrep)][SPECIES[i]] for i in range(5)])
                for irrep, x in h.items()}
    assert distance(y, expected) <= 8 * EPS
    dW, _ = pull(y)
    assert all(d.shape == BY_SPECIES[name].shape and not d[1].any() and d[[0, 2]].any((1, 2)).all()
               for name, d in dW.items())


def test_no_atoms_at_all():
    h = {irrep: x[:0] for irrep, x in features(IRREPS).items()}
    for name in ("linear_map", "linear_map_by_species"):
        layer, params, _ = LAYERS[name]
        layer = linear.linear_map if name == "linear_map" else lambda p, h: linear.linear_map_by_species(
            p, h, rows_of(SPECIES[:0]))
        y, pull = layer(params, h)
        dparams, dh = pull(y)
        assert all(x.shape[0] == 0 for x in (*y.values(), *dh.values()))
        assert all(d.shape == params[key].shape and not d.any() for key, d in dparams.items())


# --- perceptrons ----------------------------------------------------------------------------------------------

def test_a_perceptron_of_zero_is_zero():
    """No bias: so what carries the envelope in carries it out."""
    params = linear.init_mlp(np.random.default_rng(0), [4, 6, 5, 3])
    assert not linear.mlp(params, np.zeros((2, 4)))[0].any()
    small = linear.mlp(params, 1e-9 * numbers(2, 4))[0]
    assert 0 < np.abs(small).max() < 1e-7                      # and falls as its input does


def test_a_perceptron_is_its_formula():
    def silu(x):
        return x / (1 + np.exp(-x))
    params, x = linear.init_mlp(np.random.default_rng(0), [4, 6, 5, 3]), numbers(7, 4)
    expected = silu(silu(x @ params["0"]) @ params["1"]) @ params["2"]
    assert distance(linear.mlp(params, x)[0], expected) <= 50 * EPS


def test_weights_behind_an_activation_restore_its_size():
    """1.7^2 E[silu(x)^2] = 1.03 for normal x (by Gauss-Hermite quadrature), so that depth changes no size."""
    x, weight = np.polynomial.hermite_e.hermegauss(60)
    mean_square = (weight * (x / (1 + np.exp(-x))) ** 2).sum() / np.sqrt(2 * np.pi)
    assert abs(1.7**2 * mean_square - 1) < 0.04
    params = linear.init_mlp(np.random.default_rng(0), [300, 300, 300])
    ratio = params["1"].std() / params["0"].std()
    assert abs(ratio - 1.7) < 5 * 1.7 / 300                    # five standard errors: 1/sqrt(2 * 300^2) each
