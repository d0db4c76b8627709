"""What the figures show: panels of lines, shares, bars and dots, whoever draws them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm_edge.report.series import LINE_COLOURS, NORMS, Density, Series, loss_around
from lstm_edge.report.tables import fall_table
from lstm_edge.terms import KIND_COLOURS, PHASE_COLOURS
from lstm_edge.track.transitions import EVENTS

Floats = NDArray[np.float64]

EVENT_COLOURS = {
    "to_chaos": PHASE_COLOURS["chaos"],
    "to_order": PHASE_COLOURS["order"],
    "to_unstable": KIND_COLOURS["mixture"],
    "to_stable": KIND_COLOURS["fixed_point"],
}


@dataclass(frozen=True)
class Line:
    """A series, perhaps with a band around it.

    Attributes
    ----------
    x, y : ndarray
    name, colour : str
    band : (low, high) of ndarray, optional
        Drawn in the colour, but lighter.
    right, dotted : bool
        Whether it has the axis on the right; whether it is dotted.
    form : str
        How a value is written, such as ".4g".
    """

    x: Floats
    y: Floats
    name: str
    colour: str
    band: tuple[Floats, Floats] | None = None
    right: bool = False
    dotted: bool = False
    form: str = ".4g"


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes
    ----------
    title, across : str
        Of the axis upwards and of that across, with its unit.
    lines : list of Line
    shares : list of Line
        Stacked up.
    bars : list of (name, height, colour)
    dots : (x, y) of ndarray or None
    density : Density or None
        In their place where there are many.
    log, zero, training : bool
        Logarithmic axis; a line at zero; whether the axis across is training, which is
        shaded by phase and marked where losses fall.
    limits : (low, high) or None
    height : float
        Beside that of other panels.
    """

    title: str
    across: str
    lines: tuple[Line, ...] = ()
    shares: tuple[Line, ...] = ()
    bars: tuple[tuple[str, float, str], ...] = ()
    dots: tuple[Floats, Floats] | None = None
    density: Density | None = None
    log: bool = False
    zero: bool = False
    training: bool = True
    limits: tuple[float, float] | None = None
    height: float = 1.0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        series = [line.y for line in (*self.lines, *self.shares)]
        dots = () if self.dots is None else self.dots[1]
        known = any(
            np.isfinite(values).any() for values in (*series, dots) if len(values)
        )
        return not (known or self.bars or self.density)


def losses(series: Series) -> Panel:
    """Test loss and, on the right, train loss, which falls by decades."""
    names = {"train_loss": "train loss", "test_loss": "test loss"}
    lines = tuple(
        Line(
            series.loss_time,
            getattr(series, name),
            words,
            LINE_COLOURS[name],
            right=name == "train_loss",
        )
        for name, words in names.items()
    )
    return Panel("test loss", series.unit, lines, log=True, height=1.1)


def exponents(series: Series) -> Panel:
    """Largest exponent with two standard errors, the mean, and most of the starts."""
    largest, error = series.column("lambda_max"), series.column("lambda_max_stderr")
    low, high = series.start_quantiles
    mean, colour = series.column("lambda_mean"), LINE_COLOURS["lambda_mean"]
    lines = (
        Line(
            series.time,
            mean,
            "exponent, mean over starts",
            colour,
            (low, high),
            dotted=True,
            form=".4f",
        ),
        Line(
            series.time,
            largest,
            "exponent, largest start",
            LINE_COLOURS["lambda_max"],
            (largest - 2 * error, largest + 2 * error),
            form=".4f",
        ),
    )
    return Panel(
        "exponent (nats per step)",
        series.unit,
        lines,
        zero=True,
        limits=around_zero(largest),
    )


def around_zero(values: Floats) -> tuple[float, float]:
    """Let a few deep values not hide what happens around zero."""
    known = values[np.isfinite(values)]
    if not known.size:
        return -1.0, 1.0
    low = min(float(np.quantile(known, 0.05)), 0.0)
    high = max(float(known.max()), 0.0)
    pad = 0.1 * max(high - low, 1e-3)
    return low - pad, high + pad


def shares(series: Series) -> Panel:
    """Shares of the starts of each checkpoint, by what they end on."""
    stack = tuple(
        Line(
            series.time,
            np.nan_to_num(share),
            kind.replace("_", " "),
            KIND_COLOURS[kind],
            form=".0%",
        )
        for kind, share in series.sweep.attractor_shares.items()
        if share.size and np.nanmax(share) > 0
    )
    return Panel("starts end on", series.unit, shares=stack, limits=(0, 1), height=0.55)


def distance(series: Series) -> Panel:
    """D~ of Wei et al. 2025."""
    values = series.column("distance")
    line = Line(series.time, values, "D~", LINE_COLOURS["distance"], form=".2f")
    known = values[np.isfinite(values)]
    flat = known.size and np.ptp(known) < 1
    limits = (known.mean() - 0.5, known.mean() + 0.5) if flat else None
    return Panel("D~ (ln distance)", series.unit, (line,), height=0.75, limits=limits)


