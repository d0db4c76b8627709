"""A small sound checkpoint in every format, for the hostile ones to start from."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import safetensors.numpy
import torch

from conftest import Arrays, make_arrays

Make = Callable[[], bytes]
"""Gives the content of a file."""

TRACE = "code-ran"
"""File that every malicious pickle makes in the current folder, if it can."""


class Harm:
    """Unpickling it leaves a trace."""

    def __reduce__(self) -> Any:
        return open, (TRACE, "w")


def arrays() -> Arrays:
    """One layer of two hidden units and one input."""
    return {k: v for k, v in make_arrays((2,), 1).items() if "readout" not in k}


@cache
def safetensors_bytes() -> bytes:
    return safetensors.numpy.save(arrays(), {"update": "3"})


@cache
def npz_bytes(compressed: bool = False) -> bytes:
    buffer = io.BytesIO()
    write = np.savez_compressed if compressed else np.savez
    write(buffer, allow_pickle=False, **arrays())
    return buffer.getvalue()


@cache
def torch_bytes(legacy: bool = False) -> bytes:
    state_dict = {name: torch.from_numpy(array) for name, array in arrays().items()}
    return torch_saved(state_dict, legacy)


def torch_saved(obj: Any, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(obj, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Give an archive; its members are dated as far back as can be."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)
            member.compress_type = method
            archive.writestr(member, content)
    return buffer.getvalue()


def cuts(data: bytes, places: list[int], suffix: str) -> dict[str, Make]:
    """Truncate at each of some places."""
    return {
        f"cut at byte {place}{suffix}": lambda place=place: data[:place]  # type: ignore[misc]
        for place in sorted({*places})
        if place < len(data)
    }


def zip_boundaries(data: bytes) -> list[int]:
    """Give where the parts of an archive begin, and where their fixed fields end."""
    fixed = {b"PK\x03\x04": 30, b"PK\x01\x02": 46, b"PK\x06\x06": 56, b"PK\x05\x06": 22}
    places = [1, 4, len(data) - 1]
    for mark, length in fixed.items():
        at = data.find(mark)
        while at >= 0:
            places += [at, at + length]
            at = data.find(mark, at + 4)
    return places
