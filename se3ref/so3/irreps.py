"""Irreps of O(3) and their direct sums; features that carry them; Cartesian tensors as irreps and back.

An irrep is a degree l and a parity p: 1o is a vector (a mirror turns it over), 1e a pseudovector, 0e a scalar,
0o a pseudoscalar.  `Irreps("8x0e+4x1o")` is a list of them with multiplicities, in e3nn's notation.

A feature is a dict {Irrep: array (n, 2l+1, c)}: n nodes, components, channels.  Rotations act from the left and
weights from the right, D @ h @ W, so that they commute is associativity.  e3nn's flat arrays (n, dim) hold the same
numbers with all components of channel 0 first, then of channel 1, and so on.
"""

import dataclasses
import math
import re

import numpy as np

from se3ref.backend import constant, real_dtype
from se3ref.so3.coupling import clebsch_gordan
from se3ref.so3.rotations import check_rotation, determinant
from se3ref.so3.wigner import wigner_D


@dataclasses.dataclass(frozen=True, order=True)
class Irrep:
    """One irrep of O(3): degree l >= 0 and parity p = +1 (even, e) or -1 (odd, o).  `Irrep.parse("1o")`."""
    l: int
    p: int

    def __hash__(self):
        """Features are looked up by irrep at every step: this is three times faster than the dataclass's own."""
        return 2 * self.l + (self.p > 0)

    def __post_init__(self):
        if (isinstance(self.l, bool) or not isinstance(self.l, int | np.integer) or self.l < 0
                or self.p not in (-1, 1)):
            raise ValueError(f"an Irrep has an integer degree l >= 0 and parity +1 or -1; got l={self.l}, p={self.p}")
        for name in ("l", "p"):                                # Python's integers: NumPy's small ones overflow
            object.__setattr__(self, name, int(getattr(self, name)))

    @classmethod
    def parse(cls, text):
        """From a string such as "2e"; an Irrep passes through.  ValueError for anything else."""
        if isinstance(text, cls):
            return text
        match = re.fullmatch(r"\s*([0-9]+)([eo])\s*", str(text))
        if not match:
            raise ValueError(f"an irrep is written as its degree and e or o, such as '1o'; got {text!r}")
        return cls(int(match[1]), 1 if match[2] == "e" else -1)

    @property
    def dim(self):
        """2l+1."""
        return 2 * self.l + 1

    def D(self, R):
        """The matrix of R: `wigner_D(l, R)` for proper R; an improper R = -(-R) gets p D(-R).

        Inversion multiplies by p, so D(R1 R2) = D(R1) D(R2) on all of O(3).  For p = (-1)^l, the parity of the
        harmonics, this is `wigner_D(l, R)` itself.
        """
        D = wigner_D(self.l, R)
        if self.p == (-1) ** self.l:
            return D
        R = check_rotation(R)
        return D * np.where(determinant(R) < 0, -1, 1).astype(D.dtype)[..., None, None]

    def __mul__(self, other):
        """All irreps of the tensor product: l = |l1-l2|..l1+l2, p = p1 p2."""
        other = Irrep.parse(other)
        return [Irrep(l, self.p * other.p) for l in range(abs(self.l - other.l), self.l + other.l + 1)]

    def __repr__(self):
        return f"{self.l}{'e' if self.p == 1 else 'o'}"


def harmonic_irrep(l, group="O(3)"):
    """The irrep by which the harmonics of degree l turn: parity (-1)^l in O(3); in SO(3) everything is labelled e."""
    return Irrep(l, (-1) ** l if group == "O(3)" else 1)


