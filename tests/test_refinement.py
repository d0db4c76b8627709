"""A fifth of the checkpoints or less gives the transitions of all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_edge.sweep.visiting import until_certain
from lstm_edge.terms import PHASES
from lstm_edge.track.refinement import infer_phases, next_visits
from lstm_edge.track.transitions import SUSTAIN, find_transitions

WORDS = {"o": "order", ".": "edge", "#": "chaos", "?": "unknown"}

# the phases of all checkpoints of the demo's run, from `lstm-edge demo --full`
DEMO = (
    "ooo.......o#o.#..o#o..##########...####o...#.#########################"
    "############.oooooooooo......................o........o.oooooooooooooo"
    "ooo.oooo...###########################################################"
    "######################################################################"
    "#############o#....#.................................................."
    "...................................................................o.."
    "......................################################################"
    "##########################............................#........o.ooo.."
    "oooooooooo#.##########################################################"
    "##################################################################..##"
    "#"
)

phases = st.lists(st.sampled_from([*PHASES, ""]), max_size=150)


def words(text: str) -> list[str]:
    return [WORDS[letter] for letter in text]


def visit(truth: list[str]) -> dict[int, str]:
    """Give what a refining sweep comes to know, one checkpoint at a time."""
    known: dict[int, str] = {}
    for i in until_certain(len(truth), known):
        assert i is not None, "every phase is known at once"
        assert i not in known
        known[i] = truth[i]
    return known


def sustained(phase: list[str | None]) -> list[tuple[str, Any, Any]]:
    found = find_transitions(
        range(len(phase)), [p or "" for p in phase], np.full(len(phase), np.nan)
    )
    return [(t.direction, t.bracket, t.span) for t in found if t.sustained]


def inferred(truth: list[str], known: dict[int, str]) -> list[str | None]:
    return infer_phases([known.get(i) for i in range(len(truth))])


def test_the_demo_needs_less_than_a_quarter_of_its_checkpoints() -> None:
    truth = words(DEMO)
    known = visit(truth)
    assert len(sustained([*truth])) == 3
    assert sustained(inferred(truth, known)) == sustained([*truth])
    assert len(known) <= len(truth) / 4


@pytest.mark.parametrize("seed", range(20))
def test_planted_transitions_are_found_with_a_fifth(seed: int) -> None:
    """Long phases, with flicker in the edges between them."""
    random = np.random.default_rng(seed)
    ends = np.cumsum(random.integers(120, 400, 5))
    text: list[str] = []
    for i, end in enumerate(ends):
        edge = random.choice(list("o.#"), random.integers(0, 15) * (i < 4))
        text += ["o#"[i % 2]] * (end - len(text) - len(edge)) + edge.tolist()
    truth = words("".join(text))
    known = visit(truth)
    assert len(sustained([*truth])) == 4
    assert sustained(inferred(truth, known)) == sustained([*truth])
    assert len(known) <= len(truth) / 5


@given(phases)
def test_it_ends_with_every_transition_between_neighbours(truth: list[str]) -> None:
    known = visit(truth)
    places = [i for i, p in enumerate(truth) if p in PHASES]  # the others do not count
    seen = [known[i] for i in places if i in known]
    at = {place: i for i, place in enumerate(places)}
    for _, bracket, edge in sustained(inferred(truth, known)):
        for pair in (bracket, (edge[0], edge[0]), (edge[1], edge[1])):
            a, b = (at[place] for place in pair)
            assert b - a <= 1
            assert {places[a], places[b]} <= known.keys()
    assert not places or {places[0], places[-1]} <= known.keys()
    assert len(seen) >= min(len(places), 2)


@given(phases)
def test_more_workers_visit_the_same(truth: list[str]) -> None:
    known: dict[int, str] = {}
    pending: list[int] = []
    for i in until_certain(len(truth), known):
        pending += [] if i is None else [i]
        if i is None or len(pending) > 3:  # the newest of those in flight ends first
            ended = pending.pop()
            known[ended] = truth[ended]
    assert not pending
    assert known == visit(truth)


def test_what_lies_between_two_of_a_kind_is_of_that_kind() -> None:
    seen = ["order", None, "", None, "order", None, "chaos", None]
    filled = ["order", "order", "", "order", "order", None, "chaos", None]
    assert infer_phases(seen) == filled
    assert infer_phases([None, None]) == [None, None]


def test_a_run_of_one_phase_needs_one_look_a_window() -> None:
    for phase in PHASES:
        assert len(visit([phase] * 1000)) == 51


@pytest.mark.parametrize("count", range(SUSTAIN + 3))
def test_short_runs(count: int) -> None:
    assert next_visits([None] * count) == sorted({0, count - 1} if count else set())
    assert next_visits(["chaos"] * count) == []
