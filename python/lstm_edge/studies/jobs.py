"""The runs of a study: what each does, and several at a time in processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    ProcessPoolExecutor,
    wait,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lstm_edge.errors import LstmEdgeError, UsageError
from lstm_edge.measures import at_edge
from lstm_edge.runs import locked, read_description
from lstm_edge.studies.early_stopping import stop_early
from lstm_edge.studies.results import early_stop_file
from lstm_edge.studies.rules import held_out
from lstm_edge.sweep import analyze
from lstm_edge.tasks import make_task
from lstm_edge.training import train

GLANCE = 0.2
"""Seconds between two looks at what the processes say."""

Event = str | LstmEdgeError | None
"""What a run is doing; why it failed; None when it is done."""

Hear = Callable[[Path, Event], None]
Tell = Callable[[Path, str], None]


@dataclass(frozen=True)
class Job:
    """All that a process needs to make a run and to measure it.

    Attributes
    ----------
    folder : Path
        Of the run.
    task : str
    arguments : dict
        Of `train`, with the seed.
    settings : dict
        Of `analyze`.
    shares : tuple of float
    patience : int
    threads : int
        Cores for the sweep.
    """

    folder: Path
    task: str
    arguments: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]] | None
    shares: tuple[float, ...]
    patience: int
    threads: int

    def __call__(self, tell: Tell) -> None:
        """Train, analyse every checkpoint, train again with data held out.

        Each part goes on where a former call was killed.
        """

        def line(p: Any) -> None:
            tell(self.folder, f"training, epoch {p.epoch:.0f} of {p.epochs}")

        train(self.task, self.folder, at_edge=at_edge, progress=line, **self.arguments)
        analyze(
            self.folder,
            settings=self.settings,
            workers=1,
            threads=self.threads,
            progress=lambda p: tell(self.folder, f"analysing {p.done} of {p.total}"),
        )
        description = read_description(self.folder)
        task = make_task(
            self.task,
            description["data"],
            seed=description["seed"],
            **description["options"],
        )
        with locked(self.folder):
            for share in self.shares:
                file = early_stop_file(self.folder, share, self.patience)
                file.parent.mkdir(exist_ok=True)
                stop_early(
                    task,
                    file,
                    settings=description["settings"],
                    seed=description["seed"],
                    share=share,
                    patience=self.patience,
                    progress=partial(self._tell_epoch, tell, held_out(share)),
                )

    def _tell_epoch(self, tell: Tell, stage: str, epoch: int, last: int) -> None:
        tell(self.folder, f"{stage}, epoch {epoch} of at most {last}")


def attempt(job: Job, tell: Tell) -> LstmEdgeError | None:
    """Do a job; wrong usage is wrong for all of them, and raised."""
    try:
        job(tell)
    except UsageError:
        raise
    except LstmEdgeError as error:
        return error
    except OSError as error:  # such as a disk that is full
        return LstmEdgeError(f"{job.folder}: cannot be gone on with ({error})")
    return None


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


def _attempt_in_process(job: Job) -> LstmEdgeError | None:
    return attempt(job, lambda path, text: _told.put((path, text)))


def in_processes(work: Sequence[Job], jobs: int, hear: Hear) -> None:
    """Do jobs in some processes, and hear how they go."""
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    told: multiprocessing.Queue[tuple[Path, str]] = context.Queue()
    pool = ProcessPoolExecutor(jobs, context, _set_up, (told,))
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
