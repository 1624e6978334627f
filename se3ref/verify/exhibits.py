"""The museum: pairs of structures that distances, body order, depth or a mirror hide, each with its certificate."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from se3ref.so3 import reflection, rotation_from_axis_angle
from se3ref.systems import Structure, datasets
from se3ref.verify.certificates import certify

H, C, O, F, S, CL, BR = 1, 6, 8, 9, 16, 17, 35
PRL = "Pozdnyakov et al., Phys. Rev. Lett. 125 (2020) 166001"
DOJO = "Joshi et al., ICML 2023, arXiv:2301.09308"
DISTANCES = "Pozdnyakov and Ceriotti, Mach. Learn.: Sci. Technol. 3 (2022) 045020"


@dataclass(frozen=True, eq=False)
class Exhibit:
    """Two structures, and what is claimed of them; `certificate` computes it.

    centre: the atom whose surroundings are meant, the same index in both; None where no atom stands out.
    cutoff: angstrom; nearer than that the centre sees its neighbours (without a centre, every atom all others).
    verdict: of `congruence`: "same", "mirror" or "different".
    fools: what the pair fools, in a sentence;  source: where it comes from.
    order: the least body order that tells a from b, as `Certificate.order`; None where none does.  4 bodies are signed
        there; of a "mirror" pair, no unsigned order does.
    rounds: how many rounds of distances and species passed on tell a from b, as `Certificate.rounds`; None: never.
    degree: the lowest lmax with which harmonics of the centre's neighbours, coupled to scalars of that body order, tell
        a from b; None without a centre or an order.
    """
    name: str
    a: Structure
    b: Structure
    centre: int | None
    cutoff: float
    verdict: str
    fools: str
    source: str
    order: int | None = None
    degree: int | None = None
    rounds: int | None = None

    @cached_property
    def certificate(self):
        """What is found when the pair is put to the test: a `Certificate`."""
        return certify(self.a, self.b, self.centre, self.cutoff)

    def __repr__(self):
        return f"Exhibit({self.name}: {self.verdict}, order {self.order}; fools {self.fools})"


def museum():
    """All exhibits, a list; each is made from its exact definition, scaled to distances between atoms."""
    return [two_body(), homometric_planar(), homometric_raised(), three_body(), signed_four_body(), antiprisms(),
            centrosymmetric(), twisted_rings(), bent_ends(), swapped_ends(), halogens(), hydrogen_peroxide(),
            dichloroethane(), water(), plane_and_apex(), isosceles_and_apex()]


def _round_a_centre(element, neighbors, others):
    """The central element at the origin, and the elements `neighbors` (one, or one for each) at `others` (n,3)."""
    numbers = np.append(element, np.broadcast_to(neighbors, len(others)))
    return Structure(numbers, np.vstack([np.zeros(3), others]))


def _on_circle(angles, radius=1.0, height=0.0):
    """Points (n,3) on a circle about z, angles in radians."""
    angles = np.asarray(angles, float)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles), np.full(angles.shape, float(height))], 1)


def _mirror_pair(structure, normal=(1, 2, 3), **claims):
    return Exhibit(a=structure, b=structure.rotated(reflection(normal)), **claims)


# --- body order: what a centre sees ---------------------------------------------------------------------------

def two_body():
    """Water bent and straight: two bonds of one length, at 104.5 and at 180 degrees."""
    a, b = (_round_a_centre(O, H, _on_circle([0, np.radians(angle)], 0.96)) for angle in (104.5, 180))
    return Exhibit("two_body", a, b, centre=0, cutoff=1.2, verdict="different", order=3, degree=1,
                   fools="every sum over bonds of a function of their length", source="elementary")


def homometric_planar():
    """The corners 0, 1, 2, 5 and 0, 1, 3, 4 of an octagon round the centre.

    The six pairs of either set are 1, 1, 2, 3, 3 and 4 steps round the octagon apart.
    """
    return _homometric("homometric_planar", height=0.0, cutoff=2.4)


def homometric_raised():
    """The same two sets, raised above the plane of the centre."""
    return _homometric("homometric_raised", height=1.0, cutoff=2.6)


def _homometric(name, height, cutoff):
    a, b = (_round_a_centre(S, F, _on_circle(np.pi / 4 * np.array(corners), 1.9, height))
            for corners in ([0, 1, 2, 5], [0, 1, 3, 4]))
    return Exhibit(name, a, b, centre=0, cutoff=cutoff, verdict="different", order=4, degree=2, rounds=2,
                   fools="every sum over pairs of bonds of a function of both lengths and the angle",
                   source="Patterson, Phys. Rev. 65 (1944) 195")


def three_body():
    """Four neighbours in a plane above the centre, one of which may stand on either side."""
    a, b = (_round_a_centre(S, F, 1.6 * np.array([[1, 0, 1], [1, 1, 1], [-1, -1, 1], [0, side, 1.0]]))
            for side in (1, -1))
    return Exhibit("three_body", a, b, centre=0, cutoff=3.2, verdict="different", order=4, degree=2, rounds=2,
                   fools="every sum over pairs of bonds of a function of both lengths and the angle",
                   source=f"{PRL}, fig. 1b; coordinates: {DOJO}")


def signed_four_body():
    """A scalene triangle above the centre, the same one turned below it, and an apex above or below.

    Without the apex, a and b are one.  Two atoms and the apex: half a turn about a horizontal axis turns the apex over
    and exchanges the places of the two atoms, or, if they are of one triangle, brings them where the same two of the
    other one were, but for a turn about the vertical.  So every triple of neighbours of a has its own in b, handedness
    included.
    """
    triangle = np.arctan2([0, 4, 3], [5, 3, -4])
    rings = np.vstack([_on_circle(triangle, 5, 2), _on_circle(triangle - 0.7, 5, -2)])
    a, b = (_round_a_centre(S, F, 0.4 * np.vstack([rings, [0, 0, apex]])) for apex in (5, -5))
    return Exhibit("signed_four_body", a, b, centre=0, cutoff=2.6, verdict="different", order=5, degree=2, rounds=2,
                   fools="every sum over triples of bonds, handedness included", source=f"after {PRL}, fig. 2")


def twisted_rings():
    """A square of F above the centre and one of Cl below: eclipsed, the corners of a cube, and staggered.

    Harmonics of order m see a ring of L atoms through sum_k exp(i m phi_k), which is zero unless L divides m.  Below
    degree L = 4 only m = 0 is left: what the axis alone gives, whatever the twist.  With this cutoff only the centre
    has neighbours, so that no number of layers helps.
    """
    radius, height = 2 * np.sqrt(2 / 3), 2 / np.sqrt(3)
    quarters = np.pi / 2 * np.arange(4)
    a, b = (_round_a_centre(S, [F] * 4 + [CL] * 4, np.vstack([
        _on_circle(quarters, radius, height), _on_circle(quarters + turn, radius, -height)]))
        for turn in (0, np.pi / 4))
    return Exhibit("twisted_rings", a, b, centre=0, cutoff=2.3, verdict="different", order=3, degree=4,
                   fools="harmonics of degree below 4, at any body order and depth",
                   source=f"after {DOJO}, section on rotational symmetry")


# --- distances alone ------------------------------------------------------------------------------------------

def antiprisms():
    """SF6 squeezed and stretched along a threefold axis: three axes of atoms +-u, all cosines 0.15 or all -0.15."""
    a, b = (_round_a_centre(S, F, 1.58 * _axes([1, 1, 1], [cosine] * 3)) for cosine in (0.15, -0.15))
    return Exhibit("antiprisms", a, b, centre=0, cutoff=3.5, verdict="different", order=4, degree=2,
                   fools="every network that passes distances and species, at any depth and cutoff",
                   source=f"after {DISTANCES}")


def centrosymmetric():
    """Six sulphur atoms on three axes of lengths 1 : 1.2 : 1.4; one of the three cosines changes its sign.

    The pairs +-u, +-v have the distances u^2 + v^2 -+ 2 u.v, each twice, whatever the sign of u.v.  Each atom sees the
    same distances in a and b, to atoms that see the same distances, and so on.  No choice of +-u changes the sign of
    the product of the three cosines: it shows in the triangles of three atoms, one of each axis.
    """
    a, b = (Structure([S] * 6, 1.5 * _axes([1, 1.2, 1.4], [0.25, sign * 0.2, 0.3])) for sign in (1, -1))
    return Exhibit("centrosymmetric", a, b, centre=None, cutoff=4.5, verdict="different", order=3,
                   fools="every network that passes distances and species, at any depth and cutoff",
                   source=f"after {DISTANCES}")


def _axes(lengths, cosines):
    """+u and -u of three axes with cosines (12, 13, 23): rows of the Cholesky factor of their Gram matrix; (6,3)."""
    gram = np.eye(3)
    gram[[0, 0, 1], [1, 2, 2]] = gram[[1, 2, 2], [0, 0, 1]] = cosines
    u = np.linalg.cholesky(gram) * np.asarray(lengths, float)[:, None]
    return np.vstack([u, -u])


# --- depth ----------------------------------------------------------------------------------------------------

def bent_ends(carbons=3):
    """A straight chain of carbon with a bent H at each end, on opposite sides or on the same side.

    An atom must hear of the directions at both ends, and multiply them: those in the middle can after
    (carbons + 1) / 2 layers, if atoms multiply what they have gathered; where directions meet along edges only, a walk
    must lead from one end to the other and back.  Lengths and angles between neighbours are the same everywhere.
    """
    chain = np.array([[1.3 * k, 0, 0] for k in range(carbons)])
    along, across = 1.09 / 2, 1.09 * np.sqrt(0.75)                   # 120 degrees from the chain
    a, b = (Structure([H] + [C] * carbons + [H], np.vstack([
        [-along, across, 0], chain, [chain[-1, 0] + along, side * across, 0]])) for side in (-1, 1))
    return Exhibit("bent_ends", a, b, centre=(carbons + 1) // 2, cutoff=1.6, verdict="different",
                   fools="every network that passes lengths and angles between neighbours, at any depth",
                   source=f"after Schuett et al., ICML 2021, arXiv:2102.03150, and {DOJO}")


def swapped_ends(left=2):
    """Chains F C C O C C C Cl and Cl C C O C C C F, with `left` carbons and one more: only the ends differ.

    The O hears of the nearer end after left + 1 layers, whatever it is told.
    """
    right = left + 1
    carbons = np.append(np.arange(-left, 0), np.arange(1, right + 1))
    bonds, pair = {F: 1.35, CL: 1.75}, []
    for first, last in ((F, CL), (CL, F)):
        x = np.array([0, *1.3 * carbons, -1.3 * left - bonds[first], 1.3 * right + bonds[last]])
        pair.append(Structure([O, *[C] * (left + right), first, last], x[:, None] * [1.0, 0, 0]))
    return Exhibit("swapped_ends", *pair, centre=0, cutoff=2.0, verdict="different", rounds=left + 1,
                   fools=f"every network of at most {left} layers, read at the oxygen", source="elementary")


# --- mirror images --------------------------------------------------------------------------------------------

def halogens():
    """CHFClBr and its mirror image: four different bonds at tetrahedral angles."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    molecule = _round_a_centre(C, [H, F, CL, BR], corners * np.array([[1.09], [1.36], [1.76], [1.93]]))
    return _mirror_pair(molecule, name="halogens", centre=0, cutoff=2.3, verdict="mirror", order=4, degree=1,
                        fools="every invariant without a sign: distances, angles, networks of even parity",
                        source="tetrahedral angles, bond lengths as in the halomethanes")


