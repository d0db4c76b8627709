"""A sweep computes everything once, loses nothing, and goes on past what is bad."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_edge
from conftest import make_arrays
from lstm_edge import measures
from lstm_edge.checkpoints import write_checkpoint
from lstm_edge.errors import CheckpointError, UsageError
from lstm_edge.results import Sweep

SHORT: dict[str, dict[str, Any]] = {
    "lyapunov": {"steps": 40, "transient": 20, "starts": 3},
    "distance": {"steps": 60, "samples": 4},
}


def analyze(where: Any, **options: Any) -> Sweep:
    return lstm_edge.analyze(where, settings=SHORT, **options)


def content(sweep: Sweep) -> list[Any]:
    """All rows without what they took."""
    return [
        (key, row.key, repr(row.scalars), {k: v.tobytes() for k, v in a.items()})
        for key, row in sorted(sweep.rows.items())
        for a in [row.arrays]
    ]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The measures that are computed, in order."""
    made: list[str] = []

    def counted(measure: measures.Measure) -> measures.Measure:
        def compute(*args: Any, **kwargs: Any) -> measures.Outcome:
            made.append(measure.name)
            return measure.compute(*args, **kwargs)

        return replace(measure, compute=compute)

    for name, measure in list(measures.MEASURES.items()):
        monkeypatch.setitem(measures.MEASURES, name, counted(measure))
    return made


def test_a_run_becomes_a_table(make_run: Callable[..., Path]) -> None:
    run = make_run(4)
    sweep = analyze(run)
    assert sweep.path == run / "analysis.sqlite"
    assert sweep.table["update"].tolist() == [0, 10, 20, 30]
    assert sweep.table["test_loss"][0] == pytest.approx(2.4)
    assert sweep.exponents.shape == (4, 2)
    assert [len(dots) for dots in sweep.observable] == [4] * 4
    assert sweep.failed == []
    assert len(sweep.to_pandas()) == 4
    assert "4 checkpoints" in repr(sweep)


def test_rows_hold_what_the_measures_give(make_run: Callable[..., Path]) -> None:
    run = make_run(1)
    sweep = analyze(run)
    file = lstm_edge.find_checkpoints(run)[0].path
    probe = lstm_edge.metrics.read_probe(run)
    spectrum = lstm_edge.lyapunov(file, probe, k=2, **SHORT["lyapunov"])
    distance = lstm_edge.asymptotic_distance(file, probe, **SHORT["distance"])
    assert sweep.exponents[0].tobytes() == spectrum.exponents.tobytes()
    assert sweep.table["lambda_max"][0] == spectrum.per_start[:, 0].max()
    assert sweep.table["distance"][0] == distance.value


def test_nothing_is_computed_twice(
    make_run: Callable[..., Path], calls: list[str]
) -> None:
    run = make_run(3)
    first = analyze(run)
    assert len(calls) == 6
    assert content(analyze(run)) == content(first)
    assert len(calls) == 6


def test_other_settings_are_computed_and_win(
    make_run: Callable[..., Path], calls: list[str]
) -> None:
    run = make_run(2)
    analyze(run)
    changed = {**SHORT, "lyapunov": {**SHORT["lyapunov"], "steps": 50}}
    sweep = lstm_edge.analyze(run, settings=changed)
    assert calls.count("lyapunov") == 4
    assert calls.count("distance") == 2
    assert sweep.rows[sweep.names[0], "lyapunov"].settings["steps"] == 50


def test_equal_weights_are_computed_once_and_both_have_rows(
    tmp_path: Path, calls: list[str]
) -> None:
    for update in (1, 2):
        write_checkpoint(
            tmp_path / f"update-{update}.safetensors",
            make_arrays((3,)),
            {"update": str(update)},
        )
    sweep = analyze(tmp_path, workers=1)
    assert sweep.table["update"].tolist() == [1, 2]
    assert len(calls) <= 4  # two in flight at once may both compute
    assert sweep.table["lambda_max"][0] == sweep.table["lambda_max"][1]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_result_does_not_depend_on_workers(
    make_run: Callable[..., Path], tmp_path: Path, workers: int
) -> None:
    run = make_run(5)
    other = analyze(run, out=tmp_path / "other.sqlite", workers=workers)
    assert content(other) == content(analyze(run))


def test_an_interrupted_sweep_goes_on(
    make_run: Callable[..., Path], tmp_path: Path, calls: list[str]
) -> None:
    run = make_run(6)

    def interrupt(progress: Any) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyze(run, progress=interrupt)
    kept = len(lstm_edge.open_sweep(run).names)
    assert 2 <= kept < 6
    resumed = analyze(run)
    assert len(resumed.names) == 6
    whole = analyze(run, out=tmp_path / "whole.sqlite")
    assert content(resumed) == content(whole)


