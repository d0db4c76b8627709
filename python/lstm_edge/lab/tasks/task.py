"""What a training task is: data, the model that learns it, and how it is judged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    mse_loss,
)

from lstm_edge.errors import UsageError

PROBE_SIZE = 500  # test sequences that drive the analysis, as in Wei 2025

TRAIN_SHARE = 0.7  # of the sequences; the rest is for testing, as in Wei 2025


CELLS: dict[str, Callable[..., nn.Module]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn": nn.RNN,
}
"""Recurrent cells, by the name that they have in a model and its checkpoints."""


def _recurrent(cell: str, *sizes: int) -> nn.Module:
    if cell not in CELLS:
        raise UsageError(f"cell: expected one of {', '.join(CELLS)}, found {cell!r}")
    return CELLS[cell](*sizes, batch_first=True)


class Classifier(nn.Module):
    """Recurrent net whose last hidden state is read out linearly, as logits.

    Parameters
    ----------
    cell : str
        A name in `CELLS`.
    input_size : int
        Inputs of the first layer; the width of the embedding where there is one.
    hidden_size : int
        Hidden units of each layer.
    layers : int
        Recurrent layers.
    classes : int
        Number of logits: one of each class, or a single one for two classes.
    vocabulary_size : int, optional
        Number of tokens; inputs are then tokens (N, T) and are embedded first.
    padding_index : int or None
        Token whose embedding is and stays zero.
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        layers: int,
        classes: int,
        vocabulary_size: int | None = None,
        padding_index: int | None = 0,
    ) -> None:
        super().__init__()
        self.embedding = (
            None
            if vocabulary_size is None
            else nn.Embedding(vocabulary_size, input_size, padding_idx=padding_index)
        )
        self.cell = cell
        self.add_module(cell, _recurrent(cell, input_size, hidden_size, layers))
        self.readout = nn.Linear(hidden_size, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (N, classes) of inputs (N, T, input_size), or of tokens (N, T)."""
        if self.embedding is not None:
            inputs = self.embedding(inputs)
        hidden, _ = getattr(self, self.cell)(inputs)
        logits: Tensor = self.readout(hidden[:, -1])
        return logits


class Forecaster(nn.Module):
    """Recurrent net whose hidden state is read out linearly at every step.

    Parameters
    ----------
    cell : str
        A name in `CELLS`.
    input_size : int
        Inputs of the first layer.
    hidden_size : int
        Hidden units of each layer.
    layers : int
        Recurrent layers.
    outputs : int
        Numbers to predict at a step.
    """

    def __init__(
        self, cell: str, input_size: int, hidden_size: int, layers: int, outputs: int
    ) -> None:
        super().__init__()
        self.cell = cell
        self.add_module(cell, _recurrent(cell, input_size, hidden_size, layers))
        self.readout = nn.Linear(hidden_size, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Predictions (N, T, outputs) from inputs (N, T, input_size)."""
        hidden, _ = getattr(self, self.cell)(inputs)
        predicted: Tensor = self.readout(hidden)
        return predicted


@dataclass(frozen=True)
class Objective:
    """How the outputs of a model are compared with the targets.

    Attributes
    ----------
    loss : callable
        ``loss(outputs, targets)``, a mean over the sequences.
    right : callable or None
        ``right(outputs, targets)`` of shape (N,), whether each is right; None where
        that is no question.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    right: Callable[[Tensor, Tensor], Tensor] | None


CLASSES = Objective(
    loss=cross_entropy,
    right=lambda logits, classes: logits.argmax(1) == classes,
)
"""Cross-entropy of logits (N, C) with classes (N,), int64."""

BINARY = Objective(
    loss=lambda logits, ones: binary_cross_entropy_with_logits(logits[:, 0], ones),
    right=lambda logits, ones: (logits[:, 0] > 0) == (ones > 0.5),
)
"""Binary cross-entropy of one logit (N, 1) with zeros and ones (N,), float32."""

FORECAST = Objective(loss=mse_loss, right=None)
"""Mean squared error of (N, T, O)."""


@dataclass(frozen=True, eq=False)
class Task:
    """Sequences with their targets, the model that learns them, and a probe.

    Attributes
    ----------
    name : str
    train_inputs, test_inputs : Tensor of shape (N, T, I), float32, or (N, T), int32
        Numbers, or tokens.
    train_targets, test_targets : Tensor
        As `objective` takes them.
    make_model : callable
        ``make_model(cell, hidden_size, layers)`` gives the untrained model.
    probe : ndarray of shape (B, T, I), float32, or (B, T), int32
        Held-out inputs of the net, or tokens, that drive the analysis.
    objective : Objective
        Default: `CLASSES`.
    closed_loop : bool
        Whether the model forecasts its own next input, so that it can run freely.
    dt : float
        Time between two steps of a sequence.
    """

    name: str
    train_inputs: Tensor
    train_targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    make_model: Callable[[str, int, int], nn.Module]
    probe: NDArray[np.float32] | NDArray[np.int32]
    objective: Objective = CLASSES
    closed_loop: bool = False
    dt: float = 1.0

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all inputs and targets: shapes, types, bytes."""
        sha = hashlib.sha256()
        for tensor in (
            self.train_inputs,
            self.train_targets,
            self.test_inputs,
            self.test_targets,
        ):
            array = np.ascontiguousarray(tensor.numpy())
            sha.update(f"{array.shape}{array.dtype.str}".encode())
            sha.update(array.data)
        return sha.hexdigest()


def split(count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Shuffle the numbers of `count` sequences; `TRAIN_SHARE` of them is to train on.

    Raises
    ------
    UsageError
        If there are too few for both parts.
    """
    if count < 2:
        raise UsageError(f"data: expected at least 2 sequences, found {count}")
    order = np.random.default_rng(seed).permutation(count)
    first = min(max(round(TRAIN_SHARE * count), 1), count - 1)
    return order[:first], order[first:]
