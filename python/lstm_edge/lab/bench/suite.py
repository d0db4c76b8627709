"""Speed on this machine, side by side with PyTorch, NumPy and JAX on the same work.

Every comparison first checks that all agree on a short run, then times them in turn,
again and again, and takes medians: a ratio holds also where the machine's speed drifts.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge import _core
from lstm_edge.errors import LstmEdgeError, UsageError
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.files.inputs import read_probe
from lstm_edge.files.places import Where
from lstm_edge.lab.bench.peers import (
    Arrays,
    Floats,
    Peer,
    jax_exponents,
    named_arrays,
    numpy_exponents,
    random_net,
    torch_ends,
)
from lstm_edge.measures.cost import available_cores
from lstm_edge.measures.distance import asymptotic_distance
from lstm_edge.measures.exponents import lyapunov
from lstm_edge.measures.orbits import orbit
from lstm_edge.net.reading import read_checkpoint
from lstm_edge.sweep.analysis import analyze

STARTS = 8
SAMPLES, DRIVEN, STEPS = 500, 500, 1599
"""Of D~: the paper's protocol."""

SPECTRUM_STEPS = {60: 200, 128: 60, 256: 40}
"""By hidden size: so many that drawing and orthonormalising the first frame does not
count."""

PRODUCT_STEPS = 400
LEAST_SECONDS = 0.5
"""Of the calls that one time is taken of."""


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
    share : float
        Of the machine's limit: the time that NumPy's BLAS would take for the
        multiplications of the work alone, at the speed it reaches on large matrices,
        over ours. None where they are not counted.
    """

    work: str
    seconds: dict[str, float]
    ratio: float
    spread: tuple[float, float]
    share: float | None = None


def run_benchmarks(
    *, rounds: int = 5, large: bool = False, run: Where | None = None
) -> Iterator[Comparison]:
    """Compare on this machine, all cores; one comparison after the other.

    Parameters
    ----------
    rounds : int
        Timed rounds, after one that is not counted.
    large : bool
        Also hidden sizes of 128 and 256, which take NumPy minutes.
    run : path, optional
        A run folder: also D~ over some of its checkpoints, and a sweep on all cores.

    Yields
    ------
    Comparison

    Raises
    ------
    LstmEdgeError
        Peers that do not agree, or a `run` that is none.
    """
    yield distance_comparison(60, rounds)
    if run is not None:
        yield run_comparison(Path(run), 4, rounds)
        yield scaling_comparison(Path(run), 12, rounds)
    for hidden in (60, 128, 256) if large else (60,):
        steps = SPECTRUM_STEPS[hidden]
        yield spectrum_comparison(hidden, 2 * hidden, steps, 1, rounds)
        yield spectrum_comparison(hidden, 2 * hidden, steps, 10, rounds)
        yield spectrum_comparison(hidden, 2, 10 * steps, 10, rounds)
    for hidden in (60, 256) if large else (60,):
        yield product_comparison(hidden, rounds)


def distance_comparison(hidden: int, rounds: int) -> Comparison:
    """D~ of the paper's protocol, samples of driven and then of zero steps."""
    net = random_net(hidden, 32, "float32")
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((SAMPLES, DRIVEN, 32)).astype(np.float32)
    products = 4 * hidden * 2 * SAMPLES * (hidden * STEPS + 32 * DRIVEN)
    return _compare(
        f"D~, H = {hidden}, chaotic, {SAMPLES} samples x {STEPS:,} steps",
        lambda: asymptotic_distance(net, inputs, steps=STEPS),
        _torch_peers([net], inputs, STEPS),
        rounds,
        _blas(products, np.float32),
    )


def run_comparison(run: Path, count: int, rounds: int) -> Comparison:
    """D~ over checkpoints of a real run, where orbits that return end early."""
    files = find_checkpoints(run)
    chosen = [files[i] for i in np.linspace(0, len(files) - 1, count).astype(int)]
    nets = [named_arrays(read_checkpoint(file.path)) for file in chosen]
    probe = read_probe(run)
    if probe is None:
        raise UsageError(f"{run}: expected a run folder with a probe, found none")
    inputs = np.resize(probe, (SAMPLES, *probe.shape[1:])).astype(np.float32)
    hidden = nets[0]["weight_hh_l0"].shape[1]
    return _compare(
        f"D~, {len(nets)} checkpoints of a run, H = {hidden}, {SAMPLES} samples",
        lambda: [asymptotic_distance(net, inputs, steps=STEPS) for net in nets],
        _torch_peers(nets, inputs, STEPS),
        rounds,
    )


