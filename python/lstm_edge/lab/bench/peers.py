"""The same work with PyTorch, NumPy and JAX, as one would write it for speed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge import _core
from lstm_edge.net.weights import Weights

Arrays = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]
Peer = Callable[[Arrays, Floats, Floats, int, int], Floats]
"""(net, states, frames, steps, interval) to exponents (starts, k)."""

GAIN = 4.0
"""Of the random weights: deep in chaos, where nothing can be left out."""


def random_net(hidden: int, inputs: int, dtype: str) -> Arrays:
    """Gaussian weights of variance GAIN^2 / H, in PyTorch's names."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "weight_ih_l0": (4 * hidden, inputs),
        "weight_hh_l0": (4 * hidden, hidden),
        "bias_ih_l0": (4 * hidden,),
        "bias_hh_l0": (4 * hidden,),
    }
    scale = GAIN / np.sqrt(hidden)
    return {
        name: (scale * rng.standard_normal(shape)).astype(dtype)
        for name, shape in shapes.items()
    }


def named_arrays(weights: Weights) -> Arrays:
    """Weights in PyTorch's names."""
    return {
        f"{kind}_l{index}": array
        for index, layer in enumerate(weights.layers)
        for kind, array in layer.arrays().items()
    }


def torch_ends(net: Arrays, inputs: NDArray[Any]) -> Callable[[int], NDArray[Any]]:
    """Prepare D~ with nn.LSTM: all samples and their displaced copies in one batch.

    The call takes the steps and gives h of the top layer at their end, (samples, H).
    """
    import torch

    layers = sum(name.startswith("weight_hh") for name in net)
    samples, driven, width = inputs.shape
    hidden = net["weight_hh_l0"].shape[1]
    lstm = torch.nn.LSTM(width, hidden, layers, batch_first=True)
    lstm.load_state_dict({name: torch.from_numpy(a) for name, a in net.items()})
    start = torch.zeros(layers, 2 * samples, hidden)
    for sample in range(samples):
        delta = _core.perturbation(layers * hidden, 1e-3, 0, sample)
        start[:, samples + sample] = torch.from_numpy(delta).reshape(layers, hidden)

    def ends(steps: int) -> NDArray[Any]:
        both = torch.zeros(2 * samples, steps, width)
        both[:, :driven] = torch.from_numpy(np.concatenate([inputs, inputs]))[:, :steps]
        with torch.no_grad():
            _, (h, _) = lstm(both, (start, torch.zeros_like(start)))
        return np.asarray(h[-1, :samples].numpy())

    return ends


def numpy_exponents(
    net: Arrays, states: Floats, frames: Floats, steps: int, interval: int
) -> Floats:
    """Exponents (starts, k) with NumPy: products and QR batched over the starts."""
    weight = net["weight_hh_l0"]
    bias = net["bias_ih_l0"] + net["bias_hh_l0"]
    hidden = weight.shape[1]
    h, c = states[:, :hidden], states[:, hidden:]
    vh, vc = frames[:, :hidden], frames[:, hidden:]
    sums = np.zeros((len(states), frames.shape[2]))
    for t in range(1, steps + 1):
        z = h @ weight.T + bias
        i, f, o = (
            1 / (1 + np.exp(-z[:, a * hidden : (a + 1) * hidden])) for a in (0, 1, 3)
        )
        g = np.tanh(z[:, 2 * hidden : 3 * hidden])
        new = f * c + i * g
        tanh = np.tanh(new)
        gi, gf, gg, go = np.split(weight @ vh, 4, axis=1)
        vc = f[..., None] * vc + (g * i * (1 - i))[..., None] * gi
        vc += (c * f * (1 - f))[..., None] * gf + (i * (1 - g * g))[..., None] * gg
        vh = (o * (1 - tanh**2))[..., None] * vc + (tanh * o * (1 - o))[..., None] * go
        h, c = o * tanh, new
        if t % interval == 0 or t == steps:
            q, r = np.linalg.qr(np.concatenate([vh, vc], axis=1))
            diagonal = np.diagonal(r, axis1=1, axis2=2)
            sums += np.log(np.abs(diagonal))
            q *= np.sign(diagonal)[:, None, :]
            vh, vc = q[:, :hidden], q[:, hidden:]
    return np.asarray(sums / steps)


def jax_exponents() -> Peer:
    """Compile the same with JAX: a scan over the intervals, in float64 on the CPU."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call,unused-ignore]

    def step(weight: Any, bias: Any, carry: Any) -> Any:
        h, c, vh, vc = carry
        i, f, g, o = jnp.split(h @ weight.T + bias, 4, axis=1)
        i, f, g, o = (
            jax.nn.sigmoid(i),
            jax.nn.sigmoid(f),
            jnp.tanh(g),
            jax.nn.sigmoid(o),
        )
        new = f * c + i * g
        tanh = jnp.tanh(new)
        gi, gf, gg, go = jnp.split(weight @ vh, 4, axis=1)
        vc = (
            f[..., None] * vc
            + (g * i * (1 - i))[..., None] * gi
            + (c * f * (1 - f))[..., None] * gf
            + (i * (1 - g * g))[..., None] * gg
        )
        vh = (o * (1 - tanh**2))[..., None] * vc + (tanh * o * (1 - o))[..., None] * go
        return o * tanh, new, vh, vc

    @partial(jax.jit, static_argnums=(4, 5))  # type: ignore[untyped-decorator,unused-ignore]
    def all_steps(
        weight: Any, bias: Any, states: Any, frames: Any, steps: int, interval: int
    ) -> Any:
        hidden = weight.shape[1]

        def one_interval(carry: Any, _: Any) -> Any:
            carry, _ = jax.lax.scan(
                lambda carry, _: (step(weight, bias, carry), None),
                carry,
                None,
                length=interval,
            )
            h, c, vh, vc = carry
            q, r = jnp.linalg.qr(jnp.concatenate([vh, vc], axis=1))
            diagonal = jnp.diagonal(r, axis1=1, axis2=2)
            q = q * jnp.sign(diagonal)[:, None, :]
            return (h, c, q[:, :hidden], q[:, hidden:]), jnp.log(jnp.abs(diagonal))

        h, c = states[:, :hidden], states[:, hidden:]
        carry = (h, c, frames[:, :hidden], frames[:, hidden:])
        _, grown = jax.lax.scan(one_interval, carry, None, length=steps // interval)
        return grown.sum(axis=0) / steps

    def run(
        net: Arrays, states: Floats, frames: Floats, steps: int, interval: int
    ) -> Floats:
        bias = net["bias_ih_l0"] + net["bias_hh_l0"]
        return np.asarray(
            all_steps(net["weight_hh_l0"], bias, states, frames, steps, interval)
        )

    return run
