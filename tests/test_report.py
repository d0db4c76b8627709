"""The page opens offline, tells no lies about names, and stays light."""

from __future__ import annotations

import json
import os
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
from lstm_edge.report import panels
from lstm_edge.report.figures import plot_figure, save_figures
from lstm_edge.report.page import write_report
from lstm_edge.report.series import loss_around, make_series
from lstm_edge.results.sweep import Sweep
from lstm_edge.store.rows import Row

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
        per_start = exponent + np.array([[-0.02, -1.0], [0.0, -1.0], [0.02, -1.0]])
        rows[name, "lyapunov"] = Row(
            name, "lyapunov", "k", scalars=scalars, arrays={"per_start": per_start}
        )
        kinds = {"o": "cycle", "e": "torus", "C": "chaos"}
        shares = {kind: float(kinds[letter] == kind) for kind in kinds.values()}
        rows[name, "attractors"] = Row(
            name,
            "attractors",
            "k",
            scalars={"phase": names[letter], "chaotic_share": 0.5, "shares": shares},
        )
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
    names = {path.stem for path in written}
    assert len(written) == 3 * len(names)
    some = {"training", "paper", "orbit_diagram"}
    assert names == set() if kind == "nothing" else names >= some
    if kind == "whole":
        assert names >= {"attractors", "widths"}
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


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_name_that_looks_like_a_comment_hides_nothing(tmp_path: Path) -> None:
    sweep = SWEEPS["whole"]()
    first = sweep.names[0]
    evil = "<!--<script>"
    rows = {(evil if n == first else n, m): r for (n, m), r in sweep.rows.items()}
    known = {evil if n == first else n: c for n, c in sweep.checkpoints.items()}
    page = write_report(
        replace(sweep, rows=rows, checkpoints=known), tmp_path / "a.html"
    )
    drawn, errors = dom(page, tmp_path / "profile")
    assert drawn.count('class="main-svg"') >= 5
    assert "Uncaught" not in errors


@pytest.mark.skipif(os.name == "nt", reason="links of POSIX")
def test_a_link_in_the_way_leads_to_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / ".report.html.tmp").symlink_to("victim")
    write_report(SWEEPS["order only"](), tmp_path / "report.html")
    assert (tmp_path / "victim").read_text() == "kept"


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
    density = make_series(sweep).density
    assert density is not None
    assert density.share.shape == (150, 1000)


def test_many_samples_are_drawn_as_a_density(tmp_path: Path) -> None:
    sweep = made_sweep("oeCC" * 11, samples=500)
    series = make_series(sweep)
    density, values = series.density, sweep.observable
    assert density is not None
    assert series.dots is None
    np.testing.assert_allclose(density.share.sum(axis=0), 1)
    np.testing.assert_array_equal(density.time, series.time)
    spread = np.sqrt(density.value**2 @ density.share)  # about the mean
    np.testing.assert_allclose(spread, [x.std() for x in values], rtol=0.01)
    assert (density.darkness.min(), density.darkness.max()) == (0, 1)
    assert panels.orbit_diagram(make_series(made_sweep("oC"))).density is None
    assert '"type":"heatmap"' in write_report(sweep, tmp_path / "a.html").read_text()
    assert len(plot_figure(sweep).axes) >= 3
    with pytest.raises(UsageError, match="expected one of"):
        plot_figure(sweep, "none")
    with pytest.raises(UsageError, match="nothing to show of 'norms'"):
        plot_figure(sweep, "norms")


