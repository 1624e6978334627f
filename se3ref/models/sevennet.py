r"""SevenNet: a published NequIP for 89 elements, from the checkpoint of its authors.

It is this library's NequIP with four differences, each a named option:
    everything is labelled even: SO(3), so that mirror images may differ;
    gates open by silu, and the self-connection is the same for all species;
    the radial basis has learned frequencies, (2/r_c) sin(c_k r)/r, times a switch or a polynomial to zero at r_c;
    the energy is linear in the last features.

The checkpoint's numbers are carried into this library's form once, when it is read.  Where theirs has factors in its
formulas, ours has them in the weights: 1/sqrt(fan-in) of every linear map, the denominator of the sum over
neighbours, and G = 1.67918 behind every silu, which goes into the weights of what follows.  A coupling tensor is known
but for its sign, and the checkpoint holds the tables it was trained with: where one is opposite to ours, so is the
path's column of radial weights.

Source: Park, Kim, Hwang, Han, J. Chem. Theory Comput. 20 (2024) 4857; code and weights (c) 2024 Yutack Park, MIT.
"""

import dataclasses
import math
from importlib import resources
from pathlib import Path

import numpy as np

from se3ref.models import published
from se3ref.models.checkpoints import read_checkpoint
from se3ref.models.heads import SCALAR
from se3ref.models.model import evaluate
from se3ref.models.nequip import NequIP
from se3ref.nn.convolution import output_channels
from se3ref.nn.gate import gate_channels
from se3ref.nn.params import cast, check_like, normal, read, write
from se3ref.nn.radial import envelope, sines, switch
from se3ref.so3 import clebsch_gordan

GAIN = 1.6791767923989418           # e3nn's constant for silu, from a seeded sample; the exact integral is 1.67653


@dataclasses.dataclass(frozen=True)
class SevenNet(NequIP):
    """The architecture: a NequIP with the differences above.  Its fields are those of `TensorModel`, and

    switch_on: where the switch begins, angstrom; None: a polynomial envelope of order 6 from 0 on.
    """
    _: dataclasses.KW_ONLY
    group: str = "SO(3)"
    hidden: tuple = (64, 64)
    neighbors: float = 1.0
    switch_on: float | None = 4.5

    opening, by_species = "silu", False

    def _check(self):
        super()._check()
        if self.switch_on is not None and not 0 < self.switch_on < self.cutoff:
            raise ValueError(f"the switch begins between 0 and the cutoff {self.cutoff}; got {self.switch_on!r}")
        if self.heads != ("energy",):
            raise ValueError(f"SevenNet has the head 'energy' alone; got {self.heads}")

    def init(self, rng):
        params = super().init(rng)
        params["trunk"]["frequencies"] = np.arange(1, self.basis + 1) * (math.pi / self.cutoff)
        params["heads"]["energy"]["mlp"] = {"0": normal(rng, self.channels_out[SCALAR], 1)}          # linear
        return params

    def _radial(self, params, r):
        y, pull_y = sines(params["frequencies"], r, self.cutoff)
        u, pull_u = envelope(r, self.cutoff) if self.switch_on is None else switch(r, self.switch_on, self.cutoff)

        def pull(dB):
            dfrequencies, dr = pull_y(dB * u[:, None])
            return {"frequencies": dfrequencies}, dr + pull_u((dB * y).sum(1))
        return y * u[:, None], pull


@dataclasses.dataclass(frozen=True, eq=False)
class Potential:
    """A model with its parameters: what `load` returns.  card: what is known of it."""
    model: SevenNet
    params: dict
    card: dict

    def evaluate(self, structure, forces=True, stress=False):
        """`models.evaluate` of a Structure, or of a list of them."""
        return evaluate(self.model, self.params, structure, forces, stress)


def load(which="SevenNet-0", dtype=np.float64):
    """A `Potential`: "SevenNet-0", which comes with the library; "SevenNet-l3i5", once `published.fetch` has got it;
    or the path of a checkpoint (.pth) of the package sevenn, or of what `compact` made of one (.npz).
    dtype: of its parameters, and so of all that it computes.

    ValueError for what has not been fetched, for a file that is none of these, and for other architectures.
    """
    if str(which) == "SevenNet-0":
        with resources.as_file(resources.files("se3ref") / "data" / "sevennet" / "sevennet_0.npz") as path:
            return load(path, dtype)
    path = Path(which) if Path(which).suffix else published.find(str(which))
    settings, state, card = _read(path)
    model = SevenNet(**settings)
    try:
        params = _parameters(model, state)
    except KeyError as error:
        raise ValueError(f"{which} lacks the array {error}, which its settings ask for") from None
    check_like(params, model.init(np.random.default_rng(0)), str(which))
    return Potential(model, cast(params, dtype), card)


def compact(checkpoint, path, card):
    """Write what this library needs of a checkpoint, its arrays as they are in single precision, to an npz file."""
    settings, state, own = _read(Path(checkpoint))
    write(path, state, {"settings": settings, "card": own | card})


def _read(path):
    """Settings (the fields of `SevenNet`), arrays by name, and a card, from a checkpoint or a compact file."""
    if path.suffix == ".npz":
        state, about = read(path)
        if not {"settings", "card"} <= set(about):
            raise ValueError(f"{path} was not made by sevennet.compact; a model that `models.save` wrote is read by "
                             f"models.load")
        return about["settings"], state, about["card"]
    content = read_checkpoint(path)
    try:
        settings = _settings(content["config"])
        state = {name: x for name, x in content["model_state_dict"].items() if x.size and "output_mask" not in name}
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{path} is no checkpoint of SevenNet that is known here: "
                         f"{type(error).__name__}: {error}") from None
    return settings, state, {"name": path.stem, "licence": "code and weights (c) 2024 Yutack Park, MIT"}


