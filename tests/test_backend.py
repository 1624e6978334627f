"""One code for NumPy and CuPy: every function for devices runs on the stand-in array, and on a GPU where one is."""

import ast
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from se3ref import backend, so3, systems
from tests.standin import DeviceArray, cupy_or_skip

PRECISIONS = [np.float64, np.float32]
HOST = np.arange(6.0).reshape(2, 3)
LIBRARY = Path(backend.__file__).parent


# --- every function for devices -------------------------------------------------------------------------------

def numbers(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


ROTATION, ROTATIONS = so3.random_rotation(np.random.default_rng(0)), so3.random_orthogonal(np.random.default_rng(1), 5)
PROPER = ROTATIONS * so3.determinant(ROTATIONS)[:, None, None].round()
FLAT, VECTORS, TENSORS = numbers(2, 4, 14), numbers(3, 5, 3), numbers(4, 4, 3, 3)


def harmonics(normalization, normalize):
    def run(xyz, dY):
        Y, pull = so3.spherical_harmonics_and_pull(4, xyz, normalization, normalize)
        return Y, pull(dY)
    return run, VECTORS, numbers(5, 5, 25)


CASES = {                                                      # name: (function, its arrays)
    "check_rotation": (so3.check_rotation, ROTATIONS),
    "determinant": (so3.determinant, ROTATIONS),
    "distance_from_O3": (so3.distance_from_O3, TENSORS),
    "rotation_from_axis_angle": (so3.rotation_from_axis_angle, VECTORS, numbers(6, 5)),
    "rotation_from_axis_angle, one angle": (lambda axis: so3.rotation_from_axis_angle(axis, 0.3), VECTORS),
    "rotation_from_vector": (so3.rotation_from_vector, VECTORS),
    "rotation_from_quaternion": (so3.rotation_from_quaternion, numbers(7, 5, 4)),
    "rotation_from_euler": (lambda angles: so3.rotation_from_euler("ZYZ", angles), VECTORS),
    "rotation_from_euler, fixed axes": (lambda angles: so3.rotation_from_euler("xyz", angles), VECTORS),
    "quaternion_from_rotation": (so3.quaternion_from_rotation, PROPER),
    "vector_from_rotation": (so3.vector_from_rotation, PROPER),
    "axis_angle_from_rotation": (so3.axis_angle_from_rotation, PROPER),
    "euler_from_rotation": (lambda R: so3.euler_from_rotation("YXY", R), PROPER),
    "reflection": (so3.reflection, VECTORS),
    "spherical_harmonics": (lambda xyz: so3.spherical_harmonics(6, xyz), VECTORS),
    **{f"spherical_harmonics_and_pull, {name}, {flag}": harmonics(name, flag)
       for name in ("component", "integral", "norm") for flag in (True, False)},
    **{f"wigner_D, l = {l}": (lambda R, l=l: so3.wigner_D(l, R), ROTATIONS) for l in (0, 1, 5)},
    "wigner_D_by_gradient": (lambda R: so3.wigner_D_by_gradient(3, R), ROTATIONS),
    "Irrep.D": (so3.Irrep(1, 1).D, ROTATIONS),
    "Irreps.D": (so3.Irreps("2x0o+1e+2o").D, ROTATIONS),
    "features_from_flat": (lambda flat: so3.features_from_flat("2x1o+2e+1o", flat), FLAT),
    "flat_from_features": (lambda flat: so3.flat_from_features(
        "2x1o+2e+1o", so3.features_from_flat("2x1o+2e+1o", flat)), FLAT),
    "rotate_features": (lambda flat, R: so3.rotate_features(so3.features_from_flat("2x1o+2e+1o", flat), R),
                        FLAT, ROTATION),
    "irreps_from_cartesian": (lambda T: so3.irreps_from_cartesian(T, "ij"), TENSORS),
    "irreps_from_cartesian, symmetric": (
        lambda T: so3.irreps_from_cartesian(T, "ij=ji"), TENSORS + TENSORS.swapaxes(1, 2)),
    "cartesian_from_irreps": (
        lambda T: so3.cartesian_from_irreps(so3.irreps_from_cartesian(T, "ij"), "ij"), TENSORS),
    "one rotation": (lambda R: (so3.wigner_D(2, R), so3.quaternion_from_rotation(R),
                                so3.axis_angle_from_rotation(R)), ROTATION),
    "constant": (lambda x: backend.constant(HOST, x), VECTORS),
    "lift": (lambda x: backend.lift(np.tanh, lambda x: 1 - np.tanh(x) ** 2)(x + 1e-15j * x), VECTORS),
    "lift_linear": (lambda x: backend.lift_linear(np.cumsum)(x + 1j * x), VECTORS),
}


def leaves(tree):
    if isinstance(tree, dict):
        return leaves(list(tree.values()))
    return [leaf for item in tree for leaf in leaves(item)] if isinstance(tree, list | tuple) else [tree]


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("function, arrays", [(case[0], case[1:]) for case in CASES.values()], ids=CASES)
def test_runs_on_the_stand_in(function, arrays, dtype):
    """The same numbers to the last bit, since the same operations were done; nothing came back to the host."""
    expected = leaves(function(*(a.astype(dtype) for a in arrays)))
    found = leaves(function(*(DeviceArray(a.astype(dtype)) for a in arrays)))
    assert len(found) == len(expected) > 0
    for here, there in zip(expected, found, strict=True):
        assert isinstance(there, DeviceArray)
        assert there.dtype == np.asarray(here).dtype and np.array_equal(there.get(), here)


@pytest.mark.parametrize("function, arrays", [(case[0], case[1:]) for case in CASES.values()], ids=CASES)
def test_float32_stays_float32(function, arrays):
    """Nothing is promoted on the way; 4 + 2l eps for the highest degree, 6 (see test_harmonics): 2e-6."""
    expected = leaves(function(*arrays))
    found = leaves(function(*(a.astype(np.float32) for a in arrays)))
    for here, there in zip(expected, found, strict=True):
        assert there.dtype == (np.complex64 if np.iscomplexobj(here) else np.float32)
        assert np.abs(here - there).max() <= 16 * np.finfo(np.float32).eps * max(1, np.abs(here).max())


@pytest.mark.parametrize("function, arrays", [(case[0], case[1:]) for case in CASES.values()], ids=CASES)
def test_runs_on_a_gpu(function, arrays):
    """P44: NumPy = CuPy to 1e-12; other kernels sum in another order."""
    cupy = cupy_or_skip()
    try:
        cupy.zeros(1)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no GPU to run on: {error}")
    expected, found = leaves(function(*arrays)), leaves(function(*map(cupy.asarray, arrays)))
    for here, there in zip(expected, found, strict=True):
        assert isinstance(there, cupy.ndarray)
        assert np.abs(here - there.get()).max() <= 1e-12 * max(1, np.abs(here).max())


BAD = {
    "no rotation": (lambda d: so3.wigner_D(1, d(2 * np.eye(3))), "not a rotation: a matrix is 1.7"),
    "axis zero": (lambda d: so3.rotation_from_axis_angle(d(np.zeros(3)), 1.0), "must not be zero"),
    "NaN": (lambda d: so3.spherical_harmonics(2, d(np.full((1, 3), np.nan))), "must be finite"),
    "no symmetry": (lambda d: so3.irreps_from_cartesian(d(TENSORS), "ij=ji"), "has not the symmetry"),
}


@pytest.mark.parametrize("call, message", BAD.values(), ids=BAD)
def test_bad_input_is_refused_on_a_device_too(call, message):
    with pytest.raises(ValueError, match=message):
        call(DeviceArray)


# --- the backend itself ---------------------------------------------------------------------------------------

def test_to_device_and_back(monkeypatch):
    """Trees of arrays cross; everything else in them stays what it is."""
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(asarray=DeviceArray))
    tree = {"a": HOST, "b": [HOST[0], (HOST[1], 3)], "c": "text", "d": None}
    there = backend.to_device(tree)
    assert isinstance(there["a"], DeviceArray) and isinstance(there["b"][1], tuple)
    assert isinstance(there["b"][1][0], DeviceArray) and there["b"][1][1] == 3
    back = backend.to_numpy(there)
    assert np.array_equal(back["a"], HOST) and np.array_equal(back["b"][1][0], HOST[1])
    assert back["c"] == "text" and back["d"] is None
    assert backend.to_numpy(HOST) is HOST


