"""What a sweep found: the rows of a store, as a table with its transitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge.display import counted, plain_values
from lstm_edge.files.metrics import METRICS
from lstm_edge.files.places import Where
from lstm_edge.results.padding import stack_padded
from lstm_edge.store.faults import find_fault
from lstm_edge.store.rows import Row
from lstm_edge.store.store import Store
from lstm_edge.store.stored_arrays import StoredArrays, load_each
from lstm_edge.terms import PHASES
from lstm_edge.track.advice import Advice, advise
from lstm_edge.track.bifurcations import bifurcation_kind
from lstm_edge.track.refinement import infer_phases
from lstm_edge.track.transitions import Transition, find_transitions

if TYPE_CHECKING:
    import pandas
    import xarray

    from lstm_edge.track.claims import Claim
    from lstm_edge.track.zoom_intervals import Interval

_LYAPUNOV = ("lambda_max", "lambda_max_stderr", "lambda_mean")
_DISTANCE = ("distance", "distance_stderr")
_EMPTY = np.zeros(0)

MOST_SHOWN = 50
"""Checkpoints of the table in a notebook."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """The results of a store.

    Arrays stay in the store until they are asked for, so that a sweep of any length
    fits in memory; a pickle holds them all, and needs the store no more.

    Attributes
    ----------
    path : Path
        The store.
    run : dict
        Settings, input regime, versions.
    checkpoints : dict
        Name to (update, metrics), by ascending update.
    rows : dict
        (name, measure) to its newest row.
    """

    path: Path
    run: dict[str, Any]
    checkpoints: dict[str, tuple[int, dict[str, float]]]
    rows: dict[tuple[str, str], Row]

    @cached_property
    def names(self) -> list[str]:
        """Checkpoints with exponents, by ascending update; no strangers."""
        return [
            name
            for name in self.checkpoints
            if (row := self.rows.get((name, "lyapunov")))
            and row.status == "done"
            and name not in self.strangers
        ]

    @cached_property
    def strangers(self) -> dict[str, str]:
        """Checkpoints that hold another net than most do, and a sentence that says so.

        No row knows the others, so this is found here rather than by the sweep.
        """
        found = {
            name: str(row.scalars["architecture"])
            for name in self.checkpoints
            if (row := self.rows.get((name, "sketch")))
            and "architecture" in row.scalars
        }
        counts = Counter(found.values())
        usual = max(counts, key=counts.__getitem__, default="")
        return {
            name: f"expected {usual}, as {counts[usual]} of {len(found)} "
            f"checkpoints hold, found {other}; analyse it on its own"
            for name, other in found.items()
            if other != usual
        }

    @cached_property
    def table(self) -> dict[str, NDArray[Any]]:
        """Columns of equal length, a row for each of `names`; NaN where unknown."""
        columns: dict[str, list[Any]] = {
            "name": self.names,
            "update": [self.checkpoints[name][0] for name in self.names],
            "phase": [self._by_attractors(n, "phase", "") for n in self.names],
            "chaotic_share": [
                self._by_attractors(n, "chaotic_share", float("nan"))
                for n in self.names
            ],
        }
        for key in _LYAPUNOV:
            columns[key] = [self._scalar(n, "lyapunov", key) for n in self.names]
        for key in _DISTANCE:
            columns[key] = [self._scalar(n, "distance", key) for n in self.names]
        for key in METRICS:
            columns[key] = [
                self.checkpoints[n][1].get(key, float("nan")) for n in self.names
            ]
        return {key: np.asarray(column) for key, column in columns.items()}

    def _scalar(
        self, name: str, measure: str, key: str, default: Any = float("nan")
    ) -> Any:
        row = self.rows.get((name, measure))
        return default if row is None else row.scalars.get(key, default)

    def _by_attractors(self, name: str, key: str, default: Any) -> Any:
        """Return what the attractors say; where they are unknown, the exponents."""
        by_exponents = self._scalar(name, "lyapunov", key, default)
        return self._scalar(name, "attractors", key, by_exponents)

    def each(self, measure: str, array: str) -> Iterator[NDArray[Any]]:
        """Give an array of every one of `names` in turn; empty where it is unknown.

        Parameters
        ----------
        measure, array : str
            Such as "distance" and "per_sample".

        Raises
        ------
        StoreError
            The store is not there any more.
        """
        rows = (self.rows.get((name, measure)) for name in self.names)
        for arrays in load_each({} if row is None else row.arrays for row in rows):
            yield arrays.get(array, _EMPTY)

    @cached_property
    def exponents(self) -> NDArray[np.float64]:
        """Mean exponents over the starts, (checkpoints, k), padded with NaN."""
        found = [self._scalar(name, "lyapunov", "exponents", []) for name in self.names]
        return stack_padded([np.asarray(x, float) for x in found], 1)

    @property
    def per_start(self) -> list[NDArray[np.float64]]:
        """Exponents of every start, (starts, k) for each checkpoint."""
        return list(self.each("lyapunov", "per_start"))

    @cached_property
    def attractor_shares(self) -> dict[str, NDArray[np.float64]]:
        """Kind of attractor to the share of starts, (checkpoints,); NaN unknown."""
        found = [self._scalar(name, "attractors", "shares", {}) for name in self.names]
        kinds = next((list(shares) for shares in found if shares), [])
        return {
            kind: np.asarray([shares.get(kind, np.nan) for shares in found], float)
            for kind in kinds
        }

    @property
    def observable(self) -> list[NDArray[np.float64]]:
        """The orbit diagram: sum of h_T of every sample, for each checkpoint."""
        return list(self.each("distance", "observable"))

    @cached_property
    def weight_path(self) -> NDArray[np.float64]:
        """Length of the path through the weights up to each of `names`, from sketches.

        Chords between the checkpoints analysed: more of them make it longer. NaN from
        the first checkpoint on whose sketch is not known, or that has other weights.
        """
        points = self.each("sketch", "sketch")
        sizes = [self._scalar(name, "sketch", "parameters") for name in self.names]
        chords = [
            float(np.linalg.norm(b - a)) if m == n and len(a) == len(b) else np.nan
            for (a, b), (m, n) in zip(pairwise(points), pairwise(sizes), strict=True)
        ]
        return np.cumsum([0.0, *chords][: len(sizes)])

    @cached_property
    def loss_history(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Updates and test losses of all checkpoints known, analysed or not."""
        pairs = [
            (update, metrics["test_loss"])
            for update, metrics in self.checkpoints.values()
            if "test_loss" in metrics
        ]
        updates = np.array([update for update, _ in pairs], np.int64)
        return updates, np.array([loss for _, loss in pairs], float)

    @property
    def failed(self) -> list[tuple[str, str]]:
        """(name, message) of what could not be used, in the order of update."""
        rows = (row for row in self.rows.values() if row.status == "failed")
        found = [*((row.name, row.message) for row in rows), *self.strangers.items()]
        place = {name: i for i, name in enumerate(self.checkpoints)}
        return sorted(found, key=lambda pair: place.get(pair[0], len(place)))

    @cached_property
    def transitions(self) -> list[Transition]:
        """Sustained transitions and raw crossings, by `find_transitions`.

        A checkpoint that was not analysed counts as what its neighbours are, where
        these agree: so a part of the checkpoints gives the transitions of all.
        """
        at = {name: i for i, name in enumerate(self.checkpoints)}
        seen = [at[name] for name in self.names]

        def column(values: ArrayLike, rest: Any) -> list[Any]:
            """Give a value to every checkpoint, also to those not analysed."""
            whole = [rest] * len(at)
            for i, value in zip(seen, np.asarray(values).tolist(), strict=True):
                whole[i] = value
            return whole

        phase = infer_phases(column(self.table["phase"], None))
        return find_transitions(
            [update for update, _ in self.checkpoints.values()],
            [known or "" for known in phase],
            column(self.table["lambda_max"], np.nan),
            epoch=[m.get("epoch", np.nan) for _, m in self.checkpoints.values()],
            path=column(self.weight_path, np.nan),
            kind=column([self._kind(name) for name in self.names], ""),
        )

    def _kind(self, name: str) -> str:
        pairs = self._scalar(name, "attractors", "multipliers", [])
        values = [complex(*pair) for pair in pairs]
        return bifurcation_kind(
            values, int(self._scalar(name, "attractors", "period", 1))
        )

    @cached_property
    def advice(self) -> Advice:
        """The checkpoint at the first transition, by `advise`."""
        t = self.table
        updates, losses = self.loss_history
        return advise(
            t["update"],
            list(t["phase"]),
            self.transitions,
            name=self.names,
            epoch=t["epoch"],
            test_loss=losses,
            loss_update=updates,
        )

    @cached_property
    def claims(self) -> list[Claim]:
        """The claims of Wei et al. 2025, tested on this run."""
        from lstm_edge.track.claims import check_claims

        updates, losses = self.loss_history
        known = self.table["phase"] != "unknown"
        return check_claims(
            updates,
            losses,
            self.transitions,
            checkpoints=self.table["update"][known],
            phase=list(self.table["phase"][known]),
            distance=self.table["distance"][known],
            share=len(self.names) / max(len(self.checkpoints), 1),
        )

    @cached_property
    def zoom_intervals(self) -> list[Interval]:
        """Where checkpoints at every update would tell more."""
        from lstm_edge.track.zoom_intervals import intervals_to_zoom

        return intervals_to_zoom(*self.loss_history, self.transitions)

    def summary(self) -> dict[str, Any]:
        """Give counts, transitions, claims and advice as plain values; NaN is None."""
        phases = list(self.table["phase"])
        found: dict[str, Any] = plain_values(
            {
                "store": str(self.path),
                "checkpoints": len(self.names),
                "known": len(self.checkpoints),
                "phases": {p: phases.count(p) for p in sorted(set(phases))},
                "attractors": {
                    kind: float(np.nanmean(share))
                    for kind, share in self.attractor_shares.items()
                },
                "transitions": [asdict(t) for t in self.transitions],
                "claims": [asdict(c) for c in self.claims],
                "advice": asdict(self.advice),
                "zoom": [asdict(i) for i in self.zoom_intervals],
                "failed": [{"name": n, "message": m} for n, m in self.failed],
            }
        )
        return found

    def to_pandas(self) -> pandas.DataFrame:
        """Return `table` as a DataFrame."""
        import pandas

        return pandas.DataFrame(self.table)

    def to_xarray(self) -> xarray.Dataset:
        """Return all of it as a labelled dataset; see `lstm_edge.results.export`."""
        from lstm_edge.results.export import make_dataset

        return make_dataset(self)

    def __repr__(self) -> str:
        """Return the sizes and the advice."""
        phases = list(self.table["phase"])
        counts = ", ".join(f"{phases.count(p)} {p}" for p in PHASES if p in phases)
        update = self.advice.update
        advised = "none" if update is None else f"update {update}"
        return (
            f"Sweep({self.path}: {counted(len(self.names), 'checkpoint')} ({counts}), "
            f"{len(self.failed)} failed, advised: {advised})"
        )

    def _repr_html_(self) -> str:
        import html

        frame = self.to_pandas()
        return f"<b>{html.escape(repr(self))}</b>{frame.to_html(max_rows=MOST_SHOWN)}"

    def __getstate__(self) -> dict[str, Any]:
        """Return all of it, arrays included."""
        arrays = load_each(row.arrays for row in self.rows.values())
        rows = {
            place: replace(row, arrays=dict(found))
            for (place, row), found in zip(self.rows.items(), arrays, strict=True)
        }
        return {**self.__dict__, "rows": rows}


def open_sweep(path: Where) -> Sweep:
    """Read the results in a store, at any time, also while a sweep goes on.

    Parameters
    ----------
    path : path
        The SQLite file, or the run folder that holds ``analysis.sqlite``.

    Raises
    ------
    StoreError
        No store there, or one that cannot be read.
    """
    file = store_file(path)
    with Store(file) as store:
        checkpoints = store.checkpoints()
        rows = {
            (row.name, row.measure): _light(row, file)  # the newest wins
            for row in store.rows()
            if row.name in checkpoints  # a store may hold other sweeps too
        }
        return Sweep(file, store.run(), checkpoints, rows)


def store_file(path: Where) -> Path:
    """Find the store: the file itself, or the one in its run folder."""
    file = Path(path)
    return file / "analysis.sqlite" if file.is_dir() else file


def _light(row: Row, file: Path) -> Row:
    """Leave the arrays of a row in the store; take nothing from one with a fault."""
    fault = find_fault(row)
    if not fault:
        return replace(row, arrays=StoredArrays(file.absolute(), row.name, row.key))
    message = f"{row.measure}: {fault}; another program changed {file}"
    return replace(row, status="failed", message=message, scalars={}, arrays={})
