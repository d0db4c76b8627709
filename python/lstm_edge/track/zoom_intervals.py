"""Where along training checkpoints at every update would tell more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from lstm_edge.track.falls import find_falls
from lstm_edge.track.transitions import Transition

FEW = 5
"""Changes that do not last, and are yet worth a look where none does."""


@dataclass(frozen=True)
class Interval:
    """A stretch of training that is worth a look with more checkpoints.

    Attributes
    ----------
    first, last : int
        Updates.
    reason : str
        What happens there.
    """

    first: float
    last: float
    reason: str


def intervals_to_zoom(
    update: ArrayLike, test_loss: ArrayLike, transitions: Sequence[Transition]
) -> list[Interval]:
    """Name the intervals in which checkpoints at every update would tell more.

    These are the brackets of the sustained transitions, or of the changes where there
    are few and none lasts, and the falls of the test loss from peak to valley; what is
    one update wide needs no closer look.

    Parameters
    ----------
    update, test_loss, transitions
        As in `check_claims`.

    Returns
    -------
    list of Interval
        In ascending order.
    """
    changes = [t for t in transitions if t.sustained]
    if not changes and len(transitions) <= FEW:
        changes = [*transitions]
    events: dict[tuple[float, float], dict[str, None]] = {}
    for t in changes:
        events.setdefault(t.bracket, {})[t.event] = None
    found = [Interval(*bracket, ", ".join(names)) for bracket, names in events.items()]
    for fall in find_falls(update, test_loss):
        found.append(Interval(fall.peak, fall.valley, "fall of the test loss"))
    return sorted((i for i in found if i.last - i.first > 1), key=lambda i: i.first)
