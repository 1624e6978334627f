"""One training step on energies and forces: the same NequIP with the same parameters, here and in e3nn on torch.

The peer is built of e3nn's own parts: `o3.Linear`, `o3.TensorProduct` and `index_add` for the convolution,
`o3.FullyConnectedTensorProduct` for the self-connection, `o3.spherical_harmonics`; the gate is plain torch, which is
faster than e3nn's.  Its forces are autograd's, and its loss goes backwards through them.  Both sides hold the
gradient of the same loss; the step of the optimiser is in neither.  Single precision, as one trains.
"""

import functools
import math

import numpy as np

from benchmarks.harness import Case, Work
from se3ref import models, training
from se3ref.nn import params as trees
from se3ref.so3 import Irrep
from se3ref.systems import Structure, datasets, join, neighbor_graph

CUTOFF = 5.0
WEIGHTS = {"energy": 9.0, "forces": 10.0}


def cases(compiled=False):
    """Ten molecules, and one crystal of 216 atoms."""
    return [Case("training step", size, "e3nn", functools.partial(beside_e3nn, make, channels), 0.35)
            for size, make, channels in (("10 ethanol, 16 channels", ten_ethanol, 16),
                                         ("216 atoms, 16 channels", crystal, 16))]


def ten_ethanol():
    """A batch as one trains on: 90 atoms, 712 edges."""
    frames = datasets.load("ethanol")[:10]
    data = training.Dataset.from_frames(frames)
    graph, targets = data.batch(range(10), CUTOFF)
    targets["energy"] = targets["energy"] - frames.energies.mean()
    return graph, targets


def crystal():
    """A disordered cubic lattice of 216 atoms in a periodic cell: some 20 neighbours each."""
    rng = np.random.default_rng(0)
    places = np.array(list(np.ndindex(6, 6, 6))) * 2.9 + 0.3 * rng.standard_normal((216, 3))
    structure = Structure(rng.choice([1, 6, 8], 216), places, 6 * 2.9 * np.eye(3), True)
    return (join([neighbor_graph(structure, CUTOFF)]),
            {"energy": np.zeros(1), "forces": rng.standard_normal((216, 3))})


def beside_e3nn(make, channels):
    """Both gradients, as flat vectors in the order of our parameters."""
    import torch
    torch.set_num_threads(1)
    graph, targets = make()
    model = models.NequIP(species=[1, 6, 8], cutoff=CUTOFF, channels=channels, lmax=2, layers=3)
    params = trees.cast(model.init(np.random.default_rng(0)), np.float32)
    theirs = E3nnStep(model, params, graph, targets)

    def ours():
        return trees.flatten(training.loss_and_gradient(model, params, graph, targets, WEIGHTS)[1])
    size = float(np.abs(ours()).max())
    return Work(ours, theirs, lambda a, b: float(np.abs(a - b).max()) / size, 1e-4)


