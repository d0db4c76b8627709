"""Which checkpoint to take: the one at the first transition to chaos, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lstm_edge.display import in_words, span_in_words
from lstm_edge.terms import PHASES
from lstm_edge.track.transitions import SUSTAIN, Transition, first_transition


@dataclass(frozen=True)
class Advice:
    """The checkpoint to take, and why.

    Attributes
    ----------
    reason : str
        One sentence in plain words.
    update : number or None
        Of the advised checkpoint; None where there is no first transition to chaos.
    name : str or None
        Its name.
    epoch : float
    test_loss, best_test_loss : float
        NaN where no losses are known.
    best_update : number or None
        Of the evaluation with the best test loss.
    regret : float
        test_loss - best_test_loss.
    """

    reason: str
    update: float | None = None
    name: str | None = None
    epoch: float = float("nan")
    test_loss: float = float("nan")
    best_update: float | None = None
    best_test_loss: float = float("nan")
    regret: float = float("nan")


def advise(
    update: ArrayLike,
    phase: Sequence[str],
    transitions: Sequence[Transition],
    *,
    name: Sequence[str] | None = None,
    epoch: ArrayLike | None = None,
    test_loss: ArrayLike | None = None,
    loss_update: ArrayLike | None = None,
) -> Advice:
    """Advise the checkpoint nearest to the first sustained order->chaos transition.

    Of the two checkpoints that bracket it, that is the one nearer to the crossing.

    Parameters
    ----------
    update, phase, epoch
        As in `find_transitions`.
    transitions : sequence of Transition
        What that found.
    name : sequence of str, optional
        Names of the checkpoints.
    test_loss : array_like, optional
        NaN where it is not known; it never decides, it only gives the regret.
    loss_update : array_like, optional
        Updates of `test_loss`, where more losses are known than checkpoints. Default:
        `update`.

    Returns
    -------
    Advice
    """
    updates = np.asarray(update)
    times = updates if loss_update is None else np.asarray(loss_update)
    loss = np.full(len(times), np.nan) if test_loss is None else np.asarray(test_loss)
    pairs = zip(times.tolist(), loss.tolist(), strict=True)
    losses = {t: float(x) for t, x in pairs if x == x}
    best = min(losses, key=losses.__getitem__, default=None)
    best_loss = float("nan") if best is None else losses[best]
    first = first_transition(transitions)
    if first is None:
        return Advice(
            reason=f"no advice: {why_no_transition(phase)}",
            best_update=best,
            best_test_loss=best_loss,
        )
    at = int(np.argmin(np.abs(updates - first.update)))
    update_there = updates[at].item()
    test_loss_there = losses.get(update_there, float("nan"))
    return Advice(
        reason=_why(first, phase),
        update=update_there,
        name=None if name is None else name[at],
        epoch=float("nan") if epoch is None else float(np.asarray(epoch)[at]),
        test_loss=test_loss_there,
        best_update=best,
        best_test_loss=best_loss,
        regret=test_loss_there - best_loss,
    )


def _why(first: Transition, phase: Sequence[str]) -> str:
    reason = (
        "of the checkpoints analysed it is the nearest to the first sustained "
        f"transition from order to chaos, at update {in_words(first.update)}, whose "
        f"span is updates {span_in_words(first.span)}"
    )
    begin = next((p for p in phase if p in PHASES), "order")
    if begin == "chaos":
        reason += "; training began in chaos, this is the first onset after that"
    if begin == "edge":
        reason += "; training began at the edge, the untrained net was not ordered"
    return reason


def why_no_transition(phase: Sequence[str]) -> str:
    """Say in one clause why there is no sustained transition to chaos.

    Parameters
    ----------
    phase : sequence of str
        As in `find_transitions`.
    """
    known = [p for p in phase if p in PHASES]
    chaotic = known.count("chaos")
    if len(known) <= SUSTAIN:
        why = (
            f"too few checkpoints with a known phase ({len(known)}): a phase counts "
            f"once {SUSTAIN} in a row have it"
        )
    elif chaotic == len(known):
        why = "training starts in chaos and never leaves it"
    elif not chaotic:
        why = "training never reaches chaos" + (
            ", though it reaches the edge" if "edge" in known else " and stays ordered"
        )
    elif known[0] == "chaos":
        why = "training starts in chaos and does not return to it for good"
    elif chaotic == known[-SUSTAIN:].count("chaos"):
        why = (
            "chaos appears, but training ended before it was sustained; train on to "
            "see whether it lasts"
        )
    else:
        why = (
            "chaos appears but does not last "
            f"({chaotic / len(known):.0%} of the checkpoints); see the raw crossings"
        )
    return why
