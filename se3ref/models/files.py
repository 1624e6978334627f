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
    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    write(path, params, {"architecture": type(model).__name__, "fields": fields, "card": card or {}})


def load(path):
    """The model, its parameters and its card, from a file that `save` wrote.

    ValueError for a file that is damaged, foreign, or of an architecture that this version does not know.
    """
    params, about = read(path)
    known = _architectures(Model)
    if not isinstance(about.get("architecture"), str) or about["architecture"] not in known:
        raise ValueError(f"{path} holds the architecture {about.get('architecture')!r}; known are {sorted(known)}")
    try:
        model, card = known[about["architecture"]](**about["fields"]), about["card"]
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path} does not fit the architecture {about['architecture']}: {error}") from None
    check_like(params, model.init(np.random.default_rng(0)), str(path))
    return model, params, card


def _architectures(cls):
    """{name: class} of all models below one that have a trunk, and so are whole."""
    below = {name: each for sub in cls.__subclasses__() for name, each in _architectures(sub).items()}
    return {cls.__name__: cls, **below} if hasattr(cls, "trunk") else below


def shipped(name):
    """A trained model that comes with the library, as `load` gives it; ValueError for a name there is not."""
    folder = resources.files("se3ref") / "data" / "models"
    names = sorted(file.name.removesuffix(".npz") for file in folder.iterdir() if file.name.endswith(".npz"))
    if name not in names:
        raise ValueError(f"there is no trained model {name!r}; there are: {', '.join(names)}")
    with resources.as_file(folder / f"{name}.npz") as path:
        return load(path)
