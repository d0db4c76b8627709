"""Replay a part of a run, to look at it update by update.

The replay begins at the last state that the run kept before the part, and passes
through checkpoints of the run: it must arrive at each of them with the same bytes.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import safetensors.numpy
from numpy.typing import NDArray

from lstm_edge.errors import LstmEdgeError, UsageError
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.lab.tasks.table import make_task
from lstm_edge.lab.tasks.task import Task
from lstm_edge.lab.training.recording import Values, Writer, snapshots, written
from lstm_edge.lab.training.runs import (
    begin_metrics,
    checkpoint_path,
    embeddings_path,
    kept_states,
    only_trainer,
    open_run,
    read_description,
    read_state,
)
from lstm_edge.lab.training.space import space_needed
from lstm_edge.lab.training.trainer import Evaluator, Trainer, reproducible
from lstm_edge.lab.training.training import make_recording, metadata_of, versions


def zoom(
    run: str | PathLike[str],
    first: int,
    last: int,
    *,
    task: Task | None = None,
    data: str | PathLike[str] | None = None,
    evaluate: str = "1update",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Replay training between two checkpoints and keep every update.

    Parameters
    ----------
    run : path
        Folder of a run that `train` made.
    first, last : int
        Updates at which the run has checkpoints.
    task : Task, optional
        That of the run, where it is not one of `TASKS`.
    data : path, optional
        Data of the task, where they are elsewhere now.
    evaluate : str, default "1update"
        How often the losses are evaluated, as in `train`.
    progress : callable, optional
        Called with the number of updates kept, and of all that will be.

    Returns
    -------
    Path
        ``zoom-FIRST-LAST`` in the run, a run folder itself. It is there only when the
        replay has passed through every checkpoint of the run on its way, `first` and
        `last` among them, with the same bytes; a second call gives it at once.

    Raises
    ------
    UsageError
        If it is no run, has no such checkpoints, or the data are not its own.
    LstmEdgeError
        If the replay gives other bytes.
    """
    folder = Path(run)
    description = _describe(folder)
    _check_part(folder, first, last)
    out = folder / f"zoom-{first}-{last}"
    if out.exists():
        return out
    chosen = task or make_task(
        description["task"],
        description["data"] if data is None else data,
        seed=description["seed"],
        **description["options"],
    )
    if chosen.digest != description["data_digest"]:
        raise UsageError(
            f"{folder}: the data are not those of the run: expected SHA-256 "
            f"{description['data_digest'][:8]}..., found {chosen.digest[:8]}..."
        )
    beside = out.with_name(f".{out.name}.tmp")
    seed, device = description["seed"], description["settings"]["device"]
    with only_trainer(folder), reproducible(seed, device):
        shutil.rmtree(beside, ignore_errors=True)
        replay = _replay(beside, folder, chosen, first, last, evaluate)
        with closing(replay) as rows:
            for row in rows:
                if progress is not None:
                    progress(row["update"] - first + 1, last - first + 1)
    return beside.rename(out)


def _replay(
    out: Path, run: Path, task: Task, first: int, last: int, evaluate: str
) -> Generator[Values]:
    """Write the run folder of a part, and give its rows of metrics."""
    description = _describe(run)
    trainer = Trainer(task, description["settings"], description["seed"])
    begun, state = _state_before(run, first)
    trainer.restore(state)
    recording = replace(make_recording(trainer, "1update", evaluate), last=last, keep=0)
    space_needed(trainer, recording, run).check(out)
    description |= {"schedule": "1update", "evaluate": evaluate, "versions": versions()}
    description["zoom"] = {"from": first, "to": last, "replayed_from": begun}
    open_run(out, description, task.probe)
    begin_metrics(out)
    writer = Writer(
        out,
        Evaluator(task, copy.deepcopy(trainer.model), trainer.updates_per_epoch),
        recording.embeddings,
        metadata_of(description),
        check=partial(_compare, run),
    )
    trainer.advance(first)
    yield from written(snapshots(trainer, recording), writer)


def _compare(run: Path, update: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse weights that are not those of the run at the same update."""
    path = checkpoint_path(run, update)
    if not path.exists():
        return
    stored = safetensors.numpy.load_file(path)
    embeddings = embeddings_path(run, update)
    if embeddings.exists():
        stored |= safetensors.numpy.load_file(embeddings)
    for name, array in stored.items():
        if array.tobytes() != arrays[name].tobytes():
            raise LstmEdgeError(
                f"{path}: the replay gives other bytes in '{name}'; expected the same "
                f"versions and processor as in training: {_describe(run)['versions']}, "
                f"found {versions()}"
            )


def _describe(run: Path) -> dict[str, Any]:
    try:
        description = read_description(run)
        if {"task", "options", "settings", "data_digest"} <= description.keys():
            return description
        raise ValueError("it lacks settings")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{run}: expected the folder of a run of 'lstm-edge train', found none "
            f"that can be replayed ({error})"
        ) from error


def _check_part(run: Path, first: int, last: int) -> None:
    """Refuse updates without a checkpoint."""
    if first >= last:
        raise UsageError(f"zoom: expected --from below --to, found {first} and {last}")
    there = [file.update for file in find_checkpoints(run)]
    for update in (first, last):
        if update not in there:
            near = sorted(sorted(there, key=lambda other: abs(other - update))[:3])
            raise UsageError(
                f"{run}: expected the update of a checkpoint, found {update}; near it "
                f"are {', '.join(map(str, near))}"
            )


def _state_before(run: Path, first: int) -> tuple[int, dict[str, Any]]:
    """Give the last state from which an update leads to `first`, and its update."""
    states = kept_states(run)
    before = [update for update in states if update < max(first, 1)]
    if not before:
        raise UsageError(
            f"{run / 'resume'}: expected a state before update {first}, found none"
        )
    return before[-1], read_state(states[before[-1]])[0]
