"""What training tells about its checkpoints: losses and norms, from whatever log."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lstm_edge.errors import CheckpointError, UsageError
from lstm_edge.files.discovery import CheckpointFile
from lstm_edge.files.logs import (
    EPOCH,
    FILES,
    NAMES,
    TIMES,
    UPDATE,
    Rows,
    plain,
    read_log,
)
from lstm_edge.files.places import absolute, is_folder, list_folder
from lstm_edge.terms import Column, by_name

METRICS = by_name(
    Column("epoch", "epochs trained"),
    Column("train_loss", "training loss", ""),
    Column("test_loss", "test loss", ""),
    Column("test_accuracy", "test accuracy"),
    Column("gradient_norm", "norm of the gradient", ""),
    Column("update_norm", "norm of an optimiser update", ""),
    Column("weight_norm", "norm of the weights", ""),
    Column("moment_norm", "norm of the gradients that Adam's second moment tells", ""),
)
"""The columns that are known, beside ``update``."""

Metrics = dict[int, dict[str, float]]
"""Update to what is known there."""

MOST = 0.9
"""Share of the rows, or of the checkpoints, that must meet for it to be no accident."""

_IN_NAME = re.compile(
    r"(?:(?<![a-z])(train|val|valid|test|eval)?[-_]?loss)[-_=]?(\d+\.\d+)"
    r"|(?<=\d-)(\d+\.\d+)$",
    re.IGNORECASE,
)
"""A loss in a file's name: "val_loss=0.43", or Keras's "weights.05-0.43"."""


@dataclass(frozen=True)
class LogOptions:
    """How a log is to be read, where the user says so.

    Attributes
    ----------
    time_column, loss_column : str or None
        The column that tells the time, and the one that is the test loss.
    time_offset : int or None
        What is added to the times of the log to give those of the checkpoints.
    """

    time_column: str | None = None
    loss_column: str | None = None
    time_offset: int | None = None


def run_folder(checkpoint: Path) -> Path:
    """Find the run that a checkpoint belongs to, or else the folder it lies in."""
    folder = checkpoint.parent
    return folder.parent if folder.name == "checkpoints" else folder


def read_metrics(
    path: Path | None,
    run: Path,
    files: Sequence[CheckpointFile],
    options: LogOptions | None = None,
) -> tuple[Metrics, str]:
    """Read the metrics of a run.

    Parameters
    ----------
    path : Path or None
        A log, of any form that `lstm_edge.files.logs` reads. None takes the one in the
        run's folder whose times are those of the checkpoints; where there is none, what
        the checkpoints say of themselves, or else their names.
    run : Path
        The run's folder.
    files : sequence of CheckpointFile
    options : LogOptions, optional

    Returns
    -------
    metrics : dict of int to dict
        By update of the checkpoints.
    told : str
        A sentence that says where they come from, and what was guessed.

    Raises
    ------
    UsageError
        A log that was named, and cannot be read or told apart.
    """
    chosen = options or LogOptions()
    if path is not None:
        return match(read_log(path), str(path), files, chosen)
    found: list[tuple[Metrics, str]] = []
    passed_over: list[str] = []
    for log in _logs(run, files):
        try:
            found.append(match(read_log(log), log.name, files, chosen))
        except UsageError as error:
            passed_over.append(str(error))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(told.partition(":")[0] for _, told in found)
        return {}, f"losses: {len(found)} logs fit ({names}); choose one with --metrics"
    said = {file.update: _said_by(file) for file in files}
    if any(_has_loss(known) for known in said.values()):
        return said, _count("what the files say", said, files)
    named = {file.update: {**said[file.update], **_loss_in(file)} for file in files}
    if any(_has_loss(known) for known in named.values()):
        return named, f"{_count('names', named, files)} (a guess)"
    why = f" ({'; '.join(passed_over)})" if passed_over else ""
    return said, f"losses: none found{why}; --metrics names a log"


def _logs(run: Path, files: Sequence[CheckpointFile]) -> list[Path]:
    """List the logs that lie in the run's folder, or beside its files."""
    folders = {absolute(run), *(absolute(f.path.parent) for f in files[:1])}
    found: set[Path] = set()
    for folder in folders:
        try:
            if is_folder(folder):
                found |= {p for p in list_folder(folder) if FILES.fullmatch(p.name)}
        except CheckpointError:
            continue
    return sorted(found)


