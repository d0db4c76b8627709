"""A sweep for other programs: Parquet and CSV tables, netCDF with all starts."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_edge.errors import UsageError
from lstm_edge.files.places import not_written
from lstm_edge.results.dataset import load
from lstm_edge.results.sweep import Sweep

if TYPE_CHECKING:
    import pandas


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def write_export(sweep: Sweep, path: str | PathLike[str]) -> Path:
    """Write a sweep in the format that the suffix names.

    ``.csv`` and ``.parquet`` hold the table, a row a checkpoint, with the exponents in
    columns of their own and the `Sweep.origins` of each; in ``.csv`` a text that a
    spreadsheet would take for a formula has an apostrophe before it. ``.nc`` (netCDF 4)
    holds all of `Sweep.to_xarray`. Checkpoints without exponents are in none:
    ``sweep.failed`` has the reasons.

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
    LstmEdgeError
        If the disk is full.
    """
    target = Path(path)
    writers: dict[str, Callable[[Path], Any]] = {
        ".csv": lambda file: _inert(_flat(sweep)).to_csv(file, index=False),
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
        beside.unlink(missing_ok=True)  # what was left, or a link, is not written to
        write(beside)
        beside.replace(target)
    except OSError as error:
        raise not_written(target, error) from error
    finally:
        beside.unlink(missing_ok=True)
    return target


def _flat(sweep: Sweep) -> pandas.DataFrame:
    """Return the table with a column for each exponent, and what made it."""
    import pandas

    exponents = {f"exponent_{i}": x for i, x in enumerate(sweep.exponents.T, 1)}
    return pandas.DataFrame({**sweep.table, **exponents, **sweep.origins})


def _inert(table: pandas.DataFrame) -> pandas.DataFrame:
    """Put an apostrophe before texts that a spreadsheet would run as formulas."""
    texts = table.select_dtypes(include=["object", "string"])
    return table.assign(
        **{
            name: column.map(
                lambda x: f"'{x}" if isinstance(x, str) and x[:1] in _FORMULA else x
            )
            for name, column in texts.items()
        }
    )


def _parquet(sweep: Sweep, file: Path) -> None:
    load("pyarrow")
    _flat(sweep).to_parquet(file, index=False, engine="pyarrow")


def _netcdf(sweep: Sweep, file: Path) -> None:
    load("h5py")
    load("h5netcdf")
    sweep.to_xarray().to_netcdf(file, engine="h5netcdf")
