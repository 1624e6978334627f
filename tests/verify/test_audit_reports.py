"""What an audit found can be read, kept, measured again, and held in a test or a command."""

import functools
import html.parser
import inspect
import json
import re

import numpy as np
import pytest

from se3ref import verify
from se3ref.__main__ import main
from se3ref.systems import Structure
from se3ref.verify import assertions
from tests.verify import broken
from tests.verify.controls import CONTROLS
from tests.verify.test_auditor import ALLOY, CLUSTER, CRYSTAL, MIXED

PAIR = Structure([29, 29], [[0, 0, 0], [2.4, 0.3, 0.1]])
LAWS = "response,rotation,images,permutation,gradient,smoothness,extensivity"


@functools.cache
def report(name="a hard cutoff"):
    return verify.audit(CONTROLS[name].make(), [PAIR, CRYSTAL], LAWS)


# --- as text, as JSON, as a page ----------------------------------------------------------------------------------

def test_the_table_has_a_row_for_every_law():
    lines = str(report()).splitlines()
    assert lines[0] == "model: BROKEN: smoothness" and lines[1] == "on structure 0, structure 1"
    assert [line.split()[0] for line in lines[3:] if line[0] != " "] == LAWS.split(",")
    assert re.search(r"smoothness +broken +4\.9e-03 eV.* jumps at 3\.7000 angstrom", str(report()))
    assert str(report()["rotation"]).startswith("rotation  exact")


def test_findings_by_name():
    assert report()["smoothness"].violation == report()["smoothness"].case.violation
    assert report().broken == ["smoothness"] and not report().passed
    with pytest.raises(KeyError, match="'torque' was not asked for; there are response, rotation"):
        report()["torque"]


def test_json_and_back(tmp_path):
    found = json.loads(report().to_json(tmp_path / "report.json"))
    assert found == json.loads((tmp_path / "report.json").read_text())
    assert found["broken"] == ["smoothness"] and found["passed"] is False and list(found["laws"]) == LAWS.split(",")
    for name, law in found["laws"].items():
        finding = report()[name]
        assert law["verdict"] == finding.verdict and law["violation"] == finding.violation
        assert [case["ratio"] for case in law["cases"]] == [case.ratio for _, case in finding.cases]
        assert "Infinity" not in json.dumps(law) and "NaN" not in json.dumps(law)


@pytest.mark.parametrize("law", ["rotation", "smoothness", "gradient", "images"])
def test_a_worst_case_is_measured_again(law):
    """From JSON, to the last digit."""
    worst = json.loads(report().to_json())["laws"][law]["worst"]
    again = verify.replay(CONTROLS["a hard cutoff"].make(), worst)
    assert again[0].violation == report()[law].violation and again[0].verdict == report()[law].verdict
    mended = verify.replay(broken.potential(), worst)
    assert all(case.verdict != "broken" for case in mended)


def test_a_claim_is_measured_again():
    single = CONTROLS["single precision"].make()
    worst = verify.audit(single, CLUSTER, "precision", precision="float64")["precision"].worst
    assert verify.replay(single, worst)[0].verdict == "broken"


