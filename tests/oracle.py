r"""The models once more, written with the tape from the equations in their docstrings: an oracle for the library.

Shared with the library are the parameters, who is whose neighbour (receivers, senders, shifts) and the couplings.
Nothing here calls a layer or a pullback of se3ref: harmonics are polynomials, sums over neighbours `put`, and every
derivative is the tape's.
"""

import math
from types import SimpleNamespace

import numpy as np
import tape
from tape import Var, concatenate, einsum, put, silu, sin, sqrt, tanh, total, var

from se3ref.nn.couplings import monomials, symmetric_couplings
from se3ref.so3 import Irrep, clebsch_gordan

EYE = np.eye(3)


# --- the loss -------------------------------------------------------------------------------------------------

def loss_and_gradient(model, params, graph, targets, weights):
    """What se3ref.training.loss_and_gradient returns, by reverse over reverse."""
    flat = {path: Var(x) for path, x in _leaves(params)}
    loss = sum(weights[name] * term for name, term in _terms(model, flat, graph, targets).items())
    return float(loss.value), _gradient(loss, flat)


def gradients_of_terms(model, params, graph, targets):
    """The gradient of each term of the loss by itself, with weight 1, all from one prediction: {name: tree}."""
    flat = {path: Var(x) for path, x in _leaves(params)}
    return {name: _gradient(term, flat) for name, term in _terms(model, flat, graph, targets).items()}


def _terms(model, flat, graph, targets):
    """The mean square error of each target; of energies, that for each atom."""
    said, sizes = predict(model, _tree(flat), graph), np.bincount(graph.structure).astype(float)
    errors = {name: (said[name] - target) / (sizes if name == "energy" else 1.0) for name, target in targets.items()}
    return {name: total(d * d) / targets[name].size for name, d in errors.items()}


def _gradient(loss, flat):
    grads = tape.grad(loss, list(flat.values()))
    return _tree(dict(zip(flat, (g.value for g in grads), strict=True)))


def predict(model, params, graph):
    """energy (s,), forces (n,3), stress (s,3,3) where there are cells, and what other heads say: sums over atoms."""
    params = _tree({path: var(x) for path, x in _leaves(params)})
    r, strain = Var(graph.positions), Var(np.zeros((graph.n_structures, 3, 3)))
    outputs = OUTPUTS[type(model).__name__](model, params, surroundings(graph, r, strain), model.heads)
    energy = put(outputs["energies"], graph.structure, (graph.n_structures,))
    dr, dstrain = tape.grad(total(energy), [r, strain])
    said = {"energy": energy, "forces": -dr}
    volume = np.abs(np.linalg.det(graph.cell))
    if volume.all():
        said["stress"] = dstrain / volume[:, None, None]
    for name in set(outputs) - {"energies"}:
        said[name] = put(outputs[name], graph.structure, (graph.n_structures, *outputs[name].shape[1:]))
    return said


def surroundings(graph, r, strain):
    """What a model needs, of positions r (n,3) in space strained by (s,3,3), as attributes."""
    i, j, s = graph.receivers, graph.senders, graph.structure
    stretch = EYE + strain                                     # (s,3,3)
    vec = r[j] - r[i] + einsum("ek,eka->ea", graph.shifts.astype(float), graph.cell[s[i]])
    vec = einsum("eab,eb->ea", stretch[s[i]], vec)
    length = sqrt(total(vec * vec, 1))

    def gather(x):
        """The sum over the edges that arrive at each atom."""
        return put(x, i, (graph.n_atoms, *x.shape[1:]))
    return SimpleNamespace(i=i, j=j, s=s, vec=vec, r=length, u=vec / tape.reshape(length, (-1, 1)), gather=gather,
                           places=einsum("nab,nb->na", stretch[s], r), n=graph.n_atoms, numbers=graph.numbers,
                           charge=(graph.charge / np.bincount(s))[s], sizes=np.bincount(s))


# --- parts ----------------------------------------------------------------------------------------------------

def mlp(params, x):
    for k in range(len(params)):
        x = x @ params[str(k)]
        if k < len(params) - 1:
            x = silu(x)
    return x


def envelope(r, cutoff):
    """Equation (1) of nn/radial.py with p = 6:  1 - 28 x^6 + 48 x^7 - 21 x^8."""
    x = r / cutoff
    x3 = x * x * x
    return 1 - x3 * x3 * (28 - 48 * x + 21 * x * x)


def basis(r, cutoff, count):
    """Bessel functions times the envelope, (e,count)."""
    k = np.arange(1, count + 1) * (math.pi / cutoff)
    r = tape.reshape(r, (-1, 1))
    return math.sqrt(2 / cutoff) * sin(r * k) / r * envelope(r, cutoff)