def hydrogen_peroxide():
    """H2O2 with torsions of 115 and of -115 degrees."""
    turn = rotation_from_axis_angle([1.0, 0, 0], np.radians(115))
    bent = 0.965 * np.array([np.cos(np.radians(101)), np.sin(np.radians(101)), 0])
    molecule = Structure([O, O, H, H], [[0, 0, 0], [1.45, 0, 0], bent, turn @ (bent * [-1, 1, 1]) + [1.45, 0, 0]])
    return _mirror_pair(molecule, normal=(0, 0, 1), name="hydrogen_peroxide", centre=None, cutoff=4.0,
                        verdict="mirror", order=4, fools="every invariant without a sign, cosines of "
                        "torsions among them", source="O-O 1.45, O-H 0.965 angstrom, O-O-H 101 degrees")


def dichloroethane():
    """The two gauche forms of 1,2-dichloroethane, Cl-C-C-Cl at 68 and at -68 degrees."""
    frames = datasets.load("dichloroethane")
    molecule = frames.structure(int(np.abs(frames.extra["phi_deg"] - 68).argmin()))
    return _mirror_pair(molecule, name="dichloroethane", centre=None, cutoff=6.0, verdict="mirror", order=4,
                        fools="every invariant without a sign", source='systems.datasets: "dichloroethane"')


