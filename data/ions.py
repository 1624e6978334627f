"""Energy, forces and stress of Na+ and Cl- in a periodic cube: point charges by Ewald's sum, and a repulsion.

    E = E_Coulomb + sum_{i<j} A c_ij exp((s_i + s_j - r_ij)/rho),      r_ij of the nearest image, below half the edge

The repulsion is that of Born and Mayer with the parameters of Fumi and Tosi, J. Phys. Chem. Solids 25, 31 and 45
(1964), without their terms in r^-6 and r^-8. Units: angstrom, eV, eV/angstrom, e, eV/angstrom^3.
"""

import numpy as np

from se3ref.electrostatics import ewald_sum

REPULSION = {"A": 0.2110, "rho": 0.317,                             # eV, angstrom
             "sizes": {"11": 1.170, "17": 1.585},                   # s, angstrom, by atomic number
             "factors": {"11-11": 1.25, "11-17": 1.00, "17-17": 0.75}}      # c, by both atomic numbers
LEVEL = "point charges of +1 and -1 e and Born-Mayer repulsion, a model and no quantum chemistry; Ewald's sum to 1e-12"
CHARGES = {11: 1.0, 17: -1.0}


def checkerboard(n):
    """Rock salt, n x n x n sites 1 apart: atomic numbers (n^3,) and positions (n^3,3)."""
    sites = np.stack(np.meshgrid(*3 * [np.arange(n)], indexing="ij"), -1).reshape(-1, 3)
    return np.where(sites.sum(1) % 2, 17, 11), sites.astype(float)


def nearest(positions, edge):
    """Of all pairs i < j in a cube: i, j, vec = r_j - r_i of the nearest image (pairs,3), and its length (pairs,)."""
    i, j = np.triu_indices(len(positions), 1)
    vec = positions[j] - positions[i]
    vec -= edge * np.round(vec / edge)
    return i, j, vec, np.sqrt((vec * vec).sum(1))


def repulsion(numbers, positions, edge):
    """Energy (), forces (n,3) and dE/dstrain (3,3) of the Born-Mayer repulsion in a cube."""
    i, j, vec, r = nearest(positions, edge)
    i, j, vec, r = (x[r < edge / 2] for x in (i, j, vec, r))
    size = np.vectorize(lambda z: REPULSION["sizes"][str(z)])(numbers)
    factor = np.vectorize(lambda *pair: REPULSION["factors"]["{}-{}".format(*sorted(pair))])(numbers[i], numbers[j])
    energies = REPULSION["A"] * factor * np.exp((size[i] + size[j] - r) / REPULSION["rho"])
    pull = (-energies / REPULSION["rho"] / r)[:, None] * vec                # dE/dvec
    forces = np.zeros_like(positions)
    np.add.at(forces, i, pull)
    np.subtract.at(forces, j, pull)
    return energies.sum(), forces, pull.T @ vec


def coulomb(numbers, positions, edge, accuracy):
    """What Ewald's sum gives for these ions in a cube."""
    return ewald_sum(positions, charges(numbers), edge * np.eye(3), accuracy=accuracy)


def charges(numbers):
    """(n,) e."""
    return np.array([CHARGES[z] for z in numbers.tolist()])


def label(numbers, positions, edge):
    """energies, forces, stresses, charges; energies_coulomb and energies_short add up to energies."""
    short, forces, strain = repulsion(numbers, positions, edge)
    long = coulomb(numbers, positions, edge, accuracy=1e-12)
    return {"energies": long.energy + short, "energies_coulomb": long.energy, "energies_short": short,
            "forces": long.forces + forces, "stresses": long.stress + strain / edge**3, "charges": charges(numbers)}


def as_stored(positions, edge):
    """The positions in the cube, rounded to single precision as the file has them."""
    return (positions % edge).astype(np.float32).astype(float)


def columns(rows, edge):
    """The rows of a set as its file has them: the cell added, and single precision for all but the energies."""
    single = {key: rows[key].astype(np.float32) for key in ("positions", "forces", "stresses", "charges")}
    return {**rows, **single, "cells": np.broadcast_to(edge * np.eye(3), (len(rows["energies"]), 3, 3))}


def about(script, seed, edge, **more):
    """What all sets of these ions say of themselves."""
    return {**more, "level": LEVEL, "units": "angstrom, eV, eV/angstrom, e, eV/angstrom^3",
            "extra": "energies_coulomb, energies_short: the two parts of the energies; stresses: (1/V) dE/dstrain",
            "repulsion": REPULSION, "edge": edge, "script": script, "seed": seed}
