"""Every command that the documents and --help print does its work, on small data."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from conftest import make_arrays
from lstm_edge import analyze
from lstm_edge.cli import main
from lstm_edge.files.safetensors import write_checkpoint
from lstm_edge.lab import demo
from lstm_edge.lab.bench import suite
from lstm_edge.lab.training import train
from test_tasks import reviews

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
OF_COMMANDS = ("", "console", "sh")
INLINE = re.compile(r"`(lstm-edge [^\s`]+ [^`\n]+)`")
INDENTED = re.compile(r"^ {4,}((?:lstm-edge|python) .*)$", re.MULTILINE)

MEASURE = "--steps 200 --transient 100 --starts 2 --samples 3"
SMALL = {
    "analyze": MEASURE,
    "watch": f"--idle 0.1 {MEASURE}",
    "train": "--epochs 2 --hidden-size 4 --out made",
    "study": f"--seeds 2 --epochs 2 --jobs 1 {MEASURE}",
    "demo": "--out made",
    "bench": "--rounds 1",
    "analogy": "--values 20",
}
"""What is added to a command to make it small; a later option replaces an earlier."""

OF_TASK = {
    "imdb": "--reviews 20 --shortest 1 --longest 99 --length 6 --embedding-size 3",
    "lorenz": "--sequences 10 --length 5",
    "text": "--length 4",
}
MEANT = {
    "ckpts/": "ckpts",
    "FILE": "ckpts/epoch-1.pt",
    "RUN": "runs/digits",
    "TASK": "digits",
    "A": "10",
    "B": "20",
    "12694": "0",
    "12738": "2",
    "400": "10",
    "440": "20",
}
"""What stands for something, or is of a larger run, and what it is here."""

ELSEWHERE = {
    **dict.fromkeys(("pip", "uv"), "needs the network"),
    "python3": "makes the environment that ./check makes too",
    "./check": "runs the tests",
    **dict.fromkeys(("cargo", "ruff", "mypy", "mkdocs", "pytest"), "a step of ./check"),
    "dask": "a part of a script for a cluster",
    "srun": "a part of a script for a cluster",
    "until": "a part of a script for a cluster",
    "sleep": "a part of a script for a cluster",
    "do": "a part of a script for a cluster",
    "done": "a part of a script for a cluster",
}
"""Programs that are not run here, and why."""


def printed() -> Iterator[str]:
    """Every single command, as it is printed."""
    for document in DOCUMENTS:
        text = document.read_text()
        rest = BLOCK.sub("", text)
        blocks = [body for kind, body in BLOCK.findall(text) if kind in OF_COMMANDS]
        blocks += [*INDENTED.findall(rest), *INLINE.findall(rest)]
        for block in blocks:
            for line in block.replace("\\\n", " ").splitlines():
                line = line.removeprefix("$ ").partition(" #")[0]
                if line.strip() and not line.startswith("#"):
                    yield from filter(None, map(str.strip, re.split("&&|[;|&]", line)))
    for command in main.commands.values():
        for line in (command.epilog or "").splitlines():
            if line.strip().startswith("lstm-edge"):
                yield line.strip()


def of(*programs: str) -> list[Any]:
    """Those of some programs, each once; seeds and such numbers do not count."""
    found = {
        re.sub(r"\b\d+\b", "0", command): command
        for command in printed()
        if Path(command.split()[0]).name in programs
    }
    return [
        pytest.param(command, marks=pytest.mark.slow)  # nets of 256 units: a minute
        if "--large" in command
        else command
        for command in sorted(found.values())
    ]


def test_it_is_known_of_every_program_whether_it_is_run() -> None:
    names = {command.split()[0] for command in printed() if "/bin/" not in command}
    known = {"lstm-edge", "python", *ELSEWHERE}
    lines = {name for name in names - known if re.match(r"[a-z./]+$", name)}
    assert lines <= {"files", "tasks"}  # of drawings


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the commands assume, made once."""
    folder = tmp_path_factory.mktemp("shelf")
    data = reviews(folder, "aclImdb")
    small: dict[str, Any] = {"hidden_size": 4, "epochs": 3}
    train("digits", folder / "runs" / "digits", **small)
    options = {"length": 6, "embedding_size": 3}
    train("imdb", folder / "runs" / "imdb", data=data, options=options, **small)
    short = {"sequences": 10, "length": 5}
    train("lorenz", folder / "runs" / "lorenz", options=short, **small)
    (folder / "ckpts").mkdir()
    for epoch in range(3):
        arrays = {
            name: torch.from_numpy(array)
            for name, array in make_arrays((5,), seed=epoch).items()
        }
        torch.save(arrays, folder / "ckpts" / f"epoch-{epoch}.pt")
    torch.save(arrays, folder / "model.pt")
    rows = [f"{epoch},{1 / (epoch + 1)}" for epoch in range(3)]
    (folder / "losses.csv").write_text("\n".join(["update,test_loss", *rows]))
    texts = [f"{'a fine one' if i % 2 else 'bad'},{i % 2}" for i in range(20)]
    (folder / "mails.csv").write_text("\n".join(["body,spam", *texts]))
    signals = np.random.default_rng(0).standard_normal((12, 9, 2)).astype(np.float32)
    np.savez(folder / "signals.npz", inputs=signals)
    size = arrays["weight_ih_l0"].shape[1]
    np.save(folder / "inputs.npy", signals[:4, :, :1].repeat(size, axis=-1))
    probe = make_arrays((5,), seed=9)
    write_checkpoint(folder / "model.safetensors", probe, {})
    sizes = {"steps": 200, "transient": 100, "starts": 2}
    settings = {"lyapunov": {**sizes, "k": 2}, "attractors": sizes}
    settings["distance"] = {"steps": 200, "samples": 3}
    for out in ("first.sqlite", "second.sqlite", "runs/digits/analysis.sqlite"):
        analyze(folder / "runs" / "digits", out=folder / out, settings=settings)
    shutil.copy(folder / "first.sqlite", folder / "ckpts" / "analysis.sqlite")
    demos = [f"demo-{seed}" for seed in range(10)]
    for copy in ("runs/h60-s0", "runs/h60-s2", "lstm-edge-demo", *demos):
        shutil.copytree(folder / "runs" / "digits", folder / copy)
    for copy in ("runs/imdb60", "runs/wei2025"):
        shutil.copytree(folder / "runs" / "imdb", folder / copy)
    shutil.copy(folder / "first.sqlite", folder / "runs" / "imdb60" / "analysis.sqlite")
    first = next((folder / "runs/lorenz/checkpoints").glob("*.safetensors"))
    shutil.copy(first, first.with_name("update-00003100.safetensors"))
    shutil.copytree(folder / "runs" / "digits", folder / "studies" / "digits")
    return folder


