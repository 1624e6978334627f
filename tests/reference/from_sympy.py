"""Record exact Clebsch-Gordan, 3j, 6j, 9j and Gaunt coefficients from SymPy as signed squares of rationals.

The signed square of c is c |c|. For coupling coefficients it is a rational p/q, so that
c = sign(p) sqrt(|p| / q) is kept without rounding in a short string. A Gaunt coefficient carries 1/sqrt(pi):
its signed square is multiplied by pi first.
"""

import json
import random
from itertools import product

import sympy
from sympy import Integer, N, Rational, pi, sqrt
from sympy.physics.wigner import clebsch_gordan, gaunt, wigner_3j, wigner_6j, wigner_9j

DECIMALS = 30


def signed_square(value):
    """c |c| of an exact real SymPy number, which must come out rational."""
    square = sympy.simplify(value * abs(value))
    assert square.is_rational, value
    return square


def triangle(rng, lmax, forced=None):
    """Random degrees (l1, l2, l3), at most lmax, that obey the triangle rule; l1 = forced where given."""
    l1 = rng.randint(0, lmax) if forced is None else forced
    l2 = rng.randint(0, lmax)
    return l1, l2, rng.randint(abs(l1 - l2), min(l1 + l2, lmax))


def orders(rng, l1, l2, l3):
    """Random m1, m2 and m1 + m2 within their degrees."""
    allowed = [(a, b) for a, b in product(range(-l1, l1 + 1), range(-l2, l2 + 1)) if abs(a + b) <= l3]
    m1, m2 = rng.choice(allowed)
    return m1, m2, m1 + m2


def distinct(draw, count):
    """The first `count` different results of draw(), sorted."""
    found = set()
    while len(found) < count:
        found.add(draw())
    return sorted(found)


def clebsch_gordan_table(rng):
    """Rows [l1, m1, l2, m2, l3, m3, signed square]: 60 to l = 4, 50 to l = 12, 40 with l1 = 20."""
    def draw(lmax, forced=None):
        l1, l2, l3 = triangle(rng, lmax, forced)
        m1, m2, m3 = orders(rng, l1, l2, l3)
        return l1, m1, l2, m2, l3, m3

    keys = distinct(lambda: draw(4), 60) + distinct(lambda: draw(12), 50) + distinct(lambda: draw(20, 20), 40)
    return [
        [l1, m1, l2, m2, l3, m3, str(signed_square(clebsch_gordan(l1, l2, l3, m1, m2, m3)))]
        for l1, m1, l2, m2, l3, m3 in keys
    ]


def wigner_3j_table(rng):
    """Rows [l1, l2, l3, m1, m2, m3, signed square], m1 + m2 + m3 = 0: 40 to l = 6, 20 with l1 = 20."""
    def draw(lmax, forced=None):
        l1, l2, l3 = triangle(rng, lmax, forced)
        m1, m2, m3 = orders(rng, l1, l2, l3)
        return l1, l2, l3, m1, m2, -m3

    keys = distinct(lambda: draw(6), 40) + distinct(lambda: draw(20, 20), 20)
    return [[*key, str(signed_square(wigner_3j(*key)))] for key in keys]


def gaunt_table(rng):
    """Rows [l1, l2, l3, m1, m2, m3, signed square times pi, exact, decimals] of int Y_1 Y_2 Y_3.

    Complex harmonics with the Condon-Shortley sign; 40 rows to l = 8, l1 + l2 + l3 even (else it vanishes).
    """
    def draw():
        while True:
            l1, l2, l3 = triangle(rng, 8)
            if (l1 + l2 + l3) % 2 == 0:
                m1, m2, m3 = orders(rng, l1, l2, l3)
                return l1, l2, l3, m1, m2, -m3

    rows = []
    for key in distinct(draw, 40):
        value = gaunt(*key)
        rows.append([*key, str(signed_square(value * sqrt(pi))), str(value), str(N(value, DECIMALS))])
    return rows


