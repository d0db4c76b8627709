"""Locks on files, which the system frees when their holder ends in whatever way."""

from __future__ import annotations

import os
from typing import IO


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
