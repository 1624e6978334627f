r"""Adam with decoupled weight decay, gradient clipping, a learning-rate schedule, and averaged weights.

On one vector of all parameters, with gradient g at step t = 1, 2, ...:

    m <- b1 m + (1-b1) g        v <- b2 v + (1-b2) g^2
    theta <- theta - rate (  m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps)  +  decay theta )

The divisors undo the bias towards the zeros that m and v start from.  The decay acts on theta itself, not through
the moments, and on matrices only: a shift of energy is no smaller for being simpler.
Source: Kingma and Ba, Adam, ICLR 2015; Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019.
"""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass
class Adam:
    """The moments m and v of one vector, and the steps taken.  `update` works in place."""
    m: np.ndarray
    v: np.ndarray
    steps: int = 0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    @classmethod
    def start(cls, theta):
        """Moments zero, for parameters like theta."""
        return cls(np.zeros_like(theta), np.zeros_like(theta))

    def update(self, theta, gradient, rate, decay=0.0):
        """One step: theta is changed in place.  decay: a number, or one for each parameter."""
        self.steps += 1
        self.m += (1 - self.beta1) * (gradient - self.m)
        self.v += (1 - self.beta2) * (gradient * gradient - self.v)
        unbias_m, unbias_v = 1 - self.beta1**self.steps, 1 - self.beta2**self.steps
        theta -= (rate / unbias_m) * self.m / (np.sqrt(self.v / unbias_v) + self.eps) + (rate * decay) * theta


def clipped(gradient, limit):
    """The gradient, shortened to the length `limit` where it is longer."""
    length = math.sqrt(float(gradient @ gradient))
    return gradient * (limit / length) if length > limit else gradient


def schedule(progress, constant=0.3, last=0.01):
    """The factor of the learning rate at progress 0..1: 1 for the first `constant` part, then linear to `last`."""
    return 1.0 if progress <= constant else 1 - (1 - last) * (progress - constant) / (1 - constant)
