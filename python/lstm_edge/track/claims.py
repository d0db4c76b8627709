"""The claims of Wei et al. 2025, tested on the run at hand, by both yardsticks.

1. The test loss goes through several descents after overtraining.
2. Its falls lie at transitions.
3. The global optimum is at the first transition.
4. The first transition is the widest.

What the paper calls a transition is seen by the asymptotic distance: a change of
*stability*. Its words are of order and *chaos*. So claims 2 to 4 are tested by either,
and the yardsticks are never mixed. Each *holds*, *does not hold* or *cannot be told*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge.display import counted, in_words, span_in_words
from lstm_edge.terms import SIGNED
from lstm_edge.track.advice import why_no_transition
from lstm_edge.track.association import (
    FEWEST,
    SIGNIFICANCE,
    Coincidence,
    coincidence,
    rank_correlation,
    state_changes,
)
from lstm_edge.track.falls import (
    LEAST,
    PROMINENCE,
    Fall,
    find_falls,
    least_fall,
    overtraining_begins,
)
from lstm_edge.track.transitions import EVENTS, Transition, first_transition

Floats = NDArray[np.float64]

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"

CLOSE = 0.02
"""Share of the run that may lie between the two checkpoints around a fall or the first
transition, for anything to be said of it."""

COMPLETE = 0.5
"""Share of the checkpoints that must be analysed for claim 2: changes that do not last
are seen in no other way."""

WIDEST = 0.25
"""Share of the run that the first span may take for claim 3 to say anything."""

YARDSTICKS = {"chaos": "to_chaos", "stability": "to_unstable"}
"""Of each the direction of the transitions that the paper speaks of."""

CHANGES = {
    "chaos": "crossing between order and chaos",
    "stability": "loss or gain of stability",
}


@dataclass(frozen=True)
class Claim:
    """A claim with its answer for this run.

    Attributes
    ----------
    number : int
        1 to 4.
    yardstick : {"", "chaos", "stability"}
        By which it is tested.
    text : str
        What is claimed.
    answer : {"holds", "does not hold", "cannot be told"}
    evidence : str
        One sentence with the numbers.
    numbers : dict
        The same for a script.
    """

    number: int
    yardstick: str
    text: str
    answer: str
    evidence: str
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its number, and the yardstick where there are two."""
        return f"{self.number}" + (f" by {self.yardstick}" if self.yardstick else "")


def check_claims(
    update: ArrayLike,
    test_loss: ArrayLike,
    transitions: Sequence[Transition],
    *,
    stability_transitions: Sequence[Transition] | None = None,
    checkpoints: ArrayLike | None = None,
    phase: Sequence[str] | None = None,
    stable: ArrayLike | None = None,
    distance: ArrayLike | None = None,
    share: float = 1.0,
) -> list[Claim]:
    """Test the claims.

    Parameters
    ----------
    update, test_loss : array_like of shape (n,)
        All evaluations of the test loss that are known.
    transitions : sequence of Transition
        From `find_transitions`; the sustained ones count for claims 3 and 4.
    stability_transitions : sequence of Transition, optional
        From `find_stability_transitions`; without them only chaos is looked at.
    checkpoints : array_like of shape (m,), optional
        Updates of the checkpoints whose phase is known.
    phase : sequence of str, optional
        Their phases, which claim 2 needs.
    stable : array_like of shape (m,), optional
        Their stability, as in `find_stability_transitions`.
    distance : array_like of shape (m,), optional
        D~ at these; its rank correlation with the test loss then stands beside claim 2.
    share : float
        Share of the run's checkpoints that were analysed. Of less than half claim 2
        cannot be told.

    Returns
    -------
    list of Claim
        Claim 1, then claims 2, 3 and 4, each by one yardstick after the other.

    Examples
    --------
    >>> import numpy as np
    >>> import lstm_edge
    >>> update = np.arange(400)
    >>> loss = np.exp(np.sin(update / 20))  # falls again and again
    >>> claims = lstm_edge.check_claims(update, loss, [])
    >>> claims[0].number, claims[0].answer
    (1, 'holds')
    """
    times, loss = np.asarray(update, float), np.asarray(test_loss, float)
    known = np.isfinite(loss)
    run = _Run(
        times[known],
        loss[known],
        np.asarray([] if checkpoints is None else checkpoints, float),
        None if phase is None else [*phase],
        share,
        find_falls(times, loss),
    )
    series = {"chaos": ([*transitions], _signed(run.phase or []))}
    if stability_transitions is not None:
        states = np.asarray([] if stable is None else stable, float)
        series["stability"] = ([*stability_transitions], states)
    found = [_several_descents(run)]
    for yardstick, (_, states) in series.items():
        found.append(_falls_at_changes(run, yardstick, states))
    if distance is not None:
        found[1:] = _with_correlation(found[1:], run, np.asarray(distance, float))
    for claim in (_best_at_the_first, _first_is_widest):
        for yardstick, (changes, _) in series.items():
            lasting = [t for t in changes if t.sustained]
            found.append(claim(run, yardstick, lasting))
    return found


