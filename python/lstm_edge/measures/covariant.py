"""Covariant Lyapunov vectors, and the angle of stable and unstable subspace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge import _core
from lstm_edge.errors import UsageError
from lstm_edge.measures.cost import refuse_beyond_memory, tell_if_long
from lstm_edge.measures.result import Result
from lstm_edge.measures.system import (
    core_call,
    count,
    initial_states,
    make_regime,
)
from lstm_edge.net.reading import as_weights

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class CovariantVectors(Result):
    """The covariant Lyapunov vectors along an orbit of m + 1 points.

    Attributes
    ----------
    states : ndarray of shape (m + 1, n)
        The points of the orbit, in the order (h_1, c_1, ...).
    vectors : ndarray of shape (m + 1, n, k)
        Unit columns: the derivative of the map takes column i at a point to a multiple
        of column i at the next one.
    growth : ndarray of shape (m, k)
        ln of that multiple, in nats per step: the finite-time exponents, whose mean
        over a long orbit is the Lyapunov exponent.
    unstable : int
        How many columns grow on average; the rest span the stable subspace.
    angle : ndarray of shape (m + 1,)
        Smallest angle between the two, radians in [0, pi/2]; NaN where one is empty.
        Near zero: close to a tangency, the system is not hyperbolic there.
    settings : dict
        The arguments that made it.
    """

    derived = ("exponents",)

    states: Floats
    vectors: Floats
    growth: Floats
    unstable: int
    angle: Floats
    settings: dict[str, Any]

    @property
    def exponents(self) -> Floats:
        """Mean growth (k,), nats per step."""
        return np.asarray(self.growth.mean(axis=0))

    def __repr__(self) -> str:
        """Return the sizes and the smallest angle."""
        k = self.vectors.shape[-1]
        known = self.angle[np.isfinite(self.angle)]
        angle = f"; smallest angle {known.min():.3g}" if len(known) else ""
        return (
            f"CovariantVectors({len(self.states)} points, {self.unstable} unstable and "
            f"{k - self.unstable} stable directions{angle})"
        )


def covariant_vectors(
    weights: Any,
    inputs: ArrayLike | None = None,
    *,
    k: int | None = None,
    steps: int = 500,
    transient: int = 1000,
    settle: int = 500,
    interval: int = 1,
    initial_state: ArrayLike | None = None,
    closed_loop: bool = False,
    seed: int = 0,
    module: str | None = None,
    cancel: _core.Cancel | None = None,
) -> CovariantVectors:
    """Covariant Lyapunov vectors along one orbit, by the method of Ginelli et al. 2007.

    Forward, the frame Q_m is orthonormalised as for the exponents, J Q_m = Q_{m+1} R.
    Backward, from a random upper triangular matrix beyond the end, A_m = R^-1 A_{m+1}
    with columns of unit length: the vectors are the columns of Q_m A_m.

    Parameters
    ----------
    weights, inputs, closed_loop, module, cancel
        As in `lyapunov`; of a batch of inputs the first sequence drives.
    k : int, optional
        How many, from the fastest growing. Default: all n. With fewer, the stable
        subspace is that part of it.
    steps : int
        Of the orbit that is returned.
    transient, settle : int
        Steps before and behind it, along which the frames and the vectors turn into
        their directions.
    interval : int
        Steps from one point to the next.
    initial_state : array_like of shape (n,), optional
        Default: the first start of `lyapunov`.
    seed : int
        Of the start, the first frame and the last matrix.

    Returns
    -------
    CovariantVectors

    Raises
    ------
    CheckpointError
        Weights that cannot be used.
    UsageError
        An argument out of range, or directions that the map flattens, of exponent -inf:
        nothing leads back along them.

    References
    ----------
    .. [1] F. Ginelli et al., Phys. Rev. Lett. 99 (2007) 130601.

    Examples
    --------
    >>> import torch
    >>> import lstm_edge
    >>> net = torch.nn.LSTM(3, 5)
    >>> found = lstm_edge.covariant_vectors(net, k=2, steps=100)
    >>> found.vectors.shape  # at every step, and at the first
    (101, 10, 2)
    """
    found = as_weights(weights, module=module)
    regime = make_regime(found, inputs, closed_loop=closed_loop)
    start, _ = initial_states(found, initial_state, 1, regime.dtype)
    n = found.state_size
    many = n if k is None else count("k", k)
    interval = count("interval", interval)
    points = -(-count("steps", steps) // interval)
    behind = -(-count("settle", settle, 0) // interval)
    refuse_beyond_memory("steps", (points + behind) * many * (2 * n + 3 * many))
    tell_if_long(
        "covariant_vectors",
        found,
        interval * (points + behind) + count("transient", transient, 0),
        vectors=many,
        threads=1,
        k=many,
        steps=steps,
        settle=settle,
        transient=transient,
    )
    states, q, r = core_call(
        found,
        _core.frames,
        regime.map,
        regime.sequences,
        k=many,
        transient=count("transient", transient, 0),
        count=points + behind,
        interval=interval,
        initial_state=start,
        at_rest=regime.at_rest,
        seed=count("seed", seed, 0),
        cancel=cancel,
    )
    _refuse_flat(r, n)
    coordinates, growth = _pull_back(r, points, seed)
    growth /= interval
    unstable = int((growth.mean(axis=0) > 0).sum())
    return CovariantVectors(
        states=states[: points + 1],
        vectors=q[: points + 1] @ coordinates,
        growth=growth,
        unstable=unstable,
        angle=_smallest_angle(coordinates, unstable),
        settings={
            "source": found.source,
            "k": many,
            "steps": points * interval,
            "transient": transient,
            "settle": behind * interval,
            "interval": interval,
            "closed_loop": closed_loop,
            "seed": seed,
        },
    )


def _refuse_flat(r: Floats, n: int) -> None:
    diagonal = np.abs(np.diagonal(r, axis1=1, axis2=2))
    rounding = 4 * n * np.finfo(float).eps * np.abs(r).max(axis=1)
    flat = (diagonal <= rounding).any(axis=0)
    if flat.any():
        most = int(np.argmax(flat))
        raise UsageError(
            f"k: expected at most {most}, found {len(flat)}: the map flattens the "
            "directions beyond, so that nothing leads back along them"
            + ("; or take a shorter interval" if most else "")
        )


def _pull_back(r: Floats, points: int, seed: int) -> tuple[Floats, Floats]:
    """Give A (points + 1, k, k), and ln of the growth (points, k) between them."""
    from scipy.linalg import solve_triangular

    k = r.shape[-1]
    a = np.triu(np.random.default_rng(seed).standard_normal((k, k)))
    a[np.diag_indices(k)] = 1.0
    a /= np.linalg.norm(a, axis=0)
    coordinates = np.empty((points + 1, k, k))
    growth = np.empty((points, k))
    for m in range(len(r), -1, -1):
        if m < len(r):
            a = solve_triangular(r[m], a)
            length = np.linalg.norm(a, axis=0)
            a /= length
            if m < points:
                growth[m] = -np.log(length)
        if m <= points:
            coordinates[m] = a
    return coordinates, growth


def _smallest_angle(coordinates: Floats, unstable: int) -> Floats:
    """Angle of the span of the first columns and that of the others, at each point.

    The first u columns of an upper triangular matrix span the first u axes; with B an
    orthonormal basis of the others, cos and sin of the angle are the largest singular
    value of B's first u rows and the smallest one of the rest.
    """
    k = coordinates.shape[-1]
    if unstable in (0, k):
        return np.full(len(coordinates), np.nan)
    basis = np.linalg.qr(coordinates[:, :, unstable:])[0]
    cosine = np.linalg.svd(basis[:, :unstable], compute_uv=False)[:, 0]
    sine = np.linalg.svd(basis[:, unstable:], compute_uv=False)[:, -1]
    return np.asarray(np.arctan2(sine, cosine))
