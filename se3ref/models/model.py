r"""The face that all models share: a trunk of layers, heads on it, energies, forces and stress.

    outputs, pull = model.forward(params, graph)          outputs: a dict, by head (see `heads`)
    dparams, dgeometry = pull(cotangents)                 cotangents: a dict with some of the outputs' names
    E, pull = model.energy(params, graph)                 E (s,): the sum of the atoms' energies, eV

dgeometry holds the cotangents of `vec` (e,3) and, where a model uses them, of `positions` (n,3) and `cell` (s,3,3);
`graph.pull` carries them to positions and strain.  Forces and stress are that pullback of the energy,

    F = -dE/dr,    stress = (1/V) dE/dstrain,

exact to rounding, whatever the model.
"""

import dataclasses

import numpy as np

from se3ref.models import heads
from se3ref.nn.params import add_trees, float_dtype
from se3ref.so3 import Irreps
from se3ref.systems import Graph, neighbor_graph
from se3ref.systems.structure import SYMBOLS

COUNTS = {"lmax": 0, "channels": 1, "layers": 1, "basis": 1, "attention_heads": 1, "correlation": 1}   # least values


@dataclasses.dataclass(frozen=True)
class Sight:
    """What a model can tell apart, by its construction; `verify.resolving_power` holds it against what is measured.

    bodies: how many atoms a layer's features take at once, the receiver among them: 2 for pairs.
    coupling: where directions meet.  "distances": nowhere; "walks": along edges, each with what is passed on over it
    (`verify.walks`); "products": at atoms, between all that an atom has gathered.
    lmax: the highest degree of directions that it follows.   layers: how many hops it looks.
    handed: mirror images may differ in energy.   odd: an output turns its sign in a mirror, a pseudoscalar.
    frame: it sees the axes of the laboratory, and so tells a structure from itself, turned.
    """
    bodies: int
    coupling: str
    lmax: int
    layers: int
    handed: bool = False
    odd: bool = False
    frame: bool = False


