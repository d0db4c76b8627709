"""Commands that show: inspect, silence, report, export, analogy, bench."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from lstm_edge.cli.group import (
    DONE,
    FAILED,
    embedding_option,
    examples,
    json_option,
    main,
    module_option,
    readout_option,
)
from lstm_edge.display import plain_values
from lstm_edge.errors import UsageError


@main.command(epilog=examples("lstm-edge inspect model.pt"))
@click.argument("checkpoint")
@readout_option
@embedding_option
@json_option
def inspect(
    checkpoint: str, readout: str | None, embedding: str | None, as_json: bool
) -> None:
    """Say what a file or Hugging Face folder holds.

    Its recurrent nets with their sizes, and which analyses are possible. Nothing is
    unpickled.
    """
    from lstm_edge.net.inspection import inspect_checkpoint

    found = inspect_checkpoint(checkpoint, readout=readout, embedding=embedding)
    click.echo(json.dumps(found.to_dict()) if as_json else repr(found))
    sys.exit(DONE if found.usable else FAILED)


@main.command(epilog=examples("lstm-edge silence model.pt --inputs inputs.npy"))
@click.argument("model")
@click.option(
    "--inputs",
    metavar="FILE",
    help="What it hears before: .npy, .npz, .safetensors, .csv, .parquet.",
)
@click.option("--dt", type=float, help="Seconds a step, to tell times.")
@click.option(
    "--starts", default=32, show_default=True, help="Random states without --inputs."
)
@click.option("--limit", default=16_000, show_default=True, help="Steps to wait.")
@click.option("--seed", default=0, show_default=True, help="Of the random states.")
@module_option
@embedding_option
@json_option
def silence(
    model: str,
    inputs: str | None,
    module: str | None,
    embedding: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Tell what a net does once its input stops: settle, ring or wander.

    Without --inputs the net begins in random states.
    """
    from rich.console import Console

    from lstm_edge.cli.console import show_silence
    from lstm_edge.files.inputs import read_inputs
    from lstm_edge.files.places import as_place
    from lstm_edge.measures.silence import silence as listen
    from lstm_edge.net.reading import as_weights

    heard = None if inputs is None else read_inputs(as_place(inputs))
    weights = as_weights(model, module=module, embedding=embedding)
    found = listen(weights, heard, **settings)
    if as_json:
        click.echo(json.dumps(plain_values(found.to_dict())))
    else:
        click.echo(f"{model}: {weights.architecture}")
        show_silence(Console(), found)


@main.command(
    epilog=examples("lstm-edge report runs/digits -o report.html --figures figures")
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
@json_option
def report(
    store: Path,
    out: Path | None,
    figures: Path | None,
    formats: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write one HTML page from STORE: results, their run folder, or a study's."""
    from lstm_edge.report.figures import save_figures
    from lstm_edge.report.page import write_report
    from lstm_edge.results.sweep import open_sweep

    if (store / "study.json").is_file():
        from lstm_edge.lab.studies.page import write_study
        from lstm_edge.lab.studies.results import open_study

        if figures is not None:
            raise UsageError(f"--figures: {store} is a study, which has only its page")
        written = [write_study(open_study(store), out or store / "report.html")]
    else:
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
    epilog=examples("lstm-edge export runs/digits -o results.parquet"),
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
    Checkpoints without exponents are left out, and counted on stderr.
    """
    from lstm_edge.display import counted
    from lstm_edge.results.export import write_export
    from lstm_edge.results.sweep import open_sweep

    sweep = open_sweep(store)
    click.echo(write_export(sweep, out))
    left_out = sweep.checkpoints.keys() - set(sweep.names)
    if left_out:
        failed = left_out & dict(sweep.failed).keys()
        click.echo(
            f"left out: {counted(len(left_out), 'checkpoint')} without exponents, "
            f"{len(failed)} failed (the report says why)",
            err=True,
        )


@main.command(epilog=examples("lstm-edge analogy --out analogy.png"))
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
@json_option
def analogy(first: float, last: float, values: int, out: Path, as_json: bool) -> None:
    """Draw the paper's analogy, the map k' = r k (1 - tanh k).

    Its orbit diagram, D~ and exponent against r, with transitions and edges found as
    those of a net in training are.
    """
    from rich.console import Console

    from lstm_edge.cli.console import progress, show_analogy
    from lstm_edge.lab.analogy import analogy as follow
    from lstm_edge.lab.analogy_plot import save_analogy

    if values < 2:
        raise UsageError(f"--values: expected at least 2, found {values}")
    step = (last - first) / (values - 1)
    console = Console()
    with progress(console, quiet=as_json) as advance:
        found = follow(
            [first + i * step for i in range(values)],
            progress=lambda done, total: advance("values of r", done, total, ""),
        )
    figure = save_analogy(found, out)
    if as_json:
        click.echo(json.dumps(found.summary() | {"figure": str(figure)}))
    else:
        show_analogy(console, found)
        click.echo(f"figure: {figure}")


@main.command(epilog=examples("lstm-edge bench --run lstm-edge-demo"))
@click.option("--rounds", default=5, show_default=True, help="Timed rounds.")
@click.option("--large", is_flag=True, help="Also H = 128 and 256: some minutes.")
@click.option(
    "--run", type=click.Path(path_type=Path), help="Also on a run's checkpoints."
)
@json_option
def bench(rounds: int, large: bool, run: Path | None, as_json: bool) -> None:
    """Time this machine beside torch, NumPy and JAX.

    A ratio is the time of the fastest peer over ours: above 1 we are faster. The limit
    is what NumPy's BLAS would take for the multiplications of the work alone.
    """
    from lstm_edge.lab.bench.suite import describe_machine, run_benchmarks

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
        if found.share is not None:
            click.echo(f"  {found.share:8.0%}    of the machine's limit")
