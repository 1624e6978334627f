r"""Resolving power: every model against every pair of the museum, told apart or blind, measured and predicted.

**Measured.**  A model with random weights is given both structures of a pair.  They are told apart where its outputs
differ by far more than its outputs for one structure, turned and renumbered, differ from each other: by more than
rounding.  Random weights are enough: outputs are analytic in the weights, so if two structures differ for some
weights they differ for almost all, and what stays equal in several draws is blindness of the architecture (or so
small a difference that double precision loses it).
Where an exhibit has a centre, the energy of the centre atom is looked at; elsewhere the energy of the whole.

**Predicted**, from what the model says of itself (`model.sight`) and from the certificate of the pair.  It is blind

 1. where all that lies within as many hops of an atom as there are layers is the same in both: turned, or mirrored,
    unless the model is `handed`; in the same place, if it sees the axes of the laboratory.  So one structure, turned,
    is one to all other models, and mirror images are one to those that are not handed;
 2. with distances alone, where the Weisfeiler-Leman colours agree after as many rounds as there are layers;
 3. with directions that are coupled along edges only, where the colours by walks agree (`verify.walks`);
 4. with one layer, where the clusters of `bodies` atoms, the receiver among them, have the same shapes;
 5. at a centre, where every shell of neighbours has the same moments sum_j Y_l(r_j), l <= lmax: in one layer, and in
    any number where these neighbours have no others.

A pseudoscalar is a sum over all atoms, handed, and zero on achiral shapes: a model with an `odd` output is blind where
both that and its energy are.  Everything else is predicted to be told apart.  That is a conjecture, and the table is
its test: 1 to 5 are theorems, but there may be other ways to be blind.  Some are known.  EGNN takes a square for a
rhombus with the same edges, since by inversion its places only draw nearer or apart; the SE(3)-Transformer with three
layers takes `bent_ends` for one, because a softmax over two equal neighbours is one half whatever the weights.

Sources: Joshi et al., ICML 2023, for 1 and 2; Pozdnyakov et al., Phys. Rev. Lett. 125 (2020) 166001, for 4.
"""

import dataclasses
import functools

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
        "SE(3)-Transformer, 4 layers": models.SE3Transformer(*common, channels=8, layers=4),
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
        found = [t for t in self.trials if (t.model, t.exhibit) == names]
        if not found:
            raise KeyError(f"there is no trial of {names}; models and exhibits are {self.names()}")
        return found[0]

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
    """Every contender against every exhibit (by default, of the museum): a `ResolvingPower`; in some seconds."""
    exhibits = museum() if exhibits is None else list(exhibits)
    if not exhibits:
        raise ValueError("resolving_power needs at least one Exhibit; without an argument it takes the museum's")
    trials = {}                                                # by model
    for exhibit in tqdm(exhibits, disable=not progress, unit="pair"):
        species = sorted({int(z) for s in (exhibit.a, exhibit.b) for z in s.numbers})
        for name, model in contenders(species, exhibit.cutoff).items():
            gap, rounding = measured(model, exhibit)
            trials.setdefault(name, []).append(Trial(name, exhibit.name, gap, rounding, predicted(model, exhibit)))
    return ResolvingPower(tuple(trial for own in trials.values() for trial in own))


# --- measured -------------------------------------------------------------------------------------------------

def measured(model, exhibit):
    """(gap, rounding): how far the outputs for a and b are apart, and those for each of them, turned; relative to the
    larger of their energies."""
    rng, (graph, centres) = np.random.default_rng(0), _copies(exhibit, model.cutoff, not model.sight.frame)
    gap = rounding = 0.0
    for _ in range(DRAWS):
        x = _outputs(model, model.init(rng), graph, centres).reshape(2, 1 + TURNS, -1)   # a and b, each with its copies
        size = np.abs(x[:, 0, 0]).max() + np.finfo(float).tiny
        gap = max(gap, np.abs(x[0, 0] - x[1, 0]).max() / size)
        rounding = max(rounding, np.abs(x[:, 1:] - x[:, :1]).max() / size)
    return float(gap), float(rounding)


@functools.lru_cache(maxsize=2)                                # all contenders are shown the same copies
def _copies(exhibit, cutoff, rotate):
    """One graph of a, of its copies and of b and its copies, and the atoms that are their centres, None without one."""
    rng, copies = np.random.default_rng(0), []
    for s in (exhibit.a, exhibit.b):
        copies += [(s, exhibit.centre), *(_shuffled(s, exhibit.centre, rng, rotate) for _ in range(TURNS))]
    structures, centres = zip(*copies, strict=True)
    graph = neighbor_graph(structures, cutoff)
    return graph, None if exhibit.centre is None else graph.first + centres


