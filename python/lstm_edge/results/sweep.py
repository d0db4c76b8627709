"""What a sweep found: the rows of a store, as a table and as a track."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.display import counted, plain_values
from lstm_edge.files.metrics import METRICS, run_folder
from lstm_edge.files.places import Where
from lstm_edge.measures.drawing import along_training
from lstm_edge.measures.table import CLOSER, COLUMNS, numbers_of
from lstm_edge.results.dataset import make_dataset, stack_padded
from lstm_edge.store.rows import Row, canonical
from lstm_edge.store.store import Store, load_each
from lstm_edge.terms import PHASES, PLACE
from lstm_edge.track import stability
from lstm_edge.track.advice import Advice
from lstm_edge.track.claims import OPEN, Claim
from lstm_edge.track.stability import stability_columns
from lstm_edge.track.track import Track, make_track
from lstm_edge.track.transitions import Transition

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes

_EMPTY = np.zeros(0)

STORE = "analysis.sqlite"
"""Name of a store where none is given."""

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

    Examples
    --------
    >>> import lstm_edge
    >>> sweep = lstm_edge.open_sweep("runs/digits")
    >>> sweep.table["update"].tolist()
    [0, 10, 20]
    >>> sweep.transitions
    []
    """

    path: Path
    run: dict[str, Any]
    checkpoints: dict[str, tuple[int, dict[str, float]]]
    rows: dict[tuple[str, str], Row]

    @cached_property
    def _scalars(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Name to measure to its scalars."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for (name, measure), row in self.rows.items():
            if row.status == "done":
                found.setdefault(name, {})[measure] = row.scalars
        return found

    @cached_property
    def names(self) -> list[str]:
        """Checkpoints with exponents, by ascending update; no strangers."""
        return [
            name
            for name in self.checkpoints
            if "lyapunov" in self._scalars.get(name, ()) and name not in self.strangers
        ]

    @cached_property
    def strangers(self) -> dict[str, str]:
        """Checkpoints that hold another net than most do, and a sentence that says so.

        No row knows the others, so this is found here rather than by the sweep.
        """
        found = {
            name: self._scalars[name]["sketch"]["architecture"]
            for name in self.checkpoints
            if "architecture" in self._scalars.get(name, {}).get("sketch", ())
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
        found = [numbers_of(self._scalars[name]) for name in self.names]
        for name, numbers in zip(self.names, found, strict=True):
            numbers |= stability_columns(numbers, self._starts(name))
        columns: dict[str, list[Any]] = {
            "name": self.names,
            "update": [self.checkpoints[name][0] for name in self.names],
        }
        for column in (*COLUMNS.values(), *stability.COLUMNS.values()):
            if not column.axes:
                missing = np.nan if column.unit else ""
                columns[column.name] = [x.get(column.name, missing) for x in found]
        for key in METRICS:
            columns[key] = [
                self.checkpoints[n][1].get(key, float("nan")) for n in self.names
            ]
        return {key: np.asarray(column) for key, column in columns.items()}

    def _starts(self, name: str) -> int:
        for measure in (CLOSER, "attractors"):
            if measure in self._scalars[name]:
                return int(self.rows[name, measure].settings.get("starts", 0))
        return 0

    def _scalar(self, name: str, measure: str, key: str, default: Any) -> Any:
        return self._scalars[name].get(measure, {}).get(key, default)

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

    @property
    def observable(self) -> list[NDArray[np.float64]]:
        """The orbit diagram: sum of h_T of every sample, for each checkpoint."""
        return list(self.each("distance", "observable"))

    @cached_property
    def attractor_shares(self) -> dict[str, NDArray[np.float64]]:
        """Kind of attractor to the share of starts, (checkpoints,); NaN unknown."""
        found = [numbers_of(self._scalars[n]).get("shares", {}) for n in self.names]
        kinds = next((list(shares) for shares in found if shares), [])
        return {
            kind: np.asarray([shares.get(kind, np.nan) for shares in found], float)
            for kind in kinds
        }

    @cached_property
    def weight_path(self) -> NDArray[np.float64]:
        """Length of the path through the weights up to each of `names`, from sketches.

        Chords between the checkpoints analysed: more of them make it longer. NaN from
        the first checkpoint on whose sketch is not known, or that has other weights.
        """
        points = self.each("sketch", "sketch")
        sizes = [self._scalar(n, "sketch", "parameters", np.nan) for n in self.names]
        chords = [
            float(np.linalg.norm(b - a)) if m == n and len(a) == len(b) else np.nan
            for (a, b), (m, n) in zip(pairwise(points), pairwise(sizes), strict=True)
        ]
        return np.cumsum([0.0, *chords][: len(sizes)])

    @property
    def failed(self) -> list[tuple[str, str]]:
        """(name, message) of what could not be used, in the order of update."""
        rows = (row for row in self.rows.values() if row.status == "failed")
        found = [*((row.name, row.message) for row in rows), *self.strangers.items()]
        place = {name: i for i, name in enumerate(self.checkpoints)}
        return sorted(found, key=lambda pair: place.get(pair[0], len(place)))

    @cached_property
    def track(self) -> Track:
        """All checkpoints, analysed or not, as series along training."""
        numbers = {name: numbers_of(self._scalars[name]) for name in self.names}
        path = dict(zip(self.names, self.weight_path.tolist(), strict=True))
        return make_track(self.checkpoints, numbers, path)

    @property
    def transitions(self) -> list[Transition]:
        """Sustained transitions and raw crossings; see `Track.transitions`."""
        return self.track.transitions

    @property
    def advice(self) -> Advice:
        """Which checkpoint to take; see `Track.advice`."""
        return self.track.advice

    @property
    def claims(self) -> list[Claim]:
        """The claims of Wei et al. 2025, tested on this run; of no part of one."""
        part = self.run.get("part")
        if not part:
            return self.track.claims
        why = f"updates {part['from']} to {part['to']} are a part of a run"
        return [
            replace(claim, answer=OPEN, evidence=why, numbers={})
            for claim in self.track.claims
        ]

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
                "stability_transitions": [
                    asdict(t) for t in self.track.stability_transitions
                ],
                "falls": [asdict(a) for a in self.track.anatomies],
                "coincidences": {
                    name: asdict(found)
                    for name, found in self.track.coincidences.items()
                },
                "claims": [asdict(c) for c in self.claims],
                "advice": asdict(self.advice),
                "zoom": [asdict(i) for i in self.track.zoom_intervals],
                "failed": [{"name": n, "message": m} for n, m in self.failed],
            }
        )
        return found

    @property
    def origins(self) -> dict[str, NDArray[np.object_]]:
        """What made the numbers of each checkpoint, measure by measure.

        ``lyapunov_version`` is the lstm-edge that computed the exponents,
        ``lyapunov_settings`` their settings and revision as JSON, and so on; "" where
        there is no result.
        """
        columns: dict[str, NDArray[np.object_]] = {}
        for measure in sorted({measure for _, measure in self.rows} - {"checkpoint"}):
            version, settings = (np.full(len(self.names), "", object) for _ in range(2))
            for i, name in enumerate(self.names):
                row = self.rows.get((name, measure))
                if row is not None and row.status == "done":
                    version[i] = row.version
                    settings[i] = canonical({**row.settings, "revision": row.revision})
            columns[f"{measure}_version"] = version
            columns[f"{measure}_settings"] = settings
        return columns

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the largest exponent along training, coloured by phase.

        `lstm_edge.report.plot_figure` draws the figures of the report, and the paper's.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: those of a new figure.

        Returns
        -------
        Axes
        """
        track = self.track
        return along_training(
            ax, track.update, track.exponent, track.stderr, track.phase, str(self.path)
        )

    def to_pandas(self) -> pandas.DataFrame:
        """Return `table` as a DataFrame."""
        import pandas

        return pandas.DataFrame(self.table)

    def to_xarray(self) -> xarray.Dataset:
        """Return all of it as a labelled dataset; see `make_dataset`."""
        done = {row.version for row in self.rows.values() if row.status == "done"}
        return make_dataset(
            {**self.table, **self.origins},
            {
                "exponents": list(self.exponents),
                "per_start": self.per_start,
                "observable": self.observable,
            },
            {**PLACE, **METRICS, **COLUMNS, **stability.COLUMNS},
            sorted(done),
            str(self.run.get("inputs", "")),
        )

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

        frame = self.to_pandas().dropna(axis="columns", how="all")
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

    Examples
    --------
    >>> import lstm_edge
    >>> sweep = lstm_edge.open_sweep("runs/digits")
    >>> sweep.failed
    []
    """
    file = store_file(path)
    with Store(file) as store:
        checkpoints = store.checkpoints()
        rows = {
            (row.name, row.measure): row  # the newest wins
            for row in store.rows()
            if row.name in checkpoints  # a store may hold other sweeps too
        }
        return Sweep(file, store.run(), checkpoints, rows)


def store_file(path: Where) -> Path:
    """Find the store: the file itself, or the one in, above or below a folder.

    Above ``checkpoints``, as `analyze` puts it; below, where a trainer made folders of
    its own, as Lightning does.
    """
    file = Path(path)
    if not file.is_dir():
        return file
    there = run_folder(file / STORE) / STORE
    if there.exists() or file.name == "checkpoints":
        return there
    below = [*file.glob(f"*/{STORE}"), *file.glob(f"*/*/{STORE}")]
    return below[0] if len(below) == 1 else there
