"""Sequences of numbers in an array file, to classify or to forecast."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError, UsageError
from lstm_edge.files.formats import read_tensors
from lstm_edge.lab.tasks.task import (
    CLASSES,
    FORECAST,
    PROBE_SIZE,
    Classifier,
    Forecaster,
    Task,
    split,
)


def make_sequence(
    data: str | PathLike[str] | None = None, *, seed: int = 0, dt: float = 1.0
) -> Task:
    """Sequences of numbers, with a class each, with targets, or with neither.

    Parameters
    ----------
    data : path
        A ``.npz`` file with the array ``inputs`` (N, T, I), and one of ``labels`` (N,),
        integers: to classify; ``targets`` (N, T, O): to predict at each step; or
        neither: to forecast the next input. What forecasts inputs runs in a closed
        loop.
    seed : int, default 0
        Of the shuffle before the split; 70 % are for training.
    dt : float, default 1
        Time between two steps.

    Raises
    ------
    UsageError
        Naming the file and array, what was expected and what was found.
    """
    if data is None:
        raise UsageError("data: the task 'sequence' needs a .npz file with 'inputs'")
    path = Path(data)
    try:
        arrays, _ = read_tensors(path)
    except CheckpointError as error:
        raise UsageError(str(error)) from error
    inputs = _array(path, arrays, "inputs", "(N, T, I)")
    if "labels" in arrays:
        return _classifier(inputs, _labels(path, arrays, len(inputs)), seed)
    if "targets" in arrays:
        targets = _array(path, arrays, "targets", "(N, T, O)")
        if targets.shape[:2] != inputs.shape[:2]:
            raise UsageError(
                f"{path}: 'targets': expected shape {(*inputs.shape[:2], 'O')}, found "
                f"{targets.shape}"
            )
        return forecaster("sequence", inputs, targets, seed=seed, dt=dt)
    if inputs.shape[1] < 2:
        raise UsageError(f"{path}: 'inputs': expected T >= 2, found {inputs.shape}")
    return forecaster("sequence", inputs[:, :-1], inputs[:, 1:], seed=seed, dt=dt)


def forecaster(
    name: str,
    inputs: NDArray[np.float32],
    targets: NDArray[np.float32],
    *,
    seed: int,
    dt: float,
) -> Task:
    """Make a task of predicting `targets` (N, T, O) from `inputs` (N, T, I).

    Where O = I the prediction counts as the next input, and the loop can be closed.
    """
    train, test = split(len(inputs), seed)
    size, outputs = inputs.shape[2], targets.shape[2]
    return Task(
        name=name,
        train_inputs=torch.from_numpy(inputs[train]),
        train_targets=torch.from_numpy(targets[train]),
        test_inputs=torch.from_numpy(inputs[test]),
        test_targets=torch.from_numpy(targets[test]),
        make_model=lambda cell, units, layers: Forecaster(
            cell, size, units, layers, outputs
        ),
        probe=inputs[test][:PROBE_SIZE],
        objective=FORECAST,
        closed_loop=outputs == size,
        dt=dt,
    )


def _classifier(
    inputs: NDArray[np.float32], labels: NDArray[np.int64], seed: int
) -> Task:
    train, test = split(len(inputs), seed)
    size, classes = inputs.shape[2], int(labels.max()) + 1
    return Task(
        name="sequence",
        train_inputs=torch.from_numpy(inputs[train]),
        train_targets=torch.from_numpy(labels[train]),
        test_inputs=torch.from_numpy(inputs[test]),
        test_targets=torch.from_numpy(labels[test]),
        make_model=lambda cell, units, layers: Classifier(
            cell, size, units, layers, classes
        ),
        probe=inputs[test][:PROBE_SIZE],
        objective=CLASSES,
    )


def _array(
    path: Path, arrays: dict[str, Any], name: str, shape: str
) -> NDArray[np.float32]:
    array = np.asarray(arrays.get(name, 0))
    if array.ndim != 3 or array.dtype.kind not in "fiu" or array.size == 0:
        found = f"{array.dtype} {array.shape}" if name in arrays else "none"
        raise UsageError(f"{path}: '{name}': expected numbers {shape}, found {found}")
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise UsageError(f"{path}: '{name}': expected finite numbers, found others")
    return numbers


def _labels(path: Path, arrays: dict[str, Any], count: int) -> NDArray[np.int64]:
    labels = np.asarray(arrays["labels"])
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise UsageError(
            f"{path}: 'labels': expected {count} integers >= 0, found {labels.dtype} "
            f"{labels.shape}"
        )
    return labels.astype(np.int64)
