"""Symmetry spectra as pictures: a bar for every degree, and what may be noise."""

import matplotlib.pyplot as plt
import numpy as np

EVEN, ODD, NOISE = "#0072B2", "#D55E00", "0.45"


def save_figure(found, path):
    """Draw a `verify.SymmetrySpectrum`, or several as {name: spectrum}, side by side, into a file."""
    several = found if isinstance(found, dict) else {"": found}
    bottom = min(map(_bottom, several.values()))
    columns = min(len(several), 3)
    rows = -(-len(several) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(max(3.1 * columns, 4.5), 2.9 * rows), sharey=True,
                             layout="constrained", squeeze=False)
    for ax, (name, spectrum) in zip(axes.flat, several.items(), strict=False):
        draw(ax, spectrum, name, bottom)
    for ax in list(axes.flat)[len(several):]:
        ax.set_visible(False)
    for row in axes:
        row[0].set_ylabel("share of the power")
    axes.flat[0].legend(fontsize=7.5, frameon=False, loc="upper right")
    fig.savefig(path, dpi=130)
    plt.close(fig)


def draw(ax, spectrum, name="", bottom=None):
    """One spectrum on matplotlib axes: power, its odd part, the floor; last, what lies beyond lmax.

    bottom: where the bars begin, by default a little below the noise.
    """
    degrees, lmax = spectrum.degrees, int(spectrum.degrees[-1])
    bottom = _bottom(spectrum) if bottom is None else bottom
    odd = np.zeros(lmax + 1) if spectrum.odd is None else spectrum.odd
    ax.set_yscale("log")
    for shares, colour, label in ((spectrum.power, EVEN, "all"), (odd, ODD, "turned over by a mirror")):
        drawn = np.maximum(shares, bottom)                     # nothing is a bar of no height
        width = 0.8 if colour == EVEN else 0.4
        ax.bar(degrees, drawn - bottom, width, bottom=bottom, color=colour, label=label)
    ax.bar(lmax + 1.2, max(spectrum.beyond, bottom) - bottom, 0.8, bottom=bottom, color="white", edgecolor=EVEN,
           hatch="////", label=f"beyond {lmax}")
    ax.step(np.append(degrees - 0.5, lmax + 0.5), np.append(spectrum.floor, spectrum.floor[-1]), where="post",
            color=NOISE, linewidth=1.2, label="floor")
    ax.set_ylim(bottom, 30)
    ax.set_xticks([*degrees, lmax + 1.2], [*map(str, degrees), f">{lmax}"])
    ax.set_xlabel("degree")
    ax.set_title(f"{name}\n{spectrum.diagnosis}".strip(), fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)


def _bottom(spectrum):
    return 10.0 ** np.floor(np.log10(spectrum.noise * spectrum.spread[0]))
