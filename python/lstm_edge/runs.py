"""A run on disk: its description, metrics, checkpoints, and where to go on.

Every file is written beside and renamed into place, but for ``metrics.csv``, to which
whole rows are appended; going on with a run cuts it back to the state gone on from.
"""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_edge.checkpoints import replace_file, write_checkpoint
from lstm_edge.errors import LstmEdgeError, UsageError
from lstm_edge.metrics import METRICS

COLUMNS = ("update", *METRICS)
"""Columns of ``metrics.csv``."""

LOGGED = ("update", "epoch", "train_loss", "test_loss")  # in each checkpoint too

_DAMAGE = (
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


def open_run(
    folder: Path, description: Mapping[str, Any], probe: NDArray[np.float32]
) -> None:
    """Begin a run, or check that the one in the folder has the same settings.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    description : mapping
        What ``run.json`` holds: task, settings, seed, versions, schedule, ...
    probe : ndarray of shape (B, T, I)
        Inputs that drive the analysis.

    Raises
    ------
    UsageError
        Naming the first setting that differs, or why the folder cannot hold a run.
    """
    path = folder / "run.json"
    try:
        for name in ("checkpoints", "resume"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_checkpoint(folder / "probe.safetensors", {"inputs": probe}, {})
            replace_file(path, json.dumps(description, indent=2).encode())
            return
        found = json.loads(path.read_text())
        there, wanted = _flat(found), _flat(description)
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"{folder}: cannot hold a run ({error})") from error
    for name, value in wanted.items():
        if there.get(name) != value:
            raise UsageError(
                f"{path}: the run there has {name} = {there.get(name)}, this call has "
                f"{value}; go on with its settings, or train in another folder"
            )


def _flat(description: Mapping[str, Any]) -> dict[str, Any]:
    """Give all that must agree: versions may differ."""
    rest = {k: v for k, v in description.items() if k not in ("settings", "versions")}
    return {**rest, **description["settings"]}


def record(
    folder: Path,
    state_dict: Mapping[str, Tensor],
    row: Mapping[str, Any],
    metadata: Mapping[str, str],
) -> None:
    """Write a checkpoint, and append its row of `COLUMNS`."""
    shown = {name: repr(row[name]) for name in COLUMNS}
    write_checkpoint(
        folder / "checkpoints" / f"update-{row['update']:08}.safetensors",
        {name: tensor.float().cpu().numpy() for name, tensor in state_dict.items()},
        {**metadata, **{k: shown[k] for k in LOGGED}},
    )
    with (folder / "metrics.csv").open("a", newline="") as file:
        file.write(",".join(shown.values()) + "\n")


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Keep the state that belongs to the last row of metrics."""
    rows = (folder / "metrics.csv").stat().st_size
    buffer = io.BytesIO()
    torch.save({"state": state, "metrics_bytes": rows}, buffer)
    replace_file(folder / "resume" / "state.pt", buffer.getvalue())


def load_state(folder: Path) -> dict[str, Any] | None:
    """Give the state last saved, with the metrics cut back to it; None at the start.

    Raises
    ------
    LstmEdgeError
        If the state or the metrics were changed by others.
    """
    path, metrics = folder / "resume" / "state.pt", folder / "metrics.csv"
    if not path.exists():
        replace_file(metrics, (",".join(COLUMNS) + "\n").encode())
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        state, rows = saved["state"], saved["metrics_bytes"]
        if metrics.stat().st_size < rows:
            raise ValueError(f"{metrics.name} lost rows")
        os.truncate(metrics, rows)
    except _DAMAGE as error:
        raise LstmEdgeError(
            f"{path}: cannot go on from here ({error}); train in another folder"
        ) from error
    return dict(state)
