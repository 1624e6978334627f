"""Commands: audit a model, take its errors apart by degree, tell what each model can see, fetch a published one."""

import argparse
import json
import sys
from pathlib import Path


def resolving_power(options):
    """The table of models against pairs; exit status 1 where a trial goes against theory."""
    from se3ref.verify import resolving_power
    if options.figure and not Path(options.figure).resolve().parent.is_dir():
        raise SystemExit(f"there is no folder for {options.figure}: make it first")
    found = resolving_power(progress=True)
    print(found)
    if options.figure:
        from se3ref.plotting.resolving import save_figure
        save_figure(found, options.figure)
    return 0 if found.agrees else 1


def audit(options):
    """The laws, measured; exit status 1 where one is broken, 2 without a verdict: it cannot be asked, or Ctrl-C."""
    from se3ref import verify
    try:
        if options.replay:
            return _replay(options, _report(options.replay[0]))
        structures = _structures(options.structures) if options.structures else None
        report = verify.audit(options.target, structures, options.laws, options.precision, options.seed, progress=True,
                              irreps=options.irreps, per=options.per, tolerance=options.tolerance)
    except (ValueError, TypeError, OSError) as error:
        print(f"no verdict: {error}", file=sys.stderr)
        return 2
    print(report)
    if options.json:
        report.to_json(options.json)
    if options.html:
        report.to_html(options.html)
    return 0 if report.passed else 1 if report.broken else 2


def _replay(options, report):
    """The worst case of each law that was broken, or of the one that is named, measured again."""
    from se3ref import verify
    names = options.replay[1:] or report["broken"]
    for name in map(str, names):
        if name not in report["laws"] or report["laws"][name]["worst"] is None:
            raise ValueError(f"there is no case of the law {name!r} in the report")
        worst = report["laws"][name]["worst"]
        case = verify.replay(options.target, worst, options.irreps, options.per)[0]
        print(f"{name}: {case.verdict}, {case.violation:.3e} {case.unit}, {case.quantity} of {worst['specimen']}"
              f"{', ' * bool(case.note)}{case.note} (the report has {worst['violation']!r})")
    return 0


def _report(path):
    try:
        report = json.loads(path.read_text("utf-8"))
        return {"laws": dict(report["laws"]), "broken": list(report["broken"])}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is no report of an audit in JSON, as --json writes it") from None


def _structures(path):
    from ase.io import read
    try:
        return read(path, ":")
    except OSError:
        raise
    except Exception as error:                                 # a reader of any of ASE's formats may fail in any way
        raise ValueError(f"ASE cannot read {path}: {type(error).__name__}: {error}") from None


def spectrum(options):
    """The degrees in what a target says of one structure, turned; exit status 1 where there are spurious ones."""
    from se3ref import verify
    from se3ref.verify.specimens import chosen
    try:
        target = verify.as_target(options.target, options.irreps, options.per)
        specimen = chosen(target, _structures(options.structures)[:1] if options.structures else None)[0][0]
        kinds = {name: target.kinds[name] for name in target.observe(specimen.structure)}
        if options.quantity not in kinds or kinds[options.quantity].irreps is None:
            raise ValueError(f"the quantity is one of {[name for name in kinds if kinds[name].irreps is not None]}; "
                             f"got {options.quantity!r}")
        f = verify.turned(lambda s: target.observe(s)[options.quantity], specimen.structure)
        found = verify.symmetry_spectrum(f, kinds[options.quantity].irreps, options.lmax, progress=True)
    except (ValueError, TypeError, OSError) as error:
        print(f"no spectrum: {error}", file=sys.stderr)
        return 2
    print(f"{options.quantity} of {target.name} on {specimen.name}\n{found}")
    if options.figure:
        found.save(options.figure)
    return 0 if found.diagnosis == "equivariant" else 1


def sevennet_fetch(options):
    """Published checkpoints into the user's cache, or into a folder."""
    from se3ref.models import published
    print(f"pip downloads {published.REQUIREMENT}, 43 MB ...", flush=True)
    try:
        found = published.fetch(options.folder)
    except (ValueError, OSError) as error:
        raise SystemExit(f"nothing was kept: {error}") from None
    for name, path in found.items():
        print(f"{name}: {path}, SHA-256 as published")
    print(f"MIT licence, (c) 2024 Yutack Park: {path.parent / published.LICENCE_KEPT}\n"
          f"models.sevennet.load({str(path) if options.folder else name!r}) reads the last one.")
    return 0


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m se3ref", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    table = commands.add_parser("resolving-power", help="every model against every pair of the museum: told apart or "
                                                        "blind, and whether theory agrees")
    table.add_argument("--figure", metavar="FILE", help="draw the table too, as PNG, PDF or SVG")
    table.set_defaults(run=resolving_power)
    _add_audit(commands)
    _add_spectrum(commands)
    sevennet = commands.add_parser("sevennet", help="the published potential SevenNet")
    fetch = sevennet.add_subparsers(required=True, metavar="fetch").add_parser(
        "fetch", help="get its checkpoints, SevenNet-0 and SevenNet-l3i5, with pip")
    fetch.add_argument("--folder", type=Path, help="keep them there (default: the user's cache, where "
                                                   "models.sevennet.load finds them by name)")
    fetch.set_defaults(run=sevennet_fetch)
    options = parser.parse_args(arguments)
    return options.run(options)


def _add_target(parser):
    parser.add_argument("target", help="module:factory or file.py:factory, of an ASE calculator or of a function "
                                       "(species, positions, cell, pbc) -> energy, forces, stress; arguments may "
                                       "follow, as in 'ase.calculators.lj:LennardJones(smooth=True)'")
    parser.add_argument("--structures", metavar="FILE", type=Path, help="what to measure on, any file that ASE reads")
    parser.add_argument("--irreps", help="of a function that returns a tensor, such as 1o")
    parser.add_argument("--per", choices=["structure", "atom"], default="structure", help="what has one such tensor")


def _add_spectrum(commands):
    parser = commands.add_parser("spectrum", help="which spurious degrees an output carries, and what made them",
                                 description="Exit status 0: equivariant, 1: not, 2: no spectrum.")
    _add_target(parser)
    parser.add_argument("--quantity", default="energy", help="energy, forces, tensor ... (default: energy)")
    parser.add_argument("--lmax", type=int, default=6)
    parser.add_argument("--figure", metavar="FILE", type=Path)
    parser.set_defaults(run=spectrum)


def _add_audit(commands):
    parser = commands.add_parser("audit", help="measure the laws of physics that any model should obey",
                                 description="Exit status 0: passed, 1: a law is broken, 2: no verdict.")
    _add_target(parser)
    parser.add_argument("--laws", default="all", help="names with commas between (default: all)")
    parser.add_argument("--precision", choices=["float32", "float64"], help="what the target claims to compute in")
    parser.add_argument("--tolerance", type=float, default=0.0,
                        help="a violation, in eV and angstrom, that the target's own settings allow: a self-consistent "
                             "field that stops early, an Ewald sum of some accuracy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE", type=Path)
    parser.add_argument("--html", metavar="FILE", type=Path, help="a page with plots")
    parser.add_argument("--replay", nargs="+", metavar=("FILE", "LAW"), type=Path,
                        help="measure the worst cases of a report in JSON again")
    parser.set_defaults(run=audit)


if __name__ == "__main__":
    sys.exit(main())
