"""Equinox: a net's arrays one after the other, in the order of its fields.

``equinox.tree_serialise_leaves`` writes no names. Shapes tell a cell: ``weight_ih``
(G * H, I) and ``weight_hh`` (G * H, H), with G = 4 of an ``LSTMCell`` and 3 of a
``GRUCell``, then ``bias`` (G * H,) and a GRU's ``bias_n`` (H,), where it has biases.
A matrix before a vector of as many rows is a ``Linear``. A first line of JSON, which
Equinox's guide proposes for hyperparameters, is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError
from lstm_edge.files.guard import Tensors
from lstm_edge.files.npy import BEGINNING, read_npy

_MAX_LINE = 2**16
"""Bytes of the line of hyperparameters."""

_MOST = 10_000
"""Arrays of a file: each costs a header to parse, however small it is."""

_CELLS = {4: "lstm", 3: "gru"}

Array = NDArray[Any]


def is_equinox(data: bytes) -> bool:
    """Whether a file begins with an array, or with a line of JSON and an array."""
    return _first(data) is not None


def read_equinox(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    """Read the arrays, and name those of cells by their shapes.

    Raises
    ------
    CheckpointError
        No shapes of a cell among them, or more than 10,000.
    """
    arrays: list[Array] = []
    place = _first(data) or 0
    while place < len(data):
        if len(arrays) == _MOST:
            raise CheckpointError(f"{source}: expected at most {_MOST} arrays")
        array, place = read_npy(data, str(len(arrays)), source, place)
        arrays.append(array)
    named = dict(_named(arrays))
    cells = [name.removesuffix(".weight_hh") for name in named if "_hh" in name]
    if not cells:
        raise CheckpointError(
            f"{source}: found arrays without names, and no two in a row that have the "
            "shapes of an LSTMCell or a GRUCell of equinox; save them by PyTorch's "
            "names: numpy.savez('net.npz', weight_ih_l0=..., weight_hh_l0=..., ...)"
        )
    return named, {
        f"{cell}.assumed": f"the file has arrays without names; by their shapes, those "
        f"from number {cell.partition('_')[2]} on are taken for equinox's "
        f"{cell.partition('_')[0].upper()}Cell"
        for cell in cells
    }


def _first(data: bytes) -> int | None:
    """Tell where the first array begins."""
    line = data[:_MAX_LINE].find(b"\n") + 1 if data.startswith(b"{") else 0
    return line if data.startswith(BEGINNING, line) else None


def _named(arrays: list[Array]) -> Iterator[tuple[str, Array]]:
    shapes = [array.shape for array in arrays]
    index = 0
    while index < len(arrays):
        cell, parts = _parts(shapes[index : index + 4])
        for offset, part in enumerate(parts):
            yield f"{cell}_{index}{part}", arrays[index + offset]
        index += len(parts)


def _parts(shapes: list[tuple[int, ...]]) -> tuple[str, list[str]]:
    """Tell what begins with the first array, and the names of its parts."""
    first, *others = shapes
    rows = first[0] if len(first) == 2 else 0
    bias = [(rows,)]
    for gates, cell in _CELLS.items():
        if rows and others[:1] == [(rows, rows // gates)] and rows % gates == 0:
            parts = [".weight_ih", ".weight_hh"]
            if others[1:2] == bias:
                parts.append(".bias")
                if cell == "gru" and others[2:] == [(rows // gates,)]:
                    parts.append(".bias_n")
            return cell, parts
    return ("linear", [".weight", ".bias"]) if others[:1] == bias else ("array", [""])