def harmonics(u):
    """Degrees 0 to 2 of unit vectors, component normalisation: a list of (e,2l+1)."""
    x, y, z = u[:, 0:1], u[:, 1:2], u[:, 2:3]
    d = [math.sqrt(3) * x * z, math.sqrt(3) * x * y, y * y - 0.5 * (x * x + z * z), math.sqrt(3) * y * z,
         0.5 * math.sqrt(3) * (z * z - x * x)]
    return [Var(np.ones((u.shape[0], 1))), math.sqrt(3) * u, math.sqrt(5) * concatenate(d, 1)]


def of_species(model, table, near):
    """The row of each atom's species."""
    return table[np.array([model.species.index(z) for z in near.numbers])]


def heads(model, params, near, features, names):
    """energies (n,), and each atom's part of other outputs, (n,) or (n,3); features by name: {"0e": (n,1,c), ...}."""
    def invariant(p):
        return mlp(p["mlp"], features["0e"][:, 0])[:, 0]
    energy = params["energy"]
    out = {"energies": of_species(model, energy["scale"], near) * invariant(energy)
           + of_species(model, energy["shift"], near)}
    if "dipole" in names:
        x = invariant(params["dipole"])
        mean = put(x, near.s, (len(near.sizes),)) / near.sizes
        q = tape.reshape(x - mean[near.s] + near.charge, (-1, 1))
        out["dipole"] = q * near.places
        if "vector" in params["dipole"]:
            vector = features["1o" if model.group == "O(3)" else "1e"]
            out["dipole"] = out["dipole"] + (vector @ params["dipole"]["vector"])[:, :, 0]
    for name, irrep in (("pseudoscalar", "0o"), ("vector", "1o"), ("pseudovector", "1e")):
        if name in names:
            part = (features[irrep if model.group == "O(3)" else f"{irrep[0]}e"] @ params[name][name])[:, :, 0]
            out[name] = part if part.shape[1] > 1 else part[:, 0]
    return out


# --- models ---------------------------------------------------------------------------------------------------

def messages(h, w, Y, near, model, wanted):
    """Equation (1) of nn/convolution.py before the sum: {irrep: [C . (Y_ij (x) (w_ij * h_j)) (e,2l+1,c), by path]}."""
    out, start = {}, 0
    for (l1, p1), x in sorted(h.items()):
        for l2 in range(model.lmax + 1):
            p = p1 * (-1) ** l2 if model.group == "O(3)" else 1
            for l3 in range(abs(l1 - l2), l1 + l2 + 1):
                if (l3, p) in wanted:
                    C, own = clebsch_gordan(l2, l1, l3), w[:, start:start + x.shape[2]]
                    out.setdefault((l3, p), []).append(einsum("abm,ea,ec,ebc->emc", C, Y[l2], own, x[near.j]))
                    start += x.shape[2]
    assert start == w.shape[1]
    return out


def linear(params, h):
    return {t: x @ params[_name(t)] for t, x in h.items() if _name(t) in params}


def add_self(model, params, y, h, near):
    """y_i + h_i W, W by species."""
    y = dict(y)
    for t, x in h.items():
        if _name(t) in params:
            own = einsum("nmc,ncd->nmd", x, of_species(model, params[_name(t)], near))
            y[t] = y[t] + own if t in y else own
    return y


def nequip(model, params, near, names):
    """Convolution, gate, self-interaction by species: the three lines of models/nequip.py."""
    trunk, B, Y = params["trunk"], basis(near.r, model.cutoff, model.basis), harmonics(near.u)
    h = {(0, 1): tape.reshape(of_species(model, trunk["embedding"], near), (near.n, 1, -1))}
    for k in range(model.layers):
        layer = trunk[f"layer{k}"]
        wanted = {_irrep(name) for name in (*layer["after"], *layer["self"])}
        m = messages(linear(layer["before"], h), mlp(layer["radial"], B), Y, near, model, wanted)
        m = {t: near.gather(concatenate(parts, 2)) for t, parts in m.items()}
        y = {t: x / math.sqrt(model.neighbors) for t, x in linear(layer["after"], m).items()}
        h = gate(add_self(model, layer["self"], y, h, near))
    return heads(model, params["heads"], near, {_name(t): x for t, x in h.items()}, names)


