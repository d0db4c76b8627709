"""Transitions between order and chaos along training, their edges, and the advice.

Pure functions of plain arrays: bring your own series of phases, exponents and losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

SIGNED = ("order", "chaos")
"""The phases between which there are transitions; the edge lies between them."""


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
        Updates of the two checkpoints that it lies between.
    edge : tuple of int
        Updates of the last checkpoint of the old phase and the first of the new one.
    width : int
        Length of the edge in updates.
    sustained : bool
        Whether the new phase lasts; a raw crossing (flicker) does not.
    epoch, width_epochs : float
        The same in epochs, NaN where they are not known.
    """

    direction: str
    update: float
    bracket: tuple[int, int]
    edge: tuple[int, int]
    width: int
    sustained: bool
    epoch: float = float("nan")
    width_epochs: float = float("nan")


@dataclass(frozen=True)
class Advice:
    """The checkpoint to take, and why.

    Attributes
    ----------
    reason : str
        One sentence in plain words.
    update : int or None
        Of the advised checkpoint; None where there is no first transition to chaos.
    name : str or None
        Its name.
    epoch : float
    test_loss, best_test_loss : float
        NaN where no losses are known.
    best_update : int or None
        Of the checkpoint with the best test loss.
    regret : float
        test_loss - best_test_loss.
    """

    reason: str
    update: int | None = None
    name: str | None = None
    epoch: float = float("nan")
    test_loss: float = float("nan")
    best_update: int | None = None
    best_test_loss: float = float("nan")
    regret: float = float("nan")


def find_transitions(
    update: ArrayLike,
    phase: Sequence[str],
    lambda_max: ArrayLike,
    *,
    epoch: ArrayLike | None = None,
    sustain: int = 5,
    window: int = 20,
    majority: float = 2 / 3,
) -> list[Transition]:
    """Find sustained transitions and raw crossings between order and chaos.

    Near a boundary single checkpoints jump between phases. A phase counts once it holds
    for `sustain` checkpoints in a row and for at least a `majority` of the next
    `window`; jumps before that belong to the edge. The untrained net's own phase counts
    as it is. The edge of a transition reaches from the last checkpoint of the old
    phase, as far as that was sustained, to the onset of the new one.

    Parameters
    ----------
    update : array_like of shape (n,)
        Optimiser updates of the checkpoints, ascending.
    phase : sequence of str
        "order", "edge", "chaos", or anything else where it is not known.
    lambda_max : array_like of shape (n,)
        Largest exponents, nats per step; only their sign and ratio matter.
    epoch : array_like of shape (n,), optional
    sustain, window : int
        In checkpoints.
    majority : float

    Returns
    -------
    list of Transition
        In ascending order of update, sustained ones before raw ones at the same place.
    """
    series = _Series(
        np.asarray(update),
        np.asarray(phase, dtype=object),
        np.asarray(lambda_max, float),
        None if epoch is None else np.asarray(epoch, float),
    )
    found = [
        *_sustained(series, sustain, window, majority),
        *_raw(series),
    ]
    return sorted(found, key=lambda t: (t.update, not t.sustained))


@dataclass(frozen=True)
class _Series:
    update: NDArray[np.int64]
    phase: NDArray[np.object_]
    exponent: Floats
    epoch: Floats | None

    def transition(
        self, old: int, before: int, onset: int, sustained: bool
    ) -> Transition:
        """Describe the change to the phase at `onset`.

        The old phase ends at `old`, and the crossing lies between `before` and `onset`.
        """
        share = self._crossing(before, onset)
        width = int(self.update[onset] - self.update[old])
        epoch = width_epochs = float("nan")
        if self.epoch is not None:
            a, b = float(self.epoch[before]), float(self.epoch[onset])
            epoch = a + share * (b - a)
            width_epochs = b - float(self.epoch[old])
        a, b = float(self.update[before]), float(self.update[onset])
        return Transition(
            direction=f"to_{self.phase[onset]}",
            update=a + share * (b - a),
            bracket=(int(a), int(b)),
            edge=(int(self.update[old]), int(b)),
            width=width,
            sustained=sustained,
            epoch=epoch,
            width_epochs=width_epochs,
        )

    def _crossing(self, before: int, onset: int) -> float:
        """Where the exponent crosses zero, as a share of the bracket."""
        a, b = self.exponent[before], self.exponent[onset]
        if np.isfinite(a) and np.isfinite(b) and a * b < 0:
            return float(a / (a - b))
        return 1.0


