"""What is taken for granted of a run, so that it can be told beside the results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from lstm_edge.errors import CheckpointError
from lstm_edge.files.places import is_remote
from lstm_edge.net.inspection import inspect_checkpoint
from lstm_edge.sweep.found import Found


def assumptions(found: Found, names: Mapping[str, str]) -> list[str]:
    """Say in sentences what neither the files nor the user have said.

    Parameters
    ----------
    found : Found
        Of its files the first is looked into, if it lies on this machine: files far
        away are read once.
    names : mapping of str to str
        The module, readout and embedding, where they were given.
    """
    return [*_of_times(found), *_of_net(found.files[0].path, names)]


def _of_times(found: Found) -> list[str]:
    many = Counter(file.update for file in found.files).most_common(1)[0]
    if many[1] == 1:
        return []
    alike = [found.names[f.path] for f in found.files if f.update == many[0]]
    return [
        f"{many[1]} files have the time {many[0]}, such as {alike[0]} and {alike[1]}; "
        "if they are of several runs, name the files of one by a glob in quotes"
    ]


def _of_net(path: Path, names: Mapping[str, str]) -> list[str]:
    if is_remote(path):
        return []
    tensors = {key: names.get(key) for key in ("readout", "embedding")}
    try:
        nets = inspect_checkpoint(path, **tensors).nets
    except (CheckpointError, MemoryError):
        return []  # it is reported when it is measured
    wanted = names.get("module")
    nets = tuple(n for n in nets if not n.problem and wanted in (None, n.name))
    if len(nets) != 1:
        return []
    (net,) = nets
    said = []
    if net.assumed:
        said.append(
            "the files do not say the function of the RNN, tanh is taken; if it is "
            f"relu: --module '{net.relu}'"
        )
    if net.unused:
        said.append(f"tensors of the net are not used: {', '.join(net.unused)}")
    return said