@pytest.fixture
def workplace(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which a command is given."""
    folder = tmp_path / "workplace"
    shutil.copytree(shelf, folder)
    monkeypatch.chdir(folder)
    for name in ("nice", "SCHED_IDLE"):  # watch must not slow the tests that follow
        monkeypatch.delattr(os, name, raising=False)
    return folder


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a cluster."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.parametrize("command", of("lstm-edge"))
def test_commands_of_lstm_edge(
    command: str,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    small = demo.Size(12, 6, samples=4, starts=2, steps=50, transient=50)
    monkeypatch.setattr(demo, "STANDARD", small)
    for name, size in (("SAMPLES", 6), ("DRIVEN", 8), ("STEPS", 40)):
        monkeypatch.setattr(suite, name, size)
    monkeypatch.setattr(suite, "SPECTRUM_STEPS", {60: 20, 128: 20, 256: 20})
    monkeypatch.setattr(suite, "PRODUCT_STEPS", 3)
    monkeypatch.setattr(suite, "LEAST_SECONDS", 0.0)
    _, name, *rest = shlex.split(command)
    meant = MEANT | ({"RUN": "runs/imdb"} if "--constant-token" in rest else {})
    words = [name, *(meant.get(word, word) for word in rest)]
    for i, word in enumerate(words):
        if word.startswith("tcp:"):
            words[i] = request.getfixturevalue("scheduler")
        if word.startswith("s3:"):
            words[i] = f"file://{workplace}/runs/digits"
        if word == "scheduler.json":
            address = request.getfixturevalue("scheduler")
            Path(word).write_text(json.dumps({"address": address}))
    small_options = "" if "--help" in words else SMALL.get(name, "")
    if "hidden_size=32,100" not in command and name == "study":
        small_options += " --hidden-size 4"
    words += shlex.split(f"{small_options} {OF_TASK.get(rest[0] if rest else '', '')}")
    if name == "analyze" and "--out" not in words:
        words += ["--out", "fresh.sqlite"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, (words, result.output, result.exception)


@pytest.mark.parametrize("command", [c for c in of("python") if " -c " in c])
def test_lines_of_python(command: str, workplace: Path) -> None:
    _, _, code = shlex.split(command)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.slow  # each takes minutes, and needs the machine for itself
@pytest.mark.parametrize("command", [c for c in of("python") if "benches/" in c])
def test_benches(command: str, workplace: Path) -> None:
    _, script, *rest = shlex.split(command)
    done = subprocess.run(
        [sys.executable, ROOT / script, *rest],
        cwd=workplace,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
