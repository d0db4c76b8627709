"""The rule by which training stops, on planted sequences of results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_edge import EdgeMonitor, EdgeStopping, MonitorResult, UsageError
from lstm_edge.monitor import stopping as stopping_module
from lstm_edge.monitor.history import track_of
from lstm_edge.track.track import Track
from lstm_edge.track.transitions import first_transition
from nets import chaotic, cycle

PHASES = {"o": "order", "e": "edge", "C": "chaos", "?": "unknown"}
LEVELS = {"o": -0.1, "e": 0.0, "C": 0.1, "?": float("nan")}


def results(letters: str, zero_margin: float = 0.01) -> Iterable[MonitorResult]:
    for i, letter in enumerate(letters):
        yield MonitorResult(
            update=10 * i,
            exponent=LEVELS[letter],
            stderr=zero_margin / 3,
            zero_margin=zero_margin,
            phase=PHASES[letter],
            metrics={"epoch": i, "test_loss": abs(i - 4)},
        )


def stopped_at(letters: str, **rule: Any) -> int | None:
    """After how many results training is told to stop; None if it never is."""
    monitor = EdgeMonitor()
    stopping = EdgeStopping(monitor, **rule)
    for count, result in enumerate(results(letters), 1):
        monitor.history.append(result)
        if stopping.should_stop:
            return count
    return None


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("ooooooCCCCC", 11),
        ("ooooooCCCC", None),  # not yet sustained
        ("ooooooCCCCoCCCCC", 16),  # begins again
        ("oooooeeeeCCCCCC", 14),  # through an edge
        ("eeCCCCC", 7),  # the untrained net is at the edge
        ("CCCCCCCCCCCC", None),  # chaotic from the start
        ("CCCoooooCCCCCCC", None),  # order does not last
        ("CCC" + "o" * 20 + "CCCCC", 28),
        ("oooo??CC?CC?C", 13),  # what failed is passed over
        ("oooooooooooo", None),
        ("", None),
    ],
)
def test_training_stops_once_chaos_is_sustained(
    letters: str, expected: int | None
) -> None:
    assert stopped_at(letters) == expected


def test_patience_is_the_number_of_chaotic_measurements() -> None:
    letters = "oooo" + "C" * 20
    assert [stopped_at(letters, patience=n) for n in (1, 3, 20)] == [5, 7, 24]
    assert stopped_at("oCoooooC", patience=1) == 2


def test_margins_are_the_confidence_asked_for() -> None:
    letters = "ooooCCCCC"  # all exponents lie ten margins from zero
    assert stopped_at(letters, margins=9.99) == 9
    assert stopped_at(letters, margins=10.01) is None


def test_it_says_which_measured_update_to_go_back_to() -> None:
    monitor = EdgeMonitor()
    stopping = EdgeStopping(monitor)
    assert stopping.advice.update is None
    monitor.history.extend(results("ooooCCCCCooooo"))
    assert stopping.should_stop
    assert stopping.transition is not None
    assert stopping.transition.span == (30, 40)
    # the crossing lies halfway, and of two that are as near the earlier is taken
    assert stopping.advice.update == 30
    assert stopping.advice.regret == 1
    assert "first sustained transition" in stopping.advice.reason


STRETCHES = st.lists(
    st.tuples(st.sampled_from("oeC?"), st.integers(1, 12)), max_size=8
).map(lambda stretches: "".join(letter * count for letter, count in stretches))


@given(st.sampled_from(["", "CC"]), STRETCHES, st.integers(1, 8), st.data())
def test_it_stops_where_the_rule_over_all_results_so_far_first_says_so(
    begin: str, stretches: str, patience: int, data: st.DataObject
) -> None:
    letters = begin + stretches
    count = len(letters)
    gaps = data.draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))
    series = [
        replace(result, update=update)
        for result, update in zip(results(letters), accumulate(gaps), strict=True)
    ]
    monitor = EdgeMonitor()
    stopping = EdgeStopping(monitor, patience=patience)
    for result in series:
        monitor.history.append(result)
        known = [r for r in monitor.history if r.phase != "unknown"]
        newest = [r.phase for r in known[-patience:]]
        found = None
        if newest == ["chaos"] * patience:
            found = first_transition(track_of(known, sustain=patience).transitions)
        assert repr(stopping.transition) == repr(found)  # some fields are nan
        if found is not None:
            break
    restored = EdgeMonitor()
    restored.load_state_dict(monitor.state_dict())
    again = EdgeStopping(restored, patience=patience)
    assert repr(again.transition) == repr(stopping.transition)
    assert again.stopped == stopping.stopped


def test_the_whole_history_is_read_once_for_a_stretch_of_chaos(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []

    def counted(history: Sequence[MonitorResult], **rule: Any) -> Track:
        read.append(len(history))
        return track_of(history, **rule)

    monkeypatch.setattr(stopping_module, "track_of", counted)
    assert stopped_at("C" * 30 + "?" * 30 + "C" * 30 + "eeeee" + "C" * 30) is None
    assert read == [5, 70]


@given(st.text("oeC?", max_size=40), st.integers(0, 40))
def test_the_decision_does_not_depend_on_when_one_asks(letters: str, cut: int) -> None:
    monitor = EdgeMonitor()
    asked_late = EdgeStopping(monitor)
    asked_twice = EdgeStopping(monitor)
    series = list(results(letters))
    monitor.history.extend(series[:cut])
    early = asked_twice.transition
    monitor.history.extend(series[cut:])
    assert asked_late.transition == asked_twice.transition
    assert early is None or early == asked_twice.transition


def test_it_follows_a_state_that_is_loaded() -> None:
    monitor = EdgeMonitor()
    stopping = EdgeStopping(monitor)
    monitor.history.extend(results("oooo"))
    before = monitor.state_dict()
    monitor.history.extend(list(results("ooooCCCCC"))[4:])
    assert stopping.should_stop
    after = monitor.state_dict()
    monitor.load_state_dict(before)
    assert not stopping.should_stop
    restored = EdgeMonitor()
    restored.load_state_dict(after)
    assert EdgeStopping(restored).transition is not None


def test_a_net_that_becomes_chaotic_is_stopped() -> None:
    with EdgeMonitor(waiting=None, starts=2) as monitor:
        for net in [cycle()] * 3 + [chaotic()] * 3:
            monitor.update(net)
    assert EdgeStopping(monitor, patience=3).should_stop
    assert not EdgeStopping(monitor, patience=4).should_stop


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"patience": 0}, "patience: expected an integer from 1"),
        ({"margins": 0.5}, "margins: expected at least 1, found 0.5"),
        ({"margins": "many"}, "margins: expected a positive number"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(rule: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EdgeStopping(EdgeMonitor(), **rule)


def test_what_has_no_history_is_refused() -> None:
    with pytest.raises(UsageError, match="monitor: expected an EdgeMonitor, found str"):
        EdgeStopping("x")  # type: ignore[arg-type]
