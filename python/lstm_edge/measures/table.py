"""The measures of a checkpoint, and the table of those that a sweep takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError
from lstm_edge.measures.attractor import Attractor, Attractors, attractors
from lstm_edge.measures.covariant import CovariantVectors, covariant_vectors
from lstm_edge.measures.distance import AsymptoticDistance, asymptotic_distance
from lstm_edge.measures.exponents import LyapunovSpectrum, lyapunov
from lstm_edge.measures.near_edge import at_edge
from lstm_edge.measures.newton import FixedPoints, fixed_points, multipliers
from lstm_edge.measures.orbits import Orbit, orbit
from lstm_edge.measures.sketch import sketch
from lstm_edge.measures.system import make_regime
from lstm_edge.net.weights import Weights

__all__ = [
    "MEASURES",
    "AsymptoticDistance",
    "Attractor",
    "Attractors",
    "CovariantVectors",
    "FixedPoints",
    "LyapunovSpectrum",
    "Measure",
    "Orbit",
    "Outcome",
    "asymptotic_distance",
    "at_edge",
    "attractors",
    "covariant_vectors",
    "fixed_points",
    "lyapunov",
    "orbit",
]

LONGEST_PERIOD = 64
"""Steps of a cycle whose multipliers a sweep still takes."""

LEADING = 4
"""Multipliers that it keeps."""

Outcome = tuple[dict[str, Any], dict[str, NDArray[Any]]]
"""Numbers by name, and arrays by name: what a row of the store keeps."""


@dataclass(frozen=True)
class Measure:
    """A measure as a sweep takes it.

    Attributes
    ----------
    name : str
        Its key in the store.
    revision : int
        Grows when its numbers change, so that stale rows are never reused.
    defaults : mapping
        The settings of a sweep, each of which a user may change.
    compute : callable
        ``compute(weights, inputs, settings, *, cancel=None, threads=None)`` gives an
        `Outcome`; `inputs` as in `lyapunov`.
    """

    name: str
    revision: int
    defaults: Mapping[str, Any]
    compute: Callable[..., Outcome]


def _lyapunov(
    weights: Weights, inputs: Any, settings: Mapping[str, Any], **run: Any
) -> Outcome:
    spectrum = lyapunov(weights, inputs, **settings, **run)
    _refuse_overflow(spectrum.exponents, weights)
    worst = int(np.argmax(spectrum.per_start[:, 0]))
    scalars = {
        "lambda_max": float(spectrum.per_start[worst, 0]),
        "lambda_max_stderr": float(spectrum.per_start_stderr[worst, 0]),
        "lambda_mean": float(spectrum.exponents[0]),
        "phase": spectrum.phase,
        "chaotic_share": spectrum.chaotic_share,
        "exponents": spectrum.exponents.tolist(),
        "stderr": spectrum.stderr.tolist(),
        "interval": spectrum.interval,
    }
    arrays = {
        "per_start": spectrum.per_start,
        "per_start_stderr": spectrum.per_start_stderr,
        "zero_margin": spectrum.zero_margin,
    }
    return scalars, arrays


def _distance(
    weights: Weights, inputs: Any, settings: Mapping[str, Any], **run: Any
) -> Outcome:
    distance = asymptotic_distance(weights, inputs, **settings, **run)
    _refuse_overflow(distance.per_sample, weights)
    scalars = {"distance": distance.value, "distance_stderr": distance.stderr}
    arrays = {
        "per_sample": distance.per_sample,
        "observable": distance.observable,
    }
    return scalars, arrays


def _attractors(
    weights: Weights, inputs: Any, settings: Mapping[str, Any], **run: Any
) -> Outcome:
    found = attractors(weights, inputs, **settings, **run)
    _refuse_overflow(found.exponent, weights)
    scalars = {
        "phase": found.phase,
        "chaotic_share": found.chaotic_share,
        "shares": found.shares,
        "attractors": [
            {"kind": a.kind, "period": a.period, "share": a.share}
            for a in found.attractors
        ],
    }
    weakest = found.weakest
    if weakest is not None and weakest.period <= LONGEST_PERIOD:
        constant = inputs if np.ndim(inputs) == 1 else None
        closed_loop = bool(settings.get("closed_loop"))
        regime = make_regime(weights, constant, closed_loop=closed_loop)
        state = found.states[weakest.starts[0]].astype(np.float64)
        leading = multipliers(regime.map, state, weakest.period)[:LEADING]
        scalars |= {
            "period": weakest.period,
            "multipliers": [[float(m.real), float(m.imag)] for m in leading],
        }
    arrays = {
        "period": found.period,
        "exponent": found.exponent,
        "zero_one": found.zero_one,
        "steps": found.steps,
    }
    return scalars, arrays


def _sketch(
    weights: Weights, inputs: Any, settings: Mapping[str, Any], **run: Any
) -> Outcome:
    parameters = sum(array.size for array in weights.arrays())
    scalars = {"parameters": parameters, "architecture": weights.architecture}
    return scalars, {"sketch": sketch(weights, **settings)}


def _refuse_overflow(values: NDArray[np.float64], weights: Weights) -> None:
    """Turn an orbit that left the finite numbers into a failed row."""
    if np.isnan(values).any():
        raise CheckpointError(
            f"{weights.source}: the orbit left the finite numbers; expected a bounded "
            "orbit, the weights or the readout may be too large"
        )


MEASURES: dict[str, Measure] = {
    "lyapunov": Measure(
        name="lyapunov",
        revision=2,
        defaults={"k": 2, "steps": 2000, "transient": 1000, "starts": 8, "seed": 0},
        compute=_lyapunov,
    ),
    "attractors": Measure(
        name="attractors",
        revision=2,
        defaults={
            "steps": 2000,
            "transient": 1000,
            "limit": 16_000,
            "starts": 8,
            "seed": 0,
        },
        compute=_attractors,
    ),
    "distance": Measure(
        name="distance",
        revision=1,
        defaults={"steps": 1599, "samples": 500, "noise": 1e-3, "seed": 0},
        compute=_distance,
    ),
    "sketch": Measure(
        name="sketch",
        revision=1,
        defaults={"size": 1024, "seed": 0},
        compute=_sketch,
    ),
}
"""By name, in the order that a sweep takes them."""
