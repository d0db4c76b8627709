"""The weights of a recurrent net, and its cell."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import UsageError

Array = NDArray[np.floating[Any]]

FUNCTIONS = ("tanh", "sigmoid", "hard_sigmoid", "hard_sigmoid_6", "relu", "linear")
"""Of a cell's state or gates: hard_sigmoid is x / 5 + 1/2 from 0 to 1, as in Keras 1
and 2 and in ONNX; hard_sigmoid_6 has x / 6, as Keras 3 and PyTorch."""

USUAL = ("tanh", "sigmoid")
"""Functions of the state and of the gates, where nothing else is said."""

CELLS = {
    **{"lstm": 4, "gru": 3, "gru_reset_before": 3},
    **dict.fromkeys((f"rnn_{function}" for function in FUNCTIONS), 1),
}
"""Rows of weight_hh per hidden unit, of each cell."""

KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
"""Arrays of a layer."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer in PyTorch's layout.

    With G rows a unit, in the gate order i, f, g, o of an LSTM (G = 4) or r, z, n of a
    GRU (G = 3); an Elman RNN has one (G = 1).

    Attributes
    ----------
    weight_ih : ndarray of shape (G * hidden_size, input_size)
    weight_hh : ndarray of shape (G * hidden_size, output_size)
    bias_ih, bias_hh : ndarray of shape (G * hidden_size,)
        Zeros where the checkpoint has no biases.
    weight_hr : ndarray of shape (output_size, hidden_size) or None
        Projection of h, of an LSTM with ``proj_size``.
    """

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array
    bias_hh: Array
    weight_hr: Array | None = None

    @property
    def hidden_size(self) -> int:
        """Number of hidden units H."""
        sizes = self.weight_hh if self.weight_hr is None else self.weight_hr
        return int(sizes.shape[1])

    @property
    def output_size(self) -> int:
        """Numbers of h: H, or fewer with a projection."""
        return int(self.weight_hh.shape[1])

    @property
    def input_size(self) -> int:
        """Number of inputs I."""
        return int(self.weight_ih.shape[1])

    def arrays(self) -> dict[str, Array]:
        """Those of its arrays that it has, in the order of `KINDS`."""
        found = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: array for kind, array in found.items() if array is not None}


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of one recurrent net: what every measure starts from.

    Attributes
    ----------
    cell : str
        A key of `CELLS`.
    layers : tuple of Layer
        From the input upwards; sizes may differ.
    functions : (str, str)
        Of the state and of the gates of an LSTM or a GRU, two of `FUNCTIONS`.
    readout : (weight, bias) or None
        Linear readout of the top layer, shapes (O, H) and (O,).
    embedding : ndarray of shape (V, I) or None
        Inputs of the V tokens of a vocabulary.
    metadata : dict of str to str
        What the file says about itself (update, epoch, losses, ...).
    source : str
        File or object the weights came from, for messages.
    assumed : str
        What of the cell is a guess, in a sentence; "" where nothing is.
    unused : tuple of str
        Tensors of the net itself that are not read: a cell with other formulas?
    """

    cell: str
    layers: tuple[Layer, ...]
    readout: tuple[Array, Array] | None = None
    embedding: Array | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    source: str = "weights"
    assumed: str = ""
    unused: tuple[str, ...] = ()
    functions: tuple[str, str] = USUAL

    @property
    def formulas(self) -> str:
        """The cell with its functions, where they are unusual, as the core names it."""
        return ":".join(
            [self.cell, *(self.functions if self.functions != USUAL else ())]
        )

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Hidden units of each layer."""
        return tuple(layer.hidden_size for layer in self.layers)

    @property
    def input_size(self) -> int:
        """Number of inputs of the lowest layer."""
        return self.layers[0].input_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Numbers of each part of the state: h, c of every layer; c of an LSTM only."""
        parts = [
            (layer.output_size, layer.hidden_size if self.cell == "lstm" else 0)
            for layer in self.layers
        ]
        return tuple(size for part in parts for size in part)

    @property
    def state_size(self) -> int:
        """Dimension n of the state of all layers: 2 * sum(H) of an LSTM."""
        return sum(self.state_sizes)

    @property
    def architecture(self) -> str:
        """The cell and the sizes from the input upwards, such as "lstm 8 -> 60".

        With a projection a layer has two, "lstm 8 -> 60 -> 20".
        """
        sizes = [self.input_size]
        for layer in self.layers:
            sizes.append(layer.hidden_size)
            if layer.weight_hr is not None:
                sizes.append(layer.output_size)
        return f"{self.formulas} {' -> '.join(map(str, sizes))}"

    def under_token(self, token: int) -> Weights:
        """Give the net under the embedding of a token in the place of zero input.

        The constant input goes into the biases of the lowest layer, b + W e, and is
        taken from the inputs of all tokens: what is driven by tokens is driven as
        before, and runs on under that token where they end.

        Parameters
        ----------
        token : int
            Such as that of padding.
        """
        if self.embedding is None or not 0 <= token < len(self.embedding):
            size = 0 if self.embedding is None else len(self.embedding)
            raise UsageError(
                f"{self.source}: constant token: expected one of its {size} tokens, "
                f"found {token}" + ("" if size else "; it has no embedding")
            )
        constant, lowest = self.embedding[token], self.layers[0]
        bias = (lowest.bias_ih + lowest.weight_ih @ constant).astype(self.dtype)
        return replace(
            self,
            layers=(replace(lowest, bias_ih=bias), *self.layers[1:]),
            embedding=self.embedding - constant,
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """Float type of all arrays."""
        return self.layers[0].weight_ih.dtype

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the formulas and all arrays: shapes, float type, bytes."""
        sha = hashlib.sha256(self.formulas.encode())
        for array in self.arrays():
            sha.update(f"{array.shape}{array.dtype.str}".encode())
            sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()

    def arrays(self) -> Iterator[Array]:
        """All arrays: of the layers from the input upwards, readout, embedding."""
        for layer in self.layers:
            yield from layer.arrays().values()
        yield from self.readout or ()
        if self.embedding is not None:
            yield self.embedding
