"""Nets of which it is known what they do: how many are read rightly.

    python benches/labelled.py            # the table of kinds, some minutes
    python benches/labelled.py --coverage  # how often the intervals hold the truth

What is known of each comes from its construction, or from NumPy alone: fixed points by
Newton's method on the slow twin of the tests, exponents by its long runs. Seeds are 0,
1, 2, ..., none left out.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import fsolve

import lstm_edge

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import reference


class Known(NamedTuple):
    """A net, its phase, its largest exponent, and from where, where these are known."""

    family: str
    weights: dict[str, np.ndarray]
    phase: str
    exponent: float | None
    starts: np.ndarray | None = None


def layer(ih: Any, hh: Any, bias: Any) -> dict[str, np.ndarray]:
    hh = np.asarray(hh, float)
    return {
        "weight_ih_l0": np.asarray(ih, float),
        "weight_hh_l0": hh,
        "bias_ih_l0": np.asarray(bias, float),
        "bias_hh_l0": np.zeros(len(hh)),
    }


def lstm(hidden: int, forget: Any, cell: float, gain: float, seed: int, i: Any = 0.0):
    """Recurrent weights of variance gain^2 / H; biases i, forget, cell, 0."""
    random = np.random.default_rng(seed)
    biases = [np.broadcast_to(b, hidden) for b in (i, forget, cell, 0.0)]
    hh = gain * random.standard_normal((4 * hidden, hidden)) / np.sqrt(hidden)
    return layer(np.zeros((4 * hidden, 1)), hh, np.concatenate(biases))


def flow(matrix: np.ndarray, dt: float) -> dict[str, np.ndarray]:
    """A GRU that is h' = h + dt (tanh(J h) - h): gates shut at constants."""
    n = len(matrix)
    closed = np.full(n, np.log((1 - dt) / dt))
    hh = np.concatenate([np.zeros((2 * n, n)), matrix])
    bias = np.concatenate([np.full(n, 50.0), closed, np.zeros(n)])
    return layer(np.zeros((3 * n, 1)), hh, bias)


def elman(matrix: Any, bias: Any) -> dict[str, np.ndarray]:
    return layer(np.zeros((len(matrix), 1)), matrix, bias)


def turn(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def at_fixed_point(weights: dict[str, np.ndarray], cell: str) -> float | None:
    """Give ln |mu| of the fixed point where the orbit from rest leads, by the twin."""
    none = {"readout_weight": np.zeros((1, 20)), "readout_bias": np.zeros(1)}
    net = reference.make_net({**weights, **none}, cell=cell)
    state = reference.orbit(net, np.zeros(net.dimension), 3000)[-1]

    def miss(s: np.ndarray) -> np.ndarray:
        return reference.orbit(net, s, 1)[-1] - s

    point, _, solved, _ = fsolve(miss, state, xtol=1e-14, full_output=True)
    if solved != 1 and np.abs(miss(point)).max() > 1e-9:
        return None
    _, jacobian = reference.step_and_jacobian(net, 0, point)
    return float(np.log(np.abs(np.linalg.eigvals(jacobian)).max()))


def forgetting(seeds: range = range(12)) -> Iterator[Known]:
    """One unit that only forgets, and twenty that hear each other a little."""
    for forget in np.arange(1, 9.5, 0.5):
        for cell in (0.0, 0.3, 1.0):
            exact = -np.log1p(np.exp(-forget))
            yield Known("one unit", lstm(1, forget, cell, 0.0, 0), "order", exact)
    spans = {"forget 1": (0.5, 1.5), "forget 3": (2.5, 3.5)}
    spans |= {"forget 6": (5.5, 6.5), "forget 8": (7.5, 9.0)}
    for name, biases in spans.items():
        for seed in seeds:
            forget = np.random.default_rng(seed).uniform(*biases, 20)
            yield from where_it_rests(name, lstm(20, forget, 0.3, 0.3, seed))
    for longest in (100, 1000, 10_000):
        for seed in seeds:
            random = np.random.default_rng(seed)
            forget = np.log(random.uniform(1, longest - 1, 20))
            net = lstm(20, forget, 0.0, 0.3, seed, -forget)
            yield from where_it_rests("chrono", net)


def where_it_rests(name: str, weights: dict[str, np.ndarray]) -> Iterator[Known]:
    exact = at_fixed_point(weights, "lstm")
    if exact is not None and exact < 0:
        rest = np.zeros((1, 2 * weights["weight_hh_l0"].shape[1]))
        yield Known(name, weights, "order", exact, rest)


def slowing() -> Iterator[Known]:
    """Flows in small steps, and nets near the end of their order."""
    for dt in (0.1, 0.01, 0.001):
        for seed in range(15):
            random = np.random.default_rng(seed)
            matrix = 0.7 * random.standard_normal((16, 16)) / 4
            values = (1 - dt) + dt * np.linalg.eigvals(matrix)
            exact = float(np.log(np.abs(values).max()))
            yield Known("slow flow", flow(matrix, dt), "order", exact)
    for gap in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5):
        for angle in (0.0, 0.3, 1.0, 2.0):
            weights = elman((1 - gap) * turn(angle), [0.0, 0.0])
            yield Known("near its edge", weights, "order", float(np.log1p(-gap)))
    for gain in np.arange(1.2, 5, 0.2):
        yield Known("two-cycle", elman([[-gain]], [0.0]), "order", None)


