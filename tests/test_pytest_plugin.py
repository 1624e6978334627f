"""`pytest --se3-audit`, in a pytest of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from se3ref.verify import LAWS

FILE = """
import numpy as np

def bonds(species, positions, cell, pbc):
    \"\"\"exp(-r^2) of all pairs, which needs no neighbours and knows of no images.\"\"\"
    d = positions[:, None] - positions
    f = np.exp(-(d * d).sum(-1) / 2)
    return f.sum() / 2, (f[:, :, None] * d).sum(1)

def charged(species, positions, cell, pbc):
    if pbc.any():
        raise ValueError("molecules alone")
    E, F = bonds(species, positions, cell, pbc)
    return E + 0.01 * positions[0, 2], F

def spoilt():
    raise KeyError("no weights")
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(exit status, output) of pytest with these arguments, run in a folder with FILE; each once."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "mine.py").write_text(FILE)
    (folder / "test_own.py").write_text("def test_of_their_own():\n    assert 1 + 1 == 2\n")
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1",
                                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}

    def run(*arguments):
        done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "se3ref.pytest_plugin",
                               *arguments], cwd=folder, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr
    return run


def test_one_test_for_each_law(ran):
    status, said = ran("--se3-audit", "mine:charged", "-v", "-k", "rotation or net_force or images or of_their_own")
    assert status == 1
    verdicts = dict(re.findall(r"mine:charged\[(\w+)\] (PASSED|FAILED|SKIPPED)", said))
    assert verdicts == {"rotation": "FAILED", "net_force": "PASSED", "images": "SKIPPED"}
    assert "test_own.py::test_of_their_own PASSED" in said and f"{len(LAWS) - 3} deselected" in said
    assert re.search(r"rotation +broken", said) and "Traceback" not in said
    assert "Error" not in said.replace("BrokenLaw", "")


def test_two_targets_and_the_reason_why_there_is_none(ran):
    status, said = ran("--se3-audit", "mine:bonds", "--se3-audit", "mine:spoilt", "-v", "-k", "permutation or torque")
    assert status == 1 and "mine:bonds[permutation] PASSED" in said and "mine:spoilt[permutation] FAILED" in said
    assert "KeyError: 'no weights'" in said


def test_without_the_option_nothing_is_added(ran):
    status, said = ran("-q")
    assert status == 0 and "1 passed" in said
