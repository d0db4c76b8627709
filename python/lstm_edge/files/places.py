"""Places: paths on this machine and URLs of other stores, behind one interface.

A URL is whatever fsspec reaches (``s3://``, ``gs://``, ``hf://``, ``memory://``, ...);
a UPath gives it the methods of pathlib, so that nothing else tells the two apart.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, Any, cast

from lstm_edge.errors import CheckpointError, LstmEdgeError, UsageError

Where = str | PathLike[str]
"""A path, or the URL of a place elsewhere, as a user gives it."""


_BLOCK = 2**16
"""Bytes that a file elsewhere gives at a time."""


def as_place(where: Where) -> Path:
    """Give a path, or a UPath for a URL.

    Parameters
    ----------
    where : str or path
        A UPath is taken as it is, with its storage options.

    Raises
    ------
    UsageError
        A URL of an unknown kind, or one whose library is not installed.
    """
    if not isinstance(where, str):
        return Path(where) if isinstance(where, PathLike) else where
    if "://" not in where:
        return Path(where)
    try:
        from upath import UPath

        found: Any = UPath(where)
        if isinstance(found, PathLike):
            if not where.startswith(("file://", "local://")):
                raise ValueError("no such kind of URL")
            return Path(found)
        found.fs  # noqa: B018, looks for the library of this kind of URL
    except ImportError as error:
        raise UsageError(
            f"{where}: {error}; expected the library for this kind of URL: "
            "pip install 'lstm-edge[remote]', and what the message names"
        ) from None
    except ValueError as error:
        raise UsageError(
            f"{where}: {error}; expected a path or a URL that fsspec knows"
        ) from None
    return cast(Path, found)


def is_place(obj: object) -> bool:
    """Whether it is a path, a URL or a UPath, and so no list of them and no weights."""
    return isinstance(obj, str | PathLike) or (
        hasattr(obj, "fs") and hasattr(obj, "protocol")
    )


def is_remote(path: Path) -> bool:
    """Whether it is reached through fsspec rather than the file system."""
    return not isinstance(path, PathLike)


def absolute(path: Path) -> Path:
    """Give the path from the root; a URL has one already."""
    return path if is_remote(path) else path.absolute()


def identity(path: Path) -> str:
    """Give a text that is the same for two paths to one file."""
    return str(path) if is_remote(path) else os.path.realpath(path)


def read_all(path: Path) -> bytes:
    """Read a file once, whole.

    Raises
    ------
    CheckpointError
        Saying what is there instead of a file that can be read.
    """
    with _explained(path):
        if is_remote(path):
            return cast(bytes, _fs(path).cat_file(_name(path)))
        with _opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(size)
            if file.read(1):
                raise CheckpointError(
                    f"{path}: is being written; run the command again when it is whole"
                )
            return data


def read_start(path: Path, count: int) -> bytes:
    """Read the first `count` bytes of a regular file, or all if it has fewer."""
    with _explained(path):
        if is_remote(path):
            return cast(bytes, _fs(path).cat_file(_name(path), start=0, end=count))
        with _opened(path) as file:
            return file.read(count)


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file to read parts of it, in any order."""
    with _explained(path):
        if is_remote(path):
            opened = _fs(path).open(_name(path), "rb", block_size=_BLOCK)
        else:
            opened = _opened(path)
        with opened as file:
            yield file


def stamp(path: Path) -> tuple[int, ...]:
    """Give what changes when a file on this machine is written; nothing elsewhere."""
    try:
        found = None if is_remote(path) else path.stat()
    except OSError:
        found = None
    return () if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)


def is_folder(path: Path) -> bool:
    """Whether it is a folder; a name that none can have is not."""
    with _explained(path):
        return path.is_dir() if is_remote(path) else os.path.isdir(path)  # noqa: PTH112


def exists(path: Path) -> bool:
    """Whether anything is there, if only a link that leads nowhere."""
    with _explained(path):
        return path.exists() if is_remote(path) else os.path.lexists(path)


def list_folder(folder: Path) -> list[Path]:
    """List what lies in a folder and is no folder, as it is now."""
    with _explained(folder):
        if not is_remote(folder):
            return [path for path in folder.iterdir() if not is_folder(path)]
        fs = _fs(folder)
        fs.invalidate_cache()
        return [folder / Path(name).name for name in fs.find(_name(folder), maxdepth=1)]


def list_subfolders(folder: Path) -> list[Path]:
    """List the folders in a folder, as it is now."""
    with _explained(folder):
        if not is_remote(folder):
            return [path for path in folder.iterdir() if is_folder(path)]
        fs = _fs(folder)
        fs.invalidate_cache()
        found = fs.ls(_name(folder), detail=True)
        return [
            folder / Path(entry["name"]).name
            for entry in found
            if entry["type"] == "directory"
        ]


def matching(pattern: Path) -> list[Path]:
    """List what a glob finds."""
    if not is_remote(pattern):
        return [Path(name) for name in glob.glob(str(pattern), recursive=True)]  # noqa: PTH207
    with _explained(pattern):
        base, *below = [*reversed(pattern.parents), pattern]
        while below and not re.search(r"[*?\[]", below[0].name):
            base = below.pop(0)
        if not below:
            return []
        _fs(base).invalidate_cache()
        return [*base.glob("/".join(part.name for part in below))]


def replace_file(path: Where, data: bytes) -> None:
    """Write beside `path` and rename into place, so that nothing is half there.

    What is beside is made anew: a link that lies there leads to no other file.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.tmp")
    beside.unlink(missing_ok=True)
    try:
        with beside.open("xb") as file:
            file.write(data)
        beside.replace(path)
    except OSError:  # a full disk keeps no part of it
        beside.unlink(missing_ok=True)
        raise


def not_written(path: Where, error: OSError) -> LstmEdgeError:
    """Say that a file cannot be written; only a full disk is no fault of its name."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    kind = LstmEdgeError if full else UsageError
    return kind(f"{path}: cannot be written ({error})")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file, without waiting: a pipe may never begin, nor end."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise CheckpointError(f"{path}: expected a file, found something else")
        yield file


def _fs(path: Any) -> Any:
    return path.fs


def _name(path: Any) -> str:
    """Give the path as its file system knows it."""
    return str(path.path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn whatever keeps a place from being read into one line for people."""
    try:
        yield
    except (CheckpointError, MemoryError):
        raise
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read: {error.strerror or error}"
        ) from error
    except Exception as error:  # a store's client fails in ways of its own
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path}: cannot be reached: {reason}") from error
