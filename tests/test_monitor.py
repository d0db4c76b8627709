"""The monitor: its numbers, its thread, what it does when something fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lstm_edge
from conftest import Arrays, make_arrays
from lstm_edge import EdgeMonitor, MonitorResult, UsageError
from lstm_edge.errors import LstmEdgeError
from lstm_edge.monitor import background, monitor
from lstm_edge.monitor.background import Background
from nets import chaotic, cycle, torus

FEW: dict[str, Any] = {"steps": 60, "transient": 40, "starts": 3}
ENDLESS: dict[str, Any] = {"steps": 10**9, "starts": 1, "k": 1}


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Measurements that wait for the event, which says that the first has begun."""
    begun, release, measure = threading.Event(), threading.Event(), lstm_edge.lyapunov

    def wait(*args: Any, **kwargs: Any) -> Any:
        begun.set()
        release.wait()
        return measure(*args, **kwargs)

    monkeypatch.setattr(monitor, "lyapunov", wait)
    try:
        yield begun
    finally:
        release.set()


@pytest.mark.parametrize("net", [cycle, torus, chaotic])
@pytest.mark.parametrize("regime", ["zero", "constant", "driven"])
def test_a_result_is_that_of_lyapunov_bit_for_bit(
    net: Callable[[], Arrays], regime: str
) -> None:
    shape = {"zero": None, "constant": (1,), "driven": (3, 8, 1)}[regime]
    inputs = None if shape is None else np.random.default_rng(0).normal(size=shape)
    with EdgeMonitor(inputs, seed=3, **FEW) as found:
        found.update(net(), test_loss=0.5)
    spectrum = lstm_edge.lyapunov(net(), inputs, k=2, seed=3, **FEW)
    worst = spectrum.per_start[:, 0].argmax()
    assert found.result == MonitorResult(
        update=1,
        exponent=spectrum.per_start[worst, 0],
        stderr=spectrum.per_start_stderr[worst, 0],
        zero_margin=spectrum.zero_margin[worst],
        phase=spectrum.phase,
        metrics={"test_loss": 0.5},
    )
    assert found.result.seconds > 0


def test_training_may_go_on_with_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.LSTM(2, 5).double()
    expected = lstm_edge.lyapunov(model, k=2, **FEW).per_start[:, 0].max()
    with EdgeMonitor(**FEW) as found, held(monkeypatch) as begun:
        found.update(model)
        begun.wait()
        with torch.no_grad():
            for weight in model.parameters():
                weight.zero_()
    assert found.history[0].exponent == expected


def test_the_newest_weights_replace_those_that_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with EdgeMonitor(**FEW) as found, held(monkeypatch) as begun:
        found.update(cycle())
        begun.wait()
        for _ in range(4):  # none of these calls waits for the first measurement
            assert found.update(cycle())
        assert found.history == []
        assert not found.flush(timeout=0)
    assert [result.update for result in found.history] == [1, 5]
    assert found.skipped == 3


def test_work_rests_as_long_as_it_took_unless_somebody_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[int] = []
    first = threading.Event()

    def work(job: int) -> None:
        done.append(job)
        first.set()

    clock = SimpleNamespace(monotonic=lambda: 1e6 * len(done))  # a job takes 1e6 s
    monkeypatch.setattr(background, "time", clock)
    resting = Background(work, lambda: None, 1)
    assert not resting.submit(1)
    first.wait()
    assert not resting.submit(2)
    assert resting.submit(3)  # in the place of 2, which was not begun
    assert resting.wait()
    assert done == [1, 3]


def test_all_weights_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with EdgeMonitor(waiting=None, **FEW) as found, held(monkeypatch):
        for _ in range(5):
            found.update(cycle())
    assert [result.update for result in found.history] == [1, 2, 3, 4, 5]
    assert found.skipped == 0


