"""Evaluation: from a checkpoint file to its rows, here or on another machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import BrokenExecutor, Executor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lstm_edge import _core
from lstm_edge.errors import LstmEdgeError, one_line
from lstm_edge.files.discovery import CheckpointFile
from lstm_edge.measures.table import CLOSER, MEASURES
from lstm_edge.net.reading import read_checkpoint
from lstm_edge.net.weights import Weights
from lstm_edge.store.rows import Row, result_key
from lstm_edge.store.store import Store
from lstm_edge.sweep.plan import Plan

GLANCE = 0.2
"""Seconds after which a wait looks for Ctrl-C, and for new checkpoints."""


@dataclass
class Outcome:
    """What became of one checkpoint.

    Attributes
    ----------
    name : str
    rows : list of Row
        What was computed, or what failed.
    there : dict of str to str
        Measure to the key of a result that the store has for weights like these.
    readable : bool
    error : LstmEdgeError or None
        The first.
    doubts : list of str
        What was assumed of the net, in sentences.
    scalars : dict of str to dict
        Numbers by measure, computed or there before; known once it is written.
    written : Event
        Set once its rows are in the store.
    """

    name: str
    rows: list[Row] = field(default_factory=list)
    there: dict[str, str] = field(default_factory=dict)
    readable: bool = True
    error: LstmEdgeError | None = None
    doubts: list[str] = field(default_factory=list)
    scalars: dict[str, dict[str, Any]] = field(default_factory=dict)
    written: threading.Event = field(default_factory=threading.Event)

    @property
    def architecture(self) -> str:
        """Of the net, such as "lstm 8 -> 60"; "" where it is not known."""
        return str(self.scalars.get("sketch", {}).get("architecture", ""))

    @property
    def phase(self) -> str:
        """What the last of its measures says; "" where none does."""
        told = [numbers.get("phase", "") for numbers in self.scalars.values()]
        return str(next(filter(None, reversed(told)), ""))

    def refused(self, source: str, error: LstmEdgeError) -> Outcome:
        """Turn into that of a checkpoint which cannot be measured."""
        message = _without(source, error)
        row = Row(self.name, "checkpoint", "", status="failed", message=message)
        self.rows = [replace(row, version=_core.__version__)]
        self.readable, self.error = False, error
        return self

    def write(self, store: Store, done: dict[str, set[str]]) -> None:
        """Store the rows, and add those that are done to what a `Job` knows."""
        if self.readable:
            store.forget_failure(self.name)
        for row in self.rows:
            store.put(row)
            if row.status == "done":
                done.setdefault(row.key, set()).add(self.name)
                self.scalars[row.measure] = row.scalars
        for measure, key in self.there.items():
            if self.name not in done[key]:
                store.copy(key, self.name)
            self.scalars[measure] = store.row(self.name, key).scalars
        self.written.set()


@dataclass(frozen=True)
class Measurement:
    """A measure that is to be taken, and the row that it gives."""

    row: Row
    settings: Mapping[str, Any]


def evaluate(
    weights: Weights,
    inputs: NDArray[Any] | None,
    wanted: Iterable[Measurement],
    threads: int | None = None,
    cancel: _core.Cancel | None = None,
) -> tuple[list[Row], LstmEdgeError | None]:
    """Take some measures of a net; an executor may do so on any machine.

    Parameters
    ----------
    weights : Weights
    inputs : ndarray or None
        As in `lyapunov`.
    wanted : iterable of Measurement
    threads : int, optional
    cancel : Cancel, optional
        Ends the computation from another thread.

    Returns
    -------
    rows : list of Row
        One for each measurement.
    error : LstmEdgeError or None
        The first.
    """
    rows: list[Row] = []
    first: LstmEdgeError | None = None
    for measurement in wanted:
        row = replace(measurement.row, version=_core.__version__)
        begin = time.perf_counter()
        try:
            scalars, arrays = MEASURES[row.measure].compute(
                weights, inputs, measurement.settings, cancel=cancel, threads=threads
            )
        except (LstmEdgeError, MemoryError) as failure:
            error = _said(failure, weights)
            first = first or error
            message = _without(weights.source, error)
            rows.append(replace(row, status="failed", message=message))
            continue
        seconds = time.perf_counter() - begin
        rows.append(replace(row, scalars=scalars, arrays=arrays, seconds=seconds))
    return rows, first


def _said(failure: LstmEdgeError | MemoryError, weights: Weights) -> LstmEdgeError:
    if isinstance(failure, LstmEdgeError):
        return failure
    return LstmEdgeError(f"{weights.source}: its measures do not fit into memory")


@dataclass(frozen=True)
class Job:
    """Reads a checkpoint and takes the measures that the store lacks.

    Attributes
    ----------
    plan : Plan
    names : mapping of Path to str
        Names of the checkpoints in the store.
    done : dict of str to set of str
        As `Store.done` gives it; it grows.
    threads : int or None
        Cores for each checkpoint.
    executor : Executor or None
        Where to take the measures; None is here.
    closer : bool
        Take the closer look, rather than all other measures.
    """

    plan: Plan
    names: Mapping[Path, str]
    done: dict[str, set[str]]
    threads: int | None = None
    executor: Executor | None = None
    closer: bool = False
    _begun: dict[str, threading.Event] = field(default_factory=dict)
    _cancel: _core.Cancel = field(default_factory=_core.Cancel)
    _cancelled: threading.Event = field(default_factory=threading.Event)
    _answered: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """End all calls of this job, from any thread, with KeyboardInterrupt."""
        self._cancelled.set()
        self._cancel.cancel()

    def __call__(self, file: CheckpointFile) -> Outcome:
        """Give what becomes of a checkpoint."""
        outcome = Outcome(self.names[file.path])
        try:
            weights = read_checkpoint(file.path, **self.plan.names)
            if self.plan.constant_token is not None:
                weights = weights.under_token(self.plan.constant_token)
        except LstmEdgeError as error:
            return outcome.refused(str(file.path), error)
        outcome.doubts = [weights.assumed] if weights.assumed else []
        if weights.unused:
            unused = ", ".join(weights.unused)
            outcome.doubts.append(f"tensors of the net are not used: {unused}")
        self._wait_for_equal(weights, outcome)
        wanted = self._wanted(weights, outcome)
        if self.executor is None or not wanted:
            outcome.rows, outcome.error = evaluate(
                weights, self.plan.inputs, wanted, self.threads, self._cancel
            )
            return outcome
        return self._elsewhere(self.executor, outcome, weights, wanted)

    def _wait_for_equal(self, weights: Weights, outcome: Outcome) -> None:
        """Wait while weights like these are in flight: their results can be copied."""
        first = self._begun.setdefault(weights.digest, outcome.written)
        while first is not outcome.written and not first.wait(GLANCE):
            if self._cancelled.is_set():
                raise KeyboardInterrupt

    def _wanted(self, weights: Weights, outcome: Outcome) -> list[Measurement]:
        """Tell what is to be computed, and what is there."""
        wanted = []
        for measure, about in self.plan.measures.items():
            if (measure == CLOSER) is not self.closer:
                continue
            key = result_key(weights.digest, measure, *about, self.plan.inputs_digest)
            if key in self.done:
                outcome.there[measure] = key
            else:
                row = Row(outcome.name, measure, key, *about)
                wanted.append(Measurement(row, self.plan.settings[measure]))
        return wanted

    def _elsewhere(
        self,
        executor: Executor,
        outcome: Outcome,
        weights: Weights,
        wanted: list[Measurement],
    ) -> Outcome:
        """Have the executor take the measures.

        One that has answered before is sound: what it fails at is this checkpoint's
        fault. One that never did, or says that it is broken, ends the sweep.
        """
        submitted = False
        try:
            future = executor.submit(
                evaluate, weights, self.plan.inputs, wanted, self.threads
            )
            submitted = True
            while not future.done():
                wait([future], GLANCE)
                if self._cancelled.is_set():
                    future.cancel()
                    raise KeyboardInterrupt
                if hasattr(executor, "check"):  # those that can be lost have it
                    executor.check()
            rows, error = future.result()
            if other := {row.version for row in rows} - {_core.__version__}:
                raise LstmEdgeError(
                    f"a worker has lstm-edge {', '.join(sorted(other))}"
                )
            outcome.rows, outcome.error = rows, error
            self._answered.set()
        except Exception as failure:
            failed = LstmEdgeError(
                f"{outcome.name}: the executor failed ({type(failure).__name__}: "
                f"{failure}); expected workers that live and have lstm-edge "
                f"{_core.__version__} installed"
            )
            sound = submitted and self._answered.is_set()
            if isinstance(failure, BrokenExecutor) or not sound:
                raise failed from failure
            return outcome.refused(outcome.name, failed)
        return outcome


def _without(source: str, error: LstmEdgeError) -> str:
    """Give the message alone: the row has the checkpoint's name."""
    return str(error).removeprefix(one_line(f"{source}: "))
