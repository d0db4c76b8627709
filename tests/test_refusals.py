"""A refusal names a way out, and the way out works when it is typed in."""

from __future__ import annotations

import gzip
import re
import shlex
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torch.nn.utils import parametrize

from lstm_edge.cli import main
from lstm_edge.net.reading import as_weights

WORDS = r"'([^']+)'"


class Two(nn.Module):
    """Two nets, two directions, and two layers that could be the readout."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(4, 6)
        self.decoder = nn.GRU(4, 6, bidirectional=True)
        self.first = nn.Linear(6, 4)
        self.second = nn.Linear(6, 4)


class Plus(nn.Module):
    """A parametrisation of one's own."""

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value + 1


def analyze(path: Path, *options: str) -> tuple[int, str]:
    """Run `lstm-edge analyze`, quickly; its exit code and all that it says."""
    fast = ["--samples", "2", "--out", str(path.parent / f"{len(options)}.sqlite")]
    done = CliRunner().invoke(main, ["analyze", str(path), *fast, *options])
    return done.exit_code, " ".join(done.output.split())


def refused(path: Path, *options: str) -> str:
    code, said = analyze(path, *options)
    assert code == 3, said
    return said


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(Two().state_dict(), tmp_path / "net-7.pt")
    return tmp_path / "net-7.pt"


def test_each_module_that_is_offered_can_be_chosen(path: Path) -> None:
    offered = re.findall(WORDS, refused(path).partition("one of:")[2])
    assert offered == ["encoder", "decoder (forward)", "decoder (backward)"]
    for name in offered:
        code, said = analyze(path, "--module", name)
        assert code == 0, said
        assert as_weights(path, module=name).input_size == 4


def test_each_readout_that_is_offered_can_be_chosen(path: Path) -> None:
    said = refused(path, "--module", "encoder", "--readout", "weight")
    offered = re.findall(r"(?:first|second)\.weight", said.partition("choose")[2])
    assert offered == ["first.weight", "second.weight"]
    for name in offered:
        code, said = analyze(path, "--module", "encoder", "--readout", name)
        assert code == 0, said


def packed(kind: str, net: Path) -> Path:
    """Pack a checkpoint as people do."""
    if kind == "gz":
        path = net.with_name(f"{net.name}.gz")
        path.write_bytes(gzip.compress(net.read_bytes()))
        return path
    path = net.with_name(f"net.{kind}")
    with tarfile.open(path, "w:gz" if kind == "tgz" else "w") as archive:
        archive.add(net, net.name)
    return path


@pytest.mark.parametrize(
    ("kind", "command"), [("gz", "gunzip"), ("tgz", "tar xzf"), ("tar", "tar xf")]
)
def test_what_is_packed_says_how_to_unpack_it(
    kind: str, command: str, path: Path
) -> None:
    pack = packed(kind, path)
    path.unlink()
    said = CliRunner().invoke(main, ["inspect", str(pack)]).output
    assert command in said
    subprocess.run([*shlex.split(command), pack.name], cwd=path.parent, check=True)
    assert as_weights(path, module="encoder").hidden_sizes == (6,)


def test_an_array_without_names_says_how_to_name_it(tmp_path: Path) -> None:
    np.save(tmp_path / "net.npy", np.zeros((20, 5)))
    said = CliRunner().invoke(main, ["inspect", str(tmp_path / "net.npy")]).output
    call = re.search(r"numpy\.savez\('(net\.npz)', ([^)]*)\)", " ".join(said.split()))
    assert call is not None
    shapes = {"weight_ih_l0": (20, 3), "weight_hh_l0": (20, 5)}
    named: dict[str, Any] = {
        name: np.zeros(shapes[name]) for name in re.findall(r"(\w+)=", call[2])
    }
    np.savez(tmp_path / call[1], **named)
    assert as_weights(tmp_path / call[1]).hidden_sizes == (5,)


def test_a_parametrisation_says_what_removes_it(tmp_path: Path) -> None:
    net = nn.LSTM(3, 5)
    parametrize.register_parametrization(net, "weight_hh_l0", Plus())
    file = tmp_path / "net.pt"
    torch.save(net.state_dict(), file)
    said = refused(file)
    found = re.search(r"torch\.nn\.utils\.([\w.]+)", said)
    assert found is not None
    remove: Any = torch.nn.utils
    for part in found[1].split("."):
        remove = getattr(remove, part)
    remove(net, "weight_hh_l0")
    torch.save(net.state_dict(), file)
    true: Any = net.weight_hh_l0
    read = as_weights(file).layers[0].weight_hh
    np.testing.assert_array_equal(read, true.detach().numpy())


def test_what_is_assumed_can_be_chosen(tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    torch.save({f"rnn.{k}": v for k, v in nn.RNN(3, 5).state_dict().items()}, file)
    code, said = analyze(file)
    assert code == 0, said
    choice = re.search(rf"if it is relu: --module {WORDS}", said)
    assert choice is not None
    code, said = analyze(file, "--module", choice[1])
    assert code == 0, said
    assert as_weights(file, module=choice[1]).cell == "rnn_relu"


def test_names_that_leave_the_time_open_say_what_to_give(path: Path) -> None:
    for name in ("seed0-7.pt", "seed1-7.pt"):
        torch.save(nn.LSTM(3, 5).state_dict(), path.parent / name)
    path.unlink()
    done = CliRunner().invoke(main, ["analyze", str(path.parent), "--samples", "2"])
    said = " ".join(done.output.split())
    assert "--time-from" in said
    code, said = analyze(path.parent, "--time-from", r"seed(\d+)")
    assert code == 0, said
