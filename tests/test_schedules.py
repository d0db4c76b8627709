from __future__ import annotations

import pytest

from lstm_edge.errors import UsageError
from lstm_edge.lab.training.schedules import (
    Schedule,
    count_checkpoints,
    parse_interval,
    parse_schedule,
)
from lstm_edge.measures.near_edge import at_edge
from nets import chaotic, cycle, torus


def kept(schedule: Schedule, last: int, dense: bool = False) -> list[int]:
    updates = [0]
    while updates[-1] <= last:
        updates.append(schedule.after(updates[-1], dense))
    return updates[:-1]


@pytest.mark.parametrize(
    ("text", "updates"),
    [
        ("1epoch", [0, 20, 40, 60]),
        ("2epochs", [0, 40]),
        ("25updates", [0, 25, 50]),
        ("1update", [*range(61)]),
        ("log:1", [0, 1, 10]),
        ("log:3", [0, 1, 2, 5, 10, 22, 46]),
        ("edge", [0, 20, 40, 60]),
        ("edge:7updates", [0, 20, 40, 60]),
    ],
)
def test_what_a_schedule_keeps(text: str, updates: list[int]) -> None:
    schedule = parse_schedule(text, 20)
    assert kept(schedule, 60) == updates
    assert count_checkpoints(schedule, 0, updates[-1]) >= len(updates) - 1


def test_the_edge_is_looked_for_every_epoch_and_kept_more_densely() -> None:
    for text, fine in (("edge", 2), ("edge:7updates", 7), ("edge:1update", 1)):
        schedule = parse_schedule(text, 20)
        looks = [update for update in range(61) if schedule.looks(update)]
        assert looks == [0, 20, 40, 60]
        dense = {*range(0, 61, fine), *range(0, 61, 20)}
        assert kept(schedule, 60, dense=True) == sorted(dense)
        assert count_checkpoints(schedule, 0, 60) == len(dense) - 1
    assert not parse_schedule("1epoch", 20).looks(20)
    assert not parse_schedule("log:5", 20).looks(20)


def test_a_decade_has_so_many_checkpoints() -> None:
    updates = kept(parse_schedule("log:20", 1), 10**7)
    assert updates == sorted(set(updates))
    for low in (10**3, 10**5, 10**6):
        assert sum(low <= update < 10 * low for update in updates) == 20


def test_after_any_update_comes_the_next_one() -> None:
    for text in ("3updates", "2epochs", "log:7", "edge:4updates"):
        schedule = parse_schedule(text, 10)
        updates = kept(schedule, 1000)
        for update in range(400):
            later = next(other for other in updates if other > update)
            assert schedule.after(update) == later


@pytest.mark.parametrize(
    "text",
    [
        "",
        "often",
        "0epochs",
        "-1epoch",
        "1.5epochs",
        "epoch",
        "log",
        "log:0",
        "log:x",
        "edge:",
        "edge:0updates",
        "edge:log:3",
        "1epoch ",
        "9999999999updates",
    ],
)
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(UsageError, match="every: expected '1epoch'"):
        parse_schedule(text, 20)


def test_what_is_no_interval() -> None:
    assert parse_interval("3epochs", 20) == 60
    with pytest.raises(UsageError, match="evaluate: expected '1epoch'"):
        parse_interval("log:3", 20, "evaluate")


def test_at_edge_is_true_on_a_torus_alone() -> None:
    assert at_edge(torus())
    assert not at_edge(cycle())
    assert not at_edge(chaotic())