@dataclass(frozen=True)
class _Run:
    """What claims are about: evaluations, checkpoints, and the falls found."""

    time: Floats
    loss: Floats
    checkpoints: Floats
    phase: list[str] | None
    share: float
    falls: list[Fall]

    @property
    def length(self) -> float:
        return float(np.ptp(self.time)) if len(self.time) else 0.0


def _signed(phase: Sequence[str]) -> Floats:
    """Give 0 for order, 1 for chaos, NaN for all else."""
    return np.array([SIGNED.index(p) if p in SIGNED else np.nan for p in phase], float)


def _several_descents(run: _Run) -> Claim:
    text = "The test loss goes through several descents after overtraining."
    if len(run.loss) < LEAST:
        why = f"too few test losses are known ({len(run.loss)})"
        return Claim(1, "", text, OPEN, why)
    begin = overtraining_begins(run.time, run.loss)
    after = run.loss[run.time >= begin]
    if not run.falls and after.max() < np.exp(PROMINENCE) * after[0]:
        why = (
            f"the test loss never rises by 10 % from its optimum ({after[0]:.4g} at "
            f"update {in_words(begin)}): the run is not overtrained"
        )
        return Claim(1, "", text, OPEN, why)
    least = 1 - np.exp(-least_fall(np.log(np.maximum(after, 1e-300))))
    listed = ", ".join(
        f"update {in_words(fall.begin)} ({fall.high:.3g} to {fall.low:.3g})"
        for fall in run.falls[:8]
    )
    return Claim(
        1,
        "",
        text,
        HOLDS if len(run.falls) >= 2 else FAILS,
        f"{counted(len(run.falls), 'later fall')} of the test loss by at least "
        f"{least:.0%}, beyond its noise" + (f": {listed}" if run.falls else ""),
        {"falls": len(run.falls)},
    )


def _falls_at_changes(run: _Run, yardstick: str, states: Floats) -> Claim:
    """Test claim 2 by the rotations of a state of the checkpoints."""
    text = "The falls of the test loss lie at transitions."
    change = CHANGES[yardstick]

    def told(answer: str, evidence: str, **numbers: Any) -> Claim:
        return Claim(2, yardstick, text, answer, evidence, numbers)

    if run.share < COMPLETE:
        return told(
            OPEN,
            f"{run.share:.0%} of the checkpoints were analysed, and changes that do "
            "not last are seen in no other way; analyse all of them",
        )
    if (
        len(run.falls) < FEWEST
        or len(states) != len(run.checkpoints)
        or not len(states)
    ):
        return told(
            OPEN,
            f"too few falls of the test loss ({len(run.falls)}; {FEWEST} are needed)"
            if len(run.falls) < FEWEST
            else "no phases are known",
            falls=len(run.falls),
        )
    begin = overtraining_begins(run.time, run.loss)
    found = coincidence(
        run.falls, run.checkpoints, state_changes(states), run.time, begin
    )
    numbers: dict[str, Any] = {"falls": found.falls, "changes": found.changes}
    if not found.changes:
        near = all(_close(fall, run) for fall in run.falls)
        why = f"no {change} was found since overtraining began"
        known = "" if near else ", but few checkpoints lie around the falls"
        return told(FAILS if near else OPEN, why + known, **numbers)
    if np.isnan(found.p_value):
        return told(OPEN, "too few checkpoints lie at even distances", **numbers)
    numbers |= {"hits": found.hits, "expected": found.expected}
    numbers |= {"p_value": found.p_value, "windows": found.windows}
    most = found.hits >= found.falls / 2
    holds = most and found.p_value < SIGNIFICANCE
    return told(HOLDS if holds else FAILS, _hits_in_words(found, change), **numbers)


def _hits_in_words(found: Coincidence, change: str) -> str:
    wider = "; ".join(
        f"with {window} evaluation{'s' if window > 1 else ''} to either side {hits} "
        f"({mean:.2g})"
        for window, (hits, mean) in found.windows.items()
        if window
    )
    return (
        f"{found.hits} of {found.falls} falls come within a {change}, where chance "
        f"gives {found.expected:.2g} (p = {found.p_value:.2g}); {wider}"
    )


