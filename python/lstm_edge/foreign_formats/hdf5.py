"""HDF5: the arrays of a file, and nothing outside of it.

A file can name other files whose bytes it wants, as links, external or virtual arrays;
none of these is followed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from lstm_edge.errors import CheckpointError
from lstm_edge.foreign_formats.layers import Array, library, widen

_DEEPEST = 32


def read_hdf5(
    data: bytes, source: str
) -> tuple[dict[str, Array], dict[str, dict[str, Any]]]:
    """Read all arrays of numbers, and all attributes.

    Returns
    -------
    arrays : dict of str to ndarray
        By path, such as ``layers/lstm/cell/vars/0``.
    attributes : dict of str to dict
        By the path of their group or array; the root is "".

    Raises
    ------
    CheckpointError
        If h5py is missing, or the file reaches outside of itself or is compressed.
    """
    h5py = library(source, "keras", "h5py")
    arrays: dict[str, Array] = {}
    attributes: dict[str, dict[str, Any]] = {}
    left = len(data)
    with h5py.File(io.BytesIO(data), "r") as file:
        for path, item in _walk(h5py, file, source):
            attributes[path] = dict(item.attrs)
            if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiuV":
                continue
            if item.external or item.is_virtual:
                raise _reaches_out(source, path, "an external or virtual array")
            left -= item.nbytes
            if left < 0:
                raise CheckpointError(
                    f"{source}: declares more bytes of arrays than the {len(data)} it "
                    "has; expected a file without compression, as Keras writes"
                )
            arrays[path] = _values(item)
    return dict(sorted(arrays.items())), attributes


def _walk(h5py: Any, file: Any, source: str) -> Iterator[tuple[str, Any]]:
    """Give each group and array once, with its path."""
    pending: list[tuple[str, Any]] = [("", file)]
    seen = set()
    while pending:
        path, item = pending.pop()
        address = h5py.h5o.get_info(item.id).addr
        if address in seen or path.count("/") > _DEEPEST:
            continue  # a group can contain itself
        seen.add(address)
        yield path, item
        for name in item if isinstance(item, h5py.Group) else ():
            inner = f"{path}/{name}" if path else name
            if not isinstance(item.get(name, getlink=True), h5py.HardLink):
                raise _reaches_out(source, inner, "a link")
            pending.append((inner, item[name]))


def _values(item: Any) -> Array:
    values = np.asarray(item[()])
    if item.dtype.kind != "V" or item.dtype.itemsize != 2:
        return values
    return widen(values.tobytes(), values.shape)  # bfloat16, which HDF5 lacks


def _reaches_out(source: str, path: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{source}: '{path}' is {what}, which may reach into other files; expected "
        "arrays in the file itself, as Keras writes them"
    )
