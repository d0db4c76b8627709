from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest
import safetensors.numpy

import lstm_edge
from lstm_edge.errors import LstmEdgeError, UsageError
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.files.safetensors import write_checkpoint
from lstm_edge.lab.tasks.digits import make_digits
from lstm_edge.lab.tasks.task import Task
from lstm_edge.lab.training import recording
from lstm_edge.lab.training.runs import only_trainer
from lstm_edge.lab.training.training import train
from lstm_edge.lab.zoom import zoom
from lstm_edge.net.reading import read_checkpoint

SMALL: dict[str, Any] = {"hidden_size": 4, "epochs": 50, "batch_size": 16, "seed": 1}
UPDATES = [*range(24, 37)]


@pytest.fixture(autouse=True)
def _states_are_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let replays of runs as short as these begin within them."""
    monkeypatch.setattr(recording, "KEPT_UPDATES", 1)


@pytest.fixture(scope="module")
def task() -> Task:
    """Forty digits to train on, three updates an epoch."""
    full = make_digits()
    return replace(
        full,
        train_inputs=full.train_inputs[:40],
        train_targets=full.train_targets[:40],
        test_inputs=full.test_inputs[:30],
        test_targets=full.test_targets[:30],
        probe=full.probe[:10],
    )


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_other_cells(tmp_path: Path, task: Task, cell: str) -> None:
    settings = SMALL | {"cell": cell}
    run = train(task, tmp_path / "run", every="2epochs", **settings)
    full = train(task, tmp_path / "full", every="1update", **settings)
    for file in find_checkpoints(zoom(run, 24, 36, task=task, evaluate="1epoch")):
        same = full / "checkpoints" / file.path.name
        assert file.path.read_bytes() == same.read_bytes()


@pytest.fixture
def run(tmp_path: Path, task: Task) -> Path:
    return train(task, tmp_path / "run", every="2epochs", **SMALL)


def test_every_update_has_the_bytes_of_a_run_that_kept_them_all(
    tmp_path: Path, task: Task, run: Path
) -> None:
    seen: list[tuple[int, int]] = []
    part = zoom(run, 24, 36, task=task, progress=lambda *at: seen.append(at))
    assert part == run / "zoom-24-36"
    assert [file.update for file in find_checkpoints(part)] == UPDATES
    assert seen == [(i + 1, 13) for i in range(13)]
    full = train(task, tmp_path / "full", every="1update", evaluate="1update", **SMALL)
    for file in find_checkpoints(part):
        same = full / "checkpoints" / file.path.name
        assert file.path.read_bytes() == same.read_bytes()
    rows = (part / "metrics.csv").read_text().splitlines()
    assert rows[1:] == (full / "metrics.csv").read_text().splitlines()[25:38]
    said = json.loads((part / "run.json").read_text())
    assert said["zoom"] == {"from": 24, "to": 36, "replayed_from": 18}
    assert (part / "probe.safetensors").read_bytes() == (
        run / "probe.safetensors"
    ).read_bytes()


def test_it_is_done_once(task: Task, run: Path) -> None:
    part = zoom(run, 24, 36, task=task)
    before = (part / "run.json").stat().st_mtime_ns
    assert zoom(run, 24, 36, task=task) == part
    assert (part / "run.json").stat().st_mtime_ns == before


def test_the_first_update_can_be_replayed(task: Task, run: Path) -> None:
    part = zoom(run, 0, 6, task=task)
    assert [file.update for file in find_checkpoints(part)] == [*range(7)]


def test_the_learning_rate_falls_in_a_replay_as_in_the_run(
    tmp_path: Path, task: Task
) -> None:
    run = train(task, tmp_path / "run", decay=0.01, **SMALL)
    assert len(find_checkpoints(zoom(run, 24, 36, task=task))) == 13


def test_a_part_is_a_run_to_analyse(task: Task, run: Path) -> None:
    settings = {
        "lyapunov": {"steps": 40, "transient": 20, "starts": 3},
        "distance": {"steps": 60, "samples": 5},
    }
    sweep = lstm_edge.analyze(zoom(run, 30, 36, task=task), settings=settings)
    assert list(sweep.table["update"]) == [*range(30, 37)]
    assert all(loss > 0 for loss in sweep.table["test_loss"])
    assert {claim.answer for claim in sweep.claims} == {"cannot be told"}
    said = {claim.evidence for claim in sweep.claims}
    assert said == {"updates 30 to 36 are a part of a run"}


def test_embeddings_are_replayed_too(tmp_path: Path) -> None:
    rows = [(f"word{i} word{i % 40} good", i % 2) for i in range(300)]
    data = tmp_path / "t.csv"
    pandas.DataFrame(rows, columns=["text", "label"]).to_csv(data, index=False)
    options = {"length": 3, "vocabulary": 300, "embedding_size": 8}
    settings = SMALL | {"epochs": 4}
    run = train("text", tmp_path / "run", data=data, options=options, **settings)
    moved = data.rename(tmp_path / "moved.csv")
    part = zoom(run, 14, 42, data=moved)
    full = train(
        "text", tmp_path / "full", data=moved, options=options, every="1update",
        **settings,
    )  # fmt: skip
    for one, other in zip(
        find_checkpoints(part), find_checkpoints(full)[14:43], strict=True
    ):
        assert (
            (safetensors.numpy.load_file(one.path)["readout.weight"]).tobytes()
            == (safetensors.numpy.load_file(other.path)["readout.weight"]).tobytes()
        )
    assert read_checkpoint(find_checkpoints(part)[0].path).embedding is not None


def changed(run: Path, update: int) -> Path:
    path = run / "checkpoints" / f"update-{update:08}.safetensors"
    arrays = safetensors.numpy.load_file(path)
    arrays["readout.bias"].view("u4")[0] ^= 1  # the last bit of one number
    write_checkpoint(path, arrays, {"update": str(update)})
    return path


@pytest.mark.parametrize("update", [24, 30, 36])
def test_other_bytes_are_refused_and_nothing_is_left(
    task: Task, run: Path, update: int
) -> None:
    changed(run, update)
    with pytest.raises(
        LstmEdgeError, match=rf"{update:08}.* other bytes in 'readout.bias'"
    ):
        zoom(run, 24, 36, task=task)
    assert not (run / "zoom-24-36").exists()


def test_what_a_killed_zoom_left_is_no_hindrance(task: Task, run: Path) -> None:
    left = run / ".zoom-24-36.tmp" / "checkpoints"
    left.mkdir(parents=True)
    (left / "update-00000099.safetensors").touch()
    part = zoom(run, 24, 36, task=task)
    assert [file.update for file in find_checkpoints(part)] == UPDATES
    assert not left.exists()


def without_states(run: Path) -> None:
    for file in run.glob("resume/*.pt"):
        file.unlink()


@pytest.mark.parametrize(
    ("first", "last", "spoil", "said"),
    [
        (36, 24, None, "expected --from below --to, found 36 and 24"),
        (24, 24, None, "--from below --to"),
        (25, 36, None, "found 25; near it are 18, 24, 30"),
        (24, 1000, None, "found 1000; near it are 138, 144, 150"),
        (24, 36, without_states, "expected a state before update 24, found none"),
        (24, 36, lambda run: (run / "run.json").unlink(), "expected the folder of a"),
        (24, 36, lambda run: (run / "run.json").write_text("[]"), "can be replayed"),
    ],
)
def test_what_cannot_be_replayed(
    task: Task,
    run: Path,
    first: int,
    last: int,
    spoil: Callable[[Path], object] | None,
    said: str,
) -> None:
    if spoil is not None:
        spoil(run)
    with pytest.raises(UsageError, match=said):
        zoom(run, first, last, task=task)


def test_other_data_are_refused(run: Path) -> None:
    with pytest.raises(UsageError, match="the data are not those of the run"):
        zoom(run, 24, 36)  # all digits


def test_a_run_in_training_is_left_alone(task: Task, run: Path) -> None:
    with only_trainer(run), pytest.raises(UsageError, match="another process"):
        zoom(run, 24, 36, task=task)
