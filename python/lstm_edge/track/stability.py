"""Stability: what the asymptotic distance of Wei et al. 2025 sees.

A checkpoint is stable (S = 1) where every start ends on an attractor with a negative
exponent beyond its error: a fixed point or a cycle. It is unstable (S = 0) where at
least one does not, by evidence. Where that is undecided it is unknown (NaN).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_edge.shares import share_interval
from lstm_edge.terms import Column, by_name

STABLE_KINDS = ("fixed_point", "cycle")
UNSTABLE_KINDS = ("torus", "chaos", "unbounded")


COLUMNS = by_name(
    Column("chaotic_share_low", "lower end of its interval, each at 95 %"),
    Column("chaotic_share_high", "upper end of its interval, each at 95 %"),
    Column("stable", "1 where all starts end on stable fixed points or cycles, else 0"),
    Column("unstable_share", "share of the starts that end on none, by evidence"),
    Column("unstable_share_low", "lower end of its interval, each at 95 %"),
    Column("unstable_share_high", "upper end of its interval, each at 95 %"),
)


@dataclass(frozen=True)
class Stability:
    """Whether a checkpoint is stable, and what its starts end on.

    Attributes
    ----------
    value : float
        1, 0, or NaN where it is not known.
    target : str
        "order", "torus", "chaos", "unbounded", or "mixture" of several; "" unknown.
    """

    value: float
    target: str


def stability(numbers: Mapping[str, Any]) -> Stability:
    """Tell from what the starts of a checkpoint end on, else from its exponents.

    Parameters
    ----------
    numbers : mapping
        ``shares`` of the kinds of attractor; where there are none ``phase`` and
        ``chaotic_share``.
    """
    shares = numbers.get("shares")
    if shares is None:
        phase, chaotic = numbers.get("phase"), numbers.get("chaotic_share", 0.0)
        if phase == "order":
            return Stability(1.0, "order")
        value = 0.0 if chaotic > 0 else np.nan
        whole = "chaos" if chaotic == 1 else "mixture"
        return Stability(value, whole if chaotic > 0 else "")
    unstable = [kind for kind in UNSTABLE_KINDS if shares.get(kind, 0) > 0]
    ordered = any(shares.get(kind, 0) > 0 for kind in STABLE_KINDS)
    if unstable:
        one = len(unstable) == 1 and not ordered
        return Stability(0.0, unstable[0] if one else "mixture")
    undecided = shares.get("undecided", 0) > 0
    return Stability(np.nan, "") if undecided else Stability(1.0, "order")


def stability_columns(numbers: Mapping[str, Any], starts: int) -> dict[str, float]:
    """Give `COLUMNS` of a checkpoint.

    Parameters
    ----------
    numbers : mapping
        As `stability` takes them.
    starts : int
        Of its attractors.
    """
    found = {"stable": stability(numbers).value}
    if "shares" in numbers and starts:
        kinds = {"chaotic_share": ("chaos",), "unstable_share": UNSTABLE_KINDS}
        for name, counted in kinds.items():
            share = sum(numbers["shares"].get(kind, 0.0) for kind in counted)
            low, high = share_interval(share, starts)
            found |= {name: share, f"{name}_low": low, f"{name}_high": high}
    return found
