from __future__ import annotations

import csv
import hashlib
import json
import math
import multiprocessing
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch.nn.functional import cross_entropy

import lstm_edge
from lstm_edge.errors import LstmEdgeError, UsageError
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.lab.tasks.digits import make_digits
from lstm_edge.lab.tasks.table import make_task
from lstm_edge.lab.tasks.task import Task
from lstm_edge.lab.training import trainer
from lstm_edge.lab.training.runs import read_description, write_state
from lstm_edge.lab.training.training import TrainingProgress, train
from lstm_edge.net.reading import read_checkpoint

SMALL: dict[str, Any] = {"hidden_size": 6, "epochs": 4, "batch_size": 16}


@pytest.fixture(scope="module")
def task() -> Task:
    """Forty digits to train on, five updates of 16 in two epochs."""
    full = make_digits()
    return replace(
        full,
        train_inputs=full.train_inputs[:40],
        train_targets=full.train_targets[:40],
        test_inputs=full.test_inputs[:50],
        test_targets=full.test_targets[:50],
        probe=full.probe[:10],
    )


def fingerprint(run: Path) -> dict[str, str]:
    """Digest of every file that must not depend on how the run was interrupted."""
    files = [*run.glob("checkpoints/*"), run / "metrics.csv", run / "probe.safetensors"]
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def metrics(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


class Killed(Exception):
    pass


def kill_at(update: int) -> Any:
    def progress(at: TrainingProgress) -> None:
        if at.update >= update:
            raise Killed

    return progress


# ---- what a run holds


def test_run_folder_holds_what_is_promised(tmp_path: Path, task: Task) -> None:
    run = train(task, tmp_path / "run", seed=5, **SMALL)
    description = json.loads((run / "run.json").read_text())
    assert description["task"] == "digits"
    assert description["seed"] == 5
    assert description["schedule"] == "1epoch"
    assert description["updates_per_epoch"] == 3
    assert description["settings"]["hidden_size"] == 6
    assert description["settings"]["betas"] == [0.9, 0.999]
    assert description["versions"].keys() == {"lstm_edge", "torch", "numpy", "python"}
    probe = safetensors.numpy.load_file(run / "probe.safetensors")["inputs"]
    np.testing.assert_array_equal(probe, task.probe)
    found = find_checkpoints(run)
    assert [checkpoint.update for checkpoint in found] == [0, 3, 6, 9, 12]
    assert found[1].path.name == "update-00000003.safetensors"
    assert not list(run.rglob("*.tmp"))


def test_checkpoints_hold_weights_and_metadata(tmp_path: Path, task: Task) -> None:
    run = train(task, tmp_path / "run", seed=5, layers=2, **SMALL)
    rows = metrics(run)
    for checkpoint, row in zip(find_checkpoints(run), rows, strict=True):
        weights = read_checkpoint(checkpoint.path)
        assert weights.hidden_sizes == (6, 6)
        assert weights.dtype == np.float32
        assert weights.readout is not None
        said = weights.metadata
        assert said["cell"] == "lstm"
        assert said["task"] == "digits"
        assert said["seed"] == "5"
        for name in ("update", "epoch", "train_loss", "test_loss"):
            assert float(said[name]) == row[name]


@pytest.mark.parametrize("steps", [trainer.FORWARD_STEPS, 24])  # 24: in many parts
def test_metrics_are_those_of_the_checkpoint(
    tmp_path: Path, task: Task, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "FORWARD_STEPS", steps)
    run = train(task, tmp_path / "run", **SMALL)
    last = find_checkpoints(run)[-1].path
    model = task.make_model("lstm", 6, 1)
    tensors = safetensors.numpy.load_file(last)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    with torch.no_grad():
        logits = model(task.test_inputs)
        train_loss = cross_entropy(model(task.train_inputs), task.train_targets)
    row = metrics(run)[-1]
    right = logits.argmax(1) == task.test_targets
    # rtol: float32 rounding of a mean over 50
    assert row["test_loss"] == pytest.approx(
        float(cross_entropy(logits, task.test_targets)), rel=1e-5
    )
    assert row["train_loss"] == pytest.approx(float(train_loss), rel=1e-5)
    assert row["test_accuracy"] == pytest.approx(float(right.float().mean()))
    norm = math.sqrt(sum(float((array**2).sum()) for array in tensors.values()))
    assert row["weight_norm"] == pytest.approx(norm, rel=1e-5)


def test_norms_are_those_of_the_last_update(tmp_path: Path, task: Task) -> None:
    run = train(task, tmp_path / "run", every="1update", **SMALL)
    tensors = [
        safetensors.numpy.load_file(checkpoint.path)
        for checkpoint in find_checkpoints(run)
    ]
    rows = metrics(run)
    assert math.isnan(rows[0]["gradient_norm"])
    assert math.isnan(rows[0]["update_norm"])
    for before, after, row in zip(tensors[:-1], tensors[1:], rows[1:], strict=True):
        squares = (((after[k] - before[k]) ** 2).sum() for k in after)
        assert row["update_norm"] == pytest.approx(math.sqrt(sum(squares)), rel=1e-4)
        assert row["gradient_norm"] > 0


def test_loss_falls(tmp_path: Path, task: Task) -> None:
    run = train(task, tmp_path / "run", hidden_size=10, epochs=30, batch_size=8)
    rows = metrics(run)
    assert rows[-1]["train_loss"] < 0.3 * rows[0]["train_loss"]
    assert rows[-1]["test_accuracy"] > 0.3


@pytest.mark.parametrize(
    ("every", "updates"),
    [
        ("1epoch", [0, 3, 6, 9, 12]),
        ("3epochs", [0, 9, 12]),
        ("5updates", [0, 5, 10, 12]),
        ("99epochs", [0, 12]),
    ],
)
def test_schedule(tmp_path: Path, task: Task, every: str, updates: list[int]) -> None:
    run = train(task, tmp_path / "run", every=every, **SMALL)
    assert [checkpoint.update for checkpoint in find_checkpoints(run)] == updates
    assert [row["update"] for row in metrics(run)] == updates
    assert [row["epoch"] for row in metrics(run)] == pytest.approx(
        [update / 3 for update in updates], abs=1e-6
    )


def test_schedule_does_not_change_training(tmp_path: Path, task: Task) -> None:
    one = fingerprint(train(task, tmp_path / "one", every="1update", **SMALL))
    two = fingerprint(train(task, tmp_path / "two", every="2epochs", **SMALL))
    for name in two.keys() - {"metrics.csv"}:
        assert one[name] == two[name]


def test_progress_tells_where_training_is(tmp_path: Path, task: Task) -> None:
    seen: list[TrainingProgress] = []
    run = train(task, tmp_path / "run", progress=seen.append, **SMALL)
    rows = metrics(run)
    assert [p.epoch for p in seen] == [0, 1, 2, 3, 4]
    assert [p.test_loss for p in seen] == [row["test_loss"] for row in rows]
    assert all(p.epochs == 4 for p in seen)
    assert math.isnan(seen[0].eta)
    assert seen[-1].eta == 0
    assert sorted(p.elapsed for p in seen) == [p.elapsed for p in seen]


# ---- the same bits


def test_same_seed_same_bits_and_other_seed_other_bits(tmp_path: Path) -> None:
    settings = SMALL | {"epochs": 1}
    torch.manual_seed(11)
    one = fingerprint(train("digits", tmp_path / "one", seed=1, **settings))
    torch.manual_seed(12)
    same = fingerprint(train("digits", tmp_path / "same", seed=1, **settings))
    other = fingerprint(train("digits", tmp_path / "other", seed=2, **settings))
    assert one == same
    assert not set(one.values()) & set(other.values())


def test_the_callers_torch_is_left_as_it_was(tmp_path: Path, task: Task) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with pytest.raises(Killed):
        train(task, tmp_path / "run", progress=kill_at(3), **SMALL)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_other_cells(tmp_path: Path, task: Task, cell: str) -> None:
    settings = SMALL | {"cell": cell, "epochs": 30, "batch_size": 8}
    whole = train(task, tmp_path / "whole", **settings)
    rows = metrics(whole)
    assert rows[-1]["train_loss"] < 0.8 * rows[0]["train_loss"]
    for update in (0, 24, 47):
        with pytest.raises(Killed):
            train(task, tmp_path / "cut", progress=kill_at(update), **settings)
    cut = train(task, tmp_path / "cut", **settings)
    assert fingerprint(cut) == fingerprint(whole)
    last = find_checkpoints(whole)[-1].path
    weights = read_checkpoint(last)
    assert weights.metadata["cell"] == cell
    assert weights.cell == {"gru": "gru", "rnn": "rnn_tanh"}[cell]
    assert all(f"{cell}." in name or "readout." in name for name in _names(last))
    found = lstm_edge.lyapunov(last, task.probe, k=1, steps=50)
    assert np.isfinite(found.exponents).all()


def _names(path: Path) -> list[str]:
    return list(safetensors.numpy.load_file(path))


def test_a_run_that_names_no_cell_is_of_an_lstm(tmp_path: Path, task: Task) -> None:
    whole = fingerprint(train(task, tmp_path / "whole", **SMALL))
    with pytest.raises(Killed):
        train(task, tmp_path / "cut", progress=kill_at(3), **SMALL)
    described = tmp_path / "cut" / "run.json"
    description = json.loads(described.read_text())
    del description["settings"]["cell"]
    described.write_text(json.dumps(description))
    with pytest.raises(UsageError, match="cell = lstm, this call has rnn"):
        train(task, tmp_path / "cut", cell="rnn", **SMALL)
    assert fingerprint(train(task, tmp_path / "cut", **SMALL)) == whole


@pytest.mark.parametrize("every", ["1epoch", "2updates"])
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, task: Task, every: str
) -> None:
    settings = SMALL | {"every": every, "seed": 3, "epochs": 30}
    whole = fingerprint(train(task, tmp_path / "whole", **settings))
    for update in (0, 1, 24, 47, 60):
        with pytest.raises(Killed):
            train(task, tmp_path / "cut", progress=kill_at(update), **settings)
    assert fingerprint(train(task, tmp_path / "cut", **settings)) == whole
    # a finished run has nothing left to do
    seen: list[TrainingProgress] = []
    train(task, tmp_path / "cut", progress=seen.append, **settings)
    assert not seen
    assert fingerprint(tmp_path / "cut") == whole


