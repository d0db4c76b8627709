"""Clusters: executors on other machines, by their address."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
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
    where = {"scheduler_file" if address.endswith(".json") else "address": address}
    try:
        client: Any = Client(**where, timeout=WAIT)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise LstmEdgeError(
            f"{address}: no Dask scheduler answers ({reason}); expected the address "
            "that dask scheduler prints when it starts"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WAIT)
        except TimeoutError:
            raise LstmEdgeError(
                f"{address}: the scheduler has no workers; start some with "
                f"dask worker {address}"
            ) from None
        yield client.get_executor(pure=False), sum(client.nthreads().values())
