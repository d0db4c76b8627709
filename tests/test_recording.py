"""What training hands over, and what becomes of it on the other thread."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

import lstm_edge
from lstm_edge.errors import CheckpointError, LstmEdgeError, UsageError
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.files.safetensors import read_metadata
from lstm_edge.lab.tasks.digits import make_digits
from lstm_edge.lab.tasks.task import Task
from lstm_edge.lab.tasks.text import tokenized
from lstm_edge.lab.training import recording, space
from lstm_edge.lab.training.recording import Writer, kept_apart, written
from lstm_edge.lab.training.runs import kept_states, only_trainer
from lstm_edge.lab.training.trainer import Snapshot
from lstm_edge.lab.training.training import train
from lstm_edge.net.reading import read_checkpoint

SMALL: dict[str, Any] = {"hidden_size": 4, "epochs": 6, "batch_size": 16}


@pytest.fixture(scope="module")
def words() -> Task:
    """Texts whose embedding is much larger than the rest of the net."""
    texts = [f"word{i} word{i % 40} good" for i in range(400)]
    return tokenized(
        "words",
        texts,
        [i % 2 for i in range(400)],
        seed=0,
        length=3,
        vocabulary=500,
        embedding_size=8,
    )


@pytest.fixture(scope="module")
def few() -> Task:
    full = make_digits()
    return replace(
        full,
        train_inputs=full.train_inputs[:40],
        train_targets=full.train_targets[:40],
        test_inputs=full.test_inputs[:30],
        test_targets=full.test_targets[:30],
    )


class Stub:
    """A writer that notes what it is given."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.seen: list[tuple[int, int]] = []
        self.fails_at = fails_at
        self.evaluator: Any = self
        self.stop = threading.Event()

    def __call__(self, snapshot: Any) -> dict[str, Any]:
        if snapshot == self.fails_at:
            raise OSError("disk full")
        self.seen.append((snapshot, threading.get_ident()))
        return {"update": snapshot}


def test_snapshots_are_written_in_order_on_another_thread() -> None:
    writer: Any = Stub()
    rows = [row["update"] for row in written(iter(range(20)), writer)]  # type: ignore[arg-type]
    assert rows == [*range(20)]
    threads = {thread for _, thread in writer.seen}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_training_goes_on_while_one_is_written_but_not_far() -> None:
    done: list[Any] = []
    ahead, most = threading.Event(), 0

    def slow(snapshot: Any) -> dict[str, Any]:
        ahead.wait()  # the first one lasts until others are made
        done.append(snapshot)
        return {}

    slow.evaluator = Stub()  # type: ignore[attr-defined]

    def numbers() -> Iterator[Any]:
        nonlocal most
        for i in range(12):
            most = max(most, i - len(done))
            if i == recording.AHEAD:
                ahead.set()
            yield i

    assert len(list(written(numbers(), slow))) == 12  # type: ignore[arg-type]
    assert most == recording.AHEAD


def test_an_error_of_the_writer_ends_training() -> None:
    given = []

    def numbers() -> Iterator[Any]:
        for i in range(100):
            given.append(i)
            yield i

    with pytest.raises(OSError, match="disk full"):
        list(written(numbers(), Stub(fails_at=3)))  # type: ignore[arg-type]
    assert len(given) <= 3 + recording.AHEAD + 2


def test_nothing_is_written_behind_a_failure(tmp_path: Path, few: Task) -> None:
    run = tmp_path / "run"
    # the third checkpoint cannot be replaced: a folder is in its place
    (run / "checkpoints" / "update-00000006.safetensors").mkdir(parents=True)
    with pytest.raises(OSError, match="update-00000006"):
        train(few, run, **SMALL)
    files = {path.name for path in run.glob("checkpoints/*.safetensors")}
    assert files == {f"update-0000000{i}.safetensors" for i in (0, 3, 6)}
    assert (run / "metrics.csv").read_text().count("\n") == 3
    (run / "checkpoints" / "update-00000006.safetensors").rmdir()
    assert len(find_checkpoints(train(few, run, **SMALL))) == 7


