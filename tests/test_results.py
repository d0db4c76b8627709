"""A sweep as it is read: arrays on demand, and what a made-up store may hold."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_edge.errors import StoreError
from lstm_edge.measures.phase import classify
from lstm_edge.results.sweep import MOST_SHOWN, open_sweep
from lstm_edge.store.rows import Row
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


def test_the_phases_are_those_that_the_measures_tell() -> None:
    largest = ([-1, -1], [-1, 0], [1, 1], [np.nan, 0])
    told = {classify(np.array(values), np.full(2, 0.1), 0.05)[0] for values in largest}
    assert told == {*PHASES, UNKNOWN}
