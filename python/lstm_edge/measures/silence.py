"""Silence: what a net does once its input stops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge import _core
from lstm_edge.display import counted
from lstm_edge.errors import UsageError
from lstm_edge.measures.attractor import Attractor, Attractors, attractors
from lstm_edge.measures.orbits import Orbit, orbit
from lstm_edge.measures.result import Result
from lstm_edge.measures.system import are_tokens, count, positive
from lstm_edge.net.reading import as_weights
from lstm_edge.net.weights import Weights

NEAR = 0.01
"""Of the distance at the end of the input: nearer than that, a start has settled."""

_ROUNDING = 1e-9
"""A distance of h that rounding may leave."""

_WINDOW = 1000
"""Steps that are looked at together."""

_DOES = {
    "fixed_point": "the net settles",
    "cycle": "the net keeps a cycle",
    "torus": "the net drifts on a torus, which never repeats",
    "chaos": "the net wanders chaotically",
    "unbounded": "the net grows without bound",
    "undecided": "what the net does cannot be told",
}


@dataclass(frozen=True, eq=False)
class Silence(Result):
    """What a net does once its input stops.

    Attributes
    ----------
    attractors : Attractors
        What the states that the inputs leave behind end on, a start for each input.
    settling : ndarray of shape (starts,)
        Steps after the end of the input from which on h stays nearer to its fixed point
        or cycle than `NEAR` of its distance at that end; NaN where it never does.
    driven : bool
        Whether there were inputs; else the starts are random states.
    dt : float or None
        Seconds a step.
    settings : dict
        The arguments that made it.
    """

    derived = ("sentences",)

    attractors: Attractors
    settling: NDArray[np.float64]
    driven: bool
    dt: float | None
    settings: dict[str, Any]

    @property
    def sentences(self) -> list[str]:
        """The answer in plain words."""
        found = self.attractors
        number = len(found.kind)
        starts = counted(number, "input" if self.driven else "random state")
        told = [f"After {starts}, then silence: {self._what(found, number)}."]
        settled = self.settling[np.isfinite(self.settling)]
        if len(settled):
            half, most = (self.time(float(f(settled))) for f in (np.median, np.max))
            told.append(
                f"After {half} in the median, {most} at most, {NEAR:.0%} of the "
                "distance is left."
            )
        return told

    def _what(self, found: Attractors, number: int) -> str:
        first = found.attractors[0]
        if len(found.attractors) == 1 and first.kind == "fixed_point":
            return "the net settles in one and the same resting state"
        if len(found.attractors) == 1 and first.kind == "cycle":
            return f"the net keeps a cycle of {self.time(first.period)}"
        if len({*found.kind}) > 1:
            parts = [
                f"{found.kind.count(kind)} of {number} times {does}"
                for kind, does in _DOES.items()
                if kind in found.kind
            ]
            return "what comes depends on where the net was: " + ", ".join(parts)
        several = len(found.attractors)
        which = {"fixed_point": "resting states", "cycle": "cycles"}
        where = which.get(first.kind, "attractors")
        does = _DOES[first.kind]
        return does if several == 1 else f"{does}, on one of {several} {where}"

    def time(self, steps: float) -> str:
        """Write a number of steps, in seconds too where `dt` is known."""
        number = f"{steps:,.0f}" if steps >= 100 else f"{steps:.3g}"
        told = f"{number} step{'' if steps == 1 else 's'}"
        return told if self.dt is None else f"{told} ({steps * self.dt:.3g} s)"

    def half_life(self, attractor: Attractor) -> float:
        """Give the steps in which what is left halves in the end; NaN of others."""
        falls = attractor.period > 0 and attractor.exponent < 0
        return -math.log(2) / attractor.exponent if falls else math.nan

    def __repr__(self) -> str:
        """Return the answer in plain words."""
        return " ".join(self.sentences)


def silence(
    weights: Any,
    inputs: ArrayLike | None = None,
    *,
    dt: float | None = None,
    starts: int = 32,
    limit: int = 16_000,
    seed: int = 0,
    threads: int | None = None,
    module: str | None = None,
    cancel: _core.Cancel | None = None,
) -> Silence:
    """Tell what a net does once its input stops: settle, ring, drift or wander.

    The net reads each input from h = c = 0. From the state that this leaves it runs on
    under zero input, in float64, and `attractors` tells what it ends on.

    Parameters
    ----------
    weights, threads, module, cancel
        As in `lyapunov`.
    inputs : array_like of shape (T, I) or (B, T, I), optional
        What the net hears before; integers (T,) or (B, T) are tokens, where the net has
        an embedding. Default: it begins in random states.
    dt : float, optional
        Seconds a step, for the words.
    starts : int
        Random states, where there are no inputs.
    limit : int
        Steps after which no more is waited for.
    seed : int
        Of the random states and of `attractors`.

    Returns
    -------
    Silence

    Raises
    ------
    CheckpointError
        Weights that cannot be used.
    UsageError
        An argument out of range, or inputs that are not sequences.

    Examples
    --------
    A net without weights loses half of c with every step:

    >>> import numpy as np
    >>> import lstm_edge
    >>> weights = {
    ...     "weight_ih_l0": np.zeros((4, 1)),
    ...     "weight_hh_l0": np.zeros((4, 1)),
    ... }
    >>> found = lstm_edge.silence(weights, np.ones((3, 5, 1)))
    >>> found.sentences[0]
    'After 3 inputs, then silence: the net settles in one and the same resting state.'
    >>> round(found.half_life(found.attractors.attractors[0]), 3)
    1.0
    """
    found = as_weights(weights, module=module)
    dt = None if dt is None else positive("dt", dt)
    limit = count("limit", limit)
    run: dict[str, Any] = {"threads": threads, "cancel": cancel}
    if inputs is None:
        begin = orbit(found, steps=1, starts=starts, seed=seed, **run)
    else:
        sequences = _sequences(found, inputs)
        transient = sequences.shape[1] - 1
        begin = orbit(
            found,
            sequences,
            steps=1,
            transient=transient,
            starts=len(sequences),
            **run,
        )
    states = _last_state(begin)
    ends = attractors(
        found,
        steps=min(2000, limit),
        limit=limit,
        initial_state=states,
        seed=seed,
        **run,
    )
    points = _resting(found, ends, limit, run)
    return Silence(
        attractors=ends,
        settling=_settling(found, points, states, begin.hidden[:, 0], limit, run),
        driven=inputs is not None,
        dt=dt,
        settings={
            "source": found.source,
            "starts": len(states),
            "limit": limit,
            "seed": seed,
        },
    )


def _sequences(weights: Weights, inputs: ArrayLike) -> NDArray[Any]:
    """Bring inputs to (B, T, I), or tokens (B, T)."""
    try:
        given = np.asarray(inputs)
    except ValueError as error:
        raise UsageError(f"inputs: expected an array ({error})") from error
    tokens = are_tokens(weights, given)
    whole = 2 if tokens else 3
    if given.ndim not in (whole - 1, whole) or 0 in given.shape:
        expected = "tokens (T,) or (B, T)" if tokens else "shape (T, I) or (B, T, I)"
        raise UsageError(f"inputs: expected {expected}, found {given.shape}")
    return given if given.ndim == whole else given[None]


def _last_state(walk: Orbit) -> NDArray[np.floating[Any]]:
    """Give the states (starts, n), in the order (h_1, c_1, ...)."""
    parts = [
        np.split(array[:, -1], np.cumsum(sizes)[:-1], axis=-1)
        for array, sizes in (
            (walk.hidden, walk.hidden_sizes),
            (walk.cell, walk.cell_sizes),
        )
    ]
    return np.concatenate([x for pair in zip(*parts, strict=True) for x in pair], -1)


def _resting(
    weights: Weights, ends: Attractors, limit: int, run: dict[str, Any]
) -> dict[int, NDArray[Any]]:
    """Give the points (period, H) of the fixed point or cycle of each start."""
    points: dict[int, NDArray[Any]] = {}
    for attractor in ends.attractors:
        if attractor.period > 0:
            walk = orbit(
                weights,
                initial_state=ends.states[attractor.starts[0]],
                transient=limit,
                steps=attractor.period,
                **run,
            )
            points |= dict.fromkeys(attractor.starts, walk.hidden[0])
    return points


def _apart(along: NDArray[Any], points: NDArray[Any]) -> NDArray[np.float64]:
    """Give the distance of each h (steps, H) to the nearest of some points."""
    between = along[:, None, :] - points[None, :, :]
    return np.asarray(np.linalg.norm(between, axis=-1).min(axis=-1))


def _settling(
    weights: Weights,
    points: dict[int, NDArray[Any]],
    states: NDArray[Any],
    hidden: NDArray[Any],
    limit: int,
    run: dict[str, Any],
) -> NDArray[np.float64]:
    """Follow each start to its points, and tell from when on it stays near."""
    away = {s: float(_apart(hidden[s][None], there)[0]) for s, there in points.items()}
    last = dict.fromkeys(points, 0)  # the last step at which it was not near
    settled = np.full(len(states), np.nan)
    left = sorted(points)
    for begin in range(0, limit, _WINDOW):
        if not left:
            break
        walk = orbit(weights, initial_state=states[left], steps=_WINDOW, **run)
        states[left] = _last_state(walk)
        for start, along in zip(left.copy(), walk.hidden, strict=True):
            far = _apart(along, points[start]) > max(NEAR * away[start], _ROUNDING)
            if far.any():
                last[start] = begin + 1 + int(np.flatnonzero(far)[-1])
            if not far[_WINDOW // 2 :].any():
                settled[start] = last[start] + 1 if away[start] > 0 else 0
                left.remove(start)
    return settled
