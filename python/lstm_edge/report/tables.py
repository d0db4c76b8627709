"""Tables of a sweep, built once: for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_edge.track.transitions import Transition

Table = tuple[list[str], list[list[str]]]
"""Header and rows."""


def transition_table(transitions: Sequence[Transition]) -> Table:
    """Give a row a transition; columns of which nothing is known are left out."""
    header = ["direction", "update", "epoch", "bracket", "span", "width", "in epochs"]
    header += ["weights walk", "kind"]
    rows = [
        [
            t.direction.replace("_", " "),
            f"{t.update:.1f}",
            number(t.epoch, ".1f"),
            f"{t.bracket[0]} to {t.bracket[1]}",
            f"{t.span[0]} to {t.span[1]}",
            str(t.width),
            number(t.width_epochs, "g"),
            number(t.path_length, ".3g"),
            t.kind.replace("_", " "),
        ]
        for t in transitions
    ]
    return known_columns(header, rows)


def known_columns(header: list[str], rows: list[list[str]]) -> Table:
    """Leave out the columns in which nothing stands."""
    known = [i for i in range(len(header)) if any(row[i] for row in rows)]
    return [header[i] for i in known], [[row[i] for i in known] for row in rows]


def number(value: float, form: str) -> str:
    """Write a number; nothing where it is not known."""
    return "" if value != value else format(value, form)
