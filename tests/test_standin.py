"""The stand-in array computes as NumPy does and refuses what CuPy refuses."""

import numpy as np
import pytest

from tests.standin import LACKING, DeviceArray, cupy_or_skip

HOST = np.arange(6.0).reshape(2, 3)
MIXED = {
    "add": lambda d: d + HOST,
    "add from the left": lambda d: HOST + d,
    "multiply in place": lambda d: d.__imul__(HOST),
    "multiply in place from the left": lambda d: np.multiply(HOST, 2, out=d),
    "matmul": lambda d: d @ HOST.T,
    "compare": lambda d: d < HOST,
    "0-d": lambda d: d * np.array(2.0),
    "list": lambda d: d + [1.0, 2.0, 3.0],
    "ufunc": lambda d: np.hypot(d, HOST),
    "out on the host": lambda d: np.exp(d, out=np.empty((2, 3))),
    "where": lambda d: np.where(d > 0, HOST, 0),
    "einsum": lambda d: np.einsum("ni,ni->n", d, HOST),
    "concatenate": lambda d: np.concatenate([d, HOST]),
    "stack of a tuple": lambda d: np.stack((HOST, d)),
    "tensordot": lambda d: np.tensordot(d, HOST.T, 1),
    "take_along_axis": lambda d: np.take_along_axis(d, np.zeros((2, 1), int), 1),
    "keyword": lambda d: np.full_like(d, fill_value=HOST),
    "method": lambda d: d.dot(HOST.T),
    "index": lambda d: d[np.array([0, 1])],
    "conversion": lambda d: np.asarray(d),
    "conversion by another name": lambda d: np.ascontiguousarray(d.T),
    "conversion by array": lambda d: np.array([d, d]),
    "assignment to the host": lambda d: HOST.copy().__setitem__(0, d[0]),
    "vecdot": lambda d: np.vecdot(d, d),
    "matvec": lambda d: np.matvec(d, d[0]),
    "block": lambda d: np.block([d, d]),
    "vector norm": lambda d: np.linalg.vector_norm(d),
    "dtype object": lambda d: DeviceArray(np.array([None])),
    "long double": lambda d: d.astype(np.longdouble) + DeviceArray(np.longdouble(1)),
    "index as integer": lambda d: range(d.sum()),
    "hash": lambda d: {d: 1},
}


@pytest.mark.parametrize("mix", MIXED.values(), ids=MIXED)
def test_the_stand_in_refuses_to_mix(mix):
    with pytest.raises(TypeError):
        mix(DeviceArray(HOST))


def test_the_stand_in_refuses_host_values_in_assignments():
    with pytest.raises(ValueError, match="cannot be used for fill"):
        DeviceArray(HOST)[0] = HOST[0]


def test_the_stand_in_has_no_other_doors():
    """What CuPy's arrays have not, it has not either."""
    for name in ("__array_interface__", "ctypes", "setflags", "tobytes", "__index__", "resize"):
        assert not hasattr(DeviceArray(HOST), name)


ALLOWED = {
    "scalars": lambda x: 2 * x + np.float64(1) - x / 3,
    "comparison": lambda x: np.where(x > 2, x, -1),
    "matmul": lambda x: x @ x.T,
    "einsum": lambda x: np.einsum("ni,nj->ij", x, x),
    "methods": lambda x: x.reshape(3, 2).swapaxes(0, 1).sum(-1, keepdims=True).max(),
    "attributes": lambda x: (x + 1j).T.imag,
    "index": lambda x: x[:, None, ::-1][..., 0],
    "mask": lambda x: x[x > 1],
    "loop": lambda x: np.stack([row * row for row in x], -1),
    "creation": lambda x: np.asarray(HOST, like=x) + np.zeros((2, 3), like=x),
    "svd": lambda x: np.linalg.svd(x, compute_uv=False),
    "complex": lambda x: np.exp(1j * x),
}


@pytest.mark.parametrize("compute", ALLOWED.values(), ids=ALLOWED)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_stand_in_computes_as_numpy(compute, dtype):
    expected, found = compute(HOST.astype(dtype)), compute(DeviceArray(HOST.astype(dtype)))
    assert isinstance(found, DeviceArray)
    assert found.dtype == expected.dtype and np.array_equal(found.get(), expected)


def test_the_stand_in_shares_memory_between_views_only():
    host = HOST.copy()
    device = DeviceArray(host)
    view = device.T[1:]
    view *= 10
    np.multiply(view, 2, out=view)
    assert np.array_equal(host, HOST) and np.array_equal(device.get()[:, 1:], 20 * HOST[:, 1:])
    copy = np.asarray(host, like=device)
    copy[0] = 7
    assert np.array_equal(host, HOST)
    assert float(device.sum()) == 20 * 12 + 3 and bool((device >= 0).all()) and len(device) == 2
    assert device.sum().shape == () and isinstance(device.sum(), DeviceArray)


def test_the_stand_in_lacks_what_cupy_lacks():
    cupy = cupy_or_skip()

    def has(name, module=cupy):
        for part in name.split("."):
            module = getattr(module, part, None)
        return module is not None
    assert [name for name in LACKING if has(name)] == []
