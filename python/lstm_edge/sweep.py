"""The sweep: every measure of every checkpoint, into a store."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cached_property, partial
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
from lstm_edge.measures.regime import count
from lstm_edge.metrics import METRICS, read_metrics, read_probe, run_folder
from lstm_edge.results import Sweep, Where, open_sweep
from lstm_edge.store import Row, Store, result_key
from lstm_edge.visiting import coarse_to_fine
from lstm_edge.weights import Weights


@dataclass(frozen=True)
class Progress:
    """How far a sweep is: numbers of checkpoints, and the seconds since it began."""

    done: int
    total: int
    failed: int
    name: str
    """The checkpoint just finished."""
    seconds: float


def analyze(
    checkpoints: Where | Iterable[Where],
    *,
    out: Where | None = None,
    metrics: Where | None = None,
    inputs: ArrayLike | str | None = "probe",
    spectrum: bool = False,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    select: Iterable[int] | Callable[[CheckpointFile], bool] | None = None,
    module: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    strict: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Sweep:
    """Measure every checkpoint found, and find where training crosses into chaos.

    Checkpoints are visited coarse to fine, around changes of phase first, so that
    `open_sweep` shows the whole picture long before the end. Results are stored one by
    one; the same call goes on where a former one ended, and
    computes nothing twice. A checkpoint that cannot be used costs its own row, and is
    tried again by the next call. A store keeps the results of all settings it was ever
    asked for; the sweep shows those of the newest call.

    Parameters
    ----------
    checkpoints : path or list of paths
        A run folder, a folder of weight files, files, or globs.
    out : path, optional
        The store. Default: ``analysis.sqlite`` in the run folder or beside the files;
        in the current folder where they lie in several.
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
    select : list of int or callable, optional
        Which checkpoints to analyse: their updates, or what is true of them.
    module : str, optional
        Which recurrent module, where a file holds several.
    workers : int, optional
        Checkpoints at a time. Default: one a core.
    threads : int, optional
        Cores for each of them. Default: all cores are shared out.
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
    if not found:
        raise CheckpointError("checkpoints: expected some files or folders, found none")
    files = _selected(found, select)
    run = _run(found)
    plan = _Plan(
        inputs=_inputs(inputs, run),
        settings=_merged(settings, spectrum),
        module=module,
        names=_names(found),
    )
    plan.check_that_inputs_end()
    store_path = Path(out) if out is not None else run / "analysis.sqlite"
    with Store(store_path, write=True) as store:
        table = _metrics(metrics, run, found)
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
            measures=plan.measures,
            version=_core.__version__,
            numpy=np.__version__,
        )
        workers, threads = _shared_out(workers, threads, len(files))
        _fill(store, files, plan, workers, threads, strict, progress)
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
        if self.inputs.dtype.kind in "iu":
            return f"integers {self.inputs.shape}, tokens where there is an embedding"
        if self.inputs.ndim == 1:
            return f"constant {self.inputs.shape}"
        kind = "one sequence" if self.inputs.ndim == 2 else "batch of sequences"
        return f"{kind} {self.inputs.shape}, then zero"

    def check_that_inputs_end(self) -> None:
        """Refuse inputs that last beyond the transient, or beyond the T of D~.

        The columns of a sweep are those of the autonomous map.
        """
        if self.inputs is None or self.inputs.ndim == 1:
            return
        tokens = self.inputs.dtype.kind in "iu"
        length = self.inputs.shape[-1 if tokens else -2]
        for measure, name in (
            ("lyapunov", "transient"),
            ("attractors", "transient"),
            ("distance", "steps"),
        ):
            most = self.settings.get(measure, {}).get(name, length)
            if length > most:
                raise UsageError(
                    f"inputs: expected at most {most} steps, the {name} of {measure}, "
                    f"found {length}; a sweep measures the net after its inputs: take "
                    f"a longer {name}, or shorter inputs"
                )

    @cached_property
    def inputs_digest(self) -> str:
        if self.inputs is None:
            return "zero"
        sha = hashlib.sha256(f"{self.inputs.shape}{self.inputs.dtype}".encode())
        sha.update(np.ascontiguousarray(self.inputs).data)
        return sha.hexdigest()

    @cached_property
    def measures(self) -> dict[str, tuple[int, dict[str, Any]]]:
        """Measure to all that determines its result, beside the weights."""
        return {
            name: (MEASURES[name].revision, {**chosen, "inputs": self.inputs_digest})
            for name, chosen in self.settings.items()
        }


def _selected(
    found: list[CheckpointFile],
    select: Iterable[int] | Callable[[CheckpointFile], bool] | None,
) -> list[CheckpointFile]:
    if select is not None and not callable(select):
        updates = set(select)
        return _selected(found, lambda file: file.update in updates)
    files = [file for file in found if select is None or select(file)]
    if not files:
        raise CheckpointError(
            f"select: expected some of {len(found)} checkpoints, found none chosen"
        )
    return files


def _run(found: list[CheckpointFile]) -> Path:
    """Find the one folder that all belong to; else the current one."""
    folders = {run_folder(file.path.absolute()) for file in found}
    return folders.pop() if len(folders) == 1 else Path()


def _metrics(
    path: Where | None, run: Path, found: list[CheckpointFile]
) -> dict[int, dict[str, float]]:
    table = read_metrics(None if path is None else Path(path), run, found)
    if path is not None and not any(table.get(file.update) for file in found):
        raise UsageError(
            f"{path}: expected rows for the checkpoints' updates ({found[0].update} to "
            f"{found[-1].update}) with some of {', '.join(METRICS)}; found none"
        )
    return table


