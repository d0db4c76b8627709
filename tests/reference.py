"""A slow twin of the core in plain NumPy, float64: one trajectory, dense Jacobian.

It shares no code with the core and is written to be read next to docs/theory.md. The
state is s = (h_1, c_1, ..., h_L, c_L), of dimension n; a cell that is no LSTM has no c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Function = tuple[Callable[[Array], Array], Callable[[Array], Array]]


def sigmoid(z: Array) -> Array:
    """Logistic function; half a tanh, so that no exponential overflows."""
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def hard(steepness: float) -> Function:
    return (
        lambda z: np.clip(steepness * z + 0.5, 0, 1),
        lambda z: np.where(abs(steepness * z) < 0.5, steepness, 0),
    )


FUNCTIONS: dict[str, Function] = {
    "tanh": (np.tanh, lambda z: sech2(z)),
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * sigmoid(-z)),  # exact in the tails
    "hard_sigmoid": hard(1 / 5),
    "hard_sigmoid_6": hard(1 / 6),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "linear": (lambda z: z, np.ones_like),
}
"""Each with its derivative."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer, rows in the gate order i, f, g, o or r, z, n; W_hr of a projection."""

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array
    bias_hh: Array
    weight_hr: Array | None = None


@dataclass(frozen=True, eq=False)
class Net:
    """A net in one input regime.

    `inputs` is None (zero), (I,) (constant) or (T, I) (driven, then zero); `readout` is
    the (R, r) of a closed loop, whose input is R h_L + r of the state before.
    """

    cell: str
    layers: tuple[Layer, ...]
    inputs: Array | None = None
    readout: tuple[Array, Array] | None = None
    functions: tuple[str, str] = ("tanh", "sigmoid")

    @property
    def output_sizes(self) -> tuple[int, ...]:
        """Numbers of h."""
        return tuple(layer.weight_hh.shape[1] for layer in self.layers)

    @property
    def sizes(self) -> list[int]:
        """Numbers of h_1, c_1, ..., h_L, c_L; 0 where there is no c."""
        c = [len(x.weight_hh) // 4 if self.cell == "lstm" else 0 for x in self.layers]
        return [
            size for pair in zip(self.output_sizes, c, strict=True) for size in pair
        ]

    @property
    def dimension(self) -> int:
        return sum(self.sizes)


def make_net(
    arrays: Mapping[str, Any],
    inputs: ArrayLike | None = None,
    *,
    cell: str = "lstm",
    functions: tuple[str, str] = ("tanh", "sigmoid"),
    closed_loop: bool = False,
) -> Net:
    """Take a net from arrays in PyTorch's names, without a prefix."""
    double = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    count = sum(name.startswith("weight_hh_l") for name in double)
    layers = tuple(
        Layer(
            double[f"weight_ih_l{i}"],
            double[f"weight_hh_l{i}"],
            double[f"bias_ih_l{i}"],
            double[f"bias_hh_l{i}"],
            double.get(f"weight_hr_l{i}"),
        )
        for i in range(count)
    )
    drive = None if inputs is None else np.asarray(inputs, np.float64)
    readout = (double["readout_weight"], double["readout_bias"])
    return Net(cell, layers, drive, readout if closed_loop else None, functions)


def parts(net: Net, state: Array) -> list[Array]:
    """Cut a state, or the rows of a matrix, into h_1, c_1, ..., h_L, c_L."""
    return np.split(state, np.cumsum(net.sizes)[:-1])


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
    x = input_at(net, t, state)
    dx = np.zeros((len(x), net.dimension))
    if net.readout is not None:
        dx = net.readout[0] @ columns[-2]
    new, rows = [], []
    both = (FUNCTIONS[net.functions[0]], FUNCTIONS[net.functions[1]])
    for i, layer in enumerate(net.layers):
        h, c, dh, dc = old[2 * i], old[2 * i + 1], columns[2 * i], columns[2 * i + 1]
        if net.cell == "lstm":
            h, dh, c, dc = lstm(layer, (x, dx), (h, dh), (c, dc), *both)
        elif net.cell.startswith("gru"):
            h, dh = gru(layer, (x, dx), (h, dh), *both, after=net.cell == "gru")
        else:
            one = FUNCTIONS[net.cell.removeprefix("rnn_")]
            h, dh = elman(layer, (x, dx), (h, dh), one)
        new += [h, c]
        rows += [dh, dc]
        x, dx = h, dh  # the layer above reads h of the same step
    return np.concatenate(new), np.concatenate(rows)


Both = tuple[Array, Array]
"""A vector (m,), and its derivative (m, n) with respect to the old state."""


def lstm(
    layer: Layer, x: Both, h: Both, c: Both, function: Function, gate: Function
) -> tuple[Array, Array, Array, Array]:
    z, dz = affine(layer.weight_ih, layer.bias_ih, x)
    u, du = affine(layer.weight_hh, layer.bias_hh, h)
    z_i, z_f, z_g, z_o = np.split(z + u, 4)
    dz_i, dz_f, dz_g, dz_o = np.split(dz + du, 4)
    i, di = apply(gate, z_i, dz_i)
    f, df = apply(gate, z_f, dz_f)
    g, dg = apply(function, z_g, dz_g)
    o, do = apply(gate, z_o, dz_o)
    new = f * c[0] + i * g
    dnew = f[:, None] * c[1] + c[0][:, None] * df + i[:, None] * dg + g[:, None] * di
    y, dy = apply(function, new, dnew)
    m, dm = o * y, o[:, None] * dy + y[:, None] * do
    if layer.weight_hr is not None:
        m, dm = layer.weight_hr @ m, layer.weight_hr @ dm
    return m, dm, new, dnew


def gru(
    layer: Layer, x: Both, h: Both, function: Function, gate: Function, *, after: bool
) -> Both:
    (r_x, z_x, n_x), (dr_x, dz_x, dn_x) = (
        np.split(part, 3) for part in affine(layer.weight_ih, layer.bias_ih, x)
    )
    w_r, w_z, w_n = np.split(layer.weight_hh, 3)
    b_r, b_z, b_n = np.split(layer.bias_hh, 3)
    r_h, dr_h = affine(w_r, b_r, h)
    z_h, dz_h = affine(w_z, b_z, h)
    r, dr = apply(gate, r_x + r_h, dr_x + dr_h)
    z, dz = apply(gate, z_x + z_h, dz_x + dz_h)
    if after:
        q, dq = affine(w_n, b_n, h)
        p, dp = n_x + r * q, dn_x + dr * q[:, None] + r[:, None] * dq
    else:
        q, dq = affine(w_n, b_n, (r * h[0], dr * h[0][:, None] + r[:, None] * h[1]))
        p, dp = n_x + q, dn_x + dq
    n, dn = apply(function, p, dp)
    dh = (1 - z)[:, None] * dn - n[:, None] * dz + z[:, None] * h[1]
    return (1 - z) * n + z * h[0], dh + h[0][:, None] * dz


def elman(layer: Layer, x: Both, h: Both, function: Function) -> Both:
    a, da = affine(layer.weight_ih, layer.bias_ih, x)
    b, db = affine(layer.weight_hh, layer.bias_hh, h)
    return apply(function, a + b, da + db)


def apply(function: Function, z: Array, dz: Array) -> Both:
    value, derivative = function
    return value(z), derivative(z)[:, None] * dz


def affine(weight: Array, bias: Array, x: Both) -> Both:
    return weight @ x[0] + bias, weight @ x[1]


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
    """ln D of one sample: `perturbation`, as long as all h are, is added to them."""
    sizes = np.cumsum(net.output_sizes)[:-1]
    pieces = np.split(np.asarray(perturbation, np.float64), sizes)
    pairs = zip(pieces, net.sizes[1::2], strict=True)
    moved = [block for h, c in pairs for block in (h, np.zeros(c))]
    ends = [
        np.concatenate(parts(net, orbit(net, state, steps)[-1])[0::2])
        for state in (np.zeros(net.dimension), np.concatenate(moved))
    ]
    return float(np.log(np.linalg.norm(ends[1] - ends[0]) + floor))
