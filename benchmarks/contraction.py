"""The symmetric contraction, and a whole layer of MACE, forward and with all gradients, beside mace-torch.

Both sides form the same products of an atom's features with themselves, weighted by its species.  The peer is MACE's
`SymmetricContraction` in PyTorch, with gradients by autograd to features and weights.  Its couplings of degree nu
are chains of Clebsch-Gordan products as they come: some give the same polynomial, none is made orthonormal.  So

    V = X U,    W_ours = X^T W_theirs,    dW_theirs = X dW_ours

carry one side's weights and their gradient to the other, where V and U are the values of their polynomials and ours.

The layer is `RealAgnosticResidualInteractionBlock` and `EquivariantProductBasisBlock`, with our weights in its own
normalisation.  Both sides start from harmonics and radial basis.
"""

import dataclasses
import functools
import math

import numpy as np

from benchmarks.convolution import largest, liquid
from benchmarks.harness import Case, Work
from se3ref import models
from se3ref.nn import params as trees
from se3ref.nn.contraction import contract
from se3ref.nn.couplings import symmetric_couplings
from se3ref.so3 import Irrep, Irreps, flat_from_features

PEER, SPECIES = "mace-torch", 3
GATHERED = tuple(Irrep(l, (-1) ** l) for l in range(3))                 # 0e + 1o + 2e, as MACE has for lmax 2


def cases(compiled=False):
    """Forward, and forward with gradients; by atoms, channels, the most factors, outputs and precision."""
    sizes = [(n, 64, 3, "0e+1o", dtype) for n in (100, 1000) for dtype in ("float64", "float32")]
    sizes += [(1000, 64, 3, "0e", "float64"), (1000, 128, 3, "0e+1o", "float32"), (1000, 64, 2, "0e+1o", "float64")]
    products = [Case(kernel, f"{n} atoms, {c} channels, {nu} factors, to {out}, {dtype}", PEER,
                     functools.partial(contraction_beside_mace, kernel, n, c, nu, out, dtype))
                for n, c, nu, out, dtype in sizes for kernel in ("contraction", "contraction + gradients")]
    layers = [Case(kernel, f"500 atoms, 10k edges, 64 channels, 3 factors, {dtype}", PEER,
                   functools.partial(layer_beside_mace, kernel, 10_000, 64, 3, dtype))
              for dtype in ("float64", "float32") for kernel in ("MACE layer", "MACE layer + gradients")]
    return products + layers


# --- the contraction ------------------------------------------------------------------------------------------

def contraction_beside_mace(kernel, n, channels, nu_max, out, dtype):
    """Both sides; the answer is y, and with gradients dW and dA as well, for dy = y."""
    gradients, irreps_out = kernel.endswith("gradients"), [Irrep.parse(name) for name in out.split("+")]
    rng = np.random.default_rng(0)
    A = rng.standard_normal((n, 9, channels)).astype(dtype)
    z = rng.integers(SPECIES, size=n)
    theirs, weights, X = mace_side(A, z, irreps_out, nu_max, gradients)
    params = carried_over(weights, X, dtype)
    h, rows = _features(A), [np.flatnonzero(z == k) for k in range(SPECIES)]

    def ours():
        y, pull = contract(params, h, rows)
        return (y, *pull(y)) if gradients else (y,)

    def difference(a, b):
        found = [largest(_flat(a[0]), b[0])]
        if gradients:
            found += [largest(X[name][nu] @ dW, b[1][name][nu]) for name, own in a[1].items() for nu, dW in own.items()]
            found += [largest(np.concatenate([a[2][irrep] for irrep in GATHERED], axis=1), b[2].transpose(0, 2, 1))]
        return max(found)
    return Work(ours, theirs, difference, 100 * float(np.finfo(dtype).eps))                # sums of some 200 products


def mace_side(A, z, irreps_out, nu_max, gradients):
    """A function that returns (y, dW, dA) with dy = y; their weights and the matrices X, as {irrep: {nu: ...}}."""
    torch, o3 = _torch(A.dtype)
    from mace.modules.symmetric_contraction import SymmetricContraction
    c = A.shape[2]
    layer = SymmetricContraction(_irreps(o3, dict.fromkeys(GATHERED, c)), _irreps(o3, dict.fromkeys(irreps_out, c)),
                                 nu_max, num_elements=SPECIES)
    weights, X = basis(layer, irreps_out, nu_max)
    H = torch.tensor(np.ascontiguousarray(A.transpose(0, 2, 1)), requires_grad=True)
    one_hot = torch.eye(SPECIES)[torch.tensor(z)]

    def call():
        if not gradients:
            with torch.no_grad():
                return (layer(H, one_hot).numpy(),)
        y = layer(H, one_hot)
        leaves = [W for own in weights.values() for W in own.values()]
        dH, *dW = (g.numpy() for g in torch.autograd.grad(y, [H, *leaves], y.detach()))
        each = iter(dW)
        return y.detach().numpy(), {name: {nu: next(each) for nu in own} for name, own in weights.items()}, dH
    return call, weights, X


