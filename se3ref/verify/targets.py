"""Whatever can be audited, behind one face: a function from a Structure to quantities that know how they turn.

    as_target(calculator)                       anything of ASE
    as_target(function)                         (species, positions, cell, pbc) -> energy, forces, stress
    as_target(function, irreps="1o")            the same arguments -> one tensor, or per="atom" one for every atom
    as_target((model, params))                  a model of this library, or a Potential
    as_target("module:factory")                 what a module holds or its function makes
"""

import ast
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from se3ref import models
from se3ref.so3 import Irreps


@dataclass(frozen=True)
class Kind:
    """What a quantity is: its unit, how one row of it turns, and what it belongs to.

    irreps: of a row; None: a Cartesian tensor of rank 2, its rows one after another
    per: "atom", a row for each; or one row of a whole structure, "sum" where it adds over parts, "mean" where it is the
    same for a crystal of more cells, "whole" where neither is known
    """
    unit: str
    irreps: Irreps | None
    per: str

    @property
    def dim(self):
        """How many numbers a row has."""
        return 9 if self.irreps is None else self.irreps.dim

    def matrix(self, R):
        """(dim, dim), which turns a row as R (3,3), proper or not, turns space."""
        return np.kron(R, R) if self.irreps is None else self.irreps.D(R)          # a_ij -> R_ik R_jl a_kl


ENERGY = Kind("eV", Irreps("0e"), "sum")
FORCES = Kind("eV/angstrom", Irreps("1o"), "atom")
STRESS = Kind("eV/angstrom^3", None, "mean")
HEADS = {"charges": Kind("e", Irreps("0e"), "atom"), "dipole": Kind("e angstrom", Irreps("1o"), "sum"),
         "polarizability": Kind("angstrom^3", None, "sum"), "vector": Kind("", Irreps("1o"), "sum"),
         "pseudovector": Kind("", Irreps("1e"), "sum"), "pseudoscalar": Kind("", Irreps("0o"), "sum")}


@dataclass(frozen=True, eq=False)
class Target:
    """A name, the kinds of what it may give, and measure: Structure -> {quantity: array}, a subset of the kinds."""
    name: str
    kinds: dict
    measure: Callable

    def observe(self, structure):
        """{quantity: (rows, dim) float64}: one row, or one for each atom.

        ValueError for arrays of another shape, complex ones, and where nothing came.  A NaN is let through: laws count
        it as a violation.
        """
        found = {name: value for name, value in self.measure(structure).items() if value is not None}
        if not found:
            raise ValueError(f"{self.name} gave none of {sorted(self.kinds)}")
        return {name: self._rows(name, value, len(structure)) for name, value in found.items()}

    def _rows(self, name, value, n):
        kind = self.kinds[name]
        rows = n if kind.per == "atom" else 1
        try:
            value = np.asarray(value)
        except ValueError:
            raise ValueError(f"{self.name}: {name} must be {rows} x {kind.dim} real numbers; got {value!r}, whose rows "
                             "differ in length") from None
        if value.dtype.kind not in "iuf" or value.size != rows * kind.dim or kind.per == "atom" and len(value) != n:
            raise ValueError(f"{self.name}: {name} must be {rows} x {kind.dim} real numbers; got an array of shape "
                             f"{value.shape}, dtype {value.dtype}")
        return value.astype(np.float64).reshape(rows, kind.dim)


def as_target(thing, irreps=None, per="structure"):
    """A `Target` of anything in the list above.

    irreps: of a tensor-valued function, with per="structure" (a row of numbers, which need not add over parts) or
    per="atom" (a row for each).  TypeError for what cannot be asked for energies, ValueError for a wrong "module:name".
    """
    if isinstance(thing, Target):
        return thing
    if isinstance(thing, str):
        made = _made(thing) if irreps is None else _named(thing)[0]
        found = as_target(made, irreps, per)
        return Target(thing, found.kinds, found.measure)
    if isinstance(thing, models.sevennet.Potential):
        thing = thing.model, thing.params
    if isinstance(thing, tuple) and thing and isinstance(thing[0], models.Model):
        return _of_model(*thing[:2])
    if isinstance(thing, type) or not (callable(thing) or hasattr(thing, "get_property")):
        got = f"the class {thing.__name__}: make one" if isinstance(thing, type) else type(thing).__name__
        raise TypeError("an audit takes an ASE calculator, a function (species, positions, cell, pbc) -> energy, "
                        f"forces, stress, a model with its parameters, or 'module:factory'; got {got}")
    if hasattr(thing, "implemented_properties") and hasattr(thing, "get_property"):
        return _of_calculator(thing)
    return _of_function(thing) if irreps is None else _of_tensor(thing, Irreps(irreps), per)


# --- each of them ---------------------------------------------------------------------------------------------

def _name(thing):
    return getattr(thing, "__name__", type(thing).__name__)


