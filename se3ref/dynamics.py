r"""Newton's equations by velocity Verlet, and what shows whether forces are the gradient of an energy.

With accelerations a = F/m, one step of length dt is half a kick, a drift, and half a kick with the new forces:

    v' = v + dt/2 a(r)       r <- r + dt v'       v <- v' + dt/2 a(r)                                 (1)

Each line moves one of r and v by a function of the other.  Such a shear keeps volume in phase space, and where F is
a gradient it is symplectic; so is (1), and it is its own inverse with dt -> -dt.  It follows to all orders in dt not
the energy H but a neighbour H + dt^2 H2 + ..., and for a harmonic oscillator exactly:  cos(w' dt) = 1 - (w dt)^2/2.
The energy therefore oscillates by O(dt^2) and does not drift, as long as there is an energy.
Source: Verlet, Phys. Rev. 159 (1967) 98; Swope et al., J. Chem. Phys. 76 (1982) 637, eqs. (4) and (5); the
neighbour: Hairer, Lubich, Wanner, Acta Numerica 12 (2003) 399.

A force field is a function: positions (n,3) -> energy, forces (n,3); the energy is NaN where there is none.
Units: angstrom, fs, amu, eV, K; masses (n,).
"""

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from se3ref.backend import STEP
from se3ref.models import evaluate_graph
from se3ref.systems import Structure, neighbor_graph
from se3ref.systems.structure import SYMBOLS

BOLTZMANN = 8.617333262e-5              # eV/K
ACCELERATION = 9.648533212e-3           # 1 eV/(angstrom amu), in angstrom/fs^2
LIGHT = 2.99792458e-5                   # cm/fs
ATOMS_AT_ONCE = 1000                    # in one graph of many copies

# Abridged standard atomic weights of 2021, amu: Prohaska et al., Pure Appl. Chem. 94 (2022) 573.
_TABLE = """
    H 1.008  He 4.0026  Li 6.94  Be 9.0122  B 10.81  C 12.011  N 14.007  O 15.999  F 18.998  Ne 20.180
    Na 22.990  Mg 24.305  Al 26.982  Si 28.085  P 30.974  S 32.06  Cl 35.45  Ar 39.95  K 39.098  Ca 40.078
    Sc 44.956  Ti 47.867  V 50.942  Cr 51.996  Mn 54.938  Fe 55.845  Co 58.933  Ni 58.693  Cu 63.546  Zn 65.38
    Ga 69.723  Ge 72.630  As 74.922  Se 78.971  Br 79.904  Kr 83.798  Rb 85.468  Sr 87.62  Y 88.906  Zr 91.224
    Nb 92.906  Mo 95.95  Ru 101.07  Rh 102.91  Pd 106.42  Ag 107.87  Cd 112.41  In 114.82  Sn 118.71  Sb 121.76
    Te 127.60  I 126.90  Xe 131.29  Cs 132.91  Ba 137.33  La 138.91  Ce 140.12  Pr 140.91  Nd 144.24  Sm 150.36
    Eu 151.96  Gd 157.25  Tb 158.93  Dy 162.50  Ho 164.93  Er 167.26  Tm 168.93  Yb 173.05  Lu 174.97  Hf 178.49
    Ta 180.95  W 183.84  Re 186.21  Os 190.23  Ir 192.22  Pt 195.08  Au 196.97  Hg 200.59  Tl 204.38  Pb 207.2
    Bi 208.98  Th 232.04  Pa 231.04  U 238.03
""".split()
WEIGHTS = dict(zip(_TABLE[::2], map(float, _TABLE[1::2]), strict=True))


def masses(numbers):
    """Standard atomic weights (n,), amu.  ValueError for elements without stable isotopes, which have none."""
    symbols = [SYMBOLS[z] for z in numbers]
    if unknown := sorted(set(symbols) - set(WEIGHTS)):
        raise ValueError(f"{unknown} have no standard atomic weight: give `verlet` your own masses")
    return np.array([WEIGHTS[symbol] for symbol in symbols])


