"""Each hostile file costs one line, little memory and its own row; nothing runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from conftest import make_arrays
from hostile import reader
from hostile.cases import CASES
from hostile.places_cases import BAD, GOOD, NOWHERE, sound
from hostile.sound import TRACE, safetensors_bytes
from lstm_edge.cli import main
from lstm_edge.errors import CheckpointError
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.files.safetensors import write_checkpoint
from lstm_edge.net.reading import as_weights
from lstm_edge.report.page import write_report
from lstm_edge.results.sweep import Sweep, open_sweep
from lstm_edge.sweep.analysis import analyze

FAST = ("--steps", "20", "--transient", "5", "--starts", "2", "--samples", "2")

FILES: dict[str, Callable[[Path], object]] = {
    case: lambda path, make=make: path.write_bytes(make())  # type: ignore[misc]
    for case, make in CASES.items()
}
WRITERS = FILES | BAD
"""Case to what writes it to a path."""


def write_sound(folder: Path) -> Path:
    for index in range(5):
        path = folder / f"net-{10 * index}.safetensors"
        write_checkpoint(path, make_arrays((2,), 1, seed=index), {})
    return folder


def write_case(case: str, folder: Path) -> Path:
    """Write a case under a name that puts it between the sound ones."""
    stem, _, suffix = case.rpartition(".")
    path = folder / f"{stem.replace(' ', '-')}-net-25.{suffix}"
    WRITERS[case](path)
    return path


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


@pytest.mark.parametrize("case", WRITERS)
def test_it_is_refused_in_one_line(case: str, tmp_path: Path, bounded: Reader) -> None:
    path = write_case(case, tmp_path)
    error, message, peak = bounded.read(path)
    assert error == "CheckpointError", message
    assert path.name in message
    assert message.isprintable()
    # what may expand 16-fold beyond 16 MB, and is copied once on the way
    size = path.stat().st_size if case in CASES else 0
    assert peak <= 3 * 2**24 + 40 * size
    assert not (bounded.folder / TRACE).exists()


def run_analyze(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["analyze", *FAST, *map(str, arguments)])


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Give the sweep of the sound checkpoints."""
    folder = write_sound(tmp_path_factory.mktemp("alone"))
    assert run_analyze(folder).exit_code == 0
    return open_sweep(folder)


def check_that_others_are_the_same(sweep: Sweep, alone: Sweep) -> None:
    rows = [list(sweep.table["name"]).index(name) for name in alone.table["name"]]
    for column, values in alone.table.items():
        np.testing.assert_array_equal(np.asarray(sweep.table[column])[rows], values)


# all that are cut short are alike to a sweep
@pytest.mark.parametrize(
    "case", [case for case in WRITERS if not case.startswith("cut at byte 1")]
)
def test_it_costs_its_own_row(
    case: str, alone: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_case(case, write_sound(tmp_path))
    strict = run_analyze(tmp_path, "--strict", "--out", "strict.sqlite")
    assert strict.exit_code == 1
    assert path.name in strict.output

    usual = run_analyze(tmp_path)
    assert usual.exit_code == 3, usual.output
    assert f"failed: {path.name}" in usual.output
    sweep = open_sweep(tmp_path)
    assert [name for name, _ in sweep.failed] == [path.name]
    check_that_others_are_the_same(sweep, alone)
    assert not (tmp_path / TRACE).exists()

    path.unlink()
    shutil.copy("net-0.safetensors", path.with_suffix(".safetensors"))
    repaired = run_analyze(tmp_path)
    assert repaired.exit_code == 0, repaired.output
    assert len(open_sweep(tmp_path).table["name"]) == 6


# odd names, and files that change


@pytest.mark.parametrize("name", GOOD)
def test_a_sound_file_with_an_odd_name_is_measured(
    name: str, alone: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_sound(tmp_path))
    sound(tmp_path / name)
    assert as_weights(tmp_path / name).hidden_sizes == (2,)
    assert [found.path.name for found in find_checkpoints(tmp_path / name)] == [name]
    result = run_analyze(tmp_path)
    assert result.exit_code == 0, result.output
    sweep = open_sweep(tmp_path)
    assert len(sweep.table["name"]) == 6
    assert all(shown.isprintable() for shown in sweep.table["name"])
    check_that_others_are_the_same(sweep, alone)
    write_report(sweep, tmp_path / "report.html")
    assert not (tmp_path / TRACE).exists()


def test_files_whose_names_look_alike_stay_apart(tmp_path: Path) -> None:
    for name in ("line\nend.safetensors", "line\\nend.safetensors"):
        sound(tmp_path / name)
    assert run_analyze(tmp_path).exit_code == 0
    assert len({*open_sweep(tmp_path).table["name"]}) == 2


@pytest.mark.parametrize("name", NOWHERE)
def test_a_path_where_nothing_can_be(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sound(tmp_path / "sound.safetensors")
    for look in (as_weights, find_checkpoints):
        with pytest.raises(CheckpointError) as caught:
            look(name)
        assert str(caught.value).isprintable()


def test_a_file_that_vanishes_after_it_was_listed(alone: Sweep, tmp_path: Path) -> None:
    gone = tmp_path / "net-25.safetensors"
    sound(gone)
    settings = json.loads(json.dumps(alone.run["settings"]))

    def and_vanishes(_: object) -> bool:
        gone.unlink(missing_ok=True)
        return True

    sweep = analyze(write_sound(tmp_path), settings=settings, select=and_vanishes)
    ((name, message),) = sweep.failed
    assert name == gone.name
    assert "no such file" in message
    check_that_others_are_the_same(sweep, alone)


def test_a_file_that_grows_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.safetensors"
    sound(path)
    fstat = os.fstat

    def and_grow(file: int) -> object:
        found = fstat(file)
        with path.open("ab") as more:
            more.write(b"more")
        return found

    monkeypatch.setattr(os, "fstat", and_grow)
    with pytest.raises(CheckpointError, match="is being written; run the command"):
        as_weights(path)


def test_a_file_larger_than_the_memory(tmp_path: Path, bounded: Reader) -> None:
    """It takes no room on the disk: nothing but its length was ever written."""
    path = tmp_path / "net.safetensors"
    sound(path)
    with path.open("r+b") as file:
        file.truncate(2**40)
    error, message, peak = bounded.read(path)
    assert (error, message) == ("CheckpointError", f"{path}: does not fit into memory")
    assert peak < 2**24
