"""The claims of Wei et al. 2025, tested on the run at hand.

1. The test loss goes through several descents after overtraining.
2. Its local optima lie at order-chaos transitions.
3. The global optimum is at the first order->chaos transition.
4. The first edge is the widest.

Each *holds*, *does not hold* or *cannot be told*, by its own numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge.display import in_words, span_in_words
from lstm_edge.track.advice import why_no_transition
from lstm_edge.track.association import association, rank_correlation
from lstm_edge.track.falls import find_descents
from lstm_edge.track.transitions import Transition, first_transition

Floats = NDArray[np.float64]

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"

SIGNIFICANCE = 0.05

CLOSE = 0.02
"""Share of the run that may lie between the two checkpoints around an optimum, for its
phase to be known."""

COMPLETE = 0.5
"""Share of the checkpoints that must be analysed for claim 2: crossings that do not
last are seen in no other way."""

WIDEST = 0.25
"""Share of the run that the first edge may take for claim 3 to say anything."""


@dataclass(frozen=True)
class Claim:
    """A claim with its answer for this run.

    Attributes
    ----------
    number : int
        1 to 4.
    text : str
        What is claimed.
    answer : {"holds", "does not hold", "cannot be told"}
    evidence : str
        One sentence with the numbers.
    numbers : dict
        The same for a script.
    """

    number: int
    text: str
    answer: str
    evidence: str
    numbers: dict[str, Any] = field(default_factory=dict)


def check_claims(
    update: ArrayLike,
    test_loss: ArrayLike,
    transitions: Sequence[Transition],
    *,
    checkpoints: ArrayLike | None = None,
    phase: Sequence[str] | None = None,
    distance: ArrayLike | None = None,
    share: float = 1.0,
) -> list[Claim]:
    """Test the four claims.

    Parameters
    ----------
    update, test_loss : array_like of shape (n,)
        All evaluations of the test loss that are known.
    transitions : sequence of Transition
        From `find_transitions`. Claim 2 takes every crossing between order and chaos,
        flicker included; claims 3 and 4 the sustained ones.
    checkpoints : array_like of shape (m,), optional
        Updates of the checkpoints whose phase is known. Where they lie close around
        the optima and no crossing was found, that is an answer to claim 2.
    phase : sequence of str, optional
        Their phases: they say why there is no transition, where there is none.
    distance : array_like of shape (m,), optional
        D~ at these; its rank correlation with the test loss then stands beside claim 2.
    share : float
        Share of the run's checkpoints that were analysed. Of less than half claim 2
        cannot be told.

    Returns
    -------
    list of Claim
    """
    updates, loss = np.asarray(update, float), np.asarray(test_loss, float)
    known = np.isfinite(loss)
    updates, loss = updates[known], loss[known]
    analysed = np.asarray([] if checkpoints is None else checkpoints, float)
    lasting = [t for t in transitions if t.sustained]
    second = _optima_at_transitions(
        updates, loss, [t.update for t in transitions], analysed, share
    )
    if distance is not None:
        second = _with_correlation(second, updates, loss, analysed, distance)
    return [
        _several_descents(updates, loss),
        second,
        _best_at_the_first(updates, loss, lasting, phase),
        _first_is_widest(lasting),
    ]


def _several_descents(updates: Floats, loss: Floats) -> Claim:
    text = "The test loss goes through several descents after overtraining."
    if len(loss) < 3:
        why = f"too few test losses are known ({len(loss)})"
        return Claim(1, text, OPEN, why)
    falls = find_descents(loss).falls
    listed = ", ".join(
        f"update {in_words(updates[peak])} ({loss[peak]:.3g} to {loss[valley]:.3g})"
        for peak, valley in falls[:8]
    )
    return Claim(
        1,
        text,
        HOLDS if len(falls) >= 2 else FAILS,
        f"{len(falls)} later falls of the test loss by at least 10 %"
        + (f": {listed}" if falls else ""),
        {"falls": len(falls)},
    )


def _optima_at_transitions(
    updates: Floats,
    loss: Floats,
    crossings: Sequence[float],
    analysed: Floats,
    share: float,
) -> Claim:
    text = "Its local optima lie at order-chaos transitions."
    if share < COMPLETE:
        return Claim(
            2,
            text,
            OPEN,
            f"{share:.0%} of the checkpoints were analysed, and crossings that do not "
            "last are seen in no other way; analyse all of them",
        )
    valleys = find_descents(loss).valleys
    if len(valleys) >= 2 and not crossings:
        seen = _close_to_checkpoints(updates[valleys], analysed, np.ptp(updates))
        if seen.all():
            return Claim(
                2,
                text,
                FAILS,
                f"all {len(valleys)} local optima lie between checkpoints of known "
                "phase, and no crossing between order and chaos was found in the "
                "whole run",
                {"optima": len(valleys), "crossings": 0},
            )
    if len(valleys) < 2 or not crossings:
        return Claim(
            2,
            text,
            OPEN,
            f"too few to compare: local optima {len(valleys)}, crossings between order "
            f"and chaos {len(crossings)}",
        )
    distance, effect, p = association(
        updates[valleys],
        crossings,
        (float(updates[0]), float(updates[-1])),
    )
    return Claim(
        2,
        text,
        HOLDS if p < SIGNIFICANCE else FAILS,
        f"{len(valleys)} local optima lie {in_words(distance)} updates from the "
        f"nearest of the crossings between order and chaos ({len(crossings)}) on "
        f"average, {effect:.2f} times the distance by chance (p = {p:.3g})",
        {"distance": distance, "effect": effect, "p_value": p},
    )


def _close_to_checkpoints(
    optima: Floats, analysed: Floats, length: float
) -> NDArray[np.bool_]:
    """Whether the two checkpoints around each optimum lie close together."""
    after = np.searchsorted(analysed, optima)
    padded = np.concatenate([[-np.inf], analysed, [np.inf]])
    # padded[after] < optimum <= padded[after + 1]; one that is hit is close by itself
    gap = np.where(padded[after + 1] == optima, 0.0, padded[after + 1] - padded[after])
    return np.asarray(gap <= CLOSE * length)


def _with_correlation(
    claim: Claim,
    updates: Floats,
    loss: Floats,
    analysed: Floats,
    distance: ArrayLike,
) -> Claim:
    """Add the rank correlation of D~ with the test loss to the evidence."""
    if len(loss) < 3:
        return claim
    known = dict(zip(updates, loss, strict=True))
    there = [known.get(update, np.nan) for update in analysed]
    rho, p = rank_correlation(analysed, np.asarray(distance, float), there)
    if np.isnan(rho):
        return claim
    return replace(
        claim,
        evidence=f"{claim.evidence}; the rank correlation of D~ with the test loss is "
        f"{rho:.2f} (p = {p:.3g})",
        numbers=claim.numbers | {"rank_correlation": rho, "rank_p_value": p},
    )


def _best_at_the_first(
    updates: Floats,
    loss: Floats,
    lasting: Sequence[Transition],
    phase: Sequence[str] | None,
) -> Claim:
    text = "The global optimum is at the first order->chaos transition."
    first = first_transition(lasting)
    if not len(loss):
        return Claim(3, text, OPEN, "no test losses are known")
    if first is None:
        why = "" if phase is None else f": {why_no_transition(phase)}"
        return Claim(3, text, OPEN, f"there is no sustained onset of chaos{why}")
    best = int(np.argmin(loss))
    there = int(np.argmin(np.abs(updates - first.update)))
    regret = float(loss[there] - loss[best])
    # at the transition: within its edge, or as far beyond it as half the edge is wide
    low, high = first.span[0], first.span[1] + first.width / 2
    length = float(np.ptp(updates)) or 1.0
    begin, end = first.bracket
    if end - begin > CLOSE * length:
        return Claim(
            3,
            text,
            OPEN,
            "there are too few checkpoints around the first transition, which lies in "
            f"updates {span_in_words(first.bracket)}, {(end - begin) / length:.0%} of "
            "the run",
            {"best_update": float(updates[best]), "regret": regret},
        )
    if (high - low) / length > WIDEST:
        return Claim(
            3,
            text,
            OPEN,
            f"the first span, updates {span_in_words(first.span)}, takes so much of "
            "the run that any optimum might lie in it",
            {"best_update": float(updates[best]), "regret": regret},
        )
    return Claim(
        3,
        text,
        HOLDS if low <= updates[best] <= high else FAILS,
        f"the best test loss {loss[best]:.4g} is at update {in_words(updates[best])}, "
        f"the first transition at {in_words(first.update)} (span "
        f"{span_in_words(first.span)}), where it is {loss[there]:.4g}: regret "
        f"{regret:.3g}",
        {"best_update": float(updates[best]), "regret": regret},
    )


def _first_is_widest(lasting: Sequence[Transition]) -> Claim:
    text = "The first edge is the widest."
    onsets = [t for t in lasting if t.direction == "to_chaos"]
    widths = [t.width for t in onsets]
    if len(widths) < 2:
        return Claim(
            4,
            text,
            OPEN,
            f"two sustained order->chaos transitions are needed, found {len(widths)}",
        )
    widest = max(onsets[1:], key=lambda t: t.width)
    later = widest.width
    apart = sum(t.bracket[1] - t.bracket[0] for t in (onsets[0], widest))
    if abs(widths[0] - later) <= apart and widths[0] != later:
        return Claim(
            4,
            text,
            OPEN,
            f"the first span is {in_words(widths[0])} updates wide, the widest later "
            f"one {in_words(later)}: the checkpoints around them, {in_words(apart)} "
            "updates apart, are too few to compare them",
            {"widths": widths},
        )
    return Claim(
        4,
        text,
        HOLDS if widths[0] > later else FAILS,
        f"the first span is {in_words(widths[0])} updates wide, the widest later "
        f"one {in_words(later)} (of {len(widths) - 1})",
        {"widths": widths},
    )
