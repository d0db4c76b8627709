"""Seconds and memory of the measures for nets of 1,024 and 2,048 units.

python benches/wide.py
"""

from __future__ import annotations

import resource
import time

import numpy as np

import lstm_edge

SHORT = {"steps": 100, "transient": 100, "starts": 2}


def net(hidden: int) -> dict[str, np.ndarray]:
    """One chaotic LSTM layer."""
    random = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (4 * hidden, 8), "weight_hh_l0": (4 * hidden, hidden)}
    return {
        name: (3 / hidden**0.5 * random.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def main() -> None:
    for hidden in (1024, 2048):
        weights = net(hidden)
        works = {
            "2 exponents": lambda w=weights: lstm_edge.lyapunov(w, k=2, **SHORT),
            "32 exponents": lambda w=weights: lstm_edge.lyapunov(w, k=32, **SHORT),
            "attractors": lambda w=weights: lstm_edge.attractors(
                w, limit=200, **SHORT | {"steps": 200}
            ),
            "D~ of 32 samples, 200 steps": lambda w=weights: (
                lstm_edge.asymptotic_distance(w, samples=32, steps=200)
            ),
        }
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            seconds = time.perf_counter() - begin
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(f"H = {hidden}, {name}: {seconds:.2f} s, {memory} MB", flush=True)


if __name__ == "__main__":
    main()
