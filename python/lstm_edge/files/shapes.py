"""Shapes that tensors must have; a word in one stands for a size that is free."""

from __future__ import annotations

from typing import Any

from lstm_edge.errors import CheckpointError

Shape = tuple[int | str, ...]
"""Such as ``(12, "inputs")``."""


def check_shape(source: str, name: str, tensor: Any, *wanted: Shape) -> None:
    """Refuse a tensor of a shape that is none of `wanted`.

    Parameters
    ----------
    source, name : str
        The file and the tensor, for the message.
    tensor : ndarray or torch.Tensor
    *wanted : tuple of int or str

    Raises
    ------
    CheckpointError
        As `wrong_shape` says it.
    """
    if not any(_fits(tuple(tensor.shape), shape) for shape in wanted):
        raise wrong_shape(source, name, tensor, *wanted)


def _fits(found: Shape, shape: Shape) -> bool:
    return len(found) == len(shape) and all(
        size == expected or (isinstance(expected, str) and size != 0)
        for size, expected in zip(found, shape, strict=True)
    )


def wrong_shape(source: str, name: str, tensor: Any, *wanted: Shape) -> CheckpointError:
    """Name a tensor of the file `source`, the shapes expected and the one found."""
    found = tuple(tensor.shape)
    expected = " or ".join(str(shape).replace("'", "") for shape in wanted)
    return CheckpointError(
        f"{source}: tensor '{name}' has shape {found}, expected {expected}"
    )
