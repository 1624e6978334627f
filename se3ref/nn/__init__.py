"""Layers: functions that return their value and the pullback that carries cotangents back, derived by hand."""
