"""What is exported comes back the same, with units and what made it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import xarray
from click.testing import CliRunner

import lstm_edge
from lstm_edge import Sweep, UsageError
from lstm_edge.cli import main
from lstm_edge.measures.table import MEASURES
from lstm_edge.results.export import write_export

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
    assert set(found["lyapunov_version"]) == {lstm_edge.__version__}
    assert json.loads(found["lyapunov_settings"][0])["steps"] == 60
    assert [p.name for p in tmp_path.glob(f"*results.{suffix}*")] == [path.name]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "nc"])
def test_what_lies_in_the_way_is_not_written_to(
    sweep: Sweep, tmp_path: Path, suffix: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    left = tmp_path / f".results.{suffix}.part"  # of an export that was killed
    for prepare in (lambda: left.write_text("half"), lambda: left.symlink_to(victim)):
        prepare()
        write_export(sweep, tmp_path / f"results.{suffix}")
        assert not left.is_symlink()
        assert not left.exists()
    assert victim.read_text() == "mine"


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
        assert "nats per step" in found["per_start"].attrs["long_name"]
        assert json.loads(found["distance_settings"].values[0])["samples"] == 4


def test_netcdf_follows_the_cf_conventions(sweep: Sweep, tmp_path: Path) -> None:
    path = write_export(sweep, tmp_path / "results.nc")
    with xarray.open_dataset(path, engine="h5netcdf", decode_coords=False) as found:
        assert found.attrs["Conventions"].startswith("CF-1.")
        assert found.attrs["source"] == f"lstm-edge {lstm_edge.__version__}"
        for name, variable in found.variables.items():
            assert variable.attrs["long_name"], name
            # dimensionless all of them, or of a unit that only the task knows
            assert variable.attrs.get("units", "1") == "1", name
        error = found["lambda_max"].attrs["ancillary_variables"]
        assert error in found
        assert {*found["per_start"].attrs["coordinates"].split()} == {
            "name",
            "update",
            "epoch",
        }


def test_every_checkpoint_tells_what_made_its_own_numbers(sweep: Sweep) -> None:
    first, second, third, _ = sweep.names
    change(sweep, first, "lyapunov", version="0.0.1", settings={"steps": 9})
    change(sweep, second, "lyapunov", revision=7)
    change(sweep, third, "distance", status="failed")
    found = sweep.origins
    now = lstm_edge.__version__
    assert found["lyapunov_version"].tolist() == ["0.0.1", now, now, now]
    assert found["distance_version"].tolist() == [now, now, "", now]
    settings = [json.loads(text) for text in found["lyapunov_settings"]]
    now_revision = MEASURES["lyapunov"].revision
    assert settings[0] == {"revision": now_revision, "steps": 9}
    assert [s["revision"] for s in settings] == [now_revision, 7, *[now_revision] * 2]
    assert settings[1]["inputs"] == settings[2]["inputs"]
    assert found["distance_settings"][2] == ""
    assert sweep.to_xarray().attrs["source"] == f"lstm-edge 0.0.1, lstm-edge {now}"


def change(sweep: Sweep, name: str, measure: str, **changes: Any) -> None:
    sweep.rows[name, measure] = replace(sweep.rows[name, measure], **changes)


def test_starts_that_differ_are_filled_up(sweep: Sweep) -> None:
    name = sweep.names[0]
    cut = sweep.rows[name, "lyapunov"].arrays["per_start"][:2]
    change(sweep, name, "lyapunov", arrays={"per_start": cut})
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


def test_the_command_counts_what_is_left_out(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    run, out = make_run(3), tmp_path / "results.csv"
    (run / "checkpoints" / "bad-5.safetensors").write_bytes(b"")
    chosen = lstm_edge.analyze(run, settings=QUICK, select=[0, 5, 10])
    done = CliRunner().invoke(main, ["export", str(chosen.path), "-o", str(out)])
    assert done.exit_code == 0
    assert done.stdout.strip() == str(out)
    assert "left out: 2 checkpoints without exponents, 1 failed" in done.stderr
    assert len(pandas.read_csv(out)) == 2


def test_a_name_is_no_formula_of_a_spreadsheet(sweep: Sweep, tmp_path: Path) -> None:
    assert len(sweep.table["name"])
    content = next(tmp_path.rglob("update-*.safetensors")).read_bytes()
    odd = tmp_path / "odd"
    odd.mkdir()
    for name in ("=1+1-1", "@SUM(A1)-2", "plain-3"):
        (odd / f"{name}.safetensors").write_bytes(content)
    found = lstm_edge.analyze(odd, settings=QUICK, time_from=r"-(\d)")
    table = pandas.read_csv(write_export(found, tmp_path / "a.csv"))
    assert not found.failed
    begins = [name[:2] for name in table["name"]]
    assert begins == ["'=", "'@", "pl"]
