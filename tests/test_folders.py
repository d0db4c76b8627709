"""Folders that are one checkpoint, in shards or whole, and sweeps over them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

import lstm_edge
from conftest import refusal
from lstm_edge.errors import CheckpointError
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.net.reading import as_weights, read_checkpoint
from lstm_edge.sweep.analysis import analyze


def write_folder(
    folder: Path, net: nn.Module, *, shards: int = 1, binary: bool = False
) -> Path:
    """Write what `save_pretrained` of transformers writes."""
    folder.mkdir(parents=True)
    state = net.state_dict()
    stem, end = ("pytorch_model", "bin") if binary else ("model", "safetensors")
    save: Any = torch.save if binary else safetensors.torch.save_file
    if shards == 1:
        save(state, folder / f"{stem}.{end}")
    else:
        places = {
            name: f"{stem}-{1 + i % shards:05}-of-{shards:05}.{end}"
            for i, name in enumerate(state)
        }
        for shard in set(places.values()):
            held = {name: t for name, t in state.items() if places[name] == shard}
            save(held, folder / shard)
        index = {"metadata": {"total_size": 1}, "weight_map": places}
        (folder / f"{stem}.{end}.index.json").write_text(json.dumps(index))
    config = {"model_type": "mine", "hidden_size": 6, "dropout": None}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_folder_is_read_as_its_net(tmp_path: Path, binary: bool, shards: int) -> None:
    net = nn.LSTM(4, 6, 2)
    folder = write_folder(tmp_path / "net", net, shards=shards, binary=binary)
    found = read_checkpoint(folder)
    assert found.digest == as_weights(net).digest
    assert found.metadata == {"model_type": "mine", "hidden_size": "6"}
    assert [file.path for file in find_checkpoints(folder)] == [folder]
    for index in folder.glob("*.index.json"):
        assert read_checkpoint(index).digest == as_weights(net).digest


def write_trainer(out: Path) -> dict[int, nn.Module]:
    """Write what the Trainer of transformers leaves of a run."""
    nets: dict[int, nn.Module] = {u: nn.LSTM(4, 6) for u in (50, 100, 1000)}
    for update, net in nets.items():
        folder = write_folder(out / f"checkpoint-{update}", net)
        torch.save({}, folder / "optimizer.pt")
        log = [
            {"step": update - 1, "loss": 9.0},
            {"step": update, "loss": 0.5, "epoch": update / 50},
            {"step": update, "eval_loss": 1 / update},
        ]
        state = {"global_step": update, "epoch": update / 50, "log_history": log}
        (folder / "trainer_state.json").write_text(json.dumps(state))
    write_folder(out / "last", nets[1000])
    for file in (out / "last").iterdir():
        file.rename(out / file.name)
    (out / "last").rmdir()
    return nets


def test_folders_of_a_trainer_are_a_sweep(tmp_path: Path) -> None:
    nets = write_trainer(tmp_path)
    found = find_checkpoints(tmp_path)
    assert [file.update for file in found] == [50, 100, 1000]
    assert find_checkpoints(tmp_path / "checkpoint-*") == found
    for file in found:
        weights = read_checkpoint(file.path)
        assert weights.digest == as_weights(nets[file.update]).digest
    # the folder itself is the net at the end
    assert as_weights(tmp_path).digest == as_weights(nets[1000]).digest
    settings = {
        "lyapunov": {"steps": 20, "transient": 10, "starts": 2},
        "attractors": {"steps": 200, "transient": 10, "limit": 400, "starts": 2},
        "distance": {"steps": 20, "samples": 2},
    }
    table = analyze(tmp_path, settings=settings).table
    assert list(table["update"]) == [50, 100, 1000]
    assert list(table["epoch"]) == [1, 2, 20]
    assert list(table["test_loss"]) == [1 / 50, 1 / 100, 1 / 1000]


def test_folders_elsewhere_are_a_sweep_too(tmp_path: Path) -> None:
    pytest.importorskip("upath")
    fs = pytest.importorskip("fsspec").filesystem("memory")
    nets = write_trainer(tmp_path)
    fs.put(f"{tmp_path}/", "/folders/run/", recursive=True)
    found = find_checkpoints("memory://folders/run")
    assert [file.update for file in found] == [50, 100, 1000]
    assert read_checkpoint(found[0].path).digest == as_weights(nets[50]).digest
    assert as_weights("memory://folders/run").digest == as_weights(nets[1000]).digest
    fs.rm("/folders", recursive=True)


def test_what_a_trainer_saves_beside_the_weights_is_no_checkpoint(
    tmp_path: Path,
) -> None:
    for name in ("training_args.bin", "optimizer.pt", "rng_state_0.pth", "a-7.bin"):
        (tmp_path / name).touch()
    assert [file.path.name for file in find_checkpoints(tmp_path)] == ["a-7.bin"]


def test_one_more_file_makes_it_a_folder_of_checkpoints(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "run", nn.LSTM(4, 6))
    torch.save(nn.LSTM(4, 6).state_dict(), folder / "other.pt")
    found = find_checkpoints(folder)
    assert [file.path.name for file in found] == ["model.safetensors", "other.pt"]


def test_a_folder_without_weights(tmp_path: Path) -> None:
    assert "found a folder without model.safetensors" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("config.json", "{", "expected JSON"),
        ("config.json", "[1]", "expected a JSON object"),
        ("config.json", '{"a": ' * 100_000, "expected JSON"),
        ("model.safetensors.index.json", "{}", "'weight_map'"),
        (
            "model.safetensors.index.json",
            '{"weight_map": {"a": "../model.safetensors"}}',
            "'../model.safetensors'",
        ),
        (
            "model.safetensors.index.json",
            '{"weight_map": {"a": "model-00001-of-00003.safetensors"}}',
            "tensor 'a' is missing in model-00001-of-00003.safetensors",
        ),
        (
            "model.safetensors.index.json",
            '{"weight_map": {"a": "model-00009-of-00009.safetensors"}}',
            "model-00009-of-00009.safetensors: no such file",
        ),
    ],
)
def test_damaged_folders(tmp_path: Path, name: str, content: str, says: str) -> None:
    folder = write_folder(tmp_path / "net", nn.LSTM(4, 6), shards=3)
    (folder / name).write_text(content)
    message = refusal(folder)
    assert says in message
    assert str(folder) in message


@pytest.mark.parametrize("below", ["", "10", "10/default"])
def test_orbax_is_named_with_a_way_out(tmp_path: Path, below: str) -> None:
    place = tmp_path / below
    place.mkdir(parents=True, exist_ok=True)
    (place / "_METADATA").write_text("{}")
    (place / "d").mkdir()
    for read in (lstm_edge.as_weights, find_checkpoints):
        with pytest.raises(CheckpointError, match=r"Orbax.*msgpack_serialize"):
            read(tmp_path)
