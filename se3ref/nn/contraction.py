r"""The symmetric contraction: products of nu features of one atom with themselves, coupled to one irrep.

Let A_i (dim,c) hold the components of several irreps side by side, a sum over the neighbours of atom i.  A product of
nu of its components is a sum over nu-tuples of neighbours: it sees nu + 1 bodies, at the price of one neighbour sum.
The contraction takes all such products that turn as a given irrep,

    B_i[M,c] = sum_nu sum_p  W^nu[z_i,p,c]  sum_{a1..anu}  U^nu_p[a1..anu,M]  A_i[a1,c] ... A_i[anu,c]             (1)

with weights W that depend on the species z_i.  Source: Batatia et al., MACE, NeurIPS 2022, eq. (10), (11);
Drautz, Phys. Rev. B 99 (2019) 014104, for the expansion in products that it cuts short (ACE).

The coefficients U.  Coupling one factor after the other by Clebsch-Gordan, ((A_l1 A_l2)_L12 A_l3)_L, over all chains
of intermediate degrees, gives every equivariant map of nu different factors.  Here the factors are all the same A,
so only the symmetric part of the tensor counts: the polynomial

    sum_{a1..anu} T[a1..anu,M] A[a1] ... A[anu]  =  sum_k g[k,M] A^k,      A^k a monomial of degree nu            (2)

where g[k] sums T over all orders of the indices of k.  Of several chains some give the same polynomial, or none.
What is independent is found, and made orthonormal, by Gram and Schmidt in the inner product of symmetric tensors

    <g, g'> = sum_k g[k] g'[k] / m(k),      m(k) = nu! / (product of the factorials of k's exponents)             (3)

since the tensor's entry is S = g[k]/m(k) at each of the m(k) orders of k.  By Schur's lemma all components M of
a polynomial have the same norm, so (3) summed over M, divided by 2L+1, is 1.

The fast form.  With A's components in a row, the monomials of degree nu whose largest index is a are those of degree
nu-1 with no index above a, times A[a].  Ordered by the largest index, then the next, these are a prefix:

    P_nu = [P_(nu-1)[:binom(a+nu-1, nu-1)] * A[a]  for a in range(dim)]                                           (4)
    k = (a1 <= ... <= anu) stands at row   sum_j binom(a_j + j - 1, j)                                            (5)

so slices are all that is needed, and U and W make one matrix G = sum_p W U for each species and channel, B = G P.
The pullback goes the same way back:

    dW = U . (dB P^T)    dP = G^T dB    dP_(nu-1)[prefix] += dP_nu * A[a]    dA[a] += sum dP_nu * P_(nu-1)[prefix]   (6)
"""

import collections
import functools
import itertools
import math

import numpy as np

from se3ref.backend import constant, pieces, real_times
from se3ref.nn.ops import sum_products
from se3ref.nn.params import normal
from se3ref.so3 import Irrep, clebsch_gordan

DEPENDENT = 1e-8                # what Gram and Schmidt leave of a dependent unit vector is rounding, some 1e-15


# --- coefficients ---------------------------------------------------------------------------------------------

def monomials(dim, nu):
    """The monomials of degree nu in dim variables, each as its sorted indices: (count, nu), in the order (5)."""
    found = itertools.combinations_with_replacement(range(dim), nu)
    return np.array(sorted(found, key=lambda k: k[::-1]), int)


