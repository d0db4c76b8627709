"""Clusters: executors on other machines, by their address."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lstm_edge.errors import LstmEdgeError, UsageError

WAIT = 30
"""Seconds that a scheduler, and then its first worker, may take to appear."""


@contextmanager
def dask_executor(address: str) -> Iterator[tuple[Executor, int]]:
    """Connect to a Dask scheduler.

    A checkpoint whose worker dies is measured by another one; a checkpoint whose
    workers died several times is given up, and costs its row.

    Parameters
    ----------
    address : str
        As Dask names it, such as "tcp://10.0.0.1:8786", or its scheduler file.

    Yields
    ------
    executor : concurrent.futures.Executor
        For `analyze`.
    threads : int
        Threads of all workers that there are now.

    Raises
    ------
    UsageError
        Dask is not installed.
    LstmEdgeError
        No scheduler answers there, or it has no workers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UsageError(
            "distributed is not installed; expected it for a Dask cluster: "
            "pip install 'lstm-edge[cluster]'"
        ) from None
    if address.endswith(".json"):
        address = _read_address(Path(address))
    try:
        client: Any = Client(address, timeout=WAIT)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise LstmEdgeError(
            f"{address}: no Dask scheduler answers ({reason}); expected the address "
            "that dask scheduler prints when it starts"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WAIT)
        except (TimeoutError, asyncio.TimeoutError):
            raise LstmEdgeError(
                f"{address}: the scheduler has no workers; start some with "
                f"dask worker {address}"
            ) from None
        yield _DaskExecutor(client), sum(client.nthreads().values())


class _DaskExecutor(Executor):
    """Submits to a scheduler, and tells when that is lost: its futures never end."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._inner: Executor = client.get_executor(pure=False)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.check()
        return self._inner.submit(fn, *args, **kwargs)

    def check(self) -> None:
        """Raise BrokenExecutor once the connection is given up."""
        if self._client.status == "closed":
            raise BrokenExecutor("the Dask scheduler is gone")


def _read_address(path: Path) -> str:
    """Wait for a scheduler file, and read the address in it."""
    end = time.monotonic() + WAIT
    while not path.is_file() and time.monotonic() < end:
        time.sleep(0.2)
    try:
        return str(json.loads(path.read_text())["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LstmEdgeError(
            f"{path}: expected the file that dask scheduler --scheduler-file writes, "
            f"found none that can be read ({type(error).__name__}: {error})"
        ) from error
