"""What a person sees in the terminal: progress, tables, the verdict."""

from __future__ import annotations

import json
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from lstm_edge.display import by_reason, counted, plain_values
from lstm_edge.report.next_steps import next_steps
from lstm_edge.report.tables import fall_table, number, transition_table
from lstm_edge.shares import share_interval
from lstm_edge.terms import PHASES, UNDECIDED, UNKNOWN
from lstm_edge.track.anatomy import Anatomy, tell
from lstm_edge.track.claims import OPEN
from lstm_edge.track.zoom_intervals import FEW as FEW_CHANGES

if TYPE_CHECKING:
    from lstm_edge.lab.analogy import Analogy
    from lstm_edge.lab.studies.results import Study
    from lstm_edge.measures.silence import Silence
    from lstm_edge.results.sweep import Sweep
    from lstm_edge.sweep.watching import Watched
    from lstm_edge.track.claims import Claim
    from lstm_edge.track.track import Track

LOG_SECONDS = 60.0
"""Between two lines of progress where there is no terminal."""

_STYLE = {"order": "blue", "edge": "yellow", "chaos": "red"}

_SPARKS = 50
"""Characters of the largest exponent along training."""

NEWEST = 15
"""Rows of the live table."""

COLUMN = 20
"""Characters of a row that is printed as a column."""

FEW = 25
"""Checkpoints of a sweep that are printed a row each."""

MOST_REASONS = 10
"""Of failures that are printed."""

MOST_NAMES = 3
"""Checkpoints named beside each of them."""

Advance = Callable[[str, int, int | None, str], None]
"""``advance(stage, done, total, text)``; the total is None where it is not known."""


