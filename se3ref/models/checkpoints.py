r"""Checkpoints of PyTorch, read without PyTorch by an unpickler that cannot run code.

A checkpoint is a zip archive: `data.pkl` describes nested containers, and its tensors name storages, raw numbers in
files of their own.  A pickle is a program, and may call whatever it can import.  This reader lets it import nothing
but the names in `ADMITTED`, each of which builds data; anything else is refused before it is called.  A tensor is a
view of its storage, by offset, sizes and strides, and each of these is held against the storage's length.

Source: the format of `torch.save` since PyTorch 1.6; pickle's own advice, "Restricting globals".
"""

import codecs
import math
import pickle
import zipfile
from collections import OrderedDict

import numpy as np

LARGEST = 2**31                     # bytes of one storage: what a damaged header may not make us read


class Refused(ValueError):
    """A checkpoint that asks for what data do not need."""


class _Storage:
    """Stands for torch.FloatStorage and its kin."""
    __slots__ = ("_dtype",)

    def __init__(self, dtype):
        object.__setattr__(self, "_dtype", np.dtype(dtype))

    def __setattr__(self, name, value):
        raise Refused("it changes a type")

    @property
    def dtype(self):
        return self._dtype


STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "LongStorage": "<i8", "IntStorage": "<i4",
            "BoolStorage": "?"}


def read_checkpoint(path):
    """The contents of a checkpoint: dicts, lists, numbers, strings, tensors as NumPy arrays.

    ValueError for a file that is no checkpoint, is damaged or cut short, or names anything that is not admitted.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _contents(archive)
    except FileNotFoundError:
        raise
    except Refused as error:
        raise ValueError(f"{path} is refused: {error}; nothing of it was run") from None
    except (zipfile.BadZipFile, pickle.UnpicklingError, EOFError, KeyError, IndexError, TypeError, AttributeError,
            OverflowError, MemoryError, RuntimeError, NotImplementedError, UnicodeDecodeError, ValueError,
            OSError) as error:
        raise ValueError(f"{path} is no checkpoint of PyTorch, or damaged ({type(error).__name__}: {error})") from None


def _contents(archive):
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
    if len(pickles) != 1:
        raise Refused(f"it holds {len(pickles)} files data.pkl, and should hold one")
    folder = pickles[0].removesuffix("data.pkl")
    if folder + "byteorder" in archive.namelist() and archive.read(folder + "byteorder") != b"little":
        raise Refused("its numbers are not little-endian")
    with archive.open(pickles[0]) as stream:
        return _Reader(stream, archive, folder).load()


class _Reader(pickle.Unpickler):
    """An unpickler that imports nothing: every name is looked up in a table."""

    def __init__(self, stream, archive, folder):
        super().__init__(stream)
        self.archive, self.folder, self.storages = archive, folder, {}

    def find_class(self, module, name):
        if module == "torch" and name in STORAGES:
            return _Storage(STORAGES[name])
        if (module, name) not in ADMITTED:
            raise Refused(f"it names {module}.{name}, which data do not need")
        return ADMITTED[module, name]

    def persistent_load(self, key):
        """The storage ("storage", type, name, device, count), read once: (count,)."""
        if not (isinstance(key, tuple) and len(key) == 5 and key[0] == "storage" and isinstance(key[1], _Storage)
                and isinstance(key[2], str) and isinstance(key[4], int) and key[2].isalnum()):
            raise Refused(f"it has a reference that is no storage: {str(key)[:60]}")
        _, kind, name, _, count = key
        if name not in self.storages:
            info = self.archive.getinfo(f"{self.folder}data/{name}")
            if count < 0 or info.file_size != count * kind.dtype.itemsize or info.file_size > LARGEST:
                raise Refused(f"storage {name} should have {count} numbers of {kind.dtype.itemsize} bytes, and its "
                              f"file has {info.file_size} bytes")
            self.storages[name] = np.frombuffer(self.archive.read(info), kind.dtype)
        return self.storages[name]


class _Makers:
    """What a checkpoint may call.  Methods bound to an instance without attributes: a pickle cannot change them."""
    __slots__ = ()

    def tensor(self, storage, offset, sizes, strides, *_):
        """The view of a storage that a tensor is, copied; Refused where it would leave the storage."""
        numbers = (offset, *sizes, *strides)
        if type(storage) is not np.ndarray or len(sizes) != len(strides) or not all(
                type(x) is int and 0 <= x <= LARGEST for x in numbers):
            raise Refused(f"it has a tensor of offset {offset}, sizes {sizes} and strides {strides}")
        if math.prod(sizes) == 0:
            return np.zeros(sizes, storage.dtype)
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if last >= len(storage) or math.prod(sizes) > len(storage):
            raise Refused(f"a tensor of sizes {sizes} and strides {strides} from {offset} on leaves its storage of "
                          f"{len(storage)} numbers")
        width = storage.dtype.itemsize
        return np.lib.stride_tricks.as_strided(storage[offset:], sizes, [s * width for s in strides]).copy()

    def reconstruct(self, kind, shape, code):
        """The empty array that a pickled array starts from; its state, which NumPy checks, fills it."""
        if kind is not ARRAY or tuple(shape) != (0,) or code not in (b"b", "b"):
            raise Refused("it reconstructs something that is no plain array")
        return np.ndarray((0,), np.int8)

    def dtype(self, code, *_):
        """A plain numeric dtype, by its code."""
        if not isinstance(code, str) or np.dtype(code).kind not in "biuf":
            raise Refused(f"it has an array of type {str(code)[:40]}")
        return np.dtype(code)

    def encode(self, text, encoding):
        """Bytes, which older pickles write as text."""
        if encoding != "latin1":
            raise Refused(f"it encodes text as {str(encoding)[:40]}")
        return codecs.encode(text, "latin1")

    def device(self, *names):
        """torch.device, as its name."""
        return ":".join(str(name) for name in names)


ARRAY = object()                    # stands for numpy.ndarray, and cannot be called
MAKERS = _Makers()
ADMITTED = {("collections", "OrderedDict"): OrderedDict, ("torch._utils", "_rebuild_tensor_v2"): MAKERS.tensor,
            ("torch", "device"): MAKERS.device, ("_codecs", "encode"): MAKERS.encode,
            ("numpy", "dtype"): MAKERS.dtype, ("numpy", "ndarray"): ARRAY,
            ("numpy.core.multiarray", "_reconstruct"): MAKERS.reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): MAKERS.reconstruct}
