"""Measurements of a net in training, in the order of its updates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from lstm_edge.track.advice import Advice, advise
from lstm_edge.track.transitions import Transition, find_transitions

if TYPE_CHECKING:
    import pandas

NAN = float("nan")


@dataclass(frozen=True)
class MonitorResult:
    """One measurement of a net in training.

    Attributes
    ----------
    update : int
        Optimiser updates done when the weights were copied.
    exponent : float
        Largest Lyapunov exponent, nats per step, of the start where it is largest: the
        ``lambda_max`` of a sweep. NaN where the measurement failed.
    stderr : float
        Its standard error.
    zero_margin : float
        How far it must lie from 0 to have a sign.
    phase : {"order", "edge", "chaos", "unknown"}
        Of all starts together, as `lstm_edge.lyapunov` tells it.
    seconds : float
        What the measurement took; no part of a comparison.
    metrics : dict of str to float
        What training said at that moment.
    error : str
        Why the measurement failed; "" where it did not.
    """

    update: int
    exponent: float = NAN
    stderr: float = NAN
    zero_margin: float = NAN
    phase: str = "unknown"
    seconds: float = field(default=0.0, compare=False)
    metrics: dict[str, float] = field(default_factory=dict)
    error: str = ""


def transitions_of(history: Sequence[MonitorResult], **rule: Any) -> list[Transition]:
    """Transitions among measurements; `rule` as `find_transitions` takes it."""
    return find_transitions(
        [result.update for result in history],
        [result.phase for result in history],
        [result.exponent for result in history],
        epoch=[result.metrics.get("epoch", NAN) for result in history],
        **rule,
    )


def advice_of(
    history: Sequence[MonitorResult], transitions: Sequence[Transition]
) -> Advice:
    """Which measured update to take, by `advise`."""
    known = [result for result in history if result.phase != "unknown"]
    return advise(
        [result.update for result in known],
        [result.phase for result in known],
        transitions,
        epoch=[result.metrics.get("epoch", NAN) for result in known],
        test_loss=[result.metrics.get("test_loss", NAN) for result in known],
    )


def table_of(history: Sequence[MonitorResult]) -> pandas.DataFrame:
    """Return a row for each measurement, the metrics in columns of their own."""
    import pandas

    names = [f.name for f in fields(MonitorResult) if f.name != "metrics"]
    rows = [
        result.metrics | {name: getattr(result, name) for name in names}
        for result in history
    ]
    metrics = {name: None for row in rows for name in row if name not in names}
    return pandas.DataFrame(rows, columns=[*names, *metrics])
