"""The anatomy of a fall: what the net and the optimiser did around it.

A fall of the test loss is also a jump of the weights: that two things come together
says of neither that it is the cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.track.association import JUMP, jumps, state_changes
from lstm_edge.track.falls import LEAST, Fall, spread

if TYPE_CHECKING:
    from lstm_edge.track.track import Track

Floats = NDArray[np.float64]

BEFORE = 20
"""Evaluations before the peak whose median is what is usual."""

SPIKE = 3.0
"""Least factor of a spike; and it is beyond six deviations of the usual changes."""

CAUTION = (
    "A fall is also a jump of the weights: that things come together does not say "
    "which is the cause."
)


@dataclass(frozen=True)
class Dynamics:
    """The net at a checkpoint.

    Attributes
    ----------
    update : number
    phase, target : str
        And what its starts end on.
    exponent, stderr : float
        Largest exponent, nats per step, and its error.
    distance : float
        D~.
    attractors : float
        How many were found.
    multiplier : float
        Absolute value of the leading multiplier of its cycle.
    """

    update: float
    phase: str
    target: str
    exponent: float
    stderr: float
    distance: float
    attractors: float
    multiplier: float


@dataclass(frozen=True)
class Anatomy:
    """What goes with a fall of the test loss.

    Attributes
    ----------
    fall : Fall
    epoch : float
        At which its steepest drop begins.
    before, after : Dynamics or None
        The checkpoints measured next to the steepest drop; None where there is none.
    during : list of Dynamics
        Those measured between peak and valley, the ends included.
    jump : float
        Of the exponent from before to after, nats per step.
    jumped : bool
        Whether that is beyond its error and beyond what it does elsewhere in the run.
    stability, chaos : str
        Changes between peak and valley, such as "lost" or "gained, lost"; "" for none.
    kind : str
        The bifurcation of the first change of stability; see `bifurcation_kind`.
    spikes : dict of str to float
        Largest value from peak to drop over the median before, of the training loss,
        gradient, update, and gradient over what Adam expects; known ones only.
    spiked : list of str
        Which of these are beyond the usual.
    walk : float
        Way of the weights per update in the drop, over its median elsewhere.
    order : list of (number, str)
        What happens, by the update from which on it is seen.
    """

    fall: Fall
    epoch: float
    before: Dynamics | None
    after: Dynamics | None
    during: list[Dynamics]
    jump: float
    jumped: bool
    stability: str
    chaos: str
    kind: str
    spikes: dict[str, float] = field(default_factory=dict)
    spiked: list[str] = field(default_factory=list)
    walk: float = float("nan")
    order: list[tuple[float, str]] = field(default_factory=list)


def dissect(track: Track, fall: Fall) -> Anatomy:
    """Tell what goes with a fall, as finely as the checkpoints lie.

    Parameters
    ----------
    track : Track
    fall : Fall
        Of its test loss.
    """
    seen = np.flatnonzero(track.measured)
    update = track.update[seen]
    first = int(np.searchsorted(update, fall.begin, "right")) - 1
    last = int(np.searchsorted(update, fall.end))
    inside = first >= 0 and last < len(seen)
    before = _dynamics(track, seen[first]) if inside else None
    after = _dynamics(track, seen[last]) if inside else None
    jumped = jumps(track.exponent[seen], track.stderr[seen])(np.arange(len(seen)))
    wide = slice(
        max(int(np.searchsorted(update, fall.peak, "right")) - 1, 0),
        int(np.searchsorted(update, fall.valley)) + 1,
    )
    stability = _changes(track.stable[seen], wide, ("lost", "gained"))
    chaos = _changes(track.chaotic[seen], wide, ("ended", "began"))
    spikes = _spikes(track, fall)
    factors = {name: factor for name, (factor, _) in spikes.items()}
    strong = {name: at for name, (_, at) in spikes.items() if at is not None}
    order = [(fall.begin, "test loss drops")]
    order += [(at, f"{name} spikes") for name, at in strong.items()]
    order += [(update[i].item(), f"stability {word}") for i, word in stability]
    order += [(update[i].item(), f"chaos {word}") for i, word in chaos]
    found = inside and bool(jumped[first:last].any())
    if found:
        at = first + int(np.argmax(jumped[first:last]))
        order.append((update[at].item(), "exponent jumps"))
    return Anatomy(
        fall=fall,
        epoch=float(np.interp(fall.begin, track.update, track.epoch)),
        before=before,
        after=after,
        during=[_dynamics(track, i) for i in seen[wide]],
        jump=after.exponent - before.exponent if before and after else float("nan"),
        jumped=found,
        stability=", ".join(word for _, word in stability),
        chaos=", ".join(word for _, word in chaos),
        kind=_kind(track, seen, stability),
        spikes=factors,
        spiked=[*strong],
        walk=_walk(track, fall),
        order=sorted(order),
    )


def _dynamics(track: Track, i: int) -> Dynamics:
    return Dynamics(
        update=track.update[i].item(),
        phase=str(track.phase[i]),
        target=track.target[i],
        exponent=float(track.exponent[i]),
        stderr=float(track.stderr[i]),
        distance=float(track.distance[i]),
        attractors=float(track.attractors[i]),
        multiplier=float(track.multiplier[i]),
    )


def _changes(
    state: Floats, wide: slice, words: tuple[str, str]
) -> list[tuple[int, str]]:
    """Places before a change of state, and what the state becomes."""
    part = state[wide]
    changed = state_changes(part)(np.arange(len(part)))
    places = np.flatnonzero(changed).tolist()
    return [(wide.start + i, words[int(part[i + 1])]) for i in places]


def _kind(
    track: Track, seen: NDArray[np.int64], stability: Sequence[tuple[int, str]]
) -> str:
    """Name the bifurcation on the stable side of the first change of stability."""
    for i, word in stability:
        return str(track.kind[seen[i if word == "lost" else i + 1]])
    return ""


def _spikes(track: Track, fall: Fall) -> dict[str, tuple[float, float | None]]:
    """Series of the optimiser to the factor of its spike, and its update if strong."""
    found: dict[str, tuple[float, float | None]] = {}
    for name, values in track.training.items():
        known = np.isfinite(values) & (values > 0)
        time, level = track.update[known], np.log(values[known])
        first = int(np.searchsorted(time, fall.peak))
        last = int(np.searchsorted(time, fall.end, "right"))
        if first == 0 or last <= first:
            continue
        usual = np.median(level[max(first - BEFORE, 0) : first])
        part = level[first:last] - usual
        least = max(np.log(SPIKE), JUMP * spread(np.diff(level)))
        strong = bool((part > least).any())
        at = time[first + int(np.argmax(part > least))].item() if strong else None
        found[name] = float(np.exp(part.max())), at
    return found


def _walk(track: Track, fall: Fall) -> float:
    """Way of the weights per update in the drop, over its median elsewhere."""
    known = np.isfinite(track.path)
    time, path = track.update[known], track.path[known]
    if len(time) < 3:
        return float("nan")
    pace = np.diff(path) / np.diff(time)
    in_drop = (time[:-1] < fall.end) & (fall.begin < time[1:])
    if not in_drop.any() or in_drop.all():
        return float("nan")
    return float(pace[in_drop].max() / np.median(pace[~in_drop]))


def tell(found: Sequence[Anatomy], test_loss: Floats) -> str:
    """Sum the falls of a run up in one sentence; `test_loss` is its series."""
    count, known = len(found), int(np.isfinite(test_loss).sum())
    if known < LEAST:
        return f"Too few test losses are known ({known}) to find a fall."
    if not count:
        return "No later fall of the test loss."

    def share(number: int) -> str:
        return f"all {count}" if number == count > 2 else f"{number} of {count}"

    spiked = sum(bool(one.spiked) for one in found)
    changed = sum(bool(one.stability) for one in found)
    jumped = sum(one.jumped for one in found)
    told = (
        f"Falls of the test loss: {share(changed)} through a change of stability "
        f"between peak and valley; {share(jumped)} with a jump of the exponent"
    )
    if any(one.spikes for one in found):
        told += f"; {share(spiked)} with a spike of the optimiser"
    return told + "."


def training_series(metrics: Mapping[str, Any]) -> dict[str, Floats]:
    """Choose what tells of the optimiser, by the name that tables show.

    Parameters
    ----------
    metrics : mapping of column to ndarray
        What training said; NaN where it did not.
    """
    gradient, moment = metrics["gradient_norm"], metrics["moment_norm"]
    found = {
        "training loss": metrics["train_loss"],
        "gradient": gradient,
        "update": metrics["update_norm"],
        "Adam's second moment": moment,
        "gradient over Adam's second moment": gradient / moment,
    }
    return {name: x for name, x in found.items() if np.isfinite(x).any()}
