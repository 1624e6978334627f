"""Bugs planted in parities and in the symmetric contraction; part of the list of `seeded_bugs`."""

import numpy as np

from se3ref.models import heads, mace, nequip, tensors
from se3ref.nn import contraction, couplings, gate
from se3ref.nn.convolution import Path
from se3ref.so3 import Irrep
from tests.seeded_network_bugs import of

S, P, V = Irrep(0, 1), Irrep(0, -1), Irrep(1, -1)


# --- parities -------------------------------------------------------------------------------------------------

def cross_product_called_a_vector():
    """One more path: a vector cross a direction, a pseudovector, is labelled 1o."""
    function = tensors.paths

    def wrong(come, lmax, wanted, group="O(3)"):
        found = function(come, lmax, wanted, group)
        return (*found, Path(V, 1, V)) if V in come and V in wanted and lmax else found
    return [(module, "paths", wrong) for module in (tensors, mace)]


def even_activation_of_pseudoscalars():
    return [(gate, "tanh", lambda x: gate.silu(x)[0])]


def pseudoscalars_added_to_scalars():
    function = nequip.gated

    def leaky(h, opening="sigmoid"):
        y, pull = function(h)
        if not {S, P} <= set(y) or y[S].shape != y[P].shape:
            return y, pull

        def pull_leaky(dy):
            return pull({**dy, P: dy[P] + dy[S]})
        return {**y, S: y[S] + y[P]}, pull_leaky
    return [(nequip, "gated", leaky)]


def a_pseudoscalar_read_off_scalars():
    return [(heads, "PARTS", heads.PARTS | {"pseudoscalar": S})]


def products_of_either_parity():
    """Those that turn as the target under rotations, whatever a mirror does to them."""
    function = contraction.symmetric_couplings

    def both(irreps, target, nu):
        return np.concatenate([function(irreps, Irrep(target.l, p), nu) for p in (target.p, -target.p)])
    return [(module, "symmetric_couplings", both) for module in (couplings, contraction, mace)]


# --- the contraction ------------------------------------------------------------------------------------------

def basis_changed(change):
    """What Gram and Schmidt found for one choice of irreps: change(list of g) -> the same, wrong."""
    def plant():
        function = couplings._independent
        return [(couplings, "_independent", lambda *args: change(function(*args)))]
    return plant


def a_millionth(basis):
    for g in basis[-1:]:
        g.flat[np.flatnonzero(g)[-1]] += 1e-6
    return basis


def one_dropped(basis):
    return basis[:-1] if len(basis) > 1 else basis


def other_sign(basis):
    return [*basis[:-1], *(-g for g in basis[-1:])]


def not_orthogonal(basis):
    return [*basis[:1], *(0.8 * g + 0.6 * basis[0] for g in basis[1:])]


def half_the_slope_of_one_degree():
    """The pullback to the features takes the products of highest degree by half."""
    function = contraction.contract

    def halved(params, h, rows):
        highest = {name: {nu: W for nu, W in own.items() if nu == max(own)} for name, own in params.items()}
        (y, pull), (_, pull_highest) = function(params, h, rows), function(highest, h, rows)

        def pull_less(dy):
            (dparams, dh), (_, less) = pull(dy), pull_highest(dy)
            return dparams, {irrep: dh[irrep] - 0.5 * less[irrep] for irrep in dh}
        return y, pull_less
    return [(module, "contract", halved) for module in (contraction, mace)]


def weights_of_another_species():
    function = contraction._coefficients
    return [(contraction, "_coefficients", lambda *args: function(*args)[::-1])]


def factor_of_another_component():
    """Products of degree 2 and more whose last factor is one component off."""
    function = contraction._blocks
    return [(contraction, "_blocks", lambda dim, nu: [(below, block, max(a - 1, 0))
                                                      for below, block, a in function(dim, nu)])]


