"""Tables of a sweep, built once: for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lstm_edge.track.anatomy import Anatomy, Dynamics
from lstm_edge.track.association import WINDOWS, Coincidence
from lstm_edge.track.transitions import Transition

Table = tuple[list[str], list[list[str]]]
"""Header and rows."""


def transition_table(transitions: Sequence[Transition]) -> Table:
    """Give a row a transition; columns of which nothing is known are left out."""
    header = ["transition", "to", "update", "±", "epoch", "bracket", "span", "width"]
    header += ["in epochs", "weights walk", "kind"]
    rows = [
        [
            t.event,
            t.target,
            f"{t.update:.1f}",
            number(t.error, "g"),
            number(t.epoch, ".1f"),
            f"{t.bracket[0]} to {t.bracket[1]}",
            f"{t.span[0]} to {t.span[1]}",
            str(t.width),
            number(t.width_epochs, "g"),
            number(t.path_length, ".3g"),
            _kind(t.kind),
        ]
        for t in transitions
    ]
    return known_columns(header, rows)


def fall_table(anatomies: Sequence[Anatomy]) -> Table:
    """Give a row a fall of the test loss, with what goes with it."""
    header = ["fall at update", "epoch", "test loss", "before", "after", "exponent"]
    header += ["jump", "D~", "stability", "chaos", "kind", "weights walk", "spike"]
    header += ["first sign"]
    rows = []
    for one in anatomies:
        a, b = one.before, one.after
        spike = max(one.spiked, key=one.spikes.__getitem__, default="")
        rows.append(
            [
                f"{one.fall.begin} to {one.fall.end}",
                number(one.epoch, "g"),
                f"{one.fall.high:.3g} to {one.fall.low:.3g}",
                _net(a),
                _net(b),
                f"{a.exponent:.4f} to {b.exponent:.4f}" if a and b else "",
                "yes" if one.jumped else "no" if a and b else "",
                f"{a.distance:.1f} to {b.distance:.1f}" if a and b else "",
                one.stability,
                one.chaos,
                _kind(one.kind),
                number(one.walk, ".2g") and f"x {one.walk:.2g}",
                spike and f"{spike} x {one.spikes[spike]:.1g}",
                _first(one),
            ]
        )
    return known_columns(header, rows)


def _net(dynamics: Dynamics | None) -> str:
    """Tell phase and target, and how many attractors, where there are several."""
    if dynamics is None:
        return ""
    several = dynamics.attractors > 1
    words = dict.fromkeys((dynamics.phase, dynamics.target))
    told = ", ".join(word for word in words if word)
    return told + (f", {dynamics.attractors:g} attractors" if several else "")


def _kind(bifurcation: str) -> str:
    return bifurcation.replace("neimark_sacker", "Neimark-Sacker").replace("_", " ")


def _first(anatomy: Anatomy) -> str:
    """Tell what is seen first, where that is before the drop."""
    at, what = anatomy.order[0]
    ahead = anatomy.fall.begin - at
    return f"{what}, {ahead} updates before" if ahead > 0 else "with the drop"


def coincidence_table(found: Mapping[str, Coincidence]) -> Table:
    """Give a row a kind of change: how many falls come with it, and by chance."""
    header = ["falls that come with a", "falls", "hits", "by chance", "p"]
    header += [f"± {window}" for window in WINDOWS[1:]]
    rows = [
        [
            name,
            str(one.falls),
            str(one.hits),
            number(one.expected, ".2g"),
            number(one.p_value, ".2g"),
            *(_hits(one, window) for window in WINDOWS[1:]),
        ]
        for name, one in found.items()
    ]
    return known_columns(header, rows)


def _hits(found: Coincidence, window: int) -> str:
    if window not in found.windows:
        return ""
    hits, mean = found.windows[window]
    return f"{hits} ({mean:.2g})"


def known_columns(header: list[str], rows: list[list[str]]) -> Table:
    """Leave out the columns in which nothing stands."""
    known = [i for i in range(len(header)) if any(row[i] for row in rows)]
    return [header[i] for i in known], [[row[i] for i in known] for row in rows]


def number(value: float, form: str) -> str:
    """Write a number; nothing where it is not known."""
    return "" if value != value else format(value, form)