FEW = 0.1
"""Of the length of a log: what checkpoints at its beginning alone would cover."""


class _Fit(NamedTuple):
    """A way in which the times of a log can be those of the checkpoints."""

    hits: int
    column: str
    kind: str
    by: str
    offset: int
    table: dict[float, dict[str, float]]
    stamps: list[float | None]


def match(
    rows: Rows, source: str, files: Sequence[CheckpointFile], options: LogOptions
) -> tuple[Metrics, str]:
    """Give each checkpoint the row of a log that belongs to it.

    The times of a log may count updates or epochs, from 0 or from 1. The way is taken
    in which nearly all rows or nearly all checkpoints meet; where there is none, rows
    that are as many as the checkpoints are taken in their order, which is told as a
    guess. A few numbers that are equal by accident are refused.

    Returns
    -------
    metrics, told
        As of `read_metrics`.

    Raises
    ------
    UsageError
        If the log has no time or no metric, or fits in no way.
    """
    columns = {plain(name): name for row in rows for name in row}
    metrics = _metrics_of(columns, source, options)
    times = _times_of(columns, source, options)
    fits = [
        _fit(rows, column, kind, columns, metrics, by, stamps, offset)
        for kind, column in times
        for by, stamps in _stamps(files).items()
        if kind == EPOCH or by == UPDATE
        for offset in _offsets(options)
    ]
    sound = [fit for fit in fits if _is_sound(fit)]
    if sound:
        best = max(sound, key=lambda fit: (_preference(fit), fit.hits))
        found, told = _taken(best, source, files, metrics)
        return found, told + _untaken(columns, metrics) + _doubt(best, sound)
    if options.time_offset is None:
        for fit in fits:
            if (guess := _by_position(fit, files)) is not None:
                metrics_there, note = _taken(guess, source, files, metrics)
                return metrics_there, f"{note}; a guess: row by row, no times agree"
    closest = max(fits, key=lambda fit: fit.hits)
    raise UsageError(
        f"{source}: expected times of the checkpoints ({_range(closest.stamps)}) in "
        f"column {closest.column!r}, found {_range([*closest.table])}, of which "
        f"{closest.hits} agree, as if by accident; name the column with --time-column, "
        "or what is to be added with --time-offset"
    )


def _metrics_of(
    columns: Mapping[str, str], source: str, options: LogOptions
) -> dict[str, str]:
    """Metric to its column."""
    found = {
        metric: next((columns[name] for name in names if name in columns), "")
        for metric, names in NAMES.items()
    }
    if options.loss_column is not None:
        found["test_loss"] = _column(columns, options.loss_column, source)
    found = {metric: column for metric, column in found.items() if column}
    if not found:
        raise UsageError(
            f"{source}: expected a column such as test_loss, val_loss or loss, found "
            f"{', '.join(columns.values()) or 'no column of numbers'}; name the test "
            "loss with --loss-column"
        )
    return found


def _times_of(
    columns: Mapping[str, str], source: str, options: LogOptions
) -> list[tuple[str, str]]:
    """Kind and name of each column that tells the time."""
    if options.time_column is not None:
        column = _column(columns, options.time_column, source)
        return [(EPOCH if "epoch" in column.lower() else UPDATE, column)]
    found = [
        (kind, next((columns[name] for name in names if name in columns), ""))
        for kind, names in TIMES.items()
    ]
    found = [(kind, column) for kind, column in found if column]
    if not found:
        raise UsageError(
            f"{source}: expected a column such as update, step or epoch, found "
            f"{', '.join(columns.values())}; name the time with --time-column"
        )
    return found


def _column(columns: Mapping[str, str], wanted: str, source: str) -> str:
    if plain(wanted) not in columns:
        raise UsageError(
            f"{source}: expected a column {wanted!r}, found "
            f"{', '.join(columns.values())}"
        )
    return columns[plain(wanted)]


