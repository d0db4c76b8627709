"""Checkpoints of TensorFlow: an index of variables, and their values in shards.

``name.index`` is a sorted table (that of LevelDB, without compression): from a
variable's name to a message that tells type, shape, shard, offset and size.
``name.data-00000-of-00001`` holds the values. Names are those of objects,
``layer_with_weights-0/cell/kernel/.ATTRIBUTES/VARIABLE_VALUE`` (TensorFlow 2), or of
variables, ``rnn/lstm_cell/kernel`` (TensorFlow 1).

Source: tensorflow/core/util/tensor_bundle and tensorflow/core/lib/io/format.h.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from lstm_edge.errors import CheckpointError
from lstm_edge.files.beside import Beside
from lstm_edge.files.guard import MAX_EXPANSION, MAX_NAME
from lstm_edge.files.keras import convert
from lstm_edge.files.keras_config import Config
from lstm_edge.files.keras_parts import WAYS, Part
from lstm_edge.files.layers import Array, widen

_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER = 48
_FREE_BYTES = 2**20

_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 9: "<i8", 10: "?", 14: "", 19: "<f2"}
"""Number of a type to numpy's; 14 is bfloat16."""

_END = "/.ATTRIBUTES/VARIABLE_VALUE"
_STATE = ("optimizer", "save_counter", "_CHECKPOINTABLE", ".OPTIMIZER_SLOT")

Entry = dict[int, Any]
"""Number of a field to its value: an integer, or bytes; lists of the repeated."""


def is_tensorflow(data: bytes) -> bool:
    """Whether it is the index of a checkpoint."""
    return len(data) >= _FOOTER and data.endswith(_MAGIC)


def read_tensorflow(
    data: bytes, source: str, beside: Beside
) -> tuple[dict[str, Array], dict[str, str]]:
    """Read the variables that an index names; a reader in `FORMATS`.

    Raises
    ------
    CheckpointError
        A shard is missing, or smaller than the index says; a cell of TensorFlow 1.
    """
    entries = dict(_table(data))
    shards = int(_fields(entries.pop(b"", b"")).get(1, [1])[0])
    stem = source.replace("\\", "/").rpartition("/")[2].removesuffix(".index")
    files: dict[str, bytes] = {}
    left: dict[str, int] = {}
    arrays: dict[str, Array] = {}
    for key, value in entries.items():
        name, entry = key.decode(), _fields(value)
        kind = _TYPES.get(entry.get(1, [0])[0])
        if kind is None or any(part in name for part in _STATE):
            continue
        shard = f"{stem}.data-{entry.get(3, [0])[0]:05}-of-{shards:05}"
        if shard not in files:
            files[shard] = _shard(shard, source, beside)
            left[shard] = len(files[shard])
        arrays[name.removesuffix(_END)] = _array(
            name, kind, entry, files[shard], source
        )
        left[shard] -= int(entry.get(5, [0])[0])
        if left[shard] < 0:
            raise ValueError("variables that share their values")
    return _as_keras(arrays, source)


def _shard(name: str, source: str, beside: Beside) -> bytes:
    found = beside.read(name)
    if found is None:
        raise CheckpointError(
            f"{source}: its values lie in '{name}', expected that file in the same "
            "folder, found none; copy it there"
        )
    return found


def _array(name: str, kind: str, entry: Entry, shard: bytes, source: str) -> Array:
    dims = _fields(entry.get(2, [b""])[0]).get(2, [])
    shape = tuple(int(_fields(dim).get(1, [0])[0]) for dim in dims)
    begin, size = int(entry.get(4, [0])[0]), int(entry.get(5, [0])[0])
    width = 2 if not kind else np.dtype(kind).itemsize
    if math.prod(shape) * width != size or begin + size > len(shard):
        raise CheckpointError(
            f"{source}: '{name}' is said to have shape {shape} and to lie at bytes "
            f"{begin} to {begin + size} of a file of {len(shard)}; copy it again"
        )
    values = shard[begin : begin + size]
    return np.frombuffer(values, kind).reshape(shape) if kind else widen(values, shape)


def _as_keras(
    arrays: dict[str, Array], source: str
) -> tuple[dict[str, Array], dict[str, str]]:
    """Take layers of Keras by the names of their variables, and leave others."""
    groups: dict[str, dict[str, str]] = {}
    for name in arrays:
        group, _, variable = name.rpartition("/")
        groups.setdefault(group, {})[variable] = name
    parts = [
        _part(group, paths, arrays)
        for group, paths in groups.items()
        if paths.keys() <= {"kernel", "recurrent_kernel", "bias", "embeddings"}
    ]
    old = next((n for n in arrays if re.search(r"(lstm|gru)_cell\w*/", n)), None)
    if old and not any(part.is_recurrent for part in parts):
        raise CheckpointError(
            f"{source}: '{old}' is of a cell of TensorFlow 1, whose forget_bias is "
            "kept nowhere; save the weights by PyTorch's names: numpy.savez('net.npz', "
            "weight_ih_l0=..., weight_hh_l0=..., bias_ih_l0=..., bias_hh_l0=...)"
        )
    used = {path for part in parts for path in part.paths.values()}
    known = Config(version="2.4", way_out="choose others by")
    tensors, said = convert(parts, known, source)
    return {n: a for n, a in arrays.items() if n not in used} | tensors, said


def _part(group: str, paths: dict[str, str], arrays: dict[str, Array]) -> Part:
    steps = group.split("/")
    ways = [WAYS[step] for step in steps if step in WAYS]
    layer = ".".join(step for step in steps if step not in (*WAYS, "cell"))
    variables = {kind: arrays[path] for kind, path in paths.items()}
    return Part(layer, layer, group, variables, paths, ways[0] if ways else None)


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give the entries of a sorted table, in order."""
    footer = data[-_FOOTER:]
    place, left = 0, _FREE_BYTES + MAX_EXPANSION * len(data)
    for _ in range(2):  # of the metaindex, which is empty
        _, place = _varint(footer, place)
    offset, place = _varint(footer, place)
    size, _ = _varint(footer, place)
    for _, handle in _block(data, offset, size):
        offset, place = _varint(handle, 0)
        size, _ = _varint(handle, place)
        for key, value in _block(data, offset, size):
            left -= len(key) + len(value)
            if left < 0:
                raise ValueError("names that share more than a table of this size can")
            yield key, value


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Give the entries of a block: each key shares its beginning with the last."""
    block = data[offset : offset + size]
    if len(block) != size or size < 4 or data[offset + size] != 0:
        raise ValueError("a block that is cut, or compressed")
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")
    place, key = 0, b""
    while place < end:
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + own]
        if len(key) > MAX_NAME:
            raise ValueError(f"a name of more than {MAX_NAME} bytes")
        place += own
        yield key, block[place : place + length]
        place += length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place
        if shift > 63:
            raise ValueError("a number without an end")


def _fields(message: bytes) -> Entry:
    """Take a message of protocol buffers apart."""
    found: Entry = {}
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        value: Any
        if kind == 0:
            value, place = _varint(message, place)
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            value, place = message[place : place + width], place + width
        elif kind == 2:
            length, place = _varint(message, place)
            value, place = message[place : place + length], place + length
        else:
            raise ValueError("a field of an unknown kind")
        found.setdefault(tag >> 3, []).append(value)
    return found
