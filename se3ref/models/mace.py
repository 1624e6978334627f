r"""MACE: messages of higher body order, from products of what an atom has gathered.

One layer, with features h, directions Y, radial basis B and species z:

    A_i  = sum_j  C . (Y_ij (x) (mlp(B(r_ij)) * (h_j W1)))  W2 / sqrt(N)      gathered, as in NequIP: pairs
    m_i  = sum_nu  W^nu_z  U^nu . (A_i (x) ... (x) A_i)                       products of nu factors: nu + 1 bodies
    h_i <- m_i W3 + h_i W_z                                                   and the residual, by species

The products are `nn.contraction`; they stand where NequIP has its gate, and are the only nonlinearity of a layer.
With one layer the features are an expansion in the clusters of an atom and its neighbours, cut off at
`correlation` + 1 bodies: ACE.  With two, the neighbours bring clusters of their own.

Source: Batatia, Kovacs, Simm, Ortner, Csanyi, MACE, NeurIPS 2022, eq. (8) to (12).  Here as there, but for two things:
heads read the last layer only, where there every layer has a readout (the residual carries the earlier layers on);
and A is divided by sqrt(N), not N, so that its size does not depend on the number of neighbours.
"""

import dataclasses
import math

from se3ref.models.nequip import NequIP
from se3ref.nn.contraction import contract, init_contraction
from se3ref.nn.convolution import paths
from se3ref.nn.couplings import symmetric_couplings
from se3ref.nn.gate import PSEUDOSCALAR
from se3ref.nn.linear import init_linear, linear_map, linear_map_by_species
from se3ref.nn.params import add_trees
from se3ref.so3.irreps import harmonic_irrep


@dataclasses.dataclass(frozen=True)
class MACE(NequIP):
    """MACE: products of gathered features.  Its fields are NequIP's, and `correlation`.

    correlation: the most factors in a product; a layer sees clusters of correlation + 1 atoms.
    lmax: the highest degree of harmonics and of A; channels: of A and its products, in every irrep.
    irreps: the features between the layers, by default `channels` of each degree up to lmax with its natural
    parity.  A has the natural parities up to lmax, and what else `irreps` names, as far as paths reach it.
    """
    _: dataclasses.KW_ONLY
    correlation: int = 3
    layers: int = 2

    @property
    def bodies(self):
        """The receiver, and as many neighbours as a product has factors; with lmax = 1 all invariants of a channel are
        made of its scalar and the square of its vector, so three bodies are the most."""
        return min(self.correlation + 1, 2 + self.lmax if self.lmax < 2 else math.inf)

    @property
    def coupling(self):
        """A product of one factor is none."""
        return "products" if self.lmax and self.correlation > 1 else super().coupling

    def _reaches_handedness(self):
        """In the first layer, if one channel's products contain a pseudoscalar, which they rarely do: with lmax = 3
        from four factors on, with lmax = 4 from three.  In the second, products meet the directions of neighbours."""
        natural = tuple(harmonic_irrep(l) for l in range(self.lmax + 1))
        first = any(len(symmetric_couplings(natural, PSEUDOSCALAR, nu)) for nu in range(1, self.correlation + 1))
        directions = any(irrep.l for irrep in self.features)
        return first or directions and self.layers >= (2 if self.correlation > 1 else 3)

    def _paths(self, come, wanted):
        """To the irreps of A, whatever is wanted from its products."""
        natural = {harmonic_irrep(l, self.group) for l in range(self.lmax + 1)}
        return paths(come, self.lmax, tuple(sorted(natural | set(self.features))), self.group)

    def _made(self, terms):
        gathered, degrees = _irreps(terms), range(1, self.correlation + 1)
        return {irrep for irrep in self.features
                if any(len(symmetric_couplings(gathered, irrep, nu)) for nu in degrees)}

    def _init_layer(self, rng, come, go, terms):
        gathered, c, species = _irreps(terms), self.channels, len(self.species)
        return {**self._init_gather(rng, come, dict.fromkeys(gathered, c), terms),
                "products": init_contraction(rng, c, gathered, tuple(go), self.correlation, species),
                "mix": init_linear(rng, dict.fromkeys(go, c), go),
                "self": init_linear(rng, come, go, species)}

    def _layer(self, params, h, B, Y, atoms, terms):
        A, pull_gather = self._gather(params, h, B, Y, atoms.graph, terms)
        m, pull_products = contract(params["products"], A, atoms.rows)
        x, pull_mix = linear_map(params["mix"], m)
        s, pull_self = linear_map_by_species(params["self"], h, atoms.rows)

        def pull(dy):
            dself, dh = pull_self({irrep: dy[irrep] for irrep in s})
            dmix, dm = pull_mix({irrep: dy[irrep] for irrep in x})
            dproducts, dA = pull_products(dm)
            dparams, dh2, dB, dY = pull_gather(dA)
            return {**dparams, "products": dproducts, "mix": dmix, "self": dself}, add_trees(dh, dh2), dB, dY
        return add_trees(x, s), pull


def _irreps(terms):
    """The irreps of A, sorted."""
    return tuple(sorted({path.y for path in terms}))
