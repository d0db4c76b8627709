"""Destination: the store that the results of a sweep go to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lstm_edge import _core
from lstm_edge.errors import CheckpointError, UsageError
from lstm_edge.files.huggingface import load_json
from lstm_edge.files.places import Where, as_place, is_remote
from lstm_edge.results.sweep import STORE
from lstm_edge.store.store import Store
from lstm_edge.sweep.found import Found
from lstm_edge.sweep.plan import Plan


def _part_of(run: Path) -> dict[str, int] | None:
    """Tell which updates of a run `zoom` has replayed there; None of a whole run."""
    try:
        found = load_json(run / "run.json").get("zoom")
    except CheckpointError:
        return None
    known = isinstance(found, dict) and {"from", "to"} <= found.keys()
    return found if known else None


@contextmanager
def open_store(out: Where | None, found: Found, plan: Plan) -> Iterator[Store]:
    """Open the store of a sweep for writing; beside the run where none is named.

    What is measured, and which checkpoints there are, is written down first.

    Raises
    ------
    StoreError, UsageError
        A store that cannot be written, or a place that is none on this machine.
    """
    path = found.run / STORE if out is None else as_place(out)
    if is_remote(path):
        if out is not None:
            raise UsageError(
                f"{out}: expected a path on this machine, where alone a store can be"
            )
        path = Path(STORE)
    checkpoints = {
        found.names[file.path]: (file.update, found.metrics.get(file.update, {}))
        for file in found.files
    }
    with Store(path, write=True) as store:
        store.set_checkpoints(checkpoints)
        store.set_run(
            source=str(found.run),
            part=_part_of(found.run),
            settings={name: dict(s) for name, s in plan.settings.items()},
            inputs=plan.regime,
            losses=found.losses,
            times=found.times,
            assumed=found.doubts,
            measures=plan.measures,
            version=_core.__version__,
            numpy=np.__version__,
        )
        yield store
