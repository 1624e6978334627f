"""The web book's configuration: Sphinx reads the pages that tools/chapters.py lays out in build/pages/chapters."""

import inspect
import itertools
import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import se3ref  # noqa: E402

project, author, copyright = "se3ref", "the se3ref developers", "2026, the se3ref developers"
release = version = se3ref.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx_copybutton"]

# The pages arrive executed.
nb_execution_mode = "off"
nb_code_prompt_show = "Show the {type}"
nb_code_prompt_hide = "Hide the {type}"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
exclude_patterns = ["src/**", "**.ipynb_checkpoints"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"
add_module_names = False

html_theme = "sphinx_book_theme"
html_title = "SE(3)-equivariant networks from scratch"
html_static_path = ["static"]
html_favicon = "static/favicon.svg"
html_context = {"default_mode": "auto"}       # light or dark as the reader's system is, until a click says otherwise
html_css_files = ["book.css"]
mathjax_path = "vendor/mathjax-3.2.2-tex-svg-full.js"
html_copy_source = html_show_sourcelink = html_use_index = html_domain_indices = False
html_theme_options = {
    "navbar_persistent": [],                  # the theme's own search button; with one more the page has two
    "use_download_button": False,
    "show_navbar_depth": 1,
    "toc_title": "On this page",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


class DisplayEquations(SphinxPostTransform):
    r"""Hand $$...$$ to MathJax as it stands, as Jupyter and code hosts do.

    Sphinx would wrap what holds a line break in `split`, where \tag is an error.
    """

    default_priority = 900

    def run(self):
        for node in self.document.findall(nodes.math_block):
            if not node.get("nowrap"):
                node.children = [nodes.Text(rf"\[{node.astext()}\]")]
                node["nowrap"] = node["no-wrap"] = True


def plain_docstrings(app, what, name, obj, options, lines):
    """The library's docstrings are plain text: `code` in backquotes, formulas and examples indented.

    autodoc reads reStructuredText, where the * and | of a formula are markup: paragraphs are escaped, and indented
    blocks become literal ones.
    """
    text = inspect.cleandoc("\n".join(lines)).splitlines()
    lines[:] = []
    for indented, run in itertools.groupby(text, lambda line: line.startswith(" ")):
        block = list(run)
        lines += ["", "::", "", *block, ""] if indented else escaped("\n".join(block)).splitlines()


def escaped(text):
    pieces = re.split(r"`([^`\n]+)`", text)
    pieces[::2] = [re.sub(r"([\\*|_`])", r"\\\1", piece) for piece in pieces[::2]]
    pieces[1::2] = [f"``{piece}``" for piece in pieces[1::2]]
    return "".join(pieces)


def scripts_for_figures(app, page, template, context, doctree):
    """Plotly is large: only a page with an interactive figure loads it."""
    if 'class="se3plot"' in context.get("body", ""):
        app.add_js_file("vendor/plotly-gl3d-4.1.1.min.js")
        app.add_js_file("se3plot.js")


def setup(app):
    app.add_post_transform(DisplayEquations)
    app.connect("autodoc-process-docstring", plain_docstrings)
    app.connect("html-page-context", scripts_for_figures)
