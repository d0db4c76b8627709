"""Averages of weights: what is averaged, by default and on demand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import lstm_edge
from lstm_edge import EdgeAveraging, EdgeStopping, average_checkpoints
from lstm_edge.cli import main
from lstm_edge.errors import CheckpointError, UsageError
from lstm_edge.files.formats import read_tensors
from lstm_edge.files.safetensors import write_checkpoint
from lstm_edge.monitor.history import MonitorResult
from lstm_edge.results import averaging
from lstm_edge.track.transitions import Transition


def folder(path: Path, count: int = 6) -> Path:
    """Checkpoints whose weights are their number."""
    path.mkdir(exist_ok=True)
    for i in range(count):
        tensors = {"w": np.full(3, i, np.float32), "steps": np.array([i])}
        write_checkpoint(path / f"c-{10 * i}.safetensors", tensors, {})
    return path


def test_the_mean_of_a_part_with_the_integers_of_its_last(tmp_path: Path) -> None:
    path = average_checkpoints(folder(tmp_path), first=20, last=40)
    tensors, said = read_tensors(path)
    np.testing.assert_array_equal(tensors["w"], np.full(3, 3, np.float32))
    assert tensors["w"].dtype == np.float32
    assert tensors["steps"].tolist() == [4]
    assert (said["update"], said["averaged_from"], said["averaged"]) == (
        "40",
        "20",
        "3",
    )


def test_the_later_half_of_the_first_edge_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onset = Transition("to_chaos", 48.0, (40, 50), (10, 50), 40, True)
    sweep = SimpleNamespace(transitions=[onset])
    monkeypatch.setattr(averaging, "open_sweep", lambda run: sweep)
    out = tmp_path / "out" / "mean.safetensors"
    out.parent.mkdir()
    tensors, _ = read_tensors(average_checkpoints(folder(tmp_path / "run"), out))
    assert tensors["w"][0] == 4  # of 30, 40 and 50
    sweep.transitions = []
    with pytest.raises(UsageError, match="name a part of the run with --from and --to"):
        average_checkpoints(tmp_path / "run", out)


def test_an_average_can_be_analysed_as_any_checkpoint(
    make_run: Callable[..., Path],
) -> None:
    run = make_run(4)
    done = CliRunner().invoke(main, ["average", str(run), "--from", "10", "--to", "30"])
    assert done.exit_code == 0, done.output
    path = Path(done.output.strip())
    assert lstm_edge.lyapunov(path, steps=20).exponents.size
    assert len(lstm_edge.find_checkpoints(run)) == 4  # it is none of the run's


def test_checkpoints_of_other_nets_have_no_mean(tmp_path: Path) -> None:
    write_checkpoint(
        folder(tmp_path) / "c-15.safetensors", {"w": np.zeros(4, np.float32)}, {}
    )
    with pytest.raises(CheckpointError, match="of the same names and shapes"):
        average_checkpoints(tmp_path, first=0, last=50)
    with pytest.raises(UsageError, match=r"expected checkpoints in updates 90 to 99"):
        average_checkpoints(tmp_path, first=90, last=99)


def stopping(letters: str) -> EdgeStopping:
    """A rule that follows measurements such as "oooeeCCCCC", ten updates apart."""
    levels = {"o": -0.1, "e": 0.0, "C": 0.1}
    phases = {"o": "order", "e": "edge", "C": "chaos"}
    history = [
        MonitorResult(10 * i, levels[x], 0.01, 0.02, phases[x])
        for i, x in enumerate(letters)
    ]
    return EdgeStopping(SimpleNamespace(history=history))


def test_weights_are_averaged_over_the_later_half_of_the_edge() -> None:
    found = EdgeAveraging(stopping("o" * 6 + "e" * 8 + "C" * 5))
    module = torch.nn.Linear(2, 1)
    for i in range(19):
        with torch.no_grad():
            module.weight.fill_(float(i))
        found.update(module, 10 * i)
    assert found.stopping.transition is not None
    assert found.stopping.transition.span == (50, 140)
    # of 95 to 140: 10, 11, 12, 13 and 14
    np.testing.assert_array_equal(found.weights["weight"], np.full((1, 2), 12.0))
    assert found.weights["weight"].dtype == np.float32


def test_copies_are_thinned_evenly() -> None:
    found = EdgeAveraging(stopping("o" * 6 + "e" * 60 + "C" * 5), keep=16)
    for i in range(71):
        found.update({"w": np.array([float(i)])}, 10 * i)
    assert len(found._kept) <= 16
    gaps = {b - a for (a, _), (b, _) in zip(found._kept, found._kept[1:], strict=False)}
    assert len(gaps) == 1
    # the later half: updates 355 to 660
    assert found.weights["w"][0] == pytest.approx(50.75, abs=4)


def test_without_a_transition_there_is_no_average() -> None:
    found: Any = EdgeAveraging(stopping("o" * 9))
    with pytest.raises(UsageError, match="found none yet"):
        _ = found.weights
    with pytest.raises(UsageError, match="call update as often"):
        _ = EdgeAveraging(stopping("o" * 6 + "C" * 5)).weights
