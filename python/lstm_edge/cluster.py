"""Clusters: executors on other machines, by their address."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from lstm_edge.errors import LstmEdgeError, UsageError


@contextmanager
def dask_executor(address: str) -> Iterator[tuple[Executor, int]]:
    """Connect to a Dask scheduler.

    A checkpoint whose worker dies is measured by another one; a checkpoint whose
    workers died several times is given up, and costs its row.

    Parameters
    ----------
    address : str
        As Dask names it, such as "tcp://10.0.0.1:8786".

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
    try:
        client: Any = Client(address, timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise LstmEdgeError(
            f"{address}: no Dask scheduler answers ({reason}); expected the address "
            "that dask scheduler prints when it starts"
        ) from error
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise LstmEdgeError(
                f"{address}: the scheduler has no workers; start some with "
                f"dask worker {address}"
            )
        yield client.get_executor(pure=False), threads
