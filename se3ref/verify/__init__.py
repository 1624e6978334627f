"""The laws as executable checks, for this library and for anybody's model."""

from se3ref.verify import gradients, laws
from se3ref.verify.alignment import Alignment, Congruence, congruence, kabsch
from se3ref.verify.certificates import Certificate, bodies, certify, colours, distances, shared
from se3ref.verify.equivariance import EquivarianceReport, check_equivariance
from se3ref.verify.exhibits import Exhibit, museum
from se3ref.verify.resolving import ResolvingPower, resolving_power
from se3ref.verify.walks import walk_colours

__all__ = ["Alignment", "Certificate", "Congruence", "EquivarianceReport", "Exhibit", "ResolvingPower", "bodies",
           "certify", "check_equivariance", "colours", "congruence", "distances", "gradients", "kabsch", "laws",
           "museum", "resolving_power", "shared", "walk_colours"]
