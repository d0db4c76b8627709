"""A Keras LSTM in PyTorch's layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lstm_edge.errors import CheckpointError
from lstm_edge.extras import load

_keras = load("keras", "keras")
_layers = _keras.layers

_PASSIVE = (_layers.InputLayer, _layers.Dropout, _layers.SpatialDropout1D)
"""Layers that do nothing once a net is trained."""


def state_dict(model: Any, *, layer: str | None = None) -> dict[str, Any]:
    """Weights of a Keras LSTM under PyTorch's names and in its layout.

    Keras keeps a kernel (I, 4H) and a recurrent kernel (H, 4H), gates in the order i,
    f, c, o, and one bias; PyTorch the transposed ones in the same order, which it calls
    i, f, g, o, and two biases that are
    added; the second one is 0 here.

    Parameters
    ----------
    model : keras.Model or keras.layers.LSTM
        Several LSTM layers in a row of a ``Sequential`` are one net. Its embedding and
        a linear ``Dense`` layer that reads it out come along.
    layer : str, optional
        Name of the LSTM layer, where there are several that are not stacked.

    Returns
    -------
    dict of str to ndarray, or torch.Tensor where that is the backend
        As every function of lstm_edge takes it.

    Raises
    ------
    CheckpointError
        Another cell, direction or activation, naming the layer.
    """
    chain = [each for each in _leaves(model) if not isinstance(each, _PASSIVE)]
    recurrent = _recurrent(model, chain, layer)
    first = chain.index(recurrent[0])
    end = first + len(recurrent)
    in_a_row = isinstance(model, _keras.Sequential)
    if len(recurrent) > 1 and not (in_a_row and chain[first:end] == recurrent):
        names = ", ".join(each.name for each in recurrent)
        raise CheckpointError(
            f"{model.name}: expected one LSTM layer, or several in a row of a "
            f"Sequential, found {names}; choose one by layer="
        )
    tensors: dict[str, Any] = {}
    for index, each in enumerate(recurrent):
        tensors |= _lstm(each, index)
    if in_a_row:
        tensors |= _neighbours(chain[:first], chain[end:])
    return tensors


def _recurrent(model: Any, chain: list[Any], name: str | None) -> list[Any]:
    """Recurrent layers of that name, or all of them."""
    kinds = _layers.RNN | _layers.Bidirectional
    found = [each for each in chain if isinstance(each, kinds)]
    found = [each for each in found if name in (None, each.name)]
    if not found:
        named = "" if name is None else f" named {name!r}"
        names = ", ".join(each.name for each in chain) or "no layers"
        raise CheckpointError(
            f"{model.name}: expected an LSTM layer{named}, found {names}"
        )
    return found


def _neighbours(before: list[Any], after: list[Any]) -> dict[str, Any]:
    """Embedding and linear readout, where they are the layers next to the LSTM."""
    tensors = {}
    for layer in before[-1:]:
        if isinstance(layer, _layers.Embedding):
            tensors["embedding.weight"] = _array(layer.embeddings)
    for layer in after[:1]:
        if isinstance(layer, _layers.Dense) and _called(layer.activation) == "linear":
            tensors["readout_weight"] = _array(layer.kernel).T
            if layer.use_bias:
                tensors["readout_bias"] = _array(layer.bias)
    return tensors


def _leaves(model: Any) -> Iterator[Any]:
    """Layers of a model and of the models in it; a layer alone is its own."""
    if not isinstance(model, _keras.Model):
        yield model
        return
    for layer in model.layers:
        yield from _leaves(layer)


def _lstm(layer: Any, index: int) -> dict[str, Any]:
    _refuse_variants(layer)
    cell = layer.cell
    tensors = {
        f"weight_ih_l{index}": _array(cell.kernel).T,
        f"weight_hh_l{index}": _array(cell.recurrent_kernel).T,
    }
    if layer.use_bias:
        tensors[f"bias_ih_l{index}"] = _array(cell.bias)
        tensors[f"bias_hh_l{index}"] = 0 * _array(cell.bias)
    return tensors


def _refuse_variants(layer: Any) -> None:
    where = f"layer '{layer.name}'"
    if not isinstance(layer, _layers.LSTM):
        kind = type(layer).__name__
        raise CheckpointError(f"{where}: expected a keras.layers.LSTM, found a {kind}")
    if layer.go_backwards:
        raise CheckpointError(f"{where}: expected go_backwards=False, found True")
    if not layer.built:
        raise CheckpointError(f"{where}: expected weights, found a layer not built yet")
    for name, wanted in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        found = _called(getattr(layer, name))
        if found != wanted:
            raise CheckpointError(f"{where}: expected {name} {wanted}, found {found}")


def _called(function: Any) -> str:
    return str(getattr(function, "__name__", function))


def _array(variable: Any) -> Any:
    value = variable.value
    if hasattr(value, "detach"):  # a torch tensor, which as_weights takes
        return value.detach()
    return _keras.ops.convert_to_numpy(value)
