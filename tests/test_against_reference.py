"""PyTorch, the slow NumPy twin and the core against each other, in every regime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import lstm_edge
import reference
from conftest import Arrays, make_arrays
from lstm_edge import _core

STEPS = 30
INPUTS = 3
SIZES = [(6,), (5, 3), (3, 5, 2)]  # one to three layers, wider and narrower upwards

# Sums of some ten terms are rounded in another order, and 30 steps of tame nets
# hardly amplify it: 1e-12 is three digits above what is seen.
STATE = 1e-12
# The promise of the project; seen is 3e-13.
EXPONENT = 1e-9

Regime = tuple[Any, dict[str, Any]]


def drive(seed: int = 3) -> Any:
    return np.random.default_rng(seed).standard_normal((STEPS, INPUTS))


REGIMES: dict[str, Callable[[], Regime]] = {
    "zero": lambda: (None, {}),
    "constant": lambda: (drive()[0], {}),
    "driven": lambda: (drive(), {}),
    "driven then zero": lambda: (drive()[: STEPS // 3], {}),
    "closed loop": lambda: (None, {"closed_loop": True}),
}


@pytest.fixture(params=SIZES, ids=str)
def arrays(request: pytest.FixtureRequest) -> Arrays:
    return make_arrays(request.param, INPUTS, outputs=INPUTS, gain=1.5, seed=1)


@pytest.fixture(params=REGIMES)
def regime(request: pytest.FixtureRequest) -> Regime:
    return REGIMES[request.param]()


def random_state(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-1, 1, n)


# ---- the twin against PyTorch


class TorchMap:
    """The state map as a chain of nn.LSTMCell."""

    def __init__(self, arrays: Arrays, net: reference.Net) -> None:
        self.net = net
        self.cells = []
        for i, layer in enumerate(net.layers):
            rows, inputs = layer.weight_ih.shape
            cell = nn.LSTMCell(inputs, rows // 4).double()
            parameters = {
                kind: torch.as_tensor(arrays[f"{kind}_l{i}"])
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            }
            cell.load_state_dict(parameters)
            self.cells.append(cell.requires_grad_(False))

    def step(self, t: int, state: Tensor) -> Tensor:
        sizes = [size for size in self.net.hidden_sizes for _ in range(2)]
        old = torch.split(state, sizes)
        if self.net.readout is not None:
            weight, bias = map(torch.as_tensor, self.net.readout)
            x = weight @ old[-2] + bias
        else:
            x = torch.as_tensor(reference.input_at(self.net, t, np.zeros(0)))
        new: list[Tensor] = []
        for i, cell in enumerate(self.cells):
            new += cell(x, (old[2 * i], old[2 * i + 1]))
            x = new[-2]
        return torch.cat(new)


def test_twin_steps_as_a_chain_of_lstm_cells(arrays: Arrays, regime: Regime) -> None:
    net = reference.make_net(arrays, regime[0], **regime[1])
    torch_map = TorchMap(arrays, net)
    state = torch.as_tensor(random_state(net.dimension))
    found = reference.orbit(net, state.numpy(), STEPS)
    for t in range(STEPS):
        state = torch_map.step(t, state)
        np.testing.assert_allclose(found[t], state, rtol=0, atol=STATE)


def test_twin_jacobian_is_autograds(arrays: Arrays, regime: Regime) -> None:
    net = reference.make_net(arrays, regime[0], **regime[1])
    torch_map = TorchMap(arrays, net)
    for t in range(4):
        state = random_state(net.dimension, seed=t)
        expected = torch.func.jacrev(torch_map.step, argnums=1)(
            t, torch.as_tensor(state)
        )
        _, found = reference.step_and_jacobian(net, t, state)
        np.testing.assert_allclose(found, expected, rtol=0, atol=STATE)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_twin_and_core_walk_as_nn_lstm(layers: int) -> None:
    torch.manual_seed(layers)
    lstm = nn.LSTM(INPUTS, 7, num_layers=layers, batch_first=True).double()
    inputs = torch.randn(2, STEPS, INPUTS, dtype=torch.float64)
    with torch.no_grad():
        top, (hidden, cell) = lstm(inputs)
    arrays = {name: value.detach().numpy() for name, value in lstm.named_parameters()}
    arrays |= {"readout_weight": np.zeros((1, 7)), "readout_bias": np.zeros(1)}
    core = lstm_edge.orbit(lstm, inputs, steps=STEPS, starts=2)
    np.testing.assert_allclose(core.hidden[..., -7:], top, rtol=0, atol=STATE)
    for s in range(2):
        net = reference.make_net(arrays, inputs[s])
        states = reference.orbit(net, np.zeros(net.dimension), STEPS)
        pieces = reference.parts(net, states[-1])
        for layer in range(layers):
            np.testing.assert_allclose(
                pieces[2 * layer], hidden[layer, s], rtol=0, atol=STATE
            )
            np.testing.assert_allclose(
                pieces[2 * layer + 1], cell[layer, s], rtol=0, atol=STATE
            )


def test_twin_jacobian_is_the_central_difference_in_every_regime() -> None:
    arrays = make_arrays((4, 3), INPUTS, outputs=INPUTS, gain=1.5)
    for make in REGIMES.values():
        inputs, options = make()
        net = reference.make_net(arrays, inputs, **options)
        state = random_state(net.dimension)
        _, jacobian = reference.step_and_jacobian(net, 2, state)
        for i, direction in enumerate(np.eye(net.dimension)):
            ahead, behind = (
                reference.step_and_jacobian(net, 2, state + e * direction)[0]
                for e in (1e-5, -1e-5)
            )
            # error e^2 of the difference and eps / e of rounding: both some 1e-10
            np.testing.assert_allclose(
                jacobian[:, i], (ahead - behind) / 2e-5, rtol=0, atol=1e-8
            )


# ---- the core against the twin


def test_orbit_is_the_twins(arrays: Arrays, regime: Regime) -> None:
    inputs, options = regime
    net = reference.make_net(arrays, inputs, **options)
    state = random_state(net.dimension)
    expected = reference.orbit(net, state, STEPS)
    found = lstm_edge.orbit(arrays, inputs, steps=STEPS, initial_state=state, **options)
    pieces = [reference.parts(net, row) for row in expected]
    hidden = [np.concatenate(row[0::2]) for row in pieces]
    cell = [np.concatenate(row[1::2]) for row in pieces]
    np.testing.assert_allclose(found.hidden[0], hidden, rtol=0, atol=STATE)
    np.testing.assert_allclose(found.cell[0], cell, rtol=0, atol=STATE)


# within two steps the directions grow apart by up to e^20, and R_ii loses that much of
# its 16 digits: the twin's error as much as the core's
@pytest.mark.parametrize(("interval", "tolerance"), [(1, EXPONENT), (2, 1e-7)])
@pytest.mark.parametrize("transient", [0, 9])
def test_exponents_are_the_twins(
    arrays: Arrays, regime: Regime, transient: int, interval: int, tolerance: float
) -> None:
    inputs, options = regime
    if inputs is not None and inputs.ndim == 2 and len(inputs) < STEPS:
        transient = max(transient, len(inputs))  # exponents of one regime at a time
    steps = STEPS - transient
    net = reference.make_net(arrays, inputs, **options)
    n = net.dimension
    states = np.array([random_state(n, seed) for seed in range(2)])
    found = lstm_edge.lyapunov(
        arrays,
        inputs,
        steps=steps,
        transient=transient,
        initial_state=states,
        interval=interval,
        seed=5,
        **options,
    )
    expected = [
        reference.exponents(
            net,
            state,
            _core.tangent_frame(n, n, 5, start),
            steps=steps,
            transient=transient,
            interval=interval,
        )
        for start, state in enumerate(states)
    ]
    order = np.argsort(-np.mean(expected, axis=0))
    np.testing.assert_allclose(
        found.per_start, np.array(expected)[:, order], rtol=tolerance
    )
    np.testing.assert_allclose(
        found.exponents, np.mean(expected, axis=0)[order], rtol=tolerance
    )


def test_exponents_of_a_batch_are_the_twins(arrays: Arrays) -> None:
    batch = np.array([drive(seed) for seed in range(3)])
    found = lstm_edge.lyapunov(
        arrays, batch, k=3, steps=20, transient=10, starts=3, interval=1, seed=5
    )
    for start in range(3):
        net = reference.make_net(arrays, batch[start])
        n = net.dimension
        expected = reference.exponents(
            net,
            np.zeros(n),
            _core.tangent_frame(n, 3, 5, start),
            steps=20,
            transient=10,
        )
        np.testing.assert_allclose(
            np.sort(found.per_start[start]), np.sort(expected), rtol=EXPONENT
        )


@pytest.mark.parametrize("name", [name for name in REGIMES if name != "closed loop"])
def test_distances_are_the_twins(arrays: Arrays, name: str) -> None:
    inputs, _ = REGIMES[name]()
    found = lstm_edge.asymptotic_distance(
        arrays, inputs, steps=STEPS, samples=3, noise=0.1, dtype="float64", seed=9
    )
    net = reference.make_net(arrays, inputs)
    for sample in range(3):
        delta = _core.perturbation(sum(net.hidden_sizes), 0.1, 9, sample)
        expected = reference.log_distance(net, delta, steps=STEPS, floor=np.exp(-15))
        # D is known to some 1e-15 and not less than exp(-15) = 3e-7
        np.testing.assert_allclose(
            found.per_sample[sample], expected, rtol=0, atol=1e-8
        )


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    inputs=st.integers(1, 4),
    gain=st.floats(0.1, 3.0),
    seed=st.integers(0, 2**32),
    closed_loop=st.booleans(),
)
def test_exponents_are_the_twins_for_any_net(
    sizes: list[int], inputs: int, gain: float, seed: int, closed_loop: bool
) -> None:
    arrays = make_arrays(sizes, inputs, outputs=inputs, gain=gain, seed=seed)
    net = reference.make_net(arrays, closed_loop=closed_loop)
    n = net.dimension
    state = random_state(n, seed)
    expected = reference.exponents(
        net, state, _core.tangent_frame(n, n, seed, 0), steps=10
    )
    found = lstm_edge.lyapunov(
        arrays,
        steps=10,
        transient=0,
        initial_state=state,
        starts=1,
        interval=1,
        closed_loop=closed_loop,
        seed=seed,
    )
    # R_ii carries an error of some n eps |column|, and |column| is at most |J|: in ten
    # steps a contraction of e^-15 a step is still known to 1e-9
    resolved = expected > -15
    assert resolved.any()
    np.testing.assert_allclose(
        np.sort(found.exponents[found.exponents > -15]),
        np.sort(expected[resolved]),
        rtol=EXPONENT,
        atol=EXPONENT,
    )
