r"""Hybrids once more, written with the tape: networks, equilibrium and lattice sums, reverse over reverse.

Nothing is shared with the library's sums or pullbacks.  A is a matrix, written out from Ewald's formula (or the plain
sum) with another splitting, for all pairs of atoms; equilibrium is one inverse matrix.  The tape differentiates all.
"""

import math
from unittest import mock

import numpy as np
import oracle
import pytest
import tape
from oracle import EYE, OUTPUTS
from scipy import special
from tape import Var, einsum, grad, put, total, var

from se3ref import electrostatics as es
from se3ref import models, training
from se3ref.nn.params import leaves
from se3ref.systems import Structure, neighbor_graph
from se3ref.systems.neighbors import neighbor_list

erfc = tape._function(special.erfc, lambda x, y: (-2 / math.sqrt(math.pi)) * tape.exp(-x * x))
LEVI_CIVITA = np.array([[[(i - j) * (j - k) * (k - i) / 2 for k in range(3)] for j in range(3)] for i in range(3)])
ALPHA, REACH = 0.8, 6.2                                        # exp(-6.2^2) is 2e-17; widths have gamma above 0.8


def inverse(M):
    """M^-1, whose pullback is -M^-T g M^-T."""
    X = Var(np.linalg.inv(M.value))
    X.parents = ((M, lambda g: -einsum("ba,bc,dc->ad", X, g, X)),)
    return X


# --- the matrix A ---------------------------------------------------------------------------------------------

def kernel(r, a):
    return erfc(a * r) / r


def pairs(places, cell, widths, i, j, shifts, alpha):
    """What `pairs` of the library says for these pairs, as a matrix (n,n)."""
    vec = places[j] - places[i] + (0.0 if cell is None else einsum("ek,ka->ea", shifts.astype(float), cell))
    r = tape.sqrt(total(vec * vec, 1))
    g = kernel(r, alpha)
    if widths is not None:
        g = g - kernel(r, 1 / np.sqrt(2 * (widths[i] ** 2 + widths[j] ** 2)))
    return put(g, (i, j), (len(places.value),) * 2)


def plain(places, widths):
    i, j = np.nonzero(~np.eye(len(places.value), dtype=bool))
    return pairs(places, None, widths, i, j, None, 0.0)


def ewald(places, cell, widths, graph_cell, graph_positions):
    """Pairs and waves with the splitting ALPHA, each charge in its own cloud, and the background."""
    n = len(graph_positions)
    near = neighbor_list(graph_positions, graph_cell, np.ones(3, bool), REACH / ALPHA)
    V = einsum("a,b,c,abc->", cell[0], cell[1], cell[2], LEVI_CIVITA)
    most = (REACH * ALPHA / math.pi * np.linalg.norm(graph_cell, axis=1)).astype(int)
    waves = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), -1).reshape(-1, 3)
    waves = waves[(waves != 0).any(1)].astype(float)
    k = 2 * math.pi * einsum("wd,ad->wa", waves, inverse(cell))
    k2 = total(k * k, 1)
    w = 4 * math.pi * tape.exp(k2 * (-1 / (4 * ALPHA**2))) / k2
    angle = einsum("wa,na->wn", k, places)
    c, s = tape.cos(angle), tape.sin(angle)
    A = einsum("w,wi,wj->ij", w, c, c) + einsum("w,wi,wj->ij", w, s, s) - math.pi / ALPHA**2
    if widths is not None:
        A = A + 2 * math.pi * (widths[:, None] ** 2 + widths**2)
    return pairs(places, cell, widths, *near, ALPHA) + A / V - 2 * ALPHA / math.sqrt(math.pi) * np.eye(n)


# --- the model ------------------------------------------------------------------------------------------------

def far(model, params, said, A, widths, kind, Q):
    """Charges and their energy."""
    n = A.shape[0]
    if not model.equilibrates:
        q = said - total(said) / n + Q / n
        return q, 0.5 * einsum("i,ij,j->", q, A, q)
    h = params["hardness"][kind]
    J = h * h + es.COULOMB / math.sqrt(math.pi) / widths
    edge = np.pad(np.zeros((n, n)), (0, 1), constant_values=1.0)
    edge[n, n] = 0
    index = np.arange(n)
    M = put(A, np.ix_(index, index), (n + 1, n + 1)) + put(J, (index, index), (n + 1, n + 1)) + edge
    q = einsum("ij,j->i", inverse(M), put(-said, index, (n + 1,)) + np.append(np.zeros(n), Q))[index]
    return q, total(said * q) + 0.5 * total(J * q * q) + 0.5 * einsum("i,ij,j->", q, A, q)


