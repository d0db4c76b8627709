"""Discovery: which files are checkpoints, and the update each was written at."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from lstm_edge.errors import CheckpointError, UsageError
from lstm_edge.files.formats import ALIKE, FORMATS, suffixes
from lstm_edge.files.headers import said_by
from lstm_edge.files.huggingface import (
    belongs_to_folder,
    holds_no_weights,
    weights_of,
)
from lstm_edge.files.orbax import refuse_orbax
from lstm_edge.files.places import (
    as_place,
    exists,
    identity,
    is_folder,
    is_remote,
    list_folder,
    list_subfolders,
    matching,
)
from lstm_edge.files.times import MOST, time_in_name

_READERS = 16
"""Headers read at a time."""

_DEPTH = 4
"""Levels of folders that are looked through."""

_MOST_FOLDERS = 1000
"""Of each level."""

_SHOWN = 3
"""Folders that are named."""


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint and the optimiser update it was written at.

    Attributes
    ----------
    path : Path
        A UPath where it lies elsewhere.
    update : int
    metadata : dict of str to str
        What its header says, where it has one that can be read alone.
    told_by : str
        What tells the update: "file", "name", "folder", "pattern" or "order".
    """

    path: Path
    update: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    told_by: str = "name"


def find_checkpoints(
    *where: str | PathLike[str], time_from: str | None = None
) -> list[CheckpointFile]:
    r"""List the checkpoints in runs, folders, files and globs, here or elsewhere.

    The update comes from the file's metadata (only the header is read), else it is the
    time in the file's name (`time_in_name`), or in that of its folder where all files
    are named alike. Where no name has a number, it is the position in natural
    order; where some have one, a ``model_best.pt`` beside them has no place in time and
    is passed over, as are ``probe.safetensors``, hidden and temporary files.

    Parameters
    ----------
    *where : path
    time_from : str, optional
        A regular expression that finds the time in a name, in its first group where it
        has one: ``"seed\d+-(\d+)"``. Files in whose names it finds nothing are passed
        over.

    Returns
    -------
    list of CheckpointFile
        In ascending order of update, each file once.

    Raises
    ------
    CheckpointError
        If one of `where` leads to no checkpoint, or is a file without a time beside
        others that have one.
    UsageError
        `time_from` that is no regular expression, or finds what is no whole number.

    Examples
    --------
    >>> import lstm_edge
    >>> lstm_edge.find_checkpoints("runs/digits")[0].path.name
    'update-00000000.safetensors'
    """
    return list_checkpoints(*where, time_from=time_from)[0]


def list_checkpoints(
    *where: str | PathLike[str], time_from: str | None = None
) -> tuple[list[CheckpointFile], list[Path]]:
    """Do as `find_checkpoints`, and give also the files without a time."""
    places = [path for item in where for path in _expand(as_place(item))]
    paths = sorted({identity(p): p for p in places}.values(), key=_natural)
    said = _said_by_all(paths)
    told_by, names = "name", [path.stem for path in paths]
    if len(paths) > 1 and len(set(names)) == 1:  # each in a folder of its own
        told_by, names = "folder", [path.parent.name for path in paths]
    if time_from is not None:
        times = [(_matched(time_from, path.name), "pattern") for path in paths]
    else:
        times = [_time(*both, told_by) for both in zip(names, said, strict=True)]
        if all(time is None for time, _ in times):
            times = [(index, "order") for index in range(len(paths))]
    found = [
        CheckpointFile(path, time, about, by)
        for path, (time, by), about in zip(paths, times, said, strict=True)
        if time is not None
    ]
    if not found:
        raise UsageError(
            f"time_from: expected a regular expression that finds a time in the names, "
            f"such as {paths[0].name}; found none by {time_from!r}"
        )
    _refuse_timeless({as_place(item) for item in where}.intersection(paths), found)
    timeless = set(paths) - {checkpoint.path for checkpoint in found}
    found.sort(key=lambda checkpoint: checkpoint.update)
    return found, sorted(timeless, key=_natural)


def _said_by_all(paths: list[Path]) -> list[Mapping[str, str]]:
    if not any(map(is_remote, paths)):
        return [*map(said_by, paths)]
    with ThreadPoolExecutor(_READERS) as readers:  # far places answer slowly
        return [*readers.map(said_by, paths)]


