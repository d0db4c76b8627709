"""Lyapunov exponents: known values, identities, error bars."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import lstm_edge
import nets
import reference
from conftest import Arrays, make_arrays
from lstm_edge.measures.exponents import LyapunovSpectrum
from lstm_edge.measures.phase import classify
from lstm_edge.net.reading import as_weights
from nets import columns

# Sums of some thousand logarithms of order 1: rounding stays far below.
ROUNDING = 1e-10

some_net = st.builds(
    make_arrays,
    st.lists(st.integers(2, 6), min_size=1, max_size=3),
    st.just(3),
    outputs=st.just(3),
    gain=st.floats(0.2, 1.2),
    seed=st.integers(0, 2**32),
)
few = settings(max_examples=20, deadline=None)


def dimension(arrays: Arrays) -> int:
    return as_weights(arrays).state_size


# ---- known spectra


@few
@given(hidden=st.integers(1, 6), forget=st.floats(-5, 2))
def test_zero_weights_give_ln_of_the_forget_gate(hidden: int, forget: float) -> None:
    arrays = nets.gated(np.zeros((hidden, hidden)), f=forget)
    # c falls as f^t, f < 0.89: after 400 steps the orbit is at rest
    spectrum = lstm_edge.lyapunov(arrays, steps=100, transient=400, starts=2)
    expected = -np.log1p(np.exp(-forget))
    np.testing.assert_allclose(spectrum.exponents[:hidden], expected, rtol=1e-12)
    assert np.all(np.isneginf(spectrum.exponents[hidden:]))
    # equal steps: the error is what rounding leaves
    np.testing.assert_allclose(spectrum.stderr, 0, atol=1e-14)
    assert spectrum.phase == "order"


def test_without_recurrence_exponents_are_the_mean_ln_f_of_each_unit() -> None:
    arrays = make_arrays((3,), 2)
    arrays["weight_hh_l0"][:] = 0
    arrays["bias_ih_l0"][3:6] = [2.0, 0.0, -2.0]
    arrays["bias_ih_l0"][9:] = -1e4  # o = 0, lest h lengthen the tangents of c
    inputs = np.random.default_rng(0).standard_normal((250, 2))
    # f_1/f_2 and f_2/f_3 are near 2: after 200 steps the frame is the limit's
    spectrum = lstm_edge.lyapunov(arrays, inputs, steps=50, transient=200)
    layer = reference.make_net(arrays).layers[0]
    z = inputs[200:] @ layer.weight_ih.T + layer.bias_ih + layer.bias_hh
    expected = np.sort(np.log(reference.sigmoid(z[:, 3:6])).mean(axis=0))[::-1]
    np.testing.assert_allclose(spectrum.exponents[:3], expected, rtol=1e-9)
    assert np.all(np.isneginf(spectrum.exponents[3:]))


@pytest.mark.parametrize("forget", [-50.0, -1e4])
def test_a_closed_forget_gate_flattens_half_of_the_directions(forget: float) -> None:
    arrays = make_arrays((5,), 3, gain=1.5)
    arrays["weight_hh_l0"][5:10] = 0
    arrays["weight_ih_l0"][5:10] = 0
    arrays["bias_ih_l0"][5:10] = forget
    spectrum = lstm_edge.lyapunov(arrays, steps=300, transient=50, starts=3)
    assert np.all(np.isfinite(spectrum.exponents[:5]))
    assert np.all(np.isneginf(spectrum.exponents[5:]))
    leading = lstm_edge.lyapunov(arrays, k=5, steps=300, transient=50, starts=3)
    np.testing.assert_allclose(leading.exponents, spectrum.exponents[:5], rtol=ROUNDING)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_rank_deficient_recurrence_is_survived(rank: int) -> None:
    random = np.random.default_rng(1)
    arrays = make_arrays((6,), 2)
    low = random.standard_normal((24, rank)) @ random.standard_normal((rank, 6))
    arrays["weight_hh_l0"] = low
    spectrum = lstm_edge.lyapunov(arrays, steps=200, transient=50)
    # dh' depends on dc (6 directions) and on W_hh dh (as many as its rank)
    assert np.isfinite(spectrum.exponents).sum() == 6 + rank
    assert np.isneginf(spectrum.exponents).sum() == 6 - rank


def test_exponents_of_a_fixed_point_are_its_eigenvalues() -> None:
    arrays = make_arrays((6,), 3, gain=1.5, seed=1)
    net = reference.make_net(arrays)
    point = reference.orbit(net, np.zeros(12), 1500)[-1]
    after, jacobian = reference.step_and_jacobian(net, 0, point)
    assert np.array_equal(point, after)
    expected = np.sort(np.log(np.abs(np.linalg.eigvals(jacobian))))[::-1]
    spectrum = lstm_edge.lyapunov(arrays, steps=1000, transient=2000, starts=4)
    # a complex pair turns the frame to and fro: what that leaves falls as 1/T
    np.testing.assert_allclose(spectrum.exponents, expected, atol=2e-3)
    # between eigenvalues of different modulus the sum so far is exact
    gaps = np.flatnonzero(expected[:-1] - expected[1:] > 0.05)
    assert len(gaps) >= 4
    np.testing.assert_allclose(
        np.cumsum(spectrum.exponents)[gaps], np.cumsum(expected)[gaps], rtol=1e-9
    )
    assert spectrum.phase == "order"


def test_exponents_of_a_cycle_are_its_multipliers() -> None:
    arrays = nets.cycle()
    net = reference.make_net(arrays)
    state = reference.orbit(net, [0.3, 0.1], 500)[-1]
    _, first = reference.step_and_jacobian(net, 0, state)
    state, _ = reference.step_and_jacobian(net, 0, state)
    _, second = reference.step_and_jacobian(net, 0, state)
    expected = np.log(np.abs(np.linalg.eigvals(second @ first)).max()) / 2
    spectrum = lstm_edge.lyapunov(arrays, steps=500, transient=500)
    np.testing.assert_allclose(spectrum.exponents[0], expected, rtol=1e-9)
    assert np.isneginf(spectrum.exponents[1])
    assert spectrum.phase == "order"


def test_a_torus_has_an_exponent_of_zero_and_is_an_edge() -> None:
    spectrum = lstm_edge.lyapunov(nets.torus(), steps=4000, transient=500)
    assert np.all(np.abs(spectrum.per_start[:, 0]) < spectrum.zero_margin)
    # the bias of a zero exponent, at most ln(T)/T, is 2e-3 here
    np.testing.assert_allclose(spectrum.per_start[:, 0], 0, atol=2e-3)
    assert spectrum.exponents[1] < -0.1
    assert spectrum.phase == "edge"
    assert spectrum.chaotic_share == 0


def test_chaos_has_the_twins_exponents() -> None:
    arrays = nets.chaotic()
    spectrum = lstm_edge.lyapunov(arrays, k=2, steps=3000, transient=200)
    random = np.random.default_rng(7)
    net = reference.make_net(arrays)
    other = reference.exponents(
        net,
        random.uniform(-1, 1, 20),
        np.linalg.qr(random.standard_normal((20, 2)))[0],
        steps=3000,
        transient=200,
    )
    # two estimates from different orbits of one attractor: 4 errors of the one orbit
    error = spectrum.per_start_stderr.max(axis=0)
    assert np.all(np.abs(spectrum.exponents - other) < 4 * error)
    assert spectrum.phase == "chaos"
    assert spectrum.chaotic_share == 1


def test_phase_of_a_mixture_is_edge_up_to_half_in_chaos() -> None:
    margin = np.full(4, 0.1)
    phases = [
        ([0.5, -0.5, -0.5, -0.5], "edge", 0.25),
        ([0.5, 0.5, -0.5, -0.5], "chaos", 0.5),
        ([-0.01, -0.5, -0.5, -0.5], "edge", 0.0),
        ([0.01, 0.01, 0.01, 0.01], "edge", 0.0),
        ([-0.05, -0.5, -0.5, -0.5], "undecided", 0.0),
        ([0.05, 0.05, 0.01, 0.01], "undecided", 0.0),
        ([0.5, 0.05, -0.5, -0.5], "undecided", 0.25),
        ([0.01, 0.05, -0.5, -0.5], "edge", 0.0),
        ([-np.inf] * 4, "order", 0.0),
    ]
    for exponents, phase, share in phases:
        assert classify(np.array(exponents), margin, 0.02) == (phase, share)
    assert classify(np.array([np.nan, -1, -1, -1]), margin, 0.02)[0] == "unknown"
    exact = np.full(4, 1e-9)  # multipliers tell a sign where a run could not
    held = np.full(4, True)
    assert classify(np.full(4, -0.01), exact, 0.02, held) == ("order", 0.0)


# ---- identities


@few
@given(arrays=some_net, closed_loop=st.booleans(), seed=st.integers(0, 99))
def test_sum_of_all_exponents_is_the_mean_log_determinant(
    arrays: Arrays, closed_loop: bool, seed: int
) -> None:
    n = dimension(arrays)
    state = np.random.default_rng(seed).uniform(-1, 1, n)
    spectrum = lstm_edge.lyapunov(
        arrays,
        steps=40,
        transient=20,
        starts=1,
        initial_state=state,
        interval=1,
        asymptotic=False,
        closed_loop=closed_loop,
    )
    net = reference.make_net(arrays, closed_loop=closed_loop)
    expected = reference.mean_log_determinant(net, state, steps=40, transient=20)
    # each ln R_ii is good to n eps / R_ii, and R_ii > e^-15 for these gains
    np.testing.assert_allclose(spectrum.contraction, expected, rtol=1e-8)


@few
@given(arrays=some_net, data=st.data())
def test_leading_exponents_do_not_depend_on_k(arrays: Arrays, data: Any) -> None:
    n = dimension(arrays)
    k = data.draw(st.integers(1, n - 1))
    few_, all_ = columns(arrays, k=k, starts=3), columns(arrays, k=n, starts=3)
    # rounding of R_ii: n eps e^15 at most, for these gains
    np.testing.assert_allclose(few_, all_[:, :k], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("arrays", [nets.chaotic(), make_arrays((5, 4), 3, gain=1.5)])
@pytest.mark.parametrize("interval", [2, 3, 7, "auto"])
def test_exponents_do_not_depend_on_interval(
    arrays: Arrays, interval: int | str
) -> None:
    run: dict[str, Any] = {"k": 3, "steps": 500, "transient": 100, "starts": 2}
    every = lstm_edge.lyapunov(arrays, interval=1, **run)
    seldom = lstm_edge.lyapunov(arrays, interval=interval, **run)
    # the first three exponents of both nets spread by less than 2 nats a step: in 7
    # steps rounding costs at most e^14 eps; and "auto" promises 1e-8
    np.testing.assert_allclose(seldom.per_start, every.per_start, atol=1e-8)


def test_auto_interval_is_one_for_strong_contraction_and_more_for_weak() -> None:
    wild = make_arrays((8,), 3, gain=6, seed=1)
    tame = make_arrays((8,), 3, gain=1.0, seed=1)
    run: dict[str, Any] = {"steps": 200, "transient": 100, "starts": 2}
    assert lstm_edge.lyapunov(wild, **run).interval == 1
    assert lstm_edge.lyapunov(tame, k=1, **run).interval > 1


@few
@given(arrays=some_net.filter(lambda a: "weight_hh_l1" not in a), data=st.data())
def test_exponents_do_not_depend_on_the_order_of_units(
    arrays: Arrays, data: Any
) -> None:
    n = dimension(arrays)
    order = np.array(data.draw(st.permutations(range(n // 2))))
    state = np.random.default_rng(0).uniform(-1, 1, n)
    moved = np.concatenate([state[: n // 2][order], state[n // 2 :][order]])
    # the frame of the core cannot be permuted, but the sum does not depend on it
    run: dict[str, Any] = {"steps": 50, "transient": 0, "starts": 1, "interval": 1}
    one = lstm_edge.lyapunov(arrays, initial_state=state, **run)
    other = lstm_edge.lyapunov(nets.permuted(arrays, order), initial_state=moved, **run)
    np.testing.assert_allclose(one.contraction, other.contraction, rtol=1e-9)


def test_exponents_of_chaos_do_not_depend_on_the_order_of_units() -> None:
    arrays, order = nets.chaotic(), np.random.default_rng(0).permutation(10)
    run: dict[str, Any] = {"k": 3, "steps": 3000, "transient": 300}
    one = lstm_edge.lyapunov(arrays, **run)
    other = lstm_edge.lyapunov(nets.permuted(arrays, order), **run)
    error = np.hypot(one.stderr, other.stderr)
    assert np.all(np.abs(one.exponents - other.exponents) < 4 * error)


def test_constant_input_is_a_drive_that_never_changes() -> None:
    arrays = make_arrays((4, 3), 3)
    x = np.array([0.5, -1.0, 2.0])
    constant = columns(arrays, x, k=14)
    driven = columns(arrays, np.tile(x, (50, 1)), k=14)
    np.testing.assert_allclose(constant, driven, rtol=ROUNDING)


def test_closed_loop_of_one_layer_folds_into_its_weights() -> None:
    arrays = make_arrays((6,), 3, outputs=3)
    readout, bias = arrays["readout_weight"], arrays["readout_bias"]
    weight = np.float64(arrays["weight_ih_l0"])
    folded = dict(arrays)
    folded["weight_hh_l0"] = arrays["weight_hh_l0"] + weight @ readout
    folded["bias_ih_l0"] = arrays["bias_ih_l0"] + weight @ bias
    run: dict[str, Any] = {"steps": 60, "transient": 0, "starts": 2, "interval": 1}
    loop = lstm_edge.lyapunov(arrays, closed_loop=True, **run)
    np.testing.assert_allclose(
        loop.per_start, lstm_edge.lyapunov(folded, **run).per_start, rtol=ROUNDING
    )


def test_closed_loop_of_a_constant_readout_is_a_constant_input() -> None:
    arrays = make_arrays((4, 3), 3, outputs=3)
    arrays["readout_weight"][:] = 0
    run: dict[str, Any] = {"steps": 60, "transient": 0, "starts": 2, "interval": 1}
    loop = lstm_edge.lyapunov(arrays, closed_loop=True, **run)
    constant = lstm_edge.lyapunov(arrays, arrays["readout_bias"], **run)
    np.testing.assert_allclose(loop.per_start, constant.per_start, rtol=ROUNDING)


def test_exponents_after_the_drive_are_those_of_the_zero_input() -> None:
    arrays = make_arrays((5,), 3, gain=2.0)
    inputs = np.random.default_rng(0).standard_normal((30, 3))
    spectrum = lstm_edge.lyapunov(
        arrays,
        inputs,
        steps=40,
        transient=30,
        initial_state=np.zeros(10),
        starts=1,
        asymptotic=False,
    )
    net = reference.make_net(arrays, inputs)
    driven = reference.orbit(net, np.zeros(10), 30)[-1]
    expected = reference.mean_log_determinant(
        reference.make_net(arrays), driven, steps=40
    )
    np.testing.assert_allclose(spectrum.contraction, expected, rtol=1e-8)


# ---- error bars, derived numbers


def test_stderr_is_the_spread_of_repeated_runs() -> None:
    spectrum = lstm_edge.lyapunov(
        nets.chaotic(), k=1, steps=2000, transient=200, starts=32
    )
    spread = spectrum.per_start[:, 0].std(ddof=1)
    # 32 starts tell a deviation to 1 / sqrt(62) = 13 %; batch means are a little high
    assert 0.6 < spectrum.per_start_stderr[:, 0].mean() / spread < 1.7
    student = scipy.stats.t.ppf(0.975, 31) / scipy.stats.norm.ppf(0.975)
    together = student * spread / np.sqrt(32)
    np.testing.assert_allclose(spectrum.stderr, together, rtol=1e-3)


def test_the_error_of_eight_starts_holds_their_true_mean() -> None:
    net = nets.chaotic(40, 3)
    long = lstm_edge.lyapunov(net, k=1, starts=16, steps=40_000)
    runs = [lstm_edge.lyapunov(net, k=1, steps=500, seed=seed) for seed in range(60)]
    off = np.array([(run.exponents - long.exponents) / run.stderr for run in runs])
    # 57 of 60 are expected; fewer than 51 would come once in 400 times
    assert np.count_nonzero(np.abs(off) < 1.96) >= 51
    assert np.median(np.abs(off)) > 0.3  # nor is the error too large


def test_starts_with_one_exact_exponent_have_no_error() -> None:
    for seed in range(5):
        found = lstm_edge.lyapunov(nets.cycle(), seed=seed)
        assert not found.stderr.any()


def test_few_starts_have_the_errors_of_their_time_averages() -> None:
    spectrum = lstm_edge.lyapunov(nets.chaotic(), k=2, starts=3, steps=400)
    together = np.sqrt((spectrum.per_start_stderr**2).sum(axis=0)) / 3
    np.testing.assert_allclose(spectrum.stderr, together, rtol=1e-12)


def test_starts_that_a_drive_has_made_one_err_together() -> None:
    inputs = np.random.default_rng(0).normal(size=(1200, 4))
    found = lstm_edge.lyapunov(make_arrays(), inputs, k=1, steps=600, transient=600)
    assert np.ptp(found.per_start) < 1e-6  # all follow the drive
    own = found.per_start_stderr[:, 0].mean()
    assert own > 0
    np.testing.assert_allclose(found.stderr[0], own, rtol=1e-3)


def test_more_steps_do_not_bring_two_attractors_together() -> None:
    net = {  # tanh(3 h + 0.4) rests at two points that attract unlike
        "weight_ih_l0": np.zeros((1, 1)),
        "weight_hh_l0": np.array([[3.0]]),
        "bias_ih_l0": np.array([0.4]),
        "bias_hh_l0": np.array([0.0]),
    }
    apart: dict[str, Any] = {"k": 1, "starts": 8, "asymptotic": False, "steps": 200}
    found = lstm_edge.lyapunov(net, **apart, tolerance=1e-3, limit=20_000)
    assert len(np.unique(found.per_start.round(6))) == 2  # two fixed points
    assert found.converged is False
    assert found.settings["steps"] < 20_000
    assert found.stderr[0] > 0.05


def test_zero_margin_is_two_errors_and_the_bias_of_a_finite_run() -> None:
    run: dict[str, Any] = {"k": 1, "steps": 400, "transient": 100, "starts": 3}
    spectrum = lstm_edge.lyapunov(nets.chaotic(), **run)
    bias = (1 + np.log(1 + 400 / 100)) / 400
    expected = 2 * spectrum.per_start_stderr[:, 0] + bias
    np.testing.assert_allclose(spectrum.zero_margin, expected, rtol=1e-12)


def test_exponents_are_per_unit_of_dt() -> None:
    run: dict[str, Any] = {"k": 2, "steps": 100, "transient": 10, "starts": 2}
    step = lstm_edge.lyapunov(nets.chaotic(), **run)
    unit = lstm_edge.lyapunov(nets.chaotic(), dt=0.25, **run)
    for name in ("exponents", "stderr", "per_start", "per_start_stderr"):
        np.testing.assert_allclose(
            getattr(unit, name), 4 * getattr(step, name), rtol=1e-12
        )
    assert unit.phase == step.phase
    assert "nats per step" in repr(step)
    assert "nats per unit of time" in repr(unit)


def test_exponents_come_in_descending_order() -> None:
    spectrum = lstm_edge.lyapunov(make_arrays((5, 4)), steps=30, transient=0)
    assert spectrum.exponents.shape == (18,)
    assert spectrum.per_start.shape == (8, 18)
    assert np.all(np.diff(spectrum.exponents) <= 0)
    np.testing.assert_allclose(
        spectrum.exponents, spectrum.per_start.mean(axis=0), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("exponents", "dimension", "kaplan_yorke", "entropy"),
    [
        ([0.41922, -1.62319], 2, 1.258269, 0.41922),  # Henon
        ([-0.5, -1.0], 2, 0.0, 0.0),  # a fixed point
        ([0.0, -0.5], 2, 1.0, 0.0),  # a circle
        ([0.3, -np.inf], 2, 1.0, 0.3),  # the logistic map, in a plane
        ([0.5, 0.25, -3.0], 3, 2.25, 0.75),
        ([1.0, 1.0], 2, 2.0, 2.0),  # an expanding map
        ([0.5, 0.25], 9, np.nan, np.nan),  # too few exponents to tell
        ([0.5, -0.25], 9, np.nan, 0.5),
        ([np.nan, np.nan], 2, np.nan, np.nan),
    ],
)
def test_dimension_and_entropy_follow_from_the_exponents(
    exponents: list[float], dimension: int, kaplan_yorke: float, entropy: float
) -> None:
    spectrum = replace(
        lstm_edge.lyapunov(nets.cycle(), steps=10),
        exponents=np.array(exponents),
        stderr=np.zeros(len(exponents)),
        dimension=dimension,
    )
    np.testing.assert_allclose(spectrum.kaplan_yorke_dimension, kaplan_yorke, atol=1e-6)
    np.testing.assert_allclose(spectrum.ks_entropy, entropy)


@pytest.mark.parametrize("angle", np.linspace(0.3, 1.3, 7))
def test_a_torus_has_dimension_one_whatever_the_sign_of_its_exponent(
    angle: float,
) -> None:
    """tanh(1.1 R(angle) x): an invariant circle, on which the orbit turns."""
    cosine, sine = 1.1 * np.cos(angle), 1.1 * np.sin(angle)
    net = {
        "weight_ih_l0": np.zeros((2, 1)),
        "weight_hh_l0": np.array([[cosine, -sine], [sine, cosine]]),
    }
    found = lstm_edge.lyapunov(net, asymptotic=False)
    error = found.kaplan_yorke_dimension_stderr
    assert error < 0.01
    assert abs(found.kaplan_yorke_dimension - 1) < 4 * error
    order = lstm_edge.lyapunov(nets.cycle())
    assert (order.kaplan_yorke_dimension, order.phase) == (0.0, "order")


def test_a_tolerance_reads_its_net_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def reading(weights: Any, **options: Any) -> Any:
        calls.append(weights)
        return as_weights(weights, **options)

    monkeypatch.setattr("lstm_edge.measures.exponents.as_weights", reading)
    found = lstm_edge.lyapunov(
        nets.chaotic(), k=1, starts=2, steps=50, tolerance=1e-9, limit=200
    )
    assert found.settings["steps"] == 200
    assert len(calls) == 1


# adaptive length, and errors that are true


def test_steps_double_until_the_error_is_small_enough() -> None:
    plain = lstm_edge.lyapunov(nets.chaotic(), k=1, starts=2, steps=200)
    assert plain.converged is None
    goal = float(plain.stderr[0]) / 3
    found = lstm_edge.lyapunov(nets.chaotic(), k=1, starts=2, steps=200, tolerance=goal)
    assert found.converged is True
    assert found.stderr[0] <= goal
    steps = found.settings["steps"]
    assert steps in {200 * 2**i for i in range(1, 7)}
    again = lstm_edge.lyapunov(nets.chaotic(), k=1, starts=2, steps=steps)
    np.testing.assert_array_equal(again.per_start, found.per_start)


def test_steps_too_few_for_an_error_are_doubled_too() -> None:
    net = nets.chaotic()
    short = lstm_edge.lyapunov(net, k=1, starts=2, steps=4, interval=4)
    assert np.isnan(short.stderr[0])  # one batch
    found = lstm_edge.lyapunov(
        net, k=1, starts=2, steps=4, interval=4, tolerance=0.1, limit=1000
    )
    assert found.converged is True
    assert found.stderr[0] <= 0.1
    assert found.settings["steps"] > 4


def test_a_limit_ends_the_doubling_and_says_so() -> None:
    found = lstm_edge.lyapunov(
        nets.chaotic(), k=1, starts=2, steps=200, tolerance=1e-9, limit=500
    )
    assert found.converged is False
    assert found.settings["steps"] == 500
    with pytest.raises(
        lstm_edge.UsageError, match="limit: expected an integer from 200"
    ):
        lstm_edge.lyapunov(nets.chaotic(), steps=200, tolerance=1e-9, limit=100)
    with pytest.raises(
        lstm_edge.UsageError, match="tolerance: expected a positive number"
    ):
        lstm_edge.lyapunov(nets.chaotic(), tolerance=-1.0)


def test_two_standard_errors_cover_the_true_exponent_19_times_in_20() -> None:
    net = nets.chaotic()
    truth = lstm_edge.lyapunov(net, k=1, starts=8, steps=100_000, seed=10**6)
    inside = []
    for seed in range(200):
        found = lstm_edge.lyapunov(net, k=1, starts=1, steps=1000, seed=seed)
        inside.append(
            abs(found.exponents[0] - truth.exponents[0]) <= 2 * found.stderr[0]
        )
    # 95 % of 200, give or take what chance does to it
    assert 0.90 <= np.mean(inside) <= 0.98


def test_windows_of_finite_time_average_to_the_exponents() -> None:
    found = lstm_edge.lyapunov(nets.chaotic(), starts=2, steps=320, interval=1)
    assert found.finite_time.shape == (2, 32, 20)
    grown = np.isfinite(found.per_start)
    mean = found.finite_time.mean(axis=1)
    np.testing.assert_allclose(mean[grown], found.per_start[grown], rtol=1e-12)


def test_errors_of_dimension_and_entropy_are_the_spread_over_seeds() -> None:
    def of(seed: int) -> LyapunovSpectrum:
        return lstm_edge.lyapunov(nets.chaotic(), k=6, starts=1, steps=1000, seed=seed)

    runs = [of(seed) for seed in range(60)]
    for name in ("kaplan_yorke_dimension", "ks_entropy"):
        spread = np.std([getattr(run, name) for run in runs])
        told = np.median([getattr(run, f"{name}_stderr") for run in runs])
        # a spread over 60 is known to 9 %, an error from 32 windows to 13 %
        assert 0.6 < told / spread < 1.6, name
