"""Fixed points and cycles, stable and unstable, with their multipliers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge import _core
from lstm_edge.errors import UsageError
from lstm_edge.measures.result import Result
from lstm_edge.measures.system import core_call, count, initial_states, make_regime
from lstm_edge.net.reading import as_weights
from lstm_edge.net.weights import Weights

Floats = NDArray[np.float64]

ITERATIONS = 60
"""Newton steps before a search is given up."""

ROUNDING = 1e-11
"""Residual |F^p(s) - s|, relative to 1 + |s|, that counts as zero."""

WALK = 200
"""Steps of the orbits along which the searches begin."""

BOUNDED = ("tanh", "sigmoid", "hard_sigmoid", "hard_sigmoid_6")
"""Functions whose values lie in [-1, 1]."""

APART = 1e-6
"""Distance, relative to 1 + |s|, from which two points are two."""


@dataclass(frozen=True, eq=False)
class FixedPoints(Result):
    """Points that return after `period` steps, one for each cycle.

    Attributes
    ----------
    states : ndarray of shape (m, n)
        A point of each, in the order (h_1, c_1, ...); those found most often first.
    period : ndarray of shape (m,)
        The least number of steps after which each returns.
    multipliers : ndarray of shape (m, n), complex
        Eigenvalues of the derivative over that period, by descending modulus. Their
        logarithms, divided by the period, are the Lyapunov exponents there.
    stable : ndarray of shape (m,), bool
        Whether all multipliers lie inside the unit circle.
    residual : ndarray of shape (m,)
        |F^p(s) - s|_2
    hits : ndarray of shape (m,)
        Searches that ended there, of `settings["starts"]`.
    settings : dict
        The arguments that made it.
    """

    states: Floats
    period: NDArray[np.int64]
    multipliers: NDArray[np.complex128]
    stable: NDArray[np.bool_]
    residual: Floats
    hits: NDArray[np.int64]
    settings: dict[str, Any]

    @property
    def unseen(self) -> float:
        """Estimate from the hits how many more there are (Chao 1984), a lower bound.

        f1^2 / (2 f2), with f1 points that were hit once and f2 that were hit twice;
        f1 (f1 - 1) / 2 where none was hit twice.
        """
        once, twice = (int(np.count_nonzero(self.hits == n)) for n in (1, 2))
        return once**2 / (2 * twice) if twice else once * (once - 1) / 2

    def __len__(self) -> int:
        """Return how many were found."""
        return len(self.states)

    def __repr__(self) -> str:
        """Return how many there are, and the leading multiplier of the first ones."""
        shown = ", ".join(
            f"{'stable' if stable else 'unstable'}, |μ|={abs(first[0]):.4g}"
            + (f", period {period}" if period > 1 else "")
            for stable, first, period in zip(
                self.stable[:4], self.multipliers[:4], self.period[:4], strict=True
            )
        )
        more = "; ..." if len(self) > 4 else ""
        unseen = f"; some {self.unseen:.0f} more unseen" if self.unseen >= 1 else ""
        return f"FixedPoints({len(self)}: {shown}{more}{unseen})"


def fixed_points(
    weights: Any,
    inputs: ArrayLike | None = None,
    *,
    period: int = 1,
    starts: int = 64,
    initial_state: ArrayLike | None = None,
    closed_loop: bool = False,
    seed: int = 0,
    module: str | None = None,
) -> FixedPoints:
    """Find the states with F^p(s) = s by Newton's method, stable and unstable ones.

    From each start s <- s - (DF^p(s) - 1)^-1 (F^p(s) - s), halving a step that does not
    bring the residual down. The first search begins at rest, where all is zero; every
    second one at its start, the others along the orbits of theirs, up to step 200. What
    is not found may still exist: `FixedPoints.unseen` estimates how many. Points of a
    GRU with |h| > 1 are left out, as no orbit from within comes there.

    Parameters
    ----------
    weights : Module, state_dict, dict of arrays, path or Weights
        As `lstm_edge.as_weights` takes it.
    inputs : array_like of shape (I,), optional
        Constant input. Default: zero.
    period : int
        p; points of every divisor of p are found too.
    starts : int
        Searches.
    initial_state : array_like of shape (n,) or (starts, n), optional
        Default: uniform in (-1, 1) in every component.
    closed_loop : bool
        Feed the readout of the last state back as the input.
    seed : int
        Of the starts.
    module : str, optional
        Which recurrent module, where there are several.

    Returns
    -------
    FixedPoints

    Raises
    ------
    CheckpointError
        Weights that cannot be used.
    UsageError
        An argument out of range, or inputs that depend on time.

    References
    ----------
    .. [1] D. Sussillo, O. Barak, Neural Computation 25 (2013) 626.
    .. [2] A. Chao, Scandinavian Journal of Statistics 11 (1984) 265.

    Examples
    --------
    >>> import numpy as np
    >>> import lstm_edge
    >>> weights = {
    ...     "weight_ih_l0": np.zeros((4, 1)),
    ...     "weight_hh_l0": np.zeros((4, 1)),
    ... }
    >>> lstm_edge.fixed_points(weights)  # h = c = 0, where c halves at every step
    FixedPoints(1: stable, |μ|=0.5)
    """
    if inputs is not None and np.ndim(inputs) != 1:
        raise UsageError(
            "inputs: expected None or one constant input (I,), found shape "
            f"{np.shape(inputs)}; a map whose inputs change has no fixed points"
        )
    found = as_weights(weights, module=module)
    p, tried = count("period", period), count("starts", starts)
    regime = make_regime(found, inputs, closed_loop=closed_loop)
    given, tried = initial_states(found, initial_state, tried, regime.dtype)
    if given is None:
        random = np.random.default_rng(count("seed", seed, 0))
        given = random.uniform(-1.0, 1.0, (tried, found.state_size))
        given[0] = 0.0
    walks = core_call(
        found,
        _core.orbit,
        regime.map,
        None,
        steps=WALK,
        transient=0,
        starts=tried,
        initial_state=given,
        at_rest=False,
        seed=0,
    )
    reach = _reach(found)
    cycles: list[Floats] = []
    hits: list[int] = []
    for start, (state, walk) in enumerate(zip(given, walks, strict=True)):
        begin = state if start % 2 == 0 else walk[start * WALK // tried]
        point = _newton(regime.map, begin, p)
        if point is None or np.abs(point).max() > reach:
            continue
        known = [i for i, cycle in enumerate(cycles) if _near(cycle, point).any()]
        if known:
            hits[known[0]] += 1
        else:
            cycles.append(_cycle(regime.map, point, p))
            hits.append(1)
    order = np.argsort([-h for h in hits], kind="stable").tolist()
    points = [cycles[i] for i in order]
    n = found.state_size
    spectra = [multipliers(regime.map, cycle[0], len(cycle)) for cycle in points]
    ends = [_push(regime.map, cycle[0], len(cycle))[0] for cycle in points]
    return FixedPoints(
        states=np.array([cycle[0] for cycle in points]).reshape(-1, n),
        period=np.array([len(cycle) for cycle in points], np.int64),
        multipliers=np.array(spectra, np.complex128).reshape(-1, n),
        stable=np.array([abs(spectrum[0]) < 1 for spectrum in spectra], bool),
        residual=np.array(
            [
                float(np.linalg.norm(end - cycle[0]))
                for end, cycle in zip(ends, points, strict=True)
            ]
        ),
        hits=np.array([hits[i] for i in order], np.int64),
        settings={
            "source": found.source,
            "period": period,
            "starts": tried,
            "closed_loop": closed_loop,
            "seed": seed,
        },
    )


def _reach(weights: Weights) -> float:
    """Bound the numbers of a state by what an orbit from within [-1, 1] can reach.

    h of a GRU is a mean of the old h and of one within [-1, 1], so that it cannot leave
    there; beyond, a gate that is 1 to rounding would make a fixed point of any h.
    """
    bounded = weights.cell.startswith("gru") and weights.functions[0] in BOUNDED
    return 1.0 + APART if bounded else float("inf")


def multipliers(
    packed: _core.StateMap, state: Floats, period: int
) -> NDArray[np.complex128]:
    """Eigenvalues of DF^p at a state, by descending modulus.

    Parameters
    ----------
    packed : lstm_edge._core.StateMap
        An autonomous map in float64.
    state : ndarray of shape (n,)
    period : int

    Returns
    -------
    ndarray of shape (n,), complex
    """
    values = np.linalg.eigvals(_push(packed, state, period)[1])
    return np.asarray(values[np.argsort(-np.abs(values), kind="stable")], complex)


def _push(packed: _core.StateMap, state: Floats, period: int) -> tuple[Floats, Floats]:
    """F^p(s) and DF^p(s)."""
    derivative = np.eye(len(state))
    for _ in range(period):
        state, derivative = _core.push(packed, state, derivative)
    return state, derivative


def _newton(packed: _core.StateMap, state: Floats, period: int) -> Floats | None:
    """Solve F^p(s) = s from `state` on, to rounding; None where the search fails."""
    one = np.eye(len(state))
    end, derivative = _push(packed, state, period)
    miss = end - state
    for _ in range(ITERATIONS):
        try:
            step = np.linalg.solve(one - derivative, miss)
        except np.linalg.LinAlgError:
            return None
        for share in 0.5 ** np.arange(10):
            tried = state + share * step
            if not np.isfinite(tried).all():
                return None
            end, derivative = _push(packed, tried, period)
            if np.linalg.norm(end - tried) < np.linalg.norm(miss):
                state, miss = tried, end - tried
                break
        else:
            break  # as near as rounding allows, or stuck
    nearly = ROUNDING * (1.0 + np.linalg.norm(state))
    return state if np.linalg.norm(miss) <= nearly else None


def _cycle(packed: _core.StateMap, point: Floats, period: int) -> Floats:
    """Points (d, n) of the cycle through `point`, d the least divisor that returns."""
    points = [point]
    for _ in range(period - 1):
        points.append(_core.push(packed, points[-1], np.zeros((len(point), 1)))[0])
    cycle = np.array(points)
    shorter = (d for d in range(1, period) if period % d == 0)
    least = next((d for d in shorter if _near(cycle[d : d + 1], point).all()), period)
    return cycle[:least]


def _near(points: Floats, point: Floats) -> NDArray[np.bool_]:
    """Which of the points (m, n) are this one."""
    apart = np.linalg.norm(points - point, axis=1)
    return np.asarray(apart <= APART * (1.0 + np.linalg.norm(point)))
