"""How far a sweep is, for whoever wants to know."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a sweep is.

    Attributes
    ----------
    done, failed : int
        Checkpoints.
    total : int or None
        None where a sweep refines: it ends when nothing is in doubt any more.
    name : str
        The checkpoint just finished.
    seconds : float
        Since the sweep began.
    """

    done: int
    total: int | None
    failed: int
    name: str
    seconds: float

    def __str__(self) -> str:
        """Return a line for people."""
        if self.total is None:
            line = f"{self.done} checkpoints, {self.seconds:.0f} s"
        else:
            left = self.seconds * (self.total - self.done) / self.done
            line = f"{self.done}/{self.total} checkpoints, {self.seconds:.0f} s, "
            line += f"{left:.0f} s left"
        return f"{line}, {self.failed} failed" if self.failed else line


Listener = Callable[[Progress], None]


@contextmanager
def told(progress: Listener | bool | None) -> Iterator[Listener]:
    """Give what to call after each checkpoint; of True a line on the standard error."""
    if progress is not True:
        yield progress or (lambda now: None)
        return
    try:
        yield _show
    finally:
        sys.stderr.write("\n")


def _show(now: Progress) -> None:
    sys.stderr.write(f"\r{now!s:<60}")
    sys.stderr.flush()
