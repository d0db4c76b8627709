"""Every measure for every cell; where the answer is known, against it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lstm_edge
import reference
from conftest import Arrays, make_arrays
from lstm_edge.files.safetensors import write_checkpoint
from lstm_edge.measures.orbits import Orbit

MODULES: dict[str, Callable[[], nn.Module]] = {
    "lstm projected": lambda: nn.LSTM(3, 6, 2, proj_size=4),
    "gru": lambda: nn.GRU(3, 6, 2),
    "rnn_tanh": lambda: nn.RNN(3, 6, 2),
    "rnn_relu": lambda: nn.RNN(3, 6, 2, nonlinearity="relu"),
    "lstm cell": lambda: nn.LSTMCell(3, 6),
    "gru cell": lambda: nn.GRUCell(3, 6),
}


@pytest.fixture(params=MODULES)
def model(request: pytest.FixtureRequest) -> Any:
    """A net fresh from PyTorch (so in order), with a readout and an embedding."""
    torch.manual_seed(2)
    net = MODULES[request.param]()
    outputs = 4 if request.param == "lstm projected" else 6
    parts = {"net": net, "head": nn.Linear(outputs, 3), "embedding": nn.Embedding(9, 3)}
    return nn.ModuleDict(parts)


@pytest.mark.parametrize("closed_loop", [False, True])
def test_measures_agree_at_the_fixed_point(model: Any, closed_loop: bool) -> None:
    loop: dict[str, Any] = {"closed_loop": closed_loop}
    found = lstm_edge.attractors(model, starts=6, **loop)
    assert found.phase == "order"
    points = lstm_edge.fixed_points(model, starts=8, **loop)
    distance = np.abs(points.states[:, None] - found.states[0]).max(axis=-1).min()
    assert distance < 1e-9  # of the tolerance of the attractor, shrunk on the way
    nearest = int(np.abs(points.states - found.states[0]).max(axis=-1).argmin())
    # there the exponents are the logarithms of the multipliers, all n of them
    spectrum = lstm_edge.lyapunov(
        model, steps=4000, transient=1000, starts=2, interval=1, **loop
    )
    size = np.abs(points.multipliers[nearest])
    finite = np.isfinite(spectrum.exponents) & (size > 1e-6)
    # a pair that turns shares its growth only on average over the steps
    np.testing.assert_allclose(
        spectrum.exponents[finite], np.log(size[finite]), rtol=0, atol=5e-3
    )
    assert finite.sum() >= 2
    vectors = lstm_edge.covariant_vectors(model, k=2, steps=200, **loop)
    np.testing.assert_allclose(
        np.sort(vectors.exponents), np.sort(spectrum.exponents[:2]), rtol=0, atol=0.02
    )
    walk = lstm_edge.orbit(model, steps=1, initial_state=found.states[0], **loop)
    parts = np.split(found.states[0], np.cumsum(sizes(walk))[:-1])
    np.testing.assert_allclose(
        walk.hidden[0, 0], np.concatenate(parts[0::2]), atol=1e-9
    )
    np.testing.assert_allclose(walk.cell[0, 0], np.concatenate(parts[1::2]), atol=1e-9)


def sizes(walk: Orbit) -> list[int]:
    pairs = zip(walk.hidden_sizes, walk.cell_sizes, strict=True)
    return [size for pair in pairs for size in pair]


def test_distance_is_the_floor_in_order(model: Any) -> None:
    inputs = np.random.default_rng(0).standard_normal((5, 20, 3))
    found = lstm_edge.asymptotic_distance(model, inputs, dtype="float64")
    np.testing.assert_allclose(found.per_sample, -15.0, atol=1e-6)


def test_tokens_give_the_bits_of_their_embedding(model: Any) -> None:
    tokens = np.random.default_rng(3).integers(0, 9, (4, 7))
    embedded = model["embedding"].weight.detach().numpy()[tokens]
    for steps in (5, 12):
        found, expected = (
            lstm_edge.orbit(model, inputs, steps=steps, starts=6)
            for inputs in (tokens, embedded)
        )
        np.testing.assert_array_equal(found.hidden, expected.hidden)
        np.testing.assert_array_equal(found.cell, expected.cell)


def random_net(cell: str, gain: float) -> Arrays:
    """Thirty units with strong or weak coupling, and weak biases."""
    arrays = make_arrays((30,), 2, outputs=2, gain=gain, seed=5, cell=cell)
    for kind in ("bias_ih_l0", "bias_hh_l0"):
        arrays[kind] /= gain
    return arrays


MODULE = {"gru_reset_before": "(reset before)", "rnn_relu": "(relu)"}


@pytest.mark.parametrize("cell", ["gru", "gru_reset_before", "rnn_tanh"])
def test_strong_coupling_is_chaos_by_every_measure(cell: str) -> None:
    arrays, module = random_net(cell, 6.0), MODULE.get(cell)
    spectrum = lstm_edge.lyapunov(arrays, k=2, steps=10_000, module=module)
    assert spectrum.phase == "chaos"
    assert lstm_edge.attractors(arrays, starts=8, module=module).phase == "chaos"
    assert lstm_edge.asymptotic_distance(arrays, samples=50, module=module).value > -5


@pytest.mark.parametrize("gain", [0.5, 3.0])
@pytest.mark.parametrize("cell", ["lstm", "gru", "gru_reset_before", "rnn_tanh"])
def test_all_exponents_sum_to_the_mean_of_ln_det(cell: str, gain: float) -> None:
    arrays = random_net(cell, gain)
    net = reference.make_net(arrays, cell=cell)
    state = np.random.default_rng(1).uniform(-1, 1, net.dimension)
    found = lstm_edge.lyapunov(
        arrays,
        steps=20,
        transient=0,
        starts=1,
        initial_state=state,
        interval=1,
        asymptotic=False,
        module=MODULE.get(cell),
    )
    expected = reference.mean_log_determinant(net, state, steps=20)
    assert found.contraction == pytest.approx(expected, rel=1e-9)


def test_relu_without_bound_is_a_phase_of_its_own() -> None:
    arrays = random_net("rnn_relu", 3.0)
    run: dict[str, Any] = {"module": "(relu)"}
    spectrum = lstm_edge.lyapunov(arrays, starts=4, k=2, **run)
    assert np.isnan(spectrum.per_start).all()
    assert spectrum.phase == "unknown"
    assert lstm_edge.attractors(arrays, starts=4, **run).phase == "unknown"
    assert np.isnan(lstm_edge.asymptotic_distance(arrays, samples=4, **run).value)


def test_relu_has_an_exponent_of_minus_infinity_for_each_shut_unit() -> None:
    arrays = random_net("rnn_relu", 0.5)
    last = lstm_edge.orbit(arrays, steps=1, transient=500, module="(relu)").hidden[0, 0]
    shut = int((last == 0).sum())
    assert 0 < shut < 30
    spectrum = lstm_edge.lyapunov(arrays, steps=200, transient=500, module="(relu)")
    assert np.isneginf(spectrum.exponents).sum() == shut
    assert spectrum.phase == "order"


def test_initial_state_says_its_order(model: Any) -> None:
    with pytest.raises(lstm_edge.UsageError, match=r"in the order \(h_1, [ch]_[12]"):
        lstm_edge.orbit(model, steps=1, initial_state=np.zeros(3))


def test_a_folder_of_grus_is_swept(tmp_path: Path) -> None:
    for update, gain in enumerate((0.5, 0.5, 6.0, 6.0)):
        write_checkpoint(
            tmp_path / f"{update}.safetensors", random_net("gru", gain), {}
        )
    settings = {"lyapunov": {"steps": 500, "transient": 200, "starts": 2}}
    sweep = lstm_edge.analyze(tmp_path, settings=settings)
    assert list(sweep.to_pandas()["phase"]) == ["order", "order", "chaos", "chaos"]