class Page(html.parser.HTMLParser):
    """Checks that what is opened is closed, and keeps what would be loaded from elsewhere."""
    ALONE = {"meta", "img", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.loads += [value for key, value in attributes if key in ("src", "href")]
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open[-1] != tag and self.open[-1] in ("p", "li", "tr"):
            self.open.pop()
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_needs_no_other_file(tmp_path):
    report().to_html(tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    assert len(page.loads) == 2 and all(each.startswith("data:image/png;base64,") for each in page.loads)
    assert "BROKEN: smoothness" in page.text and "jumps at 3.7000 angstrom" in page.text and not page.open
    assert "A passed audit" in page.text


def test_the_page_shows_names_as_they_are(tmp_path):
    """Not as markup, whatever a target calls itself; and a law with nothing measured, and one with NaN."""
    def sour(species, positions, cell, pbc):
        return np.nan if positions[0, 0] < 0 else 1.0, None
    sour.__name__ = "<script>alert(1)</script>"
    found = verify.audit(sour, CLUSTER, "reflection,images")
    found.to_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "<script>" not in text and "&lt;script&gt;" in text and "it does not repeat" in text
    assert json.loads(found.to_json())["laws"]["reflection"]["violation"] is None


# --- assertions -----------------------------------------------------------------------------------------------------

def test_there_is_an_assertion_for_every_law():
    found = {name: each for name, each in vars(assertions).items() if name.startswith("assert_")}
    assert list(found) == [f"assert_{law}" for law in verify.LAWS]
    assert all(each.__name__ == name and inspect.getdoc(each) for name, each in found.items())


@pytest.mark.parametrize("name, law", [("a rotated frame", "rotation"), ("left is not right", "reflection"),
                                       ("net force", "net_force"), ("pressure for stress", "stress"),
                                       ("a mean", "supercell")])
def test_an_assertion_is_about_its_law(name, law):
    check = getattr(assertions, f"assert_{law}")
    check(broken.potential(), CRYSTAL)
    with pytest.raises(AssertionError, match=f"BROKEN: {law}"):
        check(CONTROLS[name].make(), CRYSTAL)


def test_an_assertion_does_not_pass_in_vain():
    """Where its law cannot be measured, and for what never changes."""
    with pytest.raises(AssertionError, match="images +not measured +it does not repeat"):
        assertions.assert_images(broken.potential(), CLUSTER)
    with pytest.raises(AssertionError, match="response +broken"):
        assertions.assert_rotation(broken.constant, CLUSTER)


# --- the command ----------------------------------------------------------------------------------------------------

PYTHON = """
import numpy as np
from tests.verify import broken

def sound():
    return broken.potential()

def skew():
    return broken.potential(broken.along_z)

def dipole(species, positions, cell, pbc):
    return (species - species.mean()) @ positions

def nothing(species, positions, cell, pbc):
    raise RuntimeError("no weights")
"""


@pytest.fixture
def file(tmp_path):
    from ase.io import write
    path = tmp_path / "mine.py"
    path.write_text(PYTHON)
    write(tmp_path / "atoms.xyz", [MIXED.to_ase(), ALLOY.to_ase()])
    return path


def command(*words):
    return main(["audit", *map(str, words)])


def test_the_exit_status(file, capsys):
    atoms = ["--structures", file.parent / "atoms.xyz", "--laws", "rotation,torque"]
    assert command(f"{file}:sound", *atoms) == 0
    assert "passed, 2 of 2 laws measured" in capsys.readouterr().out
    assert command(f"{file}:skew", *atoms) == 1
    assert "BROKEN: rotation, torque" in capsys.readouterr().out
    assert command(f"{file}:nothing", *atoms) == 2
    assert "no verdict: " in (said := capsys.readouterr()).err and "no weights" in said.err and not said.out
    assert command(f"{file}:dipole", *atoms, "--irreps", "1o") == 0
    assert command(f"{file}:dipole", *atoms, "--irreps", "1e") == 0            # proper rotations alone do not know
    assert command(f"{file}:dipole", "--structures", file.parent / "atoms.xyz", "--irreps", "1e",
                   "--laws", "reflection") == 1


@pytest.mark.parametrize("words, said", [
    (["{file}:absent"], "has no 'absent'"), (["{file}"], "a target is written module:factory"),
    (["{file}:sound", "--laws", "rotations"], "got rotations"), (["no.module:f"], "cannot be imported"),
    (["{file}:sound", "--structures", "absent.xyz"], "absent.xyz"),
    (["{file}:dipole", "--irreps", "1x"], "1x"), (["{file}:sound", "--replay", "absent.json"], "absent.json"),
    (["{file}:sound", "--replay", "{file}"], "is no report of an audit"),
    (["{file}:sound", "--structures", "{file}"], "ASE cannot read")])
def test_no_verdict(file, capsys, words, said):
    assert command(*(word.format(file=file) for word in words)) == 2
    err = capsys.readouterr().err
    assert err.startswith("no verdict: ") and said in err


def test_kept_and_measured_again(file, capsys):
    kept, page = file.parent / "report.json", file.parent / "page.html"
    assert command(f"{file}:skew", "--structures", file.parent / "atoms.xyz", "--laws", "rotation,images", "--json",
                   kept, "--html", page) == 1
    assert json.loads(kept.read_text())["broken"] == ["rotation"] and page.read_text("utf-8").startswith("<!DOCTYPE")
    capsys.readouterr()
    assert command(f"{file}:skew", "--replay", kept) == 0
    violation = json.loads(kept.read_text())["laws"]["rotation"]["violation"]
    assert capsys.readouterr().out.startswith(f"rotation: broken, {violation:.3e} eV")
    assert command(f"{file}:skew", "--replay", kept, "images") == 0
    assert "images: exact" in capsys.readouterr().out
    assert command(f"{file}:skew", "--replay", kept, "torque") == 2
    assert "no case of the law 'torque'" in capsys.readouterr().err


# --- the command of the spectrometer -------------------------------------------------------------------------------

def spectrum(*words):
    return main(["spectrum", *map(str, words), "--lmax", "2"])


def test_the_spectrum_by_command(file, capsys):
    atoms, figure = ["--structures", file.parent / "atoms.xyz"], file.parent / "spectrum.png"
    assert spectrum(f"{file}:sound", *atoms, "--quantity", "forces") == 0
    assert "forces of " in (said := capsys.readouterr().out) and "equivariant: " in said
    assert spectrum(f"{file}:skew", *atoms, "--figure", figure) == 1
    assert "energy of " in (said := capsys.readouterr().out) and "\nequivariant" not in said
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert spectrum(f"{file}:dipole", *atoms, "--irreps", "1o", "--quantity", "tensor") == 0
    assert spectrum(f"{file}:dipole", *atoms, "--irreps", "1e", "--quantity", "tensor") == 1


@pytest.mark.parametrize("words, said", [
    (["{file}:sound", "--quantity", "stress"], "the quantity is one of ['energy', 'forces']"),
    (["{file}:absent"], "has no 'absent'"), (["{file}:nothing"], "no weights")])
def test_no_spectrum(file, capsys, words, said):
    assert spectrum(*(word.format(file=file) for word in words)) == 2
    err = capsys.readouterr().err
    assert err.startswith("no spectrum: ") and said in err
