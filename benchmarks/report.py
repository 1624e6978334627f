"""What a run leaves behind: a table, a JSON file with versions and machine, and a figure."""

import dataclasses
import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

PACKAGES = ("numpy", "scipy", "torch", "e3nn", "mace-torch", "sphericart", "spherical", "vesin", "matscipy",
            "torch-pme", "openmm", "sevenn")
HEADINGS = ("kernel", "size", "peer", "ratio", "quartiles", "target", "ours, ms", "peer's, ms", "difference",
            "memory")


def table(results):
    """The results as a Markdown table with even columns; README.md says how to read it."""
    return markdown([HEADINGS, *map(_cells, results)])


def markdown(rows):
    """Rows of text, the headings first, as a table with even columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _cells(r):
    low, high = r.quartiles
    return (
        r.kernel, r.size, r.peer, f"{r.ratio:.3f}", f"{low:.3f}-{high:.3f}",
        "" if r.target is None else f"{r.target:g}", f"{1e3 * r.ours_s:.2f}", f"{1e3 * r.theirs_s:.2f}",
        f"{r.difference:.0e}" + ("" if r.agrees else " DISAGREE"),
        "" if r.memory_ratio is None else f"{r.memory_ratio:.2f}",
    )


def machine():
    """Processor, cores, system, date and the versions of everything measured."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads_used": 1,
        "system": platform.system(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _processor():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def save(results, folder, name):
    """Write results_NAME.json and results_NAME.md: the results, and the machine they were measured on."""
    where = machine()
    content = {"machine": where, "results": [dataclasses.asdict(r) for r in results]}
    write(folder / f"results_{name}.json", json.dumps(content, indent=1) + "\n")
    write(folder / f"results_{name}.md", f"{heading(where)}\n\n{table(results)}\n")


def heading(where):
    """The line above a table: when and where it was measured, and of which versions."""
    versions = ", ".join(f"{package} {version}" for package, version in where["versions"].items() if version)
    return (f"Measured {where['date']} on {where['processor']} ({where['cores']} cores, one thread used), "
            f"Python {where['python']}, {versions}.")


def write(path, text):
    """Write to a temporary name first, so that a stopped run leaves the old file whole."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def save_figure(results, path, title):
    """Bars from 1 to ours/peer on a logarithmic axis, quartiles as whiskers, a tick where the target is."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(figsize=(8, 1 + 0.32 * len(results)), layout="constrained")
    for y, r in enumerate(results):
        low, high = r.quartiles
        axes.barh(y, r.ratio - 1, left=1, color="#4477aa" if r.ratio <= 1 else "#cc8844", height=0.6)
        axes.plot([low, high], [y, y], color="black", lw=1)
        if r.target is not None:
            axes.plot([r.target, r.target], [y - 0.42, y + 0.42], color="#aa3377", lw=2.5)
    axes.axvline(1, color="black", lw=0.8)
    axes.set_xscale("log")
    labels = [f"{r.kernel}, {r.size}\nbeside {r.peer}" for r in results]
    axes.set_yticks(range(len(results)), labels, fontsize=7)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlabel("CPU time, this library / peer\n(left of 1 this library is faster; red: target)")
    axes.set_title(title, fontsize=10)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)
