"""Speed on this machine, side by side with PyTorch, NumPy and JAX on the same work.

Every comparison first checks that all agree on a short run, then times them in turn,
again and again, and takes medians: a ratio holds also where the machine's speed drifts.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge import _core
from lstm_edge.errors import LstmEdgeError
from lstm_edge.measures import asymptotic_distance, lyapunov, orbit

Arrays = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]
Peer = Callable[[Arrays, Floats, Floats, int, int], Floats]
"""(net, states, frames, steps, interval) to exponents (starts, k)."""

GAIN = 4.0
"""Of the random weights: deep in chaos, where nothing can be left out."""

STARTS = 8


@dataclass(frozen=True)
class Comparison:
    """One work, done by us and by others.

    Attributes
    ----------
    work : str
        What was computed.
    seconds : dict
        Name to the median time; "lstm-edge" and each peer that is installed.
    ratio : float
        Time of the fastest peer over ours, the median over the rounds.
    spread : (low, high)
        The same, least and most.
    """

    work: str
    seconds: dict[str, float]
    ratio: float
    spread: tuple[float, float]


def run_benchmarks(*, rounds: int = 5, large: bool = False) -> Iterator[Comparison]:
    """Compare on this machine, all cores; one comparison after the other.

    Parameters
    ----------
    rounds : int
        Timed rounds, after one that is not counted.
    large : bool
        Also hidden sizes of 128 and 256, which take NumPy minutes.

    Yields
    ------
    Comparison

    Raises
    ------
    LstmEdgeError
        Peers that do not agree.
    """
    yield distance_comparison(60, rounds)
    for hidden in (60, 128, 256) if large else (60,):
        # long enough that drawing and orthonormalising the first frame does not count
        steps = {60: 200, 128: 60, 256: 40}[hidden]
        yield spectrum_comparison(hidden, 2 * hidden, steps, 1, rounds)
        yield spectrum_comparison(hidden, 2 * hidden, steps, 10, rounds)
        yield spectrum_comparison(hidden, 2, 10 * steps, 10, rounds)
    for hidden in (60, 256) if large else (60,):
        yield product_comparison(hidden, rounds)


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


def distance_comparison(hidden: int, rounds: int) -> Comparison:
    """D~ of the paper's protocol: 500 samples of 500 driven and 1,099 zero steps."""
    import torch

    samples, driven, steps, width = 500, 500, 1599, 32
    net = random_net(hidden, width, "float32")
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((samples, driven, width)).astype(np.float32)
    lstm = torch.nn.LSTM(width, hidden, batch_first=True)
    lstm.load_state_dict({name: torch.from_numpy(a) for name, a in net.items()})
    both = torch.zeros(2 * samples, steps, width)
    both[:, :driven] = torch.from_numpy(np.concatenate([inputs, inputs]))
    start = torch.zeros(1, 2 * samples, hidden)
    for sample in range(samples):
        delta = _core.perturbation(hidden, 1e-3, 0, sample)
        start[0, samples + sample] = torch.from_numpy(delta)

    def by_torch(length: int = steps) -> Any:
        with torch.no_grad():
            return lstm(both[:, :length], (start, torch.zeros_like(start)))[1][0][0]

    short = 20
    ours = orbit(
        net, inputs, steps=1, transient=short - 1, starts=samples, dtype="float32"
    ).hidden[:, 0]
    _agree("D~", ours, by_torch(short)[:samples].numpy(), 1e-3)
    cores = torch.get_num_threads()
    peers: dict[str, Callable[[], Any]] = {}
    for threads in {1, cores}:

        def on_threads(threads: int = threads) -> None:
            torch.set_num_threads(threads)
            by_torch()
            torch.set_num_threads(cores)

        peers[f"torch nn.LSTM, {threads} threads"] = on_threads
    return _compare(
        f"D~, H = {hidden}, chaotic, 500 samples x 1,599 steps",
        lambda: asymptotic_distance(net, inputs, steps=steps),
        peers,
        rounds,
    )


