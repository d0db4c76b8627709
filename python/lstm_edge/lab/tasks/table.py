"""Training tasks and the presets of their settings: two tables."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from lstm_edge.errors import UsageError
from lstm_edge.lab.tasks.digits import make_digits
from lstm_edge.lab.tasks.imdb import make_imdb
from lstm_edge.lab.tasks.lorenz import make_lorenz
from lstm_edge.lab.tasks.sequence import make_sequence
from lstm_edge.lab.tasks.task import (
    BINARY,
    CELLS,
    CLASSES,
    FORECAST,
    Classifier,
    Forecaster,
    Objective,
    Task,
)
from lstm_edge.lab.tasks.text import make_text

__all__ = [
    "BINARY",
    "CELLS",
    "CLASSES",
    "FORECAST",
    "PRESETS",
    "TASKS",
    "Classifier",
    "Forecaster",
    "Objective",
    "Preset",
    "Task",
    "find_preset",
    "make_task",
]

TASKS: dict[str, Callable[..., Task]] = {
    "digits": make_digits,
    "imdb": make_imdb,
    "lorenz": make_lorenz,
    "sequence": make_sequence,
    "text": make_text,
}
"""Name to a function of ``(data, *, seed, **options)`` that makes the task."""


@dataclass(frozen=True)
class Preset:
    """Settings of training that belong together.

    Attributes
    ----------
    task : str
        What they are for.
    settings : dict
        Arguments of `train`.
    options : dict
        Arguments of the function in `TASKS`.
    """

    task: str
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


WEI_2025 = Preset(
    task="imdb",
    settings={
        "hidden_size": 60,
        "layers": 1,
        "learning_rate": 5e-4,
        "batch_size": 32,
        "epochs": 10_000,
    },
    options={"length": 500, "embedding_size": 32},
)

WEI_2025_SMALL = Preset(
    task="imdb",
    settings=WEI_2025.settings
    | {"learning_rate": 2e-3, "batch_size": 64, "epochs": 1_000},
    options=WEI_2025.options | {"length": 60, "reviews": 2_000},
)

DIGITS = Preset(
    task="digits",
    settings={
        "hidden_size": 100,
        "learning_rate": 1e-2,
        "betas": (0.9, 0.99),  # the falls of the test loss come soon
        "batch_size": 64,
        "epochs": 700,
    },
)

LORENZ = Preset(
    task="lorenz",
    settings={
        "hidden_size": 64,
        "learning_rate": 5e-3,
        "decay": 0.01,
        "batch_size": 32,
        "epochs": 100,
    },
)

PRESETS: dict[str, Preset] = {
    "digits": DIGITS,
    "imdb": WEI_2025,
    "lorenz": LORENZ,
    "wei2025": WEI_2025,
    "wei2025-small": WEI_2025_SMALL,
}
"""By name; the one named like a task is that task's own."""


def make_task(
    name: str,
    data: str | PathLike[str] | None = None,
    *,
    seed: int = 0,
    **options: Any,
) -> Task:
    """Make a task by its name in `TASKS`.

    Raises
    ------
    UsageError
        If there is none, or it does not take the options or the data.
    """
    if name not in TASKS:
        raise UsageError(f"task: expected one of {', '.join(TASKS)}, found {name!r}")
    known = [*inspect.signature(TASKS[name]).parameters][2:]
    for option in options:
        if option not in known:
            listed = ", ".join(known) or "none"
            raise UsageError(
                f"{option}: no option of the task {name!r}; expected {listed}"
            )
    return TASKS[name](data, seed=seed, **options)


def find_preset(name: str | None, task: str) -> Preset:
    """Give the preset asked for, else the task's own.

    Raises
    ------
    UsageError
        If there is none of that name, or it is for another task.
    """
    if name is None:
        return PRESETS.get(task, Preset(task))
    found = PRESETS.get(name)
    if found is None or found.task != task:
        listed = [known for known, preset in PRESETS.items() if preset.task == task]
        raise UsageError(
            f"preset: expected one of {', '.join(listed) or 'none'} for the task "
            f"{task!r}, found {name!r}"
        )
    return found