def test_denser_at_the_edge_and_the_same_when_resumed(
    tmp_path: Path, task: Task
) -> None:
    looked: list[np.ndarray[Any, Any]] = []

    def odd(weights: Any, inputs: Any, *, closed_loop: bool) -> bool:
        assert not closed_loop
        looked.append(inputs)
        return bool(weights["readout.bias"].numpy().view("u4").sum() % 2)

    settings: dict[str, Any] = SMALL | {
        "every": "edge:1update",
        "epochs": 20,
        "at_edge": odd,
    }
    run = train(task, tmp_path / "whole", **settings)
    assert len(looked) == 21
    np.testing.assert_array_equal(looked[0], task.probe)
    updates = {file.update for file in find_checkpoints(run)}
    dense = {epoch for epoch in range(20) if 3 * epoch + 1 in updates}
    assert 0 < len(dense) < 20
    expected = {3 * epoch + more for epoch in dense for more in (1, 2)}
    assert updates == expected | {*range(0, 61, 3)}
    for update in (6, 20, 40):
        with pytest.raises(Killed):
            train(task, tmp_path / "cut", progress=kill_at(update), **settings)
    assert fingerprint(train(task, tmp_path / "cut", **settings)) == fingerprint(run)


def test_a_forecaster_has_a_loss_and_no_accuracy(tmp_path: Path) -> None:
    options = {"sequences": 40, "length": 10}
    settings: dict[str, Any] = {"options": options, "batch_size": 4, "epochs": 20}
    run = train("lorenz", tmp_path / "run", **settings)
    rows = metrics(run)
    assert all(math.isnan(row["test_accuracy"]) for row in rows)
    assert rows[-1]["test_loss"] < 0.5 * rows[0]["test_loss"]
    description = json.loads((run / "run.json").read_text())
    assert description["closed_loop"] is True
    assert description["dt"] == 0.05
    last = find_checkpoints(run)[-1].path
    assert read_checkpoint(last).metadata["closed_loop"] == "true"
    assert read_checkpoint(last).metadata["dt"] == "0.05"
    closed = lstm_edge.lyapunov(last, closed_loop=True, k=1, steps=50)
    assert closed.exponents.shape == (1,)


