"""What a checkpoint holds, in words and for a script."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import lstm_edge
from lstm_edge import inspect_checkpoint
from lstm_edge.cli import main
from lstm_edge.errors import CheckpointError
from lstm_edge.net.reading import as_weights


class Translator(nn.Module):
    """Several nets, and more than one layer that could be a readout."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.encoder = nn.LSTM(4, 6, 2)
        self.decoder = nn.GRU(4, 5, bidirectional=True)
        self.attention = nn.Linear(6, 6)
        self.answer = nn.Linear(6, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.save(Translator().state_dict(), tmp_path / "net-7.pt")
    return tmp_path / "net-7.pt"


def test_every_net_is_listed_by_the_name_that_chooses_it(path: Path) -> None:
    found = inspect_checkpoint(path)
    assert [net.name for net in found.nets] == [
        "encoder",
        "decoder (forward)",
        "decoder (backward)",
    ]
    for net in found.nets:
        weights = as_weights(path, module=net.name)
        assert net.cell == weights.cell
        assert net.hidden_sizes == weights.hidden_sizes
        assert net.state_size == weights.state_size
        assert net.input_size == weights.input_size
    parameters = list(Translator().parameters())
    assert len(found.tensors) == len(parameters)
    assert found.bytes == sum(4 * p.numel() for p in parameters)
    assert found.tensors["answer.weight"] == ((4, 6), "float32")


def test_analyses_follow_from_readout_and_embedding(path: Path) -> None:
    (encoder, *_) = inspect_checkpoint(path).nets
    assert (encoder.readout, encoder.embedding) == ("", "embedding.weight")
    assert encoder.analyses == ("zero", "constant", "driven", "tokens")
    (encoder, *_) = inspect_checkpoint(path, readout="answer").nets
    assert encoder.readout == "answer.weight"
    assert encoder.analyses[-1] == "closed loop"
    (encoder, *_) = inspect_checkpoint(path, readout="attention.weight").nets
    assert "closed loop" not in encoder.analyses


def test_what_cannot_be_used_says_why(tmp_path: Path) -> None:
    state = Translator().state_dict()
    state["encoder.bias_hh_l1"] = torch.zeros(23)
    torch.save(state, tmp_path / "a.pt")
    found = inspect_checkpoint(tmp_path / "a.pt")
    assert found.nets[0].problem == (
        "tensor 'encoder.bias_hh_l1' has shape (23,), expected (24,)"
    )
    assert found.nets[0].analyses == ()
    assert found.usable
    assert "cannot be used: tensor 'encoder.bias_hh_l1'" in repr(found)


def test_the_command_says_it_in_words(path: Path) -> None:
    done = CliRunner().invoke(main, ["inspect", str(path), "--readout", "answer"])
    assert done.exit_code == 0
    assert "net 'encoder'\n  cell       lstm, 2 layers\n" in done.output
    assert "4 -> 6 -> 6 (inputs -> hidden units), state n = 24" in done.output
    assert "analyses   zero, constant, driven, tokens, closed loop" in done.output
    assert "choose one by its name: --module" in done.output


def test_the_command_says_it_for_a_script(path: Path) -> None:
    done = CliRunner().invoke(main, ["inspect", str(path), "--json"])
    told = json.loads(done.output)
    assert told["nets"][1]["name"] == "decoder (forward)"
    assert told["nets"][1]["cell"] == "gru"
    assert told["tensors"]["answer.bias"] == [[4], "float32"]


def test_metadata_is_shown(tmp_path: Path) -> None:
    saved = {"epoch": 3, "model": nn.RNN(2, 3).state_dict()}
    torch.save(saved, tmp_path / "a.pt")
    found = inspect_checkpoint(tmp_path / "a.pt")
    assert found.metadata == {"epoch": "3"}
    assert repr(found).endswith("metadata: epoch = 3")
    (net,) = found.nets
    assert net.assumed  # a state_dict has no place for it


@pytest.mark.parametrize("both", [False, True])
def test_an_activation_that_is_a_guess_is_said_to_be(
    tmp_path: Path, both: bool
) -> None:
    rnn = nn.RNN(2, 3, nonlinearity="relu", bidirectional=both)
    torch.save(nn.ModuleDict({"rnn": rnn}).state_dict(), tmp_path / "a.pt")
    net = inspect_checkpoint(tmp_path / "a.pt").nets[0]
    assert net.cell == "rnn_tanh"
    name = "rnn (forward, relu)" if both else "rnn (relu)"
    assert (
        "assumed    the files do not say the function of the RNN, tanh is taken; if it "
        f"is relu: --module '{name}'"
    ) in str(net)
    assert as_weights(tmp_path / "a.pt", module=name).cell == "rnn_relu"


def test_an_activation_that_the_file_says_is_no_guess(tmp_path: Path) -> None:
    saved = {"nonlinearity": "tanh", "model": nn.RNN(2, 3).state_dict()}
    torch.save(saved, tmp_path / "a.pt")
    (net,) = inspect_checkpoint(tmp_path / "a.pt").nets
    assert not net.assumed
    assert "cell       rnn_tanh, 1 layer\n" in str(net)


def test_names_to_choose_from_are_those_of_layers(tmp_path: Path) -> None:
    model = nn.ModuleDict({"lstm": nn.LSTM(2, 3), "out": nn.Linear(3, 2)})
    moments = {0: {"exp_avg": torch.zeros(12, 2)}}
    saved = {"model": model.state_dict(), "optimizer": {"state": moments}}
    torch.save(saved, tmp_path / "a.pth.tar")
    with pytest.raises(
        CheckpointError,
        match=r"choose one of model\.out\.weight$",
    ):
        as_weights(tmp_path / "a.pth.tar", readout="x")


def test_a_file_without_a_net_lists_its_tensors(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "a.pt")
    done = CliRunner().invoke(main, ["inspect", str(tmp_path / "a.pt")])
    assert done.exit_code == 1
    assert "no LSTM, GRU or RNN among them:\n  weight (3, 2) float32\n" in done.output


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"PK")
    done = CliRunner().invoke(main, ["inspect", str(tmp_path / "a.pt")])
    assert done.exit_code == 1
    assert done.output.count("\n") == 1


