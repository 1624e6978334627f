"""A 3D figure that turns under the reader's hand, in Jupyter and in the web book."""

import base64
import json
import math

import numpy as np

_SENTENCE = "Interactive figure: run this cell in Jupyter, or open the web book, to turn it."
_TRACES = {"cone", "isosurface", "mesh3d", "scatter", "scatter3d", "streamtube", "surface", "volume"}


class Interactive:
    """A plotly figure, with its frames and sliders, as the last value of a notebook's cell.

    Jupyter draws plotly's own kind of output.  The web book, which has no kernel, gets the same figure as JSON
    inside <div class="se3plot"> and draws it in the colours of the page, so set none for text, axes and ground.
    Numbers are rounded to a thousandth of the largest in their array: no eye can tell, and the page halves.
    A slider's steps need `redraw`: {"method": "animate", "args": [[name], {"frame": {"redraw": True}}]}.

        Interactive(go.Figure(go.Surface(x=x, y=y, z=z)))

    ValueError for a kind of trace that the book's plotly (its bundle for 3D) lacks, such as bars.
    """

    def __init__(self, figure):
        self.figure = _plain(figure.to_plotly_json())
        self.figure["layout"].pop("template", None)      # 7 kB of plotly's default colours; the page has its own
        foreign = {trace["type"] for trace in self.figure["data"]} - _TRACES
        if foreign:
            raise ValueError(f"an interactive figure holds traces of {sorted(_TRACES)}; got {sorted(foreign)}. "
                             "Draw bars and lines as scatter.")

    def __repr__(self):
        return _SENTENCE

    def _repr_mimebundle_(self, include=None, exclude=None):
        text = json.dumps(self.figure, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        html = f'<div class="se3plot"><p>{_SENTENCE}</p><script type="application/json">{text}</script></div>'
        return {"application/vnd.plotly.v1+json": self.figure, "text/html": html, "text/plain": _SENTENCE}


def _plain(value):
    """Plotly's nested dicts with every array as a list of rounded numbers; it packs NumPy's arrays in base64."""
    if isinstance(value, dict) and "bdata" in value:
        array = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
        return _rounded(array.reshape([int(n) for n in value.get("shape", "-1").split(",")]))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        if value and all(isinstance(item, float) for item in value):
            return _rounded(np.array(value))
        return [_plain(item) for item in value]
    return value


def _rounded(array):
    """An array as nested lists: integers as they are, the rest to a thousandth of the largest; NaN as None."""
    if array.dtype.kind != "f":
        return array.tolist()
    finite = array[np.isfinite(array)]
    largest = abs(finite).max(initial=0.0)
    digits = 3 - math.floor(math.log10(largest)) if largest else 0
    rounded = np.round(array.astype(float), digits) + 0.0            # + 0.0 turns -0.0 into 0.0
    return np.where(np.isfinite(array), rounded, None).tolist()
