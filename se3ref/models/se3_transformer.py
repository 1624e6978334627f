r"""SE(3)-Transformer: attention with invariant weights over equivariant values, on features of every degree up to lmax.

One layer with features h, directions Y, radial basis B, envelope u and species z; C couples, as in the
convolution, and all W mix channels:

    x_i  = layer_norm(h_i)                                 (w^K_ij, w^V_ij) = mlp(B(r_ij))
    q_i  = x_i W^Q                                         the query of the receiver
    k_ij = C . (Y_ij (x) (w^K_ij * (x_j W^K)))             the key of the edge
    v_ij = C . (Y_ij (x) (w^V_ij * (x_j W^V)))             its value
    a_ij = u_ij exp(<q_i, k_ij>) / sum_j' u_ij' exp(<q_i, k_ij'>)      for each head
    h_i <- gate( sqrt(N) sum_j a_ij v_ij W^O + x_i W_z )

sqrt(N), N the typical number of neighbours, undoes what a mean does to the size of values that differ at random.
The features start as one scalar per channel that depends on the species alone.

Source: Fuchs, Worrall, Fischer, Welling, SE(3)-Transformers, NeurIPS 2020, section 3.2.  As there: queries, keys and
values, the kernels of Tensor Field Networks in k and v, an inner product over all degrees, the softmax, its heads,
and a term of self-interaction.  Different here: the envelope u, in a_ij and in B, so that forces are smooth where a
neighbour leaves; keys made of the scalars of the sender only (those made of everything learned ethanol no better,
and a step took 1.6 times as long); radial weights for each channel, between matrices, instead of one for each pair
of channels (as in NequIP); gates, where the paper has activations of norms; the layer norm; W_z by species.

A weighted mean cannot count: the scalars that reach an atom from four equal neighbours are those from one.
"""

import dataclasses
import math

import numpy as np

from se3ref.models.heads import SCALAR
from se3ref.models.tensors import TensorModel
from se3ref.nn.attention import attend, attention_logits, attention_weights
from se3ref.nn.convolution import output_channels, weight_count
from se3ref.nn.gate import gate_channels, gated, init_layer_norm, layer_norm
from se3ref.nn.linear import init_linear, init_mlp, linear_map, linear_map_by_species, mlp
from se3ref.nn.ops import lengths
from se3ref.nn.params import add_trees
from se3ref.nn.radial import envelope, radial_basis
from se3ref.so3.harmonics import spherical_harmonics_and_pull


