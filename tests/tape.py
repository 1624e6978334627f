r"""A tape: reverse-mode differentiation whose pullbacks are themselves on the tape; the oracle for second derivatives.

The library has no tape: its pullbacks are written by hand, and its second derivatives come from the complex step.
Here nothing is shared with it.  Every operation of real arrays records its parents and, for each, a function from
the cotangent of the result to that of the parent, written in operations of this file.  So `grad` gives a Var again,
which can be differentiated in turn: reverse over reverse, as automatic differentiation packages do it.

    x = Var(np.array([1.0, 2.0]))
    (g,) = grad(total(exp(x) * x), [x])
    (gg,) = grad(total(g * g), [x])

Every linear operation stands beside its transpose (spread and collect, take and put, reshape and reshape, a sum of
products in `einsum` and another one), so that each is the other's pullback.
"""

import functools
import itertools

import numpy as np

_clock = itertools.count()


class Var:
    """An array on the tape: its value, and pairs (parent, function from this cotangent to the parent's).

    `age` counts the Vars made so far: a child is always younger than its parents.
    """
    __array_ufunc__ = None                                     # array * Var is left to Var

    def __init__(self, value, parents=()):
        self.value = np.asarray(value)
        if self.value.dtype.kind != "f":
            raise TypeError(f"the tape is real; got {self.value.dtype}")
        self.parents, self.age = parents, next(_clock)

    @property
    def shape(self):
        return self.value.shape

    def __add__(self, other):
        a, b = _together(self, other)
        return Var(a.value + b.value, ((a, lambda g: g), (b, lambda g: g)))

    def __mul__(self, other):
        a, b = _together(self, other)
        return Var(a.value * b.value, ((a, lambda g: g * b), (b, lambda g: g * a)))

    def __neg__(self):
        return Var(-self.value, ((self, lambda g: -g),))

    def __sub__(self, other):
        return self + -var(other)

    def __rsub__(self, other):
        return var(other) + -self

    def __truediv__(self, other):
        return self * reciprocal(var(other))

    def __rtruediv__(self, other):
        return var(other) * reciprocal(self)

    def __matmul__(self, other):
        rows = reshape(self, (-1, self.shape[-1]))
        return reshape(einsum("ab,bc->ac", rows, other), (*self.shape[:-1], other.shape[1]))

    def __getitem__(self, key):
        return take(self, key)

    __radd__, __rmul__ = __add__, __mul__


def var(x):
    """A Var stays one; an array or a number becomes one without parents."""
    return x if isinstance(x, Var) else Var(np.asarray(x, np.float64))


def grad(y, xs):
    """dy/dx for each x of a list, as Vars; y is a single number.  x without influence gets zeros."""
    reached, waiting = {}, [y]
    while waiting:
        node = waiting.pop()
        if node.age not in reached:
            reached[node.age] = node
            waiting += [parent for parent, _ in node.parents]
    leading = {x.age for x in xs}                              # to some x: the others' cotangents are not asked for
    for age in sorted(reached):                                # parents before children
        if any(parent.age in leading for parent, _ in reached[age].parents):
            leading.add(age)
    cotangents = {y.age: Var(np.ones(y.shape))}
    for age in sorted(leading & set(reached), reverse=True):   # children before parents
        for parent, pull in reached[age].parents:
            if parent.age not in leading:
                continue
            g = pull(cotangents[age])
            cotangents[parent.age] = cotangents[parent.age] + g if parent.age in cotangents else g
    return [cotangents[x.age] if x.age in cotangents else Var(np.zeros(x.shape)) for x in xs]


# --- shapes ---------------------------------------------------------------------------------------------------

def _together(a, b):
    a, b = var(a), var(b)
    if a.shape == b.shape:
        return a, b
    shape = np.broadcast_shapes(a.shape, b.shape)
    return spread(a, shape), spread(b, shape)


def spread(x, shape):
    """NumPy's broadcasting."""
    return x if x.shape == shape else Var(np.broadcast_to(x.value, shape), ((x, lambda g: collect(g, x.shape)),))


