"""Commands that measure checkpoints: analyze, watch, merge."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstm_edge.cli.group import (
    DONE,
    SOME_FAILED,
    analysis_line,
    embedding_option,
    examples,
    json_option,
    main,
    module_option,
    quiet_option,
    readout_option,
)
from lstm_edge.errors import UsageError

if TYPE_CHECKING:
    from lstm_edge.report.live import LivePage
    from lstm_edge.sweep.watching import Watched

SETTINGS = (
    click.option(
        "--steps",
        type=int,
        show_default="2000",
        help="Measured steps of the exponents.",
    ),
    click.option(
        "--transient", type=int, show_default="1000", help="Steps before them."
    ),
    click.option("--starts", type=int, show_default="8", help="Ensemble of starts."),
    click.option(
        "--samples",
        type=int,
        show_default="500",
        help="Samples of the asymptotic distance D~, as many as the paper takes.",
    ),
)
"""Options of the measures."""

_OPTIONS = (
    click.argument("checkpoints", nargs=-1, required=True),
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        show_default="analysis.sqlite in the run",
        help="The store (SQLite).",
    ),
    click.option(
        "--metrics",
        show_default="found",
        help="Log of training: CSV, JSON, TensorBoard.",
    ),
    click.option(
        "--time-from", metavar="REGEX", help="Finds the time in a file's name."
    ),
    click.option("--time-column", help="Of the log: updates or epochs."),
    click.option("--loss-column", help="Of the log: the test loss."),
    click.option(
        "--time-offset",
        type=int,
        help="Added to the times of the log to give those of the checkpoints.",
    ),
    click.option(
        "--inputs",
        metavar="FILE",
        help="Inputs (B, T, I) or tokens: .npy, .npz, .safetensors, .csv, .parquet.",
    ),
    click.option("--zero", is_flag=True, help="Zero input, even beside a probe."),
    click.option("--closed-loop", is_flag=True, help="The readout is the next input."),
    *SETTINGS,
    click.option(
        "--precision",
        "enough",  # in study, --precision is that of training
        type=float,
        show_default="0.1, and none with --samples",
        help="Standard error of D~ that is enough.",
    ),
    click.option(
        "--seed",
        type=int,
        show_default="0",
        help="Of starts, frames and perturbations.",
    ),
    module_option,
    readout_option,
    embedding_option,
    click.option(
        "--constant-token",
        type=int,
        help="Token, as that of padding at the end, in the place of zero input.",
    ),
)


def _what_to_measure(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that analyze and watch share."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def measure_settings(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Take the settings of the measures from the options given."""
    names = ("steps", "transient", "starts", "samples", "seed")
    given = {name: options.pop(name, None) for name in names}
    given["precision"] = options.pop("enough", None)
    return {
        measure: {name: given[name] for name in taken if given[name] is not None}
        for measure, taken in {
            "lyapunov": ("steps", "transient", "starts", "seed"),
            "attractors": ("transient", "starts", "seed"),
            "distance": ("samples", "precision", "seed"),
        }.items()
    }


def _plan(options: dict[str, Any]) -> dict[str, Any]:
    """Turn those options into arguments of the functions."""
    from lstm_edge.files.inputs import read_inputs
    from lstm_edge.files.metrics import LogOptions
    from lstm_edge.files.places import as_place

    regimes = {name: options.pop(name) for name in ("zero", "closed_loop", "inputs")}
    given = [f"--{name.replace('_', '-')}" for name, value in regimes.items() if value]
    if len(given) > 1:
        raise UsageError(f"{', '.join(given)}: expected one of them, found all")
    inputs: Any = "closed loop" if regimes["closed_loop"] else "probe"
    if regimes["zero"]:
        inputs = None
    if regimes["inputs"]:
        inputs = read_inputs(as_place(regimes["inputs"]))
    names = ("time_column", "loss_column", "time_offset")
    log = LogOptions(**{name: options.pop(name) for name in names})
    settings = measure_settings(options)
    return {"inputs": inputs, "log": log, "settings": settings, **options}


