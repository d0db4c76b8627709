from __future__ import annotations

import contextlib
import io
import json
import pickle
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from conftest import Arrays, refusal
from lstm_edge.errors import CheckpointError
from lstm_edge.files.safetensors import write_checkpoint
from lstm_edge.net.reading import as_weights, read_checkpoint


def write_header(path: Path, header: dict[str, Any], data: bytes = b"") -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt", ".pth"])
def test_formats_give_the_same_weights(
    tmp_path: Path, tiny_weights: Arrays, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        write_checkpoint(path, tiny_weights, {"update": "7"})
        assert read_checkpoint(path).metadata == {"update": "7"}
    elif suffix == ".npz":
        np.savez(path, allow_pickle=False, **tiny_weights)
    else:
        torch.save({k: torch.from_numpy(v) for k, v in tiny_weights.items()}, path)
    assert read_checkpoint(path).digest == as_weights(tiny_weights).digest


def test_bfloat16_is_widened_exactly(tmp_path: Path) -> None:
    state_dict = {k: v.bfloat16() for k, v in nn.LSTM(4, 6).state_dict().items()}
    exact = {k: v.float().numpy() for k, v in state_dict.items()}
    raw = b"".join(
        v.contiguous().view(torch.int16).numpy().tobytes() for v in state_dict.values()
    )
    header, offset = {}, 0
    for name, tensor in state_dict.items():
        end = offset + 2 * tensor.numel()
        header[name] = {
            "dtype": "BF16",
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    path = write_header(tmp_path / "bf16.safetensors", header, raw)
    assert as_weights(state_dict).digest == as_weights(exact).digest
    assert read_checkpoint(path).digest == as_weights(exact).digest


def test_same_content_gives_the_same_bytes(
    tmp_path: Path, tiny_weights: Arrays
) -> None:
    metadata = dict.fromkeys(["cell", "epoch", "loss", "seed", "task", "update"], "1")
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, tiny_weights, metadata)
    first = path.read_bytes()
    write_checkpoint(path, tiny_weights, dict(reversed(metadata.items())))
    assert path.read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    # sorted, so that it did not come out equal by chance
    header = json.loads(first[8 : 8 + int.from_bytes(first[:8], "little")])
    assert list(header["__metadata__"]) == sorted(metadata)
    assert safetensors.numpy.load(first).keys() == tiny_weights.keys()


def test_reading_safetensors_does_not_import_torch(
    tmp_path: Path, tiny_weights: Arrays
) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, tiny_weights, {})
    script = (
        "import sys; from lstm_edge import as_weights, find_checkpoints; "
        f"as_weights({str(path)!r}); find_checkpoints({str(tmp_path)!r}); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


class Harm:
    """Unpickling it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_pickled_code_never_runs(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    harm = Harm(trace)
    torch.save({"weight_ih_l0": harm}, tmp_path / "zip.pt")
    torch.save(
        {"weight_ih_l0": harm},
        tmp_path / "old.pt",
        _use_new_zipfile_serialization=False,
    )
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(harm, protocol=2))
    objects = np.empty(2, object)
    objects[0] = harm
    np.savez(tmp_path / "objects.npz", weight_ih_l0=objects)
    for name in ("zip.pt", "old.pt", "raw.pt", "objects.npz"):
        assert name in refusal(tmp_path / name)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt", ".pth"])
@pytest.mark.parametrize(
    "content", [b"", b"x", b"epoch loss\n" * 99, b"\x80\x02", b"PK"]
)
def test_other_content_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"notes{suffix}"
    path.write_bytes(content)
    assert str(path) in refusal(path)


def test_paths_that_are_no_checkpoint_file(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.pt")
    assert "found a folder" in refusal(tmp_path)
    (tmp_path / "net.pickle").write_text("no net")
    assert ".safetensors, .npz, .pt, .pth" in refusal(str(tmp_path / "net.pickle"))


def test_torch_file_without_dictionary(tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    assert "found list" in refusal(tmp_path / "list.pt")


@pytest.mark.parametrize(
    "header",
    [
        {"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"w": {"dtype": "F32", "shape": [2**33, 2**33], "data_offsets": [0, 4]}},
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
        {"w": {"dtype": "PICKLE", "shape": [2], "data_offsets": [0, 8]}},
    ],
)
def test_lying_safetensors_header(tmp_path: Path, header: dict[str, Any]) -> None:
    path = write_header(tmp_path / "lie.safetensors", header, b"\0" * 8)
    assert str(path) in refusal(path)


def test_huge_safetensors_header(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    assert "found 4611686018427387904 declared" in refusal(path)


def write_npy_member(path: Path, header: bytes, data: NDArray[Any] | bytes) -> None:
    magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weight_ih_l0.npy", magic + header + bytes(data))


@pytest.mark.parametrize("shape", ["(1099511627776,)", "(4, -2)", "'x'", "(4,"])
def test_lying_npz_header(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "lie.npz"
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n"
    write_npy_member(path, header.encode(), b"\0" * 8)
    assert str(path) in refusal(path)


def test_npz_bomb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    zeros = np.zeros(2**27, np.float32)
    np.savez_compressed(path, weight_ih_l0=zeros)
    assert "refused as hostile" in refusal(path)


def test_expanded_torch_tensor_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "expanded.pt"
    torch.save({"weight_hh_l0": torch.zeros(1, 1).expand(2**22, 2**20)}, path)
    assert "refused as hostile" in refusal(path)


def test_dictionary_that_contains_itself(tmp_path: Path) -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    torch.save(endless, tmp_path / "endless.pt")
    assert "no LSTM, GRU or RNN found" in refusal(tmp_path / "endless.pt")


@cache
def as_bytes(suffix: str) -> bytes:
    buffer = io.BytesIO()
    state_dict = nn.LSTM(1, 2).state_dict()
    arrays = {k: v.numpy() for k, v in state_dict.items()}
    if suffix == ".safetensors":
        return safetensors.numpy.save(arrays)
    if suffix == ".npz":
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
    else:
        torch.save(state_dict, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt"])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damage_never_raises_anything_else(
    suffix: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(as_bytes(suffix))
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(content)))
    path = tmp_path_factory.mktemp("damage") / f"damaged{suffix}"
    path.write_bytes(content[:length] if data.draw(st.booleans()) else content)
    with contextlib.suppress(CheckpointError):
        as_weights(path)
