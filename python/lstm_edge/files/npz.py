"""npz: an archive of numpy's arrays, whose headers numpy evaluates as Python."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError
from lstm_edge.files.guard import MAX_HEADER, Tensors, open_zip

_NPY_STARTS = {b"\x93NUMPY" + bytes([i, 0]): 10 if i == 1 else 12 for i in (1, 2, 3)}
"""Magic and version to where the header begins, behind its length."""

_NPY = re.compile(
    rb"\{'descr': '(?P<dtype>[<>|=]?[bcfimMOSuUV]\d{0,9}(?:\[\w+\])?)', "
    rb"'fortran_order': (?P<order>True|False), "
    rb"'shape': \((?P<shape>[\d, ]*)\),? ?\}\s*"
)
"""Header of a plain array; numpy evaluates it as Python, which can take minutes."""


def read_npz(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    """Read all arrays, without numpy's own reader; a reader in `FORMATS`."""
    with open_zip(data, source) as (names, read):
        found = [name for name in names if name.endswith(".npy")]
        return {n[:-4]: _read_npy(read(n), n[:-4], source) for n in found}, {}


def _read_npy(data: bytes, name: str, source: str) -> NDArray[Any]:
    start = _NPY_STARTS.get(data[:8], 0)
    end = start + int.from_bytes(data[8:start], "little")
    header = _NPY.fullmatch(data, start, min(end, start + MAX_HEADER))
    if header is None:
        raise CheckpointError(
            f"{source}: array '{name}' does not begin as a plain array does; it is "
            "damaged, or of a type that holds no weights: save plain float arrays"
        )
    shape = tuple(map(int, re.findall(rb"\d+", header["shape"])))
    dtype = np.dtype(header["dtype"].decode())
    if dtype.hasobject:
        raise CheckpointError(
            f"{source}: array '{name}' holds pickled Python objects, which are never "
            "opened; save plain float arrays"
        )
    held = len(data) - end
    if math.prod(shape) * dtype.itemsize != held:
        raise CheckpointError(
            f"{source}: array '{name}' declares shape {shape} of {dtype}, but "
            f"{max(held, 0)} bytes follow; the file is damaged, write it again"
        )
    order: Literal["F", "C"] = "F" if header["order"] == b"True" else "C"
    return np.ndarray(shape, dtype, data, end, order=order)