def orbit_diagram(series: Series) -> Panel:
    """Where the samples end: a dot each, or how dense they lie."""
    title = "sum of h minus its mean"
    dots, density = series.dots, series.density
    return Panel(title, series.unit, dots=dots, density=density, height=1.05)


def widths(series: Series) -> Panel:
    """How wide the span of each sustained transition is."""
    track = series.sweep.track
    found = [*track.transitions, *track.stability_transitions]
    lasting = sorted((t for t in found if t.sustained), key=lambda t: t.update)
    bars = tuple(
        (f"{t.event}\nat {t.update:.0f}", t.width, EVENT_COLOURS[t.direction])
        for t in lasting
    )
    if len(bars) < 2:  # one width has nothing to be compared with
        bars = ()
    return Panel("width of the span (updates)", "", bars=bars, training=False)


def around(series: Series) -> Panel:
    """Test loss before and after changes, relative to that at them."""
    lines = []
    for direction, event in EVENTS.items():
        found = loss_around(series, direction)
        if found is not None:
            name = f"{event} ({found.events})"
            colour = EVENT_COLOURS[direction]
            band = (found.low, found.high)
            lines.append(Line(found.lag, found.mean, name, colour, band))
    return Panel(
        "ln(test loss / at the change)",
        f"{series.unit}s from the change",
        tuple(lines),
        training=False,
    )


def norms(series: Series) -> Panel:
    """Norms of gradient, update and weights, where they are known."""
    known = {name: series.column(name) for name in NORMS}
    lines = tuple(
        Line(series.time, values, name.replace("_", " "), colour)
        for (name, values), colour in zip(
            known.items(), KIND_COLOURS.values(), strict=False
        )
        if np.isfinite(values).any()
    )
    return Panel("L2 norm", series.unit, lines, log=True)


def falls(series: Series) -> list[tuple[float, float, str]]:
    """Time and test loss of each fall, and what goes with it, line by line."""
    header, rows = fall_table(series.sweep.track.anatomies)
    found = []
    for one, row in zip(series.sweep.track.anatomies, rows, strict=True):
        pairs = zip(header, row, strict=True)
        told = "<br>".join(f"{name}: {value}" for name, value in pairs if value)
        found.append((series.at(one.fall.begin), one.fall.high, told))
    return found


FIGURES = {
    "training": (losses, exponents, distance),
    "paper": (losses, distance, orbit_diagram),
    "orbit_diagram": (orbit_diagram,),
    "attractors": (shares,),
    "widths": (widths,),
    "around": (around,),
    "norms": (norms,),
}
"""What is saved as files; "paper" is the main figure of Wei et al. 2025."""

MAIN = {
    losses: "No losses are known: lstm-edge analyze RUN --metrics LOG brings them.",
    exponents: "No exponent is measured yet.",
    shares: "What the starts end on is not measured yet.",
    distance: "D~ is not measured yet.",
    orbit_diagram: "There is no orbit diagram without D~.",
}
"""Of the page, and what is said where there is nothing to draw."""


def main_panels(series: Series) -> tuple[list[Panel], list[str]]:
    """Give those of the page that have something to draw, and what others lack."""
    made = [(make(series), lack) for make, lack in MAIN.items()]
    return (
        [panel for panel, _ in made if not panel.empty],
        [lack for panel, lack in made if panel.empty],
    )


def marks(series: Series) -> list[tuple[float, str, str]]:
    """Time, name and colour of the sustained transitions and of the best test loss."""
    track = series.sweep.track
    found = [*track.stability_transitions, *track.transitions]
    marked = [
        (series.at(t.update), t.event, EVENT_COLOURS[t.direction])
        for t in sorted(found, key=lambda t: t.update)
        if t.sustained
    ]
    known = np.isfinite(series.test_loss) & np.isfinite(series.loss_time)
    if known.any():
        best = int(np.argmin(np.where(known, series.test_loss, np.inf)))
        marked.append((series.loss_time[best], "best test loss", "#888"))
    return marked


def told(series: Series) -> list[str]:
    """Tell what is known of each checkpoint, in a line."""
    loss = dict(zip(series.loss_time, series.test_loss, strict=True))
    parts = zip(
        series.time,
        series.sweep.table["phase"],
        series.column("lambda_max"),
        series.column("lambda_max_stderr"),
        series.sweep.names,
        strict=True,
    )
    lines = []
    for time, phase, exponent, error, name in parts:
        line = f"{series.unit} {time:g} · {phase}"
        if np.isfinite(exponent):
            line += f" · exponent {exponent:.4f} ± {error:.2g}"
        if np.isfinite(loss.get(time, np.nan)):
            line += f" · test loss {loss[time]:.4g}"
        lines.append(f"{line} · {name}")
    return lines
