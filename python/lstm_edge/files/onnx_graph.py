"""The graph of an ONNX model: nodes, constants, and who reads what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lstm_edge.errors import CheckpointError
from lstm_edge.files.beside import Beside
from lstm_edge.files.guard import most_memory
from lstm_edge.files.layers import Array, library

_SHAPING = {
    *("Squeeze", "Unsqueeze", "Transpose", "Reshape", "Identity", "Dropout", "Cast"),
}
"""Nodes behind which the values are still the same."""

_COMPUTED = _SHAPING - {"Dropout"} | {"Slice", "Concat"}
"""Nodes that exporters leave between a constant and the cell."""

_GRAPH = 5  # type of an attribute


@dataclass(frozen=True)
class Graph:
    """Nodes of a model, also of the graphs inside If, Loop and Scan.

    Attributes
    ----------
    nodes : list of NodeProto
    constants : dict of str to ndarray
        Also those that follow from others.
    source : str
        Name of the file.
    producer : str
        Who wrote it, and the version.
    """

    nodes: list[Any]
    constants: Mapping[str, Array]
    source: str
    producer: str

    @cached_property
    def makers(self) -> dict[str, Any]:
        """Value to the node that gives it."""
        return {value: node for node in self.nodes for value in node.output}

    @cached_property
    def readers(self) -> dict[str, list[Any]]:
        """Value to the nodes that read it."""
        found: dict[str, list[Any]] = {}
        for node in self.nodes:
            for value in node.input:
                found.setdefault(value, []).append(node)
        return found

    def maker(self, value: str) -> Any:
        """Give the node whose first result a value is, in whatever shape."""
        for _ in self.nodes:
            node = self.makers.get(value)
            if node is None or node.op_type not in _SHAPING:
                return node if node and node.output[0] == value else None
            value = node.input[0]
        return None

    def leaves(self, value: str) -> bool:
        """Whether a value leaves the net: nothing but a bias and its shape follows."""
        pending, seen = [value], set()
        while pending:
            value = pending.pop()
            if value in seen:
                continue
            seen.add(value)
            for node in self.readers.get(value, ()):
                adds = node.op_type == "Add" and self.constants.keys() & {*node.input}
                if node.op_type not in _SHAPING and not adds:
                    return False
                pending += node.output
        return True


def read_graph(onnx: Any, data: bytes, source: str, beside: Beside) -> Graph:
    """Read a model, and the files beside it that hold its weights.

    Raises
    ------
    CheckpointError
        A file is missing, or constants take far more memory than the files.
    """
    model = onnx.load_model_from_string(data)
    graphs = list(_graphs(model.graph))
    nodes = [node for graph in graphs for node in graph.node]
    given = {t.name: t for graph in graphs for t in graph.initializer}
    for node in nodes:
        if node.op_type == "Constant":
            values = [a.t for a in node.attribute if a.name == "value"]
            given |= dict(zip(node.output, values, strict=False))
    files: dict[str, bytes] = {}
    for name, tensor in given.items():
        if tensor.data_location == tensor.EXTERNAL:
            _fetch(name, tensor, files, source, beside)
    constants = {name: onnx.numpy_helper.to_array(t) for name, t in given.items()}
    size = len(data) + sum(map(len, files.values()))
    _follow(nodes, constants, most_memory(size), source)
    producer = f"{model.producer_name} {model.producer_version}".strip()
    return Graph(nodes, constants, source, producer)


def settings_of(node: Any) -> dict[str, Any]:
    """Give the attributes of a node that are numbers, texts and lists of these."""
    values = {}
    for attribute in node.attribute:
        kinds = {1: attribute.f, 2: attribute.i, 3: attribute.s}
        kinds |= {6: list(attribute.floats), 7: list(attribute.ints)}
        values[attribute.name] = kinds.get(attribute.type, list(attribute.strings))
    return values


def _graphs(graph: Any) -> Iterator[Any]:
    """Give a graph, and those inside its nodes."""
    pending = [graph]
    while pending:
        graph = pending.pop()
        yield graph
        pending += [
            a.g for node in graph.node for a in node.attribute if a.type == _GRAPH
        ]


def _fetch(
    name: str, tensor: Any, files: dict[str, bytes], source: str, beside: Beside
) -> None:
    """Take the values of a tensor out of the file that holds them."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    place = told.get("location", "")
    if place not in files:
        found = beside.read(place)
        if found is None:
            raise CheckpointError(
                f"{source}: tensor '{name}' lies in '{place}', expected that file in "
                "the same folder, found none; copy it there"
            )
        files[place] = found
    begin = int(told.get("offset", 0))
    end = begin + int(told.get("length", len(files[place]) - begin))
    if not 0 <= begin <= end <= len(files[place]):
        raise CheckpointError(
            f"{source}: tensor '{name}' is said to lie at bytes {begin} to {end} of "
            f"'{place}', which has {len(files[place])}; copy that file again"
        )
    tensor.raw_data = files[place][begin:end]
    tensor.data_location = tensor.DEFAULT


def _follow(
    nodes: list[Any], constants: dict[str, Array], left: int, source: str
) -> None:
    """Add what nodes make of constants alone; the results take `left` bytes at most."""
    for node in nodes:
        values = {name: constants.get(name) for name in node.input if name}
        if node.op_type not in _COMPUTED or not values:
            continue
        arrays = [array for array in values.values() if array is not None]
        if len(arrays) < len(values):
            continue
        left -= sum(constants[name].nbytes for name in node.input if name)
        if left < 0:
            raise CheckpointError(
                f"{source}: its constants take far more memory than the file has; "
                "refused as hostile"
            )
        reference = library(source, "onnx", "onnx.reference")
        results = reference.ReferenceEvaluator(node).run(None, values)
        constants |= dict(zip(node.output, results, strict=False))
