"""A forecaster of the Lorenz system, whose exponents are known."""

from __future__ import annotations

from os import PathLike

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import UsageError
from lstm_edge.lab.tasks.sequence import forecaster
from lstm_edge.lab.tasks.task import Task

SIGMA, RHO, BETA = 10.0, 28.0, 8.0 / 3.0

TRANSIENT = 50.0
"""Time until a trajectory is taken to be on the attractor."""


def make_lorenz(
    data: str | PathLike[str] | None = None,
    *,
    seed: int = 0,
    sequences: int = 1400,
    length: int = 50,
    dt: float = 0.05,
) -> Task:
    """System of Lorenz 1963, to be forecast one step ahead.

    x' = 10 (y - x), y' = x (28 - z) - y, z' = x y - 8/3 z. Each variable is shifted and
    scaled to mean 0 and variance 1, which leaves the exponents as they are: 0.906, 0
    and -14.57 per unit of time (Sprott 2003). The first two are what a forecaster in a
    closed loop is to have.

    Parameters
    ----------
    data : None
        Not used: the trajectory is computed.
    seed : int, default 0
        Of its start, and of the split.
    sequences, length : int
        Pieces of the trajectory, one after another, and their steps.
    dt : float, default 0.05
        Time of a step.

    Raises
    ------
    UsageError
        If `data` is given, or a number cannot be.
    """
    if data is not None:
        raise UsageError(f"data: expected none for the task 'lorenz', found {data}")
    for name, value in (("sequences", sequences), ("length", length), ("dt", dt)):
        if value <= 0:
            raise UsageError(f"{name}: expected a number > 0, found {value}")
    states = trajectory(sequences * (length + 1), dt, seed)
    states = (states - states.mean(axis=0)) / states.std(axis=0)
    pieces = states.astype(np.float32).reshape(sequences, length + 1, 3)
    return forecaster("lorenz", pieces[:, :-1], pieces[:, 1:], seed=seed, dt=dt)


def trajectory(steps: int, dt: float, seed: int) -> NDArray[np.float64]:
    """States (steps, 3) on the attractor, from a random start."""
    from scipy.integrate import solve_ivp

    def flow(_: float, state: NDArray[np.float64]) -> list[float]:
        x, y, z = state
        return [SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z]

    times = TRANSIENT + dt * np.arange(steps)
    start = np.random.default_rng(seed).uniform(-1, 1, 3)
    start[2] += RHO - 1  # the height of the two unstable fixed points
    found = solve_ivp(
        flow, (0, times[-1]), start, "DOP853", t_eval=times, rtol=1e-9, atol=1e-9
    )
    states: NDArray[np.float64] = found.y.T
    return states
