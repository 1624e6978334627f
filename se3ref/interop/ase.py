"""A model as a calculator of ASE, for its optimisers, dynamics, phonons and everything else that asks for forces.

    atoms.calc = interop.ase.Calculator(model, params)
    atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()

ASE has the units of this library (angstrom, eV, e; stress positive in tension) and writes stress as the six numbers
xx, yy, zz, yz, xz, xy.  Source: Hjorth Larsen et al., J. Phys.: Condens. Matter 29 (2017) 273002.
"""

import numpy as np

from se3ref import models
from se3ref.models import evaluate_graph
from se3ref.nn.params import check_like
from se3ref.systems import Structure, neighbor_graph

try:
    from ase.calculators.calculator import Calculator as AseCalculator
    from ase.calculators.calculator import PropertyNotImplementedError, all_changes
    from ase.stress import full_3x3_to_voigt_6_stress
except ImportError as error:
    raise ImportError("interop.ase needs the package ase, which is not installed: pip install ase") from error

PROPERTIES = {"energy": ("energy", "free_energy", "energies", "forces", "stress"), "charges": ("charges",),
              "dipole": ("dipole", "charges"), "direct_forces": ("forces",)}


class Calculator(AseCalculator):
    """What a model with these parameters says about ase.Atoms, in the properties of ASE.  A Potential, such as
    `models.sevennet.load()`, has both.

    The head "energy" gives energy, free_energy (the same), energies, forces, and stress where the cell has a volume;
    "charges" gives charges, "dipole" charges and dipole; "direct_forces" gives forces where there is no energy.
    The total charge is atoms.info["charge"] or the sum of initial charges.  Computed in the precision of the
    parameters, returned in float64.

    ValueError for elements that the model does not know and atoms that are no Structure;
    PropertyNotImplementedError for a property of a head that the model lacks, and for stress without a volume.
    """
    name = "se3ref"
    ignored_changes = {"initial_magmoms"}

    def __init__(self, model, params=None):
        super().__init__()
        if params is None and isinstance(model, models.sevennet.Potential):
            model, params = model.model, model.params
        check_like(params, model.init(np.random.default_rng(0)))
        self.model, self.params = model, params
        self.implemented_properties = sorted({p for head in model.heads for p in PROPERTIES.get(head, ())})

    def check_state(self, atoms, tol=1e-15):
        """What has changed since the last calculation; the charge in atoms.info, which ASE overlooks, counts too."""
        changes = super().check_state(atoms, tol)
        if self.atoms is not None and self.atoms.info.get("charge") != atoms.info.get("charge"):
            changes = [*changes, "charge"]
        return changes

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Everything the model has to say about the atoms, at once: forces and stress share one pullback."""
        super().calculate(atoms, properties, system_changes)
        graph = neighbor_graph(Structure.from_ase(self.atoms), self.model.cutoff)
        volume = bool(graph.volume[0] > 0)
        if "stress" in properties and not volume:
            raise PropertyNotImplementedError("stress is an energy per volume, and these atoms have no cell with one: "
                                              "set atoms.cell")
        self.results = _results(evaluate_graph(self.model, self.params, graph, stress=volume, many=False))


def _results(found):
    """What an Evaluation has, by the names of ASE."""
    dipole, stress = found.outputs.get("dipole"), found.stress
    results = {"energy": found.energy, "free_energy": found.energy, "energies": found.energies,
               "forces": found.outputs.get("direct_forces") if found.forces is None else found.forces,
               "stress": None if stress is None else full_3x3_to_voigt_6_stress(stress),
               "charges": found.outputs.get("charges"), "dipole": None if dipole is None else dipole[0]}
    return {name: value if isinstance(value, float) else value.astype(np.float64)
            for name, value in results.items() if value is not None}
