"""The audit of every model of this course and of models that others made: what chapter 16 shows.

    python experiments/audits.py                               # all that are not in the file yet
    python experiments/audits.py --only CHGNet                 # this one, again
    python experiments/audits.py --figure figures/audits.png

Writes audits.json beside this file, after each target.  A target whose package is not installed is skipped; the file
is kept, so that several environments may add to it.  None takes more than three minutes.
"""

import argparse
import functools
import json
import math
import time
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import peers

import se3ref
from se3ref import models, verify
from se3ref.nn.params import cast
from se3ref.verify.specimens import catalogue, rattled

OUT = Path(__file__).with_name("audits.json")
SPECIES, CUTOFF = peers.SPECIES, 4.0
ORGANIC = "hydrogen peroxide", "crystal of hydrogen peroxide"
ETHANOL = "ethanol", "crystal of ethanol"
UNIVERSAL = "hydrogen peroxide", "sodium chloride"
IONS = "sodium chloride", "cluster of ions"
QUICK = tuple(law for law in verify.LAWS if law not in ("nve", "smoothness"))          # for what is slow


@dataclass(frozen=True)
class Entry:
    """A target of the matrix: its group of rows, what makes it, on which specimens, the packages it needs, and laws."""
    group: str
    make: object
    on: tuple = ORGANIC
    packages: tuple = ()
    laws: tuple = tuple(verify.LAWS)


def fresh(model, *arguments, **settings):
    """A model of this library with random weights."""
    made = model(*arguments, **settings)
    return made, made.init(np.random.default_rng(0))


def hybrid(head, **settings):
    """A NequIP and charges by a second one, random weights."""
    parts = [models.NequIP(SPECIES, CUTOFF, channels=4, layers=2, heads=(said,)) for said in ("energy", head)]
    return fresh(models.Hybrid, short_range=parts[0], charges=parts[1], **settings)


def trained(name, dtype="float64"):
    """A model that comes with this library."""
    model, params, _ = models.shipped(name)
    return model, cast(params, dtype)


def _with(group, rows):
    """{label: Entry} of rows (label, specimens, function, its arguments...)."""
    return {label: Entry(group, functools.partial(make, *arguments), on) for label, on, make, *arguments in rows}


def _random():
    small = {"channels": 4, "layers": 2}
    found = {name: (getattr(models, name), small) for name in ("SchNet", "EGNN", "PaiNN", "NequIP", "MACE",
                                                               "SE3Transformer", "Coordinates")}
    found["NequIP, SO(3)"] = models.NequIP, {"channels": 4, "group": "SO(3)"}       # 3 layers: a . (b x c)
    made = {label: functools.partial(fresh, model, SPECIES, CUTOFF, **settings)
            for label, (model, settings) in found.items()}
    made |= {"hybrid, Ewald": functools.partial(hybrid, "charges", accuracy=1e-12),
             "hybrid, mesh": functools.partial(hybrid, "charges", electrostatics="pme"),
             "hybrid, equilibrated": functools.partial(hybrid, "electronegativity", accuracy=1e-12, widths=0.6)}
    return {label: Entry("this library, random weights", make) for label, make in made.items()}


def _trained():
    return _with("this library, trained", (
        ("NequIP, ethanol", ETHANOL, trained, "nequip_ethanol_950"),
        ("NequIP, ethanol, float32", ETHANOL, trained, "nequip_ethanol_950", "float32"),
        ("MACE, ethanol", ETHANOL, trained, "mace_ethanol_short"),
        ("direct forces, ethanol", ETHANOL, trained, "direct_ethanol_200"),
        ("four heads, H2O2", ("hydrogen peroxide",), trained, "nequip_h2o2"),
        ("hybrid, formate-ammonium", ("formate and ammonium",), trained, "hybrid_formate_ammonium"),
        ("hybrid, NaCl", IONS, trained, "hybrid_sodium_chloride")))


def _sevennet():
    group, package = "SevenNet-0", peers.PACKAGES["sevenn"]
    found = _with(group, (("SevenNet-0, here", UNIVERSAL, models.sevennet.load),
                          ("SevenNet-0, here, float32", UNIVERSAL, models.sevennet.load, "SevenNet-0", np.float32)))
    return found | {"SevenNet-0, sevenn": Entry(group, peers.sevenn, UNIVERSAL, package, QUICK),
                    "SevenNet-0, sevenn cast to float64": Entry(group, functools.partial(peers.sevenn, True), UNIVERSAL,
                                                                package, QUICK)}


def _others():
    found = _with("others", (
        ("CHGNet", UNIVERSAL, peers.chgnet), ("mace-torch, random", ORGANIC, peers.mace),
        ("mace-torch, random, float32", ORGANIC, peers.mace, "float32"), ("e3nn, random", ORGANIC, peers.e3nn),
        ("e3nn, random, float32", ORGANIC, peers.e3nn, "float32"), ("GFN2-xTB, tblite", ORGANIC, peers.xtb),
        ("GFN2-xTB, accuracy 1e-4", ("hydrogen peroxide", "water"), peers.xtb, 1e-4),
        ("EMT, ASE", ("copper", "cluster of copper"), peers.emt),
        ("Lennard-Jones, ASE", ("argon",), peers.lennard_jones),
        ("Lennard-Jones, ASE, smooth", ("argon",), peers.lennard_jones, True)))
    found = {label: replace(entry, packages=peers.PACKAGES[entry.make.func.__name__]) for label, entry in found.items()}
    return found | {label: replace(found[label], laws=QUICK) for label in found if "random, float32" in label}


TARGETS = _random() | _trained() | _sevennet() | _others()


