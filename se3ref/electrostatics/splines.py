r"""Cardinal B-splines on a mesh: their values and slopes, what they do to waves, and the aliases that they bring.

M_2 is a hat, and  M_p(u) = u/(p-1) M_(p-1)(u) + (p-u)/(p-1) M_(p-1)(u-1):  p pieces of degree p-1, zero outside
0 < u < p, with p-2 continuous derivatives,  M_p'(u) = M_(p-1)(u) - M_(p-1)(u-1).  Source: Essmann et al., J. Chem.
Phys. 103 (1995) 8577, eq. (4.1), (4.2).
"""

import math

import numpy as np

from se3ref.backend import pieces, real_dtype


def weights(t, order):
    """M_p and M_p' (p,...) for particles at the fraction t (...) beyond a mesh point, in rising order of the p mesh
    points that they touch; the last of these is the one just below.  Analytic in t."""
    w = [t, 1 - t]                                             # w[m] = M_k(t + m), from k = 2 on
    for k in range(3, order + 1):
        below = [0.0, *w, 0.0]                                 # below[m + 1] = M_(k-1)(t + m)
        w = [((t + m) * below[m + 1] + (k - m - t) * below[m]) / (k - 1) for m in range(k)]
    slopes = [below[m + 1] - below[m] for m in range(order)]
    return np.stack(w[::-1]), np.stack(slopes[::-1])


def damping(n, mesh, order):
    """|b(n)|^2 = 1/|sum_l M_p(l) exp(2 pi i n l/K)|^2: what the mesh does to a wave, undone."""
    M = weights(np.zeros(()), order)[0][::-1]                  # M_p(0), ..., M_p(p-1)
    angle = 2 * math.pi / mesh * np.outer(n, np.arange(order))
    return 1 / ((np.cos(angle) @ M) ** 2 + (np.sin(angle) @ M) ** 2)


def aliases(n, mesh, order, most=3):
    """The waves n (k,) and what comes with them: a_s and n + s K for |s| <= most, each (k, 2 most + 1).

    The mesh takes exp(2 pi i n u/K) for sum_s a_s exp(2 pi i (n + s K) u/K).  The transform of M_p is the p-th power of
    that of a box of width 1, whose value at n + sK is that at n times n/(n + sK), so

        a_s = (n/(n + sK))^p / sum_t (n/(n + tK))^p

    which falls as |s|^-p.  For odd p the sum vanishes at n = K/2: such a mesh has an odd number of points.
    """
    waves = n[:, None] + mesh * np.arange(-most, most + 1)
    c = np.where(waves == 0, 1.0, n[:, None] / np.where(waves == 0, 1.0, waves)) ** order
    return c / c.sum(1, keepdims=True), waves


class Touched:
    """The mesh points that each of n particles touches, p along each direction, and with what weights.

    The mesh is padded by p-1 points before each axis, so that what a particle touches lies in one piece and every
    particle takes the same steps from its first point.  Particles are sorted by that point: those that touch the
    same points come together, while these are in a CPU's cache.
    """

    def __init__(self, s, mesh, order):
        """s (n,3): fractional coordinates, of any cell."""
        s = s - np.floor(s.real)
        s = np.where(s.real < 1, s, 0 * s)                     # -1e-17 has been rounded up to 1
        u = s * np.array(mesh, real_dtype(s.dtype), like=s)
        below = np.floor(u.real)
        self.mesh, self.padded, self.order = mesh, tuple(K + order - 1 for K in mesh), order
        first = np.ravel_multi_index(tuple(below.T.astype(int)), self.padded)
        self.sorted = np.argsort(first)
        self.first = first[self.sorted]
        self.steps = np.asarray(np.ravel_multi_index(np.indices((order,) * 3), self.padded).ravel(), like=s)
        self.values, self.slopes = weights((u - below)[self.sorted].T, order)      # (p,3,n)

    def pieces(self):
        """Particles in mesh order, some at a time: a slice, and the points they touch (p^3,b)."""
        for part in pieces(len(self.first), 4 * self.order**3, self.first):
            yield part, self.steps[:, None] + self.first[part]

    def spread(self, q):
        """sum_j q_j M_p(u_j1 - l1) M_p(u_j2 - l2) M_p(u_j3 - l3) at all mesh points l, (K1,K2,K3)."""
        Q = np.zeros(math.prod(self.padded), np.result_type(q, self.values), like=q)
        for part, points in self.pieces():
            x, y, z = self.values[:, :, part].swapaxes(0, 1)                       # (p,b) each
            xy = (q[self.sorted[part]] * x)[:, None] * y
            np.add.at(Q, points.ravel(), (xy[:, :, None] * z).ravel())
        return self._folded(Q.reshape(self.padded))

    def _folded(self, Q):
        """The padding added where it belongs, to the end of each axis."""
        width = self.order - 1
        Q[-width:] += Q[:width]
        Q[:, -width:] += Q[:, :width]
        Q[:, :, -width:] += Q[:, :, :width]
        return Q[width:, width:, width:]

    def read(self, Phi):
        """Phi (K1,K2,K3) at the particles (n,), and its derivatives to u (3,n)."""
        Phi = np.pad(Phi, [(self.order - 1, 0)] * 3, mode="wrap").ravel()
        found = np.empty((4, len(self.first)), np.result_type(Phi, self.values), like=Phi)
        for part, points in self.pieces():
            x, y, z = self.values[:, :, part].swapaxes(0, 1)
            dx, dy, dz = self.slopes[:, :, part].swapaxes(0, 1)
            near = np.take(Phi, points).reshape(*(self.order,) * 3, -1)
            by_z, by_dz = (np.einsum("ijkb,kb->ijb", near, each) for each in (z, dz))
            by_yz, by_dyz, by_ydz = (np.einsum("ijb,jb->ib", *pair) for pair in ((by_z, y), (by_z, dy), (by_dz, y)))
            for row, pair in zip(found, ((by_yz, x), (by_yz, dx), (by_dyz, x), (by_ydz, x)), strict=True):
                row[self.sorted[part]] = np.einsum("ib,ib->b", *pair)
        return found[0], found[1:]
