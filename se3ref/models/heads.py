r"""Heads: what a model says about atoms and molecules, read off the features of its trunk.

A head takes features {Irrep: (n,2l+1,c)} and returns a dict of outputs and pull(cotangents) -> dparams, dfeatures,
dgeometry.  It reads irreps that turn as its output does, so that it needs no law of its own:

    energies       (n,)     e_i = scale_z mlp(h_i) + shift_z, eV
    electronegativities (n,)  the same in V, for charges that equilibrate (`Hybrid`); the head "electronegativity"
    charges        (n,)     q_i = mlp(h_i) + (Q - sum_j mlp(h_j)) / n: they add up to the total charge Q, e
    dipole         (s,3)    mu = sum_i q_i r_i + sum_i mu_i, atomic dipoles mu_i linear in the vectors, e*angstrom
    polarizability (s,3,3)  symmetric, a sum over atoms: the trace from 0e, the traceless part from 2e
    direct_forces  (n,3)    linear in the vectors: the gradient of no energy, to compare with forces that are
    pseudoscalar   (s,)     linear in 0o, a sum over atoms: a mirror turns its sign, as that of an optical rotation
    vector         (s,3)    linear in 1o, a sum over atoms: any vector that no translation changes
    pseudovector   (s,3)    linear in 1e, a sum over atoms: turns as a vector, stays under inversion, as spins do

In SO(3), where every irrep is labelled even, pseudoscalars are scalars and pseudovectors vectors: such a model may
predict them, and no symmetry tells it that a mirror turns them over.
"""

import dataclasses

import numpy as np

from se3ref.nn.linear import init_mlp, mlp
from se3ref.nn.ops import outer_sum
from se3ref.nn.params import normal
from se3ref.so3 import Irrep, cartesian_from_irreps, irreps_from_cartesian

SCALAR, RANK2 = Irrep(0, 1), Irrep(2, 1)
PARTS = {"pseudoscalar": Irrep(0, -1), "vector": Irrep(1, -1), "pseudovector": Irrep(1, 1)}     # in O(3)


