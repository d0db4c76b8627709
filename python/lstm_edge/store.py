"""The store: one SQLite file, a row for each measure of each checkpoint.

A row's key is a digest of (weights, measure, revision, settings, inputs): what is there
need not be computed again. Rows are committed one by one, so a killed sweep loses only
what was in flight. One process writes; any number read, at any time.
Every row of every table ends with a checksum of its columns.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lstm_edge.errors import StoreError
from lstm_edge.locking import lock
from lstm_edge.rows import (
    TYPES,
    Row,
    canonical,
    checksum,
    from_columns,
    is_number,
    parse,
    result_key,
    to_columns,
)

__all__ = ["Row", "Store", "result_key"]

SCHEMA = 2
"""Version of the tables below, in SQLite's user_version."""

_TABLES = """
CREATE TABLE run (
    name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL
);
CREATE TABLE checkpoints (
    name TEXT PRIMARY KEY, "update" INTEGER NOT NULL, metrics TEXT NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE TABLE results (
    name TEXT NOT NULL, measure TEXT NOT NULL, key TEXT NOT NULL,
    revision INTEGER NOT NULL, settings TEXT NOT NULL, status TEXT NOT NULL,
    message TEXT NOT NULL, scalars TEXT NOT NULL, arrays BLOB NOT NULL,
    seconds REAL NOT NULL, version TEXT NOT NULL, checksum INTEGER NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (name, key)
);
"""

_COLUMNS = f"{', '.join(TYPES)}, checksum"
_INSERT = (
    f"INSERT OR REPLACE INTO results ({_COLUMNS}) "
    f"VALUES ({', '.join('?' * (len(TYPES) + 1))})"
)

_AGAIN = "what was written before is kept; run the command again"
_DAMAGED = (
    "the file is damaged; rescue its rows with 'sqlite3 FILE .recover' or analyse into "
    "another file"
)
_ADVICE = {
    "not a database": "expected an SQLite file; name another file with --out",
    "malformed": _DAMAGED,
    "corrupt": _DAMAGED,
    "no such column": _DAMAGED,
    "unsupported file": _DAMAGED,
    "full": "the disk is full; free some space and run the command again",
    "readonly": "expected a folder and file that can be written; use --out",
    "unable to open": "expected a folder and file that can be written; use --out",
}
"""What to do, by a part of SQLite's message."""


