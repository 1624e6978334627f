"""The resolving power of models as a picture: a square for each model and pair, darker for a wider gap."""

import matplotlib.pyplot as plt
import numpy as np


def save_figure(found, path):
    """Draw a `verify.ResolvingPower`: a colour where a pair is told apart, an empty square where a model is blind, and
    a red frame where theory said otherwise."""
    rows, columns = found.names()
    trials = [[found[row, column] for column in columns] for row in rows]
    gaps = np.array([[np.log10(t.gap) if t.told else np.nan for t in each] for each in trials])
    fig, ax = plt.subplots(figsize=(0.48 * len(columns) + 4.2, 0.32 * len(rows) + 2.2), layout="constrained")
    image = ax.pcolormesh(gaps, cmap="viridis_r", edgecolors="0.85", linewidth=0.8, vmin=-8, vmax=0)
    for i, each in enumerate(trials):
        for j, trial in enumerate(each):
            if trial.told != trial.predicted:
                ax.add_patch(plt.Rectangle((j, i), 1, 1, fill=False, edgecolor="red", linewidth=2))
    ax.set_xticks(np.arange(len(columns)) + 0.5, [name.replace("_", " ") for name in columns], rotation=40, ha="right",
                  rotation_mode="anchor", fontsize=9)
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=9)
    ax.invert_yaxis()
    ax.tick_params(length=0)
    ax.set_title("Told apart (colour) or one and the same (white)", fontsize=10)
    fig.colorbar(image, ax=ax, label="relative gap, log10", shrink=0.8, extend="min")
    fig.savefig(path, dpi=130)
    plt.close(fig)
