"""The store: one SQLite file, a row for each measure of each checkpoint.

A row's key is a digest of (weights, measure, revision, settings, inputs): what is there
need not be computed again. Rows are committed one by one, so a killed sweep loses only
what was in flight. One process writes; any number read, at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from lstm_edge.errors import StoreError

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
    parts = [weights, measure, revision, dict(settings), inputs]
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


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
        self._lock = _lock(path) if write else None
        try:
            with self._explained():
                self._connection = self._connect(write)
        except StoreError:
            self._unlock()
            raise

    def _connect(self, write: bool) -> sqlite3.Connection:
        if not write and not self.path.is_file():
            raise StoreError(
                f"{self.path}: no such store; expected the SQLite file that "
                "'lstm-edge analyze' writes"
            )
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if version == 0 and tables[0] == 0 and write:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(
                    f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;"
                )
            elif version != SCHEMA:
                raise StoreError(
                    f"{self.path}: expected a store of schema {SCHEMA}, found "
                    f"{version}; "
                    + (
                        "upgrade lstm-edge to read it"
                        if version > SCHEMA
                        else "it was not written by lstm-edge, name another file"
                    )
                )
            # a commit survives a killed process; WAL needs no more for that
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn SQLite's errors into ones that say what to do."""
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            if "not a database" in text:
                advice = "expected an SQLite file; name another file with --out"
            elif "malformed" in text or "corrupt" in text:
                advice = (
                    "the file is damaged; rescue its rows with 'sqlite3 FILE .recover' "
                    "or analyse into another file"
                )
            elif "full" in text:
                advice = "the disk is full; free some space and run the command again"
            elif "readonly" in text or "unable to open" in text:
                advice = "expected a folder and file that can be written; use --out"
            else:
                advice = "what was written before is kept; run the command again"
            raise StoreError(f"{self.path}: {text}; {advice}") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.rollback()
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file and let other writers in."""
        self._connection.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Store:
        """Return the store; leaving closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def set_run(self, **values: Any) -> None:
        """Keep facts about the whole run: settings, versions, source."""
        with self._explained():
            self._connection.executemany(
                "INSERT OR REPLACE INTO run VALUES (?, ?)",
                [(name, json.dumps(value)) for name, value in values.items()],
            )

    def run(self) -> dict[str, Any]:
        """Facts about the whole run."""
        with self._explained():
            rows = self._connection.execute("SELECT name, value FROM run")
            return {name: json.loads(value) for name, value in rows}

    def set_checkpoints(
        self, checkpoints: Mapping[str, tuple[int, Mapping[str, float]]]
    ) -> None:
        """Keep the update of each checkpoint, and what training said about it."""
        with self._transaction():
            self._connection.executemany(
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
        """Key to the names of the checkpoints that have its result."""
        found: dict[str, set[str]] = {}
        with self._explained():
            for key, name in self._connection.execute(
                "SELECT key, name FROM results WHERE status = 'done'"
            ):
                found.setdefault(key, set()).add(name)
        return found

    def put(self, row: Row, version: str) -> None:
        """Commit a row; a failure of the same checkpoint's measure is forgotten."""
        with self._transaction():
            self._forget_failures(row.name, row.measure)
            self._connection.execute(
                "INSERT OR REPLACE INTO results (name, measure, key, revision, "
                "settings, status, message, scalars, arrays, seconds, version)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    row.name,
                    row.measure,
                    row.key,
                    row.revision,
                    json.dumps(row.settings, sort_keys=True, default=str),
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
        """Give a checkpoint the result that another one with the same weights has."""
        columns = (
            "measure, key, revision, settings, status, message, scalars, arrays, "
            "seconds, version"
        )
        with self._explained():
            self._connection.execute(
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

    def rows(self, measure: str | None = None) -> Iterator[Row]:
        """All rows, or those of one measure, oldest first."""
        with self._explained():
            for row in self._connection.execute(
                "SELECT name, measure, key, revision, settings, status, message, "
                "scalars, arrays, seconds FROM results "
                "WHERE measure = coalesce(?, measure) ORDER BY created, rowid",
                (measure,),
            ):
                name, measure, key, revision, settings, status, message = row[:7]
                yield Row(
                    name=name,
                    measure=measure,
                    key=key,
                    revision=revision,
                    settings=json.loads(settings),
                    status=status,
                    message=message,
                    scalars=json.loads(row[7]),
                    arrays=safetensors.numpy.load(row[8]),
                    seconds=row[9],
                )


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
        _take(file)
    except OSError as error:
        file.close()
        raise StoreError(
            f"{path}: another process is writing to this store; wait for it, or "
            "write to another file with --out"
        ) from error
    return file


def _take(file: IO[bytes]) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        return
    import fcntl

    with suppress(InterruptedError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
