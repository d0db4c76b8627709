"""A sweep for other programs: Parquet and CSV tables, netCDF with all starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_edge.errors import UsageError
from lstm_edge.results import Sweep, stack_padded

if TYPE_CHECKING:
    import pandas
    import xarray

UNITS = {
    "update": "optimiser updates",
    "epoch": "epochs",
    "lambda_max": "nats per step",
    "lambda_max_stderr": "nats per step",
    "lambda_mean": "nats per step",
    "exponents": "nats per step",
    "per_start": "nats per step",
    "distance": "ln(distance)",
    "distance_stderr": "ln(distance)",
    "chaotic_share": "1",
    "test_accuracy": "1",
}

LONG_NAMES = {
    "lambda_max": "largest Lyapunov exponent, largest over the starts",
    "lambda_max_stderr": "its standard error",
    "lambda_mean": "largest Lyapunov exponent, mean over the starts",
    "exponents": "Lyapunov exponents, mean over the starts",
    "per_start": "Lyapunov exponents of each start",
    "distance": "asymptotic distance (Wei et al. 2025)",
    "observable": "sum of h after the last step, of each sample",
    "chaotic_share": "share of the starts that end in chaos",
}


def make_dataset(sweep: Sweep) -> xarray.Dataset:
    """Give a sweep as a labelled dataset, with units and what made it.

    Dimensions: ``checkpoint`` (its coordinates are name, update and epoch), ``start``,
    ``exponent`` (from 1, the largest) and ``sample``. What is not known is NaN.

    Parameters
    ----------
    sweep : Sweep
    """
    library = _load("xarray")
    table = dict(sweep.table)
    names = np.asarray(table.pop("name"), object)
    coordinates: dict[str, Any] = {
        "name": ("checkpoint", names),
        "update": ("checkpoint", table.pop("update")),
        "epoch": ("checkpoint", table.pop("epoch")),
    }
    variables: dict[str, Any] = {
        name: (
            "checkpoint",
            column.astype(object) if column.dtype.kind == "U" else column,
        )
        for name, column in table.items()
    }
    variables["exponents"] = (("checkpoint", "exponent"), sweep.exponents)
    starts = stack_padded(sweep.per_start, 2)
    variables["per_start"] = (("checkpoint", "start", "exponent"), starts)
    variables["observable"] = (
        ("checkpoint", "sample"),
        stack_padded(sweep.observable, 1),
    )
    coordinates["exponent"] = np.arange(1, sweep.exponents.shape[1] + 1)
    origin = _origin(sweep)
    dataset: xarray.Dataset = library.Dataset(variables, coordinates, attrs=origin)
    for name in (*dataset.data_vars, *dataset.coords):
        about = {"units": UNITS.get(name), "long_name": LONG_NAMES.get(name)}
        dataset[name].attrs = {key: text for key, text in about.items() if text}
    return dataset


def write_export(sweep: Sweep, path: str | PathLike[str]) -> Path:
    """Write a sweep in the format that the suffix names.

    ``.csv`` and ``.parquet`` hold the table, a row a checkpoint, with the exponents in
    columns of their own and the settings and version that made them; ``.nc`` (netCDF 4)
    holds all of `make_dataset`.

    Parameters
    ----------
    sweep : Sweep
    path : path

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        Another suffix, a library that is not installed, or a place that cannot be
        written.
    """
    target = Path(path)
    writers: dict[str, Callable[[Path], Any]] = {
        ".csv": lambda file: _flat(sweep).to_csv(file, index=False),
        ".parquet": lambda file: _parquet(sweep, file),
        ".nc": lambda file: _netcdf(sweep, file),
    }
    write = writers.get(target.suffix.lower())
    if write is None:
        raise UsageError(
            f"{target}: expected a name that ends in one of {', '.join(writers)}"
        )
    beside = target.with_name(f".{target.name}.part")
    try:
        write(beside)
        beside.replace(target)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error})") from error
    finally:
        beside.unlink(missing_ok=True)
    return target


def _flat(sweep: Sweep) -> pandas.DataFrame:
    """Return the table with a column for each exponent, and what made it."""
    frame = sweep.to_pandas()
    for i, column in enumerate(sweep.exponents.T, 1):
        frame[f"exponent_{i}"] = column
    for name, text in _origin(sweep).items():
        frame[name] = text
    return frame


def _parquet(sweep: Sweep, file: Path) -> None:
    _load("pyarrow")
    _flat(sweep).to_parquet(file, index=False, engine="pyarrow")


def _netcdf(sweep: Sweep, file: Path) -> None:
    _load("h5py")
    _load("h5netcdf")
    make_dataset(sweep).to_netcdf(file, engine="h5netcdf")


def _origin(sweep: Sweep) -> dict[str, str]:
    """Say what made the numbers."""
    run = sweep.run
    return {
        "source": f"lstm-edge {run.get('version', '')}",
        "inputs": str(run.get("inputs", "")),
        "settings": json.dumps(run.get("settings", {}), sort_keys=True),
    }


def _load(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(
            f"{name} is not installed; expected it for this format: "
            "pip install 'lstm-edge[export]'"
        ) from None
