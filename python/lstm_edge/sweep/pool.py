"""The pool: checkpoints evaluated a few at a time, and what becomes of each stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from lstm_edge.errors import no_more_threads
from lstm_edge.files.discovery import CheckpointFile
from lstm_edge.store.store import Store
from lstm_edge.sweep.evaluation import GLANCE, Job, Outcome

_END: Any = object()


def fill(
    store: Store,
    job: Job,
    files: Iterable[CheckpointFile | None],
    workers: int,
    ahead: int,
) -> Generator[Outcome]:
    """Evaluate checkpoints, a few at a time, and write what becomes of each.

    Parameters
    ----------
    store : Store
        Open for writing.
    job : Job
    files : iterable of CheckpointFile or None
        None is: nothing at present, ask again later.
    workers : int
        How many at a time.
    ahead : int
        How many more wait for a worker.

    Yields
    ------
    Outcome
        Written. Those that end together come in the order in which they were begun.
    """
    pool = ThreadPoolExecutor(workers, "lstm-edge-sweep")
    try:
        for outcome in _in_flight(pool, job, iter(files), workers + ahead):
            outcome.write(store, job.done)
            yield outcome
    except BaseException:
        job.cancel()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_flight(
    pool: ThreadPoolExecutor,
    job: Callable[[CheckpointFile], Outcome],
    files: Iterator[CheckpointFile | None],
    most: int,
) -> Iterator[Outcome]:
    """Outcomes as they come, with at most `most` checkpoints in memory."""
    pending: list[Future[Outcome]] = []
    more = True
    while more or pending:
        while more and len(pending) < most:
            file = next(files, _END)
            if file is None:
                break
            if file is _END:
                more = False
            else:
                try:
                    pending.append(pool.submit(job, file))
                except RuntimeError as error:
                    raise no_more_threads(error) from error
        if not pending:
            time.sleep(GLANCE if more else 0)
            continue
        # waking up now and then lets Ctrl-C in on every system
        ended, _ = wait(pending, timeout=GLANCE, return_when=FIRST_COMPLETED)
        for future in [future for future in pending if future in ended]:
            pending.remove(future)
            yield future.result()
