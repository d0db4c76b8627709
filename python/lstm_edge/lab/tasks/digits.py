"""Handwritten digits, which come with scikit-learn."""

from __future__ import annotations

from os import PathLike

import numpy as np
import torch

from lstm_edge.errors import UsageError
from lstm_edge.lab.tasks.task import PROBE_SIZE, Classifier, Task


def make_digits(data: str | PathLike[str] | None = None, *, seed: int = 0) -> Task:
    """Handwritten digits of scikit-learn: 8 x 8 images read row by row.

    1,797 images of the UCI set "Optical recognition of handwritten digits" (Alpaydin
    and Kaynak 1998), grey values scaled to 0..1: sequences of 8 steps with 8 inputs.
    600 are for training, 1,197 for testing.

    Parameters
    ----------
    data : None
        Not used: the images come with scikit-learn.
    seed : int, default 0
        Of the shuffle before the split.

    Raises
    ------
    UsageError
        If `data` is given.
    """
    from sklearn.datasets import load_digits

    if data is not None:
        raise UsageError(f"data: expected none for the task 'digits', found {data}")
    bunch = load_digits()
    order = np.random.default_rng(seed).permutation(len(bunch.target))
    images = torch.from_numpy((bunch.images[order] / 16).astype(np.float32))
    classes = torch.from_numpy(bunch.target[order].astype(np.int64))
    return Task(
        name="digits",
        train_inputs=images[:600],
        train_targets=classes[:600],
        test_inputs=images[600:],
        test_targets=classes[600:],
        make_model=lambda cell, units, layers: Classifier(cell, 8, units, layers, 10),
        probe=images[600:][:PROBE_SIZE].numpy(),
    )