def basis(layer, irreps_out, nu_max):
    """Of their contraction, {irrep: {nu: weights}}, tensors of torch, and {irrep: {nu: X}}."""
    weights, X = {}, {}
    for irrep, part in zip(irreps_out, layer.contractions, strict=True):
        every = [*reversed(part.weights), part.weights_max]                              # from degree 1 up
        weights[str(irrep)] = {str(nu): every[nu - 1] for nu in range(1, nu_max + 1)}
        X[str(irrep)] = {str(nu): change_of_basis(part.U_tensors(nu).double().numpy(), irrep, nu)
                         for nu in range(1, nu_max + 1)}
    return weights, X


def carried_over(weights, X, dtype):
    """Our weights that do the same: X^T W."""
    return {name: {nu: (X[name][nu].T @ W.detach().double().numpy()).astype(dtype) for nu, W in own.items()}
            for name, own in weights.items()}


def change_of_basis(U, irrep, nu):
    """X (their paths, our paths) of V = X U, by least squares over the values at random points.

    U: their tensor (2L+1, 9, ..., 9, paths), the first axis missing for L = 0.
    Raises ValueError where theirs are no combinations of ours, or ours none of theirs.
    """
    points = np.random.default_rng(1).standard_normal((200, 9))
    theirs = np.stack([_at(U, a, nu) for a in points]).reshape(-1, U.shape[-1])
    paths = len(symmetric_couplings(GATHERED, irrep, nu))
    one_each = {str(irrep): {str(nu): np.eye(paths)[None]}}                       # path p alone, in channel p
    ours, _ = contract(one_each, _features(np.repeat(points[:, :, None], paths, axis=2)), [np.arange(len(points))])
    ours = ours[irrep].reshape(-1, paths)
    X = np.linalg.lstsq(ours, theirs)[0].T
    if largest(ours @ X.T, theirs) > 1e-6 or np.linalg.matrix_rank(X, rtol=1e-4) < paths:    # U may be float32
        raise ValueError(f"the polynomials of degree {nu} to {irrep} span different spaces here and in {PEER}")
    return X


def _at(U, a, nu):
    """Their polynomials at one point: every factor's axis meets a."""
    for _ in range(nu):
        U = np.tensordot(U, a, axes=(U.ndim - 2, 0))
    return U


# --- the layer ------------------------------------------------------------------------------------------------

def layer_beside_mace(kernel, edges, channels, nu_max, dtype):
    """Both sides; the answer is y, and with gradients dh, dB, dY, and <W, dW> of each part, for dy = y.

    <W, dW> does not depend on the basis of the weights: (X^T W) . dW = W . (X dW).
    """
    rng, gradients, graph = np.random.default_rng(0), kernel.endswith("gradients"), liquid(edges)
    graph = dataclasses.replace(graph, numbers=rng.integers(1, SPECIES + 1, graph.n_atoms)).cast(dtype)
    model = models.MACE(species=list(range(1, SPECIES + 1)), cutoff=graph.cutoff, channels=channels, layers=3,
                        hidden=(64, 64, 64), correlation=nu_max, irreps=f"{channels}x0e+{channels}x1o")
    come, go, terms = model._plan()[1]                                                  # the layer in the middle
    params = trees.cast(model.init(rng)["trunk"]["layer1"], dtype)
    h = {irrep: rng.standard_normal((graph.n_atoms, irrep.dim, c)).astype(dtype) for irrep, c in come.items()}
    B, Y = (rng.standard_normal((graph.n_edges, m)).astype(dtype) for m in (model.basis, 9))
    theirs, weights, params["products"] = mace_layer(model, (come, go, terms), params, (h, B, Y), graph, gradients)
    atoms = model._atoms(graph)

    def ours():
        y, pull = model._layer(params, h, B, Y, atoms, terms)
        return (y, *pull(y)) if gradients else (y,)

    def difference(a, b):
        found = [largest(_flat(a[0]), b[0])]
        if gradients:
            found += [largest(_flat(a[2]), b[2]), largest(a[3], b[3]), largest(a[4], b[4])]
            for part, dW in a[1].items():
                W, dW = trees.flatten(params[part]), trees.flatten(dW)
                found.append(abs(W @ dW - sum((w * dw).sum() for w, dw in zip(weights[part], b[1][part], strict=True)))
                             / (np.linalg.norm(W) * np.linalg.norm(dW)))
        return max(found)
    return Work(ours, theirs, difference, 100 * float(np.finfo(dtype).eps))