def _settings(config):
    """The fields of `SevenNet` from a checkpoint's settings; ValueError for some that it has no options for."""
    expected = {"is_parity": False, "self_connection_type": "linear", "use_bias_in_linear": False,
                "readout_as_fcn": False, "act_radial": "silu", "_normalize_sph": True, "interaction_type": "nequip"}
    for name, value in expected.items():
        if config.get(name, value) != value:
            raise ValueError(f"the checkpoint has {name} = {config[name]!r}, and what is known here is {value!r}")
    cut = config["cutoff_function"]
    if cut["cutoff_function_name"] not in ("XPLOR", "poly_cut"):
        raise ValueError(f"the checkpoint has the cutoff {cut['cutoff_function_name']!r}; known are XPLOR and poly_cut")
    types = config["_type_map"]                                # atomic number -> row
    return {"species": sorted(types, key=types.get), "cutoff": float(config["cutoff"]), "lmax": config["lmax"],
            "layers": config["num_convolution_layer"], "irreps": config["irreps_manual"][1],
            "basis": config["radial_basis"]["bessel_basis_num"], "hidden": config["weight_nn_hidden_neurons"],
            "switch_on": float(cut["cutoff_on"]) if cut["cutoff_function_name"] == "XPLOR" else None}


# --- the numbers ----------------------------------------------------------------------------------------------

def _parameters(model, state):
    """The checkpoint's numbers in this library's form, float64."""
    state = {name: array.astype(np.float64) for name, array in state.items()}
    n, c = len(model.species), model.features[SCALAR]
    trunk = {"embedding": state["onehot_to_feature_x.linear.weight"].reshape(n, c) / math.sqrt(n),
             "frequencies": state["edge_embedding.basis_function.coeffs"]}
    for k, (come, go, terms) in enumerate(model._plan()):
        trunk[f"layer{k}"] = _layer(state, k, come, gate_channels(go), terms, 1.0 if k == 0 else GAIN)
    hidden = state["reduce_input_to_hidden.linear.weight"].reshape(c, -1) / math.sqrt(c)
    last = state["reduce_hidden_to_energy.linear.weight"].reshape(-1, 1) / math.sqrt(hidden.shape[1])
    head = {"mlp": {"0": GAIN * hidden @ last}, "scale": state["rescale_atomic_energy.scale"] * np.ones(n),
            "shift": state["rescale_atomic_energy.shift"] * np.ones(n)}
    return {"trunk": trunk, "heads": {"energy": head}}


def _layer(state, k, come, wanted, terms, gain):
    """One layer; gain: what the features that come in still lack."""
    out, gathered = output_channels(terms, come), gain / float(state[f"{k}_convolution.denominator"][0])
    return {"before": _linear(state[f"{k}_self_interaction_1.linear.weight"], come, come, 1.0),
            "radial": _radial_weights(state, k, come, terms),
            "after": _linear(state[f"{k}_self_interaction_2.linear.weight"], out, wanted, gathered),
            "self": _linear(state[f"{k}_self_connection_intro.linear.weight"], come, wanted, gain)}


def _linear(flat, come, wanted, gain):
    """{irrep: (c,d)} from one vector, irrep after irrep; divided by sqrt(c), times the gain."""
    params, start = {}, 0
    for irrep in sorted(set(come) & set(wanted)):
        shape = come[irrep], wanted[irrep]
        block = flat[start:start + math.prod(shape)]
        params[str(irrep)] = block.reshape(shape) * (gain / math.sqrt(shape[0]))
        start += math.prod(shape)
    if start != len(flat):
        raise ValueError(f"a linear map has {len(flat)} weights in the checkpoint, and {start} here")
    return params


def _radial_weights(state, k, come, terms):
    """The perceptron of radial weights, with the sign of each path's coupling in its columns."""
    layers = [state[f"{k}_convolution.weight_nn.layer{i}.weight"] for i in range(3)]
    layers = [W * ((GAIN if i else 1.0) / math.sqrt(W.shape[0])) for i, W in enumerate(layers)]
    signs = np.concatenate([np.full(come[path.h], _sign(state, k, path)) for path in terms])
    return {str(i): W * signs if i == 2 else W for i, W in enumerate(layers)}


def _sign(state, k, path):
    """1 or -1: whether the table that the checkpoint was trained with is ours or its opposite; 1 where it has none.

    Couplings with a scalar have no table: there both are the identity.
    """
    a, b, c = path.h.l, path.l, path.y.l
    name = f"{k}_convolution.convolution._compiled_main_left_right._w3j_{a}_{b}_{c}"
    if name not in state:
        return 1.0
    overlap = float((state[name].swapaxes(0, 1) * clebsch_gordan(b, a, c)).sum()) / math.sqrt(2 * c + 1)
    if not 1 - 1e-5 < overlap * overlap < 1 + 1e-5:            # single precision
        raise ValueError(f"the coupling {a} x {b} -> {c} of the checkpoint is not that of real harmonics in this order")
    return 1.0 if overlap > 0 else -1.0
