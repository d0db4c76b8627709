"""What results look like, on axes of matplotlib, which is loaded only then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.terms import KIND_COLOURS, PHASE_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes_or_new(ax: Axes | None) -> Axes:
    """Give the axes, or those of a new figure of pyplot."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(layout="constrained")[1]


def with_errors(
    ax: Axes | None, across: Any, exponents: Any, stderr: Any, title: str
) -> Axes:
    """Draw exponents with two standard errors over what is across, and a line at 0."""
    ax = axes_or_new(ax)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.errorbar(
        across, exponents, 2 * np.asarray(stderr), fmt=".", color="#CC79A7", capsize=2
    )
    ax.set_ylabel("exponent (nats per step)")
    ax.set_title(title)
    return ax


def along_training(
    ax: Axes | None,
    update: NDArray[Any],
    exponent: NDArray[Any],
    stderr: NDArray[Any],
    phase: Sequence[str | None],
    title: str,
) -> Axes:
    """Draw the largest exponent of each checkpoint, coloured by phase."""
    ax = with_errors(ax, update, exponent, stderr, title)
    for name, colour in PHASE_COLOURS.items():
        there = [p == name for p in phase]
        ax.plot(update[there], exponent[there], "o", color=colour, label=name)
    ax.legend(frameon=False)
    ax.set_xlabel("update")
    return ax


def shares(ax: Axes | None, parts: list[tuple[str, float, str]], title: str) -> Axes:
    """Draw a bar of shares for each attractor."""
    ax = axes_or_new(ax)
    for name, share, kind in parts:
        ax.barh(name, share, color=KIND_COLOURS[kind])
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of the starts")
    ax.set_title(title)
    return ax


def paths(ax: Axes | None, values: NDArray[Any], title: str) -> Axes:
    """Draw a line a start, of values (starts, steps)."""
    ax = axes_or_new(ax)
    steps = np.arange(1, values.shape[1] + 1)
    ax.plot(steps, values.T, linewidth=0.8, alpha=max(0.15, 1 / len(values) ** 0.5))
    ax.set_xlabel("step")
    ax.set_ylabel("sum of h")
    ax.set_title(title)
    return ax
