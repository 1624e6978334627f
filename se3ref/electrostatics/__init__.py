"""Electrostatics of charges: plain sums, Ewald's sum, and its waves on a mesh."""

from se3ref.electrostatics.equilibration import Equilibrium, equilibrate
from se3ref.electrostatics.ewald import ewald_sum, madelung
from se3ref.electrostatics.interactions import Interaction, interaction
from se3ref.electrostatics.pairs import COULOMB, Electrostatics
from se3ref.electrostatics.pme import pme_sum

__all__ = ["COULOMB", "Electrostatics", "Equilibrium", "Interaction", "equilibrate", "ewald_sum", "interaction",
           "madelung", "pme_sum"]
