"""Whether two series in time belong together: tests against circular shifts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

SHIFTS = 10_000
"""Circular shifts of the null hypothesis."""


def association(
    optima: ArrayLike,
    transitions: ArrayLike,
    span: tuple[float, float],
    *,
    shifts: int = SHIFTS,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Test whether optima lie nearer to transitions than by chance.

    The statistic is the mean distance in time from each optimum to its nearest
    transition; under the null hypothesis the transitions are shifted circularly by a
    uniform time.

    Parameters
    ----------
    optima, transitions : array_like
        Times.
    span : (first, last)
        Times between which both lie.
    shifts : int
        Random shifts.
    seed : int

    Returns
    -------
    distance : float
        Mean distance.
    effect : float
        The same, in units of its mean under the null: below 1 is nearer than chance.
    p_value : float
        Share of shifts that come as near, the observed one included.
    """
    a, b = np.asarray(optima, float), np.asarray(transitions, float)
    length = span[1] - span[0]
    shift = np.random.default_rng(seed).uniform(0.0, length, shifts)
    observed = float(_nearest(a, b[None, :])[0])
    parts = np.array_split(shift, 1 + shifts * len(b) // 2**20)  # some MB at a time
    null = np.concatenate(
        [
            _nearest(a, span[0] + (b[None, :] - span[0] + part[:, None]) % length)
            for part in parts
        ]
    )
    p_value = (1.0 + np.count_nonzero(null <= observed)) / (1.0 + shifts)
    return observed, observed / float(null.mean()), float(p_value)


def _nearest(optima: Floats, transitions: Floats) -> Floats:
    """Mean distance of the optima to the nearest transition, for each row."""
    total = np.zeros(len(transitions))
    for optimum in optima:
        total += np.abs(transitions - optimum).min(axis=1)
    return total / len(optima)


def rank_correlation(
    time: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    *,
    shifts: int = SHIFTS,
    seed: int = 0,
) -> tuple[float, float]:
    """Spearman's rank correlation of two series, tested against circular shifts.

    Both are series in time with a memory of their own, so that the textbook's p-value,
    which takes their points for independent, is far too small. Under the null
    hypothesis one of them is shifted circularly in time; for that both are read on an
    even grid, from the nearest point.

    Parameters
    ----------
    time, a, b : array_like of shape (n,)
        By ascending time; points with NaN are left out.
    shifts : int
        Random shifts, where there are more than points on the grid.
    seed : int

    Returns
    -------
    rho : float
        NaN for fewer than three points, or a series that does not vary.
    p_value : float
        Share of shifts with as large a correlation, of either sign.
    """
    from scipy.stats import rankdata

    series = np.array([np.asarray(x, float) for x in (time, a, b)])
    t, *values = series[:, np.isfinite(series).all(axis=0)]
    if len(t) < 3 or any(np.ptp(x) == 0 for x in values):
        return float("nan"), float("nan")
    rho = float(np.corrcoef([rankdata(x) for x in values])[0, 1])
    grid = np.linspace(t[0], t[-1], min(4 * len(t), shifts))
    nearest = np.searchsorted((t[1:] + t[:-1]) / 2, grid)
    x, y = (rankdata(v[nearest]) for v in values)
    x, y = x - x.mean(), y - y.mean()
    # the correlation at every shift of the grid at once
    all_shifts = np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(y).conj(), len(grid))
    null = np.abs(np.random.default_rng(seed).choice(all_shifts, shifts))
    p_value = (1.0 + np.count_nonzero(null >= abs(all_shifts[0]))) / (1.0 + shifts)
    return rho, float(p_value)