def labelled(irrep, group):
    """The irrep as a group labels it: in SO(3) parity says nothing, and everything is labelled even."""
    return irrep if group == "O(3)" else Irrep(irrep.l, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class Atoms:
    """What heads and trunks need to know of the atoms besides features.

    graph: the `Graph`; one_hot (n,species): 1 where the atom is of that species, so that `one_hot @ table` looks
    rows up and `one_hot.T @ x` sums over the atoms of a species; rows: their indices, species by species;
    group: "O(3)" or "SO(3)", by which features are labelled.
    """
    graph: object
    one_hot: np.ndarray
    rows: list
    group: str

    def mean(self, x):
        """The mean of x (n,) over the atoms of each structure, at each of its atoms (n,)."""
        return (self.graph.sum_atoms(x) / self.graph.sizes)[self.graph.structure]


def _perceptron(params, features):
    """An invariant of each atom, (n,)."""
    x, pull_mlp = mlp(params, features[SCALAR][:, 0])

    def pull(dx):
        dparams, dh = pull_mlp(dx[:, None])
        return dparams, {SCALAR: dh[:, None]}
    return x[:, 0], pull


def _component(W, h):
    """One channel from all of a feature's: (n,2l+1,c) (c,1) -> (n,2l+1)."""
    def pull(dy):
        return outer_sum(h, dy[:, :, None]), dy[:, :, None] * W[:, 0]
    return (h @ W)[:, :, 0], pull


def scaled(name):
    """The head for a number of each atom (n,), with a learned scale and shift for each species."""
    def head(params, features, atoms):
        x, pull_x = _perceptron(params["mlp"], features)
        scale = atoms.one_hot @ params["scale"]

        def pull(cotangents):
            d = cotangents[name]
            dmlp, dfeatures = pull_x(d * scale)
            return {"mlp": dmlp, "scale": atoms.one_hot.T @ (d * x), "shift": atoms.one_hot.T @ d}, dfeatures, {}
        return {name: scale * x + atoms.one_hot @ params["shift"]}, pull
    return head


def charges(params, features, atoms):
    """Charges of atoms (n,) that add up to the charge of their structure."""
    x, pull_x = _perceptron(params["mlp"], features)
    share = (atoms.graph.charge / atoms.graph.sizes)[atoms.graph.structure]

    def pull(cotangents):
        dq = cotangents["charges"]
        dmlp, dfeatures = pull_x(dq - atoms.mean(dq))          # the projection is symmetric
        return {"mlp": dmlp}, dfeatures, {}
    return {"charges": x - atoms.mean(x) + share}, pull


def dipole(params, features, atoms):
    """Dipoles (s,3) of finite systems: charges at their places, and atomic dipoles.  mu(r+t) = mu(r) + Q t.

    A model without vectors has charges only.  ValueError for a periodic structure: its dipole depends on the choice
    of the cell.
    """
    graph = atoms.graph
    if graph.pbc.any():
        raise ValueError("the dipole of a periodic structure depends on where its cell is cut: give a molecule")
    out, pull_charges = charges(params, features, atoms)
    q, r = out["charges"], graph.positions
    each = q[:, None] * r
    if "vector" in params:
        vector = labelled(PARTS["vector"], atoms.group)
        mu, pull_mu = _component(params["vector"], features[vector])
        each = each + mu

    def pull(cotangents):
        dmu = cotangents["dipole"][graph.structure]            # (n,3), the same at each atom
        dq = (dmu * r).sum(1) + cotangents.get("charges", 0)
        dparams, dfeatures, dgeometry = pull_charges({"charges": dq})
        if "vector" in params:
            dparams["vector"], dfeatures[vector] = pull_mu(dmu)
        return dparams, dfeatures, {"positions": q[:, None] * dmu}
    return {"dipole": graph.sum_atoms(each), **out}, pull


def polarizability(params, features, atoms):
    """Polarisabilities (s,3,3), symmetric: sum over atoms of a trace and a traceless part."""
    trace, pull_trace = _perceptron(params["mlp"], features)
    shape, pull_shape = _component(params["rank2"], features[RANK2])
    parts = {SCALAR: atoms.graph.sum_atoms(trace[:, None, None]), RANK2: atoms.graph.sum_atoms(shape[:, :, None])}

    def pull(cotangents):
        d = cotangents["polarizability"]
        back = irreps_from_cartesian(0.5 * (d + d.swapaxes(1, 2)), "ij=ji")      # orthogonal: its own transpose
        dtrace, dshape = (back[irrep][atoms.graph.structure, :, 0] for irrep in (SCALAR, RANK2))
        dmlp, dfeatures = pull_trace(dtrace[:, 0])
        dW, dfeatures[RANK2] = pull_shape(dshape)
        return {"mlp": dmlp, "rank2": dW}, dfeatures, {}
    return {"polarizability": cartesian_from_irreps(parts, "ij=ji")}, pull


def direct_forces(params, features, atoms):
    """Forces (n,3) that are no gradient: equivariant, and not conservative."""
    vector = labelled(PARTS["vector"], atoms.group)
    F, pull_F = _component(params["vector"], features[vector])

    def pull(cotangents):
        dW, dh = pull_F(cotangents["direct_forces"])
        return {"vector": dW}, {vector: dh}, {}
    return {"direct_forces": F}, pull


def sum_of_parts(name):
    """The head that adds up one component of each atom: `pseudoscalar` (s,), `vector` or `pseudovector` (s,3)."""
    def head(params, features, atoms):
        irrep, graph = labelled(PARTS[name], atoms.group), atoms.graph
        each, pull_each = _component(params[name], features[irrep])                          # (n,2l+1)
        total = graph.sum_atoms(each)

        def pull(cotangents):
            dW, dh = pull_each(cotangents[name].reshape(total.shape)[graph.structure])
            return {name: dW}, {irrep: dh}, {}
        return {name: total if irrep.l else total[:, 0]}, pull
    return head


HEADS = {"energy": scaled("energies"), "electronegativity": scaled("electronegativities"), "charges": charges,
         "dipole": dipole, "polarizability": polarizability, "direct_forces": direct_forces,
         **{name: sum_of_parts(name) for name in PARTS}}


def irreps_read(name, group, available):
    """The irreps of features that a head reads; ValueError where the model has them not."""
    part = {key: labelled(irrep, group) for key, irrep in PARTS.items()}
    reads = {"energy": {SCALAR}, "electronegativity": {SCALAR}, "charges": {SCALAR},
             "dipole": {SCALAR} | ({part["vector"]} & set(available)), "polarizability": {SCALAR, RANK2},
             "direct_forces": {part["vector"]}, **{key: {irrep} for key, irrep in part.items()}}
    if name not in reads:
        raise ValueError(f"heads are {', '.join(HEADS)}; got {name!r}")
    if not reads[name] <= set(available):
        raise ValueError(f"the head {name!r} reads features {sorted(reads[name])}; this model has {sorted(available)}. "
                         f"Models with irreps= have those that it names, such as '16x0e+16x0o+16x1o+16x1e'")
    return reads[name]


def init_head(name, rng, channels, group, species):
    """Parameters of a head, for features with these channels {Irrep: c} and so many species."""
    part = {key: labelled(irrep, group) for key, irrep in PARTS.items()}
    if name in part:
        return {name: normal(rng, channels[part[name]], 1)}
    c, params = channels.get(SCALAR), {}
    if name != "direct_forces":
        params["mlp"] = init_mlp(rng, [c, c, 1])
    if name in ("energy", "electronegativity"):
        params |= {"scale": np.ones(species), "shift": np.zeros(species)}
    if name == "polarizability":
        params["rank2"] = normal(rng, channels[RANK2], 1)
    if name in ("dipole", "direct_forces") and part["vector"] in channels:
        params["vector"] = normal(rng, channels[part["vector"]], 1)
    return params
