"""Small LSTMs with one input whose long-term motion is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conftest import Arrays
from lstm_edge import _core
from lstm_edge.measures.orbits import orbit
from lstm_edge.measures.system import make_regime
from lstm_edge.net.reading import as_weights
from lstm_edge.net.weights import Weights


def gated(
    recurrent: ArrayLike,
    *,
    i: ArrayLike = 2.0,
    f: ArrayLike = 0.0,
    g: ArrayLike = 0.0,
    o: ArrayLike = 2.0,
) -> Arrays:
    """One layer with gates held by their biases; `recurrent` (H, H) acts on g alone.

    c' = f c + i tanh(W h + b_g), h' = o tanh(c'): the Jacobian has rank H.
    """
    weights = np.atleast_2d(np.asarray(recurrent, np.float64))
    hidden = len(weights)
    weight_hh = np.zeros((4 * hidden, hidden))
    weight_hh[2 * hidden : 3 * hidden] = weights
    biases = [np.broadcast_to(np.asarray(b, np.float64), hidden) for b in (i, f, g, o)]
    return {
        "weight_ih_l0": np.zeros((4 * hidden, 1)),
        "weight_hh_l0": weight_hh,
        "bias_ih_l0": np.concatenate(biases),
        "bias_hh_l0": np.zeros(4 * hidden),
        "readout_weight": np.zeros((1, hidden)),
        "readout_bias": np.zeros(1),
    }


def cycle() -> Arrays:
    """h' is near -tanh(3 h): a stable cycle of period 2, h = -+0.549."""
    return gated([[-3.0]], f=-2.0)


def torus() -> Arrays:
    """Two units turned by the golden angle and stretched: an attracting circle."""
    angle = np.pi * (np.sqrt(5) - 1)
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return gated(1.5 * np.array(turn), i=3.0, f=-3.0, o=3.0)


def chaotic(hidden: int = 10, seed: int = 0) -> Arrays:
    """Strong random coupling; seed 0 gives one attractor, with exponent 0.095."""
    random = np.random.default_rng(seed)
    coupling = random.standard_normal((hidden, hidden))
    return gated(6 / np.sqrt(hidden) * coupling, g=random.standard_normal(hidden))


def permuted(arrays: Arrays, order: ArrayLike) -> Arrays:
    """Rename the hidden units of a net of one layer."""
    units = np.asarray(order)
    rows = np.concatenate([gate * len(units) + units for gate in range(4)])
    changed = {name: array[rows] for name, array in arrays.items() if "_l0" in name}
    changed["weight_hh_l0"] = changed["weight_hh_l0"][:, units]
    changed["readout_weight"] = arrays["readout_weight"][:, units]
    changed["readout_bias"] = arrays["readout_bias"]
    return changed


def columns(arrays: Arrays, inputs: Any = None, **options: Any) -> NDArray[np.float64]:
    """Exponents (starts, k) in the order of the frame, straight from the core."""
    defaults: dict[str, Any] = {"steps": 50, "transient": 0, "starts": 1, "seed": 0}
    defaults |= {"interval": 1, "initial_state": None, "asymptotic": False}
    options = defaults | options
    dtype = options.pop("dtype", "float64")
    regime = make_regime(as_weights(arrays), inputs, dtype=dtype)
    return _core.lyapunov(
        regime.map, regime.sequences, at_rest=regime.at_rest, **options
    )[0]


def top_states(weights: Weights, inputs: Any) -> Any:
    """Hidden states (T, H) of the top layer, from rest."""
    rest = np.zeros(weights.state_size)
    walk = orbit(weights, inputs, steps=len(inputs), initial_state=rest)
    return walk.hidden[0, :, -weights.hidden_sizes[-1] :]
