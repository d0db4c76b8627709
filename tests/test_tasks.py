from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from scipy.integrate import solve_ivp

from lstm_edge.errors import UsageError
from lstm_edge.lab.tasks.digits import make_digits
from lstm_edge.lab.tasks.imdb import make_imdb
from lstm_edge.lab.tasks.lorenz import make_lorenz, trajectory
from lstm_edge.lab.tasks.sequence import make_sequence
from lstm_edge.lab.tasks.table import TASKS, find_preset, make_task
from lstm_edge.lab.tasks.task import BINARY, CELLS, CLASSES, FORECAST, Classifier
from lstm_edge.lab.tasks.text import make_text, number_words, tokenized, words_of
from lstm_edge.net.reading import as_weights


def test_digits_has_the_stated_shapes_and_range() -> None:
    task = make_digits(seed=3)
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
    task = make_digits()
    assert task.probe.shape == (500, 8, 8)
    assert task.probe.dtype == np.float32
    np.testing.assert_array_equal(task.probe, task.test_inputs[:500].numpy())


def test_split_depends_on_the_seed_alone() -> None:
    one, same, other = make_digits(seed=1), make_digits(seed=1), make_digits(seed=2)
    assert torch.equal(one.train_inputs, same.train_inputs)
    assert torch.equal(one.test_targets, same.test_targets)
    assert not torch.equal(one.train_inputs, other.train_inputs)


def test_train_and_test_share_no_image() -> None:
    task = make_digits()
    train = {image.numpy().tobytes() for image in task.train_inputs}
    test = {image.numpy().tobytes() for image in task.test_inputs}
    assert not train & test


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", TASKS)
def test_every_task_makes_a_model_that_fits_its_data(
    name: str, cell: str, tmp_path: Path
) -> None:
    data, options = MADE[name](tmp_path)
    task = make_task(name, data, **options)
    assert task.name == name
    assert task.probe.dtype in (np.float32, np.int32)
    np.testing.assert_array_equal(task.probe, task.test_inputs[:500].numpy())
    model = task.make_model(cell, 7, 2)
    outputs = model(task.test_inputs[:5])
    loss = task.objective.loss(outputs, task.test_targets[:5])
    assert loss.shape == ()
    assert torch.isfinite(loss)
    weights = as_weights(model)
    assert weights.cell == {"rnn": "rnn_tanh"}.get(cell, cell)
    assert weights.hidden_sizes == (7, 7)
    assert weights.readout is not None
    if task.closed_loop:
        assert weights.readout[0].shape == (weights.input_size, 7)
    same, other = (
        make_task(name, data, **options),
        make_task(name, data, seed=1, **options),
    )
    assert same.digest == task.digest != other.digest


@pytest.mark.parametrize("name", TASKS)
def test_an_unknown_option_is_named(name: str) -> None:
    with pytest.raises(UsageError, match="colour: no option of the task"):
        make_task(name, None, colour=1)


# ---- texts

GOOD, BAD = "A fine <br /><br />film, it's fine!", "Dull."


