"""Handedness: what mirrors do to every output of every model (P59), what vanishes by symmetry alone at random weights,
and what a model without parity labels, or without any law, may say instead."""

import dataclasses

import numpy as np
import pytest

from se3ref import models
from se3ref.so3 import random_rotation
from se3ref.systems import Structure, neighbor_graph
from se3ref.verify.gradients import pullback_violation
from tests.models import zoo

SPECIES = (1, 6, 8, 9, 17, 35)
TOLERANCE = 1e-13               # of the largest value of an output over all molecules: some hundred roundings
NOTHING, SOMETHING = 1e-13, 1e-3            # of that value: what is zero by symmetry, and what is not

# --- molecules ------------------------------------------------------------------------------------------------


def peroxide(angle):
    """H2O2 with this dihedral angle in degrees: chiral, but at 0 and 180."""
    (c, s), t = (np.cos(np.radians(100)), np.sin(np.radians(100))), np.radians(angle) / 2
    places = [[-0.73, 0, 0], [0.73, 0, 0], [-0.73 + 0.97 * c, 0.97 * s * np.cos(t), 0.97 * s * np.sin(t)],
              [0.73 - 0.97 * c, 0.97 * s * np.cos(t), -0.97 * s * np.sin(t)]]
    return Structure([8, 8, 1, 1], places)


CORNERS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
T = np.arange(8.0)
CHIRAL = {
    "H2O2": peroxide(110.0),
    "CHFClBr": Structure([6, 1, 9, 17, 35], np.vstack([np.zeros(3), CORNERS * [[1.09], [1.36], [1.76], [1.94]]])),
    "helix": Structure([6] * 8, np.stack([1.2 * np.cos(1.1 * T), 1.2 * np.sin(1.1 * T), 0.45 * T], axis=1)),
}
HALF = np.array([[0.36, 0.67, 0.0], [-1.02, 1.78, 0.0], [0.97, 0.72, 0.9], [0.97, 0.72, -0.9]])
DICHLOROETHANE = Structure([6, 17, 1, 1] * 2, np.vstack([HALF, -HALF]))        # trans: its inversion centre is exact
ETHANOL = Structure([6, 6, 8, 1, 1, 1, 1, 1, 1], [                             # trans: its mirror is z -> -z
    [0, 0, 0], [1.52, 0, 0], [2.0, 1.34, 0], [2.96, 1.3, 0], [-0.4, -1.02, 0],
    [-0.38, 0.51, 0.89], [-0.38, 0.51, -0.89], [1.89, -0.52, 0.89], [1.89, -0.52, -0.89]])
