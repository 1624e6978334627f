"""The matrix of seeded bugs and laws that is kept is that of the code, misses no bug, and comes out the same again."""

import json
import re

import pytest

from se3ref.so3 import coupling
from tests import bug_matrix, law_columns, seeded_bugs
from tests.seeded_bugs import BUGS, ROOT, Bug

FOUND = json.loads(bug_matrix.OUT.read_text())
LAWS = bug_matrix.columns()
CHEAP = ["P12", "P23", "P24", "P26", "P30", "frozen"]
TWO = {"coupling": {law: law_columns.GROUPS["coupling"][law] for law in ("P24", "P30")}}


def test_it_is_about_the_laws_and_bugs_of_the_code():
    """After a change of either, `make bug-matrix` runs what is new."""
    assert FOUND["laws"] == LAWS
    assert list(FOUND["bugs"]) == [bug.name for bug in BUGS]
    for row in FOUND["bugs"].values():
        assert sorted(law for word in bug_matrix.WORDS for law in row[word]) == sorted(LAWS)


@pytest.mark.parametrize("name", FOUND["bugs"])
def test_every_bug_is_caught(name):
    assert FOUND["bugs"][name]["caught"]


def test_every_numbered_law_is_a_column():
    files = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    held = {number for text in files for name in re.findall(r"^def test_((?:P\d+_)+)", text, re.MULTILINE)
            for number in re.findall(r"P\d+", name)}
    assert len(held) > 50 and held <= set(LAWS)


def test_every_test_of_a_column_is_there():
    for law, column in LAWS.items():
        for test in column["tests"]:
            file, name = test.partition("[")[0].split("::")
            assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), (law, test)


@pytest.fixture(scope="module")
def made():
    """The calls of the tests of some cheap laws; all of them pass without a bug."""
    found = {test: bug_matrix.calls(test) for law in CHEAP for test in LAWS[law]["tests"]}
    assert None not in found.values()
    return found


@pytest.mark.parametrize("name", ["sign of the path 1x1->1", "sign of the path 1x2->2", "the path 2x2->2 halved",
                                  "quadrature one degree short"])
def test_a_row_comes_out_the_same(name, made):
    bug, row = next(bug for bug in BUGS if bug.name == name), bug_matrix.verdicts(FOUND["bugs"][name])
    replaced = bug_matrix.replaced_calls(bug)
    with seeded_bugs.planted(bug):
        for law in CHEAP:
            assert bug_matrix.verdict(LAWS[law]["tests"], made, replaced) == row[law], law


# --- the command ------------------------------------------------------------------------------------------------

@pytest.fixture
def small(monkeypatch, tmp_path):
    """The command with two laws, and a file of its own; small(bugs) says which bugs there are."""
    monkeypatch.setattr(law_columns, "GROUPS", TWO)
    monkeypatch.setattr(bug_matrix, "OUT", tmp_path / "matrix.json")
    monkeypatch.setattr(bug_matrix, "FIGURE", tmp_path / "matrix.png")
    return lambda *bugs: monkeypatch.setattr(seeded_bugs, "BUGS", list(bugs))


SEEN = next(bug for bug in BUGS if bug.name == "sign of the path 1x2->2")
HARMLESS = Bug("no bug at all", lambda: [(coupling, "_K", coupling._K)], [], [])


def test_a_bug_that_no_law_sees_is_a_failure(small, capsys):
    small(SEEN, HARMLESS)
    assert bug_matrix.main([]) == 1
    printed = capsys.readouterr().out
    assert f"caught  {SEEN.name}\n        caught     P24 P30" in printed
    assert "MISSED  no bug at all\n        caught     -\n        stopped    -\n        blind      P24 P30" in printed
    assert "2 bugs, 2 laws; bugs caught by no law: no bug at all" in printed


def test_what_was_found_is_not_sought_again(small, monkeypatch):
    small(SEEN)
    assert bug_matrix.main([]) == 0
    monkeypatch.setattr(seeded_bugs, "passes", lambda test: pytest.fail(f"{test} was run again"))
    assert bug_matrix.main(["--figure"]) == 0 and bug_matrix.FIGURE.stat().st_size > 10_000
    says, tests = TWO["coupling"]["P30"]
    monkeypatch.setattr(law_columns, "GROUPS", {"coupling": TWO["coupling"] | {"P30": (says, tests * 2)}})
    assert set(bug_matrix.kept(bug_matrix.OUT, bug_matrix.columns())[SEEN.name]) == {"P24"}      # P30 has other tests
    with pytest.raises(pytest.fail.Exception, match="was run again"):
        bug_matrix.main([])


def test_a_law_that_fails_without_a_bug_is_a_failure(small, monkeypatch, capsys):
    small(SEEN)
    monkeypatch.setattr(seeded_bugs, "passes", lambda test: "P30" not in test)
    assert bug_matrix.main(["--anew"]) == 1
    assert capsys.readouterr().out == f"fails without a bug: {LAWS['P30']['tests'][0]}\n"
    assert not bug_matrix.OUT.exists()


def test_laws_in_short():
    assert bug_matrix.in_short(["P1", "P2", "P3", "P4", "P9", "P11", "P12"], LAWS) == "P1-P4 P9 P11 P12"
