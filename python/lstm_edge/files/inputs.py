"""Inputs that drive a net: the probe of a run, or a file of one's own."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError, UsageError
from lstm_edge.extras import load
from lstm_edge.files.formats import read_tensors
from lstm_edge.files.places import read_all

NAMES = ("inputs", "x", "X", "data")
"""Of the array that is taken, where a file holds several."""


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


def read_inputs(path: Path) -> NDArray[Any]:
    """Read the inputs of a net from a file.

    Parameters
    ----------
    path : Path
        ``.npz``, ``.safetensors`` and such with one array, or one called "inputs";
        ``.npy``; ``.csv`` and ``.parquet`` with a row a step.

    Returns
    -------
    ndarray of shape (B, T, I) or (T, I), or of integers (B, T), which are tokens

    Raises
    ------
    UsageError
        If it cannot be read, or holds no such array.
    """
    try:
        array = _READERS.get(path.suffix.lower(), _from_tensors)(path)
    except CheckpointError as error:
        raise UsageError(str(error)) from error
    except (ValueError, TypeError, EOFError, OSError) as error:
        raise UsageError(f"{path}: cannot be read as inputs ({error})") from error
    if array.ndim not in (2, 3) or array.dtype.kind not in "fiu":
        raise UsageError(
            f"{path}: expected inputs of shape (B, T, I) or (T, I), or integers "
            f"(B, T), found {array.dtype} {array.shape}"
        )
    return array


def _from_tensors(path: Path) -> NDArray[Any]:
    tensors, _ = read_tensors(path)
    names = [name for name in NAMES if name in tensors] or list(tensors)
    if len(names) != 1 and names[:1] != ["inputs"]:
        shown = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        raise UsageError(f"{path}: expected one array, or 'inputs', found {shown}")
    return np.asarray(tensors[names[0]])


def _from_npy(path: Path) -> NDArray[Any]:
    return np.asarray(np.load(io.BytesIO(read_all(path)), allow_pickle=False))


def _from_csv(path: Path) -> NDArray[Any]:
    """Read a row a step; a first row of words is a header."""
    lines = [*csv.reader(io.StringIO(read_all(path).decode("utf-8-sig")))]
    rows = [line for line in lines if line]
    try:
        [float(cell) for cell in rows[0]]
    except ValueError:
        rows = rows[1:]
    return np.array([[float(cell) for cell in row] for row in rows])


def _from_parquet(path: Path) -> NDArray[Any]:
    tables = load("export", "pyarrow.parquet")
    table = tables.read_table(io.BytesIO(read_all(path)))
    return np.column_stack([column.to_numpy() for column in table.columns])


_READERS = {".npy": _from_npy, ".csv": _from_csv, ".parquet": _from_parquet}
