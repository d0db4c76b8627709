"""What reading a checkpoint costs beside analysing it, for every format.

    python benches/reading.py

writes an LSTM of H = 60 with each library that is installed, and prints milliseconds to
read it, and the share of the time that the two largest exponents take in a sweep.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from _pytest.outcomes import Skipped

import test_format_matrix as matrix
from lstm_edge import _core, lyapunov, read_checkpoint
from lstm_edge.measures.table import MEASURES

HIDDEN = 60
ROUNDS = 30


class Net(matrix.Net):
    """As in the tests, of the size of the paper."""

    def __init__(self) -> None:
        super().__init__("lstm", 1)
        self.rnn = nn.LSTM(matrix.INPUTS, HIDDEN)
        self.answer = nn.Linear(HIDDEN, matrix.INPUTS)


def median_ms(work: Callable[[], object], rounds: int) -> float:
    work()  # what is loaded once
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(seconds)


def main() -> None:
    torch.manual_seed(0)
    matrix.HIDDEN = HIDDEN
    net = Net().double()
    settings = dict(MEASURES["lyapunov"].defaults)
    analysing = median_ms(lambda: lyapunov(net, threads=1, **settings), 5)
    print(f"lstm-edge {_core.__version__}, H = {HIDDEN}, {settings}, one thread")
    print(f"analysing: {analysing:.1f} ms")
    with tempfile.TemporaryDirectory() as folder:
        for name, write in matrix.FORMATS.items():
            path = Path(folder) / name
            try:
                write(net, path)
            except Skipped as reason:
                print(f"{name:16} {reason}")
                continue
            reading = median_ms(lambda path=path: read_checkpoint(path), ROUNDS)
            print(f"{name:16} {reading:6.2f} ms  {reading / analysing:6.1%}")


if __name__ == "__main__":
    main()
