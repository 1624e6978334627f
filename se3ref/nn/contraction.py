r"""The symmetric contraction: products of nu features of one atom with themselves, coupled to one irrep.

Let A_i (dim,c) hold the components of several irreps side by side, a sum over the neighbours of atom i.  A product of
nu of its components is a sum over nu-tuples of neighbours: it sees nu + 1 bodies, at the price of one neighbour sum.
The contraction takes all such products that turn as a given irrep,

    B_i[M,c] = sum_nu sum_p  W^nu[z_i,p,c]  sum_{a1..anu}  U^nu_p[a1..anu,M]  A_i[a1,c] ... A_i[anu,c]             (1)

with U an orthonormal basis of such products (`couplings`), and weights W that depend on the species z_i.
Source: Batatia et al., MACE, NeurIPS 2022, eq. (10), (11); Drautz, Phys. Rev. B 99 (2019) 014104, for the expansion
in products that it cuts short (ACE).

The fast form.  Each product has a last factor A[a], a its largest index; what stands before it is a monomial without
an index above a.  The weights meet what stands before, and the last factor comes after them:

    B[M] = sum_a A[a] Q[M,a],      Q = G P,      G[M,a,k] = sum_p W_p U_p[A^k A[a], M]                             (2)

where P are the monomials of degree 0 to nu_max - 1 (of 9 components 55, where there are 219 to degree 3), and one
matrix G for each species and channel does most of the work.  Those of degree nu whose largest index is a are those of
degree nu-1 with no index above a, times A[a]; in the order of `couplings` these are a prefix, and slices are all that
is needed:

    P_nu = [P_(nu-1)[:binom(a+nu-1, nu-1)] * A[a]  for a in range(dim)]                                           (3)

The pullback goes the same way back:

    dQ[M,a] = dB[M] A[a]    dA[a] = sum_M dB[M] Q[M,a]    dG = dQ P^T    dW_p = U_p . dG    dP = G^T dQ            (4)
    dP_(nu-1)[prefix] += dP_nu * A[a]                     dA[a] += sum dP_nu * P_(nu-1)[prefix]
"""

import functools
import math

import numpy as np

