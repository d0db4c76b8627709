"""A run as series along training, and all that is read from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge.terms import SIGNED, UNKNOWN
from lstm_edge.track.advice import Advice, advise
from lstm_edge.track.anatomy import Anatomy, dissect, training_series
from lstm_edge.track.association import (
    Coincidence,
    coincidence,
    jumps,
    state_changes,
)
from lstm_edge.track.bifurcations import bifurcation_kind
from lstm_edge.track.claims import Claim, check_claims
from lstm_edge.track.falls import Fall, find_falls, overtraining_begins
from lstm_edge.track.refinement import infer_phases, infer_values
from lstm_edge.track.stability import stability
from lstm_edge.track.transitions import (
    SUSTAIN,
    Transition,
    find_stability_transitions,
    find_transitions,
)
from lstm_edge.track.zoom_intervals import Interval, intervals_to_zoom

Floats = NDArray[np.float64]


def _unknown() -> Floats:
    """Leave a series out; it is filled up with NaN."""
    return np.zeros(0)


@dataclass(frozen=True, eq=False)
class Track:
    """What is known of each checkpoint of a run, in ascending order of update.

    Sweeps, watches and monitors all give one, and each series may be left out.

    Attributes
    ----------
    update : ndarray of shape (n,)
        Optimiser updates.
    phase : sequence of str or None
        "order", "edge", "chaos", "unknown"; None where it was not measured.
    exponent, stderr : ndarray of shape (n,)
        Largest Lyapunov exponent over the starts, nats per step, and its error.
    distance : ndarray of shape (n,)
        D~ of Wei et al. 2025.
    epoch, test_loss, train_loss : ndarray of shape (n,)
    training : mapping of str to ndarray of shape (n,)
        What tells of the optimiser; see `lstm_edge.track.anatomy.training_series`.
    path : ndarray of shape (n,)
        Length of the path that the weights have walked.
    kind : sequence of str
        What `bifurcation_kind` says of the attractor.
    stable : ndarray of shape (n,)
        1 where every start ends on a stable fixed point or cycle, 0 where at least one
        does not, NaN where that is not known.
    target : sequence of str
        What the starts end on; see `lstm_edge.track.stability`.
    attractors, multiplier : ndarray of shape (n,)
        How many attractors were found, and the absolute leading multiplier.
    name : sequence of str
        Of the checkpoints.
    sustain : int
        Checkpoints in a row for which a phase must hold to count.
    """

    update: NDArray[Any]
    phase: Sequence[str | None]
    exponent: Floats = field(default_factory=_unknown)
    stderr: Floats = field(default_factory=_unknown)
    distance: Floats = field(default_factory=_unknown)
    epoch: Floats = field(default_factory=_unknown)
    test_loss: Floats = field(default_factory=_unknown)
    train_loss: Floats = field(default_factory=_unknown)
    training: Mapping[str, Floats] = field(default_factory=dict)
    path: Floats = field(default_factory=_unknown)
    kind: Sequence[str] = ()
    stable: Floats = field(default_factory=_unknown)
    target: Sequence[str] = ()
    attractors: Floats = field(default_factory=_unknown)
    multiplier: Floats = field(default_factory=_unknown)
    name: Sequence[str] = ()
    sustain: int = SUSTAIN

    def __post_init__(self) -> None:
        """Fill up what is not known."""
        count = len(self.update)
        for name in _SERIES:
            values = np.asarray(getattr(self, name), float)
            known = values if values.size else np.full(count, np.nan)
            object.__setattr__(self, name, known)
        for name in ("kind", "target"):
            words = list(getattr(self, name)) or [""] * count
            object.__setattr__(self, name, words)

    @cached_property
    def measured(self) -> NDArray[np.bool_]:
        """Which checkpoints have a phase that is known."""
        return np.array([p is not None and p != UNKNOWN for p in self.phase], bool)

    @cached_property
    def _looked_at(self) -> NDArray[np.bool_]:
        return np.array([p is not None for p in self.phase], bool)

    def _seen(self, values: ArrayLike | Sequence[Any]) -> list[Any]:
        return [x for x, seen in zip(values, self.measured, strict=True) if seen]  # type: ignore[arg-type]

    @cached_property
    def transitions(self) -> list[Transition]:
        """Sustained transitions and raw crossings, by `find_transitions`.

        A checkpoint that was not measured counts as what its neighbours are, where
        these agree: so a part of the checkpoints gives the transitions of all.
        """
        return find_transitions(
            self.update,
            [phase or "" for phase in infer_phases(self.phase)],
            self.exponent,
            epoch=self.epoch,
            path=self.path,
            kind=self.kind,
            sustain=self.sustain,
        )

    @cached_property
    def stability_transitions(self) -> list[Transition]:
        """Losses and gains of stability, by `find_stability_transitions`."""
        return find_stability_transitions(
            self.update,
            infer_values(self.stable, self._looked_at),
            self.exponent,
            epoch=self.epoch,
            path=self.path,
            kind=self.kind,
            target=self.target,
            sustain=self.sustain,
        )

    @cached_property
    def advice(self) -> Advice:
        """The checkpoint at the first transition, by `advise`."""
        return self.advise(self.transitions)

    def advise(self, transitions: Sequence[Transition]) -> Advice:
        """Advise by other transitions than one's own."""
        return advise(
            self.update[self.measured],
            self._seen(self.phase),
            transitions,
            stability_transitions=self.stability_transitions,
            name=self._seen(self.name) if self.name else None,
            epoch=self.epoch[self.measured],
            test_loss=self.test_loss,
            loss_update=self.update,
        )

    @cached_property
    def claims(self) -> list[Claim]:
        """The claims of Wei et al. 2025, tested on this run."""
        return check_claims(
            self.update,
            self.test_loss,
            self.transitions,
            stability_transitions=self.stability_transitions,
            checkpoints=self.update[self.measured],
            phase=self._seen(self.phase),
            stable=self.stable[self.measured],
            distance=self.distance[self.measured],
            share=float(self.measured.mean()) if len(self.update) else 0.0,
        )

    @cached_property
    def falls(self) -> list[Fall]:
        """Falls of the test loss since overtraining began, by `find_falls`."""
        return find_falls(self.update, self.test_loss)

    @cached_property
    def chaotic(self) -> Floats:
        """1 in chaos, 0 in order, NaN else."""
        return np.array([_SIGN.get(p or "", np.nan) for p in self.phase], float)

    @cached_property
    def anatomies(self) -> list[Anatomy]:
        """What goes with each fall."""
        return [dissect(self, fall) for fall in self.falls]

    @cached_property
    def coincidences(self) -> dict[str, Coincidence]:
        """How often falls come with changes of stability, of chaos, of the exponent."""
        seen = self.measured
        changes = {
            "change of stability": state_changes(self.stable[seen]),
            "crossing of order and chaos": state_changes(self.chaotic[seen]),
            "jump of the exponent": jumps(self.exponent[seen], self.stderr[seen]),
        }
        evaluations = self.update[np.isfinite(self.test_loss)]
        begin = overtraining_begins(self.update, self.test_loss)
        return {
            name: coincidence(self.falls, self.update[seen], how, evaluations, begin)
            for name, how in changes.items()
        }

    @cached_property
    def zoom_intervals(self) -> list[Interval]:
        """Where checkpoints at every update would tell more."""
        changes = [*self.stability_transitions, *self.transitions]
        return intervals_to_zoom(self.update, self.test_loss, changes)


