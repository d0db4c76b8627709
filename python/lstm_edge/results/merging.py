"""Stores of one sweep made in several places, as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lstm_edge.errors import StoreError, UsageError
from lstm_edge.files.places import Where
from lstm_edge.results.sweep import Sweep, open_sweep, store_file
from lstm_edge.store.rows import canonical
from lstm_edge.store.store import Checkpoints, Entry, Store


def merge_stores(stores: Iterable[Where], out: Where) -> Sweep:
    """Put the results of several stores into one: of parts of a sweep made apart.

    All rows, checkpoints and metrics of any of them are there once, in the same order
    whatever that of the arguments. A checkpoint failed where it did in all stores that
    tried it. The stores are read only; `out` changes as a whole or not at all.

    Parameters
    ----------
    stores : iterable of path
        SQLite files, or run folders that hold ``analysis.sqlite``.
    out : path
        Where it exists, it is a store of the same sweep, and is added to.

    Returns
    -------
    Sweep
        What is in `out` now.

    Raises
    ------
    StoreError
        A store that cannot be read or written, or that is none of the same sweep:
        other measures or settings were asked for last, or checkpoints of one name have
        other updates, metrics or weights.
    UsageError
        No stores given, or `out` is one of them.

    Examples
    --------
    >>> import lstm_edge
    >>> merged = lstm_edge.merge_stores(["runs/digits/analysis.sqlite"], "all.sqlite")
    >>> len(merged.names)
    3
    """
    paths, target = [store_file(store) for store in stores], Path(out)
    if not paths:
        raise UsageError("stores: expected one or more to merge, found none")
    if target.resolve() in {path.resolve() for path in paths}:
        raise UsageError(
            f"{target}: expected another file than those merged, which stay as they are"
        )
    with ExitStack() as stack:
        parts = [stack.enter_context(Store(path)) for path in paths]
        for part in parts:
            stack.enter_context(part.snapshot())
        _Merged(parts)  # refuses before anything is written
        written = stack.enter_context(Store(target, write=True))
        former = stack.enter_context(Store(target))
        stack.enter_context(former.snapshot())
        merged = _Merged([former, *parts])
        written.rewrite(merged.run, merged.checkpoints, merged.records())
    return open_sweep(target)


class _Merged:
    """What is in any of some stores.

    Where two have different versions of one thing, it is chosen by an order of the
    versions alone, so that neither the order of the stores nor how often one is merged
    matters.
    """

    def __init__(self, stores: Iterable[Store]) -> None:
        self.run: dict[str, Any] = {}
        self.checkpoints: Checkpoints = {}
        self._newest: dict[tuple[str, str, int, str], str] = {}
        self._chosen: dict[tuple[str, str], tuple[Entry, Store]] = {}
        failed: set[tuple[str, str]] = set()
        succeeded: set[tuple[str, str]] = set()
        self._like: Store | None = None
        for store in stores:
            run, checkpoints = store.run(), store.checkpoints()
            entries = store.entries()
            if not (run or checkpoints or entries):
                continue  # just made
            self._like = self._like or store
            self._add_run(run, store)
            self._add_checkpoints(checkpoints, store)
            self._add_entries(entries, store)
            failures = {(e.name, e.measure) for e in entries if e.status == "failed"}
            results = {(e.name, e.measure) for e in entries if e.status == "done"}
            results |= {(name, "checkpoint") for name, _ in results}
            failed |= failures
            succeeded |= results - failures
        self._forgotten = failed & succeeded

    def _refuse(self, store: Store, expected: str, found: str, advice: str) -> None:
        assert self._like is not None
        raise StoreError(
            f"{store.path}: expected {expected} of {self._like.path}, found {found}; "
            f"{advice}"
        )

    def _add_run(self, run: Mapping[str, Any], store: Store) -> None:
        measures = self.run.get("measures", run.get("measures"))
        if canonical(measures) != canonical(run.get("measures")):
            self._refuse(
                store,
                "the measures and settings",
                _difference(run.get("measures"), measures),
                "analyse both with the same settings",
            )
        for name, value in run.items():
            self.run[name] = max(self.run.get(name, value), value, key=canonical)

    def _add_checkpoints(self, checkpoints: Checkpoints, store: Store) -> None:
        for name, (update, metrics) in checkpoints.items():
            known, told = self.checkpoints.setdefault(name, (update, {}))
            here = {"update": update, **metrics}
            there = {**here, "update": known, **told}
            if canonical(here) != canonical({key: there[key] for key in here}):
                self._refuse(
                    store,
                    f"for checkpoint {name} the update and metrics",
                    _difference(here, there),
                    "only parts of one sweep can be merged",
                )
            told.update(metrics)

    def _add_entries(self, entries: list[Entry], store: Store) -> None:
        for group, key in {entry.group: entry.key for entry in entries}.items():
            if self._newest.setdefault(group, key) != key:
                self._refuse(
                    store,
                    f"for checkpoint {group[0]} the weights",
                    "others",
                    "analyse its file again into one of them",
                )
        for entry in entries:
            place = entry.name, entry.key
            known, _ = self._chosen.get(place, (entry, store))
            if entry.rank <= known.rank:
                self._chosen[place] = entry, store

    def records(self) -> Iterator[tuple[tuple[Any, ...], str]]:
        """Columns of every row and when it was made; what is valid comes last."""
        kept = [
            (self._newest[entry.group] == entry.key, entry.created, place)
            for place, (entry, _) in self._chosen.items()
            if entry.status == "done"
            or (entry.name, entry.measure) not in self._forgotten
        ]
        for _, created, place in sorted(kept):
            _, store = self._chosen[place]
            yield store.columns(*place), created


def _difference(found: Any, expected: Any, path: str = "") -> str:
    """Name the first place where two nested values differ."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in sorted({**found, **expected}):
            a, b = found.get(key), expected.get(key)
            if canonical(a) != canonical(b):
                return _difference(a, b, f"{path} {key}".strip())
    if isinstance(found, list) and isinstance(expected, list):
        for a, b in zip(found, expected, strict=False):
            if canonical(a) != canonical(b):
                return _difference(a, b, path)
    return f"{path} {found!r:.40} instead of {expected!r:.40}".strip()
