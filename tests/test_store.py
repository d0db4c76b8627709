"""The store keeps every bit, lets one writer in, and destroys nothing."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lstm_edge.errors import StoreError
from lstm_edge.store import SCHEMA, Row, Store, result_key

ROW = Row(
    name="update-1",
    measure="lyapunov",
    key="k",
    revision=3,
    settings={"k": 2},
    scalars={"low": -math.inf, "none": math.nan, "third": 1 / 3, "phase": "edge"},
    arrays={"per_start": np.array([[1 / 3, -np.inf], [5e-324, np.nan]])},
    seconds=0.25,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "analysis.sqlite"


def test_a_row_comes_back_bit_for_bit(path: Path) -> None:
    with Store(path, write=True) as store:
        store.put(ROW, "0")
    with Store(path) as store:
        (found,) = store.rows()
    assert repr(found.scalars) == repr(ROW.scalars)
    assert found.arrays["per_start"].tobytes() == ROW.arrays["per_start"].tobytes()
    assert (found.settings, found.revision, found.seconds) == ({"k": 2}, 3, 0.25)


def test_the_key_depends_on_all_that_determines_a_result() -> None:
    base = ("weights", "lyapunov", 1, {"k": 2, "steps": 9}, "inputs")
    others = [
        ("other", *base[1:]),
        ("weights", "distance", *base[2:]),
        (*base[:2], 2, *base[3:]),
        (*base[:3], {"k": 3, "steps": 9}, "inputs"),
        (*base[:4], "zero"),
    ]
    keys = {result_key(*base), *(result_key(*other) for other in others)}
    assert len(keys) == 6
    assert result_key(*base[:3], {"steps": 9, "k": 2}, "inputs") == result_key(*base)


def test_a_second_writer_is_refused_and_a_reader_is_not(path: Path) -> None:
    with Store(path, write=True) as store:
        store.put(ROW, "0")
        with pytest.raises(StoreError, match="another process is writing"):
            Store(path, write=True)
        with Store(path) as reader:
            assert len(list(reader.rows())) == 1
    Store(path, write=True).close()


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_writer_leaves_its_rows_and_no_lock(path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from lstm_edge.store import Row, Store
store = Store(Path({str(path)!r}), write=True)
store.put(Row("a", "m", "k"), "0")
print("written", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    with Store(path, write=True) as store:
        assert [row.name for row in store.rows()] == ["a"]


def test_a_success_replaces_the_failure_before_it(path: Path) -> None:
    failed = Row("update-1", "lyapunov", "", status="failed", message="why")
    with Store(path, write=True) as store:
        store.put(failed, "0")
        store.put(ROW, "0")
        assert [row.status for row in store.rows()] == ["done"]


def test_a_missing_store_is_said(path: Path) -> None:
    with pytest.raises(StoreError, match="no such store"):
        Store(path)


@pytest.mark.parametrize("write", [True, False])
def test_a_text_file_is_no_store_and_stays_as_it_is(path: Path, write: bool) -> None:
    path.write_text("update,loss\n" * 99)
    with pytest.raises(StoreError, match=r"not a database.*--out"):
        Store(path, write=write)
    assert path.read_text() == "update,loss\n" * 99


def test_a_foreign_database_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(StoreError, match="not written by lstm-edge"):
        Store(path, write=True)


def test_a_newer_schema_is_refused(path: Path) -> None:
    Store(path, write=True).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    with pytest.raises(StoreError, match="upgrade lstm-edge"):
        Store(path, write=True)


def test_a_damaged_store_is_said(path: Path) -> None:
    with Store(path, write=True) as store:
        for i in range(200):
            store.put(Row(f"c{i}", "m", f"k{i}", message="x" * 500), "0")
    damaged = bytearray(path.read_bytes())
    damaged[8192:40960] = b"\xff" * (40960 - 8192)
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match="damaged"), Store(path) as store:
        list(store.rows())


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(tmp_path / "file" / "analysis.sqlite", write=True)


def test_a_full_disk_is_said_and_the_rows_before_it_are_kept(path: Path) -> None:
    with Store(path, write=True) as store:
        store.put(ROW, "0")
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        large = Row("large", "m", "l", arrays={"x": np.zeros(100_000)})
        with pytest.raises(StoreError, match="disk is full"):
            store.put(large, "0")
        store._connection.execute("PRAGMA max_page_count = 100000")
        store.put(large, "0")
        assert [row.name for row in store.rows()] == ["update-1", "large"]
