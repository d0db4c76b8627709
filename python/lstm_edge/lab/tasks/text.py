"""Labelled texts: words become tokens, by a vocabulary of the training texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_edge.errors import UsageError
from lstm_edge.lab.tasks.task import (
    BINARY,
    CLASSES,
    PROBE_SIZE,
    Classifier,
    Task,
    split,
)

PADDING, UNKNOWN = 0, 1  # the first tokens; the words of the vocabulary follow

_WORD = re.compile(r"\w+(?:'\w+)*")


def make_text(
    data: str | PathLike[str] | None = None,
    *,
    seed: int = 0,
    text_column: str = "text",
    label_column: str = "label",
    length: int = 100,
    vocabulary: int = 10_000,
    embedding_size: int = 32,
) -> Task:
    """Texts of any kind and their classes, in a table.

    Parameters
    ----------
    data : path
        A ``.csv``, ``.jsonl`` or ``.parquet`` file; Parquet needs pyarrow.
    seed : int, default 0
        Of the shuffle before the split; 70 % are for training.
    text_column, label_column : str
        Columns of the table. Any values are labels; with two classes the model has one
        logit and the loss is the binary cross-entropy.
    length, vocabulary, embedding_size : int
        As `tokenized` takes them.

    Raises
    ------
    UsageError
        Naming the file, and what is missing in it.
    """
    table = read_table(_file(data), text_column, label_column)
    return tokenized(
        "text",
        table[text_column].astype(str).tolist(),
        table[label_column].tolist(),
        seed=seed,
        length=length,
        vocabulary=vocabulary,
        embedding_size=embedding_size,
    )


def tokenized(
    name: str,
    texts: Sequence[str],
    labels: Sequence[Hashable],
    *,
    seed: int,
    length: int,
    vocabulary: int,
    embedding_size: int,
    padding: str = "front",
) -> Task:
    """Make a task of texts and their classes.

    Parameters
    ----------
    name : str
        Of the task.
    texts, labels : sequences of equal length
    seed : int
        Of the shuffle before the split; 70 % are for training.
    length : int
        Tokens of a sequence: the first words of a text.
    padding : {"front", "end"}
        Where shorter texts are filled up. In front, the last step always reads a word,
        and the embedding of padding is zero; at the end the net runs on under it, and
        it is learned.
    vocabulary : int
        Tokens at most: padding, unknown, and the most frequent words of the training
        sequences.
    embedding_size : int
        Numbers that a token becomes.
    """
    for option, value, least in (
        ("length", length, 1),
        ("vocabulary", vocabulary, 3),
        ("embedding_size", embedding_size, 1),
    ):
        if value < least:
            raise UsageError(f"{option}: expected an integer >= {least}, found {value}")
    if padding not in ("front", "end"):
        raise UsageError(f"padding: expected front or end, found {padding!r}")
    train, test = split(len(texts), seed)
    words = [words_of(text, length) for text in texts]
    tokens = number_words((words[i] for i in train), vocabulary)
    inputs = torch.from_numpy(_sequences(words, tokens, length, padding))
    classes = sorted(set(labels), key=lambda label: (str(type(label)), label))
    if len(classes) < 2:
        raise UsageError(f"labels: expected at least two classes, found {classes}")
    targets = _targets(labels, classes)
    outputs = 1 if len(classes) == 2 else len(classes)
    return Task(
        name=name,
        train_inputs=inputs[train],
        train_targets=targets[train],
        test_inputs=inputs[test],
        test_targets=targets[test],
        make_model=lambda cell, units, layers: Classifier(
            cell,
            embedding_size,
            units,
            layers,
            outputs,
            len(tokens) + 2,
            padding_index=PADDING if padding == "front" else None,
        ),
        probe=inputs[test][:PROBE_SIZE].numpy(),
        objective=BINARY if outputs == 1 else CLASSES,
    )


def words_of(text: str, most: int | None = None) -> list[str]:
    """Give the first words, or all, in lower case and without HTML's line breaks."""
    plain = text.lower().replace("<br />", " ")
    return [match[0] for match in islice(_WORD.finditer(plain), most)]


def number_words(texts: Any, vocabulary: int) -> dict[str, int]:
    """Give the most frequent words their tokens; equally frequent ones by the alphabet.

    Parameters
    ----------
    texts : iterable of lists of words
    vocabulary : int
        Tokens at most, padding and unknown among them.
    """
    counts = Counter(chain.from_iterable(texts))
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    return {word: i for i, word in enumerate(ordered[: vocabulary - 2], UNKNOWN + 1)}


def _sequences(
    texts: Sequence[Sequence[str]], tokens: dict[str, int], length: int, padding: str
) -> NDArray[np.int32]:
    """Tokens (N, length)."""
    found = np.full((len(texts), length), PADDING, np.int32)
    for row, words in zip(found, texts, strict=True):
        if words:
            first = length - len(words) if padding == "front" else 0
            row[first : first + len(words)] = [
                tokens.get(word, UNKNOWN) for word in words
            ]
    return found


def _targets(labels: Sequence[Hashable], classes: Sequence[Hashable]) -> Tensor:
    place = {label: i for i, label in enumerate(classes)}
    numbers = torch.tensor([place[label] for label in labels])
    return numbers.float() if len(classes) == 2 else numbers


def read_table(path: Path, *columns: str) -> Any:
    """Read columns of a CSV, JSON lines or Parquet file, without rows that lack one.

    Raises
    ------
    UsageError
        Saying which file or column, what was expected and what was found.
    """
    import pandas

    readers = {
        ".csv": pandas.read_csv,
        ".jsonl": lambda file: pandas.read_json(file, lines=True),
        ".parquet": pandas.read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path}: expected one of {', '.join(readers)}")
    try:
        table = reader(path)
    except ImportError as error:
        raise UsageError(
            f"{path}: Parquet needs pyarrow: pip install 'lstm-edge[export]'"
        ) from error
    except (OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"{path}: cannot be read as a table ({reason})") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise UsageError(
            f"{path}: expected a column {missing[0]!r}, found "
            f"{', '.join(map(str, table.columns))}; name another one"
        )
    return table[list(columns)].dropna()


def _file(data: str | PathLike[str] | None) -> Path:
    if data is None:
        raise UsageError("data: the task 'text' needs a file: .csv, .jsonl or .parquet")
    return Path(data)
