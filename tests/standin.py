"""A NumPy array that behaves like CuPy's: the same words, and no mixing with NumPy arrays.

Code that runs on a GPU must never let a host array meet a device array.  CuPy refuses such a meeting with a
TypeError, but only where there is a GPU to run on.  `DeviceArray` refuses on any machine: it holds its numbers in
NumPy and is strict at the border.  Where CuPy's own behaviour is lenient (a NumPy array as an index), the stand-in
refuses too, since the copy it would make costs more than the operation.
"""

import numpy as np
import pytest

LACKING = frozenset("""block busday_count busday_offset datetime_as_string einsum_path geomspace histogram_bin_edges
    insert is_busday isnat matvec nanpercentile nanquantile polyder polydiv polyint spacing unstack vecdot vecmat
    linalg.diagonal linalg.matrix_norm linalg.multi_dot linalg.outer linalg.svdvals linalg.tensordot linalg.trace
    linalg.vecdot linalg.vector_norm""".split())               # functions of NumPy that CuPy 14 has not
CREATION = (np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.empty, np.zeros, np.ones, np.full, np.eye,
            np.identity, np.arange)                            # with like=: the one way over the border
METHODS = frozenset("""all any argmax argmin argsort astype conj copy cumsum diagonal dot flatten item max mean min
    nonzero prod ravel repeat reshape round squeeze std sum swapaxes take tolist trace transpose var view""".split())
ATTRIBUTES = frozenset("dtype itemsize nbytes ndim shape size T mT imag real".split())
SCALARS = (bool, int, float, complex, np.generic)
KINDS = "?bhilqBHILQefdFD"                                     # CuPy's dtypes: no objects, strings or long doubles


class DeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array on a device that is not there.  `DeviceArray(x)` copies to it, `.get()` copies back."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, host):
        host = np.array(host)
        if host.dtype.char not in KINDS:
            raise TypeError(f"Unsupported dtype {host.dtype}")
        self._host = host

    def get(self):
        return self._host.copy()

    # --- the border -------------------------------------------------------------------------------------------

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a "
                        "NumPy array explicitly.")

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if ufunc.__name__ in LACKING:
            return NotImplemented
        for x in (*inputs, *(out or ())):
            if method == "__call__" and not isinstance(x, (DeviceArray, *SCALARS)):
                raise TypeError(f"Unsupported type {type(x)}")
        if out is not None:
            kwargs["out"] = tuple(x._host for x in out)
        result = getattr(ufunc, method)(*_to_host(inputs, strict=True), **kwargs)
        return _to_device(result) if out is None else out[0]

    def __array_function__(self, func, types, args, kwargs):
        name = ".".join([*func.__module__.split(".")[1:], func.__name__])
        if name in LACKING:
            return NotImplemented                              # NumPy turns this into a TypeError
        if func in CREATION:                                   # may read a host array, and copies it
            return _to_device(func(*map(_to_host, args), **kwargs), copy=True)
        return _to_device(func(*_to_host(args, strict=True), **_to_host(kwargs, strict=True)))

    # --- the array itself -------------------------------------------------------------------------------------

    def __getattr__(self, name):
        if name in ATTRIBUTES:
            value = getattr(self._host, name)
            return _to_device(value) if isinstance(value, np.ndarray) else value
        if name in METHODS:
            method = getattr(self._host, name)
            return lambda *args, **kwargs: _to_device(method(*_to_host(args, strict=True),
                                                             **_to_host(kwargs, strict=True)),
                                                      scalars=name not in ("item", "tolist"))
        raise AttributeError(f"a device array has no attribute {name!r}")

    def __getitem__(self, key):
        return _to_device(self._host[_to_host(key, strict=True)])

    def __setitem__(self, key, value):
        if isinstance(value, np.ndarray):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self._host[_to_host(key, strict=True)] = _to_host(value)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __len__(self):
        return len(self._host)

    def __bool__(self):
        return bool(self._host)

    def __int__(self):
        return int(self._host)

    def __float__(self):
        return float(self._host)

    def __complex__(self):
        return complex(self._host)

    def __repr__(self):
        return f"DeviceArray({self._host!r})"

    def __str__(self):
        return str(self._host)


def _to_host(x, strict=False):
    """What device arrays hold, also those inside lists, tuples and dicts; `strict` refuses NumPy arrays."""
    if isinstance(x, DeviceArray):
        return x._host
    if strict and isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    if isinstance(x, list | tuple):
        return type(x)([_to_host(item, strict) for item in x])
    if isinstance(x, dict):
        return {key: _to_host(value, strict) for key, value in x.items()}
    return x


def _to_device(x, copy=False, scalars=True):
    """Arrays as device arrays that share memory (views stay views), NumPy scalars as 0-d ones, as CuPy gives them."""
    if isinstance(x, np.ndarray) or scalars and isinstance(x, np.generic):
        device = DeviceArray.__new__(DeviceArray)
        device._host = np.array(x) if copy else np.asarray(x)
        return device
    if isinstance(x, list | tuple):
        return [_to_device(item) for item in x] if scalars else x
    return x


def cupy_or_skip():
    """The module, for tests of CuPy itself; without it they are skipped, and say why."""
    try:
        return pytest.importorskip("cupy", reason="CuPy is not installed: pip install -r requirements-gpu.txt")
    except ImportError as error:                               # installed, and broken
        pytest.skip(f"CuPy cannot be imported: {error}")
