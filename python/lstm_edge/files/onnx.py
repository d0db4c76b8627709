"""ONNX: the nodes LSTM, GRU and RNN of a graph, and of the graphs inside it.

===== ================ ============ ==========
node  gate order       here         rows
===== ================ ============ ==========
LSTM  i, o, f, c       i, f, g, o   4H
GRU   z, r, h          r, z, n      3H
RNN                                 H
===== ================ ============ ==========

W (D, rows, I), R (D, rows, H) and B (D, 2 rows) hold D directions; a GRU with
``linear_before_reset = 0`` resets before the product. Layers are nodes that read one
another, past nodes that only change the shape. Where a cell was taken apart (LSTMCell),
its tensors are known by PyTorch's names.

Source: onnx/docs/Operators.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lstm_edge.errors import CheckpointError
from lstm_edge.files.beside import Beside
from lstm_edge.files.layers import (
    Array,
    RecurrentLayer,
    embedding_tensor,
    library,
    name_layers,
    reorder,
)
from lstm_edge.files.onnx_graph import Graph, read_graph, settings_of
from lstm_edge.files.shapes import Shape, check_shape

_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Node, to where it has the gates in PyTorch's order."""

_FUNCTIONS = ("tanh", "sigmoid", "hardsigmoid", "relu")
_USUAL = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh")}
_HARD = {0.2: "hard_sigmoid", 1 / 6: "hard_sigmoid_6"}
"""Slope of a hard sigmoid to its name."""

_PEEPHOLES = 7  # place among the inputs


def read_onnx(
    data: bytes, source: str, beside: Beside
) -> tuple[dict[str, Array], dict[str, str]]:
    """Read the recurrent nodes of a model, its embeddings and linear layers.

    Returns
    -------
    tensors, said
        By PyTorch's names; a net has the name of its lowest node.

    Raises
    ------
    CheckpointError
        If onnx is missing, a file of its weights is, or a node computes something else
        than the cells of the core do.
    """
    graph = read_graph(library(source, "onnx", "onnx"), data, source, beside)
    names = {id(node): _name(node) for node in graph.nodes}
    layers = [
        layer
        for node in graph.nodes
        if node.op_type in _ORDER
        for layer in _layers(node, names, graph)
    ]
    if not layers:
        return _taken_apart(graph), {}
    tensors, said = name_layers(layers)
    for node in graph.nodes:
        tensors |= _around(node, graph)
    return tensors, said


def _taken_apart(graph: Graph) -> dict[str, Array]:
    """Give the constants of a model without a recurrent node, by their own names."""
    found = {k: v for k, v in graph.constants.items() if v.dtype.kind == "f"}
    if any("weight_hh" in name for name in found):
        return found
    kinds = ", ".join(sorted({node.op_type for node in graph.nodes}))
    raise CheckpointError(
        f"{graph.source}: expected a node LSTM, GRU or RNN, or tensors of a cell by "
        f"PyTorch's names, found {kinds or 'no node'}; an exporter may have taken it "
        "apart: torch.onnx.export(dynamo=False) keeps a module such as nn.LSTM whole"
    )


def _name(node: Any) -> str:
    """Name a node; those of PyTorch's exporter are paths, such as /encoder/LSTM."""
    return str(node.name or node.output[0]).strip("/").replace("/", ".")


def _layers(
    node: Any, names: Mapping[int, str], graph: Graph
) -> Iterator[RecurrentLayer]:
    said, assumed = _said(node, graph.source), ""
    if said.get("reset_after") == "false" and graph.producer.startswith("pytorch"):
        said["reset_after"] = "true"
        assumed = (
            f"{names[id(node)]}: {graph.producer} wrote a GRU that resets before the "
            "product, which torch.nn.GRU never does; the reset is taken behind it, as "
            "there; if that is wrong: --module "
            f"'{names[id(node)]} (reset before)'"
        )
    arrays = _arrays(node, graph)
    settings = settings_of(node)
    below = graph.maker(node.input[0])
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
            assumed=assumed,
        )


def _arrays(node: Any, graph: Graph) -> dict[str, Array]:
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
    ways = 2 if settings_of(node).get("direction") == b"bidirectional" else 1
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


def _said(node: Any, source: str) -> dict[str, str]:
    """Tell what the arrays leave open; refuse the formulas of no known cell."""
    settings, kind = settings_of(node), node.op_type
    odd = {
        "peepholes": len(node.input) > _PEEPHOLES and node.input[_PEEPHOLES],
        "a clip of its activations": "clip" in settings,
        "coupled input and forget gates": settings.get("input_forget"),
    }
    for what, there in odd.items():
        if there:
            raise CheckpointError(
                f"{source}: {kind} '{_name(node)}' has {what}; expected the formulas "
                "of PyTorch's cells"
            )
    first, last = _functions(node, source)
    if kind == "RNN":
        return {"nonlinearity": first}
    said = {"activation": last} if last != "tanh" else {}
    said |= {"recurrent_activation": first} if first != "sigmoid" else {}
    if kind == "GRU":
        after = settings.get("linear_before_reset", 0)
        said["reset_after"] = "true" if after else "false"
    return said


def _functions(node: Any, source: str) -> tuple[str, str]:
    """Tell the functions of a node: the first, of the gates, and that of its state."""
    settings, kind = settings_of(node), node.op_type
    found = [word.decode().lower() for word in settings.get("activations", [])]
    usual = _USUAL.get(kind, ("tanh",))
    words = found or list(usual)
    one = words[: len(usual)]
    slopes = {round(a, 4) for a in settings.get("activation_alpha", [0.2])}
    hard = next((name for a, name in _HARD.items() if slopes == {round(a, 4)}), None)
    halves = set(settings.get("activation_beta", [0.5])) == {0.5}
    if (
        words not in (one, 2 * one)
        or not {*one} <= {*_FUNCTIONS}
        or len({*one[1:]}) > 1
        or ("hardsigmoid" in one and not (hard and halves))
    ):
        raise CheckpointError(
            f"{source}: {kind} '{_name(node)}' has activations {', '.join(words)}; "
            f"expected of {', '.join(_FUNCTIONS)} one for the gates and one for the "
            "state, the same in both directions"
        )
    first, last = (str(hard) if w == "hardsigmoid" else w for w in (one[0], one[-1]))
    return first, last


def _around(node: Any, graph: Graph) -> dict[str, Array]:
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
    transposed = node.op_type == "Gemm" and settings_of(node).get("transB")
    bias = _bias(node, graph)
    stem = bias.removesuffix(".bias") if bias.endswith(".bias") else ""
    stem = stem or _name(node).rpartition(".")[0] or _name(node)
    weight = matrix if transposed else matrix.T
    if not graph.leaves(node.output[0]):
        return {f"{stem}.kernel": weight.T}
    found = {f"{stem}.weight": weight}
    if bias:
        found[f"{stem}.bias"] = graph.constants[bias]
    return found


def _bias(node: Any, graph: Graph) -> str:
    """Name of the constant that is added to a product; "" where there is none."""
    added = list(node.input[2:3]) if node.op_type == "Gemm" else []
    for other in graph.readers.get(node.output[0], ()):
        if other.op_type == "Add":
            added += other.input
    return next((name for name in added if name in graph.constants), "")
