"""The shape of the source: who imports whom, what differentiated code must not call, names, docstrings, lengths."""

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import se3ref

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "se3ref"
SOURCES = sorted(LIBRARY.rglob("*.py"))
source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(LIBRARY).as_posix())

ROOMS = ["backend", "so3", "data", "systems", "nn", "electrostatics", "models", "training", "dynamics", "interop",
         "verify", "plotting", "pytest_plugin", "__main__"]
FILES = {
    "so3": ["rotations", "harmonics", "wigner", "coupling", "irreps", "quadrature", "bases", "probing", "conventions"],
    "systems": ["structure", "neighbors", "graph", "datasets"],
    "nn": ["params", "ops", "radial", "linear", "gate", "convolution", "rotated", "attention", "couplings",
           "contraction"],
    "electrostatics": ["pairs", "ewald", "splines", "mesh_errors", "pme", "interactions",
                       "equilibration"],
    "models": ["heads", "model", "schnet", "coordinates", "egnn", "painn", "tensors", "nequip", "mace",
               "se3_transformer", "hybrid", "files", "checkpoints", "published", "sevennet"],
    "training": ["loss", "optimizer", "dataset", "units", "run", "loop"],
    "verify": ["laws", "gradients", "equivariance", "alignment", "certificates", "walks", "exhibits",
               "resolving", "spectrum", "spectrometer", "targets", "specimens", "differences", "subjects",
               "symmetries", "mechanics", "ranges", "reports", "auditor", "assertions"],
}
LEAVES = ["numpy", "scipy", "tqdm", "se3ref", *sys.stdlib_module_names]


