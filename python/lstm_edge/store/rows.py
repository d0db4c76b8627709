"""A row of the store: one measure of one checkpoint, in memory and as columns."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray


@dataclass(frozen=True)
class Row:
    """One measure of one checkpoint.

    Attributes
    ----------
    name : str
        The checkpoint.
    measure : str
        The measure; "checkpoint" in the row of a file that could not be read.
    key : str
        Digest of all that determines the result.
    revision : int
    settings : dict
    status : {"done", "failed"}
    message : str
        Why it failed.
    scalars : dict
        Numbers, strings and lists of numbers; -inf and NaN survive.
    arrays : mapping of str to ndarray
    seconds : float
        What it took.
    version : str
        Of the lstm-edge that computed it.
    """

    name: str
    measure: str
    key: str
    revision: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    status: str = "done"
    message: str = ""
    scalars: dict[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    seconds: float = 0.0
    version: str = ""


TYPES: dict[str, type] = {
    "name": str,
    "measure": str,
    "key": str,
    "revision": int,
    "settings": str,
    "status": str,
    "message": str,
    "scalars": str,
    "arrays": bytes,
    "seconds": float,
    "version": str,
}
"""The columns, and the type of each on disk."""


def result_key(
    weights: str, measure: str, revision: int, settings: Mapping[str, Any], inputs: str
) -> str:
    """Digest of everything that determines a result.

    Parameters
    ----------
    weights, inputs : str
        Digests of the weights and of the inputs.
    measure, revision, settings
        What is computed from them.
    """
    text = canonical([weights, measure, revision, dict(settings), inputs])
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: Any) -> str:
    """JSON by which equal settings are equal texts; numpy's numbers are numbers."""
    return json.dumps(value, sort_keys=True, default=lambda v: v.tolist())


def checksum(columns: Sequence[Any]) -> int:
    """CRC-32 of columns: what a failing disk changed is told, never shown."""
    found = 0
    for value in columns:
        data = value if isinstance(value, bytes) else str(value).encode()
        found = zlib.crc32(data, found)
    return found


def to_columns(row: Row) -> tuple[Any, ...]:
    """Give a row as it is stored, in the order of `TYPES`."""
    return (
        row.name,
        row.measure,
        row.key,
        row.revision,
        canonical(row.settings),
        row.status,
        row.message,
        json.dumps(row.scalars),
        safetensors.numpy.save(
            {name: np.ascontiguousarray(array) for name, array in row.arrays.items()}
        ),
        float(row.seconds),
        row.version,
    )


def from_columns(columns: Sequence[Any], arrays: Mapping[str, NDArray[Any]]) -> Row:
    """Read a row back, but for its arrays, which are given."""
    found = dict(zip(TYPES, columns, strict=True))
    settings, scalars = json.loads(found["settings"]), json.loads(found["scalars"])
    return Row(**found | {"settings": settings, "scalars": scalars, "arrays": arrays})
