"""What a row must hold to be shown: a store may come from anywhere.

A row that another program made up costs itself, as a checkpoint that cannot be read
does; it is never computed with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lstm_edge.store.rows import Row, is_number
from lstm_edge.terms import ATTRACTORS, PHASES, UNDECIDED, UNKNOWN

_PHASES = (*PHASES, UNDECIDED, UNKNOWN, "")


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_number, value))


def _pairs(value: Any) -> bool:
    return isinstance(value, list) and all(_numbers(x) and len(x) == 2 for x in value)


def _shares(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(map(is_number, value.values()))
        and {*value} <= {*ATTRACTORS}
    )


def _period(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31


def _phase(value: Any) -> bool:
    return isinstance(value, str) and value in _PHASES


_NUMBERS = (
    "lambda_max",
    "lambda_max_stderr",
    "lambda_mean",
    "chaotic_share",
    "distance",
    "distance_stderr",
    "parameters",
)
_SCALARS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "phase": (f"one of {', '.join(_PHASES[:-1])}", _phase),
    "exponents": ("numbers", _numbers),
    "shares": (f"shares of {', '.join(ATTRACTORS)}", _shares),
    "multipliers": ("pairs of numbers", _pairs),
    "period": ("a number of steps", _period),
    "architecture": ("a text", lambda value: isinstance(value, str)),
    **dict.fromkeys(_NUMBERS, ("a number", is_number)),
}
"""What is read of rows, what is expected, and how it is told."""

_AXES = {"per_start": 2, "observable": 1, "sketch": 1}
"""Of the arrays that are read."""


def find_fault(row: Row) -> str:
    """Say what is wrong with the contents of a row; "" when all is well.

    Parameters
    ----------
    row : Row
        With its arrays in memory.
    """
    if row.status not in ("done", "failed"):
        return f"status: expected done or failed, found {row.status[:40]!r}"
    for name, (expected, right) in _SCALARS.items():
        if name in row.scalars and not right(row.scalars[name]):
            return f"{name}: expected {expected}, found {row.scalars[name]!r:.40}"
    for name, axes in _AXES.items():
        array = row.arrays.get(name, np.zeros((0,) * axes))
        if array.ndim != axes or array.dtype.kind not in "fiu":
            return (
                f"{name}: expected numbers along {axes} axes, found {array.dtype} of "
                f"shape {array.shape}"
            )
    return ""
