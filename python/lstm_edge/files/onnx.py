"""ONNX: the nodes LSTM, GRU and RNN of a graph.

===== ================ ============ ==========
node  gate order       here         rows
===== ================ ============ ==========
LSTM  i, o, f, c       i, f, g, o   4H
GRU   z, r, h          r, z, n      3H
RNN                                 H
===== ================ ============ ==========

W (D, rows, I), R (D, rows, H) and B (D, 2 rows) hold D directions; a GRU with
``linear_before_reset = 0`` resets before the product. Layers are nodes that read one
another, past nodes that only change the shape.

Source: onnx/docs/Operators.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from lstm_edge.errors import CheckpointError
from lstm_edge.files.layers import (
    Array,
    RecurrentLayer,
    embedding_tensor,
    library,
    name_layers,
    reorder,
)
from lstm_edge.files.shapes import Shape, check_shape

_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Node, to where it has the gates in PyTorch's order."""

_ACTIVATIONS = {
    "LSTM": [["sigmoid", "tanh", "tanh"]],
    "GRU": [["sigmoid", "tanh"]],
    "RNN": [["tanh"], ["relu"]],
}
_SHAPING = {
    *("Squeeze", "Unsqueeze", "Transpose", "Reshape", "Identity", "Dropout", "Cast")
}
"""Nodes behind which the values are still the same."""

_PEEPHOLES = 7  # place among the inputs


@dataclass(frozen=True)
class _Graph:
    """Nodes of a graph.

    Attributes
    ----------
    nodes : list of NodeProto
    constants : dict of str to ndarray
    makers : dict of str to NodeProto
        Value to the node that gives it.
    source : str
        Name of the file.
    """

    nodes: list[Any]
    constants: Mapping[str, Array]
    makers: Mapping[str, Any]
    source: str


def read_onnx(data: bytes, source: str) -> tuple[dict[str, Array], dict[str, str]]:
    """Read the recurrent nodes of a model, its embeddings and linear layers.

    Returns
    -------
    tensors, said
        By PyTorch's names; a net has the name of its lowest node.

    Raises
    ------
    CheckpointError
        If onnx is missing, the weights lie in another file, or a node computes
        something else than PyTorch's cells do.
    """
    onnx = library(source, "onnx", "onnx")
    graph = _read_graph(onnx, data, source)
    names = {id(node): _name(node) for node in graph.nodes}
    layers = [
        layer
        for node in graph.nodes
        if node.op_type in _ORDER
        for layer in _layers(node, names, graph)
    ]
    if not layers:
        kinds = ", ".join(sorted({node.op_type for node in graph.nodes}))
        raise CheckpointError(
            f"{source}: expected a node LSTM, GRU or RNN, found {kinds or 'none'}; an "
            "exporter may have unrolled it: torch.onnx.export(dynamo=False) does not"
        )
    tensors, said = name_layers(layers)
    for node in graph.nodes:
        tensors |= _around(node, graph)
    return tensors, said


def _read_graph(onnx: Any, data: bytes, source: str) -> _Graph:
    graph = onnx.load_model_from_string(data).graph
    given = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            values = [a.t for a in node.attribute if a.name == "value"]
            given |= dict(zip(node.output, values, strict=False))
    far = next((n for n, t in given.items() if t.data_location == t.EXTERNAL), None)
    if far is not None:
        whole = f"{PurePath(source).stem}-whole.onnx"
        raise CheckpointError(
            f"{source}: tensor '{far}' lies in another file, expected all in one: "
            f"onnx.save(onnx.load({source!r}), {whole!r})"
        )
    constants = {name: onnx.numpy_helper.to_array(t) for name, t in given.items()}
    makers = {value: node for node in graph.node for value in node.output}
    return _Graph(list(graph.node), constants, makers, source)


def _name(node: Any) -> str:
    """Name a node; those of PyTorch's exporter are paths, such as /encoder/LSTM."""
    return str(node.name or node.output[0]).strip("/").replace("/", ".")


def _layers(
    node: Any, names: Mapping[int, str], graph: _Graph
) -> Iterator[RecurrentLayer]:
    said = _said(node, graph.source)
    arrays = _arrays(node, graph)
    settings = _settings(node)
    below = _maker(node.input[0], graph)
    directions: list[str | None] = [None]
    if settings.get("direction") == b"bidirectional":
        directions = ["", "_reverse"]
    elif settings.get("direction") == b"reverse":
        directions = ["_reverse"]
    for index, direction in enumerate(directions):
        one = {kind: array[index] for kind, array in arrays.items()}
        if "bias_ih" in one:
            rows = len(one["bias_ih"]) // 2
            one |= {"bias_ih": one["bias_ih"][:rows], "bias_hh": one["bias_ih"][rows:]}
        order = _ORDER[node.op_type]
        yield RecurrentLayer(
            name=names[id(node)],
            arrays={kind: reorder(array, order) for kind, array in one.items()},
            below=None if below is None else names.get(id(below)),
            direction=direction,
            said=said,
        )


