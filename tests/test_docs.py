"""The documents: their examples run, their links lead somewhere, sources are listed."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lstm_edge
from conftest import make_arrays

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
QUICK: dict[str, Any] = {"distance": {"steps": 50, "samples": 3}}
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
# Author, perhaps others, and year, as in "Benettin et al. 1980"
CITED = re.compile(
    r"\b([A-Z][a-zé]+)(?: et al\.|\s+(?:&|and)\s+(?:Van )?[A-Z][a-z]+)? "
    r"\(?((?:19|20)\d\d)\b"
)


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


def public() -> list[str]:
    names = (name for name in lstm_edge.__all__ if not name.startswith("__"))
    return [name for name in names if callable(getattr(lstm_edge, name))]


@pytest.mark.parametrize("name", public())
def test_every_public_name_has_an_example_that_runs(
    name: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lstm_edge.analyze("runs/digits", settings=QUICK)
    known = getattr(lstm_edge, name)
    parser = doctest.DocTestParser()
    example = parser.get_doctest(known.__doc__, {}, name, None, None)
    assert example.examples, "no runnable example"
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(example)
    assert runner.failures == 0, capsys.readouterr().out


def test_the_conda_recipe_asks_for_what_pip_does() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    found = re.search(r"^dependencies = \[(.*?)\]", project, re.DOTALL | re.MULTILINE)
    assert found is not None
    wanted = {f"{name} {bound}" for name, bound in re.findall(r'"(\w+)(.*)"', found[1])}
    recipe = (ROOT / "conda" / "recipe.yaml").read_text().replace("-base", "")
    run = recipe.partition("  run:\n")[2].partition("  run_constraints:")[0]
    assert wanted == {line[6:] for line in run.splitlines()} - {"python"}
