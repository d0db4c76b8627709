"""Order, edge or chaos: the phase of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CHAOTIC_SHARE = 0.5
"""Share of chaotic starts from which a checkpoint counts as chaotic."""


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
    bias = (1.0 + np.log1p(steps / max(transient, 1))) / (steps * dt)
    return np.asarray(2.0 * stderr + bias, np.float64)


def classify(
    largest: NDArray[np.float64], margin: NDArray[np.float64]
) -> tuple[str, float]:
    """Phase of an ensemble of starts, and the share of chaotic ones.

    Parameters
    ----------
    largest : ndarray of shape (starts,)
        Largest exponent of each start.
    margin : ndarray of shape (starts,)
        As from `zero_margin`.

    Returns
    -------
    phase : {"order", "edge", "chaos", "unknown"}
        Order when every start has a negative exponent, chaos when at least half of them
        have a positive one, edge otherwise (exponents of zero, mixtures); unknown when
        an orbit left the finite numbers.
    chaotic_share : float
    """
    if np.isnan(largest).any():
        return "unknown", float("nan")
    share = float(np.mean(largest > margin))
    if share >= CHAOTIC_SHARE:
        return "chaos", share
    return ("order" if np.all(largest < -margin) else "edge"), share


def phase_of_attractors(kind: Sequence[str], exponent: NDArray[np.float64]) -> str:
    """Phase of an ensemble of starts, from what each ends on.

    Parameters
    ----------
    kind : sequence of str
        "fixed_point", "cycle", "torus", "chaos" or "undecided", of each start.
    exponent : ndarray of shape (starts,)
        Largest exponents; NaN where an orbit left the finite numbers.

    Returns
    -------
    {"order", "edge", "chaos", "unknown"}
        Order when all end on fixed points or cycles, chaos when at least half end in
        chaos, edge otherwise (tori, mixtures, and what is undecided).
    """
    if np.isnan(exponent).any():
        return "unknown"
    if list(kind).count("chaos") >= CHAOTIC_SHARE * len(kind):
        return "chaos"
    return "order" if set(kind) <= {"fixed_point", "cycle"} else "edge"