def _close(fall: Fall, run: _Run) -> bool:
    """Whether the checkpoints around a fall lie close together."""
    a = int(np.searchsorted(run.checkpoints, fall.begin, "right")) - 1
    b = int(np.searchsorted(run.checkpoints, fall.end))
    if a < 0 or b == len(run.checkpoints):
        return False
    return bool(run.checkpoints[b] - run.checkpoints[a] <= CLOSE * run.length)


def _with_correlation(claims: list[Claim], run: _Run, distance: Floats) -> list[Claim]:
    """Add the rank correlation of D~ with the test loss to the evidence."""
    if len(run.loss) < 3:
        return claims
    known = dict(zip(run.time, run.loss, strict=True))
    there = [known.get(update, np.nan) for update in run.checkpoints]
    rho, p = rank_correlation(run.checkpoints, distance, there)
    if np.isnan(rho):
        return claims
    told = f"; the rank correlation of D~ with the test loss is {rho:.2f} (p = {p:.2g})"
    numbers = {"rank_correlation": rho, "rank_p_value": p}
    return [
        replace(c, evidence=c.evidence + told, numbers=c.numbers | numbers)
        for c in claims
    ]


def _best_at_the_first(
    run: _Run, yardstick: str, lasting: Sequence[Transition]
) -> Claim:
    direction = YARDSTICKS[yardstick]
    event = EVENTS[direction]
    text = f"The global optimum is at the first {event}."

    def told(answer: str, evidence: str, **numbers: Any) -> Claim:
        return Claim(3, yardstick, text, answer, evidence, numbers)

    first = first_transition(lasting, direction)
    if not len(run.loss):
        return told(OPEN, "no test losses are known")
    if first is None:
        why = run.phase is not None and yardstick == "chaos"
        because = f": {why_no_transition(run.phase or [])}" if why else ""
        return told(OPEN, f"there is no sustained {event}{because}")
    best = int(np.argmin(run.loss))
    there = int(np.argmin(np.abs(run.time - first.update)))
    regret = float(run.loss[there] - run.loss[best])
    numbers = {"best_update": float(run.time[best]), "regret": regret}
    # at the transition: within its span, or as far beyond it as half of that
    low, high = first.span[0], first.span[1] + first.width / 2
    length = run.length or 1.0
    begin, end = first.bracket
    if end - begin > CLOSE * length:
        return told(
            OPEN,
            f"there are too few checkpoints around the first {event}, which lies in "
            f"updates {span_in_words(first.bracket)}, {(end - begin) / length:.0%} of "
            "the run",
            **numbers,
        )
    if (high - low) / length > WIDEST:
        return told(
            OPEN,
            f"the first span, updates {span_in_words(first.span)}, takes so much of "
            "the run that any optimum might lie in it",
            **numbers,
        )
    return told(
        HOLDS if low <= run.time[best] <= high else FAILS,
        f"the best test loss {run.loss[best]:.4g} is at update "
        f"{in_words(run.time[best])}, the first {event} at {in_words(first.update)} "
        f"(span {span_in_words(first.span)}), where it is {run.loss[there]:.4g}: "
        f"regret {regret:.3g}",
        **numbers,
    )


def _first_is_widest(run: _Run, yardstick: str, lasting: Sequence[Transition]) -> Claim:
    direction = YARDSTICKS[yardstick]
    event = EVENTS[direction]
    text = f"The first {event} is the widest."
    onsets = [t for t in lasting if t.direction == direction]
    widths = [t.width for t in onsets]
    if len(widths) < 2:
        why = f"two sustained transitions are needed, found {len(widths)}"
        return Claim(4, yardstick, text, OPEN, why)
    chance = 1 / len(widths)
    numbers = {"widths": widths, "chance": chance}
    widest = max(onsets[1:], key=lambda t: t.width)
    apart = float(np.hypot(_width_error(onsets[0]), _width_error(widest)))
    told = (
        f"the first span is {in_words(widths[0])} updates wide, the widest later one "
        f"{in_words(widest.width)}"
    )
    if abs(widths[0] - widest.width) <= apart and widths[0] != widest.width:
        return Claim(
            4,
            yardstick,
            text,
            OPEN,
            f"{told}: they are known to {in_words(apart)} updates, by the checkpoints "
            "around them and their flicker",
            numbers,
        )
    answer = HOLDS if widths[0] > widest.width else FAILS
    told += (
        f" (of {len(widths) - 1}); by chance the first is the widest in {chance:.0%}"
    )
    return Claim(4, yardstick, text, answer, told, numbers)


def _width_error(transition: Transition) -> float:
    """Of both ends: the bracket, or what the flicker leaves open where that is more."""
    bracket = transition.bracket[1] - transition.bracket[0]
    return float(max(bracket, 2 * np.nan_to_num(transition.error)))