@functools.cache
def parsed(path):
    return ast.parse(path.read_text())


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(tree):
    """(module, node) of every import, those inside functions too; `from a import b` gives a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def place(module):
    """Where se3ref.room.file stands: (room, file), both as numbers; a room itself stands above its files."""
    parts = [*module.split("."), "", ""]
    room, file = parts[1], parts[2]
    files = FILES.get(room, [])
    return ROOMS.index(room), files.index(file) if file in files else -1


# --- rooms ----------------------------------------------------------------------------------------------------

@source
def test_rooms_import_only_from_rooms_above(path):
    """Earlier rooms, and earlier files of the same room; `__init__` gathers its own room."""
    here = module_name(path)
    if here == "se3ref.__init__":
        assert not [module for module, _ in imports(parsed(path)) if module.startswith("se3ref")]
        return
    room, file = place(here)
    for module, node in imports(parsed(path)):
        if not module.startswith("se3ref."):
            continue
        if path.name == "__init__.py" and place(module)[0] == room:
            continue
        if module.startswith("se3ref.plotting") and node.col_offset > 0 and here.startswith("se3ref.verify"):
            continue                                           # a report draws itself, inside its function
        assert place(module) < (room, file), f"line {node.lineno}: {here} imports {module}"


@source
def test_every_file_has_a_place(path):
    """A new file is entered in ROOMS and FILES, at the place from which it may import."""
    _, room, *rest = module_name(path).split(".")
    if room != "__init__":
        assert room in ROOMS
    if room in FILES and rest and rest[0] != "__init__":
        assert rest[0] in FILES[room]


@source
def test_only_the_backend_names_cupy(path):
    tree = parsed(path)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {module.split(".")[0] for module, _ in imports(tree)}
    assert "cupy" not in names or path.name == "backend.py"


@source
def test_other_packages_are_imported_inside_functions(path):
    """What only one function needs (ASE, CuPy, matplotlib) must not be needed to import the library."""
    if path.parent.name in ("plotting", "interop") or path.name == "pytest_plugin.py":
        return
    for module, node in imports(parsed(path)):
        assert node.col_offset > 0 or module.split(".")[0] in LEAVES, f"line {node.lineno}: {module}"


IMPORT_ALONE = """
import sys
class OnlyThese:
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] not in {leaves} and name[0] != "_":       # _sysconfigdata_... of Python
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, OnlyThese())
import {module}
"""


@pytest.mark.parametrize("module", ["se3ref", "se3ref.so3", "se3ref.backend", "se3ref.systems", "se3ref.verify"])
def test_importing_needs_numpy_scipy_and_tqdm_only(module):
    """In a fresh interpreter in which nothing else is installed."""
    code = IMPORT_ALONE.format(module=module, leaves=set(LEAVES))
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    planted = IMPORT_ALONE.format(module="pytest", leaves=set(LEAVES))
    assert subprocess.run([sys.executable, "-c", planted], cwd=ROOT, capture_output=True).returncode == 1


# --- differentiated code --------------------------------------------------------------------------------------

DIFFERENTIATED = {                                             # files, and the functions a complex step goes through
    "backend.py": ["constant", "lift", "lift_linear"],
    "so3/harmonics.py": ["spherical_harmonics", "spherical_harmonics_and_pull", "_solid", "_unit", "_check"],
    "so3/wigner.py": ["wigner_D_by_gradient"],
    "so3/irreps.py": ["features_from_flat", "flat_from_features", "rotate_features", "irreps_from_cartesian",
                      "cartesian_from_irreps", "_check_symmetry"],
    "systems/neighbors.py": ["edge_vectors"],
    "systems/graph.py": ["volume", "at", "sum_edges", "sum_leaving", "_sum_blocks", "sum_atoms", "pull"],
}
ROOMS_DIFFERENTIATED = ["nn", "electrostatics", "models"]     # all of them, when they are there
BANNED = frozenset("""abs absolute fabs norm vector_norm matrix_norm conj conjugate vdot var std sign copysign angle
    arctan2 arccos arcsin hypot maximum minimum fmax fmin clip nan_to_num eig eigh eigvals eigvalsh svd""".split())


def banned_calls(function):
    """(line, name) of every banned call in a function; a call on `.real` decides and is not differentiated."""
    def is_real(node):
        return isinstance(node, ast.Attribute) and node.attr == "real"

    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", None)
            of = [*node.args, *([called.value] if isinstance(called, ast.Attribute) else [])]
            if name in BANNED and not any(map(is_real, of)):
                yield node.lineno, name


def functions(path):
    return [node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef)]


def differentiated():
    """(file, function) of all code that complex steps go through."""
    for file, names in DIFFERENTIATED.items():
        found = {function.name: function for function in functions(LIBRARY / file)}
        yield from ((file, found[name]) for name in names)     # KeyError: the list names what is gone
    for room in ROOMS_DIFFERENTIATED:
        for path in sorted((LIBRARY / room).rglob("*.py")):
            yield from ((f"{room}/{path.name}", function) for function in functions(path))


def test_differentiated_code_calls_analytic_functions_only():
    """|z|, z* and their kin have no complex derivative: the complex step would give a wrong number in silence."""
    wrong = [(file, function.name, *call) for file, function in differentiated() for call in banned_calls(function)]
    assert not wrong


PLANTED = {
    "np.abs(x)": 1, "abs(x)": 1, "np.linalg.norm(x, axis=-1)": 1, "x.conj().T @ x": 1, "np.clip(x.imag, 0, 1)": 1,
    "[np.sign(v) for v in x]": 1, "np.maximum(np.hypot(x, x), 0)": 2, "(lambda y: y.var())(x)": 1,
    "np.abs(x.real)": 0, "x.real.clip(0)": 0, "np.sqrt((x * x).sum(-1))": 0, "np.where(x.real > 0, x, 0)": 0,
}


@pytest.mark.parametrize("body, count", PLANTED.items())
def test_the_ban_sees_a_planted_call(body, count):
    tree = ast.parse(f"def layer(x):\n    def pull(dy):\n        return {body}\n    return x, pull")
    assert len(list(banned_calls(tree.body[0]))) == count


def test_a_dropped_imaginary_part_is_an_error():
    """The filter of conftest: NumPy itself only warns."""
    with pytest.raises(np.exceptions.ComplexWarning):
        np.zeros(1)[:] = np.array([1j])


# --- text -----------------------------------------------------------------------------------------------------

@source
def test_no_function_bears_the_name_of_its_module(path):
    assert path.stem not in [function.name for function in functions(path)]


@source
def test_a_file_says_its_one_job_in_one_sentence(path):
    first = (ast.get_docstring(parsed(path)) or "").splitlines()[:1]
    assert first and (first[0].endswith((".", "?")) or path.name == "__init__.py"), first


def public(package):
    """Every public function and class defined in a room, and the public methods of the classes."""
    modules = [package, *(importlib.import_module(f"{package.__name__}.{info.name}")
                          for info in pkgutil.iter_modules(package.__path__))]
    for module in modules:
        for name, item in vars(module).items():
            if name.startswith("_") or getattr(item, "__module__", "").split(".")[:2] != package.__name__.split("."):
                continue
            if inspect.isclass(item) or callable(item):
                yield f"{item.__module__}.{name}", item
            if inspect.isclass(item):
                yield from ((f"{item.__module__}.{name}.{key}", member) for key, member in vars(item).items()
                            if not key.startswith("_") and (callable(member) or isinstance(member, property)))


@pytest.mark.parametrize("room", ["so3", "systems", "verify"])
def test_public_names_have_docstrings(room):
    found = dict(public(importlib.import_module(f"se3ref.{room}")))
    assert len(found) > 3
    trivial = ("sort", "count")                                # of tuple and list, known to everybody
    assert not [name for name, item in found.items() if not inspect.getdoc(item) and not name.endswith(trivial)]


@source
def test_files_are_short(path):
    """A guide, not a law: 250 lines a file and 40 a function are printed, 320 lines fail."""
    lines = len(path.read_text().splitlines())
    long = [f"{f.name} ({f.end_lineno - f.lineno + 1})" for f in functions(path) if f.end_lineno - f.lineno >= 40]
    if lines > 250 or long:
        print(f"{path.relative_to(ROOT)}: {lines} lines; long functions: {', '.join(long) or 'none'}")
    assert lines <= 320


TEXT = [".py", ".md", ".ipynb", ".toml", ".txt", ".yml", ".yaml", ".cff", ".css"]
MACHINE_PATH = re.compile(r"(?<![\w.~/:>-])/(?:work|tmp|opt|home|root|mnt|Users)/\w")


def texts():
    """Every text file of the project, notebooks with their outputs included."""
    for folder in ("se3ref", "tests", "tools", "chapters", "book", "data", "benchmarks"):
        yield from (path for path in (ROOT / folder).rglob("*") if path.suffix in TEXT and "vendor" not in path.parts)
    yield from (path for path in ROOT.iterdir() if path.suffix in TEXT or path.name == "Makefile")


def test_no_path_of_a_machine():
    """The project speaks of itself alone."""
    planted = "file = '" + "/tmp" + "/x.npz'"
    assert MACHINE_PATH.search(planted) and not MACHINE_PATH.search("https://example.org/home/page and a/opt/b")
    found = [path.relative_to(ROOT).as_posix() for path in texts() if MACHINE_PATH.search(path.read_text("utf-8"))]
    assert not found


def test_version_is_said_once():
    assert re.fullmatch(r"\d+\.\d+\.\d+", se3ref.__version__)
