"""The command line: parsing and printing, nothing else."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from lstm_edge import __version__
from lstm_edge.errors import LstmEdgeError, UsageError

Advance = Callable[[str, int, int | None, str], None]
DONE, FAILED, WRONG_USAGE, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130


def _examples(*lines: str) -> str:
    """Give an epilog that click leaves as it is."""
    return "\b\nExample:\n  " + "\n  ".join(lines)


class _Command(click.Command):
    """A command whose errors are one line for people."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LstmEdgeError as error:
            if ctx.find_root().params.get("debug"):
                raise
            click.echo(f"error: {error}", err=True)
            ctx.exit(WRONG_USAGE if isinstance(error, UsageError) else FAILED)
        except KeyboardInterrupt:
            click.echo(
                "interrupted: what was finished is kept; run the same command again "
                "to go on",
                err=True,
            )
            ctx.exit(INTERRUPTED)


class _Group(click.Group):
    command_class = _Command


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExit codes: 0 done, 1 failed, 2 wrong usage, "
    "3 finished but some checkpoints\nfailed, 130 interrupted.",
)
@click.version_option(__version__, prog_name="lstm-edge")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Find where a recurrent net in training crosses between order and chaos."""


_quiet = click.option("-q", "--quiet", is_flag=True, help="No progress.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for a script.")


@main.command(epilog=_examples("lstm-edge demo"))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("lstm-edge-demo"),
    show_default=True,
    help="Run folder.",
)
@click.option("--quick", is_flag=True, help="A smaller net, some 15 seconds.")
@click.option("--full", is_flag=True, help="Every epoch, the paper's 500 samples.")
@click.option("--seed", type=int, help="Another run than the README's.")
@_quiet
def demo(out: Path, quick: bool, full: bool, seed: int | None, quiet: bool) -> None:
    """Train on real digits, analyse, report.

    No network needed; about two minutes on two cores. The same command again goes on
    where it ended.
    """
    from rich.console import Console

    from lstm_edge import demo as demos
    from lstm_edge.console import progress, show_sweep

    if quick and full:
        raise UsageError("--quick, --full: expected one of them, found both")
    size = demos.QUICK if quick else demos.FULL if full else demos.STANDARD
    console = Console()
    with progress(console, quiet) as advance:
        sweep = demos.demo(
            out,
            size=size,
            seed=demos.SEED if seed is None else seed,
            on_training=_training_line(advance),
            on_analysis=_analysis_line(advance),
        )
    show_sweep(console, sweep)
    click.echo(f"report: {out / 'report.html'}")
    sys.exit(SOME_FAILED if sweep.failed else DONE)


def _training_line(advance: Advance) -> Callable[[Any], None]:
    return lambda p: advance(
        "training",
        int(p.epoch),
        p.epochs,
        f"test loss {p.test_loss:.3f}, accuracy {p.test_accuracy:.1%}",
    )


def _analysis_line(advance: Advance) -> Callable[[Any], None]:
    return lambda p: advance("analysing", p.done, p.total, p.name)


@main.command(
    epilog=_examples(
        "lstm-edge train digits --hidden-size 60 --epochs 300 --out runs/digits"
    )
)
@click.argument("task", default="digits")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.")
@click.option("--data", type=click.Path(path_type=Path), help="Data of the task.")
@click.option("--hidden-size", default=100, show_default=True, help="Units a layer.")
@click.option("--layers", default=1, show_default=True, help="LSTM layers.")
@click.option("--learning-rate", default=1e-2, show_default=True, help="Of Adam.")
@click.option("--betas", type=(float, float), default=(0.9, 0.999), show_default=True)
@click.option(
    "--batch-size", default=64, show_default=True, help="Sequences an update."
)
@click.option("--epochs", default=700, show_default=True)
@click.option(
    "--every",
    default="1epoch",
    show_default=True,
    help="Checkpoint schedule: 1epoch, 5epochs, 10updates, ...",
)
@click.option("--seed", default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="As PyTorch names it.")
@_quiet
def train(task: str, quiet: bool, **settings: Any) -> None:
    """Train an LSTM and keep dense checkpoints.

    TASK is digits, scikit-learn's 8 x 8 images read as 8 rows of 8.

    A killed run goes on with the same bits when the command is given again.
    """
    from rich.console import Console

    from lstm_edge.console import progress
    from lstm_edge.training import train as train_task

    console = Console()
    with progress(console, quiet) as advance:
        run = train_task(task, **settings, progress=_training_line(advance))
    click.echo(f"run: {run}")
    click.echo(f"next: lstm-edge analyze {shlex.quote(str(run))}")


@main.command(
    epilog=_examples(
        "lstm-edge analyze runs/digits",
        "lstm-edge analyze 'ckpts/*.pt' --metrics losses.csv --out results.sqlite",
        "lstm-edge analyze s3://bucket/run --refine --dask tcp://10.0.0.1:8786",
    )
)
@click.argument("checkpoints", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="The store (SQLite).")
@click.option(
    "--metrics", type=click.Path(path_type=Path), help="CSV with update, test_loss, ..."
)
@click.option("--spectrum", is_flag=True, help="All exponents rather than two.")
@click.option("--zero", is_flag=True, help="Zero input, even where there is a probe.")
@click.option("--steps", type=int, help="Measured steps of the exponents.")
@click.option("--transient", type=int, help="Steps before them.")
@click.option(
    "--starts", type=int, help="Ensemble of starts, exponents and attractors."
)
@click.option("--samples", type=int, help="Samples of the asymptotic distance.")
@click.option("--seed", type=int, help="Of starts, frames and perturbations.")
@click.option("--module", help="Which net, as 'encoder' or 'rnn (relu)'.")
@click.option("--refine", is_flag=True, help="Only what the transitions hang on.")
@click.option("--workers", type=int, help="Checkpoints at a time; default: the cores.")
@click.option("--dask", metavar="ADDRESS", help="Measure on a Dask cluster.")
@click.option("--strict", is_flag=True, help="Stop at the first bad checkpoint.")
@_json
@_quiet
def analyze(
    checkpoints: tuple[str, ...],
    zero: bool,
    steps: int | None,
    transient: int | None,
    starts: int | None,
    samples: int | None,
    seed: int | None,
    dask: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Measure all checkpoints, find the transitions.

    CHECKPOINTS are a run, folders of weight files, files or globs, here or at any
    URL that fsspec knows.

    The same command again goes on where it ended and computes nothing twice.
    """
    from rich.console import Console

    from lstm_edge.cluster import dask_executor
    from lstm_edge.console import print_json, progress, show_sweep
    from lstm_edge.sweep import analyze as sweep_over

    given = {"steps": steps, "transient": transient, "starts": starts, "seed": seed}
    settings = {
        "lyapunov": _known(given),
        "attractors": _known({name: given[name] for name in given if name != "steps"}),
        "distance": _known({"samples": samples, "seed": seed}),
    }
    console = Console()
    with ExitStack() as stack:
        if dask is not None:
            options["executor"], threads = stack.enter_context(dask_executor(dask))
            options["workers"] = options["workers"] or 2 * threads
        advance = stack.enter_context(progress(console, quiet, as_json))
        sweep = sweep_over(
            checkpoints,
            inputs=None if zero else "probe",
            settings=settings,
            progress=_analysis_line(advance),
            **options,
        )
    if as_json:
        print_json("summary", **sweep.summary())
    else:
        show_sweep(console, sweep)
        click.echo(f"results: {sweep.path}")
        click.echo(f"next: lstm-edge report {shlex.quote(str(sweep.path))}")
    sys.exit(SOME_FAILED if sweep.failed else DONE)