def _sustained(
    series: _Series, sustain: int, window: int, majority: float
) -> list[Transition]:
    phase, n = series.phase, len(series.phase)
    found: list[Transition] = []
    current = phase[0] if n and phase[0] in SIGNED else None
    last = 0  # the last checkpoint of the current phase, as far as it was sustained
    run = 0
    for i in range(n):
        run = run + 1 if i and phase[i] == phase[i - 1] else 1
        if phase[i] == current:
            begins = last == i - 1 or run >= sustain
            last = i if begins else last
        elif phase[i] in SIGNED and _lasts(phase[i:], sustain, window, majority):
            if current is not None or i > 0:
                found.append(series.transition(last, max(i - 1, 0), i, True))
            current, last = phase[i], i
    return found


def _lasts(
    ahead: NDArray[np.object_], sustain: int, window: int, majority: float
) -> bool:
    same = ahead[:window] == ahead[0]
    return (
        len(ahead) >= sustain
        and bool(same[:sustain].all())
        and float(same.mean()) >= majority
    )


def _raw(series: _Series) -> list[Transition]:
    """Every change between order and chaos, whatever lies between."""
    signed = [i for i, phase in enumerate(series.phase) if phase in SIGNED]
    return [
        series.transition(a, b - 1, b, False)
        for a, b in pairwise(signed)
        if series.phase[a] != series.phase[b]
    ]


def first_transition(transitions: Sequence[Transition]) -> Transition | None:
    """Earliest sustained order->chaos transition; None where there is none."""
    chaotic = (t for t in transitions if t.sustained and t.direction == "to_chaos")
    return next(chaotic, None)


def advise(
    update: ArrayLike,
    phase: Sequence[str],
    transitions: Sequence[Transition],
    *,
    name: Sequence[str] | None = None,
    epoch: ArrayLike | None = None,
    test_loss: ArrayLike | None = None,
) -> Advice:
    """Advise the checkpoint at the first sustained order->chaos transition.

    Of the two checkpoints that bracket it, the one nearer to the crossing.

    Parameters
    ----------
    update, phase, epoch
        As in `find_transitions`.
    transitions : sequence of Transition
        What that found.
    name : sequence of str, optional
        Names of the checkpoints.
    test_loss : array_like of shape (n,), optional
        NaN where it is not known; it never decides, it only gives the regret.

    Returns
    -------
    Advice
    """
    updates = np.asarray(update)
    first = first_transition(transitions)
    loss = np.full(len(updates), np.nan) if test_loss is None else np.asarray(test_loss)
    best = int(np.nanargmin(loss)) if np.isfinite(loss).any() else None
    best_update = None if best is None else int(updates[best])
    best_loss = float("nan") if best is None else float(loss[best])
    if first is None:
        return Advice(
            reason=_why_none(phase), best_update=best_update, best_test_loss=best_loss
        )
    at = int(np.argmin(np.abs(updates - first.update)))
    reason = (
        "it lies at the first sustained transition from order to chaos, whose edge "
        f"spans updates {first.edge[0]} to {first.edge[1]}"
    )
    if len(phase) and phase[0] == "chaos":
        reason += "; training began in chaos, this is the first onset after that"
    return Advice(
        reason=reason,
        update=int(updates[at]),
        name=None if name is None else name[at],
        epoch=float("nan") if epoch is None else float(np.asarray(epoch)[at]),
        test_loss=float(loss[at]),
        best_update=best_update,
        best_test_loss=best_loss,
        regret=float(loss[at] - best_loss),
    )


def _why_none(phase: Sequence[str]) -> str:
    """Say in one sentence why there is no first transition to chaos."""
    known = [p for p in phase if p in (*SIGNED, "edge")]
    if len(known) < 3:
        return (
            f"no advice: {len(known)} checkpoints with a known phase are too few, "
            "a transition needs several on either side"
        )
    share = {p: known.count(p) / len(known) for p in (*SIGNED, "edge")}
    if known[0] == "chaos" and share["chaos"] == 1.0:
        return "no advice: training starts in chaos and never leaves it"
    if share["chaos"] == 0.0:
        return "no advice: training never reaches chaos" + (
            ", though it reaches the edge" if share["edge"] else " and stays ordered"
        )
    if known[0] == "chaos":
        return "no advice: training starts in chaos and does not return to it for good"
    return (
        "no advice: chaos appears but does not last "
        f"({share['chaos']:.0%} of the checkpoints); look at the raw crossings"
    )
