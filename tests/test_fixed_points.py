"""Fixed points and cycles of nets where algebra or a scalar solver knows them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from conftest import Arrays, make_arrays
from lstm_edge import UsageError, attractors, fixed_points, lyapunov
from nets import chaotic, cycle, gated
from reference import follow, make_net
from test_attractors import circle


def test_one_unit_has_the_three_points_of_its_scalar_equation() -> None:
    # i = o = sigmoid(50) = 1, f = 0: h = tanh(tanh(3 h)), c = tanh(3 h)
    found = fixed_points(gated([[3.0]], i=50.0, f=-50.0, o=50.0))
    root = brentq(lambda h: np.tanh(np.tanh(3 * h)) - h, 0.1, 1.0, xtol=1e-15)
    assert sorted(found.states[:, 0]) == pytest.approx([-root, 0.0, root], abs=1e-12)
    slope = {h: 3 * (1 - np.tanh(3 * h) ** 2) * (1 - h**2) for h in (0.0, root)}
    for state, values, stable in zip(
        found.states, found.multipliers, found.stable, strict=True
    ):
        expected = slope[0.0] if abs(state[0]) < 0.1 else slope[root]
        assert values[0].real == pytest.approx(expected, rel=1e-10)
        assert stable == (expected < 1)
    assert found.residual.max() < 1e-14
    assert found.hits.sum() == found.settings["starts"]


def test_a_cycle_is_found_once_beside_the_point_it_goes_around() -> None:
    found = fixed_points(cycle(), period=2)
    assert sorted(found.period) == [1, 2]
    point, pair = np.argsort(found.period)
    assert not found.stable[point]
    assert found.multipliers[point][0].real < -1  # born by period doubling
    assert found.stable[pair]
    assert abs(found.states[pair, 0]) == pytest.approx(
        abs(attractors(cycle(), starts=1).states[0, 0]), abs=1e-9
    )
    assert len(fixed_points(cycle(), period=1)) == 1


@pytest.mark.parametrize("seed", range(4))
def test_multipliers_are_those_of_the_reference_jacobian(seed: int) -> None:
    net = chaotic(6, seed)
    found = fixed_points(net, starts=16)
    assert len(found) > 0
    for state, values in zip(found.states, found.multipliers, strict=True):
        ((end, jacobian),) = follow(make_net(net), state, 1)
        assert end == pytest.approx(state, abs=1e-10)
        expected = np.sort(np.abs(np.linalg.eigvals(jacobian)))[::-1]
        assert np.abs(values) == pytest.approx(expected, abs=1e-9)


def ordered() -> Arrays:
    random = np.random.default_rng(3)
    hidden = 5
    return {
        "weight_ih_l0": np.zeros((4 * hidden, 2)),
        "weight_hh_l0": random.normal(0, 0.5, (4 * hidden, hidden)),
        "bias_ih_l0": random.normal(0, 0.5, 4 * hidden),
        "bias_hh_l0": np.zeros(4 * hidden),
    }


def test_exponents_at_a_stable_point_are_the_logarithms_of_its_multipliers() -> None:
    found = fixed_points(ordered())
    assert len(found) == 1
    exponents = lyapunov(ordered(), starts=1, steps=5000).exponents
    logs = np.log(np.abs(found.multipliers[0]))
    assert exponents[0] == pytest.approx(logs[0], abs=1e-6)
    assert exponents.sum() == pytest.approx(logs.sum(), rel=1e-6)


def test_a_complex_pair_crosses_the_unit_circle_where_the_circle_is_born() -> None:
    for gain in (0.95, 1.05):
        found = fixed_points(circle(gain))
        origin = found.multipliers[np.argmin(np.abs(found.states).sum(axis=1))]
        assert origin[0] == pytest.approx(gain * np.exp(1j), rel=1e-9) or origin[
            0
        ] == pytest.approx(gain * np.exp(-1j), rel=1e-9)


def test_a_constant_input_moves_the_points() -> None:
    net = gated([[0.5]], i=50.0, f=-50.0, o=50.0)
    net["weight_ih_l0"][2] = 1.0
    found = fixed_points(net, np.array([0.7]))
    root = brentq(lambda h: np.tanh(np.tanh(0.5 * h + 0.7)) - h, 0.0, 1.0, xtol=1e-15)
    assert found.states[:, 0] == pytest.approx([root], abs=1e-12)


def test_inputs_that_change_and_other_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="inputs: expected None or one constant"):
        fixed_points(cycle(), np.zeros((5, 1)))
    with pytest.raises(UsageError, match="period: expected an integer from 1"):
        fixed_points(cycle(), period=0)


def test_it_prints_and_turns_into_plain_values() -> None:
    found = fixed_points(cycle(), period=2)
    assert repr(found).startswith("FixedPoints(2: ")
    assert "period 2" in repr(found)
    assert found.to_dict()["period"] == found.period.tolist()


def test_points_that_were_hit_once_tell_of_those_unseen() -> None:
    found = fixed_points(chaotic(), starts=4)
    assert found.settings["starts"] == 4
    for hits, unseen in (([9, 5], 0), ([4, 1, 1], 1), ([2, 1, 1, 1], 4.5), ([1], 0)):
        told = replace(found, hits=np.array(hits))
        assert told.unseen == unseen
        assert ("unseen" in repr(told)) == (unseen >= 1)


def test_rest_is_tried_first() -> None:
    net = chaotic()
    for kind in ("bias_ih_l0", "bias_hh_l0"):
        net[kind] = np.zeros_like(net[kind])
    found = fixed_points(net, starts=1)
    assert len(found) == 1
    np.testing.assert_allclose(found.states, 0, atol=1e-12)


def test_points_that_no_orbit_of_a_gru_reaches_are_left_out() -> None:
    """Where z rounds to 1, any h far out would count as a fixed point."""
    arrays = make_arrays((12,), 2, gain=8.0, seed=11, cell="gru")
    found = fixed_points({k: v for k, v in arrays.items() if "_l0" in k})
    assert len(found) > 0
    assert np.abs(found.states).max() <= 1 + 1e-6
    # what is left is told from its neighbours by a multiplier that is not 1
    assert (np.abs(np.abs(found.multipliers[:, 0]) - 1) > 1e-9).all()
