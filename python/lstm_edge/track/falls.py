"""Falls of the test loss, once overtraining has begun."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LEAST = 3
"""Test losses without which there is no fall."""

PROMINENCE = 0.1
"""Least fall of the log of the test loss from a peak to the next valley: 10 %."""

NOISE = 6.0
"""Or so many standard deviations of the differences that noise makes, if more."""

STANDING = 0.05
"""Share of the evaluations for which the first optimum must stand unbeaten."""


@dataclass(frozen=True)
class Fall:
    """A later fall of the test loss.

    Attributes
    ----------
    peak, valley : number
        Updates of the evaluations that it goes from and to.
    begin, end : number
        Updates of the two evaluations between which ln(loss) drops most.
    high, low : float
        Losses at peak and valley.
    """

    peak: float
    begin: float
    end: float
    valley: float
    high: float
    low: float

    def overlaps(self, first: float, last: float) -> bool:
        """Whether its steepest drop and an interval have more than an end in common."""
        return self.begin < last and first < self.end


def find_falls(
    update: ArrayLike, loss: ArrayLike, *, standing: float = STANDING
) -> list[Fall]:
    """Find the falls of a test loss, so that noise does not make hundreds.

    Overtraining begins with the first minimum that stands for a share `standing` of the
    evaluations before a lower one comes. After it, in the running median over 1 % of
    the evaluations (so that the ringing after a fall is no fall of its own), a peak
    must stand out by `least_fall`. Between two peaks lies one valley, the minimum of
    the loss itself.

    Parameters
    ----------
    update, loss : array_like of shape (n,)
        By ascending update; what is not finite is left out.
    standing : float
        Share of the evaluations.
    """
    time, values = np.asarray(update), np.asarray(loss, float)
    known = np.isfinite(values)
    time, values = time[known], np.maximum(values[known], 1e-300)
    level = np.log(values)
    valleys = _valleys(level, standing)
    return [_fall(time, values, level, *pair) for pair in pairwise(valleys)]


def overtraining_begins(
    update: ArrayLike, loss: ArrayLike, *, standing: float = STANDING
) -> float:
    """Update of the optimum that overtraining starts from; NaN without losses."""
    time, values = np.asarray(update), np.asarray(loss, float)
    known = np.isfinite(values)
    if not known.any():
        return float("nan")
    return float(time[known][_first_optimum(np.log(values[known]), standing)])


def _fall(
    time: NDArray[Any], values: Floats, level: Floats, last: int, valley: int
) -> Fall:
    """Describe the fall to a valley after the last one."""
    peak = last + int(np.argmax(level[last:valley]))
    begin = peak + int(np.argmin(np.diff(level[peak : valley + 1])))
    return Fall(
        peak=time[peak].item(),
        begin=time[begin].item(),
        end=time[begin + 1].item(),
        valley=time[valley].item(),
        high=float(values[peak]),
        low=float(values[valley]),
    )


def _valleys(level: Floats, standing: float) -> list[int]:
    """Places of the optimum that overtraining starts from and of those after it."""
    from scipy.ndimage import median_filter
    from scipy.signal import find_peaks

    if len(level) < LEAST:
        return []
    begin = _first_optimum(level, standing)
    after = level[begin:]
    width = max(1, round(0.01 * len(level))) | 1
    smooth = median_filter(after, width, mode="nearest")
    least = least_fall(after)
    peaks, _ = find_peaks(smooth, prominence=least)
    ends = [0, *_apart(smooth, peaks.tolist(), least), len(after)]
    return [begin + a + int(np.argmin(after[a:b])) for a, b in pairwise(ends)]


def least_fall(level: Floats) -> float:
    """Tell by how much ln(loss) must fall: 10 %, and six deviations beyond its noise.

    That is the standard deviation of the differences which white noise of the same
    second differences has: a smooth rise and fall of few evaluations is no noise.

    Parameters
    ----------
    level : ndarray of shape (n,)
        ln(loss) since overtraining began.
    """
    return max(PROMINENCE, NOISE * spread(np.diff(level, 2)) / math.sqrt(3))


def spread(values: ArrayLike) -> float:
    """Give the standard deviation by the median of absolute deviations; 0 for none."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if not known.size:
        return 0.0
    return float(1.4826 * np.median(np.abs(known - np.median(known))))


def _apart(values: Floats, peaks: list[int], prominence: float) -> list[int]:
    """Make one peak of those on a common plateau: no valley of their own between."""
    kept: list[int] = []
    for peak in peaks:
        if kept:
            valley = values[kept[-1] : peak].min()
            if valley > min(values[kept[-1]], values[peak]) - prominence:
                kept[-1] = max(kept[-1], peak, key=values.__getitem__)
                continue
        kept.append(peak)
    return kept


def _first_optimum(level: Floats, standing: float) -> int:
    """Index of the first running minimum that stands for so long."""
    stands = max(3, round(standing * len(level)))
    lowest = np.flatnonzero(level == np.minimum.accumulate(level))
    ends = np.append(lowest[1:], len(level))
    return int(lowest[np.argmax((ends - lowest >= stands) | (ends == len(level)))])
