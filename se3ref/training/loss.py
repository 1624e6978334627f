r"""The loss on energies, forces, stress and other outputs, and its exact gradient by one complex step.

    L = sum_k weight_k mean(d_k^2)                                                                    (1)

d_k are the errors: of energies per atom, of the components of forces, stresses, dipoles, and so on.  Forces are
already a derivative of the energy, so the gradient of their loss asks for mixed second derivatives.  With v = dL/dF
and F = -dE/dr, and because mixed partial derivatives commute,

    sum v . dF/dtheta  =  - d/dtheta d/dh E(r + h v)  =  - d/dh grad_theta E(r + h v)     at h = 0.    (2)

grad_theta E is what the pullbacks compute, by a program that is analytic in r, so its derivative along a real line
is its imaginary part along an imaginary one:  d/dh f(h) = Im f(ih) / h, exact to rounding for a tiny h, since
nothing is subtracted.  Stress = (1/V) dE/dstrain is the same with a strain: its v is -(w/V) r, w = dL/dstress.
Together, one complex pass at

    r + ih (v - (w/V) r),   cell + ih (-(w/V) cell),   pulled with the seeds  -1 + ih dL/dE  and  ih dL/dother   (3)

gives the whole gradient as Im/h.  Source of the complex step: Squire and Trapp, SIAM Review 40 (1998) 110; of the
commuted derivative: Pearlmutter, Neural Computation 6 (1994) 147.
"""

import numpy as np

from se3ref.backend import STEP
from se3ref.models import forces_and_stress
from se3ref.nn.params import float_dtype, map_leaves

DERIVATIVES = {"forces", "stress"}


def loss_and_gradient(model, params, graph, targets, weights):
    """The loss (1), a float, and its gradient to all parameters, a tree like `params`.

    targets: a dict with some of energy (s,) eV, forces (n,3) eV/angstrom, stress (s,3,3) eV/angstrom^3, and by the
    names of other outputs: dipole (s,3), charges (n,), polarizability (s,3,3), direct_forces (n,3), pseudoscalar (s,),
    vector and pseudovector (s,3).
    weights: a number for each of them.  Works in the precision of the parameters.
    ValueError for targets that the model does not predict or of another shape.
    """
    terms, grads = terms_and_gradient(model, params, graph, targets, weights)
    return sum(terms.values()), grads


def terms_and_gradient(model, params, graph, targets, weights):
    """`loss_and_gradient` with the loss term by term: {name: weight mean(d^2)}."""
    graph = graph.cast(float_dtype(params))
    predicted, pull = _predicted(model, params, graph, targets)
    terms, slopes = {}, {}
    for name, target in targets.items():
        terms[name], slopes[name] = _squared_error(name, predicted, target, weights, graph)
    if not np.isfinite(sum(terms.values())):
        raise FloatingPointError(f"the loss is {sum(terms.values())}")
    if DERIVATIVES & set(targets):
        return terms, _gradient_by_complex_step(model, params, graph, slopes)
    return terms, pull(_seeds(slopes, graph))[0]


def predict(model, params, graph, names):
    """What the model says about `names`: energy (s,), forces (n,3), stress (s,3,3), and outputs of its heads."""
    return _predicted(model, params, graph.cast(float_dtype(params)), names)[0]


def _predicted(model, params, graph, names):
    outputs, pull = model.forward(params, graph)
    predicted = dict(outputs)
    if "energies" in outputs:
        predicted["energy"] = graph.sum_atoms(outputs["energies"])
        if DERIVATIVES & set(names):
            predicted["forces"], predicted["stress"] = forces_and_stress(graph, outputs, pull, "stress" in names)
    if missing := sorted(set(names) - set(predicted)):
        raise ValueError(f"this model, with the heads {model.heads}, does not predict {missing}; "
                         f"it predicts {sorted(predicted)}")
    return predicted, pull


def _squared_error(name, predicted, target, weights, graph):
    """weight mean(d^2), a float, and its slope to what was predicted."""
    if name not in weights:
        raise ValueError(f"there is a target {name!r} without a weight: weights are {weights}")
    if target.shape != predicted[name].shape:
        raise ValueError(f"the target {name!r} must have the shape {predicted[name].shape}; got {target.shape}")
    d = predicted[name] - target.astype(predicted[name].dtype)
    if name == "energy":                                       # per atom
        return _mean_square(d / graph.sizes, weights[name], 1 / graph.sizes)
    return _mean_square(d, weights[name], 1.0)


def _mean_square(d, weight, inner):
    return weight * float((d * d).mean()), (2 * float(weight) / d.size) * d * inner


def _seeds(slopes, graph):
    """Cotangents of the model's outputs: the energy is a sum over atoms."""
    seeds = {name: slope for name, slope in slopes.items() if name not in ("energy", *DERIVATIVES)}
    if "energy" in slopes:
        seeds["energies"] = slopes["energy"][graph.structure]
    return seeds


def _gradient_by_complex_step(model, params, graph, slopes):
    """Equation (3)."""
    h = STEP[graph.positions.dtype]
    direction = slopes["forces"] if "forces" in slopes else np.zeros_like(graph.positions)
    moved = graph.positions + 1j * h * direction
    cell = graph.cell
    if "stress" in slopes:
        strain = (-1j * h / graph.volume)[:, None, None] * slopes["stress"]
        moved = moved + (strain[graph.structure] @ graph.positions[:, :, None])[:, :, 0]
        cell = cell + cell @ strain.swapaxes(1, 2)             # rows a -> a + strain a
    outputs, pull = model.forward(params, graph.at(moved, cell))
    seeds = {name: 1j * h * slope for name, slope in _seeds(slopes, graph).items()}
    seeds["energies"] = seeds.get("energies", 0) - np.ones_like(outputs["energies"])
    return map_leaves(lambda g: g.imag / h, pull(seeds)[0])
