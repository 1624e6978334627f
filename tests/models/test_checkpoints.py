"""Checkpoints without PyTorch: tensors as they were, no code that runs, nothing read out of bounds."""

import io
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from se3ref.models.checkpoints import read_checkpoint


class FloatStorage:
    """Pickled by its name, as torch.FloatStorage."""


class Tensor:
    """Pickled as torch does: a call of _rebuild_tensor_v2 with a storage by reference."""

    def __init__(self, storage, offset, sizes, strides):
        self.arguments = storage, offset, sizes, strides, False, OrderedDict()

    def __reduce__(self):
        return _rebuild_tensor_v2, self.arguments


class Stored:
    def __init__(self, name, count):
        self.name, self.count = name, count


def _rebuild_tensor_v2(*_):
    raise AssertionError("the reader has its own")


@pytest.fixture(autouse=True)
def names_of_torch(monkeypatch):
    """So that this file's stand-ins are pickled under the names of torch."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage, utils._rebuild_tensor_v2 = FloatStorage, _rebuild_tensor_v2
    for what, module in ((FloatStorage, "torch"), (_rebuild_tensor_v2, "torch._utils")):
        monkeypatch.setattr(what, "__module__", module)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def written(path, content, storages=(), folder="archive/"):
    """A checkpoint: the content pickled, and the storages, arrays of float32 or bytes, under their numbers."""
    class Pickler(pickle.Pickler):
        def persistent_id(self, x):
            return ("storage", FloatStorage, x.name, "cpu", x.count) if isinstance(x, Stored) else None
    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{folder}data.pkl", stream.getvalue())
        archive.writestr(f"{folder}byteorder", "little")
        for k, storage in enumerate(storages):
            archive.writestr(f"{folder}data/{k}", storage if isinstance(storage, bytes) else storage.tobytes())
    return path


NUMBERS = np.arange(12, dtype=np.float32)


def test_tensors_are_views_of_their_storage(tmp_path):
    store = Stored("0", 12)
    content = OrderedDict(plain=Tensor(store, 0, (3, 4), (4, 1)), turned=Tensor(store, 0, (4, 3), (1, 4)),
                          late=Tensor(store, 5, (2,), (3,)), number=Tensor(store, 7, (), ()),
                          empty=Tensor(store, 0, (0,), (1,)), spread=Tensor(store, 2, (4,), (0,)),
                          others={"names": ["a", 1, 2.5, None, True], "array": np.arange(6.0).reshape(2, 3)})
    found = read_checkpoint(written(tmp_path / "good.pth", content, [NUMBERS]))
    x = NUMBERS.reshape(3, 4)
    for name, expected in (("plain", x), ("turned", x.T), ("late", NUMBERS[[5, 8]]), ("number", NUMBERS[7]),
                           ("empty", NUMBERS[:0]), ("spread", NUMBERS[[2] * 4])):
        assert np.array_equal(found[name], expected) and found[name].dtype == np.float32
    assert found["others"]["names"] == ["a", 1, 2.5, None, True]
    assert np.array_equal(found["others"]["array"], np.arange(6.0).reshape(2, 3))


class Evil:
    """A pickle that calls a function on its way in."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function, argument", [
    (os.system, "touch {trace}"), (exec, "open({trace!r}, 'w')"), (eval, "open({trace!r}, 'w')"), (open, "{trace}"),
    (np.load, "{trace}"), (__import__, "antigravity"), (getattr, "x")])
def test_no_code_runs(tmp_path, function, argument):
    trace = tmp_path / "trace"
    path = written(tmp_path / "evil.pth", {"weights": Evil(function, argument.format(trace=str(trace)))})
    with pytest.raises(ValueError, match="is refused: it names .* nothing of it was run"):
        read_checkpoint(path)
    assert not trace.exists()


@pytest.mark.parametrize("offset, sizes, strides", [
    (1, (3, 4), (4, 1)), (0, (13,), (1,)), (0, (2,), (12,)), (-1, (2,), (1,)), (0, (2,), (-1,)), (0, (2, 2), (1,)),
    (12, (1,), (1,)), (0, (2**40,), (0,)), (0, (10**6,), (0,)), (0, (True,), (1,)), (0, (1.0,), (1,))])
def test_a_tensor_stays_within_its_storage(tmp_path, offset, sizes, strides):
    path = written(tmp_path / "bad.pth", [Tensor(Stored("0", 12), offset, sizes, strides)], [NUMBERS])
    with pytest.raises(ValueError, match="is refused"):
        read_checkpoint(path)


@pytest.mark.parametrize("store, storages, message", [
    (Stored("0", 13), [NUMBERS], "storage 0 should have 13"), (Stored("0", 12), [b"abc"], "storage 0 should have 12"),
    (Stored("0", -1), [NUMBERS], "storage 0"), (Stored("1", 12), [NUMBERS], "damaged"),
    (Stored("../0", 12), [NUMBERS], "no storage")])
def test_a_storage_is_what_it_says(tmp_path, store, storages, message):
    path = written(tmp_path / "bad.pth", [Tensor(store, 0, (1,), (1,))], storages)
    with pytest.raises(ValueError, match=message):
        read_checkpoint(path)


def test_damaged_and_foreign_files(tmp_path):
    """Cut short anywhere: an error.  Any byte of the pickle changed: an error, or (in a name, in a number) data."""
    good = written(tmp_path / "good.pth", {"w": Tensor(Stored("0", 12), 0, (3, 4), (4, 1))}, [NUMBERS])
    whole = good.read_bytes()
    for length in range(0, len(whole) - 1, 7):
        (tmp_path / "cut.pth").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="no checkpoint of PyTorch, or damaged"):
            read_checkpoint(tmp_path / "cut.pth")
    with zipfile.ZipFile(good) as archive:
        inner = archive.read("archive/data.pkl")
    for k in range(len(inner)):
        with zipfile.ZipFile(tmp_path / "turned.pth", "w") as archive:
            archive.writestr("archive/data.pkl", inner[:k] + bytes([inner[k] ^ 0x55]) + inner[k + 1:])
            archive.writestr("archive/data/0", NUMBERS.tobytes())
        try:
            read_checkpoint(tmp_path / "turned.pth")
        except ValueError as error:
            assert "refused" in str(error) or "damaged" in str(error)
    for content in (b"", b"hello", pickle.dumps({"a": 1})):
        (tmp_path / "foreign.pth").write_bytes(content)
        with pytest.raises(ValueError, match="no checkpoint"):
            read_checkpoint(tmp_path / "foreign.pth")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "no pickle")
    with pytest.raises(ValueError, match="0 files data.pkl"):
        read_checkpoint(tmp_path / "empty.zip")
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "missing.pth")
