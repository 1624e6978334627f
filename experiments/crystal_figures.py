"""The four figures of what crystals.py has computed: `python experiments/crystal_figures.py [NAME ...]`.

Reads crystals.json and tests/reference/sevennet_crystals.npz; writes equation-of-state.png, silicon-phonons.png,
nacl-nve.png and molten-nacl.png to figures/, those whose numbers are there.
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

ROOT = Path(__file__).parent.parent
BLUE, RED, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
plt.rcParams.update({"figure.dpi": 110, "axes.spines.top": False, "axes.spines.right": False, "font.size": 10,
                     "axes.titlesize": 11})
MEASURED_A = {"NaCl": 5.640, "Si": 5.431}                      # angstrom, at room temperature
SWITCH_ON = 4.5                                                # angstrom: where SevenNet-0's cutoff function begins
# Neutron scattering at room temperature, THz: Dolling (IAEA, Vienna 1963); Nilsson, Nelin, Phys. Rev. B 6 (1972) 3777.
NEUTRONS = {"G": (15.5,), "X": (4.5, 12.3, 13.9), "L": (3.4, 11.3, 12.6, 14.7)}


def equation_of_state(found, path):
    """Energy against lattice constant, from this library and from the package; the bulk modulus of silicon."""
    truth = np.load(ROOT / "tests" / "reference" / "sevennet_crystals.npz")
    fig, axes = plt.subplots(1, 3, figsize=(10.5, 3.5), layout="constrained")
    for ax, name, colour in zip(axes, MEASURED_A, (BLUE, GREEN), strict=False):
        here, a = found["lattice"][name], truth[f"{name}/wide_lattice_constants"]
        curve_a, curve = here["curve_a"], here["curve_meV"]
        ax.plot(curve_a, curve, color=colour)
        package = 500 * (truth[f"{name}/wide_energies"] - min(here["energies_eV"]))
        ax.plot(a, package, "o", mfc="none", color="black", ms=6)
        ax.axvline(MEASURED_A[name], color=RED, ls="--", lw=1)
        ax.annotate("measured", (MEASURED_A[name], 0.93), xycoords=("data", "axes fraction"), color=RED, rotation=90,
                    ha="right", va="top", xytext=(-3, 0), textcoords="offset points")
        ax.set(xlabel="lattice constant (angstrom)", ylabel="energy from the minimum (meV per atom)",
               title=f"{name}: a = {here['a']:.4f} angstrom", ylim=(-0.05 * max(curve), 1.05 * max(curve)))
    axes[0].plot([], [], color=BLUE, label="this library")
    axes[0].plot([], [], "o", mfc="none", color="black", label="package sevenn")
    axes[0].legend(frameon=False, loc="upper right")
    bulk_modulus(axes[2], found["lattice"]["Si"])
    fig.savefig(path, metadata={"Software": None})


def bulk_modulus(ax, here):
    """-V dP/dV of silicon: it jumps where third neighbours, at sqrt(11)/4 of the lattice constant, enter the switch."""
    a, jump = np.array(here["middle_a"]), SWITCH_ON * 4 / np.sqrt(11)
    ax.plot(a, here["middle_GPa"], ".-", color=GREEN, ms=3, lw=1)
    ax.axvline(jump, color="gray", ls=":", lw=1)
    ax.annotate("third neighbours\nat 4.5 angstrom", (jump, 0.05), xycoords=("data", "axes fraction"), color="gray",
                xytext=(5, 0), textcoords="offset points")
    ax.set(xlabel="lattice constant (angstrom)", ylabel="bulk modulus of Si (GPa)", title="where the cutoff shows")


def silicon_phonons(found, path):
    """Frequencies along G-X-W-K-G-L, with what neutrons say; how far the pairs between G and X stand apart."""
    here = found["phonons"]
    fig, axes = plt.subplots(1, 2, figsize=(10, 4.1), layout="constrained", width_ratios=(2, 1))
    axes[0].plot(here["x"], here["THz"], color=BLUE, lw=1.4)
    axes[0].plot([], [], color=BLUE, label="SevenNet-0, static lattice")
    axes[0].vlines(here["ticks"], 0, 16, color="gray", lw=0.6)
    for tick, label in zip(here["ticks"], here["labels"], strict=True):
        if label in NEUTRONS:
            axes[0].plot([tick] * len(NEUTRONS[label]), NEUTRONS[label], "o", color=RED, ms=6, clip_on=False, zorder=3)
    axes[0].plot([], [], "o", color=RED, label="neutrons, room temperature")
    axes[0].set_xticks(here["ticks"], ["$\\Gamma$" if x == "G" else x for x in here["labels"]])
    axes[0].set(xlim=(0, here["ticks"][-1]), ylim=(0, 18), ylabel="frequency (THz)", title="Phonons of silicon")
    axes[0].legend(frameon=False, loc="upper center", ncols=2)
    splitting(axes[1], here["hands"])
    fig.savefig(path, metadata={"Software": None})


def splitting(ax, here):
    """Between G and X: the gap in each transverse pair, with the potential and without its handedness.

    The acoustic pair are the two lowest bands; of the three optical ones the pair are the two nearest without hands.
    """
    x, gaps, even = here["fraction"], *(1000 * np.diff(here[what]) for what in ("THz", "unhanded_THz"))
    pair = 3 + even[:, 3:].argmin(1)[:, None]
    for which, colour, what in ((np.zeros_like(pair), PINK, "acoustic"), (pair, GREEN, "optical")):
        ax.plot(x, np.take_along_axis(gaps, which, 1)[:, 0], "o-", color=colour, label=what)
        ax.plot(x, np.take_along_axis(even, which, 1)[:, 0], "o--", color=colour, mfc="none")
    ax.plot([], [], "o--", color="gray", mfc="none", label="mean of both hands")
    ax.set_xticks([0, 0.5, 1], ["$\\Gamma$", "half way", "X"])
    ax.set(xlim=(0, 1), ylim=(-0.5, 17), ylabel="gap (GHz)", title="pairs that a mirror would close")
    ax.legend(frameon=False, loc="upper right")


def nacl_nve(found, path):
    """Total energy of an atom, its fit, and the temperature, of ten picoseconds."""
    here = found["nve"]
    t, e = np.array(here["time_ps"]), 1000 * np.array(here["energy_meV_per_atom"])
    late = t >= 1
    drift, error = here["drift_meV_per_atom_per_ps"], here["drift_error"]
    fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.4), layout="constrained")
    axes[0].plot(t, e, color=BLUE, lw=0.7)
    axes[0].plot(t[late], e[late].mean() + 1000 * drift * (t[late] - t[late].mean()), color=RED)
    axes[0].annotate(f"drift ({1000 * drift:.2f} $\\pm$ {1000 * error:.2f}) µeV per atom and ps", (0.97, 0.94),
                     xycoords="axes fraction", ha="right", color=RED)
    axes[0].set(xlabel="time (ps)", ylabel="total energy from the start (µeV per atom)", xlim=(0, 10),
                title="64 ions of NaCl at constant energy")
    axes[0].set_ylim(top=e.max() + 0.25 * np.ptp(e))
    axes[1].plot(t, here["temperature_K"], color=GREEN, lw=0.7)
    axes[1].set(xlabel="time (ps)", ylabel="temperature (K)", xlim=(0, 10), ylim=(0, None), title="its temperature")
    fig.savefig(path, metadata={"Software": None})


def molten_nacl(found, path):
    """Mean square displacements of crystal and melt, and their radial distribution functions."""
    solid, melt = found["nve"], found["melt"]
    fig, axes = plt.subplots(1, 3, figsize=(10.5, 3.5), layout="constrained")
    for here, colour, what in ((melt, RED, "melt"), (solid, BLUE, "crystal")):
        for ion, style in (("Na", "-"), ("Cl", "--")):
            axes[0].plot(here["lag_ps"], here["msd"][ion], style, color=colour, label=f"{what}, {ion}")
    axes[0].set(xlabel="time (ps)", ylabel="mean square displacement (angstrom$^2$)", title="do the ions wander?",
                xlim=(0, melt["lag_ps"][-1]), ylim=(0, None))
    axes[0].legend(frameon=False)
    for ax, here, what in ((axes[1], melt, "melt"), (axes[2], solid, "crystal")):
        for (pair, g), colour in zip(here["g"].items(), (BLUE, GREEN, PINK), strict=True):
            ax.plot(here["r"], g, color=colour, label=pair)
        ax.axhline(1, color="gray", lw=0.6)
        ax.set(xlabel="distance (angstrom)", ylabel="g(r)", xlim=(1.5, here["r"][-1]), ylim=(0, None),
               title=f"{what}: largest S(k) = {here['brightest_S']:.1f}")
    axes[1].legend(frameon=False)
    fig.savefig(path, metadata={"Software": None})


FIGURES = {"equation-of-state": (equation_of_state, {"lattice"}), "silicon-phonons": (silicon_phonons, {"phonons"}),
           "nacl-nve": (nacl_nve, {"nve"}), "molten-nacl": (molten_nacl, {"nve", "melt"})}


def main(wanted):
    found = json.loads(Path(__file__).with_name("crystals.json").read_text())
    for name in wanted or FIGURES:
        draw, needs = FIGURES[name]
        if needs <= set(found):
            draw(found, ROOT / "figures" / f"{name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
