"""The asymptotic distance of Wei et al. 2025."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import lstm_edge
import nets
import reference
from conftest import Arrays, make_arrays
from lstm_edge import _core
from lstm_edge.measures.system import make_regime
from lstm_edge.net.reading import as_weights

FLOOR = math.exp(-15)


def contracting() -> Arrays:
    """A net whose orbits end, bit for bit, on one fixed point."""
    return make_arrays((6,), 3, gain=0.5, seed=1)


def batch(count: int = 5, steps: int = 20) -> Any:
    return np.random.default_rng(2).standard_normal((count, steps, 3))


def torch_distance(steps: int, samples: int, seed: int) -> float:
    """D~ of the chaotic net with float32 nn.LSTM: the protocol as the paper runs it."""
    arrays = nets.chaotic()
    lstm = nn.LSTM(1, 10, batch_first=True)
    lstm.load_state_dict(
        {name: torch.as_tensor(arrays[name]) for name in lstm.state_dict()}
    )
    torch.manual_seed(seed)
    zero = torch.zeros(1, samples, 10)
    inputs = torch.zeros(samples, steps, 1)
    with torch.no_grad():
        _, (h, _) = lstm(inputs, (zero, zero))
        _, (moved, _) = lstm(inputs, (1e-3 * torch.randn(1, samples, 10), zero))
    distance = (moved - h)[0].double().norm(dim=1) + FLOOR
    return float(distance.log().mean())


# ---- order, chaos and what lies between


def test_order_gives_the_floor() -> None:
    found = lstm_edge.asymptotic_distance(contracting(), samples=20)
    assert np.array_equal(found.per_sample, np.full(20, math.log(FLOOR)))
    assert found.value == pytest.approx(-15, abs=1e-12)
    assert found.stderr == 0


@pytest.mark.parametrize("floor", [1e-12, 1e-3, 2.0])
def test_floor_is_what_order_leaves(floor: float) -> None:
    found = lstm_edge.asymptotic_distance(contracting(), samples=4, floor=floor)
    np.testing.assert_allclose(found.value, math.log(floor), rtol=1e-12)


def test_chaos_gives_the_size_of_the_attractor() -> None:
    found = lstm_edge.asymptotic_distance(nets.chaotic(), samples=100)
    assert -1.5 < found.value < 1.5
    assert found.stderr == pytest.approx(
        found.per_sample.std(ddof=1) / math.sqrt(100), rel=1e-12
    )


def test_chaos_gives_the_distance_that_torch_gives() -> None:
    found = lstm_edge.asymptotic_distance(nets.chaotic(), steps=400, samples=100)
    # rounding makes the orbits differ, so the means of 100 independent pairs are
    # compared: the difference has sqrt(2) errors, and 4 of those are allowed
    expected = torch_distance(400, 100, seed=0)
    assert abs(found.value - expected) < 4 * math.sqrt(2) * found.stderr


def test_float32_and_float64_agree_in_the_mean_in_chaos() -> None:
    run: dict[str, Any] = {"steps": 800, "samples": 300}
    single = lstm_edge.asymptotic_distance(nets.chaotic(), **run)
    double = lstm_edge.asymptotic_distance(nets.chaotic(), dtype="float64", **run)
    error = math.hypot(single.stderr, double.stderr)
    assert abs(single.value - double.value) < 4 * error


def test_a_distance_on_a_circle_stays_finite_without_chaos() -> None:
    found = lstm_edge.asymptotic_distance(nets.torus(), samples=50)
    assert -14 < found.value < 1
    assert lstm_edge.lyapunov(nets.torus(), k=1).chaotic_share == 0


def test_order_with_a_lag_leaves_a_distance() -> None:
    # two copies on one cycle, out of step: D~ alone does not tell it from chaos
    arrays = nets.chaotic(seed=11)
    assert lstm_edge.lyapunov(arrays, k=1).phase == "order"
    found = lstm_edge.asymptotic_distance(arrays, samples=50)
    assert found.value > -10


def test_a_small_distance_follows_the_tangent_map() -> None:
    arrays = nets.chaotic()
    found = lstm_edge.asymptotic_distance(
        arrays, steps=25, samples=5, noise=1e-8, floor=1e-30, dtype="float64", seed=3
    )
    net = reference.make_net(arrays)
    for sample in range(5):
        tangent = np.zeros(20)
        tangent[:10] = _core.perturbation(10, 1e-8, 3, sample)
        for _, jacobian in reference.follow(net, np.zeros(20), 25):
            tangent = jacobian @ tangent
        # second order: some e^-13, the distance itself; rounding: 1e-16 / 1e-8
        np.testing.assert_allclose(
            found.per_sample[sample], np.log(np.linalg.norm(tangent[:10])), atol=1e-5
        )


# ---- protocol


def test_sample_s_reads_sequence_s() -> None:
    arrays, inputs = make_arrays((4, 3), 3, gain=2.0), batch()
    run: dict[str, Any] = {"steps": 25, "noise": 0.1, "dtype": "float64"}
    together = lstm_edge.asymptotic_distance(arrays, inputs, samples=3, **run)
    assert together.per_sample.shape == (3,)
    for sample in range(3):
        alone = lstm_edge.asymptotic_distance(arrays, inputs[sample], samples=3, **run)
        assert alone.per_sample[sample] == together.per_sample[sample]
        assert alone.observable[sample] == together.observable[sample]


def test_there_are_no_more_samples_than_sequences() -> None:
    arrays = make_arrays((4,), 3)
    found = lstm_edge.asymptotic_distance(arrays, batch(5), steps=30, samples=500)
    assert found.per_sample.shape == (5,)
    assert found.settings["samples"] == 5
    one = lstm_edge.asymptotic_distance(arrays, batch(1)[0], steps=30, samples=7)
    assert one.per_sample.shape == (7,)


@pytest.mark.parametrize("steps", [1, 7, 20, 33])
def test_steps_counts_those_of_the_inputs(steps: int) -> None:
    arrays, inputs = make_arrays((4, 3), 3), batch()
    found = lstm_edge.asymptotic_distance(
        arrays, inputs, steps=steps, samples=5, dtype="float64"
    )
    walk = lstm_edge.orbit(
        arrays, inputs, steps=steps, starts=5, initial_state=np.zeros((5, 14))
    )
    # the sum of the top layer's three h, in float64 both times
    np.testing.assert_allclose(
        found.observable, walk.hidden[:, -1, -3:].sum(axis=-1), rtol=0, atol=1e-14
    )


@settings(max_examples=20, deadline=None)
@given(
    steps=st.integers(1, 300),
    gain=st.floats(0.2, 2.0),
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_periods_are_left_out_without_changing_a_bit(
    steps: int, gain: float, seed: int, dtype: str
) -> None:
    arrays = make_arrays((3,), 3, gain=gain, seed=seed)
    inputs = batch(3, steps=10)
    short = lstm_edge.asymptotic_distance(
        arrays, inputs, steps=steps, samples=3, dtype=dtype, seed=seed
    )
    ends = []
    for moved in (False, True):
        states = np.zeros((3, 6))
        if moved:
            states[:, :3] = [_core.perturbation(3, 1e-3, seed, s) for s in range(3)]
        walk = lstm_edge.orbit(
            arrays, inputs, steps=steps, initial_state=states, dtype=dtype
        )
        ends.append(np.float64(walk.hidden[:, -1]))
    distance = np.linalg.norm(ends[1] - ends[0], axis=1) + FLOOR
    np.testing.assert_allclose(short.per_sample, np.log(distance), rtol=1e-12)
    np.testing.assert_allclose(
        short.observable, ends[0].sum(axis=-1), rtol=0, atol=1e-14
    )


def test_a_cycle_is_left_at_the_right_phase() -> None:
    arrays = nets.cycle()
    walk = lstm_edge.orbit(arrays, steps=1001, initial_state=[0.0, 0.0])
    for steps in (998, 999, 1000, 1001):
        found = lstm_edge.asymptotic_distance(
            arrays, steps=steps, samples=2, noise=0.1, dtype="float64"
        )
        # h = 0 is an unstable fixed point, the unperturbed copy stays there
        assert found.observable[0] == walk.hidden[0, steps - 1, 0] == 0
        np.testing.assert_allclose(found.value, math.log(0.549190), atol=1e-5)


def test_perturbations_are_gaussian_and_fixed_by_the_seed() -> None:
    many = np.array([_core.perturbation(50, 1e-3, 4, s) for s in range(200)])
    # 10,000 numbers: the deviation is known to 0.7 %, the mean to 1 % of it
    assert many.std() == pytest.approx(1e-3, rel=0.03)
    assert abs(many.mean()) < 4e-5
    assert np.array_equal(many[7], _core.perturbation(50, 1e-3, 4, 7))
    assert not np.array_equal(many[7], _core.perturbation(50, 1e-3, 5, 7))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_threads_vector_unit_or_samples(dtype: str) -> None:
    arrays = make_arrays((5, 4), 3, gain=4.0)
    regime = make_regime(as_weights(arrays), batch(40), dtype=dtype)
    run: dict[str, Any] = {"steps": 120, "noise": 1e-3, "floor": FLOOR, "seed": 1}

    def distances(samples: int = 40, **options: Any) -> Any:
        return np.array(
            _core.asymptotic_distance(
                regime.map, regime.sequences, samples=samples, **run, **options
            )
        )

    expected = distances(threads=1)
    for threads in (2, 3):
        assert np.array_equal(distances(threads=threads), expected)
    for unit in _core.vector_units():
        assert np.array_equal(distances(vector_unit=unit), expected)
    for samples in (1, 3, 17):
        assert np.array_equal(distances(samples), expected[:, :samples])


@pytest.mark.parametrize("precision", [1e-9, 0.0025, 0.035, 0.04, 5.0])
@pytest.mark.parametrize(
    "arrays",
    [contracting(), nets.chaotic(), nets.torus()],
    ids=["order", "chaos", "torus"],
)
def test_precision_takes_the_first_samples_that_are_enough(
    arrays: Arrays, precision: float
) -> None:
    run: dict[str, Any] = {"steps": 400, "samples": 300}
    whole = lstm_edge.asymptotic_distance(arrays, **run).per_sample
    found = lstm_edge.asymptotic_distance(arrays, precision=precision, **run)
    looks = [128, 256, 300]
    errors = [whole[:n].std(ddof=1) / math.sqrt(n) for n in looks]
    enough = [n for n, e in zip(looks, errors, strict=True) if e <= precision]
    expected = whole[: min(enough, default=300)]
    assert np.array_equal(found.per_sample, expected)
    assert found.value == expected.mean()
    assert found.stderr == expected.std(ddof=1) / math.sqrt(len(expected))


def test_precision_gives_the_mean_within_its_error() -> None:
    """Looking again and again must not make the error that is told too small."""
    off = []
    for seed in range(60):
        run: dict[str, Any] = {"steps": 200, "seed": seed, "samples": 2000}
        found = lstm_edge.asymptotic_distance(nets.chaotic(), precision=0.042, **run)
        off.append((found.value, found.stderr, len(found.per_sample)))
    values, errors, taken = np.array(off).T
    assert taken.max() < 2000
    truth = lstm_edge.asymptotic_distance(nets.chaotic(), steps=200, samples=20_000)
    scores = (values - truth.value) / np.hypot(errors, truth.stderr)
    # of 60 scores of a normal law, the mean square has a deviation of 0.18
    assert 0.4 < np.mean(scores**2) < 1.6


def test_one_sample_has_no_error() -> None:
    found = lstm_edge.asymptotic_distance(nets.chaotic(), samples=1, steps=50)
    assert math.isnan(found.stderr)
    assert math.isfinite(found.value)


def test_the_result_is_plain_data() -> None:
    run: dict[str, Any] = {"samples": np.int64(3), "steps": np.int64(50)}
    found = lstm_edge.asymptotic_distance(nets.chaotic(), **run)
    plain = found.to_dict()
    assert plain["value"] == found.value
    assert plain["per_sample"] == found.per_sample.tolist()
    assert plain["settings"]["steps"] == 50
    json.dumps(plain)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_near_overflow_are_survived(dtype: str) -> None:
    huge = np.finfo(dtype).max * 0.9
    arrays = {
        name: np.sign(array) * np.asarray(huge, dtype)
        for name, array in make_arrays((4,), 3).items()
    }
    found = lstm_edge.asymptotic_distance(arrays, batch(), steps=30, dtype=dtype)
    assert np.all(np.isfinite(found.per_sample))


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("steps", {"steps": 0}),
        ("samples", {"samples": 0}),
        ("precision", {"precision": 0.0}),
        ("noise", {"noise": 0.0}),
        ("noise", {"noise": -1.0}),
        ("noise", {"noise": math.nan}),
        ("floor", {"floor": 0.0}),
        ("floor", {"floor": math.inf}),
        ("dtype", {"dtype": "half"}),
        ("seed", {"seed": -1}),
        ("threads", {"threads": 0}),
        ("inputs", {"inputs": np.zeros((5, 4))}),
        ("inputs", {"inputs": np.full((5, 3), math.nan)}),
    ],
)
def test_an_argument_that_cannot_work_is_named_in_one_line(
    field: str, options: dict[str, Any]
) -> None:
    with pytest.raises(lstm_edge.UsageError, match=field) as caught:
        lstm_edge.asymptotic_distance(make_arrays((4,), 3), **options)
    assert "\n" not in str(caught.value)