def force_field(model, params, structure, direct=False):
    """The force field of a model on the atoms of a Structure: positions (n,3) -> energy, forces (n,3).

    Every call finds the neighbours anew.  direct: the forces of the head "direct_forces" in place of the gradient.
    """
    if direct and "direct_forces" not in model.heads:
        raise ValueError(f"direct=True takes a model with the head 'direct_forces'; this one has {model.heads}")

    def forces(positions):
        graph = neighbor_graph(replace(structure, positions=positions), model.cutoff)
        result = evaluate_graph(model, params, graph, forces=not direct, many=False)
        energy = math.nan if result.energy is None else result.energy
        return energy, result.outputs["direct_forces"] if direct else result.forces
    return forces


def verlet(forces, positions, velocities, masses, dt):
    """Step (1) without end: yields (positions, velocities, energy), (n,3) (n,3) float, first of all the start.

    ValueError as soon as a force is not finite.
    """
    if not (math.isfinite(dt) and dt != 0):
        raise ValueError(f"dt is a finite time in fs, and not 0; got {dt}")
    kick = (0.5 * dt * ACCELERATION) / masses[:, None]
    r, v = np.array(positions, np.float64), np.array(velocities, np.float64)
    E, F = forces(r)
    while True:
        if not np.isfinite(F).all():
            raise ValueError("the forces are no longer finite: take a smaller dt, or train the model where it went")
        yield r, v, E
        v = v + kick * F
        r = r + dt * v
        E, F = forces(r)
        v = v + kick * F


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Frames of a run: times (k,), fs; positions and velocities (k,n,3), angstrom and angstrom/fs; potential (k,),
    eV; structure: the one it began with; stopped: why it ended before its time, or None."""
    structure: Structure
    times: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray
    potential: np.ndarray
    stopped: str | None = None

    def __len__(self):
        return len(self.times)

    @property
    def kinetic(self):
        """sum m v^2 / 2 (k,), eV."""
        return kinetic_energy(masses(self.structure.numbers), self.velocities)

    @property
    def total(self):
        """Kinetic and potential energy (k,), eV: constant, if the forces are its gradient."""
        return self.kinetic + self.potential

    @property
    def temperature(self):
        """2 K / (f k) (k,), K, with the f degrees of freedom of `thermal_velocities`."""
        return 2 * self.kinetic / (degrees_of_freedom(self.structure) * BOLTZMANN)


def simulate(forces, structure, velocities, dt, steps, every=1, progress=False):
    """Velocity Verlet from a Structure and velocities (n,3): a Trajectory of every `every`-th step, the start too.

    Nothing is lost: on an interrupt (Ctrl-C), or where the force field refuses a geometry after the start, the
    Trajectory of the steps done is returned, with the reason in `stopped`.  From its last frame one goes on.
    """
    if np.shape(velocities) != structure.positions.shape:
        raise ValueError(f"velocities must have the shape {structure.positions.shape}; got {np.shape(velocities)}")
    run = verlet(forces, structure.positions, velocities, masses(structure.numbers), dt)
    frames, stopped = [next(run)], None                        # what is wrong at the start is an error
    try:
        for k in tqdm(range(1, steps + 1), disable=not progress, unit="step"):
            frame = next(run)
            if k % every == 0:
                frames.append(frame)
    except KeyboardInterrupt:
        stopped = "interrupted"
    except ValueError as error:
        stopped = str(error)
        warnings.warn(f"the run ended after {k - 1} of {steps} steps: {error}", stacklevel=2)
    r, v, E = map(np.array, zip(*frames, strict=True))
    return Trajectory(structure, np.arange(len(r)) * (every * dt), r, v, E, stopped)


def kinetic_energy(masses, velocities):
    """sum m v^2 / 2 (...), eV, of velocities (...,n,3), angstrom/fs."""
    return (masses[:, None] * velocities**2).sum((-2, -1)) / (2 * ACCELERATION)


def thermal_velocities(structure, temperature, rng):
    """Velocities (n,3), angstrom/fs, of Maxwell's distribution without net momentum; of a molecule, without rotation.

    Each of the f degrees of freedom that are left has the mean energy kT/2.  Taking the mean momentum and omega x r
    away projects v, in the metric of the masses, and so leaves the distribution of the rest as it was.
    """
    m = masses(structure.numbers)[:, None]
    v = np.sqrt(BOLTZMANN * temperature * ACCELERATION / m) * rng.standard_normal((len(structure), 3))
    v = v - (m * v).sum(0) / m.sum()
    if structure.pbc.any():
        return v
    r, inertia = _inertia(structure)
    omega = np.linalg.pinv(inertia, rcond=1e-9, hermitian=True) @ (m * np.cross(r, v)).sum(0)
    return v - np.cross(omega, r)


def degrees_of_freedom(structure):
    """f: 3n - 3, and for a molecule 3 less, for a linear one 2 less."""
    rotations = 0 if structure.pbc.any() else np.linalg.matrix_rank(_inertia(structure)[1], tol=1e-9, hermitian=True)
    return 3 * len(structure) - 3 - int(rotations)


def _inertia(structure):
    """Positions from the centre of mass (n,3), and the tensor sum m (r^2 1 - r r^T) (3,3)."""
    m = masses(structure.numbers)[:, None]
    r = structure.positions - (m * structure.positions).sum(0) / m.sum()
    return r, (m * r * r).sum() * np.eye(3) - (m * r).T @ r


def energy_drift(trajectory):
    """How well a run keeps its energy: (drift, rms), meV/ps and meV, of all atoms together.

    The total energy is fitted by a line; drift is its slope, rms the root mean square of what remains.
    """
    ps, meV = trajectory.times / 1000, trajectory.total * 1000
    slope, intercept = np.polyfit(ps, meV, 1)
    return float(slope), float(np.sqrt(np.mean((meV - intercept - slope * ps) ** 2)))


def loop_work(forces, centre, a, b, points=64):
    """The work of the forces along the ellipse r(t) = centre + a cos t + b sin t, all (n,3): 0 for a gradient.  eV.

    W = int F(r(t)) . r'(t) dt by the trapezoidal rule, which for a smooth periodic integrand converges faster than
    any power of 1/points.
    """
    work = 0.0
    for t in np.arange(points) * (2 * math.pi / points):
        c, s = math.cos(t), math.sin(t)
        work += float((forces(centre + a * c + b * s)[1] * (b * c - a * s)).sum())
    return work * 2 * math.pi / points


def hessian_vector(model, params, structure, v):
    """H v for H = d2E/dr2, eV/angstrom^2: v (n,3), or many at once (k,n,3); exact to rounding, and H is never made.

    The complex step through the gradient: H v = Im dE/dr(r + i h v) / h, one gradient for each v.
    """
    many = v.reshape(-1, len(structure), 3)
    graph = neighbor_graph([structure] * len(many), model.cutoff)
    h = STEP[graph.positions.dtype]
    graph = graph.at(graph.positions + 1j * h * many.reshape(-1, 3))
    E, pull = model.energy(params, graph)
    return (graph.pull(pull(np.ones_like(E))[1])[0].imag / h).reshape(v.shape)


def normal_modes(model, params, structure):
    """Wavenumbers (3n,), 1/cm, ascending, and modes (3n,n,3): harmonic vibrations about a stationary point.

    m r'' = -H r: the eigenvalues w^2 of H / sqrt(m m') and w = 2 pi c nu.  An imaginary frequency, of a direction
    in which the energy falls, is given as a negative one.  Rigid motions have 0.
    """
    n, scale = len(structure), np.sqrt(masses(structure.numbers)).repeat(3)
    H = np.concatenate([hessian_vector(model, params, structure, v.reshape(-1, n, 3)).reshape(-1, 3 * n)
                        for v in np.array_split(np.eye(3 * n), math.ceil(3 * n * n / ATOMS_AT_ONCE))])
    w2, modes = np.linalg.eigh(0.5 * (H + H.T) / (scale[:, None] * scale))
    return np.sign(w2) * np.sqrt(np.abs(w2) * ACCELERATION) / (2 * math.pi * LIGHT), modes.T.reshape(-1, n, 3)
