"""A study: one training over seeds and settings."""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from lstm_edge.errors import LstmEdgeError, UsageError
from lstm_edge.files.places import replace_file
from lstm_edge.lab.studies.job import RunJob
from lstm_edge.lab.studies.planning import plan_study
from lstm_edge.lab.studies.processes import Event, do_all
from lstm_edge.lab.studies.results import DESCRIPTION, Study, open_study, run_folder
from lstm_edge.lab.tasks.table import TASKS
from lstm_edge.lab.training.space import Space
from lstm_edge.lab.training.training import train, versions
from lstm_edge.measures.cost import available_cores
from lstm_edge.measures.system import count
from lstm_edge.sweep.plan import merge_settings

SHARES = (0.1, 0.2)
"""Shares of the training set that early stopping holds out."""

PATIENCE = 20
"""Epochs."""

_SETTINGS = (
    "cell",
    "hidden_size",
    "layers",
    "learning_rate",
    "decay",
    "epsilon",
    "weight_decay",
    "clip",
    "batch_size",
    "epochs",
)
"""Settings of training that may be varied."""

_TRAINING = {*inspect.signature(train).parameters} - {
    "task",
    "out",
    "seed",
    "at_edge",
    "on_plan",
    "progress",
}
"""Arguments of `train` that a study leaves to its user."""


@dataclass(frozen=True)
class StudyProgress:
    """How far a study is.

    Attributes
    ----------
    done, failed, total : int
        Runs.
    text : str
        What the run that was heard of last is doing, or why it failed.
    error : bool
        Whether it failed just now.
    """

    done: int
    failed: int
    total: int
    text: str
    error: bool


