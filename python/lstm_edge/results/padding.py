"""Results of different lengths in one array, padded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import StoreError


def stack_padded(arrays: Sequence[NDArray[Any]], axes: int) -> NDArray[np.float64]:
    """Stack arrays of different lengths, NaN where one ends or has other axes.

    Parameters
    ----------
    arrays : sequence of ndarray
        One for each checkpoint.
    axes : int
        How many each is to have.

    Returns
    -------
    ndarray of shape (checkpoints, ...)
        As long as the longest along every axis.

    Raises
    ------
    StoreError
        One is so much longer than the others that the padding would fill the memory.
    """
    fitting = [array for array in arrays if array.ndim == axes]
    shape = np.max([x.shape for x in fitting], axis=0) if fitting else [0] * axes
    numbers = len(arrays) * math.prod(map(int, shape))
    if numbers > 10**7 + 100 * sum(array.size for array in fitting):
        raise StoreError(
            f"expected results of similar size for all checkpoints, found one of shape "
            f"{tuple(map(int, shape))}; another program changed the store"
        )
    stacked = np.full((len(arrays), *shape), np.nan)
    for row, array in zip(stacked, arrays, strict=True):
        if array.ndim == axes:
            row[tuple(map(slice, array.shape))] = array
    return stacked
