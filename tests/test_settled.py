"""Starts that settle soon are not followed further, and nothing changes by that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lstm_edge
import nets
import reference
from conftest import make_arrays
from test_attractors import circle

LOOK = 400
"""Steps, after those of the inputs."""


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh"])
@pytest.mark.parametrize("sizes", [(6,), (5, 3)])
def test_multipliers_tell_what_a_long_run_does(cell: str, sizes: Any) -> None:
    arrays = make_arrays(sizes, cell=cell, gain=0.5, seed=1)  # of an RNN, order too
    settings: dict[str, Any] = {"k": 2, "starts": 3}
    soon = lstm_edge.lyapunov(arrays, **settings)
    assert not soon.finite_time.std(axis=1).any(), "it was followed to the end"
    long = lstm_edge.lyapunov(
        arrays, transient=5000, steps=20_000, asymptotic=False, **settings
    )
    np.testing.assert_allclose(soon.per_start, long.per_start, rtol=1e-3, atol=1e-4)
    found = lstm_edge.attractors(arrays, starts=3)
    assert found.steps.tolist() == [LOOK] * 3
    net = reference.make_net(arrays, cell=cell)
    for state, values in zip(found.states, found.multipliers, strict=True):
        _, jacobian = reference.step_and_jacobian(net, 0, state)
        expected = np.abs(np.linalg.eigvals(jacobian))
        expected = np.sort(expected)[::-1]
        np.testing.assert_allclose(np.abs(values), expected, atol=1e-8)
        np.testing.assert_allclose(soon.exponents, np.log(expected[:2]), rtol=1e-8)


def test_the_look_begins_when_the_inputs_have_ended() -> None:
    arrays = make_arrays((6,), seed=1)
    inputs = np.random.default_rng(0).standard_normal((3, 70, 4))
    found = lstm_edge.attractors(arrays, inputs, starts=3)
    assert found.steps.tolist() == [70 + LOOK] * 3
    late = lstm_edge.attractors(arrays, inputs, starts=3, transient=LOOK)
    assert (late.steps > LOOK).all(), "no look fits in before the transient ends"
    assert late.kind == found.kind


def test_a_cycle_has_its_multipliers() -> None:
    found = lstm_edge.attractors(nets.cycle(), starts=2)
    assert found.steps.tolist() == [LOOK] * 2
    net = reference.make_net(nets.cycle())
    for state, values, period in zip(
        found.states, found.multipliers, found.period, strict=True
    ):
        product = np.eye(len(state))
        for _ in range(period):
            state, jacobian = reference.step_and_jacobian(net, 0, state)
            product = jacobian @ product
        expected = np.sort(np.abs(np.linalg.eigvals(product)))[::-1]
        np.testing.assert_allclose(np.abs(values), expected, atol=1e-9)


def test_what_settles_late_has_the_same_bits_beside_what_settles_soon() -> None:
    net = circle(1 - 1e-3)  # a slow spiral into the origin
    origin = np.zeros(lstm_edge.as_weights(net).state_size)
    beside = np.array([origin, origin + 0.3, origin])
    away = np.array([origin + 0.2, origin + 0.3])
    settings: dict[str, Any] = {"k": 2, "steps": 500}
    mixed = lstm_edge.lyapunov(net, initial_state=beside, **settings)
    late = lstm_edge.lyapunov(net, initial_state=away, **settings)
    np.testing.assert_array_equal(mixed.finite_time[1], late.finite_time[1])
    assert mixed.finite_time[1, :, 0].std() > 0
    assert not mixed.finite_time[::2].std(axis=1).any()
    for threads in (1, 2):
        again = lstm_edge.lyapunov(
            net, initial_state=beside, threads=threads, **settings
        )
        np.testing.assert_array_equal(again.finite_time, mixed.finite_time)
    found = lstm_edge.attractors(net, initial_state=beside)
    assert found.kind == ["fixed_point"] * 3
    assert (found.steps == LOOK).tolist() == [True, False, True]


def test_nothing_settles_in_chaos_or_on_a_torus() -> None:
    for net in (nets.chaotic(), nets.torus()):
        found = lstm_edge.attractors(net, starts=3)
        assert np.isnan(found.multipliers).all()
        assert (found.steps > LOOK).all()


def test_averages_are_there_for_those_who_want_them() -> None:
    arrays = make_arrays((6,), seed=1)
    spectrum = lstm_edge.lyapunov(arrays, k=2, starts=1, asymptotic=False)
    assert spectrum.finite_time[0, :, 0].std() > 0
