"""Every seeded bug against every law: `python -m tests.bug_matrix` prints which laws see it and which are blind.

A law is a column of `law_columns`: some tests, run in order until one fails.  Four things can happen.  The bug is
caught: an assertion fails.  It is stopped: none does, but a test ends in an error, since something is refused or no
longer fits.  The law is blind: its tests call what the bug replaces, and pass.  Or it looks elsewhere: they never do.

Results are kept bug by bug in experiments/bug_matrix.json, so that a stopped run goes on, and a new bug, or a law whose
tests were chosen anew, costs its own row or column only; --anew starts over.  --figure draws figures/bug-matrix.png.
The exit status is 1 if a bug is caught by no law, or if a law fails without a bug.
"""

import argparse
import inspect
import json
import os
import sys

from tqdm import tqdm

from tests import law_columns, seeded_bugs
from tests.seeded_bugs import ROOT

OUT, FIGURE = ROOT / "experiments/bug_matrix.json", ROOT / "figures/bug-matrix.png"
WORDS, BY_A_TEST = ("caught", "stopped", "blind", "elsewhere"), ("caught", "stopped")
TITLES = {"seeded_bugs": "rotations, harmonics, coupling", "seeded_neighbor_bugs": "neighbours",
          "seeded_network_bugs": "layers, models, training", "seeded_parity_bugs": "parity, contraction",
          "seeded_certificate_bugs": "certificates", "seeded_lattice_bugs": "lattice sums",
          "seeded_charge_bugs": "charges"}


def columns():
    """{law: {"group", "says", "tests"}}, in order."""
    return {law: {"group": group, "says": says, "tests": tests}
            for group, laws in law_columns.GROUPS.items() for law, (says, tests) in laws.items()}


def group(bug):
    """What its part of the list is about: the file that plants it says so."""
    file = bug.plant.__module__.rpartition(".")[2]
    return TITLES.get(file, file.removeprefix("seeded_").removesuffix("_bugs"))


# --- what is kept -----------------------------------------------------------------------------------------------

