"""What is exported comes back the same, with units and what made it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import xarray
from click.testing import CliRunner

import lstm_edge
from lstm_edge import Sweep, UsageError
from lstm_edge.cli import main
from lstm_edge.export import write_export

QUICK = {
    "lyapunov": {"steps": 60, "transient": 20, "starts": 3},
    "attractors": {"steps": 200, "transient": 20, "starts": 3, "limit": 400},
    "distance": {"steps": 50, "samples": 4},
}


@pytest.fixture
def sweep(make_run: Callable[..., Path]) -> Sweep:
    return lstm_edge.analyze(make_run(4), settings=QUICK)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_comes_back_as_it_was(
    sweep: Sweep, tmp_path: Path, suffix: str
) -> None:
    path = write_export(sweep, tmp_path / f"results.{suffix}")
    read = pandas.read_csv if suffix == "csv" else pandas.read_parquet
    found = read(path)
    pandas.testing.assert_frame_equal(
        found[list(sweep.table)], sweep.to_pandas(), check_dtype=False, rtol=1e-15
    )
    np.testing.assert_allclose(
        found[["exponent_1", "exponent_2"]], sweep.exponents, rtol=1e-15
    )
    assert set(found["source"]) == {f"lstm-edge {lstm_edge.__version__}"}
    assert json.loads(found["settings"][0])["lyapunov"]["steps"] == 60
    assert [p.name for p in tmp_path.glob(f"*results.{suffix}*")] == [path.name]


def test_netcdf_holds_every_start_with_units(sweep: Sweep, tmp_path: Path) -> None:
    path = write_export(sweep, tmp_path / "results.nc")
    with xarray.open_dataset(path, engine="h5netcdf") as found:
        assert dict(found.sizes) == {
            "checkpoint": 4,
            "exponent": 2,
            "start": 3,
            "sample": 4,
        }
        np.testing.assert_array_equal(found["per_start"], sweep.per_start)
        np.testing.assert_array_equal(found["update"], sweep.table["update"])
        assert found["phase"].values.tolist() == list(sweep.table["phase"])
        assert found["per_start"].attrs["units"] == "nats per step"
        assert json.loads(found.attrs["settings"])["distance"]["samples"] == 4


def test_starts_that_differ_are_filled_up(sweep: Sweep) -> None:
    place = sweep.names[0], "lyapunov"
    cut = {"per_start": sweep.rows[place].arrays["per_start"][:2]}
    sweep.rows[place] = replace(sweep.rows[place], arrays=cut)
    found = sweep.to_xarray()["per_start"]
    assert np.isnan(found[0, 2]).all()
    assert not np.isnan(found[1:]).any()


def test_other_formats_and_missing_libraries_are_told(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"one of \.csv, \.parquet, \.nc"):
        write_export(sweep, tmp_path / "results.xlsx")
    with pytest.raises(UsageError, match="cannot be written"):
        write_export(sweep, tmp_path / "nowhere" / "results.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'lstm-edge\[export\]'"):
        write_export(sweep, tmp_path / "results.parquet")


def test_the_command_says_where(sweep: Sweep, tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    done = CliRunner().invoke(main, ["export", str(sweep.path), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(out)
    assert len(pandas.read_csv(out)) == 4