def test_to_device_walks_dataclasses(monkeypatch):
    """A graph crosses with its arrays and those of its blocks; slices, numbers and the class stay."""
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(asarray=DeviceArray))
    line = systems.Structure([1, 2, 3], [[0, 0, 0], [0, 0, 1], [0, 0, 2]])         # 1, 2 and 1 neighbours
    here = systems.neighbor_graph(line, 1.5)
    there = backend.to_device([here])[0]
    assert type(there) is systems.Graph and there.cutoff == 1.5
    assert isinstance(there.vec, DeviceArray) and np.array_equal(there.vec.get(), here.vec)
    ends, middle = there.blocks
    assert type(ends) is systems.Block and ends.count == 1 and ends.nodes.get().tolist() == [0, 2]
    assert middle.nodes == slice(1, 2) and middle.edges == slice(1, 3)
    back = backend.to_numpy(there)
    assert back.blocks[0].edges.tolist() == [0, 3] and np.array_equal(back.positions, line.positions)


def test_without_cupy_to_device_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match="to_device needs CuPy: pip install cupy-cuda12x"):
        backend.to_device(HOST)


def test_constant_copies_once_and_follows_the_precision():
    table = HOST.copy()
    integers = np.arange(3)
    assert backend.constant(table, np.ones(1)) is table and backend.constant(table, np.ones(1, complex)) is table
    narrow = backend.constant(table, np.ones(1, np.complex64))
    assert narrow.dtype == np.float32 and backend.constant(table, np.ones(1, np.float32)) is narrow
    assert backend.constant(integers, np.ones(1, np.float32)) is integers
    there = backend.constant(table, DeviceArray(np.ones(1, np.float32)))
    assert isinstance(there, DeviceArray) and there.dtype == np.float32
    assert backend.constant(table, DeviceArray(np.ones(2, np.float32))) is there
    assert backend.constant(integers, there).dtype == integers.dtype


