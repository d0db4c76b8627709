"""The Lightning callback, under both names that the library has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lstm_edge
from lstm_edge import EdgeMonitor, EdgeStopping, UsageError

pytestmark = [
    pytest.mark.integration,
    # of the library, on small machines and small sets
    pytest.mark.filterwarnings("ignore::Warning:lightning"),
    pytest.mark.filterwarnings("ignore::Warning:pytorch_lightning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
]
edge: Any = pytest.importorskip(
    "lstm_edge.integrations.lightning", exc_type=ImportError
)

FEW: dict[str, Any] = {"steps": 60, "transient": 40, "starts": 3, "waiting": None}


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def library(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param)


def make_module(library: Any) -> Any:
    class Module(library.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 4, batch_first=True)
            self.readout = nn.Linear(4, 1)

        def loss(self, batch: list[Tensor]) -> Tensor:
            hidden, _ = self.lstm(batch[0])
            error: Tensor = self.readout(hidden[:, -1]) - batch[1]
            return error.square().mean()

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            loss = self.loss(batch)
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: list[Tensor], index: int) -> None:
            self.log("val_loss", self.loss(batch))

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), 1e-2)

    torch.manual_seed(0)
    return Module()


def loader() -> Any:
    inputs = torch.randn(12, 6, 3, generator=torch.Generator().manual_seed(1))
    return DataLoader(TensorDataset(inputs, inputs.mean((1, 2))[:, None]), 4)


def fit(library: Any, module: Any, callback: Any, **options: Any) -> Any:
    resume = options.pop("ckpt_path", None)
    settings = {"max_epochs": 3, "accelerator": "cpu", "logger": False}
    settings |= {"enable_checkpointing": False, "enable_progress_bar": False}
    settings |= {"enable_model_summary": False, "callbacks": [callback]}
    trainer = library.Trainer(**{**settings, **options})
    trainer.fit(module, loader(), loader(), ckpt_path=resume)
    return trainer


def test_every_epoch_is_measured_and_the_untrained_net(library: Any) -> None:
    module = make_module(library)
    run: dict[str, Any] = {"steps": 60, "transient": 40, "starts": 3, "k": 2}
    untrained = lstm_edge.lyapunov(module, **run)
    with EdgeMonitor(**FEW) as monitor:
        fit(library, module, edge.EdgeCallback(monitor))
    assert [result.update for result in monitor.history] == [0, 3, 6, 9]
    first, *rest = monitor.history
    assert first.exponent == untrained.per_start[:, 0].max()
    assert rest[-1].exponent == lstm_edge.lyapunov(module, **run).per_start[:, 0].max()
    for epoch, result in enumerate(rest):
        assert result.metrics["epoch"] == epoch + 1
        assert result.metrics["test_loss"] == result.metrics["val_loss"]
        assert result.metrics["train_loss"] > 0


def test_batches_are_measured_on_demand(library: Any) -> None:
    with EdgeMonitor(every=2, **FEW) as monitor:
        callback = edge.EdgeCallback(monitor, on="batch", test_loss="train_loss")
        fit(library, make_module(library), callback)
    assert [result.update for result in monitor.history] == [0, 2, 4, 6, 8]
    epochs = [result.metrics["epoch"] for result in monitor.history]
    assert epochs == pytest.approx([0, 2 / 3, 4 / 3, 2, 8 / 3])
    assert "test_loss" in monitor.history[-1].metrics


def test_training_stops_when_the_rule_says_so(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EdgeMonitor(**FEW) as monitor:
        stopping = EdgeStopping(monitor)
        monkeypatch.setattr(EdgeStopping, "should_stop", property(lambda _: True))
        callback = edge.EdgeCallback(monitor, stopping=stopping)
        trainer = fit(library, make_module(library), callback, min_epochs=1)
    assert trainer.current_epoch == 1


def test_the_state_goes_with_the_trainers_checkpoint(
    library: Any, tmp_path: Path
) -> None:
    whole, first, again = (EdgeMonitor(**FEW) for _ in range(3))
    with whole, first, again:
        fit(library, make_module(library), edge.EdgeCallback(whole), max_epochs=4)
        callback = edge.EdgeCallback(first)
        trainer = fit(library, make_module(library), callback, max_epochs=2)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        fit(
            library,
            make_module(library),
            edge.EdgeCallback(again),
            max_epochs=4,
            ckpt_path=tmp_path / "last.ckpt",
        )
    assert [result.update for result in whole.history] == [0, 3, 6, 9, 12]
    assert again.history[:3] == first.history == whole.history[:3]
    assert [result.update for result in again.history] == [0, 3, 6, 9, 12]


def test_another_moment_is_refused() -> None:
    with pytest.raises(UsageError, match="on: expected one of epoch, batch"):
        edge.EdgeCallback(EdgeMonitor(), on="step")


def test_a_second_trainer_counts_on(library: Any) -> None:
    module = make_module(library)
    with EdgeMonitor(**FEW) as monitor:
        callback = edge.EdgeCallback(monitor)
        fit(library, module, callback, max_epochs=2)
        with pytest.warns(RuntimeWarning, match="counts from 0 again after update 6"):
            fit(library, module, callback, max_epochs=2)
    assert [result.update for result in monitor.history] == [0, 3, 6, 9, 12]
    assert [result.metrics["epoch"] for result in monitor.history] == [0, 1, 2, 3, 4]


def test_two_callbacks_of_one_trainer(library: Any, tmp_path: Path) -> None:
    monitors = [EdgeMonitor(**FEW), EdgeMonitor(None, **{**FEW, "steps": 80})]
    first = edge.EdgeCallback(monitors[0])
    second = edge.EdgeCallback(monitors[1], name="longer")
    options: dict[str, Any] = {"callbacks": [first, second], "max_epochs": 1}
    trainer = fit(library, make_module(library), None, **options)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    states = torch.load(tmp_path / "a.ckpt", weights_only=False)["callbacks"]
    assert {"EdgeCallback", "EdgeCallback[longer]"} <= states.keys()
    assert [len(monitor.history) for monitor in monitors] == [2, 2]


def test_batches_keep_the_losses_of_their_epoch(library: Any) -> None:
    with EdgeMonitor(**FEW) as monitor:
        fit(library, make_module(library), edge.EdgeCallback(monitor, on="batch"))
    losses = {r.update: r.metrics.get("test_loss") for r in monitor.history}
    assert {3, 6, 9} <= {update for update, loss in losses.items() if loss is not None}


def test_metrics_that_are_no_numbers_are_passed_over(library: Any) -> None:
    module = make_module(library)
    with EdgeMonitor(**FEW) as monitor:
        callback = edge.EdgeCallback(monitor)
        callback.offer(module, 1, 0.5, {"val_loss": 0.5, "confusion": torch.eye(2)})
        monitor.flush()
    (result,) = monitor.history
    assert result.metrics == {"val_loss": 0.5, "test_loss": 0.5, "epoch": 0.5}


def test_averaged_weights_are_told(library: Any) -> None:
    module = make_module(library)
    average = library.callbacks.StochasticWeightAveraging(1e-2)
    with EdgeMonitor(**FEW) as monitor:
        callbacks = [edge.EdgeCallback(monitor), average]
        with pytest.warns(RuntimeWarning, match="evaluates averages of the weights"):
            fit(library, module, None, callbacks=callbacks)
