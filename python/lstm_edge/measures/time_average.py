"""The error of a time average, from means over batches of the time axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NORMAL = 1.959964
"""97.5 % quantile of the normal distribution."""

FEWEST = 8
"""Batches of the longest kind: fewer of them tell too little of their spread."""


def time_average_error(batches: Floats) -> Floats:
    """Estimate standard errors from means over batches of the time axis.

    Batches that are no longer than the memory of the series are alike, and their spread
    is too small. So neighbours are joined two by two (Flyvbjerg & Petersen 1989), and
    the largest error counts, each widened as Student's t asks for so few batches at
    95 %. Where half of what the two halves disagree by is more than twice that, it is
    the error: the average has not arrived.

    Parameters
    ----------
    batches : ndarray of shape (starts, b, k)

    Returns
    -------
    ndarray of shape (starts, k)
        0 for an average of -inf, which has no error. NaN for one batch, which tells
        nothing.
    """
    flat = np.isneginf(batches).any(axis=1)
    if batches.shape[1] < 2:
        return np.where(flat, 0.0, np.nan)
    joined = np.where(np.isneginf(batches), 0.0, batches)
    halves = [half.mean(axis=1) for half in np.array_split(joined, 2, axis=1)]
    error = _of_means(joined)
    while joined.shape[1] >= 2 * FEWEST:
        pairs = joined[:, : joined.shape[1] // 2 * 2]
        joined = (pairs[:, ::2] + pairs[:, 1::2]) / 2
        error = np.maximum(error, _of_means(joined))
    trend = np.abs(halves[1] - halves[0]) / 2
    error = np.where(trend > 2 * error, trend, error)
    return np.where(flat, 0.0, error)


def _of_means(batches: Floats) -> Floats:
    count = batches.shape[1]
    spread = batches.std(axis=1, ddof=1) / np.sqrt(count)
    return np.asarray(spread * _student(count - 1) / NORMAL)


def _student(freedom: int) -> float:
    """Give the 97.5 % quantile of Student's t, by its Cornish-Fisher expansion."""
    z = NORMAL
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return z + (z**3 + z) / (4 * freedom) + second
