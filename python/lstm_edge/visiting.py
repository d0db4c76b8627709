"""The order in which a sweep visits the checkpoints: coarse to fine.

The whole picture is there long before the end, first as a sketch. The order changes no
result: the table is the same in any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lstm_edge.refinement import next_visits

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
    yield from range(min(count, 1))
    if count < 2:
        return
    yield count - 1
    gaps = [(0, count - 1)] if count > 2 else []

    def urgency(gap: tuple[int, int]) -> int:
        a, b = (phase.get(end, "") for end in gap)
        return (gap[1] - gap[0]) * (CHANGE if a and b and a != b else 1)

    while gaps:
        begin, end = gaps.pop(_argmax([urgency(gap) for gap in gaps]))
        middle = (begin + end) // 2
        yield middle
        gaps += [gap for gap in ((begin, middle), (middle, end)) if gap[1] - gap[0] > 1]


def until_certain(count: int, phase: Mapping[int, str]) -> Iterator[int | None]:
    """Give only those that the sustained transitions hang on, then end.

    What is given depends on the phases alone, not on when they become known: on any
    number of workers the same checkpoints are visited.

    Parameters
    ----------
    count : int
        Of the checkpoints.
    phase : mapping of index to str
        Of each one that was visited; "" where it is unknown.

    Yields
    ------
    int or None
        Each index at most once; None while some that were given have no phase yet.
    """
    while wanted := next_visits([phase.get(i) for i in range(count)]):
        yield from (wanted[i] for i in coarse_to_fine(len(wanted), {}))
        while any(i not in phase for i in wanted):
            yield None


def _argmax(values: Sequence[int]) -> int:
    return max(range(len(values)), key=values.__getitem__)
