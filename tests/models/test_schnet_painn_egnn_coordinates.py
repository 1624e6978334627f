"""SchNet, PaiNN, EGNN and Coordinates against their equations, atom by atom, and what is special of each."""

import dataclasses

import numpy as np
import pytest

from se3ref import models, so3, training
from se3ref.models.heads import SCALAR
from se3ref.nn import convolution, radial
from se3ref.nn.params import map_leaves
from se3ref.systems import Structure, datasets, neighbor_graph
from se3ref.verify.gradients import pullback_violation
from tests.models.zoo import CUTOFF, SPECIES, STRUCTURES

EPS = np.finfo(np.float64).eps
SMALL = dict(channels=5, layers=2, basis=4)
NAMES = ["SchNet", "PaiNN", "EGNN", "Coordinates"]
every = pytest.mark.parametrize("name", NAMES)
everywhere = pytest.mark.parametrize("place", ["cluster", "small cell"])
VECTOR = so3.Irrep(1, -1)


def small(name, **fields):
    """A small model and parameters in which nothing is special: no first residual or step is small."""
    model = getattr(models, name)(SPECIES, CUTOFF, **(SMALL | fields))
    rng = np.random.default_rng(3)
    return model, map_leaves(lambda leaf: leaf + 0.2 * rng.standard_normal(leaf.shape), model.init(rng))


def trunk(model, params, graph):
    """The trunk's features and pullback."""
    return model.trunk(params["trunk"], model._atoms(graph))


# --- the equations of the docstrings, one atom and one neighbour at a time --------------------------------------

def silu(x):
    return x / (1 + np.exp(-x))


def perceptron(weights, x):
    for k in range(len(weights)):
        x = (silu(x) if k else x) @ weights[str(k)]
    return x


def neighbours(graph, i):
    """(sender, vec) of each edge that arrives at atom i."""
    return [(j, vec) for receiver, j, vec in zip(graph.receivers, graph.senders, graph.vec, strict=True)
            if receiver == i]


def basis(model, r):
    return radial.radial_basis(np.array([r]), model.cutoff, model.basis)[0][0]


def fade(model, r):
    return radial.envelope(np.array([r]), model.cutoff)[0][0]


def embedded(params, graph):
    return np.array([params["embedding"][SPECIES.index(z)] for z in graph.numbers])


def schnet(model, params, graph):
    h = embedded(params, graph)
    for k in range(model.layers):
        p, new = params[f"layer{k}"], h.copy()
        for i in range(len(h)):
            m = sum(perceptron(p["filter"], basis(model, np.linalg.norm(v))) * (h[j] @ p["before"])
                    for j, v in neighbours(graph, i))
            new[i] += perceptron(p["after"], m / np.sqrt(model.neighbors))
        h = new
    return {SCALAR: h[:, None]}


def coordinates(model, params, graph):
    h = embedded(params, graph) + graph.positions @ params["positions"]
    for k in range(model.layers):
        p, new = params[f"layer{k}"], h.copy()
        for i in range(len(h)):
            m = 0
            for j, v in neighbours(graph, i):
                r = np.linalg.norm(v)
                m = m + perceptron(p["filter"], np.append(basis(model, r), fade(model, r) * v)) * (h[j] @ p["before"])
            new[i] += perceptron(p["after"], m / np.sqrt(model.neighbors))
        h = new
    return {SCALAR: h[:, None]}


def painn(model, params, graph):
    s, c = embedded(params, graph), model.channels
    v = np.zeros((len(s), 3, c))
    for k in range(model.layers):
        message, update = params[f"message{k}"], params[f"update{k}"]
        s_old, v_old = s.copy(), v.copy()
        for i in range(len(s)):
            for j, vec in neighbours(graph, i):
                r = np.linalg.norm(vec)
                x = perceptron(message["phi"], s_old[j]) * (basis(model, r) @ message["filter"])
                x = x / np.sqrt(model.neighbors)
                s[i] += x[:c]
                v[i] += v_old[j] * x[c:2 * c] + np.outer(vec / r, x[2 * c:])
        for i in range(len(s)):
            U, V = v[i] @ update["U"], v[i] @ update["V"]
            a = perceptron(update["a"], np.append(s[i], np.linalg.norm(V, axis=0)))
            s[i] += a[:c] + a[c:2 * c] * (U * V).sum(0)
            v[i] += a[2 * c:] * U
    return {SCALAR: s[:, None], VECTOR: v}


