"""A net and its optimiser in training, and copies of both that others may work on.

The batches of an epoch depend on the seed and the epoch alone, so the place in a run is
one number, the update.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lstm_edge.lab.tasks.task import Task
from lstm_edge.lab.training.runs import COLUMNS

EVALUATION_STEPS = 2**17
"""Steps of all sequences whose losses are evaluated at a time."""

FORWARD_STEPS, FORWARD_SEQUENCES = 2**10, 32
"""Steps of a forward pass on a CPU, and sequences where those are longer. What a
larger one computes leaves the core's own cache, which slows the training thread down;
a smaller one takes longer."""


@dataclass(frozen=True)
class Snapshot:
    """What training hands over at a checkpoint; nothing in it changes any more.

    Attributes
    ----------
    update : int
    weights : dict of str to Tensor
        The state_dict.
    before : dict of str to Tensor
        The parameters before the last update; empty at update 0.
    gradient : list of Tensor
        Of the last update.
    moment : Tensor or None
        Sum of Adam's second moment, bias-corrected, after it; None at update 0.
    evaluate : bool
        Whether the losses are wanted.
    state : dict or None
        All that an exact continuation needs, where it is to be kept.
    keep : bool
        Whether for good, or only until the next state.
    embedding_update : int or None
        Whose embedding belongs to it, where embeddings are kept apart.
    """

    update: int
    weights: dict[str, Tensor]
    before: dict[str, Tensor]
    gradient: list[Tensor]
    moment: Tensor | None = None
    evaluate: bool = True
    state: dict[str, Any] | None = None
    keep: bool = False
    embedding_update: int | None = None


class Trainer:
    """The model, its optimiser, and the update they have reached.

    Parameters
    ----------
    task : Task
    settings : mapping
        The settings of `train`.
    seed : int
        Of the batches.
    """

    def __init__(self, task: Task, settings: Mapping[str, Any], seed: int) -> None:
        device = settings["device"]
        self.task, self.seed = task, seed
        self.batch_size: int = settings["batch_size"]
        self.dtype: torch.dtype = getattr(torch, settings.get("precision", "float32"))
        self.inputs = _as(task.train_inputs, self.dtype).to(device)
        self.targets = _as(task.train_targets, self.dtype).to(device)
        self.clip: float = settings.get("clip", math.inf)
        self._shuffled: tuple[int, Tensor, Tensor] | None = None
        self.updates_per_epoch = math.ceil(len(self.targets) / self.batch_size)
        self.last = settings["epochs"] * self.updates_per_epoch
        self.model = task.make_model(
            settings["cell"], settings["hidden_size"], settings["layers"]
        )
        self.model.to(device, self.dtype)
        self.parameters = list(self.model.parameters())
        self.learning_rate: float = settings["learning_rate"]
        self.decay: float = settings["decay"]
        self.optimizer = torch.optim.Adam(
            self.parameters,
            self.learning_rate,
            tuple(settings["betas"]),
            eps=settings.get("epsilon", 1e-8),
            weight_decay=settings.get("weight_decay", 0.0),
            fused=True,
        )
        self.update = 0
        self._before: dict[str, Tensor] = {}

    def advance(self, update: int) -> None:
        """Train until `update`."""
        while self.update < update - 1:
            self._step()
        if self.update < update:
            parameters = self.model.named_parameters()
            self._before = {name: p.detach().clone() for name, p in parameters}
            self._step()

    def snapshot(self, **about: Any) -> Snapshot:
        """Copy the weights, and what is known of the last update."""
        return Snapshot(
            update=self.update,
            weights={k: v.detach().clone() for k, v in self.model.state_dict().items()},
            before=self._before,
            # a step lets go of gradients, and never writes into them
            gradient=[p.grad for p in self.parameters if p.grad is not None],
            moment=self._moment(),
            **about,
        )

    def _moment(self) -> Tensor | None:
        sums = [s["exp_avg_sq"].sum() for s in self.optimizer.state.values()]
        decayed = self.optimizer.param_groups[0]["betas"][1] ** self.update
        return torch.stack(sums).sum() / (1 - decayed) if sums else None

    def state(self) -> dict[str, Any]:
        """Copy all that an exact continuation needs beside the weights."""
        state = {
            "update": self.update,
            "optimizer": _copied(self.optimizer.state_dict()),
            "random": torch.get_rng_state(),
        }
        if self.inputs.is_cuda:
            state["cuda_random"] = torch.cuda.get_rng_state(self.inputs.device)
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a `state`, with the weights as ``"model"``."""
        self.update = state["update"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        if self.inputs.is_cuda:
            torch.cuda.set_rng_state(state["cuda_random"], self.inputs.device)

    def _step(self) -> None:
        inputs, targets = self._batch()
        if self.decay != 1:
            share = self.update / self.last
            self.optimizer.param_groups[0]["lr"] = (
                self.learning_rate * self.decay**share
            )
        for parameter in self.parameters:
            parameter.grad = None
        loss = self.task.objective.loss(self.model(inputs), targets)
        torch.autograd.backward(loss)
        if self.clip < math.inf:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()
        self.update += 1

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Give the next inputs and targets; an epoch is shuffled at once."""
        epoch, batch = divmod(self.update, self.updates_per_epoch)
        if self._shuffled is None or self._shuffled[0] != epoch:
            random = np.random.default_rng((self.seed, epoch))
            order = torch.from_numpy(random.permutation(len(self.targets)))
            self._shuffled = epoch, self.inputs[order], self.targets[order]
        start = batch * self.batch_size
        rows = slice(start, start + self.batch_size)
        _, inputs, targets = self._shuffled
        return inputs[rows], targets[rows]


def _copied(state: Any) -> Any:
    """Copy nested dictionaries and lists of tensors; ten times as fast as deepcopy."""
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_copied(value) for value in state]
    return state.clone() if isinstance(state, Tensor) else state


@dataclass
class Evaluator:
    """Makes rows of metrics from snapshots, with a model of its own.

    Attributes
    ----------
    task : Task
    model : Module
        Its weights are overwritten.
    updates_per_epoch : int
    stop : Event
        Ends an evaluation early, with `InterruptedError`.
    """

    task: Task
    model: nn.Module
    updates_per_epoch: int
    stop: Event = field(default_factory=Event)

    def row(self, snapshot: Snapshot) -> dict[str, Any]:
        """Give a row of metrics; losses that are not wanted are nan."""
        train_loss = test_loss = test_accuracy = math.nan
        if snapshot.evaluate:
            self.model.load_state_dict(snapshot.weights)
            task = self.task
            train_loss, _ = self.loss(task.train_inputs, task.train_targets)
            test_loss, test_accuracy = self.loss(task.test_inputs, task.test_targets)
        weights, before = snapshot.weights, snapshot.before
        epoch = snapshot.update / self.updates_per_epoch
        values = (
            snapshot.update,
            int(epoch) if epoch.is_integer() else round(epoch, 6),
            train_loss,
            test_loss,
            test_accuracy,
            _norm(snapshot.gradient),
            _norm([weights[name] - before[name] for name in before]),
            _norm(weights.values()),
            math.nan if snapshot.moment is None else float(snapshot.moment.sqrt()),
        )
        return dict(zip(COLUMNS, values, strict=True))

    @torch.inference_mode()
    def loss(self, inputs: Tensor, targets: Tensor) -> tuple[float, float]:
        """Mean loss, and share of right answers; nan where that is no question."""
        objective = self.task.objective
        first = next(self.model.parameters())
        device, dtype = first.device, first.dtype
        batch = max(1, EVALUATION_STEPS // inputs.shape[1])
        part = max(FORWARD_SEQUENCES, FORWARD_STEPS // inputs.shape[1])
        if device.type != "cpu":
            part = batch
        loss, right = 0.0, 0
        for start in range(0, len(targets), batch):
            if self.stop.is_set():
                raise InterruptedError
            rows = slice(start, start + batch)
            wanted = _as(targets[rows], dtype).to(device)
            parts = torch.split(_as(inputs[rows], dtype), part)
            outputs = torch.cat([self.model(some.to(device)) for some in parts])
            loss += float(objective.loss(outputs, wanted)) * len(wanted)
            if objective.right is not None:
                right += int(objective.right(outputs, wanted).sum())
        accuracy = math.nan if objective.right is None else right / len(targets)
        return loss / len(targets), accuracy


def _as(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Give numbers their precision; tokens and classes stay as they are."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _norm(tensors: Any) -> float:
    """L2 norm of all numbers together; nan where there are none."""
    parts = [tensor.flatten() for tensor in tensors]
    return float(torch.cat(parts).norm()) if parts else math.nan


@contextmanager
def reproducible(seed: int, device: str) -> Iterator[None]:
    """One thread, a seeded generator, deterministic CUDA; all as it was on leaving."""
    cuda = torch.device(device).type == "cuda"
    if cuda:  # what cuBLAS needs for it, read when it is first used
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(cuda or deterministic)
    try:
        with torch.random.fork_rng(devices=[device] if cuda else []):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
