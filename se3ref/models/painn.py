r"""PaiNN: scalars and vectors that talk to each other, without harmonics and without coupling coefficients.

Every atom has c scalars s_i and c vectors v_i.  Messages go along the unit vectors u_ij = vec_ij / r_ij; the
perceptron phi and the filter W give three numbers for each channel, W a linear map of the basis B of the distance:

    x_ij = phi(s_j) * (B(r_ij) W),   in three parts x = (x1, x2, x3)                                  (1)
    s_i <- s_i + sum_j x1_ij / sqrt(N)                                      N: typical neighbours
    v_i <- v_i + sum_j (v_j x2_ij + u_ij x3_ij) / sqrt(N)                                             (2)

Then each atom by itself, with matrices U, V that mix channels and a perceptron `a` of the invariants:

    (a1, a2, a3) = a(s_i, |V v_i|)                                                                    (3)
    s_i <- s_i + a1 + a2 (U v_i).(V v_i)
    v_i <- v_i + a3 U v_i                                                                             (4)

Scalars see vectors only by lengths (smooth ones, `ops.norms`) and inner products, vectors see scalars only as
factors: equivariant by construction.  It is a tensor-field convolution with the paths 0x0->0, 1x0->1 and 0x1->1; of
the others, the inner product 1x1->0 is left to the update, and there is no cross product.

Source: Schuett, Unke, Gastegger, PaiNN, ICML 2021, section 3.  Here as there, but for two things: the perceptrons
have no biases, and the basis carries a polynomial envelope instead of a cosine, for a smoother end at the cutoff.
"""

import dataclasses
import math

import numpy as np

from se3ref.models.heads import SCALAR
from se3ref.models.model import Model
from se3ref.nn.linear import init_mlp, mlp
from se3ref.nn.ops import lengths, norms, outer_sum, sum_products, times
from se3ref.nn.params import normal
from se3ref.nn.radial import radial_basis


@dataclasses.dataclass(frozen=True)
class PaiNN(Model):
    """PaiNN: scalars and vectors.  Every field but species and cutoff has a default.

    channels: of scalars and of vectors; layers: pairs of message and update; basis: Bessel functions;
    neighbors: N above.
    """
    _: dataclasses.KW_ONLY
    channels: int = 32
    layers: int = 3
    basis: int = 12
    neighbors: float = 12.0

    lmax = 1                                                   # vectors
    bodies, coupling = 3, "products"                           # the update's inner products of sums over neighbours

    @property
    def channels_out(self):
        """{Irrep: channels} of the last layer."""
        return {SCALAR: self.channels, self.vector: self.channels}

    def init_trunk(self, rng):
        """Parameters of the embedding and of the layers."""
        c = self.channels
        params = {"embedding": rng.standard_normal((len(self.species), c))}
        for k in range(self.layers):
            params[f"message{k}"] = {"phi": init_mlp(rng, [c, c, 3 * c]), "filter": normal(rng, self.basis, 3 * c)}
            a = init_mlp(rng, [2 * c, c, 3 * c])
            a["1"] *= 0.3                                      # updates start small beside what they are added to
            params[f"update{k}"] = {"U": normal(rng, c, c), "V": normal(rng, c, c), "a": a}
        return params

    def trunk(self, params, atoms):
        """Features {0e: (n,1,c), 1o: (n,3,c)}, and pull(dfeatures) -> dparams, dgeometry."""
        graph, pulls = atoms.graph, []
        r, pull_r = lengths(graph.vec)
        B, pull_B = radial_basis(r, self.cutoff, self.basis)
        u = graph.vec / r[:, None]
        s = atoms.one_hot @ params["embedding"]
        v = np.zeros((len(s), 3, self.channels), np.result_type(s, u), like=s)
        for k in range(self.layers):
            s, v, pull_message = self._message(params[f"message{k}"], s, v, B, u, graph)
            s, v, pull_update = _update(params[f"update{k}"], s, v)
            pulls.append((pull_message, pull_update))

        def pull(dfeatures):
            ds = dfeatures[SCALAR][:, 0] if SCALAR in dfeatures else np.zeros_like(s)
            dv = dfeatures[self.vector] if self.vector in dfeatures else np.zeros_like(v)
            dparams, dB, du = {}, 0, 0
            for k in reversed(range(self.layers)):
                pull_message, pull_update = pulls[k]
                dparams[f"update{k}"], ds, dv = pull_update(ds, dv)
                dparams[f"message{k}"], ds, dv, dB_k, du_k = pull_message(ds, dv)
                dB, du = dB + dB_k, du + du_k
            dparams["embedding"] = atoms.one_hot.T @ ds
            across = du - u * (du * u).sum(1, keepdims=True)   # a unit vector can only turn
            return dparams, {"vec": pull_r(pull_B(dB)) + across / r[:, None]}
        return {SCALAR: s[:, None], self.vector: v}, pull

    def _message(self, params, s, v, B, u, graph):
        """(1) and (2): s (n,c), v (n,3,c) and, of the edges, B (e,basis), u (e,3)."""
        N = math.sqrt(self.neighbors)
        phi, pull_phi = mlp(params["phi"], s)
        W = B @ params["filter"] / N
        phij, vj, uj = phi[graph.senders], v[graph.senders], u[:, :, None]
        x1, x2, x3 = _thirds(phij * W)
        s_out = s + graph.sum_edges(x1)
        v_out = v + graph.sum_edges(vj * x2[:, None] + uj * x3[:, None])

        def pull(ds, dv):
            dmi = dv[graph.receivers]                          # a sum hands its cotangent to every term
            dx = np.concatenate([ds[graph.receivers], sum_products(dmi, vj), sum_products(dmi, uj)], axis=1)
            dW, dphij, dvj = dx * phij / N, dx * W, dmi * x2[:, None]
            du = (dmi @ x3[:, :, None])[:, :, 0]
            dphi, ds_j = pull_phi(graph.sum_leaving(dphij))
            dparams = {"phi": dphi, "filter": B.T @ dW}
            return dparams, ds + ds_j, dv + graph.sum_leaving(dvj), dW @ params["filter"].T, du
        return s_out, v_out, pull


def _update(params, s, v):
    """(3) and (4): s (n,c), v (n,3,c), each atom by itself."""
    Uv, Vv = times(v, params["U"]), times(v, params["V"])
    norm, pull_norm = norms(Vv)
    dot = (Uv * Vv).sum(1)
    a, pull_a = mlp(params["a"], np.concatenate([s, norm], axis=1))
    a1, a2, a3 = _thirds(a)

    def pull(ds, dv):
        da = np.concatenate([ds, ds * dot, (dv * Uv).sum(1)], axis=1)
        da_params, dinput = pull_a(da)
        ddot, c = (ds * a2)[:, None], s.shape[1]
        dUv = ddot * Vv + a3[:, None] * dv
        dVv = ddot * Uv + pull_norm(dinput[:, c:])
        dparams = {"U": outer_sum(v, dUv), "V": outer_sum(v, dVv), "a": da_params}
        return dparams, ds + dinput[:, :c], dv + times(dUv, params["U"].T) + times(dVv, params["V"].T)
    return s + a1 + a2 * dot, v + a3[:, None] * Uv, pull


def _thirds(x):
    c = x.shape[1] // 3
    return x[:, :c], x[:, c:2 * c], x[:, 2 * c:]
