"""Training with PyTorch: dense checkpoints, and resumption with the same bits.

The batches of an epoch depend on the seed and the epoch alone, so the place in a run
is one number, the update. ``resume/`` holds the model, the optimiser and the random
state at the last checkpoint; a killed run goes on from there with the same bits.
On the CPU training runs on one thread: the bits do not depend on the machine's cores.
"""

from __future__ import annotations

import importlib.metadata
import math
import platform
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector

from lstm_edge.errors import LstmEdgeError, UsageError
from lstm_edge.runs import COLUMNS, load_state, open_run, record, save_state
from lstm_edge.tasks import TASKS, Task

EVALUATION_BATCH = 2048


@dataclass(frozen=True)
class Progress:
    """Where training stands; times in seconds, since this call began."""

    update: int
    epoch: float
    epochs: int
    train_loss: float
    test_loss: float
    test_accuracy: float
    elapsed: float
    eta: float


def train(
    task: str | Task = "digits",
    out: str | PathLike[str] | None = None,
    *,
    data: str | PathLike[str] | None = None,
    hidden_size: int = 100,
    layers: int = 1,
    learning_rate: float = 1e-2,
    betas: tuple[float, float] = (0.9, 0.999),
    batch_size: int = 64,
    epochs: int = 700,
    every: str = "1epoch",
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train an LSTM with Adam and cross-entropy, and keep dense checkpoints.

    A call that was killed goes on where it was when it is made again, and ends with
    the same bits as one that was not (on the CPU, with the same versions).

    Parameters
    ----------
    task : str or Task, default "digits"
        A name in `TASKS`, or a task of one's own.
    out : path, optional
        Run folder; ``runs/<task>`` by default.
    data : path, optional
        Data of the task, where it needs some.
    hidden_size : int, default 100
        Hidden units of each LSTM layer.
    layers : int, default 1
        LSTM layers.
    learning_rate : float, default 1e-2
        Of Adam.
    betas : (float, float), default (0.9, 0.999)
        Decay rates of Adam's two moments.
    batch_size : int, default 64
        Sequences an update; the last batch of an epoch takes what is left.
    epochs : int, default 700
        Passes through the training set.
    every : str, default "1epoch"
        Checkpoint schedule: ``"1epoch"``, ``"5epochs"``, ``"10updates"``. The
        untrained net (update 0) and the last update are always kept.
    seed : int, default 0
        Of the split of the data, the initial weights and the batches.
    device : str, default "cpu"
        Where PyTorch computes.
    progress : callable, optional
        Called with a `Progress` after every checkpoint.

    Returns
    -------
    Path
        The run folder: ``run.json``, ``metrics.csv``, ``probe.safetensors``,
        ``checkpoints/update-XXXXXXXX.safetensors`` (weights only, float32) and
        ``resume/``. Both losses and the accuracy of a row of metrics are evaluated
        on the whole sets with the weights of its checkpoint; the norms (L2) are
        those of the last gradient and the last change of the weights, nan at
        update 0.

    Raises
    ------
    UsageError
        If a setting cannot work, or the folder holds a run with other settings.
    LstmEdgeError
        If training diverges.
    """
    settings = {
        "data": None if data is None else str(data),
        "hidden_size": hidden_size,
        "layers": layers,
        "learning_rate": learning_rate,
        "betas": list(betas),
        "batch_size": batch_size,
        "epochs": epochs,
        "device": device,
    }
    _check_settings(settings, seed)
    chosen = task if isinstance(task, Task) else _make_task(task, data, seed)
    updates_per_epoch = math.ceil(len(chosen.train_inputs) / batch_size)
    description = {
        "task": chosen.name,
        "settings": settings,
        "seed": seed,
        "versions": _versions(),
        "schedule": every,
        "updates_per_epoch": updates_per_epoch,
    }
    last = epochs * updates_per_epoch
    due = [*range(0, last, _parse_schedule(every, updates_per_epoch)), last]
    folder = Path("runs") / chosen.name if out is None else Path(out)
    open_run(folder, description, chosen.probe)
    with _reproducible(seed):
        trainer = _Trainer(chosen, settings, seed, updates_per_epoch)
        metadata = {"cell": "lstm", "task": chosen.name, "seed": str(seed)}
        for row, elapsed, eta in _run(trainer, folder, due, metadata):
            if progress is not None:
                shown = {name: row[name] for name in COLUMNS[:5]}
                progress(Progress(epochs=epochs, elapsed=elapsed, eta=eta, **shown))
    return folder


def _run(
    trainer: _Trainer, folder: Path, due: list[int], metadata: dict[str, str]
) -> Iterator[tuple[dict[str, Any], float, float]]:
    """Train, write what is due, and give each row of metrics, time spent and left."""
    state = load_state(folder)
    if state is not None:
        trainer.restore(state)
        due = [update for update in due if update > trainer.update]
    first, begun = trainer.update, time.perf_counter()
    for update in due:
        trainer.advance(update)
        row = trainer.evaluate()
        if not math.isfinite(row["train_loss"] + row["test_loss"]):
            raise LstmEdgeError(
                f"{folder}: training diverged before update {update}, a loss is not "
                "finite; train with a smaller learning rate in another folder"
            )
        record(folder, trainer.model.state_dict(), row, metadata)
        save_state(folder, trainer.state())
        elapsed = time.perf_counter() - begun
        pace = elapsed / (update - first) if update > first else math.nan
        yield row, elapsed, pace * (due[-1] - update)


class _Trainer:
    """The model, its optimiser, and the update they have reached."""

    def __init__(
        self, task: Task, settings: dict[str, Any], seed: int, updates_per_epoch: int
    ) -> None:
        device = settings["device"]
        self.train = task.train_inputs.to(device), task.train_targets.to(device)
        self.test = task.test_inputs.to(device), task.test_targets.to(device)
        self.model = task.make_model(settings["hidden_size"], settings["layers"])
        self.model.to(device)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            settings["learning_rate"],
            tuple(settings["betas"]),
            fused=True,
        )
        self.seed, self.batch_size = seed, settings["batch_size"]
        self.updates_per_epoch = updates_per_epoch
        self.update = 0
        self.gradient_norm = self.update_norm = math.nan

    def advance(self, update: int) -> None:
        """Train until `update`, and keep the norms of the last update."""
        if update == self.update:
            return
        while self.update < update - 1:
            self._step()
        before = self._weights()
        self._step()
        self.update_norm = float((self._weights() - before).norm())
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        self.gradient_norm = float(parameters_to_vector(gradients).norm())

    def state(self) -> dict[str, Any]:
        """Give all that an exact continuation needs."""
        return {
            "update": self.update,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a `state`."""
        self.update = state["update"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])

    def _step(self) -> None:
        epoch, batch = divmod(self.update, self.updates_per_epoch)
        inputs, targets = self.train
        order = _batch_order(self.seed, epoch, len(targets))
        rows = order[batch * self.batch_size :][: self.batch_size]
        self.optimizer.zero_grad()
        loss = cross_entropy(self.model(inputs[rows]), targets[rows])
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.update += 1

    def _weights(self) -> Tensor:
        return parameters_to_vector(self.model.parameters()).detach()

    def evaluate(self) -> dict[str, Any]:
        """Give a row of metrics, with both losses over the whole sets."""
        self.model.eval()
        train_loss, _ = self._loss_and_accuracy(*self.train)
        test_loss, test_accuracy = self._loss_and_accuracy(*self.test)
        self.model.train()
        epoch = self.update / self.updates_per_epoch
        values = (
            self.update,
            int(epoch) if epoch.is_integer() else round(epoch, 6),
            train_loss,
            test_loss,
            test_accuracy,
            self.gradient_norm,
            self.update_norm,
            float(self._weights().norm()),
        )
        return dict(zip(COLUMNS, values, strict=True))

    @torch.inference_mode()
    def _loss_and_accuracy(
        self, inputs: Tensor, targets: Tensor
    ) -> tuple[float, float]:
        loss, right = 0.0, 0
        for start in range(0, len(targets), EVALUATION_BATCH):
            rows = slice(start, start + EVALUATION_BATCH)
            logits = self.model(inputs[rows])
            loss += float(cross_entropy(logits, targets[rows], reduction="sum"))
            right += int((logits.argmax(1) == targets[rows]).sum())
        return loss / len(targets), right / len(targets)


