r"""Resolving power: every model against every pair of the museum, told apart or blind, measured and predicted.

**Measured.**  A model with random weights is given both structures of a pair.  They are told apart where its outputs
differ by far more than its outputs for one structure, turned and renumbered, differ from each other: by more than
rounding.  Random weights are enough: outputs are analytic in the weights, so if two structures differ for some
weights they differ for almost all, and what stays equal in several draws is blindness of the architecture.
Where an exhibit has a centre, the energy of the centre atom is looked at; elsewhere the energy of the whole.

**Predicted**, from what the model says of itself (`model.sight`) and from the certificate of the pair:

 1. a model that sees the axes of the laboratory tells any two sets of coordinates apart;
 2. one structure, turned, is one structure to every other model;
 3. to a model with even labels and outputs alone (neither `handed` nor `odd`) mirror images are one structure too;
 4. atoms more hops away than there are layers are not seen: where all that is within that many hops of an atom is
    the same in both (up to a reflection, unless the model is handed or odd), the model is blind;
 5. distances alone are no more than the Weisfeiler-Leman colours of the graph after as many rounds as layers;
 6. directions that are coupled along edges only are no more than the colours by walks (`verify.walks`);
 7. one layer sees clusters of `bodies` atoms, the receiver among them, and no more: where the clusters' shapes are
    shared, it is blind;
 8. of every shell of neighbours an atom sees the moments sum_j Y_l(r_j), l <= lmax: where these are the same in
    both, one layer is blind, and so are many where those neighbours have no others;
 9. everything else it tells apart.

1 to 8 are theorems, 9 is a conjecture on what is left, and the table is its test.  Sources: Joshi et al., ICML 2023,
for 4 and 5; Pozdnyakov et al., Phys. Rev. Lett. 125 (2020) 166001, for 7.
"""

import dataclasses

import numpy as np
from scipy.spatial.distance import cdist
from tqdm import tqdm

from se3ref import models
from se3ref.so3 import random_rotation, spherical_harmonics
from se3ref.systems import Structure, neighbor_graph
from se3ref.verify.alignment import congruence
from se3ref.verify.certificates import colours
from se3ref.verify.exhibits import museum
from se3ref.verify.walks import walk_colours

DRAWS = 3                       # of random weights
TURNS = 3                       # rotations and renumberings, from which the rounding of outputs is seen
EPS = float(np.finfo(float).eps)
ABOVE_ROUNDING = 100            # a gap counts when it is so many times as large


def contenders(species, cutoff):
    """Every architecture of the library, {name: Model}; some with one layer, to show what a layer can do."""
    common, odd = (species, cutoff), "8x0e+8x0o+8x1o+8x1e+8x2e"
    return {
        "SchNet": models.SchNet(*common, channels=16),
        "EGNN": models.EGNN(*common, channels=16),
        "PaiNN": models.PaiNN(*common, channels=16),
        "PaiNN, 1 layer": models.PaiNN(*common, channels=16, layers=1),
        "SE(3)-Transformer": models.SE3Transformer(*common, channels=8),
        "NequIP": models.NequIP(*common, channels=8),
        "NequIP, 1 layer": models.NequIP(*common, channels=8, layers=1),
        "NequIP, odd output": models.NequIP(*common, irreps=odd, heads=("energy", "pseudoscalar")),
        "NequIP, SO(3)": models.NequIP(*common, channels=8, group="SO(3)"),
        **{f"MACE, 1 layer, correlation {nu}": models.MACE(*common, channels=8, layers=1, correlation=nu)
           for nu in (1, 2, 3, 4)},
        "MACE, 1 layer, correlation 2, lmax 4": models.MACE(*common, channels=8, layers=1, correlation=2, lmax=4),
        "MACE": models.MACE(*common, channels=8),
        "MACE, SO(3)": models.MACE(*common, channels=8, group="SO(3)"),
        "Coordinates": models.Coordinates(*common, channels=16),
    }


