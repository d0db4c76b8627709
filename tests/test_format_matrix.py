"""Every format, cell and depth, by the real library: the spectrum of the module.

Each net begins as a module of PyTorch, and is handed to the library by its own calls.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from lstm_edge import lyapunov

pytestmark = [
    pytest.mark.integration,
    # of Keras' own Variable.numpy
    pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning"),
]

INPUTS, HIDDEN = 3, 5
CELLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lstm": (nn.LSTM, {}),
    "gru": (nn.GRU, {}),
    "rnn_tanh": (nn.RNN, {"nonlinearity": "tanh"}),
    "rnn_relu": (nn.RNN, {"nonlinearity": "relu"}),
}


class Net(nn.Module):
    """A module of PyTorch with a readout."""

    def __init__(self, cell: str, layers: int) -> None:
        super().__init__()
        kind, settings = CELLS[cell]
        self.cell = cell
        self.rnn = kind(INPUTS, HIDDEN, layers, **settings)
        self.answer = nn.Linear(HIDDEN, INPUTS)

    def forward(self, x: Any) -> Any:
        return self.answer(self.rnn(x)[0])

    def layer(self, index: int) -> tuple[Any, Any, Any, Any]:
        """W_ih, W_hh, b_ih, b_hh of a layer."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        found = [getattr(self.rnn, f"{name}_l{index}") for name in names]
        w_ih, w_hh, b_ih, b_hh = [tensor.detach().numpy() for tensor in found]
        return w_ih, w_hh, b_ih, b_hh

    def readout(self) -> list[Any]:
        """R.T and r, as the other libraries have them."""
        weight, bias = self.answer.weight, self.answer.bias
        return [weight.detach().numpy().T, bias.detach().numpy()]


@pytest.fixture(params=CELLS)
def cell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[1, 2])
def net(request: pytest.FixtureRequest, cell: str) -> Net:
    torch.manual_seed(0)
    return Net(cell, request.param).double()


def write_torch(net: Net, path: Path) -> None:
    torch.save(net.state_dict(), path)


def write_safetensors(net: Net, path: Path) -> None:
    safetensors.torch.save_file(net.state_dict(), path)


def write_npz(net: Net, path: Path) -> None:
    arrays = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    np.savez(path, allow_pickle=False, **arrays)