def mace(model, params, near, names):
    """The three lines of models/mace.py; products of features as they stand in the monomials, one by one."""
    trunk, B, Y = params["trunk"], basis(near.r, model.cutoff, model.basis), harmonics(near.u)
    h = {(0, 1): tape.reshape(of_species(model, trunk["embedding"], near), (near.n, 1, -1))}
    for k in range(model.layers):
        p = trunk[f"layer{k}"]
        m = messages(linear(p["before"], h), mlp(p["radial"], B), Y, near, model, {_irrep(name) for name in p["after"]})
        m = {t: near.gather(concatenate(parts, 2)) for t, parts in m.items()}
        A = {t: x / math.sqrt(model.neighbors) for t, x in linear(p["after"], m).items()}
        x = linear(p["mix"], products(model, p["products"], A, near))
        h = add_self(model, p["self"], x, h, near)
    return heads(model, params["heads"], near, {_name(t): x for t, x in h.items()}, names)


def products(model, params, A, near):
    """Equation (1) of nn/contraction.py."""
    row, out = concatenate([A[t] for t in sorted(A)], 1), {}
    for name, own in params.items():
        for nu, W in own.items():
            U = symmetric_couplings(tuple(Irrep(*t) for t in sorted(A)), Irrep.parse(name), int(nu))
            P = 1.0
            for a in monomials(row.shape[1], int(nu)).T:
                P = P * row[:, a]                                                    # (n, monomials, c)
            y = einsum("pMk,npc,nkc->nMc", U, of_species(model, W, near), P)
            out[_irrep(name)] = out.get(_irrep(name), 0.0) + y
    return out


def se3_transformer(model, params, near, names):
    """The lines of models/se3_transformer.py; keys and values are built, the softmax is written out."""
    trunk, B, Y = params["trunk"], basis(near.r, model.cutoff, model.basis), harmonics(near.u)
    u = tape.reshape(envelope(near.r, model.cutoff), (-1, 1))
    h = {(0, 1): tape.reshape(of_species(model, trunk["embedding"], near), (near.n, 1, -1))}
    for k in range(model.layers):
        p = trunk[f"layer{k}"]
        x = {t: layer_norm(p["norm"][_name(t)], y) for t, y in h.items()}
        q, keys = linear(p["query"], x), linear(p["key"], {(0, 1): x[0, 1]})
        w, split = mlp(p["radial"], B), model.channels * len(q)                      # a key of each degree of q
        keys = messages(keys, w[:, :split], Y, near, model, set(q))
        s = 0.0
        for t, parts in keys.items():
            product = total(q[t][near.i] * concatenate(parts, 2), 1)                 # (e, channels)
            s = s + total(tape.reshape(product, (len(near.i), model.attention_heads, -1)), 2)
        e = u * tape.exp(s)
        a = e / near.gather(e)[near.i]
        wanted = {_irrep(name) for name in (*p["after"], *p["self"])}
        values = messages(linear(p["value"], x), w[:, split:], Y, near, model, wanted)
        values = {t: concatenate([attended(a, part) for part in parts], 2) for t, parts in values.items()}
        y = linear(p["after"], {t: math.sqrt(model.neighbors) * near.gather(v) for t, v in values.items()})
        h = gate(add_self(model, p["self"], y, x, near))
    return heads(model, params["heads"], near, {_name(t): x for t, x in h.items()}, names)


