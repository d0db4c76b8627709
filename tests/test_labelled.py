"""Nets of which it is known what they do: a part of ``benches/labelled.py``."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent.parent / "benches"))
import labelled  # type: ignore[import-not-found]


def check(net: Any) -> None:
    phase, exponent = labelled.read(net)
    assert phase == net.phase, net.family
    if net.phase == "order" and net.exponent is not None:
        assert exponent == pytest.approx(net.exponent, rel=1e-6), net.family


def test_long_memories_are_order() -> None:
    for net in labelled.forgetting(range(1)):
        check(net)


@pytest.mark.parametrize("first", range(3))
def test_slow_flows_and_nets_near_their_edge_are_order(first: int) -> None:
    for net in islice(labelled.slowing(), first, None, 6):
        check(net)


def test_repellers_and_what_never_settles() -> None:
    for net in labelled.others():
        check(net)


@pytest.mark.slow  # NumPy follows each of them for 80,000 steps
def test_tori_are_the_edge_and_locked_ones_order() -> None:
    for net in islice(labelled.at_the_edge(), 0, None, 4):
        check(net)
