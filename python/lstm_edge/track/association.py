"""Whether falls come with changes of the dynamics: tests by rotation.

Checkpoints are thinned to an even grid first: where they lie dense, more changes are
seen, and a test that does not know it finds what is not there. Then the series of
changes is rotated against the falls. Every rotation is as likely as the one seen, if
the two have nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge.track.falls import Fall, spread

Floats = NDArray[np.float64]
Changes = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""Gives, for checkpoints in order, whether there is a change between each two."""

FEWEST = 3
"""Falls below which nothing can be told."""

SIGNIFICANCE = 0.05

WINDOWS = (0, 1, 2)
"""Evaluations to either side of a fall in which a change is a hit as well."""

JUMP = 6.0
"""A jump of the exponent exceeds so many standard deviations of its differences,"""

RARE = 0.95
"""and this share of them."""


@dataclass(frozen=True)
class Coincidence:
    """How many falls come with a change, and how many would by chance.

    Attributes
    ----------
    falls, changes : int
        Falls after overtraining has begun, and changes between the checkpoints there.
    hits : int
        Falls whose steepest drop overlaps a change.
    expected : float
        The mean over all rotations of the changes.
    p_value : float
        Share of the rotations with as many hits; of those with the same number, with
        changes as near to the falls. NaN for fewer than three falls, no change, or so
        few checkpoints that no p-value below 0.05 could come out.
    windows : dict of int to (int, float)
        Hits and their mean over the rotations if so many evaluations to either side
        count too: 0 is what is tested.
    null : ndarray of float
        Probability of 0, 1, ... hits over the rotations.
    """

    falls: int
    changes: int
    hits: int = 0
    expected: float = float("nan")
    p_value: float = float("nan")
    windows: dict[int, tuple[int, float]] = field(default_factory=dict)
    null: tuple[float, ...] = ()


def coincidence(
    falls: Sequence[Fall],
    checkpoints: ArrayLike,
    changes: Changes,
    evaluations: ArrayLike,
    begin: float = -np.inf,
) -> Coincidence:
    """Test whether falls come with changes more often than by chance.

    Parameters
    ----------
    falls : sequence of Fall
    checkpoints : array_like of shape (n,)
        Updates of the checkpoints measured, ascending.
    changes : callable
        As `Changes`; see `state_changes` and `jumps`.
    evaluations : array_like
        Updates at which the test loss is known: their spacing is that of the windows.
    begin : float
        Update at which overtraining begins, before which there is no fall.
    """
    times = np.asarray(checkpoints, float)
    first = max(int(np.searchsorted(times, begin, "right")) - 1, 0)
    grid = first + even_grid(times[first:])
    changed = changes(grid) if len(grid) > 1 else np.zeros(0, bool)
    found = int(changed.sum())
    if not falls or len(changed) < 1 / SIGNIFICANCE or not found:
        return Coincidence(len(falls), found)
    circle = _Circle(times[grid], changed)
    time = np.asarray(evaluations, float)
    hit = {w: circle.hits([_widened(f, time, w) for f in falls]) for w in WINDOWS}
    hits = hit[0]
    # nearness decides between rotations with as many hits
    near = circle.distance([(fall.begin + fall.end) / 2 for fall in falls])
    better = (hits > hits[0]) | ((hits == hits[0]) & (near <= near[0] + 1e-9))
    return Coincidence(
        falls=len(falls),
        changes=found,
        hits=int(hits[0]),
        expected=float(hits.mean()),
        p_value=float(better.mean()) if len(falls) >= FEWEST else float("nan"),
        windows={w: (int(h[0]), float(h.mean())) for w, h in hit.items()},
        null=tuple((np.bincount(hits, minlength=len(falls) + 1) / len(hits)).tolist()),
    )


def even_grid(times: Floats) -> NDArray[np.int64]:
    """Thin checkpoints until they lie evenly: as close as they do for 90 % of the time.

    Parameters
    ----------
    times : ndarray of shape (n,)
        Ascending.

    Returns
    -------
    ndarray of int
        Those kept: the nearest to each point of the grid.
    """
    if len(times) < 2 or times[-1] == times[0]:
        return np.zeros(min(len(times), 1), np.int64)
    gaps = np.sort(np.diff(times))
    covered = np.cumsum(gaps) / gaps.sum()
    spacing = gaps[np.searchsorted(covered, 0.9 - 1e-9)]
    points = np.arange(times[0], times[-1] + spacing / 2, spacing)
    middle = (times[1:] + times[:-1]) / 2
    return np.unique(np.searchsorted(middle, points))


def state_changes(state: ArrayLike) -> Changes:
    """Give changes of a state; where it is not known (NaN), the last one goes on."""
    values = np.asarray(state, float)

    def changes(kept: NDArray[np.int64]) -> NDArray[np.bool_]:
        found = values[kept]
        known = np.isfinite(found)
        last = np.maximum.accumulate(np.where(known, np.arange(len(found)), -1))
        filled = np.where(last >= 0, found[np.maximum(last, 0)], np.nan)
        a, b = filled[:-1], filled[1:]
        return np.asarray((a != b) & np.isfinite(a) & np.isfinite(b))

    return changes


