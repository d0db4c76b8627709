"""Rules that choose the weights to keep of a run, and the test loss that each gets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lstm_edge.lab.studies.early_stopping import EarlyStop
from lstm_edge.monitor.history import MonitorResult
from lstm_edge.monitor.stopping import EdgeStopping
from lstm_edge.results.sweep import Sweep

FIRST_TRANSITION = "transition"
"""The checkpoint at the first order-chaos transition, as the whole sweep advises it."""

EDGE_STOPPING = "EdgeStopping"
"""The same, found while training: `EdgeStopping` at every checkpoint of the run."""

LAST = "last"
"""The last checkpoint."""

ORACLE = "oracle"
"""The checkpoint with the best test loss, which nobody knows without the test set."""


@dataclass(frozen=True)
class Choice:
    """What a rule takes of a run.

    Attributes
    ----------
    test_loss : float
        Of the weights taken.
    epoch : float
        Of these weights.
    trained : float
        Epochs of training until the rule knew.
    decided : bool
        False where the rule found nothing and so took the last checkpoint.
    """

    test_loss: float
    epoch: float
    trained: float
    decided: bool = True


def held_out(share: float) -> str:
    """Name early stopping with a share of the training set held out."""
    return f"{100 * share:g} % held out"


def choices(sweep: Sweep, stops: Iterable[EarlyStop]) -> dict[str, Choice]:
    """Tell what each rule takes.

    Where a rule takes weights whose test loss was not evaluated, that of the nearest
    evaluation counts.

    Parameters
    ----------
    sweep : Sweep
        Over all checkpoints of a run, whose test losses are known.
    stops : iterable of EarlyStop
        Of the same training.

    Returns
    -------
    dict of str to Choice
        By the name of the rule, in the order of a report.
    """
    track = sweep.track
    known = np.isfinite(track.test_loss)
    updates, losses = track.update[known], track.test_loss[known]
    epochs = track.epoch[known].tolist()
    end = epochs[-1]

    def at(update: float, trained: float) -> Choice:
        there = int(np.argmin(np.abs(updates - update)))
        return Choice(float(losses[there]), epochs[there], trained)

    last = Choice(float(losses[-1]), end, end)
    nothing = Choice(float(losses[-1]), end, end, decided=False)
    advised = track.advice.update
    found = {FIRST_TRANSITION: nothing if advised is None else at(advised, end)}
    stopping = EdgeStopping(_Replay(history_of(sweep)))
    stopped, taken = stopping.stopped, stopping.advice.update
    found[EDGE_STOPPING] = nothing
    if stopped is not None and taken is not None:
        trained = epochs[int(np.argmin(np.abs(updates - stopped)))]
        found[EDGE_STOPPING] = at(taken, trained)
    for stop in stops:
        found[held_out(stop.share)] = Choice(stop.test_loss, stop.epoch, stop.stopped)
    found[LAST] = last
    found[ORACLE] = at(updates[np.argmin(losses)], end)
    return found


@dataclass
class _Replay:
    """Measurements for `EdgeStopping` to follow."""

    history: list[MonitorResult]


def history_of(sweep: Sweep) -> list[MonitorResult]:
    """Give what a monitor would have measured at every checkpoint of a sweep.

    Parameters
    ----------
    sweep : Sweep
    """
    arrays = (
        sweep.each("lyapunov", name)
        for name in ("per_start", "per_start_stderr", "zero_margin")
    )
    history = []
    for name, values, errors, margins in zip(sweep.names, *arrays, strict=True):
        update, metrics = sweep.checkpoints[name]
        worst = int(np.argmax(values[:, 0]))
        history.append(
            MonitorResult(
                update=update,
                exponent=float(values[worst, 0]),
                stderr=float(errors[worst, 0]),
                zero_margin=float(margins[worst]),
                phase=sweep.rows[name, "lyapunov"].scalars["phase"],
                metrics=metrics,
            )
        )
    return history