def test_a_failed_writer_takes_nothing_more(tmp_path: Path) -> None:
    class Broken:
        def row(self, snapshot: Snapshot) -> dict[str, Any]:
            raise OSError("disk full")

    writer = Writer(tmp_path, Broken(), frozenset(), {})  # type: ignore[arg-type]
    snapshot = Snapshot(0, {}, {}, [])
    with pytest.raises(OSError, match="disk full"):
        writer(snapshot)
    with pytest.raises(InterruptedError):
        writer(snapshot)


# ---- how large it is


def test_a_checkpoint_is_as_large_as_its_weights(tmp_path: Path, few: Task) -> None:
    run = train(few, tmp_path / "run", **SMALL)
    numbers = sum(p.numel() for p in few.make_model("lstm", 4, 1).parameters())
    for file in find_checkpoints(run):
        data = file.path.read_bytes()
        header = 8 + int.from_bytes(data[:8], "little")
        assert len(data) - header == 4 * numbers
        assert header < space.HEADER


def test_small_embeddings_stay_with_the_weights() -> None:
    class Net(nn.Module):
        def __init__(self, tokens: int) -> None:
            super().__init__()
            self.lookup = nn.Embedding(tokens, 10)
            self.rest = nn.Linear(10, 10, bias=False)

    assert kept_apart(Net(20)) == (frozenset(), 1)
    # 2,000 numbers beside 100: ten times as rare take twice the space
    assert kept_apart(Net(200)) == (frozenset({"lookup.weight"}), 10)
    assert kept_apart(nn.Linear(2, 2)) == (frozenset(), 1)


