"""Falls of the test loss: planted ones are found, and none is invented."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lstm_edge.track.falls import find_falls, overtraining_begins, spread


def loss_with_falls(falls: list[int], n: int = 700) -> NDArray[np.float64]:
    """A loss that falls to epoch 40, then creeps up and drops after each of `falls`."""
    epochs = np.arange(n)
    loss = 0.1 + 2.0 * np.exp(-epochs / 8)
    begin = 40
    for end in [*falls, n]:
        rising = epochs[begin:end] - begin
        loss[begin:end] = 0.12 + 0.1 * (1 - np.exp(-rising / 80))
        begin = end
    return loss


@pytest.mark.parametrize("noise", [0.0, 0.005, 0.01, 0.02])
@pytest.mark.parametrize("falls", [[], [300], [290, 570]])
def test_planted_falls_are_found_and_none_is_invented(
    falls: list[int], noise: float
) -> None:
    random = np.random.default_rng(0)
    loss = loss_with_falls(falls) * np.exp(noise * random.standard_normal(700))
    found = find_falls(np.arange(700), loss)
    assert [fall.end for fall in found] == falls
    # the peak is the last high value: noise moves it along the flat top
    assert np.all(np.abs([f.peak - f.end for f in found]) < 60)
    assert all(fall.low < fall.high for fall in found)


@pytest.mark.parametrize("size", [100, 700])
def test_noise_on_a_rising_loss_makes_no_falls(size: int) -> None:
    random = np.random.default_rng(0)
    rising = np.linspace(0, 1, size)
    for _ in range(100):
        loss = np.exp(rising + 0.05 * random.standard_normal(size))
        assert find_falls(np.arange(size), loss) == []


@pytest.mark.parametrize("size", [40, 60, 100, 400])
def test_smooth_falls_are_found_in_few_evaluations(size: int) -> None:
    """Ten evaluations a descent or more: a smooth loss is no noise."""
    phase = 8 * np.pi * np.arange(size) / size
    assert len(find_falls(np.arange(size), np.exp(0.5 * np.sin(phase)))) >= 3


def test_a_fall_drops_most_within_its_steepest_interval() -> None:
    rising = np.linspace(1.0, 4.0, 50).tolist()
    loss = [3.0, 2.0, *rising, 3.9, 0.5, 0.4, *np.linspace(0.41, 0.6, 50).tolist()]
    (fall,) = find_falls(10 * np.arange(len(loss)), loss)
    assert (fall.peak, fall.begin, fall.end, fall.valley) == (510, 520, 530, 540)
    assert (fall.high, fall.low) == (4.0, 0.4)
    assert fall.overlaps(525, 526)
    assert not fall.overlaps(530, 540)


def test_ringing_after_a_fall_is_one_fall() -> None:
    loss = loss_with_falls([300])
    loss[300:306:2] = 0.5
    assert len(find_falls(np.arange(700), loss)) == 1


def test_few_losses_have_no_falls() -> None:
    assert find_falls([], []) == find_falls([0, 1], [1.0, 0.5]) == []
    assert np.isnan(overtraining_begins([], []))


def test_losses_that_are_not_known_are_left_out() -> None:
    loss = loss_with_falls([300])
    loss[::3] = np.nan
    assert len(find_falls(np.arange(700), loss)) == 1
    assert overtraining_begins(np.arange(700), loss) == pytest.approx(40, abs=3)


def test_spread_is_the_standard_deviation_of_a_gaussian() -> None:
    values = 3 + 2 * np.random.default_rng(0).standard_normal(20_000)
    assert spread(values) == pytest.approx(2, rel=0.03)
    assert spread([]) == spread([np.nan]) == 0
