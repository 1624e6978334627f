"""Architectures, one a file, all with one face: energies, forces and other properties of atoms from their graph."""

from se3ref.models import sevennet
from se3ref.models.coordinates import Coordinates
from se3ref.models.egnn import EGNN
from se3ref.models.files import load, save, shipped
from se3ref.models.hybrid import Hybrid
from se3ref.models.mace import MACE
from se3ref.models.model import Evaluation, Model, Sight, evaluate, evaluate_graph, forces_and_stress
from se3ref.models.nequip import NequIP
from se3ref.models.painn import PaiNN
from se3ref.models.schnet import SchNet
from se3ref.models.se3_transformer import SE3Transformer

__all__ = ["Coordinates", "EGNN", "Evaluation", "Hybrid", "MACE", "Model", "NequIP", "PaiNN", "SE3Transformer",
           "SchNet", "Sight", "evaluate", "evaluate_graph", "forces_and_stress", "load", "save",
           "sevennet", "shipped"]
