"""Commands that train: demo, train, zoom."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lstm_edge.cli.group import (
    DONE,
    SOME_FAILED,
    analysis_line,
    examples,
    json_option,
    main,
    quiet_option,
    training_line,
)
from lstm_edge.errors import UsageError


@main.command(epilog=examples("lstm-edge demo"))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("lstm-edge-demo"),
    show_default=True,
    help="Run folder.",
)
@click.option("--quick", is_flag=True, help="A smaller net, some 15 seconds.")
@click.option("--full", is_flag=True, help="Every epoch, the paper's 500 samples.")
@click.option("--seed", type=int, help="Another run; default: 0.")
@quiet_option
def demo(out: Path, quick: bool, full: bool, seed: int | None, quiet: bool) -> None:
    """Train on real digits, analyse, report.

    No network needed; about two and a half minutes on two cores. The same command
    again goes on where it ended.
    """
    from rich.console import Console

    from lstm_edge.cli.console import progress, show_sweep
    from lstm_edge.lab import demo as demos

    if quick and full:
        raise UsageError("--quick, --full: expected one of them, found both")
    size = demos.QUICK if quick else demos.FULL if full else demos.STANDARD
    console = Console()
    with progress(console, quiet) as advance:
        sweep = demos.demo(
            out,
            size=size,
            seed=demos.SEED if seed is None else seed,
            on_training=training_line(advance),
            on_analysis=analysis_line(advance),
        )
    show_sweep(console, sweep)
    click.echo(f"report: {out / 'report.html'}")
    sys.exit(SOME_FAILED if sweep.failed else DONE)


_evaluate = click.option(
    "--evaluate",
    help="Losses on the whole sets at the first checkpoint after so much: 1epoch, ...",
)

_OF_THE_TASK = {
    "text_column": click.option("--text-column", help="Of the table: text."),
    "label_column": click.option("--label-column", help="Of the table: text."),
    "length": click.option(
        "--length", type=int, help="Steps of a sequence: imdb, text, lorenz."
    ),
    "vocabulary": click.option("--vocabulary", type=int, help="Tokens: imdb, text."),
    "embedding_size": click.option(
        "--embedding-size", type=int, help="Numbers a token: imdb, text."
    ),
    "padding": click.option(
        "--padding",
        type=click.Choice(["front", "end"]),
        help="Where short reviews are filled up: imdb.",
    ),
    "reviews": click.option("--reviews", type=int, help="How many to take: imdb."),
    "shortest": click.option(
        "--shortest", type=int, help="Words of a review at least: imdb."
    ),
    "longest": click.option(
        "--longest", type=int, help="Words of a review at most: imdb."
    ),
    "sequences": click.option(
        "--sequences", type=int, help="How many to make: lorenz."
    ),
    "dt": click.option("--dt", type=float, help="Time of a step: lorenz, sequence."),
}

_TRAINING = (
    click.option("--data", type=click.Path(path_type=Path), help="Data of the task."),
    click.option("--preset", help="Settings to begin with: wei2025, wei2025-small."),
    click.option("--cell", help="lstm (default), gru or rnn, as PyTorch names them."),
    click.option("--hidden-size", type=int, help="Units a layer."),
    click.option("--layers", type=int, help="Recurrent layers."),
    click.option("--learning-rate", type=float, help="Of Adam."),
    click.option(
        "--decay", type=float, help="Factor of the learning rate until the end."
    ),
    click.option("--betas", type=(float, float), help="Of Adam."),
    click.option("--epsilon", type=float, help="Of Adam."),
    click.option("--weight-decay", type=float, help="Of Adam: L2, in the gradient."),
    click.option("--clip", type=float, help="Largest norm of the gradient."),
    click.option("--precision", help="float32 (default) or float64."),
    click.option("--batch-size", type=int, help="Sequences an update."),
    click.option("--epochs", type=int),
    click.option(
        "--every",
        default="1epoch",
        show_default=True,
        help="Checkpoint schedule: 1epoch, 10updates, log:20 (a decade), edge, ...",
    ),
    _evaluate,
    click.option(
        "--device", default="cpu", show_default=True, help="As PyTorch names it."
    ),
    *_OF_THE_TASK.values(),
)


def how_to_train(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that train and study share."""
    for option in reversed(_TRAINING):
        command = option(command)
    return command


def training_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Turn those options into arguments of the function."""
    options = {name: given.pop(name) for name in _OF_THE_TASK}
    return {**given, "evaluate": given["evaluate"] or "1epoch", "options": options}


@main.command(
    epilog=examples(
        "lstm-edge train digits --hidden-size 60 --epochs 300 --out runs/digits",
        "lstm-edge train imdb --data aclImdb --preset wei2025-small",
        "lstm-edge train text --data mails.csv --text-column body --label-column spam",
    )
)
@click.argument("task", default="digits")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.")
@click.option("--seed", default=0, show_default=True)
@how_to_train
@quiet_option
def train(task: str, quiet: bool, **given: Any) -> None:
    """Train a recurrent net and keep dense checkpoints.

    \b
    TASK is one of
      digits    scikit-learn's 8 x 8 images read as 8 rows of 8
      imdb      film reviews, from the folder aclImdb or Hugging Face's Parquet files
      text      texts and their labels in a .csv, .jsonl or .parquet file
      sequence  a .npz with inputs (N, T, I), and labels (N,), or targets (N, T, O), or
                neither to forecast the next input
      lorenz    a forecaster of the Lorenz system

    What is not given comes from the preset, and that from the task. A killed run goes
    on with the same bits when the command is given again.
    """  # noqa: D301
    from rich.console import Console

    from lstm_edge.cli.console import progress
    from lstm_edge.lab.training.training import train as train_task
    from lstm_edge.measures.near_edge import at_edge

    console = Console()
    with progress(console, quiet) as advance:
        run = train_task(
            task,
            **training_arguments(given),
            at_edge=at_edge,
            on_plan=lambda space: None if quiet else click.echo(f"to write: {space}"),
            progress=training_line(advance),
        )
    click.echo(f"run: {run}")
    click.echo(f"next: lstm-edge analyze {shlex.quote(str(run))}")


@main.command(epilog=examples("lstm-edge zoom runs/digits --from 400 --to 440"))
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--from", "first", type=int, required=True, help="Update to begin at.")
@click.option("--to", "last", type=int, required=True, help="Update to end at.")
@click.option("--data", type=click.Path(path_type=Path), help="If it has moved.")
@_evaluate
@json_option
@quiet_option
def zoom(
    run: Path,
    first: int,
    last: int,
    data: Path | None,
    evaluate: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Replay a part of RUN, analyse every update.

    The replay must arrive at each checkpoint of the run with the same bytes.
    """
    from rich.console import Console

    from lstm_edge.cli.console import print_json, progress, show_sweep
    from lstm_edge.lab.zoom import zoom as replay
    from lstm_edge.sweep.analysis import analyze as sweep_over

    console = Console()
    with progress(console, quiet, as_json) as advance:
        part = replay(
            run,
            first,
            last,
            data=data,
            evaluate=evaluate or "1update",
            progress=lambda done, total: advance("replaying", done, total, ""),
        )
        sweep = sweep_over(part, progress=analysis_line(advance))
    if as_json:
        print_json("summary", **sweep.summary())
    else:
        click.echo(f"the replay arrived at update {last} with the same bytes: {part}")
        show_sweep(console, sweep)
        click.echo(f"next: lstm-edge report {shlex.quote(str(part))}")
    sys.exit(SOME_FAILED if sweep.failed else DONE)
