"""Files that torch.save and torch.jit.save wrote: the tensors in them, by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import PurePath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError
from lstm_edge.files import lightning, torch_pickles
from lstm_edge.files.guard import Tensors, check_expansion, flatten, open_zip
from lstm_edge.files.optimiser import moment_norm
from lstm_edge.files.pickles import ForeignObject
from lstm_edge.files.torch_tensor import Tensor

_ATTRIBUTES = re.compile(r"(?:^|(?<=\.))_(?:modules|parameters|buffers)\.")
"""Where a pickled module keeps its parts, in the names of their tensors."""

_SHOWN = 5
"""Names of objects that are not opened."""


def read_torch(data: bytes, source: str) -> tuple[Tensors, dict[str, str]]:
    """Read a state_dict, of any release of PyTorch; a reader in `FORMATS`.

    Of a pickled module, or a script, the tensors inside; no other object is opened.
    """
    if data[:2] == b"PK":
        with open_zip(data, source) as (names, read):
            return _tensors(lambda: torch_pickles.read_zip(names, read), data, source)
    if data[:2] == b"\x80\x02":
        return _tensors(lambda: torch_pickles.read_legacy(data), data, source)
    raise CheckpointError(
        f"{source}: expected a file written by torch.save, found other content; "
        "save a state_dict, or rename the file if it has another format"
    )


def read_said(file: IO[bytes], source: str) -> dict[str, str]:
    """Read what stands beside the tensors in an archive, without reading those.

    A number in a tensor without dimensions, such as a loss, counts as a number.
    """
    with open_zip(file, source) as (names, read):
        found = torch_pickles.read_zip(names, read)
        return _parted(found)[1] if isinstance(found.saved, dict) else {}


def read_saved(
    data: bytes, source: str, make: Callable[[NDArray[Any]], Any] = np.asarray
) -> Any:
    """Read all that torch.save wrote: dictionaries, lists, numbers, texts, tensors.

    Parameters
    ----------
    data : bytes
        Of a file of PyTorch 1.6 or later.
    source : str
    make : callable, optional
        Makes of each array what takes its tensor's place.

    Raises
    ------
    CheckpointError
        If its tensors would take far more memory than the file.
    ValueError
        If it is damaged, or holds other objects.
    """
    made: dict[int, Any] = {}  # what stands there often is made once
    declared = 0

    def filled(value: Any) -> Any:
        nonlocal declared
        if id(value) not in made:
            if isinstance(value, Tensor):
                declared += value.nbytes
                check_expansion(source, len(data), declared)
                made[id(value)] = make(found.array(value))
            elif isinstance(value, dict):
                made[id(value)] = {}
                made[id(value)].update((k, filled(v)) for k, v in value.items())
            elif isinstance(value, list):
                made[id(value)] = []
                made[id(value)].extend(map(filled, value))
            elif isinstance(value, tuple):
                made[id(value)] = tuple(map(filled, value))
            else:
                return value
        return made[id(value)]

    with open_zip(data, source) as (names, read):
        found = torch_pickles.read_zip(names, read)
        if found.foreign:
            raise ValueError(f"it holds the object {found.foreign[0]}")
        return filled(found.saved)


def _tensors(
    read: Callable[[], torch_pickles.Contents], data: bytes, source: str
) -> tuple[Tensors, dict[str, str]]:
    try:
        found = read()
    except ForeignObject as error:
        raise _refused(source, str(error)) from error
    if not isinstance(found.saved, dict):
        raise CheckpointError(
            f"{source}: expected a state_dict, found {type(found.saved).__name__}; "
            "save module.state_dict()"
        )
    weights, said = _parted(found)
    tensors = {_ATTRIBUTES.sub("", k): v for k, v in flatten(weights, source).items()}
    if not tensors and found.foreign:
        raise _refused(source, found.foreign[0])
    check_expansion(source, len(data), sum(t.nbytes for t in tensors.values()))
    if found.foreign:
        said["not opened"] = ", ".join(found.foreign[:_SHOWN])
    return {name: found.array(tensor) for name, tensor in tensors.items()}, {
        **said,
        **_of_modules(weights),
        **_of_optimiser(found, len(data)),
    }


def _parted(found: torch_pickles.Contents) -> tuple[dict[Any, Any], dict[str, str]]:
    """Part what was saved into the weights and what is said of them."""
    weights, said = lightning.unwrap(found.saved)
    for name, value in found.saved.items():
        if isinstance(value, Tensor) and value.shape == () and "." not in str(name):
            said[str(name)] = str(found.array(value).item())
    return weights, said


def _of_modules(saved: dict[Any, Any]) -> dict[str, str]:
    """Say the function of each pickled RNN: {} where no module is pickled."""
    said, pending, seen = {}, [("", saved)], set()
    while pending:
        prefix, held = pending.pop()
        if id(held) in seen:
            continue
        seen.add(id(held))
        if isinstance(word := held.get("nonlinearity"), str) and prefix:
            said[f"{prefix[:-1]}.nonlinearity"] = word
        inside = held.get("_modules", held)
        for name, part in inside.items() if isinstance(inside, dict) else ():
            if isinstance(part, dict):
                pending.append((f"{prefix}{name}.", part))
    return said


def _of_optimiser(found: torch_pickles.Contents, most: int) -> dict[str, str]:
    """Say what the state of an optimiser in the file tells; {} where there is none.

    No more than `most` bytes are looked at: views can claim to be of any size.
    """
    left = most

    def array(tensor: Tensor) -> Any:
        nonlocal left
        left -= tensor.nbytes
        if left < 0:
            raise ValueError("larger than the file")
        return found.array(tensor)

    with suppress(ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        norm = moment_norm(found.saved, array)
        if norm is not None:
            return {"moment_norm": repr(norm)}
    return {}


def _refused(source: str, name: str) -> CheckpointError:
    """Say why a pickle is not opened, and how to save its weights alone."""
    beside = f"{PurePath(source).stem}-weights.pt"
    saved, weights = "module", "module.state_dict()"
    if PurePath(source).suffix.lower() == ".ckpt":
        saved, weights = "checkpoint", "checkpoint['state_dict']"
    return CheckpointError(
        f"{source}: expected tensors only, found the pickled Python object "
        f"{name}; unpickling can run any code, so the file is not opened. "
        f"If you trust it, save its weights alone: "
        f"{saved} = torch.load({source!r}, weights_only=False); "
        f"torch.save({weights}, {beside!r})"
    )
