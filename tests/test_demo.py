"""The demo in small: what it analyses, and that its verdict follows from that."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path

import numpy as np

from lstm_edge.lab import demo
from lstm_edge.track.transitions import find_transitions, first_transition

SMALL = demo.Size(
    hidden_size=12, epochs=50, samples=4, starts=2, steps=50, transient=50
)


def test_it_analyses_what_the_transitions_hang_on(tmp_path: Path) -> None:
    sweep = demo.demo(tmp_path / "demo", size=SMALL)
    assert len(sweep.checkpoints) == 51
    assert {0, 200, 400, 500} <= {*sweep.table["update"].tolist()}
    assert len(sweep.names) < 51


def test_the_verdict_follows_from_the_numbers(tmp_path: Path) -> None:
    size = replace(SMALL, epochs=6, refine=False)
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
