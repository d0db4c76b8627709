"""Work of low priority beside the main one: one thread, one job at a time."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from lstm_edge.errors import no_more_threads

Work = TypeVar("Work")

NICENESS = 19
"""Of the thread, on Linux: it takes what the others leave."""


class Background(Generic[Work]):
    """Does jobs in the order in which they come; the thread lives while there are some.

    Where jobs may lose their place it rests after each for as long as that took, unless
    somebody waits: it never takes more than half of a core.

    Parameters
    ----------
    work : callable
        Does one job; it must not raise.
    cancel : callable
        Makes a job under way end soon: called when the interpreter ends.
    waiting : int or None
        Most jobs that wait; a new one takes the place of the oldest. None: no limit.
    """

    def __init__(
        self,
        work: Callable[[Work], None],
        cancel: Callable[[], None],
        waiting: int | None,
    ) -> None:
        self._work = work
        self._cancel = cancel
        self._waiting: deque[Work] = deque(maxlen=waiting)
        self._thread: threading.Thread | None = None  # while there is something to do
        self._state = threading.Condition()
        self._awaited = 0  # by so many callers
        _ALL.add(self)

    @property
    def busy(self) -> bool:
        """Whether a job waits or is under way."""
        return self._thread is not None

    def submit(self, job: Work) -> bool:
        """Take a job; tell whether another one lost its place to it."""
        with self._state:
            full = len(self._waiting) == self._waiting.maxlen
            self._waiting.append(job)
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, name="lstm-edge-background", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError as error:
                    self._waiting.clear()
                    raise no_more_threads(error) from error
                self._thread = thread
            return full

    def drop(self) -> None:
        """Forget the jobs that wait."""
        with self._state:
            self._waiting.clear()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for all jobs, so many seconds at most; tell whether they are done."""
        with self._state:
            self._awaited += 1
            self._state.notify_all()
            try:
                return self._state.wait_for(lambda: self._thread is None, timeout)
            finally:
                self._awaited -= 1

    def _run(self) -> None:
        give_way()
        while True:
            with self._state:
                if not self._waiting:
                    self._thread = None
                    self._state.notify_all()
                    return
                job = self._waiting.popleft()
            begin = time.monotonic()
            self._work(job)
            if self._waiting.maxlen is not None:
                with self._state:
                    took = time.monotonic() - begin
                    self._state.wait_for(lambda: self._awaited > 0, took)

    def _end(self) -> None:
        self.drop()
        self._cancel()
        self.wait()


def give_way() -> None:
    """Lower the priority of this thread, and of the threads it starts, on Linux."""
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it; the work is the same
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


_ALL: weakref.WeakSet[Background[Any]] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """End the work before the interpreter ends; nobody will look at it."""
    for background in list(_ALL):
        background._end()