def reviews(folder: Path, form: str, count: int = 20) -> Path:
    """Half of them good, in one of the forms that people have."""
    pairs = [(f"{GOOD} Nr {i}" if i % 2 else f"{BAD} {i}", i % 2) for i in range(count)]
    for i, (text, label) in enumerate(pairs):
        part = "train" if i < count // 2 else "test"
        if form == "aclImdb":
            file = folder / form / part / ("neg", "pos")[label] / f"{i}_7.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            (file.parent.parent / "unsup").mkdir(exist_ok=True)
            (file.parent.parent / "unsup" / "0_0.txt").write_text("not labelled")
    if form == "parquet":
        (folder / form).mkdir()
        for part, half in (
            ("train", pairs[: count // 2]),
            ("test", pairs[count // 2 :]),
        ):
            table = pandas.DataFrame(half[::-1], columns=["text", "label"])
            table.to_parquet(folder / form / f"{part}-00000-of-00001.parquet")
    return folder / form


def table(path: Path, labels: Sequence[Any] = ("x", "y", "z")) -> Path:
    rows = [(f"word{i % 4} and {i}", labels[i % len(labels)]) for i in range(30)]
    made = pandas.DataFrame(rows, columns=["said", "kind"])
    if path.suffix == ".csv":
        made.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        made.to_json(path, orient="records", lines=True)
    else:
        made.to_parquet(path)
    return path


def arrays(path: Path, **more: Any) -> Path:
    inputs = np.random.default_rng(0).standard_normal((20, 6, 3))
    np.savez(path, **{"inputs": inputs, **more})
    return path


MADE: dict[str, Callable[[Path], tuple[Path | None, dict[str, Any]]]] = {
    "digits": lambda folder: (None, {}),
    "imdb": lambda folder: (reviews(folder, "aclImdb"), {"length": 6}),
    "lorenz": lambda folder: (None, {"sequences": 10, "length": 5}),
    "sequence": lambda folder: (arrays(folder / "x.npz"), {}),
    "text": lambda folder: (
        table(folder / "table.csv"),
        {"text_column": "said", "label_column": "kind", "length": 4},
    ),
}
"""Data and options of each task, small."""


def test_words_are_lower_case_without_line_breaks() -> None:
    assert words_of(GOOD, 9) == ["a", "fine", "film", "it's", "fine"]
    assert words_of(GOOD, 2) == ["a", "fine"]


def test_tokens_go_by_frequency_then_alphabet() -> None:
    texts = [["b", "a", "c"], ["c", "d"]]
    assert number_words(texts, 100) == {"c": 2, "a": 3, "b": 4, "d": 5}
    assert number_words(texts, 4) == {"c": 2, "a": 3}


def test_short_texts_are_filled_up_in_front_and_long_ones_cut() -> None:
    task = tokenized(
        "t", ["x x x y"] * 9 + [""], [0, 1] * 5, seed=0, length=3, vocabulary=3,
        embedding_size=2,
    )  # fmt: skip
    both = torch.cat([task.train_inputs, task.test_inputs])
    assert {tuple(row) for row in both.tolist()} == {(2, 2, 2), (0, 0, 0)}
    task = tokenized(
        "t", ["x", "x y", "x"], [0, 1, 0], seed=1, length=4, vocabulary=3,
        embedding_size=2,
    )  # fmt: skip
    both = torch.cat([task.train_inputs, task.test_inputs])
    assert {tuple(row) for row in both.tolist()} == {(0, 0, 0, 2), (0, 0, 2, 1)}


def test_texts_filled_up_at_the_end_run_on_under_a_learned_embedding() -> None:
    task = tokenized(
        "t", ["x", "x y", "x"], [0, 1, 0], seed=1, length=4, vocabulary=3,
        embedding_size=2, padding="end",
    )  # fmt: skip
    both = torch.cat([task.train_inputs, task.test_inputs])
    assert {tuple(row) for row in both.tolist()} == {(2, 0, 0, 0), (2, 1, 0, 0)}
    model: Any = task.make_model("lstm", 3, 1)
    assert (model.embedding.weight[0] != 0).all()
    with pytest.raises(UsageError, match="padding: expected front or end"):
        tokenized(
            "t", ["x", "y"], [0, 1], seed=1, length=4, vocabulary=3,
            embedding_size=2, padding="behind",
        )  # fmt: skip


def test_words_of_the_test_texts_are_unknown() -> None:
    task = tokenized(
        "t", ["a", "b", "c", "d"], [0, 1, 0, 1], seed=0, length=1, vocabulary=9,
        embedding_size=2,
    )  # fmt: skip
    assert sorted(task.train_inputs[:, 0].tolist()) == [2, 3, 4]
    assert task.test_inputs.tolist() == [[1]]


def test_both_forms_of_the_reviews_give_the_same_task(tmp_path: Path) -> None:
    one = make_imdb(reviews(tmp_path, "aclImdb"), length=6)
    other = make_imdb(reviews(tmp_path, "parquet"), length=6)
    assert one.digest == other.digest
    assert one.train_inputs.shape == (14, 6)
    assert one.test_inputs.shape == (6, 6)
    assert one.objective is BINARY
    # a good review begins with "a", a bad one with "dull"
    lengths = (one.train_inputs != 0).sum(1)
    assert torch.equal(lengths > 2, one.train_targets == 1)


def test_some_of_the_reviews(tmp_path: Path) -> None:
    folder = reviews(tmp_path, "aclImdb")
    task = make_imdb(folder, reviews=10, length=6)
    assert len(task.train_inputs) == 7
    assert len(task.test_inputs) == 3
    with pytest.raises(UsageError, match="reviews: expected 2 to 20"):
        make_imdb(folder, reviews=21)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_of_texts(tmp_path: Path, suffix: str) -> None:
    columns: dict[str, Any] = {"text_column": "said", "label_column": "kind"}
    task = make_text(table(tmp_path / f"t{suffix}"), length=3, **columns)
    assert task.objective is CLASSES
    assert task.train_inputs.shape == (21, 3)
    assert set(task.train_targets.tolist()) == {0, 1, 2}
    two = make_text(table(tmp_path / f"t{suffix}", ["no", "yes"]), length=3, **columns)
    assert two.objective is BINARY
    assert two.digest != task.digest


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: make_text(None), "data: the task 'text' needs a file"),
        (lambda f: make_text(f / "t.xls"), "expected one of .csv, .jsonl, .parquet"),
        (lambda f: make_text(f / "no.csv"), "cannot be read as a table"),
        (lambda f: make_text(table(f / "t.csv")), "column 'text', found said, kind"),
        (lambda f: make_imdb(None), "needs the folder of the reviews"),
        (lambda f: make_imdb(f), "expected aclImdb with"),
        (lambda f: make_imdb(reviews(f, "aclImdb"), length=0), "length: expected"),
        (
            lambda f: make_text(
                table(f / "t.csv", ["x"]), text_column="said", label_column="kind"
            ),
            "at least two classes",
        ),
    ],
)
def test_data_that_cannot_be_used(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        make(tmp_path)
    assert "\n" not in str(caught.value)


# ---- numbers


def test_sequences_without_targets_are_forecast(tmp_path: Path) -> None:
    task = make_sequence(arrays(tmp_path / "x.npz"), dt=0.5)
    assert task.objective is FORECAST
    assert task.closed_loop
    assert task.dt == 0.5
    assert task.train_inputs.shape == task.train_targets.shape == (14, 5, 3)
    assert torch.equal(task.train_inputs[:, 1:], task.train_targets[:, :-1])
    assert (
        task.make_model("lstm", 4, 1)(task.test_inputs).shape == task.test_targets.shape
    )


def test_sequences_with_targets_are_predicted(tmp_path: Path) -> None:
    targets = np.zeros((20, 6, 2), np.float32)
    task = make_sequence(arrays(tmp_path / "x.npz", targets=targets))
    assert task.objective is FORECAST
    assert not task.closed_loop  # two outputs are no next input of three
    assert task.make_model("lstm", 4, 1)(task.test_inputs).shape == (6, 6, 2)
    targets = np.zeros((20, 6, 3), np.float32)
    assert make_sequence(arrays(tmp_path / "x.npz", targets=targets)).closed_loop


def test_sequences_with_labels_are_classified(tmp_path: Path) -> None:
    task = make_sequence(arrays(tmp_path / "x.npz", labels=np.arange(20) % 4))
    assert task.objective is CLASSES
    assert task.make_model("lstm", 4, 1)(task.test_inputs).shape == (6, 4)


HOLED = np.full((20, 6, 3), np.nan)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"inputs": np.zeros((4, 5))}, "'inputs': expected numbers .N, T, I., found"),
        ({"inputs": np.zeros((4, 1, 2))}, "expected T >= 2"),
        ({"inputs": HOLED}, "'inputs': expected finite numbers"),
        ({"inputs": np.full((20, 6, 3), 1e300)}, "'inputs': expected finite numbers"),
        ({"inputs": np.array([["a"]])}, "'inputs': expected numbers"),
        ({"labels": np.zeros(3, int)}, "'labels': expected 20 integers"),
        ({"labels": np.zeros(20)}, "'labels': expected 20 integers"),
        ({"labels": np.full(20, -1)}, "'labels': expected 20 integers >= 0"),
        ({"targets": np.zeros((20, 5, 3))}, "'targets': expected shape"),
        ({"targets": HOLED}, "'targets': expected finite"),
    ],
)
def test_arrays_that_cannot_be_used(
    tmp_path: Path, wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        make_sequence(arrays(tmp_path / "x.npz", **wrong))
    assert "\n" not in str(caught.value)


def test_sequences_need_a_sound_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a"):
        make_sequence(None)
    with pytest.raises(UsageError, match="no such file"):
        make_sequence(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", other=np.zeros(3))
    with pytest.raises(UsageError, match=r"'inputs': expected numbers .*, found none"):
        make_sequence(tmp_path / "x.npz")


def test_the_lorenz_trajectory_solves_the_system() -> None:
    states = trajectory(30, 0.05, seed=3)

    def flow(_: float, state: Any) -> list[float]:
        x, y, z = state
        return [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]

    times = 0.05 * np.arange(30)
    found = solve_ivp(flow, (0, 2), states[0], "LSODA", times, rtol=1e-8, atol=1e-9)
    # atol: errors of 1e-8 grow by exp(0.9 * 1.45), and more where the flow is fast
    np.testing.assert_allclose(found.y.T, states, atol=1e-4)


def test_the_lorenz_task_is_one_trajectory_in_pieces() -> None:
    task = make_lorenz(seed=1, sequences=100, length=30)
    assert task.closed_loop
    assert task.dt == 0.05
    both = torch.cat([task.train_inputs, task.test_inputs])
    assert both.shape == (100, 30, 3)
    # every variable at mean 0 and variance 1, but for the last step of each piece
    assert torch.allclose(both.mean((0, 1)), torch.zeros(3), atol=0.05)
    assert torch.allclose(both.std((0, 1)), torch.ones(3), atol=0.05)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"data": "x"}, "data: expected none"),
        ({"dt": 0.0}, "dt: expected a number > 0"),
        ({"length": -1}, "length"),
        ({"sequences": 0}, "sequences"),
    ],
)
def test_lorenz_options_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_lorenz(**options)