def test_the_closed_loop_of_a_checkpoint_is_that_of_torch(tmp_path: Path) -> None:
    options: dict[str, Any] = {"sequences": 40, "length": 10}
    run = train("lorenz", tmp_path / "run", options=options, **SMALL)
    model = make_task("lorenz", **options).make_model("lstm", 6, 1).double()
    last = find_checkpoints(run)[-1].path
    tensors = safetensors.numpy.load_file(last)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    lstm: Any = model.lstm
    readout: Any = model.readout
    state = np.random.default_rng(0).uniform(-1, 1, (1, 12))
    found = lstm_edge.orbit(
        last, closed_loop=True, steps=20, starts=1, initial_state=state
    )
    hidden, cell = torch.from_numpy(state).reshape(2, 1, 1, 6)
    with torch.no_grad():
        for step in range(20):
            _, (hidden, cell) = lstm(readout(hidden), (hidden, cell))
            # the readout is folded into W_hh, another order of the same sums
            np.testing.assert_allclose(
                found.hidden[0, step], hidden[0, 0].numpy(), atol=1e-12
            )


@pytest.mark.slow
def test_the_lorenz_forecaster_has_the_exponents_of_the_system(tmp_path: Path) -> None:
    run = train("lorenz", tmp_path / "run")
    last = find_checkpoints(run)[-1].path
    found = lstm_edge.lyapunov(last, closed_loop=True, k=2, dt=0.05, steps=20_000)
    # 5 %; a forecaster is no copy of the flow
    assert found.exponents[0] == pytest.approx(0.906, rel=0.05)
    assert abs(found.exponents[1]) < 0.05 * 0.906