@dataclasses.dataclass(frozen=True)
class SE3Transformer(TensorModel):
    """SE(3)-Transformer: attention.  Every field but species and cutoff has a default.

    The fields of `TensorModel`, with equally many channels of every irrep; attention_heads: how many share them, a
    divisor of their number.
    """
    _: dataclasses.KW_ONLY
    attention_heads: int = 4

    coupling = "products"                                      # the layer norm divides by the norms of tensors

    def _check_irreps(self):
        super()._check_irreps()
        if self.channels < 2:
            raise ValueError(f"the layer norm takes away the mean over channels, so there are at least 2; "
                             f"got {self.channels}")
        if self.channels % self.attention_heads:
            raise ValueError(f"attention_heads divide the channels evenly; got {self.attention_heads} heads for "
                             f"{self.channels} channels")
        if set(self.features.values()) != {self.channels}:
            raise ValueError(f"heads share all features alike, so every irrep has channels={self.channels} of them; "
                             f"got irreps={self.irreps!r}")

    def _keys(self, come):
        """The paths of the keys: from the scalars of the sender to irreps that the receiver has."""
        return self._paths((SCALAR,), tuple(come))

    def _init_layer(self, rng, come, go, values):
        keys, scalars, wanted = self._keys(come), {SCALAR: self.channels}, gate_channels(go)
        return {
            "norm": init_layer_norm(come),
            "query": init_linear(rng, come, output_channels(keys, scalars)),
            "key": init_linear(rng, come, scalars),
            "value": init_linear(rng, come, come),
            "radial": init_mlp(rng, [self.basis, *self.hidden,
                                     weight_count(keys, scalars) + weight_count(values, come)]),
            "after": init_linear(rng, output_channels(values, come), wanted),
            "self": init_linear(rng, come, wanted, len(self.species)),
        }

    def attention(self, params, graph):
        """What each atom looks at: for each layer, the weights a_ij (e, attention_heads), of the edges of the graph.

        They are invariant, positive, and sum to 1 over the neighbours of an atom.
        """
        return self._layers(params["trunk"], self._atoms(graph))[2]

    def trunk(self, params, atoms):
        """Features {Irrep: (n,2l+1,c)} of `channels_out`, and pull(dfeatures) -> dparams, dgeometry."""
        return self._layers(params, atoms)[:2]

    def _layers(self, params, atoms):
        """`trunk`, and the attention weights of every layer."""
        vec, pulls, weights = atoms.graph.vec, [], []
        r, pull_r = lengths(vec)
        u, pull_u = envelope(r, self.cutoff)
        B, pull_B = radial_basis(r, self.cutoff, self.basis)
        Y, pull_Y = spherical_harmonics_and_pull(self.lmax, vec)
        h = {SCALAR: (atoms.one_hot @ params["embedding"])[:, None]}
        for k, (come, _, values) in enumerate(self._plan()):
            h, pull_layer, a = self._layer(params[f"layer{k}"], h, (u, B, Y), atoms, values, self._keys(come))
            pulls.append(pull_layer)
            weights.append(a)

        def pull(dh):
            dparams, du, dB, dY = {}, 0, 0, 0
            for k in reversed(range(self.layers)):
                dparams[f"layer{k}"], dh, du_k, dB_k, dY_k = pulls[k](dh)
                du, dB, dY = du + du_k, dB + dB_k, dY + dY_k
            dparams["embedding"] = atoms.one_hot.T @ dh[SCALAR][:, 0]
            return dparams, {"vec": pull_r(pull_u(du) + pull_B(dB)) + pull_Y(dY)}
        return h, pull, weights

    def _layer(self, params, h, edges, atoms, values, keys):
        (u, B, Y), N = edges, math.sqrt(self.neighbors)
        x, pull_norm = layer_norm(params["norm"], h)
        w, pull_radial = mlp(params["radial"], B)
        w_k, w_v = np.split(w, [self.channels * len(keys)], axis=1)
        a, pull_a = self._weights(params, x, u, w_k, Y, atoms.graph, keys)
        v, pull_value = linear_map(params["value"], x)
        m, pull_attend = attend(values, a, w_v, v, Y, atoms.graph)
        t, pull_after = linear_map(params["after"], m)
        s, pull_self = linear_map_by_species(params["self"], x, atoms.rows)
        y, pull_gate = gated(add_trees({irrep: N * each for irrep, each in t.items()}, s))

        def pull(dy):
            dt = pull_gate(dy)
            dself, dx_s = pull_self({irrep: dt[irrep] for irrep in s})
            dafter, dm = pull_after({irrep: N * dt[irrep] for irrep in t})
            da, dw_v, dv, dY_v = pull_attend(dm)
            dvalue, dx_v = pull_value(dv)
            dparams, dx_a, du, dw_k, dY_a = pull_a(da)
            dradial, dB = pull_radial(np.concatenate([dw_k, dw_v], axis=1))
            dnorm, dh = pull_norm(add_trees(add_trees(dx_s, dx_v), dx_a))
            dparams |= {"norm": dnorm, "radial": dradial, "value": dvalue, "after": dafter, "self": dself}
            return dparams, dh, du, dB, dY_v + dY_a
        return y, pull, a

    def _weights(self, params, x, u, w, Y, graph, keys):
        """The attention weights (e,heads); pull(da) -> dparams, dx, du, dw, dY."""
        q, pull_query = linear_map(params["query"], x)
        k, pull_key = linear_map(params["key"], x)
        s, pull_logits = attention_logits(keys, w, q, k, Y, graph, self.attention_heads)
        a, pull_softmax = attention_weights(s, u, graph)

        def pull(da):
            ds, du = pull_softmax(da)
            dw, dq, dk, dY = pull_logits(ds)
            dquery, dx_q = pull_query(dq)
            dkey, dx_k = pull_key(dk)
            return {"query": dquery, "key": dkey}, add_trees(dx_q, dx_k), du, dw, dY
        return a, pull
