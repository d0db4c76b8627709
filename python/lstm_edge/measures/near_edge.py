"""A quick look at whether a net in training is near the edge of chaos."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from lstm_edge.measures.exponents import lyapunov
from lstm_edge.terms import UNDECIDED


def at_edge(
    weights: Any,
    inputs: ArrayLike | None = None,
    *,
    closed_loop: bool = False,
    steps: int = 1000,
    transient: int = 1000,
    starts: int = 8,
) -> bool:
    """Whether the largest exponent has no sure sign, or not the same one everywhere.

    Parameters
    ----------
    weights, inputs, closed_loop
        As `lyapunov` takes them.
    steps, transient, starts : int
        Of the measurement, which has one exponent and seed 0.

    Returns
    -------
    bool
        True where the phase of `lyapunov` is "edge" or "undecided": some starts are
        within their error of zero, or of another sign than most.
    """
    spectrum = lyapunov(
        weights,
        inputs,
        closed_loop=closed_loop,
        k=1,
        steps=steps,
        transient=transient,
        starts=starts,
    )
    return spectrum.phase in ("edge", UNDECIDED)
