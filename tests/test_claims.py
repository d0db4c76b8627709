"""Each claim can come out each way, by its own numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from lstm_edge.track.claims import FAILS, HOLDS, OPEN, Claim, check_claims
from lstm_edge.track.transitions import Transition, find_stability_transitions
from lstm_edge.track.zoom_intervals import intervals_to_zoom
from test_falls import loss_with_falls


def onset(edge: tuple[int, int]) -> Transition:
    return Transition(
        "to_chaos", edge[1], (edge[1] - 1, edge[1]), edge, edge[1] - edge[0], True
    )


FALLS = [200, 400, 600]


def answers(loss: NDArray[np.float64], transitions: list[Transition]) -> list[str]:
    """Answers by chaos, which sets in and ends at the transitions."""
    time = np.arange(len(loss))
    number = np.searchsorted([t.bracket[1] for t in transitions], time, "right")
    phase = [("order", "chaos")[n % 2] for n in number]
    found = check_claims(time, loss, transitions, checkpoints=time, phase=phase)
    return [claim.answer for claim in found]


def test_all_claims_hold_on_a_run_made_so() -> None:
    found = [onset((10, 40)), *(onset((fall - 5, fall)) for fall in FALLS)]
    assert answers(loss_with_falls(FALLS), found) == [HOLDS] * 4


def test_all_claims_fail_on_a_run_made_so() -> None:
    loss = loss_with_falls([])
    loss[500:] = 0.2 - np.linspace(0, 0.15, 200)  # the best comes last
    found = [onset((150, 160)), onset((430, 450))]
    first, *_, third, fourth = answers(loss, found)
    assert (first, third, fourth) == (FAILS, FAILS, FAILS)


def test_falls_far_from_transitions_are_told() -> None:
    far = [onset((fall + 90, fall + 91)) for fall in FALLS]
    assert answers(loss_with_falls(FALLS), far)[1] == FAILS


def test_two_falls_are_too_few() -> None:
    found = [onset((299, 300)), onset((499, 500))]
    assert answers(loss_with_falls([300, 500]), found)[1] == OPEN


def test_a_part_of_the_checkpoints_leaves_the_second_open() -> None:
    loss, time = loss_with_falls(FALLS), np.arange(700)
    phase = ["order"] * 400 + ["chaos"] * 300
    found = {
        share: check_claims(
            time, loss, [onset((390, 400))], checkpoints=time, phase=phase, share=share
        )
        for share in (0.49, 0.5)
    }
    second = {share: claims[1] for share, claims in found.items()}
    assert second[0.49].answer == OPEN
    assert "49% of the checkpoints were analysed" in second[0.49].evidence
    assert second[0.5].answer != OPEN
    assert found[0.49][0] == found[0.5][0]
    assert found[0.49][2:] == found[0.5][2:]


def test_a_torus_at_every_fall_is_seen_by_stability_alone() -> None:
    loss, time = loss_with_falls(FALLS), np.arange(700)
    stable = np.ones(700)
    for fall in FALLS:
        stable[fall : fall + 9] = 0
    phase = np.where(stable == 1, "order", "edge").tolist()
    transitions = find_stability_transitions(time, stable, np.zeros(700))
    found = check_claims(
        time,
        loss,
        [],
        stability_transitions=transitions,
        checkpoints=time,
        phase=phase,
        stable=stable,
    )
    chaos, stability = (claim for claim in found if claim.number == 2)
    assert (chaos.yardstick, chaos.answer) == ("chaos", FAILS)
    assert (stability.yardstick, stability.answer) == ("stability", HOLDS)
    assert "3 of 3 falls come within a loss or gain of stability" in stability.evidence
    assert len(found) == 7


def test_without_transitions_or_losses_nothing_can_be_told() -> None:
    found = check_claims(np.arange(700), loss_with_falls(FALLS), [])
    assert [claim.answer for claim in found[1:]] == [OPEN] * 3
    assert answers(np.full(9, np.nan), [onset((1, 2))])[:3] == [OPEN] * 3


def test_an_edge_over_most_of_the_run_tells_nothing_of_the_optimum() -> None:
    assert answers(loss_with_falls([290]), [onset((10, 400))])[2] == OPEN


def test_too_few_checkpoints_around_a_transition_are_said() -> None:
    coarse = [
        Transition("to_chaos", b, (a, b), (a, b), b - a, True)
        for a, b in ((20, 60), (280, 310))
    ]
    _, _, third, fourth = check_claims(
        np.arange(700), loss_with_falls([290, 570]), coarse
    )
    assert third.answer == fourth.answer == OPEN
    assert "too few checkpoints around the first onset of chaos" in third.evidence
    assert "known to" in fourth.evidence


def test_why_there_is_no_transition_is_said() -> None:
    third = check_claims(
        np.arange(700), loss_with_falls([]), [], phase=["chaos"] * 700
    )[2]
    assert "the net is chaotic in all" in third.evidence


def test_falls_inside_the_ordered_phase_are_an_answer() -> None:
    loss, time = loss_with_falls(FALLS), np.arange(700)

    def second(checkpoints: NDArray[np.int64]) -> Claim:
        phase = ["order"] * len(checkpoints)
        return check_claims(time, loss, [], checkpoints=checkpoints, phase=phase)[1]

    assert second(time).answer == FAILS
    assert "no crossing" in second(time).evidence
    # a fall between checkpoints far apart may have had a crossing beside it
    assert second(time[::100]).answer == OPEN


def test_the_fourth_gives_its_chance_and_the_error_of_flicker() -> None:
    onsets = [onset((10, 40)), onset((290, 300)), onset((560, 580))]
    fourth = check_claims(np.arange(700), loss_with_falls([]), onsets)[3]
    assert (fourth.answer, fourth.numbers["chance"]) == (HOLDS, 1 / 3)
    unsure = [replace(onsets[0], error=10), *onsets[1:]]
    fourth = check_claims(np.arange(700), loss_with_falls([]), unsure)[3]
    assert fourth.answer == OPEN
    assert "flicker" in fourth.evidence


def test_a_run_that_is_not_overtrained_cannot_be_told() -> None:
    falling = check_claims(np.arange(40), np.linspace(2, 1, 40), [])[0]
    assert falling.answer == OPEN
    assert "not overtrained" in falling.evidence
    rising = [*np.linspace(2, 1, 20), *np.linspace(1, 1.3, 20)]
    assert check_claims(np.arange(40), rising, [])[0].answer == FAILS


def test_few_changes_that_do_not_last_are_worth_a_closer_look() -> None:
    loss = np.full(20, np.nan)
    raw = [replace(onset((40, 60)), sustained=False, bracket=(40, 60))]
    lost = replace(raw[0], direction="to_unstable")
    found = intervals_to_zoom(20 * np.arange(20), loss, [lost, *raw])
    assert [(i.first, i.last, i.reason) for i in found] == [
        (40, 60, "loss of stability, onset of chaos")
    ]
    assert intervals_to_zoom(20 * np.arange(20), loss, 3 * raw + 3 * [lost]) == []


def test_transitions_and_falls_are_worth_a_closer_look() -> None:
    loss = loss_with_falls([300])
    updates = 10 * np.arange(700)
    found = intervals_to_zoom(updates, loss, [onset((10, 40)), onset((100, 5000))])
    assert [(i.reason) for i in found] == ["fall of the test loss"]
    coarse = Transition("to_chaos", 45.0, (40, 50), (10, 50), 40, True)
    found = intervals_to_zoom(updates, loss, [coarse])
    assert (found[0].first, found[0].last, found[0].reason) == (
        40,
        50,
        "onset of chaos",
    )
    assert found[1].first < 3000 <= found[1].last


@pytest.mark.parametrize("known", [0, 2])
def test_too_few_test_losses_are_counted(known: int) -> None:
    first = check_claims(np.arange(known), np.ones(known), [])[0]
    assert first.answer == OPEN
    assert first.evidence == f"too few test losses are known ({known})"
