"""Keras: its files (``.keras``, ``.weights.h5``, the older ``.h5``) and live models.

========== =================== ========================== ==========================
layer      kernel              gate order                 here
========== =================== ========================== ==========================
LSTM       (I, 4H), (H, 4H)    i, f, c, o                 i, f, g, o
GRU        (I, 3H), (H, 3H)    z, r, h                    r, z, n
SimpleRNN  (I, H), (H, H)
========== =================== ========================== ==========================

A GRU with ``reset_after`` has two biases, (2, 3H); without it the reset comes before
the product. The config, where there is one, names the activations and the order of
the layers; a ``.weights.h5`` has none.

Source: keras/src/layers/rnn of Keras 3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lstm_edge.errors import CheckpointError
from lstm_edge.extras import load
from lstm_edge.files.hdf5 import read_hdf5
from lstm_edge.files.keras_config import Config, parse_config
from lstm_edge.files.layers import (
    Array,
    RecurrentLayer,
    embedding_tensor,
    guess_below,
    name_layers,
    reorder,
)
from lstm_edge.files.shapes import Shape, check_shape, wrong_shape

_ORDER = {4: (0, 1, 2, 3), 3: (1, 0, 2), 1: (0,)}
"""Rows a unit, to where Keras has the gates in PyTorch's order."""

_LINEAR = (None, "linear", "softmax", "sigmoid", "log_softmax")
"""Activations of a layer whose output is linear, or a probability of what is."""

_WAYS = {"forward_layer": "", "backward_layer": "_reverse"}

_STRUCTURE = {
    *("layers", "layer", "cell", "cells", "_layer_checkpoint_dependencies"),
    *_WAYS,
}
"""Groups of a file that are no layers."""

Named = tuple[dict[str, Array], dict[str, str]]


@dataclass(frozen=True)
class _Part:
    """A layer, or a cell, with its variables.

    Attributes
    ----------
    name : str
        Prefix of the tensors.
    layer : str
        Its name in the config.
    group : str
        Its place in the file.
    variables : dict of str to ndarray
        kernel, recurrent_kernel, bias, embeddings.
    paths : dict of str to str
        What the file calls them.
    direction : {None, "", "_reverse"}
    """

    name: str
    layer: str
    group: str
    variables: Mapping[str, Array]
    paths: Mapping[str, str]
    direction: str | None = None

    @property
    def is_recurrent(self) -> bool:
        """Whether it is a cell; one can lack a variable."""
        return "recurrent_kernel" in self.variables or self.group.endswith("/cell")


def read_keras(data: bytes, source: str, config: bytes | None = None) -> Named:
    """Read the weights of a Keras model.

    Parameters
    ----------
    data : bytes
        The HDF5 file.
    source : str
        Its name, for messages.
    config : bytes, optional
        ``config.json`` of a ``.keras`` file.

    Returns
    -------
    tensors, said
        By PyTorch's names.

    Raises
    ------
    CheckpointError
        Another activation than PyTorch's, or a wrong shape.
    """
    arrays, attributes = read_hdf5(data, source)
    text = config or attributes[""].get("model_config", "{}")
    model = parse_config(json.loads(text))
    if any("/vars/" in path for path in arrays):
        parts = _by_groups(arrays, attributes, model)
    else:
        parts = _by_names(arrays)
    return _convert(list(parts), model, source)


def is_keras(obj: object) -> bool:
    """Whether it is a layer or a model of Keras."""
    return any(kind.__module__.startswith("keras.") for kind in type(obj).__mro__)


def from_keras(model: Any) -> Named:
    """Take the weights of a live model or layer."""
    config = Config()
    try:
        told = {"class_name": type(model).__name__, "config": model.get_config()}
        config = parse_config(told)
    except NotImplementedError:  # a subclass that cannot be saved as a config
        pass
    parts = list(_alive(model, type(model).__name__, config))
    return _convert(parts, config, type(model).__name__)


