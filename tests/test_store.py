"""The store: what comes back, what is refused, and that nothing is destroyed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_edge.errors import StoreError
from lstm_edge.store import database
from lstm_edge.store.rows import Row, result_key
from lstm_edge.store.store import Store

SETTINGS = {"steps": 10, "inputs": "zero"}
MEASURES = {"lyapunov": [1, SETTINGS]}


def row(name: str = "a", weights: str = "w", **changes: object) -> Row:
    key = result_key(weights, "lyapunov", 1, SETTINGS, "zero")
    made = Row(name, "lyapunov", key, 1, SETTINGS, scalars={"lambda_max": 0.5})
    return replace(made, **changes)  # type: ignore[arg-type]


def write(path: Path, *rows: Row) -> None:
    with Store(path, write=True) as store:
        store.set_run(measures=MEASURES)
        for each in rows:
            store.put(each)


def read(path: Path) -> list[Row]:
    with Store(path) as store:
        return list(store.rows())


def refused(path: Path, *, write: bool = False) -> str:
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError) as caught, Store(path, write=write) as store:
        list(store.rows())
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert (path.read_bytes() if path.is_file() else None) == before
    return message


def test_a_row_comes_back_as_it_was(tmp_path: Path) -> None:
    scalars = {
        "exponents": [0.1, -np.inf, np.nan],
        "phase": "edge",
        "tiny": 5e-324,
        "n": 3,
    }
    arrays = {
        "per_start": np.array([[-np.inf, np.nan], [0.1, 1 / 3]]),
        "observable": np.arange(3, dtype=np.float32),
        "empty": np.zeros((0, 2)),
        "striped": np.arange(12.0).reshape(3, 4)[:, ::2],
    }
    made = row(scalars=scalars, arrays=arrays, seconds=0.25)
    write(tmp_path / "s.sqlite", made)
    (found,) = read(tmp_path / "s.sqlite")
    assert repr(found.scalars) == repr(scalars)
    assert (found.name, found.settings, found.seconds) == ("a", SETTINGS, 0.25)
    for name, array in arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


@given(st.lists(st.floats(width=64), max_size=5))
def test_every_float_survives(values: list[float]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_only_writer", lambda path: nullcontext())
        with Store(Path(":memory:"), write=True) as store:
            store.set_run(measures=MEASURES)
            store.put(row(scalars={"exponents": values}))
            (found,) = store.rows()
    back = np.array(found.scalars["exponents"], float)
    np.testing.assert_array_equal(back, np.array(values, float))


def test_a_row_tells_the_version_that_made_it(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite", write=True) as store:
        store.set_run(measures=MEASURES)
        store.put(row("a", version="0.1.0"))
        store.copy(row().key, "b")
        store.put(row("c", weights="other", version="0.2.0"))
        versions = {r.name: r.version for r in store.rows()}
    assert versions == {"a": "0.1.0", "b": "0.1.0", "c": "0.2.0"}


def test_a_copy_replaces_a_failure_of_its_measure(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite", write=True) as store:
        store.set_run(measures=MEASURES)
        store.put(row("a"))
        store.put(row("b", weights="v", status="failed", message="no"))
        store.copy(row().key, "b")
        assert [(r.name, r.status) for r in store.rows()] == [
            ("a", "done"),
            ("b", "done"),
        ]


def test_a_name_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite", write=True) as store:
        store.set_run(measures=MEASURES)
        with pytest.raises(StoreError, match="surrogates not allowed"):
            store.put(row("update-\udcff"))
        store.put(row(np.str_("b")))
        assert [r.name for r in store.rows()] == ["b"]


def test_keys_tell_apart_what_determines_a_result() -> None:
    settings = {"steps": 10, "k": 2}
    key = result_key("w", "lyapunov", 1, settings, "zero")
    same = {"k": 2, "steps": np.int64(10)}
    assert key == result_key("w", "lyapunov", 1, same, "zero")
    others = [
        result_key("v", "lyapunov", 1, settings, "zero"),
        result_key("w", "distance", 1, settings, "zero"),
        result_key("w", "lyapunov", 2, settings, "zero"),
        result_key("w", "lyapunov", 1, {"steps": 10, "k": None}, "zero"),
        result_key("w", "lyapunov", 1, settings, "a probe"),
    ]
    assert len({key, *others}) == 6


def test_the_run_and_the_checkpoints_come_back(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite", write=True) as store:
        store.set_run(source="here", seeds=[1, np.int64(2)])
        store.set_run(source="there")
        store.set_checkpoints({"c": (3, {"epoch": 1.0})})
        store.set_checkpoints({"a": (100, {}), "b": (20, {"test_loss": 0.1})})
    with Store(tmp_path / "s.sqlite") as store:
        assert store.run() == {"source": "there", "seeds": [1, 2]}
        assert list(store.checkpoints().items()) == [
            ("b", (20, {"test_loss": 0.1})),
            ("a", (100, {})),
        ]


def test_only_rows_of_the_newest_settings_are_given(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    write(path, row("a"), row("b"))
    with Store(path, write=True) as store:
        store.set_run(measures={"lyapunov": [1, {"steps": 99}]})
        assert list(store.rows()) == []
        store.put(row("a", settings={"steps": 99}, key="k"))
        store.put(row("a", revision=2, key="l"))
        assert [r.key for r in store.rows()] == ["k"]
        store.set_run(measures=MEASURES)
        assert [r.name for r in store.rows()] == ["a", "b"]


def test_a_result_belongs_to_the_weights_a_file_holds_at_present(
    tmp_path: Path,
) -> None:
    first, second = row(weights="v"), row(weights="w")
    with Store(tmp_path / "s.sqlite", write=True) as store:
        store.set_run(measures=MEASURES)
        store.put(first)
        store.put(second)
        assert store.done() == {first.key: set(), second.key: {"a"}}
        store.copy(first.key, "a")  # the file holds its first weights again
        assert store.done() == {first.key: {"a"}, second.key: set()}
        assert [r.key for r in store.rows()] == [second.key, first.key]


def test_a_copy_is_a_row_of_its_own(tmp_path: Path) -> None:
    made = row(arrays={"per_start": np.ones((2, 2))})
    with Store(tmp_path / "s.sqlite", write=True) as store:
        store.set_run(measures=MEASURES)
        store.put(made)
        store.copy(made.key, "b")
        found = {r.name: r for r in store.rows()}
    assert found["b"].scalars == found["a"].scalars
    np.testing.assert_array_equal(found["b"].arrays["per_start"], np.ones((2, 2)))


def test_a_failure_is_not_done_and_a_result_replaces_it(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite", write=True) as store:
        store.set_run(measures=MEASURES)
        store.put(Row("a", "checkpoint", "", status="failed", message="no"))
        store.put(row(status="failed", message="no"))
        assert store.done() == {}
        assert len(list(store.rows())) == 2
        store.forget_failure("a")
        store.put(row())
        assert [r.status for r in store.rows()] == ["done"]


def test_readers_read_while_a_writer_writes(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with Store(path, write=True) as writer:
        writer.set_run(measures=MEASURES)
        for name in "abc":
            writer.put(row(name))
            assert read(path)[-1].name == name


def test_a_second_writer_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with Store(path, write=True):
        message = refused(path, write=True)
        assert "another process is writing to this store" in message
    write(path, row())


KILLED = """
import sys, time
from pathlib import Path
from lstm_edge.store.rows import Row
from lstm_edge.store.store import Store
store = Store(Path(sys.argv[1]), write=True)
store.set_run(measures={"lyapunov": [1, {}]})
store.put(Row("a", "lyapunov", "k", 1))
store._connection.execute("BEGIN IMMEDIATE")
store._connection.execute("DELETE FROM results")
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX signals")
def test_a_killed_writer_leaves_its_rows_and_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        refused(path, write=True)
        process.send_signal(signal.SIGKILL)
    with Store(path, write=True) as store:
        assert [r.name for r in store.rows()] == ["a"]