# --- controls: one structure twice ----------------------------------------------------------------------------

def water():
    """Water and its mirror image: achiral, so a rotation does what the mirror did."""
    angle = np.radians(104.5)
    return _mirror_pair(_round_a_centre(O, H, _on_circle([0, angle], 0.96)), name="water", centre=0, cutoff=1.2,
                        verdict="same", fools="nothing: no invariant may tell them apart",
                        source="elementary")


def plane_and_apex():
    """An isosceles triangle in the plane of the centre, an apex above or below: half a turn exchanges them."""
    triangle = _on_circle(np.arctan2([-4, 5, -4], [3, 0, -3]), 5)
    a, b = (_round_a_centre(S, F, 0.4 * np.vstack([triangle, [0, 0, apex]])) for apex in (5, -5))
    return _control("plane_and_apex", a, b, 'as "four-body chiral"')


def isosceles_and_apex():
    """`signed_four_body` with an isosceles triangle: half a turn exchanges the triangles, and above and below."""
    triangle = np.arctan2([-4, 5, -4], [3, 0, -3])
    rings = np.vstack([_on_circle(triangle, 5, 2), _on_circle(triangle + np.pi / 5, 5, -2)])
    a, b = (_round_a_centre(S, F, 0.4 * np.vstack([rings, [0, 0, apex]])) for apex in (5, -5))
    return _control("isosceles_and_apex", a, b, 'as "four-body non-chiral"')


def _control(name, a, b, label):
    return Exhibit(name, a, b, centre=0, cutoff=2.6, verdict="same",
                   fools="nothing: published as two structures, it is one, turned",
                   source=f"notebook incompleteness of geometric-gnn-dojo, the code of {DOJO}, {label}")
