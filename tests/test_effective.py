"""Weights that are saved in parts: what is read is what the net computes with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm
from torch.nn.utils import weight_norm as old_weight_norm

import lstm_edge
from lstm_edge.net.inspection import inspect_checkpoint
from lstm_edge.net.reading import as_weights

PARTS: dict[str, Callable[[nn.Module, str], Any]] = {
    "weight norm": parametrizations.weight_norm,
    "weight norm of columns": lambda net, name: parametrizations.weight_norm(
        net, name, dim=1
    ),
    "weight norm as it was": old_weight_norm,
    "weight norm of all": lambda net, name: old_weight_norm(
        net,
        name,
        dim=None,  # type: ignore[arg-type]
    ),
    "spectral norm": parametrizations.spectral_norm,
    "spectral norm as it was": spectral_norm,
    "pruning": lambda net, name: prune.l1_unstructured(  # type: ignore[no-untyped-call]
        net, name, amount=0.4
    ),
}


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("way", PARTS)
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_the_weight_is_the_one_that_torch_computes_with(
    way: str, cell: type[nn.Module], tmp_path: Path
) -> None:
    torch.manual_seed(3)
    net = cell(3, 5, num_layers=2)
    for name in ("weight_hh_l0", "weight_ih_l1"):
        PARTS[way](net, name)
    with torch.no_grad():
        for value in net.parameters():
            value.mul_(1.3)
    net.eval()
    net(torch.zeros(2, 1, 3))  # some compute the weight before each pass
    file = tmp_path / "net.pt"
    torch.save(net.state_dict(), file)
    for found in (as_weights(file), as_weights(net), as_weights(net.state_dict())):
        for layer, kind in ((0, "weight_hh"), (1, "weight_ih")):
            true = getattr(net, f"{kind}_l{layer}").detach().numpy()
            read = getattr(found.layers[layer], kind)
            np.testing.assert_allclose(read, true, rtol=1e-5, atol=1e-7)
            assert read.dtype == np.float32
    assert inspect_checkpoint(file).usable


@pytest.mark.parametrize("raw", ["rnn.weight_hh_l0_raw", "rnn.module.weight_hh_l0_raw"])
def test_dropped_weights_are_read_undropped(raw: str) -> None:
    """fastai keeps the raw weight beside the module, AWD-LSTM inside it."""
    net = nn.LSTM(3, 5)
    state = {f"rnn.module.{name}": value for name, value in net.state_dict().items()}
    state[raw] = state["rnn.module.weight_hh_l0"]
    state["rnn.module.weight_hh_l0"] = nn.functional.dropout(state[raw], 0.5)
    if raw.startswith("rnn.module"):
        del state["rnn.module.weight_hh_l0"]
    found = as_weights(state).layers[0].weight_hh
    np.testing.assert_array_equal(found, net.state_dict()["weight_hh_l0"].numpy())


def test_a_parametrisation_of_ones_own_is_refused_by_name() -> None:
    class Symmetric(nn.Module):
        def forward(self, value: torch.Tensor) -> torch.Tensor:
            return value.triu() + value.triu(1).T

    net = nn.RNN(3, 5)
    message = r"weight_hh_l0\.original'.* not known"
    parametrize.register_parametrization(net, "weight_hh_l0", Symmetric())
    with pytest.raises(lstm_edge.CheckpointError, match=message):
        as_weights(net)
    parametrize.remove_parametrizations(net, "weight_hh_l0")
    assert as_weights(net).cell == "rnn_tanh"


@pytest.mark.parametrize(
    ("whole", "part", "shape"),
    [("_orig", "_mask", (4, 4)), ("_v", "_g", (5, 9)), ("_v", "_g", (5, 1, 1))],
)
def test_parts_that_do_not_fit_are_refused(
    whole: str, part: str, shape: tuple[int, ...]
) -> None:
    state = dict(nn.RNN(3, 5).state_dict())
    state[f"weight_hh_l0{whole}"] = state.pop("weight_hh_l0")
    state[f"weight_hh_l0{part}"] = torch.ones(shape)
    with pytest.raises(lstm_edge.CheckpointError, match="do not belong together"):
        as_weights(state)


def test_what_a_net_has_and_the_reader_does_not_use_is_told(tmp_path: Path) -> None:
    state = {f"net.{name}": value for name, value in nn.RNN(3, 5).state_dict().items()}
    state |= {"net.gain": torch.ones(5), "net.head.weight": torch.ones(2, 5)}
    torch.save(state, tmp_path / "net.pt")
    found = inspect_checkpoint(tmp_path / "net.pt")
    assert found.nets[0].unused == ("net.gain",)
    assert "  not used   net.gain" in str(found)
