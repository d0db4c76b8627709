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
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge.transitions import (
    Transition,
    first_transition,
    in_words,
    span_in_words,
    why_no_transition,
)

Floats = NDArray[np.float64]

HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot be told"

PROMINENCE = 0.1
"""Least fall of the log of the test loss from a peak to the next valley: 10 %."""

STANDING = 0.05
"""Share of the evaluations for which the first optimum must stand unbeaten."""

SHIFTS = 10_000
"""Circular shifts of the null hypothesis."""

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


@dataclass(frozen=True)
class Descents:
    """Peaks and valleys of a loss once overtraining has begun.

    Attributes
    ----------
    valleys, peaks : ndarray of int
        Indices. The first valley is the optimum with which overtraining begins; a peak
        lies between each two valleys.
    """

    valleys: NDArray[np.int64]
    peaks: NDArray[np.int64]

    @property
    def falls(self) -> list[tuple[int, int]]:
        """(peak, valley) pairs: the later descents."""
        return [
            (int(p), int(v)) for p, v in zip(self.peaks, self.valleys[1:], strict=True)
        ]


def find_descents(
    loss: ArrayLike, *, prominence: float = PROMINENCE, standing: float = STANDING
) -> Descents:
    """Find the peaks and valleys of a loss, so that noise does not make hundreds.

    Overtraining begins with the first minimum that stands for a share `standing` of the
    evaluations before a lower one comes. After it, in the running median over 1 % of
    the evaluations (so that the ringing after a fall is no descent of its own), a peak
    must stand out by `prominence` in ln(loss). Between two peaks lies one valley, the
    minimum of the loss itself.

    Parameters
    ----------
    loss : array_like of shape (n,)
        Positive, without NaN.
    prominence : float
        In units of ln(loss).
    standing : float
        Share of the evaluations.
    """
    from scipy.ndimage import median_filter
    from scipy.signal import find_peaks

    values = np.log(np.maximum(np.asarray(loss, float), 1e-300))
    if len(values) < 3:
        return Descents(np.zeros(0, np.int64), np.zeros(0, np.int64))
    begin = _standing_minimum(values, max(3, round(standing * len(values))))
    after = values[begin:]
    width = max(1, round(0.01 * len(values))) | 1
    smooth = median_filter(after, width, mode="nearest")
    peaks, _ = find_peaks(smooth, prominence=prominence)
    peaks = _apart(smooth, peaks.tolist(), prominence)
    valleys = [
        begin + a + int(np.argmin(after[a:b]))
        for a, b in pairwise([0, *peaks, len(after)])
    ]
    # the peaks of the loss itself, each between its two valleys
    peaks = [a + int(np.argmax(values[a:b])) for a, b in pairwise(valleys)]
    return Descents(np.asarray(valleys, np.int64), np.asarray(peaks, np.int64))


def _apart(values: Floats, peaks: list[int], prominence: float) -> list[int]:
    """Make one peak of those on a common plateau: no valley of their own between."""
    kept: list[int] = []
    for peak in peaks:
        if kept:
            valley = values[kept[-1] : peak].min()
            if valley > min(values[kept[-1]], values[peak]) - prominence:
                kept[-1] = max(kept[-1], peak, key=values.__getitem__)
                continue
        kept.append(peak)
    return kept


def _standing_minimum(values: Floats, stands: int) -> int:
    """Index of the first running minimum that stands for `stands` evaluations."""
    lowest = np.flatnonzero(values == np.minimum.accumulate(values))
    ends = np.append(lowest[1:], len(values))
    return int(lowest[np.argmax((ends - lowest >= stands) | (ends == len(values)))])