def dom(page: Path | str, profile: Path, width: int = 1400) -> tuple[str, str]:
    """What a browser makes of a page, and what it complains of.

    One that says nothing at all has died itself, and is started anew.
    """
    for attempt in range(3):
        done = subprocess.run(
            [
                str(CHROMIUM),
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--virtual-time-budget=8000",
                f"--window-size={width},2000",
                f"--user-data-dir={profile}-{attempt}",
                "--enable-logging=stderr",
                "--dump-dom",
                page if isinstance(page, str) else page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.stdout:
            break
    return done.stdout, done.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_draws_the_page(tmp_path: Path) -> None:
    page = write_report(SWEEPS["whole"](), tmp_path / "report.html")
    drawn, errors = dom(page, tmp_path / "profile")
    assert drawn.count('class="main-svg"') >= 5
    assert "Uncaught" not in errors
    assert ">cycle<" in drawn  # the legend of what starts end on


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_what_there_is_nothing_to_draw_of_is_left_out(tmp_path: Path) -> None:
    sweep = made_sweep("o" * 6, losses=False)
    drawn, errors = dom(write_report(sweep, tmp_path / "a.html"), tmp_path / "profile")
    assert "Uncaught" not in errors
    assert 'class="main-svg"' in drawn
    assert not re.findall(r'id="(widths|around|norms)"', drawn)


@pytest.mark.parametrize("count", [1, 700])
def test_where_no_checkpoint_could_be_used_the_page_begins_with_why(
    tmp_path: Path, count: int
) -> None:
    failed = {
        (f"a-{i}", ""): Row(f"a-{i}", "", "", status="failed", message="two nets")
        for i in range(count)
    }
    checkpoints: dict[str, Any] = {f"a-{i}": (i, {}) for i in range(count)}
    sweep = Sweep(tmp_path / "a.sqlite", {}, checkpoints, failed)
    page = write_report(sweep, tmp_path / "a.html").read_text()
    assert "<h1>No checkpoint could be used</h1>\n<p>two nets.</p>" in page
    assert page.count("<td>two nets</td>") == 1


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_click_shows_the_spectrum_of_that_checkpoint(tmp_path: Path) -> None:
    page = write_report(SWEEPS["whole"](), tmp_path / "report.html")
    click = """<script>
    document.getElementById("main").emit("plotly_click", { points: [{ x: 4.2 }] });
    document.querySelector('button[data-kind="log"]').click();
    document.title = JSON.stringify([
      figures.spectrum.data[0].y, figures.spectrum.layout.title.text,
      figures.main.layout.xaxis.type]);
    </script>"""
    text = page.read_text().replace("</body>", click + "</body>")
    page.write_text(text)
    drawn, errors = dom(page, tmp_path / "profile")
    assert "Uncaught" not in errors
    assert '<title>[[-0.1,-1],"update-40","log"]</title>' in drawn


OVERLAPS = """<script>
{
  const texts = [...document.querySelectorAll(
    '#main [class*="tick"] text, #main .infolayer text')];
  const boxes = texts.map((text) => text.getBoundingClientRect());
  const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
  const found = boxes.flatMap((a, i) => boxes.flatMap((b, j) =>
    i < j && over(a, b) ? [`${texts[i].textContent} / ${texts[j].textContent}`] : []));
  const wide = document.documentElement.scrollWidth > window.innerWidth;
  document.title = JSON.stringify([texts.length > 20, wide, found]);
}
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize("width", [1400, 800, 500])
@pytest.mark.parametrize("phases", ["o" + "C" * 9 + "o" * 90, "oooooooCCCCCC"])
def test_no_text_of_the_plot_covers_another(
    tmp_path: Path, phases: str, width: int
) -> None:
    page = write_report(made_sweep(phases), tmp_path / "report.html")
    before, end, after = page.read_text().rpartition("</body>")
    page.write_text(before + OVERLAPS + end + after)
    drawn, errors = dom(page, tmp_path / "profile", width)
    assert "Uncaught" not in errors
    assert "<title>[true,false,[]]</title>" in drawn, drawn[:400]


def test_the_page_shows_the_numbers_of_the_sweep(tmp_path: Path) -> None:
    sweep = SWEEPS["whole"]()
    page = write_report(sweep, tmp_path / "report.html").read_text()
    line = next(x for x in page.splitlines() if x.startswith("const spectra"))
    shown = json.loads(line.removeprefix("const spectra = ").removesuffix(";"))
    assert shown["time"] == sweep.table["epoch"].tolist()
    assert shown["name"] == sweep.names
    np.testing.assert_allclose(shown["exponents"], sweep.exponents, rtol=1e-4)


def test_the_page_names_the_run_and_marks_what_happened(tmp_path: Path) -> None:
    sweep = SWEEPS["whole"]()
    sweep = replace(sweep, run={"source": "runs/mine", "inputs": "zero"})
    page = write_report(sweep, tmp_path / "report.html").read_text()
    assert "<title>mine: order and chaos along training</title>" in page
    assert (
        f'<p class="run">mine · {len(sweep.checkpoints)} checkpoints · input: zero</p>'
        in page
    )
    series = make_series(sweep)
    marked = panels.marks(series)
    sustained = [t for t in sweep.track.transitions if t.sustained]
    assert {t.event for t in sustained} <= {name for _, name, _ in marked}
    time, name, _ = marked[-1]
    assert (time, name) == (31, "best test loss")  # the loss is 1 / (1 + epoch)
    first = panels.told(series)[0]
    assert re.fullmatch(
        r"epoch 0 · order · exponent -?[\d.]+ ± [\d.]+ · test loss 1 · update-0", first
    )


def test_panels_without_data_say_what_fills_them(tmp_path: Path) -> None:
    page = write_report(
        SWEEPS["without losses"](), tmp_path / "report.html"
    ).read_text()
    assert "No losses are known: lstm-edge analyze RUN --metrics LOG" in page
    assert (
        "No losses are known"
        not in write_report(SWEEPS["whole"](), tmp_path / "report.html").read_text()
    )


def test_the_loss_around_crossings_is_their_average() -> None:
    sweep = made_sweep("oooooCCCCC" * 8)
    series = make_series(sweep)
    around = loss_around(series, "to_chaos", share=0.02)
    assert around is not None
    # the loss is 1 / (1 + epoch); a crossing lies halfway between two checkpoints
    events = np.array([t.epoch for t in sweep.transitions if not t.sustained])
    events = events[::2]
    epochs = np.arange(80.0)
    at = np.interp(events[:, None] + around.lag, epochs, -np.log1p(epochs))
    expected = at - np.interp(events, epochs, -np.log1p(epochs))[:, None]
    assert around.events == len(events) == 8
    np.testing.assert_allclose(around.mean, expected.mean(axis=0), atol=1e-12)
    assert loss_around(make_series(made_sweep("o" * 9)), "to_chaos") is None


def test_a_report_of_a_real_sweep(make_run: Callable[..., Path]) -> None:
    short: dict[str, dict[str, Any]] = {
        "lyapunov": {"steps": 40, "transient": 20, "starts": 3},
        "attractors": {"steps": 200, "limit": 400, "transient": 20, "starts": 2},
        "distance": {"steps": 60, "samples": 4},
    }
    run = make_run(3)
    sweep = lstm_edge.analyze(run, settings=short)
    assert write_report(sweep, run / "report.html").is_file()
