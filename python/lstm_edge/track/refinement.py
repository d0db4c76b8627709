"""Refinement: which checkpoints the sustained transitions of a run still hang on.

A phase that lasts holds for most of a window of checkpoints, so one look a window finds
it. Closer looks are due where the phase changes, and where the verdict *this phase
lasts from here on* would be another one if the checkpoints not looked at were not what
their neighbours are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lstm_edge.terms import PHASES, SIGNED
from lstm_edge.track.transitions import (
    MAJORITY,
    SUSTAIN,
    WINDOW,
    Transition,
    find_transitions,
    head_of,
)

DOUBT = 0.5
"""Share of the inferred phases in a window that may be wrong without consequence."""


def infer_phases(phase: Sequence[str | None]) -> list[str | None]:
    """Give what was not looked at the phase of its neighbours, where these agree.

    Parameters
    ----------
    phase : sequence of str or None
        None where it was not looked at.

    Returns
    -------
    list of str or None
    """
    found = list(phase)
    seen = [i for i, known in enumerate(phase) if known in PHASES]
    for a, b in pairwise(seen):
        if phase[a] == phase[b]:
            found[a:b] = [p if p is not None else phase[a] for p in phase[a:b]]
    return found


def infer_values(
    values: NDArray[np.float64], seen: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Give what was not looked at the value of its neighbours, where these agree.

    Parameters
    ----------
    values : ndarray
    seen : ndarray of bool
        What was looked at: NaN there is an answer.
    """
    found = values.copy()
    for a, b in pairwise(np.flatnonzero(np.isfinite(values)).tolist()):
        if values[a] == values[b]:
            found[a:b] = np.where(seen[a:b], found[a:b], values[a])
    return found


def next_visits(phase: Sequence[str | None]) -> list[int]:
    """Name the checkpoints to look at next; none once all transitions are certain.

    First every `WINDOW`-th one; then the middles of the gaps at changes of phase, down
    to half a window; then, until nothing is left, the middles of the gaps between order
    and chaos, and one gap for each onset and end of a sustained phase that is in doubt;
    then wherever order or chaos was seen within another sustained phase, and may last.

    Parameters
    ----------
    phase : sequence of str or None
        Of all checkpoints of a run in time; None where it was not looked at, any other
        word than "order", "edge" and "chaos" where it cannot be known.

    Returns
    -------
    list of int
        Indices, in ascending order.
    """
    places = [i for i, p in enumerate(phase) if p is None or p in PHASES]
    wanted = _wanted([phase[i] for i in places])
    return [places[i] for i in sorted(wanted)]


def _wanted(phase: list[str | None]) -> set[int]:
    count = len(phase)
    grid = {i for i in (*range(0, count, WINDOW), count - 1) if i >= 0}
    unseen = {i for i in grid if phase[i] is None}
    if unseen:
        return unseen
    seen = [i for i, p in enumerate(phase) if p is not None]
    gaps = list(pairwise(seen))
    changes = [phase[a] != phase[b] for a, b in gaps]
    near = [any(changes[max(i - 1, 0) : i + 2]) for i in range(len(gaps))]
    wide = {
        (a + b) // 2
        for (a, b), close in zip(gaps, near, strict=True)
        if close and b - a > WINDOW // 2
    }
    if wide:
        return wide
    crossings = {
        (a + b) // 2
        for a, b in gaps
        if b - a > 1 and {phase[a], phase[b]} == {"order", "chaos"}
    }
    view = _View(phase)
    sustained = [t for t in view.transitions() if t.sustained]
    wanted = crossings.union(*(view.doubts(t) for t in sustained))
    return wanted or view.overlooked(sustained)


class _View:
    """A run as it looks with some checkpoints seen, some inferred, the rest unknown."""

    def __init__(self, phase: list[str | None]) -> None:
        self.seen = np.array([p is not None for p in phase])
        self.phase = np.array([p or "" for p in infer_phases(phase)], object)

    def transitions(self) -> list[Transition]:
        """Transitions as they look, with indices for times."""
        count = len(self.phase)
        return find_transitions(range(count), list(self.phase), np.full(count, np.nan))

    def doubts(self, transition: Transition) -> set[int]:
        """Checkpoints to look at next before the transition is certain."""
        old, onset = (int(i) for i in transition.span)
        begin = self._first_doubt(range(old + 1, onset + 1), self.phase[onset], (1,))
        end = self._first_doubt(range(onset - 1, old - 1, -1), self.phase[old], (-1, 1))
        wanted = {old + 1, onset - 1} | begin | end
        return {i for i in wanted if not self.seen[i]}

    def overlooked(self, sustained: list[Transition]) -> set[int]:
        """Checkpoints to look at next where another phase than the sustained one is.

        What was seen of it does not make it last; what lies between may.
        """
        current = np.repeat(self.phase[:1], len(self.phase))
        for transition in sustained:
            onset = int(transition.span[1])
            current[onset:] = self.phase[onset]
        wanted: set[int] = set()
        for before, i in pairwise(np.flatnonzero(self.seen).tolist()):
            if self.phase[i] in SIGNED and self.phase[i] != current[i]:
                wanted |= self._first_doubt(
                    range(before + 1, i + 1), self.phase[i], (1,)
                )
        return wanted

    def _first_doubt(
        self, places: Iterable[int], phase: str, ways: tuple[int, ...]
    ) -> set[int]:
        """Look for where a phase lasts; stop at the first certain or doubtful place."""
        for i in places:
            verdicts = {way: self._lasts(i, phase, way) for way in ways}
            if True in verdicts.values():
                break
            for way, verdict in verdicts.items():
                if verdict is None:
                    return self._look(i, way)
        return set()

    def _window(self, i: int, way: int) -> NDArray[np.int64]:
        """Give the indices of a window from checkpoint i, forth or back in time."""
        return np.arange(len(self.phase))[i::way][:WINDOW]

    def _lasts(self, i: int, phase: str, way: int) -> bool | None:
        """Whether the phase is sustained from i on; None while it is in doubt."""
        window = self._window(i, way)
        head = window[: head_of(SUSTAIN)]
        certain = self.seen[head] & (self.phase[head] == phase)
        possible = certain | ~self.seen[head] | (self.phase[head] == "")
        if not possible[0] or possible.sum() < SUSTAIN:
            return False
        seen, same = self.seen[window], self.phase[window] == phase
        unknown = self.phase[window] == ""
        least = np.sum(same) - DOUBT * np.sum(same & ~seen)
        most = np.sum(same | unknown) + DOUBT * np.sum(~(same | unknown | seen))
        needed = MAJORITY * len(window)
        if most < needed:
            return False
        sure = least >= needed and certain[0] and certain.sum() >= SUSTAIN
        return True if sure else None

    def _look(self, i: int, way: int) -> set[int]:
        """Choose the middle of the gap in a window that may change the verdict most.

        One in the first checkpoints, where all must agree; else one between two phases;
        else the longest.
        """
        window = self._window(i, way)
        head, all_of_it = window[: head_of(SUSTAIN)], window

        def reaches(gap: tuple[int, int], part: NDArray[np.int64]) -> bool:
            return gap[1] > int(part.min()) and gap[0] < int(part.max())

        gaps = [
            gap
            for gap in pairwise(np.flatnonzero(self.seen).tolist())
            if gap[1] - gap[0] > 1 and reaches(gap, all_of_it)
        ]
        a, b = max(
            gaps,
            key=lambda gap: (
                reaches(gap, head),
                self.phase[gap[0]] != self.phase[gap[1]],
                gap[1] - gap[0],
            ),
        )
        return {(a + b) // 2}
