"""The store: one SQLite file, a row for each measure of each checkpoint.

A row's key is a digest of (weights, measure, revision, settings, inputs): what is there
need not be computed again. Rows are committed one by one, so a killed sweep loses only
what was in flight. One process writes; any number read, at any time.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from lstm_edge.errors import StoreError
from lstm_edge.store.database import Database
from lstm_edge.store.rows import (
    TYPES,
    Row,
    canonical,
    checksum,
    from_columns,
    to_columns,
)

_COLUMNS = f"{', '.join(TYPES)}, checksum"
_INSERT = (
    f"INSERT OR REPLACE INTO results ({_COLUMNS}, created) VALUES "
    f"({', '.join('?' * (len(TYPES) + 1))}, coalesce(?, CURRENT_TIMESTAMP))"
)

Checkpoints = dict[str, tuple[int, dict[str, float]]]
"""Name to (update, metrics)."""

Arrays = Mapping[str, NDArray[Any]]


class Entry(NamedTuple):
    """Where a row belongs and when it was made, without what it holds."""

    name: str
    measure: str
    revision: int
    settings: str
    key: str
    status: str
    created: str
    checksum: int

    @property
    def group(self) -> tuple[str, str, int, str]:
        """What a checkpoint has one newest row of."""
        return self[:4]

    @property
    def rank(self) -> tuple[bool, str, int]:
        """Order of rows of one key: a result first, then the older one."""
        return self.status != "done", self.created, self.checksum


class Store(Database):
    """An open store; see `Database` for how it is opened."""

    def set_run(self, **values: Any) -> None:
        """Keep facts about the whole run: settings, versions, source.

        ``measures`` maps each measure to its [revision, settings]: what `rows` gives.
        """
        with self._transaction() as connection:
            _insert_run(connection, values)

    def run(self) -> dict[str, Any]:
        """Facts about the whole run."""
        query = "SELECT name, value, checksum FROM run ORDER BY name"
        rows = self._checked(query, (), (str, str))
        return {name: json.loads(value) for name, value in rows}

    def set_checkpoints(
        self, checkpoints: Mapping[str, tuple[int, Mapping[str, float]]]
    ) -> None:
        """Keep the update of each checkpoint, and what training said about it.

        They replace those of an earlier call; the results of these stay.
        """
        with self._transaction() as connection:
            _insert_checkpoints(connection, checkpoints)

    def checkpoints(self) -> Checkpoints:
        """Name to (update, metrics), in ascending order of update."""
        query = (
            'SELECT name, "update", metrics, checksum FROM checkpoints '
            'ORDER BY "update", name'
        )
        rows = self._checked(query, (), (str, int, str))
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

    def put(self, row: Row) -> None:
        """Commit a row; a failure of the same checkpoint's measure is forgotten."""
        with self._transaction():
            self._forget_failures(row.name, row.measure)
            self._insert(to_columns(row))

    def copy(self, key: str, name: str) -> None:
        """Give a checkpoint the result that is there for weights like its own."""
        with self._transaction():
            where = "key = ? AND status = 'done' LIMIT 1"
            for columns in self._records(where, key):
                self._forget_failures(name, columns[1])
                self._insert((name, *columns[1:]))

    def _insert(self, columns: tuple[Any, ...], created: str | None = None) -> None:
        self._connection.execute(_INSERT, (*columns, checksum(columns), created))

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
        """Give the rows of the newest sweep, oldest first; their arrays stay here.

        They are those with the revision and settings that ``run()["measures"]`` names,
        so that numbers made in different ways never stand in one table; and those of
        files that could not be read. Other rows stay in the store, for when their
        settings are asked for again. Where no sweep was named, all rows are given.
        """
        measures = self.run().get("measures")
        newest = {("checkpoint", 0, "{}")} | {
            (name, revision, canonical(settings))
            for name, (revision, settings) in (measures or {}).items()
        }
        self._check_pages()
        for columns in self._records("true ORDER BY rowid"):
            if measures is None or (columns[1], *columns[3:5]) in newest:
                yield self._row(columns)

    def row(self, name: str, key: str) -> Row:
        """One row."""
        return self._row(self.columns(name, key))

    def _row(self, columns: tuple[Any, ...]) -> Row:
        arrays = StoredArrays(self.path.absolute(), columns[0], columns[2])
        return from_columns(columns, arrays)

    def arrays(self, name: str, key: str) -> Arrays:
        """Arrays of one row, whose checksum was found right when the row was read."""
        query = "SELECT arrays FROM results WHERE name = ? AND key = ?"
        with self._explained():
            found = self._connection.execute(query, (name, key)).fetchone()
        if found is None:
            raise self._gone(name)
        try:
            return safetensors.numpy.load(found[0])
        except SafetensorError as error:
            self._refuse(f"row of {name}: arrays: {error}")

    def columns(self, name: str, key: str) -> tuple[Any, ...]:
        """Columns of one row, as they are stored."""
        for columns in self._records("name = ? AND key = ?", name, key):
            return columns
        raise self._gone(name)

    def _records(self, where: str, *values: object) -> Iterator[tuple[Any, ...]]:
        query = f"SELECT {_COLUMNS} FROM results WHERE {where}"
        return self._checked(query, values, TYPES.values())

    def _gone(self, name: str) -> StoreError:
        return StoreError(
            f"{self.path}: expected a row of {name} that was there before, found none; "
            "read the store again"
        )

    def entries(self) -> list[Entry]:
        """Give all rows, of whatever settings, oldest first."""
        self._check_pages()
        query = f"SELECT {', '.join(Entry._fields)} FROM results ORDER BY rowid"
        with self._explained():
            return [Entry(*columns) for columns in self._connection.execute(query)]

    def rewrite(
        self,
        run: Mapping[str, Any],
        checkpoints: Checkpoints,
        records: Iterable[tuple[tuple[Any, ...], str]],
    ) -> None:
        """Replace all that is there, or nothing.

        Parameters
        ----------
        run, checkpoints
            As given by those methods.
        records : iterable of (columns, created)
            Of the rows, oldest first.
        """
        with self._transaction() as connection:
            connection.execute("DELETE FROM run")
            connection.execute("DELETE FROM results")
            _insert_run(connection, run)
            _insert_checkpoints(connection, checkpoints)
            for columns, created in records:
                self._insert(columns, created)


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
        (name, update, canonical(dict(metrics)))
        for name, (update, metrics) in checkpoints.items()
    ]
    connection.execute("DELETE FROM checkpoints")
    connection.executemany(
        "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?)",
        [(*row, checksum(row)) for row in rows],
    )


@dataclass(frozen=True)
class StoredArrays(Arrays):
    """Arrays of a row, read from its store at each access.

    A key is a digest of all that determines a result: so they are those of the row
    also when the store has grown in the meantime.

    Attributes
    ----------
    path : Path
        The store.
    name, key : str
        The row.
    """

    path: Path
    name: str
    key: str

    def load(self) -> Arrays:
        """Read them all.

        Raises
        ------
        StoreError
            The store, or its row, is not there any more.
        """
        with Store(self.path) as store:
            return store.arrays(self.name, self.key)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Read one."""
        return self.load()[name]

    def __iter__(self) -> Iterator[str]:
        """Give their names."""
        return iter(self.load())

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.load())


def load_each(rows: Iterable[Arrays]) -> Iterator[Arrays]:
    """Give the arrays of rows in turn, from a store that is opened once.

    Only those of one row are in memory, unless the caller keeps them.
    """
    stores: dict[Path, Store] = {}
    with ExitStack() as stack:
        for arrays in rows:
            if not isinstance(arrays, StoredArrays):
                yield arrays
                continue
            if arrays.path not in stores:
                stores[arrays.path] = stack.enter_context(Store(arrays.path))
            yield stores[arrays.path].arrays(arrays.name, arrays.key)