def _by_groups(
    arrays: Mapping[str, Array], attributes: Mapping[str, Any], config: Config
) -> Iterator[_Part]:
    """Parts of a file of Keras 3: variables are numbered, groups named by class."""
    groups: dict[str, dict[int, str]] = {}
    for path in arrays:
        group, _, number = path.rpartition("/vars/")
        if number.isdecimal() and not group.startswith("optimizer"):
            groups.setdefault(group, {})[int(number)] = path
    for group, numbered in groups.items():
        steps = group.split("/")
        variables = _variables(steps)
        paths = {v: numbered[i] for i, v in enumerate(variables) if i in numbered}
        ways = [_WAYS[step] for step in steps if step in _WAYS]
        names = [
            _layer_name("/".join(steps[:end]), attributes, config)
            for end, step in enumerate(steps, 1)
            if step not in _STRUCTURE
        ]
        yield _Part(
            name=".".join(names),
            layer=names[-1],
            group=group,
            variables={name: arrays[path] for name, path in paths.items()},
            paths=paths,
            direction=ways[0] if ways else None,
        )


def _variables(steps: list[str]) -> tuple[str, ...]:
    """Tell the names of the variables of a group, in order."""
    if steps[-1] == "cell" or "cells" in steps[-2:-1]:
        return ("kernel", "recurrent_kernel", "bias")
    kind = re.sub(r"_\d+$", "", steps[-1])
    if kind == "embedding":
        return ("embeddings",)
    return ("kernel", "bias") if kind in ("dense", "layer") else ()


def _layer_name(group: str, attributes: Mapping[str, Any], config: Config) -> str:
    said = attributes.get(f"{group}/vars", {}).get("name")
    return str(said or config.groups.get(group, group.rpartition("/")[2]))


def _by_names(arrays: Mapping[str, Array]) -> Iterator[_Part]:
    """Parts of a file of Keras 2, and of the older format: variables have names."""
    groups: dict[str, dict[str, str]] = {}
    for path in arrays:
        group, _, variable = path.rpartition("/")
        group = group.removeprefix("model_weights/")
        if not group.startswith("optimizer_weights"):
            groups.setdefault(group, {})[variable.partition(":")[0]] = path
    for group, paths in groups.items():
        steps = group.split("/")
        stacked = len(steps) > 1 and steps[-2].startswith("stacked_rnn_cells")
        in_cell = "recurrent_kernel" in paths and re.search(r"cell(_\d+)?$", steps[-1])
        if in_cell and not stacked and len(steps) > 1:
            steps = steps[:-1]
        way = re.match(r"(forward|backward)_", steps[-1]) if len(steps) > 1 else None
        direction = way and _WAYS[f"{way[1]}_layer"]
        inside = f"{steps[0]}.{steps[-1]}" if stacked else steps[-1]
        yield _Part(
            name=steps[0] if way else inside,
            layer=steps[-1],
            group=group,
            variables={name: arrays[path] for name, path in paths.items()},
            paths=paths,
            direction=direction,
        )


def _alive(
    layer: Any, name: str, config: Config, way: str | None = None
) -> Iterator[_Part]:
    """Parts of a live layer, and of those inside."""
    convert_to_numpy = load("keras", "keras.ops").convert_to_numpy
    for inner in getattr(layer, "layers", ()):
        yield from _alive(inner, inner.name, config)
    if hasattr(layer, "forward_layer"):
        yield from _alive(layer.forward_layer, name, config, "")
        yield from _alive(layer.backward_layer, name, config, "_reverse")
        return
    if hasattr(layer, "layer"):
        yield from _alive(layer.layer, name, config)
        return
    cell = getattr(layer, "cell", layer)
    cells = getattr(cell, "cells", None)
    if cells is not None:
        for inner in cells:
            yield from _alive(inner, f"{name}.{inner.name}", config)
        return
    kinds = ("kernel", "recurrent_kernel", "bias", "embeddings")
    held: dict[str, Any] = {kind: getattr(cell, kind, None) for kind in kinds}
    found = {k: v for k, v in held.items() if hasattr(v, "numpy")}
    values = {k: np.asarray(convert_to_numpy(v)) for k, v in found.items()}
    if values:
        told = {"class_name": type(layer).__name__, **layer.get_config()}
        config.settings.setdefault(layer.name, told)
        paths = {kind: f"{layer.name}/{kind}" for kind in values}
        yield _Part(name, layer.name, name, values, paths, way)


def _convert(parts: list[_Part], config: Config, source: str) -> Named:
    recurrent = [part for part in parts if part.is_recurrent]
    by_group = {part.group: part.name for part in recurrent}
    by_layer = {part.layer: part.name for part in recurrent}
    guessed = guess_below(by_group)
    tensors, said = name_layers(
        replace(
            _recurrent(part, config.of(part.layer), source),
            below=by_layer.get(config.below[part.layer])
            if part.layer in config.below
            else by_group.get(guessed.get(part.group, "")),
        )
        for part in recurrent
    )
    for part in parts:
        tensors |= _around(part, config.of(part.layer))
    return tensors, said


