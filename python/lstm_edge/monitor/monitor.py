"""A net measured while it trains, beside the training and without waiting for it.

The training thread copies the weights and goes on. One thread of low priority measures
them, one set at a time; while it is behind, newer weights take the place of those that
wait. What it finds is handed to the user on the training thread, at the next call.
"""

from __future__ import annotations

import html
import inspect
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lstm_edge import _core
from lstm_edge.errors import UsageError
from lstm_edge.measures.drawing import along_training
from lstm_edge.measures.exponents import lyapunov
from lstm_edge.measures.system import count
from lstm_edge.measures.table import MEASURES
from lstm_edge.monitor.background import Background
from lstm_edge.monitor.history import MonitorResult, table_of, track_of
from lstm_edge.net.reading import as_weights
from lstm_edge.net.weights import Weights
from lstm_edge.track.advice import Advice
from lstm_edge.track.track import Track
from lstm_edge.track.transitions import Transition

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

SETTINGS = {*inspect.signature(lyapunov).parameters} - {
    "weights",
    "inputs",
    "module",
    "threads",
    "cancel",
}
"""Names that a monitor hands on to `lyapunov`."""


@dataclass(frozen=True)
class _Taken:
    """Weights that wait for their measurement, or why there are none."""

    update: int
    weights: Weights | Exception
    metrics: dict[str, float]


_LEAST = {"k": 1, "steps": 1, "transient": 0, "starts": 1, "seed": 0}
"""Settings that are whole numbers, and the least that each may be."""


