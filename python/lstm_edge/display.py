"""Words for people, and plain values for programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def counted(number: int, noun: str) -> str:
    """Give "1 checkpoint", "2 checkpoints"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def in_words(time: float) -> str:
    """Write a time in prose: whole from a thousand on, else with four digits."""
    return f"{time:.0f}" if abs(time) >= 1000 else f"{time:.4g}"


def span_in_words(span: tuple[float, float]) -> str:
    """Write an interval of time in prose."""
    return f"{in_words(span[0])} to {in_words(span[1])}"


def by_reason(failed: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group (name, message), as of checkpoints that failed: names of each message."""
    names: dict[str, list[str]] = {}
    for name, message in failed:
        names.setdefault(message, []).append(name)
    return names


def plain_values(value: Any) -> Any:
    """Turn nested values into what JSON knows; what is not finite is None.

    A complex number is a pair.
    """
    if isinstance(value, dict):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, complex):
        return plain_values([value.real, value.imag])
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