def egnn(model, params, graph):
    """With places of atoms, not displacements; the image of a neighbour is where its atom is, and a lattice vector."""
    h, x, c = embedded(params, graph), graph.positions.copy(), model.channels
    for k in range(model.layers):
        p, h_old, x_old = params[f"layer{k}"], h.copy(), x.copy()
        for i in range(len(h)):
            received = np.zeros(c)
            for j, vec in neighbours(graph, i):
                lattice = vec - (graph.positions[j] - graph.positions[i])
                between, r = x_old[i] - (x_old[j] + lattice), np.linalg.norm(vec)
                square = between @ between / model.cutoff**2
                inputs = np.concatenate([h_old[i], h_old[j], [square], basis(model, r)])
                m = silu(inputs @ np.concatenate([p["receiver"], p["sender"], p["edge"]])) @ p["message"]
                m = fade(model, r) * silu(m)
                x[i] += between * perceptron(p["step"], m) / model.neighbors
                received += m / np.sqrt(model.neighbors)
            h[i] += perceptron(p["scalars"], np.concatenate([h_old[i], received]))
    return {SCALAR: h[:, None], VECTOR: (x - graph.positions)[:, :, None]}


EQUATIONS = {"SchNet": schnet, "PaiNN": painn, "EGNN": egnn, "Coordinates": coordinates}


@every
@everywhere
def test_trunks_are_their_equations(name, place):
    """Sums of some 30 neighbours in 2 layers: a few hundred roundings, in no common direction.  PaiNN's smooth norm
    sqrt(x^2 + 1e-12) differs from |x| by 1e-12 / |x|."""
    model, params = small(name)
    graph = neighbor_graph(STRUCTURES[place], CUTOFF)
    features, expected = trunk(model, params, graph)[0], EQUATIONS[name](model, params["trunk"], graph)
    for irrep, x in expected.items():
        assert features[irrep].shape == x.shape
        assert np.abs(features[irrep] - x).max() <= (1e-10 if name == "PaiNN" else 500 * EPS) * np.abs(x).max()


# --- pullbacks of the trunks alone ------------------------------------------------------------------------------

HEADS = {"SchNet": ("energy",), "PaiNN": ("energy", "direct_forces"), "EGNN": ("energy", "direct_forces"),
         "Coordinates": ("energy", "direct_forces", "polarizability")}


@every
@pytest.mark.parametrize("kind", ["cluster", "small cell", "isolated atoms", "batch"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_P41_pullback_of_the_trunk(name, kind, dtype):
    """To parameters, to each edge by itself (vec_ij and vec_ji may differ here), and to positions."""
    model, params = small(name, heads=HEADS[name])
    apart = Structure([6, 1], [[0, 0, 0], [0, 0, 9.0]])
    structures = {"isolated atoms": apart, "batch": [STRUCTURES["cluster"], apart, STRUCTURES["small cell"]]}
    graph = neighbor_graph(structures.get(kind) or STRUCTURES[kind], CUTOFF).cast(dtype)
    params = map_leaves(lambda leaf: leaf.astype(dtype), params["trunk"])

    def layer(params, geometry):
        features, pull_trunk = model.trunk(params, model._atoms(dataclasses.replace(graph, **geometry)))

        def pull(dfeatures):
            dparams, dgeometry = pull_trunk(dfeatures)
            return dparams, {key: dgeometry.get(key, np.zeros_like(x)) for key, x in geometry.items()}
        return features, pull
    geometry = {"vec": graph.vec, "positions": graph.positions}
    assert pullback_violation(layer, (params, geometry), np.random.default_rng(0)) <= 30 * np.finfo(dtype).eps


@pytest.mark.parametrize("name", ["PaiNN", "EGNN", "Coordinates"])
def test_a_model_may_have_a_head_for_vectors_alone(name):
    """Then no cotangent of scalars arrives, and the pullback starts from zeros."""
    model, params = small(name, heads="direct_forces")
    graph = neighbor_graph(STRUCTURES["cluster"], CUTOFF)

    def layer(params, positions):
        outputs, pull_outputs = model.forward(params, graph.at(positions))

        def pull(d):
            dparams, dgeometry = pull_outputs(d)
            return dparams, graph.at(positions).pull(dgeometry)[0]
        return outputs, pull
    assert pullback_violation(layer, (params, graph.positions), np.random.default_rng(0)) <= 30 * EPS


# --- what each can say, and what not ----------------------------------------------------------------------------

def test_schnet_has_no_vectors():
    with pytest.raises(ValueError, match="direct_forces"):
        models.SchNet(SPECIES, CUTOFF, heads="direct_forces")
    model, params = small("SchNet", heads="dipole")
    assert set(params["heads"]["dipole"]) == {"mlp"}           # charges only


@pytest.mark.parametrize("name", ["PaiNN", "EGNN"])
def test_P32_direct_forces_turn(name):
    """500 roundings, as above; a mirror with them."""
    model, params = small(name, heads="direct_forces")
    s, R = STRUCTURES["cluster"], -so3.rotation_from_axis_angle([1, 2, -1], 0.7)
    F, turned = (model.forward(params, neighbor_graph(Structure(s.numbers, r), CUTOFF))[0]["direct_forces"]
                 for r in (s.positions, s.positions @ R.T))
    assert np.abs(F).max() > 1e-3
    assert np.abs(turned - F @ R.T).max() <= 500 * EPS * np.abs(F).max()


def ring(n, edge, centre):
    """n carbon atoms at the corners of a regular polygon."""
    t = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(t), np.sin(t), 0 * t], axis=1) * edge / (2 * np.sin(np.pi / n)) + centre


