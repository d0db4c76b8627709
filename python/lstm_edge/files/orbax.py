"""Orbax's folders: known, and not read, as their arrays lie in a database of its own.

A folder of one step has ``_METADATA`` in it, or in its ``default``.
"""

from __future__ import annotations

from pathlib import Path

from lstm_edge.errors import CheckpointError
from lstm_edge.files.places import exists, list_subfolders


def refuse_orbax(folder: Path) -> None:
    """Tell how to save the arrays of Orbax's checkpoints elsewhere.

    Raises
    ------
    CheckpointError
        The folder is one, or holds some.
    """
    for step in (folder, *list_subfolders(folder)):
        for place in (step, step / "default"):
            if exists(place / "_METADATA"):
                raise CheckpointError(
                    f"{place}: found a checkpoint of Orbax, which is not read; save "
                    "its arrays where Orbax and Flax are installed: import "
                    "flax.serialization, orbax.checkpoint; open('net.msgpack', 'wb')"
                    ".write(flax.serialization.msgpack_serialize(orbax.checkpoint."
                    f"PyTreeCheckpointer().restore({str(place.absolute())!r})))"
                )
