"""The time that a name tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_arrays
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.files.times import time_in_name


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("net-7", 7),
        ("epoch3_h128", 3),
        ("epoch3_step90", 90),
        ("epoch=3-step=400", 400),
        ("e5_h128", 5),
        ("ep12_h128", 12),
        ("it_300_e4", 300),
        ("weights.05-0.43.weights", 5),
        ("epoch3-loss0.25", 3),
        ("model_000200_backup", 200),
        ("ckpt_900k", 900_000),
        ("ckpt_1M", 1_000_000),
        ("ckpt_1.5M", 1_500_000),
        ("lstm_10-19c8e357", 10),
        ("net_20240115_235500", 20240115235500),
        ("net_20240116_000500", 20240116000500),
        ("2013-06-14", 20130614000000),
        ("2013-06-14T09-30", 20130614093000),
        ("epoch7_20240116", 7),
        ("e100000", 100_000),
        ("99999999", 99_999_999),  # no month 99
        ("best", None),
        ("net-" + "9" * 30, None),
    ],
)
def test_the_time_in_a_name(name: str, time: int | None) -> None:
    assert time_in_name(name) == time


@given(st.text(max_size=80))
def test_any_name_gives_a_time_that_a_store_holds_or_none(name: str) -> None:
    time = time_in_name(name)
    assert time is None or 0 <= time < 2**63


def test_files_named_alike_have_the_time_of_their_folder(tmp_path: Path) -> None:
    files = []
    for step in (20, 100, 3):
        file = tmp_path / f"global_step{step}" / "mp_rank_00_model.npz"
        file.parent.mkdir()
        np.savez(file, **make_arrays((3,), 2))  # type: ignore[arg-type]
        files.append(file)
    assert [c.update for c in find_checkpoints(*files)] == [3, 20, 100]
    assert [c.update for c in find_checkpoints(files[0])] == [0]