class Store:
    """An open store.

    Parameters
    ----------
    path : Path
        The SQLite file.
    write : bool
        Open for writing, which makes the file where it is missing and keeps other
        writers out until `close`, or until the process ends in whatever way.

    Raises
    ------
    StoreError
        Saying what is wrong with the file and what to do; nothing is changed then.
    """

    def __init__(self, path: Path, *, write: bool = False) -> None:
        self.path = path
        with ExitStack() as stack, self._explained():
            if write:
                stack.enter_context(lock(path))
            self._connection = stack.enter_context(closing(_open(path, write)))
            self._prepare(write)
            self._resources = stack.pop_all()

    def _prepare(self, write: bool) -> None:
        """Make the tables in a new file, check those of another."""
        names = self._connection.execute("SELECT name FROM sqlite_master")
        tables = {name for (name,) in names}
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if write and not tables and version == 0:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.executescript(
                f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;"
            )
        else:
            self._check(tables, version)
            if write:
                self._check_pages()
        # a commit survives a killed process; WAL needs no more for that
        self._connection.execute("PRAGMA synchronous = NORMAL")

    def _check(self, tables: set[str], version: int) -> None:
        if not {"run", "checkpoints", "results"} <= tables:
            raise StoreError(
                f"{self.path}: expected a store, found a database that was not written "
                "by lstm-edge; name another file"
            )
        if version != SCHEMA:
            advice = (
                "a newer lstm-edge wrote it, upgrade to read it"
                if version > SCHEMA
                else "an older lstm-edge wrote it, analyse into another file"
            )
            raise StoreError(
                f"{self.path}: expected a store of schema {SCHEMA}, found {version}; "
                f"{advice}"
            )

    def _check_pages(self) -> None:
        """Refuse a file whose structure is damaged: rows could be missing from it."""
        found = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise self._damaged(str(found))

    def _damaged(self, what: object) -> StoreError:
        return StoreError(f"{self.path}: {_line(what)}; {_DAMAGED}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn SQLite's errors into ones that say what to do."""
        try:
            yield
        except (sqlite3.Error, UnicodeError, OverflowError) as error:
            text = _line(error)
            advice = next((a for part, a in _ADVICE.items() if part in text), _AGAIN)
            raise StoreError(f"{self.path}: {text}; {advice}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what is written inside, or nothing."""
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:  # commits, or rolls back
                yield self._connection

    def close(self) -> None:
        """Close the file and let other writers in."""
        self._resources.close()

    def __enter__(self) -> Store:
        """Return the store; leaving closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def set_run(self, **values: Any) -> None:
        """Keep facts about the whole run: settings, versions, source.

        ``measures`` maps each measure to its [revision, settings]: what `rows` gives.
        """
        with self._transaction() as connection:
            _insert_run(connection, values)

    def run(self) -> dict[str, Any]:
        """Facts about the whole run."""
        rows = self._checked("SELECT name, value, checksum FROM run ORDER BY name")
        return {str(name): self._parsed(name, value) for name, value in rows}

    def set_checkpoints(
        self, checkpoints: Mapping[str, tuple[int, Mapping[str, float]]]
    ) -> None:
        """Keep the update of each checkpoint, and what training said about it.

        They replace those of an earlier call; the results of these stay.
        """
        with self._transaction() as connection:
            _insert_checkpoints(connection, checkpoints)

    def checkpoints(self) -> dict[str, tuple[int, dict[str, float]]]:
        """Name to (update, metrics), in ascending order of update."""
        found = {}
        for name, update, text in self._checked(
            'SELECT name, "update", metrics, checksum FROM checkpoints '
            'ORDER BY "update", name'
        ):
            metrics = self._parsed(name, text, dict)
            numbers = all(map(is_number, (update, *metrics.values())))
            if type(name) is not str or type(update) is not int or not numbers:
                raise self._damaged(f"checkpoint {name}: expected numbers")
            found[name] = update, metrics
        return found

    def _checked(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Give rows without the checksum that ends them, once it is found right."""
        with self._explained():
            for *columns, expected in self._connection.execute(query, values):
                if checksum(columns) != expected:
                    raise self._damaged(f"row of {columns[0]}: wrong checksum")
                yield tuple(columns)

    def _parsed(self, name: object, text: Any, expected: type = object) -> Any:
        try:
            return parse(text, expected)
        except ValueError as error:
            raise self._damaged(f"row of {name}: {error}") from error

    def done(self) -> dict[str, set[str]]:
        """Key to the names of the checkpoints whose result it is at present.

        The results of weights that a file held before are kept, but not its own.
        """
        found: dict[str, set[str]] = {}
        with self._explained():
            for key, name, newest in self._connection.execute(
                "SELECT key, name, newest FROM (SELECT key, name, status, rowid = "
                "max(rowid) OVER (PARTITION BY name, measure, revision, settings) "
                "AS newest FROM results) WHERE status = 'done'"
            ):
                names = found.setdefault(key, set())
                names |= {name} if newest else set()
        return found

    def put(self, row: Row, version: str) -> None:
        """Commit a row; a failure of the same checkpoint's measure is forgotten."""
        with self._transaction():
            self._insert(to_columns(row, version))

    def copy(self, key: str, name: str) -> None:
        """Give a checkpoint the result that is there for weights like its own."""
        with self._transaction():
            for columns in self._checked(
                f"SELECT {_COLUMNS} FROM results WHERE key = ? AND status = 'done' "
                "LIMIT 1",
                key,
            ):
                self._insert((name, *columns[1:]))

    def _insert(self, columns: tuple[Any, ...]) -> None:
        self._forget_failures(*columns[:2])
        self._connection.execute(_INSERT, (*columns, checksum(columns)))

    def forget_failure(self, name: str) -> None:
        """Drop the row that says that a file could not be read: it can now."""
        with self._explained():
            self._forget_failures(name, "checkpoint")

    def _forget_failures(self, name: str, measure: str) -> None:
        self._connection.execute(
            "DELETE FROM results WHERE name = ? AND measure = ? AND status = 'failed'",
            (name, measure),
        )

    def rows(self) -> Iterator[Row]:
        """Give the rows of the newest sweep, oldest first.

        They are those with the revision and settings that ``run()["measures"]`` names,
        so that numbers made in different ways never stand in one table; and those of
        files that could not be read. Other rows stay in the store, for when their
        settings are asked for again. Where no sweep was named, all rows are given.
        """
        newest = self._newest()
        with self._explained():
            self._check_pages()
        for columns in self._checked(f"SELECT {_COLUMNS} FROM results ORDER BY rowid"):
            if newest is None or (columns[1], *columns[3:5]) in newest:
                yield self._row(columns)

    def _newest(self) -> set[tuple[str, int, str]] | None:
        """Measure, revision and settings of what `rows` gives; None for all."""
        measures = self.run().get("measures")
        if measures is None:
            return None
        try:
            return {("checkpoint", 0, "{}")} | {
                (name, revision, canonical(settings))
                for name, (revision, settings) in measures.items()
            }
        except (AttributeError, TypeError, ValueError, RecursionError) as error:
            raise self._damaged(f"measures: {error}") from error

    def arrays(self, name: str, key: str) -> Mapping[str, NDArray[Any]]:
        """Arrays of one row.

        Raises
        ------
        StoreError
            The row is not there any more.
        """
        query = f"SELECT {_COLUMNS} FROM results WHERE name = ? AND key = ?"
        for columns in self._checked(query, name, key):
            return self._row(columns).arrays
        raise StoreError(
            f"{self.path}: expected a row of {name} that was there before, found none; "
            "read the store again"
        )

    def _row(self, columns: tuple[Any, ...]) -> Row:
        try:
            return from_columns(columns)
        except ValueError as error:
            raise self._damaged(f"row of {columns[0]}: {error}") from error


def _insert_run(connection: sqlite3.Connection, values: Mapping[str, Any]) -> None:
    rows = [(name, canonical(value)) for name, value in values.items()]
    connection.executemany(
        "INSERT OR REPLACE INTO run VALUES (?, ?, ?)",
        [(*row, checksum(row)) for row in rows],
    )


def _insert_checkpoints(
    connection: sqlite3.Connection,
    checkpoints: Mapping[str, tuple[int, Mapping[str, float]]],
) -> None:
    rows = [
        (name, update, json.dumps(dict(metrics)))
        for name, (update, metrics) in checkpoints.items()
    ]
    connection.execute("DELETE FROM checkpoints")
    connection.executemany(
        "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?)",
        [(*row, checksum(row)) for row in rows],
    )


def _line(text: object) -> str:
    """Bring a message to one line of bounded length."""
    return " ".join(str(text).split())[:300]


def _open(path: Path, write: bool) -> sqlite3.Connection:
    """Connect; a reader also where nothing can be written, as on an archive's disk."""
    if not write and not path.is_file():
        raise StoreError(
            f"{path}: no such store; expected the SQLite file that 'lstm-edge analyze' "
            "writes"
        )
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        # a store at rest is one file, and complete; beside a journal it may not be
        at_rest = not path.with_name(path.name + "-wal").exists()
        if write or "readonly" not in str(error) or not at_rest:
            raise
        uri = f"{path.absolute().as_uri()}?immutable=1"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    except BaseException:
        connection.close()
        raise
    return connection
