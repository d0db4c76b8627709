"""Nets in JSON, as audio plugins load them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conftest import refusal
from lstm_edge.net.reading import as_weights
from nets import top_states

SEQUENCE = np.random.default_rng(1).standard_normal((9, 2))


def write(path: Path, net: Any) -> Path:
    path.write_text(json.dumps(net))
    return path


def lists(net: nn.Module) -> dict[str, Any]:
    return {name: tensor.tolist() for name, tensor in net.state_dict().items()}


def states(net: nn.Module) -> Any:
    with torch.no_grad():
        return net(torch.tensor(SEQUENCE, dtype=torch.float32))[0].numpy()


def check(path: Path, net: nn.Module) -> None:
    found = top_states(as_weights(path), SEQUENCE)
    np.testing.assert_allclose(found, states(net), rtol=0, atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_an_amplifier_of_nam(tmp_path: Path, layers: int) -> None:
    net, head = nn.LSTM(2, 3, layers), nn.Linear(3, 1)
    row: list[torch.Tensor] = []
    for k in range(layers):
        p = {name[:-3]: t for name, t in net.named_parameters() if name[-1] == str(k)}
        row += [torch.hstack([p["weight_ih"], p["weight_hh"]]).flatten()]
        row += [p["bias_ih"] + p["bias_hh"], torch.randn(6)]
    row += [head.weight.flatten(), head.bias]
    config = {"input_size": 2, "hidden_size": 3, "num_layers": layers}
    saved: dict[str, Any] = {
        "architecture": "LSTM",
        "config": config,
        "weights": torch.cat(row).tolist(),
    }
    path = write(tmp_path / "amp.nam", saved)
    check(path, net)
    readout = as_weights(path).readout
    assert readout is not None
    np.testing.assert_allclose(readout[0], head.weight.detach(), atol=1e-7)
    saved["weights"].append(0.0)
    assert f"found {len(saved['weights'])}" in refusal(write(path, saved))
    config["hidden_size"] = -1
    assert "expected the sizes num_layers" in refusal(write(path, saved))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_layers_of_rtneural(tmp_path: Path, kind: Any) -> None:
    net, head = kind(2, 3), nn.Linear(3, 2)
    order = [0, 1, 2, 3] if kind is nn.LSTM else [1, 0, 2]  # Keras: z, r, h

    def keras(array: torch.Tensor) -> Any:
        blocks = array.detach().chunk(len(order))
        return torch.cat([blocks[i] for i in order]).numpy()

    both = [keras(net.bias_ih_l0), keras(net.bias_hh_l0)]
    bias = both[0] + both[1] if kind is nn.LSTM else np.array(both)
    name = kind.__name__.lower()
    kernels = [keras(net.weight_ih_l0).T, keras(net.weight_hh_l0).T, bias]
    dense = [head.weight.detach().numpy().T, head.bias.detach().numpy()]
    layers = [
        {"type": name, "activation": "tanh", "weights": [a.tolist() for a in kernels]},
        {"type": "dense", "activation": "", "weights": [a.tolist() for a in dense]},
    ]
    path = write(tmp_path / "net.json", {"in_shape": [None, None, 2], "layers": layers})
    check(path, net)
    assert as_weights(path).readout is not None
    layers[1]["activation"] = "tanh"
    assert as_weights(write(path, {"layers": layers})).readout is None


def test_a_state_dict_of_lists(tmp_path: Path) -> None:
    net = nn.ModuleDict({"rec": nn.LSTM(2, 3), "lin": nn.Linear(3, 2)})
    saved = {"model_data": {"unit_type": "LSTM", "skip": 0}, "state_dict": lists(net)}
    path = write(tmp_path / "net.json", saved)
    check(path, net["rec"])
    assert as_weights(path).readout is not None
    saved["model_data"] = {"skip": 1}  # the input is added to the output
    assert as_weights(write(path, saved)).readout is None


@pytest.mark.parametrize("content", ["{}", '{"a": [1, [2]]}', '{"layers": 3}', "{"])
def test_other_json_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    assert str(tmp_path / "a.json") in refusal(tmp_path / "a.json")
