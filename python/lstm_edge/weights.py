"""Weights of a recurrent net: found among named tensors, checked and copied."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_edge.errors import CheckpointError

Tensors = Mapping[str, Any]
"""Tensor name to numpy array or torch tensor."""
Array = NDArray[np.floating[Any]]

_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_RECURRENT = re.compile(
    r"(?P<prefix>.*?)(?P<kind>weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)"
    r"_l(?P<layer>\d{1,4})(?P<reverse>_reverse)?"
)
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_OTHER_CELLS = {3: "a GRU", 1: "an Elman RNN"}  # rows of weight_hh per hidden unit


@dataclass(frozen=True, eq=False)
class Layer:
    """One LSTM layer in PyTorch's layout, rows in the gate order i, f, g, o.

    Attributes
    ----------
    weight_ih : ndarray of shape (4 * hidden_size, input_size)
    weight_hh : ndarray of shape (4 * hidden_size, hidden_size)
    bias_ih, bias_hh : ndarray of shape (4 * hidden_size,)
        Zeros where the checkpoint has no biases.
    """

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array
    bias_hh: Array

    @property
    def hidden_size(self) -> int:
        """Number of hidden units H."""
        return int(self.weight_hh.shape[1])

    @property
    def input_size(self) -> int:
        """Number of inputs I."""
        return int(self.weight_ih.shape[1])


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of one recurrent net: what every measure starts from.

    Attributes
    ----------
    cell : str
        The kind of cell, ``"lstm"``.
    layers : tuple of Layer
        From the input upwards; sizes may differ.
    readout : (weight, bias) or None
        Linear readout of the top layer, shapes (O, H) and (O,).
    embedding : ndarray of shape (V, I) or None
        Inputs of the V tokens of a vocabulary.
    metadata : dict of str to str
        What the file says about itself (update, epoch, losses, ...).
    source : str
        File or object the weights came from, for messages.
    """

    cell: str
    layers: tuple[Layer, ...]
    readout: tuple[Array, Array] | None = None
    embedding: Array | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    source: str = "weights"

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Hidden units of each layer."""
        return tuple(layer.hidden_size for layer in self.layers)

    @property
    def input_size(self) -> int:
        """Number of inputs of the lowest layer."""
        return self.layers[0].input_size

    @property
    def state_size(self) -> int:
        """Dimension of the state (h, c) of all layers, 2 * sum(H)."""
        return 2 * sum(self.hidden_sizes)

    @property
    def architecture(self) -> str:
        """The cell and the sizes from the input upwards, such as "lstm 8 -> 60"."""
        sizes = map(str, (self.input_size, *self.hidden_sizes))
        return f"{self.cell} {' -> '.join(sizes)}"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Float type of all arrays."""
        return self.layers[0].weight_ih.dtype

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the cell and of all arrays: shapes, float type, bytes."""
        sha = hashlib.sha256(self.cell.encode())
        for array in self.arrays():
            sha.update(f"{array.shape}{array.dtype.str}".encode())
            sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()

    def arrays(self) -> Iterator[Array]:
        """All arrays: of the layers from the input upwards, readout, embedding."""
        for layer in self.layers:
            yield from (getattr(layer, kind) for kind in _KINDS)
        yield from self.readout or ()
        if self.embedding is not None:
            yield self.embedding


def assemble(
    tensors: Tensors, metadata: dict[str, str], source: str, module: str | None = None
) -> Weights:
    """Find the one recurrent module among named tensors, check it, copy its arrays.

    Parameters
    ----------
    tensors : mapping of str to ndarray or torch.Tensor
        All tensors of a checkpoint.
    metadata, source
        Handed on to `Weights`.
    module : str, optional
        Prefix of the module to take, where there are several.

    Raises
    ------
    CheckpointError
        Naming the source and tensor, what was expected and what was found.
    """
    names = _pick_module(tensors, source, module)
    layers = _layers(tensors, names, source)
    readout = _readout(tensors, layers[-1].hidden_size, source)
    embedding = _embedding(tensors, layers[0].input_size, source)
    arrays = [a for layer in layers for a in vars(layer).values()] + [*(readout or ())]
    dtype = np.result_type(*arrays)
    return Weights(
        cell="lstm",
        layers=tuple(
            Layer(**{kind: a.astype(dtype) for kind, a in vars(layer).items()})
            for layer in layers
        ),
        readout=readout and (readout[0].astype(dtype), readout[1].astype(dtype)),
        embedding=embedding,
        metadata=metadata,
        source=source,
    )


def _pick_module(
    tensors: Tensors, source: str, module: str | None
) -> dict[tuple[str, int], str]:
    """Map (kind, layer) to the tensor name, for the one recurrent module asked for."""
    found: dict[str, dict[tuple[str, int], str]] = {}
    for name in tensors:
        match = _RECURRENT.fullmatch(name)
        if match is None:
            continue
        kind = match["kind"] + (match["reverse"] or "")
        prefix = match["prefix"].rstrip("./_")
        found.setdefault(prefix, {})[kind, int(match["layer"])] = name
    if not found:
        shown = ", ".join(list(tensors)[:5]) or "no tensor"
        raise CheckpointError(
            f"{source}: no LSTM found; expected tensors named weight_ih_l0, "
            f"weight_hh_l0, bias_ih_l0, bias_hh_l0 behind any prefix, found {shown}"
        )
    wanted = [
        prefix
        for prefix in found
        if module is None or prefix == module or prefix.endswith(f".{module}")
    ]
    if len(wanted) != 1:
        listed = ", ".join(repr(prefix) for prefix in found)
        raise CheckpointError(
            f"{source}: expected one recurrent module"
            f"{'' if module is None else f' named {module!r}'}, found {len(wanted)}; "
            f"choose with module=, one of: {listed}"
        )
    return found[wanted[0]]


def _layers(
    tensors: Tensors, names: dict[tuple[str, int], str], source: str
) -> list[Layer]:
    _refuse_variants(names, source)
    biases = any(kind.startswith("bias") for kind, _ in names)
    layers: list[Layer] = []
    for index in range(1 + max(layer for _, layer in names)):
        for kind in _KINDS if biases else _KINDS[:2]:
            if (kind, index) not in names:
                raise CheckpointError(
                    f"{source}: tensor '{kind}_l{index}' is missing, layer {index} "
                    f"needs {', '.join(_KINDS)}; save the whole state_dict"
                )
        hidden = _hidden_size(tensors, names["weight_hh", index], source)
        inputs: int | str = layers[-1].hidden_size if layers else "input_size"
        shapes: list[tuple[int | str, ...]] = [
            (4 * hidden, inputs),
            (4 * hidden, hidden),
        ]
        shapes += [(4 * hidden,)] * 2
        arrays = [
            _array(tensors, names[kind, index], shape, source)
            if (kind, index) in names
            else np.zeros(4 * hidden, np.float32)
            for kind, shape in zip(_KINDS, shapes, strict=True)
        ]
        layers.append(Layer(*arrays))
    return layers


def _refuse_variants(names: dict[tuple[str, int], str], source: str) -> None:
    for (kind, _), name in names.items():
        if kind.endswith("_reverse"):
            raise CheckpointError(
                f"{source}: tensor '{name}' belongs to a bidirectional LSTM, which "
                "reads the sequence from both ends and so is no map in time; "
                "expected a one-directional LSTM"
            )
        if kind == "weight_hr":
            raise CheckpointError(
                f"{source}: tensor '{name}' belongs to an LSTM with proj_size; "
                "expected an LSTM without projection"
            )


def _hidden_size(tensors: Tensors, name: str, source: str) -> int:
    """Hidden units by the shape of weight_hh, which also tells the cell."""
    shape = tuple(tensors[name].shape)
    if len(shape) == 2 and shape[1] > 0 and shape[0] % shape[1] == 0:
        rows = shape[0] // shape[1]
        if rows == 4:
            return int(shape[1])
        if rows in _OTHER_CELLS:
            raise CheckpointError(
                f"{source}: tensor '{name}' of shape {shape} belongs to "
                f"{_OTHER_CELLS[rows]} ({rows}H rows); expected an LSTM (4H rows)"
            )
    raise CheckpointError(
        f"{source}: tensor '{name}' has shape {shape}, expected (4 * H, H)"
    )


def _readout(tensors: Tensors, hidden: int, source: str) -> tuple[Array, Array] | None:
    """Find the linear readout of the top layer; None where there is none or several."""
    name = _readout_name(tensors, hidden)
    if name is None:
        return None
    weight = _array(tensors, name, ("outputs", hidden), source)
    bias = name.removesuffix("weight") + "bias"
    if bias not in tensors:
        return weight, np.zeros(len(weight), weight.dtype)
    return weight, _array(tensors, bias, (len(weight),), source)


def _readout_name(tensors: Tensors, hidden: int) -> str | None:
    if "readout_weight" in tensors:
        return "readout_weight"
    linear = [
        name
        for name, tensor in tensors.items()
        if name.endswith(".weight")
        and "emb" not in name.lower()
        and len(tensor.shape) == 2
        and tensor.shape[1] == hidden
    ]
    named = [name for name in linear if f".{name}".endswith(".readout.weight")]
    candidates = named or linear
    return candidates[0] if len(candidates) == 1 else None


def _embedding(tensors: Tensors, inputs: int, source: str) -> Array | None:
    """Find the embedding of tokens; None where there is none or several."""
    names = [
        name
        for name, tensor in tensors.items()
        if name.endswith("weight")
        and "emb" in name.lower()
        and len(tensor.shape) == 2
        and tensor.shape[1] == inputs
    ]
    if len(names) != 1:
        return None
    return _array(tensors, names[0], ("tokens", inputs), source)


def _array(
    tensors: Tensors, name: str, shape: tuple[int | str, ...], source: str
) -> Array:
    """Copy a tensor into a native float array, after checking all that can be wrong.

    A word in `shape` stands for a size that is free.
    """
    tensor = tensors[name]
    found = tuple(tensor.shape)
    sizes = zip(found, shape, strict=False)
    if len(found) != len(shape) or not all(
        size == wanted or (isinstance(wanted, str) and size > 0)
        for size, wanted in sizes
    ):
        expected = str(shape).replace("'", "")
        raise CheckpointError(
            f"{source}: tensor '{name}' has shape {found}, expected {expected}"
        )
    dtype = getattr(tensor.dtype, "name", str(tensor.dtype).removeprefix("torch."))
    if dtype not in _FLOATS:
        raise CheckpointError(
            f"{source}: tensor '{name}' has type {dtype}, expected {', '.join(_FLOATS)}"
        )
    try:
        array = _to_numpy(tensor)
    except (TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"{source}: tensor '{name}' holds no dense values ({error})"
        ) from error
    bad = np.count_nonzero(~np.isfinite(array))
    if bad:
        raise CheckpointError(
            f"{source}: tensor '{name}' holds {bad} NaN or infinite values, expected "
            "finite weights; training had diverged, take an earlier checkpoint"
        )
    return np.array(array, np.promote_types(array.dtype, np.float32), order="C")


def _to_numpy(tensor: Any) -> Array:
    if hasattr(tensor, "detach"):  # a torch tensor; numpy has no bfloat16
        tensor = tensor.detach().cpu()
        tensor = tensor.float() if tensor.dtype.itemsize == 2 else tensor
        return np.asarray(tensor.numpy())
    return np.asarray(tensor)
