"""An interactive figure says the same to Jupyter and to the book, in numbers rounded but not bent."""

import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest

from se3ref.plotting.interactive import Interactive


def bundle(*traces, **figure):
    return Interactive(go.Figure([*traces], **figure))._repr_mimebundle_()


def in_the_book(mimes):
    return json.loads(re.search(r'<script type="application/json">(.*)</script>', mimes["text/html"]).group(1))


def test_jupyter_and_the_book_get_one_figure_without_plotlys_colours():
    mimes = bundle(go.Scatter3d(x=[0.1], y=[0.2], z=[0.3]), frames=[go.Frame(name="a")])
    figure = mimes["application/vnd.plotly.v1+json"]
    assert figure == in_the_book(mimes)
    assert figure["frames"][0]["name"] == "a" and "template" not in figure["layout"]
    assert 'class="se3plot"' in mimes["text/html"] and "turn" in mimes["text/plain"]


@pytest.mark.parametrize("scale", [1e-9, 1.0, 3e6])
def test_numbers_keep_a_thousandth_of_the_largest(scale):
    values = scale * np.random.default_rng(0).standard_normal((7, 5))
    shown = in_the_book(bundle(go.Surface(z=values)))["data"][0]["z"]
    assert np.abs(np.array(shown) - values).max() <= 1e-3 * np.abs(values).max()
    assert len(json.dumps(shown)) < 0.6 * len(json.dumps(values.tolist()))


def test_integers_stay_and_nan_is_a_hole():
    trace = go.Mesh3d(x=[0.0, np.nan], y=[1.0, 2.0], z=[0.5, 0.25], i=np.array([0]), j=[1], k=[1000])
    shown = in_the_book(bundle(trace))["data"][0]
    assert (shown["i"], shown["k"], shown["x"]) == ([0], [1000], [0.0, None])


def test_text_cannot_end_the_script():
    shown = bundle(go.Scatter(x=[0], y=[0], text=["</script><b>"]))
    assert shown["text/html"].count("</script>") == 1
    assert in_the_book(shown)["data"][0]["text"] == ["</script><b>"]


def test_a_trace_that_the_book_cannot_draw_is_refused():
    with pytest.raises(ValueError, match=r"\['bar'\]"):
        Interactive(go.Figure(go.Bar(y=[1, 2])))
