"""A slow twin of the core in plain NumPy, float64: one trajectory, dense Jacobian.

It shares no code with the core and is written to be read next to docs/theory.md. The
state is s = (h_1, c_1, ..., h_L, c_L), of dimension n = 2 * sum(H).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def sigmoid(z: Array) -> Array:
    """Logistic function; half a tanh, so that no exponential overflows."""
    return 0.5 * (1.0 + np.tanh(0.5 * z))


@dataclass(frozen=True, eq=False)
class Layer:
    """One LSTM layer, rows in the gate order i, f, g, o."""

    weight_ih: Array
    weight_hh: Array
    bias: Array


@dataclass(frozen=True, eq=False)
class Net:
    """An LSTM in one input regime.

    `inputs` is None (zero), (I,) (constant) or (T, I) (driven, then zero); `readout` is
    the (R, r) of a closed loop, whose input is R h_L + r of the state before.
    """

    layers: tuple[Layer, ...]
    inputs: Array | None = None
    readout: tuple[Array, Array] | None = None

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        return tuple(layer.weight_hh.shape[1] for layer in self.layers)

    @property
    def dimension(self) -> int:
        return 2 * sum(self.hidden_sizes)


def make_net(
    arrays: Mapping[str, Any],
    inputs: ArrayLike | None = None,
    *,
    closed_loop: bool = False,
) -> Net:
    """Take a net from arrays in PyTorch's names, without a prefix."""
    double = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    count = sum(name.startswith("weight_hh_l") for name in double)
    layers = tuple(
        Layer(
            double[f"weight_ih_l{i}"],
            double[f"weight_hh_l{i}"],
            double[f"bias_ih_l{i}"] + double[f"bias_hh_l{i}"],
        )
        for i in range(count)
    )
    drive = None if inputs is None else np.asarray(inputs, np.float64)
    readout = (double["readout_weight"], double["readout_bias"])
    return Net(layers, drive, readout if closed_loop else None)


def parts(net: Net, state: Array) -> list[Array]:
    """Cut a state, or the rows of a matrix, into h_1, c_1, ..., h_L, c_L."""
    sizes = [size for size in net.hidden_sizes for _ in range(2)]
    return np.split(state, np.cumsum(sizes)[:-1])


def input_at(net: Net, t: int, state: Array) -> Array:
    """Input x that the lowest layer reads at step t."""
    if net.readout is not None:
        weight, bias = net.readout
        return weight @ parts(net, state)[-2] + bias
    if net.inputs is not None and net.inputs.ndim == 1:
        return net.inputs
    if net.inputs is not None and t < len(net.inputs):
        return np.asarray(net.inputs[t], np.float64)
    return np.zeros(net.layers[0].weight_ih.shape[1])


def step_and_jacobian(net: Net, t: int, state: Array) -> tuple[Array, Array]:
    """Next state (n,), and its derivative (n, n) with respect to the state.

    The derivative is carried through the same lines as the state: `dx` and the like
    are matrices, one column a component of the old state.
    """
    old, columns = parts(net, state), parts(net, np.eye(net.dimension))
    x, dx = input_at(net, t, state), np.zeros((0, net.dimension))
    if net.readout is not None:
        dx = net.readout[0] @ columns[-2]
    new, rows = [], []
    for i, layer in enumerate(net.layers):
        h, c, dh, dc = old[2 * i], old[2 * i + 1], columns[2 * i], columns[2 * i + 1]
        z = layer.weight_ih @ x + layer.weight_hh @ h + layer.bias
        dz = layer.weight_hh @ dh + (layer.weight_ih @ dx if len(dx) else 0.0)
        z_i, z_f, z_g, z_o = np.split(z, 4)
        dz_i, dz_f, dz_g, dz_o = np.split(dz, 4)
        i_, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
        # 1 - sigmoid(z) as sigmoid(-z), 1 - tanh^2 as sech^2: exact in the tails too
        di = (i_ * sigmoid(-z_i))[:, None] * dz_i
        df = (f * sigmoid(-z_f))[:, None] * dz_f
        dg = sech2(z_g)[:, None] * dz_g
        do = (o * sigmoid(-z_o))[:, None] * dz_o
        c_new = f * c + i_ * g
        dc_new = f[:, None] * dc + c[:, None] * df + i_[:, None] * dg + g[:, None] * di
        h_new = o * np.tanh(c_new)
        dh_new = (o * sech2(c_new))[:, None] * dc_new + np.tanh(c_new)[:, None] * do
        new += [h_new, c_new]
        rows += [dh_new, dc_new]
        x, dx = h_new, dh_new  # the layer above reads h of the same step
    return np.concatenate(new), np.concatenate(rows)


