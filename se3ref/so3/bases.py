r"""Named conventions for spherical harmonics, and the matrices that change between them and ours.

A convention for spherical harmonics is a polar axis, real or complex functions, an order of the m, signs and a
normalisation.  All of them span the same space of functions, so one matrix a degree goes from ours to any other,

    Y_named(x) = B Y_integral(x),      B = s diag(sigma) P V D(R)                                        (1)

read from the right:
    D(R)    the polar axis.  Ours is y; X, Y, Z = z, x, y are the axes of phi = 0, phi = 90 degrees and the pole.
            With pole z these are x, y, z.  The point R x = (y, z, x) has in our frame the coordinates that
            x = (x, y, z) has in theirs, so theirs is Y(R x) = D(R) Y(x).
    V       complex functions e^{i m phi} from the real ones, cos m phi at +m and sin m phi at -m:
            Y_{+-m} = (Y_cos +- i Y_sin) / sqrt 2, or their conjugates.  Real conventions: 1.
    P       the order of the components, a permutation.
    sigma   the sign of Condon and Shortley, or none: (-1)^m for m > 0 on complex functions.  Real functions made
            of such complex ones, sqrt 2 Re Y_m and sqrt 2 Im Y_m, inherit it at +m and -m both.
    s       the normalisation: 1 for `integral`, sqrt(4 pi) for `component`, sqrt(4 pi/(2l+1)) for `norm`.

Every factor but s is unitary:  B B^dagger = s^2 1,  and back goes  B^-1 = B^dagger / s^2.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from se3ref.so3.coupling import complex_from_real
from se3ref.so3.wigner import wigner_D


@dataclasses.dataclass(frozen=True)
class Convention:
    """One row of the table; form is "real", "complex" or "conjugate", order(l) lists the m of the components."""
    axis: str
    form: str
    order: Callable
    condon_shortley: bool
    normalization: str
    source: str


def _ascending(l):
    return list(range(-l, l + 1))


def _p_as_xyz(l):
    return [1, -1, 0] if l == 1 else _ascending(l)


def _molden_order(l):
    return [1, -1, 0] if l == 1 else [0, *(sign * m for m in range(1, l + 1) for sign in (1, -1))]


_NAMED = {
    "e3nn": Convention("y", "real", _ascending, False, "integral",
                       "e3nn, o3.spherical_harmonics(..., normalization='integral')"),
    "sphericart": Convention("z", "real", _ascending, False, "integral", "sphericart, SphericalHarmonics"),
    "scipy": Convention("z", "complex", _ascending, True, "integral", "SciPy, special.sph_harm_y(l, m, theta, phi)"),
    "scipy_conjugate": Convention("z", "conjugate", _ascending, True, "integral",
                                  "conjugates of SciPy's, which turn as coefficients do: sum_m c_m Y_m becomes "
                                  "sum_m (D c)_m Y_m. D of SymPy's wigner_d and of quantum mechanics"),
    "scipy_real": Convention("z", "real", _ascending, True, "integral",
                             "sqrt 2 Re Y_l^m for m > 0, sqrt 2 Im Y_l^|m| for m < 0, Y_l^0; Y of SciPy"),
    "pyscf": Convention("z", "real", _p_as_xyz, False, "integral",
                        "PySCF, spherical Gaussians: p in the order x, y, z, from d on m = -l..l"),
    "molden": Convention("z", "real", _molden_order, False, "integral",
                         "Molden file format, 5D 7F 9G: p in the order x, y, z, from d on m = 0, +1, -1, +2, -2, ..."),
    "e3nn_component": Convention("y", "real", _ascending, False, "component", "e3nn, normalization='component'"),
    "e3nn_norm": Convention("y", "real", _ascending, False, "norm", "e3nn, normalization='norm'"),
}


def names():
    """{name: Convention} of every convention that `change_of_basis` knows."""
    return dict(_NAMED)


def change_of_basis(name, l):
    """B (2l+1, 2l+1) with Y_named(x) = B Y_integral(x): from our harmonics in `integral` normalisation to named ones.

    By equation (1) of `bases`; complex for complex harmonics, else real.  Laws: B B^dagger = s^2 1, so that the
    inverse is B^dagger / s^2; D_named(R) = B D(R) B^-1.  ValueError for l < 0 and for an unknown name (`names()`
    lists them all).
    """
    if name not in _NAMED:
        raise ValueError(f"no convention is named {name!r}; known are {', '.join(_NAMED)}")
    convention = _NAMED[name]
    B = plain_basis(convention.axis, convention.form, l)[[l + m for m in convention.order(l)]]
    if convention.condon_shortley:
        B = condon_shortley(convention.form, convention.order(l))[:, None] * B
    return scale(convention.normalization, l) * B


def plain_basis(axis, form, l):
    """V D(R) of equation (1): m = -l..l about the polar axis, no signs, `integral`."""
    D = wigner_D(l, np.roll(np.eye(3), "xyz".index(axis) - 1, axis=1))     # (R x)_y is the component of x on `axis`
    if form == "real":
        return D
    V = condon_shortley(form, _ascending(l))[:, None] * complex_from_real(l)           # which has the sign: undone
    return (V if form == "complex" else V.conj()) @ D


def condon_shortley(form, order):
    """sigma of equation (1): the sign of each component of the given m."""
    m = np.array(order)
    return np.where((m > 0) | (form == "real"), (-1.0) ** m, 1.0)


def scale(normalization, l):
    """s of equation (1)."""
    return {"integral": 1.0, "component": math.sqrt(4 * math.pi),
            "norm": math.sqrt(4 * math.pi / (2 * l + 1))}[normalization]
