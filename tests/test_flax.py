"""Parameters of Flax: live, in its msgpack, and flat in the files of others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from conftest import refusal
from lstm_edge.net.reading import as_weights, read_checkpoint
from nets import top_states

jax = pytest.importorskip("jax")
linen = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")
serialization = pytest.importorskip("flax.serialization")
traverse_util = pytest.importorskip("flax.traverse_util")

pytestmark = pytest.mark.integration

SEQUENCE = np.random.default_rng(1).standard_normal((9, 3))
FORMS = ("live", "msgpack", "npz", "safetensors")


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def randomise(tree: Any) -> Any:
    """Make the biases, which begin at zero, tell their places."""
    random = np.random.default_rng(0)
    return jax.tree.map(lambda a: a + 0.1 * random.standard_normal(a.shape), tree)


def write(tree: Any, form: str, folder: Path) -> Any:
    flat = traverse_util.flatten_dict(tree, sep="." if form == "safetensors" else "/")
    arrays = {name: np.asarray(array) for name, array in flat.items()}
    path = folder / f"net.{form}"
    if form == "msgpack":
        path.write_bytes(serialization.to_bytes(tree))
    elif form == "npz":
        np.savez(path, allow_pickle=False, **arrays)
    elif form == "safetensors":
        safetensors.numpy.save_file(arrays, path)
    return tree if form == "live" else path


class Stack(linen.Module):  # type: ignore[misc, name-defined]
    cell: Any
    layers: int = 2

    @linen.compact  # type: ignore[untyped-decorator]
    def __call__(self, x: Any) -> Any:
        for _ in range(self.layers):
            x = linen.RNN(self.cell(4, param_dtype=float))(x)
        return x


CELLS = {
    "OptimizedLSTMCell": "lstm",
    "LSTMCell": "lstm",
    "GRUCell": "gru",
    "SimpleCell": "rnn_tanh",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CELLS)
def test_states_are_those_of_linen(tmp_path: Path, name: str, form: str) -> None:
    net = Stack(getattr(linen, name))
    tree = randomise(net.init(jax.random.key(0), SEQUENCE[None]))
    weights = as_weights(write(tree, form, tmp_path))
    assert (weights.cell, weights.hidden_sizes) == (CELLS[name], (4, 4))
    expected = net.apply(tree, SEQUENCE[None])[0]
    # two orders of adding in float64
    np.testing.assert_allclose(
        top_states(weights, SEQUENCE), expected, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("name", CELLS)
def test_states_are_those_of_nnx(name: str) -> None:
    kind = getattr(nnx, name)
    cell = kind(3, 4, rngs=nnx.Rngs(0), dtype=float, param_dtype=float)
    nnx.update(cell, randomise(nnx.state(cell, nnx.Param)))
    weights = as_weights({"cell": nnx.to_pure_dict(nnx.state(cell, nnx.Param))})
    carry = cell.initialize_carry((3,), nnx.Rngs(0))
    expected = []
    for x in SEQUENCE:
        carry, h = cell(carry, x)
        expected.append(h)
    assert weights.cell == CELLS[name]
    np.testing.assert_allclose(
        top_states(weights, SEQUENCE), np.array(expected), rtol=0, atol=1e-12
    )


class Classifier(linen.Module):  # type: ignore[misc, name-defined]
    @linen.compact  # type: ignore[untyped-decorator]
    def __call__(self, tokens: Any) -> Any:
        x = linen.Embed(7, 3, name="words")(tokens)
        return linen.Dense(5, name="answer")(linen.RNN(linen.GRUCell(4))(x))


@pytest.mark.parametrize("form", FORMS)
def test_embedding_and_readout_are_found(tmp_path: Path, form: str) -> None:
    tree = randomise(Classifier().init(jax.random.key(0), np.zeros((1, 5), int)))
    weights = as_weights(write(tree, form, tmp_path))
    answer = tree["params"]["answer"]
    assert weights.readout is not None
    np.testing.assert_array_equal(weights.readout[0], answer["kernel"].T)
    np.testing.assert_array_equal(weights.readout[1], answer["bias"])
    assert weights.embedding is not None
    np.testing.assert_array_equal(
        weights.embedding, tree["params"]["words"]["embedding"]
    )


def test_the_step_of_a_train_state_is_its_update(tmp_path: Path) -> None:
    optax = pytest.importorskip("optax")
    train_state = pytest.importorskip("flax.training.train_state")
    net = Stack(linen.GRUCell)
    params = net.init(jax.random.key(0), SEQUENCE[None])["params"]
    state = train_state.TrainState.create(
        apply_fn=net.apply, params=params, tx=optax.adam(0.1)
    )
    state = state.apply_gradients(grads=params)
    path = tmp_path / "state.msgpack"
    path.write_bytes(serialization.to_bytes(state))
    weights = read_checkpoint(path)
    assert weights.metadata["update"] == "1"
    assert weights.digest == as_weights(state.params).digest


def test_bfloat16_is_widened_exactly(tmp_path: Path) -> None:
    tree = Stack(linen.LSTMCell).init(jax.random.key(0), SEQUENCE[None])
    half = jax.tree.map(lambda a: a.astype("bfloat16"), tree)
    exact = jax.tree.map(lambda a: np.asarray(a, np.float32), half)
    assert as_weights(half).digest == as_weights(exact).digest
    path = write(half, "msgpack", tmp_path)
    assert as_weights(path).digest == as_weights(exact).digest


def test_relu_is_chosen_by_the_user() -> None:
    tree = Stack(linen.SimpleCell, layers=1).init(jax.random.key(0), SEQUENCE[None])
    assert as_weights(tree, module="SimpleCell_0 (relu)").cell == "rnn_relu"


def cell_of(tree: Any) -> Any:
    return tree["params"]["LSTMCell_0"]


@pytest.mark.parametrize(
    ("part", "kind", "shape", "says"),
    [
        ("ig", "kernel", (3, 5), "ig/kernel' has shape (3, 5), expected (inputs, 4)"),
        ("hf", "kernel", (4, 5), "hf/kernel' has shape (4, 5), expected (4, 4)"),
        ("hi", "kernel", (4,), "has shape"),
        ("ho", "bias", (5,), "ho/bias' has shape (5,), expected (4,)"),
    ],
)
def test_wrong_shapes_are_named(
    tmp_path: Path, part: str, kind: str, shape: tuple[int, ...], says: str
) -> None:
    tree = Stack(linen.LSTMCell, layers=1).init(jax.random.key(0), SEQUENCE[None])
    cell_of(tree)[part][kind] = np.zeros(shape)
    assert says in refusal(write(tree, "npz", tmp_path))


def test_a_missing_gate_is_named() -> None:
    tree = Stack(linen.LSTMCell, layers=1).init(jax.random.key(0), SEQUENCE[None])
    del cell_of(tree)["ho"]
    assert "has no kernel 'ho'" in refusal(tree)


def test_minimal_gated_units_are_refused() -> None:
    tree = Stack(linen.MGUCell, layers=1).init(jax.random.key(0), SEQUENCE[None])
    assert "has the gates of another cell" in refusal(tree)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        b"\x81\xa1a\xc7\x04\x01\x93\x90\xa2f8\xc4\x00",
        serialization.msgpack_serialize({"a": {"i": {"kernel": np.zeros(2)}}})[:-9],
        b"\x91" * 5000,
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.msgpack").write_bytes(content)
    assert str(tmp_path) in refusal(tmp_path / "a.msgpack")


def test_a_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.msgpack").write_bytes(b"\x90")
    assert "expected parameters by name, found list" in refusal(tmp_path / "a.msgpack")


def test_an_array_that_declares_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    whole = serialization.msgpack_serialize({"a": np.zeros(3)})
    lying = whole.replace(b"\x91\x03", b"\x91\x7f")
    assert lying != whole
    (tmp_path / "a.msgpack").write_bytes(lying)
    assert "an array of float64 that is none" in refusal(tmp_path / "a.msgpack")


def test_without_msgpack_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.msgpack").write_bytes(b"\x80")
    monkeypatch.setitem(sys.modules, "msgpack", None)
    assert "pip install 'lstm-edge[flax]'" in refusal(tmp_path / "a.msgpack")
