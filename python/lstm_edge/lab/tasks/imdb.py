"""The experiment of Wei et al. 2025: whether a film review is good or bad."""

from __future__ import annotations

import math
from os import PathLike
from pathlib import Path

import numpy as np

from lstm_edge.errors import UsageError
from lstm_edge.lab.tasks.task import Task
from lstm_edge.lab.tasks.text import read_table, tokenized, words_of

_PARTS = ("train", "test")


def make_imdb(
    data: str | PathLike[str] | None = None,
    *,
    seed: int = 0,
    reviews: int | None = None,
    length: int = 500,
    vocabulary: int = 10_000,
    embedding_size: int = 32,
    padding: str = "front",
    shortest: int | None = None,
    longest: int | None = None,
) -> Task:
    """IMDb's 50,000 film reviews (Maas et al. 2011), half of them good, half bad.

    All reviews found are shuffled and split anew, 70 % for training, as in Wei et al.
    2025. The paper does not tell how words become tokens; here the 9,998 most frequent
    ones of the training reviews do, the others share a token.

    Parameters
    ----------
    data : path
        The folder ``aclImdb`` (``train/pos/*.txt``, ``train/neg/*.txt``, ``test/...``),
        or one with Hugging Face's Parquet files (columns text, label). Both give the
        same task.
    seed : int, default 0
        Of the shuffle before the split.
    reviews : int, optional
        How many of the shuffled reviews to take. Default: all.
    length, vocabulary, embedding_size, padding
        As `tokenized` takes them.
    shortest, longest : int, optional
        Words that a review must have at least, and at most. Default: any number.

    Raises
    ------
    UsageError
        If the folder does not hold the reviews.
    """
    if data is None:
        raise UsageError(
            "data: the task 'imdb' needs the folder of the reviews: aclImdb, or the "
            "Parquet files of Hugging Face"
        )
    found = sorted(_read(Path(data)))  # the same in whatever order files hold them
    if shortest is not None or longest is not None:
        least, most = shortest or 0, math.inf if longest is None else longest
        found = [pair for pair in found if least <= len(words_of(pair[0])) <= most]
    if reviews is not None:
        if not 2 <= reviews <= len(found):
            raise UsageError(
                f"reviews: expected 2 to {len(found)}, which {data} holds of that "
                f"length, found {reviews}"
            )
        chosen = np.random.default_rng(seed).permutation(len(found))[:reviews]
        found = [found[i] for i in chosen]
    return tokenized(
        "imdb",
        [text for text, _ in found],
        [label for _, label in found],
        seed=seed,
        length=length,
        vocabulary=vocabulary,
        embedding_size=embedding_size,
        padding=padding,
    )


def _read(folder: Path) -> list[tuple[str, int]]:
    """Give all reviews and whether they are good."""
    tables = [
        file for part in _PARTS for file in sorted(folder.glob(f"**/{part}-*.parquet"))
    ]
    if tables:
        pairs = [read_table(file, "text", "label") for file in tables]
        return [
            (str(text), int(label))
            for table in pairs
            for text, label in zip(table["text"], table["label"], strict=True)
        ]
    texts = [
        (file.read_text(encoding="utf-8"), int(file.parent.name == "pos"))
        for file in folder.glob("**/*.txt")
        if file.parent.name in ("pos", "neg") and file.parent.parent.name in _PARTS
    ]
    if not texts:
        raise UsageError(
            f"{folder}: expected aclImdb with train/pos/*.txt, ..., or "
            "train-*.parquet and test-*.parquet, found neither"
        )
    return texts