_SERIES = (
    "exponent",
    "stderr",
    "distance",
    "epoch",
    "test_loss",
    "train_loss",
    "path",
    "stable",
    "attractors",
    "multiplier",
)

_SIGN = {phase: float(i) for i, phase in enumerate(SIGNED)}

_TRAINING = ("train_loss", "gradient_norm", "update_norm", "moment_norm")


def make_track(
    checkpoints: Mapping[str, tuple[int, Mapping[str, float]]],
    numbers: Mapping[str, Mapping[str, Any]],
    path: Mapping[str, float] | None = None,
) -> Track:
    """Put what is known of checkpoints in order.

    Parameters
    ----------
    checkpoints : mapping
        Name to (update, metrics), as a store has them.
    numbers : mapping of name to mapping
        All numbers of those that were measured.
    path : mapping of name to float, optional
        Length of the path that the weights have walked.
    """
    names = sorted(checkpoints, key=lambda name: checkpoints[name][0])
    found = [numbers.get(name, {}) for name in names]
    said = [checkpoints[name][1] for name in names]

    told = [{**one, **metrics} for one, metrics in zip(found, said, strict=True)]
    steady = [stability(one) for one in found]

    def series(of: list[Any], name: str) -> Floats:
        return np.array([one.get(name, np.nan) for one in of], float)

    return Track(
        update=np.array([checkpoints[name][0] for name in names], np.int64),
        phase=[numbers[n].get("phase") if n in numbers else None for n in names],
        exponent=series(found, "lambda_max"),
        stderr=series(found, "lambda_max_stderr"),
        distance=series(found, "distance"),
        epoch=series(said, "epoch"),
        test_loss=series(said, "test_loss"),
        train_loss=series(said, "train_loss"),
        training=training_series({name: series(told, name) for name in _TRAINING}),
        path=np.array([(path or {}).get(name, np.nan) for name in names]),
        kind=[_kind(one) for one in found],
        stable=np.array([told.value for told in steady], float),
        target=[told.target for told in steady],
        attractors=np.array(
            [len(one.get("attractors", ())) or np.nan for one in found]
        ),
        multiplier=np.array([_leading(one) for one in found], float),
        name=names,
    )


def _count(numbers: Mapping[str, Any]) -> float:
    return len(numbers.get("attractors", ())) or np.nan


def _leading(numbers: Mapping[str, Any]) -> float:
    return max(
        (abs(complex(*m)) for m in numbers.get("multipliers", ())), default=np.nan
    )


def _kind(numbers: Mapping[str, Any]) -> str:
    multipliers = [complex(*pair) for pair in numbers.get("multipliers", ())]
    return bifurcation_kind(multipliers, int(numbers.get("period", 1)))