def _stamps(files: Sequence[CheckpointFile]) -> dict[str, list[float | None]]:
    """Give the times of the checkpoints: their numbers, and their epochs."""
    epochs = [_number(file.metadata.get("epoch")) for file in files]
    found: dict[str, list[float | None]] = {UPDATE: [float(f.update) for f in files]}
    if any(epoch is not None for epoch in epochs):
        found[EPOCH] = epochs
    return found


def _offsets(options: LogOptions) -> tuple[int, ...]:
    return (0, 1, -1) if options.time_offset is None else (options.time_offset,)


def _fit(
    rows: Rows,
    column: str,
    kind: str,
    columns: Mapping[str, str],
    metrics: Mapping[str, str],
    by: str,
    stamps: list[float | None],
    offset: int,
) -> _Fit:
    """Lay a log's times, an offset added, beside those of the checkpoints."""
    table: dict[float, dict[str, float]] = {}
    epoch = next((columns[name] for name in TIMES[EPOCH] if name in columns), "")
    for row in rows:  # a time may have several rows, each half empty
        if not math.isfinite(row.get(column, math.nan)):
            continue
        known = {metric: row[name] for metric, name in metrics.items() if name in row}
        if kind == EPOCH:
            known[EPOCH] = row[column] + offset
        elif epoch in row:
            known[EPOCH] = row[epoch]
        table.setdefault(row[column] + offset, {}).update(known)
    hits = sum(stamp in table for stamp in stamps)
    return _Fit(hits, column, kind, by, offset, table, stamps)


def _is_sound(fit: _Fit) -> bool:
    """Whether nearly all rows or checkpoints meet where both are."""
    stamps = [stamp for stamp in fit.stamps if stamp is not None]
    if not fit.table or not stamps or not fit.hits:
        return False
    first, last = min(fit.table), max(fit.table)
    begin, end = min(stamps), max(stamps)
    if fit.hits >= MOST * len(fit.table):
        return True
    rows = sum(begin <= time <= end for time in fit.table)
    inside = sum(first <= stamp <= last for stamp in stamps)
    length = end - begin
    covered = length == 0 or min(end, last) - max(begin, first) >= length / 2
    by_rows = fit.hits >= MOST * rows and covered
    return by_rows or (fit.hits >= MOST * inside and 2 * inside >= len(stamps))


def _preference(fit: _Fit) -> tuple[bool, bool, bool]:
    """No offset is preferred, unless checkpoints and rows then lack each other."""
    stamps = [stamp for stamp in fit.stamps if stamp is not None]
    lacking = max(stamps) > max(fit.table) and min(fit.table) < min(stamps)
    one_to_one = fit.hits == len(stamps) == len(fit.table)
    return not lacking, one_to_one, fit.offset == 0


def _doubt(best: _Fit, sound: Sequence[_Fit]) -> str:
    """Tell what else the log's times can be."""
    stamps = [stamp for stamp in best.stamps if stamp is not None]
    first, last = min(best.table), max(best.table)
    length = max(stamps) - min(stamps)
    if best.kind == UPDATE and 0 < length < FEW * (last - first):
        return (
            f"; a guess, as the checkpoints ({_range(stamps)}) cover "
            f"{length / (last - first):.1%} of the log ({_range([first, last])}): do "
            "their numbers count epochs? --time-column names another column"
        )
    if best.kind != EPOCH or best.offset:
        return ""
    others = [
        fit
        for fit in sound
        if (fit.by, fit.column) == (best.by, best.column)
        and fit.offset
        and (fit.hits > best.hits or (fit.hits == best.hits and _from_zero(fit)))
    ]
    if not others:
        return ""
    other = max(others, key=lambda fit: fit.hits)
    how = "better" if other.hits > best.hits else "as well"
    return f"; {other.offset:+d} fits {how}: choose with --time-offset {other.offset}"


