"""Bridges to other packages, each imported when it is first used: `interop.ase` needs ASE, this file does not."""

import importlib

BRIDGES = ("ase",)


def __getattr__(name):
    if name in BRIDGES:
        return importlib.import_module(f"se3ref.interop.{name}")
    raise AttributeError(f"module 'se3ref.interop' has no attribute {name!r}; its bridges are {BRIDGES}")
