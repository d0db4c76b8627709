"""The kind of a transition follows from the multipliers on its ordered side."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_edge.track.bifurcations import bifurcation_kind
from lstm_edge.track.transitions import find_transitions


@pytest.mark.parametrize(
    ("multipliers", "period", "kind"),
    [
        ([0.99 * np.exp(1j), 0.99 * np.exp(-1j), 0.5], 1, "neimark_sacker"),
        ([0.3, -0.99], 1, "period_doubling"),
        ([0.98, -0.9], 1, "fold"),
        ([0.5, 0.4j, -0.4j], 1, "jump"),
        ([0.8], 1, "jump"),
        ([0.8], 10, "fold"),  # over ten steps that is near
        ([], 1, ""),
    ],
)
def test_kinds(multipliers: list[complex], period: int, kind: str) -> None:
    assert bifurcation_kind(multipliers, period) == kind


def test_a_transition_has_the_kind_of_its_ordered_side() -> None:
    phase = ["order"] * 25 + ["chaos"] * 25 + ["order"] * 25
    kind = ["fold"] * 25 + [""] * 25 + ["period_doubling"] * 25
    exponent = np.where(np.array(phase) == "chaos", 0.1, -0.1)
    found = find_transitions(np.arange(75), phase, exponent, kind=kind)
    assert [(t.direction, t.kind) for t in found if t.sustained] == [
        ("to_chaos", "fold"),
        ("to_order", "period_doubling"),
    ]
