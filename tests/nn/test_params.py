"""Trees of parameters: laid out in one vector and back, written whole or not at all, read or refused."""

import json
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from se3ref.nn import params
from tests.standin import DeviceArray

ABOUT = {"model": "NequIP", "settings": {"cutoff": 5.0, "species": [1, 6, 8]}, "note": "ä"}

keys = st.text("abcXYZ019 _-+=", min_size=1, max_size=4)
arrays = st.lists(st.integers(0, 3), max_size=3).map(
    lambda shape: np.random.default_rng(len(shape)).standard_normal(shape))
trees = st.dictionaries(keys, st.recursive(arrays, lambda inner: st.dictionaries(keys, inner, min_size=1, max_size=3),
                                           max_leaves=6), min_size=1, max_size=4)


def example():
    rng = np.random.default_rng(0)
    return {"layers": {"0": {"1o": rng.standard_normal((2, 3))}, "10": {"1o": rng.standard_normal((2, 1))}},
            "bias": rng.standard_normal(4)}


def assert_same(found, expected):
    """The same keys, shapes, dtypes and numbers."""
    found, expected = list(params.leaves(found)), list(params.leaves(expected))
    assert [path for path, _ in found] == [path for path, _ in expected]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype and np.array_equal(one, other)


# --- one vector -----------------------------------------------------------------------------------------------

@given(trees)
def test_flatten_and_back(tree):
    vector = params.flatten(tree)
    assert vector.shape == (params.count(tree),)
    assert_same(params.unflatten(vector, tree), tree)


def test_entries_stand_in_the_order_of_the_sorted_keys():
    tree = example()
    assert [path for path, _ in params.leaves(tree)] == ["bias", "layers/0/1o", "layers/10/1o"]
    assert np.array_equal(params.flatten(tree)[:4], tree["bias"])
    assert np.array_equal(params.flatten(tree)[4:10], tree["layers"]["0"]["1o"].ravel())
    backwards = {key: tree[key] for key in reversed(tree)}
    assert np.array_equal(params.flatten(backwards), params.flatten(tree))


def test_unflatten_gives_views():
    """An optimiser that changes the vector in place changes the tree, and the other way round."""
    tree = example()
    vector = params.flatten(tree)
    views = params.unflatten(vector, tree)
    assert all(np.shares_memory(array, vector) for _, array in params.leaves(views))
    vector *= 2
    assert np.array_equal(views["layers"]["10"]["1o"], 2 * tree["layers"]["10"]["1o"])
    views["bias"][0] = 7
    assert vector[0] == 7 != tree["bias"][0]                   # the tree that was laid out stays as it was


@pytest.mark.parametrize("shape", [(11,), (13,), (12, 1), ()])
def test_a_vector_of_another_length_is_refused(shape):
    with pytest.raises(ValueError, match="a vector of 12 numbers; got shape"):
        params.unflatten(np.zeros(shape), example())


def test_functions_of_trees():
    tree = example()
    assert params.count(tree) == 12 and params.float_dtype(tree) == np.float64
    narrow = params.cast(tree, np.float32)
    assert {array.dtype for _, array in params.leaves(narrow)} == {np.dtype(np.float32)}
    doubled = params.map_leaves(lambda a, b: a + b, tree, tree)
    assert np.array_equal(params.flatten(doubled), 2 * params.flatten(tree))
    assert not np.shares_memory(params.cast(tree, np.float64)["bias"], tree["bias"])


def test_trees_on_a_device():
    tree = params.map_leaves(DeviceArray, example())
    vector = params.flatten(tree)
    views = params.unflatten(vector, tree)
    vector *= 2
    assert isinstance(views["bias"], DeviceArray)
    assert np.array_equal(views["bias"].get(), 2 * example()["bias"])


def test_add_trees():
    """What both have is added, what one has stays; neither of the two is changed."""
    a, b = {"x": np.ones(2), "deep": {"y": np.ones(3)}}, {"z": np.ones(1), "deep": {"y": np.ones(3), "w": np.ones(4)}}
    total = params.add_trees(a, b)
    assert_same(total, {"x": np.ones(2), "z": np.ones(1), "deep": {"y": 2 * np.ones(3), "w": np.ones(4)}})
    assert_same(a, {"x": np.ones(2), "deep": {"y": np.ones(3)}})
    assert params.add_trees({}, b) == b and params.add_trees(a, {}) == a


def test_normal_keeps_the_size_of_what_it_multiplies():
    """The variance is 1/fan_in, fan_in the last axis but one; 5 standard errors of a sample variance, sqrt(2/n)."""
    W = params.normal(np.random.default_rng(0), 3, 50, 40)
    assert W.shape == (3, 50, 40) and abs(W.var() * 50 - 1) < 5 * np.sqrt(2 / W.size)


# --- files ----------------------------------------------------------------------------------------------------

@given(trees)
def test_write_and_read(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("params") / "p.npz"
    params.write(path, tree, ABOUT)
    found, about = params.read(path)
    assert_same(found, tree)
    assert about == ABOUT


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.int64])
def test_files_keep_the_dtype(tmp_path, dtype):
    tree = params.cast(example(), dtype)
    params.write(tmp_path / "p.npz", tree, {})
    assert_same(params.read(str(tmp_path / "p.npz"))[0], tree)