def test_presets_are_those_of_the_paper() -> None:
    preset = find_preset(None, "imdb")
    assert preset is find_preset("wei2025", "imdb")
    assert preset.options == {"length": 500, "embedding_size": 32}
    assert preset.settings["hidden_size"] == 60
    with pytest.raises(UsageError, match="preset: expected one of imdb, wei2025"):
        find_preset("wei2026", "imdb")
    with pytest.raises(UsageError, match="one of digits for the task 'digits'"):
        find_preset("wei2025", "digits")
    with pytest.raises(UsageError, match="none for the task 'text'"):
        find_preset("wei2025", "text")


def test_reviews_of_some_lengths(tmp_path: Path) -> None:
    folder = tmp_path / "aclImdb"
    for part in ("train", "test"):
        for kind in ("pos", "neg"):
            (folder / part / kind).mkdir(parents=True)
            for n in range(1, 9):
                text = " ".join([kind] * n)
                (folder / part / kind / f"{n}.txt").write_text(text)
    task = make_imdb(folder, shortest=3, longest=5, length=8, embedding_size=2)
    inputs = torch.cat([task.train_inputs, task.test_inputs])
    assert set((inputs != 0).sum(1).tolist()) == {3, 4, 5}
    assert len(inputs) == 12
    assert len(make_imdb(folder, shortest=8, length=8).train_inputs) == 3
    with pytest.raises(UsageError, match="reviews: expected 2 to 12, which"):
        make_imdb(folder, reviews=13, shortest=3, longest=5)