@dataclasses.dataclass(frozen=True)
class Trial:
    """One model against one pair.  gap: the largest relative difference of outputs; rounding: that of one structure,
    turned; told, predicted: whether the pair is told apart, and should be."""
    model: str
    exhibit: str
    gap: float
    rounding: float
    predicted: bool

    @property
    def told(self):
        """Whether the gap is more than rounding."""
        return self.gap > ABOVE_ROUNDING * max(self.rounding, EPS)


@dataclasses.dataclass(frozen=True, eq=False)
class ResolvingPower:
    """All trials, model by model.  `print` it for the table."""
    trials: tuple

    @property
    def agrees(self):
        """Whether every trial went as theory predicts."""
        return all(trial.told == trial.predicted for trial in self.trials)

    def __getitem__(self, names):
        """The Trial of (model, exhibit)."""
        return next(t for t in self.trials if (t.model, t.exhibit) == names)

    def names(self):
        """The models and the exhibits, each in order."""
        return list(dict.fromkeys(t.model for t in self.trials)), list(dict.fromkeys(t.exhibit for t in self.trials))

    def __str__(self):
        rows, columns = self.names()
        width, letters = max(map(len, rows)) + 2, [chr(ord("a") + k) for k in range(len(columns))]
        lines = [f"{letter}  {name}" for letter, name in zip(letters, columns, strict=True)]
        lines += ["", " " * width + "".join(f"{letter:>8}" for letter in letters)]
        lines += [row.ljust(width) + "".join(f"{_cell(self[row, column]):>8}" for column in columns) for row in rows]
        count = sum(t.told == t.predicted for t in self.trials)
        return "\n".join([*lines, "", "a number: told apart, by this relative gap; a dot: blind; !: not as predicted",
                          f"{count} of {len(self.trials)} trials went as theory predicts"])


def _cell(trial):
    return (f"{trial.gap:.0e}" if trial.told else ".") + ("!" if trial.told != trial.predicted else "")


def resolving_power(exhibits=None, progress=False):
    """Every contender against every exhibit (by default, of the museum): a `ResolvingPower`; about half a minute."""
    exhibits = museum() if exhibits is None else exhibits
    trials = []
    for exhibit in tqdm(exhibits, disable=not progress, unit="pair"):
        species = sorted({int(z) for s in (exhibit.a, exhibit.b) for z in s.numbers})
        for name, model in contenders(species, exhibit.cutoff).items():
            gap, rounding = measured(model, exhibit)
            trials.append(Trial(name, exhibit.name, gap, rounding, predicted(model, exhibit)))
    trials.sort(key=lambda t: list(contenders([1], 1.0)).index(t.model))
    return ResolvingPower(tuple(trials))


# --- measured -------------------------------------------------------------------------------------------------

def measured(model, exhibit):
    """(gap, rounding): how far the outputs for a and b are apart, and those for each of them, turned; relative."""
    rng = np.random.default_rng(0)
    gap = rounding = 0.0
    for _ in range(DRAWS):
        params = model.init(rng)
        a, b = (_outputs(model, params, s, exhibit.centre) for s in (exhibit.a, exhibit.b))
        size = np.maximum(np.abs(a), np.abs(b)) + np.finfo(float).tiny
        gap = max(gap, (np.abs(a - b) / size[0]).max())
        for s, x in TURNS * [(exhibit.a, a), (exhibit.b, b)]:
            turned, centre = _shuffled(s, exhibit.centre, rng, rotate=not model.sight.frame)
            rounding = max(rounding, (np.abs(_outputs(model, params, turned, centre) - x) / size[0]).max())
    return float(gap), float(rounding)


def _outputs(model, params, structure, centre):
    """The energy of the centre or of all, and the pseudoscalar of a model that has one: (1,) or (2,)."""
    found = models.evaluate(model, params, structure, forces=False)
    energy = found.energy if centre is None else found.energies[centre]
    return np.append(energy, found.outputs.get("pseudoscalar", []))


def _shuffled(structure, centre, rng, rotate):
    """The structure with its atoms renumbered and, if `rotate`, turned; and where its centre has gone."""
    order = rng.permutation(len(structure))
    other = Structure(structure.numbers[order], structure.positions[order])
    other = other.rotated(random_rotation(rng)) if rotate else other
    return other, None if centre is None else int(np.flatnonzero(order == centre)[0])


