"""kill -9, 200 times at random: nothing is lost, nothing is computed twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lstm_edge.results.sweep import open_sweep
from lstm_edge.sweep.analysis import analyze

KILLS = 200

SETTINGS: dict[str, dict[str, Any]] = {
    "lyapunov": {"steps": 60, "transient": 20, "starts": 2},
    "attractors": {"steps": 200, "transient": 20, "limit": 400, "starts": 2},
    "distance": {"steps": 60, "samples": 3},
}

# Forks a sweep from a process that has imported everything, kills it, looks at the
# store, and again. It prints, for each sweep: the store, the rows that were there
# before, those that were computed, and whether it ended before it was killed.
SCRIPT = """
import json, os, random, signal, sys, time
from dataclasses import replace
from pathlib import Path
from lstm_edge.measures import table as measures
from lstm_edge.results.sweep import open_sweep
from lstm_edge.sweep.analysis import analyze

run, folder = sys.argv[1], Path(sys.argv[2])
kills, settings = map(json.loads, sys.argv[3:])
log = folder / "log"

def noting(measure):
    def compute(weights, *args, **kwargs):
        with log.open("a") as file:
            file.write(json.dumps([Path(weights.source).name, measure.name]) + chr(10))
        return measure.compute(weights, *args, **kwargs)
    return replace(measure, compute=compute)

for name, measure in list(measures.MEASURES.items()):
    measures.MEASURES[name] = noting(measure)

def sweep(store, seconds=None):
    pid = os.fork()
    if pid == 0:
        try:
            analyze(run, out=store, settings=settings, workers=2)
            os._exit(0)
        finally:
            os._exit(1)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status == 0

def rows(store):
    if not store.exists():
        return []
    try:
        return sorted(map(list, open_sweep(store).rows))
    except Exception as error:
        assert "not written by lstm-edge" in str(error), error  # killed at its birth
        return []

def computed():
    lines = log.read_text().splitlines() if log.exists() else []
    return [json.loads(line) for line in lines]

begin = time.monotonic()
sweep(folder / "timing.sqlite")
whole = time.monotonic() - begin
random.seed(0)
number = 0
while kills:
    store = folder / f"{number}.sqlite"
    before = rows(store)
    log.unlink(missing_ok=True)
    ended = sweep(store, random.uniform(0, whole))
    print(json.dumps([str(store), before, computed(), ended]))
    number, kills = number + ended, kills - (not ended)
    whole *= 0.9 if ended else 1.01  # the machine may be busier now, or less so
sweep(folder / f"{number}.sqlite")
print(json.dumps([str(folder / f"{number}.sqlite"), [], [], True]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_200_times(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(12)
    whole = analyze(run, settings=SETTINGS)
    (tmp_path / "killed").mkdir()
    arguments = [run, tmp_path / "killed", json.dumps(KILLS), json.dumps(SETTINGS)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    sweeps = [json.loads(line) for line in done.stdout.splitlines()]
    killed = [sweep for sweep in sweeps if not sweep[3]]
    assert len(killed) == KILLS
    assert any(before for _, before, _, _ in killed), "some were killed half way"
    for store, before, computed, _ in sweeps:
        again = [row for row in computed if row in before]
        assert again == [], f"{store}: what was stored was computed again"
    for store in {store for store, _, _, ended in sweeps if ended}:
        found = open_sweep(store)
        assert found.rows.keys() == whole.rows.keys()
        for place, row in whole.rows.items():
            assert repr(found.rows[place].scalars) == repr(row.scalars)
            arrays = found.rows[place].arrays
            assert {k: v.tobytes() for k, v in arrays.items()} == {
                k: v.tobytes() for k, v in row.arrays.items()
            }
