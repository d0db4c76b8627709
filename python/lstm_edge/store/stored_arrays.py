"""Arrays that stay in the store until they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lstm_edge.store.store import Store

Arrays = Mapping[str, NDArray[Any]]


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
