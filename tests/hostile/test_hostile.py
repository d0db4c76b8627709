"""Each hostile file costs one line, little memory and its own row; nothing runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from conftest import make_arrays
from hostile import places_cases, reader
from hostile.cases import CASES
from hostile.sound import TRACE, safetensors_bytes
from lstm_edge import as_weights, places
from lstm_edge.checkpoints import find_checkpoints, write_checkpoint
from lstm_edge.cli import main
from lstm_edge.errors import CheckpointError, LstmEdgeError
from lstm_edge.results import Sweep
from lstm_edge.sweep import analyze

SETTINGS: dict[str, dict[str, Any]] = {
    "lyapunov": {"steps": 20, "transient": 5, "starts": 2},
    "attractors": {"steps": 20, "transient": 5, "limit": 40, "starts": 2},
    "distance": {"steps": 20, "samples": 2},
}
MIDDLE = 25
"""The update of a hostile file, between sound ones at 0, 10, ... 40."""

HARMLESS = ("a turned matrix.npz", "names that differ only outside.pt")


def write_sound(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for index in range(5):
        path = folder / f"net-{10 * index}.safetensors"
        write_checkpoint(path, make_arrays((2,), 1, seed=index), {})
    return folder


def file_name(case: str) -> str:
    stem, _, suffix = case.rpartition(".")
    return f"{stem.replace(' ', '-')}-net-{MIDDLE}.{suffix}"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of all hostile files."""
    folder = tmp_path_factory.mktemp("hostile")
    for case, make in CASES.items():
        (folder / file_name(case)).write_bytes(make())
    return folder


class Reader:
    """The other process that reads files; one that dies is followed by a new one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        (folder / "sound.safetensors").write_bytes(safetensors_bytes())

    def read(self, path: Path) -> tuple[str, str, int]:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, reader.__file__, self.folder / "sound.safetensors"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=self.folder,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(str(path)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the reader ended with {self.process.wait()}"
        error, message, peak = json.loads(answer)
        return error, message, peak


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    found = Reader(tmp_path_factory.mktemp("reader"))
    yield found
    if found.process is not None:
        found.process.kill()
        found.process.communicate()


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_file_is_refused_in_one_line(
    case: str, hostile: Path, bounded: Reader
) -> None:
    path = hostile / file_name(case)
    error, message, peak = bounded.read(path)
    assert error == "CheckpointError", message
    assert path.name in message
    assert message.isprintable()
    # what may expand 16-fold beyond 16 MB, and is copied once on the way
    assert peak <= 3 * 2**24 + 40 * path.stat().st_size
    assert not (bounded.folder / TRACE).exists()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Give the sweep of the sound checkpoints."""
    return analyze(write_sound(tmp_path_factory.mktemp("alone")), settings=SETTINGS)


def check_the_same(sweep: Sweep, alone: Sweep) -> None:
    names = list(sweep.table["name"])
    rows = [names.index(name) for name in alone.table["name"]]
    for column, values in alone.table.items():
        np.testing.assert_array_equal(sweep.table[column][rows], values)


def test_all_at_once_cost_a_row_each(
    hostile: Path, alone: Sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = analyze([write_sound(tmp_path / "sound"), hostile], settings=SETTINGS)
    failed = [Path(name).name for name, _ in sweep.failed]
    assert sorted(failed) == sorted(path.name for path in hostile.iterdir())
    for name, message in sweep.failed:
        assert Path(name).name in message
    assert [name for name in sweep.table["phase"] if name] == list(alone.table["phase"])
    assert not (tmp_path / TRACE).exists()