def _refuse_timeless(named: set[Path], found: list[CheckpointFile]) -> None:
    """Refuse a file that the user named, but that has no place among the others."""
    for path in sorted(named - {checkpoint.path for checkpoint in found}):
        raise CheckpointError(
            f"{path}: expected its update in its metadata or name, as in those of "
            f"{found[0].path.name}, found none; rename it, or leave it out, as a "
            "folder or a quoted glob does"
        )


def _expand(path: Path) -> list[Path]:
    if is_folder(path / "checkpoints"):
        path = path / "checkpoints"
    if is_folder(path):
        found = _inside(path) or _below(path)
    elif exists(path):
        return [path]
    else:
        matches = matching(path)
        if not matches:
            raise CheckpointError(f"{path}: no such file or folder")
        folders = [place for place in matches if is_folder(place)]
        found = [
            file for file in matches if file not in folders and _is_checkpoint(file)
        ]
        found += [folder for folder in folders if weights_of(folder)]
    if not found:
        if is_folder(path):
            refuse_orbax(path)
        raise CheckpointError(f"{path}: no checkpoint found, expected {suffixes()}")
    return found


def _inside(folder: Path) -> list[Path]:
    """Checkpoints in a folder: those in folders of their own, itself, or its files."""
    numbered = [f for f in list_subfolders(folder) if re.search(r"\d", f.name)]
    own = [subfolder for subfolder in numbered if weights_of(subfolder)]
    there = list_folder(folder)
    files = [file for file in there if _is_checkpoint(file, FORMATS)]
    files = files or [file for file in there if _is_checkpoint(file, ALIKE)]
    others = [file for file in files if not belongs_to_folder(file.name)]
    if own:  # beside them Trainer leaves the last one again
        return own + others
    if not others and weights_of(folder):
        return [folder]
    return files


def _below(folder: Path) -> list[Path]:
    """Checkpoints of the one run below a folder that holds none itself.

    As Lightning keeps them in ``lightning_logs/version_0/checkpoints``, or each in a
    folder of its own, named alike in all.
    """
    held: dict[Path, list[Path]] = {}
    level = [folder]
    for _ in range(_DEPTH):
        inner: list[Path] = []
        for place in level[:_MOST_FOLDERS]:
            with suppress(CheckpointError):  # a folder that may not be read
                inner += list_subfolders(place)
        level = []
        for place in inner[:_MOST_FOLDERS]:
            if place.name.startswith((".", "__")):
                continue
            with suppress(CheckpointError):
                if files := _inside(place):
                    held[place] = files
                else:
                    level.append(place)
    found = [file for files in held.values() for file in files]
    if len(held) > 1 and (len(found) > len(held) or len({f.name for f in found}) > 1):
        some = ", ".join(map(str, sorted(held)[:_SHOWN]))
        raise CheckpointError(
            f"{folder}: expected the checkpoints of one run, found some in "
            f"{len(held)} folders below it, such as {some}; name one of them"
        )
    return found


def _is_checkpoint(path: Path, known: Collection[str] = (*FORMATS, *ALIKE)) -> bool:
    return (
        path.suffix.lower() in known
        and path.suffix.lower() != ".json"
        and not path.name.startswith(".")
        and path.name != "probe.safetensors"
        and not holds_no_weights(path.name)
    )


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    """Sort key by which 2 comes before 10."""
    parts = re.split(r"(\d+)", str(path))
    return [(p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in parts]


def _time(name: str, said: Mapping[str, str], told_by: str) -> tuple[int | None, str]:
    """Tell the update that the file says, else that of the name, and which told it."""
    with suppress(KeyError, ValueError):  # else the name decides
        update = int(said["update"])
        if abs(update) < MOST:
            return update, "file"
    return time_in_name(name), told_by


def _matched(pattern: str, name: str) -> int | None:
    """Tell the time that a pattern finds in a name; None where it finds nothing."""
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise UsageError(
            f"time_from: expected a regular expression, found {pattern!r}: {error}"
        ) from error
    if match is None:
        return None
    text = match[1] if match.re.groups else match[0]
    if text is None or not text.isdecimal() or int(text) >= MOST:
        raise UsageError(
            f"time_from: expected a whole number in {name!r}, found {text!r}; put the "
            r"number in brackets, as in 'step(\d+)'"
        )
    return int(text)
