"""The lattice sums that stand side by side: ours, torch-pme's and OpenMM's, each with its parameters given.

A `Side` has one system of ions and one set of parameters.  Energies are in eV, forces in eV/angstrom.  Peers are
imported where they are made, so that a missing one costs only its own lines.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from se3ref import electrostatics
from se3ref.electrostatics import COULOMB, ewald, mesh_errors, pme

ACCURACY = 1e-5                     # of the forces: root mean square of the error, relative to that of the forces
SPACING = 3.75                      # angstrom a lattice site: 64 ions in a cube of 15
MOLE, NANO = 96.48533212, 0.1       # eV in kJ/mol, angstrom in nm


@dataclass(frozen=True, eq=False)
class Gas:
    """Ions +1 and -1 in a cube: positions (n,3) angstrom, charges (n,) e, cell (3,3)."""
    positions: np.ndarray
    charges: np.ndarray
    cell: np.ndarray

    def __len__(self):
        return len(self.charges)

    @property
    def edge(self):
        return float(self.cell[0, 0])


def gas(n):
    """n ions, n an even cube: shaken from a cubic lattice, never nearer than 1.5 angstrom, in random order."""
    m, rng = round(n ** (1 / 3)), np.random.default_rng(n)
    if m**3 != n or n % 2:
        raise ValueError(f"a gas of ions in equal numbers fills a cubic lattice: n = 64, 216, ...; got {n}")
    sites = np.indices((m, m, m)).reshape(3, -1).T + rng.uniform(-0.3, 0.3, (n, 3))
    return Gas(SPACING * rng.permutation(sites), rng.permutation(np.resize([1.0, -1.0], n)), SPACING * m * np.eye(3))


def rms(x):
    """The root mean square of the lengths of vectors (n,3)."""
    return math.sqrt((x * x).sum() / len(x))


def forget():
    """Empties what our sums keep for the next call."""
    for kept in (*vars(pme).values(), *vars(mesh_errors).values()):
        if hasattr(kept, "cache_clear"):
            kept.cache_clear()


class Side:
    """One library on one gas.  `sum()` is energy and forces, all that does not change with the positions of an MD step
    set up and the pairs given; `whole()` the same with pairs found anew; `fresh()` from nothing, set-up and all.
    """

    def sum(self):
        raise NotImplementedError

    def pairs(self):
        """Finds the pairs anew, where that is a step of its own."""

    def whole(self):
        self.pairs()
        return self.sum()

    def fresh(self):
        return type(self)(self.gas, **self.settings).sum()

    def timed(self):
        """What is put under the clock; "whole" is left out where it is "sum" and "pairs", one after the other."""
        return {"sum": self.sum, "whole": self.whole}


class Ours(Side):
    """A plan and its sum; the whole call is the public one, which promises ACCURACY without being told an error.

    Potentials and stress are in all of these.  error: what the plan is to keep, relative to the rms force `scale`.
    """

    def __init__(self, gas, error, scale):
        self.gas, self.settings = gas, {"error": error, "scale": scale}
        self.arguments = gas.positions, gas.charges, gas.cell
        self.plan = self.plan_for(*self.arguments, error * scale / COULOMB)

    def sum(self):
        phi, dr, _ = self.evaluate(self.plan, *self.arguments)
        return 0.5 * COULOMB * float(self.gas.charges @ phi), -COULOMB * dr

    def whole(self):
        found = self.public(*self.arguments, accuracy=ACCURACY)
        return found.energy, found.forces

    def fresh(self):
        return self.whole()


class OurMesh(Ours):
    plan_for, evaluate, public = map(staticmethod, (pme.plan_for, pme.mesh_sum, electrostatics.pme_sum))


class OurEwald(Ours):
    plan_for, evaluate, public = map(staticmethod, (ewald.plan_for, ewald.lattice_sum, electrostatics.ewald_sum))


class TorchPME(Side):
    """A calculator of torch-pme; forces by autograd, pairs (each once) by vesin, as its manual has it.

    mesh: how many points along each edge of the cube, a power of 2, or for "Ewald" how many waves.
    """

    def __init__(self, gas, kind, smearing, cutoff, mesh, nodes=None, dtype="float64"):
        import torch
        import torchpme
        torch.set_num_threads(1)
        self.gas, self.cutoff = gas, cutoff
        self.settings = dict(kind=kind, smearing=smearing, cutoff=cutoff, mesh=mesh, nodes=nodes, dtype=dtype)
        self.torch, self.dtype = torch, getattr(torch, dtype)
        potential = torchpme.CoulombPotential(smearing=smearing, prefactor=COULOMB)
        if kind == "Ewald":                                    # it rounds edge/wavelength up
            self.calculator = torchpme.EwaldCalculator(potential, lr_wavelength=gas.edge / (mesh - 0.5))
        else:                                                  # it rounds 2 edge/spacing + 1 up to a power of 2
            make = {"P3M": torchpme.P3MCalculator, "PME": torchpme.PMECalculator}[kind]
            self.calculator = make(potential, mesh_spacing=2 * gas.edge / (mesh - 1.5), interpolation_nodes=nodes)
        self.calculator.to(dtype=self.dtype)
        self.positions, self.charges, self.cell = (
            torch.tensor(x, dtype=self.dtype) for x in (gas.positions, gas.charges[:, None], gas.cell))
        self.pairs()

    def pairs(self):
        from vesin import NeighborList
        search = NeighborList(cutoff=self.cutoff, full_list=False)
        i, j, shifts = search.compute(self.gas.positions, self.gas.cell, True, "ijS")
        self.indices = self.torch.tensor(np.stack([i, j], axis=1).astype(np.int64))
        self.offsets = self.torch.tensor(shifts @ self.gas.cell, dtype=self.dtype)

    def sum(self):
        r = self.positions.clone().requires_grad_()
        i, j = self.indices.T                                  # index_select: the faster gradient of two
        distances = (r.index_select(0, j) - r.index_select(0, i) + self.offsets).norm(dim=1)
        potential = self.calculator(self.charges, self.cell, r, self.indices, distances)
        energy = (self.charges * potential).sum()
        energy.backward()
        return energy.item(), -r.grad.numpy()

    def timed(self):
        return {"sum": self.sum, "pairs": self.pairs}


class OpenMM(Side):
    """OpenMM's particle-mesh Ewald on its CPU platform: splines of order 5, single precision, one thread.

    Its pairs reach farther than the cutoff and are kept until an atom has moved; `whole` moves all of them by more
    than that, back and forth.
    """

    def __init__(self, gas, alpha, mesh, cutoff):
        import openmm
        self.gas, self.settings = gas, dict(alpha=alpha, mesh=mesh, cutoff=cutoff)
        system, force = openmm.System(), openmm.NonbondedForce()
        system.setDefaultPeriodicBoxVectors(*(openmm.Vec3(*row) for row in NANO * gas.cell))
        force.setNonbondedMethod(force.PME)
        force.setCutoffDistance(NANO * cutoff)
        force.setPMEParameters(alpha / NANO, mesh, mesh, mesh)
        force.setUseDispersionCorrection(False)
        for q in gas.charges:
            system.addParticle(1.0)
            force.addParticle(q, 1.0, 0.0)                     # no Lennard-Jones well
        system.addForce(force)
        self.context = openmm.Context(system, openmm.VerletIntegrator(0.001),
                                      openmm.Platform.getPlatformByName("CPU"), {"Threads": "1"})
        self.places = itertools.cycle([NANO * gas.positions, NANO * (gas.positions + 2.0)])
        self.context.setPositions(next(self.places))

    def sum(self):
        state = self.context.getState(energy=True, forces=True)
        forces = state.getForces(asNumpy=True)._value * (NANO / MOLE)
        return state.getPotentialEnergy()._value / MOLE, forces

    def pairs(self):
        self.context.setPositions(next(self.places))
