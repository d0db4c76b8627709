"""Each claim can come out each way, by its own numbers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lstm_edge.track.association import association, rank_correlation
from lstm_edge.track.claims import FAILS, HOLDS, OPEN, check_claims
from lstm_edge.track.falls import find_descents
from lstm_edge.track.transitions import Transition
from lstm_edge.track.zoom_intervals import intervals_to_zoom


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


def onset(edge: tuple[int, int]) -> Transition:
    return Transition(
        "to_chaos", edge[1], (edge[1] - 1, edge[1]), edge, edge[1] - edge[0], True
    )


@pytest.mark.parametrize("noise", [0.0, 0.005, 0.01, 0.02])
@pytest.mark.parametrize("falls", [[], [300], [290, 570]])
def test_planted_falls_are_found_and_none_is_invented(
    falls: list[int], noise: float
) -> None:
    random = np.random.default_rng(0)
    loss = loss_with_falls(falls) * np.exp(noise * random.standard_normal(700))
    found = find_descents(loss)
    assert len(found.peaks) == len(falls)
    # the peak is the last high value: noise moves it along the flat top
    assert np.all(np.abs(found.peaks - np.array(falls, int)) < 60)
    assert all(loss[v] < loss[p] for p, v in found.falls)


def test_ringing_after_a_fall_is_one_descent() -> None:
    loss = loss_with_falls([300])
    loss[300:306:2] = 0.5
    assert len(find_descents(loss).falls) == 1


def test_few_losses_have_no_descents() -> None:
    assert find_descents([]).falls == find_descents([1.0, 0.5]).falls == []


def test_association_is_strong_for_optima_at_transitions() -> None:
    distance, effect, p = association([100, 400, 650], [101, 399, 652], (0, 1000))
    assert distance == pytest.approx(4 / 3)
    assert effect < 0.05
    assert p < 0.01


def test_association_is_uniform_without_one() -> None:
    random = np.random.default_rng(0)
    values = [
        association(
            random.uniform(0, 1, 3), random.uniform(0, 1, 4), (0, 1), shifts=200
        )[2]
        for _ in range(300)
    ]
    # 5 % of 300 is 15, with a standard deviation of 3.8
    assert np.mean(np.array(values) < 0.05) < 0.1
    assert 0.4 < np.mean(values) < 0.6


def answers(loss: NDArray[np.float64], transitions: list[Transition]) -> list[str]:
    return [c.answer for c in check_claims(np.arange(len(loss)), loss, transitions)]


def test_all_claims_hold_on_a_run_made_so() -> None:
    loss = loss_with_falls([290, 570])
    found = [onset((10, 40)), onset((285, 290)), onset((566, 570))]
    assert answers(loss, found) == [HOLDS] * 4


def test_all_claims_fail_on_a_run_made_so() -> None:
    loss = loss_with_falls([])
    loss[500:] = 0.2 - np.linspace(0, 0.15, 200)  # the best comes last
    found = [onset((150, 160)), onset((430, 450))]
    first, *_, third, fourth = answers(loss, found)
    assert (first, third, fourth) == (FAILS, FAILS, FAILS)


def test_optima_far_from_transitions_are_told() -> None:
    loss = loss_with_falls([290, 570])
    valleys = find_descents(loss).valleys
    far = [onset((int(v) + 115, int(v) + 116)) for v in valleys]
    assert answers(loss, far)[1] == FAILS


def test_a_part_of_the_checkpoints_leaves_the_second_open() -> None:
    loss = loss_with_falls([200, 400, 600])
    transitions = [onset((190, 200)), onset((395, 400)), onset((595, 600))]
    answers = {
        share: check_claims(np.arange(700), loss, transitions, share=share)
        for share in (0.49, 0.5)
    }
    second = {share: claims[1] for share, claims in answers.items()}
    assert second[0.49].answer == OPEN
    assert "49% of the checkpoints were analysed" in second[0.49].evidence
    assert second[0.5].answer != OPEN
    assert answers[0.49][0] == answers[0.5][0]
    assert answers[0.49][2:] == answers[0.5][2:]


def test_without_transitions_or_losses_nothing_can_be_told() -> None:
    assert answers(loss_with_falls([290, 570]), [])[1:] == [OPEN] * 3
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
    assert "too few checkpoints around the first transition" in third.evidence
    assert "too few to compare" in fourth.evidence


def test_why_there_is_no_transition_is_said() -> None:
    third = check_claims(
        np.arange(700), loss_with_falls([]), [], phase=["chaos"] * 700
    )[2]
    assert "training starts in chaos and never leaves it" in third.evidence


def test_falls_inside_the_ordered_phase_are_an_answer() -> None:
    loss = loss_with_falls([290, 570])
    dense, sparse = np.arange(700), np.arange(0, 700, 100)
    claim = check_claims(np.arange(700), loss, [], checkpoints=dense)[1]
    assert claim.answer == FAILS
    assert "no crossing" in claim.evidence
    # an optimum between checkpoints far apart may have had a crossing beside it
    assert check_claims(np.arange(700), loss, [], checkpoints=sparse)[1].answer == OPEN


def test_rank_correlation_is_spearmans_and_its_p_value_uniform() -> None:
    from scipy.stats import kstest, spearmanr

    random = np.random.default_rng(1)
    time = np.sort(random.uniform(0, 1000, 80))
    x, y = random.standard_normal((2, 80))
    assert rank_correlation(time, x, y)[0] == pytest.approx(spearmanr(x, y).statistic)
    assert rank_correlation(time, x, np.exp(x))[0] == pytest.approx(1.0)
    assert rank_correlation(time, x, np.exp(x))[1] < 0.02
    # series with memory: periodic ones, so that circular shifts are the exact null
    values = []
    for _ in range(200):
        smooth = np.fft.irfft(
            np.fft.rfft(random.standard_normal((2, 100))) * (np.arange(51) < 10),
            100,
        )
        values.append(rank_correlation(np.arange(100), *smooth, shifts=500)[1])
    assert kstest(values, "uniform").pvalue > 0.01


def test_rank_correlation_leaves_gaps_out_and_says_when_it_cannot() -> None:
    time = np.arange(5.0)
    assert rank_correlation(time, [1, 2, np.nan, 4, 5], time)[0] == pytest.approx(1.0)
    assert np.isnan(rank_correlation(time, np.ones(5), time)).all()
    assert np.isnan(rank_correlation(time[:2], time[:2], time[:2])).all()


def test_transitions_and_falls_are_worth_a_closer_look() -> None:
    loss = loss_with_falls([300])
    updates = 10 * np.arange(700)
    found = intervals_to_zoom(updates, loss, [onset((10, 40)), onset((100, 5000))])
    assert [(i.reason) for i in found] == ["fall of the test loss"]
    coarse = Transition("to_chaos", 45.0, (40, 50), (10, 50), 40, True)
    found = intervals_to_zoom(updates, loss, [coarse])
    assert (found[0].first, found[0].last, found[0].reason) == (40, 50, "to chaos")
    assert found[1].first < 3000 <= found[1].last


@pytest.mark.parametrize("known", [0, 2])
def test_too_few_test_losses_are_counted(known: int) -> None:
    first = check_claims(np.arange(known), np.ones(known), [])[0]
    assert first.answer == OPEN
    assert first.evidence == f"too few test losses are known ({known})"