from se3ref.backend import constant, pieces
from se3ref.nn.couplings import symmetric_couplings
from se3ref.nn.ops import sum_products
from se3ref.nn.params import normal
from se3ref.so3 import Irrep


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

    rows: for each species, the indices of its atoms.  pull(dy) -> dparams, dh, by (4).
    Law: y turns by D where h does; where h is scaled by t, the terms of degree nu are scaled by t^nu.
    """
    outputs, terms, nu_max, count = _plan(_names(params), tuple(sorted(h)))
    _check(params, terms, h)
    A = np.concatenate([h[irrep] for irrep in sorted(h)], axis=1)                        # (n, dim, c)
    n, dim, c = A.shape
    G = _coefficients(params, terms, (outputs[-1][1].stop, dim, count), A)
    B = np.zeros((n, outputs[-1][1].stop, c), np.result_type(A, G), like=A)

    def parts():
        """Atoms of one species, a piece at a time: species, atoms, and A, P, Q of (2) with columns c*b."""
        for z, own in enumerate(rows):
            for piece in pieces(len(own), c * (count + G.shape[2]), A):
                x = _columns(A, own[piece])
                P = _products(x, nu_max, count)
                yield z, own[piece], x, P, _times(G[z], P).reshape(-1, dim, x.shape[1])

    for _, own, x, _, Q in parts():
        B[own] = _atoms(sum_products(Q, x[None]), c)

    def pull(dy):
        dB = np.concatenate([dy[irrep] for irrep, _ in outputs], axis=1)
        dA = np.zeros(A.shape, np.result_type(B, dB), like=A)
        dG = np.zeros(G.shape, dA.dtype, like=A)
        for z, own, x, P, Q in parts():
            d = _columns(dB, own)
            dQ = (d[:, None] * x).reshape(-1, x.shape[1])
            dG[z] += _by_channel(dQ, c) @ _by_channel(P, c).swapaxes(1, 2)
            dx = _pull_products(x, P, _times(G[z].swapaxes(1, 2), dQ), nu_max)
            dA[own] = _atoms(dx + sum_products(Q.swapaxes(0, 1), d[None]), c)
        ends = np.cumsum([irrep.dim for irrep in sorted(h)]).tolist()
        return (_pull_coefficients(dG, terms, (outputs[-1][1].stop, dim, count), A),
                {irrep: dA[:, end - irrep.dim:end] for irrep, end in zip(sorted(h), ends, strict=True)})
    return {irrep: B[:, K] for irrep, K in outputs}, pull


def _check(params, terms, h):
    """ValueError where features and weights do not fit."""
    channels = {irrep: x.shape[2] for irrep, x in h.items()}
    if len(set(channels.values())) > 1:
        raise ValueError(f"a product is taken channel by channel, so all features have equally many; got {channels}")
    c = next(iter(channels.values()))
    for name, nu, _, _, U in terms:
        if params[name][nu].shape[1:] != (len(U), c):
            raise ValueError(f"products of {nu} of {sorted(h)} to {name} have weights (species, {len(U)} paths, {c} "
                             f"channels); got {params[name][nu].shape}")


def _names(params):
    """What is hashable of the parameters: names and degrees."""
    return tuple((name, tuple(sorted(own))) for name, own in sorted(params.items()))


@functools.cache
def _plan(names, irreps):
    """Outputs [(irrep, its rows)]; terms [(name, nu, its rows, its monomials, U)]; the largest nu; all monomials."""
    dim, outputs, terms, start = sum(irrep.dim for irrep in irreps), [], [], 0
    if not names:
        raise ValueError("there are no weights: no product of these features reaches what is wanted")
    nu_max = max(int(nu) for _, own in names for nu in own)
    ends = np.cumsum([0, *(math.comb(dim + nu - 1, nu) for nu in range(nu_max))]).tolist()
    for name, own in names:
        irrep = Irrep.parse(name)
        outputs.append((irrep, slice(start, start + irrep.dim)))
        terms += [(name, nu, outputs[-1][1], slice(ends[int(nu) - 1], ends[int(nu)]),
                   _by_last_factor(symmetric_couplings(irreps, irrep, int(nu)), dim, int(nu))) for nu in own]
        start += irrep.dim
    return outputs, terms, nu_max, ends[-1]


def _by_last_factor(U, dim, nu):
    """U (paths, 2L+1, monomials) as (paths, 2L+1, dim, monomials of degree nu-1), zero behind each prefix (3)."""
    V, end = np.zeros((*U.shape[:2], dim, math.comb(dim + nu - 2, nu - 1))), 0
    for a in range(dim):
        n = math.comb(a + nu - 1, nu - 1)
        V[:, :, a, :n] = U[:, :, end:end + n]
        end += n
    return V


def _columns(A, own):
    """The chosen atoms of A (n,dim,c), with channels and atoms as one last axis: (dim,c*b)."""
    return np.ascontiguousarray(A[own].transpose(1, 2, 0).reshape(A.shape[1], -1), like=A)


def _atoms(x, c):
    """The way back of `_columns`: (dim,c*b) -> (b,dim,c)."""
    return x.reshape(len(x), c, -1).transpose(2, 0, 1)


def _by_channel(x, c):
    """A matrix for each channel: (dim,c*b) -> (c,dim,b)."""
    return x.reshape(len(x), c, -1).swapaxes(0, 1)


def _times(G, P):
    """For each channel a matrix product: G (c,p,q), P (q,c*b) -> (p,c*b).  As backend.real_times where P is complex."""
    if P.dtype.kind == "c" and G.dtype.kind != "c":
        return _times(G, P.view(P.real.dtype)).view(P.dtype)
    Q = np.empty((G.shape[1], P.shape[1]), np.result_type(G, P), like=P)
    np.matmul(G, _by_channel(P, len(G)), out=_by_channel(Q, len(G)))
    return Q


def _coefficients(params, terms, shape, A):
    """G (species, c, K dim, monomials) = sum_p W U of (2); shape: K, dim, monomials."""
    weights = [params[name][nu] for name, nu, *_ in terms]                               # (species, paths, c)
    G = np.zeros((len(weights[0]), weights[0].shape[2], *shape), np.result_type(*weights), like=A)
    for W, (_, _, K, columns, U) in zip(weights, terms, strict=True):
        G[:, :, K, :, columns] = np.tensordot(W, constant(U, A), axes=(1, 0))
    return G.reshape(*G.shape[:2], -1, shape[2])


def _pull_coefficients(dG, terms, shape, A):
    """(4): dW (species, paths, c) = U . dG, as the tree of the parameters."""
    dG, dparams = dG.reshape(*dG.shape[:2], *shape), {}
    for name, nu, K, columns, U in terms:
        dW = np.tensordot(dG[:, :, K, :, columns], constant(U, A), axes=((2, 3, 4), (1, 2, 3)))
        dparams.setdefault(name, {})[nu] = dW.swapaxes(1, 2)
    return dparams


def _products(x, nu_max, count):
    """(3): all monomials of degree 0 to nu_max - 1 of x (dim,c*b), by degree: (count,c*b)."""
    P = np.empty((count, x.shape[1]), x.dtype, like=x)
    P[0] = 1
    if nu_max > 1:
        P[1:1 + len(x)] = x
    for below, block, a in _blocks(len(x), nu_max - 1):
        np.multiply(P[below], x[a], out=P[block])
    return P


def _pull_products(x, P, dP, nu_max):
    """(4): the cotangent of x from that of all monomials, which is written over."""
    dx = np.zeros(x.shape, dP.dtype, like=x)
    for below, block, a in reversed(_blocks(len(x), nu_max - 1)):
        dP[below] += dP[block] * x[a]
        dx[a] += sum_products(dP[None, block], P[None, below])[0]
    return dx + dP[1:1 + len(x)] if nu_max > 1 else dx


@functools.cache
def _blocks(dim, nu_max):
    """(3) as slices: [(the prefix of one degree, the block of the next degree that it makes times A[a], a)]."""
    blocks, below, end = [], 1, 1 + dim
    for nu in range(2, nu_max + 1):
        start = end
        for a in range(dim):
            n = math.comb(a + nu - 1, nu - 1)
            blocks.append((slice(below, below + n), slice(end, end + n), a))
            end += n
        below = start
    return blocks
