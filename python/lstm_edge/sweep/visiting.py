"""The order in which a sweep visits the checkpoints: coarse to fine.

The whole picture is there long before the end, first as a sketch. The order changes no
result: the table is the same in any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike

from lstm_edge.track.refinement import next_visits

AROUND = 3
"""Checkpoints before the steepest drop of a fall and after it that are looked at."""

CHANGE = 16
"""How much longer than it is a gap counts between two phases."""


def coarse_to_fine(count: int, phase: Mapping[int, str]) -> Iterator[int]:
    """Give the first, the last, then always the middle of the most urgent gap.

    The longest gap is the most urgent, and one between two different phases counts
    `CHANGE` times its length: so a change of phase is closed in on while the rest is
    still seen from afar.

    Parameters
    ----------
    count : int
        Of the checkpoints.
    phase : mapping of index to str
        As far as known, looked up whenever the next one is asked for; "" is unknown.

    Yields
    ------
    int
        Each index from 0 to count - 1 once.
    """
    if count == 0:
        return
    yield 0
    if count == 1:
        return
    yield count - 1
    gaps = _Gaps(count, phase)
    while gaps.open:
        yield gaps.split()


class _Gaps:
    """The gaps between checkpoints that were visited."""

    def __init__(self, count: int, phase: Mapping[int, str]) -> None:
        self._phase = phase
        self._codes: dict[str, int] = {"": 0}
        self._code = np.zeros(count, np.int64)  # of each phase; 0 is not known
        self._unknown = {0, count - 1}
        self._ends = np.zeros((count, 2), np.int64)
        self.open = 0
        self._add(0, count - 1)

    def split(self) -> int:
        """Close the most urgent gap, open its halves, and give their middle."""
        for i in [i for i in self._unknown if i in self._phase]:
            self._unknown.remove(i)
            self._code[i] = self._codes.setdefault(self._phase[i], len(self._codes))
        ends = self._ends[: self.open]
        a, b = self._code[ends[:, 0]], self._code[ends[:, 1]]
        change = (a != b) & (a > 0) & (b > 0)
        urgency = (ends[:, 1] - ends[:, 0]) * np.where(change, CHANGE, 1)
        place = int(urgency.argmax())
        begin, end = ends[place].tolist()
        self.open -= 1
        ends[place] = ends[-1]
        middle = int(begin + end) // 2
        self._unknown.add(middle)
        self._add(begin, middle)
        self._add(middle, end)
        return middle

    def _add(self, begin: int, end: int) -> None:
        if end - begin > 1:
            self._ends[self.open] = begin, end
            self.open += 1


def until_certain(
    count: int, phase: Mapping[int, str], more: Iterable[int] = ()
) -> Iterator[int | None]:
    """Give only those that the sustained transitions hang on, and `more`, then end.

    What is given depends on the phases alone, not on when they become known: on any
    number of workers the same checkpoints are visited.

    Parameters
    ----------
    count : int
        Of the checkpoints.
    phase : mapping of index to str
        Of each one that was visited; "" where it is unknown.
    more : iterable of int
        Visited as well, after these.

    Yields
    ------
    int or None
        Each index at most once; None while some that were given have no phase yet.
    """
    while wanted := next_visits([phase.get(i) for i in range(count)]):
        yield from (wanted[i] for i in coarse_to_fine(len(wanted), {}))
        while any(i not in phase for i in wanted):
            yield None
    yield from (i for i in sorted(set(more)) if i not in phase)


def around_falls(update: ArrayLike, test_loss: ArrayLike) -> set[int]:
    """Name the checkpoints around the steepest drop of each fall of the test loss.

    Parameters
    ----------
    update, test_loss : array_like of shape (n,)
        Of all checkpoints, by ascending update; NaN where a loss is not known.
    """
    from lstm_edge.track.falls import find_falls

    update = np.asarray(update)
    found: set[int] = set()
    for fall in find_falls(update, test_loss):
        begin, end = np.searchsorted(update, (fall.begin, fall.end)).tolist()
        found |= set(range(max(begin - AROUND, 0), min(end + AROUND + 1, len(update))))
    return found
