"""Two builds of the core on the same work, in turns, in one process.

cargo build --release -p lstm-edge-python --features pyo3/extension-module
python benches/compare.py OLD/lib_core.so NEW/lib_core.so --json ratios.json
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 7


def load(file: str, name: str) -> Any:
    """Import an extension; the copy keeps two of them apart."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"{name}{Path(file).suffix}"
        shutil.copy(file, copy)
        spec = importlib.util.spec_from_file_location("_core", copy)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def net(core: Any, hidden: int, gain: float, double: bool) -> Any:
    random = np.random.default_rng(1)
    kind = np.float64 if double else np.float32
    shapes = [(4 * hidden, 1), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,)]
    scales = [1.0, gain / hidden**0.5, 0.0, 0.0]
    arrays = [
        np.asarray(scale * random.standard_normal(shape), kind)
        for scale, shape in zip(scales, shapes, strict=True)
    ]
    return core.StateMap.net("lstm", [(*arrays, None)], None, None, double=double)


def works(core: Any) -> dict[str, Any]:
    """What is timed, each a call without arguments."""
    run = {"seed": 0, "threads": 1}
    starts = {"initial_state": None, "at_rest": False, "transient": 0}
    found = {}
    for hidden, k, interval, steps, count in (
        (60, 120, 1, 300, 2),
        (60, 120, 10, 800, 2),
        (60, 2, 10, 2000, 8),
        (128, 256, 10, 100, 2),
        (128, 2, 10, 800, 8),
    ):
        chaotic = net(core, hidden, 6.0, double=True)
        settings = {"k": k, "interval": interval, "steps": steps, "starts": count}
        settings |= {"asymptotic": False}
        found[f"{k} exponents, H = {hidden}, interval {interval}"] = (
            lambda chaotic=chaotic, settings=settings: core.lyapunov(
                chaotic, None, **settings, **starts, **run
            )
        )
    chaotic = net(core, 60, 6.0, double=False)
    found["D~, H = 60, 64 samples"] = lambda: core.asymptotic_distance(
        chaotic, None, steps=1599, noise=1e-3, samples=64, floor=3e-7, **run
    )
    ordered = net(core, 60, 0.5, double=True)
    look = {"steps": 2000, "limit": 16_000, "tolerance": 1e-6, "starts": 8}
    found["attractors of a net in order, H = 60"] = lambda: core.attractors(
        ordered, None, **look, **starts | {"transient": 1000}, **run
    )
    return found


def seconds(work: Any) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old", help="extension to compare with")
    parser.add_argument("new", help="extension to measure")
    parser.add_argument("--json", help="file to write the ratios to")
    parser.add_argument("--most", type=float, help="ratio that is a failure")
    given = parser.parse_args()
    old, new = works(load(given.old, "old")), works(load(given.new, "new"))
    ratios = {}
    for name, work in new.items():
        try:
            old[name]()
        except TypeError as error:
            print(f"{name}: the other build takes other arguments ({error})")
            continue
        turns = []
        for turn in range(ROUNDS):
            order = (old[name], work) if turn % 2 else (work, old[name])
            times = [seconds(each) for each in order]
            before, after = times if turn % 2 else times[::-1]
            turns.append(after / before)
        ratios[name] = statistics.median(turns)
        print(f"{name}: {ratios[name]:.3f} ({min(turns):.3f} to {max(turns):.3f})")
    if given.json:
        Path(given.json).write_text(json.dumps(ratios, indent=1))
    if given.most is not None and max(ratios.values(), default=0) > given.most:
        raise SystemExit(f"slower than {given.most} times the other")


if __name__ == "__main__":
    main()