def association(
    optima: ArrayLike,
    transitions: ArrayLike,
    span: tuple[float, float],
    *,
    shifts: int = SHIFTS,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Test whether optima lie nearer to transitions than by chance.

    The statistic is the mean distance in time from each optimum to its nearest
    transition; under the null hypothesis the transitions are shifted circularly by a
    uniform time.

    Parameters
    ----------
    optima, transitions : array_like
        Times.
    span : (first, last)
        Times between which both lie.
    shifts : int
        Random shifts.
    seed : int

    Returns
    -------
    distance : float
        Mean distance.
    effect : float
        The same, in units of its mean under the null: below 1 is nearer than chance.
    p_value : float
        Share of shifts that come as near, the observed one included.
    """
    a, b = np.asarray(optima, float), np.asarray(transitions, float)
    length = span[1] - span[0]
    shift = np.random.default_rng(seed).uniform(0.0, length, shifts)
    observed = float(_nearest(a, b[None, :])[0])
    parts = np.array_split(shift, 1 + shifts * len(b) // 2**20)  # some MB at a time
    null = np.concatenate(
        [
            _nearest(a, span[0] + (b[None, :] - span[0] + part[:, None]) % length)
            for part in parts
        ]
    )
    p_value = (1.0 + np.count_nonzero(null <= observed)) / (1.0 + shifts)
    return observed, observed / float(null.mean()), float(p_value)


def _nearest(optima: Floats, transitions: Floats) -> Floats:
    """Mean distance of the optima to the nearest transition, for each row."""
    total = np.zeros(len(transitions))
    for optimum in optima:
        total += np.abs(transitions - optimum).min(axis=1)
    return total / len(optima)


def rank_correlation(
    time: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    *,
    shifts: int = SHIFTS,
    seed: int = 0,
) -> tuple[float, float]:
    """Spearman's rank correlation of two series, tested against circular shifts.

    Both are series in time with a memory of their own, so that the textbook's p-value,
    which takes their points for independent, is far too small. Under the null
    hypothesis one of them is shifted circularly in time; for that both are read on an
    even grid, from the nearest point.

    Parameters
    ----------
    time, a, b : array_like of shape (n,)
        By ascending time; points with NaN are left out.
    shifts : int
        Random shifts, where there are more than points on the grid.
    seed : int

    Returns
    -------
    rho : float
        NaN for fewer than three points, or a series that does not vary.
    p_value : float
        Share of shifts with as large a correlation, of either sign.
    """
    from scipy.stats import rankdata

    series = np.array([np.asarray(x, float) for x in (time, a, b)])
    t, *values = series[:, np.isfinite(series).all(axis=0)]
    if len(t) < 3 or any(np.ptp(x) == 0 for x in values):
        return float("nan"), float("nan")
    rho = float(np.corrcoef([rankdata(x) for x in values])[0, 1])
    grid = np.linspace(t[0], t[-1], min(4 * len(t), shifts))
    nearest = np.searchsorted((t[1:] + t[:-1]) / 2, grid)
    x, y = (rankdata(v[nearest]) for v in values)
    x, y = x - x.mean(), y - y.mean()
    # the correlation at every shift of the grid at once
    all_shifts = np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(y).conj(), len(grid))
    null = np.abs(np.random.default_rng(seed).choice(all_shifts, shifts))
    p_value = (1.0 + np.count_nonzero(null >= abs(all_shifts[0]))) / (1.0 + shifts)
    return rho, float(p_value)


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

    These are the brackets of the sustained transitions, and the falls of the test loss
    from peak to valley; what is one update wide needs no closer look.

    Parameters
    ----------
    update, test_loss, transitions
        As in `check_claims`.

    Returns
    -------
    list of Interval
        In ascending order.
    """
    updates, loss = np.asarray(update, float), np.asarray(test_loss, float)
    known = np.isfinite(loss)
    updates, loss = updates[known], loss[known]
    found = [
        Interval(*t.bracket, f"{t.direction.replace('_', ' ')}")
        for t in transitions
        if t.sustained
    ]
    for peak, valley in find_descents(loss).falls:
        first, last = int(updates[peak]), int(updates[valley])
        found.append(Interval(first, last, "fall of the test loss"))
    return sorted((i for i in found if i.last - i.first > 1), key=lambda i: i.first)


def _several_descents(updates: Floats, loss: Floats) -> Claim:
    text = "The test loss goes through several descents after overtraining."
    if len(loss) < 3:
        why = f"too few test losses are known ({len(loss)})"
        return Claim(1, text, UNKNOWN, why)
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
            UNKNOWN,
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
            UNKNOWN,
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
        return Claim(3, text, UNKNOWN, "no test losses are known")
    if first is None:
        why = "" if phase is None else f": {why_no_transition(phase)}"
        return Claim(3, text, UNKNOWN, f"there is no sustained onset of chaos{why}")
    best = int(np.argmin(loss))
    there = int(np.argmin(np.abs(updates - first.update)))
    regret = float(loss[there] - loss[best])
    # at the transition: within its edge, or as far beyond it as half the edge is wide
    low, high = first.edge[0], first.edge[1] + first.width / 2
    length = float(np.ptp(updates)) or 1.0
    begin, end = first.bracket
    if end - begin > CLOSE * length:
        return Claim(
            3,
            text,
            UNKNOWN,
            "there are too few checkpoints around the first transition, which lies in "
            f"updates {span_in_words(first.bracket)}, {(end - begin) / length:.0%} of "
            "the run",
            {"best_update": float(updates[best]), "regret": regret},
        )
    if (high - low) / length > WIDEST:
        return Claim(
            3,
            text,
            UNKNOWN,
            f"the first edge, updates {span_in_words(first.edge)}, takes so much of "
            "the run that any optimum might lie in it",
            {"best_update": float(updates[best]), "regret": regret},
        )
    return Claim(
        3,
        text,
        HOLDS if low <= updates[best] <= high else FAILS,
        f"the best test loss {loss[best]:.4g} is at update {in_words(updates[best])}, "
        f"the first transition at {in_words(first.update)} (edge "
        f"{span_in_words(first.edge)}), where it is {loss[there]:.4g}: regret "
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
            UNKNOWN,
            f"two sustained order->chaos transitions are needed, found {len(widths)}",
        )
    widest = max(onsets[1:], key=lambda t: t.width)
    later = widest.width
    apart = sum(t.bracket[1] - t.bracket[0] for t in (onsets[0], widest))
    if abs(widths[0] - later) <= apart and widths[0] != later:
        return Claim(
            4,
            text,
            UNKNOWN,
            f"the first edge is {in_words(widths[0])} updates wide, the widest later "
            f"one {in_words(later)}: the checkpoints around them, {in_words(apart)} "
            "updates apart, are too few to compare them",
            {"widths": widths},
        )
    return Claim(
        4,
        text,
        HOLDS if widths[0] > later else FAILS,
        f"the first edge is {in_words(widths[0])} updates wide, the widest later "
        f"one {in_words(later)} (of {len(widths) - 1})",
        {"widths": widths},
    )