def _shared_out(
    workers: int | None, threads: int | None, files: int
) -> tuple[int, int]:
    """Checkpoints at a time and cores for each, by the cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    workers = min(cores if workers is None else count("workers", workers), files)
    each = max(1, cores // workers)
    return workers, each if threads is None else count("threads", threads)


def _names(found: list[CheckpointFile]) -> dict[Path, str]:
    """Their paths from the folder that holds them all."""
    paths = {file.path: file.path.absolute() for file in found}
    base = os.path.commonpath([path.parent for path in paths.values()])
    return {file: path.relative_to(base).as_posix() for file, path in paths.items()}


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
    if array.ndim not in (1, 2, 3) or array.dtype.kind not in "fiub":
        raise UsageError(
            "inputs: expected numbers of shape (I,), (T, I) or (B, T, I), found "
            f"{array.dtype} of shape {array.shape}"
        )
    return array


def _merged(
    settings: Mapping[str, Mapping[str, Any]] | None, spectrum: bool
) -> dict[str, dict[str, Any]]:
    """Add the user's settings to the defaults of the measures."""
    changes = dict(settings or {})
    _known("settings", changes, MEASURES)
    for name, change in changes.items():
        _known(f"settings[{name!r}]", change, MEASURES[name].defaults)
    merged = {
        name: {**measure.defaults, **changes.get(name, {})}
        for name, measure in MEASURES.items()
    }
    if spectrum:
        merged["lyapunov"]["k"] = None
    return merged


def _known(where: str, names: Iterable[str], known: Iterable[str]) -> None:
    unknown = ", ".join(repr(name) for name in sorted({*names} - {*known}))
    if unknown:
        raise UsageError(
            f"{where}: expected some of {', '.join(known)}, found {unknown}"
        )


def _fill(
    store: Store,
    files: list[CheckpointFile],
    plan: _Plan,
    workers: int,
    threads: int,
    strict: bool,
    progress: Callable[[Progress], None] | None,
) -> None:
    """Compute what is missing, a few checkpoints at a time; write each as it ends."""
    cancel = _core.Cancel()
    present = store.done()
    job = _Job(plan, present, threads, cancel)
    begin = time.monotonic()
    errors: list[LstmEdgeError] = []
    executor = ThreadPoolExecutor(workers, "lstm-edge-sweep")
    try:
        place = {plan.names[file.path]: i for i, file in enumerate(files)}
        phase: dict[int, str] = {}
        order = (files[i] for i in coarse_to_fine(len(files), phase))
        outcomes = _in_flight(executor, job, order, 2 * workers)
        for done, outcome in enumerate(outcomes, 1):
            outcome.write(store, present)
            phase[place[outcome.name]] = outcome.phase
            if outcome.error is not None:
                errors.append(outcome.error)
                if strict:
                    raise outcome.error
            if progress is not None:
                seconds = time.monotonic() - begin
                progress(Progress(done, len(files), len(errors), outcome.name, seconds))
    except BaseException:
        cancel.cancel()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
    wrong = [error for error in errors if isinstance(error, UsageError)]
    if len(wrong) == len(files):  # what no checkpoint can take is no checkpoint's fault
        raise wrong[0]


def _in_flight(
    executor: ThreadPoolExecutor,
    job: Callable[[CheckpointFile], _Outcome],
    files: Iterable[CheckpointFile],
    most: int,
) -> Iterator[_Outcome]:
    """Outcomes as they come, with at most `most` checkpoints in memory.

    Those that end together come in the order in which they were begun.
    """
    rest = iter(files)
    pending = [executor.submit(job, file) for file in islice(rest, most)]
    while pending:
        # waking up now and then lets Ctrl-C in on every system
        ended, _ = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
        for future in [future for future in pending if future in ended]:
            yield future.result()
            pending.remove(future)
            pending += [executor.submit(job, file) for file in islice(rest, 1)]


@dataclass
class _Outcome:
    """What became of one checkpoint."""

    name: str
    rows: list[Row] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    readable: bool = True
    error: LstmEdgeError | None = None

    @property
    def phase(self) -> str:
        """What the newest of its rows says; "" where none was computed."""
        told = [row.scalars["phase"] for row in self.rows if "phase" in row.scalars]
        return str(told[-1]) if told else ""

    def write(self, store: Store, present: dict[str, set[str]]) -> None:
        """Store the rows, and make those that are done known to the jobs to come."""
        if self.readable:
            store.forget_failure(self.name)
        for row in self.rows:
            store.put(row, _core.__version__)
            if row.status == "done":
                present.setdefault(row.key, set()).add(self.name)
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
        except LstmEdgeError as error:
            row = Row(name, "checkpoint", "", status="failed", message=str(error))
            return _Outcome(name, [row], readable=False, error=error)
        outcome = _Outcome(name)
        for measure, about in self.plan.measures.items():
            key = result_key(weights.digest, measure, *about, self.plan.inputs_digest)
            have = self.done.get(key)
            if have is None:
                self._take(measure, key, weights, outcome)
            elif name not in have:
                outcome.copies.append(key)
        return outcome

    def _take(
        self, measure: str, key: str, weights: Weights, outcome: _Outcome
    ) -> None:
        settings = self.plan.settings[measure]
        row = partial(Row, outcome.name, measure, key, *self.plan.measures[measure])
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
            outcome.error = outcome.error or error
            outcome.rows.append(row(status="failed", message=str(error)))
            return
        seconds = time.perf_counter() - begin
        outcome.rows.append(row(scalars=scalars, arrays=arrays, seconds=seconds))
