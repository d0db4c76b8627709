"""Checkpoint formats: files of named tensors, read safely and written whole.

No file is trusted: nothing is unpickled, and declared sizes are
compared with the size of the file before memory is taken.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from lstm_edge import torch_files
from lstm_edge.errors import CheckpointError
from lstm_edge.foreign_formats import flax, lightning
from lstm_edge.foreign_formats.keras import read_keras
from lstm_edge.foreign_formats.onnx import read_onnx
from lstm_edge.places import is_folder, read_all, read_start

Tensors = dict[str, Any]
"""Tensor name to numpy array or torch tensor."""

# Weights hardly compress, so a file that declares much more than it holds is hostile.
_FREE_BYTES = 2**24
_MAX_EXPANSION = 16

HEADER_GUESS = 2**14
"""Bytes in which the header of a file of one small net lies, in one read."""

_MAX_HEADER = 2**20  # some thousand tensors; as objects it takes 30 times that
_MAX_NAME = 1000


def read_tensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Read all tensors of a checkpoint file, and what it says about itself.

    The file is read once, into memory; it may be written anew at the same time.

    Parameters
    ----------
    path : Path
        Its suffix picks the reader in `FORMATS`.

    Returns
    -------
    tensors : dict of str to ndarray or torch.Tensor
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
    return decode(data, str(path))


def decode(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    """Decode the content of a checkpoint file, as `read_tensors` does.

    Parameters
    ----------
    data : bytes
    source : str
        The file's name: its suffix picks the reader, messages name it.
    """
    suffix = PurePath(source).suffix.lower()
    try:
        tensors, said = FORMATS[suffix](data, source)
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


def replace_file(path: str | PathLike[str], data: bytes) -> None:
    """Write beside `path` and rename into place, so that nothing is half there."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_bytes(data)
    beside.replace(path)


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file; only its header is read."""
    start = read_start(path, HEADER_GUESS)
    end = 8 + int.from_bytes(start[:8], "little")
    if HEADER_GUESS < end <= 8 + _MAX_HEADER:
        start = read_start(path, end)
    return _metadata(start, str(path))


def _metadata(data: bytes, source: str) -> dict[str, str]:
    """Decode what the header at the beginning of a safetensors file says of it."""
    length = int.from_bytes(data[:8], "little")
    try:
        if not 0 < length <= min(_MAX_HEADER, len(data) - 8):
            most = max(0, min(_MAX_HEADER, len(data) - 8))
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


def suffixes() -> str:
    """Return the known suffixes, for messages."""
    return ", ".join(FORMATS)


def flatten(nested: Mapping[Any, Any], source: str = "weights") -> Tensors:
    """Tensors of nested dictionaries, their names joined by dots.

    Raises
    ------
    CheckpointError
        If they are nested so deep, or have such names, that no memory would suffice.
    """
    tensors: Tensors = {}
    pending, seen = [("", nested)], set()
    while pending:
        prefix, level = pending.pop()
        if id(level) in seen:  # a file can hold a dictionary that contains itself
            continue
        seen.add(id(level))
        for key, value in level.items():
            deeper = isinstance(value, Mapping)
            if not deeper and not (hasattr(value, "shape") and hasattr(value, "dtype")):
                continue
            name = f"{prefix}{key}"
            if len(name) > _MAX_NAME:
                raise CheckpointError(
                    f"{source}: expected names of at most {_MAX_NAME} characters, "
                    f"found '{name[:20]}...{name[-20:]}'"
                )
            if deeper:
                pending.append((f"{name}.", value))
            else:
                tensors[name] = value
    return tensors


def _read_safetensors(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    said = _metadata(data, source)
    views = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    decoded = {name: _decode(view) for name, view in views}
    return {k: v for k, v in decoded.items() if v is not None}, said


def _decode(view: Mapping[str, Any]) -> NDArray[Any] | None:
    """Decode a safetensors view; None for types that numpy and weights lack."""
    dtype, data = view["dtype"], view["data"]
    if dtype == "BF16":  # the upper half of a float32
        upper = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return upper.view(np.float32).reshape(view["shape"])
    if not re.fullmatch(r"[FIU](8|16|32|64)", dtype):
        return None
    numpy_dtype = f"<{dtype[0].lower()}{int(dtype[1:]) // 8}"
    return np.frombuffer(data, numpy_dtype).reshape(view["shape"])


@contextmanager
def _open_zip(
    data: bytes, source: str
) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """Give the names in an archive, and what reads one in the size it declares."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) < len(members):
            raise ValueError("a name stands there twice")
        # others take memory without limit before a byte comes out
        if any(m.compress_type not in (0, zipfile.ZIP_DEFLATED) for m in members):
            raise ValueError("compressed in a way that numpy and torch do not know")
        if sum(member.compress_size for member in members) > len(data):
            raise ValueError("more is declared than the file holds")
        _check_expansion(source, data, sum(member.file_size for member in members))

        def read(name: str) -> bytes:
            with archive.open(name) as file:  # without a size it reads what is there
                return file.read(archive.getinfo(name).file_size)

        yield archive.namelist(), read


