from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conftest import Arrays, make_arrays, refusal
from lstm_edge.errors import CheckpointError
from lstm_edge.files.guard import flatten
from lstm_edge.net.assemble import assemble
from lstm_edge.net.reading import as_weights, read_checkpoint


class Model(nn.Module):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        self.lstm = nn.LSTM(4, 6, **kwargs)
        self.head = nn.Linear(6, 2)


def test_arrays_keep_values_sizes_and_order(tiny_weights: Arrays) -> None:
    weights = as_weights(tiny_weights)
    assert weights.cell == "lstm"
    assert weights.hidden_sizes == (5, 3)
    assert weights.input_size == 4
    assert weights.state_size == 16
    for index, layer in enumerate(weights.layers):
        for kind, array in layer.arrays().items():
            np.testing.assert_array_equal(array, tiny_weights[f"{kind}_l{index}"])
            assert array.flags.c_contiguous
    assert weights.readout is not None
    np.testing.assert_array_equal(weights.readout[1], tiny_weights["readout_bias"])
    assert as_weights(weights) is weights


def test_module_state_dict_and_nested_checkpoint_agree(tmp_path: Path) -> None:
    model = Model()
    weights = as_weights(model)
    assert as_weights(model.state_dict()).digest == weights.digest
    optimizer = torch.optim.Adam(model.parameters())
    torch.autograd.backward(model.lstm(torch.zeros(3, 1, 4))[0].sum())
    optimizer.step()
    content = {
        "epoch": 3,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    torch.save(content, tmp_path / "full.pt")
    assert read_checkpoint(tmp_path / "full.pt").digest == as_weights(model).digest
    assert read_checkpoint(tmp_path / "full.pt").metadata["epoch"] == "3"


def test_weights_are_a_copy() -> None:
    lstm = nn.LSTM(2, 3)
    weights = as_weights(lstm)
    before = weights.layers[0].weight_hh.copy()
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(weights.layers[0].weight_hh, before)


def test_linear_layer_on_top_is_the_readout() -> None:
    model = Model()
    readout = as_weights(model).readout
    assert readout is not None
    np.testing.assert_array_equal(readout[0], model.head.weight.detach().numpy())


def test_readout_is_none_where_it_is_ambiguous() -> None:
    model = Model()
    model.second = nn.Linear(6, 6)
    assert as_weights(model).readout is None
    model.readout = nn.Linear(6, 3, bias=False)
    readout = as_weights(model).readout
    assert readout is not None
    np.testing.assert_array_equal(readout[1], np.zeros(3))


def test_absent_biases_are_zeros() -> None:
    layer = as_weights(nn.LSTM(2, 3, bias=False)).layers[0]
    np.testing.assert_array_equal(layer.bias_ih, np.zeros(12))
    np.testing.assert_array_equal(layer.bias_hh, np.zeros(12))


@pytest.mark.parametrize("prefix", ["", "lstm.", "module.encoder.rnn.", "lstm_"])
def test_prefix_does_not_matter(
    make_weights: Callable[..., Arrays], prefix: str
) -> None:
    bare, named = make_weights(), make_weights(prefix=prefix)
    assert as_weights(named).digest == as_weights(bare).digest


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", ">f8"])
def test_floats_are_native_and_at_least_float32(
    tiny_weights: Arrays, dtype: str
) -> None:
    given_arrays = {k: v.astype(dtype) for k, v in tiny_weights.items()}
    weights = as_weights(given_arrays)
    assert weights.dtype == (np.float64 if dtype in ("float64", ">f8") else np.float32)
    assert weights.dtype.isnative
    np.testing.assert_array_equal(
        weights.layers[1].weight_hh, given_arrays["weight_hh_l1"]
    )


def test_digest_sees_values_shapes_types_and_readout(tiny_weights: Arrays) -> None:
    digests = {as_weights(tiny_weights).digest}
    for name in ("weight_ih_l0", "bias_hh_l1", "readout_bias"):
        changed = {k: v.copy() for k, v in tiny_weights.items()}
        changed[name].flat[0] = np.nextafter(changed[name].flat[0], np.float32(9))
        digests.add(as_weights(changed).digest)
    double = {k: v.astype(np.float64) for k, v in tiny_weights.items()}
    digests.add(as_weights(double).digest)
    bare = {k: v for k, v in tiny_weights.items() if not k.startswith("readout")}
    digests.add(as_weights(bare).digest)
    assert len(digests) == 6


def test_several_modules_are_listed_and_chosen() -> None:
    model = nn.ModuleDict({"encoder": nn.LSTM(2, 3), "decoder": nn.LSTM(3, 4)})
    message = refusal(model)
    assert "'encoder', 'decoder'" in message
    assert "module=" in message
    assert as_weights(model, module="decoder").hidden_sizes == (4,)
    assert "named 'third'" in refusal(model, "third")
    assert as_weights({"state": model.state_dict()}, module="encoder").input_size == 2


def test_module_chooses_between_lstm_and_gru() -> None:
    model = nn.ModuleDict({"a": nn.LSTM(2, 3), "b": nn.GRU(3, 4)})
    assert as_weights(model, module="a").cell == "lstm"
    assert as_weights(model, module="b").cell == "gru"


@pytest.mark.parametrize(
    ("module", "cell", "state_sizes"),
    [
        (nn.LSTM(2, 3, 2), "lstm", (3, 3, 3, 3)),
        (nn.LSTM(2, 5, 2, proj_size=3), "lstm", (3, 5, 3, 5)),
        (nn.GRU(2, 3, 2), "gru", (3, 0, 3, 0)),
        (nn.RNN(2, 3, 2), "rnn_tanh", (3, 0, 3, 0)),
        (nn.RNN(2, 3, 2, nonlinearity="relu"), "rnn_relu", (3, 0, 3, 0)),
        (nn.LSTMCell(2, 3), "lstm", (3, 3)),
        (nn.GRUCell(2, 3), "gru", (3, 0)),
        (nn.RNNCell(2, 3), "rnn_tanh", (3, 0)),
        (nn.RNNCell(2, 3, bias=False, nonlinearity="relu"), "rnn_relu", (3, 0)),
    ],
)
def test_cell_follows_from_the_module(
    module: nn.Module, cell: str, state_sizes: tuple[int, ...]
) -> None:
    for obj in (module, nn.ModuleDict({"net": module, "head": nn.Linear(3, 2)})):
        weights = as_weights(obj)
        assert weights.cell == cell
        assert weights.state_sizes == state_sizes
        assert weights.state_size == sum(state_sizes)


def test_words_in_brackets_and_metadata_decide_what_shapes_leave_open() -> None:
    rnn, gru = nn.RNN(2, 3).state_dict(), nn.GRU(2, 3).state_dict()
    assert as_weights(rnn).cell == "rnn_tanh"
    assert as_weights(rnn, module="(relu)").cell == "rnn_relu"
    assert as_weights(gru, module="(reset before)").cell == "gru_reset_before"
    assert as_weights(nn.RNN(2, 3, nonlinearity="relu"), module="(tanh)").cell == (
        "rnn_tanh"
    )
    two = {"a": rnn, "b": gru}
    assert as_weights(two, module="a (relu)").cell == "rnn_relu"
    said = {"nonlinearity": "relu", "b.reset_after": "False"}
    assert assemble(flatten(two), said, "file", "a").cell == "rnn_relu"
    assert assemble(flatten(two), said, "file", "b").cell == "gru_reset_before"
    digests = {as_weights(rnn, module=m).digest for m in (None, "(tanh)", "(relu)")}
    assert len(digests) == 2


def test_words_that_do_not_fit_the_cell_are_refused() -> None:
    gru = nn.GRU(2, 3)
    assert "of an RNN for relu" in refusal(nn.RNN(2, 3), "(gates relu)")
    projected = nn.LSTM(2, 5, proj_size=3)
    assert "expected (4 * H, H)" in refusal(projected, "(reset before)")
    assert as_weights(gru, module="(relu)").functions == ("relu", "sigmoid")
    assert "found relu and tanh" in refusal(nn.RNN(2, 3), "(relu, tanh)")
    assert "found 0" in refusal(gru, "(sideways)")
    with pytest.raises(CheckpointError, match="relu, linear, found gelu"):
        assemble(nn.RNN(2, 3).state_dict(), {"nonlinearity": "gelu"}, "file")


@pytest.mark.parametrize("options", [{}, {"proj_size": 2}])
def test_each_direction_is_a_net_of_its_own(options: Any) -> None:
    lstm = nn.LSTM(4, 3, bidirectional=True, **options)
    message = refusal(nn.ModuleDict({"lstm": lstm}))
    assert "each direction of a bidirectional net is a map of its own" in message
    assert "'lstm (forward)', 'lstm (backward)'" in message
    for place, end in (("forward", ""), ("backward", "_reverse")):
        weights = as_weights(nn.ModuleDict({"lstm": lstm}), module=f"lstm ({place})")
        expected = lstm.state_dict()[f"weight_hh_l0{end}"]
        np.testing.assert_array_equal(weights.layers[0].weight_hh, expected)


def test_layers_of_a_bidirectional_net_are_chosen_one_by_one() -> None:
    gru = nn.GRU(4, 3, 2, bidirectional=True)
    assert "'(backward, layer 1)'" in refusal(gru, "(backward)")
    weights = as_weights(gru, module="(backward, layer 1)")
    expected = gru.state_dict()["weight_ih_l1_reverse"]
    np.testing.assert_array_equal(weights.layers[0].weight_ih, expected)
    assert weights.input_size == 6  # both directions of the layer below


def test_projection_is_the_modules() -> None:
    lstm = nn.LSTM(2, 5, 2, proj_size=3)
    layers = as_weights(lstm).layers
    assert as_weights(lstm).architecture == "lstm 2 -> 5 -> 3 -> 5 -> 3"
    assert [layer.hidden_size for layer in layers] == [5, 5]
    assert [layer.output_size for layer in layers] == [3, 3]
    assert layers[1].weight_hr is not None
    np.testing.assert_array_equal(
        layers[1].weight_hr, lstm.state_dict()["weight_hr_l1"]
    )
    state = lstm.state_dict()
    del state["weight_hr_l1"]
    assert "'weight_hr_l1' is missing" in refusal(state)
    state["weight_hr_l1"] = torch.zeros(5, 3)
    assert "expected (P, H) with P < H" in refusal(state)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("layernorm_i.weight", "layer normalisation"),
        ("ln_hh.bias", "layer normalisation"),
        ("weight_ci", "peepholes"),
        ("peephole.weight", "peepholes"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "lstm."])
