"""The commands as their users meet them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from lstm_edge import lyapunov
from lstm_edge.cli import main
from lstm_edge.measures.table import MEASURES
from lstm_edge.results.sweep import open_sweep

COMMANDS = sorted(main.commands)
FAST = ["--steps", "40", "--transient", "20", "--starts", "3", "--samples", "4"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert re.search(rf"^ +lstm-edge {command}\b", result.output, re.MULTILINE)


def test_the_group_names_every_command_and_exit_code() -> None:
    output = run("--help").output
    assert all(f"  {command} " in output for command in COMMANDS)
    assert "3 finished" in output


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from lstm_edge.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([n for n in ('torch', 'plotly', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.rstrip().endswith("[]")


def test_train_analyze_and_report_end_to_end(tmp_path: Path) -> None:
    out = tmp_path / "digits"
    trained = run("train", "digits", "--hidden-size", 8, "--epochs", 3, "--out", out)
    assert trained.exit_code == 0, trained.output
    assert f"next: lstm-edge analyze {out}" in trained.output
    analysed = run("analyze", out, *FAST)
    assert analysed.exit_code == 0, analysed.output
    assert "4 checkpoints" in analysed.output
    assert "\x1b" not in analysed.output  # plain lines where there is no terminal
    figures = tmp_path / "figures"
    reported = run(
        "report", out, "--figures", figures, "--format", "png", "--format", "svg"
    )
    assert reported.exit_code == 0, reported.output
    assert (out / "report.html").is_file()
    names = {path.name for path in figures.iterdir()}
    assert names >= {"training.png", "training.svg", "attractors.png", "norms.svg"}


def test_json_is_a_line_a_checkpoint_then_the_summary(
    make_run: Callable[..., Path],
) -> None:
    folder = make_run(2)
    result = run("analyze", folder, "--json", *FAST)
    lines = [json.loads(line) for line in result.output.splitlines()]
    assert [(line["event"], line.get("done")) for line in lines] == [
        ("progress", 1),
        ("progress", 2),
        ("summary", None),
    ]
    assert lines[-1]["checkpoints"] == 2
    quiet = run("analyze", folder, "--json", "-q", *FAST)
    assert json.loads(quiet.output) == lines[-1]


def test_zoom_replays_and_analyses(tmp_path: Path) -> None:
    out = tmp_path / "digits"
    run("train", "digits", "--hidden-size", 4, "--epochs", 2, "--out", out, "-q")
    zoomed = run("zoom", out, "--from", 10, "--to", 12)
    assert zoomed.exit_code == 2, zoomed.output
    assert "found 12; near it are 0, 10, 20" in zoomed.output
    zoomed = run("zoom", out, "--from", 10, "--to", 20, "--json")
    assert zoomed.exit_code == 0, zoomed.output
    last = json.loads(zoomed.output.splitlines()[-1])
    assert (last["event"], last["checkpoints"]) == ("summary", 11)


def test_train_takes_options_of_the_task_and_the_edge(tmp_path: Path) -> None:
    out = tmp_path / "lorenz"
    trained = run(
        *("train", "lorenz", "--sequences", 20, "--length", 5, "--out", out),
        *("--hidden-size", 4, "--epochs", 2, "--every", "edge", "--batch-size", 7),
    )
    assert trained.exit_code == 0, trained.output
    assert "to write: 5 checkpoints" in trained.output
    assert "accuracy" not in trained.output  # a forecast is not right or wrong
    refused = run("train", "digits", "--length", 5, "--out", tmp_path / "no")
    assert refused.exit_code == 2
    assert "length: no option of the task 'digits'" in refused.output


def test_names_of_files_are_no_markup(make_run: Callable[..., Path]) -> None:
    result = run("analyze", make_run(2, name="[/red]"), *FAST)
    assert result.exit_code == 0, result.output
    assert "[/red]/analysis.sqlite" in result.output


def test_quiet_shows_no_progress(make_run: Callable[..., Path]) -> None:
    assert "analysing" not in run("analyze", make_run(2), "-q", *FAST).output


def test_some_failed_checkpoints_are_listed_and_exit_with_3(
    make_run: Callable[..., Path],
) -> None:
    folder = make_run(2)
    (folder / "checkpoints" / "bad-5.safetensors").write_bytes(b"")
    result = run("analyze", folder, "-q", *FAST)
    assert result.exit_code == 3
    assert "failed: bad-5.safetensors" in result.output
    results = result.output.partition("\n")[2]  # after the line on times
    assert results.count("bad-5.safetensors") == 1


def test_where_all_fail_alike_only_the_reason_is_told(tmp_path: Path) -> None:
    for i in range(5):
        both = {"encoder": torch.nn.LSTM(2, 3), "decoder": torch.nn.LSTM(2, 3)}
        torch.save(torch.nn.ModuleDict(both).state_dict(), tmp_path / f"net-{i}.pt")
    result = run("analyze", tmp_path, "-q", *FAST)
    told = " ".join(result.output.split())  # lines are broken
    assert result.exit_code == 3
    assert "failed: net-0.pt, net-1.pt, net-2.pt and 2 more: expected one" in told
    assert "(--module), one of: 'encoder', 'decoder'" in told
    assert "cannot be told" not in told


def test_the_readout_of_a_closed_loop_can_be_named(
    make_run: Callable[..., Path],
) -> None:
    options = [make_run(1), "--closed-loop", *FAST]
    assert run("analyze", *options, "--readout", "readout_weight").exit_code == 0
    refused = run("analyze", *options, "--readout", "nothing")
    told = " ".join(refused.output.split())  # lines are broken
    assert "readout: expected one tensor named 'nothing'" in told


def test_a_single_file_gets_its_exponent_and_no_verdict_on_a_run(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    torch.save(torch.nn.LSTM(2, 3).state_dict(), tmp_path / "net.pt")
    told = run("analyze", tmp_path / "net.pt", "--steps", 300).output
    found = lyapunov(tmp_path / "net.pt", steps=300, k=2)
    assert f"{found.exponents[0]:+.4g} ± 0" in told
    assert "fixed point 100%" in told
    assert "claim" not in told
    assert "transition" not in told


def test_what_is_assumed_is_told_by_analyze(tmp_path: Path) -> None:
    state = {f"net.{k}": v for k, v in torch.nn.RNN(2, 3).state_dict().items()}
    state["net.gain"] = torch.ones(3)
    for name in ("a-epoch2.pt", "b-epoch2.pt"):
        torch.save(state, tmp_path / name)
    told = " ".join(run("analyze", tmp_path, "-q", *FAST).output.split())
    assert "assumed: 2 files have the time 2, such as a-epoch2.pt and b-ep" in told
    assert "tanh is taken; if it is relu: --module 'net (relu)'" in told
    assert "assumed: tensors of the net are not used: net.gain" in told
    run("report", tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<p>Assumed: tensors of the net are not used: net.gain.</p>" in page
    del state["net.gain"]
    torch.save(state, tmp_path / "a-epoch2.pt")
    options = ["-q", *FAST, "--module", "net (relu)"]
    assert "assumed:" not in run("analyze", tmp_path / "a-epoch2.pt", *options).output


def test_claims_that_cannot_be_told_take_a_line_a_reason(tmp_path: Path) -> None:
    for epoch in range(3):
        torch.save(torch.nn.LSTM(2, 3).state_dict(), tmp_path / f"epoch_{epoch}.pt")
    told = run("analyze", tmp_path, "-q", *FAST).output
    assert "claims of Wei et al. 2025 that cannot be told:" in told
    assert "  3 by chaos, 3 by stability: no test losses are known" in told
    assert "│" not in told  # no table of claims
    assert len(re.findall(r"^ *epoch_\d.pt .*±", told, re.MULTILINE)) == 3


def test_a_single_checkpoint_is_one(make_run: Callable[..., Path]) -> None:
    folder = make_run(1)
    assert "\n1 checkpoint  " in run("analyze", folder, *FAST).output
    merged = run("merge", folder, "-o", folder / "whole.sqlite")
    assert "(1 checkpoint)" in merged.output
    assert ": 1 checkpoint (" in repr(open_sweep(folder))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["analyze", "EMPTY"], 1),
        (["analyze", "nothing/here"], 1),
        (["report", "EMPTY"], 1),
        (["analyze"], 2),
        (["analyze", "EMPTY", "--steps", "many"], 2),
        (["demo", "--quick", "--full"], 2),
        (["train", "poetry"], 2),
        (["nonsense"], 2),
    ],
)
def test_errors_are_one_line_with_an_exit_code(
    arguments: list[str], code: int, tmp_path: Path
) -> None:
    result = run(*[str(tmp_path) if a == "EMPTY" else a for a in arguments])
    assert result.exit_code == code
    assert "Traceback" not in result.output
    *_, last = result.output.strip().splitlines()
    assert last.lower().startswith("error: ")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = run("--debug", "analyze", tmp_path)
    assert result.exception is not None
    assert not isinstance(result.exception, SystemExit)


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_ctrl_c_ends_calls_and_the_same_command_goes_on(
    make_run: Callable[..., Path],
) -> None:
    folder = make_run(2, hidden_sizes=(40,))
    # no checkpoint ever ends: the calls themselves must be interrupted
    endless = ["--steps", "1000000000", "--samples", "2"]
    code = "from lstm_edge.cli import main; main()"
    command = [code, "analyze", str(folder), *endless]
    process = subprocess.Popen(
        [sys.executable, "-c", *command], stderr=subprocess.PIPE, text=True
    )
    with process:
        while not (folder / "analysis.sqlite").exists():
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)  # a call has most likely begun
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert process.returncode == 130
    assert "run the same command again" in error
    assert run("analyze", folder, *FAST).exit_code == 0


def test_the_module_runs_as_the_command_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lstm_edge", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: lstm-edge [OPTIONS] COMMAND")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands(shell: str) -> None:
    def asked(how: str, **words: str) -> str:
        env = {"_LSTM_EDGE_COMPLETE": f"{shell}_{how}", **words}
        return CliRunner().invoke(main, prog_name="lstm-edge", env=env).output

    assert "_LSTM_EDGE_COMPLETE" in asked("source")
    words = {"COMP_WORDS": "lstm-edge ana", "COMP_CWORD": "1"}
    words["COMP_WORDS"] = "lstm-edge" if shell == "fish" else words["COMP_WORDS"]
    words["COMP_CWORD"] = "ana" if shell == "fish" else words["COMP_CWORD"]
    assert "analyze" in asked("complete", **words)


def test_help_states_the_defaults_of_the_measures() -> None:
    options = {option.name: option for option in main.commands["analyze"].params}
    for measure, names in {
        "lyapunov": ("steps", "transient", "starts", "seed"),
        "attractors": ("transient", "starts", "seed"),
        "distance": ("samples", "seed"),
    }.items():
        for name in names:
            shown = options[name].show_default  # type: ignore[attr-defined]
            assert shown == str(MEASURES[measure].defaults[name])
