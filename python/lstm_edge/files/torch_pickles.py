"""Files that torch.save wrote, read without PyTorch and without unpickling.

Whole modules, also those of TorchScript, are objects that hold their tensors by name.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

from numpy.typing import NDArray

from lstm_edge.files.pickles import Followed, follow
from lstm_edge.files.torch_tensor import Tensor

_LEGACY = (0x1950A86A20F9469CFC6C, 1001)
"""The numbers at the beginning of a file of PyTorch before 1.6."""


class Contents:
    """What a file holds.

    Attributes
    ----------
    saved : object
        What was given to torch.save, with a `Tensor` for each tensor.
    foreign : list of str
        Names of the objects that it holds and that are not made.

    Parameters
    ----------
    followed : Followed
        The pickle.
    read : callable
        Gives the bytes of the storage with a key.
    order : {"<", ">"}
        Byte order.
    """

    def __init__(
        self,
        followed: Followed,
        read: Callable[[str], bytes | memoryview],
        order: Literal["<", ">"] = "<",
    ) -> None:
        self.saved = followed.built
        self.foreign = followed.foreign
        self._storage = cache(read)
        self._order = order

    def array(self, tensor: Tensor) -> NDArray[Any]:
        """Read the values of a tensor; tensors that share a storage share memory."""
        return tensor.of(self._storage(tensor.key), self._order)


def read_zip(names: Sequence[str], read: Callable[[str], bytes]) -> Contents:
    """Read a file of PyTorch 1.6 or later: an archive of some names."""
    pickles = [name for name in names if f"/{name}".endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError(f"expected one data.pkl in it, found {len(pickles)}")
    root = pickles[0].removesuffix("data.pkl")
    followed = follow(io.BytesIO(read(pickles[0])))
    big = f"{root}byteorder" in names and read(f"{root}byteorder") == b"big"
    return Contents(
        followed, lambda key: read(f"{root}data/{key}"), ">" if big else "<"
    )


def read_legacy(data: bytes) -> Contents:
    """Read a file of PyTorch before 1.6: pickles, then the storages in one row."""
    file = io.BytesIO(data)
    if (follow(file).built, follow(file).built) != _LEGACY:
        raise ValueError("torch.save did not write it")
    follow(file)  # of the machine that wrote it
    followed = follow(file)
    named, storages = followed.storages, {}
    for key in follow(file).built:
        numel = int.from_bytes(file.read(8), "little")
        if key not in named or named[key].numel != numel:
            raise ValueError(f"storage {key} has not the size that is said")
        begin, size = file.tell(), named[key].storage_bytes
        storages[key] = memoryview(data)[begin : begin + size]
        file.seek(begin + size)
    return Contents(followed, storages.__getitem__)
