r"""Charge equilibration: charges that flow until every atom holds on to them equally hard.

An atom that gains the charge q_i pays chi_i q_i + J_i q_i^2/2, electronegativity and hardness, and charges act on each
other by A (`interaction`).  The charges are those of least energy that add up to Q:

    E = sum_i chi_i q_i + 1/2 sum_i J_i q_i^2 + 1/2 q.A q,     sum_i q_i = Q                                       (1)

At the minimum dE/dq_i is the same for all atoms, the multiplier mu of the constraint: with M = J + A

    M q + chi = mu 1                                                                                              (2)

which conjugate gradients solve in the space of sum 0, one sum over charges for each step.

**Backwards.**  Let L be a function of the charges, g = dL/dq.  Vary (2): M dq = dmu 1 - dchi - dJ q - dA q.  The
adjoint charges p, with sum p = 0, solve M p = g - nu 1.  Then, since p.1 = 0 and sum dq = dQ,

    dL = g.dq = p.M dq + nu dQ = -p.dchi - (p q).dJ - p.(dA) q + nu dQ                                             (3)

one more solution, and two more sums for p.(dA/dr) q.  If L is the energy (1) itself, g = mu 1 by (2), so p = 0 and
nu = mu: charges at their minimum do not show in forces, and mu is dE/dQ.

Source: Rappe and Goddard, J. Phys. Chem. 95 (1991) 3358; in networks, Ko et al., Nature Communications 12 (2021) 398.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from se3ref.electrostatics.interactions import interaction
from se3ref.electrostatics.pairs import checked, of_atoms

RESIDUAL = 1e-14            # of (2), relative to what it starts from: energies see its square, forces of (3) itself


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """What `equilibrate` returns.

    charges (n,) e;  energy: (1), eV;  potential: mu of (2), V, what one more charge costs.
    pull(dcharges (n,), denergy=0.0): carries the cotangents of charges and energy back, by (3), to a dict of
    "positions" (n,3), "strain" (3,3), "electronegativity" (n,), "hardness" (n,) and "total_charge".
    """
    charges: np.ndarray
    energy: float
    potential: float
    pull: Callable


def equilibrate(positions, cell, electronegativity, hardness, widths, total_charge=0.0, *, electrostatics="ewald",
                accuracy=1e-8):
    """The charges of least energy (1), for atoms at positions (n,3) in a cell (3,3), or of a molecule (None).

    electronegativity (n,): chi, V;  hardness (n,): J, V/e, the second derivative of an atom's energy, its own
    Gaussian's included;  widths (n,): of Gaussian charges, angstrom;  total_charge: Q, e.
    electrostatics, accuracy: as for `interaction`.

    Returns an `Equilibrium`.  (1) has a least value for sure where every J_i is above coulomb/(sqrt(pi) width_i), twice
    the energy that a Gaussian of charge 1 has by itself.  ValueError for bad arguments, where the search meets charges
    along which (1) falls without end, and where it does not settle.
    """
    if widths is None:
        raise ValueError("charges that equilibrate are Gaussian: give widths (n,), in angstrom; got None")
    positions, chi, cell, widths = checked(positions, electronegativity, cell, widths, "electronegativity")
    n, J = len(chi), of_atoms("hardness", hardness, len(chi))
    if not (np.isscalar(total_charge) and np.isreal(total_charge) and np.isfinite(total_charge)):
        raise ValueError(f"total_charge must be a finite number, in e; got {total_charge!r}")
    if not (J > 0).all():
        raise ValueError(f"hardness is above 0, in V/e; the least is {J.min()}")
    A = interaction(electrostatics, positions, cell, widths, accuracy)
    q, e, mu, pull_both = equilibrated(A, chi, J, float(total_charge))

    def pull(dcharges, denergy=0.0):
        return pull_both(np.full(n, float(denergy)), of_atoms("dcharges", dcharges, n))
    return Equilibrium(q, float(e.sum()), float(mu), pull)


def equilibrated(A, chi, J, Q):
    """q (n,), the terms e_i (n,) of (1) and mu of (2), for an `Interaction`, and pull(de (n,), dq (n,)) -> a dict as in
    `Equilibrium`.

    Analytic in everything: A, chi, J and Q may be complex.
    """
    q, mu = _solve(A, J, -chi, Q)
    e, pull_e = A.energies(q)

    def pull(de, dq):
        d = pull_e(de)
        p, minus_nu = _solve(A, J, dq + d["charges"] + de * (chi + J * q), 0.0)
        dr, dstrain = A.between(p, q)
        return {"positions": d["positions"] - dr, "strain": d["strain"] - dstrain, "electronegativity": de * q - p,
                "hardness": (0.5 * de * q - p) * q, "total_charge": -minus_nu}
    return q, chi * q + 0.5 * J * q * q + e, mu, pull


def _solve(A, J, b, Q):
    """x (n,) and mu of  (J + A) x = b + mu 1,  sum x = Q.

    Under the complex step real parts first; then, since the equation is linear, the imaginary parts solve the real
    equation with what is left over, Im(b - (J + A) x).
    """
    real = A.real
    x, mu = _conjugate_gradients(real, J.real, b.real, Q.real)
    if any(np.iscomplexobj(part) for part in (A.positions, A.cell, J, b, Q)):
        left = b - J * x - A(x)[0]
        dx, dmu = _conjugate_gradients(real, J.real, left.imag, Q.imag)
        x, mu = x + 1j * dx, mu + 1j * dmu
    return x, mu


def _conjugate_gradients(A, J, b, Q):
    """The real equation.  Preconditioned by what solves it without A, x = (b + mu)/J, which keeps the sum."""
    softness = 1 / J

    def mean(r):
        return (r * softness).sum() / softness.sum()

    x = softness * (b - mean(b) + Q / softness.sum())
    r = b - J * x - A(x)[0]
    enough = RESIDUAL**2 * ((b * b * softness).sum() + Q * Q / softness.sum())
    p, before, mu = 0.0, 1.0, 0.0
    for _ in range(10 * len(b) + 100):
        mu, r = mu - mean(r), r - mean(r)                      # or its rounding would drown what is left of r
        y = softness * r
        rho = (r * y).sum()
        if rho <= enough:
            return x, mu
        p, before = y + rho / before * p, rho
        Mp = J * p + A(p)[0]
        curvature = (p * Mp).sum()
        if curvature <= 0:
            raise ValueError("these charges have no least energy, the more of them the better: every hardness must be "
                             "above coulomb/(sqrt(pi) width), twice the energy of its Gaussian by itself")
        x, r = x + rho / curvature * p, r - rho / curvature * Mp
    raise ValueError(f"charges do not settle: the residual is {RESIDUAL * (rho / enough) ** 0.5:.1e} of what it "
                     f"started from, after {10 * len(b) + 100} steps")