def _from_zero(fit: _Fit) -> bool:
    """Whether epochs from 0 became, by adding one, those of checkpoints from 1."""
    stamps = [stamp for stamp in fit.stamps if stamp is not None]
    return fit.offset == 1 and min(fit.table) <= 1 <= min(stamps)


def _by_position(fit: _Fit, files: Sequence[CheckpointFile]) -> _Fit | None:
    """As many rows as checkpoints, or as those behind an untrained one: in order."""
    untrained = int(len(files) > 0 and files[0].update == 0)
    for skipped in (0, untrained):
        if fit.table and len(fit.table) == len(files) - skipped:
            ordered = [fit.table[time] for time in sorted(fit.table)]
            stamps = [float(file.update) for file in files]
            table = dict(zip(stamps[skipped:], ordered, strict=True))
            known: list[float | None] = [*stamps]
            return fit._replace(hits=len(table), by=UPDATE, table=table, stamps=known)
    return None


def _taken(
    fit: _Fit, source: str, files: Sequence[CheckpointFile], columns: Mapping[str, str]
) -> tuple[Metrics, str]:
    found: Metrics = {
        file.update: {**_epoch_of(file), **fit.table.get(stamp, {})}
        for file, stamp in zip(files, fit.stamps, strict=True)
        if stamp is not None
    }
    told = f"{_count(Path(source).name, found, files)}, matched by {fit.column!r}"
    if fit.offset:
        first = min(fit.table) - fit.offset
        told += f" {fit.offset:+d} (the log counts from {first:g}, the checkpoints "
        told += f"from {files[0].update})"
    used = columns.get("test_loss")
    if used is not None and plain(used) != "test_loss":
        told += f"; test loss is its column {used!r}"
    extra = len(set(fit.table) - set(fit.stamps))
    if extra:
        told += f"; {extra} of its rows {'has' if extra == 1 else 'have'} no checkpoint"
    return found, told


def _untaken(columns: Mapping[str, str], metrics: Mapping[str, str]) -> str:
    """Name the columns that may be the test loss, where none was taken for it."""
    known = {*metrics.values()} | {
        columns[name] for names in TIMES.values() for name in names if name in columns
    }
    others = [column for column in columns.values() if column not in known]
    if "test_loss" in metrics or not others:
        return ""
    return f"; --loss-column names the test loss, if it is one of {', '.join(others)}"


def _count(source: str, found: Metrics, files: Sequence[CheckpointFile]) -> str:
    rows = [found.get(file.update, {}) for file in files]
    tested = sum("test_loss" in row for row in rows)
    having = sum(_has_loss(row) for row in rows)
    if tested or not having:
        return f"{source}: {tested} of {len(files)} checkpoints have a test loss"
    return (
        f"{source}: {having} of {len(files)} checkpoints have a training loss, none a "
        "test loss"
    )


def _has_loss(known: Mapping[str, float]) -> bool:
    return "test_loss" in known or "train_loss" in known


def _range(times: Sequence[float | None]) -> str:
    known = [time for time in times if time is not None]
    return f"{min(known):g} to {max(known):g}" if known else "none"


def _said_by(file: CheckpointFile) -> dict[str, float]:
    """Read the metrics that a checkpoint says of itself, under any of their names."""
    said = {
        plain(name): number
        for name, text in file.metadata.items()
        if (number := _number(text)) is not None
    }
    found = {
        metric: next((said[name] for name in names if name in said), None)
        for metric, names in NAMES.items()
    }
    known = {metric: value for metric, value in found.items() if value is not None}
    return {**_epoch_of(file), **known}


def _epoch_of(file: CheckpointFile) -> dict[str, float]:
    epoch = _number(file.metadata.get("epoch"))
    return {} if epoch is None else {EPOCH: epoch}


def _loss_in(file: CheckpointFile) -> dict[str, float]:
    stem = re.sub(r"\.(weights|tar)$", "", file.path.stem)
    found = _IN_NAME.search(stem)
    if found is None:
        return {}
    name = "train_loss" if (found[1] or "").lower() == "train" else "test_loss"
    return {name: float(found[2] or found[3])}


def _number(text: Any) -> float | None:
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else number