def _read_npz(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    with _open_zip(data, source) as (names, read):
        found = [name for name in names if name.endswith(".npy")]
        return {n[:-4]: _read_npy(read(n), n[:-4], source) for n in found}, {}


_NPY_STARTS = {b"\x93NUMPY" + bytes([i, 0]): 10 if i == 1 else 12 for i in (1, 2, 3)}
"""Magic and version to where the header begins, behind its length."""

_NPY = re.compile(
    rb"\{'descr': '(?P<dtype>[<>|=]?[bcfimMOSuUV]\d{0,9}(?:\[\w+\])?)', "
    rb"'fortran_order': (?P<order>True|False), "
    rb"'shape': \((?P<shape>[\d, ]*)\),? ?\}\s*"
)
"""Header of a plain array; numpy evaluates it as Python, which can take minutes."""


def _read_npy(data: bytes, name: str, source: str) -> NDArray[Any]:
    start = _NPY_STARTS.get(data[:8], 0)
    end = start + int.from_bytes(data[8:start], "little")
    header = _NPY.fullmatch(data, start, min(end, start + _MAX_HEADER))
    if header is None:
        raise CheckpointError(
            f"{source}: array '{name}' does not begin as a plain array does; it is "
            "damaged, or of a type that holds no weights: save plain float arrays"
        )
    shape = tuple(map(int, re.findall(rb"\d+", header["shape"])))
    dtype = np.dtype(header["dtype"].decode())
    if dtype.hasobject:
        raise CheckpointError(
            f"{source}: array '{name}' holds pickled Python objects, which are never "
            "opened; save plain float arrays"
        )
    held = len(data) - end
    if math.prod(shape) * dtype.itemsize != held:
        raise CheckpointError(
            f"{source}: array '{name}' declares shape {shape} of {dtype}, but "
            f"{max(held, 0)} bytes follow; the file is damaged, write it again"
        )
    order: Literal["F", "C"] = "F" if header["order"] == b"True" else "C"
    return np.ndarray(shape, dtype, data, end, order=order)


def _read_torch(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    if data[:2] == b"PK":
        with _open_zip(data, source) as (names, read):
            return _tensors(lambda: torch_files.read_zip(names, read), data, source)
    if data[:2] == b"\x80\x02":
        return _tensors(lambda: torch_files.read_legacy(data), data, source)
    raise CheckpointError(
        f"{source}: expected a file written by torch.save, found other content; "
        "save a state_dict, or rename the file if it has another format"
    )


def _tensors(
    read: Callable[[], torch_files.Contents], data: bytes, source: str
) -> tuple[Tensors, dict[str, str]]:
    try:
        found = read()
    except torch_files.ForeignObject as error:
        raise _refused(source, str(error)) from error
    if not isinstance(found.saved, dict):
        raise CheckpointError(
            f"{source}: expected a state_dict, found {type(found.saved).__name__}; "
            "save module.state_dict()"
        )
    weights, said = lightning.unwrap(found.saved)
    tensors = flatten(weights, source)
    _check_expansion(source, data, sum(t.nbytes for t in tensors.values()))
    return {name: found.array(tensor) for name, tensor in tensors.items()}, said


def _read_msgpack(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    tree, said = flax.read_msgpack(data, source)
    return flatten(tree, source), said


def _read_keras_archive(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    with _open_zip(data, source) as (_, read):
        return read_keras(read("model.weights.h5"), source, read("config.json"))


def _refused(source: str, name: str) -> CheckpointError:
    """Say why a pickle is not opened, and how to save its weights alone."""
    beside = f"{PurePath(source).stem}-weights.pt"
    saved, weights = "module", "module.state_dict()"
    if PurePath(source).suffix.lower() == ".ckpt":
        saved, weights = "checkpoint", "checkpoint['state_dict']"
    return CheckpointError(
        f"{source}: expected tensors only, found the pickled Python object "
        f"{name}; unpickling can run any code, so the file is not opened. "
        f"If you trust it, save its weights alone: "
        f"{saved} = torch.load({source!r}, weights_only=False); "
        f"torch.save({weights}, {beside!r})"
    )


def _check_expansion(source: str, data: bytes, declared: int) -> None:
    """Refuse a file that would take far more memory than its own size."""
    if declared > max(_FREE_BYTES, _MAX_EXPANSION * len(data)):
        raise CheckpointError(
            f"{source}: declares {declared} bytes of tensors in a file of {len(data)} "
            "bytes; refused as hostile. If it is sound, save it uncompressed as "
            ".safetensors"
        )


FORMATS: dict[str, Callable[[bytes, str], tuple[Tensors, dict[str, str]]]] = {
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".bin": _read_torch,
    ".ckpt": _read_torch,
    ".keras": _read_keras_archive,
    ".h5": read_keras,
    ".hdf5": read_keras,
    ".onnx": read_onnx,
    ".msgpack": _read_msgpack,
}
"""Suffix of a checkpoint file to its reader, of the content and the file's name."""
