"""npz: an archive of numpy's arrays."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError
from lstm_edge.files.guard import Tensors, open_zip
from lstm_edge.files.npy import read_npy


def read_npz(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    """Read all arrays of numbers; a reader in `FORMATS`."""
    with open_zip(data, source) as (names, read):
        found = [name for name in names if name.endswith(".npy")]
        return {n[:-4]: _member(read(n), n[:-4], source) for n in found}, {}


def _member(data: bytes, name: str, source: str) -> NDArray[Any]:
    array, end = read_npy(data, name, source)
    if end != len(data):
        raise CheckpointError(
            f"{source}: {len(data) - end} bytes follow array '{name}'; the file is "
            "damaged, write it again"
        )
    return array
