"""The order in which a sweep visits the checkpoints: coarse to fine.

The whole picture is there long before the end, first as a sketch. The order changes no
result: the table is the same in any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

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


def _argmax(values: Sequence[int]) -> int:
    return max(range(len(values)), key=values.__getitem__)