def _arguments(structure):
    """species (n,), positions (n,3), cell (3,3), zero where there is none, pbc (3,): copies to do anything with."""
    cell = np.zeros((3, 3)) if structure.cell is None else structure.cell.copy()
    return structure.numbers.copy(), structure.positions.copy(), cell, structure.pbc.copy()


def _of_function(function):
    def measure(structure):
        found = function(*_arguments(structure))
        if isinstance(found, dict):
            return {name: found.get(name) for name in ("energy", "forces", "stress")}
        if not isinstance(found, tuple) or len(found) not in (2, 3):
            raise ValueError(f"{_name(function)} must return (energy, forces), (energy, forces, stress) or a dict of "
                             f"them, None for what it lacks; got {type(found).__name__}: for a tensor, name its irreps")
        stress = found[2] if len(found) == 3 and structure.pbc.all() else None
        return {"energy": found[0], "forces": found[1], "stress": stress}
    return Target(_name(function), {"energy": ENERGY, "forces": FORCES, "stress": STRESS}, measure)


def _of_tensor(function, irreps, per):
    if per not in ("structure", "atom"):
        raise ValueError(f"per is 'structure' or 'atom'; got {per!r}")
    kind = Kind("", irreps, "whole" if per == "structure" else per)
    return Target(_name(function), {"tensor": kind}, lambda structure: {"tensor": function(*_arguments(structure))})


def _of_calculator(calculator):
    """Energies that forces are the gradient of: ASE calls them free_energy where there is another."""
    has = set(calculator.implemented_properties)
    asked = {"energy": "free_energy" if "free_energy" in has else "energy", "forces": "forces", "stress": "stress"}
    asked = {name: key for name, key in asked.items() if key in has}
    kinds = {name: {"energy": ENERGY, "forces": FORCES, "stress": STRESS}[name] for name in asked}

    def measure(structure):
        from ase.stress import voigt_6_to_full_3x3_stress
        atoms = structure.to_ase()
        if hasattr(calculator, "reset"):
            calculator.reset()                                 # what was kept belongs to other atoms
        found = {name: calculator.get_property(key, atoms) for name, key in asked.items()
                 if name != "stress" or structure.pbc.all()}
        if np.shape(found.get("stress")) == (6,):
            found["stress"] = voigt_6_to_full_3x3_stress(found["stress"])
        return found
    return Target(_name(calculator), kinds, measure)


def _of_model(model, params):
    kinds = {name: kind for name, kind in HEADS.items() if name in model.heads}
    if "direct_forces" in model.heads:
        kinds["forces"] = FORCES
    if "energy" in model.heads:
        kinds |= {"energy": ENERGY, "forces": FORCES, "stress": STRESS}

    def measure(structure):
        found = models.evaluate(model, params, structure, stress="energy" in model.heads and bool(structure.pbc.all()))
        direct = found.outputs.get("direct_forces")
        return {"energy": found.energy, "stress": found.stress, "forces": found.forces if direct is None else direct,
                **{name: value for name, value in found.outputs.items() if name in kinds}}
    return Target(type(model).__name__, kinds, measure)


# --- by name --------------------------------------------------------------------------------------------------

def _made(text):
    """What the name stands for; a class, and a function that needs no argument, is called."""
    thing, arguments = _named(text)
    if arguments is not None:
        return thing(*arguments[0], **arguments[1])
    return thing() if isinstance(thing, type) or inspect.isroutine(thing) and not _needs_arguments(thing) else thing


def _needs_arguments(function):
    kinds = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return any(p.default is p.empty and p.kind not in kinds for p in inspect.signature(function).parameters.values())


def _named(text):
    """(object, arguments) of "module:name", "file.py:name" or "module:name(1, key='word')"; no call: None."""
    match = re.fullmatch(r"(?P<module>.+?\.py|[\w.]+):(?P<path>[A-Za-z_][\w.]*)(?P<call>\(.*\))?", text)
    if not match:
        raise ValueError("a target is written module:factory, file.py:factory or module:factory(arguments); "
                         f"got {text!r}")
    thing = _module(match["module"])
    for name in match["path"].split("."):
        if not hasattr(thing, name):
            raise ValueError(f"{match['module']} has no {match['path']!r}")
        thing = getattr(thing, name)
    return thing, _literals(match["call"]) if match["call"] else None


def _module(name):
    """A module by name, the working directory included, or a file of Python."""
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise ValueError(f"there is no file {name}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(f"the module {name!r} cannot be imported: {error}") from None
    finally:
        sys.path.remove("")


def _literals(call):
    """The arguments of a call, numbers and strings and the like alone: nothing is evaluated."""
    try:
        node = ast.parse(f"f{call}", mode="eval").body
        return [ast.literal_eval(a) for a in node.args], {k.arg: ast.literal_eval(k.value) for k in node.keywords}
    except (SyntaxError, ValueError):
        raise ValueError(f"the arguments {call} must be numbers, strings and the like") from None
