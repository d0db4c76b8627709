"""Checkpoint formats: files of named tensors, read safely and written whole.

No file is trusted: nothing is unpickled, and declared sizes are
compared with the size of the file before memory is taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePath

from lstm_edge.errors import CheckpointError
from lstm_edge.files import flax
from lstm_edge.files.beside import Beside
from lstm_edge.files.guard import Tensors, flatten, open_zip
from lstm_edge.files.keras import read_keras
from lstm_edge.files.npz import read_npz
from lstm_edge.files.onnx import read_onnx
from lstm_edge.files.places import is_folder, read_all, replace_file
from lstm_edge.files.safetensors import (
    read_metadata,
    read_safetensors,
    write_checkpoint,
)
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
        Its suffix picks the reader in `FORMATS`.

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
    if path.suffix.lower() not in FORMATS:
        raise CheckpointError(
            f"{path}: unknown suffix '{path.suffix}'; expected one of {suffixes()}"
        )
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
        The file's name: its suffix picks the reader, messages name it.
    beside : Beside, optional
        Its folder, for what the format keeps in files of their own.
    """
    suffix = PurePath(source).suffix.lower()
    try:
        read = FORMATS[suffix]
        if suffix in _PARTED:
            read = partial(read, beside=beside or Beside())
        tensors, said = read(data, source)
        named, more = flax.to_torch(tensors, source)
        return dict(named), said | more
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:  # damaged and hostile files fail in any way
        reason = str(error)[:200] or type(error).__name__
        raise CheckpointError(
            f"{source}: not a sound {suffix} file ({reason}); it may be damaged, still "
            "being written, or of another format than its name says"
        ) from error


def suffixes() -> str:
    """Return the known suffixes, for messages."""
    return ", ".join(FORMATS)


def _read_msgpack(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    tree, said = flax.read_msgpack(data, source)
    return flatten(tree, source), said


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
}
"""Suffix of a checkpoint file to its reader, of the content and the file's name."""

_PARTED = (".h5", ".hdf5")
"""Suffixes of files that others beside them belong to."""
