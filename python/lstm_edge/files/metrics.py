"""What training tells about its checkpoints: losses, norms and the probe inputs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError, UsageError
from lstm_edge.files.discovery import CheckpointFile
from lstm_edge.files.formats import read_tensors
from lstm_edge.files.places import read_all

METRICS = (
    "epoch",
    "train_loss",
    "test_loss",
    "test_accuracy",
    "gradient_norm",
    "update_norm",
    "weight_norm",
)
"""The columns that are known, beside ``update``."""

Metrics = dict[int, dict[str, float]]
"""Update to what is known there."""


def run_folder(checkpoint: Path) -> Path:
    """Find the run that a checkpoint belongs to, or else the folder it lies in."""
    folder = checkpoint.parent
    return folder.parent if folder.name == "checkpoints" else folder


def read_probe(run: Path) -> NDArray[Any] | None:
    """Read the inputs that drive the analysis; None where there are none.

    Returns
    -------
    ndarray of shape (B, T, I), or of integers (B, T), which are tokens

    Raises
    ------
    CheckpointError
        A probe that cannot be used.
    """
    path = run / "probe.safetensors"
    if not path.exists():
        return None
    tensors, _ = read_tensors(path)
    probe = tensors.get("inputs")
    array = np.asarray(0 if probe is None else probe)
    if array.ndim != 3 and not (array.ndim == 2 and array.dtype.kind in "iu"):
        found = {name: f"{t.dtype} {tuple(t.shape)}" for name, t in tensors.items()}
        raise CheckpointError(
            f"{path}: expected a tensor 'inputs' of shape (B, T, I), or integers "
            f"(B, T), found {found}"
        )
    return array


def read_metrics(
    path: Path | None, run: Path, files: Sequence[CheckpointFile]
) -> Metrics:
    """Read the metrics of a run.

    Parameters
    ----------
    path : Path or None
        A CSV file; None takes ``metrics.csv`` of the run, and where there is none, what
        the checkpoints say of themselves.
    run : Path
        The run's folder.
    files : sequence of CheckpointFile

    Raises
    ------
    UsageError
        A CSV without a column ``update``, or with a number that is none.
    """
    if path is None and (run / "metrics.csv").is_file():
        path = run / "metrics.csv"
    if path is None:
        return {file.update: _said_by(file) for file in files}
    try:
        text = read_all(path).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        if "update" not in (reader.fieldnames or ()):
            raise UsageError(
                f"{path}: expected a column 'update', found {reader.fieldnames}"
            )
        return {
            int(float(row["update"])): _numbers(row) for row in reader if row["update"]
        }
    except CheckpointError as error:
        raise UsageError(str(error)) from error
    except (ValueError, TypeError, OverflowError, csv.Error) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path}: cannot be read as a table ({error})") from error


def _said_by(file: CheckpointFile) -> dict[str, float]:
    try:
        return _numbers(file.metadata)
    except ValueError:
        return {}  # not what lstm-edge writes


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    found = {key: float(row[key]) for key in METRICS if row.get(key) not in (None, "")}
    return {key: value for key, value in found.items() if not math.isnan(value)}
