"""Early stopping on held-out data: what the edge of chaos has to be compared with.

A share of the training sequences is held out. Training on the rest ends once the loss
on what is held out has not fallen for some epochs, the patience, and the weights of its
best epoch are taken (Prechelt 1998).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lstm_edge.errors import LstmEdgeError
from lstm_edge.files.places import replace_file
from lstm_edge.lab.tasks.task import Task
from lstm_edge.lab.training.runs import read_state, write_state
from lstm_edge.lab.training.trainer import Evaluator, Trainer, reproducible

STATE_SECONDS = 10.0
"""Most that a killed call loses, beside an epoch."""


@dataclass(frozen=True)
class EarlyStop:
    """What early stopping took.

    Attributes
    ----------
    share : float
        Of the training sequences, held out.
    patience : int
        Epochs without a lower held-out loss that end the training.
    epoch : int
        Of the least held-out loss, whose weights are taken.
    stopped : int
        At which the training ended.
    held_out_loss, test_loss : float
        Of the weights taken.
    """

    share: float
    patience: int
    epoch: int
    stopped: int
    held_out_loss: float
    test_loss: float


@dataclass
class _Losses:
    """Held-out losses by epoch, and the test loss where they are least."""

    held_out: list[float] = field(default_factory=list)
    test: float = float("nan")


def stop_early(
    task: Task,
    file: Path,
    *,
    settings: Mapping[str, Any],
    seed: int,
    share: float,
    patience: int,
    progress: Callable[[int, int], None] | None = None,
) -> EarlyStop:
    """Train on a part of the training sequences until the rest no longer gains by it.

    A killed call goes on with the same bits when it is made again; one that has ended
    gives its result at once.

    Parameters
    ----------
    task : Task
    file : Path
        Where to keep the result, as JSON; the state of an unfinished call lies beside.
    settings : mapping
        Those of the run to compare with.
    seed : int
        Of what is held out, the initial weights and the batches.
    share : float
        Of the training sequences, held out.
    patience : int
        Epochs without a lower held-out loss that end the training.
    progress : callable, optional
        Called with the epoch, and the last one that there can be.

    Raises
    ------
    LstmEdgeError
        If training diverges, or its files were changed by others.
    """
    if file.exists():
        return read_early_stop(file)
    part, last, losses = hold_out(task, share, seed), settings["epochs"], _Losses()
    state, saved = file.with_suffix(".pt"), time.monotonic()
    with reproducible(seed, settings["device"]):
        trainer = Trainer(part, settings, seed)
        evaluator = Evaluator(part, trainer.model, trainer.updates_per_epoch)
        if state.exists():
            losses = _restore(trainer, state)
        while not _ended(losses.held_out, patience, last):
            epoch = len(losses.held_out)
            trainer.advance(epoch * trainer.updates_per_epoch)
            loss, _ = evaluator.loss(part.test_inputs, part.test_targets)
            if not np.isfinite(loss):
                raise LstmEdgeError(
                    f"{file}: training with {share:.0%} held out diverged in epoch "
                    f"{epoch}; take a smaller learning rate"
                )
            if loss < min(losses.held_out, default=np.inf):
                losses.test, _ = evaluator.loss(task.test_inputs, task.test_targets)
            losses.held_out.append(loss)
            if progress is not None:
                progress(epoch, last)
            if time.monotonic() - saved > STATE_SECONDS:
                saved = time.monotonic()
                whole = trainer.state() | {"model": trainer.model.state_dict()}
                write_state(state, whole | {"losses": asdict(losses)})
    best = int(np.argmin(losses.held_out))
    found = EarlyStop(
        share=share,
        patience=patience,
        epoch=best,
        stopped=len(losses.held_out) - 1,
        held_out_loss=losses.held_out[best],
        test_loss=losses.test,
    )
    replace_file(file, json.dumps(asdict(found)).encode())
    state.unlink(missing_ok=True)
    return found


def _restore(trainer: Trainer, file: Path) -> _Losses:
    try:
        state = read_state(file)[0]
        trainer.restore(state)
        return _Losses(**state["losses"])
    except (LstmEdgeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise LstmEdgeError(
            f"{file}: cannot go on from here; remove it, and it is made again"
        ) from error


def hold_out(task: Task, share: float, seed: int) -> Task:
    """Train on a part of the training sequences, and test on the rest of them.

    Parameters
    ----------
    task : Task
    share : float
        Of the training sequences, to test on; at least one.
    seed : int
        Of their choice.
    """
    count = len(task.train_targets)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(count))
    first = min(max(round(share * count), 1), count - 1)
    held, rest = order[:first], order[first:]
    return replace(
        task,
        train_inputs=task.train_inputs[rest],
        train_targets=task.train_targets[rest],
        test_inputs=task.train_inputs[held],
        test_targets=task.train_targets[held],
    )


def read_early_stop(file: Path) -> EarlyStop:
    """Read a result.

    Raises
    ------
    LstmEdgeError
        If it was changed by others.
    """
    try:
        found = EarlyStop(**json.loads(file.read_bytes()))
        if not all(isinstance(x, int | float) for x in asdict(found).values()):
            raise TypeError(f"expected numbers, found {found}")
        return found
    except (OSError, ValueError, TypeError) as error:
        raise LstmEdgeError(
            f"{file}: cannot be read ({error}); remove it, and it is made again"
        ) from error


def _ended(losses: Sequence[float], patience: int, last: int) -> bool:
    """Whether the least loss is `patience` epochs old, or all epochs are done."""
    if not losses:
        return False
    age = len(losses) - 1 - int(np.argmin(losses))
    return age >= patience or len(losses) > last