@lru_cache(maxsize=1)
def _batch_order(seed: int, epoch: int, size: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(size))


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """One thread and a seeded generator; both as they were on leaving."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _make_task(name: str, data: str | PathLike[str] | None, seed: int) -> Task:
    if name not in TASKS:
        raise UsageError(f"task: expected one of {', '.join(TASKS)}, found {name!r}")
    return TASKS[name](data, seed=seed)


def _check_settings(settings: dict[str, Any], seed: int) -> None:
    for name in ("hidden_size", "layers", "batch_size", "epochs"):
        if not isinstance(settings[name], int) or settings[name] < 1:
            raise UsageError(
                f"{name}: expected an integer >= 1, found {settings[name]}"
            )
    if not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise UsageError(f"seed: expected an integer >= 0, below 2^63, found {seed}")
    rate, betas = settings["learning_rate"], settings["betas"]
    if not (rate > 0 and math.isfinite(rate)):
        raise UsageError(f"learning_rate: expected a number > 0, found {rate}")
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise UsageError(f"betas: expected two numbers in [0, 1), found {betas}")
    try:
        torch.zeros((), device=settings["device"])
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"device: {settings['device']!r} is not available ({error})"
        ) from error


def _parse_schedule(every: str, updates_per_epoch: int) -> int:
    """Return the updates between two checkpoints."""
    match = re.fullmatch(r"([1-9]\d{0,8})(epoch|update)s?", every)
    if match is None:
        raise UsageError(
            "every: expected a schedule such as '1epoch', '5epochs' or '10updates', "
            f"found {every!r}"
        )
    return int(match[1]) * (updates_per_epoch if match[2] == "epoch" else 1)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "torch": str(torch.__version__)}
    versions["numpy"] = np.__version__
    try:
        versions["lstm_edge"] = importlib.metadata.version("lstm-edge")
    except importlib.metadata.PackageNotFoundError:  # run from its source
        versions["lstm_edge"] = "unknown"
    return versions
