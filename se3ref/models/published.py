r"""Checkpoints that others published: fetched with pip, told by their SHA-256, kept in the user's cache.

They come out of the wheel of the package sevenn, which pip downloads from wherever the user's own settings say.
Nothing of the package is installed, imported or run.  A checkpoint is kept only if its SHA-256 is the one written
here, and is looked at again whenever it is loaded.

Source: sevenn 0.13.0, code and weights (c) 2024 Yutack Park, MIT; the licence is kept beside them.
"""

import dataclasses
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

REQUIREMENT = "sevenn==0.13.0"
LICENCE = "sevenn-0.13.0.dist-info/licenses/LICENSE"
LICENCE_KEPT = "LICENSE-sevenn"
COMMAND = "python -m se3ref sevennet fetch"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A file of the wheel: its path there, and its SHA-256."""
    path: str
    sha256: str

    def check(self, content, where):
        """The content (bytes) itself, if it is this checkpoint; else ValueError."""
        if (found := hashlib.sha256(content).hexdigest()) != self.sha256:
            raise ValueError(f"{where} has the SHA-256 {found}, expected {self.sha256}: it is damaged, or another file")
        return content


CHECKPOINTS = {
    "SevenNet-0": Checkpoint("sevenn/pretrained_potentials/SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
                             "7052cb42b7b3be42b40b97fa0d21077a48c54b5548948fc4dcf346629f813c36"),
    "SevenNet-l3i5": Checkpoint("sevenn/pretrained_potentials/SevenNet_l3i5/checkpoint_l3i5.pth",
                                "a7ff190d41efe5b8317a03d20a468e4036a1a3e64e0b14fdbab64ac3f4bfc09d"),
}


def cache():
    """The folder that checkpoints are kept in: `se3ref` in the user's cache.

    That is $XDG_CACHE_HOME where it is set (an absolute path), else the habit of the system: ~/.cache,
    ~/Library/Caches on macOS, %LOCALAPPDATA% on Windows.
    """
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not chosen.is_absolute():
        habits = {"darwin": "~/Library/Caches", "win32": os.environ.get("LOCALAPPDATA") or "~/AppData/Local"}
        chosen = Path(habits.get(sys.platform, "~/.cache")).expanduser()
    return chosen / "se3ref"


def find(name):
    """The path of a checkpoint that has been fetched into the cache.

    ValueError for a name that is not known, for a checkpoint that has not been fetched, or is no longer what it was.
    """
    if name not in CHECKPOINTS:
        raise ValueError(f"no published checkpoint is known by the name {name!r}; known are: {', '.join(CHECKPOINTS)}")
    path = _place(cache(), name)
    if not path.exists():
        raise ValueError(f"{name} has not been fetched: there is no {path}.  This fetches it:  {COMMAND}")
    try:
        CHECKPOINTS[name].check(path.read_bytes(), path)
    except ValueError as error:
        raise ValueError(f"{error}.  This fetches it anew:  {COMMAND}") from None
    return path


def fetch(folder=None):
    """Get all `CHECKPOINTS` with pip and keep them, with their licence, in a folder (None: `cache()`): {name: path}.

    Nothing is written before all have been checked, and then each file whole.  ValueError, with what pip said, where
    it could not get the wheel, and for a wheel that is not what was published.
    """
    folder = cache() if folder is None else Path(folder)
    with tempfile.TemporaryDirectory() as temporary:
        wheel = _downloaded(Path(temporary))
        contents = {_place(folder, name): unpacked(wheel, name) for name in CHECKPOINTS}
        contents[folder / LICENCE_KEPT] = licence(wheel)
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in contents.items():
        _write(path, content)
    return {name: _place(folder, name) for name in CHECKPOINTS}


def unpacked(wheel, name):
    """A checkpoint (bytes) out of the wheel; ValueError if it is not the one that was published."""
    known = CHECKPOINTS[name]
    return known.check(_member(wheel, known.path), f"{known.path} in {wheel}")


def licence(wheel):
    """The licence (bytes) that the wheel comes under."""
    return _member(wheel, LICENCE)


def _place(folder, name):
    return folder / f"{name}.pth"


def _member(wheel, name):
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(name)
    except KeyError:
        raise ValueError(f"{wheel} holds no {name}: it is another wheel than that of {REQUIREMENT}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise ValueError(f"{wheel} is no wheel, or damaged ({type(error).__name__}: {error})") from None


def _downloaded(folder):
    """The wheel, got by pip into an empty folder; a wheel and nothing else, since pip would run a source package."""
    if importlib.util.find_spec("pip") is None:
        raise ValueError(f"this Python ({sys.executable}) has no pip to fetch {REQUIREMENT} with.  This gives it one:  "
                         f"python -m ensurepip")
    done = subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
                           "--disable-pip-version-check", "--dest", folder, REQUIREMENT],
                          capture_output=True, text=True, errors="replace")
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise ValueError(f"pip did not get {REQUIREMENT} (exit status {done.returncode}); it said:\n"
                         f"{(done.stderr or done.stdout).strip() or 'nothing'}")
    return wheels[0]


def _write(path, content):
    """Under a temporary name, then renamed: whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
