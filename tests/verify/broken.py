"""A sound potential in plain NumPy for the audit, and the slips of the pen that break it; `controls` lists them.

The potential is E = sum_i [20 sum_j s_i s_j exp(-1.5 r) u(r) - 4 sqrt(1 + rho_i)], rho_i = sum_j s_j exp(-r) u(r), in
eV, with s by species and u = (1 - (r/c)^2)^4, which goes to zero at the cutoff c with three derivatives.  Energies are
written as functions of edge vectors with their gradients g_e = dE/dvec_e; forces and stress of any term follow:

    F_k = sum_{i(e)=k} g_e - sum_{j(e)=k} g_e        V sigma = sum_e g_e (x) vec_e

A term that no rotation changes gives torque zero and a symmetric stress, one that no reflection changes nothing to the
law of reflection, and so on: what a slip breaks besides its own law follows from its symmetry.
"""

from dataclasses import dataclass

import numpy as np

CUTOFF = 4.0                                                   # angstrom


@dataclass(frozen=True)
class Atoms:
    """What terms are made of: edges by receiver i and sender j; s (n,) by species; to (n,e) sums edges by receiver."""
    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    i: np.ndarray
    j: np.ndarray
    vec: np.ndarray
    r: np.ndarray
    s: np.ndarray
    to: np.ndarray

    @classmethod
    def of(cls, seen, species, positions, cell, pbc):
        i, j, shifts, vec, r = edges(positions, cell * pbc[:, None])
        if seen:
            i, j, vec, r = (x[seen(i, j, shifts, r)] for x in (i, j, vec, r))
        to = (i == np.arange(len(species))[:, None]).astype(float)
        return cls(positions, cell, pbc, i, j, vec, r, 0.6 + 0.05 * (species % 11), to)

    def radial(self, a):
        """exp(-a r) u(r), and its derivative over r: two (e,)."""
        x = 1 - (self.r / CUTOFF) ** 2
        f = np.exp(-a * self.r) * x**3
        return f * x, (-a * f * x - f * 8 * self.r / CUTOFF**2) / self.r

    def vector(self, a):
        """A_i = sum_j s_j f(r) vec (n,3), and pull: dE/dA -> dE/dvec."""
        f, slope = self.radial(a)
        s = self.s[self.j]

        def pull(dA):
            dA = dA[self.i]
            return (s * f)[:, None] * dA + (s * slope * (dA * self.vec).sum(1))[:, None] * self.vec
        return self.to @ ((s * f)[:, None] * self.vec), pull

    @property
    def volume(self):
        return abs(np.linalg.det(self.cell)) or np.inf


def edges(positions, cell):
    """Receiver, sender, shift, vector and length of all pairs and images within the cutoff; rows of zeros in the cell
    do not repeat.  Every pair is tried at every shift: fastest for a few atoms, and it relies on no other code.
    """
    dual = np.linalg.pinv(cell) if cell.any() else np.zeros((3, 3))
    reach = np.ceil(CUTOFF * np.sqrt((dual * dual).sum(0)) + 0.5) * cell.any(1)
    steps = np.stack(np.meshgrid(*(np.arange(-k, k + 1) for k in reach), indexing="ij"), -1).reshape(-1, 3)
    d = positions - positions[:, None]                         # [i,j] = r_j - r_i
    shifts = steps - np.rint(d @ dual)[:, :, None]             # about the image that is nearest along each vector
    vec = d[:, :, None] + shifts @ cell
    squares = (vec * vec).sum(-1)
    i, j, k = ((squares < CUTOFF**2) & (squares > 0)).nonzero()
    return i, j, shifts[i, j, k], vec[i, j, k], np.sqrt(squares[i, j, k])


# --- terms: atoms -> energies of atoms (n,), their gradient (e,3) -----------------------------------------------

def pair(a):
    f, slope = a.radial(1.5)
    ss = 20 * a.s[a.i] * a.s[a.j]
    return a.to @ (ss * f), (ss * slope)[:, None] * a.vec


def embedding(a):
    f, slope = a.radial(1.0)
    root = np.sqrt(1 + a.to @ (a.s[a.j] * f))
    return -4 * root, (-2 / root[a.i] * a.s[a.j] * slope)[:, None] * a.vec


def along_z(a):
    f, slope = a.radial(0.5)
    z = a.vec[:, 2]
    g = (slope * z * z)[:, None] * a.vec
    g[:, 2] += 2 * z * f
    return 0.1 * a.to @ (z * z * f), 0.1 * g


def handed(a):
    (A, pull_A), (B, pull_B), (C, pull_C) = (a.vector(x) for x in (0.3, 0.8, 1.6))
    return (A * np.cross(B, C)).sum(1), pull_A(np.cross(B, C)) + pull_B(np.cross(C, A)) + pull_C(np.cross(A, B))


def unfaded(a):
    """exp(-r) up to 3.7 angstrom, and nothing beyond."""
    f = 0.1 * np.exp(-a.r) * (a.r < 3.7)
    return a.to @ f, (-f / a.r)[:, None] * a.vec


def two_nearest(a):
    """exp(-r) of the two nearest neighbours."""
    rank = ((a.i == a.i[:, None]) & (a.r < a.r[:, None])).sum(1)
    f = 0.1 * np.exp(-a.r) * (rank < 2)
    return a.to @ f, (-f / a.r)[:, None] * a.vec


def first(a):
    """The pair energy of the first atom once more."""
    f, slope = a.radial(1.5)
    once = a.s[a.j] * (a.i == 0)
    return a.to @ (once * f), (once * slope)[:, None] * a.vec


