"""Errors of time averages, and of their mean over an ensemble of starts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NORMAL = 1.959964
"""97.5 % quantile of the normal distribution."""

FEWEST = 8
"""Batches of the longest kind: fewer of them tell too little of their spread."""

FEWEST_STARTS = 4
"""Starts whose spread is taken for the error of their mean."""


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


def ensemble_error(averages: Floats, errors: Floats) -> Floats:
    """Estimate standard errors of means over starts, from what the starts differ by.

    Their spread sees memories that are longer than a run, which its batches do not, and
    is widened as Student's t asks for so few starts at 95 %. Fewer than four tell too
    little; there the starts' own errors make that of their mean. Starts that differ by
    less than a quarter of their own errors are not independent, as where a drive has
    led all to one state: the mean errs as each does.

    Parameters
    ----------
    averages, errors : ndarray of shape (starts,) or (starts, k)
        Time averages, with their standard errors.

    Returns
    -------
    ndarray of shape () or (k,)
    """
    count = len(averages)
    typical = np.sqrt((errors**2).mean(axis=0))
    if count < FEWEST_STARTS:
        return np.asarray(typical / np.sqrt(count))
    finite = np.isfinite(averages)
    told = np.where(finite, averages, 0.0)
    alike = (told == told[0]).all(axis=0)  # else their mean has an error of rounding
    spread = np.where(alike, 0.0, told.std(axis=0, ddof=1))
    error = spread * _student(count - 1) / NORMAL / np.sqrt(count)
    error = np.where(spread < typical / 4, typical, error)
    return np.asarray(np.where(finite.all(axis=0), error, typical / np.sqrt(count)))


def _of_means(batches: Floats) -> Floats:
    count = batches.shape[1]
    spread = batches.std(axis=1, ddof=1) / np.sqrt(count)
    return np.asarray(spread * _student(count - 1) / NORMAL)


def _student(freedom: int) -> float:
    """Give the 97.5 % quantile of Student's t, by its Cornish-Fisher expansion."""
    z = NORMAL
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return z + (z**3 + z) / (4 * freedom) + second
