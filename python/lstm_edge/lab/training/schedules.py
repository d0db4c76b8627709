"""Schedules: at which updates a run keeps a checkpoint."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Protocol

from lstm_edge.errors import UsageError

EDGE_PARTS = 10
"""Checkpoints an epoch that the schedule ``edge`` keeps near the edge."""


class Schedule(Protocol):
    """When to keep a checkpoint, and when to look whether the edge is near."""

    def after(self, update: int, dense: bool = False) -> int:
        """Give the next update to keep; `dense` says that the edge is near."""
        ...

    def looks(self, update: int) -> bool:
        """Whether to find out at this update if the edge is near."""
        ...


@dataclass(frozen=True)
class Regular:
    """Every `interval` updates; near the edge also every `fine` ones."""

    interval: int
    fine: int | None = None

    def after(self, update: int, dense: bool = False) -> int:
        """Give the next update to keep."""
        steps = [self.interval] + ([self.fine] if dense and self.fine else [])
        return min((update // step + 1) * step for step in steps)

    def looks(self, update: int) -> bool:
        """Whether to find out at this update if the edge is near."""
        return self.fine is not None and update % self.interval == 0


@dataclass(frozen=True)
class Logarithmic:
    """The updates next to 10^(i / `per_decade`), each once."""

    per_decade: int

    def after(self, update: int, dense: bool = False) -> int:
        """Give the next update to keep."""
        i = math.floor(self.per_decade * math.log10(max(update, 1)))
        while round(10 ** (i / self.per_decade)) <= update:
            i += 1
        return round(10 ** (i / self.per_decade))

    def looks(self, update: int) -> bool:
        """Never."""
        return False


def parse_schedule(text: str, updates_per_epoch: int) -> Schedule:
    """Read a schedule.

    Parameters
    ----------
    text : str
        ``"1epoch"``, ``"5epochs"``, ``"10updates"``; ``"log:20"``, so many a decade of
        updates; ``"edge"`` or ``"edge:10updates"``, every epoch and, near the edge,
        ten times an epoch or as said.
    updates_per_epoch : int

    Raises
    ------
    UsageError
        If it is none of these.
    """
    kind, _, rest = text.partition(":")
    if kind == "log" and re.fullmatch(r"[1-9]\d{0,3}", rest):
        return Logarithmic(int(rest))
    if text == "edge":
        return Regular(updates_per_epoch, max(1, updates_per_epoch // EDGE_PARTS))
    if kind == "edge":
        return Regular(updates_per_epoch, parse_interval(rest, updates_per_epoch))
    return Regular(parse_interval(text, updates_per_epoch))


def parse_interval(text: str, updates_per_epoch: int, name: str = "every") -> int:
    """Read an interval such as ``"1epoch"`` or ``"10updates"``, in updates.

    Raises
    ------
    UsageError
        Naming the argument `name`.
    """
    match = re.fullmatch(r"([1-9]\d{0,8})(epoch|update)s?", text)
    if match is None:
        schedules = " or 'log:20' or 'edge'" if name == "every" else ""
        raise UsageError(
            f"{name}: expected '1epoch', '5epochs', '10updates' or the like"
            f"{schedules}, found {text!r}"
        )
    return int(match[1]) * (updates_per_epoch if match[2] == "epoch" else 1)


def count_checkpoints(schedule: Schedule, update: int, last: int) -> int:
    """Count the checkpoints after `update`, up to and with `last`, at most."""
    count = 0
    while update < last:
        update, count = schedule.after(update, dense=True), count + 1
    return count
