"""What the configuration of a Keras model says of its layers: settings and order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lstm_edge.errors import CheckpointError
from lstm_edge.files.beside import Beside

_TRANSPARENT = {
    *("InputLayer", "Identity", "Masking", "ActivityRegularization"),
    *("Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise"),
}
"""Layers that a trained net computes nothing in."""

_KNOWN = ("tanh", "sigmoid", "hard_sigmoid", "relu", "linear")
"""Functions of a layer that the core has."""

_LARGEST = 2**24
"""Bytes of a configuration."""

USUAL = {"activation": "tanh", "recurrent_activation": "sigmoid"}


@dataclass(frozen=True)
class Config:
    """The layers of a model.

    Attributes
    ----------
    settings : dict of str to dict
        By the layer's name, with its ``class_name``; of a wrapper, those of the layer
        inside.
    below : dict of str to str
        Layer to the one whose output it reads; "" where there is none.
    groups : dict of str to str
        Where a ``.weights.h5`` keeps a layer, to its name.
    version : str
        Of the Keras that wrote it; "" where nobody says.
    way_out : str
        What to do where there is none.
    """

    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    below: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    version: str = ""
    way_out: str = "put model.to_json() beside it as a .json file, or choose"

    @property
    def knows_cells(self) -> bool:
        """Whether it tells of any recurrent layer."""
        kinds = (str(told.get("class_name")) for told in self.settings.values())
        return any(re.search("LSTM|GRU|RNN", kind) for kind in kinds)

    def is_before(self, version: str) -> bool:
        """Whether an older Keras wrote it; "-tf" is that of TensorFlow 1 and 2."""

        def numbers(text: str) -> list[int]:
            return [int(number) for number in re.findall(r"\d+", text)[:2]]

        written = numbers("2.3" if self.version.endswith("-tf") else self.version)
        return bool(written) and written < numbers(version)

    def of(self, *names: str) -> Mapping[str, Any]:
        """Give the settings of a layer by the first name known; {} where none is."""
        return next(
            (self.settings[name] for name in names if name in self.settings), {}
        )


def config_beside(beside: Beside) -> Any:
    """Read what ``model.to_json()`` wrote beside the weights, if that is one file."""
    found = []
    for name in beside.names(".json"):
        data = beside.start(name, _LARGEST)
        if b'"class_name"' in data and b'"config"' in data:
            with suppress(ValueError, RecursionError):  # else it is something else
                found.append(json.loads(data))
    return found[0] if len(found) == 1 else {}


def parse_config(model: Any, version: str = "") -> Config:
    """Read a configuration as ``config.json`` and ``model_config`` hold it."""
    told = model.get("keras_version") if isinstance(model, dict) else None
    config = Config(version=str(told or version))
    _collect(model, config)
    for prefix, layers in _lists(model):
        _follow(layers, config)
        for path, layer in _numbered(f"{prefix}layers/", layers):
            config.groups[path] = _name(layer)
            for inside, cell in _numbered(f"{path}/cell/cells/", _cells(layer)):
                config.groups[inside] = _name(cell)
    return config


def _numbered(
    prefix: str, layers: list[dict[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give each layer with its group in a ``.weights.h5``, which counts its class."""
    counts: dict[str, int] = {}
    for layer in layers:
        group = _snake_case(layer["class_name"])
        count = counts[group] = counts.get(group, -1) + 1
        yield f"{prefix}{group}_{count}" if count else f"{prefix}{group}", layer


def _cells(layer: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the cells of a layer that stacks them."""
    cell = layer["config"].get("cell")
    inner = cell.get("config") if isinstance(cell, dict) else None
    found = inner.get("cells") if isinstance(inner, dict) else None
    cells = found if isinstance(found, list) else []
    return [cell for cell in cells if isinstance(cell, dict) and _name(cell)]


def _collect(node: Any, config: Config) -> None:
    """Find the settings of every layer, however deep."""
    if isinstance(node, list):
        for item in node:
            _collect(item, config)
    if not isinstance(node, dict):
        return
    settings = node.get("config")
    if isinstance(settings, dict) and isinstance(settings.get("name"), str):
        inner = settings.get("layer", settings.get("cell"))
        told = inner if isinstance(inner, dict) else node
        known = {**told.get("config", {}), "class_name": told.get("class_name")}
        config.settings.setdefault(settings["name"], known)
    for value in node.values():
        _collect(value, config)


def _lists(model: Any, prefix: str = "") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give the lists of layers, of the model and of those inside, and their groups."""
    settings = model.get("config") if isinstance(model, dict) else None
    found = settings.get("layers") if isinstance(settings, dict) else settings
    if not isinstance(found, list):
        return
    layers = [layer for layer in found if isinstance(layer, dict) and _name(layer)]
    yield prefix, layers
    for layer in layers:
        yield from _lists(layer, f"{prefix}layers/{_snake_case(layer['class_name'])}/")


def _follow(layers: list[dict[str, Any]], config: Config) -> None:
    """Tell which layer reads which, past those that compute nothing."""
    reads: dict[str, str] = {}
    for last, layer in zip([{}, *layers], layers, strict=False):
        nodes = layer.get("inbound_nodes")
        reads[_name(layer)] = next(_senders(nodes), "") if nodes else _name(last)
    for name, below in reads.items():
        steps = len(layers)
        while steps and config.of(below).get("class_name") in _TRANSPARENT:
            below, steps = reads.get(below, ""), steps - 1
        config.below[name] = below


def _senders(nodes: Any) -> Iterator[str]:
    """Names of the layers whose outputs a layer was called with, in order."""
    if isinstance(nodes, dict):
        history = nodes.get("keras_history")
        if history:
            yield str(history[0])
        for value in nodes.values():
            yield from _senders(value)
    elif isinstance(nodes, list | tuple):
        if len(nodes) > 2 and isinstance(nodes[0], str) and isinstance(nodes[1], int):
            yield nodes[0]  # as Keras 2 wrote it
        for value in nodes:
            yield from _senders(value)


def _name(layer: Mapping[str, Any]) -> str:
    settings = layer.get("config")
    named = isinstance(settings, dict) and isinstance(layer.get("class_name"), str)
    return str(settings.get("name", "")) if named and settings else ""


def _snake_case(name: str) -> str:
    """Give the name of a class as Keras writes it into files."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def functions(
    layer: str, name: str, gates: int, config: Config, source: str
) -> dict[str, str]:
    """Tell the functions of a layer, those of its Keras where nobody says them.

    Raises
    ------
    CheckpointError
        Others than the core has.
    """
    settings = config.of(layer, name)
    words = {key: settings.get(key, word) for key, word in USUAL.items()}
    if "inner_activation" in settings:  # as Keras 1 called it
        words["recurrent_activation"] = settings["inner_activation"]
    if gates == 1:
        del words["recurrent_activation"]
    elif not settings and config.is_before("2.3"):
        words["recurrent_activation"] = "hard_sigmoid"
    for key, word in words.items():
        if word_of(word) not in _KNOWN:
            raise CheckpointError(
                f"{source}: layer '{layer}' has {key} {word_of(word)}, expected "
                f"one of {', '.join(_KNOWN)}"
            )
    flat = config.version and not config.is_before("3")
    return {
        key: "hard_sigmoid_6"
        if flat and word_of(word) == "hard_sigmoid"
        else word_of(word)
        for key, word in words.items()
    }


def word_of(activation: Any) -> str:
    """Name of an activation, which can be a description of its function."""
    while isinstance(activation, dict):
        config = activation.get("config")
        inner = config if isinstance(config, str) else activation.get("class_name")
        activation = inner
    return "linear" if activation is None else str(activation)