def predict(model, params, graph):
    """energy, forces, stress or dipole, charges; the networks are those of `oracle`."""
    params = oracle._tree({path: var(x) for path, x in oracle._leaves(params)})
    r, strain = Var(graph.positions), Var(np.zeros((graph.n_structures, 3, 3)))
    near = oracle.surroundings(graph, r, strain)
    short = OUTPUTS[type(model.short_range).__name__](model.short_range, params["short_range"], near, ("energy",))
    said = OUTPUTS[type(model.charges).__name__](model.charges, as_energies(model.charges, params["charges"]), near,
                                                 ("energy",))["energies"]
    energy, charges = put(short["energies"], graph.structure, (graph.n_structures,)), 0.0
    for k in range(graph.n_structures):
        own = np.flatnonzero(graph.structure == k)
        kind = np.array([model.species.index(z) for z in graph.numbers[own]])
        widths = None if model._widths is None else np.array(model._widths)[kind]
        places = near.places[own]
        if graph.pbc[k].all():
            cell = einsum("ka,ba->kb", graph.cell[k], EYE + strain[k])
            A = ewald(places, cell, widths, graph.cell[k], graph.positions[own])
        else:
            A = plain(places, widths)
        q, E = far(model, params, said[own], es.COULOMB * A, widths, kind, graph.charge[k])
        energy = energy + put(tape.reshape(E, (1,)), np.array([k]), energy.shape)
        charges = charges + put(q, own, (graph.n_atoms,))
    dr, dstrain = grad(total(energy), [r, strain])
    found = {"energy": energy, "forces": -dr, "charges": charges}
    if graph.pbc.all():
        found["stress"] = dstrain / np.abs(np.linalg.det(graph.cell))[:, None, None]
    if not graph.pbc.any():
        each = tape.reshape(charges, (-1, 1)) * near.places
        found["dipole"] = put(each, graph.structure, (graph.n_structures, 3))
    return found


def as_energies(model, params):
    """The parameters of a head of scalars, as if it were that of energies; charges have no scale and no shift."""
    (head,) = params["heads"].values()
    ones = np.ones(len(model.species))
    return {"trunk": params["trunk"], "heads": {"energy": {"scale": var(ones), "shift": var(0 * ones), **head}}}


# --- the comparison -------------------------------------------------------------------------------------------

WATER = Structure([8, 1, 1], [[0.0, 0.0, 0.0], [0.76, 0.59, 0.1], [-0.76, 0.59, 0.0]], charge=1.0)
CHOH = Structure([6, 1, 8, 1], [[0.0, 0.0, 0.0], [1.1, 0.1, 0.1], [-0.3, 1.2, 0.2], [0.2, -0.5, -0.9]])
SMALL = Structure([6, 1], [[0.1, 0.2, 0.3], [1.4, 0.9, 0.2]],                          # less than the cutoff across
                  [[2.5, 0.2, 0.0], [0.5, 3.1, 0.1], [-0.4, 0.3, 2.3]], True, charge=-0.6)
CELL = Structure([6, 1, 8], [[0.1, 0.2, 0.3], [1.4, 0.9, 0.2], [0.8, 2.0, 1.7]],
                 [[2.9, 0.2, 0.0], [0.5, 3.1, 0.1], [-0.4, 0.3, 3.3]], True)
SYSTEMS = {"molecules": [WATER, CHOH], "crystals": [CELL, SMALL], "mixed": [CHOH, SMALL]}
WEIGHTS = {"energy": 0.7, "forces": 1.3, "stress": 2.0, "dipole": 0.4, "charges": 0.9}
WIDTHS = (0.4, 0.6, 0.5)
KINDS = {"points": ("charges", None), "Gaussians": ("charges", WIDTHS), "equilibrium": ("electronegativity", WIDTHS)}


def case(kind, system):
    rng = np.random.default_rng(0)
    head, widths = KINDS[kind]
    model = models.Hybrid(short_range=models.SchNet([1, 6, 8], 3.4, channels=3, layers=1, basis=4),
                          charges=models.PaiNN([1, 6, 8], 3.4, channels=3, layers=1, basis=4, heads=head),
                          widths=widths, accuracy=1e-13)
    params, graph = model.init(rng), neighbor_graph(SYSTEMS[system], 3.4)
    absent = {"molecules": {"stress"}, "crystals": {"dipole"}, "mixed": {"stress", "dipole"}}[system]
    names = [name for name in WEIGHTS if name not in absent]
    found = training.predict(model, params, graph, names)
    return model, params, graph, {name: found[name] + rng.standard_normal(found[name].shape) for name in names}, found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_P43_what_is_predicted_and_its_loss_gradient_are_those_of_the_tape(kind, system):
    """To 1e-12 of the largest entry of each array: lattice sums are carried to 1e-13 of forces."""
    model, params, graph, targets, found = case(kind, system)
    said = predict(model, params, graph)
    for name in targets:
        assert np.abs(found[name] - said[name].value).max() <= 1e-12 * np.abs(said[name].value).max(), name
    loss, grads = training.loss_and_gradient(model, params, graph, targets, WEIGHTS)
    with mock.patch.object(oracle, "predict", predict):
        expected, tape_grads = oracle.loss_and_gradient(model, params, graph, targets, WEIGHTS)
    assert loss == pytest.approx(expected, rel=1e-12)
    ours, theirs = dict(leaves(grads)), dict(leaves(tape_grads))
    assert set(ours) == set(theirs)
    largest = max(np.abs(g).max() for g in theirs.values())
    for path, g in theirs.items():
        assert np.abs(ours[path] - g).max() <= 1e-12 * (np.abs(g).max() or largest), path
