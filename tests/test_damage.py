"""A store that is damaged, full, locked or read-only: a clear word, nothing destroyed.

What a failing disk does to a file at rest is tried at every kind of place: a flipped
bit, a stretch overwritten, an end that is missing.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_edge.cli import main
from lstm_edge.errors import StoreError
from lstm_edge.store.rows import Row
from lstm_edge.store.store import Store

SETTINGS = {"steps": 10, "inputs": "zero"}
RUN = {"measures": {"lyapunov": [1, SETTINGS]}, "version": "0"}
CHECKPOINTS = {f"update-{i}": (i, {"test_loss": 1 / (1 + i)}) for i in range(12)}
ROWS = [
    Row(
        name,
        "lyapunov",
        f"key {update}",
        1,
        SETTINGS,
        scalars={"lambda_max": update / 7, "phase": "edge"},
        # some rows within a page, some over several
        arrays={"per_start": np.arange(2.0 + 900 * (update % 3))},
    )
    for name, (update, _) in CHECKPOINTS.items()
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store at rest."""
    path = tmp_path_factory.mktemp("whole") / "s.sqlite"
    with Store(path, write=True) as store:
        store.set_run(**RUN)
        store.set_checkpoints(CHECKPOINTS)
        for row in ROWS:
            store.put(row)
    return path


def contents(path: Path) -> str:
    """All that a reader is told, as one text that compares."""
    with Store(path) as store:
        told: list[Any] = [store.run(), store.checkpoints()]
        for row in store.rows():
            arrays = {name: array.tolist() for name, array in row.arrays.items()}
            told.append(vars(row) | {"arrays": arrays})
    return json.dumps(told, sort_keys=True)


@st.composite
def damages(draw: st.DrawFn) -> tuple[str, int, bytes]:
    kind = draw(st.sampled_from(["flip", "overwrite", "cut"]))
    # the first page, with the header and the tables' names, as often as all others
    place = draw(st.integers(0, 4095) | st.integers(0, 10**6))
    return kind, place, draw(st.binary(min_size=1, max_size=64))


def damaged(whole: bytes, kind: str, place: int, data: bytes) -> bytes:
    place %= len(whole)
    if kind == "cut":
        return whole[:place]
    if kind == "flip":
        data = bytes([whole[place] ^ (1 << data[0] % 8)])
    return whole[:place] + data + whole[place + len(data) :]


@given(damages())
@settings(max_examples=200)
def test_damage_gives_the_right_rows_or_an_error(
    whole: Path, damage: tuple[str, int, bytes]
) -> None:
    right, hurt = contents(whole), damaged(whole.read_bytes(), *damage)
    path = whole.with_name("damaged.sqlite")
    for stale in whole.parent.glob("damaged*"):
        stale.unlink()
    path.write_bytes(hurt)
    with suppress(StoreError):
        assert contents(path) == right
    assert path.read_bytes() == hurt
    try:
        with Store(path, write=True) as store:
            store.put(ROWS[0])
    except StoreError:
        assert path.read_bytes() == hurt


def test_damage_is_told_in_one_line(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    told = set()
    for place in range(0, whole.stat().st_size, 997):
        path.write_bytes(damaged(whole.read_bytes(), "flip", place, b"\x03"))
        try:
            contents(path)
        except StoreError as error:
            told.add(str(error))
    assert told
    assert all(str(path) in message and "\n" not in message for message in told)


# what stands in a writer's way, from the command line

FAST = ["--steps", "40", "--transient", "20", "--starts", "3", "--samples", "4"]
MakeRun = Callable[..., Path]


def fails(*arguments: object) -> str:
    """Return the one line that a command fails with."""
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 1, done.output
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB, where mounting is permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True).returncode
    ):
        pytest.skip("mounting is not permitted")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_keeps_what_was_written(small_disk: Path) -> None:
    path, ballast = small_disk / "s.sqlite", small_disk / "ballast"
    ballast.write_bytes(bytes(60_000))
    newest: dict[str, str] = {}

    def fill(store: Store) -> None:
        for i, row in enumerate(ROWS * 20):
            store.put(replace(row, version=str(i)))
            newest[row.key] = str(i)

    with Store(path, write=True) as store:
        store.set_run(**RUN)
        with pytest.raises(StoreError, match="the disk is full; free some space"):
            fill(store)
    assert newest
    with Store(path) as store:
        assert {row.key: row.version for row in store.rows()} == newest
    ballast.unlink()
    with Store(path, write=True) as store:
        store.put(Row("more", "lyapunov", "more", 1, SETTINGS))
        assert {row.key for row in store.rows()} == {*newest, "more"}


