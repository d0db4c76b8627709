"""Headers: what a checkpoint says of itself, read without its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from lstm_edge.files.formats import FORMATS
from lstm_edge.files.huggingface import said_in
from lstm_edge.files.places import is_folder, open_file, stamp
from lstm_edge.files.safetensors import read_metadata
from lstm_edge.files.torch import read_said, read_torch


def said_by(path: Path) -> Mapping[str, str]:
    """Read what a checkpoint says of itself: times, losses, hyper-parameters.

    Nothing where that cannot be read alone; a damaged file is reported when it is
    measured. A file that has not changed is not read again.
    """
    written = stamp(path)
    return _remembered(path, written) if written else _read(path)


@lru_cache(maxsize=4096)
def _remembered(path: Path, _: tuple[int, ...]) -> Mapping[str, str]:
    return _read(path)


def _read(path: Path) -> Mapping[str, str]:
    suffix = path.suffix.lower()
    try:
        if suffix == ".safetensors":
            return read_metadata(path)
        if is_folder(path):
            return said_in(path)
        if FORMATS.get(suffix) is read_torch:
            with open_file(path) as file:
                return read_said(file, str(path))
    except Exception:  # damaged and hostile files fail in any way
        pass
    return {}
