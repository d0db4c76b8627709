"""What the page and the figures draw: series over training time, phases as bands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lstm_edge.results.sweep import Sweep
from lstm_edge.terms import KIND_COLOURS, PHASE_COLOURS

Floats = NDArray[np.float64]

STABILITY_COLOURS = {
    "stable": KIND_COLOURS["fixed_point"],
    "torus": KIND_COLOURS["torus"],
    "mixture": KIND_COLOURS["mixture"],
    "chaos": KIND_COLOURS["chaos"],
    "unbounded": KIND_COLOURS["unbounded"],
}
"""Whether all starts are stable, else what some of them end on."""

LINE_COLOURS = {
    "test_loss": "#0072B2",
    "train_loss": "#999999",
    "distance": "#009E73",
    "lambda_max": "#CC79A7",
    "lambda_mean": "#999999",
}

MOST_DOTS = 20_000
"""Of an orbit diagram; of more their density is drawn."""

BINS, COLUMNS = 150, 1000
"""Of that density: of the values, and at most of the times."""

NORMS = ("gradient_norm", "update_norm", "weight_norm")


@dataclass(frozen=True)
class Series:
    """A sweep against training time.

    Attributes
    ----------
    time : ndarray of shape (n,)
        Epochs of the analysed checkpoints, or updates where epochs are not known.
    unit : {"epoch", "update"}
    loss_time, train_loss, test_loss : ndarray
        Of all evaluations known, analysed or not.
    bands : dict of phase to list of (begin, end)
        Where each phase holds: halfway to the neighbouring checkpoints.
    dots : (time, value), ndarrays
        The orbit diagram: h_T . 1 of each sample minus the mean over the samples.
    left_out : int
        Dots left out to keep the drawing light: every checkpoint keeps the same share.
    """

    sweep: Sweep
    time: Floats
    unit: str
    loss_time: Floats
    train_loss: Floats
    test_loss: Floats
    bands: dict[str, list[tuple[float, float]]]
    dots: tuple[Floats, Floats] | None
    density: Density | None

    def column(self, name: str) -> Floats:
        """Column of the sweep's table, as floats."""
        return np.asarray(self.sweep.table[name], float)

    @cached_property
    def stability_bands(self) -> dict[str, list[tuple[float, float]]]:
        """As `bands`, of stability: "stable", or what the starts end on."""
        track = self.sweep.track
        told = dict(zip(track.name, track.target, strict=True))
        words = [told[name].replace("order", "stable") for name in self.sweep.names]
        return _bands(self.time, words, STABILITY_COLOURS)

    @cached_property
    def start_quantiles(self) -> tuple[Floats, Floats]:
        """Of the largest exponent over the starts, 10 % and 90 %, per checkpoint."""
        rows = [
            np.quantile(found[:, 0], (0.1, 0.9)) if found.size else (np.nan, np.nan)
            for found in self.sweep.each("lyapunov", "per_start")
        ]
        low, high = np.array(rows, float).reshape(-1, 2).T
        return low, high

    def at(self, update: float) -> float:
        """Time of an update."""
        if self.unit == "update":
            return update
        known = self.sweep.table
        return float(np.interp(update, known["update"], known["epoch"]))


def make_series(sweep: Sweep) -> Series:
    """Prepare a sweep for drawing."""
    table = sweep.table
    epochs = np.asarray(table["epoch"], float)
    unit = "epoch" if len(epochs) and np.isfinite(epochs).all() else "update"
    time = epochs if unit == "epoch" else np.asarray(table["update"], float)
    dots, density = _orbit_diagram(sweep, time)
    evaluations = [
        (metrics.get("epoch", np.nan) if unit == "epoch" else float(update), metrics)
        for update, metrics in sweep.checkpoints.values()
    ]
    return Series(
        sweep=sweep,
        time=time,
        unit=unit,
        loss_time=np.array([t for t, _ in evaluations], float),
        train_loss=np.array([m.get("train_loss", np.nan) for _, m in evaluations]),
        test_loss=np.array([m.get("test_loss", np.nan) for _, m in evaluations]),
        bands=phase_bands(time, list(table["phase"])),
        dots=dots,
        density=density,
    )


