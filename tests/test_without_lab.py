"""The tool in an environment that has what it declares, and nothing of the laboratory.

The environment is a folder of links to this one's packages: those that lstm-edge
declares without an extra, and those that they declare.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement

import lstm_edge
from conftest import make_arrays
from lstm_edge.files.safetensors import write_checkpoint

CORE = ["--steps", "60", "--transient", "20", "--starts", "2", "--samples", "3"]


def declared(name: str, known: set[str]) -> set[str]:
    """The distributions that `name` needs, itself among them, without extras."""
    known.add(re.sub(r"[-_.]+", "-", name).lower())
    for line in importlib.metadata.requires(name) or []:
        found = Requirement(line)
        wanted = found.marker is None or found.marker.evaluate({"extra": ""})
        if wanted and re.sub(r"[-_.]+", "-", found.name).lower() not in known:
            declared(found.name, known)
    return known


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all that ``pip install .`` brings."""
    folder = tmp_path_factory.mktemp("site-packages")
    (folder / "lstm_edge").symlink_to(Path(lstm_edge.__file__).parent)
    for name in declared("lstm-edge", set()) - {"lstm-edge"}:
        distribution = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {".."}:
            place = folder / top
            if not place.exists():
                place.symlink_to(Path(str(distribution.locate_file(top))))
    return folder


@pytest.fixture
def tool(packages: Path, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run Python code there, or a command, in the folder of the test."""

    def run(*command: str) -> tuple[int, str]:
        start = f"import sys; sys.path.append({str(packages)!r})\n"
        code = command[0] if len(command) == 1 else "from lstm_edge.cli import main; "
        if len(command) > 1:
            code += f"main({list(command[1:])!r})"
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", start + code],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_environment_has_nothing_of_the_laboratory(
    tool: Callable[..., tuple[int, str]],
) -> None:
    for name in ("torch", "sklearn"):
        assert tool(f"import {name}")[1].endswith(f"No module named '{name}'\n")


def test_every_kind_of_file_is_measured(
    tool: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    arrays = make_arrays((5,), 4)
    np.savez(tmp_path / "net.npz", **arrays)  # type: ignore[arg-type]
    write_checkpoint(tmp_path / "net.safetensors", arrays, {})
    torch.save({k: torch.from_numpy(v) for k, v in arrays.items()}, tmp_path / "net.pt")
    expected = lstm_edge.lyapunov(arrays, steps=50).exponents.tolist()
    for suffix in ("npz", "safetensors", "pt"):
        code = f"import lstm_edge; print(lstm_edge.lyapunov('net.{suffix}', steps=50)"
        status, output = tool(f"{code}.exponents.tolist())")
        assert (status, json.loads(output)) == (0, expected)


COMMANDS: Sequence[tuple[str, ...]] = [
    ("inspect", "run/checkpoints/update-00000000.safetensors"),
    ("analyze", "run", *CORE),
    ("report", "run", "--figures", "figures"),
    ("export", "run", "-o", "results.csv"),
    ("watch", "run", "--idle", "0.1", *CORE),
    ("analogy", "--values", "20"),
]


def test_the_commands_of_the_tool_work(
    tool: Callable[..., tuple[int, str]], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    assert make_run(3, name="run").parent == tmp_path
    for command in COMMANDS:
        status, output = tool("lstm-edge", *command)
        assert status == 0, (command, output)
    assert {"report.html", "analysis.sqlite"} <= {p.name for p in tmp_path.glob("*/*")}
    assert (tmp_path / "results.csv").stat().st_size > 0


@pytest.mark.parametrize("command", ["train", "demo", "zoom", "study"])
def test_the_laboratory_says_in_a_line_what_to_install(
    command: str, tool: Callable[..., tuple[int, str]]
) -> None:
    rest = ("run", "--from", "0", "--to", "1") if command == "zoom" else ()
    status, output = tool("lstm-edge", command, *rest)
    assert status == 1
    assert re.fullmatch(
        r"error: \S+ needs (torch|sklearn), which is not installed: "
        r"pip install 'lstm-edge\[lab\]'\n",
        output,
    ), output
