"""The figures of the page, with Plotly."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lstm_edge.display import counted
from lstm_edge.report.series import (
    KIND_COLOURS,
    LINE_COLOURS,
    NORMS,
    PHASE_COLOURS,
    Series,
    loss_around,
)
from lstm_edge.results.sweep import Sweep

MOST_EXPONENTS = 500_000
"""Of all spectra together: what keeps the page light."""


def main_figure(series: Series) -> go.Figure:
    """Losses, exponents, attractors, D~ and the orbit diagram on one time axis."""
    figure = make_subplots(
        rows=5,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.025,
        specs=[[{"secondary_y": row == 0}] for row in range(5)],
        row_heights=[0.25, 0.23, 0.12, 0.16, 0.24],
    )
    for row, trace in _traces(series):
        figure.add_trace(trace, row=row, col=1, secondary_y=trace.name == "train loss")
    figure.add_hline(y=0, line_width=1, line_color="#888", row=2, col=1)
    _shade(figure, series)
    titles = [
        "test loss",
        "exponent<br>(nats per step)",
        "starts<br>end on",
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
    figure.update_yaxes(range=[0, 1], tickformat=".0%", nticks=3, row=3, col=1)
    figure.update_xaxes(title_text=series.unit, row=5, col=1)
    figure.update_layout(
        height=980,
        margin={"l": 80, "r": 20, "t": 40, "b": 50},
        hovermode="x unified",
        legend={"orientation": "h", "y": 1.03, "x": 0},
        legend2={"orientation": "h", "y": -0.07, "x": 0, "title": "starts end on "},
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
        (4, series.time, series.column("distance"), "D~", "distance", ":.2f"),
    ]
    low, high = series.start_quantiles
    middle = np.concatenate([high, low[::-1]])
    traces: list[tuple[int, Any]] = [
        (
            2,
            go.Scatter(
                x=both,
                y=y,
                fill="toself",
                fillcolor=colour,
                line_width=0,
                hoverinfo="skip",
                showlegend=False,
            ),
        )
        for y, colour in (
            (middle, "rgba(128,128,128,0.35)"),
            (band, "rgba(204,121,167,0.3)"),
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
    return [*traces, *_shares(series), (5, dots)]


def _shares(series: Series) -> list[tuple[int, Any]]:
    """Stack what the starts of each checkpoint end on."""
    return [
        (
            3,
            go.Scatter(
                x=series.time,
                y=share,
                name=kind.replace("_", " "),
                stackgroup="kinds",
                mode="lines",
                line={"width": 0, "shape": "hvh"},
                fillcolor=KIND_COLOURS[kind],
                hovertemplate="%{y:.0%}",
                legend="legend2",
            ),
        )
        for kind, share in series.sweep.attractor_shares.items()
        if share.size and np.nanmax(share) > 0
    ]


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


def widths_figure(sweep: Sweep) -> go.Figure:
    """Draw how wide the span of each sustained transition is."""
    lasting = [t for t in sweep.transitions if t.sustained]
    bars = go.Bar(
        x=[f"{t.direction.replace('_', ' ')}<br>at {t.update:.0f}" for t in lasting],
        y=[t.width for t in lasting],
        width=min(0.5, 0.1 * len(lasting)),
        marker_color=[PHASE_COLOURS[t.direction.split("_")[1]] for t in lasting],
        hovertemplate="%{y} updates<extra></extra>",
    )
    figure = go.Figure([bars] if lasting else [])
    figure.update_layout(
        height=300,
        margin={"l": 80, "r": 20, "t": 20, "b": 60},
        xaxis_range=[-0.5, len(lasting) - 0.5],
        yaxis_title="width of the span (updates)",
    )
    return figure


def norms_figure(series: Series) -> go.Figure:
    """Draw the norms of gradient, update and weights, where they are known."""
    figure = go.Figure()
    for name in NORMS:
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


def around_figure(series: Series) -> go.Figure:
    """Draw the test loss before and after crossings, relative to that at them."""
    figure = go.Figure()
    for direction, colour in (("to_chaos", "chaos"), ("to_order", "order")):
        around = loss_around(series, direction)
        if around is None:
            continue
        name = f"{direction.replace('_', ' ')} ({counted(around.events, 'crossing')})"
        figure.add_trace(
            go.Scatter(
                x=np.concatenate([around.lag, around.lag[::-1]]),
                y=np.concatenate([around.high, around.low[::-1]]),
                fill="toself",
                fillcolor=PHASE_COLOURS[colour],
                opacity=0.25,
                line_width=0,
                hoverinfo="skip",
                showlegend=False,
            )
        )
        figure.add_trace(
            go.Scatter(
                x=around.lag,
                y=around.mean,
                name=name,
                mode="lines",
                line={"color": PHASE_COLOURS[colour], "width": 2},
            )
        )
    figure.add_vline(x=0, line={"dash": "dash", "width": 1, "color": "#888"})
    figure.update_layout(
        height=300,
        margin={"l": 80, "r": 20, "t": 20, "b": 50},
        xaxis_title=f"{series.unit}s from the crossing",
        yaxis_title="ln(test loss / at the crossing)",
        legend={"orientation": "h", "y": 1.15},
    )
    return figure


def spectra(series: Series) -> dict[str, Any]:
    """Give the exponents of every checkpoint, for the one under the pointer."""
    exponents = series.sweep.exponents
    keep = max(1, -(-exponents.size // MOST_EXPONENTS))
    rows = exponents[::keep]
    return {
        "time": series.time[::keep].tolist(),
        "name": series.sweep.names[::keep],
        "exponents": [
            [float(f"{x:.5g}") for x in row if np.isfinite(x)] for row in rows
        ],
    }
