"""The report as one HTML page, with Plotly inlined."""

from __future__ import annotations

import html
import json
from importlib.resources import files
from os import PathLike
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from lstm_edge.errors import UsageError
from lstm_edge.formats import replace_file
from lstm_edge.report.series import (
    LINE_COLOURS,
    PHASE_COLOURS,
    Series,
    make_series,
)
from lstm_edge.results import Sweep

MOST_DOTS = 250_000
"""Of the orbit diagram: what a browser draws at once without waiting."""

_NORMS = ("gradient_norm", "update_norm", "weight_norm")


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
    template = Template(
        files("lstm_edge.report").joinpath("page.html").read_text(encoding="utf-8")
    )
    page = template.substitute(
        plotly=get_plotlyjs(),
        headline=_headline(sweep),
        verdict=_verdict(sweep),
        main=_main_figure(series).to_json(),
        widths=_widths_figure(sweep).to_json(),
        norms=_norms_figure(series).to_json(),
        caption=_caption(series),
        transitions=_transitions(series),
        claims=_claims(sweep),
        failures=_failures(sweep),
        settings=_settings(sweep),
    )
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, page.encode())
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error})") from error
    return target


def _main_figure(series: Series) -> go.Figure:
    """Losses, exponents, D~ and the orbit diagram on one time axis."""
    figure = make_subplots(
        rows=4,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.03,
        specs=[[{"secondary_y": row == 0}] for row in range(4)],
        row_heights=[0.27, 0.25, 0.2, 0.28],
    )
    for row, trace in _traces(series):
        figure.add_trace(trace, row=row, col=1, secondary_y=trace.name == "train loss")
    figure.add_hline(y=0, line_width=1, line_color="#888", row=2, col=1)
    _shade(figure, series)
    titles = [
        "test loss",
        "exponent<br>(nats per step)",
        "D&#771; (ln)",
        "h<sub>T</sub>·1",
    ]
    for row, title in enumerate(titles, 1):
        figure.update_yaxes(title_text=title, row=row, col=1, secondary_y=False)
    figure.update_yaxes(type="log", row=1, col=1)
    figure.update_yaxes(
        title_text="train loss",
        type="log",
        showgrid=False,
        tickmode="auto",
        nticks=5,
        exponentformat="power",
        row=1,
        col=1,
        secondary_y=True,
    )
    figure.update_yaxes(range=_exponent_range(series), row=2, col=1)
    figure.update_xaxes(title_text=series.unit, row=4, col=1)
    figure.update_layout(
        height=860,
        margin={"l": 80, "r": 20, "t": 40, "b": 50},
        hovermode="x unified",
        legend={"orientation": "h", "y": 1.03, "x": 0},
    )
    if len(series.time):
        ends = {"clipmin": series.time.min(), "clipmax": series.time.max()}
        figure.update_xaxes(autorangeoptions=ends)
    return figure


def _traces(series: Series) -> list[tuple[int, Any]]:
    updates = series.sweep.table["update"]
    largest, error = series.column("lambda_max"), series.column("lambda_max_stderr")
    both = np.concatenate([series.time, series.time[::-1]])
    band = np.concatenate([largest + 2 * error, (largest - 2 * error)[::-1]])
    lines = [
        (1, series.loss_time, series.train_loss, "train loss", "train_loss", ":.4g"),
        (1, series.loss_time, series.test_loss, "test loss", "test_loss", ":.4g"),
        (
            2,
            series.time,
            series.column("lambda_mean"),
            "exponent, mean over starts",
            "lambda_mean",
            ":.4f",
        ),
        (2, series.time, largest, "exponent, largest start", "lambda_max", ":.4f"),
        (3, series.time, series.column("distance"), "D~", "distance", ":.2f"),
    ]
    traces: list[tuple[int, Any]] = [
        (
            2,
            go.Scatter(
                x=both,
                y=band,
                fill="toself",
                fillcolor="rgba(204,121,167,0.3)",
                line_width=0,
                hoverinfo="skip",
                showlegend=False,
            ),
        )
    ]
    for row, x, y, name, key, shown in lines:
        traces.append(
            (
                row,
                go.Scatter(
                    x=x,
                    y=y,
                    name=name,
                    mode="lines",
                    line={
                        "color": LINE_COLOURS[key],
                        "width": 1.5,
                        "dash": "dot" if key == "lambda_mean" else "solid",
                    },
                    customdata=updates if row > 1 else None,
                    hovertemplate=f"%{{y{shown}}}"
                    + (" (update %{customdata})" if row > 1 else ""),
                ),
            )
        )
    dots = go.Scattergl(
        x=series.dots[0].astype(np.float32),
        y=series.dots[1].astype(np.float32),
        mode="markers",
        marker={"size": 2, "color": "#777", "opacity": 0.6},
        name="samples",
        hoverinfo="skip",
        showlegend=False,
    )
    return [*traces, (4, dots)]