@main.command(
    epilog=examples(
        "lstm-edge analyze runs/digits",
        "lstm-edge analyze 'ckpts/*.pt' --metrics losses.csv --out results.sqlite",
        "lstm-edge analyze s3://bucket/run --refine --dask tcp://10.0.0.1:8786",
    )
)
@_what_to_measure
@click.option("--spectrum", is_flag=True, help="All exponents rather than two.")
@click.option("--refine", is_flag=True, help="Only what the transitions hang on.")
@click.option(
    "--workers", type=int, show_default="the cores", help="Checkpoints at a time."
)
@click.option("--dask", metavar="ADDRESS", help="Measure on a Dask cluster.")
@click.option("--strict", is_flag=True, help="Stop at the first bad checkpoint.")
@json_option
@quiet_option
def analyze(dask: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Measure all checkpoints, find the transitions.

    CHECKPOINTS are a run, folders of weight files, files or globs, here or at any
    URL that fsspec knows.

    The same command again goes on where it ended and computes nothing twice.
    """
    from rich.console import Console

    from lstm_edge.cli.console import print_json, progress, show_sweep, told
    from lstm_edge.sweep.analysis import analyze as sweep_over
    from lstm_edge.sweep.cluster import dask_executor

    arguments = _plan(options)
    console = Console()
    with ExitStack() as stack:
        if not as_json:
            stack.enter_context(told(console))
        if dask is not None:
            executor, threads = stack.enter_context(dask_executor(dask))
            arguments["executor"] = executor
            arguments["workers"] = arguments["workers"] or 2 * threads
        advance = stack.enter_context(progress(console, quiet, as_json))
        sweep = sweep_over(progress=analysis_line(advance), **arguments)
    if as_json:
        print_json("summary", **sweep.summary())
    else:
        show_sweep(console, sweep)
        click.echo(f"results: {sweep.path}")
        if sweep.names:
            click.echo(f"next: lstm-edge report {shlex.quote(str(sweep.path))}")
    sys.exit(SOME_FAILED if sweep.failed else DONE)


@main.command(
    epilog=examples("lstm-edge watch runs/digits", "lstm-edge watch runs/digits --page")
)
@_what_to_measure
@click.option("--workers", default=1, show_default=True, help="Checkpoints at a time.")
@click.option("--poll", default=2.0, show_default=True, help="Seconds between looks.")
@click.option("--idle", type=float, help="End when nothing new came in these seconds.")
@click.option("--page", is_flag=True, help="Serve the report, to this machine alone.")
@click.option("--port", default=0, show_default="a free one", help="Of that page.")
@json_option
@quiet_option
def watch(page: bool, port: int, as_json: bool, quiet: bool, **options: Any) -> None:
    """Measure checkpoints as training writes them.

    Works at the lowest priority, so that training on the same machine keeps its speed.
    Ctrl-C ends it; analyze with the same options goes on where it ended. With --page a
    browser shows the report at the address printed, and adds checkpoints as they come.
    """
    from lstm_edge.cli.console import show_watched
    from lstm_edge.sweep.watching import watch as watch_over

    if hasattr(os, "nice"):
        os.nice(19)
    if hasattr(os, "SCHED_IDLE"):  # what the niceness leaves, on Linux
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with ExitStack() as stack:
        watched = watch_over(**_plan(options))
        if page:
            from lstm_edge.report.live import LivePage, serve

            shown = LivePage()
            click.echo(f"page: {stack.enter_context(serve(shown, port))}", err=True)
            watched = _shown_by(shown, watched)
        failed = show_watched(watched, quiet, as_json)
    sys.exit(SOME_FAILED if failed else DONE)


def _shown_by(page: LivePage, watched: Generator[Watched]) -> Generator[Watched]:
    """Tell the page where the results are; leave it beside them at the end."""
    with closing(watched):
        for row in watched:
            page.store = row.store
            yield row
    page.content()


@main.command(
    epilog=examples("lstm-edge merge first.sqlite second.sqlite -o whole.sqlite")
)
@click.argument("stores", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The store to make, or to add to.",
)
@json_option
def merge(stores: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Put the results of STORES, parts of one sweep, into one store.

    They may have been made on different machines, and are not changed. Nothing is
    computed, and nothing is there twice.
    """
    from lstm_edge.cli.console import print_json
    from lstm_edge.display import counted
    from lstm_edge.results.merging import merge_stores

    sweep = merge_stores(stores, out)
    if as_json:
        print_json("summary", **sweep.summary())
    else:
        number = counted(len(sweep.names), "checkpoint")
        click.echo(f"results: {sweep.path} ({number})")
        click.echo(f"next: lstm-edge report {shlex.quote(str(sweep.path))}")


@main.command(epilog=examples("lstm-edge falls runs/digits"))
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--replay", is_flag=True, help="Replay each, update by update.")
@json_option
def falls(store: Path, replay: bool, as_json: bool) -> None:
    """Say what goes with each fall of the test loss in STORE.

    The net before and after, the jump of its exponent, changes of stability and of
    chaos, and what the optimiser did: as finely as the checkpoints lie or, replayed, at
    every update. STORE are results, or their run folder.
    """
    from dataclasses import asdict

    from rich.console import Console

    from lstm_edge.cli.console import print_json, show_falls
    from lstm_edge.display import plain_values
    from lstm_edge.results.sweep import open_sweep

    sweep = open_sweep(store)
    found = sweep.track.anatomies
    if replay:
        from lstm_edge.lab.falls import replay_falls

        found = replay_falls(sweep)
    if as_json:
        for one in found:
            print_json("fall", **plain_values(asdict(one)))
    else:
        show_falls(Console(), found, sweep.track)


@main.command(epilog=examples("lstm-edge average runs/digits --from 400 --to 440"))
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--from", "first", type=float, help="Update to begin with.")
@click.option("--to", "last", type=float, help="Update to end with.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="The file; default: average.safetensors in RUN.",
)
def average(
    run: Path, first: float | None, last: float | None, out: Path | None
) -> None:
    """Average the weights of a part of RUN.

    By default over the later half of the first edge, which analyze has found: from its
    middle to the onset of chaos. No test set is needed for that.
    """
    from lstm_edge.results.averaging import average_checkpoints

    click.echo(average_checkpoints(run, out, first=first, last=last))
