"""The demo in small: what it chooses, and that its verdict follows from its numbers."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np

from lstm_edge import demo
from lstm_edge.checkpoints import CheckpointFile
from lstm_edge.transitions import find_transitions, first_transition


def test_the_grid_is_dense_at_first_and_around_falls(tmp_path: Path) -> None:
    epochs = np.arange(401)
    loss = np.where(epochs < 40, 1 / (1 + epochs), 0.05 + epochs / 4000)
    loss[300:] = 0.06
    rows = [f"{10 * e},{e},{x}" for e, x in zip(epochs, loss, strict=True)]
    (tmp_path / "metrics.csv").write_text("update,epoch,test_loss\n" + "\n".join(rows))
    size = demo.Size(dense=50, grid=5, around=8)
    chosen = demo.choose(tmp_path, size)
    taken = [e for e in epochs if chosen(CheckpointFile(Path("x"), int(10 * e)))]
    assert taken[:51] == list(range(51))
    assert 400 in taken
    assert set(range(292, 307)) <= set(taken)
    assert 101 not in taken
    assert 105 in taken


def test_the_verdict_follows_from_the_numbers(tmp_path: Path) -> None:
    size = demo.Size(
        hidden_size=12, epochs=6, samples=4, starts=2, steps=50, transient=50
    )
    sweep = demo.demo(tmp_path / "demo", size=size)
    table = sweep.table
    again = find_transitions(
        table["update"],
        list(table["phase"]),
        table["lambda_max"],
        epoch=table["epoch"],
    )
    assert sweep.transitions == again
    first = first_transition(again)
    if first is None:
        assert sweep.advice.update is None
    else:
        assert sweep.advice.update in first.bracket
    best = np.nanargmin(table["test_loss"])
    assert sweep.advice.best_update == table["update"][best]
    page = (tmp_path / "demo" / "report.html").read_text()
    assert all(html.escape(claim.evidence) in page for claim in sweep.claims)