class Irreps(tuple):
    """A direct sum of irreps with multiplicities, in order: `Irreps("8x0e+4x1o")`, or [(8, "0e"), (4, "1o")].

    A tuple of (multiplicity, Irrep); a slice of it is Irreps again.  Equal when the terms are: "1o+1o" and "2x1o"
    differ until `simplify`.
    ValueError for an odd string, naming the part that cannot be read.
    """

    def __new__(cls, irreps=()):
        if isinstance(irreps, Irreps):
            return irreps
        if isinstance(irreps, Irrep):
            irreps = [(1, irreps)]
        if isinstance(irreps, str):
            irreps = [_parse_term(term) for term in irreps.split("+")] if irreps.strip() else []
        if not (isinstance(irreps, tuple | list)
                and all(isinstance(term, tuple | list) and len(term) == 2 for term in irreps)):
            raise ValueError(f"Irreps are made from a string such as '8x0e+4x1o' or a list of pairs such as "
                             f"(8, '0e'); got {irreps!r}")
        terms = []
        for multiplicity, irrep in irreps:
            if not isinstance(multiplicity, int | np.integer) or multiplicity < 0:
                raise ValueError(f"a multiplicity is an integer >= 0; got {multiplicity!r} for {irrep}")
            terms.append((int(multiplicity), Irrep.parse(irrep)))
        return super().__new__(cls, terms)

    @property
    def dim(self):
        """Length of a flat feature: sum of multiplicity times 2l+1."""
        return sum(multiplicity * irrep.dim for multiplicity, irrep in self)

    @property
    def num_irreps(self):
        """Number of irreps, multiplicities counted."""
        return sum(multiplicity for multiplicity, _ in self)

    @property
    def lmax(self):
        """The largest degree; ValueError where there is none."""
        if not self:
            raise ValueError("empty Irreps have no lmax")
        return max(irrep.l for _, irrep in self)

    def count(self, irrep):
        """How often `irrep` occurs, over all terms."""
        irrep = Irrep.parse(irrep)
        return sum(multiplicity for multiplicity, other in self if other == irrep)

    def __contains__(self, irrep):
        return self.count(irrep) > 0

    def __getitem__(self, chosen):
        part = tuple.__getitem__(self, chosen)
        return Irreps(part) if isinstance(chosen, slice) else part

    def __add__(self, other):
        return Irreps(tuple.__add__(self, Irreps(other)))

    def __mul__(self, times):
        return Irreps(tuple.__mul__(self, times))

    __rmul__ = __mul__

    def sort(self):
        """Terms by degree, odd before even (e3nn's order); equal irreps keep their order."""
        return Irreps(sorted(self, key=lambda term: term[1]))

    def simplify(self):
        """Neighbouring terms of the same irrep joined, empty terms dropped; the order stays."""
        terms = []
        for multiplicity, irrep in self:
            if terms and terms[-1][1] == irrep:
                terms[-1] = (terms[-1][0] + multiplicity, irrep)
            elif multiplicity:
                terms.append((multiplicity, irrep))
        return Irreps(terms)

    def tensor_product(self, other):
        """The irreps of the tensor product, sorted and simplified; its dim is the product of both dims."""
        return Irreps([(m1 * m2, out) for m1, ir1 in self for m2, ir2 in Irreps(other) for out in ir1 * ir2]
                      ).sort().simplify()

    def slices(self):
        """For each term, its slice of a flat feature."""
        ends = np.cumsum([0, *(multiplicity * irrep.dim for multiplicity, irrep in self)]).tolist()
        return [slice(start, end) for start, end in zip(ends[:-1], ends[1:], strict=True)]

    def D(self, R):
        """The block-diagonal matrix of R on flat features: (dim, dim), or (n, dim, dim) for R (n,3,3).

        Laws: D(R1 R2) = D(R1) D(R2) on O(3); D(R) D(R)^T = 1.
        """
        R = check_rotation(R)
        D = np.zeros((*R.shape[:-2], self.dim, self.dim), R.dtype, like=R)
        for (_, irrep), part in zip(self, self.slices(), strict=True):
            block = irrep.D(R)
            for start in range(part.start, part.stop, irrep.dim):
                D[..., start:start + irrep.dim, start:start + irrep.dim] = block
        return D

    def __repr__(self):
        return "+".join(f"{multiplicity}x{irrep}" for multiplicity, irrep in self)


def _parse_term(term):
    match = re.fullmatch(r"\s*(?:([0-9]+)\s*x)?\s*([0-9]+[eo])\s*", term)
    if not match:
        raise ValueError(f"cannot read {term.strip()!r}: irreps are written like '8x0e+4x1o', each term an "
                         f"optional multiplicity and x, then the degree and e or o")
    return int(match[1] or 1), match[2]


# --- features -------------------------------------------------------------------------------------------------

def features_from_flat(irreps, flat):
    """e3nn's flat array (n, dim) as a feature {Irrep: (n, 2l+1, c)}; terms of one irrep join along c, in order."""
    irreps, flat = Irreps(irreps), flat if hasattr(flat, "dtype") else np.asarray(flat)
    if flat.ndim != 2 or flat.shape[1] != irreps.dim:
        raise ValueError(f"a flat feature of {irreps} has shape (n, {irreps.dim}); got {flat.shape}")
    parts = {}
    for (multiplicity, irrep), part in zip(irreps, irreps.slices(), strict=True):
        parts.setdefault(irrep, []).append(flat[:, part].reshape(len(flat), multiplicity, irrep.dim).swapaxes(1, 2))
    return {irrep: np.concatenate(arrays, axis=2) for irrep, arrays in parts.items()}