@functools.cache
def symmetric_couplings(irreps, target, nu):
    """U (paths, 2L+1, monomials): an orthonormal basis (3) of the polynomials of degree nu that turn as `target`.

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
    """m(k) of (3): in how many orders the indices of a monomial can stand."""
    return math.factorial(len(k)) // math.prod(math.factorial(n) for n in collections.Counter(k).values())


def _polynomials(irreps, starts, chosen, L, count):
    """Equation (2): g (2L+1, count) of every chain of couplings of the chosen irreps to degree L."""
    grid = np.meshgrid(*(np.arange(starts[i], starts[i + 1]) for i in chosen), indexing="ij")
    rows = _rows(np.sort(np.stack(grid, -1).reshape(-1, len(chosen)), axis=1))
    for T in _chains([irreps[i].l for i in chosen], L):
        g = np.zeros((count, 2 * L + 1))
        np.add.at(g, rows, T.reshape(-1, 2 * L + 1))
        yield g.T


def _rows(indices):
    """Equation (5): where the monomials with these sorted indices (count, nu) stand."""
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


# --- the layer ------------------------------------------------------------------------------------------------

def init_contraction(rng, channels, irreps_in, irreps_out, nu_max, species):
    """Weights {irrep: {nu: (species, paths, channels)}} for those of irreps_out that some product reaches.

    Divided by sqrt(nu!), the spread of a product of degree nu of normal numbers.
    """
    params = {}
    for irrep in irreps_out:
        counts = {nu: len(symmetric_couplings(irreps_in, irrep, nu)) for nu in range(1, nu_max + 1)}
        own = {str(nu): normal(rng, species, count, channels) / math.sqrt(math.factorial(nu))
               for nu, count in counts.items() if count}
        if own:
            params[str(irrep)] = own
    return params


def contract(params, h, rows):
    """Equation (1): h {Irrep: (n,2l+1,c)}, all with c channels -> {Irrep: (n,2L+1,c)}, for the irreps of `params`.

    rows: for each species, the indices of its atoms.  pull(dy) -> dparams, dh, by (6).
    Law: y turns by D where h does; where h is scaled by t, the terms of degree nu are scaled by t^nu.
    """
    A = np.concatenate([h[irrep] for irrep in sorted(h)], axis=1)                        # (n, dim, c)
    outputs, terms, nu_max, count = _plan(_names(params), tuple(sorted(h)))
    dtype = np.result_type(A, *(W for own in params.values() for W in own.values()))
    B = np.zeros((len(A), outputs[-1][1].stop, A.shape[2]), dtype, like=A)
    shape = A.shape[2], B.shape[1], count                                                # of G
    for z, own in enumerate(rows):
        G = _coefficients(params, terms, z, shape, A)
        for piece in pieces(len(own), shape[0] * count, A):
            P = _products(_columns(A, own[piece]), nu_max, count)
            B[own[piece]] = real_times(G, P).transpose(2, 1, 0)

    def pull(dy):
        dB = np.concatenate([dy[irrep] for irrep, _ in outputs], axis=1)
        dA = np.zeros(A.shape, np.result_type(dtype, dB), like=A)
        dparams = {name: {nu: np.zeros(W.shape, dA.dtype, like=A) for nu, W in own.items()}
                   for name, own in params.items()}
        for z, own in enumerate(rows):
            G, dG = _coefficients(params, terms, z, shape, A), 0
            for piece in pieces(len(own), shape[0] * count, A):
                x, d = _columns(A, own[piece]), _columns(dB, own[piece])
                P = _products(x, nu_max, count)
                dG = dG + d @ P.swapaxes(1, 2)                                           # (c, K, monomials)
                dP = real_times(G.swapaxes(1, 2), d)
                dA[own[piece]] = _pull_products(x, P, dP, nu_max).transpose(2, 1, 0)
            if len(own):
                for name, nu, K, columns, U in terms:
                    dparams[name][nu][z] = constant(U, A).reshape(len(U), -1) @ dG[:, K, columns].reshape(len(dG), -1).T
        ends = np.cumsum([irrep.dim for irrep in sorted(h)]).tolist()
        return dparams, {irrep: dA[:, end - irrep.dim:end] for irrep, end in zip(sorted(h), ends, strict=True)}
    return {irrep: B[:, K] for irrep, K in outputs}, pull


def _names(params):
    """What is hashable of the parameters: names and degrees."""
    return tuple((name, tuple(sorted(own))) for name, own in sorted(params.items()))


@functools.cache
def _plan(names, irreps):
    """Outputs [(irrep, its rows)]; terms [(name, nu, its rows, its monomials, U)]; the largest nu; all monomials."""
    dim, outputs, terms, start = sum(irrep.dim for irrep in irreps), [], [], 0
    nu_max = max(int(nu) for _, own in names for nu in own)
    ends = np.cumsum([0, *(math.comb(dim + nu - 1, nu) for nu in range(1, nu_max + 1))]).tolist()
    for name, own in names:
        irrep = Irrep.parse(name)
        outputs.append((irrep, slice(start, start + irrep.dim)))
        terms += [(name, nu, outputs[-1][1], slice(ends[int(nu) - 1], ends[int(nu)]),
                   symmetric_couplings(irreps, irrep, int(nu))) for nu in own]
        start += irrep.dim
    return outputs, terms, nu_max, ends[-1]


def _columns(A, own):
    """The chosen atoms of A (n,dim,c) as the last axis: (c,dim,b)."""
    return np.ascontiguousarray(A[own].transpose(2, 1, 0), like=A)


def _coefficients(params, terms, z, shape, A):
    """G (c, K, monomials) = sum_p W U, of species z."""
    dtype = np.result_type(*(params[name][nu] for name, nu, *_ in terms))
    G = np.zeros(shape, dtype, like=A)
    for name, nu, K, columns, U in terms:
        W = params[name][nu][z]                                                          # (paths, c)
        G[:, K, columns] = (W.T @ constant(U, A).reshape(len(U), -1)).reshape(W.shape[1], *U.shape[1:])
    return G


def _products(x, nu_max, count):
    """(4): all monomials of degree 1 to nu_max of x (c,dim,b), by degree: (c, count, b)."""
    P = np.empty((len(x), count, x.shape[2]), x.dtype, like=x)
    P[:, :x.shape[1]] = x
    for below, block, a in _blocks(x.shape[1], nu_max):
        np.multiply(P[:, below], x[:, a:a + 1], out=P[:, block])
    return P


def _pull_products(x, P, dP, nu_max):
    """(6): the cotangent of x from that of all monomials, which is written over."""
    dx = np.zeros_like(dP[:, :x.shape[1]])
    for below, block, a in reversed(_blocks(x.shape[1], nu_max)):
        dP[:, below] += dP[:, block] * x[:, a:a + 1]
        dx[:, a] += sum_products(dP[:, block], P[:, below])
    return dx + dP[:, :x.shape[1]]


@functools.cache
def _blocks(dim, nu_max):
    """(4) as slices: [(the prefix of one degree, the block of the next degree that it makes times A[a], a)]."""
    blocks, below, end = [], 0, dim
    for nu in range(2, nu_max + 1):
        start = end
        for a in range(dim):
            n = math.comb(a + nu - 1, nu - 1)
            blocks.append((slice(below, below + n), slice(end, end + n), a))
            end += n
        below = start
    return blocks
