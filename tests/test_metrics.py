"""Losses from the logs that trainers write, and how they are told to belong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import make_arrays
from lstm_edge.errors import UsageError
from lstm_edge.files.discovery import CheckpointFile, find_checkpoints
from lstm_edge.files.inputs import read_inputs
from lstm_edge.files.metrics import LogOptions, read_metrics
from lstm_edge.files.safetensors import write_checkpoint

LIGHTNING = """epoch,step,train_loss,val_loss
0,9,2.1,
0,9,,1.9
1,19,1.5,
1,19,,1.4
2,29,1.2,
2,29,,1.3
"""
KERAS = "epoch,accuracy,loss,val_accuracy,val_loss\n" + "".join(
    f"{e},0.5,{2 - e / 10},0.4,{3 - e / 10}\n" for e in range(4)
)
HISTORY = json.dumps({"loss": [2.0, 1.9, 1.8, 1.7], "val_loss": [3.0, 2.9, 2.8, 2.7]})
OWN = "Epoch;Train Loss;Valid Loss\n" + "".join(
    f"{e};{2 - e / 10}".replace(".", ",") + f";{3 - e / 10}\n".replace(".", ",")
    for e in range(1, 5)
)
LINES = "".join(
    json.dumps({"step": 10 * e, "loss": 2 - e / 10, "eval_loss": 3 - e / 10}) + "\n"
    for e in range(1, 5)
)


def files(*names: str, **metadata: str) -> list[CheckpointFile]:
    return [
        CheckpointFile(Path(name), int("".join(filter(str.isdigit, name))), metadata)
        for name in names
    ]


def epochs(first: int, last: int) -> list[CheckpointFile]:
    return files(*(f"e{epoch}.pt" for epoch in range(first, last + 1)))


def losses(found: dict[int, dict[str, float]], name: str = "test_loss") -> list[float]:
    return [round(known.get(name, np.nan), 6) for known in found.values()]


@pytest.mark.parametrize(
    ("name", "text", "checkpoints", "expected", "told"),
    [
        ("metrics.csv", LIGHTNING, files("s10", "s20", "s30"), [1.9, 1.4, 1.3], "+1"),
        ("log.csv", KERAS, epochs(1, 4), [3.0, 2.9, 2.8, 2.7], "'epoch' +1"),
        ("history.json", HISTORY, epochs(1, 4), [3.0, 2.9, 2.8, 2.7], "'epoch' +1"),
        ("own.tsv", OWN, epochs(1, 4), [2.9, 2.8, 2.7, 2.6], "'Epoch'"),
        ("own.tsv", OWN, epochs(0, 4), [np.nan, 2.9, 2.8, 2.7, 2.6], "4 of 5"),
        ("a.jsonl", LINES, files("10", "20", "30", "40"), [2.9, 2.8, 2.7, 2.6], "step"),
        ("own.csv", OWN, files("10", "20", "30", "40"), [2.9, 2.8, 2.7, 2.6], "guess"),
    ],
)
def test_a_log_of_a_trainer(
    name: str,
    text: str,
    checkpoints: list[CheckpointFile],
    expected: list[float],
    told: str,
    tmp_path: Path,
) -> None:
    (tmp_path / name).write_text(text)
    found, sentence = read_metrics(tmp_path / name, tmp_path, checkpoints)
    assert losses(found) == pytest.approx(expected, nan_ok=True)
    assert told in sentence
    known = sum(np.isfinite(expected))
    assert f"{known} of {len(checkpoints)} checkpoints have a test loss" in sentence


def test_rows_that_meet_all_checkpoints_one_by_one_are_theirs(tmp_path: Path) -> None:
    """Epochs 1 to 8 of a log are those of checkpoints 0 to 7, not of 1 to 7."""
    rows = "".join(f"{epoch},{1 / epoch}\n" for epoch in range(1, 9))
    (tmp_path / "log.csv").write_text("epoch,val_loss\n" + rows)
    found, told = read_metrics(None, tmp_path, epochs(0, 7))
    assert losses(found) == pytest.approx(1 / np.arange(1, 9), rel=1e-5)
    assert "matched by 'epoch' -1" in told
    every_second = epochs(0, 7)[::2]
    found, told = read_metrics(None, tmp_path, every_second)
    assert losses(found)[1] == 1 / 2
    assert "-1 fits better: choose with --time-offset -1" in told


def test_epochs_that_are_taken_for_updates_are_a_guess(tmp_path: Path) -> None:
    rows = "".join(f"{step},{1 / (1 + step)}\n" for step in range(800))
    (tmp_path / "log.csv").write_text("step,val_loss\n" + rows)
    _, told = read_metrics(None, tmp_path, epochs(0, 7))
    assert "a guess, as the checkpoints (0 to 7) cover 0.9% of the log" in told
    _, told = read_metrics(None, tmp_path, files("0", "400", "700"))
    assert "a guess" not in told


def test_a_training_loss_is_not_called_a_test_loss(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("epoch,loss,mse_val\n1,3,4\n2,2,5\n")
    found, told = read_metrics(None, tmp_path, epochs(1, 2))
    assert losses(found, "train_loss") == [3, 2]
    assert "2 of 2 checkpoints have a training loss, none a test loss" in told
    assert "--loss-column names the test loss, if it is one of mse_val" in told


def test_training_loss_and_epoch_come_along(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(LIGHTNING)
    found, _ = read_metrics(None, tmp_path, files("s10", "s20", "s30"))
    assert losses(found, "train_loss") == [2.1, 1.5, 1.2]
    assert losses(found, "epoch") == [0, 1, 2]


def test_numbers_that_agree_by_accident_are_refused(tmp_path: Path) -> None:
    rows = "".join(f"{epoch},{1 / epoch}\n" for epoch in range(1, 61))
    (tmp_path / "log.csv").write_text("epoch,val_loss\n" + rows)
    saved = files(*(f"step{10 * i}.pt" for i in range(1, 27)))
    with pytest.raises(UsageError, match=r"6 agree, as if by accident.*--time-column"):
        read_metrics(tmp_path / "log.csv", tmp_path, saved)
    found, told = read_metrics(None, tmp_path, saved)  # costs the losses alone
    assert not any("test_loss" in known for known in found.values())
    assert "none found" in told
    assert "by accident" in told


def test_columns_and_offset_may_be_named(tmp_path: Path) -> None:
    log = tmp_path / "x.csv"
    log.write_text("n,mse,other\n0,5,6\n1,4,7\n2,3,8\n")
    with pytest.raises(UsageError, match="--loss-column"):
        read_metrics(log, tmp_path, epochs(0, 2))
    named = LogOptions(time_column="n", loss_column="mse")
    assert losses(read_metrics(log, tmp_path, epochs(0, 2), named)[0]) == [5, 4, 3]
    later = LogOptions(time_column="n", loss_column="other", time_offset=5)
    assert losses(read_metrics(log, tmp_path, epochs(5, 7), later)[0]) == [6, 7, 8]
    with pytest.raises(UsageError, match="expected a column 'm', found n, mse, other"):
        read_metrics(log, tmp_path, epochs(0, 2), LogOptions("m", "mse"))


def test_two_logs_that_fit_are_a_question(tmp_path: Path) -> None:
    for name in ("log.csv", "history.csv"):
        (tmp_path / name).write_text(KERAS)
    found, told = read_metrics(None, tmp_path, epochs(1, 4))
    assert found == {}
    assert "2 logs fit" in told
    assert "--metrics" in told


def test_losses_in_metadata_and_in_names(tmp_path: Path) -> None:
    said, told = read_metrics(None, tmp_path, files("e1", "e2", val_loss="0.5"))
    assert losses(said) == [0.5, 0.5]
    assert told == "what the files say: 2 of 2 checkpoints have a test loss"
    named = [
        CheckpointFile(Path(name), i)
        for i, name in enumerate(
            ["weights.05-0.43.weights.h5", "e3-val_loss=0.25.ckpt", "e3_h128.pt"]
        )
    ]
    found, told = read_metrics(None, tmp_path, named)
    assert losses(found) == pytest.approx([0.43, 0.25, np.nan], nan_ok=True)
    assert told == "names: 2 of 3 checkpoints have a test loss (a guess)"


@pytest.mark.parametrize("text", ["", "a,b\n", "[1, 2", '{"a": 1}', "\x00\x01", "{}"])
def test_what_is_no_log(text: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(UsageError, match=r"log\.csv"):
        read_metrics(tmp_path / "log.csv", tmp_path, epochs(1, 3))


def test_tensorboard(tmp_path: Path) -> None:
    module = "tensorboard.summary.writer.event_file_writer"
    writing = pytest.importorskip(module)
    events = pytest.importorskip("tensorboard.compat.proto.event_pb2")
    summary = pytest.importorskip("tensorboard.compat.proto.summary_pb2")
    writer = writing.EventFileWriter(str(tmp_path))
    for step in (10, 20, 30):
        value = summary.Summary.Value(tag="Loss/val", simple_value=step / 100)
        content = summary.Summary(value=[value])
        writer.add_event(events.Event(step=step, summary=content))
    writer.close()
    found, told = read_metrics(None, tmp_path, files("s10", "s20", "s30"))
    assert losses(found) == pytest.approx([0.1, 0.2, 0.3])
    assert "3 of 3" in told


def test_inputs_from_files(tmp_path: Path) -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", x=array, labels=np.arange(2))
    write_checkpoint(tmp_path / "a.safetensors", {"inputs": array}, {})
    for name in ("a.npy", "a.npz", "a.safetensors"):
        assert np.array_equal(read_inputs(tmp_path / name), array)
    (tmp_path / "a.csv").write_text("p,q\n1,2\n3,4\n5,6\n")
    assert np.array_equal(read_inputs(tmp_path / "a.csv"), [[1, 2], [3, 4], [5, 6]])
    (tmp_path / "b.csv").write_text("1,2\n3,x\n")
    np.savez(tmp_path / "b.npz", **make_arrays())  # type: ignore[arg-type]
    np.save(tmp_path / "b.npy", np.array([{}]), allow_pickle=True)
    for name in ("b.csv", "b.npz", "b.npy", "none.npy"):
        with pytest.raises(UsageError, match=name):
            read_inputs(tmp_path / name)


def test_a_folder_is_found_with_its_log(tmp_path: Path) -> None:
    for epoch in (1, 2, 3, 4):
        np.savez(tmp_path / f"e{epoch}.npz", **make_arrays())  # type: ignore[arg-type]
    (tmp_path / "training.log").write_text(KERAS)
    found, told = read_metrics(None, tmp_path, find_checkpoints(tmp_path))
    assert losses(found) == [3.0, 2.9, 2.8, 2.7]
    assert "training.log: 4 of 4" in told
    (tmp_path / "e4.npz").unlink()
    _, told = read_metrics(None, tmp_path, find_checkpoints(tmp_path))
    assert "1 of its rows has no checkpoint; +1 fits as well" in told
