"""Attractors of nets whose long-term motion is known, hand-built and random."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq

import lstm_edge
from conftest import Arrays
from lstm_edge import UsageError, attractors, lyapunov
from lstm_edge.measures.phase import phase_of_attractors
from nets import chaotic, cycle, gated, torus
from reference import follow, make_net, orbit

QUICK: dict[str, Any] = {"steps": 500, "transient": 500, "limit": 4000, "starts": 6}


def circle(gain: float, angle: float = 1.0) -> Arrays:
    """Two units turned by `angle` and stretched, gates wide open, nothing remembered.

    At the origin h' = gain R(angle) h up to third order: its multipliers are
    gain e^{+-i angle} (and 0, 0), so a circle is born at gain = 1 (Neimark-Sacker).
    """
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return gated(gain * np.array(turn), i=50.0, f=-50.0, o=50.0)


def plain_exponent(arrays: Arrays, steps: int) -> float:
    """Largest exponent along one orbit, by the slow twin."""
    net = make_net(arrays)
    vector, total = np.ones(net.dimension), 0.0
    walk = follow(net, np.full(net.dimension, 0.1), 2 * steps)
    for t, (_, jacobian) in enumerate(walk):
        vector = jacobian @ vector
        length = float(np.linalg.norm(vector))
        vector /= length
        total += np.log(length) if t >= steps else 0.0
    return total / steps


def test_a_fixed_point_is_where_theory_puts_it() -> None:
    # one unit, i = o = sigmoid(50) = 1, f = 0: h* = tanh(tanh(2 h* + 1))
    found = attractors(gated([[2.0]], i=50.0, f=-50.0, g=1.0, o=50.0), **QUICK)
    fixed = brentq(lambda h: np.tanh(np.tanh(2 * h + 1)) - h, 0.5, 1.0, xtol=1e-15)
    (only,) = found.attractors
    assert (only.kind, only.period, only.share) == ("fixed_point", 1, 1.0)
    assert found.states[:, 0] == pytest.approx(fixed, abs=1e-12)
    cell = np.tanh(2 * fixed + 1)
    slope = 2 * (1 - cell**2) * (1 - fixed**2)  # dh'/dh
    assert only.exponent == pytest.approx(np.log(slope), rel=1e-6)


def test_two_fixed_points_side_by_side() -> None:
    # h' = tanh(tanh(3 h)) has two stable fixed points, +-h*, and 0 between them
    found = attractors(
        gated([[3.0]], i=50.0, f=-50.0, o=50.0), **QUICK | {"starts": 32}
    )
    assert [a.kind for a in found.attractors] == ["fixed_point"] * 2
    assert sum(a.share for a in found.attractors) == 1.0
    signs = [set(np.sign(found.states[list(a.starts), 0])) for a in found.attractors]
    assert signs in ([{-1.0}, {1.0}], [{1.0}, {-1.0}])
    assert found.phase == "order"


def test_a_start_on_a_repelling_fixed_point_is_nudged_off() -> None:
    net = gated([[3.0]], i=50.0, f=-50.0, o=50.0)
    found = attractors(net, **QUICK, initial_state=np.zeros(2))
    assert found.kind == ["fixed_point"] * 6
    assert np.abs(found.states[:, 0]).min() > 0.5


def test_a_cycle_has_its_period_and_its_mean() -> None:
    found = attractors(cycle(), **QUICK)
    (only,) = found.attractors
    assert (only.kind, only.period) == ("cycle", 2)
    assert found.means == pytest.approx(0.0, abs=1e-6)  # the map is odd
    assert found.phase == "order"


@pytest.mark.parametrize("gain", [0.9, 0.99, 1.02, 1.2])
def test_a_circle_is_born_at_gain_one(gain: float) -> None:
    found = attractors(circle(gain), starts=4)
    (only,) = found.attractors
    if gain < 1:
        assert (only.kind, found.phase) == ("fixed_point", "order")
        assert only.exponent == pytest.approx(np.log(gain), abs=1e-6)
    else:
        assert (only.kind, found.phase) == ("torus", "edge")
        assert abs(plain_exponent(circle(gain), 4000)) < 1e-3
        assert found.zero_one.max() < 0.2
        radius = np.hypot(*found.states[:, :2].T)
        assert (radius > 0.1).all()


def test_the_golden_torus_is_a_torus() -> None:
    assert attractors(torus(), starts=4).kind == ["torus"] * 4


def test_chaos_has_the_exponent_of_the_spectrum_and_of_the_slow_twin() -> None:
    found = attractors(chaotic(), **QUICK)
    (only,) = found.attractors
    assert (only.kind, found.phase, found.chaotic_share) == ("chaos", "chaos", 1.0)
    # four standard errors: the orbits differ
    spectrum = lyapunov(chaotic(), k=1, starts=6)
    error = np.hypot(only.stderr, spectrum.stderr[0])
    assert abs(only.exponent - spectrum.exponents[0]) < 4 * error
    slow = plain_exponent(chaotic(), 2000)
    assert abs(slow - only.exponent) < 4 * np.sqrt(6) * only.stderr
    assert found.zero_one.min() > 0.8


@pytest.mark.parametrize("seed", range(8))
def test_random_nets_are_what_their_plain_orbits_say(seed: int) -> None:
    random = np.random.default_rng(seed)
    hidden = 8
    arrays = {
        "weight_ih_l0": np.zeros((4 * hidden, 1)),
        "weight_hh_l0": random.normal(0, (1 + seed) / 8**0.5, (4 * hidden, hidden)),
        "bias_ih_l0": random.normal(0, 0.5, 4 * hidden),
        "bias_hh_l0": np.zeros(4 * hidden),
        "readout_weight": np.zeros((1, hidden)),
        "readout_bias": np.zeros(1),
    }
    found = attractors(arrays, **QUICK | {"starts": 3})
    for start, state in enumerate(found.states):
        later = orbit(make_net(arrays), state, 3000)[-400:]
        apart = np.linalg.norm(later[1:] - later[0], axis=1)
        returns = np.flatnonzero(apart < 1e-5)
        period = int(returns[0]) + 1 if len(returns) else 0
        if found.kind[start] in ("fixed_point", "cycle"):
            assert period == found.period[start]
        else:
            assert period == 0
            positive = found.exponent[start] > found.zero_margin[start]
            assert positive == (found.kind[start] == "chaos")


@pytest.mark.parametrize("shrinks", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5])
def test_slow_order_is_order_with_the_exponent_of_its_multipliers(
    shrinks: float,
) -> None:
    found = attractors(circle(1 - shrinks), starts=4)
    assert found.kind == ["fixed_point"] * 4
    assert found.phase == "order"
    np.testing.assert_allclose(found.exponent, np.log1p(-shrinks), rtol=1e-9)
    assert len(found.attractors) == 1
    spectrum = lyapunov(circle(1 - shrinks))
    assert spectrum.phase == "order"
    np.testing.assert_allclose(spectrum.exponents[:2], np.log1p(-shrinks), rtol=1e-9)


def test_the_same_bits_for_any_threads_and_any_other_starts() -> None:
    def bits(**options: Any) -> list[NDArray[Any]]:
        found = attractors(chaotic(), **QUICK | options)
        return [
            found.exponent[:3],
            found.zero_one[:3],
            found.states[:3],
            found.steps[:3],
        ]

    for options in ({"threads": 1}, {"threads": 3}, {"starts": 3}, {"starts": 11}):
        for a, b in zip(bits(), bits(**options), strict=True):
            np.testing.assert_array_equal(a, b)


def test_float32_tells_the_same() -> None:
    for net, kind in ((cycle(), "cycle"), (chaotic(), "chaos"), (torus(), "torus")):
        found = attractors(net, starts=2, dtype="float32", tolerance=1e-4)
        assert found.kind == [kind] * 2


def test_a_drive_picks_the_start_and_must_end_before_the_first_look() -> None:
    net = gated([[3.0]], i=50.0, f=-50.0, o=50.0)
    net["weight_ih_l0"][2] = 1.0  # the input pushes g
    inputs = np.array([[[1.0]] * 20, [[-1.0]] * 20])
    found = attractors(net, inputs, **QUICK | {"starts": 2})
    assert (np.sign(found.states[:, 0]) == [1, -1]).all()
    with pytest.raises(UsageError, match="transient: expected at least 20"):
        attractors(net, inputs, **QUICK | {"transient": 10})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 100}, "steps: expected at least 200"),
        ({"limit": 300}, "limit: expected at least steps"),
        ({"limit": 10**12}, "limit: asks for .* GiB"),
        ({"tolerance": 2.0}, "tolerance: expected a number between 0 and 1"),
        ({"tolerance": -1.0}, "tolerance: expected a positive number"),
        ({"starts": 0}, "starts: expected an integer"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        attractors(cycle(), **QUICK | options)


def test_phases_follow_from_what_starts_end_on() -> None:
    finite = np.zeros(4)
    cases = [
        (["fixed_point", "cycle", "cycle", "cycle"], "order"),
        (["chaos", "chaos", "cycle", "cycle"], "chaos"),
        (["chaos", "torus", "cycle", "cycle"], "edge"),
        (["torus"] * 4, "edge"),
        (["undecided", "cycle", "cycle", "cycle"], "undecided"),
        (["undecided", "chaos", "cycle", "cycle"], "undecided"),
        (["undecided", "torus", "cycle", "cycle"], "edge"),
        (["undecided", "chaos", "chaos", "cycle"], "chaos"),
        (["unbounded", "cycle", "cycle", "cycle"], "unknown"),
    ]
    for kinds, phase in cases:
        assert phase_of_attractors(kinds, finite - 0.1) == phase
    assert phase_of_attractors(["fixed_point"] * 4, finite) == "edge"  # neutral
    assert phase_of_attractors(["undecided"] * 4, finite + np.nan) == "unknown"


def test_it_prints_and_turns_into_plain_values() -> None:
    found = attractors(cycle(), **QUICK)
    assert repr(found) == "Attractors(100% cycle of period 2; phase='order')"
    plain = found.to_dict()
    assert plain["attractors"][0]["kind"] == "cycle"
    assert plain["shares"]["cycle"] == 1.0
    assert "<table>" in found._repr_html_()
    assert lstm_edge.attractors is attractors
