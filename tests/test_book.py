"""The web book as a reader meets it: built from the chapters, opened in a real headless browser."""

import functools
import json
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from browser import Browser, find_browser

from se3ref import so3, systems, verify
from tools import chapters

NAMES = chapters.names()
PAGES = ["index", "primer", *NAMES, "conventions", "api", "search"]

# Contrast of two colours as WCAG defines it, for every visible piece of text on the page, equations included.
CONTRAST = """(() => {
  const parse = c => { const v = c.match(/[\\d.]+/g).map(Number); return [v[0], v[1], v[2], v[3] ?? 1]; };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const ground = e => { if (!e) return [255, 255, 255, 1]; const c = parse(getComputedStyle(e).backgroundColor);
                        return c[3] === 1 ? c : over(c, ground(e.parentElement)); };
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                       return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const texts = [...document.querySelectorAll("mjx-container > svg")].map(e => [e.parentElement, "equation"]);
  for (let n; n = walk.nextNode();) if (n.data.trim()) texts.push([n.parentElement, n.data.trim().slice(0, 40)]);
  for (const [e, text] of texts) {
    if (!e.checkVisibility({ visibilityProperty: true }) || e.closest("script, style, noscript, mjx-assistive-mml"))
      continue;
    const style = getComputedStyle(e), back = ground(e);
    const ink = over(parse(e.closest("svg") ? style.fill : style.color), back);
    const [a, b] = [light(ink), light(back)].sort((x, y) => x - y);
    found.push([(b + 0.05) / (a + 0.05), text]);
  }
  return found.sort((x, y) => x[0] - y[0]);
})()"""

BAD_MATHS = """[...document.querySelectorAll('mjx-container [data-mml-node="merror"], mjx-container [fill="red"]')]
               .map(e => e.closest("mjx-container").textContent)"""


@pytest.fixture(scope="module")
def site():
    return chapters.build_book()


@pytest.fixture(scope="module")
def browser():
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium, Chrome or Edge was found: install one, or name it in SE3REF_BROWSER")
    browser = Browser(program)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def server(site):
    """The book behind a web server of this machine, as a host would serve it."""
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def opened(browser, site):
    """opened("index", dark=True): a page of the book, straight from its file, for a reader whose system is dark."""
    def opened(page, query="", **how):
        browser.open((site / f"{page}.html").as_uri() + query, **how)
        ready(browser)
        return browser
    return opened


def ready(browser):
    """Wait until the page's equations are set, its figures drawn and its colours have stopped fading."""
    browser.run("window.MathJax?.startup?.promise.then(() => true)")
    browser.wait("document.querySelectorAll('.se3plot').length === document.querySelectorAll('.js-plotly-plot').length")
    # allSettled: an animation that the page cancels has ended too
    browser.run("Promise.allSettled(document.getAnimations().map(each => each.finished)).then(() => true)")


# --- without a browser ----------------------------------------------------------------------------------------

def test_the_book_has_its_pages(site):
    assert [page for page in PAGES if not (site / f"{page}.html").exists()] == []


def test_the_reference_names_everything_public(site):
    """Every public name of a room that the library defines has its entry."""
    text = (site / "api.html").read_text()
    public = [getattr(room, name) for room in (so3, systems, verify) for name in room.__all__]
    wanted = [f"{item.__module__}.{item.__qualname__}" for item in public if callable(item)]
    assert len(wanted) > 20
    assert [name for name in wanted if f'id="{name}"' not in text] == []


# --- in the browser -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_asked_of_the_outside_and_nothing_goes_wrong(page, browser, site, server):
    for home, local in ((site.as_uri(), "file:"), (server, server)):
        browser.open(f"{home}/{page}.html")
        ready(browser)
        assert len(browser.requests) > 5
        assert [url for url in browser.requests if not url.startswith((local, "data:", "blob:"))] == []
        assert browser.complaints == []


def test_an_outside_request_and_an_error_would_be_seen(opened):
    browser = opened("index")
    browser.run("document.body.append(Object.assign(new Image(), {src: 'http://outside.invalid/pixel.png'})),"
                "console.error('of ours'), setTimeout(() => { throw Error('thrown') })")
    browser.run("new Promise(resolve => setTimeout(resolve, 500))")
    assert "http://outside.invalid/pixel.png" in browser.requests
    assert all(any(word in line for line in browser.complaints) for word in ("of ours", "thrown", "not loaded"))


@pytest.mark.parametrize("page", NAMES)
def test_every_equation_is_set(page, opened):
    browser = opened(page)
    equations, unset = browser.run("[document.querySelectorAll('.math').length,"
                                   " document.querySelectorAll('.math:not(:has(mjx-container svg))').length]")
    assert equations > 0 and unset == 0
    assert browser.run(BAD_MATHS) == []
    left = browser.run("(() => { const page = document.querySelector('article').cloneNode(true);"
                       " page.querySelectorAll('pre, code, .se3plot').forEach(e => e.remove());"
                       " return page.textContent; })()")
    assert re.findall(r"\$.{0,40}|\\\(.{0,40}|\\\[.{0,40}|\\tag.{0,20}", left) == []


