"""Training: losses on energies, forces and other targets, their exact gradients, the optimiser and the loop."""

from se3ref.training.dataset import Dataset
from se3ref.training.loop import Result, fit
from se3ref.training.loss import loss_and_gradient, predict
from se3ref.training.optimizer import Adam
from se3ref.training.run import errors
from se3ref.training.units import default_weights, initial_params

__all__ = ["Adam", "Dataset", "Result", "default_weights", "errors", "fit", "initial_params", "loss_and_gradient",
           "predict"]
