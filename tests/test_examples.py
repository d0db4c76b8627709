"""Every example runs, on a small scale, and says what it claims to."""

from __future__ import annotations

import json
import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import lstm_edge
from conftest import make_arrays
from lstm_edge.lab.studies.studying import study

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOK = EXAMPLES / "monitor.ipynb"


def example(name: str) -> Any:
    """Its function ``main``."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name=name)["main"]


def test_every_example_is_run_here() -> None:
    source = Path(__file__).read_text()
    scripts = [path.stem for path in EXAMPLES.glob("*.py")]
    assert [name for name in scripts if f'example("{name}")' not in source] == []
    assert [path.name for path in EXAMPLES.glob("*.ipynb")] == [NOTEBOOK.name]


def test_a_loop_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    monitor = example("own_loop")(units=5, epochs=3)
    assert [result.update for result in monitor.history] == [1, 2, 3]
    assert "too few" in capsys.readouterr().out


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::Warning:lightning")  # of small machines and sets
def test_lightning() -> None:
    pytest.importorskip("lightning")
    monitor = example("with_lightning")(units=5, epochs=2)
    assert [result.update for result in monitor.history] == [0, 10, 20]
    assert "test_loss" in monitor.result.metrics


@pytest.mark.integration
# of Keras' own conversion of its variables
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_keras() -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    pytest.importorskip("keras")
    monitor = example("with_keras")(units=5, epochs=2)
    assert [result.update for result in monitor.history] == [0, 10, 20]
    assert "test_loss" in monitor.result.metrics


def test_each_kind_of_attractor_has_its_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example("attractor_kinds")(tmp_path / "attractors.png")
    assert (tmp_path / "attractors.png").stat().st_size > 10_000
    told = capsys.readouterr().out.splitlines()
    kinds = ["fixed_point", "cycle of period 4", "torus", "chaos"]
    for line, kind in zip(told, kinds, strict=True):
        assert f"100% {kind};" in line


def test_a_closed_loop_has_the_exponents_of_its_system() -> None:
    spectrum = example("closed_loop")(units=100, points=3000, steps=3000)
    # a small reservoir over a short time: the error is mostly that of the time average
    assert abs(spectrum.exponents[0] - 0.906) < 4 * spectrum.stderr[0]
    assert abs(spectrum.exponents[1]) < 4 * spectrum.stderr[1] + spectrum.zero_margin[0]
    assert spectrum.exponents[2] < -1


def test_a_cluster(make_run: Callable[..., Path]) -> None:
    run = make_run(3)
    sweep = example("on_a_cluster")(str(run))
    assert len(sweep.names) == 3
    again = lstm_edge.analyze(run, out=run / "here.sqlite")
    assert sweep.exponents.tobytes() == again.exponents.tobytes()


def notebook() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(NOTEBOOK.read_text())
    return found


def test_the_cells_of_the_notebook_run() -> None:
    known: dict[str, Any] = {}
    for cell in notebook()["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "<cell>", "exec"), known)
    assert len(known["monitor"].history) == 20


def test_the_notebook_is_kept_without_outputs() -> None:
    for cell in notebook()["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@pytest.mark.integration
def test_the_notebook_shows_tables() -> None:
    format_of = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    shown = client.execute(format_of.read(NOTEBOOK, as_version=4), timeout=300)
    pages = [
        output["data"]["text/html"]
        for cell in shown.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    assert len(pages) == 3
    for page, title in zip(
        pages, ("EdgeMonitor(20", "LyapunovSpectrum(", "Attractors("), strict=True
    ):
        assert title in page
        assert "<table" in page


def test_the_tables_of_the_replication(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure = {"steps": 60, "transient": 20, "starts": 2}
    study(
        "digits",
        tmp_path / "small",
        seeds=2,
        training={"epochs": 2, "hidden_size": 4},
        settings={"lyapunov": measure, "distance": {"steps": 30, "samples": 2}},
        patience=1,
        jobs=1,
    )
    capsys.readouterr()
    example("replication/tables")([tmp_path / "small"], tmp_path / "csv")
    told = capsys.readouterr().out
    assert "small: 2 of 2 runs are done" in told
    assert "| best test loss, epoch | 2 (2 to 2) |" in told
    runs = pandas.read_csv(tmp_path / "csv" / "runs.csv")
    assert runs["seed"].tolist() == [0, 1]
    assert runs["checkpoints"].tolist() == [3, 3]
    assert runs["1"].tolist() == ["cannot be told"] * 2


def test_the_gallery(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = make_arrays((3,), 2, gain=0.5)
    path = tmp_path / "net.npz"
    named: dict[str, Any] = {f"rnn.{name}": array for name, array in arrays.items()}
    np.savez(path, **named)
    figure = tmp_path / "gallery.png"
    example("gallery")([str(path), f"{path}=rnn"], str(figure))
    assert figure.stat().st_size > 1000
    *_, first, second = capsys.readouterr().out.splitlines()
    assert "| lstm 2 -> 3 | 100% fixed point | " in first
    assert second.split("|")[2:] == first.split("|")[2:]
