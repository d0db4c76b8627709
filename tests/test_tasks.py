from __future__ import annotations

import numpy as np
import pytest
import torch

from lstm_edge.checkpoints import as_weights
from lstm_edge.errors import UsageError
from lstm_edge.tasks import TASKS, Classifier, digits


def test_digits_has_the_stated_shapes_and_range() -> None:
    task = digits(seed=3)
    assert task.train_inputs.shape == (600, 8, 8)
    assert task.test_inputs.shape == (1197, 8, 8)
    assert task.train_targets.shape == (600,)
    assert task.test_targets.shape == (1197,)
    assert task.train_inputs.dtype == torch.float32
    assert task.train_targets.dtype == torch.int64
    assert float(task.train_inputs.min()) == 0
    assert float(task.train_inputs.max()) == 1
    assert set(task.train_targets.tolist()) == set(range(10))


def test_probe_is_the_head_of_the_test_set() -> None:
    task = digits()
    assert task.probe.shape == (500, 8, 8)
    assert task.probe.dtype == np.float32
    np.testing.assert_array_equal(task.probe, task.test_inputs[:500].numpy())


def test_split_depends_on_the_seed_alone() -> None:
    one, same, other = digits(seed=1), digits(seed=1), digits(seed=2)
    assert torch.equal(one.train_inputs, same.train_inputs)
    assert torch.equal(one.test_targets, same.test_targets)
    assert not torch.equal(one.train_inputs, other.train_inputs)


def test_train_and_test_share_no_image() -> None:
    task = digits()
    train = {image.numpy().tobytes() for image in task.train_inputs}
    test = {image.numpy().tobytes() for image in task.test_inputs}
    assert not train & test


def test_every_task_makes_a_model_that_fits_its_data() -> None:
    for name, make in TASKS.items():
        task = make(None, seed=0)
        assert task.name == name
        model = task.make_model(7, 2)
        logits = model(task.test_inputs[:5])
        assert logits.shape[0] == 5
        assert logits.shape[1] > int(task.test_targets.max())
        weights = as_weights(model)
        assert weights.hidden_sizes == (7, 7)
        assert weights.input_size == task.probe.shape[2]
        assert weights.readout is not None


def test_digits_takes_no_data() -> None:
    with pytest.raises(UsageError, match="expected none"):
        digits("images.csv")


def test_classifier_embeds_tokens() -> None:
    model = Classifier(4, 6, 1, 3, vocabulary_size=11)
    tokens = torch.tensor([[1, 2, 10], [0, 0, 5]])
    assert model(tokens).shape == (2, 3)
    # the embedding is neither the recurrent module nor the readout
    weights = as_weights(model)
    assert weights.hidden_sizes == (6,)
    assert weights.readout is not None
    assert weights.readout[0].shape == (3, 6)


def test_classifier_reads_the_last_step() -> None:
    torch.manual_seed(0)
    model = Classifier(2, 3, 1, 2)
    inputs = torch.randn(1, 6, 2)
    hidden, _ = model.lstm(inputs)
    assert torch.equal(model(inputs), model.readout(hidden[:, 5]))
