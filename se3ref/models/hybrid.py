r"""Hybrid: a network for what is near, charges for what is far, and the electrostatics between them.

A network sees no farther than its cutoffs reach.  Charges do: with the charges q_i that a second network reads off
each atom's surroundings,

    e_i = e_i(short range) + 1/2 q_i phi_i,     phi = A q                                                         (1)

where A is Ewald's sum, its mesh, or the plain sum of an isolated system (`electrostatics.interactions`).  Positions
enter the electrostatic energy twice, through the places of charges and through the charges themselves:

    F = -dE/dr at fixed charges - sum_i phi_i dq_i/dr                                                             (2)

and the second term is a pullback: phi is the cotangent of the charges, which their network carries back.

The second network says one of
    charges              q_i that add up to the total charge Q: its head "charges", or "dipole" with atomic dipoles;
    electronegativities  chi_i, and charges are those of least energy at total charge Q (`electrostatics.equilibrate`):
                         e_i gains chi_i q_i + 1/2 J_i q_i^2.  Q then enters the energy of every atom.

Charges need no labels: energies and forces decide what they are (but for a common sign).

Source: Unke and Meuwly, J. Chem. Theory Comput. 15 (2019) 3678; with equilibration, Ko et al., Nature
Communications 12 (2021) 398; charges from energies and forces alone, Cheng, npj Comput. Mater. 11 (2025) 80.
"""

import dataclasses
import math

import numpy as np

from se3ref.electrostatics import COULOMB, interaction
from se3ref.electrostatics.equilibration import equilibrated
from se3ref.electrostatics.interactions import check_method
from se3ref.models.model import Model
from se3ref.nn.params import add_trees

SAYS = {"charges": "charges", "dipole": "charges", "electronegativity": "electronegativities"}


