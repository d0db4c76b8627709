"""The time that a name tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from conftest import make_arrays
from lstm_edge.cli import main
from lstm_edge.errors import UsageError
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.files.times import time_in_name
from lstm_edge.results.sweep import open_sweep
from lstm_edge.sweep.found import look


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


def folder_of(tmp_path: Path, *names: str) -> Path:
    for name in names:
        np.savez(tmp_path / name, **make_arrays((3,), 2))  # type: ignore[arg-type]
    return tmp_path


def test_a_pattern_finds_the_time(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "7-a-9.npz", "12-b-9.npz", "best.npz")
    found = find_checkpoints(folder, time_from=r"^(\d+)-")
    assert [(c.update, c.told_by) for c in found] == [(7, "pattern"), (12, "pattern")]
    for pattern, says in (
        ("(", "expected a regular expression, found '('"),
        ("-(.)-", "expected a whole number in '7-a-9.npz', found 'a'"),
        ("epoch", "found none by 'epoch'"),
    ):
        with pytest.raises(UsageError) as caught:
            find_checkpoints(folder, time_from=pattern)
        assert says in str(caught.value)


def test_a_sweep_says_what_it_takes_for_times(tmp_path: Path) -> None:
    names = ("7-a-9.npz", "12-b-9.npz", "best.npz")
    folder = folder_of(tmp_path, *names)
    options = ["--steps", "5", "--transient", "5", "--starts", "2", "--samples", "2"]
    first = CliRunner().invoke(main, ["analyze", str(folder), *options])
    assert first.exit_code == 0
    plain = " ".join(first.output.split())
    assert "times: by the names of the files: 7-a-9.npz is 9, 12-b-9.npz is 9" in plain
    assert "2 files have the time 9" in plain
    assert "passed over best.npz, whose name tells no time" in plain
    again = ["analyze", str(folder), *options, "--time-from", r"^(\d+)"]
    second = CliRunner().invoke(main, again)
    plain = " ".join(second.output.split())
    assert "times: by --time-from: 7-a-9.npz is 7, 12-b-9.npz is 12" in plain
    assert "2 files have" not in plain
    assert list(open_sweep(folder).table["update"]) == [7, 12]


def test_states_of_optimisers_are_passed_over_by_content(tmp_path: Path) -> None:
    net = nn.LSTM(2, 3)
    adam = torch.optim.Adam(net.parameters())
    for epoch in range(2):
        torch.save(net.state_dict(), tmp_path / f"model_epoch{epoch}.pt")
        torch.save(adam.state_dict(), tmp_path / f"optimizer_state_epoch{epoch}.pt")
    torch.save(net.state_dict(), tmp_path / "adam_epoch5.pt")  # a net by its content
    found = look(tmp_path, None)
    assert [file.update for file in found.files] == [0, 1, 5]
    assert found.times.endswith(
        "; passed over 2 files, such as optimizer_state_epoch0.pt, which hold no "
        "recurrent net"
    )
