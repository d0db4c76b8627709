"""A run on disk: its description, metrics, checkpoints, and where to go on.

Every file is written beside and renamed into place, but for ``metrics.csv``, to which
whole rows are appended; going on with a run cuts it back to the state gone on from.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_edge.display import counted
from lstm_edge.errors import CheckpointError, ConflictError, LstmEdgeError, UsageError
from lstm_edge.files.metrics import METRICS
from lstm_edge.files.places import replace_file
from lstm_edge.files.safetensors import write_checkpoint
from lstm_edge.files.torch import read_saved
from lstm_edge.locks import locked

COLUMNS = ("update", *METRICS)
"""Columns of ``metrics.csv``."""

LOGGED = ("update", "epoch", "train_loss", "test_loss")  # in each checkpoint too

NOT_COMPARED = ("versions", "data")
"""What may differ when a run goes on; the data has a digest, and may have moved."""

_LOG = logging.getLogger("lstm_edge")

DAMAGE = (
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    CheckpointError,
)
"""What reading a state raises that was changed by others."""


def only_trainer(folder: Path) -> AbstractContextManager[None]:
    """Make the folder of a run, and keep other trainers out of it.

    Raises
    ------
    UsageError
        If another one is there, or the folder cannot hold a run.
    """
    busy = UsageError(
        f"{folder}: another process is training into this folder; wait for it, or "
        "train in another folder"
    )
    advice = "expected a folder that can hold a run"
    return locked(folder / "resume" / "lock", busy, UsageError, advice)


def open_run(folder: Path, description: Mapping[str, Any], probe: NDArray[Any]) -> None:
    """Begin a run, or check that the one in the folder has the same settings.

    One that has no checkpoint yet has nothing to keep, and is begun anew.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    description : mapping
        What ``run.json`` holds: task, settings, seed, versions, schedule, ...
    probe : ndarray of shape (B, T, I), or of integers (B, T)
        Inputs that drive the analysis.

    Raises
    ------
    ConflictError
        Naming the first setting that differs.
    UsageError
        If the folder cannot hold a run.
    """
    path = folder / "run.json"
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        if not _begun(folder):
            write_checkpoint(folder / "probe.safetensors", {"inputs": probe}, {})
            replace_file(path, json.dumps(description, indent=2).encode())
            return
        there, wanted = _flat(read_description(folder)), _flat(description)
    except (OSError, ValueError) as error:
        raise _no_place(folder, error) from error
    for name, value in wanted.items():
        if there.get(name) != value:
            raise ConflictError(
                f"{path}: the run there has {name} = {there.get(name)}, this call has "
                f"{value}; go on with its settings, or train in another folder"
            )


def read_description(folder: Path) -> dict[str, Any]:
    """Read ``run.json``.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or is none.
    """
    path = folder / "run.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        raise ValueError(f"{path}: expected the settings of a run, found none")
    found["settings"].setdefault("cell", "lstm")  # once there was no other
    return found


def _begun(folder: Path) -> bool:
    """Whether there is a run with something to keep."""
    if not (folder / "run.json").exists():
        return False
    read_description(folder)  # refuses what is none
    return any(folder.glob("checkpoints/*")) or any(folder.glob("resume/*.pt"))


def _no_place(folder: Path, error: Exception) -> UsageError:
    return UsageError(f"{folder}: cannot hold a run ({error})")


def _flat(description: Mapping[str, Any]) -> dict[str, Any]:
    """Give all that must agree."""
    rest = {k: v for k, v in description.items() if k not in NOT_COMPARED}
    settings = rest.pop("settings")
    return {**rest, **settings}


def checkpoint_path(folder: Path, update: int) -> Path:
    """Where the checkpoint of an update lies."""
    return folder / "checkpoints" / f"update-{update:08}.safetensors"


def embeddings_path(folder: Path, update: int) -> Path:
    """Where the embeddings of an update lie, if they are kept apart at it."""
    return folder / "embeddings" / f"update-{update:08}.safetensors"


def begin_metrics(folder: Path) -> None:
    """Write the header of ``metrics.csv``."""
    replace_file(folder / "metrics.csv", (",".join(COLUMNS) + "\n").encode())


def to_arrays(state_dict: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Give the arrays that a checkpoint holds, float32 or float64."""
    return {
        name: (x if x.dtype == torch.float64 else x.float()).cpu().numpy()
        for name, x in state_dict.items()
    }


