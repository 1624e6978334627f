"""The matrix of seeded bugs and laws as a picture: a square for each bug and law."""

import itertools

import matplotlib.pyplot as plt
import numpy as np

GREY, PALE = 0.9, 0.35


def draw(rows, laws, path):
    """Bugs down, laws across: a colour where a bug is caught, paler where it is stopped, white where a law is blind."""
    fig, ax = plt.subplots(figsize=(7.5, 12), layout="constrained")
    kinds, groups = [row["group"] for row in rows.values()], [column["group"] for column in laws.values()]
    colours = dict(zip(dict.fromkeys(groups), plt.get_cmap("tab10").colors, strict=False))
    ax.imshow([[shade(law, row, colours[own]) for law, own in zip(laws, groups, strict=True)] for row in rows.values()],
              aspect="auto", interpolation="none", extent=(0, len(laws), len(rows), 0))
    for lines, rest in ((np.arange(len(rows)), {"color": "0.8", "linewidth": 0.2}),
                        (edges(kinds), {"color": "0.2", "linewidth": 0.7})):
        ax.hlines(lines, 0, len(laws), **rest)
    for lines, rest in ((np.arange(len(laws)), {"color": "0.8", "linewidth": 0.2}),
                        (edges(groups), {"color": "0.2", "linewidth": 0.7})):
        ax.vlines(lines, 0, len(rows), **rest)
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=4.8)
    ax.set_xticks(np.arange(len(laws)) + 0.5, [f"{law}  {column['says']}" for law, column in laws.items()],
                  fontsize=4.8, rotation=90)
    ax.xaxis.tick_top()
    ax.tick_params(length=0, pad=2)
    for tick, own in zip(ax.get_xticklabels(), groups, strict=True):
        tick.set_color(colours[own])
    for top, bottom in itertools.pairwise([0, *edges(kinds), len(rows)]):
        ax.text(len(laws) + 0.6, (top + bottom) / 2, kinds[top], fontsize=5.5, rotation=270, va="center")
    for k, (left, right) in enumerate(itertools.pairwise([0, *edges(groups), len(laws)])):
        ax.text((left + right) / 2, len(rows) + 0.4 + k % 2, groups[left], fontsize=5.5, ha="center", va="top",
                color=colours[groups[left]])
    ax.set_xlabel("coloured: caught;  pale: stopped by an error;  white: the law runs what is wrong, and is blind;  "
                  "grey: it looks elsewhere", fontsize=6.5, labelpad=17)
    fig.savefig(path, dpi=200)
    plt.close(fig)


def shade(law, row, colour):
    """The colour of one square."""
    if law in row["caught"]:
        return colour
    if law in row["stopped"]:
        return [1 - PALE * (1 - x) for x in colour]
    return [GREY if law in row["elsewhere"] else 1] * 3


def edges(names):
    """Where one name ends and another begins."""
    return [k for k in range(1, len(names)) if names[k] != names[k - 1]]
