"""Made-up runs in which falls of the loss and changes of the net are independent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LENGTH = 700
"""Epochs of a run."""


def states(random: np.random.Generator, rate: Floats) -> Floats:
    """A state, 0 or 1, that changes at a rate."""
    return np.asarray(np.cumsum(random.random(len(rate)) < rate) % 2, float)


def losses(random: np.random.Generator, rate: Floats) -> Floats:
    """A loss that falls at first, then rises, and falls at a rate."""
    level, high = np.zeros(LENGTH), 0.0
    for i in range(LENGTH):
        fall = i > LENGTH / 10 and high > 0.4 and random.random() < rate[i]
        high = 0.0 if fall else high + 0.02 * (1 - high / 2)
        level[i] = high
    level[: LENGTH // 10] += np.linspace(2, 0, LENGTH // 10)
    return np.exp(level + 0.005 * random.standard_normal(LENGTH))


def smooth(random: np.random.Generator, memory: int) -> Floats:
    """A series with a memory of so many epochs."""
    noise = random.standard_normal(LENGTH + memory - 1)
    return np.asarray(np.convolve(noise, np.hanning(memory), "valid"), float)


EVEN = np.ones(LENGTH)
EARLY = 3 * np.exp(-3 * np.arange(LENGTH) / LENGTH)
"""Rates: the same throughout, and falling to a twentieth."""


def every(state: Floats, random: np.random.Generator) -> Ints:
    """All epochs."""
    return np.arange(LENGTH)


def logarithmic(state: Floats, random: np.random.Generator) -> Ints:
    """Epochs at even distances of their logarithm."""
    return np.unique(np.round(np.geomspace(1, LENGTH, 400))).astype(np.int64) - 1


def dense_then_sparse(state: Floats, random: np.random.Generator) -> Ints:
    """All epochs of the first fifth, then every tenth."""
    return np.union1d(np.arange(LENGTH // 5), np.arange(0, LENGTH, 10))


def zoomed(state: Floats, random: np.random.Generator) -> Ints:
    """Every eighth epoch, and all of four stretches."""
    stretches = [np.arange(b, b + 40) for b in random.integers(0, LENGTH - 60, 4)]
    return np.unique(np.concatenate([np.arange(0, LENGTH, 8), *stretches]))


def near_changes(state: Floats, random: np.random.Generator) -> Ints:
    """Every eighth epoch, and all near a change: as the schedule "edge" does."""
    changes = np.flatnonzero(np.diff(state))
    near = (changes[:, None] + np.arange(-8, 9)).ravel()
    kept = near[(near >= 0) & (near < LENGTH)]
    return np.union1d(np.arange(0, LENGTH, 8), kept)


Kind = tuple[Floats, int, Callable[[Floats, np.random.Generator], Ints]]

KINDS: dict[str, Kind] = {
    "even": (EVEN, 0, every),
    "smooth": (EVEN, 80, every),
    "early": (EARLY, 0, every),
    "logarithmic": (EVEN, 0, logarithmic),
    "dense, then sparse": (EVEN, 0, dense_then_sparse),
    "zoomed": (EVEN, 0, zoomed),
    "near changes": (EVEN, 0, near_changes),
}
"""Rate of events, memory of the state, and where checkpoints lie."""


def null_run(kind: str, random: np.random.Generator) -> tuple[Floats, Floats, Ints]:
    """State and loss of every epoch, which are independent, and the checkpoints."""
    rate, memory, grid = KINDS[kind]
    state = states(random, 0.02 * rate)
    if memory:
        state = (smooth(random, memory) > 0).astype(float)
    return state, losses(random, 0.012 * rate), grid(state, random)
