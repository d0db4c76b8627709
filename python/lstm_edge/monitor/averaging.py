"""Weights averaged over the later half of the first edge, while a net trains."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import UsageError
from lstm_edge.measures.system import count
from lstm_edge.monitor.stopping import EdgeStopping

KEPT = 64
"""Sets of weights that are kept at most: so many tell the mean."""


class EdgeAveraging:
    """Averages the weights over the later half of the span at which to stop.

    It keeps copies of the weights, thinned evenly whenever there are more than `keep`.

    Parameters
    ----------
    stopping : EdgeStopping
        That finds the transition.
    keep : int
        Sets of weights in memory at most.

    Examples
    --------
    >>> import torch
    >>> import lstm_edge
    >>> model = torch.nn.LSTM(3, 5)
    >>> with lstm_edge.EdgeMonitor(steps=200, transient=100) as monitor:
    ...     stopping = lstm_edge.EdgeStopping(monitor)
    ...     averaging = lstm_edge.EdgeAveraging(stopping)
    ...     for update in range(5):  # a training
    ...         measured = monitor.update(model, update)
    ...         averaging.update(model, update)
    >>> if stopping.should_stop:  # the average over the later half of the edge
    ...     weights = averaging.weights  # arrays by name
    """

    def __init__(self, stopping: EdgeStopping, *, keep: int = KEPT) -> None:
        self.stopping = stopping
        self.keep = count("keep", keep, 2)
        self._kept: list[tuple[int, dict[str, NDArray[Any]]]] = []
        self._every = 1
        self._calls = 0

    def update(self, model: Any, update: int) -> None:
        """Keep a copy of the weights, if their turn has come.

        Parameters
        ----------
        model : Module, state_dict or dict of arrays
        update : int
            Optimiser updates done.
        """
        self._calls += 1
        if self._calls % self._every:
            return
        self._kept.append((update, _arrays(model)))
        if len(self._kept) > self.keep:
            self._kept = self._kept[1::2]
            self._every *= 2

    @property
    def weights(self) -> dict[str, NDArray[Any]]:
        """The average, by name.

        Raises
        ------
        UsageError
            There is no transition yet, or no weights were kept in its later half.
        """
        onset = self.stopping.transition
        if onset is None:
            raise UsageError(
                "weights: expected a transition to stop at, found none yet; see "
                "EdgeStopping.should_stop"
            )
        middle = (onset.span[0] + onset.span[1]) / 2
        sets = [kept for at, kept in self._kept if middle <= at <= onset.span[1]]
        if not sets:
            raise UsageError(
                "weights: expected some within the later half of the edge, updates "
                f"{middle:g} to {onset.span[1]:g}, found none; call update as often as "
                "the monitor's"
            )
        return {
            name: np.mean([one[name] for one in sets], axis=0, dtype=np.float64).astype(
                array.dtype
            )
            if array.dtype.kind == "f"
            else array
            for name, array in sets[-1].items()
        }


def _arrays(model: Any) -> dict[str, NDArray[Any]]:
    """Copy tensors, of torch or not."""
    tensors = model.state_dict() if hasattr(model, "state_dict") else model
    return {
        name: np.asarray(x.detach().cpu() if hasattr(x, "detach") else x).copy()
        for name, x in tensors.items()
    }
