"""What makes forces mechanics: they are a gradient, they do not push or turn the whole, and energy is kept.

Each law takes a `Subject` and a random generator and returns Cases; `nve` those of one short run.
"""

from dataclasses import replace

import numpy as np

from se3ref.dynamics import ACCELERATION, kinetic_energy, masses, thermal_velocities, verlet
from se3ref.verify.differences import derivative
from se3ref.verify.subjects import NotMeasured

LINES = 3                               # along which forces are held against the energy
SPAN, DT, FARTHEST = 48, 0.5, 0.01      # steps; fs; angstrom that the largest force may move an atom in one of them


def gradient(subject, rng):
    """F = -dE/dr, along random lines v:  dE(r + t v)/dt + F.v = 0."""
    _needs(subject, "energy", "forces")
    cases = []
    for k in range(LINES):
        v = subject.direction(k)
        slope, error = (part["energy"].item() for part in subject.slopes(k))
        work = (subject.values["forces"] * v).sum()
        size = np.sqrt((v * v).sum())                          # of v, so that forces are held against forces
        cases.append(subject.case("forces", abs(slope + work) / size, floor=error / size))
    return cases


def curl(subject, rng):
    """dF_i/dr_j = dF_j/dr_i, on two random lines:  u.(dF along v) = v.(dF along u)."""
    _needs(subject, "forces")
    cases = []
    for a, b in ((0, 1), (1, 2)):
        u, v = subject.direction(a), subject.direction(b)
        (Fu, eu), (Fv, ev) = ([part["forces"] for part in subject.slopes(k)] for k in (a, b))
        size = np.sqrt((u * u).sum() * (v * v).sum())
        floor = ((np.abs(v) * eu).sum() + (np.abs(u) * ev).sum()) / size
        cases.append(replace(subject.case("forces", abs((v * Fu).sum() - (u * Fv).sum()) / size, floor=floor),
                             unit="eV/angstrom^2"))
    return cases


def net_force(subject, rng):
    """sum F = 0."""
    _needs(subject, "forces")
    F = subject.values["forces"]
    return [subject.case("forces", np.abs(F.sum(0)).max(), floor=subject.noise["forces"] * len(F))]


def torque(subject, rng):
    """sum r x F = 0 where nothing repeats."""
    _needs(subject, "forces")
    if subject.structure.pbc.any():
        raise NotMeasured("what repeats has directions of its own, and may be turned by its images")
    F, r = subject.values["forces"], subject.structure.positions
    r = r - r.mean(0)
    reach = float(np.abs(r).sum())
    case = subject.case("forces", np.abs(np.cross(r, F).sum(0)).max(), floor=subject.noise["forces"] * reach)
    return [replace(case, unit="eV", exact=case.exact * reach)]


def stress(subject, rng):
    """V sigma:e = dE/dt for cell and atoms strained by 1 + t e, and sigma symmetric."""
    _needs(subject, "energy", "stress")
    s, sigma = subject.structure, subject.values["stress"].reshape(3, 3)
    volume, cases = abs(np.linalg.det(s.cell)), [subject.case("stress", np.abs(sigma - sigma.T).max(), "not symmetric")]
    for _ in range(LINES):
        e = rng.standard_normal((3, 3))
        e = (e + e.T) / np.abs(e + e.T).max() / np.abs(s.cell).max()               # 1/angstrom: t in angstrom
        slope, error = derivative(lambda t, e=e: subject.target.observe(_strained(s, t * e)), subject.noise)
        unit = volume * np.sqrt((e * e).sum())
        violation = abs(slope["energy"].item() - volume * (sigma * e).sum())
        cases.append(subject.case("stress", violation / unit, floor=error["energy"].item() / unit))
    return cases


def _strained(structure, e):
    F = np.eye(3) + e
    return replace(structure, positions=structure.positions @ F.T, cell=structure.cell @ F.T)


def nve(subject, rng):
    """Kinetic and potential energy is constant in dynamics at 300 K.

    Verlet's error is a(t) dt^2 + b(t) dt^4 + ..., where forces are a gradient.  Runs with dt, dt/2 and dt/4 give its
    limit dt -> 0 by Richardson, twice: (4 H_2 - H_1)/3 and (4 H_4 - H_2)/3, wrong by -b dt^4/4 and -b dt^4/64.  What
    the last still departs from the start is the violation, and a fifteenth of what the two differ by is its error.

    An atom that crosses a jump or a kink of the energy changes it in one step, and for good: `smoothness` is about
    that, so the quarter of the steps with the largest changes may be left out here.
    """
    _needs(subject, "energy", "forces")
    s = subject.structure
    m, v = masses(s.numbers), thermal_velocities(s, 300.0, rng)
    fastest = ACCELERATION * np.sqrt((subject.values["forces"] ** 2).sum(1) / m**2).max()
    dt = min(DT, np.sqrt(FARTHEST / fastest)) if fastest > 0 else DT
    one, two, four = (_total(subject, m, v, dt / k, k) for k in (1, 2, 4))
    first, last = (4 * two - one) / 3, (4 * four - two) / 3
    drift = np.polyfit(np.arange(len(four)) * dt / 1000, four, 1)[0] * 1000 / len(s)
    trace = {"x": (np.arange(len(four)) * dt).tolist(), "y": (1000 * (four - four[0])).tolist(),
             "x_label": "time (fs)", "y_label": "change of energy (meV)"}
    note = f"drift {drift:+.2g} meV/ps per atom over {SPAN * dt:.3g} fs, step {dt / 4:.2g} fs"
    return [subject.case("energy", _departure(last), note, floor=np.abs(last - first).max() / 15,
                         trace=trace)]


def _departure(H):
    """How far H (SPAN+1,) departs from its start, with every step or without those of the largest changes."""
    steps = np.diff(H)
    steady = np.abs(steps) <= np.quantile(np.abs(steps), 0.75)
    return min(np.abs(H - H[0]).max(), np.abs(np.cumsum(steps * steady)).max())


def _total(subject, m, v, dt, every):
    """H (SPAN+1,), at every `every`-th step."""
    def forces(positions):
        found = subject.target.observe(replace(subject.structure, positions=positions))
        return found["energy"].item(), found["forces"]
    run = verlet(forces, subject.structure.positions, v, m, dt)
    frames = [next(run) for _ in range(SPAN * every + 1)][::every]
    return np.array([E + kinetic_energy(m, velocity) for _, velocity, E in frames])


def _needs(subject, *names):
    missing = [name for name in names if name not in subject.values]
    if missing:
        raise NotMeasured(f"there is no {' and no '.join(missing)}")
