"""Discovery: the checkpoints that a sweep is about, and what training says of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from lstm_edge.errors import CheckpointError, UsageError, one_line
from lstm_edge.files.discovery import CheckpointFile, list_checkpoints
from lstm_edge.files.metrics import LogOptions, Metrics, read_metrics, run_folder
from lstm_edge.files.places import Where, absolute, as_place, is_place, stamp
from lstm_edge.files.times import time_in_name
from lstm_edge.net.modules import is_recurrent
from lstm_edge.net.reading import read_named

_STATE = re.compile(
    r"(?<![a-z])(optim\w*|opt|adam\w*|sgd|sched\w*|scaler|rng\w*)(?![a-z])",
    re.IGNORECASE,
)
"""In the names of files that trainers leave beside the weights."""


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
    passed_over : list of str
        Files that are none of the checkpoints, and why, in sentences.
    """

    files: list[CheckpointFile]
    run: Path
    names: dict[Path, str]
    metrics: Metrics
    losses: str
    passed_over: list[str]

    @property
    def times(self) -> str:
        """Where the times come from, with some of them, and what has none."""
        some = sorted({0, len(self.files) // 2, len(self.files) - 1})
        shown = ", ".join(
            f"{self.names[self.files[i].path]} is {self.files[i].update}" for i in some
        )
        shown = "; ".join([shown, *self.passed_over])
        by = {file.told_by for file in self.files}
        if by == {"order"}:
            return f"times: in the order of the names, as none tells a time: {shown}"
        told = {
            "file": "by what the files say",
            "name": "by the names of the files",
            "folder": "by the names of the folders",
            "pattern": "by --time-from",
        }
        return (
            f"times: {' and '.join(told[b] for b in sorted(by & told.keys()))}: {shown}"
        )

    @property
    def doubts(self) -> list[str]:
        """What of the times may be wrong, in sentences."""
        update, many = Counter(file.update for file in self.files).most_common(1)[0]
        if many == 1:
            return []
        alike = [self.names[f.path] for f in self.files if f.update == update]
        return [
            f"{many} files have the time {update}, such as {alike[0]} and {alike[1]}; "
            "if they are of several runs, name the files of one by a glob in quotes; "
            "if the time stands elsewhere in the names: --time-from REGEX",
        ]

    @property
    def forecasts(self) -> bool:
        """Whether the checkpoints say that the net forecasts its own next input."""
        return self.files[0].metadata.get("closed_loop") == "true"


def look(
    checkpoints: Where | Iterable[Where],
    metrics: Where | None,
    log: LogOptions | None = None,
    time_from: str | None = None,
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
    time_from : str, optional
        As in `find_checkpoints`.
    before : dict, optional
        What training said before: it stands while there are no metrics to be read, as
        when a row is half written. Default: such metrics are refused.

    Raises
    ------
    CheckpointError, UsageError
        No checkpoints, or metrics that cannot be used.
    """
    places: Any = [checkpoints] if is_place(checkpoints) else checkpoints
    files, timeless = list_checkpoints(*places, time_from=time_from)
    if not files:
        raise CheckpointError("checkpoints: expected some files or folders, found none")
    files, states = _with_nets(files)
    files, copies = _without_copies(files)
    passed_over = [
        f"passed over {_some(paths)}, {one if len(paths) == 1 else several}"
        for paths, one, several in (
            (timeless, "whose name tells no time", "whose names tell no time"),
            (states, "which holds no recurrent net", "which hold no recurrent net"),
        )
        if paths
    ]
    passed_over += [
        f"passed over {copy.name}, which holds the same weights as {original.name}"
        for copy, original in copies
    ]
    folders = {run_folder(absolute(file.path)) for file in files}
    if files[0].told_by == "folder":  # each checkpoint in a folder of its own
        folders = {folder.parent for folder in folders}
    run = folders.pop() if len(folders) == 1 else Path()
    path = None if metrics is None else as_place(metrics)
    try:
        table, losses = read_metrics(path, run, files, log)
    except UsageError as error:
        if before is None:
            raise
        table, losses = before, str(error)
    return Found(files, run, _names(files), table, losses, passed_over)


def _with_nets(
    files: list[CheckpointFile],
) -> tuple[list[CheckpointFile], list[Path]]:
    """Part off the states of optimisers and the like, told by name and content."""
    states = [
        file.path
        for file in files
        if _STATE.search(file.path.name) and not _holds_net(file.path, stamp(file.path))
    ]
    if len(states) == len(files):
        return files, []
    return [file for file in files if file.path not in states], states


def _without_copies(
    files: list[CheckpointFile],
) -> tuple[list[CheckpointFile], list[tuple[Path, Path]]]:
    """Part off what has no time in its name, and is a copy, as ``last.ckpt`` is."""
    at: dict[int, Path] = {}
    for file in files:
        if time_in_name(file.path.stem) is not None:
            at.setdefault(file.update, file.path)
    copies = [
        (file.path, at[file.update])
        for file in files
        if file.update in at
        and time_in_name(file.path.stem) is None
        and _same_weights(*((p, stamp(p)) for p in (file.path, at[file.update])))
    ]
    copied = {copy for copy, _ in copies}
    return [file for file in files if file.path not in copied], copies


@lru_cache(maxsize=64)
def _same_weights(*written: tuple[Path, tuple[int, ...]]) -> bool:
    try:
        first, second = (read_named(path)[0] for path, _ in written)
    except CheckpointError:
        return False  # it is reported when it is measured
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


@lru_cache(maxsize=4096)
def _holds_net(path: Path, _: tuple[int, ...]) -> bool:
    try:
        return any(is_recurrent(name) for name in read_named(path)[0])
    except CheckpointError:
        return True  # it is reported when it is measured


def _some(paths: list[Path]) -> str:
    names = [path.name for path in paths]
    if len(names) == 1:
        return names[0]
    return f"{len(names)} files, such as {names[0]}"


def _names(files: list[CheckpointFile]) -> dict[Path, str]:
    parts = {file.path: absolute(file.path).as_posix().split("/") for file in files}
    levels = zip(*(names[:-1] for names in parts.values()), strict=False)
    common = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
    return {path: _shown("/".join(names[common:])) for path, names in parts.items()}


def _shown(name: str) -> str:
    """Give a name that terminals and stores can hold, of one file only."""
    return one_line(name.replace("\\", "\\\\"))