def test_a_killed_sweep_goes_on(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(40)
    code = f"""
import os, signal, lstm_edge
def kill(progress):
    if progress.done == 7:
        os.kill(os.getpid(), signal.SIGKILL)
lstm_edge.analyze({str(run)!r}, settings={SHORT!r}, progress=kill)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == -9
    assert len(lstm_edge.open_sweep(run).names) >= 7
    whole = analyze(run, out=tmp_path / "whole.sqlite")
    assert content(analyze(run)) == content(whole)


def spoil(run: Path, name: str) -> None:
    """Put a bad checkpoint among the good ones, between updates 10 and 20."""
    target = run / "checkpoints" / name
    good = sorted((run / "checkpoints").iterdir())[0].read_bytes()
    if name.startswith("empty"):
        target.write_bytes(b"")
    elif name.startswith("text"):
        target.write_text("not a checkpoint\n")
    elif name.startswith("truncated"):
        target.write_bytes(good[: len(good) // 2])
    elif name.startswith("nan"):
        arrays = make_arrays((5,))
        arrays["weight_hh_l0"][0, 0] = np.nan
        write_checkpoint(target, arrays, {"update": "15"})
    else:
        gru = {
            name: array[: 3 * len(array) // 4]
            for name, array in make_arrays((5,)).items()
            if "readout" not in name
        }
        write_checkpoint(target, gru, {"update": "15"})


BAD = {
    "empty-15.safetensors": "15",
    "text-15.pt": "15",
    "truncated-15.safetensors": "15",
    "nan-15.safetensors": "NaN",
    "gru-15.safetensors": "GRU",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_costs_its_own_row(make_run: Callable[..., Path], name: str) -> None:
    run = make_run(3)
    spoil(run, name)
    sweep = analyze(run)
    assert sweep.table["update"].tolist() == [0, 10, 20]
    ((failed, message),) = sweep.failed
    assert failed == name
    assert name in message
    assert BAD[name] in message
    with pytest.raises(CheckpointError):
        analyze(run, out=run / "strict.sqlite", strict=True)


def test_a_mended_file_is_forgiven(make_run: Callable[..., Path]) -> None:
    run = make_run(2)
    spoil(run, "empty-15.safetensors")
    assert len(analyze(run).failed) == 1
    write_checkpoint(
        run / "checkpoints" / "empty-15.safetensors",
        make_arrays((5,), seed=9),
        {"update": "15"},
    )
    sweep = analyze(run)
    assert sweep.failed == []
    assert sweep.table["update"].tolist() == [0, 10, 15]


def test_a_selection_keeps_the_losses_of_the_rest(
    make_run: Callable[..., Path],
) -> None:
    run = make_run(5)
    sweep = analyze(run, select=lambda file: file.update in (0, 40))
    assert sweep.table["update"].tolist() == [0, 40]
    assert len(sweep.loss_history[0]) == 5
    with pytest.raises(CheckpointError, match="found none"):
        analyze(run, select=lambda file: False)


def test_the_whole_spectrum_is_had_on_demand(make_run: Callable[..., Path]) -> None:
    sweep = analyze(make_run(2), spectrum=True)
    assert sweep.exponents.shape == (2, 10)
    assert np.all(np.diff(sweep.exponents, axis=1) <= 0)


def test_losses_come_from_the_checkpoints_where_there_is_no_table(
    make_run: Callable[..., Path],
) -> None:
    run = make_run(2)
    (run / "metrics.csv").unlink()
    assert analyze(run).table["test_loss"].tolist() == [2.4, 1.25]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("epoch,test_loss\n1,2\n", "column 'update'"),
        ("update,test_loss\n1,high\n", "cannot be read as a table"),
    ],
)
def test_a_bad_table_of_metrics_is_said(
    make_run: Callable[..., Path], table: str, said: str
) -> None:
    run = make_run(1)
    (run / "losses.csv").write_text(table)
    with pytest.raises(UsageError, match=said):
        analyze(run, metrics=run / "losses.csv")
    with pytest.raises(UsageError, match="cannot be read"):
        analyze(run, metrics=run / "nothing.csv")


def test_unknown_measures_and_inputs_are_refused(
    make_run: Callable[..., Path],
) -> None:
    run = make_run(1)
    with pytest.raises(UsageError, match="found 'entropy'"):
        lstm_edge.analyze(run, settings={"entropy": {}})
    with pytest.raises(UsageError, match="found 'noise'"):
        analyze(run, inputs="noise")
    with pytest.raises(UsageError, match="shape"):
        analyze(run, inputs=np.zeros((1, 1, 1, 1)))


def test_the_summary_is_plain(make_run: Callable[..., Path]) -> None:
    import json

    summary = analyze(make_run(2)).summary()
    assert json.loads(json.dumps(summary, allow_nan=False))["checkpoints"] == 2
