"""What `lstm-edge watch` costs a training run on the same machine.

Trains the demo's net while a watch process measures its checkpoints, and lets that
process run and stand still in turn. The ratio of the seconds an epoch takes, beside it
and alone, is printed with its quartiles:

    python benches/watch_beside_training.py --threads 1
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from lstm_edge.lab.training.training import Progress, train

COMMAND = "from lstm_edge.cli import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1, help="Of PyTorch.")
    parser.add_argument("--epochs", type=int, default=600)
    parser.add_argument("--turn", type=int, default=20, help="Epochs a turn.")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        watch = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "watch", str(run), "-q"]
        )
        times: list[float] = []

        def note(progress: Progress) -> None:
            times.append(time.perf_counter())
            turn = len(times) // options.turn
            watch.send_signal(signal.SIGCONT if turn % 2 else signal.SIGSTOP)

        train("digits", run, epochs=options.epochs, progress=note)
        watch.send_signal(signal.SIGCONT)
        watch.kill()
        watch.wait()
    seconds = np.diff(times)
    turns = np.arange(len(seconds)) // options.turn
    medians = [np.median(seconds[turns == turn]) for turn in range(max(turns))]
    alone, beside = medians[2::2], medians[3::2]
    ratios = np.array([b / a for a, b in zip(alone, beside, strict=False)])
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    print(
        f"{options.threads} threads of PyTorch: {middle:.3f} ({low:.3f} to {high:.3f})"
    )


if __name__ == "__main__":
    main()
