"""Commands: `python -m se3ref resolving-power` prints what every model can tell apart."""

import argparse
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


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m se3ref", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    table = commands.add_parser("resolving-power", help="every model against every pair of the museum: told apart or "
                                                        "blind, and whether theory agrees")
    table.add_argument("--figure", metavar="FILE", help="draw the table too, as PNG, PDF or SVG")
    table.set_defaults(run=resolving_power)
    options = parser.parse_args(arguments)
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
