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
from se3ref.models.model import Model
from se3ref.nn.convolution import convolve, output_channels, paths, weight_count
from se3ref.nn.gate import gate_channels, gated
from se3ref.nn.linear import init_linear, init_mlp, linear_map, linear_map_by_species, mlp
from se3ref.nn.ops import lengths
from se3ref.nn.params import add_trees
from se3ref.nn.radial import radial_basis
from se3ref.so3 import Irreps
from se3ref.so3.harmonics import spherical_harmonics_and_pull
from se3ref.so3.irreps import harmonic_irrep


@dataclasses.dataclass(frozen=True)
class NequIP(Model):
    """NequIP: convolutions and gates.  Every field but species and cutoff has a default.

    lmax: the highest degree of harmonics and features; channels: of each irrep; layers: interaction blocks.
    group: "O(3)", where harmonics of degree l have parity (-1)^l, or "SO(3)", where everything is labelled even
    and mirror images may differ.  irreps: the features, by default `channels` of each degree with its natural
    parity; "16x0e+16x0o+16x1o+16x1e" has pseudoscalars and pseudovectors too.
    basis, hidden: Bessel functions, and hidden sizes of the radial perceptron.  neighbors: N above.
    """
    _: dataclasses.KW_ONLY
    lmax: int = 2
    channels: int = 32
    layers: int = 3
    group: str = "O(3)"
    irreps: str | None = None
    basis: int = 8
    hidden: tuple = (32, 32)
    neighbors: float = 12.0

    coupling = "walks"

    @property
    def features(self):
        """{Irrep: channels} between the layers."""
        if self.irreps is None:
            return {harmonic_irrep(l, self.group): self.channels for l in range(self.lmax + 1)}
        given = Irreps(self.irreps)
        return {irrep: given.count(irrep) for _, irrep in given}

    @property
    def irreps_available(self):
        """What heads may read: the irreps that these layers reach."""
        reached = {SCALAR}
        for _ in range(self.layers):
            reached |= self._made(self._paths(tuple(sorted(reached)), tuple(self.features)))
        return reached & set(self.features)

    def _paths(self, come, wanted):
        """The paths of the convolution in a layer that is given `come` and asked for `wanted`."""
        return paths(come, self.lmax, wanted, self.group)

    def _made(self, terms):
        """The irreps that a layer makes of what these paths gather."""
        return {path.y for path in terms}

    def _check(self):
        """Irreps that nothing can reach are a mistake: their labels, lmax, or the number of layers."""
        super()._check()
        if lost := sorted(set(self.features) - self.irreps_available):
            raise ValueError(f"harmonics to lmax={self.lmax} in {self.group} reach no {lost} from 0e in {self.layers} "
                             f"layers: leave them out of irreps={self.irreps!r}, or raise lmax or layers")

    @property
    def channels_out(self):
        """{Irrep: channels} of the last layer: only what the heads read."""
        return {irrep: c for irrep, c in self.features.items() if irrep in self.irreps_read}

    def _plan(self):
        """For each layer, {Irrep: channels} that come in, that go out, and the paths.

        Irreps appear as paths reach them: from scalars, harmonics make tensors of natural parity; a pseudovector
        takes a second layer.
        """
        plan, come = [], {SCALAR: self.features[SCALAR]}
        for k in range(self.layers):
            wanted = self.features if k < self.layers - 1 else self.channels_out
            terms = self._paths(tuple(come), tuple(wanted))
            made = self._made(terms) | set(come)
            go = {irrep: c for irrep, c in wanted.items() if irrep in made}
            plan.append((come, go, terms))
            come = go
        return plan

    def init_trunk(self, rng):
        """Parameters of the embedding and of the layers."""
        species = len(self.species)
        params = {"embedding": rng.standard_normal((species, self.features[SCALAR]))}
        for k, layer in enumerate(self._plan()):
            params[f"layer{k}"] = self._init_layer(rng, *layer)
        return params

    def _init_layer(self, rng, come, go, terms):
        wanted = gate_channels(go)
        return {**self._init_gather(rng, come, wanted, terms),
                "self": init_linear(rng, come, wanted, len(self.species))}

    def _init_gather(self, rng, come, wanted, terms):
        """Parameters of `_gather`, for channels that come in and are wanted from it."""
        return {"before": init_linear(rng, come, come),
                "radial": init_mlp(rng, [self.basis, *self.hidden, weight_count(terms, come)]),
                "after": init_linear(rng, output_channels(terms, come), wanted)}

    def trunk(self, params, atoms):
        """Features {Irrep: (n,2l+1,c)} of `channels_out`, and pull(dfeatures) -> dparams, dgeometry."""
        graph, pulls = atoms.graph, []
        r, pull_r = lengths(graph.vec)
        B, pull_B = radial_basis(r, self.cutoff, self.basis)
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
            return dparams, {"vec": pull_r(pull_B(dB)) + pull_Y(dY)}
        return h, pull

    def _layer(self, params, h, B, Y, atoms, terms):
        x, pull_gather = self._gather(params, h, B, Y, atoms.graph, terms)
        s, pull_self = linear_map_by_species(params["self"], h, atoms.rows)
        y, pull_gate = gated(add_trees(x, s))

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
