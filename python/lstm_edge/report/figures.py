"""The figures of the report as files, with matplotlib."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_edge.errors import UsageError
from lstm_edge.files.places import not_written
from lstm_edge.report.panels import FIGURES, Line, Panel
from lstm_edge.report.series import STABILITY_COLOURS, Series, make_series
from lstm_edge.results.sweep import Sweep
from lstm_edge.terms import PHASE_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")


def plot_figure(sweep: Sweep, name: str = "paper") -> Figure:
    """Draw one figure of a sweep, to show or to go on with.

    Parameters
    ----------
    sweep : Sweep
    name : str
        As in `save_figures`: "paper" is the main figure of Wei et al. 2025.

    Returns
    -------
    matplotlib.figure.Figure
        Its panels are ``figure.axes``; ``figure.axes[0].set_xlim(first, last)`` zooms
        all of them.

    Raises
    ------
    UsageError
        Another name, or a figure that has nothing to show.
    """
    if name not in FIGURES:
        raise UsageError(f"name: expected one of {[*FIGURES]}, found {name!r}")
    series = make_series(sweep)
    panels = [part(series) for part in FIGURES[name]]
    if all(panel.empty for panel in panels):
        raise UsageError(f"name: {sweep.path} has nothing to show of {name!r}")
    return _draw(panels, series)


def save_figures(
    sweep: Sweep, folder: str | PathLike[str], formats: Iterable[str] = ("png",)
) -> list[Path]:
    """Draw the figures of a sweep.

    ``training``: losses, exponents and D~ against training time over the phases, with a
    strip that tells of stability; ``paper``: losses, D~ and orbit diagram, as Wei et
    al. 2025 show them; ``orbit_diagram``: where the samples end, ``attractors``: what
    the starts end on, against the same time; ``widths``: of the spans; ``around``: the
    test loss around changes; ``norms``: of gradient, update and weights. What has
    nothing to show is left out.

    Parameters
    ----------
    sweep : Sweep
    folder : path
        Made where it is missing.
    formats : iterable of {"png", "svg", "pdf"}

    Returns
    -------
    list of Path

    Raises
    ------
    UsageError
        Another format, or a folder that cannot be written.
    LstmEdgeError
        If the disk is full.
    """
    target, wanted = Path(folder), tuple(formats)
    for name in wanted:
        if name not in FORMATS:
            raise UsageError(f"formats: expected some of {FORMATS}, found {name!r}")
    series = make_series(sweep)
    written = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, parts in FIGURES.items():
            panels = [part(series) for part in parts]
            if all(panel.empty for panel in panels):
                continue
            figure = _draw(panels, series)
            for suffix in wanted:
                path = target / f"{name}.{suffix}"
                figure.savefig(path, bbox_inches="tight")
                written.append(path)
    except OSError as error:
        raise not_written(target, error) from error
    return written


def _draw(panels: list[Panel], series: Series) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.5 * len(panels) + 1.5 * (len(panels) == 1)), dpi=150)
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(grid, panels, strict=True):
        _draw_panel(axes, panel)
        if panel.training:
            shade(axes, series.bands)
            axes.margins(x=0)
    grid[-1].set_xlabel(panels[-1].across)
    if panels[0].training:
        _strip(grid[0], series)
    if len(panels) > 1:
        _mark_advice(grid[0], series)
        phase_key(figure, strip=True)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    several = sum(not line.right for line in panel.lines) > 1
    for line in panel.lines:
        _draw_line(axes, line, panel, keyed=several)
    if panel.shares:
        axes.stackplot(
            panel.shares[0].x,
            *(share.y for share in panel.shares),
            labels=[share.name for share in panel.shares],
            colors=[share.colour for share in panel.shares],
            step="mid",
        )
    for name, height, colour in panel.bars:
        axes.bar(name, height, width=min(0.5, 0.1 * len(panel.bars)), color=colour)
    if panel.dots is not None:
        axes.plot(
            *panel.dots,
            linestyle="none",
            marker=".",
            markersize=1.5,
            markeredgewidth=0,
            color="black",
            alpha=0.5,
            rasterized=True,
        )
    if panel.density is not None:
        from matplotlib.colors import LinearSegmentedColormap

        density = panel.density
        axes.pcolormesh(
            density.time,
            density.value,
            density.darkness,
            cmap=LinearSegmentedColormap.from_list("", [(0, 0, 0, 0), (0, 0, 0, 1)]),
            vmin=0,
            vmax=1,
            shading="nearest",
            rasterized=True,
        )
    if several or panel.shares:
        axes.legend(frameon=False, fontsize=8, ncols=3)
    _set_axes(axes, panel)


def _set_axes(axes: Axes, panel: Panel) -> None:
    axes.set_ylabel(panel.title.replace(" (", "\n("))
    if panel.log:
        axes.set_yscale("log")
    if panel.limits:
        axes.set_ylim(*panel.limits)
    if panel.zero:
        axes.axhline(0, color="black", linewidth=0.6)
    if panel.bars:
        axes.set_xlim(-0.5, len(panel.bars) - 0.5)
    elif not panel.training:
        axes.axvline(0, color="black", linestyle="--", linewidth=0.8)


def _draw_line(axes: Axes, line: Line, panel: Panel, *, keyed: bool) -> None:
    where = axes.twinx() if line.right else axes
    style = ":" if line.dotted else "-"
    label = line.name if keyed else None
    where.plot(line.x, line.y, style, color=line.colour, linewidth=1.2, label=label)
    if line.band is not None:
        low, high = line.band
        where.fill_between(line.x, low, high, color=line.colour, alpha=0.3, linewidth=0)
    if line.right:
        where.set_ylabel(line.name, color=line.colour)
        where.set_yscale("log" if panel.log else "linear")
        axes.set_zorder(where.get_zorder() + 1)
        axes.patch.set_visible(False)


def shade(axes: Axes, bands: Mapping[str, list[tuple[float, float]]]) -> None:
    """Colour the background by phase."""
    for phase, intervals in bands.items():
        _bars(axes, intervals, (0, 1), PHASE_COLOURS[phase], 0.25)


def _strip(axes: Axes, series: Series) -> None:
    """Tell on top whether all starts are stable, else on what some of them end."""
    for target, intervals in series.stability_bands.items():
        _bars(axes, intervals, (1.01, 0.04), STABILITY_COLOURS[target], 1.0)


def _bars(
    axes: Axes,
    intervals: list[tuple[float, float]],
    place: tuple[float, float],
    colour: str,
    alpha: float,
) -> None:
    axes.broken_barh(
        [(begin, end - begin) for begin, end in intervals],
        place,
        transform=axes.get_xaxis_transform(),
        color=colour,
        alpha=alpha,
        linewidth=0,
        zorder=0,
        clip_on=place[0] < 1,
    )


def _mark_advice(axes: Axes, series: Series) -> None:
    update = series.sweep.advice.update
    if update is not None:
        axes.axvline(series.at(update), color="black", linestyle="--", linewidth=1)
        axes.set_title(
            f"dashed: the first onset of chaos, {series.unit} {series.at(update):g}",
            fontsize=10,
            pad=14,
        )


def phase_key(figure: Figure, *, strip: bool = False) -> None:
    """Say which colour is which phase, and which are those of the strip."""
    from matplotlib.patches import Patch

    phases = [
        Patch(color=colour, alpha=0.4, label=phase)
        for phase, colour in PHASE_COLOURS.items()
    ]
    kinds = [
        Patch(color=colour, label=f"strip: {target}")
        for target, colour in STABILITY_COLOURS.items()
        if strip
    ]
    figure.legend(
        handles=[*phases, *kinds],
        loc="upper center",
        ncols=8,
        fontsize=8,
        frameon=False,
        bbox_to_anchor=(0.5, 0.97),
    )
