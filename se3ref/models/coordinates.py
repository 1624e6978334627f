r"""Coordinates: a network that reads raw coordinates, and obeys no law of space; a foil to the other models.

It is made of SchNet's interaction blocks (`schnet.interaction`), but its filters see the three components of an edge
and not only its length, and its features start from species and absolute positions:

    h_i   = embedding[z_i] + r_i P
    w_ij  = mlp( B(r_ij), u(r_ij) vec_ij )                B: radial basis; u: envelope; vec: x, y, z as they come
    m_i   = sum_j  w_ij * (h_j W) / sqrt(N)               N: typical number of neighbours
    h_i  <- h_i + mlp(m_i)

Components of a vector mean something in one frame of axes only: turn the molecule and w changes, shift it and h
changes, and in a crystal a shift by a lattice vector changes h too.  What is left is the permutation of equal atoms,
energies that add up over distant molecules, and smoothness at the cutoff.  It can learn the laws from data, roughly,
if every frame is shown in many orientations; that is what it is for.

Heads may read any irrep here, and get plain numbers of the right shape that turn by nothing.
"""

import dataclasses

import numpy as np

from se3ref.models.heads import PARTS, RANK2, SCALAR
from se3ref.models.model import Model
from se3ref.models.schnet import init_interaction, interaction
from se3ref.nn.ops import lengths
from se3ref.nn.params import normal
from se3ref.nn.radial import envelope, radial_basis


@dataclasses.dataclass(frozen=True)
class Coordinates(Model):
    """The baseline without symmetry.  Every field but species and cutoff has a default.

    channels: of the features; layers: interaction blocks; basis, hidden: Bessel functions, and hidden sizes of the
    perceptron that makes filters; neighbors: N above.
    """
    _: dataclasses.KW_ONLY
    channels: int = 64
    layers: int = 3
    basis: int = 8
    hidden: tuple = (32, 32)
    neighbors: float = 12.0

    @property
    def sight(self):
        """Everything, and with it what is not there: the axes of the laboratory."""
        return dataclasses.replace(super().sight, frame=True)

    @property
    def irreps_available(self):
        """What heads may read: everything, by name only."""
        return {SCALAR, RANK2, *PARTS.values()}

    @property
    def channels_out(self):
        """{Irrep: channels}: what the heads read."""
        return {irrep: self.channels for irrep in self.irreps_read}

    def init_trunk(self, rng):
        """Parameters of the embedding, of the layers, and of a linear map for each irrep but 0e that a head reads."""
        c, sizes = self.channels, [self.basis + 3, *self.hidden, self.channels]
        params = {"embedding": rng.standard_normal((len(self.species), c)), "positions": 0.1 * normal(rng, 3, c)}
        for k in range(self.layers):
            params[f"layer{k}"] = init_interaction(rng, sizes, residual=0.3)
        return params | {str(irrep): normal(rng, c, irrep.dim * c) for irrep in self._tensors}

    @property
    def _tensors(self):
        return sorted(irrep for irrep in self.channels_out if irrep != SCALAR)

    def trunk(self, params, atoms):
        """Features {Irrep: (n,2l+1,c)} of `channels_out`, and pull(dfeatures) -> dparams, dgeometry."""
        graph, pulls = atoms.graph, []
        x, pull_x = self._edges(graph.vec)
        h = atoms.one_hot @ params["embedding"] + graph.positions @ params["positions"]
        for k in range(self.layers):
            h, pull_layer = interaction(params[f"layer{k}"], h, x, graph, self.neighbors)
            pulls.append(pull_layer)
        tensors = {irrep: (h @ params[str(irrep)]).reshape(len(h), irrep.dim, -1) for irrep in self._tensors}

        def pull(dfeatures):
            dparams, dx = {}, 0
            dh = dfeatures[SCALAR][:, 0] if SCALAR in dfeatures else np.zeros_like(h)
            for irrep in self._tensors:
                d = dfeatures[irrep].reshape(len(h), -1)
                dparams[str(irrep)] = h.T @ d
                dh = dh + d @ params[str(irrep)].T
            for k in reversed(range(self.layers)):
                dparams[f"layer{k}"], dh, dx_k = pulls[k](dh)
                dx = dx + dx_k
            dparams |= {"embedding": atoms.one_hot.T @ dh, "positions": graph.positions.T @ dh}
            return dparams, {"vec": pull_x(dx), "positions": dh @ params["positions"].T}
        return {SCALAR: h[:, None]} | tensors, pull

    def _edges(self, vec):
        """What filters are made of: radial basis, and components times the envelope, (e,3) -> (e,basis+3)."""
        r, pull_r = lengths(vec)
        B, pull_B = radial_basis(r, self.cutoff, self.basis)
        u, pull_u = envelope(r, self.cutoff)

        def pull(dx):
            dB, dscaled = dx[:, :-3], dx[:, -3:]
            return pull_r(pull_B(dB) + pull_u((dscaled * vec).sum(1))) + dscaled * u[:, None]
        return np.concatenate([B, vec * u[:, None]], axis=1), pull