def test_padding_has_no_embedding() -> None:
    model = Classifier("lstm", 4, 6, 1, 3, vocabulary_size=11)
    assert model.embedding is not None
    model(torch.tensor([[0, 1]])).sum().backward()
    assert model.embedding.weight.grad is not None
    assert not model.embedding.weight[0].any()
    assert not model.embedding.weight.grad[0].any()
    assert model.embedding.weight.grad[1].any()


def test_digits_takes_no_data() -> None:
    with pytest.raises(UsageError, match="expected none"):
        make_digits("images.csv")


def test_classifier_embeds_tokens() -> None:
    model = Classifier("lstm", 4, 6, 1, 3, vocabulary_size=11)
    tokens = torch.tensor([[1, 2, 10], [0, 0, 5]])
    assert model(tokens).shape == (2, 3)
    # the embedding is neither the recurrent module nor the readout
    weights = as_weights(model)
    assert weights.hidden_sizes == (6,)
    assert weights.readout is not None
    assert weights.readout[0].shape == (3, 6)


@pytest.mark.parametrize("cell", CELLS)
def test_classifier_reads_the_last_step(cell: str) -> None:
    torch.manual_seed(0)
    model = Classifier(cell, 2, 3, 1, 2)
    inputs = torch.randn(1, 6, 2)
    hidden, _ = model.get_submodule(cell)(inputs)
    assert torch.equal(model(inputs), model.readout(hidden[:, 5]))
