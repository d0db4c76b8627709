"""Where a checkpoint lies among all weights: a sketch that keeps distances.

One row a checkpoint, whatever its neighbours: so the path that training walks through
the space of weights can be measured between any checkpoints, in any order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lstm_edge.net.weights import Weights


def sketch(weights: Weights, *, size: int = 1024, seed: int = 0) -> NDArray[np.float64]:
    """Project all weights to a few numbers that keep distances.

    Every weight is added to one of `size` sums, drawn at random, with a random sign
    (Charikar et al. 2002). The map is linear, and the squared length of
    a sketch is that of the weights on average, with a relative standard deviation of at
    most sqrt(2 / size); a distance is off by about 1 / sqrt(2 size), 2 % for 1024.

    Parameters
    ----------
    weights : Weights
        All arrays: of the layers, the readout and the embedding.
    size : int
        A power of two.
    seed : int

    Returns
    -------
    ndarray of shape (size,)
    """
    flat = np.concatenate([np.ravel(a).astype(np.float64) for a in weights.arrays()])
    # raw bits of a bit generator never change between versions of NumPy
    bits = np.asarray(np.random.PCG64(seed).random_raw(len(flat)), np.uint64)
    place = (bits % np.uint64(size)).astype(np.intp)
    sign = 1.0 - 2.0 * (bits >> np.uint64(63)).astype(np.float64)
    return np.asarray(np.bincount(place, sign * flat, minlength=size), np.float64)
