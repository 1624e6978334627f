"""Arrays: NumPy or CuPy, decided by the array that comes in.  The only file that names CuPy.

Library code is written with NumPy's names.  `np.einsum(x, ...)` on a CuPy array runs on the GPU, because NumPy
hands the call to the array's own library (NEP 18); an array is created beside another one with
`np.zeros(shape, dtype, like=x)` (NEP 35).  What is left for this file is the crossing: moving arrays to and from
the device, tables that live on both, and functions that complex numbers do not reach by themselves.

    from se3ref.backend import to_device
    so3.spherical_harmonics(8, to_device(xyz))     # the same words, on the GPU
"""

import dataclasses
import functools
import math

import numpy as np
from scipy import fft, special

# New memory costs more than the arithmetic that is done in it: the C library returns large pieces to the system when
# they are freed, and the system hands out new ones page by page.  glibc keeps pieces for reuse that are no larger than
# the largest it has seen freed, of those up to 32 MiB, and this is one (nothing is written to it).
np.empty(4_000_000)


def to_device(tree):
    """Copy an array, or every array of nested dicts, lists, tuples and dataclasses (a Graph), to the GPU.

    Raises ImportError, and says what to install, where CuPy is missing.
    """
    try:
        import cupy
    except ImportError as error:
        raise ImportError("to_device needs CuPy: pip install cupy-cuda12x (or of your CUDA release)") from error
    return _map_arrays(cupy.asarray, tree)


def to_numpy(tree):
    """Copy an array, or every array of such a nest, back to NumPy (NumPy arrays stay)."""
    return _map_arrays(lambda x: x.get() if hasattr(x, "get") else np.asarray(x), tree)


def _map_arrays(f, tree):
    if isinstance(tree, dict):
        return {key: _map_arrays(f, value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_map_arrays(f, value) for value in tree)
    if dataclasses.is_dataclass(tree):
        return dataclasses.replace(tree, **{field.name: _map_arrays(f, getattr(tree, field.name))
                                            for field in dataclasses.fields(tree)})
    return f(tree) if hasattr(tree, "shape") else tree


@functools.cache                                               # asked of every table, at every step
def real_dtype(dtype):
    """The real floating dtype of the same precision: complex64 -> float32; integers count as float64."""
    floor = np.float32 if np.dtype(dtype).kind in "fc" else np.float64
    return np.finfo(np.result_type(dtype, floor)).dtype


_copies = {}  # (id of the table, dtype, kind of array) -> (the table, which keeps its id alive; its copy)


def constant(table, like):
    """A NumPy table (coupling tensor, coefficients) as an array of the kind and precision of `like`.

    A floating table stays real beside a complex `like` (real times complex costs half); an integer table stays
    integer.  The copy is kept, so that a table crosses to the device once: never write to a table you passed.
    """
    dtype = real_dtype(like.dtype) if table.dtype.kind == "f" else table.dtype
    if type(like) is np.ndarray and table.dtype == dtype:
        return table
    key = id(table), dtype, type(like)
    if key not in _copies:
        _copies[key] = table, np.asarray(table, dtype=dtype, like=like)
    return _copies[key][1]


STEP = {np.dtype(np.float64): 1e-30, np.dtype(np.float32): 1e-15}         # at 1e-30 products leave float32's range


def lift(f, df):
    """Extend a real function to complex arguments x + i h to first order: f(x) + i h f'(x).

    For the complex step h is so small (1e-30) that h^2 is lost in rounding, so the first-order extension *is* the
    analytic one.  For functions with no complex form (erfc), an inaccurate one, or a slow one (complex tanh costs
    170 real ones).  `df` is the derivative written as a function of x.

        sigmoid = lift(expit, lambda x: expit(x) * (1 - expit(x)))
    """
    def lifted(x):
        if x.dtype.kind != "c":
            return f(x)
        return f(x.real) + 1j * (df(x.real) * x.imag)
    return lifted


def _erfc(x):
    if type(x) is np.ndarray:
        return special.erfc(x)
    from cupyx.scipy.special import erfc
    return erfc(x)


erfc = lift(_erfc, lambda x: (-2 / math.sqrt(math.pi)) * np.exp(-x * x))
erfc.__doc__ = "The complementary error function; its derivative is -2/sqrt(pi) exp(-x^2)."


def lift_linear(f):
    """Extend a real linear map to complex arguments: f(x + i h) = f(x) + i f(h), exactly (FFT round trips)."""
    def lifted(x):
        if x.dtype.kind != "c":
            return f(x)
        return f(x.real) + 1j * f(x.imag)
    return lifted


def rfftn(x):
    """The Fourier transform of a real array over all axes: of the last, the waves n >= 0.

    SciPy's for NumPy arrays, being the faster; NumPy's hands a device array to the array's own library.
    """
    return fft.rfftn(x) if type(x) is np.ndarray else np.fft.rfftn(x)


def irfftn(F, shape):
    """sum_n F_n exp(2 pi i n.l/shape) at all points l of the shape, real: the inverse of `rfftn` times their number.

    F is overwritten: a large new array costs more than the arithmetic.
    """
    axes = tuple(range(len(shape)))
    if type(F) is np.ndarray:
        F = fft.ifftn(F, axes=axes[:-1], norm="forward", overwrite_x=True)
        return fft.irfft(F, shape[-1], norm="forward", overwrite_x=True)
    return np.fft.irfftn(F, shape, axes=axes, norm="forward")


def pieces(n, width, like):
    """Slices that cut n rows of `width` numbers into pieces that stay in a CPU's cache; one piece on a GPU."""
    step = max(64, 2**18 // width) if type(like) is np.ndarray else max(n, 1)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def real_times(M, x):
    """M @ x for a real matrix M (p,q) and a real or complex x (...,q,r): a complex column counts as two real ones.

    NumPy would make M complex first, and multiply by its zeros.
    """
    if x.dtype.kind != "c":
        return M @ x
    return (M @ np.ascontiguousarray(x, like=x).view(x.real.dtype)).view(x.dtype)
