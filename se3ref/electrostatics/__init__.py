"""Electrostatics of charges: plain sums of isolated systems, and Ewald's sum of those that repeat."""

from se3ref.electrostatics.ewald import ewald_sum, madelung
from se3ref.electrostatics.pairs import COULOMB, Electrostatics

__all__ = ["COULOMB", "Electrostatics", "ewald_sum", "madelung"]