def mace_layer(model, plan, params, inputs, graph, gradients):
    """A function that returns (y, dW, dh, dB, dY) with dy = y; the W, {part: arrays}; our weights of its products."""
    (come, go, terms), (h, B, Y) = plan, inputs
    torch, o3 = _torch(B.dtype)
    from mace.modules.blocks import EquivariantProductBasisBlock, RealAgnosticResidualInteractionBlock
    gathered, species = _irreps(o3, dict.fromkeys(GATHERED, model.channels)), o3.Irreps(f"{SPECIES}x0e")
    first = RealAgnosticResidualInteractionBlock(
        species, _irreps(o3, come), o3.Irreps.spherical_harmonics(model.lmax), o3.Irreps(f"{model.basis}x0e"),
        gathered, _irreps(o3, go), avg_num_neighbors=math.sqrt(model.neighbors), radial_MLP=list(model.hidden))
    second = EquivariantProductBasisBlock(gathered, _irreps(o3, go), model.correlation, num_elements=SPECIES)
    parts = {"before": first.linear_up, "radial": first.conv_tp_weights, "after": first.linear,
             "products": second.symmetric_contractions, "mix": second.linear, "self": first.skip_tp}
    fill(parts, params, come, terms)
    inputs = [torch.tensor(x, requires_grad=True) for x in (_flat(h), Y, B)]
    one_hot = torch.eye(SPECIES)[torch.tensor(graph.numbers - 1)]
    edges = torch.tensor(np.stack([graph.senders, graph.receivers]))
    groups = {part: list(module.parameters()) for part, module in parts.items()}

    def call():
        if not gradients:
            with torch.no_grad():
                return (second(*first(one_hot, *inputs, edges), one_hot).numpy(),)
        y = second(*first(one_hot, *inputs, edges), one_hot)
        leaves = [W for own in groups.values() for W in own]
        dh, dY, dB, *dW = torch.autograd.grad(y, [*inputs, *leaves], y.detach())
        each = iter(dW)
        dW = {part: [next(each).numpy() for _ in own] for part, own in groups.items()}
        return y.detach().numpy(), dW, dh.numpy(), dB.numpy(), dY.numpy()
    weights = {part: [W.detach().numpy() for W in own] for part, own in groups.items()}
    return call, weights, carried_over(*basis(parts["products"], list(go), model.correlation), B.dtype)


def fill(parts, params, come, terms):
    """Our weights in their order and normalisation: they divide by the root of the fan-in at every call."""
    import torch

    def put(W, *arrays):
        W.data = torch.tensor(np.concatenate([x.ravel() for x in arrays])).reshape(W.shape)
    for part in ("before", "after", "mix"):
        put(parts[part].weight, *(W * math.sqrt(len(W)) for W in params[part].values()))
    put(parts["self"].weight, *(W.swapaxes(0, 1) * math.sqrt(SPECIES * W.shape[1]) for W in params["self"].values()))
    starts = np.cumsum([0, *(come[path.h] for path in terms)])
    order = sorted(range(len(terms)), key=lambda k: terms[k].y)                         # theirs is by the result
    columns = np.concatenate([np.arange(starts[k], starts[k + 1]) for k in order])
    gain = 1.0
    for W, layer in zip(params["radial"].values(), parts["radial"], strict=True):
        put(layer.weight, (W[:, columns] if layer.act is None else W) * (math.sqrt(len(W)) / gain))
        gain = layer.act.cst if layer.act is not None else 1.0                          # they scale their silu


# --- both -----------------------------------------------------------------------------------------------------

def _torch(dtype):
    """torch and e3nn.o3, ready to be measured."""
    import torch
    from e3nn import o3
    torch.set_num_threads(1)
    torch.set_default_dtype(getattr(torch, str(dtype)))
    torch.manual_seed(0)
    return torch, o3


def _irreps(o3, channels):
    return o3.Irreps([(c, (irrep.l, irrep.p)) for irrep, c in channels.items()])


def _features(A):
    """A (n,9,c) as features."""
    return dict(zip(GATHERED, np.split(A, [1, 4], axis=1), strict=True))


def _flat(h):
    """Features as e3nn's flat array."""
    return flat_from_features(Irreps([(x.shape[2], irrep) for irrep, x in h.items()]), h)
