"""Transitions along training, by two yardsticks that are never mixed.

*Chaos*: the phase changes between order and chaos. *Stability*, what D~ of Wei et al.
2025 sees: whether every start of a checkpoint ends on a stable fixed point or cycle.

Pure functions of plain arrays: bring your own series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge.terms import PHASES, SIGNED

Floats = NDArray[np.float64]

NAN = float("nan")  # one object, so that transitions without a number are equal

SUSTAIN = 5
"""Checkpoints of the first six in which a phase must hold to count."""

WINDOW = 20
"""Checkpoints of which it must hold for a majority."""

MAJORITY = 2 / 3
"""That majority."""

STABLE, UNSTABLE = "stable", "unstable"

EVENTS = {
    "to_chaos": "onset of chaos",
    "to_order": "end of chaos",
    "to_unstable": "loss of stability",
    "to_stable": "gain of stability",
}
"""What a direction is called."""

LIKELY = 1.92
"""How much less likely (ln) a place of the onset may be than the likeliest: 95 %."""


@dataclass(frozen=True)
class Transition:
    """A change along training, of chaos or of stability.

    Attributes
    ----------
    direction : {"to_chaos", "to_order", "to_unstable", "to_stable"}
    update : float
        Where the largest exponent crosses zero, interpolated; where it does not cross
        between the two checkpoints of the bracket, the later one.
    bracket : tuple of int
        Updates of the two neighbouring checkpoints that it lies between.
    span : tuple of int
        Updates of the last checkpoint of the old phase and the first of the new one.
    width : int
        Length of the span in updates. These are floats where the times given were.
    sustained : bool
        Whether the new phase lasts; a raw crossing (flicker) does not.
    epoch, width_epochs : float
        The same in epochs, NaN where they are not known.
    path_length : float
        Length of the path that the weights walk inside the span, NaN where not known.
    kind : str
        "neimark_sacker", "period_doubling", "fold", "jump", or "" where the multipliers
        on its ordered side are not known; see `bifurcation_kind`.
    target : str
        What was gained: "order", "torus", "chaos" or "mixture"; "" where not known.
    error : float
        Of a sustained onset, in updates: half the interval of the places from which on
        the new phase may hold, by their likelihood; the more flicker, the longer.
    """

    direction: str
    update: float
    bracket: tuple[float, float]
    span: tuple[float, float]
    width: float
    sustained: bool
    epoch: float = NAN
    width_epochs: float = NAN
    path_length: float = NAN
    kind: str = ""
    target: str = ""
    error: float = NAN

    @property
    def event(self) -> str:
        """What it is called."""
        return EVENTS[self.direction]


def find_transitions(
    update: ArrayLike,
    phase: Sequence[str],
    lambda_max: ArrayLike,
    *,
    epoch: ArrayLike | None = None,
    path: ArrayLike | None = None,
    kind: Sequence[str] | None = None,
    sustain: int = SUSTAIN,
    window: int = WINDOW,
    majority: float = MAJORITY,
) -> list[Transition]:
    """Find sustained transitions and raw crossings between order and chaos.

    Near a boundary single checkpoints jump between phases. A phase counts once it holds
    for `sustain` checkpoints, with at most one other for each five among them, and for
    at least a `majority` of the next `window`; jumps before that belong to the span.
    The untrained net's own phase counts as it is. The span of a transition reaches from
    the last checkpoint at which the old phase was sustained, by this rule looking ahead
    or back, to the onset of the new.

    Where checkpoints are unevenly spaced, the majority is one of time: a checkpoint
    speaks for the updates up to the next one, and the window is as long as `window`
    checkpoints at the spacing of the `sustain` ones. A net that starts at the edge is
    not chaotic yet: sustained chaos is then a transition, sustained order is none.
    Checkpoints of unknown phase are passed over.

    Parameters
    ----------
    update : array_like of shape (n,)
        Optimiser updates of the checkpoints, ascending; or any other time.
    phase : sequence of str
        "order", "edge", "chaos"; anything else is unknown.
    lambda_max : array_like of shape (n,)
        Largest exponents, nats per step; only their sign and ratio matter.
    epoch : array_like of shape (n,), optional
    path : array_like of shape (n,), optional
        Length of the path that the weights have walked up to each checkpoint.
    kind : sequence of str, optional
        What `bifurcation_kind` says of the attractor of each ordered checkpoint; that
        of the ordered side becomes the transition's.
    sustain, window : int
        In checkpoints.
    majority : float

    Returns
    -------
    list of Transition
        In ascending order of update, sustained ones before raw ones at the same place.

    Raises
    ------
    ValueError
        Series of different lengths, or updates that descend.

    Examples
    --------
    >>> import numpy as np
    >>> import lstm_edge
    >>> update = np.arange(40)
    >>> phase = ["order"] * 20 + ["chaos"] * 20
    >>> exponent = np.where(update < 20, -0.1, 0.1)
    >>> first = lstm_edge.find_transitions(update, phase, exponent)[0]
    >>> first.direction, first.update, first.sustained
    ('to_chaos', 19.5, True)
    """
    series = _series(update, phase, lambda_max, epoch, path, kind, phase)
    rule = _Rule(SIGNED, sustain, window, majority)
    return _find(series.known(PHASES), rule)


def find_stability_transitions(
    update: ArrayLike,
    stable: ArrayLike,
    lambda_max: ArrayLike,
    *,
    epoch: ArrayLike | None = None,
    path: ArrayLike | None = None,
    kind: Sequence[str] | None = None,
    target: Sequence[str] | None = None,
    sustain: int = SUSTAIN,
    window: int = WINDOW,
    majority: float = MAJORITY,
) -> list[Transition]:
    """Find losses and gains of stability, sustained ones and raw changes.

    Parameters
    ----------
    update, lambda_max, epoch, path, kind, sustain, window, majority
        As in `find_transitions`.
    stable : array_like of shape (n,)
        1 where every start ends on a stable fixed point or cycle, 0 where at least one
        does not, NaN where that is not known.
    target : sequence of str, optional
        What the starts of each checkpoint end on.

    Examples
    --------
    >>> import numpy as np
    >>> import lstm_edge
    >>> update = np.arange(40)
    >>> stable = np.where(update < 20, 1.0, 0.0)  # NaN where it cannot be told
    >>> exponent = np.where(update < 20, -0.1, 0.0)
    >>> found = lstm_edge.find_stability_transitions(update, stable, exponent)
    >>> found[0].direction, found[0].bracket
    ('to_unstable', (19, 20))
    """
    values = np.asarray(stable, float)
    label = np.where(values == 1, STABLE, np.where(values == 0, UNSTABLE, ""))
    series = _series(update, label.tolist(), lambda_max, epoch, path, kind, target)
    rule = _Rule((STABLE, UNSTABLE), sustain, window, majority)
    return _find(series.known(rule.pair), rule)


@dataclass(frozen=True)
class _Rule:
    """The two phases that matter, and when one of them lasts."""

    pair: tuple[str, str]
    sustain: int
    window: int
    majority: float


@dataclass(frozen=True)
class _Series:
    update: NDArray[Any]
    phase: NDArray[np.object_]
    exponent: Floats
    epoch: Floats
    path: Floats
    kind: NDArray[np.object_]
    target: NDArray[np.object_]

    def known(self, phases: Sequence[str]) -> _Series:
        """Check the series, and keep the checkpoints of known phase."""
        lengths = [len(column) for column in vars(self).values()]
        if len(set(lengths)) > 1:
            raise ValueError(
                "update, phase, lambda_max, epoch, path, kind: expected series of "
                f"one length, found {lengths}"
            )
        if (np.diff(self.update) < 0).any():
            raise ValueError("update: expected ascending updates; sort the series")
        kept = np.isin(self.phase.astype(str), phases)
        return _Series(*(column[kept] for column in vars(self).values()))

    def transition(self, old: int, onset: int, at: int | None = None) -> Transition:
        """Describe the change from the phase that ends at `old` to that of `onset`.

        The exponent crosses zero just before checkpoint `at`, by default `onset`.
        """
        after = onset if at is None else at
        before = after - 1
        share = self._crossing(before, after)
        a, b = self.update[before], self.update[after]
        ordered = old if self.phase[onset] in ("chaos", UNSTABLE) else onset
        return Transition(
            direction=f"to_{self.phase[onset]}",
            update=float(a + share * (b - a)),
            bracket=(a.item(), b.item()),
            span=(self.update[old].item(), self.update[onset].item()),
            width=(self.update[onset] - self.update[old]).item(),
            sustained=at is None,
            epoch=float(
                self.epoch[before] + share * (self.epoch[after] - self.epoch[before])
            ),
            width_epochs=float(self.epoch[onset] - self.epoch[old]),
            path_length=float(self.path[onset] - self.path[old]),
            kind=str(self.kind[ordered]),
            target=str(self.target[onset]),
            error=self._onset_error(onset) if at is None else NAN,
        )

    def _crossing(self, before: int, after: int) -> float:
        """Where the exponent crosses zero, as a share of the bracket."""
        a, b = self.exponent[before], self.exponent[after]
        if np.isfinite(a) and np.isfinite(b) and a * b < 0:
            return float(a / (a - b))
        return 1.0

    def _onset_error(self, onset: int) -> float:
        """Half the interval of the places at which the new phase may have set in.

        A place is as likely as two coins, one before it and one from it on, of which
        each has the share of the new phase that is seen there.
        """
        first, last = max(0, onset - WINDOW), min(len(self.phase), onset + WINDOW)
        new = self.phase[first:last] == self.phase[onset]
        places = np.arange(1, len(new))
        seen, total = np.cumsum(new)[:-1], int(new.sum())

        def likelihood(hits: NDArray[Any], number: NDArray[Any]) -> Floats:
            share = np.clip(hits / number, 1e-9, 1 - 1e-9)
            found = hits * np.log(share) + (number - hits) * np.log(1 - share)
            return np.asarray(found, float)

        after = len(new) - places
        likely = likelihood(seen, places) + likelihood(total - seen, after)
        rises = seen / places < (total - seen) / after
        here = onset - first - 1
        best = likely[rises].max(initial=likely[here])
        kept = places[(rises & (likely >= best - LIKELY)) | (places == here + 1)]
        times = self.update[first:last]
        return float(times[kept.max()] - times[kept.min() - 1]) / 2


def _series(
    update: ArrayLike,
    phase: Sequence[str],
    exponent: ArrayLike,
    epoch: ArrayLike | None,
    path: ArrayLike | None,
    kind: Sequence[str] | None,
    target: Sequence[str] | None,
) -> _Series:
    def numbers(column: ArrayLike | None) -> Floats:
        return np.asarray(np.full(len(phase), np.nan) if column is None else column)

    def words(column: Sequence[str] | None) -> NDArray[np.object_]:
        return np.asarray([""] * len(phase) if column is None else column, object)

    return _Series(
        np.asarray(update),
        words(phase),
        np.asarray(exponent, float),
        numbers(epoch),
        numbers(path),
        words(kind),
        words(target),
    )


def _find(series: _Series, rule: _Rule) -> list[Transition]:
    found = [*_sustained(series, rule), *_raw(series, rule)]
    return sorted(found, key=lambda t: (t.update, not t.sustained))


def _sustained(series: _Series, rule: _Rule) -> list[Transition]:
    phase, update = series.phase, series.update

    def lasts(way: slice) -> bool:
        return _lasts(update[way], phase[way], rule)

    found: list[Transition] = []
    current = None
    last = 0  # the last checkpoint at which the current phase was sustained
    for i in range(len(phase)):
        ahead, back = slice(i, None), slice(i, None, -1)
        if phase[i] == current:
            if last == i - 1 or lasts(ahead) or lasts(back):
                last = i
        elif phase[i] in rule.pair and (i == 0 or lasts(ahead)):
            if current is not None or (i > 0 and phase[i] == rule.pair[1]):
                found.append(series.transition(last, i))
            current, last = phase[i], i
    return found


def head_of(sustain: int) -> int:
    """Checkpoints of which `sustain` must have a phase: a sixth of them may flicker."""
    return sustain + sustain // 5


def _lasts(update: NDArray[Any], phase: NDArray[np.object_], rule: _Rule) -> bool:
    """Whether the first phase is sustained, in the direction of the arrays."""
    sustain = rule.sustain
    same = phase == phase[0]
    if same[: head_of(sustain)].sum() < sustain:
        return False
    times = np.abs(update - update[0]).astype(float)
    few = max(1, min(sustain, len(same)) - 1)
    spacing = times[min(few, len(same) - 1)] / few
    ends = np.minimum(np.append(times, times[-1] + spacing), rule.window * spacing)
    spans = np.diff(ends)
    if not spans.any():  # all at one update
        spans[: rule.window] = 1.0
    return bool(np.average(same, weights=spans) >= rule.majority)


def _raw(series: _Series, rule: _Rule) -> list[Transition]:
    """Every change between the two phases, whatever lies between."""
    signed = [i for i, phase in enumerate(series.phase) if phase in rule.pair]
    return [
        series.transition(a, b, _last_change(series.exponent, a, b))
        for a, b in pairwise(signed)
        if series.phase[a] != series.phase[b]
    ]


def _last_change(exponent: Floats, old: int, onset: int) -> int:
    """Last checkpoint up to `onset` at which the sign is new; else `onset`."""
    signs = np.sign(exponent[old : onset + 1])
    changes = np.flatnonzero(signs[1:] * signs[:-1] < 0)
    return old + 1 + int(changes[-1]) if len(changes) else onset


def first_transition(
    transitions: Sequence[Transition], direction: str = "to_chaos"
) -> Transition | None:
    """Earliest sustained transition in a direction; None where there is none."""
    return next(
        (t for t in transitions if t.sustained and t.direction == direction), None
    )