@dataclasses.dataclass(frozen=True)
class Model:
    """What every model has.  A model holds no numbers: its parameters are a nested dict that `init` draws.

    species: the atomic numbers it knows; cutoff: how far an atom sees in one layer, angstrom; heads: what it
    predicts, of `heads.HEADS`.
    A subclass gives `channels_out` {Irrep: c}, `init_trunk(rng)` and `trunk(params, atoms)`; it may name a `group`.
    """
    species: tuple
    cutoff: float
    _: dataclasses.KW_ONLY
    heads: tuple = ("energy",)

    group = "O(3)"                                             # where a subclass has no such field
    proportional = True                                        # all energies but shifts, to the scale of this head
    neighbors = 1.0
    lmax = 0
    bodies, coupling = 2, "distances"

    def __post_init__(self):
        for field in dataclasses.fields(self):                 # lists and NumPy's numbers are fine in the call
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))
        object.__setattr__(self, "heads", (self.heads,) if isinstance(self.heads, str) else self.heads)
        self._check()
        object.__setattr__(self, "cutoff", float(self.cutoff))

    def _check(self):
        """ValueError for fields that make no model."""
        species = self.species
        if not (isinstance(species, tuple) and species and len(set(species)) == len(species)
                and all(isinstance(z, int) and 1 <= z <= 118 for z in species)):
            raise ValueError(f"species are different atomic numbers from 1 to 118; got {species}")
        if not (isinstance(self.cutoff, int | float) and np.isfinite(self.cutoff) and self.cutoff > 0):
            raise ValueError(f"the cutoff is a length > 0 in angstrom; got {self.cutoff!r}")
        if self.group not in ("O(3)", "SO(3)"):
            raise ValueError(f"group is 'O(3)' or 'SO(3)'; got {self.group!r}")
        for name, least in COUNTS.items():
            value = getattr(self, name, least)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} is a whole number, at least {least}; got {value!r}")
        if not (isinstance(self.neighbors, int | float) and self.neighbors > 0):
            raise ValueError(f"neighbors is a number above 0; got {self.neighbors!r}")
        hidden = getattr(self, "hidden", ())
        if not (isinstance(hidden, tuple) and all(isinstance(c, int) and c > 0 for c in hidden)):
            raise ValueError(f"hidden is a tuple of sizes above 0; got {hidden!r}")
        self._check_irreps()
        if not self.heads or len(set(self.heads)) < len(self.heads) or {"charges", "dipole"} <= set(self.heads):
            raise ValueError(f"heads are at least one, each once, and 'dipole' brings the charges with it; "
                             f"got {self.heads}")
        for name in self.heads:
            heads.irreps_read(name, self.group, self.irreps_available)

    def _check_irreps(self):
        """ValueError for features that make no model, before heads ask for them."""

    @property
    def vector(self):
        """The irrep of a vector: 1o in O(3), 1e in SO(3), where parity labels say nothing."""
        return heads.labelled(heads.PARTS["vector"], self.group)

    @property
    def sight(self):
        """What this model can tell apart, and what not."""
        return Sight(self.bodies, self.coupling, self.lmax, self.layers,
                     handed=self.group == "SO(3)" and self._reaches_handedness(),
                     odd=self.group == "O(3)" and "pseudoscalar" in self.heads)

    def _reaches_handedness(self):
        """Whether some scalar, labels aside, turns its sign in a mirror."""
        return False

    @property
    def irreps_available(self):
        """What heads may read: the trunk's features, unless a subclass makes those that heads ask for."""
        return set(self.channels_out)

    @property
    def irreps_read(self):
        """The irreps of the trunk's features that the heads read."""
        return set().union(*(heads.irreps_read(name, self.group, self.irreps_available) for name in self.heads))

    def init(self, rng):
        """Fresh parameters, float64; the same `rng` state gives the same ones."""
        channels = self.channels_out
        return {"trunk": self.init_trunk(rng),
                "heads": {name: heads.init_head(name, rng, channels, self.group, len(self.species))
                          for name in self.heads}}

    def forward(self, params, graph):
        """All outputs of all heads, a dict, and pull(cotangents) -> dparams, dgeometry.

        ValueError for a graph of another cutoff, with an element that the model does not know, or for parameters of
        another model.
        """
        self._check_heads(params)
        atoms = self._atoms(graph)
        features, pull_trunk = self.trunk(params["trunk"], atoms)
        outputs, pulls = {}, {}
        for name in self.heads:
            own, pull_head = heads.HEADS[name](params["heads"][name], features, atoms)
            outputs |= own
            pulls[name] = set(own), pull_head

        def pull(cotangents):
            if unknown := set(cotangents) - set(outputs):
                raise ValueError(f"this model's outputs are {sorted(outputs)}; got cotangents of {sorted(unknown)}")
            dhead, dfeatures, dgeometry = {}, {}, {}
            for name, (own, pull_head) in pulls.items():
                given = _completed({key: d for key, d in cotangents.items() if key in own}, own, outputs)
                dhead[name], df, dg = pull_head(given)
                dfeatures, dgeometry = add_trees(dfeatures, df), add_trees(dgeometry, dg)
            dtrunk, dg = pull_trunk(dfeatures)
            return {"trunk": dtrunk, "heads": dhead}, add_trees(dgeometry, dg)
        return outputs, pull

    def energy_head(self, params):
        """The parameters of the head "energy", None without it."""
        return params["heads"].get("energy")

    def _check_heads(self, params):
        """A cheap look: whole parameters are compared where they are written, read and trained."""
        found = sorted(params["heads"]) if isinstance(params, dict) and "heads" in params else type(params).__name__
        if found != sorted(self.heads):
            raise ValueError(f"parameters are what model.init, fit(...).params or load give, with the heads "
                             f"{sorted(self.heads)}; got {found}")

    def energy(self, params, graph):
        """E (s,), eV, and pull(dE (s,)) -> dparams, dgeometry."""
        if "energy" not in self.heads:
            raise ValueError(f"this model has no energy: its heads are {self.heads}")
        outputs, pull_outputs = self.forward(params, graph)

        def pull(dE):
            return pull_outputs({"energies": dE[graph.structure]})
        return graph.sum_atoms(outputs["energies"]), pull

    def _atoms(self, graph):
        if not isinstance(graph, Graph):
            raise TypeError(f"a model takes the graph of a structure, neighbor_graph(structure, cutoff); "
                            f"got {type(graph).__name__}")
        if graph.cutoff != self.cutoff:
            raise ValueError(f"the graph has the cutoff {graph.cutoff}, the model {self.cutoff}: "
                             f"make the graph with neighbor_graph(structure, model.cutoff)")
        matches = graph.numbers[:, None] == np.array(self.species, like=graph.numbers)
        if not matches.any(1).all():
            unknown = sorted({int(z) for z in graph.numbers[~matches.any(1)]})
            raise ValueError(f"this model knows {[SYMBOLS[z] for z in self.species]}, not "
                             f"{[SYMBOLS[z] for z in unknown]}: give all elements in species=")
        rows = [matches[:, k].nonzero()[0] for k in range(len(self.species))]
        return heads.Atoms(graph, matches.astype(graph.positions.real.dtype), rows, self.group)


