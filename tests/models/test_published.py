"""Fetching published checkpoints: whole and as published, or not at all.  Without a network: a pip of our own."""

import hashlib
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from se3ref.__main__ import main
from se3ref.models import published, sevennet

CONTENTS = {name: np.random.default_rng(seed).bytes(3000) for seed, name in enumerate(("SevenNet-0", "SevenNet-l3i5"))}
PIP = """
import os, shutil, sys
arguments = sys.argv[1:]
open(os.environ["FAKE_LOG"], "w").write(" ".join(arguments))
wheel = os.environ["FAKE_WHEEL"]
if not wheel:
    sys.exit("ERROR: Could not find a version that satisfies the requirement " + arguments[-1])
shutil.copy(wheel, arguments[arguments.index("--dest") + 1])
"""


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel with two checkpoints of our own, which a `pip` of our own hands out; and an empty cache."""
    (tmp_path / "modules" / "pip").mkdir(parents=True)
    (tmp_path / "modules" / "pip" / "__init__.py").touch()
    (tmp_path / "modules" / "pip" / "__main__.py").write_text(PIP)
    path = tmp_path / "sevenn-0.13.0-py3-none-any.whl"
    for name, value in (("PYTHONPATH", tmp_path / "modules"), ("FAKE_WHEEL", path), ("FAKE_LOG", tmp_path / "log"),
                        ("XDG_CACHE_HOME", tmp_path / "cache")):
        monkeypatch.setenv(name, str(value))
    known = {name: published.Checkpoint(published.CHECKPOINTS[name].path, hashlib.sha256(content).hexdigest())
             for name, content in CONTENTS.items()}
    monkeypatch.setattr(published, "CHECKPOINTS", known)
    pack(path, CONTENTS)
    return path


def pack(path, contents):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(published.LICENCE, "MIT")
        for name, content in contents.items():
            archive.writestr(published.CHECKPOINTS[name].path, content)


def kept(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


WHOLE = sorted([*(f"{name}.pth" for name in CONTENTS), "LICENSE-sevenn"])


def test_fetched_means_checked_kept_and_found(wheel, tmp_path):
    found = published.fetch()
    assert {name: path.read_bytes() for name, path in found.items()} == CONTENTS
    assert found == {name: published.find(name) for name in CONTENTS} and kept(tmp_path) == WHOLE
    assert (tmp_path / "cache" / "se3ref" / "LICENSE-sevenn").read_text() == "MIT"
    asked = (tmp_path / "log").read_text().split()
    assert asked[0] == "download" and asked[-1] == published.REQUIREMENT and {"--no-deps", "--only-binary"} <= {*asked}
    assert not Path(asked[asked.index("--dest") + 1]).exists()           # the wheel is not left behind


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def scratched(path):
    """One bit of a compressed file: the archive opens, and its check sum is wrong."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def exchanged(path):
    pack(path, CONTENTS | {"SevenNet-l3i5": b"malice"})


def incomplete(path):
    pack(path, {"SevenNet-0": CONTENTS["SevenNet-0"]})


@pytest.mark.parametrize("harm, message", [(truncated, "damaged"), (scratched, "damaged|has the SHA-256"),
                                           (exchanged, "has the SHA-256"), (incomplete, "holds no")])
@pytest.mark.parametrize("before", [False, True])
def test_a_wrong_wheel_leaves_all_as_it_was(wheel, tmp_path, harm, message, before):
    """Nothing of it is kept, not even the checkpoint that is whole; what had been fetched stays."""
    if before:
        published.fetch()
    harm(wheel)
    with pytest.raises(ValueError, match=message):
        published.fetch()
    assert kept(tmp_path) == (WHOLE if before else [])


def test_offline_says_what_pip_said(wheel, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_WHEEL", "")
    with pytest.raises(SystemExit, match="(?s)nothing was kept.*exit status 1.*Could not find a version") as stopped:
        main(["sevennet", "fetch"])
    assert isinstance(stopped.value.code, str)                           # printed, and exit status 1
    assert kept(tmp_path) == []


def test_without_pip(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(published.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="has no pip.*ensurepip"):
        published.fetch()
    assert kept(tmp_path) == []


@pytest.mark.parametrize("function", ["os.replace", "subprocess.run"])
def test_interrupted(wheel, tmp_path, monkeypatch, function):
    """While pip works, or as a file gets its name: no half of a file stays, and what was there is still there."""
    def stop(*_, **__):
        raise KeyboardInterrupt

    published.fetch()
    module, name = function.split(".")
    monkeypatch.setattr(getattr(published, module), name, stop)
    with pytest.raises(KeyboardInterrupt):
        published.fetch()
    assert kept(tmp_path) == WHOLE
    assert {name: published.find(name).read_bytes() for name in CONTENTS} == CONTENTS


def test_load_says_what_to_run(wheel, tmp_path):
    with pytest.raises(ValueError, match="has not been fetched.*python -m se3ref sevennet fetch"):
        sevennet.load("SevenNet-l3i5")
    published.fetch()["SevenNet-l3i5"].write_bytes(b"rotten")
    with pytest.raises(ValueError, match="has the SHA-256.*python -m se3ref sevennet fetch"):
        sevennet.load("SevenNet-l3i5")
    with pytest.raises(ValueError, match="'SevenNet-1'; known are: SevenNet-0, SevenNet-l3i5"):
        sevennet.load("SevenNet-1")


def test_the_command_and_a_folder_of_ones_own(wheel, tmp_path, capsys):
    folder = tmp_path / "own" / "folder"
    assert main(["sevennet", "fetch", "--folder", str(folder)]) == 0
    said = capsys.readouterr().out
    assert all(str(folder / name) in said for name in WHOLE)
    assert sorted(path.name for path in folder.iterdir()) == WHOLE and kept(tmp_path) == []
    assert main(["sevennet", "fetch"]) == 0
    assert "models.sevennet.load('SevenNet-l3i5')" in capsys.readouterr().out


def test_a_folder_that_cannot_be(wheel, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemExit, match="nothing was kept"):
        main(["sevennet", "fetch", "--folder", str(tmp_path / "file" / "folder")])


@pytest.mark.parametrize("system, variables, expected", [
    ("linux", {}, ".cache/se3ref"), ("linux", {"XDG_CACHE_HOME": "relative"}, ".cache/se3ref"),
    ("darwin", {}, "Library/Caches/se3ref"), ("win32", {}, "AppData/Local/se3ref")])
def test_the_cache_is_where_the_system_keeps_its_own(tmp_path, monkeypatch, system, variables, expected):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(sys, "platform", system)
    assert published.cache() == tmp_path / expected
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "elsewhere"))
    assert published.cache() == tmp_path / "elsewhere" / "se3ref"