def simulated(family: str, matrix: np.ndarray, bias: Any, dt: float) -> Known:
    """A net h' = h + dt (tanh(J h + b) - h), whose phase NumPy finds in a long run.

    The largest exponents of eight starts, by 60,000 steps after 20,000, with errors
    from 20 batches.
    """
    n, starts = len(matrix), 8
    random = np.random.default_rng(99)
    begin = h = random.uniform(-1, 1, (n, starts))
    v = random.standard_normal((n, starts))
    growth = np.zeros((20, starts))
    column = np.reshape(bias, (-1, 1))
    for t in range(80_000):
        target = np.tanh(matrix @ h + column)
        v = (1 - dt) * v + dt * (1 - target**2) * (matrix @ v)
        h = (1 - dt) * h + dt * target
        length = np.linalg.norm(v, axis=0)
        v /= length
        if t >= 20_000:
            growth[(t - 20_000) // 3000] += np.log(length) / 3000
    mean, error = growth.mean(axis=0), growth.std(axis=0, ddof=1) / np.sqrt(20)
    sure = 4 * error + 1e-4
    if np.count_nonzero(mean > sure) >= starts / 2:
        phase = "chaos"
    else:
        phase = "order" if (mean < -sure).all() else "edge"
    weights = elman(matrix, bias) if dt == 1 else flow(matrix, dt)
    return Known(family, weights, phase, None, begin.T)


def at_the_edge() -> Iterator[Known]:
    for angle in 0.3 + 0.0547 * np.arange(40):
        yield simulated("turning", 1.1 * turn(angle), [0.02, 0.0], 1.0)
    for angle in (0.9546825, 0.9544985):
        yield simulated("turning", 1.1 * turn(angle), [0.02, 0.0], 1.0)


def chaotic() -> Iterator[Known]:
    for gain in (1.5, 3.0):
        for seed in range(15):
            random = np.random.default_rng(seed)
            matrix = gain * random.standard_normal((40, 40)) / np.sqrt(40)
            yield simulated("random RNN", matrix, np.zeros(40), 1.0)
    for dt in (0.2, 0.05, 0.02):
        for seed in range(10):
            random = np.random.default_rng(seed)
            matrix = 3.0 * random.standard_normal((60, 60)) / np.sqrt(60)
            yield simulated("random flow", matrix, np.zeros(60), dt)


def others() -> Iterator[Known]:
    for gain in (1.0005, 1.002, 1.01):  # rest repels
        exact = None
        yield Known("repeller", elman([[gain]], [0.0]), "order", exact)
    add = lstm(1, 50.0, 50.0, 0.0, 0, 50.0)
    yield Known("adds for ever", add, "unknown", None)
    keeps = lstm(1, 50.0, 0.0, 0.0, 0, -50.0)
    yield Known("keeps its state", keeps, "edge", 0.0)


def read(net: Known) -> tuple[str, float]:
    """The phase, and the exponent of a start that is nearest to what is known."""
    found = lstm_edge.attractors(net.weights, starts=8, initial_state=net.starts)
    known = 0.0 if net.exponent is None else net.exponent
    return found.phase, min(found.exponent.tolist(), key=lambda e: abs(e - known))


def table() -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    worst: dict[str, float] = defaultdict(float)
    for net in (*forgetting(), *slowing(), *at_the_edge(), *chaotic(), *others()):
        phase, exponent = read(net)
        family = counts[net.family]
        family["nets"] += 1
        if phase == "undecided":
            family["undecided"] += 1
        elif phase != net.phase:
            family["wrong"] += 1
            print(f"wrong: {net.family}: {phase}, expected {net.phase}, {exponent:.3g}")
        elif net.phase == "order" and net.exponent is not None:
            off = abs(exponent / net.exponent - 1)
            worst[net.family] = max(worst[net.family], off)
    print()
    print("| nets | how many | wrong | undecided | exponent off by at most |")
    print("| --- | --- | --- | --- | --- |")
    total: Counter[str] = Counter()
    for family, c in counts.items():
        total += c
        off = f"{worst[family]:.0e}" if family in worst else ""
        print(f"| {family} | {c['nets']} | {c['wrong']} | {c['undecided']} | {off} |")
    print(f"| all | {total['nets']} | {total['wrong']} | {total['undecided']} | |")


def one_chaos(make: Callable[[int], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The first random net whose starts all end in one chaos."""
    for seed in range(100):
        net = make(seed)
        found = lstm_edge.attractors(net, starts=16).attractors
        if [a.kind for a in found] == ["chaos"]:
            return net
    raise LookupError("no such net")


def random_matrix(units: int, gain: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return gain * random.standard_normal((units, units)) / np.sqrt(units)


def weak_chaos() -> dict[str, np.ndarray]:
    """The first random net of gain 1.35 with one chaos of 0.001 to 0.01 nats."""
    for seed in range(400):
        net = elman(random_matrix(40, 1.35, seed), np.zeros(40))
        long = lstm_edge.lyapunov(net, k=1, starts=8, steps=20_000, transient=20_000)
        least, most = long.per_start.min(), long.per_start.max()
        if least > 0.001 and most < 0.01 and most < 1.5 * least:
            return net
    raise LookupError("no such net")


def classes() -> Iterator[tuple[str, dict[str, np.ndarray], float | None]]:
    """Nets of each kind, with their largest exponents where these are known."""
    yield "order, fast", lstm(20, np.linspace(0.5, 1.5, 20), 0.3, 0.3, 0), None
    yield "order, slow", lstm(20, np.linspace(5.5, 6.5, 20), 0.3, 0.3, 0), None
    yield "cycle", elman([[-1.7]], [0.0]), None
    yield "torus", elman(1.1 * turn(0.7), [0.02, 0.0]), 0.0
    yield (
        "chaos",
        one_chaos(lambda s: elman(random_matrix(40, 4.0, s), np.zeros(40))),
        None,
    )
    yield "weak chaos", weak_chaos(), None
    for dt in (0.2, 0.05, 0.02):
        net = one_chaos(lambda s, dt=dt: flow(random_matrix(60, 4.0, s), dt))
        yield f"slow chaos, steps of {dt}", net, None
    yield "chaos of an LSTM", one_chaos(lambda s: lstm(30, 1.0, 0.0, 6.0, s)), None


def coverage(repetitions: int) -> None:
    print("| net | exponent | covered, of 8 starts | covered, of one |")
    print("| --- | --- | --- | --- |")
    for name, weights, truth in classes():
        if truth is None:
            long = lstm_edge.lyapunov(weights, k=1, starts=16, steps=100_000)
            truth = float(np.median(long.per_start))  # some starts may leave in the end
        runs = [lstm_edge.lyapunov(weights, k=1, seed=s) for s in range(repetitions)]
        off = np.array([abs(run.exponents[0] - truth) for run in runs])
        errors = np.array([run.stderr[0] for run in runs])
        held = np.mean(off <= 1.96 * errors + 1e-12)
        alone = np.mean(
            [
                abs(run.per_start - truth) <= 1.96 * run.per_start_stderr + 1e-12
                for run in runs
            ]
        )
        print(f"| {name} | {truth:.5g} | {held:.1%} | {alone:.1%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--repetitions", type=int, default=200)
    options = parser.parse_args()
    if options.coverage:
        coverage(options.repetitions)
    else:
        table()


if __name__ == "__main__":
    main()