def test_a_store_at_rest_is_one_file(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite", write=True) as store:
        store.put(Row("a", "lyapunov", "k", 1))
        assert {p.name for p in tmp_path.iterdir()} >= {"s.sqlite", "s.sqlite.lock"}
    with Store(tmp_path / "s.sqlite") as store:
        assert store.done() == {"k": {"a"}}
    assert [path.name for path in tmp_path.iterdir()] == ["s.sqlite"]


LOCKS = """
import sys, time
from pathlib import Path
from lstm_edge.errors import StoreError
from lstm_edge.locks import locked

path, count = Path(sys.argv[1]), Path(sys.argv[2])
taken, end = 0, time.monotonic() + 4
while time.monotonic() < end:
    try:
        with locked(path, StoreError("busy"), ValueError, ""):
            before = int(count.read_text())
            time.sleep(0.0005)
            count.write_text(str(before + 1))
            taken += 1
    except StoreError:
        pass
print(taken)
"""


def test_a_lock_that_removes_its_file_is_held_by_one(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("0")
    command = [sys.executable, "-c", LOCKS, str(tmp_path / "lock"), str(count)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    taken = [int(process.communicate()[0]) for process in running]
    assert min(taken) > 0
    assert int(count.read_text()) == sum(taken)
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


# what is refused


def test_no_store_there(tmp_path: Path) -> None:
    assert "no such store" in refused(tmp_path / "none.sqlite")
    assert "no such store" in refused(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [False, True])
def test_not_a_database(tmp_path: Path, write: bool) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database at all, but long enough to look like one\n" * 40)
    assert "expected an SQLite file; name another" in refused(path, write=write)


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("version", [0, 1, 7])
def test_a_database_of_another_program(
    tmp_path: Path, write: bool, version: int
) -> None:
    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE people (name TEXT)")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()
    assert "not written by lstm-edge" in refused(path, write=write)


@pytest.mark.parametrize("write_again", [False, True])
def test_a_newer_schema(tmp_path: Path, write_again: bool) -> None:
    path = tmp_path / "s.sqlite"
    write(path, row())
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA user_version = 9")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert "found 9; a newer lstm-edge wrote it, upgrade" in refused(
        path, write=write_again
    )


def test_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    write(path, *(row(f"{i}", arrays={"x": np.zeros(500)}) for i in range(50)))
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * 40_000 + whole[48_192:])
    assert "the file is damaged; rescue its rows" in refused(path)
    path.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in refused(path)


@pytest.mark.parametrize(
    ("column", "value"), [("arrays", b"\x07" * 20), ("scalars", "{")]
)
def test_a_damaged_row(tmp_path: Path, column: str, value: object) -> None:
    path = tmp_path / "s.sqlite"
    write(path, row())
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"UPDATE results SET {column} = ?", (value,))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    message = refused(path)
    assert "row of a" in message
    assert "the file is damaged" in message


