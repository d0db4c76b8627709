from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from conftest import Arrays
from lstm_edge.errors import CheckpointError
from lstm_edge.files.discovery import CheckpointFile, find_checkpoints
from lstm_edge.files.safetensors import write_checkpoint


def names(found: list[CheckpointFile]) -> list[str]:
    return [checkpoint.path.name for checkpoint in found]


def updates(found: list[CheckpointFile]) -> list[int]:
    return [checkpoint.update for checkpoint in found]


def test_run_folder_gives_its_checkpoints(make_run: Callable[..., Path]) -> None:
    run = make_run(12)
    found = find_checkpoints(run)
    assert updates(found) == list(range(0, 120, 10))
    assert find_checkpoints(run / "checkpoints") == found
    assert find_checkpoints(run / "checkpoints" / "*.safetensors") == found
    assert find_checkpoints(run, run / "checkpoints", found[3].path) == found


def test_natural_order_puts_2_before_10(tmp_path: Path) -> None:
    for name in ("net-10.pt", "net-2.pt", "net-1.npz", ".net-3.pt", "net-4.pt.tmp"):
        (tmp_path / name).touch()
    (tmp_path / "probe.safetensors").touch()
    (tmp_path / "net-5.pt").mkdir()
    found = find_checkpoints(tmp_path)
    assert names(found) == ["net-1.npz", "net-2.pt", "net-10.pt"]
    assert updates(found) == [1, 2, 10]


def test_metadata_goes_before_the_name(tmp_path: Path, tiny_weights: Arrays) -> None:
    write_checkpoint(tmp_path / "a-9.safetensors", tiny_weights, {"update": "5"})
    write_checkpoint(tmp_path / "b-1.safetensors", tiny_weights, {"update": "70"})
    write_checkpoint(tmp_path / "c-6.safetensors", tiny_weights, {"update": "late"})
    (tmp_path / "d-7.safetensors").write_bytes(b"damaged")
    assert updates(find_checkpoints(tmp_path)) == [5, 6, 7, 70]


@pytest.mark.parametrize(
    ("stem", "update"),
    [
        ("update-00001200", 1200),
        ("epoch=3-step=1200", 1200),
        ("epoch3-loss0.25", 3),
        ("lstm_v2.1_epoch_40", 40),
        ("epoch3_h128", 3),
        ("Epoch 7 of 100", 7),
        ("iteration_100_bs64", 100),
        ("epoch3_step90_h128", 90),
        ("timestep5_epoch_3", 3),
        ("net", 0),
        ("net-3-" + "9" * 30, 3),
    ],
)
def test_update_from_the_name(tmp_path: Path, stem: str, update: int) -> None:
    (tmp_path / f"{stem}.pt").touch()
    assert updates(find_checkpoints(tmp_path)) == [update]


def test_position_where_names_have_no_number(tmp_path: Path) -> None:
    for name in ("early", "late", "middle"):
        (tmp_path / f"{name}.pt").touch()
    assert updates(find_checkpoints(tmp_path)) == [0, 1, 2]


def test_a_copy_of_the_best_has_no_place_among_those_with_a_time(
    tmp_path: Path,
) -> None:
    for name in ("epoch_1", "epoch_2", "epoch_9", "model_best", "last"):
        (tmp_path / f"{name}.pt").touch()
    assert updates(find_checkpoints(tmp_path)) == [1, 2, 9]
    assert updates(find_checkpoints(tmp_path / "*.pt")) == [1, 2, 9]
    best = tmp_path / "model_best.pt"
    assert updates(find_checkpoints(best)) == [0]
    with pytest.raises(CheckpointError, match=r"model_best\.pt: expected its update"):
        find_checkpoints(best, tmp_path / "epoch_1.pt")


def test_folders_below_are_looked_through(tmp_path: Path, tiny_weights: Arrays) -> None:
    deep = tmp_path / "run" / "lightning_logs" / "version_0" / "checkpoints"
    (tmp_path / "run" / ".hidden").mkdir(parents=True)
    deep.mkdir(parents=True)
    for step in (4, 8):
        write_checkpoint(deep / f"step={step}.safetensors", tiny_weights, {})
    write_checkpoint(tmp_path / "run/.hidden/1.safetensors", tiny_weights, {})
    assert [file.update for file in find_checkpoints(tmp_path)] == [4, 8]
    second = deep.parent.parent / "version_1"
    second.mkdir()
    write_checkpoint(second / "step=4.safetensors", tiny_weights, {})
    with pytest.raises(CheckpointError, match="of one run, found some in 2 folders"):
        find_checkpoints(tmp_path)
    assert [file.update for file in find_checkpoints(second)] == [4]


def test_checkpoints_in_a_folder_each(tmp_path: Path, tiny_weights: Arrays) -> None:
    for step in (300, 20):
        (tmp_path / f"step_{step}").mkdir()
        write_checkpoint(tmp_path / f"step_{step}/net.safetensors", tiny_weights, {})
    found = find_checkpoints(tmp_path)
    assert [(file.update, file.told_by) for file in found] == [
        (20, "folder"),
        (300, "folder"),
    ]
    (tmp_path / "step_20/net.safetensors").rename(tmp_path / "step_20/a.safetensors")
    with pytest.raises(CheckpointError, match="name one of them"):
        find_checkpoints(tmp_path)


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected \.safetensors, \.npz"):
        find_checkpoints(tmp_path)
    with pytest.raises(CheckpointError, match="no such file or folder"):
        find_checkpoints(tmp_path / "none")
    with pytest.raises(CheckpointError, match="no such file or folder"):
        find_checkpoints(tmp_path / "*.pt")


def test_other_suffixes_count_where_the_usual_ones_are_missing(tmp_path: Path) -> None:
    for name in ("net_1.th", "net_2.th", "notes.txt"):
        torch.save(nn.LSTM(2, 3).state_dict(), tmp_path / name)
    assert updates(find_checkpoints(tmp_path)) == [1, 2]
    torch.save(nn.LSTM(2, 3).state_dict(), tmp_path / "net_7.pt")
    assert updates(find_checkpoints(tmp_path)) == [7]  # the others may be anything
