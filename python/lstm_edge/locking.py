"""One writer at a time: locks that the system frees when their holder ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from lstm_edge.errors import StoreError


def lock(path: Path) -> IO[bytes]:
    """Take the one writer's lock of a store, until what is returned is closed.

    Raises
    ------
    StoreError
        Another process holds it, or there is no place for it.
    """
    beside = path.with_name(path.name + ".lock")
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        file = beside.open("ab")
    except OSError as error:
        raise StoreError(
            f"{beside}: cannot be written ({error.strerror}); expected a folder that "
            "can be written, name another one with --out"
        ) from error
    try:
        take(file)
    except (BlockingIOError, PermissionError) as error:
        file.close()
        raise StoreError(
            f"{path}: another process is writing to this store; wait for it, or "
            "write to another file with --out"
        ) from error
    except OSError as error:
        file.close()
        raise StoreError(
            f"{beside}: cannot be locked ({error.strerror}); expected a disk that "
            "supports locks, name another one with --out"
        ) from error
    return file


def take(file: IO[bytes]) -> None:
    """Lock an open file until it is closed.

    Raises
    ------
    BlockingIOError, PermissionError
        If another process holds it.
    OSError
        If the disk supports no locks.
    """
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        return
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
