"""Make every table of this folder anew: `python make_tables.py [folder]`; about half a minute.

Needs numpy, torch, e3nn, sympy and mpmath (requirements-bench.txt); the library itself is never imported.
"""

import sys
from pathlib import Path

import from_e3nn
import from_mpmath
import from_sympy
import numpy as np
from from_mpmath import harmonics, nearest_rotation, to_float64, wigner_D
from mpmath import mpf


def harmonics_error(table):
    """Largest difference between e3nn's harmonics and those of mpmath, integral normalisation."""
    worst = 0.0
    for xyz, Y in zip(table["xyz"], table["Y_integral"], strict=True):
        point = [mpf(float(x)) for x in xyz]
        truth = np.concatenate([to_float64(harmonics(l, point)) for l in range(from_e3nn.LMAX + 1)])
        worst = max(worst, np.abs(truth - Y).max())
    return worst


def wigner_error(table):
    """Largest difference between e3nn's Wigner matrices and those of mpmath."""
    worst = 0.0
    for i, R in enumerate(table["R"]):
        exact = nearest_rotation(R)
        for l in range(from_e3nn.LMAX + 1):
            truth = to_float64(wigner_D(l, exact)[0]).reshape(2 * l + 1, 2 * l + 1)
            worst = max(worst, np.abs(truth - table[f"D_{l}"][i]).max())
    return worst


def coupling_error(table):
    """Largest violation of sum_ij C_ijk C_ijk' = delta_kk' / (2 l3 + 1) by e3nn's tensors."""
    worst = 0.0
    for p, (l1, l2, l3) in enumerate(table["w3j_paths"].astype(int)):
        entries = slice(table["w3j_start"][p], table["w3j_start"][p + 1])
        C = np.zeros((2 * l1 + 1) * (2 * l2 + 1) * (2 * l3 + 1))
        C[table["w3j_index"][entries]] = table["w3j_value"][entries]
        C = C.reshape(-1, 2 * l3 + 1)
        worst = max(worst, np.abs(C.T @ C - np.eye(2 * l3 + 1) / (2 * l3 + 1)).max())
    return worst


def main(folder):
    """Write the four files, then print how exact e3nn's own numbers are."""
    for module in (from_sympy, from_e3nn, from_mpmath):
        module.write(folder)
        print("made", module.__name__)
    with np.load(folder / "e3nn_values.npz") as table:
        print(f"e3nn harmonics, against mpmath:        {harmonics_error(table):.1e}")
        print(f"e3nn Wigner matrices, against mpmath:  {wigner_error(table):.1e}")
        print(f"e3nn couplings, unitarity:             {coupling_error(table):.1e}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
