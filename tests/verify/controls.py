"""Controls of the audit: what each slip in `broken` must break, by reason and not by trial."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.verify.broken import (
    along_z,
    antisymmetric,
    blind_to_some,
    constant,
    embedding,
    first,
    handed,
    in_single_precision,
    lengths_of_the_cell,
    mean,
    nearest,
    noisy,
    not_a_gradient,
    potential,
    push,
    shared,
    squared,
    twist,
    two_nearest,
    unfaded,
    virial,
    wave,
)


@dataclass(frozen=True)
class Control:
    """make() -> the function; broken: the laws it breaks, its own first; why the others follow."""
    make: Callable
    broken: tuple
    why: str = ""


GRADIENT = "forces that are no gradient have a curl and do work on a closed path"
CONTROLS = {
    "sound": Control(potential, ()),
    "a rotated frame": Control(lambda: potential(along_z), ("rotation", "torque"),
                               "Noether: what turning changes turns"),
    "forces with a curl": Control(lambda: potential(change=not_a_gradient), ("curl", "gradient", "nve"), GRADIENT),
    "a hard cutoff": Control(lambda: potential(unfaded), ("smoothness",)),
    "the two nearest neighbours": Control(lambda: potential(two_nearest), ("smoothness",)),
    "images forgotten": Control(lambda: potential(seen=lambda i, j, shifts, r: ~shifts.any(1)), ("images", "supercell"),
                                "a pair across the border is seen in the larger cell"),
    "the nearest image alone": Control(lambda: potential(seen=nearest), ("supercell", "smoothness"),
                                       "the nearest image changes"),
    "net torque": Control(lambda: potential(change=twist), ("torque", "gradient", "curl", "nve"), GRADIENT),
    "net force": Control(lambda: potential(change=push), ("net_force", "torque", "gradient", "curl", "nve"), GRADIENT),
    "single precision": Control(lambda: in_single_precision(potential()), ()),
    "noise of 1e-3 on forces": Control(lambda: noisy(potential()), ("precision",)),
    "left is not right": Control(lambda: potential(handed), ("reflection",)),
    "a wave fixed in space": Control(lambda: potential(change=wave), (
        "translation", "rotation", "images", "supercell", "net_force", "torque", "extensivity"),
        "Noether; its length is not the cell's, and the copy is elsewhere"),
    "the first atom": Control(lambda: potential(first), ("permutation", "supercell", "extensivity"),
                              "there is one first atom in two cells or copies"),
    "a mean": Control(lambda: potential(change=mean), ("supercell", "extensivity", "locality"),
                      "forces fall with the number of atoms"),
    "energy squared": Control(lambda: potential(change=squared), ("extensivity", "supercell", "locality"),
                              "forces grow with the energy of the rest"),
    "levelling at any distance": Control(lambda: potential(change=shared), ("locality",)),
    "lengths of lattice vectors": Control(lambda: potential(change=lengths_of_the_cell), ("cell_choice", "supercell"),
                                          "the larger cell is another"),
    "forces 1.001 times": Control(lambda: potential(change=lambda a, e, F, s: (e, 1.001 * F, s)), ("gradient", "nve"),
                                  "work is not what the energy loses"),
    "another energy": Control(lambda: potential(change=lambda a, e, F, s: (e + embedding(a)[0], F, s)), (
        "gradient", "stress", "nve"), "stress is a derivative of the energy as well"),
    "pressure for stress": Control(lambda: potential(change=lambda a, e, F, s: (e, F, -s)), ("stress",)),
    "a stress without the volume": Control(lambda: potential(change=virial), ("stress", "supercell"),
                                           "it is twice as much for two cells"),
    "an unsymmetric stress": Control(lambda: potential(change=antisymmetric), ("stress",)),
    "a constant": Control(lambda: constant, ("response",)),
    "NaN in half of all frames": Control(lambda: potential(change=blind_to_some), ("rotation", "reflection"),
                                         "an inversion is one of the frames"),
}