def test_a_broken_equation_would_be_seen(opened):
    browser = opened(NAMES[0])
    for wrong in (r"\nosuchmacro", r"\frac{1}", r"\begin{split} a \tag{1} \end{split}"):
        browser.run(f"document.querySelector('article').append(MathJax.tex2svg({json.dumps(wrong)}))")
    assert len(browser.run(BAD_MATHS)) == 3


def test_the_figure_is_drawn_turns_and_slides(opened, site):
    pages = [name for name in NAMES if 'class="se3plot"' in (site / f"{name}.html").read_text()]
    assert pages, "no chapter shows an interactive figure"
    for page in pages:
        browser = opened(page)
        browser.wait("document.querySelector('.se3plot canvas')")
        before = settled(browser)
        assert colours(before) > 100, "the figure is blank"
        browser.drag(".se3plot canvas", (0.5, 0.5), (0.8, 0.6))
        turned = settled(browser)
        assert changed(before, turned), "dragging does not turn the figure"
        if browser.run("Boolean(document.querySelector('.se3plot .slider-rail-touch-rect'))"):
            browser.drag(".se3plot .slider-rail-touch-rect", (0.1, 0.5), (0.3, 0.5))
            slid = settled(browser)
            assert changed(turned, slid), "the slider does not change the figure"


def test_the_figure_keeps_its_turn_when_the_colours_change(opened, site):
    page = next(name for name in NAMES if 'class="se3plot"' in (site / f"{name}.html").read_text())
    browser = opened(page)
    state = "JSON.stringify([document.querySelector('.js-plotly-plot').layout.scene.camera.eye," \
            " document.querySelector('.js-plotly-plot').layout.font.color])"
    first = json.loads(browser.run(state.replace(".camera.eye", ".camera?.eye ?? null")))
    browser.drag(".se3plot canvas", (0.5, 0.5), (0.8, 0.6))
    settled(browser)
    turned = json.loads(browser.run(state))
    browser.run("document.documentElement.dataset.theme = 'dark'")
    settled(browser)
    dark = json.loads(browser.run(state))
    assert first[0] != turned[0] == dark[0] and turned[1] != dark[1]


def test_search_finds_the_chapter_and_nothing_for_nonsense(opened):
    titles = {name: chapters.read(name).cells[0].source.splitlines()[0] for name in NAMES}
    words = {name: max(re.findall(r"\w+", title), key=len) for name, title in titles.items()}
    for name, word in words.items():
        browser = opened("search", query=f"?q={word}")
        browser.wait(f"document.querySelector('#search-results a[href^=\"{name}.html\"]')")
    browser = opened("search", query="?q=qxzzyqx")
    browser.wait("document.querySelector('#search-results p')?.textContent.includes('did not match')")
    assert browser.run("document.querySelectorAll('#search-results li').length") == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", [page for page in PAGES if page != "search"])
def test_text_is_legible(page, dark, opened):
    """Contrast of at least 4.5 to 1 (WCAG 2.2, level AA) for all text, equations and figures' labels."""
    browser = opened(page, dark=dark)
    assert browser.run("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    assert browser.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 60") == dark
    found = browser.run(CONTRAST)
    assert len(found) > 20
    assert [(round(ratio, 2), text) for ratio, text in found if ratio < 4.5] == []


def test_an_illegible_word_would_be_seen(opened):
    browser = opened("index", dark=True)
    browser.run("document.querySelector('article p').style.color = 'rgb(60, 60, 60)'")
    assert browser.run(CONTRAST)[0][0] < 4.5


@pytest.mark.parametrize("page", NAMES)
def test_solutions_are_folded_and_unfold(page, opened):
    browser = opened(page)
    folded = "[...document.querySelectorAll('#solutions details')]"
    assert browser.run(f"{folded}.length") > 0
    assert browser.run(f"{folded}.filter(e => e.open).length") == 0
    browser.run("document.querySelector('#solutions details.hide summary').click()")
    assert browser.run("document.querySelector('#solutions details.hide pre').checkVisibility()")


@pytest.mark.parametrize("page", PAGES)
def test_a_phone_need_not_scroll_sideways(page, opened):
    browser = opened(page, width=390, height=844)
    assert browser.run("document.documentElement.scrollWidth") <= 390


# --- pictures -------------------------------------------------------------------------------------------------

def settled(browser):
    """The figure's pixels (height, width, 3), once two pictures in a row are the same."""
    last = None
    for _ in range(100):
        picture = browser.picture(".se3plot")
        if last is not None and np.array_equal(picture, last):
            return picture
        last = picture
    raise AssertionError("the figure does not come to rest")


def colours(picture):
    return len(np.unique(picture.reshape(-1, 3), axis=0))


def changed(a, b):
    """More than one pixel in a hundred differs visibly."""
    return a.shape != b.shape or (abs(a - b).max(-1) > 0.1).mean() > 0.01
