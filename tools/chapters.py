"""The chapters as programs: execute them in clean kernels, rewrite the committed notebooks, build the web book.

    python tools/chapters.py refresh [NAME ...]   execute chapters/src/NAME.md, rewrite chapters/NAME.ipynb, figures/
    python tools/chapters.py book                 execute every chapter and build build/book from the results

A chapter is written once, in chapters/src/NAME.md.  chapters/NAME.ipynb is the same text with its outputs, for
whoever reads on a code host or opens it in Jupyter.
"""

import argparse
import base64
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS, FIGURES, BUILD = ROOT / "chapters", ROOT / "figures", ROOT / "build"
SECONDS_PER_CELL = 300                       # a cell that hangs must end; a whole chapter aims at 60 s
PLOTLY = "application/vnd.plotly.v1+json"


def names():
    """The chapters in reading order: ["01_invariance", ...]."""
    return sorted(path.stem for path in (CHAPTERS / "src").glob("*.md"))


def source(name):
    return CHAPTERS / "src" / f"{name}.md"


def notebook(name):
    return CHAPTERS / f"{name}.ipynb"


def read(name):
    """A chapter's text as a notebook without outputs; the ids of its cells come from what they say."""
    nb = jupytext.read(source(name), fmt="md:myst")
    seen = {}
    for cell in nb.cells:
        digest = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    nb.nbformat, nb.nbformat_minor = 4, 5
    nb.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                   "language_info": {"name": "python"}}
    return nb


def content(nb):
    """What two versions of a chapter must share: the kind, text and tags of every cell, in order."""
    return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in nb.cells]


# --- executing ------------------------------------------------------------------------------------------------

class OwnKernel(AsyncKernelManager):
    """With no folders to search, "python3" is the running interpreter, whatever kernels the user installed."""

    kernel_spec_manager = KernelSpecManager(kernel_dirs=[])


def execute(nb):
    """Run a notebook in a new kernel of *this* Python, in chapters/; the same notebook with its outputs.

    A fresh IPython profile keeps the user's start-up files out; a fixed hash seed keeps the order of sets, and one
    thread the order of sums (the Makefile says what it saves).
    Raises nbclient's CellExecutionError at the first cell that fails.
    """
    client = NotebookClient(nb, kernel_name="python3", kernel_manager_class=OwnKernel, timeout=SECONDS_PER_CELL,
                            record_timing=False, coalesce_streams=True, extra_arguments=["--log-level=ERROR"],
                            resources={"metadata": {"path": str(CHAPTERS)}})
    with tempfile.TemporaryDirectory() as profile:
        environment = {"PYTHONPATH": str(ROOT), "IPYTHONDIR": profile, "PYTHONHASHSEED": "0",
                       "OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        client.execute(env=os.environ | environment)
    return nb


@functools.cache
def executed(name):
    """A chapter run once in this process, however many ask for it: (notebook with outputs, seconds it took)."""
    start = time.perf_counter()
    nb = execute(read(name))
    return nb, time.perf_counter() - start


def _run_aloud(name):
    print(f"  {name:<28}", end="", flush=True)
    nb, seconds = executed(name)
    print(f"{seconds:6.1f} s")
    return nb


# --- the committed notebooks and figures ----------------------------------------------------------------------

def refresh(name):
    """Execute a chapter and rewrite its committed notebook and the figures it gives to figures/."""
    refuse_to_lose_edits(name)
    nb = _run_aloud(name)
    for cell in nb.cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("figure-"):
                write(FIGURES / f"{tag.removeprefix('figure-')}.png", picture(name, cell))
    write(notebook(name), nbformat.writes(showing(nb, "text/plain")).encode() + b"\n")


def refuse_to_lose_edits(name):
    """Stop where the notebook was edited alone and later than its source: rewriting it would lose that work."""
    path = notebook(name)
    if not path.exists() or path.stat().st_mtime <= source(name).stat().st_mtime:
        return
    if content(nbformat.read(path, 4)) != content(read(name)):
        raise SystemExit(f"\nchapters/{name}.ipynb was edited after chapters/src/{name}.md and differs from it.\n"
                         f"To keep the notebook's edits:  .venv/bin/python -m jupytext --sync chapters/{name}.ipynb\n"
                         f"To drop them:                  touch chapters/src/{name}.md\nThen make refresh again.")


def picture(name, cell):
    """The PNG that a cell tagged figure-NAME shows."""
    for output in cell.outputs:
        if "image/png" in output.get("data", {}):
            return base64.b64decode(output.data["image/png"])
    raise SystemExit(f"{name}: a cell tagged figure-... shows no PNG:\n{cell.source}")


def showing(nb, kind):
    """A copy whose interactive figures keep one kind of output: "text/html" for the book, else their sentence."""
    nb = nbformat.from_dict(nb)
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            if PLOTLY in output.get("data", {}):
                output.data = {kind: output.data[kind]}
    return nb


def write(path, data):
    """Write a file by renaming a temporary one, and only if it changes."""
    if path.exists() and path.read_bytes() == data:
        return
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data)
    temporary.replace(path)


# --- the book -------------------------------------------------------------------------------------------------

def build_book():
    """Lay out pages with fresh outputs in build/pages and turn them into build/book; a warning is an error.

    Sphinx executes nothing: it gets the notebooks just executed.  A cache of outputs would go stale when the
    library changes and the chapter does not.
    """
    pages, site = BUILD / "pages", BUILD / "book"
    for folder in (pages, site):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(CHAPTERS, pages / "chapters", ignore=shutil.ignore_patterns("src", "*.ipynb", ".*"))
    shutil.copytree(FIGURES, pages / "figures")
    print("Executing the chapters:")
    for name in names():
        nbformat.write(showing(_run_aloud(name), "text/html"), pages / "chapters" / f"{name}.ipynb")
    print("Building the web book:")
    subprocess.run([sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html",
                    "-c", ROOT / "book", "-d", BUILD / "doctrees", pages / "chapters", site], check=True, cwd=ROOT)
    return site


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    chosen = commands.add_parser("refresh", help="rewrite committed notebooks and figures")
    chosen.add_argument("names", nargs="*", metavar="NAME", help="01_invariance, ...; all, if none is named")
    commands.add_parser("book", help="execute every chapter and build build/book")
    arguments = parser.parse_args()
    if arguments.command == "book":
        try:
            print(f"Open this file in a browser:\n  {build_book() / 'index.html'}")
        except subprocess.CalledProcessError:
            sys.exit("The book was not built: mend what is said above.")
        return
    if unknown := set(arguments.names) - set(names()):
        parser.error(f"no chapter is named {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    for name in arguments.names or names():
        refresh(name)


if __name__ == "__main__":
    main()