HEXAGON = Structure([6] * 6, ring(6, 2.0, [0, 0, 0]))          # second neighbours at 3.46: beyond the cutoff of 3.2
TRIANGLES = Structure([6] * 6, np.concatenate([ring(3, 2.0, [0, 0, 0]), ring(3, 2.0, [0, 0, 9])]))


@pytest.mark.parametrize("name, sees", [("SchNet", False), ("PaiNN", True), ("EGNN", True)])
def test_two_triangles_and_a_hexagon(name, sees):
    """In both every atom has two neighbours at 2 angstrom, which have two neighbours at 2 angstrom, and so on:
    distances within the cutoff are all the same at any depth, only the angle tells 60 from 120 degrees.  EGNN sees it
    by the places, which move inwards by other amounts; these steps are short, and their effect a few millionths."""
    model, params = small(name, layers=3)
    E = [models.evaluate(model, params, s, forces=False).energy for s in (HEXAGON, TRIANGLES)]
    difference = abs(E[0] - E[1]) / abs(E[0])
    assert difference > 1e-6 if sees else difference <= 500 * EPS


# --- PaiNN ------------------------------------------------------------------------------------------------------

def test_painns_message_is_a_tensor_field_convolution():
    """Its vectors by `convolve`, with the two paths 0x1->1 and 1x0->1, whose couplings are identities, and harmonics
    of degree 1 that are sqrt(3) u; its scalars by the path 0x0->0."""
    model, params = small("PaiNN")
    graph, c, N = neighbor_graph(STRUCTURES["cluster"], CUTOFF), model.channels, np.sqrt(model.neighbors)
    rng = np.random.default_rng(1)
    s, v = rng.standard_normal((graph.n_atoms, c)), rng.standard_normal((graph.n_atoms, 3, c))
    r = np.sqrt((graph.vec**2).sum(1))
    B, u = radial.radial_basis(r, CUTOFF, model.basis)[0], graph.vec / r[:, None]
    p = params["trunk"]["message0"]
    s_out, v_out, _ = model._message(p, s, v, B, u, graph)

    phi, W, Y = perceptron(p["phi"], s), B @ p["filter"] / N, so3.spherical_harmonics(1, graph.vec)
    ones, twos, threes = (slice(k * c, (k + 1) * c) for k in range(3))
    scalars, _ = convolution.convolve((convolution.Path(SCALAR, 0, SCALAR),), W[:, ones], {SCALAR: phi[:, None, ones]},
                                      Y, graph)
    h = {SCALAR: phi[:, None, threes], VECTOR: phi[:, None, twos] * v}
    terms = convolution.Path(SCALAR, 1, VECTOR), convolution.Path(VECTOR, 0, VECTOR)
    weights = np.concatenate([W[:, threes] / np.sqrt(3), W[:, twos]], axis=1)
    vectors = convolution.convolve(terms, weights, h, Y, graph)[0][VECTOR]
    assert np.abs(s_out - s - scalars[SCALAR][:, 0]).max() <= 50 * EPS * np.abs(s_out).max()
    assert np.abs(v_out - v - vectors[:, :, :c] - vectors[:, :, c:]).max() <= 50 * EPS * np.abs(v_out).max()


# --- EGNN -------------------------------------------------------------------------------------------------------

