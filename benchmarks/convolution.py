"""The equivariant convolution, forward and with all gradients, beside e3nn's tensor product and `index_add`.

The peer is what networks on e3nn run: `o3.TensorProduct` ("uvu", weights for each edge) on gathered features, summed
over the receivers; gradients by autograd to features, harmonics and weights.  The torch arrays are e3nn's flat ones,
made beforehand.  For l > 3 ours is the form that turns each edge to the axis, and both sides start from edge vectors.
"""

import functools

import numpy as np

from benchmarks.harness import Case, Work
from se3ref.nn.convolution import convolve, paths, weight_count
from se3ref.nn.rotated import convolve_rotated
from se3ref.so3 import Irrep, Irreps, flat_from_features, spherical_harmonics
from se3ref.so3.harmonics import spherical_harmonics_and_pull
from se3ref.systems import Structure, neighbor_graph

EAGER, COMPILED = "e3nn", "e3nn, torch.compile"


def cases(compiled=False):
    """Forward, and forward with gradients; by precision, degree and peer."""
    every = []
    for peer in (EAGER, COMPILED) if compiled else (EAGER,):
        for dtype in ("float64", "float32"):
            for kernel, target in (("convolution", 0.10), ("convolution + gradients", 0.12)):
                setup = functools.partial(beside_e3nn, kernel, 10_000, 32, 2, dtype, peer)
                every.append(Case(kernel, f"l <= 2, 32 channels, 10k edges, {dtype}", peer, setup, target))
    for lmax in (4, 6):
        for kernel in ("convolution", "convolution + gradients"):
            setup = functools.partial(beside_e3nn, kernel, 2_000, 32, lmax, "float64", EAGER)
            every.append(Case(kernel, f"l <= {lmax}, 32 channels, 2k edges, rotated", EAGER, setup, 0.05))
    return every


def liquid(edges, neighbours=20):
    """A graph of about so many edges: atoms at random in a periodic cell, some 20 neighbours each."""
    n, cutoff = max(2, edges // neighbours), 4.0
    box = (n * 4 / 3 * np.pi * cutoff**3 / neighbours) ** (1 / 3)
    m = int(np.ceil(n ** (1 / 3)))
    rng = np.random.default_rng(edges)
    sites = np.array(list(np.ndindex(m, m, m)))[rng.permutation(m**3)[:n]]
    positions = (sites + rng.uniform(-0.2, 0.2, (n, 3))) * (box / m)
    return neighbor_graph(Structure(np.ones(n, int), positions, box * np.eye(3), True), cutoff)


def arguments(edges, channels, lmax, dtype):
    """terms, w, h, graph: every path between features of natural parity to lmax."""
    rng, graph = np.random.default_rng(0), liquid(edges)
    irreps = tuple(Irrep(l, (-1) ** l) for l in range(lmax + 1))
    terms = paths(irreps, lmax, irreps)
    h = {irrep: rng.standard_normal((graph.n_atoms, irrep.dim, channels)).astype(dtype) for irrep in irreps}
    w = rng.standard_normal((graph.n_edges, weight_count(terms, dict.fromkeys(irreps, channels)))).astype(dtype)
    return terms, w, h, graph


def beside_e3nn(kernel, edges, channels, lmax, dtype, peer):
    """Both sides; the answer is y, and with gradients dw and the gradient to the edge directions as well."""
    terms, w, h, graph = arguments(edges, channels, lmax, dtype)
    vec = graph.vec.astype(dtype)
    gradients, from_vectors = kernel.endswith("gradients"), lmax > 3
    theirs, order = e3nn_side(terms, w, h, vec, graph, gradients, from_vectors, peer == COMPILED)
    Y = spherical_harmonics(lmax, vec)

    def ours():
        y, pull = convolve_rotated(terms, w, h, vec, graph) if from_vectors else convolve(terms, w, h, Y, graph)
        return (y, *pull(y)) if gradients else (y,)

    def difference(a, b):
        y = np.concatenate([flat_from_features(Irreps([(a[0][irrep].shape[2], irrep)]), {irrep: a[0][irrep]})
                            for irrep in sorted(a[0])], axis=1)
        found = [largest(y, b[0][:, order])]
        if gradients:
            found += [largest(a[1], b[1]), largest(a[3], b[3])]
        return max(found)
    return Work(ours, theirs, difference, tolerance=1e-11 if dtype == "float64" else 1e-4)


def e3nn_side(terms, w, h, vec, graph, gradients, from_vectors, compiled):
    """A function that returns (y, dw, dh, dY or dvec) with dy = y, and the columns of y in our order."""
    import torch
    from e3nn import o3
    torch.set_num_threads(1)
    torch.set_default_dtype(getattr(torch, str(vec.dtype)))
    irreps, places = list(h), {irrep: i for i, irrep in enumerate(h)}
    c, lmax = next(iter(h.values())).shape[2], max(irrep.l for irrep in h)
    out = o3.Irreps([(c, (path.y.l, path.y.p)) for path in terms])
    product = o3.TensorProduct(o3.Irreps([(c, (i.l, i.p)) for i in irreps]), o3.Irreps.spherical_harmonics(lmax), out,
                               [(places[p.h], p.l, k, "uvu", True) for k, p in enumerate(terms)],
                               shared_weights=False, internal_weights=False)
    order = np.concatenate([np.arange(out.dim)[out.slices()[k]]
                            for k in sorted(range(len(terms)), key=lambda k: terms[k].y)])
    flat = flat_from_features(Irreps([(c, irrep) for irrep in irreps]), h)
    H, W, V = (torch.tensor(x, requires_grad=True) for x in (flat, w, vec))
    Y = o3.spherical_harmonics(list(range(lmax + 1)), V, True, "component").detach().requires_grad_()
    senders, receivers = torch.tensor(graph.senders), torch.tensor(graph.receivers)

    def forward(H, Y, W):
        messages = product(H[senders], Y, W)
        return torch.zeros(graph.n_atoms, messages.shape[1]).index_add(0, receivers, messages)
    if compiled:
        forward = torch.compile(forward)

    def call():
        Z = o3.spherical_harmonics(list(range(lmax + 1)), V, True, "component") if from_vectors else Y
        if not gradients:
            with torch.no_grad():
                return (forward(H, Z, W).numpy(),)
        y = forward(H, Z, W)
        dW, dH, dY = torch.autograd.grad(y, [W, H, V if from_vectors else Y], y.detach())
        return y.detach().numpy(), dW.numpy(), dH.numpy(), dY.numpy()
    return call, order


def largest(a, b):
    """The largest difference, relative to the largest entry."""
    return float(np.abs(a - b).max() / np.abs(b).max())


def with_harmonics(terms, w, h, vec, graph, lmax):
    """`convolve` from edge vectors, harmonics and their pullback included: what `convolve_rotated` replaces."""
    Y, pull_Y = spherical_harmonics_and_pull(lmax, vec)
    y, pull = convolve(terms, w, h, Y, graph)
    dw, dh, dY = pull(y)
    return y, dw, dh, pull_Y(dY)
