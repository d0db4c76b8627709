"""The report of a sweep."""

from __future__ import annotations

import html
import json
from os import PathLike
from pathlib import Path

from lstm_edge.display import by_reason, counted
from lstm_edge.report import panels, plots
from lstm_edge.report.html_page import resource, table, write_page
from lstm_edge.report.next_steps import next_steps
from lstm_edge.report.series import Series, make_series
from lstm_edge.report.tables import coincidence_table, fall_table, transition_table
from lstm_edge.results.sweep import Sweep
from lstm_edge.track.anatomy import CAUTION, tell

CAPTION = (
    "Shaded: the phase of each checkpoint. The strip on top: blue where all starts "
    "are stable, else what some end on: yellow a torus, red chaos, orange several. "
    "Triangles: falls of the test loss; point at one to see its anatomy. "
    "Exponents are in nats per step: the largest with two standard errors, in grey "
    "the middle 80 % of the starts. "
    "Below them what the starts end on, as shares; at the bottom one dot for each "
    "sample, the sum of h after the last step minus its mean over the samples; of many "
    "the density. "
    "Hover over a checkpoint to see its spectrum beside the figure, or beneath it; "
    "drag to zoom."
)

WHAT_IS_A_HIT = (
    "Weights walk: their way per update against its median. A hit is a change within "
    "the steepest drop; by chance: the mean over all rotations of the changes; in "
    "brackets that of the hits one or two evaluations to either side."
)


def write_report(sweep: Sweep, path: str | PathLike[str]) -> Path:
    """Write one self-contained page: it needs no network and no other file.

    Parameters
    ----------
    sweep : Sweep
    path : path
        Written beside and renamed into place.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    series = make_series(sweep)
    parts, lacks = panels.main_panels(series)
    checkpoints = panels.told(series)
    return write_page(
        path,
        resource("lstm_edge.report", "page.html"),
        name=html.escape(_name(sweep)),
        run=html.escape(_run(sweep)),
        headline=_headline(sweep),
        verdict=_verdict(sweep),
        assumed=_assumed(sweep),
        main=plots.main_figure(series, parts, checkpoints).to_json(),
        legend=_legend(plots.legend(series, parts)),
        kinds=_legend(plots.kinds(parts)),
        missing=_missing(lacks),
        widths=plots.single(panels.widths(series)).to_json(),
        around=plots.single(panels.around(series)).to_json(),
        norms=plots.single(panels.norms(series)).to_json(),
        spectra=json.dumps(plots.spectra(series, checkpoints)).replace("<", "\\u003c"),
        chosen=json.dumps(
            series.at(sweep.advice.update or 0) if len(series.time) else 0
        ),
        caption=CAPTION,
        transitions=_transitions(series),
        falls=_falls(sweep),
        claims=_claims(sweep),
        failures=_failures(sweep),
        settings=_settings(sweep),
    )


def _name(sweep: Sweep) -> str:
    """Name the run: the folder of the checkpoints, or else of the store."""
    source = str(sweep.run.get("source", "."))
    return Path(source).name or sweep.path.absolute().parent.name or "lstm-edge"


def _run(sweep: Sweep) -> str:
    told = [_name(sweep), counted(len(sweep.checkpoints), "checkpoint")]
    if inputs := sweep.run.get("inputs"):
        told.append(f"input: {inputs}")
    return " · ".join(told)


def _legend(entries: list[tuple[str, str, str]]) -> str:
    return "".join(
        f'<span><i class="{form}" style="color: {colour}"></i>'
        f"{html.escape(name)}</span>"
        for name, colour, form in entries
    )


def _missing(lacks: list[str]) -> str:
    return f'<p class="caption">{" ".join(lacks)}</p>' if lacks else ""


def _headline(sweep: Sweep) -> str:
    if sweep.failed and not sweep.names:
        return "No checkpoint could be used"
    return html.escape(sweep.advice.headline)


def _verdict(sweep: Sweep) -> str:
    if sweep.failed and not sweep.names:
        return html.escape("; ".join(by_reason(sweep.failed)) + ".")
    return html.escape(sweep.advice.verdict)


def _assumed(sweep: Sweep) -> str:
    told = sweep.run.get("assumed", ())
    return "".join(f"<p>Assumed: {html.escape(str(text))}.</p>" for text in told)


def _transitions(series: Series) -> str:
    track = series.sweep.track
    found = sorted(
        [*track.transitions, *track.stability_transitions], key=lambda t: t.update
    )
    lasting = [t for t in found if t.sustained]
    raw = [t for t in found if not t.sustained]
    text = "<p>No sustained transition, of chaos or of stability.</p>"
    if lasting:
        text = table(*transition_table(lasting))
    if raw:
        number = counted(len(raw), "single change")
        text += (
            f"<details><summary>{number}, flicker included"
            f"</summary>{table(*transition_table(raw))}</details>"
        )
    steps = (f"<li>{html.escape(step)}</li>" for step in next_steps(series.sweep))
    return f"{text}<ul>{''.join(steps)}</ul>"


def _falls(sweep: Sweep) -> str:
    """Tell of each fall, then how often falls come with changes."""
    found = sweep.track.anatomies
    text = f"<p>{tell(found, sweep.track.test_loss)}</p>"
    if found:
        text += table(*fall_table(found))
        text += table(*coincidence_table(sweep.track.coincidences))
        text += f'<p class="caption">{WHAT_IS_A_HIT} {CAUTION}</p>'
    return text


def _claims(sweep: Sweep) -> str:
    items = "".join(
        f'<li class="{claim.answer.replace(" ", "-")}">'
        f"{claim.label}: <b>{html.escape(claim.text)}</b> "
        f"<em>{html.escape(claim.answer)}</em>"
        f"<br>{html.escape(claim.evidence)}</li>"
        for claim in sweep.claims
    )
    return f"<ul>{items}</ul>"


def _failures(sweep: Sweep) -> str:
    if not sweep.failed:
        return ""
    rows = [[", ".join(n), reason] for reason, n in by_reason(sweep.failed).items()]
    return "<h2>Checkpoints that failed</h2>" + table(["name", "why"], rows)


def _settings(sweep: Sweep) -> str:
    rows = [[name, _plain(value)] for name, value in sorted(sweep.run.items())]
    seconds = sum(row.seconds for row in sweep.rows.values())
    rows.append(["core seconds spent on measures", f"{seconds:.1f}"])
    return table(["setting", "value"], rows)


def _plain(value: object) -> str:
    """Write a setting for people."""
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return "default" if value is None else str(value)
