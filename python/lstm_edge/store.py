"""The store: one SQLite file, a row for each measure of each checkpoint.

A row's key is a digest of (weights, measure, revision, settings, inputs): what is there
need not be computed again. Rows are committed one by one, so a killed sweep loses only
what was in flight. One process writes; any number read, at any time.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from lstm_edge.errors import StoreError
from lstm_edge.locks import take

SCHEMA = 1
"""Version of the tables below, in SQLite's user_version."""

_TABLES = """
CREATE TABLE run (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE checkpoints (
    name TEXT PRIMARY KEY, "update" INTEGER NOT NULL, metrics TEXT NOT NULL
);
CREATE TABLE results (
    name TEXT NOT NULL, measure TEXT NOT NULL, key TEXT NOT NULL,
    revision INTEGER NOT NULL, settings TEXT NOT NULL, status TEXT NOT NULL,
    message TEXT NOT NULL, scalars TEXT NOT NULL, arrays BLOB NOT NULL,
    seconds REAL NOT NULL, version TEXT NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (name, key)
);
"""

_COLUMNS = (
    "name, measure, key, revision, settings, status, message, scalars, arrays, seconds"
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
    "full": "the disk is full; free some space and run the command again",
    "readonly": "expected a folder and file that can be written; use --out",
    "unable to open": "expected a folder and file that can be written; use --out",
}
"""What to do, by a part of SQLite's message."""


@dataclass(frozen=True)
class Row:
    """One measure of one checkpoint.

    Attributes
    ----------
    name : str
        The checkpoint.
    measure : str
        The measure; "checkpoint" in the row of a file that could not be read.
    key : str
        Digest of all that determines the result.
    revision : int
    settings : dict
    status : {"done", "failed"}
    message : str
        Why it failed.
    scalars : dict
        Numbers, strings and lists of numbers; -inf and NaN survive.
    arrays : dict of str to ndarray
    seconds : float
        What it took.
    """

    name: str
    measure: str
    key: str
    revision: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    status: str = "done"
    message: str = ""
    scalars: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    seconds: float = 0.0


def result_key(
    weights: str, measure: str, revision: int, settings: Mapping[str, Any], inputs: str
) -> str:
    """Digest of everything that determines a result.

    Parameters
    ----------
    weights, inputs : str
        Digests of the weights and of the inputs.
    measure, revision, settings
        What is computed from them.
    """
    text = _canonical([weights, measure, revision, dict(settings), inputs])
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> str:
    """JSON by which equal settings are equal texts; numpy's numbers are numbers."""
    return json.dumps(value, sort_keys=True, default=lambda v: v.tolist())


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
                stack.enter_context(_lock(path))
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
        # a commit survives a killed process; WAL needs no more for that
        self._connection.execute("PRAGMA synchronous = NORMAL")

    def _check(self, tables: set[str], version: int) -> None:
        if not {"run", "checkpoints", "results"} <= tables:
            raise StoreError(
                f"{self.path}: expected a store, found a database that was not written "
                "by lstm-edge; name another file"
            )
        if version != SCHEMA:
            raise StoreError(
                f"{self.path}: expected a store of schema {SCHEMA}, found {version}; "
                "a newer one wrote it, upgrade lstm-edge to read it"
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn SQLite's errors into ones that say what to do."""
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
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
            connection.executemany(
                "INSERT OR REPLACE INTO run VALUES (?, ?)",
                [(name, _canonical(value)) for name, value in values.items()],
            )

    def run(self) -> dict[str, Any]:
        """Facts about the whole run."""
        with self._explained():
            rows = self._connection.execute("SELECT name, value FROM run")
            return {name: json.loads(value) for name, value in rows}

    def set_checkpoints(
        self, checkpoints: Mapping[str, tuple[int, Mapping[str, float]]]
    ) -> None:
        """Keep the update of each checkpoint, and what training said about it.

        They replace those of an earlier call; the results of these stay.
        """
        with self._transaction() as connection:
            connection.execute("DELETE FROM checkpoints")
            connection.executemany(
                "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?)",
                [
                    (name, update, json.dumps(dict(metrics)))
                    for name, (update, metrics) in checkpoints.items()
                ],
            )

    def checkpoints(self) -> dict[str, tuple[int, dict[str, float]]]:
        """Name to (update, metrics), in ascending order of update."""
        with self._explained():
            rows = self._connection.execute(
                'SELECT name, "update", metrics FROM checkpoints '
                'ORDER BY "update", name'
            )
            return {name: (update, json.loads(text)) for name, update, text in rows}

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
        with self._transaction() as connection:
            self._forget_failures(row.name, row.measure)
            connection.execute(
                f"INSERT OR REPLACE INTO results ({_COLUMNS}, version) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    row.name,
                    row.measure,
                    row.key,
                    row.revision,
                    _canonical(row.settings),
                    row.status,
                    row.message,
                    json.dumps(row.scalars),
                    safetensors.numpy.save(
                        {k: np.ascontiguousarray(v) for k, v in row.arrays.items()}
                    ),
                    row.seconds,
                    version,
                ),
            )

    def copy(self, key: str, name: str) -> None:
        """Give a checkpoint the result that is there for weights like its own."""
        columns = _COLUMNS.removeprefix("name, ") + ", version"
        with self._transaction() as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO results (name, {columns}) "
                f"SELECT ?, {columns} FROM results WHERE key = ? AND status = 'done' "
                "LIMIT 1",
                (name, key),
            )

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
        measures = self.run().get("measures")
        newest = {("checkpoint", 0, "{}")} | {
            (name, revision, _canonical(settings))
            for name, (revision, settings) in (measures or {}).items()
        }
        with self._explained():
            for columns in self._connection.execute(
                f"SELECT {_COLUMNS} FROM results ORDER BY rowid"
            ):
                if measures is None or (columns[1], *columns[3:5]) in newest:
                    yield self._row(columns)

    def _row(self, columns: tuple[Any, ...]) -> Row:
        found = dict(zip(_COLUMNS.split(", "), columns, strict=True))
        try:
            found["settings"] = json.loads(found["settings"])
            found["scalars"] = json.loads(found["scalars"])
            found["arrays"] = safetensors.numpy.load(found["arrays"])
        except (ValueError, TypeError, SafetensorError) as error:
            raise StoreError(
                f"{self.path}: row of {found['name']}: {error}; {_DAMAGED}"
            ) from error
        return Row(**found)


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


def _lock(path: Path) -> IO[bytes]:
    """Hold the one writer's lock beside the store; the system frees it at our end."""
    beside = path.with_name(path.name + ".lock")
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        file = beside.open("ab")
    except OSError as error:
        raise StoreError(
            f"{beside}: cannot be written ({error.strerror}); expected a folder that "
            "can be written, name another one with --out"
        ) from error
    try:
        take(file)
    except (BlockingIOError, PermissionError) as error:
        file.close()
        raise StoreError(
            f"{path}: another process is writing to this store; wait for it, or "
            "write to another file with --out"
        ) from error
    except OSError as error:
        file.close()
        raise StoreError(
            f"{beside}: cannot be locked ({error.strerror}); expected a disk that "
            "supports locks, name another one with --out"
        ) from error
    return file