def write_lightning(net: Net, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies
        lightning = pytest.importorskip("lightning")
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

        class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
            def __init__(self, nonlinearity: str) -> None:
                super().__init__()
                self.save_hyperparameters()
                self.net = net

            def training_step(self, batch: Any, _: int) -> Any:
                return self.net(batch[0]).square().mean()

            def configure_optimizers(self) -> Any:
                return torch.optim.SGD(self.parameters(), lr=0.0)

        trainer = lightning.Trainer(
            max_steps=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            accelerator="cpu",
        )
        data = torch.utils.data.TensorDataset(torch.zeros(1, 2, INPUTS).double())
        module = Module(net.cell.removeprefix("rnn_"))
        trainer.fit(module, torch.utils.data.DataLoader(data))
        trainer.save_checkpoint(path)


def write_keras(net: Net, path: Path) -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    kinds = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
    kind = kinds.get(net.cell, keras.layers.SimpleRNN)
    more = {"activation": "relu"} if net.cell == "rnn_relu" else {}
    count = net.rnn.num_layers
    layers = [
        kind(HIDDEN, return_sequences=i + 1 < count, dtype="float64", **more)
        for i in range(count)
    ]
    answer = keras.layers.Dense(INPUTS, dtype="float64")
    model = keras.Sequential([keras.Input((None, INPUTS)), *layers, answer])
    for index, layer in enumerate(layers):
        w_ih, w_hh, b_ih, b_hh = net.layer(index)
        if net.cell == "gru":  # z, r, h
            rows = np.arange(3 * HIDDEN).reshape(3, -1)[[1, 0, 2]].ravel()
            bias = np.stack([b_ih[rows], b_hh[rows]])
            layer.set_weights([w_ih[rows].T, w_hh[rows].T, bias])
        else:
            layer.set_weights([w_ih.T, w_hh.T, b_ih + b_hh])
    answer.set_weights(net.readout())
    save = model.save_weights if path.name.endswith(".weights.h5") else model.save
    save(path)


def write_flax(net: Net, path: Path) -> None:
    jax = pytest.importorskip("jax")
    linen = pytest.importorskip("flax.linen")
    serialization = pytest.importorskip("flax.serialization")
    pytest.importorskip("msgpack")
    kinds = {"lstm": linen.OptimizedLSTMCell, "gru": linen.GRUCell}
    kind = kinds.get(net.cell, linen.SimpleCell)

    class Model(linen.Module):  # type: ignore[misc, name-defined]
        @linen.compact  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            for _ in range(net.rnn.num_layers):
                x = linen.RNN(kind(HIDDEN))(x)
            return linen.Dense(INPUTS)(x)

    tree = Model().init(jax.random.key(0), np.zeros((1, 2, INPUTS)))["params"]
    for index in range(net.rnn.num_layers):
        cell = tree[f"{kind.__name__}_{index}"]
        fill_flax(cell, net.cell, net.layer(index))
    kernel, bias = net.readout()
    tree["Dense_0"] = {"kernel": kernel, "bias": bias}
    path.write_bytes(serialization.to_bytes({"params": tree}))


def fill_flax(cell: dict[str, Any], kind: str, layer: tuple[Any, ...]) -> None:
    """Fill the parameters that a cell has; b_hh moves where there is one bias."""
    gates = {"lstm": "ifgo", "gru": "rzn"}.get(kind, [""])
    w_ih, w_hh, b_ih, b_hh = [np.split(array, len(gates)) for array in layer]
    for i, gate in enumerate(gates):
        given = cell[f"i{gate}"], cell[f"h{gate}"]
        biased = ["bias" in part for part in given]
        given[0]["kernel"], given[1]["kernel"] = w_ih[i].T, w_hh[i].T
        if all(biased):
            given[0]["bias"], given[1]["bias"] = b_ih[i], b_hh[i]
        else:
            given[biased.index(True)]["bias"] = b_ih[i] + b_hh[i]


def write_onnx(net: Net, path: Path) -> None:
    pytest.importorskip("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about the batch size
        x = torch.zeros(2, 1, INPUTS).double()
        torch.onnx.export(net.eval(), (x,), path, dynamo=False)


FORMATS: dict[str, Callable[[Net, Path], None]] = {
    "net.pt": write_torch,
    "net.safetensors": write_safetensors,
    "net.npz": write_npz,
    "net.ckpt": write_lightning,
    "net.keras": write_keras,
    "net.weights.h5": write_keras,
    "net.h5": write_keras,
    "net.msgpack": write_flax,
    "net.onnx": write_onnx,
}
SAY_THE_ACTIVATION = ("net.ckpt", "net.keras", "net.h5", "net.onnx")


@pytest.mark.parametrize("closed_loop", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_spectrum_is_that_of_the_module(
    tmp_path: Path, net: Net, name: str, closed_loop: bool
) -> None:
    FORMATS[name](net, tmp_path / name)
    silent = net.cell == "rnn_relu" and name not in SAY_THE_ACTIVATION
    settings: dict[str, Any] = {"steps": 60, "transient": 20, "starts": 2}
    found, expected = (
        lyapunov(source, closed_loop=closed_loop, module=module, **settings)
        for source, module in (
            (tmp_path / name, "(relu)" if silent else None),
            (net, None),
        )
    )
    # where a library has one bias, two are added before: some 1e-16, in order
    np.testing.assert_allclose(found.exponents, expected.exponents, rtol=0, atol=1e-10)
    assert len(found.exponents) == len(expected.exponents) >= HIDDEN
