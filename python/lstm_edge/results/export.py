"""A sweep for other programs: Parquet and CSV tables, netCDF with all starts."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import UsageError
from lstm_edge.results.padding import stack_padded
from lstm_edge.results.sweep import Sweep
from lstm_edge.store.rows import canonical

if TYPE_CHECKING:
    import pandas
    import xarray

ABOUT: dict[str, tuple[str, str]] = {
    "name": ("", "checkpoint"),
    "update": ("1", "optimiser updates made"),
    "epoch": ("1", "epochs trained"),
    "start": ("1", "start of the ensemble"),
    "exponent": ("1", "rank of the exponent, from 1, the largest"),
    "sample": ("1", "sample of the asymptotic distance"),
    "phase": ("", "phase: order, edge or chaos"),
    "chaotic_share": ("1", "share of the starts that end in chaos"),
    "lambda_max": ("1", "largest Lyapunov exponent of all starts, nats per step"),
    "lambda_max_stderr": ("1", "standard error of lambda_max, nats per step"),
    "lambda_mean": ("1", "largest Lyapunov exponent, mean over starts, nats per step"),
    "distance": ("1", "asymptotic distance D~ (Wei et al. 2025), mean ln distance"),
    "distance_stderr": ("1", "standard error of the asymptotic distance D~"),
    "train_loss": ("", "training loss"),
    "test_loss": ("", "test loss"),
    "test_accuracy": ("1", "test accuracy"),
    "gradient_norm": ("", "norm of the gradient"),
    "update_norm": ("", "norm of an optimiser update"),
    "weight_norm": ("", "norm of the weights"),
    "exponents": ("1", "Lyapunov exponents, mean over starts, nats per step"),
    "per_start": ("1", "Lyapunov exponents of each start, nats per step"),
    "observable": ("1", "orbit diagram: sum of h after the last step"),
}
"""Units that UDUNITS can read ("" where they depend on the task), and long names."""

ERRORS = {"lambda_max": "lambda_max_stderr", "distance": "distance_stderr"}
"""A number and its standard error."""


def make_dataset(sweep: Sweep) -> xarray.Dataset:
    """Give a sweep as a labelled dataset, with units and what made it.

    Dimensions: ``checkpoint`` (its coordinates are name, update and epoch), ``start``,
    ``exponent`` (from 1, the largest) and ``sample``. What is not known is NaN. The
    attributes follow the CF conventions.

    Parameters
    ----------
    sweep : Sweep
    """
    library = _load("xarray")
    columns = {
        name: ("checkpoint", x.astype(object) if x.dtype.kind == "U" else x)
        for name, x in {**sweep.table, **origins(sweep)}.items()
    }
    coordinates = {name: columns.pop(name) for name in ("name", "update", "epoch")}
    starts = stack_padded(sweep.per_start, 2)
    samples = stack_padded(sweep.observable, 1)
    variables = {
        **columns,
        "exponents": (("checkpoint", "exponent"), sweep.exponents),
        "per_start": (("checkpoint", "start", "exponent"), starts),
        "observable": (("checkpoint", "sample"), samples),
    }
    ranks = np.arange(1, sweep.exponents.shape[1] + 1)
    places = {"exponent": ranks, "start": np.arange(starts.shape[1])}
    places["sample"] = np.arange(samples.shape[1])
    dataset: xarray.Dataset = library.Dataset(
        variables,
        {**coordinates, **places},
        attrs={
            "Conventions": "CF-1.11",
            "title": "Lyapunov exponents and phases of checkpoints in training",
            "source": ", ".join(f"lstm-edge {version}" for version in _versions(sweep)),
            "history": "measured by lstm-edge analyze, written by lstm-edge export",
            "references": "https://arxiv.org/abs/2505.20030",
            "inputs": str(sweep.run.get("inputs", "")),
        },
    )
    for name in (*dataset.data_vars, *dataset.coords):
        dataset[name].attrs = _attributes(str(name))
    return dataset


def _attributes(name: str) -> dict[str, str]:
    units, long_name = ABOUT.get(name, ("", name.replace("_", " of ")))
    about = {"units": units, "long_name": long_name}
    about["ancillary_variables"] = ERRORS.get(name, "")
    return {key: text for key, text in about.items() if text}


def origins(sweep: Sweep) -> dict[str, NDArray[np.object_]]:
    """Say what made the numbers of each checkpoint, measure by measure.

    Returns
    -------
    dict of column to ndarray of shape (checkpoints,)
        ``lyapunov_version`` is the lstm-edge that computed the exponents,
        ``lyapunov_settings`` their settings and revision as JSON, and so on for every
        measure; "" where there is no result.
    """
    columns: dict[str, NDArray[np.object_]] = {}
    for measure in sorted({measure for _, measure in sweep.rows} - {"checkpoint"}):
        version, settings = (np.full(len(sweep.names), "", object) for _ in range(2))
        for i, name in enumerate(sweep.names):
            row = sweep.rows.get((name, measure))
            if row is not None and row.status == "done":
                version[i] = row.version
                settings[i] = canonical({**row.settings, "revision": row.revision})
        columns[f"{measure}_version"] = version
        columns[f"{measure}_settings"] = settings
    return columns


def _versions(sweep: Sweep) -> list[str]:
    found = {row.version for row in sweep.rows.values() if row.status == "done"}
    return sorted(found)


def write_export(sweep: Sweep, path: str | PathLike[str]) -> Path:
    """Write a sweep in the format that the suffix names.

    ``.csv`` and ``.parquet`` hold the table, a row a checkpoint, with the exponents in
    columns of their own and the `origins` of each; ``.nc`` (netCDF 4) holds all of
    `make_dataset`. Checkpoints without exponents are in none: ``sweep.failed`` has the
    reasons.

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
    import pandas

    exponents = {f"exponent_{i}": x for i, x in enumerate(sweep.exponents.T, 1)}
    return pandas.DataFrame({**sweep.table, **exponents, **origins(sweep)})


def _parquet(sweep: Sweep, file: Path) -> None:
    _load("pyarrow")
    _flat(sweep).to_parquet(file, index=False, engine="pyarrow")


def _netcdf(sweep: Sweep, file: Path) -> None:
    _load("h5py")
    _load("h5netcdf")
    make_dataset(sweep).to_netcdf(file, engine="h5netcdf")


def _load(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(
            f"{name} is not installed; expected it for this format: "
            "pip install 'lstm-edge[export]'"
        ) from None
