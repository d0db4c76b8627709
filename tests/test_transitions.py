"""Planted transitions are found, and none is invented."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_edge.transitions import advise, find_transitions, first_transition

LETTERS = {"o": "order", "e": "edge", "C": "chaos", "?": "unknown"}
SIGNS = {"o": -0.1, "e": 0.0, "C": 0.1, "?": float("nan")}


def series(text: str) -> tuple[np.ndarray, list[str], list[float]]:
    """Updates 0, 10, 20, ..., phases and exponents from a word such as 'ooeCC'."""
    return (
        10 * np.arange(len(text)),
        [LETTERS[letter] for letter in text],
        [SIGNS[letter] for letter in text],
    )


def test_a_planted_edge_reaches_from_the_last_order_to_the_onset_of_chaos() -> None:
    update, phase, exponent = series("o" * 10 + "e" * 5 + "C" * 20)
    (found,) = [t for t in find_transitions(update, phase, exponent) if t.sustained]
    assert found.direction == "to_chaos"
    assert found.edge == (90, 150)
    assert found.width == 60
    assert found.bracket == (140, 150)


def test_the_time_is_where_the_exponent_crosses_zero() -> None:
    update, phase, _ = series("o" * 10 + "C" * 20)
    exponent = np.concatenate([np.full(10, -0.1), np.full(20, 0.3)])
    first = first_transition(find_transitions(update, phase, exponent))
    assert first is not None
    assert first.update == pytest.approx(92.5)


def test_flicker_belongs_to_the_edge() -> None:
    update, phase, exponent = series("o" * 8 + "CoCCoeCeoC" + "C" * 20)
    found = find_transitions(update, phase, exponent)
    (lasting,) = [t for t in found if t.sustained]
    assert lasting.edge == (70, 170)
    assert sum(not t.sustained for t in found) == 7


def test_the_untrained_phase_counts_however_short_it_is() -> None:
    update, phase, exponent = series("o" + "e" * 9 + "C" * 20)
    (found,) = [t for t in find_transitions(update, phase, exponent) if t.sustained]
    assert found.edge == (0, 100)


def test_chaos_and_back_are_two_transitions() -> None:
    update, phase, exponent = series("o" * 9 + "C" * 20 + "e" * 3 + "o" * 20)
    found = [t for t in find_transitions(update, phase, exponent) if t.sustained]
    assert [t.direction for t in found] == ["to_chaos", "to_order"]
    assert found[1].edge == (280, 320)


@pytest.mark.parametrize("word", ["", "o", "oooooooo", "CCCCCCCC", "eeeeee", "o?o?oo"])
def test_nothing_is_invented(word: str) -> None:
    update, phase, exponent = series(word)
    assert find_transitions(update, phase, exponent) == []
    assert advise(update, phase, []).update is None


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03, 0.05, 0.08])
def test_a_noisy_crossing_is_found_within_one_checkpoint_of_its_onset(
    noise: float,
) -> None:
    # the exponent rises through zero at 300; its sign beyond 0.1 decides the phase, so
    # noise below that makes no phase of its own and moves the onset by little
    random = np.random.default_rng(0)
    update = np.arange(0, 600, 10)
    exponent = np.where(update < 300, -0.3, 0.3) + noise * random.standard_normal(60)
    phase = ["order" if x < -0.1 else "chaos" if x > 0.1 else "edge" for x in exponent]
    found = [t for t in find_transitions(update, phase, exponent) if t.sustained]
    assert [t.direction for t in found] == ["to_chaos"]
    assert abs(found[0].update - 300) <= 10


@given(st.text(alphabet="oeC", max_size=80))
def test_sustained_transitions_alternate_within_their_edges(word: str) -> None:
    update, phase, exponent = series(word)
    found = find_transitions(update, phase, exponent, epoch=update / 10)
    lasting = [t for t in found if t.sustained]
    assert all(a.direction != b.direction for a, b in pairwise(lasting))
    for t in found:
        assert t.edge[0] <= t.bracket[0] <= t.update <= t.bracket[1] == t.edge[1]
        assert t.width == t.edge[1] - t.edge[0]
        assert t.width_epochs == pytest.approx(t.width / 10)


def test_advice_is_the_checkpoint_nearest_to_the_first_onset() -> None:
    update, phase, exponent = series("o" * 9 + "C" * 20)
    found = find_transitions(update, phase, exponent)
    loss = np.linspace(2.0, 1.0, 29)
    advice = advise(
        update, phase, found, name=[f"c{u}" for u in update], test_loss=loss
    )
    assert (advice.update, advice.name) == (80, "c80")  # the crossing is halfway
    assert advice.best_update == 280
    assert advice.regret == pytest.approx(loss[8] - 1.0)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("o", "too few"),
        ("o" * 9, "stays ordered"),
        ("ooee" * 9, "reaches the edge"),
        ("C" * 9, "never leaves"),
        ("C" * 9 + "o" * 20, "does not return"),
        ("oooC" * 9, "does not last"),
    ],
)
def test_the_reason_for_no_advice_is_said(word: str, said: str) -> None:
    update, phase, exponent = series(word)
    found = find_transitions(update, phase, exponent)
    assert said in advise(update, phase, found).reason


def test_a_start_in_chaos_is_said() -> None:
    update, phase, exponent = series("C" * 9 + "o" * 20 + "C" * 20)
    advice = advise(update, phase, find_transitions(update, phase, exponent))
    assert advice.update == 280  # the crossing is halfway to 290
    assert "began in chaos" in advice.reason