def _outputs(model, params, graph, centres):
    """The energies of the centres or of all, and the pseudoscalars of a model that has them: (structures, 1 or 2)."""
    found = models.evaluate_graph(model, params, graph, forces=False)
    energy = found.energy if centres is None else found.energies[centres]
    odd = [found.outputs["pseudoscalar"]] if "pseudoscalar" in found.outputs else []
    return np.stack([energy, *odd], 1)


def _shuffled(structure, centre, rng, rotate):
    """The structure with its atoms renumbered and, if `rotate`, turned; and where its centre has gone."""
    order = rng.permutation(len(structure))
    other = Structure(structure.numbers[order], structure.positions[order])
    other = other.rotated(random_rotation(rng)) if rotate else other
    return other, None if centre is None else int(np.flatnonzero(order == centre)[0])


# --- predicted ------------------------------------------------------------------------------------------------

def predicted(model, exhibit):
    """Whether theory says that the model tells the exhibit's two structures apart."""
    sight = model.sight
    if sight.frame:
        return not _same_fields(exhibit, exhibit.centre, sight.layers, _in_place)
    seen = _sees(sight, exhibit, exhibit.centre, sight.handed)
    if seen or not sight.odd:
        return seen
    chiral = not all(congruence(s, s).achiral for s in (exhibit.a, exhibit.b))
    return chiral and _sees(sight, exhibit, None, handed=True)


def _sees(sight, exhibit, centre, handed):
    """Whether rules 1 to 5 leave something to be seen: at the centre, or (None) in the sum over all atoms."""
    if _same_fields(exhibit, centre, sight.layers, _turned if handed else _turned_or_mirrored):
        return False
    if sight.coupling in ("distances", "walks") and _same_colours(exhibit, sight, centre, handed):
        return False
    if sight.layers == 1 and _same_clusters(exhibit.certificate, sight.bodies, centre, handed):
        return False
    return centre is None or not _same_moments(exhibit, sight)


@functools.lru_cache(maxsize=64)                               # a search, and the same one for many models
def _same_fields(exhibit, centre, layers, alike):
    """Rule 1, at the centre, or for all atoms one by one."""
    atoms = range(len(exhibit.a)) if centre is None else [centre]
    ours, left = ([_field(s, k, exhibit.cutoff, layers) for k in atoms] for s in (exhibit.a, exhibit.b))
    for field in ours:
        match = next((k for k, other in enumerate(left) if alike(field, other)), None)
        if match is None:
            return False
        left.pop(match)
    return True


def _turned(one, other):
    return congruence(one, other).verdict == "same"


def _turned_or_mirrored(one, other):
    return congruence(one, other).verdict in ("same", "mirror")


def _in_place(one, other):
    """Whether two structures are atoms of the same species at the same places, in any order."""
    if sorted(one.numbers) != sorted(other.numbers):
        return False
    apart = cdist(one.positions, other.positions) + (one.numbers[:, None] != other.numbers) * 1.0
    return bool((apart.min(1) < 1e-9).all())


def _same_colours(exhibit, sight, centre, handed):
    """Rules 2 and 3."""
    if sight.coupling == "distances":
        one, other = colours(exhibit.a, exhibit.b, cutoff=exhibit.cutoff, rounds=sight.layers)
    else:
        one, other = walk_colours(exhibit.a, exhibit.b, cutoff=exhibit.cutoff, layers=sight.layers, handed=handed)
    return sorted(one.tolist()) == sorted(other.tolist()) if centre is None else bool(one[centre] == other[centre])


def _same_clusters(certificate, bodies, centre, handed):
    """Rule 4, as far as clusters were compared: those of five with their hand were not."""
    where, signs = "at each atom" if centre is None else "at the centre", "signed " if handed else ""
    names = [f"{signs if k == 4 else ''}{k} bodies {where}" for k in range(2, bodies + 1)]
    return not (handed and bodies > 4) and all(certificate.shared.get(name, False) for name in names)


def _field(structure, atom, cutoff, layers):
    """The atoms that so many hops reach from one, which is marked by another atomic number, so that it stays first."""
    near, reached = cdist(structure.positions, structure.positions) < cutoff, np.arange(len(structure)) == atom
    for _ in range(layers):
        reached = near[reached].any(0)
    numbers = np.where(np.arange(len(structure)) == atom, 119 - structure.numbers, structure.numbers)
    return Structure(numbers[reached], structure.positions[reached])


def _same_moments(exhibit, sight):
    """Rule 5."""
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
