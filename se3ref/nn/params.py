"""Parameters: nested dicts of arrays, how to draw them, lay them out in one vector, write and read them.

A tree of parameters is a dict whose values are arrays or such dicts; its leaves in the order of the sorted keys are
its entries.  An optimiser works on the vector of all of them, so that it need not know what a layer is.
"""

import json
import math
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

FORMAT = "se3ref parameters 1"


def normal(rng, *shape):
    """A matrix (fan_in, fan_out) of independent normal entries with variance 1/fan_in.

    So x @ W has the size of x where the entries of x are independent.  More axes in front are more matrices.
    """
    return rng.standard_normal(shape) / math.sqrt(shape[-2])


def leaves(tree, prefix=""):
    """Pairs (path, array) of a tree, in the order of the sorted keys; the path's keys are joined by '/'."""
    for key in sorted(tree):
        if isinstance(tree[key], dict):
            yield from leaves(tree[key], f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", tree[key]


def count(tree):
    """How many numbers a tree holds."""
    return sum(array.size for _, array in leaves(tree))


def map_leaves(f, *trees):
    """The tree of f(leaf, leaf of the next tree, ...); all trees have the keys of the first."""
    return {key: map_leaves(f, *(tree[key] for tree in trees)) if isinstance(value, dict)
            else f(value, *(tree[key] for tree in trees[1:])) for key, value in trees[0].items()}


def cast(tree, dtype):
    """The tree with its arrays in another dtype, copied."""
    return map_leaves(lambda array: array.astype(dtype), tree)


def float_dtype(tree):
    """The dtype of the arrays of a tree, that of the first leaf."""
    return next(leaves(tree))[1].dtype


def flatten(tree):
    """All entries of a tree as one vector, leaves in the order of the sorted keys."""
    return np.concatenate([array.ravel() for _, array in leaves(tree)])


def unflatten(vector, like):
    """The inverse of `flatten`: a tree with the keys and shapes of `like`, its arrays views of `vector`."""
    if vector.shape != (count(like),):
        raise ValueError(f"these parameters are a vector of {count(like)} numbers; got shape {vector.shape}")
    position = 0

    def take(tree):
        nonlocal position
        part = {}
        for key in sorted(tree):
            if isinstance(tree[key], dict):
                part[key] = take(tree[key])
            else:
                part[key] = vector[position:position + tree[key].size].reshape(tree[key].shape)
                position += tree[key].size
        return part
    return take(like)


def write(path, tree, about):
    """Write a tree and `about` (what JSON can hold) to an npz file: under a temporary name, then renamed."""
    if "about" in tree or "file" in tree:
        raise ValueError("a tree of parameters has no entry named 'about' or 'file': the file uses these names")
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    text = json.dumps({**about, "format": FORMAT}, default=lambda number: number.item())    # NumPy's numbers
    with open(temporary, "wb") as stream:
        np.savez_compressed(stream, about=text, **dict(leaves(tree)))
    os.replace(temporary, path)


def read(path):
    """What `write` wrote: the tree and `about`.  ValueError for a file that is damaged or of another kind."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(str(arrays.pop("about")))
        known = about.pop("format") == FORMAT
    except FileNotFoundError:
        raise
    except (ValueError, KeyError, OSError, EOFError, AttributeError, TypeError, RuntimeError, zipfile.BadZipFile,
            zlib.error) as error:
        raise ValueError(f"{path} is damaged, or no file of parameters written by se3ref "
                         f"({type(error).__name__})") from None
    if not known:
        raise ValueError(f"{path} is written in another format than '{FORMAT}', the one read here")
    tree = {}
    for name, array in arrays.items():
        *folders, key = name.split("/")
        part = tree
        for folder in folders:
            part = part.setdefault(folder, {})
        part[key] = array
    return tree, about


def check_like(given, expected, what="parameters"):
    """ValueError unless the tree `given` has the keys and shapes of `expected`, and finite entries."""
    if not isinstance(given, dict):
        raise ValueError(f"{what} are a dict of arrays; got {type(given).__name__}")
    given, expected = dict(leaves(given)), dict(leaves(expected))
    missing, odd = sorted(set(expected) - set(given)), sorted(set(given) - set(expected))
    if missing or odd:
        raise ValueError(f"{what} of another model: missing {missing[:4] or 'none'}, not known {odd[:4] or 'none'}")
    for name, array in expected.items():
        if given[name].shape != array.shape:
            raise ValueError(f"{what} of another model: {name} has shape {given[name].shape}, expected {array.shape}")
        if given[name].dtype.kind != "f":
            raise ValueError(f"{what}: {name} must be floating-point numbers; got {given[name].dtype}")
        if not np.isfinite(given[name]).all():
            raise ValueError(f"{what}: {name} holds NaN or infinity")


def add_trees(a, b):
    """The sum of two dicts (of dicts) of arrays; what only one of them has stays as it is."""
    out = dict(a)
    for key, value in b.items():
        if key not in out:
            out[key] = value
        else:
            out[key] = add_trees(out[key], value) if isinstance(value, dict) else out[key] + value
    return out
