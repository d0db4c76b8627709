"""Transitions between order and chaos along training, and their spans.

Pure functions of plain arrays: bring your own series of phases and exponents.
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

SUSTAIN = 5
"""Checkpoints in a row for which a phase must hold to count."""

WINDOW = 20
"""Checkpoints of which it must hold for a majority."""

MAJORITY = 2 / 3
"""That majority."""


@dataclass(frozen=True)
class Transition:
    """A change of phase along training.

    Attributes
    ----------
    direction : {"to_chaos", "to_order"}
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
    """

    direction: str
    update: float
    bracket: tuple[float, float]
    span: tuple[float, float]
    width: float
    sustained: bool
    epoch: float = float("nan")
    width_epochs: float = float("nan")
    path_length: float = float("nan")
    kind: str = ""


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
    for `sustain` checkpoints in a row and for at least a `majority` of the next
    `window`; jumps before that belong to the span. The untrained net's own phase counts
    as it is. The span of a transition reaches from the last checkpoint at which the old
    phase was sustained, by this rule looking ahead or back, to the onset of the new.

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
    """
    phases = np.asarray(phase, dtype=object)

    def known(column: ArrayLike | None) -> Floats:
        return np.asarray(np.full(len(phases), np.nan) if column is None else column)

    series = _Series(
        np.asarray(update),
        phases,
        np.asarray(lambda_max, float),
        known(epoch),
        known(path),
        np.asarray([""] * len(phases) if kind is None else kind, object),
    ).known()
    found = [
        *_sustained(series, sustain, window, majority),
        *_raw(series),
    ]
    return sorted(found, key=lambda t: (t.update, not t.sustained))


@dataclass(frozen=True)
class _Series:
    update: NDArray[Any]
    phase: NDArray[np.object_]
    exponent: Floats
    epoch: Floats
    path: Floats
    kind: NDArray[np.object_]

    def known(self) -> _Series:
        """Check the series, and keep the checkpoints of known phase."""
        lengths = [len(column) for column in vars(self).values()]
        if len(set(lengths)) > 1:
            raise ValueError(
                "update, phase, lambda_max, epoch, path, kind: expected series of "
                f"one length, found {lengths}"
            )
        if (np.diff(self.update) < 0).any():
            raise ValueError("update: expected ascending updates; sort the series")
        kept = np.isin(self.phase.astype(str), PHASES)
        return _Series(*(column[kept] for column in vars(self).values()))

    def transition(
        self, old: int, onset: int, sustained: bool, at: int | None = None
    ) -> Transition:
        """Describe the change from the phase that ends at `old` to that of `onset`.

        The exponent crosses zero just before checkpoint `at`, by default `onset`.
        """
        after = onset if at is None else at
        before = after - 1
        share = self._crossing(before, after)
        a, b = self.update[before], self.update[after]
        return Transition(
            direction=f"to_{self.phase[onset]}",
            update=float(a + share * (b - a)),
            bracket=(a.item(), b.item()),
            span=(self.update[old].item(), self.update[onset].item()),
            width=(self.update[onset] - self.update[old]).item(),
            sustained=sustained,
            epoch=float(
                self.epoch[before] + share * (self.epoch[after] - self.epoch[before])
            ),
            width_epochs=float(self.epoch[onset] - self.epoch[old]),
            path_length=float(self.path[onset] - self.path[old]),
            kind=str(self.kind[old if self.phase[onset] == "chaos" else onset]),
        )

    def _crossing(self, before: int, after: int) -> float:
        """Where the exponent crosses zero, as a share of the bracket."""
        a, b = self.exponent[before], self.exponent[after]
        if np.isfinite(a) and np.isfinite(b) and a * b < 0:
            return float(a / (a - b))
        return 1.0


def _sustained(
    series: _Series, sustain: int, window: int, majority: float
) -> list[Transition]:
    phase, update = series.phase, series.update

    def lasts(way: slice) -> bool:
        return _lasts(update[way], phase[way], sustain, window, majority)

    found: list[Transition] = []
    current = None
    last = 0  # the last checkpoint at which the current phase was sustained
    for i in range(len(phase)):
        ahead, back = slice(i, None), slice(i, None, -1)
        if phase[i] == current:
            if last == i - 1 or lasts(ahead) or lasts(back):
                last = i
        elif phase[i] in SIGNED and (i == 0 or lasts(ahead)):
            if current is not None or (i > 0 and phase[i] == "chaos"):
                found.append(series.transition(last, i, True))
            current, last = phase[i], i
    return found


def _lasts(
    update: NDArray[Any],
    phase: NDArray[np.object_],
    sustain: int,
    window: int,
    majority: float,
) -> bool:
    """Whether the first phase is sustained, in the direction of the arrays."""
    if len(phase) < sustain or not (phase[:sustain] == phase[0]).all():
        return False
    same = phase == phase[0]
    times = np.abs(update - update[0]).astype(float)
    few = max(1, min(sustain, len(same)) - 1)
    spacing = times[min(few, len(same) - 1)] / few
    ends = np.minimum(np.append(times, times[-1] + spacing), window * spacing)
    spans = np.diff(ends)
    if not spans.any():  # all at one update
        spans[:window] = 1.0
    return bool(np.average(same, weights=spans) >= majority)


def _raw(series: _Series) -> list[Transition]:
    """Every change between order and chaos, whatever lies between."""
    signed = [i for i, phase in enumerate(series.phase) if phase in SIGNED]
    return [
        series.transition(a, b, False, _last_change(series.exponent, a, b))
        for a, b in pairwise(signed)
        if series.phase[a] != series.phase[b]
    ]


def _last_change(exponent: Floats, old: int, onset: int) -> int:
    """Last checkpoint up to `onset` at which the sign is new; else `onset`."""
    signs = np.sign(exponent[old : onset + 1])
    changes = np.flatnonzero(signs[1:] * signs[:-1] < 0)
    return old + 1 + int(changes[-1]) if len(changes) else onset


def first_transition(transitions: Sequence[Transition]) -> Transition | None:
    """Earliest sustained order->chaos transition; None where there is none."""
    chaotic = (t for t in transitions if t.sustained and t.direction == "to_chaos")
    return next(chaotic, None)
