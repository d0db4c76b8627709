"""The sweep: resumable, one bad checkpoint costs its row, settings never mix."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_edge
from conftest import make_arrays
from lstm_edge.errors import (
    CheckpointError,
    LstmEdgeError,
    StoreError,
    UsageError,
)
from lstm_edge.files.safetensors import write_checkpoint
from lstm_edge.measures.table import MEASURES, Measure
from lstm_edge.results.sweep import Sweep, open_sweep
from lstm_edge.shares import share_interval
from lstm_edge.store.store import Store
from lstm_edge.sweep.analysis import analyze
from lstm_edge.sweep.progress import Progress

MakeRun = Callable[..., Path]


@dataclass
class Fake:
    """Two measures that note what they are asked for; the phase follows the weights."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    regimes: list[tuple[int, ...] | None] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    refuse: Callable[[str], Exception | None] = lambda source: None

    def lyapunov(self, weights: Any, inputs: Any, settings: Any, **run: Any) -> Any:
        self._note("lyapunov", weights, inputs, run)
        size = float(np.abs(weights.layers[0].weight_hh).mean())
        exponent = size * settings["scale"] - 1.0
        return {
            "lambda_max": exponent,
            "lambda_max_stderr": 0.01,
            "lambda_mean": exponent,
            "phase": "chaos" if exponent > 0 else "order",
            "chaotic_share": float(exponent > 0),
            "exponents": [exponent, -np.inf],
            "stderr": [0.01, 0.0],
        }, {"per_start": np.full((3, 2), exponent)}

    def distance(self, weights: Any, inputs: Any, settings: Any, **run: Any) -> Any:
        self._note("distance", weights, inputs, run)
        return (
            {"distance": -15.0, "distance_stderr": 0.1},
            {"observable": np.arange(4.0)},
        )

    def _note(self, measure: str, weights: Any, inputs: Any, run: Any) -> None:
        error = self.refuse(weights.source)
        if error is not None:
            raise error
        self.calls.append((measure, Path(weights.source).name))
        self.regimes.append(None if inputs is None else np.shape(inputs))
        self.threads.add(run["threads"])


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    for name in ("attractors", "stability"):
        monkeypatch.delitem(MEASURES, name)
    lyapunov = {"k": 2, "scale": 1.0}
    for name, defaults, compute in (
        ("lyapunov", lyapunov, made.lyapunov),
        ("distance", {"samples": 4}, made.distance),
    ):
        monkeypatch.setitem(MEASURES, name, Measure(name, 1, defaults, compute))
    return made


@pytest.fixture
def run(make_run: MakeRun) -> Path:
    """Eight checkpoints; the weights are large in the last four."""
    return make_run(8, gains=[0.1] * 4 + [30.0] * 4)


# what a sweep finds


def ending_on(
    shares: Callable[[int, int], dict[str, float]],
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Sweep, list[tuple[int, int]]]:
    """A sweep whose starts end on these shares of (update, starts), and its looks."""
    looks = []

    def found(weights: Any, inputs: Any, settings: Any, **_: Any) -> Any:
        look = int(weights.metadata["update"]), settings["starts"]
        looks.append(look)
        ends = shares(*look)
        chaotic = ends.get("chaos", 0.0)
        phase = "order" if ends.keys() == {"cycle"} else "edge"
        phase = "chaos" if chaotic >= 0.5 else phase
        return {"phase": phase, "chaotic_share": chaotic, "shares": ends}, {}

    for name in ("attractors", "stability"):
        monkeypatch.setitem(MEASURES, name, replace(MEASURES[name], compute=found))
    settings = {"lyapunov": {"steps": 40, "transient": 20, "starts": 2}}
    return analyze(run, settings=settings | {"distance": {"samples": 2}}), looks


