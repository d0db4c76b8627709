"""Checkpoint formats: files of named tensors, read safely and written whole.

No file is trusted: nothing is unpickled, and declared sizes are
compared with the size of the file before memory is taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from lstm_edge.errors import CheckpointError
from lstm_edge.files import flax
from lstm_edge.files.beside import Beside
from lstm_edge.files.equinox import is_equinox, read_equinox
from lstm_edge.files.guard import Tensors, flatten, open_zip
from lstm_edge.files.json_nets import read_json_net
from lstm_edge.files.keras import read_keras
from lstm_edge.files.npz import read_npz
from lstm_edge.files.onnx import read_onnx
from lstm_edge.files.places import is_folder, read_all, replace_file
from lstm_edge.files.safetensors import (
    read_metadata,
    read_safetensors,
    write_checkpoint,
)
from lstm_edge.files.tensorflow import is_tensorflow, read_tensorflow
from lstm_edge.files.torch import read_torch

__all__ = [
    "FORMATS",
    "Tensors",
    "decode",
    "flatten",
    "read_metadata",
    "read_tensors",
    "replace_file",
    "suffixes",
    "write_checkpoint",
]


def read_tensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Read all tensors of a checkpoint file, and what it says about itself.

    The file is read once, into memory; it may be written anew at the same time.

    Parameters
    ----------
    path : Path
        Its first bytes pick the reader, else its suffix, in `FORMATS`.

    Returns
    -------
    tensors : dict of str to ndarray
        By name; nested dictionaries are joined by dots.
    metadata : dict of str to str

    Raises
    ------
    CheckpointError
        If the file is missing, empty, damaged or unsafe.
    """
    if is_folder(path):
        raise CheckpointError(f"{path}: expected a checkpoint file, found a folder")
    data = read_all(path)
    if not data:
        raise CheckpointError(f"{path}: the file is empty; write it again")
    return decode(data, str(path), Beside(path))


def decode(
    data: bytes, source: str, beside: Beside | None = None
) -> tuple[Tensors, dict[str, str]]:
    """Decode the content of a checkpoint file, as `read_tensors` does.

    Parameters
    ----------
    data : bytes
    source : str
        The file's name: messages name it, and its suffix picks the reader where the
        content does not.
    beside : Beside, optional
        Its folder, for what the format keeps in files of their own.
    """
    suffix = PurePath(source).suffix.lower()
    read = _by_content(data, source) or FORMATS.get(suffix)
    if read is None:
        raise CheckpointError(
            f"{source}: its content is of no format that is known, nor is its suffix; "
            f"expected one of {suffixes()}"
        )
    try:
        if read in _PARTED:
            read = partial(read, beside=beside or Beside())
        tensors, said = read(data, source)
        named, more = flax.to_torch(tensors, source)
        return dict(named), said | more
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:  # damaged and hostile files fail in any way
        reason = str(error)[:200] or type(error).__name__
        raise CheckpointError(
            f"{source}: not a sound {suffix or 'checkpoint'} file ({reason}); it may "
            "be damaged, still being written, or of another format than its name says"
        ) from error


def suffixes() -> str:
    """Return the known suffixes, for messages."""
    return ", ".join(FORMATS)


def _read_msgpack(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    tree, said = flax.read_msgpack(data, source)
    return flatten(tree, source), said


def _read_archive(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    """Read a zip archive, of Keras, NumPy, PyTorch or Stable-Baselines3."""
    with open_zip(data, source) as (names, read):
        if "policy.pth" in names:
            return read_torch(read("policy.pth"), f"{source}:policy.pth")
        if "model.weights.h5" in names:
            return _read_keras_archive(data, source)
        arrays = any(name.endswith(".npy") for name in names)
    return read_npz(data, source) if arrays else read_torch(data, source)


def _read_keras_archive(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    with open_zip(data, source) as (names, read):
        about = json.loads(read("metadata.json")) if "metadata.json" in names else {}
        version = str(about.get("keras_version", ""))
        config = read("config.json")
        return read_keras(read("model.weights.h5"), source, Beside(), config, version)


FORMATS: dict[str, Callable[..., tuple[Tensors, dict[str, str]]]] = {
    ".safetensors": read_safetensors,
    ".npz": read_npz,
    ".pt": read_torch,
    ".pth": read_torch,
    ".tar": read_torch,
    ".bin": read_torch,
    ".ckpt": read_torch,
    ".keras": _read_keras_archive,
    ".h5": read_keras,
    ".hdf5": read_keras,
    ".onnx": read_onnx,
    ".msgpack": _read_msgpack,
    ".json": read_json_net,
    ".index": read_tensorflow,
    ".eqx": read_equinox,
}
"""Suffix of a checkpoint file to its reader, of the content and the file's name."""

ALIKE = (".pkl", ".th", ".net", ".model", ".jit", ".ptc", ".nam")
"""Suffixes that checkpoints have whose content tells the format."""

_PARTED = (read_keras, read_onnx, read_tensorflow)
"""Readers of files that others beside them belong to."""

_BEGINNINGS: tuple[tuple[bytes, Callable[..., Any]], ...] = (
    (b"\x89HDF\r\n\x1a\n", read_keras),
    (b"PK\3\4", _read_archive),
    (b"\x80", read_torch),
    (b"{", read_json_net),
)

_ELSEWHERE = (
    (0, b"\x1f\x8b", "a gzip archive, expected what is inside: gunzip it, or tar xzf"),
    (257, b"ustar", "a tar archive, expected the files inside: tar xf"),
    (
        4,
        b"TFL3",
        "a net of TensorFlow Lite; expected the Keras model that it came from",
    ),
    (
        0,
        b"version https://git-lfs",
        "a pointer of Git LFS; fetch the file: git lfs pull",
    ),
)
"""Place and beginning of what is refused, and the way out."""


def _by_content(data: bytes, source: str) -> Callable[..., Any] | None:
    """Find the reader by the first bytes; None where they tell nothing."""
    for place, start, what in _ELSEWHERE:
        if data[place : place + len(start)] == start:
            raise CheckpointError(f"{source}: found {what}")
    if match := re.search(r"(.*)\.(?:meta|data-\d+-of-\d+)$", source):
        raise CheckpointError(
            f"{source}: found a part of a TensorFlow checkpoint, expected its index: "
            f"{match[1]}.index"
        )
    if is_tensorflow(data):
        return read_tensorflow
    if is_equinox(data):
        return read_equinox
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data):
        return read_safetensors
    return next((read for start, read in _BEGINNINGS if data.startswith(start)), None)
