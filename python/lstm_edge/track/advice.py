"""Which checkpoint to take, and what is known of that.

Where test losses are known, the best is the best. Without them the rule of Wei et al.
2025 takes the checkpoint at the first sustained onset of chaos; beside the best it says
what it would have cost. The first loss of stability, which comes early, stands beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge.display import counted, in_words, span_in_words
from lstm_edge.terms import PHASES
from lstm_edge.track.transitions import EVENTS, SUSTAIN, Transition, first_transition

STUDIED = (
    "no test losses are known; in ten runs on digits this rule lost 0.074 of test loss "
    "(median) against the best checkpoint, early stopping on held-out data 0.090"
)
"""What the rule is worth, by docs/studies.md."""


@dataclass(frozen=True)
class Advice:
    """The checkpoint to take, and why.

    Attributes
    ----------
    reason : str
        One sentence in plain words: why the rule takes that checkpoint, or none.
    update : number or None
        Of the checkpoint that the rule takes without a test set; None where there is no
        sustained onset of chaos.
    name : str or None
        Its name.
    epoch : float
    test_loss, best_test_loss : float
        NaN where no losses are known.
    best_update : number or None
        Of the evaluation with the best test loss.
    regret : float
        test_loss - best_test_loss: what the rule would have cost.
    headline : str
        What to take: the best where it is known, else what the rule takes.
    verdict : str
        Sentences: where the best lies among the transitions, and what the rule costs.
    stability_regret : float
        What stopping at the first sustained loss of stability would have cost.
    """

    reason: str
    update: float | None = None
    name: str | None = None
    epoch: float = float("nan")
    test_loss: float = float("nan")
    best_update: float | None = None
    best_test_loss: float = float("nan")
    regret: float = float("nan")
    headline: str = ""
    verdict: str = ""
    stability_regret: float = float("nan")


def advise(
    update: ArrayLike,
    phase: Sequence[str],
    transitions: Sequence[Transition],
    *,
    stability_transitions: Sequence[Transition] = (),
    name: Sequence[str] | None = None,
    epoch: ArrayLike | None = None,
    test_loss: ArrayLike | None = None,
    loss_update: ArrayLike | None = None,
) -> Advice:
    """Advise the best checkpoint, or the one at the first sustained onset of chaos.

    Of the two checkpoints that bracket an onset, that is the one nearer to it.

    Parameters
    ----------
    update, phase, epoch
        As in `find_transitions`.
    transitions, stability_transitions : sequence of Transition
        What `find_transitions` and `find_stability_transitions` found.
    name : sequence of str, optional
        Names of the checkpoints.
    test_loss : array_like, optional
        NaN where it is not known; the rule never looks at it.
    loss_update : array_like, optional
        Updates of `test_loss`, where more losses are known than checkpoints. Default:
        `update`.

    Returns
    -------
    Advice

    Examples
    --------
    >>> import numpy as np
    >>> import lstm_edge
    >>> update = np.arange(40)
    >>> phase = ["order"] * 20 + ["chaos"] * 20
    >>> exponent = np.where(update < 20, -0.1, 0.1)
    >>> transitions = lstm_edge.find_transitions(update, phase, exponent)
    >>> lstm_edge.advise(update, phase, transitions).update
    19
    """
    updates = np.asarray(update)
    times = updates if loss_update is None else np.asarray(loss_update)
    loss = np.full(len(times), np.nan) if test_loss is None else np.asarray(test_loss)
    run = _Run(
        updates,
        name,
        None if epoch is None else np.asarray(epoch, float),
        {t: float(x) for t, x in zip(times.tolist(), loss, strict=True) if x == x},
    )
    onset = first_transition(transitions)
    lost = first_transition(stability_transitions, "to_unstable")
    best = min(run.losses, key=run.losses.__getitem__, default=None)
    best_loss = float("nan") if best is None else run.losses[best]
    at = None if onset is None else run.nearest(onset)
    here = None if at is None else updates[at].item()
    there = run.loss_at(here)
    lost_at = None if lost is None else updates[run.nearest(lost)].item()
    found = Advice(
        reason=_why(onset, phase),
        update=here,
        name=None if at is None or name is None else name[at],
        epoch=run.epoch_of(at),
        test_loss=there,
        best_update=best,
        best_test_loss=best_loss,
        regret=there - best_loss,
        stability_regret=run.loss_at(lost_at) - best_loss,
    )
    words = {
        "headline": _headline(found, run),
        "verdict": _verdict(found, run, onset, lost),
    }
    return Advice(**{**vars(found), **words})


@dataclass(frozen=True)
class _Run:
    """Checkpoints and losses, and their names in prose."""

    update: NDArray[Any]
    name: Sequence[str] | None
    epoch: NDArray[np.float64] | None
    losses: dict[float, float]

    def nearest(self, transition: Transition) -> int:
        return int(np.argmin(np.abs(self.update - transition.update)))

    def loss_at(self, update: float | None) -> float:
        return float("nan") if update is None else self.losses.get(update, np.nan)

    def epoch_of(self, place: int | None) -> float:
        known = place is not None and self.epoch is not None
        return float(self.epoch[place]) if known else float("nan")  # type: ignore[index]

    def called(self, update: float) -> str:
        """Name a checkpoint, with its epoch where that is known."""
        places = np.flatnonzero(self.update == update)
        if not places.size:
            return f"update {in_words(update)}"
        place, epoch = int(places[0]), self.epoch_of(int(places[0]))
        name = f"update {in_words(update)}" if self.name is None else self.name[place]
        return name + (f" (epoch {epoch:g})" if epoch == epoch else "")


def _headline(found: Advice, run: _Run) -> str:
    if found.best_update is not None:
        best = run.called(found.best_update)
        return f"The best checkpoint is {best}: test loss {found.best_test_loss:.4g}"
    if found.update is None:
        return f"{found.reason[0].upper()}{found.reason[1:]}"
    return f"Take {run.called(found.update)}, at the first onset of chaos"


def _verdict(
    found: Advice, run: _Run, onset: Transition | None, lost: Transition | None
) -> str:
    if found.best_update is None:
        if found.update is not None:
            return _sentences([found.reason, STUDIED])
        why = "there is no sustained onset of chaos, and no test loss is known"
        return _sentences([f"no checkpoint is advised: {why}"])
    told = [_where(found.best_update, onset, lost)]
    if found.update is None:
        told.append(
            "without a test set the rule of Wei et al. 2025, the first onset of chaos, "
            f"finds no checkpoint: {found.reason}"
        )
    elif found.regret == found.regret:
        told.append(
            "without a test set the rule of Wei et al. 2025, the first onset of chaos, "
            f"takes {run.called(found.update)}, with a test loss of "
            f"{found.test_loss:.4g}: regret {found.regret:.2g}"
        )
    if found.stability_regret == found.stability_regret:
        told.append(
            f"the first loss of stability would cost {found.stability_regret:.2g}"
        )
    return _sentences(told)


def _sentences(told: Sequence[str]) -> str:
    return " ".join(one[0].upper() + one[1:] + "." for one in told)


def _where(best: float, onset: Transition | None, lost: Transition | None) -> str:
    """Say where an update lies among the first transitions."""
    places = []
    for transition in (lost, onset):
        if transition is None:
            continue
        first, last = transition.span
        event = f"the first {transition.event}"
        if first <= best <= last:
            places.append(
                f"within the span of {event} ({span_in_words((first, last))})"
            )
        else:
            side = "before" if best < first else "after"
            apart = in_words(abs(best - transition.update))
            places.append(
                f"{apart} updates {side} {event} ({in_words(transition.update)})"
            )
    if places:
        return f"it lies {' and '.join(places)}"
    return (
        f"the run has no sustained {EVENTS['to_unstable']} and no sustained "
        f"{EVENTS['to_chaos']}"
    )


def _why(first: Transition | None, phase: Sequence[str]) -> str:
    if first is None:
        return why_no_transition(phase)
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
            f"{len(known)} checkpoints with a known phase are too few: a change counts "
            f"as sustained once {SUSTAIN} in a row have the new phase"
        )
    elif chaotic == len(known):
        why = f"the net is chaotic in all {len(known)} checkpoints"
    elif not chaotic:
        edge = known.count("edge")
        ordered = len(known) - edge
        why = f"the net is never chaotic: {counted(ordered, 'checkpoint')} in order"
        why += f", {edge} at the edge" if edge else ""
    elif known[0] == "chaos":
        why = "the net begins in chaos, leaves it, and does not return to it for good"
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
