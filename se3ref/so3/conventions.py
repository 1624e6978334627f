"""Executable conventions (being written)."""