def test_no_table_is_copied_twice():
    """A table made anew in every call would be kept for ever: the second call must add nothing."""
    def run(kind):
        for case in CASES.values():
            case[0](*(kind(a.astype(np.float32)) for a in case[1:]))
        return len(backend._copies)
    for kind in (np.asarray, DeviceArray):
        assert run(kind) == run(kind)


@pytest.mark.parametrize("dtype, real", [
    (np.float64, np.float64), (np.complex128, np.float64), (np.float32, np.float32), (np.complex64, np.float32),
    (np.float16, np.float32), (np.int64, np.float64), (np.int8, np.float64), (bool, np.float64)])
def test_real_dtype(dtype, real):
    assert backend.real_dtype(dtype) == real == backend.real_dtype(np.dtype(dtype))


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_lifted_functions_are_analytic_to_first_order(dtype):
    x, v, h = np.array([0.3, -1.2], dtype), np.array([2.0, 0.5], dtype), 1e-15
    square = backend.lift(lambda x: x * x, lambda x: 2 * x)
    assert square(x).dtype == dtype and square(x + 1j * h * v).dtype == np.result_type(dtype, np.complex64)
    np.testing.assert_allclose(square(x + 1j * h * v).imag / h, 2 * x * v, rtol=4 * np.finfo(dtype).eps)
    total = backend.lift_linear(np.cumsum)
    assert np.array_equal(total(x + 1j * v), np.cumsum(x) + 1j * np.cumsum(v))


@pytest.mark.parametrize("n", [0, 1, 255, 256, 257, 5000])
@pytest.mark.parametrize("width", [1, 100, 10**6])
def test_pieces_cover_every_row_once(n, width):
    for like in (np.ones(1), DeviceArray(np.ones(1))):
        rows = [i for piece in backend.pieces(n, width, like) for i in range(n)[piece]]
        assert rows == list(range(n))
    assert len(backend.pieces(n, width, like)) <= 1            # one launch on a device


# --- names ----------------------------------------------------------------------------------------------------

def numpy_names(source):
    """Every dotted name np.… that a source reads, the longest form of it."""
    dotted = (ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute))
    names = {name[3:] for name in dotted if name.startswith("np.") and name.replace(".", "").isidentifier()}
    return {name for name in names if not any(other.startswith(name + ".") for other in names)}


HOST_ONLY = {"ndarray", "random.default_rng", "polynomial.legendre.leggauss", "integer"}       # tables and types


def test_numpy_names_exist_in_cupy():
    """Every NumPy name of the backend and of so3 is a CuPy name too; those for tables on the host are listed."""
    cupy = cupy_or_skip()
    missing = set()
    for path in [LIBRARY / "backend.py", *(LIBRARY / "so3" / f"{name}.py" for name in (
            "rotations", "harmonics", "wigner", "coupling", "irreps", "quadrature"))]:
        for name in numpy_names(path.read_text()) - HOST_ONLY:
            module = cupy
            for part in name.split("."):
                module = getattr(module, part, None)
            if module is None:
                missing.add(f"{path.name}: np.{name}")
    assert not missing


def test_numpy_names_are_found():
    assert numpy_names("np.a(np.b.c(x), y.np.d).e; np.f[0].g; m.np") == {"a", "b.c", "f"}
