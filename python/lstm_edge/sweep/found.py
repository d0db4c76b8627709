"""Discovery: the checkpoints that a sweep is about, and what training says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from lstm_edge.errors import CheckpointError, UsageError, one_line
from lstm_edge.files.discovery import CheckpointFile, find_checkpoints
from lstm_edge.files.metrics import LogOptions, Metrics, read_metrics, run_folder
from lstm_edge.files.places import Where, absolute, as_place, is_place


@dataclass(frozen=True)
class Found:
    """The checkpoints of a sweep, and what goes with them.

    Attributes
    ----------
    files : list of CheckpointFile
        In ascending order of update.
    run : Path
        The one folder that all belong to; else the current one.
    names : dict of Path to str
        Their paths from the folder that holds them all.
    metrics : dict of int to dict
        What training said, by update.
    losses : str
        Where that comes from, in a sentence.
    """

    files: list[CheckpointFile]
    run: Path
    names: dict[Path, str]
    metrics: Metrics
    losses: str

    @property
    def doubts(self) -> list[str]:
        """What of the times may be wrong, in sentences."""
        update, many = Counter(file.update for file in self.files).most_common(1)[0]
        if many == 1:
            return []
        alike = [self.names[f.path] for f in self.files if f.update == update]
        return [
            f"{many} files have the time {update}, such as {alike[0]} and {alike[1]}; "
            "if they are of several runs, name the files of one by a glob in quotes"
        ]

    @property
    def forecasts(self) -> bool:
        """Whether the checkpoints say that the net forecasts its own next input."""
        return self.files[0].metadata.get("closed_loop") == "true"


def look(
    checkpoints: Where | Iterable[Where],
    metrics: Where | None,
    log: LogOptions | None = None,
    *,
    before: Metrics | None = None,
) -> Found:
    """Find the checkpoints that there are now, and what training says of them.

    Parameters
    ----------
    checkpoints, metrics
        As in `analyze`.
    log : LogOptions, optional
        How the metrics are to be read.
    before : dict, optional
        What training said before: it stands while there are no metrics to be read, as
        when a row is half written. Default: such metrics are refused.

    Raises
    ------
    CheckpointError, UsageError
        No checkpoints, or metrics that cannot be used.
    """
    places: Any = [checkpoints] if is_place(checkpoints) else checkpoints
    files = find_checkpoints(*places)
    if not files:
        raise CheckpointError("checkpoints: expected some files or folders, found none")
    folders = {run_folder(absolute(file.path)) for file in files}
    run = folders.pop() if len(folders) == 1 else Path()
    path = None if metrics is None else as_place(metrics)
    try:
        table, losses = read_metrics(path, run, files, log)
    except UsageError as error:
        if before is None:
            raise
        table, losses = before, str(error)
    return Found(files, run, _names(files), table, losses)


def _names(files: list[CheckpointFile]) -> dict[Path, str]:
    parts = {file.path: absolute(file.path).as_posix().split("/") for file in files}
    levels = zip(*(names[:-1] for names in parts.values()), strict=False)
    common = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
    return {path: _shown("/".join(names[common:])) for path, names in parts.items()}


def _shown(name: str) -> str:
    """Give a name that terminals and stores can hold, of one file only."""
    return one_line(name.replace("\\", "\\\\"))