def collect(x, shape):
    """The transpose of `spread`: sums over the axes along which it copied."""
    if x.shape == shape:
        return x
    added = len(x.shape) - len(shape)
    ones = tuple(k + added for k, size in enumerate(shape) if size == 1)
    value = x.value.sum((*range(added), *ones), keepdims=True).reshape(shape)
    return Var(value, ((x, lambda g: spread(g, x.shape)),))


def reshape(x, shape):
    return Var(x.value.reshape(shape), ((x, lambda g: reshape(g, x.shape)),))


def total(x, axis=None):
    """The sum over one axis, or over all."""
    if axis is None:
        return reshape(collect(x, (1,) * len(x.shape)), ())
    shape = list(x.shape)
    shape[axis] = 1
    summed = collect(x, tuple(shape))
    del shape[axis]
    return reshape(summed, tuple(shape))


def take(x, key):
    """x[key], any key of NumPy."""
    return Var(x.value[key], ((x, lambda g: put(g, key, x.shape)),))


def put(x, key, shape):
    """The transpose of `take`: zeros of a shape, to which x is added at [key], twice where key says so twice."""
    value = np.zeros(shape)
    np.add.at(value, key, x.value)
    return Var(value, ((x, lambda g: take(g, key)),))


def concatenate(xs, axis):
    """NumPy's, as a sum of puts."""
    ends = np.cumsum([0, *(x.shape[axis] for x in xs)]).tolist()
    shape = list(xs[0].shape)
    shape[axis] = ends[-1]
    before = (slice(None),) * (axis % len(shape))
    return sum(put(x, (*before, slice(a, b)), tuple(shape))
               for x, a, b in zip(xs, ends[:-1], ends[1:], strict=True))


def einsum(spec, *xs):
    """np.einsum.  Its pullback to one factor is the einsum of the cotangent with the others.

    An index that only this factor has was summed: its cotangent is the same along it, so ones are put in.
    """
    xs = [var(x) for x in xs]
    inputs, out = spec.split("->")
    inputs = inputs.split(",")

    def pull(k):
        def pull_k(g):
            others = [x for j, x in enumerate(xs) if j != k]
            names = [out, *(name for j, name in enumerate(inputs) if j != k)]
            alone = [axis for axis, letter in enumerate(inputs[k]) if letter not in "".join(names)]
            ones = [np.ones(xs[k].shape[axis]) for axis in alone]
            names += [inputs[k][axis] for axis in alone]
            return einsum(",".join(names) + "->" + inputs[k], g, *others, *ones)
        return pull_k
    value = np.einsum(spec, *(x.value for x in xs), optimize=_order(spec, *(x.shape for x in xs)))
    return Var(value, tuple((x, pull(k)) for k, x in enumerate(xs)))


@functools.cache
def _order(spec, *shapes):
    """In which order np.einsum multiplies; finding it takes longer than the products."""
    return len(shapes) > 2 and np.einsum_path(spec, *(np.broadcast_to(0.0, shape) for shape in shapes))[0]


# --- functions ------------------------------------------------------------------------------------------------

def _function(f, df):
    """An elementwise function; df(x, y) is its derivative in terms of x and y = f(x), on the tape."""
    def function(x):
        y = Var(f(x.value))
        y.parents = ((x, lambda g: g * df(x, y)),)
        return y
    return function


exp = _function(np.exp, lambda x, y: y)
sin = _function(np.sin, lambda x, y: cos(x))
cos = _function(np.cos, lambda x, y: -sin(x))
tanh = _function(np.tanh, lambda x, y: 1 - y * y)
sqrt = _function(np.sqrt, lambda x, y: 0.5 / y)
reciprocal = _function(np.reciprocal, lambda x, y: -y * y)


def sigmoid(x):
    return 0.5 * tanh(0.5 * x) + 0.5


def silu(x):
    return x * sigmoid(x)