@pytest.mark.parametrize("broken", ["writing", "renaming"])
def test_an_interrupted_write_leaves_the_old_file_whole(tmp_path, monkeypatch, broken):
    path, new = tmp_path / "p.npz", {"a": np.zeros(3)}
    params.write(path, example(), ABOUT)

    def half(stream, **arrays):
        stream.write(b"PK")
        raise KeyboardInterrupt

    def refuse(*paths):
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(*((np, "savez_compressed", half) if broken == "writing" else (os, "replace", refuse)))
        with pytest.raises(KeyboardInterrupt):
            params.write(path, new, {})
    assert_same(params.read(path)[0], example())
    params.write(path, new, {})                                # what the stopped run left is in nobody's way
    assert_same(params.read(path)[0], new)
    assert os.listdir(tmp_path) == ["p.npz"]


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        params.read(tmp_path / "none.npz")


class Evil:
    """Unpickling it runs code."""

    def __reduce__(self):
        return exec, ("raise AssertionError('a file of parameters ran code')",)


def npz(**arrays):
    return lambda path: np.savez(path, **arrays)


FORMAT = json.dumps({"format": params.FORMAT})
DAMAGED = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("layers: 3"),
    "directory": lambda path: path.mkdir(),
    "npy": lambda path: path.write_bytes(b"\x93NUMPY\x01\x00" + b"v\x00{'descr': '<f8', 'fortran_order': False, "
                                         b"'shape': (1,), }" + b" " * 60 + b"\n" + bytes(8)),
    "npz of something else": npz(a=np.zeros(3)),
    "zip of something else": lambda path: zipfile.ZipFile(path, "w").writestr("about", "hello"),
    "about is no JSON": npz(about="{", a=np.zeros(3)),
    "about is a list": npz(about="[1, 2]", a=np.zeros(3)),
    "about without format": npz(about="{}", a=np.zeros(3)),
    "about is a number": npz(about=np.array(3.0), a=np.zeros(3)),
    "pickled array": npz(about=FORMAT, a=np.array([Evil()], object)),
    "pickled about": npz(about=np.array(Evil(), object), a=np.zeros(3)),
    "another format": npz(about=json.dumps({"format": "se3ref parameters 2"}), a=np.zeros(3)),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_file_of_another_kind_is_refused(tmp_path, damage):
    path = tmp_path / "p.npz"
    DAMAGED[damage](path)
    expected = "another format than 'se3ref parameters 1'" if damage == "another format" else "damaged, or no file"
    with pytest.raises(ValueError, match=rf"p\.npz is .*{expected}"):
        params.read(path)


def stored_bytes(path):
    params.write(path, {"a": np.arange(3.0)}, {})
    return path.read_bytes()


def test_a_truncated_file_is_refused(tmp_path):
    """Cut at every byte."""
    path = tmp_path / "p.npz"
    whole = stored_bytes(path)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="damaged"):
            params.read(path)


@pytest.mark.parametrize("mask", [0x01, 0x40, 0xFF])
def test_a_flipped_byte_is_harmless_or_refused(tmp_path, mask):
    """Each byte in turn: no number ever changes in silence (a check sum guards them), and no odd exception comes."""
    path, refused = tmp_path / "p.npz", 0
    whole = stored_bytes(path)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1:])
        try:
            tree, _ = params.read(path)
            params.check_like(tree, {"a": np.zeros(3)})
            assert np.array_equal(tree["a"], np.arange(3.0)), place
        except ValueError:
            refused += 1
    assert refused > len(whole) / 2


# --- another model's ------------------------------------------------------------------------------------------

def test_check_like_accepts_its_own_kind():
    params.check_like(params.cast(example(), np.float32), example())


@pytest.mark.parametrize("change, message", [
    (lambda tree: tree.pop("bias"), r"weights of another model: missing \['bias'\], not known none"),
    (lambda tree: tree.update(more={"x": np.zeros(1)}), r"missing none, not known \['more/x'\]"),
    (lambda tree: tree["layers"].update({"0": np.zeros(1)}),
     r"missing \['layers/0/1o'\], not known \['layers/0'\]"),
    (lambda tree: tree.update(bias=np.zeros(5)), r"weights of another model: bias has shape \(5,\), expected \(4,\)"),
    (lambda tree: tree["layers"]["10"].update({"1o": np.zeros((1, 2))}),
     r"layers/10/1o has shape \(1, 2\), expected \(2, 1\)"),
    (lambda tree: tree["bias"].__setitem__(2, np.nan), "weights: bias holds NaN or infinity"),
    (lambda tree: tree["layers"]["0"]["1o"].__setitem__((0, 0), -np.inf), "weights: layers/0/1o holds NaN"),
], ids=["missing", "unknown", "a leaf for a branch", "shape", "transposed", "NaN", "infinity"])
def test_check_like_says_what_differs(change, message):
    tree = example()
    change(tree)
    with pytest.raises(ValueError, match=message):
        params.check_like(tree, example(), "weights")
