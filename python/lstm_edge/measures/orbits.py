"""Orbits: the states themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge import _core
from lstm_edge.measures.cost import refuse_beyond_memory
from lstm_edge.measures.drawing import paths
from lstm_edge.measures.result import Result
from lstm_edge.measures.system import (
    core_call,
    count,
    initial_states,
    make_regime,
)
from lstm_edge.net.reading import as_weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Orbit(Result):
    """The states that a net walks through.

    Attributes
    ----------
    hidden : ndarray of shape (starts, steps, sum(hidden_sizes))
        h of all layers, lowest first.
    cell : ndarray of shape (starts, steps, sum(cell_sizes))
        c of all layers, lowest first.
    hidden_sizes : tuple of int
        Numbers of h of every layer, to cut them apart: H, or fewer with a projection.
    cell_sizes : tuple of int
        Numbers of c of every layer: H, or 0 where the cell is no LSTM.
    settings : dict
        The arguments that made it.
    """

    hidden: NDArray[np.floating[Any]]
    cell: NDArray[np.floating[Any]]
    hidden_sizes: tuple[int, ...]
    cell_sizes: tuple[int, ...]
    settings: dict[str, Any]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the sum of h of every start along the steps.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: those of a new figure.

        Returns
        -------
        Axes
        """
        return paths(
            ax, self.hidden.sum(axis=-1), f"orbits of {len(self.hidden)} starts"
        )

    def __repr__(self) -> str:
        """Return the sizes."""
        starts, steps, _ = self.hidden.shape
        return f"Orbit({starts} starts, {steps} steps, H={self.hidden_sizes})"


def orbit(
    weights: Any,
    inputs: ArrayLike | None = None,
    *,
    steps: int,
    transient: int = 0,
    starts: int = 1,
    initial_state: ArrayLike | None = None,
    closed_loop: bool = False,
    dtype: str = "float64",
    seed: int = 0,
    threads: int | None = None,
    module: str | None = None,
    cancel: _core.Cancel | None = None,
) -> Orbit:
    """States of a recurrent net, step by step.

    Parameters
    ----------
    weights, inputs, initial_state, closed_loop, dtype, seed, threads, module, cancel
        As in `lyapunov`.
    steps : int
        States to record, after the transient.
    transient : int
        Steps before them.
    starts : int
        How many orbits.

    Returns
    -------
    Orbit
        Takes 8 * starts * steps * n bytes in float64; for a long orbit take a transient
        and go on from its last state.

    Raises
    ------
    CheckpointError
        Weights that cannot be used.
    UsageError
        An argument out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import lstm_edge
    >>> weights = {
    ...     "weight_ih_l0": np.zeros((4, 1)),
    ...     "weight_hh_l0": np.zeros((4, 1)),
    ... }
    >>> walk = lstm_edge.orbit(weights, steps=3, starts=2)
    >>> walk.hidden.shape, walk.cell.shape
    ((2, 3, 1), (2, 3, 1))
    """
    found = as_weights(weights, module=module)
    regime = make_regime(found, inputs, closed_loop=closed_loop, dtype=dtype)
    states, starts = initial_states(
        found, initial_state, count("starts", starts), regime.dtype
    )
    # the core's copy and ours
    refuse_beyond_memory("steps", 2 * starts * count("steps", steps) * found.state_size)
    recorded = core_call(
        found,
        _core.orbit,
        regime.map,
        regime.sequences,
        steps=count("steps", steps),
        transient=count("transient", transient, 0),
        starts=starts,
        initial_state=states,
        at_rest=regime.at_rest,
        seed=count("seed", seed, 0),
        threads=None if threads is None else count("threads", threads),
        cancel=cancel,
    )
    # (h_1, c_1, ..., h_L, c_L) taken apart
    sizes = found.state_sizes
    parts = np.split(recorded, np.cumsum(sizes)[:-1], axis=-1)
    return Orbit(
        hidden=np.concatenate(parts[0::2], axis=-1),
        cell=np.concatenate(parts[1::2], axis=-1),
        hidden_sizes=sizes[0::2],
        cell_sizes=sizes[1::2],
        settings={
            "source": found.source,
            "steps": steps,
            "transient": transient,
            "starts": starts,
            "closed_loop": closed_loop,
            "dtype": dtype,
            "seed": seed,
        },
    )
