"""What an `EdgeMonitor` costs the training beside it, at one measurement an epoch.

Trains the digits net in blocks of epochs, by turns with a monitor and without, and
compares the medians of the time an epoch takes. A block begins with nothing left to
measure; within a block the analysis may lag behind as it does in any training.

    python benches/monitor.py [--hidden 100] [--threads 1] [--blocks 20] [--epochs 20]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch.nn.functional import cross_entropy

import lstm_edge
from lstm_edge.lab.tasks.table import make_task


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden", type=int, default=100, help="hidden units")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--blocks", type=int, default=20, help="of either kind")
    parser.add_argument("--epochs", type=int, default=20, help="in a block")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    task = make_task("digits")
    model = task.make_model("lstm", options.hidden, 1)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)

    def train_an_epoch() -> None:
        order = torch.randperm(len(task.train_inputs))
        for rows in order.split(64):
            loss = cross_entropy(
                model(task.train_inputs[rows]), task.train_targets[rows]
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    wall: dict[bool, list[float]] = {False: [], True: []}
    processor: dict[bool, list[float]] = {False: [], True: []}
    calls: list[float] = []
    monitor = lstm_edge.EdgeMonitor()
    for block in range(2 * options.blocks):
        watched = block % 2 == 1
        for _ in range(options.epochs):
            begin, begin_here = time.perf_counter(), time.thread_time()
            train_an_epoch()
            if watched:
                call = time.perf_counter()
                monitor.update(model)
                calls.append(time.perf_counter() - call)
            wall[watched].append(time.perf_counter() - begin)
            processor[watched].append(time.thread_time() - begin_here)
        monitor.flush()
    monitor.close()
    took = statistics.median(result.seconds for result in monitor.history)
    print(f"H = {options.hidden}, torch threads: {options.threads}")
    print("an epoch:", compared(wall))
    print("of which the training thread computes:", compared(processor))
    print(
        f"a call of update: {1e6 * statistics.median(calls):.0f} us; a measurement: "
        f"{took:.2f} s; {len(monitor.history)} measured, {monitor.skipped} skipped"
    )


def compared(seconds: dict[bool, list[float]]) -> str:
    bare, watched = (1e3 * statistics.median(seconds[key]) for key in (False, True))
    return (
        f"{bare:.1f} ms bare, {watched:.1f} ms with a monitor, "
        f"{100 * (watched / bare - 1):+.1f} %"
    )


if __name__ == "__main__":
    main()
