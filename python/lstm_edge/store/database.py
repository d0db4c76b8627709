"""The file of a store: opened, locked, checked, its errors explained.

Every row of every table ends with a checksum of its columns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from lstm_edge.errors import StoreError
from lstm_edge.locks import locked
from lstm_edge.store.rows import checksum

_Self = TypeVar("_Self", bound="Database")

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


def _only_writer(path: Path) -> AbstractContextManager[None]:
    """Keep other writers out; the system ends this with the process."""
    busy = StoreError(
        f"{path}: another process is writing to this store; wait for it, or write to "
        "another file with --out"
    )
    advice = (
        "expected a folder that can be written, on a disk that supports locks; name "
        "another one with --out"
    )
    return locked(path.with_name(f"{path.name}.lock"), busy, StoreError, advice)


class Database:
    """An open store, as a file.

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
        if write and (path.is_dir() or not path.name):
            raise StoreError(
                f"{path}: expected the name of a file, found a folder; use --out"
            )
        with ExitStack() as stack, self._explained():
            if write:
                stack.enter_context(_only_writer(path))
            self._connection = stack.enter_context(closing(_open(path, write)))
            self._prepare(write)
            self._resources = stack.pop_all()

    def _prepare(self, write: bool) -> None:
        """Make the tables in a new file, check those of another."""
        tables = self._connection.execute("SELECT name FROM sqlite_master")
        made = {str(name) for (name,) in tables}
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if write and not made and version == 0:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.executescript(
                f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;"
            )
        else:
            self._check(made, version)
            if write:
                # a copy that SQLite made, or rescued rows, have another journal
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._check_pages()
        # a commit survives a killed process; WAL needs no more for that
        self._connection.execute("PRAGMA synchronous = NORMAL")

    def _check(self, made: set[str], version: int) -> None:
        """Refuse what is no store of this schema."""
        if not made >= {"run", "checkpoints", "results"}:
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
        with self._explained():
            query = "PRAGMA integrity_check(1)"
            if (found := self._connection.execute(query).fetchone()[0]) != "ok":
                self._refuse(found)

    def _refuse(self, what: object) -> NoReturn:
        raise StoreError(f"{self.path}: {_line(what)}; {_DAMAGED}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn SQLite's errors into ones that say what to do."""
        try:
            yield
        except (sqlite3.Error, UnicodeError, OverflowError, MemoryError) as error:
            text = _line(error) or "the file asks for more memory than there is"
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

    def __enter__(self: _Self) -> _Self:
        """Return the store; leaving closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one state of the store throughout, whatever is written meanwhile."""
        with self._explained():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.rollback()

    def _checked(
        self, query: str, values: Iterable[object], types: Iterable[type]
    ) -> Iterator[tuple[Any, ...]]:
        """Give rows without the checksum that ends them, once it is found right."""
        expected = tuple(types)
        with self._explained():
            for *columns, found in self._connection.execute(query, tuple(values)):
                if found != checksum(columns) or expected != (*map(type, columns),):
                    self._refuse(f"row of {columns[0]}: wrong checksum")
                yield tuple(columns)


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
        # no word of a read-only disk where a reader's own index could not be made
        barred = any(part in str(error) for part in ("readonly", "unable to open"))
        if write or not barred or not at_rest:
            raise
        uri = f"{path.absolute().as_uri()}?immutable=1"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    except BaseException:
        connection.close()
        raise
    return connection
