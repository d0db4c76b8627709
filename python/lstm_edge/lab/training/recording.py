"""From a net in training to the files of its run, beside the training.

The training thread copies weights, which takes microseconds, and goes on; another one
evaluates and writes the copies in their order, at most `AHEAD` of them behind.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lstm_edge.errors import LstmEdgeError
from lstm_edge.files.safetensors import write_checkpoint
from lstm_edge.lab.training.runs import embeddings_path, record, save_state, to_arrays
from lstm_edge.lab.training.schedules import Schedule
from lstm_edge.lab.training.trainer import Evaluator, Snapshot, Trainer

AHEAD = 2
"""Snapshots that may wait to be written."""

KEPT_STATES, KEPT_UPDATES = 64, 100
"""Parts of a run at whose ends the state is kept for good, for exact replays, and the
least updates of one: a few more are replayed sooner than a state is written."""

STATE_SECONDS = 10.0
"""Most that a killed run loses, beside the way between two checkpoints."""

EMBEDDING_SHARE = 2
"""Space of embeddings kept apart, over that of all other weights."""

Values = dict[str, Any]
AtEdge = Callable[..., bool]
"""``at_edge(state_dict, inputs, closed_loop=...)``, as `lstm_edge.measures.at_edge`."""


@dataclass(frozen=True)
class Recording:
    """Which updates of a run are kept, and what is kept of them.

    Attributes
    ----------
    schedule : Schedule
        Of the checkpoints, beside the first and the last one.
    last : int
        The last update.
    evaluate : int
        Updates between two evaluations of the losses, at the next checkpoint.
    keep : int
        Updates between two states kept for good; 0 keeps no states at all.
    embeddings : frozenset of str
        Tensors that are kept apart, for they are large; may be empty.
    embedding_every : int
        Checkpoints between two of them.
    at_edge : callable or None
        Tells whether the edge is near, for a schedule that looks.
    """

    schedule: Schedule
    last: int
    evaluate: int
    keep: int
    embeddings: frozenset[str] = frozenset()
    embedding_every: int = 1
    at_edge: AtEdge | None = None


def keep_every(last: int) -> int:
    """Give the updates between two states kept for good, in a run of so many."""
    return max(math.ceil(last / KEPT_STATES), KEPT_UPDATES)


def kept_apart(model: nn.Module) -> tuple[frozenset[str], int]:
    """Choose the embeddings to keep apart, and after how many checkpoints each time.

    Where embeddings are larger than `EMBEDDING_SHARE` times all other weights they are
    kept so rarely that their space is no more than that.
    """
    names = frozenset(
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding)
    )
    sizes = {name: tensor.numel() for name, tensor in model.state_dict().items()}
    embedding = sum(sizes[name] for name in names)
    rest = max(1, sum(sizes.values()) - embedding)
    every = math.ceil(embedding / (EMBEDDING_SHARE * rest))
    return (names, every) if every > 1 else (frozenset(), 1)


@dataclass
class Position:
    """Where a recording stands, beside the update: part of the state."""

    count: int = 0
    embedding_update: int = 0
    dense: bool = False


def snapshots(
    trainer: Trainer, recording: Recording, position: Position | None = None
) -> Iterator[Snapshot]:
    """Train along a recording and give what is to be kept.

    Parameters
    ----------
    trainer : Trainer
    recording : Recording
    position : Position, optional
        Where a former call ended: the checkpoint at this update is there already.
    """
    saved = time.monotonic()
    previous = -1
    if position is None:
        position = Position()
    else:
        previous = trainer.update
    while previous < recording.last:
        if previous >= 0:
            update = recording.schedule.after(previous, position.dense)
            trainer.advance(min(update, recording.last))
        update, final = trainer.update, trainer.update == recording.last
        if recording.at_edge is not None and recording.schedule.looks(update):
            position.dense = _look(trainer, recording.at_edge)
        if position.count % recording.embedding_every == 0:
            position.embedding_update = update
        position.count += 1
        keep = recording.keep > 0 and _crosses(previous, update, recording.keep)
        state = None
        if keep or (
            recording.keep and (final or time.monotonic() - saved > STATE_SECONDS)
        ):
            saved = time.monotonic()
            state = trainer.state() | {"position": dict(vars(position))}
        yield trainer.snapshot(
            evaluate=final or _crosses(previous, update, recording.evaluate),
            state=state,
            keep=keep,
            embedding_update=position.embedding_update
            if recording.embeddings
            else None,
        )
        previous = update


def _look(trainer: Trainer, at_edge: AtEdge) -> bool:
    """Whether the edge is near, in the regime in which the run will be analysed."""
    task = trainer.task
    inputs = None if task.closed_loop else task.probe
    weights = trainer.model.state_dict()
    return at_edge(weights, inputs, closed_loop=task.closed_loop)


def _crosses(previous: int, update: int, interval: int) -> bool:
    """Whether a multiple of the interval lies in (previous, update]."""
    return update // interval > previous // interval


@dataclass
class Writer:
    """Evaluates snapshots and writes them into the folder of a run.

    Attributes
    ----------
    folder : Path
    evaluator : Evaluator
    embeddings : frozenset of str
        Tensors that are kept apart.
    metadata : mapping
        Of every checkpoint.
    check : callable, optional
        ``check(update, arrays)`` raises what is wrong with the weights.
    """

    folder: Path
    evaluator: Evaluator
    embeddings: frozenset[str]
    metadata: Mapping[str, str]
    check: Callable[[int, Mapping[str, Any]], None] | None = None
    failed: bool = field(default=False, init=False)

    def __call__(self, snapshot: Snapshot) -> Values:
        """Write a snapshot, and give its row of metrics."""
        if self.failed:  # those behind it would leave a gap
            raise InterruptedError
        try:
            return self._write(snapshot)
        except BaseException:
            self.failed = True
            raise

    def _write(self, snapshot: Snapshot) -> Values:
        row = self.evaluator.row(snapshot)
        losses = row["train_loss"] + row["test_loss"] if snapshot.evaluate else 0.0
        if not math.isfinite(losses + row["weight_norm"]):
            raise LstmEdgeError(
                f"{self.folder}: training diverged before update {snapshot.update}, a "
                "loss or weight is not finite; train with a smaller learning rate in "
                "another folder"
            )
        arrays = to_arrays(snapshot.weights)
        if self.check is not None:
            self.check(snapshot.update, arrays)
        metadata = dict(self.metadata)
        apart = {name: arrays.pop(name) for name in self.embeddings}
        if apart:
            metadata["embedding_update"] = str(snapshot.embedding_update)
            if snapshot.embedding_update == snapshot.update:
                self._write_embeddings(snapshot.update, apart)
        record(self.folder, arrays, row, metadata)
        if snapshot.state is not None:
            state = snapshot.state | {"model": snapshot.weights}
            save_state(self.folder, state, keep=snapshot.keep)
        return row

    def _write_embeddings(self, update: int, arrays: Mapping[str, Any]) -> None:
        path = embeddings_path(self.folder, update)
        path.parent.mkdir(exist_ok=True)
        write_checkpoint(path, arrays, {"update": str(update)})


def written(snapshots: Iterator[Snapshot], writer: Writer) -> Generator[Values]:
    """Write snapshots on another thread while the next ones are made.

    Gives the rows in order, as they are done. What goes wrong in the other thread is
    raised here; leaving early ends both.
    """
    with ThreadPoolExecutor(1, "lstm-edge-writer", torch.set_num_threads, (1,)) as pool:
        pending: deque[Any] = deque()
        try:
            for snapshot in snapshots:
                pending.append(pool.submit(writer, snapshot))
                while pending and (len(pending) > AHEAD or pending[0].done()):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            writer.evaluator.stop.set()
            pool.shutdown(cancel_futures=True)
