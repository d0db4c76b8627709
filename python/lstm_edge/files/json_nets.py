"""Nets in JSON: state_dicts, and those of audio plugins (NAM, RTNeural, GuitarML).

==================== ===========================================================
``state_dict``       tensors by PyTorch's names, as nested lists [1]_
``architecture``     NAM: each layer's (W_ih W_hh), b, h_0 and c_0 in a row, then
                     the weight and bias of the head [2]_
``layers``           RTNeural: Keras's arrays, layer by layer [3]_
==================== ===========================================================

References
----------
.. [1] GuitarML/Automated-GuitarAmpModelling.
.. [2] sdatkinson/NeuralAmpModelerCore, NAM/lstm.cpp.
.. [3] jatinchowdhury18/RTNeural, python/model_utils.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from lstm_edge.errors import CheckpointError
from lstm_edge.files.guard import Tensors
from lstm_edge.files.keras import convert
from lstm_edge.files.keras_config import Config
from lstm_edge.files.keras_parts import Part

Named = tuple[Tensors, dict[str, str]]


def read_json_net(data: bytes, source: str) -> Named:
    """Read the tensors of a JSON file; a reader in `FORMATS`.

    Raises
    ------
    CheckpointError
        None of the three kinds, or sizes that do not fit.
    """
    try:
        net = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if isinstance(net, dict) and isinstance(net.get("layers"), list):
        return _rtneural(net, source)
    if isinstance(net, dict) and net.get("architecture") == "LSTM":
        return _nam(net, source), {}
    if isinstance(net, dict):
        state = net.get("state_dict", net)
        tensors = dict(_arrays(state)) if isinstance(state, dict) else {}
        about = net.get("model_data")
        if isinstance(about, dict) and about.get("skip") and "lin.weight" in tensors:
            tensors["lin.kernel"] = tensors.pop("lin.weight").T  # plus the input
        if tensors:
            return tensors, {}
    raise CheckpointError(
        f"{source}: expected a net in JSON: a state_dict of nested lists, an LSTM of "
        "NAM, or layers of RTNeural; found none of these"
    )


def _arrays(state: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in state.items():
        if isinstance(value, dict):
            yield from _arrays(value, f"{prefix}{name}.")
        elif isinstance(value, list) and (array := _array(value)) is not None:
            yield f"{prefix}{name}", array


def _array(values: Any) -> Any:
    """Make an array of nested lists of numbers; None of others."""
    try:
        array = np.array(values)
    except ValueError:  # of unequal lengths
        return None
    return array.astype(np.float32) if array.dtype.kind in "if" else None


def _nam(net: dict[str, Any], source: str) -> Tensors:
    config = net.get("config")
    sizes: Any = config if isinstance(config, dict) else {}
    known = ("num_layers", "input_size", "hidden_size")
    count, inputs, hidden = (sizes.get(name, 0) for name in known)
    values = _array(net.get("weights"))
    fits = all(
        type(size) is int and 0 < size < 2**15 for size in (count, inputs, hidden)
    )
    if not fits or values is None or values.ndim != 1:
        raise CheckpointError(
            f"{source}: expected the sizes num_layers, input_size and hidden_size in "
            "'config' and one row of 'weights', found others"
        )
    read = [inputs] + [hidden] * (count - 1)
    needed = sum(4 * hidden * (n + hidden + 1) + 2 * hidden for n in read) + hidden + 1
    if len(values) != needed:
        raise CheckpointError(
            f"{source}: 'weights': expected {needed} numbers for {count} layers of "
            f"{inputs} -> {hidden}, found {len(values)}"
        )
    rows, tensors, place = 4 * hidden, {}, 0

    def take(*shape: int) -> Any:
        nonlocal place
        place += int(np.prod(shape))
        return values[place - int(np.prod(shape)) : place].reshape(shape)

    for layer, width in enumerate(read):
        both = take(rows, width + hidden)
        tensors[f"lstm.weight_ih_l{layer}"] = both[:, :width]
        tensors[f"lstm.weight_hh_l{layer}"] = both[:, width:]
        tensors[f"lstm.bias_ih_l{layer}"] = take(rows)
        tensors[f"lstm.bias_hh_l{layer}"] = np.zeros(rows, np.float32)
        take(2 * hidden)  # the state it begins with
    tensors["head.weight"], tensors["head.bias"] = take(1, hidden), take(1)
    return tensors


_KERAS = {
    "lstm": ("kernel", "recurrent_kernel", "bias"),
    "gru": ("kernel", "recurrent_kernel", "bias"),
    "dense": ("kernel", "bias"),
    "time-distributed-dense": ("kernel", "bias"),
}
"""RTNeural's layers, to what Keras calls their arrays."""


def _rtneural(net: dict[str, Any], source: str) -> Named:
    """Take layers of Keras, each of which reads the one before."""
    parts, config, last = [], Config(version="3"), ""
    for index, layer in enumerate(net["layers"]):
        kind = str(layer["type"])
        name, kinds = f"{kind}_{index}", _KERAS.get(kind, ())
        held = dict(zip(kinds, map(_array, layer.get("weights", [])), strict=False))
        # RTNeural computes an LSTM and a GRU with the usual functions, whatever it says
        function = None if kind in ("lstm", "gru") else layer.get("activation") or None
        config.settings[name] = {
            "class_name": {"lstm": "LSTM", "gru": "GRU"}.get(kind, kind),
            **({"activation": function} if function else {}),
        }
        config.below[name], last = last, name
        if held and all(array is not None for array in held.values()):
            paths = {k: f"layers[{index}].weights[{i}]" for i, k in enumerate(held)}
            parts.append(Part(name, name, name, held, paths))
    return convert(parts, config, source)