def _arrays(node: Any, graph: _Graph) -> dict[str, Array]:
    """W, R and B of a node, where they are constants of the right shape."""
    kinds = ("weight_ih", "weight_hh", "bias_ih")
    given = dict(zip(kinds, node.input[1:4], strict=False))
    given = {kind: name for kind, name in given.items() if name}
    for kind, name in given.items():
        if name not in graph.constants:
            raise CheckpointError(
                f"{graph.source}: {node.op_type} '{_name(node)}' has its {kind} from "
                f"other nodes ('{name}'); expected constants, as in a trained model"
            )
    found = {kind: graph.constants[name] for kind, name in given.items()}
    gates = len(_ORDER[node.op_type])
    ways = 2 if _settings(node).get("direction") == b"bidirectional" else 1
    inner = found["weight_hh"]
    hidden = inner.shape[-1] if inner.ndim else 0
    wanted: dict[str, Shape] = {
        "weight_hh": (ways, gates * hidden, hidden),
        "weight_ih": (ways, gates * hidden, "inputs"),
        "bias_ih": (ways, 2 * gates * hidden),
    }
    for kind, shape in wanted.items():
        if kind in found:
            check_shape(graph.source, given[kind], found[kind], shape)
    return found


def _settings(node: Any) -> dict[str, Any]:
    values = {}
    for attribute in node.attribute:
        kinds = {1: attribute.f, 2: attribute.i, 3: attribute.s}
        values[attribute.name] = kinds.get(attribute.type, list(attribute.strings))
    return values


def _said(node: Any, source: str) -> dict[str, str]:
    """Tell what the arrays leave open; refuse the formulas of no known cell."""
    settings, kind = _settings(node), node.op_type
    known = _ACTIVATIONS[kind]
    found = [word.decode().lower() for word in settings.get("activations", [])]
    first = found[: len(known[0])] or known[0]
    odd = {
        "peepholes": len(node.input) > _PEEPHOLES and node.input[_PEEPHOLES],
        "a clip of its activations": "clip" in settings,
        "coupled input and forget gates": settings.get("input_forget"),
        f"activations {', '.join(found)}": first not in known
        or found not in ([], first, 2 * first),
    }
    for what, there in odd.items():
        if there:
            words = " or ".join(", ".join(words) for words in known)
            raise CheckpointError(
                f"{source}: {kind} '{_name(node)}' has {what}; expected the formulas "
                f"of PyTorch's cells ({words})"
            )
    if kind == "GRU":
        after = settings.get("linear_before_reset", 0)
        return {"reset_after": "true" if after else "false"}
    return {"nonlinearity": first[0]} if kind == "RNN" else {}


def _maker(value: str, graph: _Graph) -> Any:
    """Give the node whose first result a value is, in whatever shape."""
    for _ in graph.nodes:
        node = graph.makers.get(value)
        if node is None or node.op_type not in _SHAPING:
            return node if node and node.output[0] == value else None
        value = node.input[0]
    return None


def _around(node: Any, graph: _Graph) -> dict[str, Array]:
    """Name what may be an embedding or a readout."""
    place = {"Gather": 0, "Gemm": 1, "MatMul": 1}.get(node.op_type)
    if place is None or len(node.input) <= place:
        return {}
    name = node.input[place]
    matrix = graph.constants.get(name)
    if matrix is None or matrix.ndim != 2 or matrix.dtype.kind in "iub":
        return {}
    if node.op_type == "Gather":
        return {embedding_tensor(name.removesuffix(".weight")): matrix}
    transposed = node.op_type == "Gemm" and _settings(node).get("transB")
    bias = _bias(node, graph)
    stem = bias.removesuffix(".bias") if bias.endswith(".bias") else ""
    stem = stem or _name(node).rpartition(".")[0] or _name(node)
    found = {f"{stem}.weight": matrix if transposed else matrix.T}
    if bias:
        found[f"{stem}.bias"] = graph.constants[bias]
    return found


def _bias(node: Any, graph: _Graph) -> str:
    """Name of the constant that is added to a product; "" where there is none."""
    added = list(node.input[2:3]) if node.op_type == "Gemm" else []
    for other in graph.nodes:
        if other.op_type == "Add" and node.output[0] in other.input:
            added += other.input
    return next((name for name in added if name in graph.constants), "")
