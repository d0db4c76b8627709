"""Nets written by hand, whose gates have arrays of their own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import Arrays
from lstm_edge.errors import CheckpointError
from lstm_edge.measures.orbits import orbit
from lstm_edge.net.reading import as_weights

X, H = 3, 5
State = tuple[NDArray[np.float64], ...]


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def drawn(**shapes: tuple[int, ...]) -> Arrays:
    random = np.random.default_rng(4)
    return {name: random.standard_normal(shape) for name, shape in shapes.items()}


def lstm(a: Callable[[str], NDArray[np.float64]], state: State) -> State:
    h, c = np.split(state[0], 2)
    del h
    i, f, o = (sigmoid(a(gate)) for gate in "ifo")
    c = f * c + i * np.tanh(a("c"))
    return (np.concatenate([o * np.tanh(c), c]),)


def by_columns() -> tuple[Arrays, Callable[..., State]]:
    """x U + h V + b, as the best known tutorial for PyTorch has it."""
    net = drawn(
        **{f"U_{g}": (X, H) for g in "ifco"},
        **{f"V_{g}": (H, H) for g in "ifco"},
        **{f"b_{g}": (H,) for g in "ifco"},
    )

    def step(x: NDArray[np.float64], state: State) -> State:
        h = state[0][:H]
        return lstm(
            lambda g: x @ net[f"U_{g}"] + h @ net[f"V_{g}"] + net[f"b_{g}"], state
        )

    return net, step


def together() -> tuple[Arrays, Callable[..., State]]:
    """W (h, x) + b with biases in columns, as most nets in NumPy have it."""
    net = drawn(
        **{f"W{g}": (H, H + X) for g in "fico"}, **{f"b{g}": (H, 1) for g in "fico"}
    )

    def step(x: NDArray[np.float64], state: State) -> State:
        both = np.concatenate([state[0][:H], x])
        return lstm(lambda g: net[f"W{g}"] @ both + net[f"b{g}"][:, 0], state)

    return net, step


def layers() -> tuple[Arrays, Callable[..., State]]:
    """Linear layers for the inputs, with biases, and for the state, without."""
    net = drawn(
        **{f"cell.W_x{g}.weight": (H, X) for g in "ifgo"},
        **{f"cell.W_x{g}.bias": (H,) for g in "ifgo"},
        **{f"cell.W_h{g}.weight": (H, H) for g in "ifgo"},
    )

    def step(x: NDArray[np.float64], state: State) -> State:
        h = state[0][:H]

        def a(gate: str) -> NDArray[np.float64]:
            g = gate.replace("c", "g")
            inputs = net[f"cell.W_x{g}.weight"] @ x + net[f"cell.W_x{g}.bias"]
            return np.asarray(inputs + net[f"cell.W_h{g}.weight"] @ h)

        return lstm(a, state)

    return net, step


def gru() -> tuple[Arrays, Callable[..., State]]:
    """The reset before the product, z the share of the old state."""
    net = drawn(
        **{f"W_x{g}": (X, H) for g in "zrh"},
        **{f"W_h{g}": (H, H) for g in "zrh"},
        **{f"b_{g}": (H,) for g in "zrh"},
    )

    def step(x: NDArray[np.float64], state: State) -> State:
        (h,) = state

        def a(g: str, h: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(x @ net[f"W_x{g}"] + h @ net[f"W_h{g}"] + net[f"b_{g}"])

        z, r = sigmoid(a("z", h)), sigmoid(a("r", h))
        return (z * h + (1 - z) * np.tanh(a("h", r * h)),)

    return net, step


def gru_of_pytorch() -> tuple[Arrays, Callable[..., State]]:
    """PyTorch's formula as linear layers, those of the state first."""
    net = drawn(
        **{f"W_h{g}.weight": (H, H) for g in "rzn"},
        **{f"W_h{g}.bias": (H,) for g in "rzn"},
        **{f"W_i{g}.weight": (H, X) for g in "rzn"},
        **{f"W_i{g}.bias": (H,) for g in "rzn"},
    )

    def step(x: NDArray[np.float64], state: State) -> State:
        (h,) = state
        i, s = (
            {g: net[f"W_{k}{g}.weight"] @ v + net[f"W_{k}{g}.bias"] for g in "rzn"}
            for k, v in (("i", x), ("h", h))
        )
        r, z = sigmoid(i["r"] + s["r"]), sigmoid(i["z"] + s["z"])
        return (z * h + (1 - z) * np.tanh(i["n"] + r * s["n"]),)

    return net, step


def elman() -> tuple[Arrays, Callable[..., State]]:
    """Karpathy's net of characters."""
    net = drawn(Wxh=(H, X), Whh=(H, H), bh=(H, 1), Why=(X, H), by=(X, 1))

    def step(x: NDArray[np.float64], state: State) -> State:
        return (np.tanh(net["Wxh"] @ x + net["Whh"] @ state[0] + net["bh"][:, 0]),)

    return net, step


@pytest.mark.parametrize(
    "way", [by_columns, together, layers, gru, gru_of_pytorch, elman]
)
def test_the_map_is_that_of_the_net(
    way: Callable[[], tuple[Arrays, Callable[..., State]]],
) -> None:
    net, step = way()
    weights = as_weights(net)
    assert (weights.input_size, weights.hidden_sizes) == (X, (H,))
    assert weights.assumed  # the names alone do not tell all of it
    inputs = np.random.default_rng(1).standard_normal((7, X))
    start = np.random.default_rng(2).uniform(-0.5, 0.5, weights.state_size)
    state: State = (start,)
    path = []
    for x in inputs:
        state = step(x, state)
        path.append(state[0])
    found = orbit(weights, inputs=inputs, steps=7, initial_state=start)
    states = np.concatenate([found.hidden, found.cell], axis=-1).reshape(7, -1)
    np.testing.assert_allclose(states, path, atol=1e-12)


def test_the_readout_of_a_net_written_by_hand_is_found() -> None:
    net, _ = elman()
    readout = as_weights(net).readout
    assert readout is not None
    np.testing.assert_array_equal(readout[0], net["Why"])
    np.testing.assert_array_equal(readout[1], net["by"][:, 0])


@pytest.mark.parametrize(
    "net",
    [
        drawn(**{f"W{g}": (H, H) for g in "fico"}),  # nothing left for inputs
        drawn(**{f"W{g}": (H, H + X) for g in "fco"}),  # a gate is missing
        drawn(**{f"W{g}": (H, H + X) for g in "fic"}, Wo=(H, X)),
        drawn(W_q=(H, H), W_k=(H, H), W_v=(H, H), W_o=(H, H)),  # attention
    ],
)
def test_arrays_that_do_not_fit_are_no_net(net: Arrays) -> None:
    with pytest.raises(CheckpointError, match="no LSTM, GRU or RNN found"):
        as_weights(net)
