r"""NequIP: a network of equivariant convolutions and gates, with features of every degree up to lmax.

One layer (interaction block) with features h, directions Y, radial basis B and species z:

    w_ij = mlp(B(r_ij))                                   radial weights, one for each path and channel
    m_i  = sum_j  C . (Y_ij (x) (w_ij * (h_j W1)))        the convolution, Tensor Field Networks eq. (3)
    h_i <- gate( m_i W2 / sqrt(N) + h_i W_z )             N: the typical number of neighbours; W_z by species

The features start as one scalar per channel that depends on the species alone.  Source: Batzner et al., Nature
Communications 13 (2022) 2453; Thomas et al., Tensor Field Networks (2018).
"""

import dataclasses
import math

from se3ref.models.heads import SCALAR
from se3ref.models.tensors import TensorModel
from se3ref.nn.convolution import convolve, output_channels, weight_count
from se3ref.nn.gate import gate_channels, gated
from se3ref.nn.linear import init_linear, init_mlp, linear_map, linear_map_by_species, mlp
from se3ref.nn.ops import lengths
from se3ref.nn.params import add_trees
from se3ref.nn.radial import radial_basis
from se3ref.so3.harmonics import spherical_harmonics_and_pull


@dataclasses.dataclass(frozen=True)
class NequIP(TensorModel):
    """NequIP: convolutions and gates.  Every field but species and cutoff has a default.

    Its fields are those of `TensorModel`.
    """
    _: dataclasses.KW_ONLY
    channels: int = 32

    opening, by_species = "sigmoid", True                      # of the gates; whether W_z differs by species

    def _init_layer(self, rng, come, go, terms):
        wanted = gate_channels(go)
        return {**self._init_gather(rng, come, wanted, terms),
                "self": init_linear(rng, come, wanted, len(self.species) if self.by_species else None)}

    def _init_gather(self, rng, come, wanted, terms):
        """Parameters of `_gather`, for channels that come in and are wanted from it."""
        return {"before": init_linear(rng, come, come),
                "radial": init_mlp(rng, [self.basis, *self.hidden, weight_count(terms, come)]),
                "after": init_linear(rng, output_channels(terms, come), wanted)}

    def trunk(self, params, atoms):
        """Features {Irrep: (n,2l+1,c)} of `channels_out`, and pull(dfeatures) -> dparams, dgeometry."""
        graph, pulls = atoms.graph, []
        r, pull_r = lengths(graph.vec)
        B, pull_B = self._radial(params, r)
        Y, pull_Y = spherical_harmonics_and_pull(self.lmax, graph.vec)
        h = {SCALAR: (atoms.one_hot @ params["embedding"])[:, None]}
        for k, (_, _, terms) in enumerate(self._plan()):
            h, pull_layer = self._layer(params[f"layer{k}"], h, B, Y, atoms, terms)
            pulls.append(pull_layer)

        def pull(dh):
            dparams, dB, dY = {}, 0, 0
            for k in reversed(range(self.layers)):
                dparams[f"layer{k}"], dh, dB_k, dY_k = pulls[k](dh)
                dB, dY = dB + dB_k, dY + dY_k
            dparams["embedding"] = atoms.one_hot.T @ dh[SCALAR][:, 0]
            dradial, dr = pull_B(dB)
            return dparams | dradial, {"vec": pull_r(dr) + pull_Y(dY)}
        return h, pull

    def _radial(self, params, r):
        """The radial basis (e,basis), and pull(dB) -> cotangents of parameters of its own, dr."""
        B, pull_B = radial_basis(r, self.cutoff, self.basis)
        return B, lambda dB: ({}, pull_B(dB))

    def _layer(self, params, h, B, Y, atoms, terms):
        x, pull_gather = self._gather(params, h, B, Y, atoms.graph, terms)
        s, pull_self = (linear_map_by_species(params["self"], h, atoms.rows) if self.by_species else
                        linear_map(params["self"], h))
        y, pull_gate = gated(add_trees(x, s), self.opening)

        def pull(dy):
            d = pull_gate(dy)
            dself, dh = pull_self({irrep: d[irrep] for irrep in s})
            dparams, dh2, dB, dY = pull_gather({irrep: d[irrep] for irrep in x})
            return {**dparams, "self": dself}, add_trees(dh, dh2), dB, dY
        return y, pull

    def _gather(self, params, h, B, Y, graph, terms):
        """m_i W2 / sqrt(N): what comes from the neighbours; pull(dx) -> dparams, dh, dB, dY."""
        N = math.sqrt(self.neighbors)
        a, pull_before = linear_map(params["before"], h)
        w, pull_radial = mlp(params["radial"], B)
        m, pull_convolution = convolve(terms, w, a, Y, graph)
        x, pull_after = linear_map(params["after"], m)

        def pull(dx):
            dafter, dm = pull_after({irrep: d / N for irrep, d in dx.items()})
            dw, da, dY = pull_convolution(dm)
            dradial, dB = pull_radial(dw)
            dbefore, dh = pull_before(da)
            return {"before": dbefore, "radial": dradial, "after": dafter}, dh, dB, dY
        return {irrep: v / N for irrep, v in x.items()}, pull
