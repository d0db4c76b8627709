"""What a run costs beside the bare loop of PyTorch: forward, backward, step.

    python benches/training_overhead.py

Both take turns in one process, on the same data, batches and net, and are timed from
checkpoint to checkpoint in the thread that trains. `train` evaluates both losses on the
whole sets once an epoch and writes, on a thread of its own: by the clock that is free
only where a second core is. What is said is the median over all pairs of runs, with
quartiles.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from lstm_edge.lab.tasks.table import make_task
from lstm_edge.lab.tasks.task import Classifier, Task
from lstm_edge.lab.training.trainer import Snapshot, Trainer, reproducible
from lstm_edge.lab.training.training import train

FIRST = 2
"""Checkpoints that are left out: the second thread has nothing to do yet."""


def reviews() -> Task:
    """Random tokens in the shape of the paper's reviews, fewer of them."""
    random = np.random.default_rng(0)
    tokens = torch.from_numpy(random.integers(0, 10_000, (914, 500), dtype=np.int32))
    labels = torch.from_numpy(random.integers(0, 2, 914))
    return Task(
        name="reviews",
        train_inputs=tokens[:640],
        train_targets=labels[:640],
        test_inputs=tokens[640:],
        test_targets=labels[640:],
        make_model=lambda cell, units, layers: Classifier(
            cell, 32, units, layers, 2, 10_000
        ),
        probe=tokens[640:650].numpy(),
    )


class Marks:
    """Times at which a loop had come to some updates."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, ...]] = []

    def add(self, update: int) -> None:
        self.rows.append((update, time.perf_counter(), time.thread_time()))

    def seconds(self) -> NDArray[np.float64]:
        """Give (2,) seconds an update, by the clock and of this thread's own time."""
        first, last = np.array(self.rows)[[FIRST, -1]]
        seconds: NDArray[np.float64] = (last - first)[1:] / (last - first)[0]
        return seconds


def bare(task: Task, settings: dict[str, int], every: int, seed: int = 0) -> Any:
    """Time the loop that everybody writes."""
    marks, update = Marks(), 0
    with reproducible(seed, "cpu"):
        model = task.make_model("lstm", settings["hidden_size"], 1)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
        for epoch in range(settings["epochs"]):
            order = torch.from_numpy(
                np.random.default_rng((seed, epoch)).permutation(
                    len(task.train_targets)
                )
            )
            for rows in order.split(settings["batch_size"]):
                if update % every == 0:
                    marks.add(update)
                optimizer.zero_grad()
                outputs = model(task.train_inputs[rows])
                task.objective.loss(outputs, task.train_targets[rows]).backward()
                optimizer.step()
                update += 1
    marks.add(update)
    return marks.seconds()


def ours(task: Task, settings: dict[str, int], every: int, evaluate: str) -> Any:
    """Time `train`."""
    marks = Marks()
    snapshot: Callable[..., Snapshot] = Trainer.snapshot

    def marked(trainer: Trainer, **about: Any) -> Snapshot:
        marks.add(trainer.update)
        return snapshot(trainer, **about)

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(Trainer, "snapshot", marked),
    ):
        train(
            task,
            Path(folder) / "run",
            every=f"{every}updates",
            evaluate=evaluate,
            learning_rate=1e-3,
            **settings,
        )
    return marks.seconds()


Schedule = tuple[int, str]
"""Updates between two checkpoints, and how often the losses are evaluated."""

WORKS: dict[str, tuple[Task, dict[str, int], int, tuple[Schedule, ...]]] = {
    "digits, H = 100, batch 64, 10 updates an epoch": (
        make_task("digits"),
        {"hidden_size": 100, "batch_size": 64, "epochs": 64},
        30,
        ((10, "1epoch"), (10, "10epochs")),
    ),
    "500 tokens, H = 60, batch 32, 20 updates an epoch": (
        reviews(),
        {"hidden_size": 60, "batch_size": 32, "epochs": 8},
        5,
        ((20, "1epoch"), (10, "1epoch")),
    ),
}
"""Tasks with their settings, pairs of runs, and schedules."""


def main() -> None:
    """Print a line for each work and schedule."""
    for name, (task, settings, pairs, schedules) in WORKS.items():
        for every, evaluate in schedules:
            ratios, looped = [], []
            for _ in range(pairs):
                looped.append(bare(task, settings, every))
                ratios.append(ours(task, settings, every, evaluate) / looped[-1])
            low, clock, high = np.quantile(np.array(ratios)[:, 0], (0.25, 0.5, 0.75))
            print(
                f"{name}, a checkpoint every {every}, losses every {evaluate}: "
                f"{clock:.3f} by the clock ({low:.3f} to {high:.3f}), "
                f"{np.median(np.array(ratios)[:, 1]):.3f} the thread alone; "
                f"bare loop {1e3 * np.median(looped, axis=0)[0]:.1f} ms an update",
                flush=True,
            )


if __name__ == "__main__":
    main()
