"""`EdgeMonitor` as a callback of training frameworks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstm_edge.errors import UsageError
from lstm_edge.monitor.monitor import EdgeMonitor
from lstm_edge.monitor.stopping import EdgeStopping

MOMENTS = ("epoch", "batch")
"""When a callback offers the weights to its monitor: at the end of each."""


class MonitorCallback:
    """What the callbacks share: a monitor, perhaps a rule, and when to look.

    Parameters
    ----------
    monitor : EdgeMonitor
        Its `every` counts optimiser updates.
    stopping : EdgeStopping, optional
        Ends training when it says so.
    on : {"epoch", "batch"}
        Offer the weights to the monitor at the end of every epoch or every batch;
        and always before the first one.
    test_loss : str
        The metric of the framework that is the test loss.
    """

    def __init__(
        self,
        monitor: EdgeMonitor,
        *,
        stopping: EdgeStopping | None = None,
        on: str = "epoch",
        test_loss: str = "val_loss",
    ) -> None:
        if on not in MOMENTS:
            raise UsageError(f"on: expected one of {', '.join(MOMENTS)}, found {on!r}")
        super().__init__()
        self.monitor = monitor
        self.stopping = stopping
        self.on = on
        self.test_loss = test_loss

    def offer(
        self, model: Any, update: int, epoch: float, metrics: Mapping[str, Any]
    ) -> None:
        """Give the monitor the weights, with what is known at this moment."""
        known = {name: value for name, value in metrics.items() if name != "model"}
        if self.test_loss in known:
            known["test_loss"] = known[self.test_loss]
        self.monitor.update(model, **{**known, "update": update, "epoch": epoch})

    @property
    def stops(self) -> bool:
        """Whether training is to stop."""
        return self.stopping is not None and self.stopping.should_stop
