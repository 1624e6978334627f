r"""Charges at fixed places, and what they feel: the symmetric matrix A of E = 1/2 q.A q, known by what it does.

Ewald's sum, its mesh and the plain sum all take charges q to potentials phi = A q (V) and to the derivatives of
E = 1/2 q.A q with respect to positions and strain,

    G[q] = 1/2 q.(dA/dr) q.                                                                                       (1)

Models ask for more: for derivatives of p.A q, with two different sets of charges.  A is symmetric, so (1) is a
quadratic form, and the polarisation identity takes it apart:

    p.(dA/dr) q  =  1/2 (G[q + p] - G[q - p])                                                                     (2)
"""

from dataclasses import dataclass, replace

import numpy as np

from se3ref.backend import to_numpy
from se3ref.electrostatics import ewald, pme
from se3ref.electrostatics.pairs import COULOMB, plain_sum

METHODS = ("ewald", "pme", "direct")
TYPICAL = 0.25              # half the rms force on an ion of hot sodium chloride, in units of coulomb <q^2>/(V/N)^(2/3)
PLANS, PAIRS = 1000, 5_000_000  # kept at most, 40 bytes a pair: training comes back to the same structures
_kept = {}                  # plans by what they were made for, those used last at the end


@dataclass(frozen=True, eq=False)
class Interaction:
    """The places of n charges, and how they are summed.

    positions (n,3), cell (3,3) or None, widths (n,) of Gaussian charges or None; plan: of Ewald's sum or of its mesh,
    None for the plain sum.  Analytic in positions, cell and charges; the plan follows their real parts.
    """
    positions: np.ndarray
    cell: np.ndarray | None
    widths: np.ndarray | None
    plan: ewald.Plan | pme.MeshPlan | None
    coulomb: float

    def __call__(self, charges):
        """phi = A q (n,) V;  dE/dr (n,3) eV/angstrom and dE/dstrain (3,3) eV of E = 1/2 q.A q, at fixed charges."""
        if self.plan is None:
            phi, dr, strain = plain_sum(self.positions, charges, self.widths)
        else:
            total = ewald.lattice_sum if isinstance(self.plan, ewald.Plan) else pme.mesh_sum
            phi, dr, strain = total(self.plan, self.positions, charges, self.cell, self.widths)
        return self.coulomb * phi, self.coulomb * dr, self.coulomb * strain

    def energies(self, q):
        """e_i = 1/2 q_i phi_i (n,), eV, and pull(de (n,)) -> dict of "charges" (n,), "positions" (n,3), "strain" (3,3).

        For the same de at all atoms these are phi and G of the whole energy.  What is beyond that, d, belongs to
        1/2 (d q).A q.
        """
        phi, dr, dstrain = self(q)

        def pull(de):
            same, d = de[0], de - de[0]
            dq, dr_q, dstrain_q = same * phi, same * dr, same * dstrain
            if d.any():
                more, more_strain = self.between(d * q, q)
                dq, dr_q, dstrain_q = (dq + 0.5 * (d * phi + self(d * q)[0]), dr_q + 0.5 * more,
                                       dstrain_q + 0.5 * more_strain)
            return {"charges": dq, "positions": dr_q, "strain": dstrain_q}
        return 0.5 * q * phi, pull

    def between(self, p, q):
        """Equation (2): the derivatives of p.A q with respect to positions (n,3) and strain (3,3)."""
        (_, dr, strain), (_, dr_less, strain_less) = self(q + p), self(q - p)
        return 0.5 * (dr - dr_less), 0.5 * (strain - strain_less)

    @property
    def real(self):
        """The same without imaginary parts."""
        return replace(self, positions=self.positions.real, cell=None if self.cell is None else self.cell.real)


def interaction(method, positions, cell=None, widths=None, accuracy=1e-6, coulomb=COULOMB):
    """The `Interaction` of charges at positions (n,3) in a cell (3,3), or of an isolated system (None).

    method: "ewald", "pme" or "direct" (the plain sum; of an isolated system it is that in any case).  accuracy: the
    root-mean-square error of forces relative to coulomb <q^2>/(4 (V/N)^(2/3)), half of what ions of a hot salt feel.
    So the plan depends on the places alone, and stays while charges change.
    ValueError for another method or accuracy, and for the plain sum in a cell: it has no limit.
    """
    check_method(method, accuracy)
    if cell is not None and method == "direct":
        raise ValueError("the plain sum over all images has no limit: for a periodic structure take 'ewald' or 'pme'")
    if cell is None:
        return Interaction(positions, None, widths, None, coulomb)
    r, c, s = (None if x is None else to_numpy(x.real).astype(np.float64).tobytes() for x in (positions, cell, widths))
    plan = _plan(method, accuracy, r, c, s)
    edges = tuple(np.asarray(x, like=positions) for x in plan.edges)
    return Interaction(positions, cell, widths, replace(plan, edges=edges), coulomb)


def check_method(method, accuracy):
    """ValueError for a method that there is not, or an accuracy out of its reach."""
    if method not in METHODS:
        raise ValueError(f"electrostatics is one of {', '.join(METHODS)}; got {method!r}")
    ewald.check_accuracy(accuracy, 1e-9 if method == "pme" else 1e-14)


def _plan(*key):
    """The plan for this key, made or kept."""
    plan = _kept.pop(key, None) or _made(*key)
    _kept[key] = plan
    while len(_kept) > PLANS or sum(len(kept.edges[0]) for kept in _kept.values()) > PAIRS:
        del _kept[next(iter(_kept))]
    return plan


def _made(method, accuracy, positions, cell, widths):
    """The plan for charges of 1 at these places, from the bytes of real arrays of float64."""
    r, c, s = (None if x is None else np.frombuffer(x) for x in (positions, cell, widths))
    r, c = r.reshape(-1, 3), c.reshape(3, 3)
    error = accuracy * TYPICAL * (len(r) / float(ewald.volume(c))) ** (2 / 3)
    if method == "pme":
        error /= 2                                             # room for self-forces by the mesh, <q^4> up to 4 <q^2>^2
    make = ewald.plan_for if method == "ewald" else pme.plan_for
    return make(r, np.ones(len(r)), c, error, widths=s)
