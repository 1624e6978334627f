"""Restricted Hartree-Fock labels of one closed-shell molecule, by PySCF: energy, forces and its response to light.

Units: angstrom, eV, eV/angstrom, e*angstrom, e; polarizability angstrom^3; rotation parameter atomic units.

The response. Light of frequency w mixes every occupied orbital i with every virtual orbital a. The
linear-response (RPA) equations describe this by two matrices over the pairs ia (real orbitals, singlets):

    A = (e_a - e_i) d_ij d_ab + 2 (ia|jb) - (ij|ab),      B = 2 (ia|jb) - (ib|ja).

Their solutions w_n, X_n, Y_n are the excitations. With P = X + Y and Q = X - Y, normalised to P_n.Q_n' = d_nn',
they read (A - B) Q_n = w_n P_n and (A + B) P_n = w_n Q_n. An operator with a symmetric real matrix, as r, has the
transition moment <0|r|n> = sqrt(2) r.P_n; one with an antisymmetric real matrix, as the gradient g, has
<0|g|n> = sqrt(2) g.Q_n. Sums over all n need no single excitation: with K(w) = A + B - w^2 (A-B)^-1,

    sum_n w_n P_n P_n^T / (w_n^2 - w^2) = K(w)^-1,
    sum_n Q_n Q_n^T / (w_n (w_n^2 - w^2)) = (A-B)^-1 K(w)^-1 (A-B)^-1.

Polarizability (static, w = 0): the dipole induced per field,

    alpha_xy = 2 sum_n w_n <0|x|n> <n|y|0> / w_n^2 = 4 x . (A+B)^-1 y.

Rotation parameter: a chiral molecule's magnetic moment answers to a changing electric field, and so it turns the
plane of polarised light. Rosenfeld's formula averages this over all directions of the molecule,

    beta = (2/3) sum_n R_n / (w_n^2 - w^2),      R_n = Im <0|mu|n> . <n|m|0>,      mu = -r,      m = -(1/2) r x p.

(In the literature: beta = -Tr G' / (3 w).) Under inversion mu changes its sign and m, an axial vector, does not:
beta is a pseudoscalar. beta > 0 turns to the right, seen against the light (dextrorotatory): the specific rotation
in vacuum is 1.343e-4 beta k^2 / M degrees per decimetre and g/cm^3, with k = 1/wavelength in 1/cm, M in g/mol.

Gauge. Exact states have <0|r|n> = <0|g|n> / w_n, since [r, H] = g: the velocity form of the moment. In a finite
basis the two sides differ, and only the right one makes beta independent of the origin: moving the origin by d adds
-d x g to l = r x g, and R_n changes by a multiple of <0|g|n> . (d x <0|g|n>) = 0. In the length form <0|r|n> meets
d x <0|g|n>, and nothing makes that vanish unless the two are parallel. With p = -i g and the sums above,

    beta = (2/3) sum_xyz g . (A-B)^-1 K(w)^-1 (A-B)^-1 l.

A trap: the transition magnetic dipole that PySCF offers is that of r x p alone, without the factor -1/2 of m. Here
only integrals and A, B come from PySCF.

Sources: L. Rosenfeld, Z. Phys. 52, 161 (1928); E. U. Condon, Rev. Mod. Phys. 9, 432 (1937); the velocity form as
here, free of a static remainder: T. B. Pedersen, H. Koch, L. Boman, A. M. J. Sanchez de Meras, Chem. Phys. Lett. 393,
319 (2004).
"""

from importlib.metadata import version

import numpy as np
from gfn2 import BOHR, HARTREE
from pyscf import gto, scf, tdscf

SODIUM = 45.563352529 / 589.3       # hartree: light of 589.3 nm, the D line of sodium (45.56... is hc in hartree nm)


def level(basis, fitted=False):
    """What `about` says of these labels."""
    return (f"{'DF-' * fitted}RHF/{basis} (pyscf {version('pyscf')}): Hartree-Fock, no electron correlation; "
            f"{'density fitting; ' * fitted}SCF to 1e-12 hartree, orbital gradient 1e-8")


def solve(numbers, positions, basis, charge=0, fitted=False):
    """The converged SCF of a closed-shell molecule; its first guess depends on the geometry alone.

    fitted: products of two orbitals are expanded in an auxiliary basis (density fitting), which is faster.
    """
    atoms = list(zip(np.asarray(numbers).tolist(), positions / BOHR, strict=True))
    molecule = gto.M(atom=atoms, basis=basis, unit="Bohr", charge=charge, verbose=0)
    field = scf.RHF(molecule)
    field = (field.density_fit() if fitted else field).run(conv_tol=1e-12, conv_tol_grad=1e-8)
    if not field.converged:
        raise RuntimeError(f"the SCF of atoms {list(numbers)} at {positions.tolist()} did not converge")
    return field


def label(field):
    """energies (), forces (n,3), dipoles (3,) and Mulliken charges (n,) of a solved molecule, under those names."""
    return {
        "energies": field.e_tot * HARTREE,
        "forces": -field.nuc_grad_method().kernel() * (HARTREE / BOHR),
        "dipoles": field.dip_moment(unit="AU", verbose=0) * BOHR,
        "charges": field.mulliken_pop(verbose=0)[1],
    }


def response(field, frequency=SODIUM, origin=(0.0, 0.0, 0.0)):
    """polarizabilities (3,3), static, and rotations (), at `frequency` (hartree), under those names.

    origin: of the angular momentum, bohr. The rotation does not depend on it.
    """
    A, B = (ab.reshape(len(ab) * ab.shape[1], -1) for ab in tdscf.TDHF(field).get_ab())
    r, g, l = moments(field, origin)
    inverse = np.linalg.inv(A - B)
    K = A + B - frequency**2 * inverse
    return {
        "polarizabilities": 4 * r.T @ np.linalg.solve(A + B, r) * BOHR**3,
        "rotations": 2 / 3 * np.trace((inverse @ g).T @ np.linalg.solve(K, inverse @ l)),
    }


def moments(field, origin):
    """r, g = gradient and l = (r - origin) x gradient between occupied and virtual orbitals, (pairs,3) each."""
    occupied, virtual = (field.mo_coeff[:, field.mo_occ == n] for n in (2, 0))

    def between(integrals):
        return np.einsum("xpq,pi,qa->iax", integrals, occupied, virtual).reshape(-1, 3)

    with field.mol.with_common_orig(origin):
        return (between(field.mol.intor("int1e_r")), -between(field.mol.intor("int1e_ipovlp")),
                between(field.mol.intor("int1e_cg_irxp")))
