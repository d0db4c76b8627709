"""The group of all commands: its options, errors and exit codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lstm_edge import __version__
from lstm_edge.errors import LstmEdgeError, UsageError

if TYPE_CHECKING:
    from lstm_edge.cli.console import Advance

DONE, FAILED, WRONG_USAGE, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130

LAB = ("sklearn", "torch")
"""What the laboratory needs beside the tool."""


def examples(*lines: str) -> str:
    """Give an epilog that click leaves as it is."""
    return "\b\nExample:\n  " + "\n  ".join(lines)


class Command(click.Command):
    """A command whose errors are one line for people."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its exit code says how it went."""
        try:
            return super().invoke(ctx)
        except LstmEdgeError as error:
            if ctx.find_root().params.get("debug"):
                raise
            click.echo(f"error: {error}", err=True)
            ctx.exit(WRONG_USAGE if isinstance(error, UsageError) else FAILED)
        except ModuleNotFoundError as error:
            if error.name not in LAB:
                raise
            click.echo(
                f"error: {ctx.info_name} needs {error.name}, which is not installed: "
                "pip install 'lstm-edge[lab]'",
                err=True,
            )
            ctx.exit(FAILED)
        except KeyboardInterrupt:
            click.echo(
                "interrupted: what was finished is kept; run the same command again "
                "to go on",
                err=True,
            )
            ctx.exit(INTERRUPTED)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExit codes: 0 done, 1 failed, 2 wrong usage, "
    "3 finished but some checkpoints\nor runs failed, 130 interrupted.",
)
@click.version_option(__version__, prog_name="lstm-edge")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Find where a recurrent net in training crosses between order and chaos."""


module_option = click.option(
    "--module", help="Which net, as 'encoder' or 'rnn (relu)'."
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No lines on progress.")
readout_option = click.option("--readout", help="Name of the linear readout's weight.")
embedding_option = click.option("--embedding", help="Name of the embedding.")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for a script."
)


def training_line(advance: Advance) -> Callable[[Any], None]:
    """Show the progress of training."""

    def line(p: Any) -> None:
        right = p.test_accuracy
        accuracy = f", accuracy {right:.1%}" if right == right else ""
        text = f"test loss {p.test_loss:.3g}{accuracy}"
        advance("training", int(p.epoch), p.epochs, text)

    return line


def analysis_line(advance: Advance) -> Callable[[Any], None]:
    """Show the progress of a sweep."""
    return lambda p: advance("analysing", p.done, p.total, p.name)
