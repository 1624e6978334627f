"""Atoms and what surrounds them: structures, and the sets of molecules that come with the library."""

from se3ref.systems import datasets
from se3ref.systems.structure import Structure

__all__ = ["Structure", "datasets"]