def known():
    """{name: Structure}: the audit's own specimens, and a small crystal of few elements."""
    found = {s.name: s.structure for s in catalogue()}
    h2o2 = found["hydrogen peroxide"]
    crystal = rattled(h2o2.numbers, h2o2.positions, np.diag([4.9, 4.5, 4.2]), True, seed=12)
    return {**found, "crystal of hydrogen peroxide": crystal}


def audited(label):
    """What is kept of the audit of one target."""
    entry, began = TARGETS[label], time.process_time()
    versions = {name: version(name) for name in entry.packages}
    structures = known()
    target = verify.targets.as_target(entry.make())
    report = verify.audit(target, [structures[name] for name in entry.on], list(entry.laws), progress=True)
    names = dict(zip(report.noise, entry.on, strict=True))
    return {"group": entry.group, "passed": report.passed, "broken": report.broken, "structures": list(entry.on),
            "versions": versions, "laws": {law: kept(finding, names) for law, finding in report.findings.items()},
            "noise": {name: float(f"{max(n.get(name, 0) for n in report.noise.values()):.2g}")
                      for name in next(iter(report.noise.values()))},
            "cpu_seconds": round(time.process_time() - began)}


def kept(finding, names):
    """A finding in short; of a broken law the worst case of every quantity on every structure."""
    if not finding.cases:
        return {"verdict": finding.verdict, "silent": finding.silent}
    found = {"verdict": finding.verdict, **described(*finding.cases[0], names)}
    if not finding.passed:
        broken = {}
        for specimen, case in finding.cases:
            if case.verdict == "broken":
                broken.setdefault((case.quantity, specimen), described(specimen, case, names))
        found["broken"] = list(broken.values())
    return found


def described(specimen, case, names):
    """One case, to three digits."""
    numbers = {name: float(f"{getattr(case, name):.3g}") for name in ("violation", "allowed")}
    numbers = {name: x if math.isfinite(x) else None for name, x in numbers.items()}
    return {"quantity": case.quantity, "unit": case.unit, **numbers, "on": names.get(specimen, specimen),
            "note": case.note}


def run(labels, again):
    """Audit these targets; those that are in the file only if asked for again."""
    found = json.loads(OUT.read_text())["targets"] if OUT.exists() else {}
    for label in labels:
        if label in found and not again:
            continue
        try:
            found[label] = audited(label)
        except (ImportError, PackageNotFoundError) as error:
            print(f"{label}: skipped, {error}")
            continue
        print(f"{label}: {', '.join(found[label]['broken']) or 'passed'}, {found[label]['cpu_seconds']} s", flush=True)
        save({name: found[name] for name in TARGETS if name in found})


def save(found):
    about = {"command": "python experiments/audits.py", "se3ref": se3ref.__version__, "numpy": np.__version__,
             "laws": list(verify.LAWS)}
    part = OUT.with_name(OUT.name + ".part")
    part.write_text(json.dumps({"about": about, "targets": found}, indent=1) + "\n")
    part.replace(OUT)


# --- the figure -----------------------------------------------------------------------------------------------

def draw(path):
    """The matrix of targets and laws: colours say the verdict, numbers the power of ten of the violation."""
    import matplotlib.pyplot as plt

    from se3ref.plotting.audits import COLOURS
    about, found = (json.loads(OUT.read_text())[key] for key in ("about", "targets"))
    laws, rows = about["laws"], _rows(found)
    fig, ax = plt.subplots(figsize=(8.6, 0.235 * len(rows) + 1.35), layout="constrained")
    for y, (label, target) in enumerate(rows):
        if target is None:
            ax.text(-0.62, y + 0.08, label, ha="right", va="center", fontsize=7.5, fontweight="bold")
            continue
        ax.text(-0.62, y, label, ha="right", va="center", fontsize=7.5)
        for x, law in enumerate(laws):
            found = target["laws"].get(law, {"verdict": "not measured"})
            ax.add_patch(plt.Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, linewidth=0,
                                       color=COLOURS[found["verdict"]], alpha=_alpha(found["verdict"])))
            ax.text(x, y, _power(found), ha="center", va="center", fontsize=6.5,
                    color="white" if found["verdict"] == "broken" else "black",
                    fontweight="bold" if found["verdict"] == "broken" else "normal")
    ax.set(xlim=(-0.5, len(laws) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    ax.set_xticks(range(len(laws)), [law.replace("_", " ") for law in laws], rotation=55, ha="left", fontsize=7.5,
                  rotation_mode="anchor")
    ax.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_visible(False)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour, alpha=_alpha(verdict), label=verdict)
               for verdict, colour in COLOURS.items()]
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=7.5,
               title="number: power of ten of the worst violation in its unit (eV, angstrom); ·: exactly zero",
               title_fontsize=7.5)
    fig.savefig(path, dpi=200)
    plt.close(fig)


def _alpha(verdict):
    return {"broken": 1.0, "not measured": 0.15}.get(verdict, 0.45)


def _rows(found):
    """(label, target), with a heading (label, None) before each group."""
    rows = []
    for group in dict.fromkeys(entry.group for entry in TARGETS.values()):
        members = [(label, found[label]) for label in TARGETS if label in found and TARGETS[label].group == group]
        rows += [(group, None), *members] if members else []
    return rows


def _power(found):
    if "violation" not in found or found["quantity"] is None:
        return ""
    if found["violation"] is None:
        return "fails"
    return f"{math.floor(math.log10(found['violation']))}" if found["violation"] else "·"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", metavar="NAME", choices=TARGETS, help="audit this target, again if need be")
    parser.add_argument("--figure", metavar="PATH", help="draw what the file holds, and audit nothing")
    options = parser.parse_args()
    if options.figure:
        draw(options.figure)
    else:
        run([options.only] if options.only else TARGETS, again=bool(options.only))


if __name__ == "__main__":
    main()
