"""The laws as executable checks, for this library and for anybody's model."""

from se3ref.verify import gradients, laws
from se3ref.verify.alignment import Alignment, Congruence, congruence, kabsch
from se3ref.verify.auditor import LAWS, Auditor, audit, replay
from se3ref.verify.certificates import Certificate, bodies, certify, colours, distances, shared
from se3ref.verify.equivariance import EquivarianceReport, check_equivariance
from se3ref.verify.exhibits import Exhibit, museum
from se3ref.verify.reports import Finding, Report
from se3ref.verify.resolving import ResolvingPower, resolving_power
from se3ref.verify.spectrometer import symmetry_spectrum, turned
from se3ref.verify.spectrum import SymmetrySpectrum
from se3ref.verify.targets import Target, as_target
from se3ref.verify.walks import walk_colours

__all__ = ["Alignment", "Auditor", "Certificate", "Congruence", "EquivarianceReport", "Exhibit", "Finding", "LAWS",
           "Report", "ResolvingPower", "SymmetrySpectrum", "Target", "as_target", "audit", "bodies", "certify",
           "check_equivariance", "colours", "congruence", "distances", "gradients", "kabsch", "laws", "museum",
           "replay", "resolving_power", "shared", "symmetry_spectrum", "turned", "walk_colours"]
