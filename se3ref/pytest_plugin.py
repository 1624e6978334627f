"""The audit as tests of pytest, one for each law.

    pytest --se3-audit module:factory

adds them to those that pytest finds; a law that cannot be measured is skipped, with the reason.
"""

import pytest


def pytest_addoption(parser):
    parser.getgroup("se3ref").addoption(
        "--se3-audit", action="append", default=[], metavar="MODULE:FACTORY",
        help="audit what module:factory makes, an ASE calculator for instance, one test for each law; may be repeated")


def pytest_collection_modifyitems(session, config, items):
    for target in config.getoption("--se3-audit"):
        from se3ref.verify.auditor import LAWS
        made = []                                              # the auditor, made by the first test and shared by all
        items += [LawItem.from_parent(session, name=f"{target}[{law}]", target=target, law=law, made=made)
                  for law in LAWS]


class LawItem(pytest.Item):
    """One law of one target."""

    def __init__(self, *, target, law, made, **rest):
        super().__init__(**rest)
        self.target, self.law, self.made = target, law, made

    def runtest(self):
        from se3ref.verify.auditor import Auditor
        if not self.made:
            self.made.append(Auditor.of(self.target))
        finding = self.made[0].finding(self.law)
        if finding.verdict == "not measured":
            pytest.skip(finding.silent)
        if not finding.passed:
            raise BrokenLaw(str(finding))

    def repr_failure(self, excinfo):
        return str(excinfo.value) if excinfo.errisinstance((BrokenLaw, ValueError, TypeError)) else (
            super().repr_failure(excinfo))

    def reportinfo(self):
        return self.path, None, f"audit of {self.name}"


class BrokenLaw(Exception):
    """The message is what the audit found."""