class _Rate(ProgressColumn):
    """Checkpoints, or epochs, a second."""

    def render(self, task: Task) -> Text:
        """Give the speed of the last half minute."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g}/s", style="dim")


@contextmanager
def progress(console: Console, quiet: bool, as_json: bool = False) -> Iterator[Advance]:
    """Show bars on a terminal, a line a minute in a log, nothing when quiet.

    Parameters
    ----------
    console : Console
    quiet : bool
    as_json : bool
        A line of JSON at every step instead.
    """
    if quiet:
        yield lambda stage, done, total, text: None
    elif as_json:
        yield _json_lines()
    elif console.is_terminal:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Rate(),
            TextColumn("{task.fields[text]}", style="dim", markup=False),
            TimeElapsedColumn(),
            TextColumn("left", style="dim"),
            TimeRemainingColumn(),
            console=console,
        ) as bars:
            yield _bar_a_stage(bars)
    else:
        yield _line_a_minute(console)


@contextmanager
def told(console: Console) -> Iterator[None]:
    """Print what a function of the package tells of its work while it runs."""
    log = logging.getLogger("lstm_edge")
    level, handler = log.level, logging.Handler()
    handler.emit = lambda record: console.print(  # type: ignore[method-assign]
        escape(record.getMessage()),
        highlight=False,
        soft_wrap=not console.is_terminal,  # a line of a log is one
    )
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _json_lines() -> Advance:
    begin = time.monotonic()

    def advance(stage: str, done: int, total: int | None, text: str) -> None:
        seconds = round(time.monotonic() - begin, 3)
        print_json(
            "progress", stage=stage, done=done, total=total, seconds=seconds, text=text
        )

    return advance


def print_json(event: str, **values: object) -> None:
    """Print one line for a machine: an object that names what it is about."""
    click.echo(json.dumps({"event": event, **values}))


def _bar_a_stage(bars: Progress) -> Advance:
    tasks: dict[str, TaskID] = {}

    def advance(stage: str, done: int, total: int | None, text: str) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total, text=text)
        bars.update(tasks[stage], completed=done, total=total, text=text)

    return advance


def _line_a_minute(console: Console) -> Advance:
    begun: dict[str, float] = {}
    printed: dict[str, float] = {}

    def advance(stage: str, done: int, total: int | None, text: str) -> None:
        now = time.monotonic()
        begin = begun.setdefault(stage, now)
        if done != total and now - printed.setdefault(stage, now) < LOG_SECONDS:
            return
        printed[stage] = now
        of_all, left = "", ""
        if total is not None:
            of_all = f"/{total}"
            left = f", {(now - begin) * (total - done) / max(done, 1):.0f} s left"
        console.print(
            f"{stage}: {done}{of_all}, {now - begin:.0f} s{left}  {text}",
            markup=False,
            highlight=False,
        )

    return advance


def show_sweep(console: Console, sweep: Sweep) -> None:
    """Print the transitions, the claims and the advised checkpoint."""
    phases = list(sweep.table["phase"])
    told = [*PHASES, *({UNDECIDED, UNKNOWN} & {*phases})]
    counts = "  ".join(f"{phase} {phases.count(phase)}" for phase in told)
    known = counted(len(sweep.checkpoints), "checkpoint")
    some = "" if len(phases) == len(sweep.checkpoints) else f"{len(phases)} of "
    console.print(f"[bold]{some}{known}[/]  {counts}", highlight=False)
    if losses := sweep.run.get("losses"):
        console.print(escape(str(losses)), highlight=False)
    for text in sweep.run.get("assumed", ()):
        console.print(f"[yellow]assumed:[/] {escape(str(text))}", highlight=False)
    if len(phases) <= FEW:
        _show_checkpoints(console, sweep.track)
    if phases:
        _show_verdict(console, sweep)
    _show_failures(console, sweep)


def _show_checkpoints(console: Console, track: Track) -> None:
    """Print a row for each checkpoint, without columns of which nothing is known."""
    header = ["file", "update", "epoch", "phase", "exponent", "D~", "test loss"]
    rows = [
        [
            track.name[i],
            str(track.update[i]),
            number(track.epoch[i], "g"),
            track.phase[i] or UNKNOWN,
            _with_error(track.exponent[i], track.stderr[i], ".4g", ".2g"),
            number(track.distance[i], ".2f"),
            number(track.test_loss[i], ".4g"),
        ]
        for i in range(len(track.name))
        if track.phase[i] is not None
    ]
    kept = [i for i in range(len(header)) if any(row[i] for row in rows)]
    if kept:
        cells = [[row[i] for i in kept] for row in rows]
        title = "exponent: the largest of all starts, nats per step"
        _print_table(console, title, ([header[i] for i in kept], cells))


def _show_verdict(console: Console, sweep: Sweep) -> None:
    shares = sweep.summary()["attractors"]
    if shares:
        means = "  ".join(
            f"{kind.replace('_', ' ')} {share:.0%}"
            for kind, share in shares.items()
            if share
        )
        console.print(f"starts end on: {means}", highlight=False)
    if len(sweep.checkpoints) == 1:  # no run, of which more could be said
        return
    _show_transitions(console, sweep)
    show_falls(console, sweep.track.anatomies, sweep.track)
    _show_claims(console, sweep)
    advice = sweep.advice
    console.print(f"[bold]{escape(advice.headline)}[/]", highlight=False)
    console.print(advice.verdict, markup=False, highlight=False)
    for step in next_steps(sweep):
        console.print(step, markup=False, highlight=False)


def show_study(console: Console, study: Study) -> None:
    """Print the claims, the rules and the runs of a study, and what did not end."""
    from lstm_edge.lab.studies.tables import (
        claim_table,
        fall_table,
        regret_table,
        run_table,
    )

    tables = {"run by run (first span in epochs)": run_table(study)}
    for group in study.groups:
        tables[f"claims of Wei et al. 2025, {group.name}"] = claim_table(group)
        tables[f"falls of the test loss, {group.name}"] = fall_table(group)
        tables[f"when to stop, {group.name}"] = regret_table(group)
    for title, (header, rows) in tables.items():
        _print_table(console, title, (header, rows))
    console.print(f"[bold]{study.verdict}[/]", highlight=False)
    for label, message in study.unfinished.items():
        console.print(f"{label}: {message}", style="red", markup=False)


def show_watched(
    watched: Generator[Watched], quiet: bool, as_json: bool
) -> dict[str, str]:
    """Show checkpoints as they are measured: a live table, lines in a log, or JSON.

    Returns
    -------
    dict of str to str
        Names of those that could not be used, and why.
    """
    console = Console()
    failed: dict[str, str] = {}
    newest: deque[Watched] = deque(maxlen=NEWEST)
    along: dict[int, tuple[float, str]] = {}
    with closing(watched), ExitStack() as stack:
        if not (quiet or as_json):
            stack.enter_context(told(console))
        plain = as_json or quiet or not console.is_terminal
        live = None if plain else stack.enter_context(Live(console=console))
        for row in watched:
            failed.pop(row.name, None)
            if row.message:
                failed[row.name] = row.message
            newest.append(row)
            if math.isfinite(row.exponent):
                along[row.update] = row.exponent, row.phase
            if as_json:
                print_json("checkpoint", **plain_values(asdict(row)))
            elif live is not None:
                live.update(_watch_table(newest, along, len(failed)))
            elif not quiet:
                console.print("  ".join(_cells(row)), markup=False, highlight=False)
    return failed


def _watch_table(
    rows: Collection[Watched], along: Mapping[int, tuple[float, str]], failed: int
) -> Group:
    table = Table()
    columns = ["update", "epoch", "phase", "exponent", "D~", "test loss"]
    columns += ["note"] if any(row.message for row in rows) else []
    for column in columns:
        words = column in ("phase", "note")
        table.add_column(column, justify="left" if words else "right")
    advice = Text("waiting for checkpoints")
    for row in rows:
        style = _STYLE.get(row.phase)
        table.add_row(*map(Text, _cells(row)[: len(columns)]), style=style)
        advice = Text(row.advice.reason)
        if row.advice.update is not None:
            advice = Text(f"advised so far: update {row.advice.update}: ") + advice
    note = Text(f"{failed} failed" if failed else "", style="red")
    return Group(table, _sparkline(along), advice, note)


def _sparkline(along: Mapping[int, tuple[float, str]]) -> Text:
    """Draw the largest exponent along training, a character for some checkpoints."""
    known = [along[update] for update in sorted(along)]
    if len(known) < 2:
        return Text()
    shown = known[:: -(-len(known) // _SPARKS)]
    low, high = min(v for v, _ in shown), max(v for v, _ in shown)
    text = Text("largest exponent: ")
    for value, phase in shown:
        height = (value - low) / ((high - low) or 1.0)
        text.append("▁▂▃▄▅▆▇█"[round(7 * height)], style=_STYLE.get(phase))
    return text.append(f"  {low:.3g} to {high:.3g}")


def _cells(row: Watched) -> list[str]:
    """Update, epoch, phase, exponent with its error, D~, loss, and what is wrong."""
    return [
        str(row.update),
        number(row.epoch, "g"),
        row.phase or "unknown",
        _with_error(row.exponent, row.stderr, ".4f", ".4f"),
        number(row.distance, ".2f"),
        number(row.test_loss, ".4f"),
        row.message,
    ]


def _with_error(value: float, error: float, form: str, form_of_error: str) -> str:
    text = number(value, f"+{form}")
    return text and f"{text} ± {number(error, form_of_error)}"


def show_analogy(console: Console, found: Analogy) -> None:
    """Print where chaos sets in for good, and how wide each span is."""
    counts = "  ".join(f"{phase} {found.phase.count(phase)}" for phase in PHASES)
    console.print(f"[bold]{len(found.r)} values of r[/]  {counts}", highlight=False)
    table = Table(title="sustained onsets of chaos")
    for column in ("r", "span", "width"):
        table.add_column(column, justify="right")
    for t in found.onsets:
        table.add_row(
            f"{t.update:.3f}", f"{t.span[0]:.3f} - {t.span[1]:.3f}", f"{t.width:.3f}"
        )
    console.print(table)


def _show_transitions(console: Console, sweep: Sweep) -> None:
    found = [*sweep.track.transitions, *sweep.track.stability_transitions]
    lasting = sorted((t for t in found if t.sustained), key=lambda t: t.update)
    raw = counted(len(found) - len(lasting), "raw change")
    if lasting:
        title = f"sustained transitions, beside {raw}"
        _print_table(console, title, transition_table(lasting))
    elif 0 < len(found) <= FEW_CHANGES:
        title = "no sustained transition; the changes there are:"
        _print_table(console, title, transition_table(found))
    else:
        console.print(f"no sustained transition ({raw})", highlight=False)


def show_silence(console: Console, found: Silence) -> None:
    """Print the answer in plain words, and what the starts end on."""
    for sentence in found.sentences:
        console.print(sentence, highlight=False)
    rows = []
    for attractor in found.attractors.attractors:
        low, high = share_interval(attractor.share, len(found.settling))
        half = found.half_life(attractor)
        members = ", ".join(str(start) for start in attractor.starts[:4])
        rows.append(
            [
                attractor.name,
                f"{attractor.share:.0%} ({low:.0%} to {high:.0%})",
                f"{attractor.exponent:.4g}",
                "" if half != half else found.time(half),
                members + (", ..." if len(attractor.starts) > 4 else ""),
            ]
        )
    starts = "inputs" if found.driven else "starts"
    header = ["ends on", "share", "exponent", "halves in", f"{starts}, from 0"]
    _print_table(console, "", (header, rows))


def show_falls(console: Console, anatomies: list[Anatomy], track: Track) -> None:
    """Print what goes with each fall of the test loss of a track."""
    header, rows = fall_table(anatomies)
    if rows:
        _print_table(console, "falls of the test loss", (header, rows))
    console.print(tell(anatomies, track.test_loss), highlight=False)


def _print_table(
    console: Console, title: str, content: tuple[list[str], list[list[str]]]
) -> None:
    header, rows = content
    columns = zip(header, *rows, strict=True)
    if sum(max(map(len, cells)) + 2 for cells in columns) > console.width:
        _print_turned(console, title, header, rows)
        return
    table = Table(
        *header, title=title, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False
    )
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _print_turned(
    console: Console, title: str, header: list[str], rows: list[list[str]]
) -> None:
    """Print the rows as columns, as many beside each other as there is room for."""
    names = max(map(len, header)) + 2
    widest = max(len(cell) for row in rows for cell in row)
    each = min(widest, COLUMN, console.width - names)
    beside = max(1, (console.width - names) // (each + 2))
    for first in range(0, len(rows), beside):
        some = rows[first : first + beside]
        table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
        table.add_column(header[0], style="bold", width=names - 2)
        for row in some:
            table.add_column(Text(row[0]), width=each)
        for name, *cells in zip(header[1:], *(row[1:] for row in some), strict=True):
            if any(cells):
                table.add_row(name, *map(Text, cells))
        console.print(table)


def _show_claims(console: Console, sweep: Sweep) -> None:
    """Print the claims that can be answered, and why the others cannot be."""
    unanswered = by_reason(
        (claim.label, claim.evidence) for claim in sweep.claims if claim.answer == OPEN
    )
    if told := [claim for claim in sweep.claims if claim.answer != OPEN]:
        _print_claims(console, told)
    if unanswered:
        console.print("claims of Wei et al. 2025 that cannot be told:", highlight=False)
    for reason, labels in unanswered.items():
        text = f"  {', '.join(labels)}: {reason}"
        console.print(text, markup=False, highlight=False)


def _print_claims(console: Console, claims: list[Claim]) -> None:
    table = Table(title="the claims of Wei et al. 2025, on this run", show_lines=True)
    for column in ("claim", "answer", "evidence"):
        table.add_column(column)
    style = {"holds": "green", "does not hold": "red"}
    for claim in claims:
        table.add_row(
            f"{claim.label}: {claim.text}",
            f"[{style.get(claim.answer, 'yellow')}]{claim.answer}[/]",
            claim.evidence,
        )
    console.print(table)


def _show_failures(console: Console, sweep: Sweep) -> None:
    """Print each reason once, with the checkpoints it holds for."""
    reasons = list(by_reason(sweep.failed).items())
    for message, names in reasons[:MOST_REASONS]:
        text = f"failed: {', '.join(names[:MOST_NAMES])}"
        if len(names) > MOST_NAMES:
            text += f" and {len(names) - MOST_NAMES} more"
        console.print(f"{text}: {message}", style="red", markup=False)
    rest = sum(len(names) for _, names in reasons[MOST_REASONS:])
    if rest:
        console.print(f"... and {rest} more", style="red")
