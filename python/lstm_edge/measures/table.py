"""The measures of a checkpoint, and the table of those that a sweep takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError
from lstm_edge.measures.attractor import attractors
from lstm_edge.measures.distance import asymptotic_distance
from lstm_edge.measures.exponents import lyapunov
from lstm_edge.measures.sketch import sketch
from lstm_edge.net.weights import Weights
from lstm_edge.terms import ATTRACTORS, Column

CLOSER, MORE = "stability", 4
"""The attractors once more, from so many times as many starts: taken only of stable
checkpoints beside unstable ones, where few starts may have missed something."""

LEADING = 4
"""Multipliers of the weakest fixed point or cycle that a sweep keeps."""

Found = tuple[dict[str, Any], dict[str, NDArray[Any]]]
"""Scalars by name, and arrays by name: what a row of the store keeps."""


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
        ``compute(weights, inputs, settings, *, cancel=None, threads=None)`` gives
        scalars and arrays by name; `inputs` as in `lyapunov`.
    columns : tuple of Column
        Those of its scalars and arrays that tables show. Where two measures have one
        of the same name, the later one has the last word.
    """

    name: str
    revision: int
    defaults: Mapping[str, Any]
    compute: Callable[..., Found]
    columns: tuple[Column, ...] = ()


def _lyapunov(
    weights: Weights, inputs: Any, settings: Mapping[str, Any], **run: Any
) -> Found:
    spectrum = lyapunov(weights, inputs, **settings, **run)
    _refuse_overflow(spectrum.exponents, weights)
    worst = int(np.argmax(spectrum.per_start[:, 0]))
    scalars = {
        "lambda_max": float(spectrum.per_start[worst, 0]),
        "lambda_max_stderr": float(spectrum.per_start_stderr[worst, 0]),
        "lambda_max_margin": float(spectrum.zero_margin[worst]),
        "lambda_mean": float(spectrum.exponents[0]),
        "kaplan_yorke_dimension": spectrum.kaplan_yorke_dimension,
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
) -> Found:
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
) -> Found:
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
    if weakest is not None:
        leading = found.multipliers[list(weakest.starts), :LEADING]
        for known in leading[~np.isnan(leading[:, 0])][:1]:
            pairs = [[float(m.real), float(m.imag)] for m in known]
            scalars |= {"period": weakest.period, "multipliers": pairs}
    arrays = {
        "period": found.period,
        "exponent": found.exponent,
        "zero_one": found.zero_one,
        "steps": found.steps,
    }
    return scalars, arrays


def _sketch(
    weights: Weights, inputs: Any, settings: Mapping[str, Any], **run: Any
) -> Found:
    parameters = sum(array.size for array in weights.arrays())
    scalars = {"parameters": parameters, "architecture": weights.architecture}
    if "moment_norm" in weights.metadata:  # of the optimiser in the same file
        scalars["moment_norm"] = float(weights.metadata["moment_norm"])
    return scalars, {"sketch": sketch(weights, **settings)}


def _refuse_overflow(values: NDArray[np.float64], weights: Weights) -> None:
    """Turn an orbit that left the finite numbers into a failed row."""
    if np.isnan(values).any():
        raise CheckpointError(
            f"{weights.source}: the orbit left the finite numbers; expected a bounded "
            "orbit, the weights or the readout may be too large"
        )


_SHARES = tuple(
    Column(f"{kind}_share", f"share of the starts that end on: {kind}")
    for kind in ATTRACTORS
    if kind != "chaos"  # which has a column already
)

_PHASE = (
    Column("phase", "phase: order, edge or chaos", ""),
    Column("chaotic_share", "share of the starts that end in chaos"),
)

_ATTRACTORS = Measure(
    name="attractors",
    revision=3,
    defaults={
        "steps": 2000,
        "transient": 1000,
        "limit": 16_000,
        "starts": 8,
        "seed": 0,
    },
    compute=_attractors,
    columns=(*_PHASE, *_SHARES),
)

MEASURES: dict[str, Measure] = {
    "lyapunov": Measure(
        name="lyapunov",
        revision=4,
        defaults={"k": 2, "steps": 2000, "transient": 1000, "starts": 8, "seed": 0},
        compute=_lyapunov,
        columns=(
            *_PHASE,
            Column(
                "lambda_max",
                "largest Lyapunov exponent of all starts, nats per step",
                error="lambda_max_stderr",
            ),
            Column("lambda_max_stderr", "standard error of lambda_max, nats per step"),
            Column(
                "lambda_max_margin",
                "how far lambda_max must lie from 0 to have a sign, nats per step",
            ),
            Column("kaplan_yorke_dimension", "Kaplan-Yorke dimension, of the means"),
            Column(
                "lambda_mean",
                "largest Lyapunov exponent, mean over starts, nats per step",
            ),
            Column(
                "exponents",
                "Lyapunov exponents, mean over starts, nats per step",
                axes=("exponent",),
            ),
            Column(
                "per_start",
                "Lyapunov exponents of each start, nats per step",
                axes=("start", "exponent"),
            ),
        ),
    ),
    "attractors": _ATTRACTORS,
    CLOSER: replace(
        _ATTRACTORS,
        name=CLOSER,
        defaults={**_ATTRACTORS.defaults, "starts": 8 * MORE},
    ),
    "distance": Measure(
        name="distance",
        revision=1,
        defaults={
            "steps": 1599,
            "samples": 500,
            "precision": 0.1,
            "noise": 1e-3,
            "seed": 0,
        },
        compute=_distance,
        columns=(
            Column(
                "distance",
                "asymptotic distance D~ (Wei et al. 2025), mean ln distance",
                error="distance_stderr",
            ),
            Column("distance_stderr", "standard error of the asymptotic distance D~"),
            Column(
                "observable",
                "orbit diagram: sum of h after the last step",
                axes=("sample",),
            ),
        ),
    ),
    "sketch": Measure(
        name="sketch",
        revision=1,
        defaults={"size": 1024, "seed": 0},
        compute=_sketch,
    ),
}
"""By name, in the order that a sweep takes them."""

COLUMNS = {c.name: c for m in MEASURES.values() for c in m.columns}
"""All columns of the measures, by name."""


def numbers_of(scalars: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Give all numbers of one checkpoint by name, from the scalars of its measures.

    Parameters
    ----------
    scalars : mapping of measure to mapping
    """
    found = {k: v for m in MEASURES for k, v in scalars.get(m, {}).items()}
    shares = found.get("shares", {})
    return found | {f"{kind}_share": share for kind, share in shares.items()}
