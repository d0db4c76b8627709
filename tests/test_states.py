"""States to go on from: read as data, as they were written."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from lstm_edge.errors import LstmEdgeError
from lstm_edge.lab.training.runs import read_state, write_state


class Runs:
    """A pickle of it runs a command."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.file),)


def write_pickle(path: Path, content: bytes) -> Path:
    """Write what torch.save writes, around a pickle of one's own."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/byteorder", "little")
    return path


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shared = torch.randn(3, 4)
    kinds = (torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool)
    state: dict[str, Any] = {
        "update": 7,
        "model": {"a.b": shared, "again": shared, "part": shared[1:, ::2]},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}, 5: {}}},
        "random": torch.get_rng_state(),
        "kinds": [torch.ones(2, 2).to(kind) for kind in kinds],
        "rest": [None, True, -1, 1e-300, (0.9, 0.999), "text", torch.zeros(0, 3)],
    }
    write_state(tmp_path / "a.pt", state, b"123456789")
    found, rows, checksum = read_state(tmp_path / "a.pt")
    assert (rows, checksum) == (9, 0xCBF43926)  # the check value of CRC-32
    same(found, state)
    found["model"]["a.b"][0] = 1  # it can be trained


def same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key, value in one.items():
            same(value, other[key])
    elif isinstance(one, list | tuple):
        for a, b in zip(one, other, strict=True):
            same(a, b)
    else:
        assert one == other


def test_a_state_runs_no_code(tmp_path: Path) -> None:
    state = {"state": {"update": Runs(tmp_path / "made")}, "metrics_bytes": 0}
    path = write_pickle(tmp_path / "a.pt", pickle.dumps(state, protocol=2))
    with pytest.raises(LstmEdgeError, match=r"it holds the object .*mkdir"):
        read_state(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content",
    [
        # a tuple 200,000 deep, as a key and as a value
        b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.",
        b"\x80\x02}U\x01a)" + b"\x85" * 200_000 + b"s.",
        # lists of two of the list before, thirty deep: a billion entries
        b"\x80\x02}U\x05state]" + b"2\x86" * 30 + b"s.",
        b"\x80\x02.",
        b"\x80\x02}.",
        b"",
    ],
)
def test_a_hostile_state_ends_in_an_error(tmp_path: Path, content: bytes) -> None:
    path = write_pickle(tmp_path / "a.pt", content)
    with pytest.raises(LstmEdgeError, match="cannot go on from here"):
        read_state(path)


def test_a_state_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    wide = torch.zeros(1).expand(2**20, 2**20)
    write_state(tmp_path / "a.pt", {"wide": wide})
    with pytest.raises(LstmEdgeError, match="refused as hostile"):
        read_state(tmp_path / "a.pt")
