"""Discovery: the checkpoints that a sweep is about, and what training says of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from lstm_edge.errors import CheckpointError, UsageError, one_line
from lstm_edge.files.discovery import CheckpointFile, find_checkpoints
from lstm_edge.files.metrics import METRICS, Metrics, read_metrics, run_folder
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
    """

    files: list[CheckpointFile]
    run: Path
    names: dict[Path, str]
    metrics: Metrics

    @property
    def forecasts(self) -> bool:
        """Whether the checkpoints say that the net forecasts its own next input."""
        return self.files[0].metadata.get("closed_loop") == "true"


def look(
    checkpoints: Where | Iterable[Where],
    metrics: Where | None,
    *,
    before: Metrics | None = None,
) -> Found:
    """Find the checkpoints that there are now, and what training says of them.

    Parameters
    ----------
    checkpoints, metrics
        As in `analyze`.
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
        table = read_metrics(path, run, files)
    except UsageError:
        if before is None:
            raise
        table = before
    if path is not None and before is None:
        _refuse_silence(path, table, files)
    return Found(files, run, _names(files), table)


def _refuse_silence(path: Path, table: Metrics, files: list[CheckpointFile]) -> None:
    """Refuse metrics that tell nothing of any checkpoint."""
    if not any(table.get(file.update) for file in files):
        raise UsageError(
            f"{path}: expected rows for the checkpoints' updates ({files[0].update} to "
            f"{files[-1].update}) with some of {', '.join(METRICS)}; found none"
        )


def _names(files: list[CheckpointFile]) -> dict[Path, str]:
    parts = {file.path: absolute(file.path).as_posix().split("/") for file in files}
    levels = zip(*(names[:-1] for names in parts.values()), strict=False)
    common = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
    return {path: _shown("/".join(names[common:])) for path, names in parts.items()}


def _shown(name: str) -> str:
    """Give a name that terminals and stores can hold, of one file only."""
    return one_line(name.replace("\\", "\\\\"))
