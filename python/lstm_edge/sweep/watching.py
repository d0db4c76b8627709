"""Watching: a sweep beside the training that writes the checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from lstm_edge.errors import CheckpointError
from lstm_edge.files.discovery import CheckpointFile
from lstm_edge.files.metrics import LogOptions
from lstm_edge.files.places import Where, stamp
from lstm_edge.measures.system import count, positive
from lstm_edge.measures.table import numbers_of
from lstm_edge.store.store import Store
from lstm_edge.sweep.destination import open_store
from lstm_edge.sweep.evaluation import Job, Outcome
from lstm_edge.sweep.found import Found, look
from lstm_edge.sweep.plan import make_plan
from lstm_edge.sweep.pool import fill
from lstm_edge.sweep.visiting import coarse_to_fine
from lstm_edge.track.advice import Advice
from lstm_edge.track.track import Track, make_track

_LOG = logging.getLogger("lstm_edge")


@dataclass(frozen=True)
class Watched:
    """A checkpoint that was just measured.

    Attributes
    ----------
    name : str
    update : int
    epoch : float
        NaN where it is not known, as the losses.
    phase : str
        "order", "edge", "chaos"; "" where it cannot be told.
    exponent, stderr : float
        The largest exponent over the starts, nats per step, and its error.
    distance : float
        D~ of Wei et al. 2025.
    test_loss : float
    message : str
        Why it could not be used; "" else.
    advice : Advice
        The checkpoint to take by what is known so far.
    store : Path
        Where the results are.
    """

    name: str
    update: int
    epoch: float
    phase: str
    exponent: float
    stderr: float
    distance: float
    test_loss: float
    message: str
    advice: Advice
    store: Path


def watch(
    checkpoints: Where | Iterable[Where],
    *,
    out: Where | None = None,
    metrics: Where | None = None,
    log: LogOptions | None = None,
    time_from: str | None = None,
    inputs: ArrayLike | str | None = "probe",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    module: str | None = None,
    readout: str | None = None,
    embedding: str | None = None,
    constant_token: int | None = None,
    workers: int = 1,
    poll: float = 2.0,
    idle: float | None = None,
) -> Generator[Watched]:
    """Measure checkpoints as training writes them, the newest first.

    What was there before is measured coarse to fine whenever nothing new waits. The
    results go into the store of `analyze`, which goes on where this ends. A file that
    could not be read is tried again once it has changed. After each checkpoint it rests
    for as long as that took.

    Parameters
    ----------
    checkpoints, out, metrics, log, time_from, inputs, settings, module, readout,
    embedding, constant_token
        As in `analyze`; there need be no checkpoint yet.
    workers : int
        Checkpoints at a time, each on one core. Training on the same machine keeps the
        others.
    poll : float
        Seconds between two looks for new checkpoints.
    idle : float, optional
        End when nothing new came, and nothing was left to measure, for so many seconds.
        Default: go on until closed.

    Yields
    ------
    Watched
        Each checkpoint, once it is stored.

    Raises
    ------
    CheckpointError
        Nothing came within `idle` seconds.
    StoreError, UsageError
        As in `analyze`.

    Examples
    --------
    >>> import lstm_edge
    >>> found = [one.name for one in lstm_edge.watch("runs/digits", idle=0.1)]
    >>> sorted(found)[0]
    'update-00000000.safetensors'
    """
    positive("poll", poll)
    if idle is not None:
        positive("idle", idle)
    where = partial(look, checkpoints, metrics, log, time_from)
    found = _wait_for_the_first(where, poll, idle)
    _LOG.info(found.times)
    names = {"module": module, "readout": readout, "embedding": embedding}
    plan = make_plan(found, inputs, settings, names, constant_token=constant_token)
    workers = count("workers", workers)
    with open_store(out, found, plan) as store:
        arrivals = _Arrivals(where, store, found, poll, idle)
        job = Job(plan, arrivals.names, store.done(), threads=1)
        numbers: dict[str, dict[str, Any]] = {}
        with closing(fill(store, job, arrivals, workers, 0)) as outcomes:
            known = set[str]()
            for outcome in outcomes:
                for doubt in {*found.doubts, *outcome.doubts} - known:
                    _LOG.info("assumed: %s", doubt)
                    known.add(doubt)
                arrivals.rest(sum(row.seconds for row in outcome.rows))
                if outcome.phase:
                    numbers[outcome.name] = numbers_of(outcome.scalars)
                track = make_track(arrivals.checkpoints, numbers)
                yield _watched(outcome, track, store.path)


def _wait_for_the_first(
    where: Callable[..., Found], poll: float, idle: float | None
) -> Found:
    begin = time.monotonic()
    told = False
    while True:
        try:
            return where(before={})
        except CheckpointError as error:
            if not told:
                _LOG.info("waiting for checkpoints: %s", error)
                told = True
            if idle is not None and time.monotonic() - begin >= idle:
                raise
        time.sleep(poll if idle is None else min(poll, idle))


class _Arrivals:
    """Checkpoints to be measured: what came last first; None while there are none."""

    def __init__(
        self,
        where: Callable[..., Found],
        store: Store,
        found: Found,
        poll: float,
        idle: float | None,
    ) -> None:
        self._where = where
        self._store, self._poll, self._idle = store, poll, idle
        self._stamps = {file.path: stamp(file.path) for file in found.files}
        order = coarse_to_fine(len(found.files), {})
        self._waiting = [found.files[i] for i in order][::-1]
        self._changed = self._looked = self._resting_until = time.monotonic()
        self._next_look = self._changed + poll
        self.names: dict[Path, str] = {}
        self.updates: dict[str, int] = {}
        self._take(found)

    def _take(self, found: Found) -> None:
        """Add what was found: each keeps its first name, also when its file is gone."""
        for path, name in found.names.items():
            self.names.setdefault(path, name)
        self.updates |= {self.names[file.path]: file.update for file in found.files}
        self.metrics = found.metrics
        self.checkpoints = {
            name: (update, self.metrics.get(update, {}))
            for name, update in self.updates.items()
        }
        self._store.set_checkpoints(self.checkpoints)

    def rest(self, seconds: float) -> None:
        """Leave the machine to training for so long before the next checkpoint."""
        self._resting_until = time.monotonic() + seconds

    def __iter__(self) -> Iterator[CheckpointFile | None]:
        while True:
            self._look()
            quiet = self._looked - self._changed  # as of the last look
            if not self._waiting and self._idle is not None and quiet >= self._idle:
                return
            now = time.monotonic()
            if self._waiting and now >= self._resting_until:
                self._changed = now  # what comes meanwhile is seen by another look
                yield self._waiting.pop()
            else:
                yield None

    def _look(self) -> None:
        """Look for what is new, every now and then."""
        begin = time.monotonic()
        if begin < self._next_look:
            return
        self._looked = begin
        try:
            found = self._where(before=self.metrics)
        except CheckpointError:
            return  # all are gone for the moment
        finally:
            now = time.monotonic()
            # a folder of many files is looked at less often
            self._next_look = now + max(self._poll, 10 * (now - begin))
        stamps = {file.path: stamp(file.path) for file in found.files}
        new = [f for f in found.files if self._stamps.get(f.path) != stamps[f.path]]
        if new or found.metrics != self.metrics:
            self._take(found)
        self._stamps = stamps
        if new:
            self._changed = time.monotonic()
        fresh = {file.path for file in new}
        self._waiting = [
            f for f in self._waiting if f.path in stamps and f.path not in fresh
        ] + new


def _watched(outcome: Outcome, track: Track, store: Path) -> Watched:
    """Tell of a checkpoint, and what is advised by all so far."""
    at = track.name.index(outcome.name)
    return Watched(
        name=outcome.name,
        update=int(track.update[at]),
        epoch=float(track.epoch[at]),
        phase=outcome.phase,
        exponent=float(track.exponent[at]),
        stderr=float(track.stderr[at]),
        distance=float(track.distance[at]),
        test_loss=float(track.test_loss[at]),
        message="" if outcome.error is None else str(outcome.error),
        advice=track.advice,
        store=store,
    )
