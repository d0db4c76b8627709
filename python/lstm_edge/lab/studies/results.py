"""What a study found: its runs, the claims over them, and the rules compared."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_edge.display import plain_values
from lstm_edge.errors import LstmEdgeError, UsageError
from lstm_edge.lab.studies.early_stopping import read_early_stop
from lstm_edge.lab.studies.rules import FIRST_TRANSITION, ORACLE, Choice, choices
from lstm_edge.lab.studies.statistics import (
    ClaimCount,
    FallCount,
    Regret,
    compare_rules,
    count_claims,
    count_falls,
)
from lstm_edge.results.sweep import open_sweep, store_file
from lstm_edge.track.association import Coincidence
from lstm_edge.track.claims import Claim
from lstm_edge.track.transitions import first_transition

if TYPE_CHECKING:
    import pandas

DESCRIPTION = "study.json"
"""File in the folder of a study."""

UNFINISHED = "not finished yet"

_SERIES = ("epoch", "phase")
"""Of a run: too long for a summary."""

NAN = float("nan")


@dataclass(frozen=True)
class Run:
    """One run of a study.

    Attributes
    ----------
    folder : Path
    setting : dict
        What was varied.
    seed : int
    message : str
        Why there is no result; "" where there is one.
    checkpoints, failed : int
        Analysed, and those that could not be used.
    epoch, phase : list
        Of the checkpoints analysed.
    span : (float, float)
        Epochs of the first sustained onset of chaos; NaN where there is none.
    claims : list of Claim
    coincidences : dict of str to Coincidence
        Of its falls with changes of the dynamics.
    choices : dict of str to Choice
        By rule.
    """

    folder: Path
    setting: Mapping[str, Any]
    seed: int
    message: str = ""
    checkpoints: int = 0
    failed: int = 0
    epoch: list[float] = field(default_factory=list)
    phase: list[str] = field(default_factory=list)
    span: tuple[float, float] = (NAN, NAN)
    claims: list[Claim] = field(default_factory=list)
    coincidences: dict[str, Coincidence] = field(default_factory=dict)
    choices: dict[str, Choice] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What was varied, and the seed."""
        return ", ".join([*_words(self.setting), f"seed {self.seed}"])


@dataclass(frozen=True)
class Group:
    """All runs, or those of one setting, that have a result.

    Attributes
    ----------
    name : str
    runs : int
    claims : list of ClaimCount
    falls : list of FallCount
    regrets : list of Regret
    """

    name: str
    runs: int
    claims: list[ClaimCount]
    falls: list[FallCount]
    regrets: list[Regret]