def _shade(figure: go.Figure, series: Series) -> None:
    """Draw one path a phase, over the whole height: light however much it flickers."""
    for phase, bands in series.bands.items():
        path = "".join(f"M{a:g},0L{b:g},0L{b:g},1L{a:g},1Z" for a, b in bands)
        if path:
            figure.add_shape(
                type="path",
                path=path,
                xref="x",
                yref="paper",
                fillcolor=PHASE_COLOURS[phase],
                opacity=0.22,
                line_width=0,
                layer="below",
            )
        figure.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                mode="markers",
                marker={"symbol": "square", "size": 12, "color": PHASE_COLOURS[phase]},
                name=phase,
            ),
            row=1,
            col=1,
        )
    update = series.sweep.advice.update
    if update is not None:
        figure.add_vline(
            x=series.at(update),
            line={"dash": "dash", "width": 1.5, "color": "#888"},
        )


def _exponent_range(series: Series) -> list[float]:
    """Let a few deep values not hide what happens around zero."""
    values = series.column("lambda_max")
    values = values[np.isfinite(values)]
    if not len(values):
        return [-1.0, 1.0]
    low = min(float(np.quantile(values, 0.05)), 0.0)
    high = max(float(values.max()), 0.0)
    pad = 0.1 * max(high - low, 1e-3)
    return [low - pad, high + pad]


def _widths_figure(sweep: Sweep) -> go.Figure:
    lasting = [t for t in sweep.transitions if t.sustained]
    figure = go.Figure(
        go.Bar(
            x=[
                f"{t.direction.replace('_', ' ')}<br>at {t.update:.0f}" for t in lasting
            ],
            y=[t.width for t in lasting],
            width=0.5,
            marker_color=[PHASE_COLOURS[t.direction.split("_")[1]] for t in lasting],
            hovertemplate="%{y} updates<extra></extra>",
        )
    )
    figure.update_layout(
        height=300,
        margin={"l": 80, "r": 20, "t": 20, "b": 60},
        yaxis_title="width of the edge (updates)",
    )
    return figure


def _norms_figure(series: Series) -> go.Figure:
    figure = go.Figure()
    for name in _NORMS:
        values = series.column(name)
        if np.isfinite(values).any():
            figure.add_trace(
                go.Scatter(
                    x=series.time,
                    y=values,
                    name=name.replace("_", " "),
                    mode="lines",
                    line_width=1.3,
                )
            )
    figure.update_layout(
        height=300,
        margin={"l": 80, "r": 20, "t": 20, "b": 50},
        xaxis_title=series.unit,
        yaxis={"type": "log", "title": "L2 norm"},
        hovermode="x unified",
        legend={"orientation": "h", "y": 1.1},
    )
    return figure


def _headline(sweep: Sweep) -> str:
    advice = sweep.advice
    if advice.update is None:
        return "No checkpoint to advise"
    epoch = "" if np.isnan(advice.epoch) else f" (epoch {advice.epoch:g})"
    return f"Take {html.escape(str(advice.name))}{epoch}"


def _verdict(sweep: Sweep) -> str:
    advice = sweep.advice
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
        "Shaded: the phase of each checkpoint. Exponents are in nats per step, with "
        "two standard errors; below, one dot for each sample, the sum of h after the "
        "last step minus its mean over the samples."
    )
    if series.left_out:
        text += f" {series.left_out:,} dots are left out to keep the page light."
    return text


def _table(header: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _transitions(series: Series) -> str:
    found = series.sweep.transitions
    lasting = [t for t in found if t.sustained]
    raw = len(found) - len(lasting)
    note = f"<p>{raw} raw crossings (flicker included) beside these.</p>"
    if not lasting:
        return "<p>No sustained transition between order and chaos.</p>" + note
    rows = [
        [
            t.direction.replace("_", " "),
            f"{t.update:.1f}",
            "" if np.isnan(t.epoch) else f"{t.epoch:.1f}",
            f"{t.bracket[0]} to {t.bracket[1]}",
            f"{t.edge[0]} to {t.edge[1]}",
            str(t.width),
            "" if np.isnan(t.width_epochs) else f"{t.width_epochs:g}",
        ]
        for t in lasting
    ]
    header = ["direction", "update", "epoch", "bracket", "edge", "width", "in epochs"]
    return _table(header, rows) + note


def _claims(sweep: Sweep) -> str:
    items = "".join(
        f'<li class="{claim.answer.replace(" ", "-")}">'
        f"<b>{html.escape(claim.text)}</b> <em>{html.escape(claim.answer)}</em>"
        f"<br>{html.escape(claim.evidence)}</li>"
        for claim in sweep.claims
    )
    return f"<ol>{items}</ol>"


def _failures(sweep: Sweep) -> str:
    if not sweep.failed:
        return ""
    rows = [[name, message] for name, message in sweep.failed]
    return "<h2>Checkpoints that failed</h2>" + _table(["name", "why"], rows)


def _settings(sweep: Sweep) -> str:
    rows = [[name, json.dumps(value)] for name, value in sorted(sweep.run.items())]
    seconds = sum(row.seconds for row in sweep.rows.values())
    rows.append(["core seconds spent on measures", f"{seconds:.1f}"])
    return _table(["setting", "value"], rows)
