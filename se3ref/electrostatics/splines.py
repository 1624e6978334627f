r"""Cardinal B-splines on a mesh: their values and slopes, what they do to waves, and the aliases that they bring.

M_2 is a hat, and  M_p(u) = u/(p-1) M_(p-1)(u) + (p-u)/(p-1) M_(p-1)(u-1):  p pieces of degree p-1, zero outside
0 < u < p, with p-2 continuous derivatives,  M_p'(u) = M_(p-1)(u) - M_(p-1)(u-1).  Source: Essmann et al., J. Chem.
Phys. 103 (1995) 8577, eq. (4.1), (4.2).
"""

import math

import numpy as np


def weights(t, order):
    """M_p and M_p' (n,p) for particles at the fraction t (n,) beyond a mesh point, in rising order of the p mesh points
    that they touch; the last of these is the one just below.  Analytic in t."""
    w = [t, 1 - t]                                             # w[m] = M_k(t + m), from k = 2 on
    for k in range(3, order + 1):
        below = [0 * t, *w, 0 * t]                             # below[m + 1] = M_(k-1)(t + m)
        w = [((t + m) * below[m + 1] + (k - m - t) * below[m]) / (k - 1) for m in range(k)]
    slopes = [below[m + 1] - below[m] for m in range(order)]
    return np.stack(w[::-1], axis=1), np.stack(slopes[::-1], axis=1)


def damping(n, mesh, order):
    """|b(n)|^2 = 1/|sum_l M_p(l) exp(2 pi i n l/K)|^2: what the mesh does to a wave, undone."""
    M = weights(np.zeros(1), order)[0][0, ::-1]                # M_p(0), ..., M_p(p-1)
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
