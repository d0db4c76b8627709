"""Token inputs: integers, read through the checkpoint's own embedding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lstm_edge
from conftest import make_arrays

TOKENS = np.random.default_rng(3).integers(0, 17, (6, 9))


class Classifier(nn.Module):
    """As people write it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(17, 4)
        self.lstm = nn.LSTM(4, 6, batch_first=True)
        self.head = nn.Linear(6, 2)


@pytest.fixture
def model() -> Classifier:
    torch.manual_seed(5)
    return Classifier()


def embedded(model: Classifier) -> Any:
    return model.embedding.weight.detach().numpy()[TOKENS]


def test_tokens_give_the_bits_of_their_embedding(model: Classifier) -> None:
    inputs = embedded(model)
    for dtype in ("float32", "float64"):
        run: dict[str, Any] = {"steps": 30, "dtype": dtype}
        for name in ("asymptotic_distance", "orbit"):
            call: Any = getattr(lstm_edge, name)
            found, expected = call(model, TOKENS, **run), call(model, inputs, **run)
            for array in ("per_sample", "observable", "hidden", "cell"):
                if hasattr(found, array):
                    same = getattr(found, array) == getattr(expected, array)
                    assert same.all(), (name, array)
    for transient in (0, 9):  # along the drive, and after it
        run = {"steps": 9, "transient": transient, "k": 3}
        one = lstm_edge.lyapunov(model, TOKENS, **run).per_start
        assert np.array_equal(one, lstm_edge.lyapunov(model, inputs, **run).per_start)


def test_tokens_drive_the_net_as_in_torch(model: Classifier) -> None:
    model = model.double()
    found = lstm_edge.orbit(model, TOKENS, steps=9, starts=len(TOKENS)).hidden
    with torch.no_grad():
        expected = model.lstm(model.embedding(torch.from_numpy(TOKENS)))[0]
    assert np.abs(found - expected.numpy()).max() < 1e-13


def test_one_sequence_of_tokens_is_read_by_all_starts(model: Classifier) -> None:
    one = lstm_edge.orbit(model, TOKENS[0], steps=9, starts=3, seed=4).hidden
    other = lstm_edge.orbit(model, embedded(model)[0], steps=9, starts=3, seed=4).hidden
    assert np.array_equal(one, other)


def test_a_token_beyond_the_vocabulary_is_named(model: Classifier) -> None:
    wrong = TOKENS.copy()
    wrong[2, 3] = 17
    with pytest.raises(
        lstm_edge.UsageError, match=r"tokens from 0 to 17 - 1, found 17"
    ):
        lstm_edge.orbit(model, wrong, steps=2)


def test_integers_are_numbers_without_an_embedding() -> None:
    arrays = make_arrays((5,), 4)
    constant = [1, 0, 0, 2]
    found = lstm_edge.orbit(arrays, constant, steps=5).hidden
    expected = lstm_edge.orbit(arrays, np.asarray(constant, float), steps=5).hidden
    assert np.array_equal(found, expected)


def test_the_embedding_is_part_of_the_digest(model: Classifier) -> None:
    before = lstm_edge.as_weights(model)
    assert before.embedding is not None
    with torch.no_grad():
        model.embedding.weight[0, 0] += 1
    assert lstm_edge.as_weights(model).digest != before.digest


def test_a_constant_token_is_its_embedding_as_a_constant_input(
    model: Classifier,
) -> None:
    model = model.double()
    weights = lstm_edge.as_weights(model)
    constant = model.embedding.weight[3].detach().numpy()
    run: dict[str, Any] = {"steps": 50, "k": 3, "starts": 2}
    one = lstm_edge.lyapunov(weights.under_token(3), **run).exponents
    other = lstm_edge.lyapunov(model, constant, **run).exponents
    np.testing.assert_allclose(one, other, rtol=1e-9)
    # after a drive of tokens: as if the sequence went on with this token
    longer = np.concatenate([TOKENS, np.full((6, 4), 3)], axis=1)
    found = lstm_edge.orbit(weights.under_token(3), TOKENS, steps=13, starts=6)
    expected = lstm_edge.orbit(model, longer, steps=13, starts=6)
    np.testing.assert_allclose(found.hidden, expected.hidden, atol=1e-12)


def test_a_constant_token_must_be_one(model: Classifier) -> None:
    with pytest.raises(lstm_edge.UsageError, match="one of its 17 tokens, found 17"):
        lstm_edge.as_weights(model).under_token(17)
    with pytest.raises(lstm_edge.UsageError, match="it has no embedding"):
        lstm_edge.as_weights(make_arrays((5,), 4)).under_token(0)
