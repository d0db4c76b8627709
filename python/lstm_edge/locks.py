"""A lock on a place on the disk, which ends with the process that holds it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lstm_edge.errors import LstmEdgeError


@contextmanager
def locked(
    path: Path, busy: LstmEdgeError, unusable: type[LstmEdgeError], advice: str
) -> Iterator[None]:
    """Keep other processes out; the file of the lock is there only meanwhile.

    Parameters
    ----------
    path : Path
        Of the lock's own file; its folder is made where it is missing.
    busy : LstmEdgeError
        Raised where another process holds it.
    unusable : type of LstmEdgeError
        Raised, with the advice, where there can be no lock.
    advice : str
        What to do then.
    """
    from filelock import FileLock, Timeout  # reading needs none of it

    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise busy from error
    except (OSError, NotImplementedError) as error:
        raise unusable(
            f"{path}: cannot be written and locked ({error}); {advice}"
        ) from error
    try:
        yield
    finally:
        # who locks a file that was removed meanwhile begins anew; Windows removes none
        # that another has open
        windows = os.name == "nt"
        with suppress(OSError):
            if not windows:
                path.unlink()
        lock.release()
        with suppress(OSError):
            if windows:
                path.unlink()