def test_the_exact_name_goes_before_a_longer_one(tmp_path: Path) -> None:
    both = {"lstm": nn.LSTM(2, 3), "encoder": nn.ModuleDict({"lstm": nn.LSTM(2, 4)})}
    net = nn.ModuleDict(both)
    assert as_weights(net, module="lstm").hidden_sizes == (3,)
    assert as_weights(net, module="encoder.lstm").hidden_sizes == (4,)


def test_named_readout_and_embedding(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    chosen = as_weights(
        path, module="encoder", readout="answer.weight", embedding="embedding"
    )
    assert chosen.readout is not None
    assert chosen.embedding is not None
    assert (chosen.readout[0] == state["answer.weight"].numpy()).all()
    assert (chosen.embedding == state["embedding.weight"].numpy()).all()
    model = Translator()
    again = as_weights(model, module="encoder", readout="answer")
    assert again.readout is not None
    assert (again.readout[1] == model.answer.bias.detach().numpy()).all()


def test_a_name_that_there_is_not_lists_those_there_are(path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"readout: expected one tensor named 'x'"
    ):
        as_weights(path, module="encoder", readout="x")
    with pytest.raises(CheckpointError, match=r"choose one of .*attention\.weight"):
        as_weights(path, module="encoder", embedding="x")
    with pytest.raises(CheckpointError, match=r"\(6, 6\), expected \(tokens, 4\)"):
        as_weights(path, module="encoder", embedding="attention")


LAYERS: dict[str, tuple[dict[str, nn.Module], str, str]] = {
    "the last of one": ({"lstm": nn.LSTM(5, 8), "fc": nn.Linear(8, 5)}, "fc", ""),
    "an ensemble is no embedding": (
        {"ensemble": nn.ModuleDict({"lstm": nn.LSTM(5, 8), "fc": nn.Linear(8, 5)})},
        "ensemble.fc",
        "",
    ),
    "nor is a member": (
        {"member": nn.ModuleDict({"lstm": nn.LSTM(5, 8), "fc": nn.Linear(5, 9)})},
        "",
        "",
    ),
    "nor a linear layer": (
        {"enc_embedding": nn.Linear(7, 5), "l": nn.LSTM(5, 8)},
        "",
        "",
    ),
    "nor positions": (
        {"pos_embedding": nn.Embedding(9, 5), "l": nn.LSTM(5, 8)},
        "",
        "",
    ),
    "tokens": ({"wordEmb": nn.Embedding(9, 5), "l": nn.LSTM(5, 8)}, "", "wordEmb"),
    "the first of two": (
        {
            "lstm": nn.LSTM(5, 8),
            "head": nn.Sequential(nn.Linear(8, 5), nn.Linear(5, 5)),
        },
        "",
        "",
    ),
    "two of a size": (
        {
            "lstm": nn.LSTM(5, 5),
            "head": nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 1)),
        },
        "",
        "",
    ),
    "before the net": ({"input": nn.Linear(8, 8), "lstm": nn.LSTM(8, 8)}, "", ""),
}


@pytest.mark.parametrize("case", LAYERS)
def test_only_what_leaves_the_net_is_its_readout(case: str, tmp_path: Path) -> None:
    parts, readout, embedding = LAYERS[case]
    torch.save(nn.ModuleDict(parts).state_dict(), tmp_path / "net.pt")
    (found,) = inspect_checkpoint(tmp_path / "net.pt").nets
    names = [name and f"{name}.weight" for name in (readout, embedding)]
    assert [found.readout, found.embedding] == names