@pytest.mark.parametrize("torn", ["3", "3,1,0.5", "3,1,0.5,0.6,0.7,1,1,1\n" * 2])
def test_torn_metrics_are_cut_back(tmp_path: Path, task: Task, torn: str) -> None:
    settings = SMALL | {"epochs": 20}
    whole = fingerprint(train(task, tmp_path / "whole", **settings))
    with pytest.raises(Killed):
        train(task, tmp_path / "cut", progress=kill_at(6), **settings)
    with (tmp_path / "cut" / "metrics.csv").open("a") as file:
        file.write(torn)
    (tmp_path / "cut" / "checkpoints" / ".update-00000060.safetensors.tmp").touch()
    assert fingerprint(train(task, tmp_path / "cut", **settings)) == whole


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL and a fork server")
def test_killed_at_20_random_moments_equals_uninterrupted(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"hidden_size": 6, "epochs": 40, "every": "3updates"}
    whole = fingerprint(train("digits", tmp_path / "whole", **settings))
    forks = multiprocessing.get_context("forkserver")  # type: ignore[attr-defined,unused-ignore]
    # torch imports the last of these when the first optimiser is made
    preload = ["lstm_edge.lab.training.training", "sklearn.datasets", "torch._dynamo"]
    forks.set_forkserver_preload(preload)
    random = np.random.default_rng(5)
    kills, runs = 0, 0
    while True:
        cut = tmp_path / f"cut{runs}"
        process = forks.Process(target=train, args=("digits", cut), kwargs=settings)
        process.start()
        process.join(random.uniform(0, 0.5) if kills < 20 else None)
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:  # it came to the end
            assert fingerprint(cut) == whole
            if kills == 20:
                return
            runs += 1


# ---- what is refused


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"hidden_size": 7}, "hidden_size = 6, this call has 7"),
        ({"cell": "gru"}, "cell = lstm, this call has gru"),
        ({"betas": (0.9, 0.99)}, "betas"),
        ({"seed": 1}, "seed = 0, this call has 1"),
        ({"every": "1update"}, "schedule"),
        ({"epochs": 5}, "epochs"),
    ],
)
def test_other_settings_on_a_run_are_named(
    tmp_path: Path, task: Task, changed: dict[str, Any], said: str
) -> None:
    train(task, tmp_path / "run", **SMALL)
    before = fingerprint(tmp_path / "run")
    with pytest.raises(UsageError, match=said):
        train(task, tmp_path / "run", **(SMALL | changed))
    assert fingerprint(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"task": "cats"}, "task: expected one of digits, .*, found 'cats'"),
        ({"hidden_size": 0}, "hidden_size: expected an integer >= 1"),
        ({"epochs": 2.5}, "epochs: expected an integer >= 1"),
        ({"batch_size": -1}, "batch_size"),
        ({"layers": 0}, "layers"),
        ({"cell": "elman"}, "cell: expected one of lstm, gru, rnn, found 'elman'"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"every": "0epochs"}, "every"),
        ({"every": "often"}, "every"),
        ({"every": "edge"}, "at_edge: the schedule 'edge' needs a function"),
        ({"evaluate": "log:3"}, "evaluate: expected '1epoch'"),
        ({"decay": 0.0}, "decay: expected a number > 0"),
        ({"preset": "wei2025"}, "preset: expected one of digits"),
        ({"device": "abacus"}, "device: 'abacus' is not available"),
        ({"data": "images.csv"}, "data"),
        ({"clip": 0.0}, "clip: expected a number > 0"),
        ({"epsilon": -1e-8}, "epsilon"),
        ({"precision": "float16"}, "precision: expected float32 or float64"),
    ],
)
def test_settings_that_cannot_work(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        train(**{"task": "digits", "out": tmp_path / "run", **SMALL, **changed})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_file_cannot_hold_a_run(tmp_path: Path, task: Task) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="expected a folder that can hold a run"):
        train(task, tmp_path / "file", **SMALL)
    (tmp_path / "run").mkdir()
    for text in ("[1", "[1]", "{}"):
        (tmp_path / "run" / "run.json").write_text(text)
        with pytest.raises(UsageError, match="cannot hold a run"):
            train(task, tmp_path / "run", **SMALL)


