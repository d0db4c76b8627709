"""The words in which results say what a net does, and the columns that hold them."""

from __future__ import annotations

from dataclasses import dataclass

PHASES = ("order", "edge", "chaos")
"""All that a phase can be, where it is known."""

SIGNED = ("order", "chaos")
"""The phases between which there are transitions; the edge lies between them."""

UNDECIDED = "undecided"
"""The phase where the longest run cannot tell; it counts as none of these."""

UNKNOWN = "unknown"
"""The phase where an orbit left the finite numbers, or grows for ever."""

ATTRACTORS = ("fixed_point", "cycle", "torus", "chaos", "unbounded", "undecided")
"""What a start may end on, from order to chaos."""


@dataclass(frozen=True)
class Column:
    """A number of each checkpoint, or an array of them, as every table shows it.

    Attributes
    ----------
    name : str
    sentence : str
        What it is.
    unit : str
        As UDUNITS reads it: "1" is a pure number, "" a text, or what depends on the
        task.
    axes : tuple of str
        Of an array: names in `AXES`.
    error : str
        The column that holds its standard error.
    """

    name: str
    sentence: str
    unit: str = "1"
    axes: tuple[str, ...] = ()
    error: str = ""


def by_name(*columns: Column) -> dict[str, Column]:
    """Give columns by their names."""
    return {column.name: column for column in columns}


AXES = by_name(
    Column("start", "start of the ensemble"),
    Column("exponent", "rank of the exponent, from 1, the largest"),
    Column("sample", "sample of the asymptotic distance"),
)
"""What the arrays of a checkpoint run along."""

PLACE = by_name(
    Column("name", "checkpoint", ""),
    Column("update", "optimiser updates made"),
)
"""The columns that say which checkpoint a row is of."""

PHASE_COLOURS = {"order": "#56B4E9", "edge": "#F0E442", "chaos": "#D55E00"}
"""Okabe & Ito (2008): told apart also by those who are colour-blind."""

KIND_COLOURS = {
    "fixed_point": "#0072B2",
    "cycle": "#56B4E9",
    "torus": "#F0E442",
    "chaos": "#D55E00",
    "unbounded": "#666666",
    "undecided": "#BBBBBB",
    "mixture": "#E69F00",
}
