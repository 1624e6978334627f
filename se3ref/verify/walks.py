r"""Colours by walks: what an atom can learn where directions are coupled along the edges of a graph, and nowhere else.

In a tensor-field convolution the message to i from j is Y(r_ij) coupled with what j has: its own messages coupled
with theirs.  So a tensor at i is a sum over walks  i <- j <- k <- ...  of at most as many steps as there are layers,
of a coupling of the directions of the steps, with weights that depend on their lengths and on scalars at the atoms.
Its scalars are therefore a function of the multiset of walks that end at i, each known by its shape, that is by the
inner products of its steps (and, where handedness counts, by the signs of their triple products), and by what is
already known of its atoms.  What two walks to the same atom say is added, never multiplied: gates are made of scalars.
A norm of tensors would multiply them.
"""

from itertools import combinations

import numpy as np

from se3ref.systems import neighbor_graph

TOLERANCE = 1e-6                # angstrom^2 for products of two steps; signs count from here on, in angstrom^3


def walk_colours(*structures, cutoff, layers, handed=False):
    """Colours of the atoms after so many layers: a list of (n,) int arrays, equal numbers meaning equal colours.

    handed: the signs of triple products count.
    Equal colours cannot be told apart by any network of so many layers that couples directions along edges only,
    with nonlinear functions of scalars at each atom: the analogue of `colours`, which passes distances only.
    An atom with g neighbours ends g^layers walks: for molecules, and few layers.
    """
    if not structures or layers < 0:
        raise ValueError(f"walks need structures and 0 or more layers; got {len(structures)} and {layers}")
    graphs = [neighbor_graph(s, cutoff) for s in structures]
    atoms = [g.numbers for g in graphs]
    for layer in range(layers):
        walks = [_walks(g, layer + 1) for g in graphs]
        ends = [[g.receivers[w[:, 0]] for w in each] for each, g in zip(walks, graphs, strict=True)]
        atoms = _refined(atoms, _coloured(graphs, walks, atoms, handed), ends)
    return atoms


def _walks(graph, steps):
    """The walks of 1 to `steps` steps as arrays of edges (walks, length), the last step, into the end, first."""
    first = np.searchsorted(graph.receivers, np.arange(graph.n_atoms + 1))               # edges come by receiver
    walks = [np.arange(graph.n_edges)[:, None]]
    for _ in range(steps - 1):
        at = graph.senders[walks[-1][:, -1]]                   # where the walks begin so far: every edge that enters
        count = first[at + 1] - first[at]
        edge = np.repeat(first[at], count) + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        walks.append(np.concatenate([np.repeat(walks[-1], count, axis=0), edge[:, None]], axis=1))
    return walks


def _coloured(graphs, walks, atoms, handed):
    """For every length of walk, the colours of its walks in each structure: by shape and atoms."""
    found = []
    for each in zip(*walks, strict=True):                      # walks of one length, of each structure
        shapes = _labels([_shape(g.vec[w], handed) for g, w in zip(graphs, each, strict=True)])
        rows = [np.concatenate([shape, c[g.receivers[w]], c[g.senders[w[:, -1:]]]], axis=1)
                for g, w, c, shape in zip(graphs, each, atoms, shapes, strict=True)]
        found.append(_numbered(rows))
    return list(zip(*found, strict=True))


def _shape(steps, handed):
    """Inner products and, if `handed`, signs of triple products of steps (walks,length,3): (walks, numbers)."""
    length = steps.shape[1]
    products = [(steps[:, i] * steps[:, j]).sum(1) for i in range(length) for j in range(i + 1)]
    if handed:
        triples = [np.linalg.det(steps[:, list(t)]) for t in combinations(range(length), 3)]
        products += [np.sign(x) * (np.abs(x) > TOLERANCE) for x in triples]
    return np.stack(products, axis=1)


def _labels(numbers):
    """Arrays of numbers as integers: those within the tolerance of one another, in any of the arrays, get the same."""
    values = np.unique(np.concatenate([x.ravel() for x in numbers]))
    first = values[np.diff(values, prepend=-np.inf) > TOLERANCE]
    return [np.searchsorted(first, x, side="right") for x in numbers]


def _numbered(rows):
    """Each row of integers as one integer, the same for equal rows in all arrays."""
    _, inverse = np.unique(np.concatenate(rows), axis=0, return_inverse=True)
    return np.split(inverse.ravel(), np.cumsum([len(r) for r in rows])[:-1])


def _refined(old, seen, ends):
    """New colours: the old one and, for every length, the sorted colours of the walks that end there."""
    keys = []
    for colours, walks, at in zip(old, seen, ends, strict=True):
        own = [[int(c)] for c in colours]
        for colour, end in zip(walks, at, strict=True):
            order = np.lexsort((colour, end))
            for part in np.split(order, np.flatnonzero(np.diff(end[order])) + 1):
                if len(part):
                    own[end[part[0]]].append(tuple(colour[part].tolist()))
        keys.append([tuple(each) for each in own])
    names = {key: k for k, key in enumerate(sorted({key for each in keys for key in each}, key=repr))}
    return [np.array([names[key] for key in each]) for each in keys]
