"""Planted changes around planted falls are found, and none is invented."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lstm_edge.shares import share_interval
from lstm_edge.track.anatomy import dissect, tell
from lstm_edge.track.falls import Fall
from lstm_edge.track.stability import stability
from lstm_edge.track.track import Track, make_track

COUNT = 400
FALLS = (120, 220, 320)
"""Epochs before falls: to a torus, within order with a jump, and with nothing."""

NOISE = (0.0, 0.001, 0.003, 0.01, 0.02)


def made(noise: float) -> Track:
    """A run of ten updates an epoch, in which all but the last fall is a spike too."""
    random = np.random.default_rng(0)
    level = np.zeros(COUNT)
    for i in range(30, COUNT):
        level[i] = 0.0 if i - 1 in FALLS else level[i - 1] + 0.02
    level[:30] = np.linspace(2, 0, 30)
    exponent = np.full(COUNT, -0.03)
    exponent[FALLS[1] + 1 :] = -0.12
    torus = np.zeros(COUNT, bool)
    torus[FALLS[0] + 1 : FALLS[0] + 16] = True
    exponent[torus] = 0.0
    training = np.full(COUNT, 1e-6)
    training[[FALLS[0], FALLS[1]]] = 1.0

    def noisy(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values * np.exp(noise * random.standard_normal(COUNT))

    checkpoints, numbers = {}, {}
    losses, trained, grown = noisy(np.exp(level)), noisy(training), noisy(exponent)
    for i in range(COUNT):
        metrics = {"epoch": float(i), "test_loss": losses[i], "train_loss": trained[i]}
        checkpoints[f"c{i}"] = (10 * i, metrics)
        kind = "torus" if torus[i] else "fixed_point"
        numbers[f"c{i}"] = {
            "phase": "edge" if torus[i] else "order",
            "shares": {"fixed_point": 0.0, "torus": 0.0, kind: 1.0},
            "attractors": [{}],
            "lambda_max": grown[i],
            "lambda_max_stderr": 1e-4,
            "multipliers": [[0.3, 0.4]],
        }
    path = {f"c{i}": float(i + 50 * (i > FALLS[0])) for i in range(COUNT)}
    return make_track(checkpoints, numbers, path)


@pytest.mark.parametrize("noise", NOISE)
def test_what_is_planted_is_found_and_nothing_else(noise: float) -> None:
    track = made(noise)
    assert [fall.begin for fall in track.falls] == [10 * epoch for epoch in FALLS]
    lost, within, plain = track.anatomies
    assert (lost.stability, lost.jumped, lost.spiked) == (
        "lost",
        True,
        ["training loss"],
    )
    assert (within.stability, within.jumped) == ("", True)
    assert within.spiked == ["training loss"]
    assert (plain.stability, plain.jumped, plain.spiked) == ("", False, [])
    assert not any(one.chaos for one in track.anatomies)
    changes = [(t.event, t.bracket) for t in track.stability_transitions]
    assert changes[0] == ("loss of stability", (1200, 1210))
    assert {event for event, _ in changes} == {"loss of stability", "gain of stability"}
    assert {bracket for _, bracket in changes} == {(1200, 1210), (1350, 1360)}
    assert track.transitions == []
    assert tell(track.anatomies, track.test_loss) == (
        "Falls of the test loss: 1 of 3 through a change of stability between peak "
        "and valley; 2 of 3 with a jump of the exponent; 2 of 3 with a spike of "
        "the optimiser."
    )


def test_before_and_after_are_the_checkpoints_next_to_the_drop() -> None:
    first, *_ = made(0.0).anatomies
    before, after = first.before, first.after
    assert before is not None
    assert after is not None
    assert (before.update, before.phase, before.stderr) == (1200, "order", 1e-4)
    assert (before.attractors, before.multiplier) == (1, 0.5)
    assert (after.update, after.target, after.exponent) == (1210, "torus", 0.0)
    assert first.jump == pytest.approx(0.03)
    assert first.walk == pytest.approx(51)
    assert first.spikes["training loss"] == pytest.approx(1e6)
    assert first.order[0][0] == 1200
    assert {what for _, what in first.order} == {
        "test loss drops",
        "stability lost",
        "exponent jumps",
        "training loss spikes",
    }


def test_a_spike_before_the_drop_comes_first() -> None:
    track = made(0.0)
    level = track.training["training loss"]
    peak = FALLS[1] - 2
    level[peak] = 1.0
    fall = Fall(10 * peak, 2200, 2210, 2210, 1.0, 0.5)
    assert dissect(track, fall).order[0] == (10 * peak, "training loss spikes")


def test_a_fall_outside_the_checkpoints_has_no_net_around_it() -> None:
    found = dissect(made(0.0), Fall(3980, 3990, 4100, 4100, 1.0, 0.5))
    assert (found.before, found.after, found.jumped) == (None, None, False)
    assert np.isnan(found.jump)


def test_nothing_is_told_of_no_falls() -> None:
    assert tell([], np.ones(3)) == "No later fall of the test loss."
    assert tell([], np.full(3, np.nan)).startswith("Too few test losses are known (0)")


@pytest.mark.parametrize(
    ("numbers", "value", "target"),
    [
        ({"shares": {"fixed_point": 0.5, "cycle": 0.5}}, 1, "order"),
        ({"shares": {"torus": 1.0}}, 0, "torus"),
        ({"shares": {"chaos": 1.0}}, 0, "chaos"),
        ({"shares": {"torus": 0.5, "cycle": 0.5}}, 0, "mixture"),
        ({"shares": {"chaos": 0.1, "undecided": 0.9}}, 0, "chaos"),
        ({"shares": {"cycle": 0.9, "undecided": 0.1}}, np.nan, ""),
        ({"phase": "order"}, 1, "order"),
        ({"phase": "chaos", "chaotic_share": 1.0}, 0, "chaos"),
        ({"phase": "edge", "chaotic_share": 0.25}, 0, "mixture"),
        ({"phase": "edge", "chaotic_share": 0.0}, np.nan, ""),
        ({}, np.nan, ""),
    ],
)
def test_stability_goes_by_evidence(
    numbers: dict[str, Any], value: float, target: str
) -> None:
    found = stability(numbers)
    np.testing.assert_equal((found.value, found.target), (value, target))


def test_of_eight_starts_none_unstable_still_allows_31_per_cent() -> None:
    edge = 0.05 ** (1 / 8)
    assert share_interval(0.0, 8) == pytest.approx((0.0, 1 - edge))
    assert share_interval(1.0, 8) == pytest.approx((edge, 1.0))
    few, many = share_interval(0.5, 8), share_interval(0.5, 32)
    assert few[0] < many[0] < 0.5 < many[1] < few[1]
