"""The sweep: every measure of every checkpoint, into a store."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge import _core
from lstm_edge.checkpoints import CheckpointFile, find_checkpoints, read_checkpoint
from lstm_edge.errors import CheckpointError, LstmEdgeError, UsageError
from lstm_edge.measures import MEASURES
from lstm_edge.metrics import read_metrics, read_probe, run_folder
from lstm_edge.results import Sweep, Where, open_sweep
from lstm_edge.store import Row, Store, result_key
from lstm_edge.weights import Weights


@dataclass(frozen=True)
class Progress:
    """How far a sweep is.

    Attributes
    ----------
    done, total, failed : int
        Checkpoints.
    name : str
        The one just finished.
    seconds : float
        Since the sweep began.
    """

    done: int
    total: int
    failed: int
    name: str
    seconds: float


def analyze(
    checkpoints: Where | Iterable[Where],
    *,
    out: Where | None = None,
    metrics: Where | None = None,
    inputs: ArrayLike | str | None = "probe",
    spectrum: bool = False,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    select: Callable[[CheckpointFile], bool] | None = None,
    module: str | None = None,
    workers: int | None = None,
    strict: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Sweep:
    """Measure every checkpoint found, and find where training crosses into chaos.

    Results are stored one by one; the same call goes on where a former one ended, and
    computes nothing twice. A checkpoint that cannot be used costs its own row.

    Parameters
    ----------
    checkpoints : path or list of paths
        A run folder, a folder of weight files, files, or globs.
    out : path, optional
        The store. Default: ``analysis.sqlite`` in the run folder or beside the files.
    metrics : path, optional
        CSV with a column ``update`` and any of train_loss, test_loss, ... Default: the
        run's ``metrics.csv``, else what the checkpoints say of themselves.
    inputs : array_like, "probe" or None
        What drives the net, as in `lyapunov`. Default: the run's probe, else zero. The
        drive picks the start; the exponents are those of the zero phase after it.
    spectrum : bool
        All exponents rather than two.
    settings : mapping of measure to mapping, optional
        Changes to ``MEASURES[measure].defaults``.
    select : callable, optional
        Which checkpoints to analyse.
    module : str, optional
        Which recurrent module, where a file holds several.
    workers : int, optional
        Checkpoints at a time. Default: one a core.
    strict : bool
        Raise at the first checkpoint that cannot be used.
    progress : callable, optional
        Called in the calling thread after each checkpoint.

    Returns
    -------
    Sweep

    Raises
    ------
    CheckpointError
        No checkpoints found, or (strict) the first that cannot be used.
    StoreError, UsageError
        What is wrong with the store or with an argument.
    KeyboardInterrupt
        Ctrl-C; all finished rows are kept.
    """
    places = [checkpoints] if isinstance(checkpoints, str | PathLike) else checkpoints
    found = find_checkpoints(*places)
    files = [file for file in found if select is None or select(file)]
    if not files:
        raise CheckpointError(
            f"select: expected some of {len(found)} checkpoints, found none chosen"
        )
    run = run_folder(files[0].path)
    plan = _Plan(
        inputs=_inputs(inputs, run),
        settings=_merged(settings, spectrum),
        module=module,
        names=_names(found),
    )
    store_path = Path(out) if out is not None else run / "analysis.sqlite"
    with Store(store_path, write=True) as store:
        table = read_metrics(Path(metrics) if metrics is not None else None, run, found)
        store.set_checkpoints(
            {
                plan.names[file.path]: (file.update, table.get(file.update, {}))
                for file in found
            }
        )
        store.set_run(
            source=str(run),
            settings={name: dict(s) for name, s in plan.settings.items()},
            inputs=plan.regime,
            version=_core.__version__,
            numpy=np.__version__,
        )
        _fill(store, files, plan, workers, strict, progress)
    return open_sweep(store_path)


@dataclass(frozen=True)
class _Plan:
    """What is measured, on all checkpoints alike."""

    inputs: NDArray[Any] | None
    settings: Mapping[str, Mapping[str, Any]]
    module: str | None
    names: Mapping[Path, str]

    @property
    def regime(self) -> str:
        """The input regime in words."""
        if self.inputs is None:
            return "zero"
        kind = {1: "constant", 2: "one sequence", 3: "batch of sequences"}
        return f"{kind[self.inputs.ndim]} {self.inputs.shape}, then zero"

    @cached_property
    def inputs_digest(self) -> str:
        if self.inputs is None:
            return "zero"
        sha = hashlib.sha256(f"{self.inputs.shape}{self.inputs.dtype}".encode())
        sha.update(np.ascontiguousarray(self.inputs).data)
        return sha.hexdigest()

    def settings_for(self, measure: str, weights: Weights) -> dict[str, Any]:
        """Resolve k="all" for one net."""
        found = dict(self.settings[measure])
        if found.get("k") == "all":
            found["k"] = weights.state_size
        return found

    def keys(self, weights: Weights) -> dict[str, str]:
        """Measure to the key of its result."""
        return {
            name: result_key(
                weights.digest,
                name,
                MEASURES[name].revision,
                self.settings_for(name, weights),
                self.inputs_digest,
            )
            for name in self.settings
        }


def _names(files: list[CheckpointFile]) -> dict[Path, str]:
    """Shortest names that tell the files apart: file names, else their paths."""
    short = {file.path: file.path.name for file in files}
    return (
        short
        if len(set(short.values())) == len(files)
        else {file.path: str(file.path) for file in files}
    )


def _inputs(inputs: ArrayLike | str | None, run: Path) -> NDArray[Any] | None:
    if isinstance(inputs, str):
        if inputs != "probe":
            raise UsageError(
                f"inputs: expected 'probe', None or an array, found {inputs!r}"
            )
        return read_probe(run)
    if inputs is None:
        return None
    array = np.asarray(inputs)
    if array.ndim not in (1, 2, 3):
        raise UsageError(
            "inputs: expected an array of shape (I,), (T, I) or (B, T, I), found "
            f"{array.shape}"
        )
    return array


def _merged(
    settings: Mapping[str, Mapping[str, Any]] | None, spectrum: bool
) -> dict[str, dict[str, Any]]:
    """Add the user's settings to the defaults of the measures."""
    changes = dict(settings or {})
    for name in changes:
        if name not in MEASURES:
            raise UsageError(
                f"settings: expected measures among {list(MEASURES)}, found {name!r}"
            )
    merged = {
        name: {**measure.defaults, **changes.get(name, {})}
        for name, measure in MEASURES.items()
    }
    if spectrum:
        merged["lyapunov"]["k"] = "all"
    return merged


