"""When to stop: at the first sustained transition to chaos, without held-out data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, takewhile
from typing import Protocol

from lstm_edge.errors import UsageError
from lstm_edge.measures.system import count, positive
from lstm_edge.monitor.history import MonitorResult, track_of
from lstm_edge.track.advice import Advice
from lstm_edge.track.transitions import SUSTAIN, Transition, first_transition


class Measured(Protocol):
    """What has a history of measurements."""

    history: list[MonitorResult]


class EdgeStopping:
    """Stop training at the first sustained transition from order to chaos.

    It looks at exponents alone and needs no held-out data. Training is to stop as soon
    as the last `patience` measurements are all chaotic, unless the net was chaotic from
    the first measurement on: then sustained order has to come first, as
    `find_transitions` defines it. A measurement counts as order or chaos if its phase
    says so and its exponent lies more than `margins` zero margins from 0; anything
    nearer is the edge. Failed measurements are passed over. Once it says stop, it does
    not take it back.

    Parameters
    ----------
    monitor : EdgeMonitor, or any object with its ``history``
        Whose history it follows.
    patience : int
        Measurements in a row.
    margins : float
        The confidence asked for, at least 1. A zero margin is two standard errors, one
        side of 97.7 % were they Gaussian, and the bias of a finite run; see
        docs/theory.md.

    Notes
    -----
    That the best test loss lies there is claim 3 of Wei et al. 2025, and it does not
    hold for every net: training on may find better weights.

    The decision is a function of the sequence of results alone. A sweep over the whole
    run also asks for two thirds of the next twenty checkpoints, which nobody knows when
    training is to stop: it may find a later transition.

    Examples
    --------
    >>> import torch
    >>> import lstm_edge
    >>> model = torch.nn.LSTM(3, 5)
    >>> with lstm_edge.EdgeMonitor(steps=200, transient=100) as monitor:
    ...     stopping = lstm_edge.EdgeStopping(monitor, patience=3)
    ...     for update in range(5):  # a training
    ...         measured = monitor.update(model, update)
    ...         if stopping.should_stop:
    ...             break
    >>> stopping.should_stop
    False
    """

    def __init__(
        self, monitor: Measured, *, patience: int = SUSTAIN, margins: float = 1.0
    ) -> None:
        if not hasattr(monitor, "history"):
            raise UsageError(
                f"monitor: expected an EdgeMonitor, found {type(monitor).__name__}"
            )
        self.monitor = monitor
        self.patience = count("patience", patience)
        self.margins = positive("margins", margins)
        if self.margins < 1:
            raise UsageError(f"margins: expected at least 1, found {margins}")
        self._history: list[MonitorResult] | None = None  # the one followed so far
        self._seen = 0
        self._transition: Transition | None = None

    @property
    def should_stop(self) -> bool:
        """Whether training is to stop."""
        return self.transition is not None

    @property
    def stopped(self) -> int | None:
        """Update of the measurement that said stop; None before there is one."""
        if not self.should_stop:
            return None
        return self.monitor.history[self._seen - 1].update

    @property
    def transition(self) -> Transition | None:
        """The transition at which to stop; None while there is none."""
        history = self.monitor.history
        if history is not self._history:  # a new one, or a state that was loaded
            self._history, self._seen, self._transition = history, 0, None
        while self._transition is None and self._seen < len(history):
            self._seen += 1
            self._transition = self._judge(history[: self._seen])
        return self._transition

    @property
    def advice(self) -> Advice:
        """Which measured update to go back to, and why; or why there is none yet."""
        found = self.transition
        history = list(self._strict(self.monitor.history[: self._seen]))
        return track_of(history).advise([] if found is None else [found])

    def _judge(self, history: Sequence[MonitorResult]) -> Transition | None:
        """Give the transition that the newest result reveals, if it does.

        Chaos that goes on reveals none that its first `patience` results have not: the
        share of order before it only falls. So the whole history is read once for each
        stretch of chaos, not for each result.
        """
        if history[-1].phase == "unknown":
            return None
        backwards = islice(self._strict(reversed(history)), self.patience + 1)
        stretch = [*takewhile(lambda result: result.phase == "chaos", backwards)]
        if len(stretch) != self.patience:
            return None
        known = list(self._strict(history))
        return first_transition(track_of(known, sustain=self.patience).transitions)

    def _strict(self, history: Iterable[MonitorResult]) -> Iterator[MonitorResult]:
        """Known results; what lies too near zero is at the edge."""
        for result in history:
            if result.phase != "unknown":
                clear = abs(result.exponent) > self.margins * result.zero_margin
                yield result if clear else replace(result, phase="edge")
