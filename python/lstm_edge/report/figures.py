"""The figures of the report as files, with matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_edge.display import counted
from lstm_edge.errors import UsageError
from lstm_edge.report.series import (
    KIND_COLOURS,
    LINE_COLOURS,
    NORMS,
    PHASE_COLOURS,
    Series,
    loss_around,
    make_series,
)
from lstm_edge.results.sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
MOST_DOTS = 2_000_000


def save_figures(
    sweep: Sweep, folder: str | PathLike[str], formats: Iterable[str] = ("png",)
) -> list[Path]:
    """Draw the figures of a sweep.

    ``training``: losses, exponents and D~ against training time over the phases;
    ``orbit_diagram``: where the samples end, ``attractors``: what the starts end on,
    against the same time; ``widths``: of the spans; ``around``: the test loss around
    crossings; ``norms``: of gradient, update and weights. What has nothing to show is
    left out.

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
    """
    from matplotlib.figure import Figure

    target, wanted = Path(folder), tuple(formats)
    for name in wanted:
        if name not in FORMATS:
            raise UsageError(f"formats: expected some of {FORMATS}, found {name!r}")
    series = make_series(sweep, most_dots=MOST_DOTS)
    drawings: dict[str, Callable[[Figure, Series], bool]] = {
        "training": _training,
        "orbit_diagram": _orbit_diagram,
        "attractors": _attractors,
        "widths": _widths,
        "around": _around,
        "norms": _norms,
    }
    written = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, draw in drawings.items():
            figure = Figure(figsize=(10, 7.5 if name == "training" else 4), dpi=150)
            if not draw(figure, series):
                continue
            for suffix in wanted:
                path = target / f"{name}.{suffix}"
                figure.savefig(path, bbox_inches="tight")
                written.append(path)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error})") from error
    return written


def _training(figure: Figure, series: Series) -> bool:
    losses, exponents, distance = figure.subplots(3, 1, sharex=True)
    _losses(losses, series)
    largest, error = series.column("lambda_max"), series.column("lambda_max_stderr")
    colour = LINE_COLOURS["lambda_max"]
    exponents.fill_between(
        series.time,
        largest - 2 * error,
        largest + 2 * error,
        color=colour,
        alpha=0.3,
        linewidth=0,
    )
    exponents.plot(series.time, largest, color=colour, linewidth=1.2)
    exponents.axhline(0, color="black", linewidth=0.6)
    clip_below(exponents, largest)
    exponents.set_ylabel("largest exponent\n(nats per step)")
    distance.plot(
        series.time,
        series.column("distance"),
        color=LINE_COLOURS["distance"],
        linewidth=1.2,
    )
    distance.set_ylabel(r"$\tilde D$ (ln distance)")
    distance.set_xlabel(series.unit)
    for axes in (losses, exponents, distance):
        shade(axes, series.bands)
        axes.margins(x=0)
    _mark_advice(losses, series)
    phase_key(figure)
    return True


def _losses(axes: Axes, series: Series) -> None:
    """Test loss on the left, train loss, which falls by decades, on the right."""
    right = axes.twinx()
    sides = ((axes, "test_loss"), (right, "train_loss"))
    for side, name in sides:
        colour = LINE_COLOURS[name]
        side.plot(series.loss_time, getattr(series, name), color=colour, linewidth=1.2)
        side.set_ylabel(name.replace("_", " "), color=colour)
        side.set_yscale("log")
    axes.set_zorder(right.get_zorder() + 1)
    axes.patch.set_visible(False)


def _orbit_diagram(figure: Figure, series: Series) -> bool:
    axes = figure.subplots()
    shade(axes, series.bands)
    axes.plot(
        *series.dots,
        linestyle="none",
        marker=".",
        markersize=1.5,
        markeredgewidth=0,
        color="black",
        alpha=0.5,
        rasterized=True,
    )
    axes.margins(x=0)
    axes.set_xlabel(series.unit)
    axes.set_ylabel(r"$h_T\cdot 1$ minus its mean")
    axes.set_title("orbit diagram: a dot a sample", fontsize=10)
    return True


def _attractors(figure: Figure, series: Series) -> bool:
    shares = {
        kind: np.nan_to_num(share)
        for kind, share in series.sweep.attractor_shares.items()
    }
    if not shares:
        return False
    axes = figure.subplots()
    axes.stackplot(
        series.time,
        *shares.values(),
        labels=[kind.replace("_", " ") for kind in shares],
        colors=[KIND_COLOURS[kind] for kind in shares],
        step="mid",
    )
    axes.set_ylim(0, 1)
    axes.margins(x=0)
    axes.set_xlabel(series.unit)
    axes.set_ylabel("share of starts that end on")
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=5,
        fontsize=9,
        frameon=False,
    )
    return True


def _widths(figure: Figure, series: Series) -> bool:
    lasting = [t for t in series.sweep.transitions if t.sustained]
    if not lasting:
        return False
    axes = figure.subplots()
    axes.bar(
        [f"{t.direction.replace('_', ' ')}\nat {t.update:.0f}" for t in lasting],
        [t.width for t in lasting],
        width=min(0.5, 0.1 * len(lasting)),
        color=[PHASE_COLOURS[t.direction.split("_")[1]] for t in lasting],
    )
    axes.set_xlim(-0.5, len(lasting) - 0.5)
    axes.set_ylabel("width of the span (updates)")
    return True


def _around(figure: Figure, series: Series) -> bool:
    axes = figure.subplots()
    drawn = False
    for direction, phase in (("to_chaos", "chaos"), ("to_order", "order")):
        around = loss_around(series, direction)
        if around is None:
            continue
        colour = PHASE_COLOURS[phase]
        name = f"{direction.replace('_', ' ')} ({counted(around.events, 'crossing')})"
        axes.fill_between(
            around.lag, around.low, around.high, color=colour, alpha=0.25, linewidth=0
        )
        axes.plot(around.lag, around.mean, color=colour, label=name)
        drawn = True
    if drawn:
        axes.axvline(0, color="black", linestyle="--", linewidth=0.8)
        axes.set_xlabel(f"{series.unit}s from the crossing")
        axes.set_ylabel("ln(test loss / at the crossing)")
        axes.legend(frameon=False)
    return drawn


def _norms(figure: Figure, series: Series) -> bool:
    known = {name: series.column(name) for name in NORMS}
    known = {name: x for name, x in known.items() if np.isfinite(x).any()}
    if not known:
        return False
    axes = figure.subplots()
    for name, values in known.items():
        axes.plot(series.time, values, label=name.replace("_", " "), linewidth=1.2)
    axes.set_yscale("log")
    axes.set_xlabel(series.unit)
    axes.set_ylabel("L2 norm")
    axes.legend(frameon=False, ncols=3)
    return True


def shade(axes: Axes, bands: Mapping[str, list[tuple[float, float]]]) -> None:
    """Colour the background by phase."""
    for phase, intervals in bands.items():
        spans = [(begin, end - begin) for begin, end in intervals]
        axes.broken_barh(
            spans,
            (0, 1),
            transform=axes.get_xaxis_transform(),
            color=PHASE_COLOURS[phase],
            alpha=0.25,
            linewidth=0,
            zorder=0,
        )


def clip_below(axes: Axes, values: Any) -> None:
    """Let a few deep values not hide what happens around zero."""
    finite = values[np.isfinite(values)]
    if len(finite):
        low, high = np.quantile(finite, 0.05), finite.max()
        pad = 0.1 * max(high - low, 1e-3)
        axes.set_ylim(min(low, 0) - pad, max(high, 0) + pad)


def _mark_advice(axes: Axes, series: Series) -> None:
    update = series.sweep.advice.update
    if update is not None:
        axes.axvline(series.at(update), color="black", linestyle="--", linewidth=1)
        axes.set_title(
            f"advised checkpoint: {series.unit} {series.at(update):g}", fontsize=10
        )


def phase_key(figure: Figure) -> None:
    """Say which colour is which phase."""
    from matplotlib.patches import Patch

    patches = [
        Patch(color=colour, alpha=0.4, label=phase)
        for phase, colour in PHASE_COLOURS.items()
    ]
    figure.legend(
        handles=patches,
        loc="upper center",
        ncols=3,
        fontsize=9,
        frameon=False,
        bbox_to_anchor=(0.5, 0.97),
    )
