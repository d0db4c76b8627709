"""Files that Keras wrote, and live models of it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lstm_edge
from conftest import refusal
from lstm_edge.errors import CheckpointError, UsageError
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.files.formats import read_tensors
from lstm_edge.files.hdf5 import read_hdf5
from lstm_edge.net.reading import as_weights
from nets import top_states

os.environ.setdefault("KERAS_BACKEND", "torch")
h5py = pytest.importorskip("h5py")
keras = pytest.importorskip("keras")
layers = keras.layers

pytestmark = [
    pytest.mark.integration,
    # of Keras' own Variable.numpy
    pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning"),
]

FILES = ("net.keras", "net.weights.h5", "net.h5")


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    keras.utils.set_random_seed(0)
    keras.config.set_floatx("float64")  # of the inputs too
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def net(*parts: Any, inputs: int = 3) -> Any:
    return keras.Sequential([keras.Input((None, inputs), dtype="float64"), *parts])


def randomise(model: Any) -> Any:
    """Make the biases, which begin at zero, tell their places."""
    random = np.random.default_rng(0)
    model.set_weights(
        [w + 0.1 * random.standard_normal(w.shape) for w in model.get_weights()]
    )
    return model


def write(model: Any, path: Path) -> Path:
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)
    return path


IN_TORCH = 1e-12
"""Two orders of adding in float64; PyTorch steps its own LSTM and GRU."""

IN_KERAS = 1e-6
"""Keras multiplies matrices in float32, whatever they are."""

SEQUENCE = np.random.default_rng(1).standard_normal((9, 3))

CELLS = {
    "lstm": lambda **o: layers.LSTM(4, return_sequences=True, **o),
    "gru": lambda **o: layers.GRU(4, return_sequences=True, **o),
    "gru_reset_before": lambda **o: layers.GRU(
        4, return_sequences=True, reset_after=False, **o
    ),
    "rnn_tanh": lambda **o: layers.SimpleRNN(4, return_sequences=True, **o),
    "rnn_relu": lambda **o: layers.SimpleRNN(
        4, return_sequences=True, activation="relu", **o
    ),
}


@pytest.mark.parametrize("name", [*FILES, "live"])
@pytest.mark.parametrize("cell", CELLS)
def test_states_are_those_of_keras(tmp_path: Path, cell: str, name: str) -> None:
    model = randomise(net(CELLS[cell](), layers.Dropout(0.5), CELLS[cell]()))
    source = model if name == "live" else write(model, tmp_path / name)
    module = "(relu)" if name == "net.weights.h5" and cell == "rnn_relu" else None
    weights = as_weights(source, module=module)
    assert (weights.cell, weights.hidden_sizes) == (cell, (4, 4))
    expected = model.predict(SEQUENCE[None], verbose=0)[0]
    tolerance = IN_TORCH if cell in ("lstm", "gru") else IN_KERAS
    np.testing.assert_allclose(
        top_states(weights, SEQUENCE), expected, rtol=0, atol=tolerance
    )


@pytest.mark.parametrize("name", [*FILES, "live"])
def test_each_direction_is_a_net(tmp_path: Path, name: str) -> None:
    inner = layers.GRU(4, return_sequences=True)
    model = randomise(net(layers.Bidirectional(inner, merge_mode=None, name="both")))
    source = model if name == "live" else write(model, tmp_path / name)
    forward, backward = model.predict(SEQUENCE[None], verbose=0)
    for module, sequence, expected in (
        ("both (forward)", SEQUENCE, forward[0]),
        ("both (backward)", SEQUENCE[::-1], backward[0, ::-1]),
    ):
        weights = as_weights(source, module=module)
        np.testing.assert_allclose(
            top_states(weights, sequence), expected, rtol=0, atol=IN_TORCH
        )


@pytest.mark.parametrize("name", [*FILES, "live"])
def test_cells_stacked_in_one_layer(tmp_path: Path, name: str) -> None:
    cells = [layers.LSTMCell(n) for n in (4, 5)]
    model = randomise(net(layers.RNN(cells, return_sequences=True)))
    weights = as_weights(model if name == "live" else write(model, tmp_path / name))
    assert weights.hidden_sizes == (4, 5)
    expected = model.predict(SEQUENCE[None], verbose=0)[0]
    np.testing.assert_allclose(
        top_states(weights, SEQUENCE), expected, rtol=0, atol=IN_KERAS
    )


def classifier() -> Any:
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(7, 3, name="words"),
            layers.LSTM(4, return_sequences=True, name="lower"),
            layers.LSTM(5, name="upper"),
            layers.Dense(2, name="answer"),
        ]
    )


@pytest.mark.parametrize("name", [*FILES, "live"])
def test_embedding_and_readout_are_found(tmp_path: Path, name: str) -> None:
    model = randomise(classifier())
    weights = as_weights(model if name == "live" else write(model, tmp_path / name))
    kernel, bias = model.get_layer("answer").get_weights()
    assert weights.readout is not None
    assert weights.embedding is not None
    np.testing.assert_array_equal(weights.readout[0], kernel.T)
    np.testing.assert_array_equal(weights.readout[1], bias)
    np.testing.assert_array_equal(weights.embedding, model.get_weights()[0])
    assert as_weights(model, module="lower").digest == weights.digest


@pytest.mark.parametrize("name", [*FILES, "live"])
def test_biases_may_be_absent(tmp_path: Path, name: str) -> None:
    model = net(layers.LSTM(4, use_bias=False))
    weights = as_weights(model if name == "live" else write(model, tmp_path / name))
    assert not weights.layers[0].bias_ih.any()


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "live"])
@pytest.mark.parametrize("between", [layers.Dense(4), layers.LayerNormalization()])
def test_what_lies_between_layers_parts_them(
    tmp_path: Path, name: str, between: Any
) -> None:
    model = net(layers.LSTM(4, return_sequences=True), between, layers.LSTM(4))
    source = model if name == "live" else write(model, tmp_path / name)
    assert "expected one recurrent module, found 2" in refusal(source)
    upper = model.layers[-1].name
    assert as_weights(source, module=upper).input_size == 4


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "live"])
def test_a_decoder_that_begins_with_the_encoders_state_is_a_net_of_its_own(
    tmp_path: Path, name: str
) -> None:
    first = keras.Input((None, 4), dtype="float64")
    second = keras.Input((None, 4), dtype="float64")
    _, h, c = layers.LSTM(4, return_state=True, name="encoder")(first)
    decoded = layers.LSTM(4, name="decoder")(second, initial_state=[h, c])
    model = keras.Model([first, second], layers.Dense(2)(decoded))
    source = model if name == "live" else write(model, tmp_path / name)
    assert "expected one recurrent module, found 2" in refusal(source)


def test_models_inside_models(tmp_path: Path) -> None:
    lower = net(layers.LSTM(4, return_sequences=True, name="lower"))
    model = net(lower, layers.GRU(5, name="upper"))
    for name in FILES:
        path = write(model, tmp_path / name)
        assert as_weights(path, module="lower").hidden_sizes == (4,)
        assert as_weights(path, module="upper").cell == "gru"


def test_files_of_older_releases_do_not_name_their_groups(tmp_path: Path) -> None:
    path = write(randomise(classifier()), tmp_path / "new.keras")
    expected = as_weights(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        file.visititems(lambda _, item: item.attrs.clear())
    members["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(tmp_path / "old.keras", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert as_weights(tmp_path / "old.keras").digest == expected.digest
    (tmp_path / "old.weights.h5").write_bytes(members["model.weights.h5"])
    assert as_weights(tmp_path / "old.weights.h5").digest == expected.digest


@pytest.mark.parametrize("name", FILES)
def test_bfloat16_is_widened_exactly(tmp_path: Path, name: str) -> None:
    exact = net(layers.GRU(4)).get_weights()
    keras.config.set_dtype_policy("bfloat16")
    gru = layers.GRU(4, recurrent_initializer="zeros")
    model = keras.Sequential([keras.Input((None, 3)), gru])
    model.set_weights(exact)
    half = [np.asarray(w, np.float32) for w in model.get_weights()]
    keras.config.set_dtype_policy("float32")
    single = keras.Sequential([keras.Input((None, 3)), layers.GRU(4)])
    single.set_weights(half)
    expected = as_weights(single)
    assert as_weights(model).digest == expected.digest
    assert as_weights(write(model, tmp_path / name)).digest == expected.digest


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (layers.LSTM(4, activation="elu", name="odd"), "activation elu"),
        (layers.GRU(4, recurrent_activation="selu"), "recurrent_activation selu"),
        (layers.SimpleRNN(4, activation="softplus"), "activation softplus"),
        (layers.Bidirectional(layers.LSTM(4, activation="elu")), "activation elu"),
    ],
)
@pytest.mark.parametrize("name", ["net.keras", "net.h5", "live"])
def test_other_functions_are_refused(
    tmp_path: Path, layer: Any, says: str, name: str
) -> None:
    model = net(layer.__class__.from_config(layer.get_config()))
    message = refusal(model if name == "live" else write(model, tmp_path / name))
    assert f"' has {says}, expected one of tanh, sigmoid, hard_sigmoid" in message


UNUSUAL = {
    "lstm": lambda: layers.LSTM(
        4, activation="relu", recurrent_activation="hard_sigmoid", return_sequences=True
    ),
    "gru": lambda: layers.GRU(4, activation="sigmoid", return_sequences=True),
    "gru_reset_before": lambda: layers.GRU(
        4,
        activation=None,
        recurrent_activation="tanh",
        reset_after=False,
        return_sequences=True,
    ),
    "rnn_linear": lambda: layers.SimpleRNN(4, activation=None, return_sequences=True),
    "rnn_hard_sigmoid_6": lambda: layers.SimpleRNN(
        4, activation="hard_sigmoid", return_sequences=True
    ),
    "lstm cell": lambda: layers.RNN(
        layers.LSTMCell(4, activation="relu"), return_sequences=True
    ),
    "gru cells": lambda: layers.RNN(
        [layers.GRUCell(3), layers.GRUCell(4, recurrent_activation="relu")],
        return_sequences=True,
    ),
}


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "live"])
@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_functions_give_the_states_of_keras(
    tmp_path: Path, kind: str, name: str
) -> None:
    model = randomise(net(UNUSUAL[kind]()))
    source = model if name == "live" else write(model, tmp_path / name)
    module = None
    if kind == "gru cells":  # of unlike functions, so two nets
        assert "found 2" in refusal(source)
        return
    weights = as_weights(source, module=module)
    assert weights.cell == kind.partition(" ")[0]
    expected = model.predict(SEQUENCE[None], verbose=0)[0]
    walk = lstm_edge.orbit(
        weights, SEQUENCE[None], steps=len(SEQUENCE), starts=1, dtype="float64"
    )
    np.testing.assert_allclose(walk.hidden[0], expected, rtol=0, atol=IN_KERAS)


def test_the_hard_sigmoid_of_older_releases_is_steeper(tmp_path: Path) -> None:
    layer = layers.LSTM(4, recurrent_activation="hard_sigmoid")
    path = write(net(layer), tmp_path / "net.h5")
    assert as_weights(path).functions == ("tanh", "hard_sigmoid_6")
    alone = write(net(layer), tmp_path / "alone.weights.h5")
    (tmp_path / "alone.json").write_text(net(layer).to_json())  # without a version
    assert as_weights(alone).functions == ("tanh", "hard_sigmoid_6")
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = "2.4.3"
    assert as_weights(path).functions == ("tanh", "hard_sigmoid")


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "softmax"])
@pytest.mark.parametrize("name", ["net.keras", "net.h5", "live"])
def test_a_head_that_is_not_linear_is_no_readout(
    tmp_path: Path, name: str, activation: str
) -> None:
    for head in (
        [layers.Dense(3, activation=activation)],
        [layers.Dense(4, activation=activation), layers.Dense(3)],
        [layers.Dense(4), layers.Dense(3)],
    ):
        model = net(layers.LSTM(4), *head)
        source = model if name == "live" else write(model, tmp_path / name)
        assert as_weights(source).readout is None
        with pytest.raises(UsageError, match="closed_loop needs a linear readout"):
            lstm_edge.lyapunov(source, closed_loop=True)


def test_weights_without_a_configuration_tell_what_is_assumed(tmp_path: Path) -> None:
    model = net(
        layers.LSTM(4, activation="relu", name="deep"), layers.Dense(3, name="out")
    )
    path = write(model, tmp_path / "net.weights.h5")
    assert as_weights(path).assumed.startswith(
        "deep: the file holds no configuration, so that tanh, and sigmoid of the "
        "gates, and a linear out are assumed"
    )
    chosen = as_weights(path, module="deep (relu, gates hard_sigmoid)")
    assert (chosen.functions, chosen.assumed) == (("relu", "hard_sigmoid"), "")
    (tmp_path / "net.json").write_text(model.to_json())
    found = as_weights(path)
    assert (found.functions, found.assumed) == (("relu", "sigmoid"), "")


def test_other_json_beside_the_weights_is_passed_over(tmp_path: Path) -> None:
    model = net(layers.LSTM(4, activation="relu"))
    path = write(model, tmp_path / "net.weights.h5")
    (tmp_path / "broken.json").write_text('{"class_name": "config", "config"')
    (tmp_path / "vocabulary.json").write_text('{"a": 1}')
    assert as_weights(path).functions == ("tanh", "sigmoid")
    (tmp_path / "model.json").write_text(model.to_json())
    assert as_weights(path).functions == ("relu", "sigmoid")


def test_layers_above_one_another_by_their_names_are_a_guess(tmp_path: Path) -> None:
    model = net(layers.GRU(4, return_sequences=True), layers.GRU(4))
    path = write(model, tmp_path / "net.weights.h5")
    stack = as_weights(path)
    assert stack.hidden_sizes == (4, 4)
    assert "taken as layers upon one another, by their names" in stack.assumed
    lowest = stack.assumed.rpartition("--module '")[2].rstrip("'")
    alone = as_weights(path, module=lowest)
    assert (alone.hidden_sizes, alone.assumed) == ((4,), "")
    (path.parent / "net.json").write_text(model.to_json())
    assert as_weights(path).assumed == ""


def test_a_configuration_without_the_layer_is_refused(tmp_path: Path) -> None:
    path = write(net(layers.LSTM(4, name="mine")), tmp_path / "net.h5")
    with h5py.File(path, "r+") as file:
        config = file.attrs["model_config"].replace("mine", "other")
        file.attrs["model_config"] = config
    assert "is not in the model's configuration" in refusal(path)


def cudnn(kernel: Any, inner: Any, bias: Any) -> dict[str, Any]:
    """Bring the arrays of an LSTM or a GRU into the layout of CuDNN, as Keras 2 does.

    From keras/saving/legacy/hdf5_format.py: blocks transposed, inputs in Fortran order.
    """
    gates = kernel.shape[1] // inner.shape[0]
    rows = [k.T.reshape(k.shape, order="C") for k in np.hsplit(kernel, gates)]
    return {
        "kernel:0": np.hstack(rows),
        "recurrent_kernel:0": np.hstack([k.T for k in np.hsplit(inner, gates)]),
        "bias:0": np.tile(0.5 * bias, 2) if gates == 4 else bias.reshape(-1),
    }


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_the_layout_of_cudnn(tmp_path: Path, kind: str) -> None:
    layer = getattr(layers, kind)(4, return_sequences=True)
    model = randomise(net(layer))
    arrays = [np.asarray(w, np.float64) for w in layer.get_weights()]
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["keras_version"] = "2.1.5"
        group = file.create_group("rnn_1/rnn_1")
        for name, array in cudnn(*arrays).items():
            group[name] = array
    weights = as_weights(tmp_path / "old.h5")
    expected = model.predict(SEQUENCE[None], verbose=0)[0]
    np.testing.assert_allclose(
        top_states(weights, SEQUENCE), expected, rtol=0, atol=IN_KERAS
    )
    assert weights.assumed == ""  # CuDNN has no other functions


def damaged(tmp_path: Path, change: Any, name: str = "a.weights.h5") -> Path:
    path = write(net(layers.GRU(4)), tmp_path / name)
    with h5py.File(path, "r+") as file:
        change(file["layers/gru/cell/vars"])
    return path


def replace_array(number: str, shape: tuple[int, ...]) -> Any:
    def change(group: Any) -> None:
        del group[number]
        group[number] = np.zeros(shape)

    return change


@pytest.mark.parametrize(
    ("number", "shape", "says"),
    [
        ("0", (3, 13), "vars/0' has shape (3, 13), expected (inputs, 12)"),
        ("0", (12,), "vars/0' has shape (12,), expected (inputs, 12)"),
        ("2", (12, 2), "vars/2' has shape (12, 2), expected (12,) or (2, 12)"),
        (
            "1",
            (4, 9),
            "vars/1' has shape (4, 9), expected (H, 4 * H) or (H, 3 * H) or (H, H)",
        ),
    ],
)
def test_wrong_shapes_are_named(
    tmp_path: Path, number: str, shape: tuple[int, ...], says: str
) -> None:
    path = damaged(tmp_path, replace_array(number, shape))
    assert says in refusal(path)


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    path = damaged(tmp_path, lambda group: group.__delitem__("1"))
    assert "'layers/gru/cell' has no recurrent_kernel" in refusal(path)


def test_nothing_outside_the_file_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(96))

    def soft(group: Any) -> None:
        group["3"] = h5py.SoftLink("/layers/gru/cell/vars/0")

    def far(group: Any) -> None:
        group["3"] = h5py.ExternalLink("other.h5", "/")

    def raw(group: Any) -> None:
        group.create_dataset("3", (12,), "f8", external=[(str(secret), 0, 96)])

    def virtual(group: Any) -> None:
        layout = h5py.VirtualLayout((12,), "f8")
        layout[:] = h5py.VirtualSource("other.h5", "/", (12,), "f8")
        group.create_virtual_dataset("3", layout)

    for change, says in (
        (soft, "vars/3' is a link"),
        (far, "vars' is a group of links"),
        (raw, "vars/3' is a group of links, or an external array"),
        (virtual, "vars/3' is compressed, or outside of the file"),
    ):
        assert says in refusal(damaged(tmp_path, change))


def test_arrays_larger_than_the_file_are_refused(tmp_path: Path) -> None:
    def grow(group: Any) -> None:
        group.create_dataset("3", (2**40,), "f8", chunks=(2**10,))

    assert "expected arrays in one piece" in refusal(damaged(tmp_path, grow))
    path = damaged(tmp_path, lambda _: None)
    data, size = path.read_bytes(), np.array([3, 12], "<u8").tobytes()
    assert data.count(size) >= 1
    path.write_bytes(data.replace(size, np.array([3, 2**40], "<u8").tobytes()))
    assert "declares shape (3, 1099511627776), " in refusal(path)


@pytest.mark.parametrize("name", ["net.weights.h5", "net.h5"])
def test_arrays_and_attributes_are_those_that_h5py_reads(
    tmp_path: Path, name: str
) -> None:
    many = [layers.Dense(n % 7 + 1, name=f"layer{n}") for n in range(200)]
    path = write(net(layers.LSTM(4), *many), tmp_path / name)
    arrays, attributes = read_hdf5(path.read_bytes(), name)
    expected: dict[str, Any] = {}
    texts: dict[tuple[str, str], str] = {}

    def visit(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            expected[path] = item[()]
        for key, value in item.attrs.items():
            if isinstance(value, str):
                texts[path, key] = value

    with h5py.File(path) as file:
        visit("", file)
        file.visititems(visit)
    assert len(expected) > 400
    assert arrays.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(arrays[key], value)
    assert texts
    for (group, key), text in texts.items():
        assert attributes[group][key] == text


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u2", "i8"])
def test_numbers_of_every_type(tmp_path: Path, dtype: str) -> None:
    values = np.arange(6, dtype=dtype).reshape(2, 3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"], file["scalar"] = values, values[1, 2]
        file["text"], file["big"] = "a text", values.astype(f">{dtype}")
    arrays, _ = read_hdf5((tmp_path / "a.h5").read_bytes(), "a.h5")
    assert arrays["a"].dtype == dtype
    np.testing.assert_array_equal(arrays["a"], values)
    assert arrays["scalar"] == 5
    assert "text" not in arrays


def test_files_in_a_newer_layout_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file["a"] = np.zeros(3)
    assert "a newer layout than h5py writes" in refusal(tmp_path / "a.h5")


@pytest.mark.parametrize("name", ["net.weights.h5", "net.h5"])
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_damage_never_raises_anything_else(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(as_bytes(name))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage") / name
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(CheckpointError):
        as_weights(path)


@cache
def as_bytes(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write(net(layers.GRU(4)), Path(folder) / name).read_bytes()


def test_a_group_that_contains_itself_ends(tmp_path: Path) -> None:
    def loop(group: Any) -> None:
        group["again"] = group

    assert as_weights(damaged(tmp_path, loop)).cell == "gru"


def test_archives_without_weights(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({}))
    assert "not a sound .keras file" in refusal(tmp_path / "a.keras")


def test_nothing_of_keras_is_needed_to_read_its_files(tmp_path: Path) -> None:
    path = write(net(layers.LSTM(4)), tmp_path / "a.keras")
    script = (
        f"import sys, lstm_edge; lstm_edge.as_weights({str(path)!r}); "
        "sys.exit(any(name in sys.modules for name in ('h5py', 'keras', 'torch')))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_folder_of_weights_in_keras_own_naming(tmp_path: Path) -> None:
    for epoch in (1, 2, 10):
        write(net(layers.LSTM(4)), tmp_path / f"weights.{epoch:02}-0.25.weights.h5")
    assert [file.update for file in find_checkpoints(tmp_path)] == [1, 2, 10]


def test_optimiser_states_are_passed_over(tmp_path: Path) -> None:
    model = net(layers.LSTM(4), layers.Dense(2))
    model.compile("adam", "mse")
    model.fit(np.zeros((1, 2, 3)), np.zeros((1, 2)), verbose=0)
    for name in FILES:
        found, _ = read_tensors(write(model, tmp_path / name))
        assert len(found) == 6


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_the_names_of_keras_1(tmp_path: Path, kind: str) -> None:
    gates = {"LSTM": "ifco", "GRU": "zrh", "SimpleRNN": ""}[kind]
    options: dict[str, Any] = {"reset_after": False} if kind == "GRU" else {}
    layer = getattr(layers, kind)(4, return_sequences=True, **options)
    model = randomise(net(layer))
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["keras_version"] = "1.2.2"
        group = file.create_group("rnn_1")
        for letter, array in zip("WUb", layer.get_weights(), strict=True):
            blocks = np.split(array, len(gates) or 1, axis=-1)
            for gate, block in zip(gates or [""], blocks, strict=True):
                group[f"rnn_1_{letter}{'_' * bool(gate)}{gate}:0"] = block
    weights = as_weights(
        tmp_path / "old.h5", module="(gates sigmoid)" if gates else None
    )
    expected = model.predict(SEQUENCE[None], verbose=0)[0]
    np.testing.assert_allclose(
        top_states(weights, SEQUENCE), expected, rtol=0, atol=IN_KERAS
    )
    if gates:  # as Keras 1 took it
        assert as_weights(tmp_path / "old.h5").functions == ("tanh", "hard_sigmoid")


@pytest.mark.parametrize("upper", ["relu", "tanh"])
def test_layers_that_are_joined_have_one_function(tmp_path: Path, upper: str) -> None:
    first = layers.LSTM(4, activation="relu", return_sequences=True, name="a")
    second = layers.LSTM(4, activation=upper, name="b")
    model = net(first, layers.LayerNormalization(), second)
    path = write(model, tmp_path / "net.keras")
    if upper == "relu":
        assert as_weights(path, module="a,b").functions == ("relu", "sigmoid")
    else:
        assert "found activation relu and unsaid" in refusal(path, "a,b")