def _fill(
    store: Store,
    files: list[CheckpointFile],
    plan: _Plan,
    workers: int | None,
    strict: bool,
    progress: Callable[[Progress], None] | None,
) -> None:
    """Compute what is missing, a few checkpoints at a time; write each as it ends."""
    cores = os.cpu_count() or 1
    workers = min(workers or cores, len(files))
    cancel = _core.Cancel()
    job = _Job(plan, store.done(), max(1, cores // workers), cancel)
    begin, failed = time.monotonic(), 0
    executor = ThreadPoolExecutor(workers, "lstm-edge-sweep")
    try:
        for done, outcome in enumerate(
            _in_flight(executor, job, files, 2 * workers), 1
        ):
            outcome.write(store)
            if outcome.error is not None:
                failed += 1
                if strict:
                    raise outcome.error
            if progress is not None:
                seconds = time.monotonic() - begin
                progress(Progress(done, len(files), failed, outcome.name, seconds))
    except BaseException:
        cancel.cancel()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _in_flight(
    executor: ThreadPoolExecutor,
    job: Callable[[CheckpointFile], _Outcome],
    files: list[CheckpointFile],
    most: int,
) -> Iterator[_Outcome]:
    """Outcomes as they come, with at most `most` checkpoints in memory."""
    rest = iter(files)
    pending: set[Future[_Outcome]] = {
        executor.submit(job, file) for file in islice(rest, most)
    }
    while pending:
        # waking up now and then lets Ctrl-C in on every system
        ended, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
        for future in ended:
            yield future.result()
            pending |= {executor.submit(job, file) for file in islice(rest, 1)}


@dataclass
class _Outcome:
    """What became of one checkpoint."""

    name: str
    rows: list[Row] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    readable: bool = True
    error: LstmEdgeError | None = None

    def write(self, store: Store) -> None:
        if self.readable:
            store.forget_failure(self.name)
        for row in self.rows:
            store.put(row, _core.__version__)
        for key in self.copies:
            store.copy(key, self.name)


@dataclass(frozen=True)
class _Job:
    """Reads a checkpoint and takes the measures that the store lacks."""

    plan: _Plan
    done: Mapping[str, set[str]]
    threads: int
    cancel: _core.Cancel

    def __call__(self, file: CheckpointFile) -> _Outcome:
        name = self.plan.names[file.path]
        try:
            weights = read_checkpoint(file.path, module=self.plan.module)
        except (LstmEdgeError, OSError) as error:
            refused = _refused(error, file)
            row = Row(name, "checkpoint", "", status="failed", message=str(refused))
            return _Outcome(name, [row], readable=False, error=refused)
        outcome = _Outcome(name)
        for measure, key in self.plan.keys(weights).items():
            have = self.done.get(key)
            if have is None:
                self._take(measure, key, weights, outcome)
            elif name not in have:
                outcome.copies.append(key)
        return outcome

    def _take(
        self, measure: str, key: str, weights: Weights, outcome: _Outcome
    ) -> None:
        settings = self.plan.settings_for(measure, weights)
        about: dict[str, Any] = {
            "name": outcome.name,
            "measure": measure,
            "key": key,
            "revision": MEASURES[measure].revision,
            "settings": settings,
        }
        begin = time.perf_counter()
        try:
            scalars, arrays = MEASURES[measure].compute(
                weights,
                self.plan.inputs,
                settings,
                cancel=self.cancel,
                threads=self.threads,
            )
        except LstmEdgeError as error:
            outcome.error = error
            outcome.rows.append(Row(**about, status="failed", message=str(error)))
            return
        seconds = time.perf_counter() - begin
        outcome.rows.append(
            Row(**about, scalars=scalars, arrays=arrays, seconds=seconds)
        )


def _refused(error: Exception, file: CheckpointFile) -> LstmEdgeError:
    if isinstance(error, LstmEdgeError):
        return error
    return CheckpointError(f"{file.path}: cannot be read ({error})")