@pytest.mark.parametrize(
    ("every", "given", "expected"),
    [
        (3, [None] * 9, [1, 3, 6, 9]),
        (10, [0, 4, 8, 12, 16, 20], [0, 12, 20]),  # where a multiple is passed
        (1, [5, 5, 6], [5, 6]),  # never twice at one update
    ],
)
def test_weights_are_taken_at_multiples_of_every(
    every: int, given: list[int | None], expected: list[int]
) -> None:
    with EdgeMonitor(every=every, waiting=None, **FEW) as found:
        taken = [found.update(cycle(), update) for update in given]
    assert [result.update for result in found.history] == expected
    assert sum(taken) == len(expected)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness on Linux")
def test_only_the_analysing_thread_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int | None]] = []
    measure = lstm_edge.lyapunov

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def note(*args: Any, **kwargs: Any) -> Any:
        seen.append((niceness(), kwargs["threads"]))
        return measure(*args, **kwargs)

    before = niceness()
    with EdgeMonitor(**FEW) as found:
        monkeypatch.setattr(monitor, "lyapunov", note)
        found.update(cycle())
    assert seen == [(19, 1)]
    assert niceness() == before


def broken() -> Arrays:
    return {name: np.full_like(array, np.nan) for name, array in cycle().items()}


def measure_all(found: EdgeMonitor, *updates: tuple[Any, dict[str, Any]]) -> None:
    """Update, which warns of what has ended by then, and wait for the rest."""
    for model, metrics in updates:
        found.update(model, **metrics)
    found.flush()


@pytest.mark.parametrize(
    ("model", "settings", "why"),
    [
        (broken(), {}, "NaN or infinite values"),
        (nn.Linear(2, 2), {}, "weight_hh_l0"),
        (cycle(), {"interval": -1}, "interval: expected an integer from 1"),
        (cycle(), {"inputs": np.zeros((1, 50, 1))}, "end"),
    ],
)
def test_what_fails_is_recorded_and_shown_once(
    model: Any, settings: dict[str, Any], why: str
) -> None:
    found = EdgeMonitor(waiting=None, **{**FEW, **settings})
    with pytest.warns(RuntimeWarning, match="training goes on") as caught:
        measure_all(found, (model, {"test_loss": 3.0}), (model, {}))
    found.close()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert [result.update for result in found.history] == [1, 2]
    for result in found.history:
        assert why in result.error
        assert result.phase == "unknown"
        assert np.isnan(result.exponent)
    assert found.history[0].metrics == {"test_loss": 3.0}


def test_measurements_go_on_after_one_that_failed() -> None:
    found = EdgeMonitor(waiting=None, **FEW)
    models = (cycle(), broken(), cycle())
    with pytest.warns(RuntimeWarning, match="update 2"):
        measure_all(found, *[(model, {}) for model in models])
    found.close()
    assert [result.phase for result in found.history] == ["order", "unknown", "order"]
    assert found.advice.update is None


def test_results_are_handed_over_in_order_on_the_thread_that_asks() -> None:
    told: list[tuple[int, int]] = []

    def note(result: MonitorResult) -> None:
        told.append((result.update, threading.get_ident()))

    with EdgeMonitor(waiting=None, on_result=note, **FEW) as found:
        for _ in range(4):
            found.update(cycle())
    assert told == [(update, threading.get_ident()) for update in (1, 2, 3, 4)]


def test_a_logger_that_fails_is_shown_once() -> None:
    def fail(result: MonitorResult) -> None:
        raise ConnectionError("no network")

    found = EdgeMonitor(waiting=None, on_result=fail, **FEW)
    with pytest.warns(RuntimeWarning, match="ConnectionError: no network") as caught:
        measure_all(found, *[(cycle(), {})] * 3)
    found.close()
    assert len(caught) == 1
    assert len(found.history) == 3


class Writer:
    """What a SummaryWriter is to the monitor."""

    def __init__(self) -> None:
        self.scalars: list[tuple[str, float, int]] = []

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.scalars.append((tag, value, step))


def test_a_writer_gets_the_exponent_with_its_errors() -> None:
    writer = Writer()
    with EdgeMonitor(writer=writer, **FEW) as found:
        found.update(torus(), 70)
    result = found.history[0]
    assert writer.scalars == [
        ("edge/exponent", result.exponent, 70),
        ("edge/stderr", result.stderr, 70),
        ("edge/zero_margin", result.zero_margin, 70),
    ]