@dataclass(frozen=True)
class Density:
    """Where the samples of each checkpoint are: an orbit diagram of many dots.

    Attributes
    ----------
    time : ndarray of shape (m,)
        Of the checkpoints, or of some neighbours together.
    value : ndarray of shape (b,)
        Middle of each bin.
    share : ndarray of shape (b, m)
        Of the samples of a time in each bin.
    """

    time: Floats
    value: Floats
    share: Floats

    @property
    def darkness(self) -> Floats:
        """0 where nothing is, 1 where more are than in nine of ten bins that hold any.

        Ordered nets have all in one bin; a chaotic net beside them is to be seen too.
        """
        some = self.share[self.share > 0]
        dense = np.quantile(some, 0.9) if some.size else 1.0
        shown = np.clip(np.sqrt(self.share / dense), 0.3, 1.0)
        return np.asarray(np.where(self.share > 0, shown, 0.0))


@dataclass(frozen=True)
class Around:
    """The loss around the changes in one direction: an event-triggered average.

    Attributes
    ----------
    lag : ndarray of shape (m,)
        Time from the crossing, negative before it.
    mean, low, high : ndarray of shape (m,)
        ln(loss / loss at the crossing): mean and quartiles over the crossings.
    events : int
        Crossings.
    """

    lag: Floats
    mean: Floats
    low: Floats
    high: Floats
    events: int


def loss_around(series: Series, direction: str, share: float = 0.05) -> Around | None:
    """Average the test loss around the crossings, sustained or not.

    Parameters
    ----------
    series : Series
    direction : {"to_chaos", "to_order", "to_unstable", "to_stable"}
    share : float
        How far to look on either side, as a share of the run.

    Returns
    -------
    Around or None
        None without crossings or losses. Crossings so near an end of the run that the
        window is not whole are left out.
    """
    known = np.isfinite(series.test_loss) & np.isfinite(series.loss_time)
    time, loss = series.loss_time[known], np.log(series.test_loss[known])
    track = series.sweep.track
    found = [*track.transitions, *track.stability_transitions]
    updates = {t.update for t in found if t.direction == direction}
    if len(time) < 3:
        return None
    reach = share * (time[-1] - time[0])
    lag = np.linspace(-reach, reach, 101)
    events = np.array(sorted(map(series.at, updates)))
    events = events[(events - reach >= time[0]) & (events + reach <= time[-1])]
    if not len(events):
        return None
    at = np.interp(events[:, None] + lag, time, loss)
    relative = at - np.interp(events, time, loss)[:, None]
    low, high = np.quantile(relative, (0.25, 0.75), axis=0)
    return Around(lag, relative.mean(axis=0), low, high, len(events))


def phase_bands(time: Floats, phase: list[str]) -> dict[str, list[tuple[float, float]]]:
    """Phase to the (begin, end) in which it holds: halfway to the next of another."""
    return _bands(time, phase, PHASE_COLOURS)


def _bands(
    time: Floats, phase: list[str], names: Iterable[str]
) -> dict[str, list[tuple[float, float]]]:
    bands: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    if not len(time):
        return bands
    middle = (time[1:] + time[:-1]) / 2
    borders = np.concatenate([time[:1], middle, time[-1:]])
    begin = 0
    for i in range(1, len(phase) + 1):
        if i == len(phase) or phase[i] != phase[begin]:
            if phase[begin] in bands:
                bands[phase[begin]].append((float(borders[begin]), float(borders[i])))
            begin = i
    return bands


def _orbit_diagram(
    sweep: Sweep, time: Floats
) -> tuple[tuple[Floats, Floats] | None, Density | None]:
    """Give the samples of each checkpoint as dots, or of many dots their density."""
    values = [
        x - x.mean() if len(x) else x for x in sweep.each("distance", "observable")
    ]
    joined = np.concatenate([np.zeros(0), *values])
    if len(joined) <= MOST_DOTS:
        return (np.repeat(time, [len(x) for x in values]), joined), None
    low, high = joined.min(), joined.max()
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    together = -(-len(values) // COLUMNS)
    columns = [slice(i, i + together) for i in range(0, len(values), together)]
    counts = [np.histogram(np.concatenate(values[c]), edges)[0] for c in columns]
    share = np.array([n / max(1, n.sum()) for n in counts]).T
    middle = (edges[1:] + edges[:-1]) / 2
    return None, Density(np.array([time[c].mean() for c in columns]), middle, share)
