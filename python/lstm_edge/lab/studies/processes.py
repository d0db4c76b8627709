"""Runs of a study, several at a time, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    ProcessPoolExecutor,
    wait,
)
from functools import partial
from pathlib import Path
from typing import TypeVar

from lstm_edge.errors import LstmEdgeError
from lstm_edge.lab.studies.job import RunJob

GLANCE = 0.2
"""Seconds between two looks at what the processes say."""

Event = str | LstmEdgeError | None
"""What a run is doing; why it failed; None when it is done."""

T = TypeVar("T")

Hear = Callable[[Path, Event], None]


def do_all(work: Sequence[RunJob], processes: int, hear: Hear) -> None:
    """Do jobs; a single process is this one.

    Parameters
    ----------
    work : sequence of RunJob
    processes : int
        How many at a time.
    hear : callable
        Called with the folder of a run and what happens to it.

    Raises
    ------
    LstmEdgeError
        If a process was ended from outside.
    """
    if processes == 1:
        for job in work:
            hear(job.folder, attempt(job.folder, partial(job, hear)))
    else:
        _in_processes(work, processes, hear)


def attempt(folder: Path, do: Callable[[], T]) -> T | LstmEdgeError:
    """Do something with a run, and give what is wrong with it where that fails."""
    try:
        return do()
    except LstmEdgeError as error:
        return error
    except OSError as error:  # such as a disk that is full
        return LstmEdgeError(f"{folder}: cannot be gone on with ({error})")


_told: multiprocessing.Queue[tuple[Path, str]]
"""Of a process that does jobs: where it tells how they go."""


def _set_up(told: multiprocessing.Queue[tuple[Path, str]]) -> None:
    global _told
    _told = told
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End also where nobody could say so: a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _attempt_in_process(job: RunJob) -> LstmEdgeError | None:
    return attempt(job.folder, partial(job, lambda path, text: _told.put((path, text))))


def _in_processes(work: Sequence[RunJob], processes: int, hear: Hear) -> None:
    """Do jobs in some processes, and hear how they go."""
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    told: multiprocessing.Queue[tuple[Path, str]] = context.Queue()
    pool = ProcessPoolExecutor(processes, context, _set_up, (told,))
    try:
        pending = {pool.submit(_attempt_in_process, job): job.folder for job in work}
        while pending:
            ended, _ = wait(pending, GLANCE, FIRST_COMPLETED)
            while not told.empty():
                hear(*told.get())
            for future in ended:
                hear(pending.pop(future), future.result())
    except BrokenExecutor as error:
        raise LstmEdgeError(
            "a process of the study was ended from outside, perhaps for want of "
            "memory; make the same call again to go on, with fewer jobs"
        ) from error
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()  # a run goes on from its files, as after any kill
        raise
    finally:
        pool.shutdown(cancel_futures=True)
