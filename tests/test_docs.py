"""The documents: their examples run, their links lead somewhere, sources are listed."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from torch import nn

from conftest import make_arrays

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
# Author, perhaps others, and year, as in "Benettin et al. 1980"
CITED = re.compile(
    r"\b([A-Z][a-zé]+)(?: et al\.|\s+(?:&|and)\s+(?:Van )?[A-Z][a-z]+)? "
    r"\(?((?:19|20)\d\d)\b"
)
# What a reader has besides the commands of this repository.
TOOLS = {"cargo", "cd", "git", "maturin", "open", "pip", "pre-commit", "pytest"}
TOOLS |= {"python", "python3"}


def blocks(*languages: str) -> list[Any]:
    chosen = []
    for document in DOCUMENTS:
        found = BLOCK.findall(document.read_text())
        examples = [body for kind, body in found if kind in languages]
        if examples:
            chosen.append(pytest.param(examples, id=document.name))
    return chosen


@pytest.fixture
def workplace(make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small run in runs/digits, as the examples assume."""
    folder = make_run(3, name="runs/digits").parent.parent
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("examples", blocks("python"))
def test_python_examples_run(examples: list[str], workplace: Path) -> None:
    torch.manual_seed(0)
    known = {
        "weights": make_arrays((5,), 4),
        "model": nn.LSTM(4, 5),
        "inputs": np.zeros((3, 8, 4)),
    }
    for example in examples:  # each goes on from the one before it
        exec(compile(example, "<example>", "exec"), known)


def commands(text: str) -> Iterator[list[str]]:
    """Every single command of a console block; after a ``$``, if it has any."""
    lines = text.replace("\\\n", " ").splitlines()
    prompted = [line[2:] for line in lines if line.startswith("$ ")]
    for line in prompted or lines:
        for part in re.split(r"&&|\|\||[;|]", line.partition(" #")[0]):
            if part.strip():
                yield shlex.split(part)


@pytest.mark.parametrize("examples", blocks("console", "sh", "bash", "shell"))
def test_console_examples_are_commands_that_exist(
    examples: list[str], workplace: Path
) -> None:
    for example in examples:
        for program, *arguments in commands(example):
            name = Path(program).name
            if name == "lstm-edge":
                parse(arguments)
            elif program.startswith("./"):
                assert os.access(ROOT / program, os.X_OK), f"{program}: no such script"
            else:
                assert name in TOOLS or program == ".", f"{program}: what is it?"


def parse(arguments: list[str]) -> None:
    """Let click read the arguments of ``lstm-edge``, without doing anything."""
    from lstm_edge import cli

    group = next(v for v in vars(cli).values() if isinstance(v, click.Group))
    words = [word for word in arguments if not word.startswith("-")]
    if words and "--help" not in arguments:
        rest = arguments[arguments.index(words[0]) + 1 :]
        group.commands[words[0]].make_context(words[0], rest)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_files_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        assert (document.parent / target).exists(), f"{document.name}: {target}"


def sources() -> Iterator[Path]:
    for folder, suffix in (("python", "py"), ("rust", "rs"), ("docs", "md")):
        yield from ROOT.joinpath(folder).rglob(f"*.{suffix}")


def test_every_source_that_is_cited_is_listed() -> None:
    listed = set(CITED.findall((ROOT / "docs" / "references.md").read_text()))
    cited = {
        (author, year)
        for path in sources()
        for author, year in CITED.findall(path.read_text())
    }
    assert cited - listed == set()
