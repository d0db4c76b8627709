"""Checkpoints of TensorFlow, written here by hand as its documents say.

A file of tf_keras 2.21 with TensorFlow 2.21, an Embedding, two LSTMs and a Dense, gave
the states of its own forward pass to 2e-8.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conftest import refusal
from lstm_edge.errors import CheckpointError
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.net.reading import as_weights

END = "/.ATTRIBUTES/VARIABLE_VALUE"


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Keys share their beginning with the one before; one restart, no compression."""
    out, last = b"", b""
    for key, value in entries:
        pairs = zip(key, last, strict=False)
        shared = next((i for i, (a, b) in enumerate(pairs) if a != b), len(last))
        shared = min(shared, len(key))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out += key[shared:] + value
        last = key
    return out + bytes(4) + (1).to_bytes(4, "little") + b"\0" + bytes(4)


def write(path: Path, arrays: dict[str, Any]) -> Path:
    """Write an index, and one shard beside it."""
    values, entries = b"", [(b"", field(1, 1))]
    for name, given in sorted(arrays.items()):
        array = np.asarray(given, "<f4")
        shape = b"".join(field(2, field(1, n)) for n in array.shape)
        told = field(1, 1) + field(2, shape)
        told += field(4, len(values)) + field(5, array.nbytes)
        entries.append((name.encode(), told))
        values += array.tobytes()
    data = block(entries)
    handle = varint(0) + varint(len(data) - 5)
    begin = len(data)
    data += block([(entries[-1][0], handle)])
    footer = varint(0) + varint(0) + varint(begin) + varint(len(data) - begin - 5)
    data += footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")
    path.write_bytes(data)
    (path.parent / f"{path.stem}.data-00000-of-00001").write_bytes(values)
    return path


def keras_arrays(net: nn.LSTM, reverse: str = "") -> dict[str, Any]:
    own = {k: v.detach().numpy() for k, v in net.named_parameters()}
    return {
        "kernel": own[f"weight_ih_l0{reverse}"].T,
        "recurrent_kernel": own[f"weight_hh_l0{reverse}"].T,
        "bias": own[f"bias_ih_l0{reverse}"] + own[f"bias_hh_l0{reverse}"],
    }


def layer(place: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {f"{place}/{name}{END}": array for name, array in arrays.items()}


def test_layers_of_keras_are_known_by_the_names_of_objects(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.LSTM(3, 4)
    arrays = layer("layer_with_weights-0/cell", keras_arrays(net))
    arrays |= layer(
        "layer_with_weights-1", {"kernel": np.ones((4, 2)), "bias": np.ones(2)}
    )
    arrays |= layer("optimizer/m", {"kernel": np.ones((9, 9))})
    path = write(tmp_path / "ckpt-12.index", arrays)
    weights = as_weights(path)
    np.testing.assert_array_equal(
        weights.layers[0].weight_hh,
        dict(net.named_parameters())["weight_hh_l0"].detach().numpy(),
    )
    assert weights.readout is not None
    assert "choose others by: --module" in weights.assumed
    assert [file.update for file in find_checkpoints(tmp_path)] == [12]


def test_each_direction_is_a_net(tmp_path: Path) -> None:
    net = nn.LSTM(3, 4, bidirectional=True)
    arrays = layer("a/forward_layer/cell", keras_arrays(net))
    arrays |= layer("a/backward_layer/cell", keras_arrays(net, "_reverse"))
    path = write(tmp_path / "net.index", arrays)
    found = as_weights(path, module="a (backward)").layers[0].weight_hh
    np.testing.assert_array_equal(
        found, dict(net.named_parameters())["weight_hh_l0_reverse"].detach().numpy()
    )


def test_what_is_missing_or_cut_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "net.index", layer("a/cell", keras_arrays(nn.LSTM(3, 4))))
    shard = tmp_path / "net.data-00000-of-00001"
    assert "expected its index: " in refusal(shard)
    shard.write_bytes(shard.read_bytes()[:-4])
    assert "copy it again" in refusal(path)
    shard.unlink()
    assert "copy it there" in refusal(path)
    path.write_bytes(path.read_bytes()[:40] + path.read_bytes()[-48:])
    assert str(path) in refusal(path)


def test_cells_of_tensorflow_1_are_refused_for_their_forget_bias(
    tmp_path: Path,
) -> None:
    arrays = {
        "rnn/basic_lstm_cell/kernel": np.ones((7, 16)),
        "rnn/basic_lstm_cell/bias": np.ones(16),
    }
    assert "forget_bias is kept nowhere" in refusal(write(tmp_path / "a.index", arrays))


def test_names_that_grow_and_values_that_are_shared_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.index", {"a" * 2000: np.ones(2)})
    assert "a name of more than 1000 bytes" in refusal(path)
    path = write(tmp_path / "b.index", {"a": np.ones(2), "b": np.ones(2)})
    (tmp_path / "b.data-00000-of-00001").write_bytes(bytes(12))
    assert "not a sound .index file" in refusal(path) or "copy it" in refusal(path)


@pytest.mark.parametrize("seed", range(20))
def test_damage_never_raises_anything_else(tmp_path: Path, seed: int) -> None:
    path = write(tmp_path / "net.index", layer("a/cell", keras_arrays(nn.LSTM(3, 4))))
    random, data = np.random.default_rng(seed), bytearray(path.read_bytes())
    for place in random.integers(0, len(data), 4):
        data[place] = random.integers(0, 256)
    path.write_bytes(data)
    with suppress(CheckpointError):
        as_weights(path)