def test_other_formulas_are_refused(prefix: str, name: str, said: str) -> None:
    arrays = make_arrays(prefix=prefix) | {f"{prefix}{name}": np.ones(5, np.float32)}
    message = refusal(arrays)
    assert f"'{prefix}{name}' belongs to a cell with {said}" in message


def test_normalisation_beside_the_net_is_none_of_its_own() -> None:
    model = nn.ModuleDict({"lstm": nn.LSTM(2, 3), "norm": nn.LayerNorm(3)})
    assert as_weights(model).cell == "lstm"


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (nn.Linear(2, 3), "no LSTM, GRU or RNN found"),
        (nn.LSTM(2, 3, dtype=torch.complex64), "complex64"),
        (nn.LSTM(2, 3, device="meta"), "holds no dense values"),
        ({}, "no LSTM, GRU or RNN found"),
        (3, "found int"),
    ],
)
def test_other_modules_are_refused(module: object, said: str) -> None:
    assert said in refusal(module)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("weight_ih_l0", (20, 0), "(20, input_size)"),
        ("weight_ih_l0", (20,), "(20, input_size)"),
        ("weight_ih_l1", (12, 4), "(12, 5)"),
        ("weight_hh_l1", (12, 5), "(4 * H, H)"),
        ("weight_hh_l1", (0, 0), "(4 * H, H)"),
        ("bias_hh_l1", (13,), "(12,)"),
        ("readout_weight", (4, 9), "(outputs, 3)"),
        ("readout_bias", (5,), "(4,)"),
    ],
)
def test_wrong_shape_names_tensor_expected_and_found(
    tiny_weights: Arrays, name: str, shape: tuple[int, ...], expected: str
) -> None:
    tiny_weights[name] = np.zeros(shape, np.float32)
    message = refusal(tiny_weights)
    assert f"'{name}'" in message
    assert expected in message
    assert str(shape) in message


@pytest.mark.parametrize("name", ["weight_hh_l0", "bias_ih_l1", "weight_ih_l1"])
def test_missing_tensor_is_named(tiny_weights: Arrays, name: str) -> None:
    del tiny_weights[name]
    assert f"'{name}' is missing" in refusal(tiny_weights)


def test_missing_layer_is_named(tiny_weights: Arrays) -> None:
    tiny_weights["weight_ih_l9999"] = tiny_weights["weight_ih_l0"]
    assert "'weight_ih_l2' is missing" in refusal(tiny_weights)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["weight_hh_l1", "bias_ih_l0", "readout_weight"])
def test_non_finite_weights_are_named(
    tiny_weights: Arrays, name: str, bad: float
) -> None:
    tiny_weights[name].flat[2] = bad
    message = refusal(tiny_weights)
    assert f"'{name}' holds 1 NaN or infinite" in message


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, object, complex, "U3"])
def test_other_types_are_refused(tiny_weights: Arrays, dtype: Any) -> None:
    tiny_weights["weight_hh_l0"] = np.zeros((20, 5)).astype(dtype)
    assert "'weight_hh_l0' has type" in refusal(tiny_weights)
