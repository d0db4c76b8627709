"""Order, edge or chaos: the phase of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lstm_edge.terms import UNDECIDED, UNKNOWN

CHAOTIC_SHARE = 0.5
"""Share of chaotic starts from which a checkpoint counts as chaotic."""

EXACT_ZERO = 1e-9
"""An exponent from multipliers that is nearer to zero is zero, nats per step."""


def zero_margin(
    stderr: NDArray[np.float64], steps: int, transient: int, dt: float = 1.0
) -> NDArray[np.float64]:
    """How far an exponent must lie from zero to have a sign.

    Two standard errors, and what a finite run may give to an exponent of zero: along a
    neutral direction a tangent vector grows at most linearly with time, so by a factor
    1 + T / transient over the measured steps, and its length varies along a torus by a
    factor that we take as e. Together (1 + ln(1 + T / transient)) / T; without a
    transient about ln(T) / T.

    Parameters
    ----------
    stderr : ndarray
        Standard errors, nats per unit of time.
    steps : int
        Measured steps T.
    transient : int
        Steps before them.
    dt : float
        Time of a step.
    """
    bias = zero_bias(steps, transient, dt)
    return np.asarray(2.0 * stderr + bias, np.float64)


def zero_bias(steps: int, transient: int, dt: float = 1.0) -> float:
    """Bound what a finite run may give to an exponent of zero; see `zero_margin`."""
    return float((1.0 + np.log1p(steps / max(transient, 1))) / (steps * dt))


def classify(
    largest: NDArray[np.float64],
    margin: NDArray[np.float64],
    bias: float,
    on_cycle: NDArray[np.bool_] | None = None,
) -> tuple[str, float]:
    """Phase of an ensemble of starts, and the share of chaotic ones.

    Parameters
    ----------
    largest : ndarray of shape (starts,)
        Largest exponent of each start.
    margin : ndarray of shape (starts,)
        As from `zero_margin`.
    bias : float
        As from `zero_bias`: an exponent that is nearer to zero is zero.
    on_cycle : ndarray of shape (starts,), optional
        Which starts sit on a fixed point or a cycle: one that repels is no chaos.

    Returns
    -------
    phase : {"order", "edge", "chaos", "undecided", "unknown"}
        Chaos when at least half of the starts have a positive exponent. Undecided when
        starts could change the answer whose exponents have no sure sign, but are not
        zero either, or when a start sits on a repelling fixed point or cycle. Order
        when all exponents are negative, edge otherwise (exponents of zero, mixtures);
        unknown when an orbit left the finite numbers.
    chaotic_share : float
    """
    if np.isnan(largest).any():
        return UNKNOWN, float("nan")
    positive = largest > margin
    if on_cycle is not None and (positive & on_cycle).any():
        return UNDECIDED, float(np.mean(positive & ~on_cycle))
    share = float(np.mean(positive))
    if share >= CHAOTIC_SHARE:
        return "chaos", share
    zero = np.abs(largest) <= np.minimum(margin, bias)
    doubt = ~positive & ~zero & (largest >= -margin)
    if np.mean(positive | doubt) >= CHAOTIC_SHARE:
        return UNDECIDED, share
    if positive.any() or zero.any():
        return "edge", share
    return (UNDECIDED if doubt.any() else "order"), share


def phase_of_attractors(kind: Sequence[str], exponent: NDArray[np.float64]) -> str:
    """Phase of an ensemble of starts, from what each ends on.

    Parameters
    ----------
    kind : sequence of str
        Of each start, one of `lstm_edge.terms.ATTRACTORS`.
    exponent : ndarray of shape (starts,)
        Largest exponents; NaN where an orbit left the finite numbers.

    Returns
    -------
    {"order", "edge", "chaos", "undecided", "unknown"}
        Unknown where an orbit left the finite numbers, or grows for ever. Chaos when at
        least half of the starts end in chaos. Undecided where starts are that could
        change the answer. Order when all end on fixed points or cycles that attract.
        Edge otherwise: tori, neutral fixed points, mixtures with chaos.
    """
    kinds = list(kind)
    if np.isnan(exponent).any() or "unbounded" in kinds:
        return UNKNOWN
    most, doubt = CHAOTIC_SHARE * len(kinds), kinds.count("undecided")
    if kinds.count("chaos") >= most:
        return "chaos"
    if kinds.count("chaos") + doubt >= most:
        return UNDECIDED
    ordered = {"fixed_point", "cycle"}
    neutral = np.abs(exponent) <= EXACT_ZERO
    at_edge = set(kinds) - ordered - {"undecided"} or neutral.any()
    if doubt and not at_edge:
        return UNDECIDED
    return "edge" if at_edge else "order"
