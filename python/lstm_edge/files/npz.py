"""npz: an archive of numpy's arrays."""

from __future__ import annotations

import io
import math
from typing import Any, Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError
from lstm_edge.files.guard import Tensors, open_zip

_MAX_HEADER = 1000
"""Bytes of an array's header, which numpy parses as a Python literal."""


def read_npz(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    """Read all arrays of numbers; a reader in `FORMATS`."""
    with open_zip(data, source) as (names, read):
        found = [name for name in names if name.endswith(".npy")]
        return {n[:-4]: _read_npy(read(n), n[:-4], source) for n in found}, {}


def _read_npy(data: bytes, name: str, source: str) -> NDArray[Any]:
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        read = (
            npy.read_array_header_1_0 if version[0] == 1 else npy.read_array_header_2_0
        )
        shape, in_columns, dtype = read(file, max_header_size=_MAX_HEADER)
    except (ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(
            f"{source}: array '{name}' does not begin as a plain array does; it is "
            "damaged, or of a type that holds no weights: save plain float arrays"
        ) from error
    if dtype.hasobject:
        raise CheckpointError(
            f"{source}: array '{name}' holds pickled Python objects, which are never "
            "opened; save plain float arrays"
        )
    held = len(data) - file.tell()
    if math.prod(shape) * dtype.itemsize != held:
        raise CheckpointError(
            f"{source}: array '{name}' declares shape {shape} of {dtype}, but {held} "
            "bytes follow; the file is damaged, write it again"
        )
    order: Literal["F", "C"] = "F" if in_columns else "C"
    return np.ndarray(shape, dtype, data, file.tell(), order=order)
