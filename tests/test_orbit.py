"""Orbits: the states themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lstm_edge
import nets
from conftest import make_arrays
from lstm_edge import _core
from lstm_edge.measures.system import make_regime
from lstm_edge.net.reading import as_weights


def inputs(*shape: int) -> Any:
    return np.random.default_rng(2).standard_normal((*shape, 3))


def test_shapes_follow_starts_steps_and_sizes() -> None:
    walk = lstm_edge.orbit(make_arrays((5, 3), 3), steps=7, starts=4)
    assert walk.hidden.shape == walk.cell.shape == (4, 7, 8)
    assert walk.hidden_sizes == (5, 3)
    assert walk.hidden.dtype == np.float64
    assert np.all(np.abs(walk.hidden) < 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transient_drops_the_leading_states(dtype: str) -> None:
    arrays = make_arrays((5, 3), 3, gain=3.0)
    run: dict[str, Any] = {"starts": 3, "dtype": dtype, "seed": 4}
    whole = lstm_edge.orbit(arrays, inputs(12), steps=30, **run)
    late = lstm_edge.orbit(arrays, inputs(12), steps=20, transient=10, **run)
    assert np.array_equal(late.hidden, whole.hidden[:, 10:])
    assert np.array_equal(late.cell, whole.cell[:, 10:])


def test_an_orbit_goes_on_from_its_last_state() -> None:
    arrays = make_arrays((5, 3), 3, gain=3.0)
    whole = lstm_edge.orbit(arrays, steps=30, starts=2)
    h, c = whole.hidden[:, 9], whole.cell[:, 9]
    state = np.concatenate([h[:, :5], c[:, :5], h[:, 5:], c[:, 5:]], axis=1)
    rest = lstm_edge.orbit(arrays, steps=20, initial_state=state)
    assert np.array_equal(rest.hidden, whole.hidden[:, 10:])
    assert np.array_equal(rest.cell, whole.cell[:, 10:])


def test_zeros_follow_the_drive() -> None:
    arrays = make_arrays((4,), 3)
    drive = inputs(6)
    padded = np.concatenate([drive, np.zeros((10, 3))])
    run: dict[str, Any] = {"steps": 16, "initial_state": np.zeros(8)}
    assert np.array_equal(
        lstm_edge.orbit(arrays, drive, **run).hidden,
        lstm_edge.orbit(arrays, padded, **run).hidden,
    )


def test_zero_input_in_any_regime_is_the_zero_regime() -> None:
    arrays = make_arrays((4, 2), 3)
    run: dict[str, Any] = {"steps": 16, "initial_state": np.full(12, 0.5)}
    none = lstm_edge.orbit(arrays, **run).hidden
    for shape in ((3,), (9, 3), (1, 9, 3)):
        found = lstm_edge.orbit(arrays, np.zeros(shape), **run).hidden
        np.testing.assert_allclose(found, none, rtol=0, atol=1e-15)


def test_a_batch_starts_at_rest_and_a_sequence_at_random_states() -> None:
    arrays, batch = make_arrays((4,), 3), inputs(5, 9)
    each = lstm_edge.orbit(arrays, batch, steps=9, starts=5)
    for s in range(5):
        alone = lstm_edge.orbit(
            arrays, batch[s], steps=9, initial_state=np.zeros((1, 8))
        )
        assert np.array_equal(alone.hidden[0], each.hidden[s])
    one = lstm_edge.orbit(arrays, batch[0], steps=9, starts=5)
    assert not np.array_equal(one.hidden[0], each.hidden[0])


def test_more_starts_than_sequences_go_on_from_random_states() -> None:
    arrays, batch = make_arrays((4,), 3), inputs(3, 9)
    many = lstm_edge.orbit(arrays, batch, steps=9, starts=7).hidden
    few = lstm_edge.orbit(arrays, batch, steps=9, starts=3).hidden
    assert np.array_equal(many[:3], few)
    assert len({walk.tobytes() for walk in many}) == 7


def test_random_starts_fill_the_box() -> None:
    # with f = 1 (its bias is 40) and i = 0, c stays where it started
    arrays = nets.gated(np.zeros((4, 4)), i=-1e4, f=40.0)
    cell = lstm_edge.orbit(arrays, steps=1, starts=500).cell
    assert np.all(np.abs(cell) <= 1)
    # 2000 uniform numbers: deviation 0.577, its error and that of the mean near 0.01
    assert abs(cell.mean()) < 0.05
    assert cell.std() == pytest.approx(1 / np.sqrt(3), rel=0.05)
    again = lstm_edge.orbit(arrays, steps=1, starts=500, seed=1).cell
    assert not np.array_equal(again, cell)


def test_float32_orbits_are_those_of_nn_lstm() -> None:
    torch.manual_seed(0)
    lstm = nn.LSTM(3, 8, num_layers=2, batch_first=True)
    batch = torch.as_tensor(inputs(4, 25), dtype=torch.float32)
    with torch.no_grad():
        top = lstm(batch)[0].numpy()
    walk = lstm_edge.orbit(lstm, batch, steps=25, starts=4, dtype="float32")
    assert walk.hidden.dtype == np.float32
    # a few units in the last place of numbers below 1, from sums in another order
    np.testing.assert_allclose(walk.hidden[..., 8:], top, rtol=0, atol=2e-6)


def test_closed_loop_feeds_the_readout_back() -> None:
    arrays = make_arrays((5, 3), 3, outputs=3)
    readout, bias = arrays["readout_weight"], arrays["readout_bias"]
    loop = lstm_edge.orbit(
        arrays, steps=20, initial_state=np.zeros(16), closed_loop=True
    )
    top = np.concatenate([np.zeros((1, 3)), loop.hidden[0, :-1, 5:]])
    fed = top @ np.float64(readout).T + bias
    driven = lstm_edge.orbit(arrays, fed, steps=20, initial_state=np.zeros(16))
    # the readout is folded into the weights, so sums run in another order
    np.testing.assert_allclose(loop.hidden, driven.hidden, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_threads_vector_unit_or_neighbours(dtype: str) -> None:
    regime = make_regime(
        as_weights(make_arrays((5, 4), 3, gain=4.0)), inputs(1, 10), dtype=dtype
    )

    def walk(starts: int = 13, **options: Any) -> Any:
        return _core.orbit(
            regime.map,
            regime.sequences,
            steps=60,
            transient=5,
            starts=starts,
            initial_state=None,
            at_rest=False,
            seed=3,
            **options,
        )

    expected = walk(threads=1)
    for threads in (2, 3):
        assert np.array_equal(walk(threads=threads), expected)
    for unit in _core.vector_units():
        assert np.array_equal(walk(vector_unit=unit), expected)
    for starts in (1, 4, 6):
        assert np.array_equal(walk(starts), expected[:starts])


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("steps", {"steps": 0}),
        ("transient", {"steps": 5, "transient": -1}),
        ("starts", {"steps": 5, "starts": 0}),
        ("inputs", {"steps": 5, "inputs": np.zeros((5, 2))}),
        ("inputs", {"steps": 5, "inputs": np.zeros(3), "closed_loop": True}),
        ("initial_state", {"steps": 5, "initial_state": np.zeros(7)}),
        ("dtype", {"steps": 5, "dtype": "float16"}),
    ],
)
def test_an_argument_that_cannot_work_is_named_in_one_line(
    field: str, options: dict[str, Any]
) -> None:
    with pytest.raises(lstm_edge.UsageError, match=field) as caught:
        lstm_edge.orbit(make_arrays((4,), 3), **options)
    assert "\n" not in str(caught.value)
