"""The sweep: every measure of every checkpoint, into a store."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lstm_edge import _core
from lstm_edge.checkpoints import CheckpointFile, find_checkpoints
from lstm_edge.errors import CheckpointError, LstmEdgeError, UsageError, one_line
from lstm_edge.evaluation import Job, Outcome, fill
from lstm_edge.measures.regime import count
from lstm_edge.metrics import METRICS, Metrics, read_metrics, run_folder
from lstm_edge.places import absolute, as_place, is_place, is_remote
from lstm_edge.plan import Plan, choose_inputs, merge_settings
from lstm_edge.results import Sweep, Where, open_sweep
from lstm_edge.store import Store
from lstm_edge.visiting import coarse_to_fine, until_certain

ELSEWHERE = 64
"""Checkpoints in flight to an executor that does not say how many workers it has."""


@dataclass(frozen=True)
class Progress:
    """How far a sweep is.

    Attributes
    ----------
    done, failed : int
        Checkpoints.
    total : int or None
        None where a sweep refines: it ends when nothing is in doubt any more.
    name : str
        The checkpoint just finished.
    seconds : float
        Since the sweep began.
    """

    done: int
    total: int | None
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
    select: Iterable[int] | Callable[[CheckpointFile], bool] | None = None,
    refine: bool = False,
    module: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
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
    inputs : array_like, "probe", "closed loop" or None
        What drives the net, as in `lyapunov`. Default: the run's probe, else zero. The
        drive picks the start; the exponents are those of the zero phase after it. In a
        closed loop the readout is the next input: so are forecasters measured, whose
        checkpoints say that they are.
    spectrum : bool
        All exponents rather than two.
    settings : mapping of measure to mapping, optional
        Changes to ``MEASURES[measure].defaults``.
    select : list of int or callable, optional
        Which checkpoints to analyse: their updates, or what is true of them.
    refine : bool
        Only those of them that the sustained transitions hang on, some fifth or less:
        the rest lies inside one phase, as far as can be told (see
        `lstm_edge.refinement`).
    module : str, optional
        Which recurrent module, where a file holds several.
    workers : int, optional
        Checkpoints at a time. Default: one a core; with an executor twice what it says
        it has, else 64.
    threads : int, optional
        Cores for each of them. Default: all cores are shared out; with an executor 1.
    executor : concurrent.futures.Executor, optional
        Where to measure: other processes, or other machines. Checkpoints are read and
        results are written here. It gives the same bits, and is not shut down.
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
    found = look(checkpoints, metrics)
    files = _selected(found.files, select)
    plan = make_plan(found, inputs, settings, module, spectrum=spectrum)
    workers, threads = _shared_out(workers, threads, len(files), executor)
    with open_store(out, found) as store:
        describe_sweep(store, found, plan)
        present = store.done()
        job = Job(plan, found.names, present, threads, executor)
        place = {found.names[file.path]: i for i, file in enumerate(files)}
        phase: dict[int, str] = {}
        order = (until_certain if refine else coarse_to_fine)(len(files), phase)
        visits = (None if i is None else files[i] for i in order)
        ahead = 0 if executor else workers
        begin = time.monotonic()
        errors: list[LstmEdgeError] = []
        nets: set[str] = set()
        done = 0
        with closing(fill(store, job, present, visits, workers, ahead)) as outcomes:
            for done, outcome in enumerate(outcomes, 1):
                phase[place[outcome.name]] = outcome.phase
                if outcome.error is not None:
                    errors.append(outcome.error)
                if strict:
                    _refuse(outcome, nets)
                if progress is not None:
                    total = None if refine else len(files)
                    seconds = time.monotonic() - begin
                    failed, name = len(errors), outcome.name
                    progress(Progress(done, total, failed, name, seconds))
    wrong = [error for error in errors if isinstance(error, UsageError)]
    if wrong and len(wrong) == done:  # what none can take is no checkpoint's fault
        raise wrong[0]
    return open_sweep(store.path)


def _refuse(outcome: Outcome, nets: set[str]) -> None:
    """Raise the first error, also that of a net unlike those before."""
    if outcome.error is not None:
        raise outcome.error
    nets |= {outcome.architecture} - {""}
    if len(nets) > 1:
        raise CheckpointError(
            f"{outcome.name}: expected the net of the checkpoints before, found one of "
            f"{' and '.join(sorted(nets))}; analyse each on its own"
        )


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


@dataclass(frozen=True)
class Found:
    """The checkpoints of a sweep, and what goes with them.

    Attributes
    ----------
    files : list of CheckpointFile
        In ascending order of update.
    run : Path
        The one folder that all belong to; else the current one.
    names : dict of Path to str
        Their paths from the folder that holds them all.
    metrics : dict of int to dict
        What training said, by update.
    """

    files: list[CheckpointFile]
    run: Path
    names: dict[Path, str]
    metrics: Metrics

    @property
    def forecasts(self) -> bool:
        """Whether the checkpoints say that the net forecasts its own next input."""
        return self.files[0].metadata.get("closed_loop") == "true"

    def describe(self, store: Store) -> None:
        """Write down which checkpoints there are."""
        store.set_checkpoints(
            {
                self.names[file.path]: (file.update, self.metrics.get(file.update, {}))
                for file in self.files
            }
        )


def look(
    checkpoints: Where | Iterable[Where],
    metrics: Where | None,
    *,
    before: Metrics | None = None,
) -> Found:
    """Find the checkpoints that there are now, and what training says of them.

    Parameters
    ----------
    checkpoints, metrics
        As in `analyze`.
    before : dict, optional
        What training said before: it stands while there are no metrics to be read, as
        when a row is half written. Default: such metrics are refused.

    Raises
    ------
    CheckpointError, UsageError
        No checkpoints, or metrics that cannot be used.
    """
    places: Any = [checkpoints] if is_place(checkpoints) else checkpoints
    files = find_checkpoints(*places)
    if not files:
        raise CheckpointError("checkpoints: expected some files or folders, found none")
    folders = {run_folder(absolute(file.path)) for file in files}
    run = folders.pop() if len(folders) == 1 else Path()
    path = None if metrics is None else as_place(metrics)
    try:
        table = read_metrics(path, run, files)
    except UsageError:
        if before is None:
            raise
        table = before
    if path is not None and before is None:
        _refuse_silence(path, table, files)
    return Found(files, run, _names(files), table)


def _refuse_silence(path: Path, table: Metrics, files: list[CheckpointFile]) -> None:
    """Refuse metrics that tell nothing of any checkpoint."""
    if not any(table.get(file.update) for file in files):
        raise UsageError(
            f"{path}: expected rows for the checkpoints' updates ({files[0].update} to "
            f"{files[-1].update}) with some of {', '.join(METRICS)}; found none"
        )


def _names(files: list[CheckpointFile]) -> dict[Path, str]:
    parts = {file.path: absolute(file.path).as_posix().split("/") for file in files}
    levels = zip(*(names[:-1] for names in parts.values()), strict=False)
    common = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
    return {path: _shown("/".join(names[common:])) for path, names in parts.items()}


def _shown(name: str) -> str:
    """Give a name that terminals and stores can hold, of one file only."""
    return one_line(name.replace("\\", "\\\\"))


def make_plan(
    found: Found,
    inputs: ArrayLike | str | None,
    settings: Mapping[str, Mapping[str, Any]] | None,
    module: str | None,
    *,
    spectrum: bool = False,
) -> Plan:
    """Settle what is measured of the checkpoints found.

    Parameters
    ----------
    found : Found
    inputs, settings, module, spectrum
        As in `analyze`.
    """
    if isinstance(inputs, str) and inputs == "probe" and found.forecasts:
        inputs = "closed loop"
    closed_loop = isinstance(inputs, str) and inputs == "closed loop"
    plan = Plan(
        inputs=choose_inputs(inputs, found.run),
        settings=merge_settings(settings, spectrum=spectrum, closed_loop=closed_loop),
        module=module,
    )
    plan.check_that_inputs_end()
    return plan


def open_store(out: Where | None, found: Found) -> Store:
    """Open the store of a sweep for writing; beside the run where none is named.

    Raises
    ------
    StoreError, UsageError
        A store that cannot be written, or a place that is none on this machine.
    """
    path = found.run / "analysis.sqlite" if out is None else as_place(out)
    if is_remote(path):
        if out is not None:
            raise UsageError(
                f"{out}: expected a path on this machine, where alone a store can be"
            )
        path = Path("analysis.sqlite")
    return Store(path, write=True)


def describe_sweep(store: Store, found: Found, plan: Plan) -> None:
    """Write down what a sweep measures, and which checkpoints there are."""
    found.describe(store)
    store.set_run(
        source=str(found.run),
        settings={name: dict(s) for name, s in plan.settings.items()},
        inputs=plan.regime,
        measures=plan.measures,
        version=_core.__version__,
        numpy=np.__version__,
    )


def _shared_out(
    workers: int | None, threads: int | None, files: int, executor: Executor | None
) -> tuple[int, int]:
    """Checkpoints at a time and cores for each, by the cores this process may use."""
    if executor is not None:
        most = getattr(executor, "_max_workers", None)  # as those of Python have it
        workers = 2 * most if workers is None and isinstance(most, int) else workers
        workers = ELSEWHERE if workers is None else count("workers", workers)
        return workers, 1 if threads is None else count("threads", threads)
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    workers = min(cores if workers is None else count("workers", workers), files)
    each = max(1, cores // workers)
    return workers, each if threads is None else count("threads", threads)
