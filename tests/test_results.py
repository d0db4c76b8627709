"""A sweep as it is read: arrays on demand, and what a made-up store may hold."""

from __future__ import annotations

import json
import pickle
import sqlite3
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_edge.cli import main
from lstm_edge.errors import StoreError
from lstm_edge.measures.phase import classify
from lstm_edge.report.series import make_series
from lstm_edge.results.sweep import MOST_SHOWN, Sweep, open_sweep
from lstm_edge.store.rows import TYPES, Row, checksum
from lstm_edge.store.store import Store
from lstm_edge.terms import ATTRACTORS, PHASES, UNKNOWN

SCALARS: dict[str, dict[str, Any]] = {
    "lyapunov": {
        "lambda_max": 0.1,
        "lambda_max_stderr": 0.01,
        "lambda_mean": 0.1,
        "phase": "chaos",
        "chaotic_share": 1.0,
        "exponents": [0.1, -1.0],
    },
    "attractors": {
        "phase": "chaos",
        "chaotic_share": 0.5,
        "shares": dict.fromkeys(ATTRACTORS, 0.2),
        "period": 2,
        "multipliers": [[0.5, 0.1], [0.5, -0.1]],
    },
    "distance": {"distance": -3.0, "distance_stderr": 0.1},
    "sketch": {"parameters": 9},
}
ARRAYS: dict[str, dict[str, Any]] = {
    "lyapunov": {"per_start": np.array([[0.1, -1.0], [0.0, -1.0]])},
    "attractors": {},
    "distance": {"observable": np.arange(3.0)},
    "sketch": {"sketch": np.arange(4.0)},
}


def made(path: Path, checkpoints: int = 4, **arrays: Any) -> Path:
    """Write a store without any checkpoint files."""
    with Store(path, write=True) as store:
        store.set_run(measures={name: [1, {"steps": 9}] for name in SCALARS})
        places = {
            f"c{i}": (10 * i, {"test_loss": 1 / (1 + i)}) for i in range(checkpoints)
        }
        store.set_checkpoints(places)
        for name in places:
            for measure, scalars in SCALARS.items():
                found = ARRAYS[measure] | arrays.get(measure, {})
                key = f"{name} {measure}"
                row = Row(
                    name, measure, key, 1, {"steps": 9}, "done", "", scalars, found
                )
                store.put(row)
    return path


def forge(path: Path, measure: str, **columns: Any) -> None:
    """Change a row of the second checkpoint as another program may: checksum too."""
    connection = sqlite3.connect(path, isolation_level=None)
    place = ("c1", measure)
    old = connection.execute(
        f"SELECT {', '.join(TYPES)} FROM results WHERE name = ? AND measure = ?", place
    ).fetchone()
    new = {**dict(zip(TYPES, old, strict=True)), **columns}
    marks = ", ".join(f"{name} = ?" for name in TYPES)
    connection.execute(
        f"UPDATE results SET {marks}, checksum = ? WHERE name = ? AND measure = ?",
        (*new.values(), checksum(list(new.values())), *place),
    )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def use(sweep: Sweep) -> None:
    """Do all that is done with a sweep, but draw it."""
    sweep._repr_html_()
    json.dumps(sweep.summary())
    make_series(sweep, most_dots=5)
    sweep.to_xarray()
    pickle.dumps(sweep)


# arrays on demand


def test_arrays_are_not_kept_in_memory(tmp_path: Path) -> None:
    large = {"sketch": {"sketch": np.arange(20_000.0)}}
    path = made(tmp_path / "s.sqlite", 100, **large)  # 16 MB of sketches
    tracemalloc.start()
    sweep = open_sweep(path)
    assert np.isfinite(sweep.weight_path).all()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6


def test_a_row_gives_its_arrays_when_asked(tmp_path: Path) -> None:
    sweep = open_sweep(made(tmp_path / "s.sqlite"))
    arrays = sweep.rows["c1", "distance"].arrays
    assert list(arrays) == ["observable"]
    assert len(arrays) == 1
    np.testing.assert_array_equal(arrays["observable"], np.arange(3.0))
    assert [x.tolist() for x in sweep.each("distance", "observable")] == [
        [0.0, 1.0, 2.0]
    ] * 4
    assert [x.size for x in sweep.each("distance", "nothing")] == [0] * 4


