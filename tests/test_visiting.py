"""Coarse to fine: every checkpoint once, and changes of phase soon."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_edge.sweep.visiting import (
    AROUND,
    around_falls,
    coarse_to_fine,
    until_certain,
)


@given(st.lists(st.sampled_from(["order", "edge", "chaos", ""]), max_size=200))
def test_every_checkpoint_is_visited_once_whatever_the_phases(
    phases: list[str],
) -> None:
    known: dict[int, str] = {}
    seen = []
    for i in coarse_to_fine(len(phases), known):
        seen.append(i)
        known[i] = phases[i]
    assert sorted(seen) == list(range(len(phases)))


def test_without_phases_any_beginning_covers_the_run_evenly() -> None:
    for visits in (3, 10, 50):
        seen = sorted(islice(coarse_to_fine(1000, {}), visits))
        assert max(np.diff(seen)) <= 2 * 1000 / (visits - 1)


@pytest.mark.parametrize("seed", range(10))
def test_a_tenth_of_the_visits_brackets_every_change_that_lasts(seed: int) -> None:
    random = np.random.default_rng(seed)
    changes = np.sort(random.choice(np.arange(50, 950, 60), 5, replace=False))
    phases = [
        ("order", "chaos")[np.searchsorted(changes, i, "right") % 2]
        for i in range(1000)
    ]
    known: dict[int, str] = {}
    for i in islice(coarse_to_fine(1000, known), 100):
        known[i] = phases[i]
    seen = sorted(known)
    found = [b for a, b in pairwise(seen) if b == a + 1 and phases[a] != phases[b]]
    assert found == changes.tolist()


@pytest.mark.parametrize("drop", [500, 700, 998])
def test_a_refining_sweep_looks_at_what_lies_around_a_fall(drop: int) -> None:
    """The loss falls, stands, rises slowly, and falls at once behind `drop`."""
    update = np.arange(0, 10_000, 10)
    level = np.concatenate([np.linspace(1, 0, 100), np.linspace(0, 2, drop - 98)[1:]])
    loss = np.exp(np.append(level, np.full(len(update) - len(level), 0.5)))
    wanted = set(range(drop - AROUND, min(drop + 1 + AROUND, 999) + 1))
    assert around_falls(update, loss) == wanted
    known: dict[int, str] = {}
    for i in until_certain(len(update), known, wanted):
        assert i is not None
        known[i] = "order"
    assert wanted <= known.keys()


def test_a_run_without_a_known_fall_has_nothing_to_look_at() -> None:
    update = np.arange(300)
    assert around_falls(update, np.full(300, np.nan)) == set()
    assert around_falls(update, np.exp(-update / 100)) == set()
