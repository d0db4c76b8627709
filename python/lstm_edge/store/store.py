"""The store: one SQLite file, a row for each measure of each checkpoint.

A row's key is a digest of (weights, measure, revision, settings, inputs): what is there
need not be computed again. Rows are committed one by one, so a killed sweep loses only
what was in flight. One process writes; any number read, at any time.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from lstm_edge.errors import StoreError
from lstm_edge.store.database import Database
from lstm_edge.store.rows import (
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

_COLUMNS = f"{', '.join(TYPES)}, checksum"
_INSERT = (
    f"INSERT OR REPLACE INTO results ({_COLUMNS}, created) VALUES "
    f"({', '.join('?' * (len(TYPES) + 1))}, coalesce(?, CURRENT_TIMESTAMP))"
)

Checkpoints = dict[str, tuple[int, dict[str, float]]]
"""Name to (update, metrics)."""


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

    def checkpoints(self) -> Checkpoints:
        """Name to (update, metrics), in ascending order of update."""
        found: Checkpoints = {}
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

    def put(self, row: Row) -> None:
        """Commit a row; a failure of the same checkpoint's measure is forgotten."""
        with self._transaction():
            self._forget_failures(row.name, row.measure)
            self._insert(to_columns(row))

    def copy(self, key: str, name: str) -> None:
        """Give a checkpoint the result that is there for weights like its own."""
        with self._transaction():
            for columns in self._checked(
                f"SELECT {_COLUMNS} FROM results WHERE key = ? AND status = 'done' "
                "LIMIT 1",
                key,
            ):
                self._forget_failures(name, columns[1])
                self._insert((name, *columns[1:]))

    def _insert(self, columns: tuple[Any, ...], created: str | None = None) -> None:
        self._connection.execute(_INSERT, (*columns, checksum(columns), created))

    def scalars(self, name: str, key: str) -> dict[str, Any]:
        """Numbers of one row."""
        return self._row(self.columns(name, key)).scalars

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
        return self._row(self.columns(name, key)).arrays

    def columns(self, name: str, key: str) -> tuple[Any, ...]:
        """Columns of one row, as they are stored."""
        query = f"SELECT {_COLUMNS} FROM results WHERE name = ? AND key = ?"
        for columns in self._checked(query, name, key):
            return columns
        raise StoreError(
            f"{self.path}: expected a row of {name} that was there before, found none; "
            "read the store again"
        )

    def entries(self) -> Iterator[Entry]:
        """Give all rows, of whatever settings, oldest first."""
        with self._explained():
            self._check_pages()
            created = {
                (name, key): str(when)
                for name, key, when in self._connection.execute(
                    "SELECT name, key, created FROM results"
                )
            }
        for columns in self._checked(f"SELECT {_COLUMNS} FROM results ORDER BY rowid"):
            row = self._row(columns)
            yield Entry(
                row.name,
                row.measure,
                row.revision,
                sys.intern(columns[4]),
                row.key,
                row.status,
                created[row.name, row.key],
                checksum(columns),
            )

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
        (name, update, canonical(dict(metrics)))
        for name, (update, metrics) in checkpoints.items()
    ]
    connection.execute("DELETE FROM checkpoints")
    connection.executemany(
        "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?)",
        [(*row, checksum(row)) for row in rows],
    )
