"""The page opens offline, tells no lies about names, and stays light."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_edge
from lstm_edge.errors import UsageError
from lstm_edge.report import save_figures, write_report
from lstm_edge.results import Sweep
from lstm_edge.store import Row

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def made_sweep(
    phases: str, *, samples: int = 4, losses: bool = True, epochs: bool = True
) -> Sweep:
    """A sweep of the phases of a word such as 'ooeCC', without any checkpoint."""
    names = {"o": "order", "e": "edge", "C": "chaos"}
    random = np.random.default_rng(0)
    checkpoints, rows = {}, {}
    for i, letter in enumerate(phases):
        name = f"update-{10 * i}"
        metrics = {"test_loss": 1 / (1 + i), "train_loss": 0.1} if losses else {}
        if epochs:
            metrics["epoch"] = float(i)
        checkpoints[name] = (10 * i, metrics)
        exponent = {"o": -0.1, "e": 0.0, "C": 0.1}[letter]
        scalars = {
            "phase": names[letter],
            "lambda_max": exponent,
            "lambda_max_stderr": 0.01,
            "lambda_mean": exponent,
            "chaotic_share": 0.5,
            "exponents": [exponent, -1.0],
        }
        dots = random.standard_normal(samples).astype(np.float64)
        rows[name, "lyapunov"] = Row(name, "lyapunov", "k", scalars=scalars)
        rows[name, "distance"] = Row(
            name,
            "distance",
            "k",
            scalars={"distance": -3.0, "distance_stderr": 0.1},
            arrays={"observable": dots},
        )
    return Sweep(Path("made.sqlite"), {"version": "0"}, checkpoints, rows)


SWEEPS: dict[str, Callable[[], Sweep]] = {
    "whole": lambda: made_sweep("o" * 9 + "eee" + "C" * 20),
    "without losses": lambda: made_sweep("o" * 9 + "C" * 20, losses=False),
    "without epochs": lambda: made_sweep("o" * 9 + "C" * 20, epochs=False),
    "order only": lambda: made_sweep("o" * 9),
    "one checkpoint": lambda: made_sweep("e"),
    "nothing": lambda: made_sweep(""),
}


@pytest.mark.parametrize("kind", SWEEPS)
def test_every_sweep_has_a_page_and_figures(kind: str, tmp_path: Path) -> None:
    sweep = SWEEPS[kind]()
    page = write_report(sweep, tmp_path / "report.html").read_text()
    assert "<h1>" in page
    written = save_figures(sweep, tmp_path / "figures", ("png", "svg", "pdf"))
    assert len(written) == 6
    assert all(path.stat().st_size > 1000 for path in written)


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    page = write_report(SWEEPS["whole"](), tmp_path / "r.html").read_text()
    own = re.sub(r"<script>/\*\*.*?</script>", "", page, count=1, flags=re.DOTALL)
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=", own)


def test_names_and_messages_are_escaped(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    sweep = SWEEPS["whole"]()
    rows = dict(sweep.rows)
    rows[evil, "checkpoint"] = Row(
        evil, "checkpoint", "", status="failed", message=evil
    )
    sweep = replace(sweep, rows=rows, run={"source": evil})
    page = write_report(sweep, tmp_path / "r.html").read_text()
    assert evil not in page
    assert "&lt;script&gt;alert(1)" in page


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found 'gif'"):
        save_figures(SWEEPS["whole"](), tmp_path, ("gif",))


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_report(SWEEPS["whole"](), tmp_path / "file" / "report.html")
    with pytest.raises(UsageError, match="cannot be written"):
        save_figures(SWEEPS["whole"](), tmp_path / "file" / "figures")


def test_ten_thousand_checkpoints_stay_below_20_mb(tmp_path: Path) -> None:
    sweep = made_sweep("oeCC" * 2500, samples=500)
    page = write_report(sweep, tmp_path / "large.html")
    assert page.stat().st_size < 20e6
    assert "dots are left out" in page.read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_draws_the_page(tmp_path: Path) -> None:
    page = write_report(SWEEPS["whole"](), tmp_path / "report.html")
    done = subprocess.run(
        [
            str(CHROMIUM),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=8000",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.count('class="main-svg"') >= 3
    assert "Uncaught" not in done.stderr


def test_a_report_of_a_real_sweep(make_run: Callable[..., Path]) -> None:
    short: dict[str, dict[str, Any]] = {
        "lyapunov": {"steps": 40, "transient": 20, "starts": 3},
        "distance": {"steps": 60, "samples": 4},
    }
    run = make_run(3)
    sweep = lstm_edge.analyze(run, settings=short)
    assert sweep.report(run / "report.html").is_file()
