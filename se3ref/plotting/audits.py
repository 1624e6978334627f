"""The report of an audit as one page of HTML that needs no other file."""

import base64
import html
import io

import matplotlib.pyplot as plt
import numpy as np

COLOURS = {"exact": "#009E73", "noise floor": "#56B4E9", "decays": "#E69F00", "broken": "#D55E00",
           "not measured": "#999999"}
LEAST = 1e-6                            # of what is allowed, where bars begin

PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Audit of {target}</title>
<style>
 body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
 table {{ border-collapse: collapse; width: 100%; display: block; overflow-x: auto; }}
 td, th {{ text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }}
 .verdict {{ color: #fff; border-radius: .3rem; padding: .05rem .5rem; white-space: nowrap; }}
 img {{ max-width: 100%; }} code {{ white-space: nowrap; }} small {{ color: #555; }}
</style>
<h1>Audit of {target}</h1>
<p>{summary}. Structures: {specimens}.</p>
<img alt="Violation of each law as a share of what rounding and noise explain" src="{bars}">
<table><tr><th>law</th><th>verdict</th><th>worst violation</th><th>explained</th><th>where</th></tr>
{rows}</table>
{traces}
<h2>Noise of the target</h2>
<p>Standard deviation of the rounding in its values, from differences of high order along random lines.</p>
<table>{noise}</table>
{refused}
<p><small>A passed audit says that no violation was found on these structures. It does not say that the energies are
right, that another structure would pass, or that a law holds beyond the noise given here.</small></p>
</html>
"""


def page(report):
    """The page of a `verify.Report` as text."""
    rows = "\n".join(_row(finding) for finding in report.findings.values())
    noise = "\n".join(f"<tr><td>{_text(specimen)}</td><td>" + "</td><td>".join(
        f"{name} {level:.1e} {_text(report.units[name])}" for name, level in levels.items()) + "</td></tr>"
        for specimen, levels in report.noise.items())
    refused = "".join(f"<li>{_text(name)}: {_text(why)}</li>" for name, why in report.refused.items())
    return PAGE.format(target=_text(report.target), summary=_text(report.summary), rows=rows, noise=noise,
                       specimens=_text(", ".join(report.noise)), bars=_picture(_bars(report)),
                       traces="\n".join(_traces(report)),
                       refused=f"<h2>Structures it could not do</h2><ul>{refused}</ul>" if refused else "")


def _text(value):
    return html.escape(str(value))


def _row(finding):
    colour = COLOURS[finding.verdict]
    head = (f"<tr><td><b>{finding.law}</b><br><small>{_text(finding.statement)}</small></td>"
            f'<td><span class="verdict" style="background:{colour}">{finding.verdict}</span></td>')
    if not finding.cases:
        return head + f"<td></td><td></td><td>{_text(finding.silent)}</td></tr>"
    case, specimen = finding.case, finding.worst["specimen"]
    note = f"<br><small>{_text(case.note)}</small>" if case.note and finding.verdict != "exact" else ""
    return head + (f"<td>{case.violation:.2e} {_text(case.unit)}</td><td>{case.allowed:.1e}</td>"
                   f"<td>{_text(case.quantity)} of {_text(specimen)}{note}</td></tr>")


def _bars(report):
    """Violations in units of what is allowed, on a logarithmic axis with the limit drawn."""
    measured = [finding for finding in report.findings.values() if finding.cases]
    ratios = np.array([min(finding.case.ratio, 1e12) for finding in measured])
    fig, ax = plt.subplots(figsize=(8, 0.3 * len(measured) + 1.2), layout="constrained")
    ax.barh(range(len(measured)), np.maximum(ratios, LEAST) - LEAST, left=LEAST,
            color=[COLOURS[finding.verdict] for finding in measured])
    ax.axvline(1, color="black", linewidth=1)
    ax.set_xscale("log")
    ax.set_xlim(LEAST, max(10.0, 3 * ratios.max(initial=1.0)))
    ax.set_yticks(range(len(measured)), [finding.law.replace("_", " ") for finding in measured])
    ax.invert_yaxis()
    ax.set_xlabel("worst violation / what rounding and noise explain")
    return fig


def _traces(report):
    """A drawing of what the worst case of a law has to show: a jump, or an energy in time."""
    for finding in report.findings.values():
        if finding.cases and finding.case.trace:
            trace = finding.case.trace
            fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
            ax.plot(trace["x"], trace["y"], ".-", markersize=3, linewidth=1, color=COLOURS[finding.verdict])
            ax.set(xlabel=trace["x_label"], ylabel=trace["y_label"])
            title = f"{finding.law}: {finding.case.note}, {finding.worst['specimen']}"
            yield f'<h2>{_text(title)}</h2><img alt="{_text(title)}" src="{_picture(fig)}">'


def _picture(fig):
    stream = io.BytesIO()
    fig.savefig(stream, format="png", dpi=130)
    plt.close(fig)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
