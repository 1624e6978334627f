"""MACE: its body order, atom by atom; what three factors tell apart and two cannot; and what its fields may be."""

import itertools

import numpy as np
import pytest

from se3ref import models
from se3ref.models.heads import SCALAR
from se3ref.nn.params import cast
from se3ref.so3 import Irrep
from se3ref.systems import Structure, neighbor_graph
from tests.models.zoo import CUTOFF, SPECIES, STRUCTURES

EPS = np.finfo(np.float64).eps


def mace(**fields):
    """A small model, fresh."""
    model = models.MACE(SPECIES, CUTOFF, **{"channels": 4, **fields})
    return model, model.init(np.random.default_rng(0))


def centre(model, params, numbers, positions):
    """The trunk's features of the first atom, side by side."""
    graph = neighbor_graph(Structure(numbers, positions), CUTOFF)
    h, _ = model.trunk(params["trunk"], model._atoms(graph))
    return np.concatenate([h[irrep][0].ravel() for irrep in sorted(h)])


# --- body order -----------------------------------------------------------------------------------------------

KINDS = np.array([8, 1, 1, 6])                                 # neighbours, and where they are
PLACES = np.array([[1.0, 0.2, 0.1], [-0.4, 1.1, 0.3], [0.2, -0.5, 1.2], [-0.9, -0.8, -0.6]])


@pytest.mark.parametrize("correlation", [1, 2, 3])
def test_one_layer_sees_correlation_plus_one_bodies(correlation):
    """Its features are a polynomial of degree nu in a sum over neighbours. So the part that belongs to k neighbours
    together, the sum over subsets S of them of (-1)^|S| h(S), is there for k = nu and vanishes for k = nu + 1."""
    model, params = mace(correlation=correlation, layers=1, heads=("energy", "polarizability", "direct_forces"))
    for k in (correlation, correlation + 1):
        subsets = [list(S) for n in range(k + 1) for S in itertools.combinations(range(k), n)]
        h = [centre(model, params, [6, *KINDS[S]], np.vstack([np.zeros(3), PLACES[S]])) for S in subsets]
        part = sum((-1) ** len(S) * x for S, x in zip(subsets, h, strict=True))
        size = np.abs(h).max()
        assert np.abs(part).max() > 1e-4 * size if k == correlation else np.abs(part).max() <= 16 * EPS * size


def octagon(corners, height):
    """A centre and atoms at some corners of a regular octagon around its axis."""
    t = np.pi / 4 * np.array(corners)
    ring = np.stack([1.2 * np.cos(t), 1.2 * np.sin(t), height + 0 * t], axis=1)
    return Structure([6, 1, 1, 1, 1], np.vstack([np.zeros(3), ring]))


def homometric_gap(height=0.0, **fields):
    """How far the centre's energies are apart with {0,1,2,5} and {0,1,3,4}, corners with the same distances among
    them, relative to their size."""
    model, params = mace(**fields)
    a, b = (models.evaluate(model, params, octagon(corners, height), forces=False).energies[0]
            for corners in ([0, 1, 2, 5], [0, 1, 3, 4]))
    return abs(a - b) / max(abs(a), abs(b))


heights = pytest.mark.parametrize("height", [0.0, 0.6])


@heights
@pytest.mark.parametrize("lmax", [1, 2, 3, 4])
def test_two_factors_cannot_tell_homometric_neighbours_apart(lmax, height):
    """They see pairs of neighbours, at the angle between them: the same pairs, to 100 roundings of the energies."""
    for correlation in (1, 2):
        assert homometric_gap(height, lmax=lmax, correlation=correlation, layers=1) <= 100 * EPS


@heights
def test_three_factors_can(height):
    """With F_m the sum over corners of exp(i m phi), |F_m|^2 is the same for all m, and F_1^2 F_-2 is 4 and -4: vectors
    and tensors of degree 2 together, v.Mv.  Vectors alone have lengths only.  Measured: 2e-6 to 2e-3."""
    for lmax, correlation in ((2, 3), (2, 4), (3, 3)):
        assert homometric_gap(height, lmax=lmax, correlation=correlation, layers=1) > 1e-8
    for correlation in (3, 4):
        assert homometric_gap(height, lmax=1, correlation=correlation, layers=1) <= 100 * EPS


def test_a_second_layer_brings_the_neighbours_clusters():
    """Each neighbour has seen its own pairs: then two factors are enough here."""
    assert homometric_gap(lmax=2, correlation=2, layers=2) > 1e-8


