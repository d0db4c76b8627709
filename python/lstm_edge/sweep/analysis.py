"""The sweep: every measure of every checkpoint, into a store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import closing
from itertools import pairwise
from typing import Any

from numpy.typing import ArrayLike

from lstm_edge.errors import CheckpointError, LstmEdgeError, UsageError
from lstm_edge.files.discovery import CheckpointFile
from lstm_edge.files.metrics import LogOptions
from lstm_edge.files.places import Where
from lstm_edge.measures.cost import available_cores
from lstm_edge.measures.phase import CHAOTIC_SHARE
from lstm_edge.measures.system import count
from lstm_edge.measures.table import CLOSER, numbers_of
from lstm_edge.results.sweep import Sweep, open_sweep
from lstm_edge.store.store import Store
from lstm_edge.sweep.destination import open_store
from lstm_edge.sweep.evaluation import Job, Outcome
from lstm_edge.sweep.found import Found, look
from lstm_edge.sweep.plan import Plan, make_plan
from lstm_edge.sweep.pool import fill
from lstm_edge.sweep.progress import Listener, Progress, told
from lstm_edge.sweep.visiting import around_falls, coarse_to_fine, until_certain
from lstm_edge.track.stability import stability

NAN = float("nan")

_LOG = logging.getLogger("lstm_edge")

ELSEWHERE = 64
"""Checkpoints in flight to an executor that does not say how many workers it has."""


def analyze(
    checkpoints: Where | Iterable[Where],
    *,
    out: Where | None = None,
    metrics: Where | None = None,
    log: LogOptions | None = None,
    time_from: str | None = None,
    inputs: ArrayLike | str | None = "probe",
    spectrum: bool = False,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    select: Iterable[int] | Callable[[CheckpointFile], bool] | None = None,
    refine: bool = False,
    module: str | None = None,
    readout: str | None = None,
    embedding: str | None = None,
    constant_token: int | None = None,
    workers: int | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
    strict: bool = False,
    progress: Listener | bool | None = None,
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
        The log of training, in any form of `lstm_edge.files.logs`: CSV, JSON, JSON
        lines, TensorBoard. Its times may be updates or epochs. Default: the log in the
        run's folder, where one fits; else what the checkpoints say of themselves.
        ``sweep.run["losses"]`` tells what was taken.
    log : LogOptions, optional
        The columns of the log, where they are not found.
    time_from : str, optional
        A regular expression that finds the time in a file's name, as in
        `find_checkpoints`.
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
        Only those of them that the sustained transitions hang on, and those around the
        falls of the test loss, some fifth or less:
        the rest lies inside one phase, as far as can be told (see
        `lstm_edge.track.refinement`).
    module, readout, embedding : str, optional
        Names of what is taken, where a file holds several, as in `as_weights`.
    constant_token : int, optional
        The input after the tokens of the probe, and where there are none: the embedding
        of this token, as of padding at the end, rather than zero.
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
    progress : bool or callable
        True writes a line to the standard error that tells how far it is, in a terminal
        or a notebook. A callable is called after each checkpoint, in this thread.

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

    Examples
    --------
    >>> import lstm_edge
    >>> sweep = lstm_edge.analyze("runs/digits")
    >>> len(sweep.names)
    3
    >>> sweep.to_pandas()[["update", "phase", "lambda_max"]].shape
    (3, 3)
    """
    found = look(checkpoints, metrics, log, time_from)
    _LOG.info(found.times)
    files = _selected(found.files, select)
    names = {"module": module, "readout": readout, "embedding": embedding}
    plan = make_plan(
        found,
        inputs,
        settings,
        names,
        spectrum=spectrum,
        constant_token=constant_token,
    )
    workers, threads = _shared_out(workers, threads, len(files), executor)
    with open_store(out, found, plan) as store:
        known = store.done()
        job = Job(plan, found.names, known, threads, executor)
        steady: dict[int, float] = {}
        close: set[int] = set()
        place = {found.names[file.path]: i for i, file in enumerate(files)}
        phase: dict[int, str] = {}
        order: Iterator[int | None] = coarse_to_fine(len(files), phase)
        if refine:
            updates = [file.update for file in files]
            losses = [found.metrics.get(u, {}).get("test_loss", NAN) for u in updates]
            more = around_falls(updates, losses)
            order = until_certain(len(files), phase, more)
        visits = (None if i is None else files[i] for i in order)
        ahead = 0 if executor else workers
        begin = time.monotonic()
        errors: list[LstmEdgeError] = []
        nets: set[str] = set()
        doubts: set[str] = set()
        done = 0
        outcomes = fill(store, job, visits, workers, ahead)
        with told(progress) as report, closing(outcomes):
            for done, outcome in enumerate(outcomes, 1):
                phase[place[outcome.name]] = outcome.phase
                doubts.update(outcome.doubts)
                steady[place[outcome.name]] = _stability(outcome)
                if _hangs_on_one(outcome, plan):
                    close.add(place[outcome.name])
                if outcome.error is not None:
                    errors.append(outcome.error)
                if strict:
                    _refuse(outcome, nets)
                total = None if refine else len(files)
                seconds = time.monotonic() - begin
                report(Progress(done, total, len(errors), outcome.name, seconds))
        _keep(store, found, doubts)
        if CLOSER in plan.settings:
            job = Job(plan, found.names, known, threads, executor, closer=True)
            _look_closer(store, job, files, steady, close, workers)
    wrong = [error for error in errors if isinstance(error, UsageError)]
    if wrong and len(wrong) == done:  # what none can take is no checkpoint's fault
        raise wrong[0]
    return open_sweep(store.path)


