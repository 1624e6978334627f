"""se3ref: SE(3)-equivariant networks from scratch, every equation derived by hand, in NumPy that becomes CuPy."""

__version__ = "0.5.0"
