"""Files of torch.save read without torch: what torch.load gives, or a refusal."""

from __future__ import annotations

import argparse
import gzip
import io
import zipfile
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conftest import refusal
from lstm_edge.files.formats import decode
from lstm_edge.net.reading import as_weights

BASE = torch.arange(24.0).reshape(4, 6)


def saved(obj: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(obj, buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"_use_new_zipfile_serialization": False},
        {"pickle_protocol": 4},
    ],
)
def test_every_kind_of_tensor_is_what_torch_loads(options: dict[str, Any]) -> None:
    tensors = {
        "whole": BASE,
        "part": BASE[1:, ::2],
        "turned": BASE.T,
        "expanded": BASE[:1].expand(3, 6),
        "number": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.zeros(0, 3),
        "parameter": nn.Parameter(BASE),
        "half": BASE.half(),
        "brain": BASE.bfloat16(),
        "whole numbers": torch.arange(-3, 3),
        "flags": BASE > 3,
    }
    nested = {"epoch": 3, "loss": 0.5, "name": "net", "state": OrderedDict(tensors)}
    data = saved(nested, **options)
    found, metadata = decode(data, "a.pt")
    assert metadata == {"epoch": "3", "loss": "0.5", "name": "net"}
    loaded = torch.load(io.BytesIO(data), weights_only=False)["state"]
    assert found.keys() == {f"state.{name}" for name in tensors}
    for name, tensor in loaded.items():
        array = found[f"state.{name}"]
        tensor = tensor.detach()
        tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        np.testing.assert_array_equal(array, tensor.numpy(), strict=True)


@pytest.mark.parametrize("old", [False, True])
def test_the_whole_state_of_a_training_run(tmp_path: Path, old: bool) -> None:
    net = nn.LSTM(2, 3)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(5, 1, 2))[0].sum().backward()
    optimizer.step()
    state = {"model": net.state_dict(), "optimizer": optimizer.state_dict()}
    path = tmp_path / "epoch-1.pth"
    torch.save(state, path, _use_new_zipfile_serialization=not old)
    assert as_weights(path).digest == as_weights(net).digest


def test_shared_storage_stays_shared() -> None:
    found, _ = decode(saved({"a": BASE[0], "b": BASE[1:]}), "tied.pt")
    np.testing.assert_array_equal(found["b"], BASE[1:].numpy())
    assert not np.shares_memory(found["a"], found["b"])
    assert found["a"].base is found["b"].base


def test_big_endian_values() -> None:
    buffer = io.BytesIO()
    little = zipfile.ZipFile(io.BytesIO(saved({"w": BASE})))
    with little, zipfile.ZipFile(buffer, "w") as big:
        for name in little.namelist():
            content = little.read(name)
            if name.endswith("/data/0"):
                content = BASE.numpy().astype(">f4").tobytes()
            big.writestr(name, b"big" if "byteorder" in name else content)
    found, _ = decode(buffer.getvalue(), "big.pt")
    np.testing.assert_array_equal(found["w"], BASE.numpy())


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        ({"w": BASE.to_sparse()}, "torch.serialization._get_layout"),
        ({"scale": np.float64(2)}, "the pickled Python object numpy.dtype"),
        ({"a set": {1}}, "set"),
        ({(1, 2): BASE}, "found no tensor"),
        ({"w": BASE.to(torch.float8_e4m3fn)}, "UntypedStorage, which numpy lacks"),
    ],
)
def test_what_is_no_plain_tensor_is_named(tmp_path: Path, obj: Any, words: str) -> None:
    torch.save(obj, tmp_path / "odd.pt")
    assert words in refusal(tmp_path / "odd.pt")