# --- predicted ------------------------------------------------------------------------------------------------

def predicted(model, exhibit):
    """Whether theory, rules 1 to 9, says that the model tells the exhibit's two structures apart."""
    sight, certificate = model.sight, exhibit.certificate
    mirrored = sight.handed or sight.odd
    if sight.frame:
        return True
    if certificate.congruence.verdict == "same" or certificate.congruence.verdict == "mirror" and not mirrored:
        return False
    if _same_fields(exhibit, sight):
        return False
    if not _colours_differ(exhibit, sight):
        return False
    if sight.layers == 1 and _same_clusters(certificate, sight.bodies):
        return False
    return not _same_moments(exhibit, sight)


def _colours_differ(exhibit, sight):
    """Rules 5 and 6.  A pseudoscalar is a sum over all atoms, also where the energy of the centre is looked at."""
    graph = {"cutoff": exhibit.cutoff, "layers": sight.layers, "attention": sight.coupling == "attention"}
    if sight.coupling == "products":
        return True
    if sight.coupling == "distances":
        one, other = colours(exhibit.a, exhibit.b, cutoff=exhibit.cutoff, rounds=sight.layers)
    else:
        one, other = walk_colours(exhibit.a, exhibit.b, **graph, handed=sight.handed)
    if sight.odd and _counts(*walk_colours(exhibit.a, exhibit.b, **graph, handed=True)):
        return True
    return _counts(one, other) if exhibit.centre is None else bool(one[exhibit.centre] != other[exhibit.centre])


def _counts(one, other):
    """Whether two structures have different numbers of atoms of some colour."""
    return sorted(one.tolist()) != sorted(other.tolist())


def _same_clusters(certificate, bodies):
    where = "at each atom" if "2 bodies at the centre" not in certificate.shared else "at the centre"
    return all(certificate.shared.get(f"{k} bodies {where}", False) for k in range(2, bodies + 1))


def _same_fields(exhibit, sight):
    """Rule 4, at the centre, or for all atoms one by one."""
    atoms = range(len(exhibit.a)) if exhibit.centre is None else [exhibit.centre]
    fields = [[_field(s, k, exhibit.cutoff, sight.layers) for k in atoms] for s in (exhibit.a, exhibit.b)]
    alike = {"same"} if sight.handed or sight.odd else {"same", "mirror"}
    left = fields[1]
    for field in fields[0]:
        match = next((k for k, other in enumerate(left) if congruence(field, other).verdict in alike), None)
        if match is None:
            return False
        left.pop(match)
    return True


def _field(structure, atom, cutoff, layers):
    """The atoms that so many hops reach from one, which is marked by another atomic number, so that it stays first."""
    near, reached = cdist(structure.positions, structure.positions) < cutoff, np.arange(len(structure)) == atom
    for _ in range(layers):
        reached = near[reached].any(0)
    numbers = np.where(np.arange(len(structure)) == atom, 119 - structure.numbers, structure.numbers)
    return Structure(numbers[reached], structure.positions[reached])


def _same_moments(exhibit, sight):
    """Rule 7: at a centre, in one layer, or in any number where its neighbours have no other neighbour."""
    if exhibit.centre is None:
        return False
    graphs = [neighbor_graph(s, exhibit.cutoff) for s in (exhibit.a, exhibit.b)]
    star = all(((g.receivers == exhibit.centre) | (g.senders == exhibit.centre)).all() for g in graphs)
    if sight.layers > 1 and not star:
        return False
    one, other = (_moments(g, exhibit.centre, sight.lmax) for g in graphs)
    return one.keys() == other.keys() and all(np.abs(one[k] - other[k]).max() < 1e-12 for k in one)


def _moments(graph, centre, lmax):
    """{(species, distance): sum of Y over the neighbours of this shell}; distances to 1e-6 angstrom."""
    moments = {}
    for vec, j in zip(*(x[graph.receivers == centre] for x in (graph.vec, graph.senders)), strict=True):
        shell = int(graph.numbers[j]), round(float(np.linalg.norm(vec)), 6)
        moments[shell] = moments.get(shell, 0) + spherical_harmonics(lmax, vec[None])[0]
    return moments
