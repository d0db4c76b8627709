"""Where Keras keeps the variables of its layers: in its files, and in live models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_edge.extras import load
from lstm_edge.files.keras_config import Config
from lstm_edge.files.layers import Array
from lstm_edge.files.shapes import Shape, check_shape

WAYS = {"forward_layer": "", "backward_layer": "_reverse"}
"""Groups of a Bidirectional, to the direction."""

_STRUCTURE = {
    *("layers", "layer", "cell", "cells", "_layer_checkpoint_dependencies"),
    *WAYS,
}
"""Groups of a file that are no layers."""


@dataclass(frozen=True)
class Part:
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


def by_groups(
    arrays: Mapping[str, Array], attributes: Mapping[str, Any], config: Config
) -> Iterator[Part]:
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
        ways = [WAYS[step] for step in steps if step in WAYS]
        names = [
            _layer_name("/".join(steps[:end]), attributes, config)
            for end, step in enumerate(steps, 1)
            if step not in _STRUCTURE
        ]
        yield Part(
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


def by_names(arrays: Mapping[str, Array]) -> Iterator[Part]:
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
        direction = way and WAYS[f"{way[1]}_layer"]
        inside = f"{steps[0]}.{steps[-1]}" if stacked else steps[-1]
        first = _of_keras_1(arrays, paths, steps[-1])
        variables = {name: arrays[path] for name, path in paths.items()}
        yield Part(
            name=steps[0] if way else inside,
            layer=steps[-1],
            group=group,
            variables=first or variables,
            paths=dict.fromkeys(first, group) if first else paths,
            direction=direction,
        )


def _of_keras_1(
    arrays: Mapping[str, Array], paths: Mapping[str, str], layer: str
) -> dict[str, Array]:
    """Join the arrays of the gates, as ``lstm_1_W_i``; {} of other releases."""
    found: dict[tuple[str, str], Array] = {}
    for name, path in paths.items():
        match = re.fullmatch(
            r"([WUb])(?:_([ifcozrh]))?", name.removeprefix(f"{layer}_")
        )
        if match is None:
            return {}
        found[match[1], match[2] or ""] = arrays[path]
    gates = {gate for _, gate in found}
    order = next(
        (o for o in ("ifco", "zrh", " ") if gates == set(o.strip() or [""])), ""
    )
    joined = {}
    for letter, kind in (("W", "kernel"), ("U", "recurrent_kernel"), ("b", "bias")):
        blocks = [found.get((letter, gate.strip())) for gate in order]
        known = [block for block in blocks if block is not None]
        if known and len(known) == len(blocks) and len({b.ndim for b in known}) == 1:
            joined[kind] = np.concatenate(known, axis=-1)
    if joined.keys() == {"kernel"}:
        return {"embeddings": joined["kernel"]}
    return joined


def alive(
    layer: Any, name: str, config: Config, way: str | None = None
) -> Iterator[Part]:
    """Parts of a live layer, and of those inside."""
    convert_to_numpy = load("keras", "keras.ops").convert_to_numpy
    for inner in getattr(layer, "layers", ()):
        yield from alive(inner, inner.name, config)
    if hasattr(layer, "forward_layer"):
        yield from alive(layer.forward_layer, name, config, "")
        yield from alive(layer.backward_layer, name, config, "_reverse")
        return
    if hasattr(layer, "layer"):
        yield from alive(layer.layer, name, config)
        return
    cell = getattr(layer, "cell", layer)
    cells = getattr(cell, "cells", None)
    if cells is not None:
        for inner in cells:
            yield from alive(inner, f"{name}.{inner.name}", config)
        return
    kinds = ("kernel", "recurrent_kernel", "bias", "embeddings")
    held: dict[str, Any] = {kind: getattr(cell, kind, None) for kind in kinds}
    found = {k: v for k, v in held.items() if hasattr(v, "numpy")}
    values = {k: np.asarray(convert_to_numpy(v)) for k, v in found.items()}
    if values:
        told = {"class_name": type(cell).__name__, **cell.get_config()}
        config.settings.setdefault(layer.name, told)
        paths = {kind: f"{layer.name}/{kind}" for kind in values}
        yield Part(name, layer.name, name, values, paths, way)


def arrays_of(part: Part, gates: int, source: str) -> tuple[dict[str, Array], bool]:
    """Take the arrays of a cell, and tell whether they lie as CuDNN has them."""
    hidden = len(part.variables["recurrent_kernel"])
    columns = gates * hidden
    biases: dict[int, list[Shape]] = {
        4: [(columns,), (2 * columns,)],
        3: [(columns,), (2, columns), (2 * columns,)],
        1: [(columns,)],
    }
    wanted: dict[str, list[Shape]] = {
        "kernel": [("inputs", columns)],
        "recurrent_kernel": [(hidden, columns)],
        "bias": biases[gates],
    }
    for name in wanted.keys() & part.variables.keys():
        check_shape(source, part.paths[name], part.variables[name], *wanted[name])
    kernel, inner = part.variables["kernel"], part.variables["recurrent_kernel"]
    bias = part.variables.get("bias")
    if bias is None:
        return {"weight_ih": kernel.T, "weight_hh": inner.T}, False
    by_cudnn = gates > 1 and bias.shape == (2 * columns,)
    if by_cudnn:
        kernel = _blocks(kernel, gates, lambda k: k.T.reshape(k.shape, order="F"))
        inner = _blocks(inner, gates, lambda k: k.T)
        bias = bias.reshape(2, columns)
    first, second = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    arrays = {"weight_ih": kernel.T, "weight_hh": inner.T}
    return arrays | {"bias_ih": first, "bias_hh": second}, by_cudnn


def _blocks(kernel: Array, gates: int, change: Callable[[Array], Array]) -> Array:
    """Change the block of each gate."""
    return np.hstack([change(block) for block in np.hsplit(kernel, gates)])