# --- fields ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("fields, message", [
    (dict(correlation=0), "correlation is a whole number, at least 1; got 0"),
    (dict(correlation=True), "correlation is a whole number, at least 1; got True"),
    (dict(correlation=2.0), "correlation is a whole number, at least 1; got 2.0"),
    (dict(channels=0), "channels is a whole number, at least 1; got 0"),
    (dict(lmax=-1), "lmax is a whole number, at least 0; got -1"),
    (dict(irreps="4x0e+4x0o"), "reach no .0o"),
    (dict(irreps="4x0e+4x0o+4x1e", correlation=2, layers=1), "reach no .0o, 1e"),
    (dict(irreps="4x0e+4x3o", correlation=1, layers=1), "reach no .3o"),
    (dict(irreps="4x0e+4x1o", group="SO(3)"), "reach no .1o"),
    (dict(irreps="4x1o"), "features start from scalars"),
    (dict(heads="pseudoscalar"), "head 'pseudoscalar' reads features .0o"),
])
def test_bad_architectures_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        mace(**fields)


@pytest.mark.parametrize("reached, fields", [
    ("3o", dict(irreps="4x0e+4x3o", correlation=2, layers=1)),           # degree 3 of a vector and a tensor
    ("1e", dict(irreps="4x0e+4x1e", correlation=3, layers=1)),           # v x Mv
    ("0o", dict(irreps="4x0e+4x0o", correlation=4, layers=1, lmax=3)),
    ("0o", dict(irreps="4x0e+4x0o+4x1o+4x1e")),                          # in two layers of three factors
])
def test_products_reach_what_harmonics_do_not(reached, fields):
    """And a head that reads it finds more than nothing: 3e-4 to 2e-3 here."""
    model, _ = mace(**fields)
    assert Irrep.parse(reached) in model.irreps_available
    if head := {"0o": "pseudoscalar", "1e": "pseudovector"}.get(reached):
        model, params = mace(heads=head, **fields)
        found = models.evaluate(model, params, STRUCTURES["cluster"]).outputs[head]
        assert np.abs(found).max() > 1e-7


def test_features_and_products_have_their_own_channels():
    """`channels` of A and its products, `irreps` between the layers."""
    model, params = mace(channels=3, irreps="5x0e+2x1o")
    layer = params["trunk"]["layer0"]
    assert {name: W.shape for name, W in layer["mix"].items()} == {"0e": (3, 5), "1o": (3, 2)}
    assert layer["products"]["0e"]["3"].shape == (len(SPECIES), 5, 3)
    assert layer["after"]["2e"].shape[1] == 3                  # A has all degrees up to lmax
    assert model.channels_out == {SCALAR: 5}


def test_the_last_layer_makes_what_heads_read():
    _, params = mace()
    assert set(params["trunk"]["layer0"]["products"]) == {"0e", "1o", "2e"}
    assert set(params["trunk"]["layer1"]["products"]) == {"0e"}


# --- precision and files --------------------------------------------------------------------------------------

def test_complex_single_precision_stays():
    """As in training: float32 parameters, complex64 positions."""
    model, params = mace(irreps="4x0e+4x0o+4x1o+4x1e")
    graph = neighbor_graph(STRUCTURES["triclinic"], CUTOFF).cast(np.complex64)
    E, pull = model.energy(cast(params, np.float32), graph)
    dparams, dgeometry = pull(np.ones(1, np.complex64))
    assert {E.dtype, dgeometry["vec"].dtype, dparams["trunk"]["layer0"]["products"]["1e"]["3"].dtype} \
        == {np.dtype(np.complex64)}


def test_a_file_keeps_the_fields(tmp_path):
    model, params = mace(correlation=2, channels=3, irreps="5x0e+2x1o", heads=("energy", "dipole"))
    models.save(tmp_path / "model.npz", model, params)
    again, same, _ = models.load(tmp_path / "model.npz")
    assert again == model and again.correlation == 2
    a, b = (models.evaluate(*pair, STRUCTURES["ethanol"]) for pair in ((model, params), (again, same)))
    assert a.energy == b.energy and np.array_equal(a.outputs["dipole"], b.outputs["dipole"])


def test_a_species_that_is_not_there():
    """Weights of the products of an element without atoms get no gradient, and no atom of it is needed."""
    model, params = mace()
    graph = neighbor_graph(Structure([1, 8, 1], [[0.9, 0, 0], [0, 0, 0], [-0.3, 0.9, 0]]), CUTOFF)
    dparams, _ = model.energy(params, graph)[1](np.ones(1))
    for k in range(model.layers):
        for own in dparams["trunk"][f"layer{k}"]["products"].values():
            for dW in own.values():
                assert dW[[0, 2]].any((1, 2)).all() and not dW[1].any()
