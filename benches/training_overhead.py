"""What a run costs beside the bare loop of PyTorch: forward, backward, step.

    python benches/training_overhead.py [ROUNDS]

Both take turns in one process, on the same data, batches and net; a ratio is the least
time of `train` over the least of the bare loop, which keeps out what other work on the
machine did to some of the rounds. `train` evaluates both losses on the whole sets once
an epoch and writes, on a thread of its own: by the clock that is free only where a
second core is. The second ratio is of the processor time of the training thread alone.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from lstm_edge.tasks import Classifier, Task, make_task
from lstm_edge.trainer import reproducible
from lstm_edge.training import train


def reviews() -> Task:
    """Random tokens in the shape of the paper's reviews, fewer of them."""
    random = np.random.default_rng(0)
    tokens = torch.from_numpy(random.integers(0, 10_000, (300, 500), dtype=np.int32))
    labels = torch.from_numpy(random.integers(0, 2, 300))
    return Task(
        name="reviews",
        train_inputs=tokens[:210],
        train_targets=labels[:210],
        test_inputs=tokens[210:],
        test_targets=labels[210:],
        make_model=lambda cell, units, layers: Classifier(
            cell, 32, units, layers, 2, 10_000
        ),
        probe=tokens[210:220].numpy(),
    )


Times = tuple[float, float]
"""Seconds by the clock, and of this thread's processor time."""


def now() -> Times:
    return time.perf_counter(), time.thread_time()


def since(begin: Times) -> Times:
    return now()[0] - begin[0], now()[1] - begin[1]


def bare(task: Task, settings: dict[str, int], seed: int = 0) -> Times:
    """Time of the loop that everybody writes."""
    with reproducible(seed, "cpu"):
        model = task.make_model("lstm", settings["hidden_size"], 1)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
        begin = now()
        for epoch in range(settings["epochs"]):
            order = torch.from_numpy(
                np.random.default_rng((seed, epoch)).permutation(
                    len(task.train_targets)
                )
            )
            for rows in order.split(settings["batch_size"]):
                optimizer.zero_grad()
                outputs = model(task.train_inputs[rows])
                task.objective.loss(outputs, task.train_targets[rows]).backward()
                optimizer.step()
        return since(begin)


def ours(task: Task, settings: dict[str, int], every: str) -> Times:
    """Time of `train`, from its first checkpoint to its last file."""
    with tempfile.TemporaryDirectory() as folder:
        begun: list[Times] = []
        train(
            task,
            Path(folder) / "run",
            every=every,
            learning_rate=1e-3,
            on_plan=lambda _: begun.append(now()),
            **settings,
        )
        return since(begun[0])


WORKS: dict[str, tuple[Task, dict[str, int]]] = {
    "digits, H = 100, batch 64": (
        make_task("digits"),
        {"hidden_size": 100, "batch_size": 64, "epochs": 200},
    ),
    "500 tokens, H = 60, batch 32": (
        reviews(),
        {"hidden_size": 60, "batch_size": 32, "epochs": 10},
    ),
}


def main(rounds: int) -> None:
    """Print a line for each work and schedule."""
    for name, (task, settings) in WORKS.items():
        for every in ("1epoch", "10updates"):
            one, other = [], []
            for _ in range(rounds):
                one.append(ours(task, settings, every))
                other.append(bare(task, settings))
            clock, thread = (
                min(a) / min(b)
                for a, b in zip(
                    zip(*one, strict=True), zip(*other, strict=True), strict=True
                )
            )
            print(
                f"{name}, every {every}: {clock:.3f} by the clock, {thread:.3f} the "
                f"thread alone; bare loop {min(other)[0]:.2f} s",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
