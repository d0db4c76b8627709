"""Archives and nested dictionaries of tensors, opened without trust in their sizes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from lstm_edge.errors import CheckpointError

Tensors = dict[str, Any]
"""Tensor name to numpy array or torch tensor."""

# Weights hardly compress, so a file that declares much more than it holds is hostile.
_FREE_BYTES = 2**24
MAX_EXPANSION = 16

MAX_HEADER = 2**20
"""Bytes of a header: some thousand tensors; as objects it takes 30 times that."""

MAX_NAME = 1000


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
            if len(name) > MAX_NAME:
                raise CheckpointError(
                    f"{source}: expected names of at most {MAX_NAME} characters, "
                    f"found '{name[:20]}...{name[-20:]}'"
                )
            if deeper:
                pending.append((f"{name}.", value))
            else:
                tensors[name] = value
    return tensors


def most_memory(size: int) -> int:
    """Tell how many bytes may come out of a file of so many."""
    return max(_FREE_BYTES, MAX_EXPANSION * size)


def check_expansion(source: str, size: int, declared: int) -> None:
    """Refuse a file that would take far more memory than its own size."""
    if declared > most_memory(size):
        raise CheckpointError(
            f"{source}: declares {declared} bytes of tensors in a file of {size} "
            "bytes; refused as hostile. If it is sound, save it uncompressed as "
            ".safetensors"
        )


@contextmanager
def open_zip(
    content: bytes | IO[bytes], source: str
) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """Give the names in an archive, and what reads one in the size it declares."""
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    size = file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) < len(members):
            raise ValueError("a name stands there twice")
        # others take memory without limit before a byte comes out
        if any(m.compress_type not in (0, zipfile.ZIP_DEFLATED) for m in members):
            raise ValueError("compressed in a way that numpy and torch do not know")
        if sum(member.compress_size for member in members) > size:
            raise ValueError("more is declared than the file holds")
        check_expansion(source, size, sum(member.file_size for member in members))

        def read(name: str) -> bytes:
            with archive.open(name) as member:  # a size is a bound
                return member.read(archive.getinfo(name).file_size)

        yield archive.namelist(), read