def kept(path, laws):
    """{bug: its row} from the file, as far as laws have the tests they had then."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text())
    same = {law: law in found["laws"] and found["laws"][law]["tests"] == laws[law]["tests"] for law in laws}
    return {name: {law: verdict for law, verdict in verdicts(row).items() if same.get(law)}
            for name, row in found["bugs"].items()}


def verdicts(row):
    """A row of the file, {word: laws, or {law: test}}, as {law: (word, test or None)}."""
    return {law: (word, row[word][law] if word in BY_A_TEST else None) for word in WORDS for law in row[word]}


def rows_of(bugs, laws):
    """What `verdicts` reads, for all bugs of the list that have a row, in the order of the lists."""
    rows = {}
    for bug in seeded_bugs.BUGS:
        found = {law: bugs[bug.name][law] for law in laws if law in bugs.get(bug.name, {})}
        tests = {word: {law: test for law, (each, test) in found.items() if each == word} for word in WORDS}
        if found:
            rows[bug.name] = {"group": group(bug)} | {word: tests[word] if word in BY_A_TEST else list(tests[word])
                                                      for word in WORDS}
    return rows


def write(path, bugs, laws):
    """One line for each law and each bug; a stopped run leaves the file as it was."""
    def lines(table):
        return ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in table.items())
    part = path.with_suffix(".part")
    part.write_text(f'{{\n "command": "python -m tests.bug_matrix",\n "laws": {{\n{lines(laws)}\n }},\n'
                    f' "bugs": {{\n{lines(rows_of(bugs, laws))}\n }}\n}}\n')
    os.replace(part, path)


# --- the hunt ---------------------------------------------------------------------------------------------------

def calls(test):
    """Every (code, None) and (code, calling module) of a test, or None if it fails.

    It runs twice: what tests keep for themselves, such as trained weights, is there the second time, as in the hunt.
    """
    if not seeded_bugs.passes(test):
        return None
    made = set()

    def note(frame, event, _):
        if event == "call" and frame.f_back:
            made.update([(frame.f_code, None), (frame.f_code, frame.f_back.f_globals.get("__name__"))])
    seeded_bugs.clear_caches()                                 # tables of the library are made anew, as in the hunt
    sys.setprofile(note)
    try:
        seeded_bugs.passes(test)
    finally:
        sys.setprofile(None)
    return made


def replaced_calls(bug):
    """The calls that a bug changes: (code, None) from anywhere, or (code, module) where it replaces what one module has
    imported.  None if it replaces a table, which may be read anywhere."""
    found = set()
    for owner, name, _ in bug.plant():
        thing = vars(owner)[name]
        thing = getattr(thing, "fget", None) or getattr(thing, "func", None) or inspect.unwrap(thing)
        if not hasattr(thing, "__code__"):
            return None
        own = inspect.isclass(owner) or hasattr(owner, "__path__") or thing.__module__ == owner.__name__
        found.add((thing.__code__, None if own else owner.__name__))
    return found


def verdict(tests, made, replaced):
    """(word, test): what becomes of a law while a bug is planted, and the test by which it is caught or stopped."""
    near, stopped = [test for test in tests if replaced is None or made[test] & replaced], None
    for test in near:
        error = seeded_bugs.failure(test)
        if isinstance(error, AssertionError):
            return "caught", test
        stopped = stopped or (test if error else None)
    return ("stopped", stopped) if stopped else ("blind" if near else "elsewhere", None)


def fill(bugs, laws, path):
    """Runs what is missing, and keeps it after every bug.  Returns the tests that fail without a bug."""
    todo = [(bug, lacks) for bug in seeded_bugs.BUGS if (lacks := set(laws) - set(bugs.get(bug.name, ())))]
    tests = {test: None for law in laws if any(law in lacks for _, lacks in todo) for test in laws[law]["tests"]}
    made = {test: calls(test) for test in tqdm(tests, "no bug", disable=not tests)}
    failing = [test for test in tests if made[test] is None]
    for bug, lacks in () if failing else (bar := tqdm(todo, disable=not todo)):
        bar.set_description(bug.name)
        replaced = replaced_calls(bug)
        with seeded_bugs.planted(bug):
            found = {law: verdict(laws[law]["tests"], made, replaced) for law in laws if law in lacks}
        bugs[bug.name] = bugs.get(bug.name, {}) | found
        write(path, bugs, laws)
    return failing


# --- what is printed --------------------------------------------------------------------------------------------

def in_short(chosen, laws):
    """Laws in their order, three and more that follow one another as first-last: "P1-P4 P9"."""
    order, runs = list(laws), []
    for k in (order.index(law) for law in chosen):
        if runs and runs[-1][-1] == k - 1:
            runs[-1].append(k)
        else:
            runs.append([k])
    return " ".join(f"{order[run[0]]}-{order[run[-1]]}" if len(run) > 2 else " ".join(order[k] for k in run)
                    for run in runs)


def table(rows, laws):
    """The lines of the matrix, bug by bug, and what it comes to."""
    for name, row in rows.items():
        yield f"\n{'caught' if row['caught'] else 'MISSED'}  {name}"
        for word in WORDS:
            yield f"        {word:10s} {in_short(row[word], laws) or '-'}"
    counts = {law: [sum(law in row[word] for row in rows.values()) for word in WORDS] for law in laws}
    yield "\nHow many bugs each law catches, by how many it is stopped, to how many it is blind\n"
    for law, column in laws.items():
        yield "        {:3d} {:3d} {:3d}  {:10s} {}".format(*counts[law][:3], law, column["says"])
    by_one = {name: next(iter(row["caught"])) for name, row in rows.items() if len(row["caught"]) == 1}
    yield f"\nCaught by one law only: {len(by_one)}\n"
    for name, law in by_one.items():
        yield f"        {law:10s} {name}"
    yield f"\nLaws that catch no bug: {', '.join(law for law in laws if not counts[law][0]) or 'none'}"
    uncaught = [name for name, row in rows.items() if not row["caught"]]
    yield f"{len(rows)} bugs, {len(laws)} laws; bugs caught by no law: {', '.join(uncaught) or 'none'}"


def main(arguments=None):
    """Run what is missing, print the table; exit status 1 if a bug is caught by no law or a law fails by itself."""
    parser = argparse.ArgumentParser(prog="python -m tests.bug_matrix", description="Every seeded bug, every law.")
    parser.add_argument("--anew", action="store_true", help="start over, with nothing kept")
    parser.add_argument("--figure", action="store_true", help="draw figures/bug-matrix.png too")
    options, laws = parser.parse_args(arguments), columns()
    bugs = {} if options.anew else kept(OUT, laws)
    if failing := fill(bugs, laws, OUT):
        print("\n".join(f"fails without a bug: {test}" for test in failing))
        return 1
    write(OUT, bugs, laws)
    rows = rows_of(bugs, laws)
    print("\n".join(table(rows, laws)))
    if options.figure:
        from tests.bug_figure import draw
        draw(rows, laws, FIGURE)
    return 0 if all(row["caught"] for row in rows.values()) else 1


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))                    # where pytest finds `tape` and `oracle` too
    sys.exit(main())