def jumps(exponent: ArrayLike, stderr: ArrayLike) -> Changes:
    """Give jumps of the exponent: beyond its error and what it does elsewhere.

    Parameters
    ----------
    exponent, stderr : array_like of shape (n,)
        Nats per step.
    """
    values, errors = np.asarray(exponent, float), np.asarray(stderr, float)

    def changes(kept: NDArray[np.int64]) -> NDArray[np.bool_]:
        step = np.diff(values[kept])
        both = np.hypot(errors[kept][1:], errors[kept][:-1])
        size = np.abs(step[np.isfinite(step)])
        usual = max(JUMP * spread(step), np.quantile(size, RARE)) if size.size else 0.0
        large = np.abs(step) > np.maximum(3 * np.nan_to_num(both), usual)
        return np.asarray(large & np.isfinite(step))

    return changes


class _Circle:
    """Changes between checkpoints of a grid, under all rotations; the first is none.

    They are rotated in the time in which they come at an even rate: many runs change
    most at their beginning, and lose less of the test loss then, too. The rate is taken
    to rise or fall exponentially.
    """

    def __init__(self, grid: Floats, changed: NDArray[np.bool_]) -> None:
        self._grid = grid
        place = (grid - grid[0]) / (grid[-1] - grid[0])
        middle = (place[1:] + place[:-1]) / 2
        self._rate = _rate(middle[changed])
        self._borders = self._time(place)
        own = self._time(middle)[changed]
        turns = np.arange(len(changed)) / len(changed)
        self._at = (own[None, :] + turns[:, None]) % 1.0  # (rotations, changes)
        cells = np.searchsorted(self._borders, self._at, "right") - 1
        self._changed = np.zeros((len(changed), len(changed)), bool)
        np.put_along_axis(self._changed, cells, True, axis=1)

    def _time(self, place: Floats) -> Floats:
        if abs(self._rate) < 1e-6:
            return place
        return np.asarray(np.expm1(-self._rate * place) / np.expm1(-self._rate))

    def hits(self, intervals: Sequence[tuple[float, float]]) -> NDArray[np.int64]:
        """Count the intervals that overlap a change, for every rotation."""
        total = np.zeros(len(self._at), np.int64)
        for begin, end in intervals:
            cells = (self._grid[:-1] < end) & (begin < self._grid[1:])
            total += self._changed[:, cells].any(axis=1)
        return total

    def distance(self, times: Sequence[float]) -> Floats:
        """Mean way from times to the nearest change around the circle."""
        first, last = self._grid[0], self._grid[-1]
        total = np.zeros(len(self._at))
        for place in self._time((np.array(times) - first) / (last - first)):
            apart = np.abs(self._at - place) % 1.0
            total += np.minimum(apart, 1 - apart).min(axis=1)
        return total / len(times)


def _rate(places: Floats) -> float:
    """At which events in [0, 1] become rarer, exp(-rate x), by their mean place.

    Two events in the middle are added, so that few events do not tell much.
    """
    from scipy.optimize import brentq

    mean = (places.sum() + 1.0) / (len(places) + 2.0)

    def excess(rate: float) -> float:
        if abs(rate) < 1e-6:
            return float(0.5 - mean)
        return float(1 / rate - 1 / np.expm1(rate) - mean)

    return float(brentq(excess, -50.0, 50.0))


def _widened(fall: Fall, evaluations: Floats, window: int) -> tuple[float, float]:
    a = int(np.searchsorted(evaluations, fall.begin)) - window
    b = int(np.searchsorted(evaluations, fall.end)) + window
    last = len(evaluations) - 1
    return float(evaluations[max(a, 0)]), float(evaluations[min(b, last)])


def pooled(found: Sequence[Coincidence]) -> tuple[int, float, float]:
    """Test several runs together: the sum of their hits against their own rotations.

    Returns
    -------
    hits : int
    expected : float
    p_value : float
        Probability of as many hits or more; NaN where no run can be told.
    """
    told = [one for one in found if one.null]
    if not told:
        return 0, float("nan"), float("nan")
    total = np.ones(1)
    for one in told:
        total = np.convolve(total, one.null)
    hits = sum(one.hits for one in told)
    expected = float(total @ np.arange(len(total)))
    return hits, expected, float(total[hits:].sum())


def rank_correlation(
    time: ArrayLike, a: ArrayLike, b: ArrayLike
) -> tuple[float, float]:
    """Spearman's rank correlation of two series, tested against rotations.

    Both are series in time with a memory of their own, so that the textbook's p-value,
    which takes their points for independent, is far too small. Under the null
    hypothesis one of them is rotated in time; for that both are read on an even grid.

    Parameters
    ----------
    time, a, b : array_like of shape (n,)
        By ascending time; points with NaN are left out.

    Returns
    -------
    rho : float
        NaN for fewer than three points, or a series that does not vary.
    p_value : float
        Share of the rotations with as large a correlation, of either sign.
    """
    from scipy.stats import rankdata

    series = np.array([np.asarray(x, float) for x in (time, a, b)])
    t, *values = series[:, np.isfinite(series).all(axis=0)]
    if len(t) < 3 or any(np.ptp(x) == 0 for x in values):
        return float("nan"), float("nan")
    rho = float(np.corrcoef([rankdata(x) for x in values])[0, 1])
    kept = even_grid(t)
    x, y = (rankdata(v[kept]) for v in values)
    x, y = x - x.mean(), y - y.mean()
    # the correlation at every rotation of the grid at once
    found = np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(y).conj(), len(kept))
    least = abs(found[0]) * (1 - 1e-9)
    return rho, float((np.abs(found) >= least).mean())