def test_what_a_full_disk_cannot_take_is_no_wrong_usage(
    small_disk: Path, make_run: MakeRun
) -> None:
    run = make_run(3)
    done = CliRunner().invoke(main, ["analyze", str(run), *FAST])
    assert done.exit_code == 0, done.output
    with suppress(OSError):
        (small_disk / "ballast").write_bytes(bytes(2**20))
    for command, name in (("report", "page.html"), ("export", "table.csv")):
        target = str(small_disk / name)
        found = CliRunner().invoke(main, [command, str(run), "-o", target])
        assert found.exit_code == 1, found.output
        assert "cannot be written" in found.output
        assert [file.name for file in small_disk.iterdir()] == ["ballast"]


def test_a_sweep_on_a_full_disk_fails_and_goes_on_when_there_is_space(
    small_disk: Path, make_run: MakeRun
) -> None:
    run, out = make_run(3), small_disk / "s.sqlite"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(120_000))
    assert "the disk is full; free some space" in fails(
        "analyze", run, "--out", out, *FAST
    )
    ballast.unlink()
    done = CliRunner().invoke(main, ["analyze", str(run), "--out", str(out), *FAST])
    assert done.exit_code == 0, done.output


def test_a_read_only_disk_is_read_but_not_written(
    small_disk: Path, make_run: MakeRun
) -> None:
    run, out = make_run(1), small_disk / "s.sqlite"
    arguments = ["analyze", run, "--out", out, *FAST]
    assert CliRunner().invoke(main, list(map(str, arguments))).exit_code == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    before = out.read_bytes()
    assert "expected a folder that can be written" in fails(*arguments)
    assert out.read_bytes() == before
    page = small_disk.with_name("report.html")
    read = CliRunner().invoke(main, ["report", str(out), "-o", str(page)])
    assert read.exit_code == 0, read.output


LIMITED = """
import resource, sys
from dataclasses import replace
from pathlib import Path
from test_damage import ROWS, RUN
from lstm_edge.errors import StoreError
from lstm_edge.store.store import Store
with Store(Path(sys.argv[1]), write=True) as store:
    store.set_run(**RUN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    try:
        for i, row in enumerate(ROWS * 20):
            store.put(replace(row, version=str(i)))
    except StoreError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        print(i, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_file_that_may_not_grow_keeps_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    count, _, message = done.stdout.strip().partition(" ")
    assert str(path) in message
    assert "run the command again" in message
    newest = {row.key: str(i) for i, row in enumerate((ROWS * 20)[: int(count)])}
    with Store(path, write=True) as store:
        assert {row.key: row.version for row in store.rows()} == newest


HOLDING = """
import sys
from pathlib import Path
from lstm_edge.store.store import Store
with Store(Path(sys.argv[1]), write=True):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_store_that_another_process_writes_to_is_left_alone(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run, out = make_run(1), tmp_path / "s.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, out],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        message = fails("analyze", run, "--out", out, *FAST)
        process.communicate()
    assert "another process is writing to this store; wait for it" in message
    done = CliRunner().invoke(main, ["analyze", str(run), "--out", str(out), *FAST])
    assert done.exit_code == 0, done.output


def test_a_store_of_another_version_is_left_alone(
    whole: Path, make_run: MakeRun, tmp_path: Path
) -> None:
    run, out = make_run(1), tmp_path / "s.sqlite"
    for version, told in ((9, "a newer lstm-edge wrote it"), (1, "an older lstm-edge")):
        shutil.copy(whole, out)
        connection = sqlite3.connect(out, isolation_level=None)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
        before = out.read_bytes()
        for arguments in (
            ("analyze", run, "--out", out, *FAST),
            ("report", out),
            ("export", out, "-o", tmp_path / "results.csv"),
            ("merge", out, "-o", tmp_path / "merged.sqlite"),
        ):
            assert told in fails(*arguments)
        assert out.read_bytes() == before


def test_a_damaged_store_is_left_alone(
    whole: Path, make_run: MakeRun, tmp_path: Path
) -> None:
    run, out = make_run(1), tmp_path / "s.sqlite"
    data = whole.read_bytes()
    out.write_bytes(data[:8192] + b"\xff" * 20_000 + data[28_192:])
    before = out.read_bytes()
    for arguments in (
        ("analyze", run, "--out", out, *FAST),
        ("report", out),
        ("export", out, "-o", tmp_path / "results.csv"),
        ("merge", out, "-o", tmp_path / "merged.sqlite"),
    ):
        assert "the file is damaged; rescue its rows" in fails(*arguments)
    assert out.read_bytes() == before
    assert not (tmp_path / "merged.sqlite").exists()
