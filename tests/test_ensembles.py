"""Ensembles of starts: seeds, threads, and which start reads which sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import lstm_edge
import nets
import reference
from conftest import make_arrays
from lstm_edge import _core
from nets import columns


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("k", [1, 2, 5, 40])
def test_bits_do_not_depend_on_threads_or_vector_unit(k: int, dtype: str) -> None:
    arrays = make_arrays((12, 9), 3, gain=2.0)
    run: dict[str, Any] = {"k": k, "starts": 11, "steps": 40, "dtype": dtype}
    expected = columns(arrays, threads=1, **run)
    for threads in (2, 3, 10**6):  # no more are started than help
        assert np.array_equal(columns(arrays, threads=threads, **run), expected)
    for unit in _core.vector_units():
        assert np.array_equal(columns(arrays, vector_unit=unit, **run), expected)


@pytest.mark.parametrize("k", [1, 6, 42])
def test_a_start_does_not_feel_its_neighbours(k: int) -> None:
    arrays = make_arrays((12, 9), 3, gain=2.0)
    many = columns(arrays, k=k, starts=13)
    for starts in (1, 2, 8):
        assert np.array_equal(columns(arrays, k=k, starts=starts), many[:starts])


def test_the_seed_is_the_only_source_of_chance() -> None:
    arrays = nets.chaotic()
    run: dict[str, Any] = {"k": 2, "steps": 100, "transient": 0, "starts": 3}
    first = lstm_edge.lyapunov(arrays, seed=1, **run)
    assert np.array_equal(
        first.per_start, lstm_edge.lyapunov(arrays, seed=1, **run).per_start
    )
    assert not np.array_equal(
        first.per_start, lstm_edge.lyapunov(arrays, seed=2, **run).per_start
    )


def test_starts_of_one_sequence_are_random_and_those_of_a_batch_at_rest() -> None:
    arrays = make_arrays((4,), 3)
    batch = np.random.default_rng(0).standard_normal((3, 50, 3))
    at_rest = {"k": 8, "initial_state": np.zeros((1, 8))}
    one = columns(arrays, batch[0], k=8, starts=3)
    assert len({row.tobytes() for row in one}) == 3
    assert not np.array_equal(one[:1], columns(arrays, batch[0], **at_rest))
    for_each = columns(arrays, batch, k=8, starts=3)
    assert np.array_equal(for_each[:1], columns(arrays, batch[0], **at_rest))


@pytest.mark.parametrize("starts", [1, 2, 3, 5, 7, 12])
def test_starts_are_spread_evenly_over_the_sequences(starts: int) -> None:
    arrays = make_arrays((4,), 3)
    batch = np.random.default_rng(0).standard_normal((5, 20, 3))
    state = np.zeros((starts, 8))
    reads = [
        s * 5 // starts if starts <= 5 else s % 5 for s in range(starts)
    ]  # which sequence start s reads
    found = columns(arrays, batch, k=8, starts=starts, initial_state=state, steps=20)
    for s, sequence in enumerate(reads):
        net = reference.make_net(arrays, batch[sequence])
        frame = _core.tangent_frame(8, 8, 0, s)
        expected = reference.exponents(net, state[s], frame, steps=20)
        np.testing.assert_allclose(found[s], expected, rtol=1e-9)


def test_tangent_frames_are_orthonormal_and_nested() -> None:
    for n, k in [(1, 1), (7, 3), (20, 20)]:
        frame = _core.tangent_frame(n, k, 3, 1)
        np.testing.assert_allclose(frame.T @ frame, np.eye(k), atol=1e-14)
        np.testing.assert_allclose(
            _core.tangent_frame(n, 1, 3, 1), frame[:, :1], atol=1e-15
        )
    assert not np.allclose(
        _core.tangent_frame(7, 3, 3, 1), _core.tangent_frame(7, 3, 3, 2)
    )


def test_float32_agrees_with_float64_in_order() -> None:
    arrays = make_arrays((6,), 3, gain=1.5, seed=1)
    double = lstm_edge.lyapunov(arrays, steps=500, transient=500, starts=2)
    single = lstm_edge.lyapunov(
        arrays, steps=500, transient=500, starts=2, dtype="float32"
    )
    # R_ii of one step, down to e^-6, known to some 1e-7 n: 1e-3
    np.testing.assert_allclose(single.exponents, double.exponents, atol=2e-3)


@pytest.mark.parametrize("threads", [1, 6])  # on threads that no other call started
def test_a_caller_that_flushes_subnormal_numbers_changes_no_bit(threads: int) -> None:
    zero = {name: np.zeros_like(a) for name, a in make_arrays((3,), 1).items()}
    run: dict[str, Any] = {"transient": 130, "steps": 10, "starts": 7}
    expected = lstm_edge.orbit(zero, dtype="float32", **run).cell  # c halves each step
    assert 0 < np.abs(expected).max() < np.finfo(np.float32).tiny
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush them")
    try:
        found = lstm_edge.orbit(zero, dtype="float32", threads=threads, **run).cell
    finally:
        torch.set_flush_denormal(False)
    assert np.array_equal(found, expected)
