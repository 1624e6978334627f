"""Record what e3nn computes: harmonics, Wigner matrices, coupling tensors and their signs."""

import hashlib

import e3nn
import numpy as np
import torch
from e3nn import o3
from from_mpmath import rotation_matrices

LMAX = 10
LMAX_COUPLING = 6
LMAX_PARITY = 4
ZERO = 1e-12  # e3nn leaves the forbidden entries exactly 0; the smallest allowed one up to l = 6 is 5.8e-3


def points(rng):
    """(12,3): generic points of many lengths, one near each pole of the polar axis y, two on axes."""
    generic = rng.normal(size=(8, 3)) * rng.uniform(0.1, 10.0, size=(8, 1))
    poles = np.array([[1e-9, 2.0, -1e-9], [3e-7, -1.0, 2e-7]])
    axes = np.array([[-1.5, 0.0, 0.0], [0.0, 0.0, 0.5]])
    return np.concatenate([generic, poles, axes])


def rotations(rng):
    """Three proper rotations from Gaussian quaternions, (3,3,3); then one improper, (3,3)."""
    R = rotation_matrices(rng.normal(size=(4, 4)))
    return R[:3], -R[3]


def coupling_paths(lmax):
    """Every (l1, l2, l3) that obeys the triangle rule, all degrees at most lmax, in lexicographic order."""
    degrees = range(lmax + 1)
    return [(a, b, c) for a in degrees for b in degrees for c in range(abs(a - b), min(a + b, lmax) + 1)]


def harmonics_table(rng):
    """Points and harmonics l = 0..10 in e3nn's three normalisations; the input is made a unit vector."""
    xyz = points(rng)
    degrees = list(range(LMAX + 1))
    table = {"xyz": xyz}
    for normalization in ("component", "integral", "norm"):
        Y = o3.spherical_harmonics(degrees, torch.from_numpy(xyz), True, normalization)
        table[f"Y_{normalization}"] = Y.numpy()
    return table


def wigner_table(rng):
    """D_l of three proper rotations, l = 0..10; D of the irreps 0e, 0o ... 4e, 4o of one improper one."""
    R, improper = rotations(rng)
    table = {"R": R, "R_improper": improper}
    for l in range(LMAX + 1):
        table[f"D_{l}"] = o3.Irrep(l, 1).D_from_matrix(torch.from_numpy(R)).numpy()
    for l in range(LMAX_PARITY + 1):
        for label in ("e", "o"):
            D = o3.Irrep(f"{l}{label}").D_from_matrix(torch.from_numpy(improper))
            table[f"D_improper_{l}{label}"] = D.numpy()
    return table


def coupling_table():
    """The non-zero entries of wigner_3j, path after path, in C order within a path.

    Path p owns the entries `w3j_start[p]:w3j_start[p + 1]`; `w3j_index` is the flat C-order index
    into the (2l1+1, 2l2+1, 2l3+1) tensor of that path.
    """
    paths = coupling_paths(LMAX_COUPLING)
    flat = [o3.wigner_3j(*path).numpy().ravel() for path in paths]
    index = [np.flatnonzero(np.abs(C) > ZERO) for C in flat]
    start = np.concatenate([[0], np.cumsum([len(i) for i in index])])
    return {
        "w3j_paths": np.array(paths, dtype=np.uint8),
        "w3j_start": start.astype(np.int32),
        "w3j_index": np.concatenate(index).astype(np.uint16),
        "w3j_value": np.concatenate([C[i] for C, i in zip(flat, index, strict=True)]),
    }


def sign_table():
    """The sign (-1, 0, 1) of every entry of wigner_3j, for every path, and the SHA-256 of these bytes.

    One int8 for each entry, in C order within a tensor, tensors joined in the order of `paths`.
    """
    paths = coupling_paths(LMAX_COUPLING)
    tensors = [o3.wigner_3j(*path).numpy() for path in paths]
    signs = np.concatenate([(np.sign(C) * (np.abs(C) > ZERO)).astype(np.int8).ravel() for C in tensors])
    return {
        "paths": np.array(paths, dtype=np.uint8),
        "signs": signs,
        "sha256": np.array(hashlib.sha256(signs.tobytes()).hexdigest()),
        "source": np.array(f"e3nn {e3nn.__version__}, o3.wigner_3j"),
    }


def write(folder):
    """Write e3nn_values.npz and coupling_signs.npz into the folder (a pathlib.Path)."""
    torch.set_default_dtype(torch.float64)  # e3nn builds its generators in the default type
    rng = np.random.default_rng(20240611)
    versions = {"source": np.array(f"e3nn {e3nn.__version__}, torch {torch.__version__}, float64")}
    tables = {**harmonics_table(rng), **wigner_table(rng), **coupling_table(), **versions}
    np.savez_compressed(folder / "e3nn_values.npz", **tables)
    np.savez_compressed(folder / "coupling_signs.npz", **sign_table())
