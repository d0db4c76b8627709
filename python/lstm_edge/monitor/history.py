"""Measurements of a net in training, in the order of its updates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.track.track import Track

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

    Examples
    --------
    >>> import torch
    >>> import lstm_edge
    >>> with lstm_edge.EdgeMonitor(steps=200, transient=100) as monitor:
    ...     measured = monitor.update(torch.nn.LSTM(3, 5), 0)
    >>> monitor.result.update, monitor.result.phase
    (0, 'order')
    """

    update: int
    exponent: float = NAN
    stderr: float = NAN
    zero_margin: float = NAN
    phase: str = "unknown"
    seconds: float = field(default=0.0, compare=False)
    metrics: dict[str, float] = field(default_factory=dict)
    error: str = ""


def track_of(history: Sequence[MonitorResult], **rule: Any) -> Track:
    """Give measurements as series along training; `rule` as `Track` takes it."""

    def column(name: str) -> NDArray[np.float64]:
        return np.array([r.metrics.get(name, NAN) for r in history], float)

    return Track(
        update=np.array([result.update for result in history], np.int64),
        phase=[result.phase for result in history],
        exponent=np.array([result.exponent for result in history], float),
        stderr=np.array([result.stderr for result in history], float),
        epoch=column("epoch"),
        test_loss=column("test_loss"),
        train_loss=column("train_loss"),
        **rule,
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
