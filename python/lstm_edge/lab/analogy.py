"""The analogy of Wei et al. 2025: a map of one number, with r for training time.

k' = r k (1 - tanh k). As r grows, its fixed point gives way to a cascade of period
doublings, chaos, and windows of order in it. It is measured by the same code as a net,
and its transitions and their spans are found by the same rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge import _core
from lstm_edge.display import plain_values
from lstm_edge.errors import UsageError
from lstm_edge.measures.cost import available_cores
from lstm_edge.measures.phase import phase_of_attractors
from lstm_edge.measures.system import cast
from lstm_edge.track.transitions import Transition, find_transitions

Floats = NDArray[np.float64]

RANGE = (1.0, 50.0)
"""Of r: from where k = 0 loses its stability, through the first five windows."""

VALUES = 2000
"""Values of r in it."""

_STARTS = 2
_TRANSIENT = 1000
_DOTS = 100


@dataclass(frozen=True)
class Analogy:
    """The tanh map over a range of r.

    Attributes
    ----------
    r : ndarray of shape (n,)
    phase : list of str
        "order", "edge" or "chaos", from what each start ends on.
    lambda_max, lambda_max_stderr : ndarray of shape (n,)
        The exponent in nats per step, the largest over the starts.
    distance : ndarray of shape (n,)
        D~.
    orbit : ndarray of shape (n, dots)
        k after the transient: the orbit diagram.
    transitions : list of Transition
        Of `find_transitions`, in which ``update`` is r.
    """

    r: Floats
    phase: list[str]
    lambda_max: Floats
    lambda_max_stderr: Floats
    distance: Floats
    orbit: Floats
    transitions: list[Transition]

    @property
    def onsets(self) -> list[Transition]:
        """The sustained order->chaos transitions."""
        return [t for t in self.transitions if t.sustained and "chaos" in t.direction]

    def summary(self) -> dict[str, Any]:
        """Everything but the orbits, as plain values."""
        found: dict[str, Any] = plain_values(
            {
                "r": self.r.tolist(),
                "phase": self.phase,
                "lambda_max": self.lambda_max.tolist(),
                "lambda_max_stderr": self.lambda_max_stderr.tolist(),
                "distance": self.distance.tolist(),
                "transitions": [asdict(t) for t in self.transitions],
            }
        )
        return found

    def __repr__(self) -> str:
        """Return the range, and where chaos sets in."""
        onsets = ", ".join(f"{t.update:.4g}" for t in self.onsets)
        return (
            f"Analogy({len(self.r)} values of r from {self.r[0]:g} to {self.r[-1]:g}; "
            f"chaos sets in at {onsets or 'none of them'})"
        )


def analogy(
    r: ArrayLike | None = None,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Analogy:
    """Follow k' = r k (1 - tanh k) over a range of r (Wei et al. 2025).

    Parameters
    ----------
    r : array_like of shape (n,), optional
        Ascending and positive. Default: 2,000 values from 1 to 50.
    seed : int
        Of the starts, uniform in (0, 1), and of the perturbations.
    progress : callable, optional
        Called with the number of values that are done, and of all.

    Returns
    -------
    Analogy

    Raises
    ------
    UsageError
        Values of r that are not positive, finite and ascending.

    References
    ----------
    .. [1] W. Wei, N. J. L. Chong, C. H. Lai, L. Feng, arXiv 2505.20030 (2025).

    Examples
    --------
    >>> import lstm_edge
    >>> found = lstm_edge.analogy([2.0, 4.0])
    >>> found.phase
    ['order', 'order']
    """
    given = np.linspace(*RANGE, VALUES) if r is None else r
    values = cast("r", given, np.dtype(float))
    if np.ndim(given) != 1 or not len(values) or not 0 < values[0] < np.inf:
        raise UsageError(f"r: expected positive numbers, found {values}")
    if not (np.diff(values) > 0).all() or not np.isfinite(values).all():
        raise UsageError("r: expected finite, ascending numbers; sort them")
    executor, points = ThreadPoolExecutor(available_cores()), []
    try:
        for point in executor.map(lambda one: _measure(float(one), seed), values):
            points.append(point)
            if progress is not None:
                progress(len(points), len(values))
    finally:
        executor.shutdown(cancel_futures=True)  # Ctrl-C waits for none that queue
    phase = [point.phase for point in points]
    lambda_max = np.array([point.lambda_max for point in points])
    return Analogy(
        r=values,
        phase=phase,
        lambda_max=lambda_max,
        lambda_max_stderr=np.array([point.lambda_max_stderr for point in points]),
        distance=np.array([point.distance for point in points]),
        orbit=np.array([point.orbit for point in points]),
        transitions=find_transitions(values, phase, lambda_max),
    )


@dataclass(frozen=True)
class _Point:
    phase: str
    lambda_max: float
    lambda_max_stderr: float
    distance: float
    orbit: Floats


def _measure(r: float, seed: int) -> _Point:
    """Measure the map for one r."""
    tanh = _core.StateMap.tanh(r)
    starts: dict[str, Any] = {
        "transient": _TRANSIENT,
        "starts": _STARTS,
        "initial_state": None,
        "at_rest": False,
        "seed": seed,
        "threads": 1,
    }
    kinds, _, numbers, *_ = _core.attractors(
        tanh, None, steps=2000, limit=16_000, tolerance=1e-6, **starts
    )
    exponent, stderr = numbers[:, 0], numbers[:, 1]
    worst = int(np.argmax(exponent))
    distance, _ = _core.asymptotic_distance(
        tanh,
        None,
        steps=1599,
        noise=1e-3,
        samples=32,
        floor=math.exp(-15),
        seed=seed,
        threads=1,
    )
    orbit = _core.orbit(tanh, None, steps=_DOTS // _STARTS, **starts)
    return _Point(
        phase=phase_of_attractors(kinds, exponent),
        lambda_max=float(exponent[worst]),
        lambda_max_stderr=float(stderr[worst]),
        distance=float(distance.mean()),
        orbit=orbit.ravel(),
    )
