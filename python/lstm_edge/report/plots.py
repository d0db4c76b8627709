"""The figures of the page, with Plotly."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lstm_edge.report import panels
from lstm_edge.report.panels import Line, Panel
from lstm_edge.report.series import STABILITY_COLOURS, Density, Series
from lstm_edge.terms import PHASE_COLOURS

MOST_EXPONENTS = 500_000
"""Of all spectra together: what keeps the page light."""

_MOST_MARKS = 8
"""Lines with a name: more would hide the series."""

_NEAR = 0.025
"""Share of the time axis within which names would cover each other."""

_WHOLE = 4.45
"""Height of all panels of the page together."""


def main_figure(
    series: Series, parts: list[Panel], checkpoints: list[str]
) -> go.Figure:
    """Losses, exponents, attractors, D~ and the orbit diagram on one time axis."""
    count = len(parts)
    figure = make_subplots(
        rows=max(1, count),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.025,
        specs=[[{"secondary_y": any(line.right for line in p.lines)}] for p in parts]
        or None,
        row_heights=[panel.height for panel in parts] or None,
    )
    told = [html.escape(line) for line in checkpoints]
    for row, panel in enumerate(parts, 1):
        _add_panel(figure, panel, row, series.sweep.table["update"], told)
    _add_falls(figure, series)
    _shade(figure, series)
    _mark(figure, series)
    figure.update_xaxes(title_text=series.unit, row=count or 1, col=1)
    figure.update_layout(
        height=80 + round(900 * sum(p.height for p in parts) / _WHOLE),
        margin={"l": 80, "r": 90, "t": 30, "b": 50},
        hovermode="x unified",
        showlegend=False,
    )
    if len(series.time):
        ends = {"clipmin": series.time.min(), "clipmax": series.time.max()}
        figure.update_xaxes(autorangeoptions=ends)
    return figure


def legend(series: Series, parts: list[Panel]) -> list[tuple[str, str, str]]:
    """Name, colour and form ("line", "dotted", "area", "fall") of what is drawn."""
    found: list[tuple[str, str, str]] = []
    for line in (line for panel in parts for line in panel.lines):
        found.append((line.name, line.colour, "dotted" if line.dotted else "line"))
    if panels.falls(series):
        found.append(("falls of the test loss", "currentColor", "fall"))
    found += [(name, colour, "area") for name, colour in PHASE_COLOURS.items()]
    return found


def kinds(parts: list[Panel]) -> list[tuple[str, str, str]]:
    """As `legend`, of what the starts end on."""
    return [(s.name, s.colour, "area") for panel in parts for s in panel.shares]


def single(panel: Panel) -> go.Figure:
    """Draw one panel as a figure of its own."""
    figure = make_subplots(rows=1, cols=1)
    _add_panel(figure, panel, 1)
    if panel.bars:
        figure.update_xaxes(range=[-0.5, len(panel.bars) - 0.5])
    elif not panel.training:
        figure.add_vline(x=0, line={"dash": "dash", "width": 1, "color": "#888"})
    figure.update_layout(
        height=300,
        margin={"l": 80, "r": 20, "t": 20, "b": 60},
        xaxis_title=panel.across,
        legend={"orientation": "h", "y": 1.15},
    )
    return figure


def _add_panel(
    figure: go.Figure,
    panel: Panel,
    row: int,
    updates: Any = None,
    told: list[str] | None = None,
) -> None:
    place = {"row": row, "col": 1}
    for line in (line for line in panel.lines if line.band is not None):
        figure.add_trace(_band(line), **place)
    for line in panel.lines:
        right = {"secondary_y": True} if line.right else {}
        known = updates is not None and len(updates) == len(line.x)
        trace = _trace(line, updates if known else None)
        if told and panel.training and not right and len(told) == len(line.x):
            last = line is panel.lines[-1]
            text = {"customdata": told, "hovertemplate": "%{customdata}<extra></extra>"}
            trace.update(
                **text if last else {"hoverinfo": "skip", "hovertemplate": None}
            )
        figure.add_trace(trace, **place, **right)
    for trace in _areas(panel):
        figure.add_trace(trace, **place)
    if panel.zero:
        figure.add_hline(y=0, line_width=1, line_color="#888", **place)
    _set_axes(figure, panel, place)


def _areas(panel: Panel) -> Iterator[Any]:
    """Draw what has no lines."""
    yield from map(_share, panel.shares)
    if panel.bars:
        yield _bars(panel)
    if panel.density is not None:
        yield _density(panel.density)
    elif panel.dots is not None:
        yield _dots(panel.dots)


def _set_axes(figure: go.Figure, panel: Panel, place: dict[str, int]) -> None:
    right = [line for line in panel.lines if line.right]
    own = {"secondary_y": False} if right else {}
    left = [line for line in panel.lines if not line.right]
    title = panel.title.replace(" (", "<br>(")
    figure.update_yaxes(title_text=title, **_scale(panel, left), **place, **own)
    if panel.limits:
        figure.update_yaxes(range=panel.limits, **place, **own)
    if panel.shares:
        figure.update_yaxes(tickformat=".0%", nticks=3, **place)
    if own:
        figure.update_yaxes(
            title_text="train loss",
            showgrid=False,
            exponentformat="power",
            **_scale(panel, right),
            secondary_y=True,
            **place,
        )


def _scale(panel: Panel, lines: list[Line]) -> dict[str, Any]:
    """Give an axis 1, 2 and 5 of each decade, or some five whole powers of ten.

    What stays within a factor of three has no whole numbers on a logarithmic axis.
    """
    values = np.concatenate([np.zeros(0), *(line.y for line in lines)])
    values = values[np.isfinite(values) & (values > 0)]
    ratio = values.max() / values.min() if len(values) else 1.0
    if not panel.log or ratio < 3:
        return {"type": "linear"}
    decades = max(1, round(np.log10(ratio) / 5))
    return {"type": "log", "dtick": "D2" if ratio < 100 else decades}


def _trace(line: Line, updates: Any) -> go.Scatter:
    told = " (update %{customdata})" if updates is not None else ""
    return go.Scatter(
        x=line.x,
        y=line.y,
        name=line.name,
        mode="lines",
        line={
            "color": line.colour,
            "width": 1.5,
            "dash": "dot" if line.dotted else "solid",
        },
        customdata=updates,
        hovertemplate=f"%{{y:{line.form}}}{told}",
    )


def _band(line: Line) -> go.Scatter:
    low, high = line.band or (line.y, line.y)
    return go.Scatter(
        x=np.concatenate([line.x, line.x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=line.colour,
        opacity=0.3,
        line_width=0,
        hoverinfo="skip",
        showlegend=False,
    )


def _share(share: Line) -> go.Scatter:
    return go.Scatter(
        x=share.x,
        y=share.y,
        name=share.name,
        stackgroup="kinds",
        mode="lines",
        line={"width": 0, "shape": "hvh"},
        fillcolor=share.colour,
        hovertemplate=f"%{{y:{share.form}}}",
    )


def _bars(panel: Panel) -> go.Bar:
    names, heights, colours = zip(*panel.bars, strict=True)
    return go.Bar(
        x=[name.replace("\n", "<br>") for name in names],
        y=heights,
        width=min(0.5, 0.1 * len(names)),
        marker_color=colours,
        hovertemplate="%{y} updates<extra></extra>",
        showlegend=False,
    )


def _density(density: Density) -> go.Heatmap:
    return go.Heatmap(
        x=density.time.astype(np.float32),
        y=density.value.astype(np.float32),
        z=np.ceil(255 * density.darkness).astype(np.uint8),
        colorscale=[[0, "rgba(0,0,0,0)"], [1, "rgba(0,0,0,1)"]],
        showscale=False,
        name="samples",
        hoverinfo="skip",
    )


def _dots(dots: tuple[Any, Any]) -> go.Scatter:
    return go.Scatter(
        x=dots[0].astype(np.float32),
        y=dots[1].astype(np.float32),
        mode="markers",
        marker={"size": 2, "color": "#444", "opacity": 0.6},
        name="samples",
        hoverinfo="skip",
        showlegend=False,
    )


def _add_falls(figure: go.Figure, series: Series) -> None:
    """Mark the falls of the test loss; the pointer tells what goes with each."""
    found = panels.falls(series)
    if found:
        time, loss, told = zip(*found, strict=True)
        figure.add_trace(
            go.Scatter(
                x=time,
                y=loss,
                mode="markers",
                marker={"symbol": "triangle-down", "size": 10, "color": "#000"},
                name="falls",
                customdata=told,
                hovertemplate="%{customdata}",
            ),
            row=1,
            col=1,
        )


def _shade(figure: go.Figure, series: Series) -> None:
    """Draw one path a phase, over the whole height: light however much it flickers."""
    for phase, bands in series.bands.items():
        _path(figure, bands, (0, 1), PHASE_COLOURS[phase], 0.22)
    for target, bands in series.stability_bands.items():
        _path(figure, bands, (1.005, 1.02), STABILITY_COLOURS[target], 1.0)


def _mark(figure: go.Figure, series: Series) -> None:
    """Draw a line with a name at each sustained transition and at the best loss."""
    marks = sorted(panels.marks(series)[:_MOST_MARKS])
    for time, _, colour in marks:
        figure.add_vline(x=time, line={"dash": "dash", "width": 1.5, "color": colour})
    apart = _NEAR * float(np.ptp(series.time)) if len(series.time) else 0.0
    texts: list[tuple[float, str]] = []
    for time, name, _ in marks:
        if texts and time - texts[-1][0] < apart:
            texts[-1] = texts[-1][0], f"{texts[-1][1]} · {name}"
        else:
            texts.append((time, name))
    for time, name in texts:
        at_axis = time - series.time.min() < apart  # whose labels stand to the left
        figure.add_annotation(
            x=time,
            y=1,
            yref="paper",
            text=name,
            textangle=-90,
            xanchor="left" if at_axis else "right",
            yanchor="top",
            showarrow=False,
            font={"size": 11},
        )


def _path(
    figure: go.Figure,
    bands: list[tuple[float, float]],
    height: tuple[float, float],
    colour: str,
    opacity: float,
) -> None:
    low, high = height
    path = "".join(
        f"M{a:g},{low}L{b:g},{low}L{b:g},{high}L{a:g},{high}Z" for a, b in bands
    )
    if path:
        figure.add_shape(
            type="path",
            path=path,
            xref="x",
            yref="paper",
            fillcolor=colour,
            opacity=opacity,
            line_width=0,
            layer="below",
        )


def spectra(series: Series, checkpoints: list[str]) -> dict[str, Any]:
    """Give the exponents of every checkpoint, for the one under the pointer."""
    exponents = series.sweep.exponents
    keep = max(1, -(-exponents.size // MOST_EXPONENTS))
    measured = [series.sweep.rows.get((n, "lyapunov")) for n in series.sweep.names]
    errors = [row.scalars.get("stderr", []) if row else [] for row in measured]

    def short(row: Any) -> list[float]:
        return [float(f"{x:.5g}") for x in row if np.isfinite(x)]

    return {
        "time": series.time[::keep].tolist(),
        "name": series.sweep.names[::keep],
        "told": [line.rpartition(" · ")[0] for line in checkpoints][::keep],
        "exponents": [short(row) for row in exponents[::keep]],
        "errors": [short(row) for row in errors[::keep]],
    }