def test_the_papers_run_takes_less_than_5_gb() -> None:
    from lstm_edge.lab.tasks.task import Classifier

    model = Classifier("lstm", 32, 60, 1, 1, vocabulary_size=10_000)
    names, every = kept_apart(model)
    sizes = {name: 4 * t.numel() for name, t in model.state_dict().items()}
    embedding = sum(sizes[name] for name in names)
    rest = sum(sizes.values()) - embedding
    states = (recording.KEPT_STATES + 2) * space.STATE * sum(sizes.values())
    files = 10_001 * (rest + space.HEADER) + (10_001 // every + 1) * embedding
    assert files + states < 5e9


def test_embeddings_are_kept_rarely_and_found_again(
    tmp_path: Path, words: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "KEPT_UPDATES", 1)
    run = train(words, tmp_path / "run", every="1update", **(SMALL | {"epochs": 1}))
    _, every = kept_apart(words.make_model("lstm", 4, 1))
    assert every > 2
    kept = sorted(int(f.stem.removeprefix("update-")) for f in run.glob("embeddings/*"))
    assert kept == [*range(0, 18 + 1, every)]
    for file in find_checkpoints(run):
        said = read_metadata(file.path)["embedding_update"]
        assert int(said) == file.update // every * every
        tensors = safetensors.numpy.load_file(file.path)
        assert "embedding.weight" not in tensors
        weights = read_checkpoint(file.path)
        assert weights.embedding is not None
        beside = run / "embeddings" / f"update-{int(said):08}.safetensors"
        expected = safetensors.numpy.load_file(beside)["embedding.weight"]
        np.testing.assert_array_equal(weights.embedding, expected)
    state = torch.load(kept_states(run)[every], weights_only=True)["state"]
    now = read_checkpoint(find_checkpoints(run)[every].path).embedding
    assert now is not None
    np.testing.assert_array_equal(state["model"]["embedding.weight"].numpy(), now)


def test_a_run_on_tokens_is_analysed(tmp_path: Path, words: Task) -> None:
    run = train(words, tmp_path / "run", **(SMALL | {"epochs": 2}))
    probe = safetensors.numpy.load_file(run / "probe.safetensors")["inputs"]
    assert probe.dtype == np.int32
    settings = {
        "lyapunov": {"steps": 40, "transient": 20, "starts": 3},
        "distance": {"steps": 60, "samples": 5},
    }
    sweep = lstm_edge.analyze(run, settings=settings)
    assert not sweep.failed
    last = find_checkpoints(run)[-1].path
    measured = lstm_edge.asymptotic_distance(last, probe, steps=60, samples=5)
    assert sweep.table["distance"][-1] == measured.value


@pytest.mark.parametrize("said", ["../../x", "-1", "", "1e3", "9" * 40])
def test_a_hostile_reference_to_an_embedding_leads_nowhere(
    tmp_path: Path, said: str, make_run: Any
) -> None:
    file = find_checkpoints(make_run(1))[0].path
    arrays = safetensors.numpy.load_file(file)
    safetensors.numpy.save_file(arrays, file, {"embedding_update": said})
    with pytest.raises(CheckpointError, match="embedding_update: expected a whole"):
        read_checkpoint(file)


def test_a_missing_embedding_is_told(tmp_path: Path, words: Task) -> None:
    run = train(words, tmp_path / "run", **(SMALL | {"epochs": 1}))
    for file in run.glob("embeddings/*"):
        file.unlink()
    with pytest.raises(CheckpointError, match="copy the folder 'embeddings' too"):
        read_checkpoint(find_checkpoints(run)[0].path)


def test_the_space_is_said_before_training_and_holds(
    tmp_path: Path, words: Task
) -> None:
    said: list[space.Space] = []
    run = train(words, tmp_path / "run", on_plan=said.append, **SMALL)
    assert said[0].checkpoints == len(find_checkpoints(run))
    others = {run / "run.json", run / "probe.safetensors"}
    files = {path for path in run.rglob("*") if path.is_file()} - others
    assert said[0].needed >= sum(file.stat().st_size for file in files)
    train(words, run, on_plan=said.append, **SMALL)
    assert said[1].checkpoints == 0
    assert str(space.Space(1, 2_500_000, 3_210_000_000)) == (
        "1 checkpoint, 2.5 MB at most (3.21 GB free)"
    )


def test_a_full_disk_is_refused(
    tmp_path: Path, few: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(LstmEdgeError, match=r"the run needs .* kB, the disk has 1 kB"):
        train(few, tmp_path / "run", **SMALL)
    assert not list(tmp_path.glob("run/checkpoints/*"))
    monkeypatch.undo()  # and the folder may take other settings
    run = train(few, tmp_path / "run", **(SMALL | {"every": "2epochs"}))
    assert json.loads((run / "run.json").read_text())["schedule"] == "2epochs"


# ---- who writes


@pytest.mark.skipif(os.name == "nt", reason="needs locks of POSIX")
def test_a_second_trainer_is_kept_out(tmp_path: Path, few: Task) -> None:
    with (
        only_trainer(tmp_path / "run"),
        pytest.raises(UsageError, match="another process is training into this folder"),
    ):
        train(few, tmp_path / "run", **SMALL)
    assert not (tmp_path / "run" / "run.json").exists()
    train(few, tmp_path / "run", **SMALL)  # the lock is free again


# ---- what is evaluated, and which states are kept


def test_losses_are_evaluated_once_an_epoch(tmp_path: Path, few: Task) -> None:
    run = train(few, tmp_path / "run", every="2updates", **SMALL)
    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    known = [int(row[0]) for row in rows[1:] if row[3] != "nan"]
    assert known == [0, 4, 6, 10, 12, 16, 18]  # the first ones of each 3 updates
    assert all(row[7] != "nan" for row in rows[1:])
    often = train(
        few, tmp_path / "often", every="2updates", evaluate="1update", **SMALL
    )
    assert "nan" not in (often / "metrics.csv").read_text().split("\n", 2)[2]
    assert json.loads((often / "run.json").read_text())["evaluate"] == "1update"


def test_states_are_kept_along_the_run(
    tmp_path: Path, few: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SMALL | {"epochs": 40}
    rarely = train(few, tmp_path / "rarely", every="1update", **settings)
    assert [*kept_states(rarely)] == [0, recording.KEPT_UPDATES]
    monkeypatch.setattr(recording, "KEPT_UPDATES", 1)
    run = train(few, tmp_path / "run", every="1update", **settings)
    assert [*kept_states(run)] == [*range(0, 121, 2)]
    monkeypatch.setattr(recording, "STATE_SECONDS", 0.0)
    often = train(few, tmp_path / "often", every="1update", **settings)
    assert [*kept_states(often)] == [*kept_states(run)]