def test_changed_state_is_refused(tmp_path: Path, task: Task) -> None:
    run = train(task, tmp_path / "run", **SMALL)
    (run / "metrics.csv").write_text("update\n")
    with pytest.raises(LstmEdgeError, match=r"metrics\.csv lost rows"):
        train(task, run, **SMALL)
    for content in (b"", b"text", b"PK\x03\x04"):
        (run / "resume" / "newest.pt").write_bytes(content)
        with pytest.raises(LstmEdgeError, match="cannot go on from here"):
            train(task, run, **SMALL)
    write_state(run / "resume" / "newest.pt", {"update": 3})
    (run / "metrics.csv").write_text("")
    with pytest.raises(LstmEdgeError, match="cannot go on from here"):
        train(task, run, **SMALL)


def test_a_damaged_state_is_passed_over_where_one_before_it_is_whole(
    tmp_path: Path, task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    whole = train(task, tmp_path / "whole", **SMALL)
    run = train(task, tmp_path / "run", **SMALL | {"epochs": 2})
    resume = run / "resume"
    shutil.copy(resume / "newest.pt", resume / "update-00000006.pt")
    (run / "run.json").write_bytes((whole / "run.json").read_bytes())
    (resume / "newest.pt").write_bytes((resume / "newest.pt").read_bytes()[:-200])
    train(task, run, **SMALL)
    assert "training goes on from update-00000006.pt" in caplog.text
    assert "newest.pt: cannot go on from here" in caplog.text
    assert "another folder" not in caplog.text
    for one, two in zip(find_checkpoints(whole), find_checkpoints(run), strict=True):
        assert one.path.read_bytes() == two.path.read_bytes()


def test_what_others_did_to_a_run_is_told(
    tmp_path: Path, task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(task, tmp_path / "run", **SMALL)
    train(task, run, **SMALL)
    assert not caplog.records
    log = run / "metrics.csv"
    last = log.read_text()[-4]
    log.write_text(log.read_text()[:-4] + ("1" if last != "1" else "2") + "00\n")
    (run / "checkpoints" / "update-00000006.safetensors").unlink()
    train(task, run, **SMALL)
    changed, gone = (record.getMessage() for record in caplog.records)
    assert "metrics.csv: changed since training wrote it" in changed
    assert gone.endswith("1 checkpoint that training wrote, gone since: update 6")


def test_divergence_is_told(tmp_path: Path, task: Task) -> None:
    with pytest.raises(LstmEdgeError, match="diverged before update 3"):
        train(task, tmp_path / "run", learning_rate=1e38, **SMALL)
    assert [c.update for c in find_checkpoints(tmp_path / "run")] == [0]


def test_what_adam_is_told_changes_the_run_and_only_then_is_in_its_description(
    tmp_path: Path, task: Task
) -> None:
    usual = train(task, tmp_path / "usual", **SMALL)
    for name, value in (
        ("epsilon", 1e-3),
        ("weight_decay", 0.1),
        ("clip", 1e-3),
        ("precision", "float64"),
    ):
        changed: dict[str, Any] = {**SMALL, name: value}
        other = train(task, tmp_path / name, **changed)
        assert read_description(other)["settings"][name] == value
        assert name not in read_description(usual)["settings"]
        ends = [find_checkpoints(run)[-1].path for run in (usual, other)]
        one, two = (safetensors.numpy.load_file(path) for path in ends)
        assert any((one[key] != two[key]).any() for key in one)
    assert {array.dtype for array in two.values()} == {np.dtype(np.float64)}


def test_a_clipped_gradient_is_no_longer_than_allowed(
    tmp_path: Path, task: Task
) -> None:
    run = train(task, tmp_path / "run", **SMALL, clip=1e-3)
    norms = [row["gradient_norm"] for row in metrics(run)]
    assert max(norms[1:]) <= 1e-3 * (1 + 1e-5)


def test_the_second_moment_is_that_of_adam(tmp_path: Path, task: Task) -> None:
    """After one update its bias-corrected square root is the gradient itself."""
    run = train(task, tmp_path / "run", **(SMALL | {"every": "1update"}))
    first = metrics(run)[1]
    assert first["moment_norm"] == pytest.approx(first["gradient_norm"], rel=1e-5)
