"""The chapters run in clean kernels, keep the template, and are committed as they run."""

import json
import re
import sys

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from tools import chapters

NAMES = chapters.names()
every_chapter = pytest.mark.parametrize("name", NAMES)

SECTIONS = ["The question", "Letters", "Something that fails", "The idea", "The code", "The experiment", "Limits",
            "Summary", "Exercises", "Solutions", "References"]
LARGEST = 400_000                                   # bytes of a committed notebook: it must open on a phone
KINDS = {"text/plain", "text/html", "text/markdown", "text/latex", "image/png"}
MACHINE = r"/home/|/root/|/tmp/|/Users/|/work/|[A-Z]:\\|site-packages|ipykernel_|object at 0x|function .* at 0x"


def test_every_notebook_has_a_source():
    assert NAMES and NAMES == sorted(path.stem for path in chapters.CHAPTERS.glob("*.ipynb"))


@every_chapter
def test_it_runs(name):
    nb, _ = chapters.executed(name)
    assert complaints(nb) == []


@every_chapter
def test_the_committed_notebook_is_its_source(name):
    nb = nbformat.read(chapters.notebook(name), 4)
    assert chapters.content(nb) == chapters.content(chapters.read(name)), f"run: make refresh CHAPTER={name}"


@every_chapter
def test_the_committed_outputs_are_of_this_run(name):
    """Every code cell ran, once and in order, and showed the same kinds of output as it does now."""
    old, new = nbformat.read(chapters.notebook(name), 4), chapters.showing(chapters.executed(name)[0], "text/plain")
    counts = [cell.execution_count for cell in code(old)]
    assert counts == list(range(1, len(counts) + 1))
    shown, fresh = ([kinds(cell) for cell in code(nb)] for nb in (old, new))
    assert shown == fresh, f"run: make refresh CHAPTER={name}"


@every_chapter
def test_the_committed_notebook_is_small_and_clean(name):
    nb = nbformat.read(chapters.notebook(name), 4)
    assert chapters.notebook(name).stat().st_size < LARGEST
    assert complaints(nb) == []
    assert set().union(*(kinds(cell) for cell in code(nb))) - KINDS <= {"stream"}
    assert re.findall(MACHINE, json.dumps(texts(nb))) == []


@every_chapter
def test_it_keeps_the_template(name):
    """One title with the chapter's number, then the sections in order; after a colon a section says its own."""
    (level, title), *heads = re.findall(r"^(#{1,2}) (.+)$", prose(chapters.read(name)), re.MULTILINE)
    assert level == "#" and re.match(rf"{int(name[:2])}\. ", title)
    assert [(level, text.split(":")[0]) for level, text in heads] == [("##", text) for text in SECTIONS]


@every_chapter
def test_every_exercise_is_graded_and_its_solution_passes_its_check(name):
    """Exercises of all three grades, * ** ***, each with a checker check_N that its folded solution calls."""
    exercises, solutions = section(name, "Exercises"), section(name, "Solutions")
    found = re.findall(r"^\*\*Exercise (\d+) \(?((?:\\\*)+)\)?\.", text_of(exercises, "markdown"), re.MULTILINE)
    assert [int(number) for number, _ in found] == list(range(1, len(found) + 1))
    assert {stars.count("*") for _, stars in found} == {1, 2, 3}
    checks, solved = text_of(exercises, "code"), text_of(solutions, "code")
    assert [n for n, _ in found if f"def check_{n}(" not in checks or f"check_{n}(" not in solved] == []
    assert all("hide-cell" in cell.metadata.get("tags", []) for cell in solutions if cell.cell_type == "code")


@every_chapter
def test_its_markdown_reads_everywhere(name):
    """No directive or role of one tool; equation tags are the chapter's own and unique."""
    text = prose(chapters.read(name))
    assert re.findall(r"^(?:```|:::)\{.*|\{[a-z:]+\}`", text, re.MULTILINE) == []
    tags = re.findall(r"\\tag\{(.*?)\}", text)
    assert len(tags) == len(set(tags)) and all(tag.startswith(f"{int(name[:2])}.") for tag in tags), tags


# --- the runner itself ----------------------------------------------------------------------------------------

def one_cell(source):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])


def test_a_failing_cell_fails():
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        chapters.execute(one_cell("1 / 0"))


def test_the_kernel_is_this_python_whatever_is_installed(tmp_path, monkeypatch):
    spec = tmp_path / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["/bin/false"], "display_name": "Python 3", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    nb = chapters.execute(one_cell("import sys; print(sys.executable)"))
    assert texts(nb) == [sys.executable + "\n"]


def test_a_warning_is_a_complaint():
    assert complaints(chapters.execute(one_cell("import warnings; warnings.warn('careful')")))


# --- what a notebook holds ------------------------------------------------------------------------------------

def section(name, title):
    """The cells from a section's heading to the next section's."""
    cells = chapters.read(name).cells
    heads = [i for i, cell in enumerate(cells) if re.search(r"^## ", cell.source, re.MULTILINE)] + [len(cells)]
    start = next(i for i in heads if f"## {title}" in cells[i].source)
    return cells[start:heads[heads.index(start) + 1]]


def text_of(cells, kind):
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == kind)


def code(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def prose(nb):
    return text_of(nb.cells, "markdown")


def outputs(nb):
    return [output for cell in code(nb) for output in cell.outputs]


def complaints(nb):
    """Errors, and what was written to stderr: warnings and progress bars."""
    return [output for output in outputs(nb) if output.output_type == "error" or output.get("name") == "stderr"]


def kinds(cell):
    return {kind for output in cell.outputs for kind in output.get("data", {"stream": ""})}


def texts(nb):
    """Everything printed or shown as text."""
    return [text for output in outputs(nb) for kind, text in output.get("data", {"text": output.get("text")}).items()
            if kind.startswith("text")]
