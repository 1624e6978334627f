r"""SchNet: scalar features, and convolutions whose filters are continuous functions of distance.

One interaction block, with features h_i (c numbers that turn under nothing) and the basis B of the distance r_ij:

    w_ij = mlp(B(r_ij))                                   the filter, one number for each channel
    m_i  = sum_j  w_ij * (h_j W) / sqrt(N)                the continuous-filter convolution; N: typical neighbours
    h_i <- h_i + mlp(m_i)                                 atomwise layers, and the residual

The features start as a row of the embedding, chosen by species.  An atom sees the distances to its neighbours and
not the angles between them: those it must gather from distances among the neighbours, a layer later.  Where these
are beyond the cutoff it is blind: a hexagon of atoms and two triangles with the same edges are one to it, at any depth.

Source: Schuett, Sauceda, Kindermans, Tkatchenko, Mueller, SchNet, J. Chem. Phys. 148 (2018) 241722.  Here as there,
but for three things: the activation is silu instead of the shifted softplus, as everywhere in this library; the
perceptrons have no biases; the basis (Bessel functions) carries an envelope, so that the filter, which has no bias
either, vanishes at the cutoff with two derivatives.
"""

import dataclasses
import math

from se3ref.models.heads import SCALAR
from se3ref.models.model import Model
from se3ref.nn.linear import init_mlp, mlp
from se3ref.nn.ops import lengths
from se3ref.nn.params import normal
from se3ref.nn.radial import radial_basis


@dataclasses.dataclass(frozen=True)
class SchNet(Model):
    """SchNet: invariant features.  Every field but species and cutoff has a default.

    channels: of the features; layers: interaction blocks; basis, hidden: radial functions, and hidden sizes of the
    perceptron that makes filters of them; neighbors: N above.
    Heads: energy, charges, and a dipole from charges alone; there is no feature that a vector could be read from.
    """
    _: dataclasses.KW_ONLY
    channels: int = 64
    layers: int = 3
    basis: int = 12
    hidden: tuple = (32,)
    neighbors: float = 12.0

    @property
    def channels_out(self):
        """{Irrep: channels} of the last layer."""
        return {SCALAR: self.channels}

    def init_trunk(self, rng):
        """Parameters of the embedding and of the layers."""
        c = self.channels
        params = {"embedding": rng.standard_normal((len(self.species), c))}
        for k in range(self.layers):
            params[f"layer{k}"] = init_interaction(rng, [self.basis, *self.hidden, c], residual=0.5)
        return params

    def trunk(self, params, atoms):
        """Features {0e: (n,1,c)}, and pull(dfeatures) -> dparams, dgeometry."""
        graph, pulls = atoms.graph, []
        r, pull_r = lengths(graph.vec)
        B, pull_B = radial_basis(r, self.cutoff, self.basis)
        h = atoms.one_hot @ params["embedding"]
        for k in range(self.layers):
            h, pull_layer = interaction(params[f"layer{k}"], h, B, graph, self.neighbors)
            pulls.append(pull_layer)

        def pull(dfeatures):
            dparams, dh, dB = {}, dfeatures[SCALAR][:, 0], 0
            for k in reversed(range(self.layers)):
                dparams[f"layer{k}"], dh, dB_k = pulls[k](dh)
                dB = dB + dB_k
            dparams["embedding"] = atoms.one_hot.T @ dh
            return dparams, {"vec": pull_r(pull_B(dB))}
        return {SCALAR: h[:, None]}, pull


def init_interaction(rng, sizes, residual):
    """Parameters of `interaction`; sizes: of the perceptron that makes filters, from its input to the channels."""
    c = sizes[-1]
    after = init_mlp(rng, [c, c, c])
    after["1"] *= residual                                     # small beside what it is added to, at first
    return {"before": normal(rng, c, c), "filter": init_mlp(rng, sizes), "after": after}


def interaction(params, h, x, graph, neighbors):
    """One interaction block: h (n,c), and what filters are made of, x (e,.) -> (n,c); pull(dy) -> dparams, dh, dx."""
    N = math.sqrt(neighbors)
    w, pull_filter = mlp(params["filter"], x)
    a = (h @ params["before"])[graph.senders]                  # (e,c)
    v, pull_after = mlp(params["after"], graph.sum_edges(w * a) / N)

    def pull(dy):
        dafter, dm = pull_after(dy)
        dm = (dm / N)[graph.receivers]                         # a sum hands its cotangent to every term
        dfilter, dx = pull_filter(dm * a)
        da = graph.sum_leaving(dm * w)
        dparams = {"before": h.T @ da, "filter": dfilter, "after": dafter}
        return dparams, dy + da @ params["before"].T, dx
    return h + v, pull