def test_stable_checkpoints_beside_unstable_ones_are_followed_from_more_starts(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The torus that 3 and 4 have is found by 8 starts in 4 alone."""

    def shares(update: int, starts: int) -> dict[str, float]:
        torus = update >= 40 or (update == 30 and starts > 8)
        return {"torus" if torus else "cycle": 1.0}

    sweep, looks = ending_on(shares, make_run(8), monkeypatch)
    assert [look for look in looks if look[1] > 8] == [(30, 32), (20, 32)]
    assert sweep.table["stable"].tolist() == [1.0] * 3 + [0.0] * 5
    lost, _ = sweep.track.stability_transitions  # sustained, and raw
    assert (lost.event, lost.target, lost.bracket) == (
        "loss of stability",
        "torus",
        (20, 30),
    )
    high = sweep.table["unstable_share_high"]
    assert high[0] == pytest.approx(1 - 0.05 ** (1 / 8))
    assert high[2] == pytest.approx(1 - 0.05 ** (1 / 32))


def test_a_phase_that_hangs_on_one_start_is_looked_at_with_more(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 8 starts 0, 1, ... 7 end in chaos, and of 32 always a third."""

    def shares(update: int, starts: int) -> dict[str, float]:
        share = update / 80 if starts == 8 else 11 / 32
        return {"chaos": share, "torus": 1 - share}

    sweep, looks = ending_on(shares, make_run(8), monkeypatch)
    table = sweep.table
    assert sorted(look for look in looks if look[1] > 8) == [(30, 32), (40, 32)]
    assert table["phase"].tolist() == ["edge"] * 5 + ["chaos"] * 3
    share, low = table["chaotic_share"], table["chaotic_share_low"]
    assert share.tolist() == [0, 1 / 8, 2 / 8, 11 / 32, 11 / 32, 5 / 8, 6 / 8, 7 / 8]
    assert (low <= share).all()
    assert (share <= table["chaotic_share_high"]).all()
    assert low[4] == pytest.approx(share_interval(11 / 32, 32)[0])


@pytest.mark.parametrize("said", ["5", '{"a": 1}', "[1]", '"all"'])
def test_what_is_no_part_of_a_run_is_judged_as_one(
    run: Path, fake: Fake, said: str
) -> None:
    (run / "run.json").write_text(f'{{"zoom": {said}}}')
    assert all("part of a run" not in claim.evidence for claim in analyze(run).claims)


def test_a_run_becomes_a_table(run: Path, fake: Fake) -> None:
    sweep = analyze(run)
    table = sweep.table
    assert sweep.path == run / "analysis.sqlite"
    assert {len(column) for column in table.values()} == {8}
    assert table["update"].tolist() == list(range(0, 80, 10))
    assert table["epoch"].tolist() == list(range(8))
    assert table["phase"].tolist() == ["order"] * 4 + ["chaos"] * 4
    np.testing.assert_allclose(table["test_loss"], 2.3 / np.arange(1, 9) + 0.1)
    assert table["name"][3] == "update-00000030.safetensors"
    assert sweep.exponents.shape == (8, 2)
    assert np.isneginf(sweep.exponents[:, 1]).all()
    assert [a.shape for a in sweep.per_start] == [(3, 2)] * 8
    assert [a.shape for a in sweep.observable] == [(4,)] * 8
    assert sweep.failed == []
    assert set(fake.regimes) == {(6, 8, 4)}, "the probe drives"
    assert sweep.run["inputs"] == "batch of sequences (6, 8, 4), then zero"
    assert sweep.to_pandas()["distance"].tolist() == [-15.0] * 8
    assert "8 checkpoints (4 order, 4 chaos), 0 failed" in repr(sweep)
    assert "<table" in sweep._repr_html_()


def test_the_store_alone_gives_the_same_again(run: Path, fake: Fake) -> None:
    sweep = analyze(run)
    for file in (run / "checkpoints").iterdir():
        file.unlink()
    for where in (run, sweep.path):
        again = open_sweep(where)
        for name, column in sweep.table.items():
            np.testing.assert_array_equal(again.table[name], column)
        assert again.transitions == sweep.transitions


def test_real_measures_give_finite_numbers(make_run: MakeRun) -> None:
    small: dict[str, dict[str, Any]] = {
        "lyapunov": {"steps": 40, "transient": 20, "starts": 2},
        "distance": {"steps": 40, "samples": 3},
    }
    run = make_run(3)
    sweep = analyze(run, settings=small)
    assert sweep.failed == []
    assert np.isfinite(sweep.table["lambda_max"]).all()
    assert sweep.exponents.shape == (3, 2)
    assert analyze(run, settings=small, spectrum=True).exponents.shape == (3, 10)
    direct = lstm_edge.lyapunov(
        run / "checkpoints" / "update-00000010.safetensors",
        lstm_edge.files.inputs.read_probe(run),
        k=2,
        **small["lyapunov"],
    )
    np.testing.assert_array_equal(direct.per_start, sweep.per_start[1])


def test_a_forecaster_is_measured_in_a_closed_loop(make_run: MakeRun) -> None:
    run = make_run(3)
    small: dict[str, dict[str, Any]] = {
        "lyapunov": {"steps": 40, "transient": 20, "starts": 2},
        "distance": {"steps": 40, "samples": 3},
    }
    by_hand = analyze(run, settings=small, inputs="closed loop").table
    for file in (run / "checkpoints").iterdir():
        metadata = lstm_edge.read_checkpoint(file).metadata
        write_checkpoint(file, _tensors(file), {**metadata, "closed_loop": "true"})
    sweep = analyze(run, settings=small)
    assert sweep.run["inputs"] == "closed loop"
    for name, column in by_hand.items():
        np.testing.assert_array_equal(sweep.table[name], column)
    path = run / "checkpoints" / "update-00000010.safetensors"
    spectrum = lstm_edge.lyapunov(path, closed_loop=True, k=2, **small["lyapunov"])
    np.testing.assert_array_equal(spectrum.per_start, sweep.per_start[1])
    free = analyze(run, settings=small, inputs=None).table
    assert (free["lambda_max"] != by_hand["lambda_max"]).all()
    assert (free["distance"] != by_hand["distance"]).all()


def test_a_readout_is_named_and_never_mixed_with_another(make_run: MakeRun) -> None:
    run = make_run(2)
    small: dict[str, dict[str, Any]] = {
        "lyapunov": {"steps": 40, "transient": 20, "starts": 2},
        "attractors": {"steps": 200, "transient": 20, "starts": 2, "limit": 400},
        "distance": {"steps": 40, "samples": 3},
    }
    loop: dict[str, Any] = {"settings": small, "inputs": "closed loop"}
    for file in (run / "checkpoints").iterdir():
        metadata, tensors = lstm_edge.read_checkpoint(file).metadata, _tensors(file)
        weight, _ = tensors.pop("readout_weight"), tensors.pop("readout_bias")
        both = {"first.weight": weight, "second.weight": -weight}
        write_checkpoint(file, tensors | both, metadata)
    with pytest.raises(UsageError, match="found none or several; name it"):
        analyze(run, **loop)
    with pytest.raises(CheckpointError, match="embedding: expected one tensor named"):
        analyze(run, **loop, readout="first", embedding="words", strict=True)
    sweep = analyze(run, **loop, readout="first")
    named = lstm_edge.as_weights(file, readout="first")
    spectrum = lstm_edge.lyapunov(named, closed_loop=True, k=2, **small["lyapunov"])
    place = sweep.names.index(file.name)
    np.testing.assert_array_equal(spectrum.per_start, sweep.per_start[place])
    (row,) = lstm_edge.watch(
        run / "checkpoints" / sweep.names[0], **loop, readout="second", idle=0.1
    )
    assert row.exponent != sweep.table["lambda_max"][0]
    assert analyze(run, **loop, readout="second", select=[0]).names == sweep.names[:1]
    again = analyze(run, **loop, readout="first", select=[0])
    assert again.names == sweep.names
    assert {row.seconds for row in again.rows.values()} == {
        row.seconds for row in sweep.rows.values()
    }, "computed once"


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_and_threads_change_no_bit(
    make_run: MakeRun, tmp_path: Path, workers: int
) -> None:
    small: dict[str, dict[str, Any]] = {
        "lyapunov": {"steps": 40, "transient": 20, "starts": 3},
        "distance": {"steps": 40, "samples": 3},
    }
    run = make_run(4)
    one = analyze(run, settings=small, workers=2, threads=1)
    other = analyze(
        run, settings=small, workers=workers, threads=2, out=tmp_path / "o.sqlite"
    )
    for name, column in one.table.items():
        np.testing.assert_array_equal(other.table[name], column)


def test_cores_are_shared_out(run: Path, fake: Fake) -> None:
    analyze(run, workers=3, threads=2)
    assert fake.threads == {2}
    with pytest.raises(UsageError, match="workers: expected an integer"):
        analyze(run, workers=0)
    with pytest.raises(UsageError, match="threads"):
        analyze(run, threads=0)


# what is there is not computed again


def test_a_second_sweep_computes_nothing(run: Path, fake: Fake) -> None:
    analyze(run)
    assert len(fake.calls) == 16
    analyze(run)
    assert len(fake.calls) == 16


def test_only_what_is_missing_is_computed(run: Path, fake: Fake) -> None:
    analyze(run, select=[0, 30])
    assert {name for _, name in fake.calls} == {
        "update-00000000.safetensors",
        "update-00000030.safetensors",
    }
    fake.calls.clear()
    sweep = analyze(run, select=lambda file: file.update >= 30)
    assert len(fake.calls) == 8
    assert sweep.table["update"].tolist() == [0, 30, 40, 50, 60, 70]


def test_losses_are_kept_of_checkpoints_that_are_not_analysed(
    run: Path, fake: Fake
) -> None:
    track = analyze(run, select=[0]).track
    assert track.update.tolist() == list(range(0, 80, 10))
    assert track.test_loss[-1] == pytest.approx(2.3 / 8 + 0.1)


def test_the_sweep_shows_the_settings_last_asked_for(run: Path, fake: Fake) -> None:
    first = analyze(run).table["lambda_max"]
    second = analyze(run, settings={"lyapunov": {"scale": 2.0}}).table["lambda_max"]
    np.testing.assert_allclose(second, 2 * first + 1)
    calls = len(fake.calls)
    np.testing.assert_array_equal(analyze(run).table["lambda_max"], first)
    assert len(fake.calls) == calls


def test_numbers_of_two_settings_never_stand_in_one_table(
    run: Path, fake: Fake
) -> None:
    analyze(run)
    sweep = analyze(run, settings={"lyapunov": {"scale": 2.0}}, select=[0, 10])
    assert sweep.table["update"].tolist() == [0, 10]
    sweep = analyze(run, inputs=None, select=[20])
    assert sweep.table["update"].tolist() == [20]
    assert sweep.run["inputs"] == "zero"
    assert len(analyze(run, select=[0]).names) == 8


def test_a_new_revision_is_computed_anew(
    run: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyze(run)
    old = MEASURES["distance"]
    new = Measure("distance", 2, old.defaults, old.compute)
    monkeypatch.setitem(MEASURES, "distance", new)
    fake.calls.clear()
    analyze(run)
    assert [measure for measure, _ in fake.calls] == ["distance"] * 8


def test_equal_weights_are_computed_once_and_each_has_its_row(
    run: Path, fake: Fake
) -> None:
    files = sorted((run / "checkpoints").iterdir())
    (run / "checkpoints" / "best-95.safetensors").write_bytes(files[2].read_bytes())
    sweep = analyze(run, workers=1, select=[0, 20])
    assert sweep.names.count(files[2].name) == 1
    assert "best-95.safetensors" in sweep.names
    assert len(fake.calls) <= 6
    fake.calls.clear()
    (run / "checkpoints" / "last-99.safetensors").write_bytes(files[2].read_bytes())
    assert "last-99.safetensors" in analyze(run, select=[20]).names
    assert fake.calls == []


@pytest.fixture
def equal(run: Path) -> Path:
    """Eight checkpoints with the same weights."""
    first, *rest = sorted((run / "checkpoints").iterdir())
    for file in rest:
        file.write_bytes(first.read_bytes())
    return run


@pytest.mark.parametrize("elsewhere", [False, True])
def test_equal_weights_in_flight_are_computed_once(
    equal: Path, fake: Fake, elsewhere: bool
) -> None:
    with ThreadPoolExecutor(4) as executor:
        sweep = analyze(equal, workers=4, executor=executor if elsewhere else None)
    assert len(sweep.names) == 8
    assert sorted(measure for measure, _ in fake.calls) == ["distance", "lyapunov"]


def test_equal_weights_that_are_refused_cost_all_their_rows(
    equal: Path, fake: Fake
) -> None:
    fake.refuse = lambda source: CheckpointError(f"{source}: the orbit left")
    assert len(dict(analyze(equal, workers=4).failed)) == 8


def test_ctrl_c_ends_the_wait_for_equal_weights(equal: Path, fake: Fake) -> None:
    fake.refuse = lambda source: signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        analyze(equal, workers=4)


def test_a_file_that_is_overwritten_is_computed_anew_and_back(
    run: Path, fake: Fake
) -> None:
    first, *_, last = sorted((run / "checkpoints").iterdir())
    kept = first.read_bytes()
    assert analyze(run, select=[0]).table["phase"].tolist() == ["order"]
    metadata = {"update": "0"}
    write_checkpoint(first, _tensors(last), metadata)
    assert analyze(run, select=[0]).table["phase"].tolist() == ["chaos"]
    calls = len(fake.calls)
    first.write_bytes(kept)
    assert analyze(run, select=[0]).table["phase"].tolist() == ["order"]
    assert len(fake.calls) == calls


def _tensors(path: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(path)


# what cannot be used


def test_a_bad_checkpoint_costs_its_own_row(run: Path, fake: Fake) -> None:
    bad = run / "checkpoints" / "update-00000030.safetensors"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:100])
    (run / "checkpoints" / "text-99.pt").write_text("no tensors here")
    seen: list[Progress] = []
    sweep = analyze(run, progress=seen.append)
    assert len(sweep.names) == 7
    assert {name for name, _ in sweep.failed} == {bad.name, "text-99.pt"}
    assert all("\n" not in message for _, message in sweep.failed)
    assert (seen[-1].done, seen[-1].total, seen[-1].failed) == (9, 9, 2)
    assert [p.done for p in seen] == list(range(1, 10))
    bad.write_bytes(whole)
    again = analyze(run)
    assert len(again.names) == 8
    assert [name for name, _ in again.failed] == ["text-99.pt"]


def test_progress_is_shown_when_asked_for(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(3)
    analyze(run, progress=True)
    lines = capsys.readouterr().err.strip().split("\r")
    assert [line[:15] for line in lines] == [f"{i}/3 checkpoints" for i in (1, 2, 3)]
    analyze(run)
    assert capsys.readouterr().err == ""


def test_another_net_in_the_run_costs_its_row(make_run: MakeRun) -> None:
    run = make_run(6)
    small: dict[str, dict[str, Any]] = {
        "lyapunov": {"steps": 40, "transient": 20, "starts": 2},
        "distance": {"steps": 40, "samples": 3},
    }
    files = sorted((run / "checkpoints").iterdir())
    write_checkpoint(files[2], make_arrays((7,), 4), {"update": "20"})
    sweep = analyze(run, settings=small)
    ((name, message),) = sweep.failed
    assert name == files[2].name
    assert "expected lstm 4 -> 5, as 5 of 6 checkpoints hold, found lstm 4 -> 7" in (
        message
    )
    assert sweep.table["update"].tolist() == [0, 10, 30, 40, 50]
    with pytest.raises(CheckpointError, match="one of lstm 4 -> 5 and lstm 4 -> 7"):
        analyze(run, settings=small, strict=True)


def test_strict_raises_at_the_first_and_keeps_what_is_done(
    run: Path, fake: Fake
) -> None:
    bad = run / "checkpoints" / "update-00000020.safetensors"
    # the last of eight to be visited
    bad.write_bytes(b"")
    with pytest.raises(CheckpointError, match="update-00000020"):
        analyze(run, strict=True, workers=1)
    assert len(open_sweep(run).names) == 7


def test_a_measure_that_refuses_costs_the_row_too(run: Path, fake: Fake) -> None:
    fake.refuse = lambda source: (
        CheckpointError(f"{source}: the orbit left") if "00000040" in source else None
    )
    sweep = analyze(run)
    assert {name for name, _ in sweep.failed} == {"update-00000040.safetensors"}
    fake.refuse = lambda source: None
    assert analyze(run).failed == []


def test_what_no_checkpoint_can_take_is_wrong_usage(run: Path, fake: Fake) -> None:
    fake.refuse = lambda source: UsageError(f"{source}: inputs: expected shape (3,)")
    with pytest.raises(UsageError, match="inputs: expected shape"):
        analyze(run)
    fake.refuse = lambda source: UsageError(source) if "00000040" in source else None
    assert len(analyze(run).failed) > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"settings": {"gali": {}}},
            "settings: expected some of lyapunov, distance, sketch, f",
        ),
        (
            {"settings": {"lyapunov": {"kk": 3}}},
            "expected some of k, scale, found 'kk'",
        ),
        (
            {"inputs": "prob"},
            "expected 'probe', 'closed loop', None or an array, found 'prob'",
        ),
        ({"inputs": np.zeros((1, 1, 1, 1))}, "expected numbers of shape (I,), (T, I)"),
        ({"inputs": [["a"]]}, "expected numbers of shape"),
    ],
)
def test_wrong_arguments(
    run: Path, fake: Fake, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        analyze(run, **arguments)
    assert words in str(caught.value)
    assert not (run / "analysis.sqlite").exists()


def test_nothing_to_analyse(run: Path, fake: Fake, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected some of 8 checkpoints"):
        analyze(run, select=[5])
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no checkpoint found"):
        analyze(tmp_path / "empty")


def test_a_second_sweep_on_one_store_is_refused(run: Path, fake: Fake) -> None:
    with (
        Store(run / "analysis.sqlite", write=True),
        pytest.raises(StoreError, match="another process is writing"),
    ):
        analyze(run)


# where things are found


def test_inputs_are_the_probe_or_zero_or_given(run: Path, fake: Fake) -> None:
    for inputs, shape in (
        (None, None),
        (np.zeros(4), (4,)),
        (np.zeros((5, 4)), (5, 4)),
    ):
        fake.regimes.clear()
        analyze(run, inputs=inputs, select=[0])
        assert set(fake.regimes) == {shape}
    (run / "probe.safetensors").unlink()
    fake.regimes.clear()
    analyze(run, select=[10])
    assert set(fake.regimes) == {None}


def test_files_of_several_folders_need_no_run(
    run: Path,
    make_run: MakeRun,
    fake: Fake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = make_run(2, name="other")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    sweep = analyze([run, other])
    assert sweep.path.absolute() == tmp_path / "here" / "analysis.sqlite"
    assert len(sweep.names) == 10
    assert "other/checkpoints/update-00000010.safetensors" in sweep.names
    assert set(fake.regimes) == {None}, "no probe belongs to both"


def test_two_runs_in_one_store_do_not_mix(
    run: Path, fake: Fake, make_run: MakeRun, tmp_path: Path
) -> None:
    store = tmp_path / "both.sqlite"
    first = analyze(run, out=store).table["update"]
    other = make_run(2, name="other", updates_per_epoch=7)
    assert analyze(other, out=store).table["update"].tolist() == [0, 7]
    calls = len(fake.calls)
    assert np.array_equal(analyze(run, out=store).table["update"], first)
    assert len(fake.calls) == calls, "nothing is measured anew"


def test_inputs_that_last_beyond_the_transient_are_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting in ({"lyapunov": {"transient": 7}}, {"distance": {"steps": 7}}):
        with pytest.raises(UsageError, match=r"expected at most 7 steps.*found 8"):
            analyze(run, settings=setting)


def test_a_run_is_found_from_inside_its_folder(
    run: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run / "checkpoints")
    sweep = analyze("*.safetensors")
    assert sweep.path.absolute() == run / "analysis.sqlite"
    assert set(fake.regimes) == {(6, 8, 4)}


def test_metrics_are_joined_by_update(run: Path, fake: Fake, tmp_path: Path) -> None:
    (run / "metrics.csv").unlink()
    sweep = analyze(run)
    assert sweep.table["test_loss"][0] == pytest.approx(2.4), "of the checkpoints"
    path = tmp_path / "losses.csv"
    path.write_text("update,test_loss,other\n20,0.5,x\n10,nan,x\n30,,x\n")
    losses = analyze(run, metrics=path).table["test_loss"]
    assert losses[2] == 0.5
    path.write_text("update,test_loss\n20,0.25\n", encoding="utf-8-sig")
    assert analyze(run, metrics=path).table["test_loss"][2] == 0.25
    path.write_text("update,test_loss\ninf,0.5\n")
    with pytest.raises(UsageError, match="found none, of which 0 agree"):
        analyze(run, metrics=path)
    assert np.isnan(losses[[1, 3]]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("update,other\n10,1\n", "expected a column such as test_loss"),
        ("update,test_loss\n13,0.5\n", r"\(0 to 70\) in column 'update', found 1[2-4]"),
        ("update,test_loss\n", "found no column of numbers"),
    ],
)
def test_metrics_that_tell_nothing_are_refused(
    run: Path, fake: Fake, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "losses.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        analyze(run, metrics=path)


# interruption


def test_ctrl_c_ends_a_long_sweep_and_keeps_what_is_done(make_run: MakeRun) -> None:
    run = make_run(6, hidden_sizes=(60,), gains=[8.0] * 6)  # nothing settles
    endless = {"lyapunov": {"steps": 10**9}, "distance": {"steps": 50}}
    quick = {"lyapunov": {"steps": 20}, "distance": {"steps": 50}}
    analyze(run, settings=quick, select=[0])
    threading.Timer(1.0, signal.raise_signal, (signal.SIGINT,)).start()
    with pytest.raises(KeyboardInterrupt):
        analyze(run, settings=endless, workers=2)
    assert len(analyze(run, settings=quick, select=[0]).names) == 1


KILLED = """
import sys, time
import lstm_edge
lstm_edge.analyze(
    sys.argv[1],
    settings={"lyapunov": {"steps": 200}, "distance": {"samples": 4, "steps": 50}},
    workers=1,
    progress=lambda p: (print(p.done, flush=True), time.sleep(0.2)),
)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX signals")
def test_kill_loses_at_most_what_is_in_flight(make_run: MakeRun) -> None:
    run = make_run(6)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, run], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    kept = _created(run)
    assert len(kept) >= 3
    subprocess.run([sys.executable, "-c", KILLED, run], check=True)
    done = _created(run)
    assert len(done) == 6
    assert kept.items() <= done.items(), "what was there was not written again"


def _created(run: Path) -> dict[str, float]:
    """Seconds that each result took: they differ when it is computed again."""
    sweep = open_sweep(run)
    return {name: sweep.rows[name, "lyapunov"].seconds for name in sweep.names}


def test_a_sweep_of_nothing_has_an_empty_table(run: Path, fake: Fake) -> None:
    for file in (run / "checkpoints").iterdir():
        file.write_bytes(b"")
    sweep: Sweep = analyze(run)
    assert sweep.names == []
    assert len(sweep.failed) == 8
    assert sweep.transitions == []
    assert "too few" in sweep.advice.reason


def test_threads_that_cannot_start_end_the_sweep_in_a_line(
    run: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", refuse)
        with pytest.raises(LstmEdgeError, match="the system allows this process no"):
            analyze(run)
    assert len(analyze(run).names) == 8