def _around(part: _Part, settings: Mapping[str, Any]) -> dict[str, Array]:
    """Name what may be an embedding or a readout."""
    if "embeddings" in part.variables:
        return {embedding_tensor(part.name): part.variables["embeddings"]}
    kernel = part.variables.get("kernel")
    if kernel is None or kernel.ndim != 2 or part.is_recurrent:
        return {}
    if _word(settings.get("activation", "linear")) not in _LINEAR:
        return {}
    found = {f"{part.name}.weight": kernel.T}
    if "bias" in part.variables:
        found[f"{part.name}.bias"] = part.variables["bias"]
    return found


def _recurrent(part: _Part, settings: Mapping[str, Any], source: str) -> RecurrentLayer:
    for name in ("kernel", "recurrent_kernel"):
        if name not in part.variables:
            raise CheckpointError(
                f"{source}: '{part.group}' has no {name}, expected kernel, "
                "recurrent_kernel and perhaps bias; save the model again"
            )
    gates = _gates(part, settings, source)
    hidden = len(part.variables["recurrent_kernel"])
    columns = gates * hidden
    biases: list[Shape] = [(columns,), (2, columns)] if gates == 3 else [(columns,)]
    wanted: dict[str, list[Shape]] = {
        "kernel": [("inputs", columns)],
        "recurrent_kernel": [(hidden, columns)],
        "bias": biases,
    }
    for name in wanted.keys() & part.variables.keys():
        check_shape(source, part.paths[name], part.variables[name], *wanted[name])
    bias = part.variables.get("bias")
    arrays = {
        "weight_ih": part.variables["kernel"].T,
        "weight_hh": part.variables["recurrent_kernel"].T,
    }
    if bias is not None:
        first, second = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
        arrays |= {"bias_ih": first, "bias_hh": second}
    return RecurrentLayer(
        name=part.name,
        arrays={kind: reorder(array, _ORDER[gates]) for kind, array in arrays.items()},
        direction=part.direction,
        said=_said(part, gates, settings, source),
    )


def _gates(part: _Part, settings: Mapping[str, Any], source: str) -> int:
    """Rows a unit: the config says it, else the shape does."""
    kind = str(settings.get("class_name")).removesuffix("Cell")
    inner = part.variables["recurrent_kernel"]
    known = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}.get(kind)
    shapes: dict[int, Shape]
    shapes = {4: ("H", "4 * H"), 3: ("H", "3 * H"), 1: ("H", "H")}
    for gates in [known] if known else _ORDER:
        if inner.ndim == 2 and inner.shape[1] == gates * inner.shape[0] > 0:
            return gates
    raise wrong_shape(
        source,
        part.paths["recurrent_kernel"],
        inner,
        *([shapes[known]] if known else shapes.values()),
    )


def _said(
    part: _Part, gates: int, settings: Mapping[str, Any], source: str
) -> dict[str, str]:
    """Tell what the arrays leave open; refuse the formulas of no known cell."""
    expected: dict[str, tuple[str, ...]] = {"activation": ("tanh",)}
    if gates == 1:
        expected = {"activation": ("tanh", "relu")}
    else:
        expected["recurrent_activation"] = ("sigmoid",)
    for name, words in expected.items():
        word = _word(settings.get(name, words[0]))
        if word not in words:
            raise CheckpointError(
                f"{source}: layer '{part.layer}' has {name} {word}, expected "
                f"{' or '.join(words)}"
            )
    if gates == 1:
        return {"nonlinearity": str(_word(settings.get("activation", "tanh")))}
    if gates == 3:
        bias = part.variables.get("bias")
        by_shape = bias is None or bias.ndim == 2
        after = settings.get("reset_after", by_shape)
        return {"reset_after": "true" if after else "false"}
    return {}


def _word(activation: Any) -> str | None:
    """Name of an activation, which can be a description of its function."""
    while isinstance(activation, dict):
        config = activation.get("config")
        inner = config if isinstance(config, str) else activation.get("class_name")
        activation = inner
    return None if activation is None else str(activation)
