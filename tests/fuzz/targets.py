"""What is fuzzed: functions that take bytes, and raise at what must not happen."""

from __future__ import annotations

import encodings
import importlib
import io
import os
import pkgutil
import sqlite3
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hostile import safetensors_cases, sound
from hostile.cases import CASES
from lstm_edge.errors import CheckpointError, LstmEdgeError, StoreError
from lstm_edge.files.formats import decode
from lstm_edge.net.assemble import assemble
from lstm_edge.store.rows import Row
from lstm_edge.store.store import Store

MOST = 8192
"""Bytes of a seed."""

_RUNS_CODE = ("exec", "compile", "pickle.", "subprocess.", "os.", "socket.", "ctypes.")
"""First letters of what Python reports before it does something; see PEP 578."""


class Finding(Exception):
    """A reader did what it must not do."""


for _codec in pkgutil.iter_modules(encodings.__path__):
    with suppress(ImportError):  # else the first use of one would be noticed
        importlib.import_module(f"encodings.{_codec.name}")

_events: list[str] | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _events is None or not event.startswith((*_RUNS_CODE, "open")):
        return
    # a header of NumPy is parsed as a literal: running it would be an "exec"
    if event != "compile" or arguments[1] != "<unknown>":
        _events.append(event)


sys.addaudithook(_audit)


@contextmanager
def _refusing(error_type: type[LstmEdgeError]) -> Iterator[None]:
    """Let nothing pass but a refusal, in one line."""
    try:
        yield
    except error_type as error:
        if not str(error).isprintable():
            raise Finding(str(error)) from error


def read(data: bytes, suffix: str) -> None:
    """Read a checkpoint, as the content of a file."""
    global _events
    _events = []
    try:
        with _refusing(CheckpointError):
            assemble(*decode(data, f"a{suffix}"), "a")
        if _events:
            raise Finding(f"it did {_events}")
    finally:
        _events = None


def read_store(data: bytes) -> None:
    """Read all of a store."""
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder, _refusing(StoreError):
        path = Path(folder) / "fuzzed.sqlite"
        path.write_bytes(data)
        with Store(path) as store:
            store.run()
            store.checkpoints()
            store.done()
            for _ in store.rows():
                pass


_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _in_file(header: bytes) -> None:
    read(safetensors_cases.with_header(header), ".safetensors")


def _in_archive(array: bytes) -> None:
    read(sound.zipped({"weight_hh_l0.npy": array}), ".npz")


def _in_torch_file(pickle: bytes) -> None:
    read(sound.zipped({"net/data.pkl": pickle, "net/data/0": bytes(64)}), ".pt")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "safetensors": lambda data: read(data, ".safetensors"),
    "header": _in_file,
    "npz": lambda data: read(data, ".npz"),
    "array": _in_archive,
    "torch": lambda data: read(data, ".pt"),
    "pickle": _in_torch_file,
    "store": read_store,
}
"""Name to what takes an input. The inner parts are tried apart, as no mutation of an
archive would pass its checksums."""


def seeds(target: str) -> list[bytes]:
    """Give the inputs to start from: sound ones, and all that are hostile by name."""
    found = [data for data in _SEEDS[target]() if len(data) <= MOST]
    return sorted({*found}, key=len)


def _files(*suffixes: str) -> list[bytes]:
    return [make() for name, make in CASES.items() if name.endswith(suffixes)]


def _members(files: list[bytes], end: str) -> list[bytes]:
    found = []
    for data in files:
        with suppress(Exception), zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.endswith(end)]
            sizes = (archive.getinfo(name).file_size for name in names)
            if sum(sizes) < 2**20:
                found += [archive.read(name) for name in names]
    return found


def _safetensors() -> list[bytes]:
    return [sound.safetensors_bytes(), *_files(".safetensors")]


def _npz() -> list[bytes]:
    return [sound.npz_bytes(), sound.npz_bytes(compressed=True), *_files(".npz")]


def _torch() -> list[bytes]:
    written = [sound.torch_bytes(), sound.torch_bytes(legacy=True)]
    return [*written, *_files(".pt", ".pth")]


def _stores() -> list[bytes]:
    """Give a store of two rows in small pages."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.sqlite"
        with Store(path, write=True) as store:
            store.set_run(measures={"lyapunov": [1, {"steps": 9}]}, source="here")
            store.set_checkpoints({"a": (1, {"test_loss": 0.5}), "b": (2, {})})
            row = Row("a", "lyapunov", "key", 1, {"steps": 9}, scalars={"n": [0.5]})
            arrays = {"per_start": np.zeros((2, 2))}
            store.put(replace(row, arrays=arrays))
            store.put(Row("b", "checkpoint", "", status="failed", message="no"))
        connection = sqlite3.connect(path)
        for statement in ("journal_mode = DELETE", "page_size = 512"):
            connection.execute(f"PRAGMA {statement}").fetchall()
        connection.execute("VACUUM")
        connection.close()
        return [path.read_bytes()]


_SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "safetensors": _safetensors,
    "header": lambda: [data[8:-64] for data in _safetensors()],
    "npz": _npz,
    "array": lambda: _members(_npz(), ".npy"),
    "torch": _torch,
    "pickle": lambda: _members(_torch(), "/data.pkl"),
    "store": _stores,
}