def study(
    task: str = "digits",
    out: str | PathLike[str] | None = None,
    *,
    seeds: int | Iterable[int] = 10,
    vary: Mapping[str, Sequence[Any]] | None = None,
    training: Mapping[str, Any] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    shares: Iterable[float] = SHARES,
    patience: int = PATIENCE,
    jobs: int | None = None,
    on_plan: Callable[[Space], None] | None = None,
    progress: Callable[[StudyProgress], None] | None = None,
) -> Study:
    """Train with several seeds and settings, analyse all, and compare stopping rules.

    Every run is trained and every checkpoint of it analysed, then trained twice more
    with a part of its training set held out, until early stopping ends that. A study
    that was killed goes on when the call is made again, and more seeds or settings may
    be asked for; what is done is not done again.

    Parameters
    ----------
    task : str, default "digits"
        A name in `TASKS`.
    out : path, optional
        Folder of the study; ``studies/<task>`` by default. Each run has a folder in it.
    seeds : int or iterable of int
        How many, from 0 on, or which.
    vary : mapping of str to sequence, optional
        The cell, settings of `train` with a number, or options of the task, with the
        values to take; all combinations are run with all seeds.
    training : mapping, optional
        Other arguments of `train`.
    settings : mapping of measure to mapping, optional
        Of `analyze`.
    shares : iterable of float
        Shares of the training set, in (0, 1), for early stopping.
    patience : int
        Epochs without a lower held-out loss that end it.
    jobs : int, optional
        Processes. Default: one a core. With 1 all is done in this process; with more,
        a script that calls this needs the usual ``if __name__ == "__main__":``.
    on_plan : callable, optional
        Called before anything runs with the `Space` that all runs still need.
    progress : callable, optional
        Called with a `StudyProgress` now and then.

    Returns
    -------
    Study
        A run that cannot work, or fails, costs itself: it is told in
        `Study.unfinished`, and tried again by the next call.

    Raises
    ------
    UsageError
        An argument out of range, or a run is there with other settings.
    LstmEdgeError
        If no run can work, or the disk has not the space that all need.
    """
    merge_settings(settings)  # refuses what no sweep could take
    grid = list(_settings(task, vary or {}))
    chosen = list(range(count("seeds", seeds)) if isinstance(seeds, int) else seeds)
    if len(set(chosen)) < max(1, len(chosen)):
        raise UsageError(f"seeds: expected some, each once, found {chosen}")
    parts = tuple(_share(value) for value in shares)
    folder = Path("studies") / task if out is None else Path(out)
    cores = available_cores()
    most = count("jobs", cores if jobs is None else jobs)
    most = min(most, len(grid) * len(chosen))
    work = [
        RunJob(
            folder=run_folder(folder, setting, seed),
            task=task,
            arguments=_arguments(task, training or {}, setting, seed),
            settings=settings,
            shares=parts,
            patience=count("patience", patience),
            threads=max(1, cores // most),
        )
        for setting in grid
        for seed in chosen
    ]
    description = {
        "task": task,
        "runs": [(setting, seed) for setting in grid for seed in chosen],
        "training": _given(training or {}),
        "settings": settings or {},
        "shares": parts,
        "patience": patience,
        "versions": versions(),
    }
    failed: dict[str, str] = {}
    ended: set[Path] = set()

    def hear(path: Path, event: Event) -> None:
        wrong = isinstance(event, LstmEdgeError)
        if wrong:
            failed[path.relative_to(folder).as_posix()] = str(event)
            with suppress(UsageError):  # a full disk; it is told all the same
                _describe(folder, description | {"failed": failed})
        if not isinstance(event, str):
            ended.add(path)
        if progress is not None:
            text = f"{path.relative_to(folder)}: {event or 'done'}"
            progress(StudyProgress(len(ended), len(failed), len(work), text, wrong))

    plan = plan_study(work, hear)
    if on_plan is not None:
        on_plan(plan.space)
    plan.space.check(folder, "study")
    _describe(folder, description)
    for path, error in plan.refused.items():
        hear(path, error)
    do_all(plan.work, most, hear)
    return open_study(folder)


def _describe(folder: Path, description: Mapping[str, Any]) -> None:
    """Say what the study is, in its folder."""
    text = json.dumps(description, indent=2, default=str)
    try:
        replace_file(folder / DESCRIPTION, text.encode())
    except OSError as error:
        raise UsageError(f"{folder}: cannot hold a study ({error})") from error


def _settings(task: str, vary: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Give all combinations of what is varied."""
    for name, values in vary.items():
        if name not in (known := [*_SETTINGS, *_options(task)]):
            raise UsageError(
                f"vary: expected some of {', '.join(known)}, found {name!r}"
            )
        kinds = str if name == "cell" else int | float
        some = isinstance(values, Sequence) and not isinstance(values, str)
        if not some or not all(isinstance(v, kinds) for v in values):
            words = "names" if name == "cell" else "numbers"
            raise UsageError(f"vary: {name}: expected {words}, found {values}")
        if len(set(values)) < max(1, len(values)):
            raise UsageError(
                f"vary: {name}: expected values, each once, found {values}"
            )
    for values in itertools.product(*vary.values()):
        yield dict(zip(vary, values, strict=True))


def _options(task: str) -> list[str]:
    if task not in TASKS:
        raise UsageError(f"task: expected one of {', '.join(TASKS)}, found {task!r}")
    return [*inspect.signature(TASKS[task]).parameters][2:]


def _arguments(
    task: str, training: Mapping[str, Any], setting: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Give the arguments of `train` for one run."""
    options = {k: v for k, v in setting.items() if k not in _SETTINGS}
    settings = {k: v for k, v in setting.items() if k in _SETTINGS}
    given = _given(training)
    if unknown := sorted({*given} - _TRAINING):
        raise UsageError(
            f"training: expected some of {', '.join(sorted(_TRAINING))}, found "
            f"{', '.join(unknown)}"
        )
    return {
        **given,
        **settings,
        "seed": seed,
        "options": {**given.get("options", {}), **options},
    }


def _given(training: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not given."""
    given = {name: value for name, value in training.items() if value is not None}
    if "options" in given:
        given["options"] = _given(given["options"])
    return given


def _share(value: float) -> float:
    if not 0 < value < 1:
        raise UsageError(f"shares: expected some between 0 and 1, found {value}")
    return value