def test_arrays_can_be_asked_for_while_the_store_grows(tmp_path: Path) -> None:
    path = made(tmp_path / "s.sqlite")
    sweep = open_sweep(path)
    with Store(path, write=True) as store:
        store.put(Row("c1", "distance", "other", 1, {"steps": 9}))
        assert len(sweep.rows["c1", "distance"].arrays["observable"]) == 3


def test_a_store_that_is_gone_is_told_when_arrays_are_asked_for(
    tmp_path: Path,
) -> None:
    path = made(tmp_path / "s.sqlite")
    sweep = open_sweep(path)
    path.unlink()
    assert len(sweep.to_pandas()) == 4
    with pytest.raises(StoreError, match="no such store"):
        list(sweep.each("distance", "observable"))


def test_a_pickle_needs_the_store_no_more(tmp_path: Path) -> None:
    path = made(tmp_path / "s.sqlite")
    sweep = open_sweep(path)
    data = pickle.dumps(sweep)
    path.unlink()
    back = pickle.loads(data)
    np.testing.assert_array_equal(back.weight_path, np.zeros(4))
    np.testing.assert_array_equal(
        back.rows["c0", "distance"].arrays["observable"], np.arange(3.0)
    )
    assert back.run == sweep.run


def test_a_notebook_shows_some_of_many_rows(tmp_path: Path) -> None:
    sweep = open_sweep(made(tmp_path / "s.sqlite", 2000))
    page = sweep._repr_html_()
    assert page.count("<tr") <= MOST_SHOWN + 3
    assert "c0" in page
    assert "c1999" in page
    assert len(page) < 100_000


# what a made-up store may hold


def test_the_phases_are_those_that_the_measures_tell() -> None:
    largest = ([-1, -1], [-1, 0], [1, 1], [np.nan, 0])
    told = {classify(np.array(values), np.full(2, 0.1))[0] for values in largest}
    assert told == {*PHASES, UNKNOWN}


@pytest.mark.parametrize(
    ("measure", "name", "value"),
    [
        ("lyapunov", "lambda_max", "large"),
        ("lyapunov", "lambda_max", 10**30),
        ("lyapunov", "lambda_max", None),
        ("lyapunov", "phase", "calm"),
        ("lyapunov", "phase", ["order"]),
        ("lyapunov", "exponents", "0.1"),
        ("lyapunov", "exponents", [[0.1]]),
        ("attractors", "shares", {"vortex": 1.0}),
        ("attractors", "shares", [1.0]),
        ("attractors", "multipliers", [[1.0, 2.0, 3.0]]),
        ("attractors", "period", 0),
        ("attractors", "period", 1.5),
        ("distance", "distance", {}),
        ("distance", "distance_stderr", True),
        ("sketch", "parameters", []),
    ],
)
def test_a_scalar_of_another_kind_costs_its_row(
    tmp_path: Path, measure: str, name: str, value: Any
) -> None:
    path = made(tmp_path / "s.sqlite")
    forge(path, measure, scalars=json.dumps(SCALARS[measure] | {name: value}))
    sweep = open_sweep(path)
    use(sweep)
    ((failed, message),) = sweep.failed
    assert failed == "c1"
    assert f"{name}: expected" in message
    assert len(sweep.names) == (3 if measure == "lyapunov" else 4)


@pytest.mark.parametrize(
    ("measure", "name", "array"),
    [
        ("lyapunov", "per_start", np.zeros(3)),
        ("lyapunov", "per_start", np.zeros((2, 2), bool)),
        ("distance", "observable", np.zeros((3, 3))),
        ("sketch", "sketch", np.zeros((), np.float32)),
    ],
)
def test_an_array_of_another_shape_costs_its_row(
    tmp_path: Path, measure: str, name: str, array: Any
) -> None:
    path = made(tmp_path / "s.sqlite")
    forge(path, measure, arrays=safetensors.numpy.save({name: array}))
    sweep = open_sweep(path)
    use(sweep)
    assert f"{name}: expected numbers along" in dict(sweep.failed)["c1"]


