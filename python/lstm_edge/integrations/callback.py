"""`EdgeMonitor` as a callback of training frameworks."""

from __future__ import annotations

import warnings
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
        self._begins = (0, 0.0)  # update and epoch that the trainer counts from
        self._now = (0, 0.0)

    def offer(
        self, model: Any, update: int, epoch: float, metrics: Mapping[str, Any]
    ) -> None:
        """Give the monitor the weights, with the numbers known at this moment.

        A trainer that counts from 0 again, with a monitor that is not set back, goes on
        where the one before ended.
        """
        last = self.monitor.last_update
        if last is not None and update + self._begins[0] < last:
            warnings.warn(
                f"EdgeCallback: the trainer counts from {update} again after update "
                f"{last}; what follows counts on from there",
                RuntimeWarning,
                stacklevel=3,
            )
            self._begins = (last - update, self._now[1] - epoch)
        self._now = (update + self._begins[0], epoch + self._begins[1])
        known = {name: n for name, value in metrics.items() if (n := _scalar(value))}
        known.pop("model", None)
        if self.test_loss in known:
            known["test_loss"] = known[self.test_loss]
        numbers = {name: number for name, (number,) in known.items()}
        numbers = {k: v for k, v in numbers.items() if k != "update"}
        update, numbers["epoch"] = self._now
        self.monitor.update(model, update, **numbers)

    @staticmethod
    def tell_averages(what: str) -> None:
        """Warn that losses are of other weights than those that are measured."""
        warnings.warn(
            f"EdgeCallback: {what} evaluates averages of the weights; what is measured "
            "are the weights in training, not these averages",
            RuntimeWarning,
            stacklevel=3,
        )

    @property
    def stops(self) -> bool:
        """Whether training is to stop."""
        return self.stopping is not None and self.stopping.should_stop


def _scalar(value: Any) -> tuple[float] | tuple[()]:
    """Take a metric that is one number; () of arrays and other objects."""
    try:
        return (float(value),)
    except (TypeError, ValueError, RuntimeError):
        return ()