class EdgeMonitor:
    """The largest exponent of a net while it trains, off the training thread.

    Parameters
    ----------
    inputs : array_like of shape (I,), (T, I) or (B, T, I), optional
        What drives the net, as in `lstm_edge.lyapunov`. Default: zero input.
    every : int
        Updates between two measurements: weights are taken at the first call of
        `update`, and then wherever a multiple of `every` is reached or passed.
    waiting : int or None
        Most sets of weights that wait while another is measured; a new one takes the
        place of the oldest, which is counted in `skipped`. None: all wait and none is
        lost, and memory grows while the analysis is behind.
    module : str, optional
        Which recurrent module, where there are several.
    on_result : callable, optional
        Called with every `MonitorResult` that did not fail, in ascending order of
        update and on the thread that calls `update`, `flush` or `close`: loggers bound
        to a thread work.
    writer : object, optional
        A TensorBoard ``SummaryWriter``, or what has its ``add_scalar(tag, value,
        step)``; it is given the exponent, its error and its margin.
    **settings
        Those of `lstm_edge.lyapunov` that differ from a sweep's:
        ``MEASURES["lyapunov"].defaults``.

    Attributes
    ----------
    history : list of MonitorResult
        All measurements that ended, in ascending order of update.
    skipped : int
        Sets of weights that newer ones replaced before they were measured.

    Raises
    ------
    UsageError
        An argument out of range, or unknown.

    Notes
    -----
    The same weights and settings give the same bits as `lstm_edge.lyapunov`. Which
    weights are measured depends on the clock, unless `waiting` is None.

    Nothing that goes wrong in a measurement ends training: the result says why it
    failed, and a warning is given once.

    Examples
    --------
    >>> import numpy as np
    >>> import lstm_edge
    >>> weights = {
    ...     "weight_ih_l0": np.zeros((4, 1)),
    ...     "weight_hh_l0": np.zeros((4, 1)),
    ... }
    >>> with lstm_edge.EdgeMonitor(steps=100) as monitor:
    ...     monitor.update(weights, test_loss=0.7)
    True
    >>> monitor.result.phase
    'order'
    """

    def __init__(
        self,
        inputs: ArrayLike | None = None,
        *,
        every: int = 1,
        waiting: int | None = 1,
        module: str | None = None,
        on_result: Callable[[MonitorResult], object] | None = None,
        writer: Any = None,
        **settings: Any,
    ) -> None:
        if unknown := sorted({*settings} - SETTINGS):
            raise UsageError(
                f"settings: expected some of {', '.join(sorted(SETTINGS))}, found "
                f"{', '.join(unknown)}"
            )
        self.inputs = None if inputs is None else np.array(inputs)  # a copy
        self.every = count("every", every)
        self.module = module
        self.on_result = on_result
        self.writer = writer
        self.settings = {**MEASURES["lyapunov"].defaults, **settings}
        for name, least in _LEAST.items():  # now, not at the first measurement
            count(name, self.settings[name], least)
        self.history: list[MonitorResult] = []
        self.skipped = 0
        self._last: int | None = None  # update of the last call
        self._taken: int | None = None  # of the last weights taken
        self._numbers: dict[str, float] = {}  # beside them
        self._told = 0  # results that were handed to the user
        self._warned: set[str] = set()
        self._closed = False
        self._cancel = _core.Cancel()
        self._waiting = None if waiting is None else count("waiting", waiting)
        self._background = Background(self._do, self._cancel.cancel, self._waiting)

    def update(self, model: Any, update: int | None = None, **metrics: float) -> bool:
        """Take a copy of the weights, if a measurement is due.

        Parameters
        ----------
        model : Module, state_dict, dict of arrays or Weights
            As `lstm_edge.as_weights` takes it.
        update : int, optional
            Optimiser updates done. Default: one more than at the last call.
        **metrics : float
            What to keep beside the measurement. ``test_loss`` gives the advice its
            regret, ``epoch`` the transitions their epochs.

        Returns
        -------
        bool
            Whether the weights were taken. Metrics of a second call at the same update
            stand beside the first measurement.

        Raises
        ------
        UsageError
            An update before the last one, a metric that is no number, or a monitor that
            is closed.
        """
        if self._closed:
            raise UsageError("update: expected an open monitor, found a closed one")
        last = self._last
        now = (last or 0) + 1 if update is None else count("update", update, 0)
        if last is not None and now < last:
            raise UsageError(
                f"update: expected at least {last}, that of the last call, found {now};"
                " to go back in training, load the monitor's state of that time"
            )
        self._tell()
        self._last = now
        if now == self._taken:  # the same weights, of which more may be known now
            for name, value in metrics.items():
                self._numbers[name] = _number(name, value)
            return False
        if self._taken is not None and now // self.every <= self._taken // self.every:
            return False
        numbers = {name: _number(name, value) for name, value in metrics.items()}
        self._numbers = numbers
        weights: Weights | Exception
        try:
            weights = as_weights(model, module=self.module)
        except Exception as error:  # told in its turn, with the results
            weights = error
        self._taken = now
        self.skipped += self._background.submit(_Taken(now, weights, numbers))
        return True

    def _do(self, taken: _Taken) -> None:
        result = self._measure(taken)
        if not self._closed:
            self.history.append(result)

    def _measure(self, taken: _Taken) -> MonitorResult:
        begin = time.perf_counter()
        try:
            if isinstance(taken.weights, Exception):
                raise taken.weights
            spectrum = lyapunov(
                taken.weights,
                self.inputs,
                threads=1,
                cancel=self._cancel,
                **self.settings,
            )
        except BaseException as error:  # also what closing raises: nobody waits for it
            why = str(error) or type(error).__name__
            return MonitorResult(taken.update, metrics=taken.metrics, error=why)
        worst = int(np.argmax(spectrum.per_start[:, 0]))
        return MonitorResult(
            update=taken.update,
            exponent=float(spectrum.per_start[worst, 0]),
            stderr=float(spectrum.per_start_stderr[worst, 0]),
            zero_margin=float(spectrum.zero_margin[worst]),
            phase=spectrum.phase,
            seconds=time.perf_counter() - begin,
            metrics=taken.metrics,
        )

    def _tell(self) -> None:
        """Hand new results to the user, on the user's thread."""
        while self._told < len(self.history):
            result = self.history[self._told]
            self._told += 1
            if result.error:
                self._warn("measurement", f"update {result.update}: {result.error}")
                continue
            try:
                if self.on_result is not None:
                    self.on_result(result)
                if self.writer is not None:
                    for name in ("exponent", "stderr", "zero_margin"):
                        value = getattr(result, name)
                        self.writer.add_scalar(f"edge/{name}", value, result.update)
            except Exception as error:
                self._warn("logging", f"{type(error).__name__}: {error}")

    def _warn(self, what: str, why: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            message = f"EdgeMonitor: a {what} failed, training goes on ({why})"
            warnings.warn(message, RuntimeWarning, stacklevel=4)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all weights that were taken are measured.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Returns
        -------
        bool
            Whether all are.
        """
        done = self._background.wait(timeout)
        self._tell()
        return done

    def close(self) -> None:
        """Give up what is not measured yet, and take no more weights."""
        self._closed = True
        self._background.drop()
        self._cancel.cancel()
        self.flush()

    def __enter__(self) -> EdgeMonitor:
        """Return the monitor."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Measure what waits, unless there was an error, and close."""
        if kind is None:
            self.flush()
        self.close()

    @property
    def result(self) -> MonitorResult | None:
        """The newest measurement; None before the first has ended."""
        return self.history[-1] if self.history else None

    @property
    def last_update(self) -> int | None:
        """Update of the last call; None before the first."""
        return self._last

    @property
    def track(self) -> Track:
        """All measurements as series along training."""
        return track_of(self.history)

    @property
    def transitions(self) -> list[Transition]:
        """Transitions between order and chaos so far, by `find_transitions`."""
        return self.track.transitions

    @property
    def advice(self) -> Advice:
        """The measured update at the first transition, by `advise`."""
        return self.track.advice

    def to_pandas(self) -> pandas.DataFrame:
        """Return the history as a DataFrame, the metrics in columns of their own."""
        return table_of(self.history)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the largest exponent along training, coloured by phase.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: those of a new figure.

        Returns
        -------
        Axes
        """
        track = self.track
        return along_training(
            ax, track.update, track.exponent, track.stderr, track.phase, repr(self)
        )

    def state_dict(self) -> dict[str, Any]:
        """Give the history and where training stands, in plain Python values.

        A measurement that has not ended is no part of it. Training that goes on from
        the same weights makes it again, if it calls `update` before it goes on. With
        ``waiting=None``, where none may be lost, this waits for all of them first.
        """
        if self._waiting is None:
            self.flush()
        busy, history = self._background.busy, list(self.history)  # in this order
        newest = history[-1].update if history else None
        return {
            "update": self._last,
            "taken": newest if busy else self._taken,
            "skipped": self.skipped,
            "history": [asdict(result) for result in history],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; weights that wait are dropped.

        Raises
        ------
        UsageError
            Something else.
        """
        try:
            history = [MonitorResult(**row) for row in state["history"]]
            last, taken = state["update"], state["taken"]
            skipped = int(state["skipped"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"state: expected what EdgeMonitor.state_dict gave, found another "
                f"object ({type(error).__name__}: {error})"
            ) from error
        self._background.drop()
        self.flush()
        self.history = history
        self._last, self._taken = last, taken
        self.skipped, self._told = skipped, len(history)

    def __repr__(self) -> str:
        """Return what was measured, and the newest result."""
        text = f"{len(self.history)} measured, {self.skipped} skipped"
        if (newest := self.result) is not None:
            text += (
                f"; update {newest.update}: {newest.exponent:.4g} ± {newest.stderr:.2g}"
                f" nats per step, {newest.phase}"
            )
        return f"EdgeMonitor({text})"

    def _repr_html_(self) -> str:
        return f"<b>{html.escape(repr(self))}</b>{self.to_pandas()._repr_html_()}"


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(f"{name}: expected a number, found {value!r}") from None
