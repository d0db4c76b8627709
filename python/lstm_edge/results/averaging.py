"""Weights averaged over checkpoints: by default over the later half of the first edge.

Wei et al. 2025 explain their optimum by the width of the edge, which would allow the
best exploration of weights. Averages of weights along training often lie in wider and
better optima than its last ones (Izmailov et al. 2018).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError, UsageError
from lstm_edge.files.discovery import CheckpointFile, find_checkpoints
from lstm_edge.files.formats import read_tensors
from lstm_edge.files.safetensors import write_checkpoint
from lstm_edge.results.sweep import open_sweep
from lstm_edge.track.transitions import Transition, first_transition

Tensors = dict[str, NDArray[Any]]


def later_half(onset: Transition) -> tuple[float, float]:
    """Give the later half of the span of a transition.

    Parameters
    ----------
    onset : Transition
    """
    first, last = onset.span
    return (first + last) / 2, last


def average_checkpoints(
    run: str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    first: float | None = None,
    last: float | None = None,
) -> Path:
    """Average the weights of the checkpoints of a part of a run.

    Parameters
    ----------
    run : path
        Run folder, or folder of checkpoints, with the results of `analyze` beside them
        where no part is named.
    out : path, optional
        The file, in safetensors. Default: ``average.safetensors`` in the folder.
    first, last : number, optional
        Updates that the part begins and ends with. Default: the later half of the span
        of the first sustained onset of chaos, which is found without a test set.

    Returns
    -------
    Path
        Of the file: all tensors of the checkpoints by name; ``update`` in its metadata
        is that of the last one.

    Raises
    ------
    UsageError
        No such onset, or no checkpoints in the part.
    CheckpointError
        Checkpoints that hold tensors of other names or shapes.

    Examples
    --------
    >>> import lstm_edge
    >>> lstm_edge.average_checkpoints("runs/digits", first=10, last=20).name
    'average.safetensors'
    """
    folder = Path(run)
    if first is None or last is None:
        begin, end = _edge(folder)
        first, last = begin if first is None else first, end if last is None else last
    files = [f for f in find_checkpoints(folder) if first <= f.update <= last]
    if not files:
        raise UsageError(
            f"{folder}: expected checkpoints in updates {first:g} to {last:g}, found "
            "none"
        )
    average = mean_of((_read(file) for file in files), str(folder))
    target = folder / "average.safetensors" if out is None else Path(out)
    said = {"update": str(files[-1].update), "averaged": str(len(files))}
    said |= {"averaged_from": str(files[0].update)}
    write_checkpoint(target, average, {**files[-1].metadata, **said})
    return target


def mean_of(sets: Iterable[Mapping[str, Any]], source: str) -> Tensors:
    """Average tensors by name; what is no floating-point number is that of the last.

    Parameters
    ----------
    sets : iterable of mapping of str to array
        At least one; read one at a time.
    source : str
        For messages.
    """
    total: dict[str, NDArray[Any]] = {}
    arrays: Tensors = {}
    count = 0
    for tensors in sets:
        arrays = {name: np.asarray(tensor) for name, tensor in tensors.items()}
        shapes = {name: array.shape for name, array in arrays.items()}
        if count and shapes != {name: array.shape for name, array in total.items()}:
            raise CheckpointError(
                f"{source}: expected tensors of the same names and shapes in all "
                "checkpoints, found others; average a part of one run"
            )
        for name, array in arrays.items():
            total[name] = total.get(name, 0.0) + array.astype(np.float64)
        count += 1
    return {
        name: (total[name] / count).astype(array.dtype)
        if array.dtype.kind == "f"
        else array
        for name, array in arrays.items()
    }


def _read(file: CheckpointFile) -> Mapping[str, Any]:
    return read_tensors(file.path)[0]


def _edge(run: Path) -> tuple[float, float]:
    onset = first_transition(open_sweep(run).transitions)
    if onset is None:
        raise UsageError(
            f"{run}: expected a sustained onset of chaos, found none; name a part of "
            "the run with --from and --to"
        )
    return later_half(onset)
