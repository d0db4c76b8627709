"""Tests of coincidence: they find what was planted, and hold their level."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_edge.track.association import (
    Coincidence,
    coincidence,
    even_grid,
    jumps,
    pooled,
    rank_correlation,
    state_changes,
)
from lstm_edge.track.falls import Fall, find_falls, overtraining_begins
from nulls import KINDS, LENGTH, null_run, smooth


def fall(at: float) -> Fall:
    return Fall(at - 5, at, at + 1, at + 5, 1.0, 0.5)


def changing(*at: int, n: int = 200) -> np.ndarray:
    """A state that changes between each of `at` and the next checkpoint."""
    state = np.zeros(n)
    for i in at:
        state[i + 1 :] = 1 - state[i + 1]
    return state


def test_falls_at_changes_are_hits_that_chance_does_not_give() -> None:
    time = np.arange(200)
    states = state_changes(changing(20, 60, 61, 130))
    found = coincidence([fall(20), fall(60), fall(130)], time, states, time)
    assert (found.falls, found.changes, found.hits) == (3, 4, 3)
    assert found.expected == pytest.approx(3 * 4 / 199, rel=0.4)
    assert found.p_value == pytest.approx(1 / 199)
    assert sum(found.null) == pytest.approx(1)


def test_falls_beside_changes_are_hits_of_wider_windows_only() -> None:
    time = np.arange(200)
    states = state_changes(changing(22, 61, 140))
    found = coincidence([fall(20), fall(60), fall(100)], time, states, time)
    assert [hits for hits, _ in found.windows.values()] == [0, 1, 2]
    expected = [mean for _, mean in found.windows.values()]
    assert expected == sorted(expected)


def test_what_can_not_be_told_has_no_p_value() -> None:
    time, states = np.arange(200), state_changes(changing(20, 60))
    two = coincidence([fall(20), fall(90)], time, states, time)
    assert (two.hits, two.expected > 0) == (1, True)
    none = coincidence([fall(9)] * 3, time, state_changes(np.zeros(200)), time)
    few = coincidence([fall(9)] * 3, time[:15], state_changes(changing(9, n=15)), time)
    for found in (two, none, few):
        assert np.isnan(found.p_value)
    assert (none.changes, few.changes) == (0, 1)


def test_a_change_before_overtraining_begins_is_none() -> None:
    time, states = np.arange(200), state_changes(changing(10, 20, 60))
    assert coincidence([fall(60)], time, states, time, begin=30).changes == 1


def test_what_is_not_known_is_what_it_was() -> None:
    state = [0.0, np.nan, 0.0, np.nan, 1.0, 1.0]
    changed = state_changes(state)(np.arange(6))
    assert changed.tolist() == [False, False, False, True, False]
    assert not state_changes([np.nan, 1.0])(np.arange(2)).any()


def test_a_jump_is_beyond_the_error_and_beyond_the_usual() -> None:
    random = np.random.default_rng(0)
    exponent = -0.1 + 0.001 * random.standard_normal(100)
    exponent[60:] += 0.05
    kept = np.arange(100)
    assert np.flatnonzero(jumps(exponent, np.full(100, 0.001))(kept)).tolist() == [59]
    assert not jumps(exponent, np.full(100, 0.1))(kept).any()


def test_a_grid_is_as_even_as_the_checkpoints_let_it_be() -> None:
    assert even_grid(np.arange(9.0)).tolist() == list(range(9))
    times = np.concatenate([np.arange(100.0), np.arange(100.0, 1000.0, 10)])
    gaps = np.diff(times[even_grid(times)])
    assert (gaps == 10).all()
    assert even_grid(np.zeros(0)).tolist() == []
    assert even_grid(np.ones(3)).tolist() == [0]


def test_runs_together_tell_more_than_each() -> None:
    half = Coincidence(1, 9, hits=1, null=(0.5, 0.5))
    nothing = Coincidence(0, 0)
    assert pooled([half, half, half, nothing]) == pytest.approx((3, 1.5, 1 / 8))
    assert np.isnan(pooled([nothing])[2])


@pytest.mark.slow  # 1,500 runs of each kind, so that the shares are known to 0.6 %
@pytest.mark.parametrize("kind", KINDS)
def test_the_level_is_held_where_nothing_is(kind: str) -> None:
    random = np.random.default_rng(0)
    by_falls, by_ranks = [], []
    for _ in range(1500):
        state, loss, kept = null_run(kind, random)
        time = kept if kind == "logarithmic" else np.arange(LENGTH)
        found = coincidence(
            find_falls(time, loss[time]),
            kept,
            state_changes(state[kept]),
            time,
            overtraining_begins(time, loss[time]),
        )
        by_falls.append(found.p_value)
        a, b = smooth(random, 40)[kept], smooth(random, 40)[kept]
        by_ranks.append(rank_correlation(kept, a, b)[1])
    for values in (by_falls, by_ranks):
        told = np.array(values)[np.isfinite(values)]
        assert len(told) > 1000
        assert 0.03 < np.mean(told < 0.05) < 0.07
        assert 0.45 < told.mean() < 0.55


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_falls_that_come_with_changes_are_told(share: float) -> None:
    """The same runs, in which a share of the falls bring a change of the state."""
    random = np.random.default_rng(0)
    values = []
    for _ in range(60):
        state, loss, kept = null_run("even", random)
        falls = find_falls(kept, loss)
        for one in falls:
            if random.random() < share:
                state[int(one.end) :] = 1 - state[int(one.end) :]
        begin = overtraining_begins(kept, loss)
        found = coincidence(falls, kept, state_changes(state), kept, begin)
        values.append(found.p_value)
    told = np.array(values)[np.isfinite(values)]
    assert np.mean(told < 0.05) > (0.8 if share == 0.5 else 0.98)


def test_rank_correlation_is_spearmans() -> None:
    from scipy.stats import spearmanr

    random = np.random.default_rng(1)
    time = np.sort(random.uniform(0, 1000, 80))
    x, y = random.standard_normal((2, 80))
    assert rank_correlation(time, x, y)[0] == pytest.approx(spearmanr(x, y).statistic)
    assert rank_correlation(time, x, np.exp(x))[0] == pytest.approx(1.0)
    assert rank_correlation(np.arange(80), x, np.exp(x))[1] == pytest.approx(1 / 80)


def test_rank_correlation_leaves_gaps_out_and_says_when_it_cannot() -> None:
    time = np.arange(5.0)
    assert rank_correlation(time, [1, 2, np.nan, 4, 5], time)[0] == pytest.approx(1.0)
    assert np.isnan(rank_correlation(time, np.ones(5), time)).all()
    assert np.isnan(rank_correlation(time[:2], time[:2], time[:2])).all()