def sech2(z: Array) -> Array:
    """1 - tanh(z)^2."""
    return np.asarray(np.cosh(np.clip(z, -350, 350)) ** -2.0)


def orbit(net: Net, state: ArrayLike, steps: int) -> Array:
    """States (steps, n) after 1, 2, ..., `steps` steps."""
    return np.array([new for new, _ in follow(net, state, steps)])


def follow(net: Net, state: ArrayLike, steps: int) -> Iterator[tuple[Array, Array]]:
    """Each next state with the Jacobian of the step that led there."""
    current = np.asarray(state, np.float64)
    for t in range(steps):
        current, jacobian = step_and_jacobian(net, t, current)
        yield current, jacobian


def qr(vectors: Array) -> tuple[Array, Array]:
    """Q and the diagonal of R, made positive; below rounding it is zero.

    LAPACK's error in R_ii is some n eps of the length of column i.
    """
    q, r = np.linalg.qr(vectors)
    diagonal = np.diag(r)
    rounding = 4 * len(vectors) * np.finfo(float).eps * np.abs(vectors).max(axis=0)
    sign = np.where(diagonal < 0, -1.0, 1.0)
    return q * sign, np.where(np.abs(diagonal) < rounding, 0.0, np.abs(diagonal))


def exponents(
    net: Net,
    state: ArrayLike,
    frame: ArrayLike,
    *,
    steps: int,
    transient: int = 0,
    interval: int = 1,
) -> Array:
    """Lyapunov exponents (k,) in nats per step, in the order of the frame (n, k).

    The tangent vectors are orthonormalised every `interval` steps, at the end of the
    transient and at the end.
    """
    vectors = np.asarray(frame, np.float64)
    growth = np.zeros(vectors.shape[1])
    for t, (_, jacobian) in enumerate(follow(net, state, transient + steps)):
        vectors = jacobian @ vectors
        start, length = (0, transient) if t < transient else (transient, steps)
        done = t + 1 - start
        if done % interval and done != length:
            continue
        vectors, diagonal = qr(vectors)
        if t >= transient:
            with np.errstate(divide="ignore"):
                growth += np.log(diagonal)
    return growth / steps


def mean_log_determinant(
    net: Net, state: ArrayLike, *, steps: int, transient: int = 0
) -> float:
    """Time average of ln|det J| over the `steps` steps after the transient."""
    jacobians = [jacobian for _, jacobian in follow(net, state, transient + steps)]
    return float(np.mean(np.linalg.slogdet(np.array(jacobians[transient:]))[1]))


def log_distance(
    net: Net, perturbation: ArrayLike, *, steps: int, floor: float
) -> float:
    """ln D of one sample: `perturbation` (sum(H),) is added to h of all layers."""
    sizes = np.cumsum(net.hidden_sizes)[:-1]
    pieces = np.split(np.asarray(perturbation, np.float64), sizes)
    moved = [block for h in pieces for block in (h, np.zeros_like(h))]
    ends = [
        np.concatenate(parts(net, orbit(net, state, steps)[-1])[0::2])
        for state in (np.zeros(net.dimension), np.concatenate(moved))
    ]
    return float(np.log(np.linalg.norm(ends[1] - ends[0]) + floor))
