"""safetensors: a header in JSON, then the values. The format that training writes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError
from lstm_edge.files.guard import MAX_HEADER, Tensors
from lstm_edge.files.layers import widen
from lstm_edge.files.places import read_start, replace_file

HEADER_GUESS = 2**14
"""Bytes in which the header of a file of one small net lies, in one read."""


def write_checkpoint(
    path: str | PathLike[str],
    tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str],
) -> None:
    """Write a safetensors file; the same content always gives the same bytes.

    Parameters
    ----------
    path : path
        Replaced in one go: the file is never seen half written.
    tensors : mapping of str to ndarray
        Names as in a state_dict.
    metadata : mapping of str to str
        Kept in the header.
    """
    data = safetensors.numpy.save(dict(tensors), dict(metadata))
    # safetensors orders the metadata anew in every process
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:start]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    replace_file(path, len(header).to_bytes(8, "little") + header + data[start:])


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file; only its header is read."""
    start = read_start(path, HEADER_GUESS)
    end = 8 + int.from_bytes(start[:8], "little")
    if HEADER_GUESS < end <= 8 + MAX_HEADER:
        start = read_start(path, end)
    return _metadata(start, str(path))


def _metadata(data: bytes, source: str) -> dict[str, str]:
    """Decode what the header at the beginning of a safetensors file says of it."""
    length = int.from_bytes(data[:8], "little")
    try:
        if not 0 < length <= min(MAX_HEADER, len(data) - 8):
            most = max(0, min(MAX_HEADER, len(data) - 8))
            raise ValueError(
                f"expected 1 to {most} bytes in a file of {len(data)}, found {length} "
                "declared; it may be cut off"
            )
        header = json.loads(data[8 : 8 + length].decode(), object_pairs_hook=_unique)
        said = header.get("__metadata__") or {}
        return {str(name): str(text) for name, text in said.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{source}: damaged header ({error})") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def read_safetensors(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    """Read all tensors, and the metadata; a reader in `FORMATS`."""
    said = _metadata(data, source)
    views = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    decoded = {name: _decode(view) for name, view in views}
    return {k: v for k, v in decoded.items() if v is not None}, said


def _decode(view: Mapping[str, Any]) -> NDArray[Any] | None:
    """Decode a safetensors view; None for types that numpy and weights lack."""
    dtype, data = view["dtype"], view["data"]
    if dtype == "BF16":
        return widen(data, view["shape"])
    if not re.fullmatch(r"[FIU](8|16|32|64)", dtype):
        return None
    numpy_dtype = f"<{dtype[0].lower()}{int(dtype[1:]) // 8}"
    return np.frombuffer(data, numpy_dtype).reshape(view["shape"])