@dataclass(frozen=True)
class Study:
    """The results of a study.

    Attributes
    ----------
    folder : Path
    description : dict
        Task, seeds, what was varied, and all settings.
    runs : list of Run
        Setting by setting, by ascending seed.
    """

    folder: Path
    description: dict[str, Any]
    runs: list[Run]

    @property
    def done(self) -> list[Run]:
        """Runs that have a result."""
        return [run for run in self.runs if not run.message]

    @property
    def unfinished(self) -> dict[str, str]:
        """Label of each run without a result, and why."""
        return {run.label: run.message for run in self.runs if run.message}

    @cached_property
    def groups(self) -> list[Group]:
        """All runs together and, where settings were varied, those of each."""
        settings: dict[str, list[Run]] = {}
        for run in self.done:
            settings.setdefault(", ".join(_words(run.setting)), []).append(run)
        groups = [_group("all runs", self.done)] if self.done else []
        if len(settings) > 1:
            groups += [_group(name, runs) for name, runs in settings.items()]
        return groups

    @property
    def verdict(self) -> str:
        """Say how stopping at the first transition did, against each other rule."""
        if not self.groups:
            return "No run is done yet."
        regrets = {regret.rule: regret for regret in self.groups[0].regrets}
        edge = regrets.pop(FIRST_TRANSITION)
        beside = ", ".join(
            f"{rule} {other.better} / {other.worse}"
            for rule, other in regrets.items()
            if rule != ORACLE
        )
        return (
            f"{edge.decided} of {edge.runs} runs have a sustained transition to chaos. "
            "Stopping at the first, or at the end where there is none, loses "
            f"{edge.regret:.3g} of test loss against the best checkpoint of the run "
            "(median). Runs in which its test loss is lower / higher than that of "
            f"another rule: {beside}."
        )

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a run: what varied, span, claims, and what each rule takes."""
        rows = []
        for run in self.runs:
            row: dict[str, Any] = {**run.setting, "seed": run.seed}
            row |= {"message": run.message, "checkpoints": run.checkpoints}
            row |= {"failed": run.failed}
            row |= {"span_begin": run.span[0], "span_end": run.span[1]}
            row |= {f"claim {claim.label}": claim.answer for claim in run.claims}
            for rule, choice in run.choices.items():
                row |= {f"{rule}: epoch": choice.epoch}
                row |= {f"{rule}: test loss": choice.test_loss}
            rows.append(row)
        return rows

    def to_pandas(self) -> pandas.DataFrame:
        """Return a row a run."""
        import pandas

        return pandas.DataFrame(self.rows)

    def summary(self) -> dict[str, Any]:
        """Give everything as plain values; what is not finite is None."""
        found: dict[str, Any] = plain_values(
            {
                "study": str(self.folder),
                "description": self.description,
                "runs": [
                    {k: v for k, v in asdict(run).items() if k not in _SERIES}
                    | {"folder": str(run.folder)}
                    for run in self.runs
                ],
                "groups": [asdict(group) for group in self.groups],
            }
        )
        return found

    def __repr__(self) -> str:
        """Return the sizes."""
        return (
            f"Study({self.folder}: {self.description['task']}, {len(self.done)} of "
            f"{len(self.runs)} runs done)"
        )

    def _repr_html_(self) -> str:
        frame: str = self.to_pandas().to_html()
        return f"<b>{html.escape(repr(self))}</b>{frame}"


def _group(name: str, runs: list[Run]) -> Group:
    return Group(
        name=name,
        runs=len(runs),
        claims=count_claims([run.claims for run in runs]),
        falls=count_falls([run.coincidences for run in runs]),
        regrets=compare_rules([run.choices for run in runs]),
    )


def _words(setting: Mapping[str, Any]) -> list[str]:
    return [f"{name.replace('_', ' ')} {value}" for name, value in setting.items()]


def run_folder(study: Path, setting: Mapping[str, Any], seed: int) -> Path:
    """Where a run of a study lies."""
    varied = ",".join(f"{name}={value}" for name, value in setting.items())
    return study / varied / f"seed-{seed}"


def early_stop_file(run: Path, share: float, patience: int) -> Path:
    """Where a run keeps what early stopping took."""
    return run / "early-stopping" / f"held-out-{share:g}-patience-{patience}.json"


def open_study(folder: str | PathLike[str]) -> Study:
    """Read a study, at any time, also while it goes on.

    Parameters
    ----------
    folder : path

    Raises
    ------
    UsageError
        If it is no study.
    """
    place = Path(folder)
    try:
        description = json.loads((place / DESCRIPTION).read_text())
        runs = [(setting, seed) for setting, seed in description["runs"]]
        shares, patience = description["shares"], description["patience"]
        failed = dict(description.pop("failed", {}))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(
            f"{place}: expected the folder of a study, made by 'lstm-edge study', "
            f"found none ({error})"
        ) from error
    return Study(
        place,
        description,
        [
            _read_run(place, setting, seed, shares, patience, failed)
            for setting, seed in runs
        ],
    )


def _read_run(
    study: Path,
    setting: Mapping[str, Any],
    seed: int,
    shares: list[float],
    patience: int,
    failed: Mapping[str, str],
) -> Run:
    folder = run_folder(study, setting, seed)
    files = [early_stop_file(folder, share, patience) for share in shares]
    try:
        if (name := folder.relative_to(study).as_posix()) in failed:
            raise LstmEdgeError(str(failed[name]))
        if not all(file.exists() for file in (store_file(folder), *files)):
            raise LstmEdgeError(UNFINISHED)
        sweep = open_sweep(folder)
        visited = {*sweep.names, *(name for name, _ in sweep.failed)}
        if len(visited) < len(sweep.checkpoints):
            raise LstmEdgeError(UNFINISHED)
        stops = [read_early_stop(file) for file in files]
        found = choices(sweep, stops)
        track = sweep.track
    except LstmEdgeError as error:
        return Run(folder, setting, seed, message=str(error))
    first = first_transition(track.transitions)
    span = (NAN, NAN)
    if first is not None:
        begin, end = np.interp(first.span, track.update, track.epoch).tolist()
        span = (begin, end)
    return Run(
        folder=folder,
        setting=setting,
        seed=seed,
        checkpoints=len(sweep.names),
        failed=len({name for name, _ in sweep.failed}),
        epoch=sweep.table["epoch"].tolist(),
        phase=sweep.table["phase"].tolist(),
        span=span,
        claims=track.claims,
        coincidences=track.coincidences,
        choices=found,
    )
