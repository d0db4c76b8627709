"""Merged stores hold all there is, once, in whatever order they are given."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import lstm_edge
from lstm_edge import StoreError, UsageError, analyze, merge_stores
from lstm_edge.cli import main
from lstm_edge.store.rows import Row
from lstm_edge.store.store import Store

QUICK = {
    "lyapunov": {"steps": 40, "transient": 20, "starts": 3},
    "attractors": {"steps": 200, "transient": 20, "starts": 3, "limit": 400},
    "distance": {"steps": 50, "samples": 4},
}
MakeRun = Callable[..., Path]


def dump(path: Path) -> list[Any]:
    """All that a store holds, in the order in which it is read."""
    connection = sqlite3.connect(path)
    found = [
        connection.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
        for table, order in (
            ("run", "name"),
            ("checkpoints", "name"),
            ("results", "rowid"),
        )
    ]
    connection.close()
    return found


def halves(run: Path, folder: Path) -> tuple[Path, Path]:
    """Analyse the two halves of a run apart."""
    a, b = folder / "a.sqlite", folder / "b.sqlite"
    analyze(run, out=a, settings=QUICK, select=lambda file: file.update % 20 == 0)
    analyze(run, out=b, settings=QUICK, select=lambda file: file.update % 20 != 0)
    return a, b


def test_two_halves_of_a_run_are_the_whole(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(6)
    whole = analyze(run, settings=QUICK)
    a, b = halves(run, tmp_path)
    before = a.read_bytes(), b.read_bytes()
    merged = merge_stores([a, b], tmp_path / "c.sqlite")
    assert (a.read_bytes(), b.read_bytes()) == before
    assert merged.names == whole.names
    for name, column in whole.table.items():
        np.testing.assert_array_equal(merged.table[name], column)
    assert merged.run == whole.run
    assert merged.checkpoints == whole.checkpoints
    assert merged.rows.keys() == whole.rows.keys()
    for place, row in whole.rows.items():
        other = merged.rows[place]
        assert repr(other.scalars) == repr(row.scalars)
        assert (other.key, other.version) == (row.key, row.version)
        for name, array in row.arrays.items():
            np.testing.assert_array_equal(other.arrays[name], array)


def test_after_a_merge_nothing_is_left_to_compute(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run(4)
    out = tmp_path / "c.sqlite"
    merge_stores(halves(run, tmp_path), out)
    before = dump(out)[2]
    analyze(run, out=out, settings=QUICK)
    assert dump(out)[2] == before


def test_a_merge_is_the_same_again_and_in_any_order(
    make_run: MakeRun, tmp_path: Path
) -> None:
    a, b = halves(make_run(4), tmp_path)
    there, back = tmp_path / "ab.sqlite", tmp_path / "ba.sqlite"
    merge_stores([a, b], there)
    merge_stores([b, a], back)
    assert dump(there) == dump(back)
    merge_stores([b], there)
    merge_stores([back, a, a], there)
    assert dump(there) == dump(back)


def test_a_failure_is_kept_where_no_store_has_a_result(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run(3)
    files = sorted((run / "checkpoints").iterdir())
    whole = files[1].read_bytes()
    for file in files[1:]:
        file.write_bytes(b"")
    first = analyze(run, out=tmp_path / "a.sqlite", settings=QUICK)
    files[1].write_bytes(whole)
    second = analyze(run, out=tmp_path / "b.sqlite", settings=QUICK)
    merged = merge_stores([first.path, second.path], tmp_path / "c.sqlite")
    assert [name for name, _ in merged.failed] == [files[2].name]
    assert merged.names == [files[0].name, files[1].name]


# synthetic stores: any part of one sweep

NAMES = "abc"
SETTINGS = ({"steps": 1}, {"steps": 2})


def part(path: Path, rows: list[tuple[str, str, int, bool, int, float]]) -> Path:
    """Write a store of rows: name, measure, settings, failed, second, value."""
    with Store(path, write=True) as store:
        store.set_run(measures={m: [1, SETTINGS[0]] for m in "xy"}, source=path.stem)
        store.set_checkpoints({n: (ord(n), {measure: 1.0}) for n, measure, *_ in rows})
        for name, measure, which, failed, _, value in rows:
            key = f"{name} {measure} {which}"
            row = Row(name, measure, key, 1, SETTINGS[which], scalars={"v": value})
            if failed and which:
                row = Row(name, "checkpoint", "", status="failed", message="no")
            elif failed:
                row = Row(name, measure, key, 1, SETTINGS[which], "failed", "no")
            store.put(row)
    connection = sqlite3.connect(path)
    for name, measure, which, _, second, _ in rows:
        connection.execute(
            "UPDATE results SET created = ? WHERE key = ?",
            (f"2026-01-01 00:00:0{second}", f"{name} {measure} {which}"),
        )
    connection.commit()
    connection.close()
    return path


parts = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from("xy"),
        st.integers(0, 1),
        st.booleans(),
        st.integers(0, 2),
        st.sampled_from([0.0, 1.0]),
    ),
    max_size=6,
)


@given(parts, parts, parts)
@settings(max_examples=25, deadline=None)
def test_merging_is_a_union(
    tmp_path_factory: pytest.TempPathFactory, x: Any, y: Any, z: Any
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    a, b, c = (
        part(folder / f"{n}.sqlite", p) for n, p in zip("abc", (x, y, z), strict=True)
    )

    def merged(name: str, *stores: Path) -> Path:
        return merge_stores(stores, folder / name).path

    ab = merged("ab", a, b)
    assert dump(ab) == dump(merged("ba", b, a))
    assert dump(merged("aa", a, a)) == dump(merged("a_", a))
    assert dump(merged("aba", ab, a)) == dump(merged("ab_", ab, b)) == dump(ab)
    abc = merged("abc", ab, c)
    assert dump(abc) == dump(merged("bc_a", merged("bc", b, c), a))
    assert dump(abc) == dump(merged("cba", c, b, a))
    # nothing lost but failures that another store has a result for, nothing doubled
    rows = {(row[0], row[2]): row for row in dump(abc)[2]}
    assert len(rows) == len(dump(abc)[2])
    for store in (a, b, c):
        for row in dump(store)[2]:
            if row[5] == "done":
                assert rows[row[0], row[2]][5] == "done"
        assert {row[0] for row in dump(store)[1]} <= {row[0] for row in dump(abc)[1]}


# what is refused

ROW = ("a", "x", 0, False, 0, 1.0)


def refused(*stores: Path, out: Path) -> str:
    """Return why, having checked that nothing was changed or made."""
    files = [*stores, out]
    before = [file.read_bytes() if file.is_file() else None for file in files]
    with pytest.raises((StoreError, UsageError)) as caught:
        merge_stores(stores, out)
    assert [f.read_bytes() if f.is_file() else None for f in files] == before
    message = str(caught.value)
    assert "\n" not in message
    return message


def changed(path: Path, change: Callable[[Store], None]) -> Path:
    with Store(path, write=True) as store:
        change(store)
    return path


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda store: store.set_run(measures={"x": [1, {"steps": 7}]}),
            "expected the measures and settings of",
        ),
        (
            lambda store: store.set_run(measures={m: [1, {"steps": 7}] for m in "xy"}),
            "found x steps 7 instead of 1; analyse both with the same settings",
        ),
        (
            lambda store: store.set_run(measures={m: [2, SETTINGS[0]] for m in "xy"}),
            "found x 2 instead of 1",
        ),
        (
            lambda store: store.set_checkpoints({"a": (98, {})}),
            "for checkpoint a the update and metrics",
        ),
        (
            lambda store: store.set_checkpoints({"a": (97, {"x": 2.0})}),
            "found x 2.0 instead of 1.0; only parts of one sweep can be merged",
        ),
        (
            lambda store: store.put(Row("a", "x", "other", 1, SETTINGS[0])),
            "for checkpoint a the weights",
        ),
    ],
)
def test_parts_of_different_sweeps_are_refused(
    tmp_path: Path, change: Callable[[Store], None], told: str
) -> None:
    a = part(tmp_path / "a.sqlite", [ROW])
    b = changed(part(tmp_path / "b.sqlite", [ROW]), change)
    message = refused(a, b, out=tmp_path / "new.sqlite")
    assert told in message
    assert str(a) in message
    assert str(b) in message
    assert not (tmp_path / "new.sqlite").exists()
    assert str(b) in refused(b, out=a)


def test_a_source_is_never_written_to(tmp_path: Path) -> None:
    a, b = part(tmp_path / "a.sqlite", [ROW]), part(tmp_path / "b.sqlite", [])
    message = refused(a, b, out=tmp_path / "." / "a.sqlite")
    assert "expected another file than those merged" in message
    assert "found none" in refused(out=a)


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    a = part(tmp_path / "a.sqlite", [ROW])
    notes = tmp_path / "notes.txt"
    notes.write_text("no database at all, but long enough to look like one\n" * 40)
    assert "expected an SQLite file" in refused(a, notes, out=tmp_path / "c.sqlite")
    assert "expected an SQLite file" in refused(a, out=notes)
    assert "no such store" in refused(a, tmp_path / "b", out=tmp_path / "c.sqlite")
    newer = part(tmp_path / "newer.sqlite", [ROW])
    connection = sqlite3.connect(newer, isolation_level=None)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    assert "found 9; a newer" in refused(a, newer, out=tmp_path / "c.sqlite")
    assert not (tmp_path / "c.sqlite").exists()


def test_a_store_that_is_written_to_can_be_merged_but_not_merged_into(
    tmp_path: Path,
) -> None:
    a, b = part(tmp_path / "a.sqlite", [ROW]), part(tmp_path / "b.sqlite", [])
    with Store(b, write=True):
        assert ("a", "x") in merge_stores([a, b], tmp_path / "c.sqlite").rows
        with pytest.raises(StoreError, match="another process is writing"):
            merge_stores([a], b)


def test_a_merge_that_stops_midway_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = part(tmp_path / "a.sqlite", [ROW, ("b", "y", 0, False, 0, 1.0)])
    out = part(tmp_path / "out.sqlite", [ROW])
    before = dump(out)
    insert = Store._insert

    def fail(self: Store, columns: Any, created: Any = None) -> None:
        insert(self, columns, created)
        if columns[0] == "b":
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "_insert", fail)
    with pytest.raises(KeyboardInterrupt):
        merge_stores([a], out)
    monkeypatch.undo()
    assert dump(out) == before
    merge_stores([a], out)
    assert len(dump(out)[2]) == 2


def test_the_command_says_where(make_run: MakeRun, tmp_path: Path) -> None:
    a, b = halves(make_run(4), tmp_path)
    out = tmp_path / "whole.sqlite"
    done = CliRunner().invoke(main, ["merge", str(a), str(b), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert f"results: {out} (4 checkpoints)" in done.output
    told = CliRunner().invoke(main, ["merge", str(a), "-o", str(out), "--json"])
    expected = {"event": "summary", **lstm_edge.open_sweep(out).summary()}
    assert json.loads(told.output) == expected
    wrong = CliRunner().invoke(main, ["merge", str(a), "-o", str(a)])
    assert wrong.exit_code == 2
    missing = CliRunner().invoke(main, ["merge", str(a), "no.sqlite", "-o", str(out)])
    assert missing.exit_code == 1