@main.command(epilog=_examples("lstm-edge watch runs/digits"))
@click.argument("checkpoints", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="The store (SQLite).")
@click.option(
    "--metrics", type=click.Path(path_type=Path), help="CSV with update, test_loss, ..."
)
@click.option("--zero", is_flag=True, help="Zero input, even where there is a probe.")
@click.option("--samples", type=int, help="Samples of the asymptotic distance.")
@click.option("--module", help="Which net, as 'encoder' or 'rnn (relu)'.")
@click.option("--workers", default=1, show_default=True, help="Checkpoints at a time.")
@click.option("--poll", default=2.0, show_default=True, help="Seconds between looks.")
@click.option(
    "--idle", type=float, help="End when nothing new came for so many seconds."
)
@_json
@_quiet
def watch(
    zero: bool, samples: int | None, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Measure checkpoints as training writes them.

    Works at the lowest priority, so that training on the same machine keeps its speed.
    Ctrl-C ends it; analyze goes on where it ended.
    """
    from lstm_edge.console import show_watched
    from lstm_edge.watching import watch as watch_over

    if hasattr(os, "nice"):
        os.nice(19)
    watched = watch_over(
        inputs=None if zero else "probe",
        settings={"distance": _known({"samples": samples})},
        **options,
    )
    failed = show_watched(watched, quiet, as_json)
    sys.exit(SOME_FAILED if failed else DONE)


def _known(settings: dict[str, int | None]) -> dict[str, int]:
    return {name: value for name, value in settings.items() if value is not None}


@main.command(
    epilog=_examples("lstm-edge report runs/digits -o report.html --figures figures")
)
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="The page; default: report.html beside the store.",
)
@click.option(
    "--figures", type=click.Path(path_type=Path), help="Folder for the figures."
)
@click.option(
    "--format",
    "formats",
    type=click.Choice(["png", "svg", "pdf"]),
    multiple=True,
    default=("png",),
    show_default=True,
    help="Of the figures; may be given several times.",
)
@_json
def report(
    store: Path,
    out: Path | None,
    figures: Path | None,
    formats: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write one HTML page from STORE (the results, or their run folder)."""
    from lstm_edge.report import save_figures, write_report
    from lstm_edge.results import open_sweep

    sweep = open_sweep(store)
    written = [write_report(sweep, out or sweep.path.with_name("report.html"))]
    if figures is not None:
        written += save_figures(sweep, figures, formats)
    if as_json:
        click.echo(json.dumps({"written": [str(path) for path in written]}))
    else:
        for path in written:
            click.echo(path)


@main.command(
    epilog=_examples("lstm-edge export runs/digits -o results.parquet"),
)
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="What its suffix says: .parquet, .csv or .nc (netCDF).",
)
def export(store: Path, out: Path) -> None:
    """Write the results in STORE for other programs.

    Parquet and CSV hold a row a checkpoint, netCDF also every start and sample.
    """
    from lstm_edge.export import write_export
    from lstm_edge.results import open_sweep

    click.echo(write_export(open_sweep(store), out))