def record(
    folder: Path,
    arrays: Mapping[str, NDArray[Any]],
    row: Mapping[str, Any],
    metadata: Mapping[str, str],
) -> None:
    """Write a checkpoint, and append its row of `COLUMNS`."""
    shown = {name: repr(row[name]) for name in COLUMNS}
    write_checkpoint(
        checkpoint_path(folder, row["update"]),
        arrays,
        {**metadata, **{k: shown[k] for k in LOGGED}},
    )
    with (folder / "metrics.csv").open("a", newline="") as file:
        file.write(",".join(shown.values()) + "\n")


def save_state(folder: Path, state: Mapping[str, Any], *, keep: bool) -> None:
    """Keep the state that belongs to the last row of metrics.

    Parameters
    ----------
    folder : Path
        The run's.
    state : mapping
        Tensors and numbers, with the ``"update"``.
    keep : bool
        For good, or only until the next state.
    """
    rows = (folder / "metrics.csv").read_bytes()
    newest = folder / "resume" / "newest.pt"
    if keep:
        kept = folder / "resume" / f"update-{state['update']:08}.pt"
        write_state(kept, state, rows)
        newest.unlink(missing_ok=True)
    else:
        write_state(newest, state, rows)


def write_state(path: Path, state: Mapping[str, Any], metrics: bytes = b"") -> None:
    """Write a state, with the size and checksum of ``metrics.csv`` as it was then."""
    buffer = io.BytesIO()
    size, checksum = len(metrics), zlib.crc32(metrics)
    torch.save(
        {"state": dict(state), "metrics_bytes": size, "metrics_crc": checksum}, buffer
    )
    replace_file(path, buffer.getvalue())


def kept_states(folder: Path) -> dict[int, Path]:
    """Find the states that are kept for good, by update in ascending order."""
    names = sorted((folder / "resume").glob("update-*.pt"))
    found = {re.fullmatch(r"update-(\d+)", path.stem): path for path in names}
    return {int(match[1]): path for match, path in found.items() if match}


def read_state(path: Path) -> tuple[dict[str, Any], int, int | None]:
    """Read a state, and the size and checksum of ``metrics.csv`` as it was then.

    As data: torch.load would run, or end, the process at the file's will.

    Raises
    ------
    LstmEdgeError
        If it was changed by others.
    """
    try:
        saved = read_saved(path.read_bytes(), str(path), _to_tensor)
        checksum = saved.get("metrics_crc")  # states of 0.1 have none
        return dict(saved["state"]), int(saved["metrics_bytes"]), checksum
    except DAMAGE as error:
        raise damaged(path, error) from error


def _to_tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array, array.dtype.newbyteorder("=")))


def load_state(folder: Path) -> dict[str, Any] | None:
    """Give the state last saved, with the metrics cut back to it; None at the start.

    Where the newest was damaged, the one before it is as good: training comes to the
    same bits from any, and writes again what came after it.

    Raises
    ------
    LstmEdgeError
        If no state can be used any more, or the metrics lost rows.
    """
    newest, metrics = folder / "resume" / "newest.pt", folder / "metrics.csv"
    there = [*kept_states(folder).values()] + [newest] * newest.exists()
    first: LstmEdgeError | None = None
    for path in reversed(there):
        try:
            state, rows, checksum = read_state(path)
            if metrics.stat().st_size < rows:
                raise ValueError(f"{metrics.name} lost rows")
            os.truncate(metrics, rows)
        except LstmEdgeError as error:
            first = first or error
        except (OSError, ValueError) as error:
            first = first or damaged(path, error)
        else:
            if first is not None:
                reason = str(first).rpartition("; ")[0]
                _LOG.warning("%s; training goes on from %s", reason, path.name)
            _tell_changes(folder, checksum)
            return state
    if first is not None:
        raise first
    begin_metrics(folder)
    return None


def _tell_changes(folder: Path, checksum: int | None) -> None:
    """Say what others did to the past of a run, from which it goes on all the same."""
    content = (folder / "metrics.csv").read_bytes()
    if checksum not in (None, zlib.crc32(content)):
        _LOG.warning(
            "%s: changed since training wrote it; its losses may be others than those "
            "of the checkpoints",
            folder / "metrics.csv",
        )
    updates = [line.split(b",")[0] for line in content.splitlines()[1:]]
    gone = [
        int(update)
        for update in updates
        if update.isdigit() and not checkpoint_path(folder, int(update)).exists()
    ]
    if gone:
        first = ", ".join(map(str, gone[:3])) + (", ..." if len(gone) > 3 else "")
        _LOG.warning(
            "%s: %s that training wrote, gone since: update %s",
            folder / "checkpoints",
            counted(len(gone), "checkpoint"),
            first,
        )


def damaged(path: Path, error: Exception) -> LstmEdgeError:
    """Say that a run cannot go on."""
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return LstmEdgeError(
        f"{path}: cannot go on from here ({reason}); train in another folder"
    )