def test_layers_with_names_of_their_own_are_joined(tmp_path: Path) -> None:
    """As PyTorch's own stack of the same weights, with its closed loop."""
    torch.manual_seed(0)
    parts = {"b": nn.LSTM(5, 8), "a": nn.LSTM(8, 6), "linear": nn.Linear(6, 5)}
    file = tmp_path / "net.pt"
    torch.save(nn.ModuleDict(parts).state_dict(), file)
    with pytest.raises(lstm_edge.UsageError, match="readout"):  # that of the upper one
        lstm_edge.orbit(file, steps=5, closed_loop=True, module="b")
    found = as_weights(file, module="b, a")
    x = torch.randn(20, 1, 5)
    expected = parts["a"](parts["b"](x)[0])[0][-1, 0].detach().numpy()
    rest = np.zeros(found.state_size)
    orbit = lstm_edge.orbit(found, x[:, 0].numpy(), steps=20, initial_state=rest)
    np.testing.assert_allclose(orbit.hidden[0, -1, -6:], expected, atol=1e-6)
    assert lstm_edge.orbit(found, steps=5, closed_loop=True).hidden.size
    with pytest.raises(lstm_edge.CheckpointError, match="shape"):
        as_weights(file, module="a, b")


@pytest.mark.parametrize("name", ["ensemble", "words", "Embed_0"])
def test_a_layer_of_embeddings_is_one_whatever_its_name(name: str) -> None:
    """As Flax names the parameters, which says what they are."""
    random = np.random.default_rng(0)
    gates = {f"i{gate}": {"kernel": random.normal(size=(2, 3))} for gate in "rzn"}
    gates |= {
        f"h{gate}": {"kernel": random.normal(size=(3, 3)), "bias": np.zeros(3)}
        for gate in "rzn"
    }
    table = random.normal(size=(9, 2))
    found = as_weights({"GRUCell_0": gates, name: {"embedding": table}})
    assert found.embedding is not None
    np.testing.assert_array_equal(found.embedding, table)


def test_what_brackets_say_holds_for_each_joined_layer(tmp_path: Path) -> None:
    parts = nn.ModuleDict({"a": nn.RNN(5, 8), "b": nn.RNN(8, 6)})
    torch.save(parts.state_dict(), tmp_path / "net.pt")
    assert as_weights(tmp_path / "net.pt", module="a,b (relu)").cell == "rnn_relu"
    with pytest.raises(CheckpointError, match=r"named 'a \(backward\)'"):
        as_weights(tmp_path / "net.pt", module="a,b (backward)")
    with pytest.raises(CheckpointError, match="named 'c'"):
        as_weights(tmp_path / "net.pt", module="a,c")


def test_short_names_are_a_guess_that_is_told(tmp_path: Path) -> None:
    net = nn.GRU(2, 3).state_dict()
    arrays = {
        k.replace("weight", "enc_w").replace("bias", "enc_b"): v for k, v in net.items()
    }
    np.savez(
        tmp_path / "a.npz", **{k.removesuffix("_l0"): v for k, v in arrays.items()}
    )
    weights = as_weights(tmp_path / "a.npz")
    assert weights.digest == as_weights(net).digest
    assert "enc_w_hh and the like are taken for PyTorch's" in weights.assumed


def test_gates_in_one_array_of_an_unknown_name_say_what_to_do(tmp_path: Path) -> None:
    gates = {"W": np.zeros((12, 2)), "U": np.zeros((12, 3)), "b": np.zeros(12)}
    np.savez(tmp_path / "a.npz", **gates)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="with the gates in the order i, f, g, o"):
        as_weights(tmp_path / "a.npz")


def test_arrays_without_names_say_the_way_out(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(CheckpointError, match=r"numpy\.savez"):
        as_weights(tmp_path / "a.npy")


def test_what_a_terminal_would_obey_is_escaped(tmp_path: Path) -> None:
    state = {f"a\x1b[31m.{k}": v for k, v in nn.LSTM(2, 3).state_dict().items()}
    torch.save({"note": "b\x1b]0;c\x07", "net": state}, tmp_path / "a.pt")
    shown = repr(inspect_checkpoint(tmp_path / "a.pt"))
    assert all(line.isprintable() for line in shown.split("\n"))


def test_a_layer_above_another_says_what_is_left_out() -> None:
    net = nn.GRU(3, 4, 2, bidirectional=True)
    above = as_weights(net, module="(forward, layer 1)")
    assert "what feeds it, the layers below, is left out" in above.assumed
    assert not as_weights(net, module="(forward, layer 0)").assumed


def test_layers_of_one_net_are_named_together(tmp_path: Path) -> None:
    stacked = nn.ModuleDict({"low": nn.LSTM(3, 4), "high": nn.LSTM(4, 5)})
    torch.save(stacked.state_dict(), tmp_path / "net.pt")
    assert "--module 'low, high'" in str(inspect_checkpoint(tmp_path / "net.pt"))
    both = as_weights(tmp_path / "net.pt", module="low, high")
    assert both.hidden_sizes == (4, 5)
