"""Descents of the test loss: its peaks and valleys once overtraining has begun."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

PROMINENCE = 0.1
"""Least fall of the log of the test loss from a peak to the next valley: 10 %."""

STANDING = 0.05
"""Share of the evaluations for which the first optimum must stand unbeaten."""


@dataclass(frozen=True)
class Descents:
    """Peaks and valleys of a loss once overtraining has begun.

    Attributes
    ----------
    valleys, peaks : ndarray of int
        Indices. The first valley is the optimum with which overtraining begins; a peak
        lies between each two valleys.
    """

    valleys: NDArray[np.int64]
    peaks: NDArray[np.int64]

    @property
    def falls(self) -> list[tuple[int, int]]:
        """(peak, valley) pairs: the later descents."""
        return [
            (int(p), int(v)) for p, v in zip(self.peaks, self.valleys[1:], strict=True)
        ]


def find_descents(
    loss: ArrayLike, *, prominence: float = PROMINENCE, standing: float = STANDING
) -> Descents:
    """Find the peaks and valleys of a loss, so that noise does not make hundreds.

    Overtraining begins with the first minimum that stands for a share `standing` of the
    evaluations before a lower one comes. After it, in the running median over 1 % of
    the evaluations (so that the ringing after a fall is no descent of its own), a peak
    must stand out by `prominence` in ln(loss). Between two peaks lies one valley, the
    minimum of the loss itself.

    Parameters
    ----------
    loss : array_like of shape (n,)
        Positive, without NaN.
    prominence : float
        In units of ln(loss).
    standing : float
        Share of the evaluations.
    """
    from scipy.ndimage import median_filter
    from scipy.signal import find_peaks

    values = np.log(np.maximum(np.asarray(loss, float), 1e-300))
    if len(values) < 3:
        return Descents(np.zeros(0, np.int64), np.zeros(0, np.int64))
    begin = _standing_minimum(values, max(3, round(standing * len(values))))
    after = values[begin:]
    width = max(1, round(0.01 * len(values))) | 1
    smooth = median_filter(after, width, mode="nearest")
    peaks, _ = find_peaks(smooth, prominence=prominence)
    peaks = _apart(smooth, peaks.tolist(), prominence)
    valleys = [
        begin + a + int(np.argmin(after[a:b]))
        for a, b in pairwise([0, *peaks, len(after)])
    ]
    # the peaks of the loss itself, each between its two valleys
    peaks = [a + int(np.argmax(values[a:b])) for a, b in pairwise(valleys)]
    return Descents(np.asarray(valleys, np.int64), np.asarray(peaks, np.int64))


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


def _standing_minimum(values: Floats, stands: int) -> int:
    """Index of the first running minimum that stands for `stands` evaluations."""
    lowest = np.flatnonzero(values == np.minimum.accumulate(values))
    ends = np.append(lowest[1:], len(values))
    return int(lowest[np.argmax((ends - lowest >= stands) | (ends == len(values)))])