def flat_from_features(irreps, features):
    """The inverse of `features_from_flat`: (n, dim), terms in the order of `irreps`."""
    irreps = Irreps(irreps)
    wanted = {irrep: irreps.count(irrep) for _, irrep in irreps}
    given = {irrep: array.shape[2] for irrep, array in features.items()}
    if wanted != given:
        raise ValueError(f"the feature's channels {given} are not those of {irreps}: {wanted}")
    flat, used = [], dict.fromkeys(wanted, 0)
    for multiplicity, irrep in irreps:
        array = features[irrep][:, :, used[irrep]:used[irrep] + multiplicity]
        flat.append(array.swapaxes(1, 2).reshape(len(array), multiplicity * irrep.dim))
        used[irrep] += multiplicity
    return np.concatenate(flat, axis=1)


def rotate_features(features, R):
    """The feature after the rotation or reflection R (3,3): D(R) @ h for each irrep."""
    return {irrep: irrep.D(R) @ array for irrep, array in features.items()}


# --- Cartesian tensors ----------------------------------------------------------------------------------------

_PARTS = {"i": "1o", "ij": "0e+1e+2e", "ij=ji": "0e+2e", "ij=-ji": "1e"}


def irreps_from_cartesian(tensor, symmetry):
    """A Cartesian tensor as a feature with one channel, norm kept: sum of squares in = sum of squares out.

    symmetry: "i", a vector such as a dipole (n,3) -> {1o}; "ij", any rank 2 (n,3,3) -> {0e, 1e, 2e}, that is trace,
    antisymmetric part (a pseudovector) and traceless symmetric part; "ij=ji", symmetric, such as a polarisability
    or a stress -> {0e, 2e}; "ij=-ji", antisymmetric -> {1e}.
    The part of degree l is sum_ij C_ijk T_ij with C = `clebsch_gordan(1, 1, l)`.
    ValueError for another shape, or a tensor that has not the symmetry said.
    """
    parts, tensor = _cartesian_parts(symmetry), tensor if hasattr(tensor, "dtype") else np.asarray(tensor)
    rank = 1 if symmetry == "i" else 2
    if tensor.shape[1:] != (3,) * rank:
        raise ValueError(f"a tensor of symmetry {symmetry!r} has shape {('n',) + (3,) * rank}; got {tensor.shape}")
    if rank == 1:
        return {parts[0]: tensor[:, :, None]}
    _check_symmetry(tensor, symmetry)
    return {irrep: np.einsum("nij,ijk->nk", tensor, constant(clebsch_gordan(1, 1, irrep.l), tensor))[:, :, None]
            for irrep in parts}


def cartesian_from_irreps(features, symmetry):
    """The inverse of `irreps_from_cartesian`: (n,3) or (n,3,3), by T_ij = sum_k C_ijk h_k."""
    parts = _cartesian_parts(symmetry)
    if set(features) != set(parts) or any(array.shape[2] != 1 for array in features.values()):
        raise ValueError(f"a tensor of symmetry {symmetry!r} is made from one channel each of {parts}; "
                         f"got { {irrep: array.shape[2] for irrep, array in features.items()} }")
    if symmetry == "i":
        return features[parts[0]][:, :, 0]
    return sum(np.einsum("nk,ijk->nij", array[:, :, 0], constant(clebsch_gordan(1, 1, irrep.l), array))
               for irrep, array in features.items())


def _cartesian_parts(symmetry):
    if symmetry not in _PARTS:
        raise ValueError(f"symmetry is one of {', '.join(map(repr, _PARTS))}; got {symmetry!r}")
    return [irrep for _, irrep in Irreps(_PARTS[symmetry])]


def _check_symmetry(tensor, symmetry):
    """Half the digits of the dtype, as for rotations: more than rounding is a wrong claim."""
    if symmetry == "ij" or len(tensor) == 0:
        return
    transposed = tensor.swapaxes(1, 2) * (1 if symmetry == "ij=ji" else -1)
    error, size = float(np.abs((tensor - transposed).real).max()), float(np.abs(tensor.real).max())
    if not error <= math.sqrt(np.finfo(real_dtype(tensor.dtype)).eps) * size:          # NaN has no symmetry
        raise ValueError(f"the tensor has not the symmetry {symmetry!r}: largest difference {error:.3g}, "
                         f"largest entry {size:.3g}; use 'ij' for a general tensor")