def attended(a, v):
    """a (e,heads) on the channels of its head, v (e,m,c)."""
    heads = a.shape[1]
    split = tape.reshape(v, (*v.shape[:2], heads, v.shape[2] // heads))
    return tape.reshape(einsum("eh,emhc->emhc", a, split), v.shape)


def layer_norm(params, x):
    """x / sqrt(sum_mc x^2 / c + 1e-6), scaled; scalars without their mean, and with an offset."""
    if "offset" in params:
        x = x - tape.reshape(total(x, 2), (*x.shape[:2], 1)) / x.shape[2]
    rms = sqrt(total(total(x * x, 2), 1) / x.shape[2] + 1e-6)
    y = params["scale"] * (x / tape.reshape(rms, (-1, 1, 1)))
    return y + params["offset"] if "offset" in params else y


def gate(y):
    """silu of scalars, tanh of pseudoscalars, tensors times sigmoids of the last scalars."""
    tensors = [t for t in sorted(y) if t[0] > 0]
    kept = y[0, 1].shape[2] - sum(y[t].shape[2] for t in tensors)
    out, at = {(0, 1): silu(y[0, 1][:, :, :kept])}, kept
    if (0, -1) in y:
        out[0, -1] = tanh(y[0, -1])
    for t in tensors:
        out[t] = tape.sigmoid(y[0, 1][:, :, at:at + y[t].shape[2]]) * y[t]
        at += y[t].shape[2]
    return out


def schnet(model, params, near, names):
    """The three lines of models/schnet.py."""
    trunk, B, N = params["trunk"], basis(near.r, model.cutoff, model.basis), math.sqrt(model.neighbors)
    h = of_species(model, trunk["embedding"], near)
    for k in range(model.layers):
        layer = trunk[f"layer{k}"]
        m = near.gather(mlp(layer["filter"], B) * (h @ layer["before"])[near.j]) / N
        h = h + mlp(layer["after"], m)
    return heads(model, params["heads"], near, {"0e": tape.reshape(h, (near.n, 1, -1))}, names)


def painn(model, params, near, names):
    """Equations (1) to (4) of models/painn.py."""
    trunk, B, N = params["trunk"], basis(near.r, model.cutoff, model.basis), math.sqrt(model.neighbors)
    s, c = of_species(model, trunk["embedding"], near), model.channels
    v, thirds = Var(np.zeros((near.n, 3, c))), [slice(0, c), slice(c, 2 * c), slice(2 * c, 3 * c)]
    for k in range(model.layers):
        p = trunk[f"message{k}"]
        x = mlp(p["phi"], s)[near.j] * (B @ p["filter"]) / N
        x1, x2, x3 = (x[:, part] for part in thirds)
        s = s + near.gather(x1)
        v = v + near.gather(einsum("emc,ec->emc", v[near.j], x2) + einsum("em,ec->emc", near.u, x3))
        p = trunk[f"update{k}"]
        Uv, Vv = v @ p["U"], v @ p["V"]
        a = mlp(p["a"], concatenate([s, sqrt(total(Vv * Vv, 1) + 1e-12)], 1))
        a1, a2, a3 = (a[:, part] for part in thirds)
        s = s + a1 + a2 * total(Uv * Vv, 1)
        v = v + einsum("nc,nmc->nmc", a3, Uv)
    return heads(model, params["heads"], near, {"0e": tape.reshape(s, (near.n, 1, -1)), "1o": v}, names)


def egnn(model, params, near, names):
    """The three lines of models/egnn.py: messages, places, scalars."""
    trunk, N, column = params["trunk"], model.neighbors, (-1, 1)
    B, u = basis(near.r, model.cutoff, model.basis), tape.reshape(envelope(near.r, model.cutoff), column)
    h, d = of_species(model, trunk["embedding"], near), Var(np.zeros((near.n, 3)))
    for k in range(model.layers):
        p = trunk[f"layer{k}"]
        apart = near.vec + d[near.j] - d[near.i]                # x_j - x_i
        square = tape.reshape(total(apart * apart, 1), column) / model.cutoff**2
        inputs = concatenate([h[near.i], h[near.j], square, B], 1)
        W = concatenate([p["receiver"], p["sender"], p["edge"]], 0)
        m = silu(silu(inputs @ W) @ p["message"]) * u
        d = d - near.gather(apart * mlp(p["step"], m)) / N
        h = h + mlp(p["scalars"], concatenate([h, near.gather(m) / math.sqrt(N)], 1))
    features = {"0e": tape.reshape(h, (near.n, 1, -1)), "1o": tape.reshape(d, (near.n, 3, 1))}
    return heads(model, params["heads"], near, features, names)


def coordinates(model, params, near, names):
    """The four lines of models/coordinates.py, absolute positions and all."""
    trunk, B, N = params["trunk"], basis(near.r, model.cutoff, model.basis), math.sqrt(model.neighbors)
    x = concatenate([B, near.vec * tape.reshape(envelope(near.r, model.cutoff), (-1, 1))], 1)
    h = of_species(model, trunk["embedding"], near) + near.places @ trunk["positions"]
    for k in range(model.layers):
        p = trunk[f"layer{k}"]
        h = h + mlp(p["after"], near.gather(mlp(p["filter"], x) * (h @ p["before"])[near.j]) / N)
    features = {name: tape.reshape(h @ W, (near.n, 2 * int(name[0]) + 1, -1))
                for name, W in trunk.items() if name[0].isdigit()}
    return heads(model, params["heads"], near, {"0e": tape.reshape(h, (near.n, 1, -1)), **features}, names)


OUTPUTS = {"NequIP": nequip, "MACE": mace, "SE3Transformer": se3_transformer, "SchNet": schnet, "PaiNN": painn,
           "EGNN": egnn, "Coordinates": coordinates}


def _leaves(params, prefix=()):
    for key, value in params.items():
        yield from _leaves(value, (*prefix, key)) if isinstance(value, dict) else [((*prefix, key), value)]


def _tree(flat):
    out = {}
    for (*folders, key), value in flat.items():
        part = out
        for folder in folders:
            part = part.setdefault(folder, {})
        part[key] = value
    return out


def _name(irrep):
    return f"{irrep[0]}{'e' if irrep[1] == 1 else 'o'}"


def _irrep(name):
    return int(name[:-1]), 1 if name[-1] == "e" else -1