PARITY, CONTRACTION = "models/test_parity", "nn/test_contraction"
IN_A_MIRROR, TURNED = "P59_every_output_obeys_its_law[{},mirror]", "P59_every_output_obeys_its_law[{},rotation]"
COUNT = of(CONTRACTION, "there_are_as_many_paths_as_characters_say[natural to 2,3]", "dimensions_add_up")
BASIS, FROZEN = of(CONTRACTION, "paths_are_orthonormal[natural to 2,3]"), of(CONTRACTION, "the_basis_is_frozen")
EQUIVARIANT = of(CONTRACTION, "P25_couplings_are_equivariant[natural to 2,3]")
DEFINITION = of(CONTRACTION, "the_fast_form_is_the_definition")
LAYER_TURNS = of(CONTRACTION, "P32_equivariance")
PULLBACK = of("nn/test_layers", "P40_P41_pullbacks")
MACE_TURNS = of("models/test_laws", "P32_rotations[MACE,cluster,False]")
MACE_FORCES = of("models/test_mechanics", "P45_forces_are_the_gradient[MACE,cluster,False]")

# name, plant, caught, blind
PARITY_BUGS = [
    ("parity label of one path flipped", cross_product_called_a_vector,
     of(PARITY, *(IN_A_MIRROR.format(name) for name in ("NequIP", "MACE")), "trans_dichloroethane_has_no_dipole"),
     of(PARITY, *(TURNED.format(name) for name in ("NequIP", "MACE")), "SO3_obeys_rotations")),
    ("pseudoscalars through an even function", even_activation_of_pseudoscalars,
     of(PARITY, IN_A_MIRROR.format("NequIP with 0o"), "P59_pseudoscalars_vanish_on_achiral_shapes_only")
     + of("nn/test_gate", "P32_under_rotations_and_reflections[gated]"),
     of(PARITY, TURNED.format("NequIP with 0o"))),
    ("pseudoscalars added to scalars", pseudoscalars_added_to_scalars,
     of(PARITY, IN_A_MIRROR.format("NequIP with 0o")),
     of(PARITY, TURNED.format("NequIP with 0o"), "P41_pullbacks_of_the_heads[NequIP with 0o]",
        "P59_pseudoscalars_vanish_on_achiral_shapes_only")),
    ("a pseudoscalar read off scalars", a_pseudoscalar_read_off_scalars,
     of(PARITY, IN_A_MIRROR.format("MACE all parities"), "P59_pseudoscalars_vanish_on_achiral_shapes_only"),
     of(PARITY, TURNED.format("MACE all parities"), "P41_pullbacks_of_the_heads")),
    ("products of either parity", products_of_either_parity,
     COUNT + EQUIVARIANT + of(PARITY, IN_A_MIRROR.format("MACE all parities")),
     BASIS + of(PARITY, TURNED.format("MACE all parities"))),
    ("one coefficient of the contraction + 1e-6", basis_changed(a_millionth),
     BASIS + EQUIVARIANT + FROZEN + LAYER_TURNS + of(CONTRACTION, "three_equal_factors_with_one_path") + MACE_TURNS,
     COUNT + DEFINITION + PULLBACK + MACE_FORCES),
    ("one path of the contraction dropped", basis_changed(one_dropped),
     COUNT + FROZEN + of(CONTRACTION, "what_one_writes_with_arrows_is_among_them"), BASIS + EQUIVARIANT),
    ("paths that are not orthogonal", basis_changed(not_orthogonal), BASIS + FROZEN,
     COUNT + EQUIVARIANT + LAYER_TURNS + DEFINITION),
    ("a path of the contraction with the other sign", basis_changed(other_sign), FROZEN,
     COUNT + BASIS + EQUIVARIANT + LAYER_TURNS + DEFINITION + of(CONTRACTION, "three_equal_factors_with_one_path")),
    ("a factor of another component", factor_of_another_component,
     DEFINITION + LAYER_TURNS + of(CONTRACTION, "monomials_stand_where_equation_3_says") + MACE_TURNS,
     PULLBACK + MACE_FORCES + of(CONTRACTION, "terms_of_degree_nu_scale_with_its_power")),
    ("half the slope of the products of highest degree", half_the_slope_of_one_degree, PULLBACK + MACE_FORCES,
     DEFINITION + LAYER_TURNS + MACE_TURNS),
    ("weights of another species", weights_of_another_species,
     DEFINITION + PULLBACK + of(CONTRACTION, "weights_are_those_of_the_species"),
     LAYER_TURNS + MACE_FORCES + MACE_TURNS),
]
