"""Watching: what training writes is measured soon, once, and the newest first."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lstm_edge.cli.console import show_watched
from lstm_edge.errors import CheckpointError, StoreError, UsageError
from lstm_edge.results.sweep import open_sweep
from lstm_edge.store.store import Store
from lstm_edge.sweep.analysis import analyze
from lstm_edge.sweep.watching import Watched, watch

SETTINGS: dict[str, dict[str, Any]] = {
    "lyapunov": {"steps": 60, "transient": 20, "starts": 3},
    "attractors": {"steps": 200, "transient": 20, "limit": 400, "starts": 3},
    "distance": {"steps": 60, "samples": 5},
}


@pytest.fixture
def run(make_run: Callable[..., Path]) -> Path:
    return make_run(8)


@pytest.fixture
def hidden(run: Path) -> list[Path]:
    """The last three checkpoints, not yet written."""
    files = sorted((run / "checkpoints").iterdir())[-3:]
    return [file.rename(file.with_name(f".{file.name}.tmp")) for file in files]


def write(path: Path) -> None:
    path.rename(path.with_name(path.name.removeprefix(".").removesuffix(".tmp")))


def watching(run: Path, **options: Any) -> Iterator[Watched]:
    return watch(run, settings=SETTINGS, poll=0.02, **options)


def test_what_comes_is_measured_and_the_end_is_the_sweep(
    run: Path, hidden: list[Path], tmp_path: Path
) -> None:
    rows = watching(run, idle=1.0)
    seen = [next(rows)]
    for path in hidden:
        write(path)
        seen.append(next(rows))
    seen += rows
    assert sorted(row.update for row in seen) == list(range(0, 80, 10))
    watched = open_sweep(run)
    whole = analyze(run, settings=SETTINGS, out=tmp_path / "whole.sqlite")
    for name, column in whole.table.items():
        np.testing.assert_array_equal(watched.table[name], column)
    table = {row.update: row for row in seen}
    for i, update in enumerate(whole.table["update"].tolist()):
        row = table[update]
        assert row.exponent == whole.table["lambda_max"][i]
        assert row.stderr == whole.table["lambda_max_stderr"][i]
        assert row.distance == whole.table["distance"][i]
        assert row.phase == whole.table["phase"][i]
        assert row.test_loss == whole.table["test_loss"][i]
        assert row.message == ""
    assert repr(seen[-1].advice) == repr(whole.advice)


def test_the_newest_goes_before_the_rest(
    run: Path, hidden: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = 0.0
    clock = SimpleNamespace(
        monotonic=lambda: time.monotonic() + passed, sleep=time.sleep
    )
    monkeypatch.setattr("lstm_edge.sweep.watching.time", clock)
    rows = watching(run)
    first = next(rows)
    for path in hidden:
        write(path)
    passed = 3600.0  # past the next look
    assert first.update == 0
    assert [row.update for row in islice(rows, 3)] == [70, 60, 50]


def test_what_comes_before_the_last_is_done_is_seen(
    run: Path, hidden: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count(0.0, 10.0)  # no look is due when the last is done
    clock = SimpleNamespace(monotonic=lambda: next(ticks), sleep=time.sleep)
    monkeypatch.setattr("lstm_edge.sweep.watching.time", clock)
    rows = watching(run, idle=5.0)
    assert len(list(islice(rows, 5))) == 5
    write(hidden[0])
    assert [row.update for row in rows] == [50]


def test_what_is_there_is_not_measured_again(run: Path) -> None:
    analyze(run, settings=SETTINGS)
    before = {n: r.seconds for n, r in open_sweep(run).rows.items()}
    rows = list(watching(run, idle=0.1))
    assert len(rows) == 8
    assert all(np.isfinite(row.exponent) for row in rows)
    assert {n: r.seconds for n, r in open_sweep(run).rows.items()} == before


def test_a_file_half_written_is_read_again_when_it_is_whole(
    run: Path, hidden: list[Path]
) -> None:
    path, content = hidden[0], hidden[0].read_bytes()
    path.write_bytes(content[:300])
    write(path)
    target = run / "checkpoints" / "update-00000050.safetensors"
    rows = watching(run, idle=1.0)
    seen = list(islice(rows, 6))
    (bad,) = (row for row in seen if row.message)
    assert bad.name == target.name
    assert np.isnan(bad.exponent)
    with (
        pytest.raises(StoreError, match="another process"),
        Store(run / "analysis.sqlite", write=True),
    ):
        pass
    target.write_bytes(content)
    again = list(rows)
    assert [(row.name, row.message) for row in again] == [(target.name, "")]
    assert open_sweep(run).failed == []


def test_losses_that_come_later_are_told(run: Path, hidden: list[Path]) -> None:
    metrics = (run / "metrics.csv").read_text().splitlines()
    (run / "metrics.csv").write_text("\n".join(metrics[:4]) + "\n")
    rows = watching(run, idle=0.5)
    next(rows)
    (run / "metrics.csv").write_text("\n".join(metrics) + "\n")
    list(rows)
    assert np.isfinite(open_sweep(run).table["test_loss"]).all()


def test_a_trainer_that_removes_old_checkpoints(run: Path, hidden: list[Path]) -> None:
    rows = watching(run, idle=0.5)
    first = next(rows)
    (run / "checkpoints" / first.name).unlink()
    gone = sorted((run / "checkpoints").glob("update-*"))[1:3]
    for path in gone:
        path.unlink()
    write(hidden[0])
    # what was about to be read when it went costs its row, the rest is passed over
    seen = [first, *(row for row in rows if not row.message)]
    measured = sorted(row.update for row in seen)
    assert {0, 10, 40, 50} <= {*measured} <= {0, 10, 20, 30, 40, 50}
    table = open_sweep(run).table
    assert table["update"].tolist() == measured, "results outlive their files"


def test_a_second_run_beside_the_first_keeps_the_names(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    first = make_run(3, name="two/a")
    second = make_run(3, name="later")
    pattern = str(tmp_path / "two" / "*" / "checkpoints" / "*.safetensors")
    rows = watching(Path(pattern), idle=0.5, out=tmp_path / "both.sqlite")
    next(rows)
    second.rename(first.parent / "b")
    rest = list(rows)
    assert len(rest) == 5
    assert len(open_sweep(tmp_path / "both.sqlite").names) == 6


def test_metrics_that_cannot_be_read_leave_the_former_ones(
    run: Path, hidden: list[Path]
) -> None:
    rows = watching(run, idle=0.5)
    next(rows)
    with (run / "metrics.csv").open("a") as file:
        file.write("80,oops")
    write(hidden[0])
    seen = {row.update: row for row in rows}
    assert np.isfinite(seen[50].test_loss)


@pytest.mark.parametrize("bad", [False, True])
def test_the_live_table_has_notes_where_there_are_some(
    run: Path,
    bad: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, says rich
    monkeypatch.setenv("COLUMNS", "200")
    if bad:
        (run / "checkpoints" / "bad-5.safetensors").write_bytes(b"")
    rows = watch(run, settings=SETTINGS, poll=0.02, idle=0.1)
    assert show_watched(rows, quiet=False, as_json=False).keys() == (
        {"bad-5.safetensors"} if bad else set()
    )
    shown = capsys.readouterr().out
    assert "test loss" in shown
    assert ("note" in shown) == bad


@pytest.mark.parametrize("option", ["poll", "idle"])
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_wrong_times_are_refused(run: Path, option: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{option}: expected"):
        next(watch(run, **{option: value}))  # type: ignore[arg-type]


def test_it_waits_for_the_first_checkpoint(tmp_path: Path, run: Path) -> None:
    later = tmp_path / "later"
    with pytest.raises(CheckpointError, match="no such file or folder"):
        list(watching(later, idle=0.1))
    code = (
        "import sys, lstm_edge\n"
        "rows = lstm_edge.watch(sys.argv[1], poll=0.05)\n"
        "print('ready', flush=True)\n"
        "print(next(rows).update, flush=True)\n"
        "rows.close()\n"
    )
    command = [sys.executable, "-c", code, str(later)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        run.rename(later)
        assert process.stdout.readline() == "0\n"
    assert process.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_the_command_shows_rows_and_ends_with_ctrl_c(run: Path) -> None:
    code = "from lstm_edge.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "watch", str(run), "--samples", "4"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        nice = os.getpriority(os.PRIO_PROCESS, process.pid)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert lines[0].startswith("times: by what the files say: update-00000000")
    assert re.match(r"0  0  (order|edge|chaos)  [+-]\d", lines[1])
    assert nice == 19
    assert process.returncode == 130
    assert "run the same command again to go on" in errors
    assert len(open_sweep(run).names) >= 2
