"""A store that is damaged, full, locked or read-only: a clear word, nothing destroyed.

What a failing disk does to a file at rest is tried at every kind of place: a flipped
bit, a stretch overwritten, an end that is missing.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_edge.errors import StoreError
from lstm_edge.store import Row, Store

SETTINGS = {"steps": 10, "inputs": "zero"}
RUN = {"measures": {"lyapunov": [1, SETTINGS]}, "version": "0"}
CHECKPOINTS = {f"update-{i}": (i, {"test_loss": 1 / (1 + i)}) for i in range(12)}
ROWS = [
    Row(
        name,
        "lyapunov",
        f"key {update}",
        1,
        SETTINGS,
        scalars={"lambda_max": update / 7, "phase": "edge"},
        # some rows within a page, some over several
        arrays={"per_start": np.arange(2.0 + 900 * (update % 3))},
    )
    for name, (update, _) in CHECKPOINTS.items()
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store at rest."""
    path = tmp_path_factory.mktemp("whole") / "s.sqlite"
    with Store(path, write=True) as store:
        store.set_run(**RUN)
        store.set_checkpoints(CHECKPOINTS)
        for row in ROWS:
            store.put(row, "0")
    return path


def contents(path: Path) -> str:
    """All that a reader is told, as one text that compares."""
    with Store(path) as store:
        told: list[Any] = [store.run(), store.checkpoints()]
        for row in store.rows():
            arrays = {name: array.tolist() for name, array in row.arrays.items()}
            told.append(vars(row) | {"arrays": arrays})
    return json.dumps(told, sort_keys=True)


@st.composite
def damages(draw: st.DrawFn) -> tuple[str, int, bytes]:
    kind = draw(st.sampled_from(["flip", "overwrite", "cut"]))
    # the first page, with the header and the tables' names, as often as all others
    place = draw(st.integers(0, 4095) | st.integers(0, 10**6))
    return kind, place, draw(st.binary(min_size=1, max_size=64))


def damaged(whole: bytes, kind: str, place: int, data: bytes) -> bytes:
    place %= len(whole)
    if kind == "cut":
        return whole[:place]
    if kind == "flip":
        data = bytes([whole[place] ^ (1 << data[0] % 8)])
    return whole[:place] + data + whole[place + len(data) :]


@given(damages())
@settings(max_examples=200)
def test_damage_gives_the_right_rows_or_an_error(
    whole: Path, damage: tuple[str, int, bytes]
) -> None:
    right, hurt = contents(whole), damaged(whole.read_bytes(), *damage)
    path = whole.with_name("damaged.sqlite")
    for stale in whole.parent.glob("damaged*"):
        stale.unlink()
    path.write_bytes(hurt)
    with suppress(StoreError):
        assert contents(path) == right
    assert path.read_bytes() == hurt
    try:
        with Store(path, write=True) as store:
            store.put(ROWS[0], "0")
    except StoreError:
        assert path.read_bytes() == hurt


def test_damage_is_told_in_one_line(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    told = set()
    for place in range(0, whole.stat().st_size, 997):
        path.write_bytes(damaged(whole.read_bytes(), "flip", place, b"\x03"))
        try:
            contents(path)
        except StoreError as error:
            told.add(str(error))
    assert told
    assert all(str(path) in message and "\n" not in message for message in told)
