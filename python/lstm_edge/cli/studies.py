"""The command that makes a study."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstm_edge.cli.group import (
    DONE,
    SOME_FAILED,
    examples,
    json_option,
    main,
    quiet_option,
)
from lstm_edge.cli.sweeps import SETTINGS, measure_settings
from lstm_edge.cli.training import how_to_train, training_arguments
from lstm_edge.errors import UsageError

if TYPE_CHECKING:
    from lstm_edge.lab.studies.studying import StudyProgress
    from lstm_edge.lab.training.space import Space


def _how_to_measure(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(SETTINGS):
        command = option(command)
    return command


@main.command(
    epilog=examples(
        "lstm-edge study digits --seeds 10",
        "lstm-edge study digits --seeds 5 --vary cell=lstm,gru --vary layers=1,2",
    )
)
@click.argument("task", default="digits")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the study.")
@click.option("--seeds", default=10, show_default=True, help="How many, from 0 on.")
@click.option(
    "--vary",
    multiple=True,
    metavar="NAME=VALUE,VALUE",
    help="Values to take in turn, of a setting or option; may be repeated.",
)
@click.option(
    "--held-out",
    "shares",
    multiple=True,
    type=float,
    default=(0.1, 0.2),
    show_default=True,
    help="Share of the training set for early stopping; may be repeated.",
)
@click.option(
    "--patience", default=20, show_default=True, help="Of early stopping, in epochs."
)
@click.option("--jobs", type=int, help="Runs at a time; default: the cores.")
@how_to_train
@_how_to_measure
@json_option
@quiet_option
def study(
    task: str,
    out: Path | None,
    seeds: int,
    vary: tuple[str, ...],
    shares: tuple[float, ...],
    patience: int,
    jobs: int | None,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Train with several seeds, analyse all, compare when to stop.

    TASK is one of those of train. Per run the claims of Wei et al. 2025; over the runs
    how often each holds, and what is lost by stopping at the first transition to chaos,
    against early stopping on held-out data, the last checkpoint, and the best one.

    A killed study goes on when the command is given again; more seeds or values may be
    asked for.
    """
    from rich.console import Console

    from lstm_edge.cli.console import print_json, progress, show_study
    from lstm_edge.lab.studies.page import write_study
    from lstm_edge.lab.studies.studying import study as run_study

    settings = measure_settings(given)
    console = Console()

    def say_space(space: Space) -> None:
        if as_json:
            print_json("plan", **asdict(space))
        elif not quiet:
            click.echo(f"to write: {space}")

    def line(p: StudyProgress) -> None:
        advance("runs", p.done, p.total, p.text)
        if p.error and not (as_json or quiet):
            console.print(p.text, style="red", markup=False)

    with progress(console, quiet, as_json) as advance:
        found = run_study(
            task,
            out,
            seeds=seeds,
            vary=_grid(vary),
            training=training_arguments(given),
            settings=settings,
            shares=shares,
            patience=patience,
            jobs=jobs,
            on_plan=say_space,
            progress=line,
        )
    report = write_study(found, found.folder / "report.html")
    if as_json:
        print_json("summary", **found.summary())
    else:
        show_study(console, found)
        click.echo(f"report: {shlex.quote(str(report))}")
    sys.exit(SOME_FAILED if found.unfinished else DONE)


def _grid(texts: tuple[str, ...]) -> dict[str, list[float | str]]:
    """Read what is varied, each thing once."""
    grid: dict[str, list[float | str]] = {}
    for name, values in map(_values, texts):
        if name in grid:
            raise UsageError(f"--vary: expected {name} once, with all its values")
        grid[name] = values
    return grid


def _values(text: str) -> tuple[str, list[float | str]]:
    """Read NAME=VALUE,VALUE."""
    name, equals, values = text.partition("=")
    if not equals:
        raise UsageError(f"--vary: expected NAME=VALUE,VALUE, found {text!r}")
    return name.strip().replace("-", "_"), [_value(v) for v in values.split(",")]


def _value(text: str) -> float | str:
    """Read a whole number, else a number, else take the text."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text.strip()
