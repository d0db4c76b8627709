"""`EdgeMonitor` as a Keras 3 callback, for any backend: the extra ``keras``."""

from __future__ import annotations

import json
import math
from os import PathLike
from pathlib import Path
from typing import Any

from lstm_edge.errors import UsageError
from lstm_edge.extras import load
from lstm_edge.files.places import replace_file
from lstm_edge.integrations.callback import MonitorCallback
from lstm_edge.monitor.monitor import EdgeMonitor

__all__ = ["EdgeCallback"]

_Callback: Any = load("keras", "keras").callbacks.Callback


class EdgeCallback(MonitorCallback, _Callback):  # type: ignore[misc]
    """Measures the model while ``model.fit`` trains it.

    The untrained net is measured first. Updates are the optimiser's ``iterations``.

    Parameters
    ----------
    monitor, stopping, on, test_loss
        As in `MonitorCallback`; the names of metrics are those of Keras'
        ``logs``.
    backup : path, optional
        File for the monitor's state, written at the end of every epoch, as
        ``keras.callbacks.BackupAndRestore`` does with the model: a call of ``fit`` that
        this one restores takes the state back, up to the update it goes on from.
        Removed when training ends.

    Raises
    ------
    MissingExtra
        When this module is imported without Keras, or without its backend.
    UsageError
        An argument out of range, or a backup that is none.
    """

    def __init__(
        self,
        monitor: EdgeMonitor,
        *,
        backup: str | PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(monitor, **options)
        self.backup = None if backup is None else Path(backup)
        self._begun = False
        self._epoch = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Get ready; other callbacks may still restore the model."""
        self._begun = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Offer the weights that training starts from."""
        if not self._begun:
            self._begun = True
            self._restore()
            if getattr(self.model.optimizer, "use_ema", False):
                self.tell_averages("the optimiser, which has use_ema=True,")
            self._look(epoch, logs)
        self._epoch = epoch

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Offer the weights after a batch, if asked to."""
        if self.on == "batch":
            part = (batch + 1) / (self.params.get("steps") or math.inf)
            self._look(self._epoch + part, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Offer the weights after an epoch, when its validation is known."""
        self._look(epoch + 1, logs)
        if self.backup is not None:
            state = json.dumps(self.monitor.state_dict())
            replace_file(self.backup, state.encode())

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Wait for what is not measured yet."""
        self.monitor.flush()
        if self.backup is not None:
            self.backup.unlink(missing_ok=True)

    @property
    def _update(self) -> int:
        return int(self.model.optimizer.iterations)

    def _look(self, epoch: float, logs: dict[str, Any] | None) -> None:
        self.offer(self.model, self._update, epoch, logs or {})
        if self.stops:
            self.model.stop_training = True

    def _restore(self) -> None:
        now = self._update
        if self.backup is None or now == 0 or not self.backup.exists():
            return
        try:
            state = json.loads(self.backup.read_text())
            past = [row for row in state["history"] if row["update"] <= now]
            newest = past[-1]["update"] if past else None
            state |= {"history": past, "update": newest, "taken": newest}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{self.backup}: expected the state of a monitor, found something else "
                f"({type(error).__name__}: {error}); remove the file to start without"
            ) from error
        self.monitor.load_state_dict(state)
