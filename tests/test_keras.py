"""The Keras callback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_edge
from lstm_edge import EdgeMonitor, EdgeStopping, UsageError

pytestmark = [
    pytest.mark.integration,
    # of Keras' own conversion of its variables
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")
layers = keras.layers
edge: Any = pytest.importorskip("lstm_edge.integrations.keras", exc_type=ImportError)

FEW: dict[str, Any] = {"steps": 60, "transient": 40, "starts": 3, "waiting": None}


def net(*middle: Any, inputs: Any = (None, 3), dense: Any = None) -> Any:
    keras.utils.set_random_seed(0)
    last = layers.Dense(2) if dense is None else dense
    return keras.Sequential([layers.Input(inputs), *middle, last])


def data(size: int = 12) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(size, 6, 3)).astype(np.float32)
    return inputs, inputs.mean(axis=1)[:, :2]


def fit(model: Any, callback: Any, **options: Any) -> None:
    model.compile("adam", "mse")
    settings = {"epochs": 3, "batch_size": 4, "verbose": 0, "validation_split": 1 / 3}
    model.fit(*data(), callbacks=[callback], **{**settings, **options})


def test_every_epoch_is_measured_and_the_untrained_net() -> None:
    model = net(layers.LSTM(4))
    untrained = lstm_edge.lyapunov(model, k=2, steps=60, transient=40)
    with EdgeMonitor(**{**FEW, "starts": 8}) as monitor:
        fit(model, edge.EdgeCallback(monitor))
    assert [result.update for result in monitor.history] == [0, 2, 4, 6]
    assert [result.metrics["epoch"] for result in monitor.history] == [0, 1, 2, 3]
    first, *rest = monitor.history
    assert first.exponent == untrained.per_start[:, 0].max()
    for result in rest:
        assert result.metrics["test_loss"] == result.metrics["val_loss"]
        assert result.metrics["loss"] > 0
    trained = lstm_edge.lyapunov(model, k=2, steps=60, transient=40)
    assert rest[-1].exponent == trained.per_start[:, 0].max()


def test_batches_are_measured_on_demand() -> None:
    with EdgeMonitor(every=2, **FEW) as monitor:
        fit(net(layers.LSTM(4)), edge.EdgeCallback(monitor, on="batch"), batch_size=2)
    assert [result.update for result in monitor.history] == [0, 2, 4, 6, 8, 10, 12]
    epochs = [result.metrics["epoch"] for result in monitor.history]
    assert epochs == [0, 0.5, 1, 1.5, 2, 2.5, 3]


def test_training_stops_when_the_rule_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with EdgeMonitor(**FEW) as monitor:
        stopping = EdgeStopping(monitor)
        monkeypatch.setattr(EdgeStopping, "should_stop", property(lambda _: True))
        fit(net(layers.LSTM(4)), edge.EdgeCallback(monitor, stopping=stopping))
    assert monitor.history[-1].update == 1, "after the first batch"


class Killed(Exception):
    pass


class KillAfter(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            raise Killed


def test_a_call_that_goes_on_takes_the_state_back(tmp_path: Path) -> None:
    def callbacks(monitor: EdgeMonitor) -> list[Any]:
        return [
            edge.EdgeCallback(monitor, backup=tmp_path / "edge.json"),
            keras.callbacks.BackupAndRestore(tmp_path / "model"),
        ]

    def train(monitor: EdgeMonitor, *more: Any) -> None:
        model = net(layers.LSTM(4))
        model.compile("adam", "mse")
        both = [*callbacks(monitor), *more]
        model.fit(*data(), epochs=4, batch_size=4, verbose=0, callbacks=both)

    first, again = EdgeMonitor(**FEW), EdgeMonitor(**FEW)
    with pytest.raises(Killed):
        train(first, KillAfter(2))
    first.close()
    assert (tmp_path / "edge.json").exists()
    with again:
        train(again)
    assert [result.update for result in again.history] == [0, 3, 6, 9, 12]
    assert again.history[0] == first.history[0]
    assert not (tmp_path / "edge.json").exists(), "training has ended"


def test_a_backup_that_is_none_is_refused(tmp_path: Path) -> None:
    backup = tmp_path / "edge.json"
    backup.write_text("[]")
    model = net(layers.LSTM(4))
    fit(model, keras.callbacks.Callback())
    with EdgeMonitor(**FEW) as monitor:
        callback = edge.EdgeCallback(monitor, backup=backup)
        with pytest.raises(UsageError, match="expected the state of a monitor"):
            model.fit(*data(), callbacks=[callback], verbose=0)


def test_a_layer_is_chosen_by_the_monitor() -> None:
    inputs = layers.Input((None, 3))
    pair = [layers.GRU(4, name=name)(inputs) for name in ("left", "right")]
    model = keras.Model(inputs, layers.Dense(2)(layers.Concatenate()(pair)))
    with EdgeMonitor(module="right", **FEW) as monitor:
        fit(model, edge.EdgeCallback(monitor), epochs=1)
    assert np.isfinite([result.exponent for result in monitor.history]).all()


def test_another_moment_is_refused() -> None:
    with pytest.raises(UsageError, match="on: expected one of epoch, batch"):
        edge.EdgeCallback(EdgeMonitor(), on="step")


def test_averaged_weights_are_told() -> None:
    model = net(layers.LSTM(4))
    with EdgeMonitor(**FEW) as monitor:
        callback = edge.EdgeCallback(monitor)
        model.compile(keras.optimizers.Adam(use_ema=True), "mse")
        with pytest.warns(RuntimeWarning, match="evaluates averages of the weights"):
            model.fit(*data(), callbacks=[callback], epochs=1, verbose=0)
