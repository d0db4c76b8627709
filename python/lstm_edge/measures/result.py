"""What the results of all measures share."""

from __future__ import annotations

import html
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar

import numpy as np


class Result:
    """A dataclass of numbers, arrays, and the settings that made them.

    Two are equal if they are of one type and all that is in them is equal; NaN is equal
    to NaN here.
    """

    derived: ClassVar[tuple[str, ...]] = ()
    """Properties that `to_dict` gives beside the fields."""

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain Python numbers and lists."""
        values = _fields(self) | {name: getattr(self, name) for name in self.derived}
        return {name: _plain(value) for name, value in values.items()}

    def __eq__(self, other: object) -> bool:
        """Compare all fields."""
        if type(other) is not type(self):
            return NotImplemented
        return _same(_fields(self), _fields(other))

    __hash__ = None  # type: ignore[assignment]

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(_short(value))}</td></tr>"
            for name, value in _fields(self).items()
        )
        return f"<b>{html.escape(repr(self))}</b><table>{rows}</table>"


def _fields(result: Any) -> dict[str, Any]:
    return {field.name: getattr(result, field.name) for field in fields(result)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return _plain(_fields(value)) if is_dataclass(value) else value


def _same(one: Any, other: Any) -> bool:
    if is_dataclass(one) and type(one) is type(other):
        one, other = _fields(one), _fields(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            _same(value, other[name]) for name, value in one.items()
        )
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        floats = np.asarray(one).dtype.kind in "fc"
        return np.array_equal(one, other, equal_nan=floats)
    return bool(one == other or (one != one and other != other))


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 6:
        return f"array of shape {value.shape}"
    return str(value)