@pytest.mark.integration
def test_scalars_reach_tensorboard(tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with (
        tensorboard.SummaryWriter(str(tmp_path)) as writer,
        EdgeMonitor(writer=writer, **FEW) as found,
    ):
        found.update(cycle(), 30)
    events = reader.EventAccumulator(str(tmp_path)).Reload()
    (scalar,) = events.Scalars("edge/exponent")
    assert scalar.step == 30
    assert scalar.value == np.float32(found.history[0].exponent)  # as it stores them


def follow(letters: str, **options: Any) -> EdgeMonitor:
    """Measure an ordered net for o, a quasi-periodic one for e, a chaotic one for C."""
    nets = {"o": cycle(), "e": torus(), "C": chaotic()}
    with EdgeMonitor(waiting=None, starts=2, **options) as found:
        for i, letter in enumerate(letters):
            found.update(nets[letter], 10 * i, epoch=i, test_loss=abs(i - 7))
    return found


def test_transitions_and_advice_follow_from_the_history() -> None:
    found = follow("oooooeCCCCCC")
    phases = [result.phase for result in found.history]
    assert phases == ["order"] * 5 + ["edge"] + ["chaos"] * 6
    (first,) = [t for t in found.transitions if t.sustained]
    assert first.direction == "to_chaos"
    assert first.span == (40, 60)
    assert first.width_epochs == 2
    advice = found.advice
    assert advice.update in first.bracket
    assert (advice.best_update, advice.best_test_loss) == (70, 0)
    assert advice.regret == abs(advice.epoch - 7)


def test_the_history_is_a_table() -> None:
    found = follow("oC")
    frame = found.to_pandas()
    assert frame["update"].tolist() == [0, 10]
    assert frame["phase"].tolist() == ["order", "chaos"]
    assert frame["test_loss"].tolist() == [7, 6]
    assert frame["exponent"].tolist() == [r.exponent for r in found.history]
    assert "2 measured" in repr(found)
    assert "chaos" in found._repr_html_()


def test_an_empty_history_is_one_too() -> None:
    found = EdgeMonitor()
    assert found.result is None
    assert found.to_pandas().empty
    assert found.transitions == []
    assert found.advice.update is None
    assert "0 measured" in found._repr_html_()


def through_json(state: dict[str, Any], folder: Path) -> Any:
    return json.loads(json.dumps(state))


def through_torch(state: dict[str, Any], folder: Path) -> Any:
    torch.save(state, folder / "trainer.pt")
    return torch.load(folder / "trainer.pt", weights_only=True)


@pytest.mark.parametrize("through", [through_json, through_torch])
def test_a_state_goes_with_the_trainers_checkpoint(
    through: Callable[..., Any], tmp_path: Path
) -> None:
    whole = follow("oooCC")
    told: list[int] = []
    again = EdgeMonitor(
        waiting=None, starts=2, on_result=lambda result: told.append(result.update)
    )
    again.load_state_dict(through(follow("ooo").state_dict(), tmp_path))
    with again:
        assert not again.update(cycle(), 20), "that update is measured already"
        again.update(chaotic(), 30, epoch=3, test_loss=4)
        again.update(chaotic(), 40, epoch=4, test_loss=3)
    assert again.history == whole.history
    assert again.state_dict()["update"] == 40
    assert told == [30, 40], "those of the state were told before"


def test_a_measurement_under_way_is_made_again_by_training_that_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with EdgeMonitor(**FEW) as found:
        found.update(cycle(), 10)
        found.flush()
        with held(monkeypatch):
            found.update(chaotic(), 20)
            state = found.state_dict()  # of the checkpoint that holds these weights
    with EdgeMonitor(**FEW) as again:
        again.load_state_dict(state)
        assert again.update(chaotic(), 20)
    assert again.history == found.history


def test_where_all_weights_wait_a_state_has_them_all() -> None:
    with EdgeMonitor(waiting=None, **FEW) as found:
        for _ in range(5):
            found.update(chaotic())
        assert len(found.state_dict()["history"]) == 5


def test_loading_a_state_drops_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    state = follow("oo").state_dict()
    found = EdgeMonitor(**FEW)
    with held(monkeypatch) as begun:
        found.update(chaotic(), 500)
        begun.wait()
        found.update(chaotic(), 600)
    found.load_state_dict(state)
    assert [result.update for result in found.history] == [0, 10]
    assert found.update(cycle(), 11)
    found.close()


@pytest.mark.parametrize(
    "state", [{}, {"update": 1, "taken": 1, "skipped": 0, "history": [{"loss": 1}]}, []]
)
def test_another_state_is_refused(state: Any) -> None:
    with pytest.raises(
        UsageError, match=r"state: expected what EdgeMonitor.state_dict"
    ):
        EdgeMonitor().load_state_dict(state)


def test_closing_gives_up_what_is_not_measured() -> None:
    found = EdgeMonitor(**ENDLESS)
    found.update(cycle())
    found.update(cycle())
    found.close()
    found.close()  # no harm
    assert found.history == []
    with pytest.raises(UsageError, match="update: expected an open monitor"):
        found.update(cycle())


def test_an_error_in_training_does_not_wait_for_the_analysis() -> None:
    def train(found: EdgeMonitor) -> None:
        with found:
            found.update(cycle())
            raise ZeroDivisionError

    found = EdgeMonitor(**ENDLESS)
    with pytest.raises(ZeroDivisionError):
        train(found)
    assert found.flush()
    assert found.history == []


def test_the_interpreter_ends_while_a_measurement_runs() -> None:
    lines = [
        "import numpy as np, lstm_edge",
        f"monitor = lstm_edge.EdgeMonitor(**{ENDLESS})",
        "zero = np.zeros((4, 1))",
        "monitor.update({'weight_ih_l0': zero, 'weight_hh_l0': zero})",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_orbit_that_leaves_the_finite_numbers_has_no_phase() -> None:
    arrays = make_arrays((3,), 4) | {"readout_weight": np.full((4, 3), 1e300)}
    with EdgeMonitor(closed_loop=True, **FEW) as found:
        found.update(arrays)
    (result,) = found.history
    assert result.phase == lstm_edge.lyapunov(arrays, closed_loop=True, **FEW).phase


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": 0}, "every: expected an integer from 1"),
        ({"waiting": 0}, "waiting: expected an integer from 1"),
        ({"step": 5}, "settings: expected some of .*, found step"),
        ({"threads": 2}, "settings: expected some of .*, found threads"),
    ],
)
def test_wrong_arguments_are_refused_at_once(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        EdgeMonitor(**arguments)


def test_updates_ascend_and_metrics_are_numbers() -> None:
    with EdgeMonitor(**FEW) as found:
        found.update(cycle(), 10)
        with pytest.raises(UsageError, match="update: expected at least 10"):
            found.update(cycle(), 9)
        with pytest.raises(UsageError, match="update: expected an integer"):
            found.update(cycle(), 1.5)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="test_loss: expected a number"):
            found.update(cycle(), test_loss="low")  # type: ignore[arg-type]
        assert found.update(cycle(), 12, test_loss=torch.tensor(0.5))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["k", "steps", "transient", "starts", "seed"])
def test_a_setting_that_cannot_be_is_refused_at_once(name: str) -> None:
    settings: Any = {name: -5}
    with pytest.raises(lstm_edge.UsageError, match=f"{name}: expected an integer"):
        lstm_edge.EdgeMonitor(None, **settings)


def test_a_thread_that_cannot_start_is_an_error_and_nothing_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: Any) -> None:
        raise RuntimeError("can't start new thread")

    monitor = EdgeMonitor(**FEW)
    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", refuse)
        with pytest.raises(LstmEdgeError, match="the system allows this process no"):
            monitor.update(nn.LSTM(2, 3))
    monitor.update(nn.LSTM(2, 3))
    assert monitor.flush(60)
    assert monitor.result is not None
    monitor.close()
