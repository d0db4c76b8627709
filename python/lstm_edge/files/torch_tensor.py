"""A tensor as a pickle of PyTorch describes it: a view of a storage."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

KINDS = {
    "Double": "f8",
    "Float": "f4",
    "Half": "f2",
    "BFloat16": "u2",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "b1",
    "ComplexDouble": "c16",
    "ComplexFloat": "c8",
    "QInt32": "i4",
    "QInt8": "i1",
    "QUInt8": "u1",
}
"""PyTorch's name of a storage's type to numpy's."""


@dataclass(frozen=True)
class Tensor:
    """A tensor as the pickle describes it; its values are not read yet.

    Attributes
    ----------
    kind : str
        Key of `KINDS`.
    key : str
        Of its storage, which other tensors may share.
    numel : int
        Values in the whole storage.
    offset, shape, strides
        Which of them are the tensor's, counted in values.
    """

    kind: str
    key: str
    numel: int
    offset: int = 0
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""
        return np.dtype(KINDS[self.kind])

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def storage_bytes(self) -> int:
        """Bytes of the whole storage."""
        return self.numel * self.dtype.itemsize

    def view(
        self, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
    ) -> Tensor:
        """Describe a part of a storage, as PyTorch's calls that make tensors do."""
        return replace(
            self,
            offset=size(offset),
            shape=tuple(map(size, shape)),
            strides=tuple(map(size, strides)),
        )

    def of(self, storage: bytes | memoryview, order: Literal["<", ">"]) -> NDArray[Any]:
        """Give the values that lie in a storage, in byte order "<" or ">"."""
        width = self.dtype.itemsize
        steps = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        past = self.offset + (sum(steps) + 1 if 0 not in self.shape else 0)
        # numpy asks this too, but its product of size and stride can overflow
        if not past * width <= len(storage) == self.storage_bytes:
            raise ValueError(f"storage {self.key} has not the size that is said")
        array: NDArray[Any] = np.ndarray(
            self.shape,
            self.dtype.newbyteorder(order),
            storage,
            self.offset * width,
            [stride * width for stride in self.strides],
        )
        if self.kind != "BFloat16":
            return array
        return (array.astype(np.uint32) << 16).view(np.float32)  # its upper half


def size(number: Any) -> int:
    """Take a number of a file for a size.

    Raises
    ------
    ValueError
        It is none.
    """
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError("a size that is none")
    return number
