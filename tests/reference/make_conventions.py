"""Record harmonics and Wigner matrices of other libraries in conventions.npz: `python make_conventions.py [folder]`.

Needs numpy, torch, e3nn, sphericart, pyscf, spherical and sympy; the library itself is never imported.
"""

import math
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import quaternionic
import spherical
import sphericart
import torch
from e3nn import o3
from pyscf import gto
from pyscf.tools import molden
from sympy.physics.wigner import wigner_d

LMAX = 6
LMAX_MOLDEN = 4  # the Molden format goes up to g functions
LMAX_D = 3


def points():
    """(14,3) unit vectors: eight generic ones, then both ends of the three axes."""
    x = np.random.default_rng(7).standard_normal((8, 3))
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    return np.concatenate([x / np.linalg.norm(x, axis=1, keepdims=True), axes])


def e3nn_harmonics(l, xyz, normalization):
    return o3.spherical_harmonics(l, torch.from_numpy(xyz), True, normalization).numpy()


def sphericart_harmonics(l, xyz):
    return sphericart.SphericalHarmonics(l).compute(xyz)[:, l * l:]


def gaussians(l, xyz):
    """One shell of spherical Gaussians N r^l exp(-r^2) Y_lm at r = 1, N and exp(-1) divided out; Molden's order.

    N^2 is 2 (2 a)^(l+3/2) / Gamma(l+3/2) with exponent a = 1, which makes the shell's functions have norm 1.
    """
    molecule = gto.M(atom="He 0 0 0", basis={"He": [[l, [1.0, 1.0]]]}, verbose=0)
    radial = math.sqrt(2 * 2 ** (l + 1.5) / math.gamma(l + 1.5)) * math.exp(-1)
    order = molden.order_ao_index(molecule) if l <= LMAX_MOLDEN else None
    return molecule.eval_gto("GTOval_sph", xyz) / radial, order


def harmonics_tables(xyz):
    """{name: (14, (LMAX+1)^2)}, degrees ascending."""
    degrees = range(LMAX + 1)
    tables = {name: [e3nn_harmonics(l, xyz, normalization) for l in degrees]
              for name, normalization in (("e3nn", "integral"), ("e3nn_component", "component"),
                                          ("e3nn_norm", "norm"))}
    tables["sphericart"] = [sphericart_harmonics(l, xyz) for l in degrees]
    shells = [gaussians(l, xyz) for l in degrees]
    tables["pyscf"] = [Y for Y, _ in shells]
    tables["molden"] = [Y[:, order] for Y, order in shells if order is not None]
    return {name: np.concatenate(table, axis=1) for name, table in tables.items()}


def turn(axis, angle):
    """The turn about the axis of this number (0, 1, 2), counter-clockwise seen from its tip."""
    R, (p, q) = np.eye(3), ((axis + 1) % 3, (axis + 2) % 3)
    R[p, p] = R[q, q] = math.cos(angle)
    R[q, p] = math.sin(angle)
    R[p, q] = -R[q, p]
    return R


def wigner_tables():
    """R = R_z(a) R_y(b) R_z(c) (3,3,3), and D of SymPy and of spherical for each: D_<name>_<l> (3, 2l+1, 2l+1)."""
    angles = np.random.default_rng(8).uniform(0.1, 3.0, (3, 3))
    R = np.stack([turn(2, a) @ turn(1, b) @ turn(2, c) for a, b, c in angles])
    calculator = spherical.Wigner(LMAX_D)
    flat = [calculator.D(quaternionic.array.from_rotation_matrix(r)) for r in R]
    tables = {"R": R}
    for l in range(LMAX_D + 1):
        index = [[calculator.Dindex(l, m, n) for n in range(-l, l + 1)] for m in range(-l, l + 1)]
        tables[f"D_spherical_{l}"] = np.stack([D[np.array(index)] for D in flat])
        tables[f"D_sympy_{l}"] = np.stack([np.array(wigner_d(l, *map(float, abc)).evalf(17)).astype(complex)
                                           for abc in angles])
    return tables


def main(folder):
    torch.set_default_dtype(torch.float64)
    xyz = points()
    versions = ", ".join(f"{name} {version(name)}" for name in ("e3nn", "sphericart", "pyscf", "spherical", "sympy"))
    np.savez_compressed(folder / "conventions.npz", xyz=xyz, **harmonics_tables(xyz), **wigner_tables(),
                        source=np.array(versions))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