def test_egnn_is_analytic_where_two_places_meet():
    """The steps of a layer may bring two places together; |x_i - x_j|^2 has a derivative there, |x_i - x_j| has not."""
    model, params = small("EGNN")
    graph = neighbor_graph(STRUCTURES["cluster"], CUTOFF)
    r = np.sqrt((graph.vec**2).sum(1))
    B, u = radial.radial_basis(r, CUTOFF, model.basis)[0], radial.envelope(r, CUTOFF)[0]
    h = np.random.default_rng(2).standard_normal((graph.n_atoms, model.channels))

    def layer(p, h, vec, B, u):
        return model._messages(p, h, vec, B, u, graph)
    arguments = ({key: params["trunk"]["layer0"][key] for key in ("receiver", "sender", "edge", "message")}, h,
                 np.zeros_like(graph.vec), B, u)
    assert np.isfinite(layer(*arguments)[0]).all()
    assert pullback_violation(layer, arguments, np.random.default_rng(0)) <= 30 * EPS


def test_egnns_places_move_little_at_first():
    """So that training starts from the geometry that it was given: less than a bond, for several draws."""
    graph = neighbor_graph(datasets.load("ethanol").structure(0), 5.0)
    model = models.EGNN(SPECIES, 5.0)
    moved = [trunk(model, model.init(np.random.default_rng(seed)), graph)[0][VECTOR] for seed in range(8)]
    assert 0 < np.sqrt((np.array(moved) ** 2).sum((2, 3)).mean()) < 0.5


# --- Coordinates ------------------------------------------------------------------------------------------------

def test_coordinates_without_its_coordinates_is_schnet():
    """Take away P and the rows of the filters that read x, y and z: what is left obeys all laws, so that nothing else
    breaks them."""
    model, params = small("Coordinates")
    twin = models.SchNet(SPECIES, CUTOFF, **SMALL, hidden=model.hidden)
    trunk_params = dict(params["trunk"])
    trunk_params.pop("positions")
    for k in range(model.layers):
        params["trunk"][f"layer{k}"]["filter"]["0"][model.basis:] = 0
        layer = trunk_params[f"layer{k}"]
        trunk_params[f"layer{k}"] = layer | {"filter": layer["filter"] | {"0": layer["filter"]["0"][:model.basis]}}
    params["trunk"]["positions"][:] = 0
    for structure in STRUCTURES.values():
        ours, theirs = (models.evaluate(*pair, structure)
                        for pair in ((model, params), (twin, params | {"trunk": trunk_params})))
        assert abs(ours.energy - theirs.energy) <= 50 * EPS * np.abs(theirs.energies).sum()
        assert np.abs(ours.forces - theirs.forces).max() <= 500 * EPS * np.abs(theirs.forces).max()


@pytest.mark.parametrize("blind_to", ["positions", "components"])
def test_each_of_its_inputs_breaks_its_law(blind_to):
    """Without absolute positions energies may be shifted and not turned; without components of the edges, neither:
    positions change when they turn, too."""
    model, params = small("Coordinates")
    if blind_to == "positions":
        params["trunk"]["positions"][:] = 0
    else:
        for k in range(model.layers):
            params["trunk"][f"layer{k}"]["filter"]["0"][model.basis:] = 0
    s, R = STRUCTURES["ethanol"], so3.rotation_from_axis_angle([1, 2, -1], 0.7)
    E, shifted, turned = (models.evaluate(model, params, Structure(s.numbers, r), forces=False).energy
                          for r in (s.positions, s.positions + [0.3, -0.8, 0.5], s.positions @ R.T))
    assert abs(turned - E) > 1e-3 * abs(E)
    assert abs(shifted - E) <= 500 * EPS * abs(E) if blind_to == "positions" else abs(shifted - E) > 1e-3 * abs(E)


# --- training ---------------------------------------------------------------------------------------------------

@every
def test_default_models_learn_forces(name):
    """100 steps on 60 frames of ethanol; on others, the error of the forces falls well below their size, which is the
    error of a model that has learned nothing and says zero."""
    frames = datasets.load("ethanol")
    data, held_out = (training.Dataset.from_frames(frames[some]) for some in (slice(60), slice(1000, 1040)))
    model = getattr(models, name)(SPECIES, 5.0)
    result = training.fit(model, data, steps=100, progress=False)
    size = np.abs(np.concatenate(held_out.targets["forces"])).mean()
    assert training.errors(model, result.params, held_out)["forces"][0] < 0.6 * size