# --- models -----------------------------------------------------------------------------------------------------

def potential(*terms, change=None, seen=None):
    """The function of the sound potential with more terms; change(atoms, E_i, F, sigma) -> E_i, F, sigma;
    seen(i, j, shifts, r) (e,): which edges it knows of."""
    def model(*given):
        a = Atoms.of(seen, *given)
        parts = [term(a) for term in (pair, embedding, *terms)]
        e, g = (sum(part[k] for part in parts) for k in (0, 1))
        F = a.to @ g - (a.j == np.arange(len(e))[:, None]) @ g
        sigma = g.T @ a.vec / a.volume
        e, F, sigma = (change or unchanged)(a, e, F, 0.5 * (sigma + sigma.T))
        return e.sum(), F, sigma
    return model


def unchanged(a, e, F, sigma):
    return e, F, sigma


def pair_forces(a, t):
    """Forces (n,3) of t (e,3) on i and the opposite on j."""
    return a.to @ t - (a.j == np.arange(len(a.s))[:, None]) @ t


def not_a_gradient(a, e, F, sigma):
    """Central pair forces, each as strong as the two are crowded."""
    rho = a.to @ a.radial(1.0)[0]
    return e, F + pair_forces(a, (0.02 * (rho[a.i] + rho[a.j]) * a.radial(0.5)[0])[:, None] * a.vec), sigma


def pseudovector(a):
    return np.cross(a.vector(0.3)[0], a.vector(1.6)[0])


def twist(a, e, F, sigma):
    P = pseudovector(a)
    return e, F + pair_forces(a, a.radial(0.5)[0][:, None] * np.cross(P[a.i] + P[a.j], a.vec)), sigma


def push(a, e, F, sigma):
    A = a.vector(0.3)[0]
    return e, F + 0.1 * A * (A * A).sum(1, keepdims=True), sigma


def wave(a, e, F, sigma):
    """A potential cos(x) fixed in space; the stress is the derivative of its energy as well."""
    x = a.positions[:, 0]
    field = np.outer(np.sin(x), [1.0, 0, 0])
    strain = -field.T @ a.positions / a.volume
    return e + 0.1 * np.cos(x), F + 0.1 * field, sigma + 0.05 * (strain + strain.T)


def lengths_of_the_cell(a, e, F, sigma):
    long = np.sqrt((a.cell * a.cell).sum(1)) + (~a.pbc)
    share = 0.01 * len(e) * np.einsum("ki,kj,k->ij", a.cell, a.cell, 1 / long) / a.volume
    return e + 0.01 * long.sum(), F, sigma + share


def mean(a, e, F, sigma):
    return e / len(e), F / len(e), sigma / len(e)


def squared(a, e, F, sigma):
    E = e.sum()
    return e * E, 2 * E * F, 2 * E * sigma


def shared(a, e, F, sigma):
    """(sum_i x_i)^2 / n with x = e: as charges do that level out however far apart they are."""
    share = 0.1 * e.mean()
    return e + share * e, F * (1 + 2 * share), sigma * (1 + 2 * share)


def virial(a, e, F, sigma):
    return e, F, sigma * abs(np.linalg.det(a.cell))


def antisymmetric(a, e, F, sigma):
    return e, F, sigma + 0.1 * np.cross(np.eye(3), pseudovector(a).sum(0)) / a.volume


def blind_to_some(a, e, F, sigma):
    """NaN where a vector of the structure points to one half of space."""
    A = a.vector(0.3)[0]
    return (e, F, sigma) if (A * (A * A).sum(1, keepdims=True)).sum(0) @ [-1, 1, 0] > -1e-6 else (np.nan * e, F, sigma)


def charged(a, e, F, sigma):
    """q_i q_j / r of all atoms of a neutral molecule, q by species."""
    return coulomb(a, e, F, sigma, a.s - a.s.mean())


def ions(a, e, F, sigma):
    return coulomb(a, e, F, sigma, a.s)


def coulomb(a, e, F, sigma, q):
    i, j = (~np.eye(len(e), dtype=bool)).nonzero()
    d = a.positions[i] - a.positions[j]
    r = np.sqrt((d * d).sum(1))
    f = 14.4 * q[i] * q[j] / r                                 # eV
    to = (i == np.arange(len(e))[:, None]).astype(float)
    return e + 0.5 * to @ f, F + to @ ((f / r**2)[:, None] * d), sigma


# --- the whole function changed -----------------------------------------------------------------------------------

def in_single_precision(model):
    def rounded(species, positions, cell, pbc):
        found = model(species, *(x.astype(np.float32).astype(float) for x in (positions, cell)), pbc)
        return tuple(np.asarray(x, np.float32) for x in found)
    return rounded


def noisy(model, size=1e-3):
    rng = np.random.default_rng(0)

    def shaken(*given):
        E, F, sigma = model(*given)
        return E, F + size * rng.standard_normal(F.shape), sigma
    return shaken


def one_call_late(model):
    """What it returns are the forces of the structure before, if that had as many atoms."""
    kept = {}

    def late(*given):
        found = model(*given)
        before = kept.get(len(found[1]), found)
        kept[len(found[1])] = found
        return found[0], before[1], found[2]
    return late


def constant(species, positions, cell, pbc):
    return -3.0 * len(species), np.zeros((len(species), 3)), np.zeros((3, 3))


def nearest(i, j, shifts, r):
    """Of every pair the nearest image alone."""
    return ~((i == i[:, None]) & (j == j[:, None]) & (r < r[:, None])).any(1)