def wigner_6j_table(rng):
    """Rows [l1, ..., l6, signed square] of {l1 l2 l3; l4 l5 l6}: 40 to l = 4, 20 to l = 10."""
    def allowed(a, b, c):
        return abs(a - b) <= c <= a + b

    def draw(lmax):
        while True:
            a, b, c, d, e, f = (rng.randint(0, lmax) for _ in range(6))
            if allowed(a, b, c) and allowed(a, e, f) and allowed(d, b, f) and allowed(d, e, c):
                return a, b, c, d, e, f

    keys = distinct(lambda: draw(4), 40) + distinct(lambda: draw(10), 20)
    return [[*key, str(signed_square(wigner_6j(*key)))] for key in keys]


def wigner_9j_table(rng):
    """Rows [l11, l12, ..., l33, signed square], row by row: 25 to l = 3, all six triads allowed."""
    def draw():
        while True:
            rows = [triangle(rng, 3) for _ in range(3)]
            if all(abs(a - b) <= c <= a + b for a, b, c in zip(*rows, strict=True)):
                return tuple(sum(rows, ()))

    return [[*key, str(signed_square(wigner_9j(*key)))] for key in distinct(draw, 25)]


def named_values():
    """Rows [name, exact value as published, decimals, source]; each is checked against SymPy here.

    The Particle Data Group's table is 'Clebsch-Gordan Coefficients, Spherical Harmonics, and d Functions'
    of the Review of Particle Physics; it prints signed squares.
    """
    pdg = "Particle Data Group, Review of Particle Physics, Clebsch-Gordan table"
    known = "SymPy"
    rows = [
        ("3j(2 6 4; 0 0 0)", sqrt(715) / 143, wigner_3j(2, 6, 4, 0, 0, 0), known),
        ("6j{1 1 1; 1 1 1}", Rational(1, 6), wigner_6j(1, 1, 1, 1, 1, 1), known),
        ("6j{2 2 2; 2 2 2}", Rational(-3, 70), wigner_6j(2, 2, 2, 2, 2, 2), known),
        ("9j{1 1 1; 1 1 1; 1 1 0}", Rational(1, 18), wigner_9j(1, 1, 1, 1, 1, 1, 1, 1, 0), known),
        ("Gaunt(2 2 2; 0 0 0)", sqrt(5) / (7 * sqrt(pi)), gaunt(2, 2, 2, 0, 0, 0), known),
        ("<1 1; 1 -1 | 2 0>", sqrt(Rational(1, 6)), clebsch_gordan(1, 1, 2, 1, -1, 0), pdg),
        ("<1 1; 1 -1 | 1 0>", sqrt(Rational(1, 2)), clebsch_gordan(1, 1, 1, 1, -1, 0), pdg),
        ("<1 1; 1 -1 | 0 0>", sqrt(Rational(1, 3)), clebsch_gordan(1, 1, 0, 1, -1, 0), pdg),
        ("<2 0; 2 0 | 4 0>", sqrt(Rational(18, 35)), clebsch_gordan(2, 2, 4, 0, 0, 0), pdg),
        ("<2 0; 2 0 | 2 0>", -sqrt(Rational(2, 7)), clebsch_gordan(2, 2, 2, 0, 0, 0), pdg),
    ]
    for name, published, computed, _ in rows:
        assert sympy.simplify(published - computed) == Integer(0), name
    return [[name, str(value), str(N(value, DECIMALS)), source] for name, value, _, source in rows]


def dump(tables):
    """JSON with one row a line, so that a changed value shows as one changed line."""
    blocks = [f'"source": "SymPy {sympy.__version__}"']
    for name, rows in tables.items():
        lines = ",\n".join(json.dumps(row) for row in rows)
        blocks.append(f'"{name}": [\n{lines}\n]')
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def write(folder):
    """Write sympy_exact.json into the folder (a pathlib.Path)."""
    rng = random.Random(20240613)
    tables = {
        "named": named_values(),
        "clebsch_gordan": clebsch_gordan_table(rng),
        "wigner_3j": wigner_3j_table(rng),
        "gaunt": gaunt_table(rng),
        "wigner_6j": wigner_6j_table(rng),
        "wigner_9j": wigner_9j_table(rng),
    }
    (folder / "sympy_exact.json").write_text(dump(tables))