@pytest.mark.parametrize(
    "columns",
    [
        {"scalars": "[" * 100_000},
        {"scalars": "NaN"},
        {"scalars": "[]"},
        {"scalars": '{"lambda_max": ' + "9" * 5000 + "}"},
        {"scalars": b"{}"},
        {"arrays": b""},
        {"arrays": "text"},
        {"arrays": (2**60).to_bytes(8, "little") + b"{}"},
        {"arrays": safetensors.numpy.save({"x": np.zeros(9)})[:-8]},
        {"seconds": "long"},
        {"status": b"done"},
        {"version": b"0"},
    ],
)
def test_a_row_that_cannot_be_read_is_told(
    tmp_path: Path, columns: dict[str, Any]
) -> None:
    path = made(tmp_path / "s.sqlite")
    forge(path, "distance", **columns)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"row of c1: .*the file is damaged") as caught:
        open_sweep(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert path.read_bytes() == before
    done = CliRunner().invoke(main, ["report", str(path)])
    assert done.exit_code == 1
    assert done.output.startswith("error: ")


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("run", ("measures", "[]")),
        ("run", ("measures", '{"lyapunov": 3}')),
        ("run", ("measures", '{"lyapunov": [[], {}]}')),
        ("run", ("measures", "[" * 100_000)),
        ("run", ("version", "{")),
        ("checkpoints", ("c1", "first", "{}")),
        ("checkpoints", (b"c1", 10, "{}")),
        ("checkpoints", ("c1", 10, "[]")),
        ("checkpoints", ("c1", 10, '{"test_loss": "low"}')),
        ("checkpoints", ("c1", 10, '{"test_loss": 1' + "0" * 400 + "}")),
    ],
)
def test_a_made_up_run_or_checkpoint_is_told(
    tmp_path: Path, table: str, values: tuple[Any, ...]
) -> None:
    path = made(tmp_path / "s.sqlite")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(
        f"INSERT OR REPLACE INTO {table} VALUES ({'?, ' * len(values)}?)",
        (*values, checksum(values)),
    )
    connection.close()
    with pytest.raises(StoreError, match="the file is damaged"):
        open_sweep(path)


numbers = st.integers() | st.floats() | st.booleans() | st.none()
json_values = st.recursive(
    numbers
    | st.text(max_size=5)
    | st.sampled_from((*PHASES, UNKNOWN, "", *ATTRACTORS)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=3) | st.sampled_from(ATTRACTORS), inner, max_size=3
        )
    ),
    max_leaves=8,
)
odd_arrays = st.builds(
    lambda shape, dtype, fill: np.full(shape, fill).astype(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(["f2", "f4", "f8", "i8", "u1", "?"]),
    st.sampled_from([0.0, 1.0, -5.0, 200.0]),
)


@st.composite
def forgeries(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    measure = draw(st.sampled_from(sorted(SCALARS)))
    scalars, arrays = dict(SCALARS[measure]), dict(ARRAYS[measure])
    for name in draw(st.sets(st.sampled_from(sorted(scalars)), min_size=1)):
        scalars[name] = draw(json_values)
    for name in draw(st.sets(st.sampled_from(sorted(arrays or {"x": 0})))):
        arrays[name] = draw(odd_arrays)
    return measure, {
        "scalars": json.dumps(scalars),
        "arrays": safetensors.numpy.save(arrays),
        "status": draw(st.sampled_from(["done", "failed", "odd"])),
    }


@given(forgeries())
@settings(max_examples=150)
def test_whatever_a_row_holds_the_sweep_is_shown_or_refused(
    tmp_path_factory: pytest.TempPathFactory, forgery: tuple[str, dict[str, Any]]
) -> None:
    path = made(tmp_path_factory.mktemp("forged") / "s.sqlite")
    measure, columns = forgery
    forge(path, measure, **columns)
    try:
        use(open_sweep(path))
    except StoreError as error:
        message = str(error)
        assert "changed the store" in message or "is damaged" in message