class Net(nn.Module):
    """What people pickle whole."""

    def __init__(self, function: str = "relu") -> None:
        super().__init__()
        self.body = nn.ModuleList([nn.RNN(2, 3, nonlinearity=function)])
        self.head = nn.Linear(3, 2)
        self.options = argparse.Namespace(lr=0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Read a sequence."""
        for part in self.body:
            x, _ = part(x)
        out: torch.Tensor = self.head(x)
        return out


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_the_tensors_of_a_pickled_module_are_read(
    tmp_path: Path, old: bool, inside: bool
) -> None:
    net = Net()
    what: Any = {"epoch": 3, "model": net} if inside else net
    path = tmp_path / "net.pt"
    torch.save(what, path, _use_new_zipfile_serialization=not old)
    weights = as_weights(path)
    assert weights.digest == as_weights(net).digest
    assert weights.cell == "rnn_relu"
    assert "test_torch_files.Net" in weights.metadata["not opened"]


@pytest.mark.filterwarnings("ignore")  # of a tracer that is going
@pytest.mark.parametrize("traced", [False, True])
def test_the_tensors_of_a_script_are_read(tmp_path: Path, traced: bool) -> None:
    net = nn.Sequential(nn.GRU(2, 3))
    jit: Any = torch.jit
    script = jit.trace(net, torch.ones(4, 1, 2)) if traced else jit.script(net)
    jit.save(script, tmp_path / "net.jit")
    assert as_weights(tmp_path / "net.jit").digest == as_weights(net).digest


@pytest.mark.parametrize(
    "beside",
    [
        argparse.Namespace(hidden=3),
        Counter("abc"),
        np.float64(2),
        {"a set", "another"},
        {nn.Module: {"best": 0.5}},
        {10**12: {"step": 1}},
        {(1, 2): 3},
        defaultdict(list, {"a": [1]}),
        Path("data"),
        {f"word {i}": i for i in range(60_000)},
        b"bytes",
        slice(1, 2),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_other_objects_beside_the_weights_cost_nothing(
    tmp_path: Path, beside: Any, protocol: int
) -> None:
    net = nn.LSTM(2, 3)
    saved = {"model": net.state_dict(), "beside": beside}
    torch.save(saved, tmp_path / "a.pt", pickle_protocol=protocol)
    assert as_weights(tmp_path / "a.pt").digest == as_weights(net).digest


def test_a_policy_of_stable_baselines(tmp_path: Path) -> None:
    policy = nn.ModuleDict({"lstm_actor": nn.LSTM(2, 3), "lstm_critic": nn.LSTM(2, 4)})
    with zipfile.ZipFile(tmp_path / "ppo.zip", "w") as archive:
        archive.writestr("data", "{}")
        archive.writestr("policy.pth", saved(policy.state_dict()))
        archive.writestr("policy.optimizer.pth", b"")
    assert as_weights(tmp_path / "ppo.zip", module="lstm_critic").hidden_sizes == (4,)


@pytest.mark.parametrize("name", ["net.th", "net.model", "net.npz", "net", "net.h5"])
def test_the_content_decides_not_the_name(tmp_path: Path, name: str) -> None:
    net = nn.LSTM(2, 3)
    (tmp_path / name).write_bytes(saved(net.state_dict()))
    assert as_weights(tmp_path / name).digest == as_weights(net).digest


@pytest.mark.parametrize(
    ("content", "way_out"),
    [
        (gzip.compress(b"a" * 99, mtime=0), "gunzip it"),
        (b"\0" * 257 + b"ustar" + b"\0" * 300, "tar xf"),
        (b"\0\0\0\0TFL3" + b"\0" * 40, "expected the Keras model"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    ],
)
def test_what_is_packed_or_elsewhere_says_the_way_out(
    tmp_path: Path, content: bytes, way_out: str
) -> None:
    (tmp_path / "net.pt").write_bytes(content)
    assert way_out in refusal(tmp_path / "net.pt")


@pytest.mark.parametrize("key", ["optimizer", "optimizer_state_dict", "lightning"])
def test_adams_second_moment_is_told(key: str) -> None:
    torch.manual_seed(0)
    net = nn.LSTM(3, 4)
    adam = torch.optim.Adam(net.parameters(), betas=(0.9, 0.99))
    for _ in range(3):
        adam.zero_grad()
        net(torch.randn(5, 3))[0].square().sum().backward()
        adam.step()
    content: dict[str, Any] = {"model": net.state_dict(), key: adam.state_dict()}
    if key == "lightning":
        content = {
            "state_dict": net.state_dict(),
            "optimizer_states": [adam.state_dict()],
            "pytorch-lightning_version": "2.5",
            "global_step": 3,
        }
    _, said = decode(saved(content), "a.ckpt")
    moments = [state["exp_avg_sq"].sum() for state in adam.state.values()]
    expected = float(torch.stack(moments).sum() / (1 - 0.99**3)) ** 0.5
    assert float(said["moment_norm"]) == pytest.approx(expected, rel=1e-6)


def test_other_optimisers_tell_nothing_and_views_beyond_the_file_are_not_read() -> None:
    net = nn.LSTM(3, 4)
    sgd = torch.optim.SGD(net.parameters(), momentum=0.9)
    huge = torch.zeros(1).expand(2**50)
    made_up: dict[str, Any] = {"state": {0: {"exp_avg_sq": huge, "step": 1}}}
    made_up["param_groups"] = [{"params": [0], "betas": (0.9, 0.99)}]
    others: list[Any] = [sgd.state_dict(), made_up, {"state": {}}, [1], "adam"]
    for state in others:
        content = {
            "state_dict": net.state_dict(),
            "optimizer_states": [state],
            "pytorch-lightning_version": "2.5",
        }
        tensors, said = decode(saved(content), "a.ckpt")
        assert "moment_norm" not in said
        assert tensors
