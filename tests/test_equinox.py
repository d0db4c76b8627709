"""Equinox's cells: their one bias, and their files of arrays without names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_edge
from lstm_edge.net.reading import as_weights

HIDDEN, INPUTS = 5, 2


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def equinox_lstm(p: dict[str, Any], x: Any, h: Any, c: Any) -> tuple[Any, Any]:
    """One step as equinox.nn.LSTMCell writes it."""
    i, f, g, o = np.split(p["weight_ih"] @ x + p["weight_hh"] @ h + p["bias"], 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def equinox_gru(p: dict[str, Any], x: Any, h: Any) -> Any:
    """One step as equinox.nn.GRUCell writes it."""
    of_input = np.split(p["weight_ih"] @ x + p["bias"], 3)
    of_hidden = np.split(p["weight_hh"] @ h, 3)
    reset, update = (sigmoid(of_input[k] + of_hidden[k]) for k in (0, 1))
    new = np.tanh(of_input[2] + reset * (of_hidden[2] + p["bias_n"]))
    return new + update * (h - new)


def make_cell(gates: int) -> dict[str, Any]:
    """Arrays of a cell, in the order of its fields."""
    random = np.random.default_rng(gates)
    cell = {
        "weight_ih": random.normal(size=(gates * HIDDEN, INPUTS)),
        "weight_hh": random.normal(size=(gates * HIDDEN, HIDDEN)),
        "bias": random.normal(size=gates * HIDDEN),
    }
    return cell | ({"bias_n": random.normal(size=HIDDEN)} if gates == 3 else {})


def write(path: Path, *parts: Any, line: str = "") -> Path:
    """Write arrays as equinox.tree_serialise_leaves does."""
    with path.open("wb") as file:
        file.write(line.encode())
        for part in parts:
            np.save(file, part)
    return path


def net(gates: int) -> list[Any]:
    """A module with a counter, a cell, a linear layer and a matrix of its own."""
    cell = make_cell(gates).values()
    return [np.array(HIDDEN), *cell, np.ones((3, HIDDEN)), np.ones(3), np.ones((2, 2))]


def agree(weights: Any, gates: int) -> None:
    """Compare forty driven steps with the cell's own formula."""
    cell, random = make_cell(gates), np.random.default_rng(1)
    x = random.normal(size=(40, INPUTS))
    start = random.normal(size=HIDDEN * (2 if gates == 4 else 1))
    found = lstm_edge.orbit(weights, x, steps=40, starts=1, initial_state=start)
    h, c = start[:HIDDEN], start[HIDDEN:]
    for now in x:
        if gates == 4:
            h, c = equinox_lstm(cell, now, h, c)
        else:
            h = equinox_gru(cell, now, h)
    np.testing.assert_allclose(found.hidden[0, -1], h, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("prefix", ["", "cell."])
@pytest.mark.parametrize("gates", [4, 3])
def test_the_one_bias_is_used(gates: int, prefix: str) -> None:
    cell = make_cell(gates)
    agree({prefix + name: value for name, value in cell.items()}, gates)


@pytest.mark.parametrize("name", ["net-7.eqx", "net-7"])
@pytest.mark.parametrize("line", ["", json.dumps({"size": HIDDEN}) + "\n"])
@pytest.mark.parametrize("gates", [4, 3])
def test_a_file_is_read_by_shapes_and_says_so(
    gates: int, line: str, name: str, tmp_path: Path
) -> None:
    weights = as_weights(write(tmp_path / name, *net(gates), line=line))
    agree(weights, gates)
    assert weights.readout is not None
    np.testing.assert_array_equal(weights.readout[0], np.ones((3, HIDDEN)))
    assert "by their shapes, those from number 1 on" in weights.assumed


def test_a_cell_without_biases(tmp_path: Path) -> None:
    cell = make_cell(4)
    path = write(tmp_path / "a.eqx", cell["weight_ih"], cell["weight_hh"])
    layer = as_weights(path).layers[0]
    np.testing.assert_array_equal(layer.weight_hh, cell["weight_hh"])
    assert not np.any([layer.bias_ih, layer.bias_hh])


def test_two_cells_ask_which(tmp_path: Path) -> None:
    path = write(tmp_path / "a.eqx", *net(4), *net(3))
    with pytest.raises(lstm_edge.CheckpointError, match=r"lstm_1.*gru_8"):
        as_weights(path)
    agree(as_weights(path, module="gru_8"), 3)


@pytest.mark.parametrize(
    "parts",
    [
        [np.ones((20, 5))],
        [np.ones((20, 2)), np.ones((20, 4))],
        [np.ones((0, 2)), np.ones((0, 0))],
        [np.float64(1)] * 3,
    ],
)
def test_arrays_that_make_no_cell_are_refused(parts: list[Any], tmp_path: Path) -> None:
    with pytest.raises(lstm_edge.CheckpointError, match="arrays without names"):
        as_weights(write(tmp_path / "a.eqx", *parts))


def test_damage_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.eqx", *net(4))
    whole = path.read_bytes()
    for end in range(1, len(whole), 37):
        path.write_bytes(whole[:end])
        with pytest.raises(lstm_edge.CheckpointError):
            as_weights(path)
    path.write_bytes(whole + b"more")
    with pytest.raises(lstm_edge.CheckpointError, match="does not begin as"):
        as_weights(path)
    write(path, *[np.zeros(())] * 10_001)
    with pytest.raises(lstm_edge.CheckpointError, match="at most 10000 arrays"):
        as_weights(path)
