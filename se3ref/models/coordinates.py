r"""Coordinates: a network that reads raw coordinates, and obeys no law of space; a foil to the other models.

It is a network of continuous-filter convolutions like SchNet, but its filters see the three components of an edge
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
import math

import numpy as np

from se3ref.models.heads import RANK2, SCALAR
from se3ref.models.model import Model
from se3ref.nn.linear import init_mlp, mlp
from se3ref.nn.ops import lengths
from se3ref.nn.params import normal
from se3ref.nn.radial import envelope, radial_basis


@dataclasses.dataclass(frozen=True)
class Coordinates(Model):
    """The baseline without symmetry.  Every field but species and cutoff has a default.

    channels: of the features; layers: interaction blocks; basis, hidden: Bessel functions, and hidden sizes of the
    perceptron that makes filters; neighbors: N above.
    """
    channels: int = dataclasses.field(default=64, kw_only=True)
    layers: int = dataclasses.field(default=3, kw_only=True)
    basis: int = dataclasses.field(default=8, kw_only=True)
    hidden: tuple = dataclasses.field(default=(32, 32), kw_only=True)
    neighbors: float = dataclasses.field(default=12.0, kw_only=True)

    @property
    def irreps_available(self):
        """What heads may read: everything, by name only."""
        return {SCALAR, self.vector, RANK2}

    @property
    def channels_out(self):
        """{Irrep: channels}: what the heads read."""
        return {irrep: self.channels for irrep in self.irreps_read}
