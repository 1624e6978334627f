r"""Coupling coefficients of the powers of a feature: an orthonormal basis of its equivariant polynomials.

Let A (dim,) hold the components of several irreps side by side.  A polynomial of degree nu in them turns as an irrep
of degree L if it is a coupling of nu factors A to L; all such couplings are wanted, each once.

Coupling one factor after the other by Clebsch-Gordan, ((A_l1 A_l2)_L12 A_l3)_L, over all chains of intermediate
degrees, gives every equivariant map of nu different factors.  Here the factors are all the same A, so only the
symmetric part of the tensor T counts: the polynomial

    sum_{a1..anu} T[a1..anu,M] A[a1] ... A[anu]  =  sum_k g[k,M] A^k,      A^k a monomial of degree nu            (1)

where g[k] sums T over all orders of the indices of k.  Of several chains some give the same polynomial, or none.
What is independent is found, and made orthonormal, by Gram and Schmidt in the inner product of symmetric tensors

    <g, g'> = sum_k g[k] g'[k] / m(k),      m(k) = nu! / (product of the factorials of k's exponents)             (2)

since the tensor's entry is S = g[k]/m(k) at each of the m(k) orders of k.  By Schur's lemma all components M of
a polynomial have the same norm, so (2) summed over M, divided by 2L+1, is 1.

The monomials of degree nu stand in the order of their largest index, then of the next: k = (a1 <= ... <= anu) at row

    sum_j binom(a_j + j - 1, j)                                                                                   (3)

so that those with no index above a come first.  Source: Batatia et al., MACE, NeurIPS 2022, eq. (10), for what is
wanted; Drautz, Phys. Rev. B 99 (2019) 014104, for the symmetric products of ACE.
"""

import collections
import functools
import itertools
import math

import numpy as np

from se3ref.so3 import clebsch_gordan

DEPENDENT = 1e-8                # what Gram and Schmidt leave of a dependent unit vector is rounding, some 1e-15


def monomials(dim, nu):
    """The monomials of degree nu in dim variables, each as its sorted indices: (count, nu), in the order (3)."""
    found = itertools.combinations_with_replacement(range(dim), nu)
    return np.array(sorted(found, key=lambda k: k[::-1]), int)


@functools.cache
def symmetric_couplings(irreps, target, nu):
    """U (paths, 2L+1, monomials): an orthonormal basis (2) of the polynomials of degree nu that turn as `target`.

    irreps: a tuple of different Irrep, A's components in this order.  Read-only.
    Laws: U(D A) = D_target U(A); there are as many paths as `target` occurs in the symmetric power of A.
    """
    starts = np.cumsum([0, *(irrep.dim for irrep in irreps)]).tolist()
    m = np.array([_orders(k) for k in monomials(starts[-1], nu).tolist()])
    U = []
    for chosen in itertools.combinations_with_replacement(range(len(irreps)), nu):
        if math.prod(irreps[i].p for i in chosen) == target.p:
            U += _independent(_polynomials(irreps, starts, chosen, target.l, len(m)), m * target.dim)
    U = np.array(U).reshape(-1, target.dim, len(m))
    U.flags.writeable = False
    return U


def _orders(k):
    """m(k) of (2): in how many orders the indices of a monomial can stand."""
    return math.factorial(len(k)) // math.prod(math.factorial(n) for n in collections.Counter(k).values())


def _polynomials(irreps, starts, chosen, L, count):
    """Equation (1): g (2L+1, count) of every chain of couplings of the chosen irreps to degree L."""
    grid = np.meshgrid(*(np.arange(starts[i], starts[i + 1]) for i in chosen), indexing="ij")
    rows = _rows(np.sort(np.stack(grid, -1).reshape(-1, len(chosen)), axis=1))
    for T in _chains([irreps[i].l for i in chosen], L):
        g = np.zeros((count, 2 * L + 1))
        np.add.at(g, rows, T.reshape(-1, 2 * L + 1))
        yield g.T


def _rows(indices):
    """Equation (3): where the monomials with these sorted indices (count, nu) stand."""
    table = np.array([[math.comb(a + j, j + 1) for j in range(indices.shape[1])] for a in range(indices.max() + 1)])
    return table[indices, np.arange(indices.shape[1])].sum(1)


def _chains(degrees, L):
    """Tensors (2l1+1, ..., 2lnu+1, 2L+1) of all chains ((l1 l2)L12 l3)... of couplings that end in degree L."""
    chains = [(np.eye(2 * degrees[0] + 1), degrees[0])]
    for l in degrees[1:]:
        chains = [(np.tensordot(T, clebsch_gordan(K, l, out), axes=1), out)
                  for T, K in chains for out in range(max(K - l, l - K), K + l + 1)]
    return [T for T, K in chains if K == L]


def _independent(polynomials, weight):
    """Gram and Schmidt in the inner product sum g g' / weight; dependent polynomials are left out.

    Each projection is done twice: the second removes the rounding of the first.
    """
    basis = []
    for g in polynomials:
        size = math.sqrt((g * g / weight).sum())
        if size < DEPENDENT:                                   # no symmetric part at all
            continue
        g = g / size
        for e in 2 * basis:
            g = g - (g * e / weight).sum() * e
        size = math.sqrt((g * g / weight).sum())
        if size > DEPENDENT:
            basis.append(g / size)
    return basis
