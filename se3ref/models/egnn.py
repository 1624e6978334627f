r"""EGNN: messages from squared distances, and atoms that move as they are passed on.

Every atom has c scalars h_i and a place x_i, which begins at its position and takes a step in every layer:

    m_ij = u(r_ij) phi_e(h_i, h_j, |x_i - x_j|^2, B(r_ij))              eq. (3); B, u: basis and envelope
    x_i <- x_i + (1/N) sum_j (x_i - x_j) phi_x(m_ij)                    eq. (4); N: typical number of neighbours
    h_i <- h_i + phi_h(h_i, sum_j m_ij / sqrt(N))                       eq. (5), (6)

Scalars stay invariant because they see lengths only, places turn with the molecule because they move along
differences.  The displacement x_i - r_i after the last layer is the model's one vector, for the heads that want one.

What the paper leaves open, it says of molecules without a cutoff.  Here who is a neighbour, B and u belong to the
original distance r_ij throughout, so that a message dies with two derivatives where its atom leaves, wherever the
places have moved to; the square of the moved distance needs no root, and is analytic even if two places meet.
In a crystal all images of an atom move alike: with displacements d_i, the edge to an image of j is
vec_ij + d_j - d_i.

Source: Satorras, Hoogeboom, Welling, E(n) Equivariant Graph Neural Networks, ICML 2021, section 3; B stands for the
edge attributes a_ij there, and the residual of (6) is in its appendix.  The perceptrons have no biases here.
"""

import dataclasses
import math

import numpy as np

from se3ref.models.heads import SCALAR
from se3ref.models.model import Model
from se3ref.nn.linear import init_mlp, mlp
from se3ref.nn.ops import lengths, silu
from se3ref.nn.params import normal
from se3ref.nn.radial import envelope, radial_basis


@dataclasses.dataclass(frozen=True)
class EGNN(Model):
    """EGNN: scalars and places.  Every field but species and cutoff has a default.

    channels: of scalars and messages; layers: steps of scalars and places; basis: Bessel functions; neighbors: N above.
    """
    _: dataclasses.KW_ONLY
    channels: int = 32
    layers: int = 3
    basis: int = 8
    neighbors: float = 12.0

    lmax = 1                                                   # differences of places, and nothing of higher degree
    coupling = "products"                                      # squares of them, once places have moved

    @property
    def channels_out(self):
        """{Irrep: channels} of the last layer: one vector, the displacement."""
        return {SCALAR: self.channels, self.vector: 1}

    def init_trunk(self, rng):
        """Parameters of the embedding and of the layers."""
        c = self.channels
        params = {"embedding": rng.standard_normal((len(self.species), c))}
        for k in range(self.layers):
            step = init_mlp(rng, [c, c, 1])
            step["1"] *= 0.1                                   # places stay close at first: about 0.1 angstrom
            edge = 3.0 * normal(rng, 1 + self.basis, c)        # the basis is small: geometry counts like h_i and h_j
            params[f"layer{k}"] = {
                "receiver": normal(rng, c, c), "sender": normal(rng, c, c), "edge": edge,
                "message": 1.7 * normal(rng, c, c), "step": step, "scalars": init_mlp(rng, [2 * c, c, c]),
            }
        return params

    def trunk(self, params, atoms):
        """Features {0e: (n,1,c), 1o: (n,3,1)}, and pull(dfeatures) -> dparams, dgeometry."""
        graph, pulls = atoms.graph, []
        r, pull_r = lengths(graph.vec)
        B, pull_B = radial_basis(r, self.cutoff, self.basis)
        u, pull_u = envelope(r, self.cutoff)
        h = atoms.one_hot @ params["embedding"]
        d = np.zeros_like(graph.positions)
        for k in range(self.layers):
            h, d, pull_layer = self._layer(params[f"layer{k}"], h, d, B, u, graph)
            pulls.append(pull_layer)

        def pull(dfeatures):
            dh = dfeatures[SCALAR][:, 0] if SCALAR in dfeatures else np.zeros_like(h)
            dd = dfeatures[self.vector][:, :, 0] if self.vector in dfeatures else np.zeros_like(d)
            dparams, dB, du, dvec = {}, 0, 0, 0
            for k in reversed(range(self.layers)):
                dparams[f"layer{k}"], dh, dd, dB_k, du_k, dvec_k = pulls[k](dh, dd)
                dB, du, dvec = dB + dB_k, du + du_k, dvec + dvec_k
            dparams["embedding"] = atoms.one_hot.T @ dh
            return dparams, {"vec": dvec + pull_r(pull_B(dB) + pull_u(du))}
        return {SCALAR: h[:, None], self.vector: d[:, :, None]}, pull

    def _layer(self, params, h, d, B, u, graph):
        vec = graph.vec + d[graph.senders] - d[graph.receivers]
        m, pull_m = self._messages(params, h, vec, B, u, graph)
        step, pull_step = mlp(params["step"], m)
        N, c = self.neighbors, h.shape[1]
        inputs = np.concatenate([h, graph.sum_edges(m) / math.sqrt(N)], axis=1)
        h_step, pull_scalars = mlp(params["scalars"], inputs)

        def pull(dh, dd):
            dscalars, dinputs = pull_scalars(dh)
            dmoved = -dd[graph.receivers] / N                  # x_i - x_j = -vec
            dstep_params, dm = pull_step((dmoved * vec).sum(1, keepdims=True))
            dm = dm + (dinputs[:, c:] / math.sqrt(N))[graph.receivers]
            dm_params, dh_m, dvec, dB, du = pull_m(dm)
            dvec = dvec + dmoved * step
            dparams = {**dm_params, "step": dstep_params, "scalars": dscalars}
            dd = dd + graph.sum_leaving(dvec) - graph.sum_edges(dvec)
            return dparams, dh + dinputs[:, :c] + dh_m, dd, dB, du, dvec
        return h + h_step, d - graph.sum_edges(vec * step) / N, pull

    def _messages(self, params, h, vec, B, u, graph):
        """m (e,c).  The first matrix of phi_e, which takes (h_i, h_j, square, B), is kept in three parts."""
        scale = 1 / self.cutoff**2
        edge = np.concatenate([scale * (vec * vec).sum(1, keepdims=True), B], axis=1)
        a = (h @ params["receiver"])[graph.receivers] + (h @ params["sender"])[graph.senders] + edge @ params["edge"]
        x, pull_a = silu(a)
        y, pull_y = silu(x @ params["message"])

        def pull(dm):
            dy = pull_y(dm * u[:, None])
            da = pull_a(dy @ params["message"].T)
            dreceived, dsent = graph.sum_edges(da), graph.sum_leaving(da)
            dedge = da @ params["edge"].T
            dparams = {"receiver": h.T @ dreceived, "sender": h.T @ dsent, "edge": edge.T @ da, "message": x.T @ dy}
            dh = dreceived @ params["receiver"].T + dsent @ params["sender"].T
            return dparams, dh, (2 * scale) * dedge[:, :1] * vec, dedge[:, 1:], (dm * y).sum(1)
        return y * u[:, None], pull
