"""Arrays as numpy writes them one by one, each with a header of its own."""

from __future__ import annotations

import io
import math
from typing import Any, Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError

BEGINNING = b"\x93NUMPY"

_MAX_HEADER = 1000
"""Bytes of an array's header, which numpy parses as a Python literal."""


def read_npy(
    data: bytes, name: str, source: str, begin: int = 0
) -> tuple[NDArray[Any], int]:
    """Read the array that begins at a byte; give it, and the byte behind it.

    Raises
    ------
    CheckpointError
        No array begins there, it holds Python objects, or the file ends within it.
    """
    file = io.BytesIO(data)
    file.seek(begin)
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
    held, size = len(data) - file.tell(), math.prod(shape) * dtype.itemsize
    if size > held:
        raise CheckpointError(
            f"{source}: array '{name}' declares shape {shape} of {dtype}, but {held} "
            "bytes follow; the file is damaged, write it again"
        )
    order: Literal["F", "C"] = "F" if in_columns else "C"
    array: NDArray[Any] = np.ndarray(shape, dtype, data, file.tell(), order=order)
    return array, file.tell() + size
