"""ONNX models that PyTorch and onnx itself wrote."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conftest import refusal
from lstm_edge.net.reading import as_weights
from nets import top_states

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")

pytestmark = pytest.mark.integration

I, H = 3, 4  # noqa: E741
ROWS = {"LSTM": 4 * H, "GRU": 3 * H, "RNN": H}
SEQUENCE = np.random.default_rng(1).standard_normal((9, I))


def write(path: Path, *nodes: Any, **constants: Any) -> Path:
    """Write a model of nodes; its input is x (T, 1, I), its output y."""
    double = onnx.TensorProto.DOUBLE
    graph = onnx.helper.make_graph(
        list(nodes),
        "net",
        [onnx.helper.make_tensor_value_info("x", double, ["T", 1, I])],
        [onnx.helper.make_tensor_value_info("y", double, None)],
        [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    onnx.save(onnx.helper.make_model(graph), path)
    return path


def cell(kind: str, x: str = "x", y: str = "y", name: str = "", **more: Any) -> Any:
    inputs = [x, f"{name}W", f"{name}R", f"{name}B"]
    return onnx.helper.make_node(kind, inputs, [y], name, hidden_size=H, **more)


def arrays(
    kind: str, ways: int = 1, inputs: int = I, name: str = "", seed: int = 0
) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    rows = ROWS[kind]
    return {
        f"{name}W": random.standard_normal((ways, rows, inputs)),
        f"{name}R": random.standard_normal((ways, rows, H)) / 2,
        f"{name}B": random.standard_normal((ways, 2 * rows)) / 2,
    }


def states_of_onnx(path: Path, inputs: Any) -> Any:
    """Hidden states (T, D, H) as onnx itself computes them."""
    run = reference.ReferenceEvaluator(str(path)).run(None, {"x": inputs[:, None]})
    return run[0][:, :, 0]


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {"linear_before_reset": 1}),
    "gru_reset_before": ("GRU", {}),
    "rnn_tanh": ("RNN", {}),
}
"""What onnx can run itself; it knows no relu."""


@pytest.mark.parametrize("name", CASES)
def test_states_are_those_of_onnx(tmp_path: Path, name: str) -> None:
    kind, settings = CASES[name]
    path = write(tmp_path / "a.onnx", cell(kind, **settings), **arrays(kind))
    weights = as_weights(path)
    assert weights.cell == name
    expected = states_of_onnx(path, SEQUENCE)[:, 0]
    # two orders of adding in float64; relu grows
    np.testing.assert_allclose(top_states(weights, SEQUENCE), expected, rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_each_direction_is_a_net(tmp_path: Path, name: str) -> None:
    kind, settings = CASES[name]
    node = cell(kind, direction="bidirectional", name="both", **settings)
    path = write(tmp_path / "a.onnx", node, **arrays(kind, 2, name="both"))
    for way, place in (("forward", 0), ("backward", 1)):
        one = {k: v[place : place + 1] for k, v in arrays(kind, 2).items()}
        alone = write(tmp_path / "b.onnx", cell(kind, **settings), **one)
        weights = as_weights(path, module=f"both ({way})")
        assert weights.digest == as_weights(alone).digest


def test_a_reversed_node_is_its_backward_net(tmp_path: Path) -> None:
    node = cell("LSTM", direction="reverse", name="back")
    path = write(tmp_path / "a.onnx", node, **arrays("LSTM", name="back"))
    weights = as_weights(path, module="back (backward)")
    alone = write(tmp_path / "b.onnx", cell("LSTM"), **arrays("LSTM"))
    assert weights.digest == as_weights(alone).digest


class Classifier(nn.Module):
    def __init__(self, kind: str, **settings: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, I)
        self.rnn = getattr(nn, kind)(I, H, 2, **settings)
        self.answer = nn.Linear(H, 5)

    def forward(self, tokens: Any) -> Any:
        return self.answer(self.rnn(self.embedding(tokens))[0])


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("LSTM", {}),
        ("LSTM", {"bias": False}),
        ("GRU", {}),
        ("RNN", {}),
        ("RNN", {"nonlinearity": "relu"}),
        ("LSTM", {"batch_first": True}),
    ],
)
@pytest.mark.parametrize("dynamo", [False, True])
def test_models_that_pytorch_exports(
    tmp_path: Path, kind: str, settings: dict[str, Any], dynamo: bool
) -> None:
    if dynamo and kind == "RNN":
        pytest.skip("PyTorch's newer exporter unrolls it")
    net = Classifier(kind, **settings).eval()
    path = export(net, tmp_path / "net.onnx", dynamo)
    weights, expected = as_weights(path), as_weights(net)
    assert weights.digest == expected.digest
    assert weights.readout is not None
    assert weights.embedding is not None


def export(net: nn.Module, path: Path, dynamo: bool, **more: Any) -> Path:
    if dynamo:
        pytest.importorskip("onnxscript")
        more = {"external_data": False} | more
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about the batch size
        tokens = torch.zeros(5, 1, dtype=torch.long)
        torch.onnx.export(net, (tokens,), path, dynamo=dynamo, **more)
    return path


def test_an_unrolled_net_says_how_to_export_it(tmp_path: Path) -> None:
    path = export(Classifier("RNN").eval(), tmp_path / "net.onnx", dynamo=True)
    assert "torch.onnx.export(dynamo=False)" in refusal(path)


def test_weights_in_another_file_are_read(tmp_path: Path) -> None:
    net = Classifier("LSTM").eval()
    path = export(net, tmp_path / "net.onnx", dynamo=False)
    model = onnx.load(path)
    data = {"save_as_external_data": True, "size_threshold": 0, "location": "net.data"}
    onnx.save(model, path, **data)
    assert as_weights(path).digest == as_weights(net).digest
    values = (tmp_path / "net.data").read_bytes()
    (tmp_path / "net.data").write_bytes(values[:-4])
    assert "copy that file again" in refusal(path)
    (tmp_path / "net.data").unlink()
    assert "expected that file in the same folder" in refusal(path)
    (tmp_path.parent / "net.data").write_bytes(values)
    path.write_bytes(path.read_bytes().replace(b"net.data", b"../nt.da"))
    assert "lies in '../nt.da', expected that file" in refusal(path)


@pytest.mark.parametrize("size", [60, 200])
def test_what_the_newer_exporter_leaves_of_larger_nets(
    tmp_path: Path, size: int
) -> None:
    pytest.importorskip("onnxscript")
    net = nn.LSTM(3, size).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (torch.zeros(5, 1, 3),), tmp_path / "a.onnx", dynamo=True
        )
    assert as_weights(tmp_path / "a.onnx").digest == as_weights(net).digest


def test_a_cell_that_was_taken_apart_is_known_by_its_names(tmp_path: Path) -> None:
    net = nn.ModuleDict({"cell": nn.LSTMCell(3, 4)})
    forward = nn.Sequential(net["cell"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            forward, (torch.zeros(1, 3),), tmp_path / "a.onnx", dynamo=False
        )
    assert as_weights(tmp_path / "a.onnx").digest == as_weights(net).digest


def test_constants_that_follow_from_others(tmp_path: Path) -> None:
    constants = arrays("LSTM")
    expected = as_weights(write(tmp_path / "a.onnx", cell("LSTM"), **constants))
    whole = constants.pop("W")
    constants |= {"one": whole[0, :8].T, "two": whole[0, 8:].T, "zero": np.array([0])}
    nodes = [
        onnx.helper.make_node("Concat", ["one", "two"], ["both"], axis=1),
        onnx.helper.make_node("Transpose", ["both"], ["turned"]),
        onnx.helper.make_node("Unsqueeze", ["turned", "zero"], ["W"]),
    ]
    path = write(tmp_path / "b.onnx", *nodes, cell("LSTM"), **constants)
    assert as_weights(path).digest == expected.digest


def test_constants_that_grow_without_end_are_refused(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0)
        for i in range(40)
    ]
    more = {"c0": np.zeros(2**10)}
    path = write(tmp_path / "a.onnx", *nodes, cell("LSTM"), **arrays("LSTM"), **more)
    assert "refused as hostile" in refusal(path)


def test_nets_inside_a_choice_are_found(tmp_path: Path) -> None:
    double = onnx.TensorProto.DOUBLE
    branches = {}
    for name in ("then", "else"):
        constants = arrays("LSTM", name=name, seed=len(name) + ord(name[0]))
        branches[f"{name}_branch"] = onnx.helper.make_graph(
            [cell("LSTM", y=f"{name}_y", name=name)],
            name,
            [],
            [onnx.helper.make_tensor_value_info(f"{name}_y", double, None)],
            [onnx.numpy_helper.from_array(v, k) for k, v in constants.items()],
        )
    node = onnx.helper.make_node("If", ["sure"], ["y"], **branches)
    path = write(tmp_path / "a.onnx", node, sure=np.array(True))
    assert "one of: 'then', 'else'" in refusal(path)
    assert as_weights(path, module="else").cell == "lstm"


@pytest.mark.parametrize("producer", ["pytorch", "keras2onnx"])
def test_a_gru_of_pytorch_never_resets_before(tmp_path: Path, producer: str) -> None:
    path = write(tmp_path / "a.onnx", cell("GRU", name="g"), **arrays("GRU", name="g"))
    model = onnx.load(path)
    model.producer_name, model.producer_version = producer, "2.10.0"
    onnx.save(model, path)
    weights = as_weights(path)
    if producer == "pytorch":
        assert weights.cell == "gru"
        assert "pytorch 2.10.0 wrote a GRU that resets before" in weights.assumed
        choice = weights.assumed.rpartition("--module '")[2].rstrip("'")
        weights = as_weights(path, module=choice)
    assert weights.cell == "gru_reset_before"


@pytest.mark.parametrize("behind", ["Relu", "Sigmoid", "Identity"])
def test_a_function_behind_a_layer_makes_it_no_readout(
    tmp_path: Path, behind: str
) -> None:
    nodes = [
        cell("LSTM", y="h"),
        onnx.helper.make_node("MatMul", ["h", "head"], ["z"]),
        onnx.helper.make_node(behind, ["z"], ["y"]),
    ]
    path = write(tmp_path / "a.onnx", *nodes, **arrays("LSTM"), head=np.ones((H, 2)))
    assert (as_weights(path).readout is not None) == (behind == "Identity")


@pytest.mark.parametrize(
    ("kind", "settings", "functions"),
    [
        ("LSTM", {"activations": ["HardSigmoid", "Relu", "Relu"]}, "hard_sigmoid relu"),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"]}, "hard_sigmoid tanh"),
        (
            "LSTM",
            {
                "activations": ["HardSigmoid", "Tanh", "Tanh"],
                "activation_alpha": [1 / 6],
            },
            "hard_sigmoid_6 tanh",
        ),
    ],
)
def test_other_functions(
    tmp_path: Path, kind: str, settings: dict[str, Any], functions: str
) -> None:
    path = write(tmp_path / "a.onnx", cell(kind, **settings), **arrays(kind))
    weights = as_weights(path)
    assert " ".join(reversed(weights.functions)) == functions


def test_what_reads_only_the_last_state_is_a_net_of_its_own(tmp_path: Path) -> None:
    lower = onnx.helper.make_node(
        "LSTM", ["x", "aW", "aR", "aB"], ["", "last"], "a", hidden_size=H
    )
    constants = arrays("LSTM", name="a") | arrays("LSTM", inputs=H, name="b")
    path = write(
        tmp_path / "a.onnx", lower, cell("LSTM", "last", name="b"), **constants
    )
    assert "one of: 'a', 'b'" in refusal(path)


def test_what_lies_between_layers_parts_them(tmp_path: Path) -> None:
    for between, nets in (("Squeeze", 1), ("Sigmoid", 2)):
        nodes = [
            cell("GRU", y="h", name="a"),
            onnx.helper.make_node(between, ["h"], ["k"]),
            cell("GRU", "k", name="b"),
        ]
        constants = arrays("GRU", name="a") | arrays("GRU", inputs=H, name="b")
        path = write(tmp_path / "a.onnx", *nodes, **constants)
        if nets == 1:
            assert as_weights(path).hidden_sizes == (H, H)
        else:
            assert "found 2" in refusal(path)


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [
        ("LSTM", {"activations": ["Sigmoid", "Relu", "Tanh"]}, "sigmoid, relu, tanh"),
        ("GRU", {"activations": ["Sigmoid", "Elu"]}, "sigmoid, elu"),
        ("RNN", {"activations": ["Affine"]}, "activations affine"),
        ("LSTM", {"clip": 3.0}, "a clip of its activations"),
        ("LSTM", {"input_forget": 1}, "coupled input and forget gates"),
    ],
)
def test_other_formulas_are_refused(
    tmp_path: Path, kind: str, settings: dict[str, Any], says: str
) -> None:
    node = cell(kind, name="odd", **settings)
    message = refusal(write(tmp_path / "a.onnx", node, **arrays(kind, name="odd")))
    assert f"{kind} 'odd' has " in message
    assert says in message


def test_peepholes_are_refused(tmp_path: Path) -> None:
    inputs = ["x", "W", "R", "B", "", "", "", "P"]
    node = onnx.helper.make_node("LSTM", inputs, ["y"], hidden_size=H)
    constants = arrays("LSTM") | {"P": np.zeros((1, 3 * H))}
    assert "has peepholes" in refusal(write(tmp_path / "a.onnx", node, **constants))


@pytest.mark.parametrize(
    ("name", "shape", "says"),
    [
        ("W", (1, 15, I), "'W' has shape (1, 15, 3), expected (1, 16, inputs)"),
        ("R", (1, 12, H), "'R' has shape (1, 12, 4), expected (1, 16, 4)"),
        ("R", (16, H), "'R' has shape (16, 4), expected (1, 16, 4)"),
        ("B", (1, 16), "'B' has shape (1, 16), expected (1, 32)"),
    ],
)
def test_wrong_shapes_are_named(
    tmp_path: Path, name: str, shape: tuple[int, ...], says: str
) -> None:
    constants = arrays("LSTM") | {name: np.zeros(shape)}
    path = write(tmp_path / "a.onnx", cell("LSTM"), **constants)
    assert says in refusal(path)


def test_weights_that_other_nodes_compute_are_refused(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Neg", ["V"], ["W"])
    constants = arrays("LSTM")
    constants["V"] = constants.pop("W")
    path = write(tmp_path / "a.onnx", node, cell("LSTM"), **constants)
    assert "from other nodes ('W')" in refusal(path)


def test_what_is_no_onnx(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"\xff" * 99)
    assert "not a sound .onnx file" in refusal(tmp_path / "a.onnx")


def test_without_onnx_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.onnx", cell("LSTM"), **arrays("LSTM"))
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install 'lstm-edge[onnx]'" in refusal(path)
