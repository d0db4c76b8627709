"""Planted transitions, flicker, and what a verdict may say of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_edge.track.advice import Advice, advise
from lstm_edge.track.transitions import (
    Transition,
    find_stability_transitions,
    find_transitions,
    first_transition,
)

NAMES = {"o": "order", "e": "edge", "C": "chaos", "?": "unknown"}
LEVELS = {"o": -0.1, "e": 0.0, "C": 0.1, "?": float("nan")}


def series(letters: str, update: Sequence[int] | None = None) -> tuple[Any, Any, Any]:
    """Updates (ten an epoch), phases and exponents of a word such as ``oooeCCC``."""
    times = np.arange(len(letters)) * 10 if update is None else np.asarray(update)
    return times, [NAMES[c] for c in letters], [LEVELS[c] for c in letters]


def sustained(letters: str, **kwargs: Any) -> list[Transition]:
    return [t for t in find_transitions(*series(letters), **kwargs) if t.sustained]


def advice(letters: str, **kwargs: Any) -> Advice:
    update, phase, exponent = series(letters)
    found = find_transitions(update, phase, exponent)
    return advise(update, phase, found, **kwargs)


def test_a_planted_transition_is_found_where_the_exponent_crosses_zero() -> None:
    update, phase, _ = series("o" * 10 + "C" * 10)
    exponent = [-0.3] * 10 + [0.1] * 10
    (found,) = [
        t
        for t in find_transitions(update, phase, exponent, epoch=update / 10)
        if t.sustained
    ]
    assert found.direction == "to_chaos"
    assert found.bracket == found.span == (90, 100)
    assert found.update == pytest.approx(97.5)
    assert found.epoch == pytest.approx(9.75)
    assert (found.width, found.width_epochs) == (10, 1.0)


def test_both_directions_and_their_order() -> None:
    found = sustained("o" * 8 + "C" * 30 + "o" * 30 + "C" * 30)
    assert [t.direction for t in found] == ["to_chaos", "to_order", "to_chaos"]
    assert first_transition(found) == found[0]
    assert [t.bracket for t in found] == [(70, 80), (370, 380), (670, 680)]


def test_flicker_belongs_to_the_edge_and_stays_among_the_raw_crossings() -> None:
    update, phase, exponent = series("o" * 20 + "eCeoeCCeoeC" + "C" * 25)
    found = find_transitions(update, phase, exponent)
    (lasting,) = [t for t in found if t.sustained]
    assert lasting.span == (190, 300)
    assert lasting.width == 110
    raw = [t for t in found if not t.sustained]
    assert [t.direction for t in raw] == ["to_chaos", "to_order"] * 2 + ["to_chaos"]
    assert [t.update for t in found] == sorted(t.update for t in found)


def test_five_in_a_row_do_not_count_without_the_majority_after_them() -> None:
    assert sustained("o" * 20 + "C" * 5 + "o" * 40) == []
    assert len(sustained("o" * 20 + "C" * 5 + "oCC" * 20)) == 1


def test_the_majority_does_not_count_without_five_of_the_first_six() -> None:
    assert sustained("o" * 20 + "CCo" * 13) == []


def test_a_phase_that_flickers_in_one_of_five_is_sustained_from_its_first() -> None:
    (found,) = sustained("o" * 20 + "CCCCe" * 8)
    assert found.bracket == found.span == (190, 200)
    assert found.error == 10  # the last in order may be flicker as well


def test_the_error_of_an_onset_grows_with_the_flicker_around_it() -> None:
    (clean,) = sustained("o" * 30 + "C" * 30)
    (flickering,) = sustained("o" * 20 + "oooCo" * 2 + "CCCCCoCCCo" * 3)
    assert clean.error == 5
    assert clean.error < flickering.error < 60


def test_stability_is_lost_to_a_torus_that_is_no_chaos() -> None:
    stable = [1.0] * 20 + [0.0] * 20 + [np.nan] * 3 + [1.0] * 20
    target = ["order"] * 20 + ["torus"] * 20 + [""] * 3 + ["order"] * 20
    update, zero = np.arange(63) * 10, np.zeros(63)
    found = find_stability_transitions(update, stable, zero, target=target)
    lost, gained = (t for t in found if t.sustained)
    assert (lost.event, lost.target, lost.bracket) == (
        "loss of stability",
        "torus",
        (190, 200),
    )
    assert (gained.event, gained.span) == ("gain of stability", (390, 430))
    assert find_transitions(update, ["order"] * 20 + ["edge"] * 43, zero) == []


def test_order_that_does_not_last_is_part_of_the_edge() -> None:
    (found,) = sustained("o" * 20 + "e" * 15 + "o" * 5 + "e" * 15 + "C" * 30)
    assert found.span == (190, 550)


def test_order_that_lasts_again_ends_the_edge() -> None:
    (found,) = sustained("o" * 20 + "eeee" + "o" * 20 + "eeee" + "C" * 30)
    assert found.span == (430, 480)


def test_a_raw_crossing_lies_where_the_sign_changes_inside_its_edge() -> None:
    update, phase, _ = series("oeeC")
    (raw,) = find_transitions(update, phase, [-0.2, -0.1, 0.1, 0.3])
    assert raw.bracket == (10, 20)
    assert raw.update == pytest.approx(15.0)
    assert raw.span == (0, 30)


@pytest.mark.parametrize("letters", ["", "o", "C", "o" * 50, "C" * 50, "e" * 50, "??"])
def test_a_series_without_change_has_no_transitions(letters: str) -> None:
    assert find_transitions(*series(letters)) == []


def test_checkpoints_of_unknown_phase_are_passed_over() -> None:
    (found,) = sustained("??" + "oo?oo" + "CC?CC?C" + "C" * 9)
    assert found.bracket == (60, 70)
    assert found.direction == "to_chaos"


def test_a_start_in_chaos_is_no_transition_but_the_way_out_is() -> None:
    found = sustained("CC" + "o" * 30 + "C" * 30)
    assert [t.direction for t in found] == ["to_order", "to_chaos"]
    assert found[0].span == (10, 20)


def test_a_start_at_the_edge_is_not_chaotic_yet() -> None:
    assert sustained("eee" + "o" * 30) == []
    (found,) = sustained("eee" + "C" * 30)
    assert found.span == (0, 30)


def test_an_exponent_of_minus_infinity_or_nan_leaves_the_onset() -> None:
    update, phase, _ = series("o" * 6 + "C" * 6)
    for before in (-np.inf, np.nan):
        found = find_transitions(update, phase, [before] * 6 + [0.1] * 6)
        assert [t.update for t in found] == [60.0, 60.0]


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.09])
def test_noise_moves_a_planted_onset_by_no_more_than_its_edge(noise: float) -> None:
    random = np.random.default_rng(7)
    exponent = np.linspace(-0.3, 0.3, 301) + noise * random.standard_normal(301)
    phase = np.where(
        exponent > 0.02, "chaos", np.where(exponent < -0.02, "order", "edge")
    )
    found = find_transitions(np.arange(301), list(phase), exponent)
    (lasting,) = [t for t in found if t.sustained]
    assert lasting.span[0] <= 155
    assert abs(lasting.update - 150) <= lasting.width + 5


@pytest.mark.parametrize("noise", [0.0, 0.005, 0.01, 0.015, 0.02])
def test_planted_edges_are_found_within_a_checkpoint_and_none_is_invented(
    noise: float,
) -> None:
    lengths = [100, 40, 120, 15, 100, 25, 200]  # order, edge, chaos, edge, order, ...
    levels = np.repeat([-0.1, 0.0, 0.1, 0.0, -0.1, 0.0, 0.1], lengths)
    ends = np.cumsum(lengths)
    planted = [(int(ends[i - 1]) - 1, int(ends[i])) for i in (1, 3, 5)]
    margin = 2 * noise + 0.005
    for seed in range(20):
        random = np.random.default_rng(seed)
        exponent = levels + noise * random.standard_normal(len(levels))
        phase = np.where(
            exponent > margin, "chaos", np.where(exponent < -margin, "order", "edge")
        )
        found = find_transitions(np.arange(len(levels)), list(phase), exponent)
        lasting = [t for t in found if t.sustained]
        assert [t.direction for t in lasting] == ["to_chaos", "to_order", "to_chaos"]
        edges = np.array([t.span for t in lasting])
        assert np.abs(edges - planted).max() <= 1
        assert [t.width for t in lasting] == (edges[:, 1] - edges[:, 0]).tolist()


def test_uneven_spacing_gives_what_even_spacing_gives() -> None:
    # a moment of order of 8 epochs in chaos, then one of 30
    letters = "o" * 10 + "C" * 90 + "o" * 8 + "C" * 92 + "o" * 30 + "C" * 170
    even = sustained(letters)
    assert [t.direction for t in even] == ["to_chaos", "to_order", "to_chaos"]
    kept = [
        i
        for i in range(len(letters))
        if i < 30 or i % 10 == 0 or 95 <= i < 112 or 195 <= i < 235
    ]
    update, phase, exponent = series(
        "".join(letters[i] for i in kept), [10 * i for i in kept]
    )
    uneven = [t for t in find_transitions(update, phase, exponent) if t.sustained]
    assert [t.direction for t in uneven] == [t.direction for t in even]
    assert [t.span for t in uneven] == [t.span for t in even]


def test_a_phase_is_not_lost_where_the_grid_grows_coarse_inside_it() -> None:
    # 15 epochs of order, of which only the first 8 are kept one by one
    letters = "o" * 10 + "C" * 90 + "o" * 15 + "C" * 90
    kept = [i for i in range(len(letters)) if i < 30 or i % 5 == 0 or 95 <= i < 108]
    update, phase, exponent = series(
        "".join(letters[i] for i in kept), [10 * i for i in kept]
    )
    uneven = [t for t in find_transitions(update, phase, exponent) if t.sustained]
    assert [t.direction for t in uneven] == ["to_chaos", "to_order", "to_chaos"]
    assert [t.direction for t in sustained(letters)] == [t.direction for t in uneven]


def test_checkpoints_at_one_update_are_counted_one_by_one() -> None:
    update = [0] * 6 + [10] * 6
    found = find_transitions(update, *series("o" * 6 + "C" * 6)[1:])
    assert [t.bracket for t in found] == [(0, 10), (0, 10)]


def test_wrong_series_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one length, found \[3, 2, 3, 2, 2, 2, 2\]"):
        find_transitions([0, 1, 2], ["order", "chaos"], [0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="ascending"):
        find_transitions([0, 2, 1], ["order"] * 3, [0.0] * 3)


@given(st.text("oeC?", max_size=60), st.lists(st.integers(0, 30), min_size=60))
def test_what_holds_for_any_series(letters: str, gaps: list[int]) -> None:
    update = np.cumsum(gaps)[: len(letters)]
    found = find_transitions(*series(letters, update.tolist()))
    lasting = [t.direction for t in found if t.sustained]
    assert all(a != b for a, b in pairwise(lasting))
    for t in found:
        assert t.span[0] <= t.bracket[0] <= t.update <= t.bracket[1] <= t.span[1]
        assert t.width == t.span[1] - t.span[0]
    if "o" not in letters or "C" not in letters:
        assert not [t for t in found if not t.sustained]


# advice


def test_the_advice_is_the_checkpoint_nearest_to_the_crossing() -> None:
    update, phase, _ = series("o" * 10 + "C" * 10)
    exponent = [-0.1] * 10 + [0.3] * 10  # crosses at 92.5
    found = advise(
        update,
        phase,
        find_transitions(update, phase, exponent),
        name=[f"c{i}" for i in range(20)],
        epoch=update / 10,
        test_loss=np.linspace(2.0, 0.1, 20),
    )
    assert (found.update, found.name, found.epoch) == (90, "c9", 9.0)
    assert found.best_update == 190
    assert found.regret == pytest.approx(found.test_loss - 0.1)
    assert "nearest to the first sustained transition" in found.reason
    assert "updates 90 to 100" in found.reason


def test_times_that_are_not_whole_are_kept_and_written_as_people_do() -> None:
    time = np.linspace(0.0, 3.5, 141)
    phase = ["order" if t < 1.02 else "chaos" for t in time]
    exponent = [-0.3 if p == "order" else 0.1 for p in phase]
    found = advise(time, phase, find_transitions(time, phase, exponent))
    assert found.update == pytest.approx(1.025)
    assert "at update 1.019, whose span is updates 1 to 1.025" in found.reason


def test_the_regret_is_against_the_best_of_all_evaluations() -> None:
    found = advice(
        "o" * 10 + "C" * 10,
        loss_update=np.arange(0, 200, 5),
        test_loss=[0.05 if u == 95 else 1.0 for u in range(0, 200, 5)],
    )
    assert found.best_update == 95
    assert found.regret == pytest.approx(0.95)


def test_without_losses_there_is_advice_but_no_regret() -> None:
    found = advice("o" * 10 + "C" * 10)
    assert found.update == 90
    assert np.isnan(found.regret)
    assert found.best_update is None
    assert np.isnan(advice("o" * 10 + "C" * 10, test_loss=[np.nan] * 20).regret)


@pytest.mark.parametrize(
    ("letters", "words"),
    [
        ("", "0 checkpoints with a known phase are too few"),
        ("oooCC", "5 checkpoints with a known phase are too few"),
        ("o" * 40, "the net is never chaotic: 40 checkpoints in order"),
        ("o" * 20 + "e" * 20, "20 checkpoints in order, 20 at the edge"),
        ("C" * 40, "chaotic in all 40 checkpoints"),
        ("C" * 20 + "o" * 20, "begins in chaos, leaves it, and does not return"),
        ("o" * 20 + "CC" + "o" * 20, "does not last"),
        ("o" * 20 + "CCC", "ended before it was sustained"),
    ],
)
def test_no_advice_says_why(letters: str, words: str) -> None:
    found = advice(letters, test_loss=np.ones(len(letters)))
    assert found.update is None
    assert words in found.reason


def test_the_reason_tells_how_training_began() -> None:
    assert "began in chaos" in advice("CC" + "o" * 20 + "C" * 20).reason
    assert "began at the edge" in advice("ee" + "C" * 20).reason
    assert "began" not in advice("oo" + "C" * 20).reason