def _plain(value):
    """Tuples for lists and arrays, Python's numbers for NumPy's, strings for Irreps."""
    if isinstance(value, Irreps):
        return str(value)
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(_plain(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


def _completed(cotangents, names, outputs):
    """Zeros for those outputs of a head that have no cotangent, in the dtype of those that do."""
    dtype = np.result_type(*(d.dtype for d in cotangents.values()), *(outputs[name].dtype for name in names))
    return {name: cotangents[name] if name in cotangents else np.zeros(outputs[name].shape, dtype, like=outputs[name])
            for name in names}


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` returns.  energy: eV, a float, or (s,) for a list; energies (n,), of the atoms; forces (n,3),
    eV/angstrom; stress (3,3), or (s,3,3), eV/angstrom^3, positive in tension; outputs: what other heads say, by name.
    What was not asked for, or the model has not, is None."""
    energy: float | np.ndarray | None
    energies: np.ndarray | None
    forces: np.ndarray | None
    stress: np.ndarray | None
    outputs: dict


def evaluate(model, params, structure, forces=True, stress=False):
    """Energy, forces and stress of a Structure, or of a list of them (atoms of all one after another).

    Works in the precision of the parameters.  ValueError for stress where a cell has no volume.
    """
    graph = neighbor_graph(structure, model.cutoff)
    many = isinstance(structure, list | tuple)
    return evaluate_graph(model, params, graph, forces, stress, many)


def evaluate_graph(model, params, graph, forces=True, stress=False, many=True):
    """`evaluate` for a graph that is there already; many: whether energy and stress keep their axis of structures."""
    model._check_heads(params)
    graph = graph.cast(float_dtype(params))
    outputs, pull = model.forward(params, graph)
    rest = {name: value for name, value in outputs.items() if name != "energies"}
    if "energies" not in outputs:
        return Evaluation(None, None, None, None, rest)
    E = graph.sum_atoms(outputs["energies"])
    F, sigma = forces_and_stress(graph, outputs, pull, stress) if forces or stress else (None, None)
    if not many:
        E, sigma = float(E[0]), None if sigma is None else sigma[0]
    return Evaluation(E, outputs["energies"], F if forces else None, sigma, rest)


def forces_and_stress(graph, outputs, pull, stress):
    """F = -dE/dr (n,3) and, if `stress`, (1/V) dE/dstrain (s,3,3), else None: from what `Model.forward` returned.

    ValueError for stress where a cell has no volume.
    """
    if stress and not (graph.volume > 0).all():
        raise ValueError("stress is an energy per volume, and some structure has none: give cells with three vectors")
    dr, dstrain = graph.pull(pull({"energies": np.ones_like(outputs["energies"])})[1])
    return -dr, dstrain / graph.volume[:, None, None] if stress else None
