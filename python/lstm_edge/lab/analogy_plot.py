"""The analogy of Wei et al. 2025 as a figure: orbit diagram, D~ and exponent over r."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lstm_edge.errors import UsageError
from lstm_edge.lab.analogy import Analogy
from lstm_edge.report.figures import phase_key, shade
from lstm_edge.report.panels import around_zero
from lstm_edge.report.series import LINE_COLOURS, phase_bands

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_analogy(found: Analogy, path: str | PathLike[str]) -> Path:
    """Draw the orbit diagram, D~ and the exponent against r.

    Parameters
    ----------
    found : Analogy
    path : path
        What its suffix says: .png, .svg, .pdf, ...

    Raises
    ------
    UsageError
        A format that matplotlib does not know, or a place that cannot be written.
    """
    try:
        _draw(found).savefig(path, bbox_inches="tight")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be written ({error})") from error
    return Path(path)


def _draw(found: Analogy) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 8), dpi=150)
    orbit, distance, exponent = figure.subplots(
        3, 1, sharex=True, height_ratios=(3, 1, 1)
    )
    orbit.plot(
        np.repeat(found.r, found.orbit.shape[1]),
        found.orbit.ravel(),
        linestyle="none",
        marker=".",
        markersize=1,
        markeredgewidth=0,
        color="black",
        alpha=0.5,
        rasterized=True,
    )
    orbit.set_ylabel("$k$ after the transient")
    orbit.set_title(r"$k' = r\,k\,(1-\tanh k)$", fontsize=11, pad=22)
    for axes, values, name, label in (
        (distance, found.distance, "distance", r"$\tilde D$ (ln distance)"),
        (exponent, found.lambda_max, "lambda_max", "exponent\n(nats per step)"),
    ):
        axes.plot(found.r, values, color=LINE_COLOURS[name], linewidth=0.8)
        axes.set_ylabel(label)
    exponent.axhline(0, color="black", linewidth=0.6)
    exponent.set_ylim(*around_zero(found.lambda_max))
    exponent.set_xlabel("$r$")
    bands = phase_bands(found.r, found.phase)
    for axes in (orbit, distance, exponent):
        shade(axes, bands)
        axes.margins(x=0)
        for onset in found.onsets:
            axes.axvline(onset.update, color="black", linestyle="--", linewidth=0.6)
    figure.align_ylabels()
    phase_key(figure)
    return figure
