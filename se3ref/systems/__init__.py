"""Atoms and what surrounds them: structures, graphs of neighbours, the sets of molecules of the library."""

from se3ref.systems import datasets
from se3ref.systems.graph import Block, Graph, join, neighbor_graph
from se3ref.systems.structure import Structure

__all__ = ["Block", "Graph", "Structure", "datasets", "join", "neighbor_graph"]
