"""What a run costs beside the bare loop of PyTorch: forward, backward, step.

    python benches/training_overhead.py [ROUNDS]

Both take turns in one process, on the same data, batches and net, and are timed from
checkpoint to checkpoint in the thread that trains. `train` evaluates both losses on the
whole sets once an epoch and writes, on a thread of its own: by the clock that is free
only where a second core is. Linux tells how long threads waited for a core; a part of a
run in which none of them did, nor in the next, is called calm, and shows what a machine
with two free cores would.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from lstm_edge.tasks import Classifier, Task, make_task
from lstm_edge.trainer import Snapshot, Trainer, reproducible
from lstm_edge.training import train

CALM = 0.01
"""Share of its time that all threads together may wait in a calm part."""

FIRST = 2
"""Parts of a run that are left out: the second thread has nothing to do yet."""


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


Parts = NDArray[np.float64]
"""(N, 3): seconds an update by the clock, of this thread's processor time, waited."""


class Marks:
    """Times at which a loop had come to some updates."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, ...]] = []

    def add(self, update: int) -> None:
        tasks = Path("/proc/self/task").glob("*/schedstat")  # none but on Linux
        waited = sum(int(task.read_text().split()[1]) for task in tasks) / 1e9
        self.rows.append((update, time.perf_counter(), time.thread_time(), waited))

    def parts(self) -> Parts:
        steps = np.diff(self.rows, axis=0)[FIRST:]
        parts: Parts = steps[:, 1:] / steps[:, :1]
        return parts


def bare(task: Task, settings: dict[str, int], every: int, seed: int = 0) -> Parts:
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
    return marks.parts()


def ours(task: Task, settings: dict[str, int], every: int, evaluate: str) -> Parts:
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
    return marks.parts()


def calm(parts: Parts) -> Parts:
    """Choose the parts in which, and in the next, no thread waited for a core."""
    still = parts[:, 2] < CALM * parts[:, 0]
    return parts[:-1][still[:-1] & still[1:]]


Schedule = tuple[int, str]
"""Updates between two checkpoints, and how often the losses are evaluated."""

WORKS: dict[str, tuple[Task, dict[str, int], tuple[Schedule, ...]]] = {
    "digits, H = 100, batch 64, 10 updates an epoch": (
        make_task("digits"),
        {"hidden_size": 100, "batch_size": 64, "epochs": 700},
        ((10, "1epoch"), (10, "10epochs")),
    ),
    "500 tokens, H = 60, batch 32, 20 updates an epoch": (
        reviews(),
        {"hidden_size": 60, "batch_size": 32, "epochs": 8},
        ((20, "1epoch"), (10, "1epoch")),
    ),
}


def main(rounds: int) -> None:
    """Print a line for each work and schedule."""
    for name, (task, settings, schedules) in WORKS.items():
        for every, evaluate in schedules:
            one, other = [], []
            for _ in range(rounds):
                one.append(ours(task, settings, every, evaluate))
                other.append(bare(task, settings, every))
            trained, looped = np.concatenate(one), np.concatenate(other)
            clock, thread, _ = trained.mean(axis=0) / looped.mean(axis=0)
            still = [np.concatenate([calm(p) for p in parts]) for parts in (one, other)]
            found = f"{len(still[0])} calm parts of {len(trained)}"
            if min(map(len, still)):
                ratio = still[0][:, 0].mean() / still[1][:, 0].mean()
                found = f"{ratio:.3f} in {found}"
            print(
                f"{name}, a checkpoint every {every}, losses every {evaluate}: "
                f"{clock:.3f} by the clock, {found}; {thread:.3f} the thread alone; "
                f"bare loop {1e3 * np.median(looped[:, 0]):.1f} ms an update",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