FORMIC_ACID = Structure([6, 8, 8, 1, 1], [[0, 0, 0], [1.2, 0.1, 0], [-0.6, 1.15, 0], [-0.7, -0.85, 0], [0.1, 1.8, 0]])
WATER = Structure([8, 1, 1], [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
ACHIRAL = {"dichloroethane": DICHLOROETHANE, "ethanol": ETHANOL, "formic acid": FORMIC_ACID, "water": WATER,
           "H2O2, cis": peroxide(0.0), "H2O2, trans": peroxide(180.0)}
MOLECULES = CHIRAL | ACHIRAL
AT = {name: k for k, name in enumerate(MOLECULES)}
MIRROR = np.diag([1.0, 1.0, -1.0])
ROTATION = random_rotation(np.random.default_rng(5))
TURNS = {"rotation": ROTATION, "rotation and inversion": -ROTATION, "inversion": -np.eye(3), "mirror": MIRROR,
         "tilted mirror": ROTATION @ MIRROR @ ROTATION.T}

# --- models, and the heads they can have ----------------------------------------------------------------------

HEADS = ("energy", "dipole", "polarizability", "pseudoscalar", "vector", "pseudovector", "direct_forces")
VECTORS = {"energy", "dipole", "vector", "direct_forces"}
HAS = {                                                        # by the irreps of their features
    "SchNet": {"energy", "dipole"}, "EGNN": VECTORS, "PaiNN": VECTORS,
    "NequIP": VECTORS | {"polarizability"}, "NequIP all parities": set(HEADS) - {"pseudoscalar"},
    "NequIP lmax 4": VECTORS | {"polarizability"}, "NequIP with 0o": set(HEADS), "NequIP SO(3)": set(HEADS),
    "MACE": VECTORS | {"polarizability"}, "MACE all parities": set(HEADS) - {"polarizability"},
    "MACE SO(3)": set(HEADS), "SE3Transformer": VECTORS | {"polarizability"},
    "SE3Transformer all parities": set(HEADS) - {"pseudoscalar"},
}
BUILD = zoo.EQUIVARIANT | {"NequIP with 0o": lambda: models.NequIP(
    SPECIES, zoo.CUTOFF, irreps="4x0e+4x0o+4x1o+4x1e+4x2e", layers=3)}                  # 3: a . (b x c)
O3 = [name for name in BUILD if "SO(3)" not in name]
SO3 = [name for name in BUILD if "SO(3)" in name]
ODD = [name for name in O3 if "pseudoscalar" in HAS[name]]
every_O3 = pytest.mark.parametrize("name", O3)
every_SO3 = pytest.mark.parametrize("name", SO3)


def network(name, heads=None):
    """A model of the zoo for these molecules, with all heads that it can have, and a fresh draw of parameters."""
    heads = heads or tuple(head for head in HEADS if head in HAS[name])
    model = dataclasses.replace(BUILD[name](), species=SPECIES, heads=heads)
    return model, model.init(np.random.default_rng(0))


def outputs(model, params, turn=None, molecules=MOLECULES):
    """{output: array} of all molecules, perhaps turned, in one batch; an axis of molecules, or of all their atoms."""
    structures = [s if turn is None else s.rotated(turn) for s in molecules.values()]
    result = models.evaluate(model, params, structures, forces=False)
    return {"energy": result.energy, "energies": result.energies, **result.outputs}


def image(name, x, R):
    """What x (molecules or atoms, ...) must become under R: the law of each output."""
    sign = round(np.linalg.det(R))
    if name in ("dipole", "vector", "direct_forces"):
        return x @ R.T
    if name == "pseudovector":
        return sign * x @ R.T
    if name == "polarizability":
        return R @ x @ R.T
    return sign * x if name == "pseudoscalar" else x           # energies and charges stay


def violations(model, params, R):
    """{output: how far it is from its law under R, relative to its largest value}."""
    before, after = outputs(model, params), outputs(model, params, R)
    return {name: np.abs(after[name] - image(name, x, R)).max() / np.abs(x).max() for name, x in before.items()}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", BUILD)
def test_which_models_can_have_which_heads(name, head):
    """By the irreps of their features; the error names the irrep that is missing."""
    missing = {"pseudoscalar": "0o", "vector": "1o", "pseudovector": "1e", "direct_forces": "1o",
               "polarizability": "2e"}
    if head in HAS[name]:
        model, params = network(name, (head,))
        assert head in params["heads"] and model.heads == (head,)
    else:
        with pytest.raises(ValueError, match=f"head '{head}' reads features .*{missing[head]}.*; this model has"):
            network(name, (head,))


# --- P59: mirrors ---------------------------------------------------------------------------------------------

@every_O3
@pytest.mark.parametrize("kind", TURNS)
def test_P59_every_output_obeys_its_law(name, kind):
    """Scalars are the same, pseudoscalars turn their sign in a mirror, vectors turn, pseudovectors turn and change
    their sign in a mirror; all molecules, chiral or not."""
    found = violations(*network(name), TURNS[kind])
    assert max(found.values()) <= TOLERANCE, found


@pytest.mark.parametrize("name", ODD)
def test_P59_pseudoscalars_vanish_on_achiral_shapes_only(name):
    """On the others they are ten orders above rounding: of fresh networks 2e-6 to 5e-4, beside 3e-20 or zero."""
    x = outputs(*network(name))["pseudoscalar"]
    size = np.abs(x).max()
    assert all(abs(x[AT[molecule]]) <= NOTHING * size for molecule in ACHIRAL)
    assert all(abs(x[AT[molecule]]) > SOMETHING * size for molecule in CHIRAL)


def test_P59_a_pseudoscalar_goes_through_zero_with_the_dihedral_angle():
    """H2O2 turns into its mirror image without a break, so that the pseudoscalar must vanish on the way: at 0 and 180
    degrees, where it is odd in the angle and in its distance from 180."""
    model, params = network("NequIP with 0o")
    angles = np.arange(-180, 181, 30)
    x = outputs(model, params, molecules={angle: peroxide(float(angle)) for angle in angles})["pseudoscalar"]
    assert np.abs(x + x[::-1]).max() <= TOLERANCE * np.abs(x).max()
    assert np.abs(x[[0, 6, 12]]).max() <= NOTHING * np.abs(x).max() < SOMETHING * np.abs(x[[3, 9]]).min()


@every_O3
def test_vectors_lie_in_a_mirror_plane_and_pseudovectors_stand_on_it(name):
    """In z = 0 lie the mirror planes of five molecules; the second plane of water and of cis H2O2 leaves them no
    pseudovector at all."""
    found, planar = outputs(*network(name)), ["water", "formic acid", "ethanol", "dichloroethane"]
    for output in {"dipole", "vector"} & set(found):
        x = found[output]
        assert np.abs(x[[AT[m] for m in planar], 2]).max() <= NOTHING * np.abs(x).max()
        assert np.abs(x[AT["formic acid"], :2]).min() > SOMETHING * np.abs(x).max()
    if "pseudovector" in found:
        x = found["pseudovector"]
        assert np.abs(x[[AT[m] for m in planar], :2]).max() <= NOTHING * np.abs(x).max()
        assert np.abs(x[[AT["water"], AT["H2O2, cis"]]]).max() <= NOTHING * np.abs(x).max()
        assert abs(x[AT["formic acid"], 2]) > SOMETHING * np.abs(x).max()


@every_O3
def test_trans_dichloroethane_has_no_dipole(name):
    """By its inversion centre, at random weights: 1e-12 e*angstrom, and no other vector.  A pseudovector it may have,
    along its twofold axis.  Its single atoms are charged all the same."""
    found, here = outputs(*network(name)), AT["dichloroethane"]
    assert np.abs(found["dipole"][here]).max() <= 1e-12
    alone = outputs(*network(name), molecules={"dichloroethane": DICHLOROETHANE})
    assert np.abs(alone["charges"]).max() > 1e-3 and np.abs(alone["dipole"]).max() <= 1e-12
    if "vector" in found:
        assert np.abs(found["vector"][here]).max() <= 1e-12
    if "pseudovector" in found:
        assert abs(found["pseudovector"][here, 2]) > SOMETHING * np.abs(found["pseudovector"]).max()


# --- without parity, or without any law -----------------------------------------------------------------------

@every_SO3
def test_SO3_obeys_rotations(name):
    found = violations(*network(name), ROTATION)
    assert max(found.values()) <= TOLERANCE, found


@every_SO3
def test_SO3_tells_mirror_images_apart(name):
    """Where they are no rotations of each other: achiral molecules have the same energy as their images."""
    before, after = (outputs(*network(name), turn)["energy"] for turn in (None, MIRROR))
    change, size = np.abs(after - before), np.abs(before).max()
    assert all(change[AT[m]] <= TOLERANCE * size for m in ACHIRAL)
    assert all(change[AT[m]] > 1e-6 * abs(before[AT[m]]) for m in CHIRAL)


@pytest.mark.parametrize("make, handed", [
    (lambda **f: models.NequIP(layers=2, lmax=3, **f), False), (lambda **f: models.NequIP(layers=3, lmax=1, **f), True),
    (lambda **f: models.SE3Transformer(layers=2, **f), False), (lambda **f: models.SE3Transformer(layers=3, **f), True),
    (lambda **f: models.MACE(layers=1, correlation=3, lmax=3, **f), False),
    (lambda **f: models.MACE(layers=1, correlation=4, lmax=3, **f), True),
    (lambda **f: models.MACE(layers=2, correlation=1, **f), False),
    (lambda **f: models.MACE(layers=2, correlation=2, lmax=1, **f), True),
    (lambda **f: models.MACE(layers=3, correlation=1, lmax=1, **f), True),
    (lambda **f: models.NequIP(layers=3, lmax=0, **f), False),
], ids=["NequIP 2", "NequIP 3", "SE3Transformer 2", "SE3Transformer 3", "MACE 1", "MACE 1, degree 4", "MACE 2, linear",
        "MACE 2", "MACE 3, linear", "NequIP without directions"])
def test_in_SO3_it_takes_a_triple_product(make, handed):
    """Three directions one after the other, or in two layers of products, or four factors up to l = 3 (see
    test_contraction). A model says so itself."""
    model = make(species=SPECIES, cutoff=zoo.CUTOFF, channels=4, group="SO(3)")
    assert model.sight.handed == handed
    params = model.init(np.random.default_rng(0))
    before, after = (outputs(model, params, turn, CHIRAL)["energies"] for turn in (None, MIRROR))
    gap = np.abs(after - before).max() / np.abs(before).max()
    assert gap > 1e-7 if handed else gap <= TOLERANCE


@every_SO3
def test_in_SO3_a_pseudoscalar_obeys_no_law_of_mirrors(name):
    """It is a scalar by name: on chiral molecules neither the same nor the opposite, on achiral ones the same, and
    not zero."""
    before, after = (outputs(*network(name), turn)["pseudoscalar"] for turn in (None, MIRROR))
    for molecule, k in AT.items():
        size = abs(before[k])
        if molecule in CHIRAL:                                 # measured: 3e-6 to 3e-3 of the value
            assert min(abs(after[k] - before[k]), abs(after[k] + before[k])) > 1e-7 * size
        else:
            assert abs(after[k] - before[k]) <= 1e-12 * size and size > SOMETHING * np.abs(before).max()


@every_SO3
def test_in_SO3_dichloroethane_may_have_a_dipole(name):
    """Along its twofold axis, which is all that rotations ask: inversion is what forbids it."""
    mu = outputs(*network(name))["dipole"]
    here = mu[AT["dichloroethane"]]
    assert np.abs(here[:2]).max() <= NOTHING * np.abs(mu).max() < 1e-4 * np.abs(mu).max() < abs(here[2])


def test_the_foil_knows_no_mirror_at_all():
    """Raw coordinates: achiral molecules change their energy in a mirror, and trans dichloroethane has a dipole."""
    model = models.Coordinates(SPECIES, zoo.CUTOFF, channels=8, layers=2, heads=("energy", "dipole"))
    params = model.init(np.random.default_rng(0))
    found = violations(model, params, -np.eye(3))
    assert min(found["energy"], found["dipole"]) > 1e-2
    assert np.abs(outputs(model, params)["dipole"][AT["dichloroethane"]]).max() > 1e-2


# --- the new heads --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["NequIP with 0o", "MACE all parities", "NequIP SO(3)"])
def test_P41_pullbacks_of_the_heads(name):
    """Of all outputs to all parameters and positions: 1e-13, as for energies."""
    model, params = network(name, ("pseudoscalar", "vector", "pseudovector"))
    graph = neighbor_graph(list(CHIRAL.values()), model.cutoff)

    def layer(params, positions):
        moved = graph.at(positions)
        found, pull = model.forward(params, moved)

        def back(cotangents):
            dparams, dgeometry = pull(cotangents)
            return dparams, moved.pull(dgeometry)[0]
        return found, back
    assert pullback_violation(layer, [params, graph.positions], np.random.default_rng(1)) <= 1e-13


def test_a_batch_is_its_parts():
    """Sums over the atoms of each structure, none of the others': in another order of neighbours, 1e-14."""
    model, params = network("NequIP with 0o")
    together = outputs(model, params)
    for molecule, structure in MOLECULES.items():
        alone = outputs(model, params, molecules={molecule: structure})
        for name in ("pseudoscalar", "vector", "pseudovector"):
            assert alone[name].shape == (1, *together[name].shape[1:])
            assert np.abs(alone[name][0] - together[name][AT[molecule]]).max() <= 1e-14 * np.abs(together[name]).max()


def test_fragments_add():
    """Pseudoscalars of two molecules far apart: a pair of mirror images has none."""
    model, params = network("NequIP with 0o")
    s = CHIRAL["H2O2"]
    pair = Structure([*s.numbers] * 2, np.vstack([s.positions, s.rotated(MIRROR).positions + 40.0]))
    x = outputs(model, params, molecules={"one": s})["pseudoscalar"][0]
    both = outputs(model, params, molecules={"both": pair})["pseudoscalar"][0]
    assert abs(both) <= 1e-12 * abs(x)                         # positions at 40 angstrom are rounded to 7e-15