def _keep(store: Store, found: Found, doubts: set[str]) -> None:
    """Write down what was assumed of the nets, beside what is known of the times."""
    if doubts:  # else all is there: a disk that is nearly full has room for no more
        store.set_run(assumed=[*found.doubts, *sorted(doubts)])


def _stability(outcome: Outcome) -> float:
    return stability(numbers_of(outcome.scalars)).value


def _hangs_on_one(outcome: Outcome, plan: Plan) -> bool:
    """Whether the phase would be another one if one start had ended elsewhere."""
    starts = int(plan.settings.get("attractors", {}).get("starts", 0))
    share = float(numbers_of(outcome.scalars).get("chaotic_share", 0.0))
    chaotic, most = share * starts, CHAOTIC_SHARE * starts
    return 0 < chaotic < starts and most - 1 <= chaotic < most + 1


def _look_closer(
    store: Store,
    job: Job,
    files: list[CheckpointFile],
    steady: dict[int, float],
    close: set[int],
    workers: int,
) -> None:
    """Follow more starts of close calls, and of stable ones beside unstable ones.

    One that turns out to be unstable brings its neighbour into doubt.
    """
    seen: set[int] = set()
    while wanted := (_beside_unstable(steady) | close) - seen:
        seen |= wanted
        chosen = [files[i] for i in sorted(wanted)]
        place = {job.names[files[i].path]: i for i in wanted}
        with closing(fill(store, job, chosen, workers, 0)) as outcomes:
            for outcome in outcomes:
                if outcome.error is None:
                    steady[place[outcome.name]] = _stability(outcome)


def _beside_unstable(steady: dict[int, float]) -> set[int]:
    """Name the stable checkpoints next to an unstable one, of those that are known."""
    told = [i for i in sorted(steady) if steady[i] in (0.0, 1.0)]
    pairs = [(a, b) for a, b in pairwise(told) if steady[a] != steady[b]]
    return {a if steady[a] else b for a, b in pairs}


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


def _shared_out(
    workers: int | None, threads: int | None, files: int, executor: Executor | None
) -> tuple[int, int]:
    """Checkpoints at a time and cores for each, by the cores this process may use."""
    if executor is not None:
        most = getattr(executor, "_max_workers", None)  # as those of Python have it
        workers = 2 * most if workers is None and isinstance(most, int) else workers
        workers = ELSEWHERE if workers is None else count("workers", workers)
        return workers, 1 if threads is None else count("threads", threads)
    cores = available_cores()
    workers = min(cores if workers is None else count("workers", workers), files)
    each = max(1, cores // workers)
    return workers, each if threads is None else count("threads", threads)
