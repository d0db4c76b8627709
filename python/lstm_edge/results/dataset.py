"""Columns of checkpoints as a labelled dataset, with units and what made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import UsageError
from lstm_edge.terms import AXES, Column

if TYPE_CHECKING:
    import xarray


def stack_padded(arrays: Sequence[NDArray[Any]], axes: int) -> NDArray[np.float64]:
    """Stack arrays of different lengths, NaN where one ends or has other axes.

    Parameters
    ----------
    arrays : sequence of ndarray
        One for each checkpoint.
    axes : int
        How many each is to have.

    Returns
    -------
    ndarray of shape (checkpoints, ...)
        As long as the longest along every axis.
    """
    fitting = [array for array in arrays if array.ndim == axes]
    shape = np.max([x.shape for x in fitting], axis=0) if fitting else [0] * axes
    stacked = np.full((len(arrays), *shape), np.nan)
    for row, array in zip(stacked, arrays, strict=True):
        if array.ndim == axes:
            row[tuple(map(slice, array.shape))] = array
    return stacked


def make_dataset(
    table: Mapping[str, NDArray[Any]],
    arrays: Mapping[str, Sequence[NDArray[Any]]],
    columns: Mapping[str, Column],
    versions: Iterable[str],
    inputs: str,
) -> xarray.Dataset:
    """Label the columns of checkpoints.

    Dimensions: ``checkpoint`` (its coordinates are name, update and epoch) and those of
    `AXES`. What is not known is NaN. The attributes follow the CF conventions.

    Parameters
    ----------
    table : mapping of column to ndarray of shape (checkpoints,)
    arrays : mapping of column to sequence of ndarray
        One for each checkpoint.
    columns : mapping of name to Column
        What is known of them.
    versions : iterable of str
        Those of lstm-edge that made them.
    inputs : str
        The input regime.
    """
    library = load("xarray")
    variables: dict[str, Any] = {
        name: ("checkpoint", x.astype(object) if x.dtype.kind == "U" else x)
        for name, x in table.items()
    }
    coordinates = {name: variables.pop(name) for name in ("name", "update", "epoch")}
    for name, values in arrays.items():
        axes = columns[name].axes
        stacked = stack_padded(values, len(axes))
        variables[name] = ("checkpoint", *axes), stacked
        for axis, length in zip(axes, stacked.shape[1:], strict=True):
            coordinates[axis] = np.arange(length) + (axis == "exponent")
    dataset: xarray.Dataset = library.Dataset(
        variables,
        coordinates,
        attrs={
            "Conventions": "CF-1.11",
            "title": "Lyapunov exponents and phases of checkpoints in training",
            "source": ", ".join(f"lstm-edge {version}" for version in versions),
            "history": "measured by lstm-edge analyze, written by lstm-edge export",
            "references": "https://arxiv.org/abs/2505.20030",
            "inputs": inputs,
        },
    )
    known = {**AXES, **columns}
    for name in (*dataset.data_vars, *dataset.coords):
        plain = Column(str(name), str(name).replace("_", " of "), "")
        dataset[name].attrs = _attributes(known.get(str(name), plain))
    return dataset


def _attributes(column: Column) -> dict[str, str]:
    about = {"units": column.unit, "long_name": column.sentence}
    about["ancillary_variables"] = column.error
    return {key: text for key, text in about.items() if text}


def load(name: str) -> Any:
    """Import a library of the extra ``export``."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(
            f"{name} is not installed; expected it for this format: "
            "pip install 'lstm-edge[export]'"
        ) from None