def spectrum_comparison(
    hidden: int, k: int, steps: int, interval: int, rounds: int
) -> Comparison:
    """Compare exponents of 8 starts, in float64, with the same interval and steps."""
    net = random_net(hidden, 1, "float64")
    n = 2 * hidden
    states = np.random.default_rng(2).uniform(-1, 1, (STARTS, n))
    frames = np.stack([_core.tangent_frame(n, k, 0, s) for s in range(STARTS)])

    def ours(count: int = steps) -> Floats:
        return lyapunov(
            net,
            k=k,
            steps=count,
            transient=0,
            initial_state=states,
            interval=interval,
        ).per_start

    others: dict[str, Peer] = {"NumPy": numpy_exponents}
    if importlib.util.find_spec("jax") is not None:
        others["JAX"] = jax_exponents()
    peers: dict[str, Callable[..., Floats]] = {
        name: lambda count=steps, peer=peer: peer(net, states, frames, count, interval)
        for name, peer in others.items()
    }
    for name, call in peers.items():
        # the leading ones: deep exponents of a long interval are lost to rounding alike
        found, expected = (np.sort(f(2 * interval))[:, -2:] for f in (call, ours))
        _agree(f"exponents of {name}", found, expected, 1e-6)
    return _compare(
        f"k = {k}, H = {hidden}, interval {interval}, {STARTS} starts x {steps} steps",
        ours,
        peers,
        rounds,
    )


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


def product_comparison(hidden: int, rounds: int) -> Comparison:
    """Compare the ensemble kernel with the machine's own product of matrices.

    The peer is the time that NumPy's BLAS would take for the kernel's multiplications
    alone, at the speed it reaches on large matrices: a ratio of 1 is all of it.
    """
    samples, steps = 512, 400
    net = random_net(hidden, 1, "float32")
    large = np.random.default_rng(3).standard_normal((2048, 2048)).astype(np.float32)
    operations = 2 * 4 * hidden * hidden * 2 * samples * steps
    repeats = max(1, round(operations / (2 * 2048**3)))
    share = operations / (2 * 2048**3) / repeats

    def blas() -> float:
        begin = time.perf_counter()
        for _ in range(repeats):
            large @ large
        return (time.perf_counter() - begin) * share

    return _compare(
        f"share of BLAS speed, ensemble kernel, H = {hidden}",
        lambda: asymptotic_distance(net, samples=samples, steps=steps),
        {"BLAS": blas},
        rounds,
    )


def _agree(what: str, found: Any, expected: Any, tolerance: float) -> None:
    error = float(np.max(np.abs(np.asarray(found) - np.asarray(expected))))
    if not error <= tolerance:
        raise LstmEdgeError(
            f"bench: {what}: expected agreement within {tolerance}, found {error:.3g}; "
            "this is a defect, please report it"
        )


def _compare(
    work: str,
    ours: Callable[[], Any],
    peers: dict[str, Callable[[], Any]],
    rounds: int,
) -> Comparison:
    """Time all in turn. A call may return the seconds to count instead of its own."""
    calls: dict[str, Callable[[], Any]] = {"lstm-edge": ours, **peers}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(rounds + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            result = call()
            seconds = time.perf_counter() - begin
            if round_ > 0:
                times[name].append(result if isinstance(result, float) else seconds)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    best = min((name for name in peers), key=medians.__getitem__)
    ratios = np.divide(times[best], times["lstm-edge"])
    return Comparison(
        work,
        medians,
        float(np.median(ratios)),
        (float(ratios.min()), float(ratios.max())),
    )


def describe_machine() -> str:
    """Processor, cores, vector unit and versions, in one line."""
    model = "unknown processor"
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            names = [line for line in file if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip()
    except (OSError, IndexError):
        import platform

        model = platform.processor() or model
    versions = [f"lstm-edge {_core.__version__}", f"NumPy {np.__version__}"]
    for name in ("torch", "jax"):
        if importlib.util.find_spec(name) is not None:
            versions.append(f"{name} {importlib.metadata.version(name)}")
    unit = _core.vector_units()[0]
    return f"{model}, {os.cpu_count()} cores, {unit}; {', '.join(versions)}"
