"""The plan of a sweep: what is measured, on all checkpoints alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lstm_edge.errors import UsageError
from lstm_edge.files.inputs import read_probe
from lstm_edge.measures.system import count, positive
from lstm_edge.measures.table import CLOSER, MEASURES, MORE
from lstm_edge.sweep.found import Found

DYNAMIC = {"lyapunov", "attractors", "distance", CLOSER}
"""The measures that follow the net in time."""


@dataclass(frozen=True)
class Plan:
    """What is measured, on all checkpoints alike.

    Attributes
    ----------
    inputs : ndarray or None
        What drives the net, as in `lyapunov`.
    settings : dict of str to dict
        Of each measure.
    names : dict of str to str
        Of the module, the readout and the embedding, where they were given.
    constant_token : int or None
        Whose embedding is the input in the place of zero.
    """

    inputs: NDArray[Any] | None
    settings: Mapping[str, Mapping[str, Any]]
    names: Mapping[str, str] = field(default_factory=dict)
    constant_token: int | None = None

    @property
    def regime(self) -> str:
        """The input regime in words."""
        if self.constant_token is None:
            return self._drive
        return f"{self._drive}; token {self.constant_token} in the place of zero"

    @property
    def _drive(self) -> str:
        if any(chosen.get("closed_loop") for chosen in self.settings.values()):
            return "closed loop"
        if self.inputs is None:
            return "zero"
        if self.inputs.dtype.kind in "iu":
            return f"integers {self.inputs.shape}, tokens where there is an embedding"
        if self.inputs.ndim == 1:
            return f"constant {self.inputs.shape}"
        kind = "one sequence" if self.inputs.ndim == 2 else "batch of sequences"
        return f"{kind} {self.inputs.shape}, then zero"

    def check_constant(self) -> None:
        """Refuse a constant token beside inputs that are no tokens."""
        if self.constant_token is None:
            return
        count("constant_token", self.constant_token, 0)
        numbers = self.inputs is not None and self.inputs.dtype.kind not in "iu"
        if numbers or self.regime.startswith("closed loop"):
            raise UsageError(
                f"constant_token: expected tokens or no inputs, found {self.regime}"
            )

    def check_that_inputs_end(self) -> None:
        """Refuse inputs that last beyond the transient, or beyond the T of D~.

        The columns of a sweep are those of the autonomous map.
        """
        if self.inputs is None or self.inputs.ndim == 1:
            return
        tokens = self.inputs.dtype.kind in "iu"
        length = self.inputs.shape[-1 if tokens else -2]
        for measure, name in (
            ("lyapunov", "transient"),
            ("attractors", "transient"),
            ("distance", "steps"),
        ):
            most = self.settings.get(measure, {}).get(name, length)
            if length > most:
                raise UsageError(
                    f"inputs: expected at most {most} steps, the {name} of {measure}, "
                    f"found {length}; a sweep measures the net after its inputs: take "
                    f"a longer {name}, or shorter inputs"
                )

    @cached_property
    def inputs_digest(self) -> str:
        """SHA-256 (hex) of the inputs; "zero" where there are none."""
        if self.inputs is None:
            return "zero"
        sha = hashlib.sha256(f"{self.inputs.shape}{self.inputs.dtype}".encode())
        sha.update(np.ascontiguousarray(self.inputs).data)
        return sha.hexdigest()

    @cached_property
    def measures(self) -> dict[str, tuple[int, dict[str, Any]]]:
        """Measure to all that determines its result, beside the weights."""
        alike: dict[str, Any] = {**self.names, "inputs": self.inputs_digest}
        if self.constant_token is not None:
            alike["constant_token"] = self.constant_token
        return {
            name: (MEASURES[name].revision, {**chosen, **alike})
            for name, chosen in self.settings.items()
        }


def make_plan(
    found: Found,
    inputs: ArrayLike | str | None,
    settings: Mapping[str, Mapping[str, Any]] | None,
    names: Mapping[str, str | None],
    *,
    spectrum: bool = False,
    constant_token: int | None = None,
) -> Plan:
    """Settle what is measured of the checkpoints found.

    Parameters
    ----------
    found : Found
    inputs, settings, spectrum, constant_token
        As in `analyze`.
    names : dict of str to str or None
        Of the module, the readout and the embedding.
    """
    if isinstance(inputs, str) and inputs == "probe" and found.forecasts:
        inputs = "closed loop"
    closed_loop = isinstance(inputs, str) and inputs == "closed loop"
    plan = Plan(
        inputs=choose_inputs(inputs, found.run),
        settings=merge_settings(settings, spectrum=spectrum, closed_loop=closed_loop),
        names={what: name for what, name in names.items() if name is not None},
        constant_token=constant_token,
    )
    plan.check_constant()
    plan.check_that_inputs_end()
    return plan


def choose_inputs(inputs: ArrayLike | str | None, run: Path) -> NDArray[Any] | None:
    """Take the inputs given; "probe" are those of the run, where it has any.

    Raises
    ------
    UsageError, CheckpointError
        Inputs, or a probe, that cannot be used.
    """
    if isinstance(inputs, str):
        if inputs == "closed loop":
            return None
        if inputs != "probe":
            raise UsageError(
                "inputs: expected 'probe', 'closed loop', None or an array, found "
                f"{inputs!r}"
            )
        return read_probe(run)
    if inputs is None:
        return None
    try:
        array = np.asarray(inputs)
    except ValueError as error:
        raise UsageError(f"inputs: expected an array ({error})") from error
    if array.ndim not in (1, 2, 3) or array.dtype.kind not in "fiub":
        raise UsageError(
            "inputs: expected numbers of shape (I,), (T, I) or (B, T, I), found "
            f"{array.dtype} of shape {array.shape}"
        )
    return array


def merge_settings(
    settings: Mapping[str, Mapping[str, Any]] | None,
    *,
    spectrum: bool = False,
    closed_loop: bool = False,
) -> dict[str, dict[str, Any]]:
    """Add the user's settings to the defaults of the measures.

    Parameters
    ----------
    settings : mapping of measure to mapping, optional
    spectrum : bool
        All exponents.
    closed_loop : bool
        Of the net whose readout is its next input.

    Raises
    ------
    UsageError
        A measure or a setting that there is not.
    """
    changes = dict(settings or {})
    _known("settings", changes, MEASURES)
    for name, change in changes.items():
        _check(f"settings[{name!r}]", change, MEASURES[name].defaults)
    merged = {
        name: {**measure.defaults, **changes.get(name, {})}
        for name, measure in MEASURES.items()
    }
    given = changes.get("distance", {})
    if "samples" in given:  # all that were asked for
        merged["distance"]["precision"] = given.get("precision")
    if CLOSER in merged and "attractors" in merged:
        starts = MORE * merged["attractors"]["starts"]
        alike = {**merged["attractors"], "starts": starts}
        merged[CLOSER] = {**alike, **changes.get(CLOSER, {})}
    if spectrum:
        merged["lyapunov"]["k"] = None
    if closed_loop:
        for name in DYNAMIC & merged.keys():
            merged[name]["closed_loop"] = True
    return merged


def _check(where: str, change: object, defaults: Mapping[str, Any]) -> None:
    """Refuse before anything is measured what no checkpoint could take."""
    if not isinstance(change, Mapping):
        raise UsageError(f"{where}: expected settings by name, found {change!r}")
    _known(where, change, defaults)
    for name, value in change.items():
        place = f"{where}: {name}"
        if value is None and name in ("k", "precision"):
            continue
        if isinstance(defaults[name], float):
            positive(place, value)
        else:
            count(place, value, 0 if name in ("seed", "transient") else 1)


def _known(where: str, names: Iterable[str], known: Iterable[str]) -> None:
    unknown = ", ".join(repr(name) for name in sorted({*names} - {*known}))
    if unknown:
        raise UsageError(
            f"{where}: expected some of {', '.join(known)}, found {unknown}"
        )