def test_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    write(path, row("a"))
    with Store(path, write=True) as store:
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreError, match="the disk is full; free some space"):
            store.put(row("b", arrays={"x": np.zeros(100_000)}))
        store.put(row("c"))  # nothing half written, and it goes on
    assert [r.name for r in read(path)] == ["a", "c"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = refused(tmp_path / "file" / "s.sqlite", write=True)
    assert "expected a folder that can be written" in message
    assert "--out" in refused(tmp_path, write=True)


@pytest.fixture
def read_only(tmp_path: Path) -> Callable[[], Path]:
    """Make a folder read-only, which no one but root can undo."""
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        pytest.skip("root writes everywhere")

    def make() -> Path:
        for path in (*tmp_path.iterdir(), tmp_path):
            path.chmod(0o555 if path.is_dir() else 0o444)
        return tmp_path

    return make


def test_a_read_only_folder_is_read_but_not_written(
    tmp_path: Path, read_only: Callable[[], Path]
) -> None:
    path = tmp_path / "s.sqlite"
    write(path, row())
    folder = read_only()
    try:
        assert [r.name for r in read(path)] == ["a"]
        assert "can be written" in refused(path, write=True)
    finally:
        folder.chmod(0o755)


def test_an_empty_file_becomes_a_store_but_is_none_to_read(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.touch()
    assert "not written by lstm-edge" in refused(path)
    write(path, row())
    assert len(read(path)) == 1