class E3nnStep:
    """The gradient of the loss by torch's autograd, for parameters that are ours."""

    def __init__(self, model, params, graph, targets):
        import torch
        from e3nn import o3
        self.torch, self.o3, self.model, self.tree = torch, o3, model, params
        torch.set_default_dtype(torch.float32)
        self.leaves = {name: torch.tensor(array, requires_grad=True) for name, array in trees.leaves(params)}
        self.graph = {name: torch.tensor(getattr(graph, name)) for name in ("senders", "receivers", "structure")}
        self.positions = torch.tensor(graph.positions, dtype=torch.float32)
        self.shifts = torch.tensor(graph.vec - (graph.positions[graph.senders] - graph.positions[graph.receivers]),
                                   dtype=torch.float32)
        self.one_hot = torch.tensor(graph.numbers[:, None] == np.array(model.species), dtype=torch.float32)
        self.targets = {name: torch.tensor(value, dtype=torch.float32) for name, value in targets.items()}
        self.sizes = torch.bincount(self.graph["structure"]).to(torch.float32)
        self.layers = [self._layer(k, *plan) for k, plan in enumerate(model._plan())]

    def _irreps(self, channels):
        return self.o3.Irreps([(c, (irrep.l, irrep.p)) for irrep, c in channels.items()])

    def _layer(self, k, come, go, terms):
        """The e3nn modules of one layer; their weights are given with every call."""
        o3, names = self.o3, self.tree["trunk"][f"layer{k}"]
        harmonics = o3.Irreps.spherical_harmonics(self.model.lmax)
        places = {irrep: i for i, irrep in enumerate(come)}
        convolution = o3.TensorProduct(
            self._irreps(come), harmonics, o3.Irreps([(come[p.h], (p.y.l, p.y.p)) for p in terms]),
            [(places[p.h], p.l, i, "uvu", True) for i, p in enumerate(terms)], shared_weights=False,
            internal_weights=False)
        order = sorted(range(len(terms)), key=lambda i: terms[i].y)
        gathered = {}
        for p in terms:
            gathered[p.y] = gathered.get(p.y, 0) + come[p.h]
        wanted = {Irrep.parse(name): W.shape[-1] for name, W in names["after"].items()}
        options = dict(shared_weights=True, internal_weights=False)
        own = {irrep: wanted[irrep] for irrep in wanted if str(irrep) in names["self"]}
        return {"channels": go, "convolution": convolution, "order": order,
                "before": o3.Linear(self._irreps(come), self._irreps(come), **options),
                "after": o3.Linear(self._irreps(dict(sorted(gathered.items()))), self._irreps(wanted), **options),
                "self": o3.FullyConnectedTensorProduct(self._irreps(come), f"{len(self.model.species)}x0e",
                                                       self._irreps(wanted), **options),
                "own": own, "wanted": wanted}

    def _weights(self, k, part, channels):
        """Ours, scaled by the root of the fan-in that e3nn divides by, as its flat vector."""
        return self.torch.cat([(self.leaves[f"trunk/layer{k}/{part}/{irrep}"] * math.sqrt(c)).reshape(-1)
                               for irrep, c in channels])

    def _mlp(self, name, x):
        silu, k = self.torch.nn.functional.silu, 0
        while f"{name}/{k}" in self.leaves:
            x = (silu(x) if k else x) @ self.leaves[f"{name}/{k}"]
            k += 1
        return x

    def _basis(self, r):
        torch, x = self.torch, r / CUTOFF
        u = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
        k = torch.arange(1, self.model.basis + 1, dtype=r.dtype)
        return math.sqrt(2 / CUTOFF) * torch.sin(k * math.pi * x[:, None]) / r[:, None] * u[:, None]

    def energies(self, positions):
        """E of each structure."""
        torch, g = self.torch, self.graph
        vec = positions[g["senders"]] - positions[g["receivers"]] + self.shifts
        Y = self.o3.spherical_harmonics(list(range(self.model.lmax + 1)), vec, True, "component")
        B = self._basis(vec.norm(dim=1))
        h = self.one_hot @ self.leaves["trunk/embedding"]
        for k, layer in enumerate(self.layers):
            h = self._apply(k, layer, h, B, Y)
        e = self._mlp("heads/energy/mlp", h)[:, 0]
        e = (self.one_hot @ self.leaves["heads/energy/scale"]) * e + self.one_hot @ self.leaves["heads/energy/shift"]
        return torch.zeros(len(self.sizes)).index_add(0, g["structure"], e)

    def _apply(self, k, layer, h, B, Y):
        torch, g, come = self.torch, self.graph, self.model._plan()[k][0]
        a = layer["before"](h, self._weights(k, "before", come.items()))
        m = layer["convolution"](a[g["senders"]], Y, self._mlp(f"trunk/layer{k}/radial", B))
        parts = [m[:, s] for s in layer["convolution"].irreps_out.slices()]
        m = torch.cat([parts[i] for i in layer["order"]], dim=1)
        m = torch.zeros(len(h), m.shape[1]).index_add(0, g["receivers"], m)
        gathered = [(ir, c) for c, ir in layer["after"].irreps_in]
        x = layer["after"](m, self._weights(k, "after", [(Irrep(ir.l, ir.p), c) for ir, c in gathered]))
        S = len(self.model.species)
        own = torch.cat([(self.leaves[f"trunk/layer{k}/self/{irrep}"].permute(1, 0, 2) * math.sqrt(come[irrep] * S)
                          ).reshape(-1) for irrep in layer["own"]])
        x = x / math.sqrt(self.model.neighbors) + layer["self"](h, self.one_hot, own)
        return self._gate(layer, x)

    def _gate(self, layer, x):
        """silu on scalars, sigmoids of the last scalars on the rest."""
        torch, out = self.torch, []
        kept = layer["channels"][Irrep(0, 1)]
        start = sum(c * irrep.dim for irrep, c in layer["wanted"].items() if irrep.l == 0)
        out.append(torch.nn.functional.silu(x[:, :kept]))
        gates, used = torch.sigmoid(x[:, kept:start]), 0
        for irrep, c in layer["wanted"].items():
            if irrep.l:
                tensor = x[:, start:start + c * irrep.dim].reshape(-1, c, irrep.dim)
                out.append((tensor * gates[:, used:used + c, None]).reshape(len(x), -1))
                start, used = start + c * irrep.dim, used + c
        return torch.cat(out, dim=1)

    def __call__(self):
        torch = self.torch
        positions = self.positions.clone().requires_grad_()
        E = self.energies(positions)
        F = -torch.autograd.grad(E.sum(), positions, create_graph=True)[0]
        loss = (WEIGHTS["energy"] * (((E - self.targets["energy"]) / self.sizes) ** 2).mean()
                + WEIGHTS["forces"] * ((F - self.targets["forces"]) ** 2).mean())
        grads = torch.autograd.grad(loss, list(self.leaves.values()), allow_unused=True)
        return np.concatenate([np.zeros(leaf.shape).ravel() if grad is None else grad.numpy().ravel()
                               for leaf, grad in zip(self.leaves.values(), grads, strict=True)])
