"""Peak memory of a sweep of 10,000 checkpoints, and of what reads its store.

The sweep is one over small nets in few steps, with as many starts and samples as by
default; the store has rows as large as those of a sweep with the default settings. Each
piece of work runs in a process of its own; printed is its peak beyond that of a
process that only imports Python's packages, torch included:

    python benches/memory.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from lstm_edge.store.rows import Row, result_key
from lstm_edge.store.store import Store
from lstm_edge.terms import ATTRACTORS

IMPORTS = """
import resource, sys
import h5netcdf, matplotlib.figure, numpy, pandas, plotly.graph_objects, pyarrow
import scipy.signal, torch, xarray
import lstm_edge, lstm_edge.results.export, lstm_edge.report
store, out = sys.argv[1:]
"""
PEAK = "\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
WORKS = {
    "nothing": "",
    "analyze": """
short = {"steps": 200, "transient": 10}
lstm_edge.analyze(out + "/checkpoints", out=out + "/analysis.sqlite", settings={
    "lyapunov": short, "attractors": short | {"limit": 200}, "distance": {"steps": 9},
}).summary()""",
    "open_sweep, summary": "lstm_edge.open_sweep(store).summary()",
    "report": "lstm_edge.report.write_report("
    "lstm_edge.open_sweep(store), out + '/report.html')",
    "figures": "lstm_edge.report.save_figures(lstm_edge.open_sweep(store), out)",
    **{
        f"export {suffix}": "lstm_edge.results.export.write_export("
        f"lstm_edge.open_sweep(store), out + '/results.{suffix}')"
        for suffix in ("csv", "parquet", "nc")
    },
    "merge": "lstm_edge.merge_stores([store], out + '/merged.sqlite')",
    "_repr_html_": "lstm_edge.open_sweep(store)._repr_html_()",
}
STARTS, SAMPLES, SKETCH = 8, 500, 1024


def fill(path: Path, checkpoints: int) -> None:
    """Write rows as large as those of a sweep with the default settings."""
    random = np.random.default_rng(0)
    settings = {"starts": STARTS, "inputs": "zero"}
    with Store(path, write=True) as store:
        store.set_run(
            measures={
                name: [1, settings]
                for name in ("lyapunov", "attractors", "distance", "sketch")
            },
            version="0",
        )
        names = {f"update-{10 * i:08}.safetensors": 10 * i for i in range(checkpoints)}
        store.set_checkpoints(
            {
                name: (update, {"epoch": update / 10, "test_loss": random.random()})
                for name, update in names.items()
            }
        )
        for name in names:
            for measure, (scalars, arrays) in rows(random).items():
                key = result_key(name, measure, 1, settings, "zero")
                row = Row(
                    name, measure, key, 1, settings, scalars=scalars, arrays=arrays
                )
                store.put(row)


def write_checkpoints(folder: Path, checkpoints: int) -> None:
    """Write nets of two units, named by their updates."""
    folder.mkdir()
    random = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (8, 1), "weight_hh_l0": (8, 2)}
    for i in range(checkpoints):
        arrays = {name: random.normal(0, 2, shape) for name, shape in shapes.items()}
        np.savez(folder / f"update-{10 * i:08}.npz", **arrays)


def rows(random: np.random.Generator) -> dict[str, tuple[dict, dict]]:
    """Scalars and arrays of each measure of one checkpoint."""
    exponent = random.normal(0, 0.02)
    phase = "order" if exponent < -0.01 else "chaos" if exponent > 0.01 else "edge"
    per_start = np.sort(random.normal(exponent, 0.01, (STARTS, 2)))[:, ::-1]
    both = {"phase": phase, "chaotic_share": 0.5}
    return {
        "lyapunov": (
            both
            | {
                "lambda_max": exponent,
                "lambda_max_stderr": 0.001,
                "lambda_mean": exponent,
                "exponents": per_start.mean(axis=0).tolist(),
                "stderr": [0.001, 0.001],
                "interval": 10,
            },
            {
                "per_start": per_start,
                "per_start_stderr": np.abs(per_start),
                "zero_margin": np.abs(per_start[:, 0]),
            },
        ),
        "attractors": (
            both
            | {
                "shares": dict(
                    zip(ATTRACTORS, [0.25, 0.0, 0.25, 0.5, 0.0], strict=True)
                ),
                "attractors": [
                    {"kind": "chaos", "period": 0, "share": 0.125}
                    for _ in range(STARTS)
                ],
                "period": 1,
                "multipliers": random.normal(size=(4, 2)).tolist(),
            },
            {
                name: random.random(STARTS)
                for name in ("period", "exponent", "zero_one", "steps")
            },
        ),
        "distance": (
            {"distance": -3.0, "distance_stderr": 0.1},
            {
                "per_sample": random.normal(size=SAMPLES),
                "observable": random.normal(size=SAMPLES),
            },
        ),
        "sketch": ({"parameters": 10_000}, {"sketch": random.normal(size=SKETCH)}),
    }


def peak(work: str, store: Path, out: str) -> float:
    """Most memory that a process held at any time, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS + work + PEAK, store, out],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    """Make the store where it is missing, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=int, default=10_000)
    parser.add_argument("--store", type=Path, help="keep it there, or take that one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = arguments.store or Path(folder) / "memory.sqlite"
        if not store.exists():
            fill(store, arguments.checkpoints)
        write_checkpoints(Path(folder) / "checkpoints", arguments.checkpoints)
        print(f"store: {store.stat().st_size / 2**20:.0f} MB")
        base = peak("", store, folder)
        print(f"imports: {base:.0f} MB")
        for name, work in WORKS.items():
            begin = time.perf_counter()
            beyond = peak(work, store, folder) - base
            seconds = time.perf_counter() - begin
            print(f"{name}: {beyond:.0f} MB beyond, {seconds:.1f} s with imports")


if __name__ == "__main__":
    main()