@main.command(
    epilog=_examples("lstm-edge merge first.sqlite second.sqlite -o whole.sqlite")
)
@click.argument("stores", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The store to make, or to add to.",
)
@_json
def merge(stores: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Put the results of STORES, parts of one sweep, into one store.

    They may have been made on different machines, and are not changed. Nothing is
    computed, and nothing is there twice.
    """
    from lstm_edge.merging import merge_stores

    sweep = merge_stores(stores, out)
    if as_json:
        click.echo(json.dumps(sweep.summary()))
    else:
        click.echo(f"results: {sweep.path} ({len(sweep.names)} checkpoints)")
        click.echo(f"next: lstm-edge report {shlex.quote(str(sweep.path))}")


@main.command(epilog=_examples("lstm-edge analogy --out analogy.png"))
@click.option(
    "--from", "first", default=1.0, show_default=True, help="Smallest value of r."
)
@click.option("--to", "last", default=50.0, show_default=True, help="Largest one.")
@click.option("--values", default=2000, show_default=True, help="How many.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("analogy.png"),
    show_default=True,
    help="The figure: .png, .svg or .pdf.",
)
@_json
def analogy(first: float, last: float, values: int, out: Path, as_json: bool) -> None:
    """Draw the paper's analogy, the map k' = r k (1 - tanh k).

    Its orbit diagram, D~ and exponent against r, with transitions and edges found as
    those of a net in training are.
    """
    from rich.console import Console

    from lstm_edge.console import show_analogy
    from lstm_edge.tanh_map import analogy as follow

    if values < 2:
        raise UsageError(f"--values: expected at least 2, found {values}")
    step = (last - first) / (values - 1)
    found = follow([first + i * step for i in range(values)])
    figure = found.save(out)
    if as_json:
        click.echo(json.dumps(found.summary() | {"figure": str(figure)}))
    else:
        show_analogy(Console(), found)
        click.echo(f"figure: {figure}")


@main.command(epilog=_examples("lstm-edge bench --run lstm-edge-demo"))
@click.option("--rounds", default=5, show_default=True, help="Timed rounds.")
@click.option("--large", is_flag=True, help="Also H = 128 and 256: some minutes.")
@click.option(
    "--run", type=click.Path(path_type=Path), help="Also on a run's checkpoints."
)
@_json
def bench(rounds: int, large: bool, run: Path | None, as_json: bool) -> None:
    """Time this machine beside torch, NumPy and JAX.

    A ratio is the time of the fastest peer over ours: above 1 we are faster.
    """
    from lstm_edge.bench import describe_machine, run_benchmarks

    if not as_json:
        click.echo(describe_machine())
    for found in run_benchmarks(rounds=rounds, large=large, run=run):
        if as_json:
            click.echo(json.dumps(vars(found)))
            continue
        low, high = found.spread
        click.echo(f"\n{found.work}\n  {found.ratio:.2f} x  ({low:.2f} to {high:.2f})")
        for name, seconds in found.seconds.items():
            click.echo(f"  {seconds:9.4f} s  {name}")
