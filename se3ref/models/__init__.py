"""Architectures, one a file, all with one face: energies, forces and other properties of atoms from their graph."""

from se3ref.models.model import Evaluation, Model, evaluate, evaluate_graph
from se3ref.models.nequip import NequIP

__all__ = ["Evaluation", "Model", "NequIP", "evaluate", "evaluate_graph"]