@dataclasses.dataclass(frozen=True)
class Hybrid(Model):
    """A short-range model, a model of charges, and the electrostatics of these charges.

    short_range: a model with the head "energy".  charges: a model with the head "charges", "dipole" (charges and
    atomic dipoles) or "electronegativity", of the same species and cutoff.
    electrostatics: "ewald", "pme", or "direct", the plain sum, for isolated systems; these are summed plainly in any
    case.  accuracy: of the forces, as for `electrostatics.interaction`.
    widths: of Gaussian charges, angstrom, a number or one for each species; None: point charges.  Charges that
    equilibrate are Gaussian.

    Outputs: energies (n,), eV; charges (n,), e; of isolated systems dipole (s,3), e*angstrom.  The total charge is
    that of the structure.  ValueError for models that do not fit together, for a structure that repeats in one or two
    directions only, and for periodic ones with "direct".
    """
    species: tuple = dataclasses.field(init=False)
    cutoff: float = dataclasses.field(init=False)
    _: dataclasses.KW_ONLY
    heads: tuple = dataclasses.field(init=False)
    short_range: Model
    charges: Model
    electrostatics: str = "ewald"
    accuracy: float = 1e-6
    widths: float | tuple | None = None

    proportional = False                                       # electrostatics knows nothing of the network's scale

    def __post_init__(self):
        for name, wanted in (("short_range", {"energy"}), ("charges", set(SAYS))):
            model = getattr(self, name)
            if not isinstance(model, Model) or len(model.heads) > 1 or not set(model.heads) <= wanted:
                raise ValueError(f"{name} is a model with one head, {' or '.join(sorted(wanted))}; got {model!r}")
        a, b = self.short_range, self.charges
        if (a.species, a.cutoff) != (b.species, b.cutoff):
            raise ValueError(f"both models have the same species, in one order, and one cutoff; got {a.species} within "
                             f"{a.cutoff} and {b.species} within {b.cutoff}")
        for name, value in (("species", a.species), ("cutoff", a.cutoff), ("heads", ("energy", "dipole"))):
            object.__setattr__(self, name, value)
        super().__post_init__()

    def _check(self):
        check_method(self.electrostatics, self.accuracy)
        widths = self._widths
        if widths is None and self.equilibrates:
            raise ValueError("charges that equilibrate are Gaussian: give widths, in angstrom")
        if widths is not None and not (len(widths) == len(self.species)
                                       and all(isinstance(s, int | float) and 0 < s < math.inf for s in widths)):
            raise ValueError(f"widths is a length above 0, or one for each of {len(self.species)} species; got "
                             f"{self.widths!r}")

    @property
    def equilibrates(self):
        """Whether charges follow from electronegativities."""
        return self.charges.heads == ("electronegativity",)

    @property
    def _widths(self):
        """One for each species, or None."""
        if self.widths is None:
            return None
        return self.widths if isinstance(self.widths, tuple) else (self.widths,) * len(self.species)

    @property
    def sight(self):
        """That of the model that sees more: total charge and distant charges are beyond what `Sight` describes."""
        return max(self.short_range.sight, self.charges.sight, key=lambda sight: (sight.handed, sight.bodies,
                                                                                 sight.lmax, sight.layers))

    def init(self, rng):
        """Fresh parameters; "hardness": roots of what J exceeds coulomb/(sqrt(pi) width) by, for each species."""
        params = {"short_range": self.short_range.init(rng), "charges": self.charges.init(rng)}
        if self.equilibrates:
            params["hardness"] = np.full(len(self.species), 2.0)                     # 4 V/e
        return params

    def energy_head(self, params):
        return self.short_range.energy_head(params["short_range"])

    def _check_heads(self, params):
        wanted = ["charges", *(["hardness"] if self.equilibrates else []), "short_range"]
        found = sorted(params) if isinstance(params, dict) else type(params).__name__
        if found != wanted:
            raise ValueError(f"parameters are what model.init, fit(...).params or load give, {wanted}; got {found}")

    def forward(self, params, graph):
        """All outputs, a dict, and pull(cotangents) -> dparams, dgeometry."""
        self._check_heads(params)
        short, pull_short = self.short_range.forward(params["short_range"], graph)
        said, pull_said = self.charges.forward(params["charges"], graph)
        q, e, pull_far = self._far(params, said[SAYS[self.charges.heads[0]]], graph)
        outputs = {"energies": short["energies"] + e, "charges": q}
        own_dipole = "dipole" not in said and not graph.pbc.any()
        if own_dipole:
            outputs["dipole"] = graph.sum_atoms(q[:, None] * graph.positions)
        elif "dipole" in said:
            outputs["dipole"] = said["dipole"]

        def pull(cotangents):
            if unknown := set(cotangents) - set(outputs):
                raise ValueError(f"this model's outputs are {sorted(outputs)}; got cotangents of {sorted(unknown)}")
            de = cotangents.get("energies", np.zeros_like(outputs["energies"]))
            dq, dmu = cotangents.get("charges", 0 * q), cotangents.get("dipole")
            further = {}
            if dmu is not None and own_dipole:                 # mu = sum q r
                each = dmu[graph.structure]
                dq, further = dq + (each * graph.positions).sum(1), {"positions": q[:, None] * each}
            dsaid, dhardness, dfar = pull_far(de, dq)
            dsaid = {SAYS[self.charges.heads[0]]: dsaid}
            if dmu is not None and not own_dipole:
                dsaid["dipole"] = dmu
            dshort, dgeometry = pull_short({"energies": de})
            dcharges, dnear = pull_said(dsaid)
            dgeometry = add_trees(add_trees(dgeometry, dnear), add_trees(dfar, further))
            return {"short_range": dshort, "charges": dcharges, **dhardness}, dgeometry
        return outputs, pull

    # --- electrostatics, structure by structure ---------------------------------------------------------------

    def _far(self, params, said, graph):
        """q (n,), their energies (n,), and pull(de, dq) -> dsaid (n,), further dparams, dgeometry.

        In double precision throughout, since these sums cancel.
        """
        starts = graph.first.tolist()
        parts = [slice(a, b) for a, b in zip(starts, [*starts[1:], graph.n_atoms], strict=True)]
        h = params["hardness"] if self.equilibrates else None
        found = [self._far_of_one(_double(said[atoms]), h, graph, k, atoms) for k, atoms in enumerate(parts)]
        q, e = (_as(np.concatenate([one[i] for one in found]), graph) for i in (0, 1))

        def pull(de, dq):
            d = [one[2](_double(de[atoms]), _double(dq[atoms])) for one, atoms in zip(found, parts, strict=True)]
            dsaid, dr = (_as(np.concatenate([one[name] for one in d]), graph) for name in ("said", "positions"))
            dcell = _as(np.stack([one["cell"] for one in d]), graph)
            dh = {"hardness": _as(sum(one["hardness"] for one in d), graph)} if self.equilibrates else {}
            return dsaid, dh, {"positions": dr, "cell": dcell}
        return q, e, pull

    def _far_of_one(self, said, h, graph, k, atoms):
        """The same for structure k with its atoms, a slice; cotangents by name."""
        periodic = _repeats(graph.pbc[k])
        r, cell = _double(graph.positions[atoms]), _double(graph.cell[k]) if periodic else None
        kind = graph.numbers[atoms][:, None] == np.array(self.species, like=graph.numbers)
        kind = kind.astype(np.float64)                         # (n,species), one 1 in each row
        widths = None if self._widths is None else kind @ np.array(self._widths, like=r.real)
        A = interaction(self.electrostatics, r, cell, widths, self.accuracy)
        if self.equilibrates:
            J = (COULOMB / math.sqrt(math.pi)) / widths + kind @ _double(h * h)
            q, e, _, pull_sum = equilibrated(A, said, J, float(graph.charge[k]))
        else:
            q, (e, pull_sum) = said, A.energies(said)

        def pull(de, dq):
            if self.equilibrates:
                d = pull_sum(de, dq)
                d = {**d, "said": d["electronegativity"], "hardness": 2 * h * (d["hardness"] @ kind)}
            else:
                d = pull_sum(de)
                d = {**d, "said": d["charges"] + dq}
            return {**d, "cell": _of_cell(d["strain"] - d["positions"].T @ r, cell)}
        return q, e, pull


def _repeats(pbc):
    """Whether a structure repeats in all directions; ValueError if only in some."""
    if pbc.any() and not pbc.all():
        raise ValueError(f"electrostatics is for isolated structures and for those that repeat in three directions; "
                         f"got pbc {pbc.tolist()}: put a slab into a cell with room above it, and take pbc=True")
    return bool(pbc.all())


def _of_cell(strain, cell):
    """The cotangent of the cell (3,3) from that of a strain, less what atoms have of it: strain = dcell.T @ cell."""
    return np.zeros_like(strain) if cell is None else (strain @ np.linalg.inv(cell)).T


def _double(x):
    """x in double precision, real or complex."""
    return x.astype(np.result_type(x.dtype, np.float64))


def _as(x, graph):
    """x in the precision of the graph, real or complex."""
    single = graph.positions.real.dtype == np.float32
    return x.astype(np.complex64 if x.dtype.kind == "c" else np.float32) if single else x
