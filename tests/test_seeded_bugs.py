"""Every planted bug is caught by every test named for it, and the tests named as blind are blind to it."""

import pytest

from tests import seeded_bugs
from tests.seeded_bugs import BUGS

BLIND = {test for bug in BUGS for test in bug.blind}           # these pass even with a bug, as is seen below
SEEING = {test for bug in BUGS for test in bug.caught} - BLIND
CONTROLS = sorted(SEEING | {bug.caught[0] for bug in BUGS if not SEEING & set(bug.caught)})


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_bug_is_caught(bug):
    uncaught, seen = seeded_bugs.hunt(bug)
    assert bug.caught
    assert not uncaught, f"these tests miss the bug: {uncaught}"
    assert not seen, f"these tests are not blind to it: {seen}"


@pytest.mark.parametrize("test", CONTROLS)
def test_without_a_bug_it_passes(test):
    """Every test that nowhere passes with a bug, and of every bug one that sees it: after all the planting, so that
    nothing of a bug stays behind in a cache or a module."""
    assert seeded_bugs.passes(test)


def test_the_table_is_printed(monkeypatch, capsys):
    """One bug that is caught and one that nobody sees: the exit status says so."""
    monkeypatch.setattr(seeded_bugs, "BUGS", BUGS[:1])
    assert seeded_bugs.main() == 0
    harmless = seeded_bugs.Bug("no bug at all", lambda: [], BUGS[0].caught[:1], [])
    monkeypatch.setattr(seeded_bugs, "BUGS", [harmless])
    assert seeded_bugs.main() == 1
    printed = capsys.readouterr().out
    assert f"caught  {BUGS[0].name}" in printed and "MISSED  no bug at all" in printed and "MISSES IT" in printed