def scaling_comparison(run: Path, count: int, rounds: int) -> Comparison:
    """Compare a sweep on all cores with the same on one."""
    files = find_checkpoints(run)
    updates = {file.update for file in files[:: max(1, len(files) // count)]}

    def sweep(workers: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "sweep.sqlite"
            analyze(run, out=out, select=updates, workers=workers, threads=1)

    cores = available_cores()
    return _compare(
        f"sweep of {len(updates)} checkpoints on {cores} cores",
        partial(sweep, cores),
        {"lstm-edge on one": partial(sweep, 1)},
        rounds,
    )


def _torch_peers(
    nets: list[Arrays], inputs: NDArray[Any], steps: int
) -> dict[str, Callable[[], Any]]:
    """PyTorch on the same nets, with one thread and with all, after a check."""
    import torch

    calls = [torch_ends(net, inputs) for net in nets]
    short = 20
    for net, call in zip(nets, calls, strict=True):
        ours = orbit(
            net,
            inputs,
            steps=1,
            transient=short - 1,
            starts=len(inputs),
            dtype="float32",
        ).hidden[:, 0]
        theirs = call(short)
        _agree("D~", ours[:, -theirs.shape[1] :], theirs, 1e-3)
    cores = torch.get_num_threads()

    def on_threads(threads: int) -> None:
        torch.set_num_threads(threads)
        for call in calls:
            call(steps)
        torch.set_num_threads(cores)

    return {
        f"torch nn.LSTM, {threads} threads": partial(on_threads, threads)
        for threads in sorted({1, cores})
    }


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
            asymptotic=False,
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
    products = steps * (1 + k) * 4 * hidden**2
    reflections = steps // interval * (2 * n * k**2 - 2 * k**3 // 3)  # of R, and of Q
    return _compare(
        f"k = {k}, H = {hidden}, interval {interval}, {STARTS} starts x {steps} steps",
        ours,
        peers,
        rounds,
        _blas(STARTS * (products + reflections), np.float64),
    )


def product_comparison(hidden: int, rounds: int) -> Comparison:
    """Compare the ensemble kernel with the machine's own product of matrices.

    The peer is the time that NumPy's BLAS would take for the kernel's multiplications
    alone, at the speed it reaches on large matrices: a ratio of 1 is all of it.
    """
    samples, steps = 1023, PRODUCT_STEPS
    net = random_net(hidden, 1, "float32")
    trajectories = samples + 1  # without inputs all have one unperturbed copy
    return _compare(
        f"share of BLAS speed, ensemble kernel, H = {hidden}",
        lambda: asymptotic_distance(net, samples=samples, steps=steps),
        {"BLAS": _blas(4 * hidden**2 * trajectories * steps, np.float32)},
        rounds,
    )


def _blas(products: int, kind: type[np.floating[Any]]) -> Callable[[], float]:
    """Time so many multiplications with additions, as fast as on large matrices."""
    size = 2048
    large = np.random.default_rng(3).standard_normal((size, size)).astype(kind)
    repeats = max(1, round(products / size**3))

    def seconds() -> float:
        begin = time.perf_counter()
        for _ in range(repeats):
            large @ large
        return (time.perf_counter() - begin) * products / size**3 / repeats

    return seconds


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
    limit: Callable[[], float] | None = None,
) -> Comparison:
    """Time all in turn."""
    calls: dict[str, Callable[[], Any]] = {"lstm-edge": ours, **peers}
    if limit is not None:
        calls["limit"] = limit
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(rounds + 1):
        for name, call in calls.items():
            seconds = _seconds_a_call(call)
            if round_ > 0:
                times[name].append(seconds)
    share = None
    if limit is not None:
        share = float(np.median(np.divide(times.pop("limit"), times["lstm-edge"])))
    medians = {name: float(np.median(values)) for name, values in times.items()}
    best = min((name for name in peers), key=medians.__getitem__)
    ratios = np.divide(times[best], times["lstm-edge"])
    return Comparison(
        work,
        medians,
        float(np.median(ratios)),
        (float(ratios.min()), float(ratios.max())),
        share,
    )


def _seconds_a_call(call: Callable[[], Any]) -> float:
    """Mean over some calls; what a call returns as float counts instead."""
    time.sleep(0.1)  # until the threads of whoever came before have stopped spinning
    seconds: list[float] = []
    begin = time.perf_counter()
    while not seconds or time.perf_counter() - begin < LEAST_SECONDS:
        started = time.perf_counter()
        result = call()
        passed = time.perf_counter() - started
        seconds.append(result if isinstance(result, float) else passed)
    return float(np.mean(seconds))


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
    return f"{model}, {available_cores()} cores, {unit}; {', '.join(versions)}"
