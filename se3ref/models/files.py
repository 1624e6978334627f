"""Models on disk: architecture, parameters and model card in one file."""

import dataclasses
from importlib import resources

import numpy as np

from se3ref.models.model import Model
from se3ref.nn.params import check_like, read, write


def save(path, model, params, card=None):
    """Write a model and its parameters to an npz file, whole or not at all.

    card: a dict that says what a user must know: the data, their level of theory, errors measured, how it was made.
    """
    check_like(params, model.init(np.random.default_rng(0)))
    write(path, params, {**_described(model), "card": card or {}})


def _described(model):
    """Architecture and fields; a field that is a model itself, likewise."""
    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(model) if field.init}
    return {"architecture": type(model).__name__,
            "fields": {name: _described(x) if isinstance(x, Model) else x for name, x in fields.items()}}


def load(path):
    """The model, its parameters and its card, from a file that `save` wrote.

    ValueError for a file that is damaged, foreign, or of an architecture that this version does not know.
    """
    params, about = read(path)
    model = _built(path, about)
    if "card" not in about:
        raise ValueError(f"{path} holds no model card")
    check_like(params, model.init(np.random.default_rng(0)), str(path))
    return model, params, about["card"]


def _built(path, about):
    """The model that `_described` described."""
    known, name = _architectures(Model), about.get("architecture")
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"{path} holds the architecture {name!r}; known are {sorted(known)}")
    try:
        return known[name](**{key: _built(path, x) if isinstance(x, dict) else x for key, x in about["fields"].items()})
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} does not fit the architecture {name}: {error}") from None


def _architectures(cls):
    """{name: class} of all models below one that are whole: they have a trunk, or a way forward of their own."""
    below = {name: each for sub in cls.__subclasses__() for name, each in _architectures(sub).items()}
    return {cls.__name__: cls, **below} if hasattr(cls, "trunk") or cls.forward is not Model.forward else below


def shipped(name):
    """A trained model that comes with the library, as `load` gives it; ValueError for a name there is not."""
    folder = resources.files("se3ref") / "data" / "models"
    names = sorted(file.name.removesuffix(".npz") for file in folder.iterdir() if file.name.endswith(".npz"))
    if name not in names:
        raise ValueError(f"there is no trained model {name!r}; there are: {', '.join(names)}")
    with resources.as_file(folder / f"{name}.npz") as path:
        return load(path)
