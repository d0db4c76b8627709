"""`EdgeMonitor` as a Lightning callback: the extra ``lightning``."""

from __future__ import annotations

from typing import Any

from lstm_edge.extras import load
from lstm_edge.integrations.callback import MonitorCallback
from lstm_edge.monitor.monitor import EdgeMonitor

_Callback: Any = load(
    "lightning", "lightning.pytorch.callbacks", "pytorch_lightning.callbacks"
).Callback


class EdgeCallback(MonitorCallback, _Callback):  # type: ignore[misc]
    """Measures the module while a Lightning ``Trainer`` trains it.

    For ``lightning`` and ``pytorch_lightning``. The untrained net is measured first.
    What is measured goes into the trainer's checkpoints and comes back with them.
    Training on several devices is watched on the first; all of them stop together.

    Parameters
    ----------
    monitor, stopping, on, test_loss
        As in `MonitorCallback`; the names of metrics are those of
        ``trainer.callback_metrics``.
    name : str
        Of several callbacks of one trainer whose monitors watch the same module: what
        tells their states in the checkpoint apart.

    Raises
    ------
    MissingExtra
        When this module is imported without Lightning.
    UsageError
        An argument out of range.
    """

    def __init__(self, monitor: EdgeMonitor, *, name: str = "", **options: Any) -> None:
        super().__init__(monitor, **options)
        self.name = name

    @property
    def state_key(self) -> str:
        """What the state is kept under: of its own for each module and name."""
        own = [text for text in (self.name, self.monitor.module) if text]
        return type(self).__qualname__ + (f"[{', '.join(own)}]" if own else "")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Offer the weights that training starts from."""
        for callback in trainer.callbacks:
            if "Averaging" in type(callback).__name__:
                self.tell_averages(type(callback).__name__)
        self._look(trainer, pl_module, trainer.current_epoch)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Offer the weights after a batch, if asked to."""
        if self.on == "batch":
            part = (batch_idx + 1) / trainer.num_training_batches
            self._look(trainer, pl_module, trainer.current_epoch + part)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Offer the weights after an epoch, when its validation is known."""
        self._look(trainer, pl_module, trainer.current_epoch + 1)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Wait for what is not measured yet."""
        self.monitor.flush()

    def state_dict(self) -> dict[str, Any]:
        """Give the monitor's state to the trainer's checkpoint."""
        return self.monitor.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the monitor's state from the trainer's checkpoint."""
        self.monitor.load_state_dict(state_dict)

    def _look(self, trainer: Any, module: Any, epoch: float) -> None:
        if trainer.is_global_zero:
            self.offer(module, trainer.global_step, epoch, trainer.callback_metrics)
        if self.stopping is not None:
            stop = trainer.strategy.reduce_boolean_decision(self.stops, all=False)
            trainer.should_stop = trainer.should_stop or stop
