"""The laws as executable checks, for this library and for anybody's model."""

from se3ref.verify import gradients, laws
from se3ref.verify.equivariance import EquivarianceReport, check_equivariance

__all__ = ["EquivarianceReport", "check_equivariance", "gradients", "laws"]
