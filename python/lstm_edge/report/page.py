"""The report of a sweep."""

from __future__ import annotations

import html
import json
from os import PathLike
from pathlib import Path

import numpy as np

from lstm_edge.display import by_reason, counted
from lstm_edge.report import plots
from lstm_edge.report.html_page import resource, table, write_page
from lstm_edge.report.series import Series, make_series
from lstm_edge.report.tables import transition_table
from lstm_edge.results.sweep import Sweep

MOST_DOTS = 250_000
"""Of the orbit diagram: what a browser draws at once without waiting."""


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
    series = make_series(sweep, most_dots=MOST_DOTS)
    return write_page(
        path,
        resource("lstm_edge.report", "page.html"),
        headline=_headline(sweep),
        verdict=_verdict(sweep),
        main=plots.main_figure(series).to_json(),
        widths=plots.widths_figure(sweep).to_json(),
        around=plots.around_figure(series).to_json(),
        norms=plots.norms_figure(series).to_json(),
        spectra=json.dumps(plots.spectra(series)).replace("</", "<\\/"),
        chosen=json.dumps(
            series.at(sweep.advice.update or 0) if len(series.time) else 0
        ),
        caption=_caption(series),
        transitions=_transitions(series),
        claims=_claims(sweep),
        failures=_failures(sweep),
        settings=_settings(sweep),
    )


def _headline(sweep: Sweep) -> str:
    advice = sweep.advice
    if sweep.failed and not sweep.names:
        return "No checkpoint could be used"
    if advice.update is None:
        return "No checkpoint to advise"
    epoch = "" if np.isnan(advice.epoch) else f" (epoch {advice.epoch:g})"
    return f"Take {html.escape(str(advice.name))}{epoch}"


def _verdict(sweep: Sweep) -> str:
    advice = sweep.advice
    if sweep.failed and not sweep.names:
        return html.escape("; ".join(by_reason(sweep.failed)) + ".")
    text = html.escape(advice.reason[0].upper() + advice.reason[1:] + ".")
    if not np.isnan(advice.regret):
        text += (
            f" Its test loss is {advice.test_loss:.4g}; the best of the run is "
            f"{advice.best_test_loss:.4g} at update {advice.best_update} "
            f"(regret {advice.regret:.2g})."
        )
    return text


def _caption(series: Series) -> str:
    text = (
        "Shaded: the phase of each checkpoint. Exponents are in nats per step: the "
        "largest with two standard errors, in grey the middle 80 % of the starts. "
        "Below them what the starts end on, as shares; at the bottom one dot for each "
        "sample, the sum of h after the last step minus its mean over the samples. "
        "Hover over a checkpoint to see its spectrum beneath; drag to zoom."
    )
    if series.left_out:
        text += f" {series.left_out:,} dots are left out to keep the page light."
    return text


def _transitions(series: Series) -> str:
    found = series.sweep.transitions
    lasting = [t for t in found if t.sustained]
    raw = [t for t in found if not t.sustained]
    text = "<p>No sustained transition between order and chaos.</p>"
    if lasting:
        text = table(*transition_table(lasting))
    if raw:
        number = counted(len(raw), "single crossing")
        text += (
            f"<details><summary>{number}, flicker included"
            f"</summary>{table(*transition_table(raw))}</details>"
        )
    zoom = series.sweep.track.zoom_intervals
    if zoom:
        listed = ", ".join(f"{i.first} to {i.last} ({i.reason})" for i in zoom)
        text += f"<p>Worth checkpoints at every update: {html.escape(listed)}.</p>"
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
    rows = [[name, json.dumps(value)] for name, value in sorted(sweep.run.items())]
    seconds = sum(row.seconds for row in sweep.rows.values())
    rows.append(["core seconds spent on measures", f"{seconds:.1f}"])
    return table(["setting", "value"], rows)
