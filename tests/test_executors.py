"""Sweeps on other processes: the same bits, nothing lost when workers die."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import (
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from lstm_edge.cli import main
from lstm_edge.errors import LstmEdgeError
from lstm_edge.results.sweep import Sweep, open_sweep
from lstm_edge.sweep.analysis import analyze
from lstm_edge.sweep.cluster import _DaskExecutor, dask_executor
from lstm_edge.sweep.progress import Progress

distributed = pytest.importorskip("distributed")

SETTINGS: dict[str, dict[str, Any]] = {
    "lyapunov": {"steps": 60, "transient": 20, "starts": 3},
    "attractors": {"steps": 200, "transient": 20, "limit": 400, "starts": 3},
    "distance": {"steps": 60, "samples": 5},
}
OPTIONS = ["--steps", "60", "--transient", "20", "--starts", "3", "--samples", "4"]


def same_bits(a: Sweep, b: Sweep) -> None:
    assert a.rows.keys() == b.rows.keys()
    for place, row in a.rows.items():
        other = b.rows[place]
        assert repr(row.scalars) == repr(other.scalars)
        assert row.arrays.keys() == other.arrays.keys()
        for name, array in row.arrays.items():
            np.testing.assert_array_equal(array, other.arrays[name])


@pytest.fixture
def run(make_run: Callable[..., Path]) -> Path:
    return make_run(6)


@pytest.fixture
def local(run: Path, tmp_path: Path) -> Sweep:
    return analyze(run, settings=SETTINGS, out=tmp_path / "local.sqlite")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes, each restarted when it dies."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0"
    ) as made:
        yield made


def test_a_pool_of_processes_gives_the_same_bits(run: Path, local: Sweep) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        sweep = analyze(run, settings=SETTINGS, executor=executor)
        same_bits(sweep, local)
        assert executor.submit(max, 1, 2).result() == 2, "it is not shut down"


def test_dask_gives_the_same_bits(run: Path, local: Sweep, cluster: Any) -> None:
    with distributed.Client(cluster) as client:
        executor = client.get_executor(pure=False)
        same_bits(analyze(run, settings=SETTINGS, executor=executor), local)


def test_a_dask_worker_that_dies_loses_nothing(
    make_run: Callable[..., Path], tmp_path: Path, cluster: Any
) -> None:
    run = make_run(20, name="long", hidden_sizes=(20,))
    longer = SETTINGS | {"distance": {"steps": 1000, "samples": 50}}
    with distributed.Client(cluster) as client:
        pids = [*client.run(os.getpid).values()]

        def kill_one(progress: Progress) -> None:
            if progress.done == 3:
                os.kill(pids[0], signal.SIGKILL)

        sweep = analyze(
            run,
            settings=longer,
            executor=client.get_executor(pure=False),
            progress=kill_one,
        )
        alive = {*client.run(os.getpid).values()}
    assert pids[0] not in alive
    assert sweep.failed == []
    same_bits(sweep, analyze(run, settings=longer, out=tmp_path / "local.sqlite"))


class Failing(Executor):
    """Answers at once, but fails at some checkpoints when it is told to."""

    def __init__(self, victim: str) -> None:
        self.victim, self.failing = victim, Future[Any]()

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.victim in args[0].source:
            return self.failing
        future: Future[Any] = Future()
        future.set_result(function(*args, **kwargs))
        return future


def test_a_checkpoint_that_kills_its_workers_costs_its_row(
    run: Path, local: Sweep
) -> None:
    """What Dask gives up after some dead workers comes back as an exception."""
    worker = SimpleNamespace(address="tcp://worker")
    executor = Failing("00000030")

    def give_up(progress: Progress) -> None:
        if progress.done == 5:  # the executor is sound
            error = distributed.scheduler.KilledWorker("task", worker, 3)
            executor.failing.set_exception(error)

    sweep = analyze(run, settings=SETTINGS, executor=executor, progress=give_up)
    ((name, message),) = sweep.failed
    assert name == "update-00000030.safetensors"
    assert "the executor failed (KilledWorker" in message
    assert len(sweep.names) == 5
    same_bits(analyze(run, settings=SETTINGS), local)


def test_an_executor_that_never_answers_ends_the_sweep(run: Path) -> None:
    executor = Failing("update")
    executor.failing.set_exception(ImportError("no lstm_edge"))
    with pytest.raises(LstmEdgeError, match=r"executor failed \(ImportError: no lstm"):
        analyze(run, settings=SETTINGS, executor=executor)
    assert open_sweep(run).rows == {}


def test_a_broken_pool_ends_the_sweep_and_the_next_goes_on(
    run: Path, local: Sweep
) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        pid = executor.submit(os.getpid).result()

        def kill(progress: Progress) -> None:
            if progress.done == 2:
                os.kill(pid, signal.SIGKILL)

        with pytest.raises(LstmEdgeError, match="BrokenProcessPool"):
            analyze(run, settings=SETTINGS, executor=executor, workers=1, progress=kill)
    assert len(open_sweep(run).names) >= 2
    same_bits(analyze(run, settings=SETTINGS), local)


def test_the_command_line_takes_the_address_of_a_scheduler(
    run: Path, cluster: Any
) -> None:
    arguments = ["analyze", str(run), "--dask", cluster.scheduler_address, *OPTIONS]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "6 checkpoints" in result.output


def test_a_scheduler_that_dies_ends_the_sweep(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost:
        """A client whose scheduler dies after some answers: futures never end."""

        status = "running"

        def get_executor(self, pure: bool) -> Executor:
            return Mute(self)

    class Mute(Executor):
        def __init__(self, client: Lost) -> None:
            self.client, self.calls = client, 0

        def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            self.calls += 1
            if self.calls < 3:
                future.set_result(function(*args, **kwargs))
            else:
                self.client.status = "closed"
            return future

    with pytest.raises(LstmEdgeError, match="the Dask scheduler is gone"):
        analyze(run, settings=SETTINGS, executor=_DaskExecutor(Lost()), workers=1)
    assert len(open_sweep(run).names) == 2


def test_an_executor_that_takes_no_more_ends_the_sweep(run: Path) -> None:
    class Closing(Executor):
        calls = 0

        def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.calls += 1
            if self.calls > 2:
                raise RuntimeError("cannot schedule new futures after shutdown")
            future: Future[Any] = Future()
            future.set_result(function(*args, **kwargs))
            return future

    with pytest.raises(LstmEdgeError, match="cannot schedule new futures"):
        analyze(run, settings=SETTINGS, executor=Closing(), workers=1)
    sweep = open_sweep(run)
    assert len(sweep.names) == 2
    assert sweep.failed == []


@pytest.mark.parametrize("content", [None, "{nope", '{"x": 1}', "[]"])
def test_a_scheduler_file_that_is_none(
    tmp_path: Path, content: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_edge.sweep.cluster.WAIT", 0.1)
    path = tmp_path / "scheduler.json"
    if content is not None:
        path.write_text(content)
    with (
        pytest.raises(LstmEdgeError, match="expected the file that dask scheduler"),
        dask_executor(str(path)),
    ):
        pass


def test_a_scheduler_file_is_read(run: Path, cluster: Any, tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps({"address": cluster.scheduler_address}))
    with dask_executor(str(path)) as (executor, threads):
        assert threads == 2
        assert executor.submit(max, 1, 2).result() == 2


def test_no_scheduler_there(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("timed out")

    monkeypatch.setattr(distributed, "Client", refuse)
    result = CliRunner().invoke(main, ["analyze", str(run), "--dask", "tcp://x:1"])
    assert result.exit_code == 1
    assert "tcp://x:1: no Dask scheduler answers (timed out)" in result.output


def test_ctrl_c_does_not_wait_for_the_executor(run: Path) -> None:
    class Silent(Executor):
        def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            interrupt.set()
            return Future()

    interrupt = threading.Event()

    def press() -> None:
        interrupt.wait()
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        analyze(run, settings=SETTINGS, executor=Silent())


class Other(ThreadPoolExecutor):
    """Workers that have another version."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        def older(*args: Any, **kwargs: Any) -> Any:
            rows, error = fn(*args, **kwargs)
            return [replace(row, version="0.0.1") for row in rows], error

        return super().submit(older, *args, **kwargs)


def test_workers_of_another_version_end_the_sweep(run: Path) -> None:
    with (
        Other(2) as executor,
        pytest.raises(LstmEdgeError, match=r"a worker has lstm-edge 0\.0\.1"),
    ):
        analyze(run, settings=SETTINGS, executor=executor)
