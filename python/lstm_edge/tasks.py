"""Training tasks: data, model and probe, and their registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lstm_edge.errors import UsageError

PROBE_SIZE = 500  # test sequences that drive the analysis, as in Wei 2025


class Classifier(nn.Module):
    """LSTM whose last hidden state is read out linearly; the output is logits.

    Parameters
    ----------
    input_size : int
        Inputs of the LSTM; the width of the embedding where there is one.
    hidden_size : int
        Hidden units of each layer.
    layers : int
        LSTM layers.
    classes : int
        Number of logits.
    vocabulary_size : int, optional
        Number of tokens; inputs are then tokens (N, T) and are embedded first.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        layers: int,
        classes: int,
        vocabulary_size: int | None = None,
    ) -> None:
        super().__init__()
        self.embedding = (
            None
            if vocabulary_size is None
            else nn.Embedding(vocabulary_size, input_size)
        )
        self.lstm = nn.LSTM(input_size, hidden_size, layers, batch_first=True)
        self.readout = nn.Linear(hidden_size, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (N, classes) of inputs (N, T, input_size), or of tokens (N, T)."""
        if self.embedding is not None:
            inputs = self.embedding(inputs)
        hidden, _ = self.lstm(inputs)
        logits: Tensor = self.readout(hidden[:, -1])
        return logits


@dataclass(frozen=True, eq=False)
class Task:
    """Labelled sequences, the model that learns them, and what drives the analysis.

    Attributes
    ----------
    name : str
    train_inputs, test_inputs : Tensor of shape (N, T, I), float32, or (N, T), int64
    train_targets, test_targets : Tensor of shape (N,), int64
        Class of each sequence.
    make_model : callable
        ``make_model(hidden_size, layers)`` gives the untrained model.
    probe : ndarray of shape (B, T, I), float32
        Held-out inputs of the LSTM.
    """

    name: str
    train_inputs: Tensor
    train_targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    make_model: Callable[[int, int], nn.Module]
    probe: NDArray[np.float32]


def digits(data: str | PathLike[str] | None = None, *, seed: int = 0) -> Task:
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
        make_model=lambda hidden_size, layers: Classifier(8, hidden_size, layers, 10),
        probe=images[600:][:PROBE_SIZE].numpy(),
    )


TASKS: dict[str, Callable[..., Task]] = {"digits": digits}
"""Name to a function of ``(data, *, seed)`` that makes the task."""
