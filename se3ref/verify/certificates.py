"""What two molecules share that are not one: distances, k-body histograms, colours of the graph of distances.

Lengths that differ by less than a tolerance are given one value, jointly for all structures that are compared: all
lengths are sorted, and a new value begins where the next one is more than the tolerance away.  No length falls on the
edge of a bin, and from there on equal means equal.  "Not shared" is then certain, since matching within the tolerance
would match the values (but for the sign of a triple product, where that is zero within the tolerance).  "Shared"
means equal up to chains of such steps; keep the tolerance far below the spacing of lengths.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import combinations, islice, permutations

import numpy as np
from scipy.spatial.distance import cdist

from se3ref.verify.alignment import Congruence, check_finite, congruence

TOLERANCE = 1e-6                # angstrom


@dataclass(frozen=True, eq=False)
class Certificate:
    """What `certify` found of a pair.

    congruence: a `Congruence`;  shared: dict, name of an invariant -> whether both structures have the same
    order: the least k whose k-body histograms at the centre differ, 4 bodies being signed; None if none does up to 5
        (without a centre: at each atom, up to 4)
    rounds: the least number of rounds after which the colours differ; None if they never do
    """
    congruence: Congruence
    shared: dict
    order: int | None
    rounds: int | None


def certify(a, b, centre=None, cutoff=None, tolerance=TOLERANCE):
    """Congruence and shared invariants of two structures, as a `Certificate`.

    centre: the atom (the same index in both) whose surroundings order and rounds compare; None: those of all atoms.
    cutoff: angstrom, how far an atom sees its neighbours; None: everywhere.
    """
    found = shared(a, b, centre, cutoff, tolerance)
    where = "at each atom" if centre is None else "at the centre"
    order = next((k for k in (2, 3, 4, 5) if not found.get(f"{'signed ' * (k == 4)}{k} bodies {where}", True)), None)
    rounds = next((r for r, colours in enumerate(_refinements((a, b), cutoff, tolerance))
                   if _differ(colours, centre)), None)
    return Certificate(congruence(a, b, tolerance), found, order, rounds)


def shared(a, b, centre=None, cutoff=None, tolerance=TOLERANCE):
    """Which invariants two structures share: dict name -> bool.  Arguments as `certify`.

    "k bodies", "signed 4 bodies": simplices of any k atoms, however far apart.
    "... at each atom": for every atom, simplices of it and k - 1 neighbours; 2 bodies are its distances, 3 its
    distances and the angles between them.  "... at the centre": of that atom alone, up to 5 bodies.
    With fewer than k atoms there are no k bodies, and that is shared.
    "colours": of all atoms, to stability; "colour of the centre"; both see up to the cutoff.
    The cost grows as n^4: for molecules, not for clusters of a hundred atoms.
    """
    kinds = [(2, False), (3, False), (4, False), (4, True)]
    found = {}
    for k, signed in kinds:
        one, other = bodies(a, b, k=k, signed=signed, tolerance=tolerance)
        found[_name(k, signed)] = one == other
    for k, signed in kinds:
        one, other = (Counter(map(_frozen, at)) for at in _at_each_atom((a, b), k, cutoff, signed, tolerance))
        found[_name(k, signed) + " at each atom"] = one == other
    for k, signed in [*kinds, (5, False)] if centre is not None else []:
        one, other = bodies(a, b, k=k, centre=centre, cutoff=cutoff, signed=signed, tolerance=tolerance)
        found[_name(k, signed) + " at the centre"] = one == other
    final = colours(a, b, cutoff=cutoff, tolerance=tolerance)
    found["colours"] = not _differ(final, None)
    if centre is not None:
        found["colour of the centre"] = not _differ(final, centre)
    return found


def distances(structure):
    """The distances between all pairs of atoms, angstrom: {(z, z'): sorted array} with atomic numbers z <= z'."""
    check_finite(structure)
    i, j = np.triu_indices(len(structure), 1)
    lengths = cdist(structure.positions, structure.positions)[i, j]
    pairs = np.sort(structure.numbers[np.stack([i, j], 1)], axis=1)
    return {tuple(pair): np.sort(lengths[(pairs == pair).all(1)]) for pair in np.unique(pairs, axis=0).tolist()}


def bodies(*structures, k, centre=None, cutoff=None, signed=False, tolerance=TOLERANCE):
    """The k-body histogram of each structure: a list of Counters, in which equal keys mean congruent simplices.

    A simplex is k atoms; with a centre (an index into every structure), that atom and k - 1 neighbours nearer than
    the cutoff.  Its key is (atomic numbers, lengths of the edges 01, 02, 12, 03, ..., sign): of all orders of its
    atoms, the centre staying first, the one whose key is least.  sign is 0, or, for signed 4 bodies, that of the
    triple product (r1 - r0) . (r2 - r0) x (r3 - r0), so that a simplex and its mirror image have different keys; it
    counts as 0 where it is below tolerance times the square of the longest edge.
    """
    _check(structures, tolerance)
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"a cluster has a whole number k of bodies, 1 or more; got {k!r}")
    if signed and k != 4:
        raise ValueError(f"4 bodies have a sign; got k={k} with signed=True")
    return [_histogram(s, D, k, _checked(centre, s), cutoff, tolerance if signed else None)
            for s, D in zip(structures, _lengths(structures, tolerance), strict=True)]


def colours(*structures, cutoff=None, rounds=None, tolerance=TOLERANCE):
    """Weisfeiler-Leman colours of the atoms: a list of (n,) int arrays, equal numbers meaning equal colours.

    At first an atom's colour is its species.  In each round it becomes what it was, together with the multiset of
    (distance, colour) of all other atoms, nearer than the cutoff if one is given.  After t rounds, equal colours
    cannot be told apart by any network of t layers that passes messages made of species and distances.
    rounds: how many; None: until no colour splits any more, that is for every number of layers.
    Source: Weisfeiler and Leman, Nauchno-Tekh. Inf. 2 (1968) 12; Pozdnyakov and Ceriotti, Mach. Learn.: Sci. Technol.
    3 (2022) 045020.
    """
    _check(structures, tolerance)
    if rounds is not None and (not isinstance(rounds, int) or rounds < 0):
        raise ValueError(f"rounds is a whole number, 0 or more, or None; got {rounds!r}")
    *_, last = islice(_refinements(structures, cutoff, tolerance), None if rounds is None else rounds + 1)
    return last


# --- how ------------------------------------------------------------------------------------------------------

def _check(structures, tolerance):
    check_finite(*structures)
    if not structures or not tolerance > 0:
        raise ValueError(f"there are one or more structures, and a tolerance above 0 in angstrom; got "
                         f"{len(structures)} and {tolerance!r}")


def _name(k, signed):
    return f"{'signed ' * signed}{k} bodies"


def _frozen(counter):
    return frozenset(counter.items())


def _checked(centre, structure):
    if centre is not None and not 0 <= centre < len(structure):
        raise ValueError(f"centre is the index of an atom, 0 to {len(structure) - 1}; got {centre}")
    return centre


def _lengths(structures, tolerance):
    """The distances (n,n) of each structure, those within the tolerance of one another replaced by the least."""
    exact = [cdist(s.positions, s.positions) for s in structures]
    values = np.unique(np.concatenate([D.ravel() for D in exact]))
    first = values[np.diff(values, prepend=-np.inf) > tolerance]
    return [first[np.searchsorted(first, D, side="right") - 1] for D in exact]


def _histogram(structure, D, k, centre, cutoff, volume_tolerance):
    others = [j for j in range(len(D)) if j != centre and (centre is None or cutoff is None or D[centre, j] < cutoff)]
    head = () if centre is None else (centre,)
    simplices = [(*head, *atoms) for atoms in combinations(others, k - len(head))]
    return Counter(_least_keys(structure, D, np.array(simplices, int).reshape(-1, k), len(head), volume_tolerance))


def _least_keys(structure, D, simplices, fixed, volume_tolerance):
    """The key of each simplex (m,k): the least of those of all orders (p) that leave the first `fixed` in place."""
    k = simplices.shape[1]
    orders = [(*range(fixed), *order) for order in permutations(range(fixed, k))]
    chosen = np.moveaxis(simplices[:, orders], 2, 0)                                     # (k,m,p)
    j, i = np.tril_indices(k, -1)                                                        # 01, 02, 12, 03, ...
    numbers, edges = structure.numbers[chosen], D[chosen[i], chosen[j]]
    hand = 0 if volume_tolerance is None else _handedness(structure.positions[simplices], volume_tolerance)
    signs = np.broadcast_to(np.reshape(hand, (-1, 1)) * [_parity(order) for order in orders], chosen.shape[1:])
    least = np.ones(chosen.shape[1:], bool)                    # those that are the least by all entries so far
    for entry in [*numbers, *edges, signs]:
        least &= entry == np.where(least, entry, np.inf).min(1, keepdims=True)
    m, p = np.arange(len(simplices)), least.argmax(1)
    rows = numbers[:, m, p].T.tolist(), edges[:, m, p].T.tolist(), signs[m, p].tolist()
    return [(tuple(z), tuple(lengths), sign) for z, lengths, sign in zip(*rows, strict=True)]


def _handedness(r, tolerance):
    """The signs (m,) of the triple products of r (m,4,3) as seen from the first point of each."""
    edges = r[:, 1:] - r[:, :1]
    volume = np.linalg.det(edges)
    return np.where(np.abs(volume) <= tolerance * (edges**2).sum(2).max(1), 0, np.sign(volume)).astype(int)


def _parity(order):
    """1 or -1 for an even or odd permutation: by the number of its inversions."""
    return (-1) ** sum(i > j for i, j in combinations(order, 2))


def _at_each_atom(structures, k, cutoff, signed, tolerance):
    check_finite(*structures)
    for s, D in zip(structures, _lengths(structures, tolerance), strict=True):
        yield [_histogram(s, D, k, i, cutoff, tolerance if signed else None) for i in range(len(s))]


def _refinements(structures, cutoff, tolerance):
    """Colours after 0, 1, 2, ... rounds, the last ones stable; all structures are coloured as one graph."""
    check_finite(*structures)
    found, lengths = [s.numbers for s in structures], _lengths(structures, tolerance)
    while True:
        yield found
        seen = [_seen(c, D, cutoff) for c, D in zip(found, lengths, strict=True)]
        names = {colour: i for i, colour in enumerate(sorted({colour for each in seen for colour in each}))}
        if len(names) == len(np.unique(np.concatenate(found))):
            return
        found = [np.array([names[colour] for colour in each]) for each in seen]


def _seen(colour, D, cutoff):
    """Of every atom its colour and the sorted (distance, colour) of its neighbours."""
    near = ~np.eye(len(D), dtype=bool) & (D < (np.inf if cutoff is None else cutoff))
    return [(int(colour[i]), tuple(sorted(zip(D[i, near[i]].tolist(), colour[near[i]].tolist(), strict=True))))
            for i in range(len(D))]


def _differ(colours, centre):
    one, other = colours
    return Counter(one.tolist()) != Counter(other.tolist()) if centre is None else one[centre] != other[centre]
