"""Studies: early stopping, the rules compared, statistics over runs, resumption."""

from __future__ import annotations

import html
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from click.testing import CliRunner

from lstm_edge import EdgeMonitor, analyze, open_sweep
from lstm_edge.cli import main
from lstm_edge.errors import ConflictError, LstmEdgeError, UsageError
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.lab.studies import early_stopping, job
from lstm_edge.lab.studies.early_stopping import EarlyStop, hold_out, stop_early
from lstm_edge.lab.studies.page import write_study
from lstm_edge.lab.studies.results import Group, Study, open_study
from lstm_edge.lab.studies.rules import Choice, choices, history_of
from lstm_edge.lab.studies.statistics import compare_rules, count_claims
from lstm_edge.lab.studies.studying import StudyProgress, study
from lstm_edge.lab.studies.tables import (
    claim_table,
    fall_table,
    regret_table,
    run_table,
)
from lstm_edge.lab.tasks.digits import make_digits
from lstm_edge.lab.tasks.task import Task
from lstm_edge.lab.training.runs import write_state
from lstm_edge.lab.training.space import Space
from lstm_edge.lab.training.training import DEFAULTS
from lstm_edge.results.sweep import Sweep
from lstm_edge.store.rows import Row
from lstm_edge.track.claims import FAILS, HOLDS, OPEN, Claim

QUICK: dict[str, dict[str, Any]] = {
    "lyapunov": {"steps": 60, "transient": 30, "starts": 2},
    "attractors": {"steps": 200, "transient": 30, "limit": 400, "starts": 2},
    "distance": {"samples": 2, "steps": 40},
}
TRAINING = {"epochs": 6, "hidden_size": 4, "learning_rate": 0.03}
SETTINGS: dict[str, Any] = DEFAULTS | {
    "device": "cpu",
    "epochs": 40,
    "hidden_size": 12,
    "learning_rate": 0.05,
    "batch_size": 16,
}


@pytest.fixture(scope="module")
def task() -> Task:
    """Few digits, which overtrain soon."""
    full = make_digits()
    return replace(
        full,
        train_inputs=full.train_inputs[:60],
        train_targets=full.train_targets[:60],
        test_inputs=full.test_inputs[:50],
        test_targets=full.test_targets[:50],
    )


# ---- early stopping


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_what_is_held_out_is_not_trained_on(task: Task, share: float) -> None:
    part = hold_out(task, share, 3)
    sizes = len(part.train_targets), len(part.test_targets)
    assert sum(sizes) == 60
    assert sizes[1] == min(max(round(60 * share), 1), 59)
    both = torch.cat([part.train_inputs, part.test_inputs]).flatten(1)
    whole = task.train_inputs.flatten(1)
    assert sorted(both.tolist()) == sorted(whole.tolist())
    assert torch.equal(hold_out(task, share, 3).test_inputs, part.test_inputs)


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def by_hand(task: Task, share: float, patience: int, seed: int) -> EarlyStop:
    """Early stopping as one would write it."""
    order = np.random.default_rng(seed).permutation(len(task.train_targets))
    held = order[: round(share * len(order))]
    rest = order[len(held) :]
    torch.manual_seed(seed)
    model = task.make_model("lstm", SETTINGS["hidden_size"], 1)
    optimizer = torch.optim.Adam(
        model.parameters(), SETTINGS["learning_rate"], fused=True
    )
    inputs, targets = task.train_inputs, task.train_targets
    best = (math.inf, math.inf, -1)
    epoch = 0
    while True:
        with torch.no_grad():
            loss = float(task.objective.loss(model(inputs[held]), targets[held]))
            outputs = model(task.test_inputs)
            test = float(task.objective.loss(outputs, task.test_targets))
        if loss < best[0]:
            best = (loss, test, epoch)
        if epoch - best[2] >= patience or epoch == SETTINGS["epochs"]:
            return EarlyStop(share, patience, best[2], epoch, *best[:2])
        shuffled = np.random.default_rng((seed, epoch)).permutation(len(rest))
        for batch in np.split(shuffled, range(16, len(rest), 16)):
            optimizer.zero_grad()
            rows = rest[batch]
            loss_here = task.objective.loss(model(inputs[rows]), targets[rows])
            torch.autograd.backward(loss_here)
            optimizer.step()
        epoch += 1


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("share", "patience"), [(0.1, 2), (0.2, 5), (0.2, 100)])
def test_early_stopping_is_what_one_would_write(
    task: Task, tmp_path: Path, share: float, patience: int
) -> None:
    file = tmp_path / "stop.json"
    options: dict[str, Any] = {"settings": SETTINGS, "seed": 1}
    found = stop_early(task, file, share=share, patience=patience, **options)
    assert asdict(found) == pytest.approx(asdict(by_hand(task, share, patience, 1)))
    assert found.epoch < found.stopped <= 40
    again = stop_early(task, file, share=share, patience=patience, **options)
    assert again == found
    assert [*tmp_path.iterdir()] == [file]


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [0, 1, 7])
def test_killed_early_stopping_goes_on_with_the_same_bits(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    def kill(epoch: int, last: int) -> None:
        if epoch == at:
            raise Killed

    options: dict[str, Any] = {
        "settings": SETTINGS,
        "seed": 1,
        "share": 0.2,
        "patience": 9,
    }
    whole = stop_early(task, tmp_path / "whole.json", **options)
    monkeypatch.setattr(early_stopping, "STATE_SECONDS", 0.0)
    with pytest.raises(Killed):
        stop_early(task, tmp_path / "killed.json", progress=kill, **options)
    epochs: list[int] = []
    found = stop_early(
        task,
        tmp_path / "killed.json",
        progress=lambda epoch, last: epochs.append(epoch),
        **options,
    )
    assert found == whole
    assert epochs[0] == at  # the epoch whose state was not kept


NUMBERS = '"patience": 2, "epoch": 1, "stopped": 3, "held_out_loss": 1, "test_loss": 1'


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"share": "a", ' + NUMBERS + "}"])
def test_a_damaged_result_of_early_stopping_is_told(
    task: Task, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "stop.json"
    file.write_text(text)
    with pytest.raises(LstmEdgeError, match=r"stop\.json: .*remove it, and it is made"):
        stop_early(task, file, settings=SETTINGS, seed=1, share=0.2, patience=2)


@pytest.mark.parametrize("state", [None, {"update": 3}, {"losses": {"held_out": []}}])
def test_a_damaged_state_of_early_stopping_is_told(
    task: Task, tmp_path: Path, state: dict[str, Any] | None
) -> None:
    file = tmp_path / "stop.pt"
    if state is None:
        file.write_bytes(b"none")
    else:
        write_state(file, state)
    result = tmp_path / "stop.json"
    with pytest.raises(LstmEdgeError, match=r"stop\.pt: .*remove it, and it is made"):
        stop_early(task, result, settings=SETTINGS, seed=1, share=0.2, patience=2)


def test_early_stopping_that_diverges_is_told(task: Task, tmp_path: Path) -> None:
    settings = SETTINGS | {"learning_rate": 1e38}
    with pytest.raises(LstmEdgeError, match=r"20% held out diverged in epoch \d"):
        stop_early(
            task,
            tmp_path / "stop.json",
            settings=settings,
            seed=0,
            share=0.2,
            patience=40,
        )


# ---- rules


def made_sweep(phases: str, losses: list[float]) -> Sweep:
    """Give a sweep whose checkpoints have the phases o, e, c, one an epoch."""
    exponents = {"o": -0.1, "e": -0.01, "c": 0.1}
    names = {"o": "order", "e": "edge", "c": "chaos"}
    checkpoints, rows = {}, {}
    for epoch, (phase, loss) in enumerate(zip(phases, losses, strict=True)):
        name = f"u{epoch}"
        known = {"epoch": float(epoch), "test_loss": loss}
        checkpoints[name] = (10 * epoch, {k: v for k, v in known.items() if v == v})
        value = exponents[phase]
        rows[name, "lyapunov"] = Row(
            name,
            "lyapunov",
            "",
            scalars={
                "lambda_max": value,
                "lambda_max_stderr": 0.01,
                "lambda_mean": value,
                "phase": names[phase],
            },
            arrays={
                "per_start": np.array([[value - 0.5], [value]]),
                "per_start_stderr": np.array([[0.02], [0.01]]),
                "zero_margin": np.array([0.05, 0.03]),
            },
        )
    return Sweep(Path("made"), {}, checkpoints, rows)


STOPS = [EarlyStop(0.1, 20, 4, 9, 0.6, 0.55), EarlyStop(0.25, 20, 3, 8, 0.7, 0.65)]


def test_each_rule_takes_what_it_says() -> None:
    losses = [1.0 - 0.02 * i for i in range(20)] + [0.9] * 20
    losses[30] = 0.1
    sweep = made_sweep("o" * 12 + "e" * 4 + "c" * 24, losses)
    found = choices(sweep, STOPS)
    at = {rule: choice.epoch for rule, choice in found.items()}
    assert at == {
        "transition": 15,  # nearest to where the exponent crosses zero, 15.09
        "EdgeStopping": 15,
        "10 % held out": 4,
        "25 % held out": 3,
        "last": 39,
        "oracle": 30,
    }
    assert found["transition"].test_loss == losses[15]
    assert found["oracle"].test_loss == 0.1
    trained = {rule: choice.trained for rule, choice in found.items()}
    assert trained["transition"] == trained["last"] == trained["oracle"] == 39
    assert trained["EdgeStopping"] == 20  # the fifth chaotic one in a row
    assert trained["10 % held out"] == 9
    assert all(choice.decided for choice in found.values())


def test_where_there_is_no_transition_the_rules_take_the_last() -> None:
    found = choices(made_sweep("o" * 20, [1.0] * 19 + [0.5]), STOPS)
    for rule in ("transition", "EdgeStopping"):
        assert found[rule] == Choice(0.5, 19, 19, decided=False)


def test_weights_without_a_loss_count_as_the_nearest_with_one() -> None:
    losses = [1.0 - 0.02 * i for i in range(30)]
    losses[11] = losses[12] = losses[13] = math.nan
    found = choices(made_sweep("o" * 12 + "c" * 18, losses), STOPS)["transition"]
    assert (found.epoch, found.test_loss) in [(10, losses[10]), (14, losses[14])]


def test_a_sweep_holds_what_a_monitor_would_have_measured(
    make_run: Callable[..., Path],
) -> None:
    run = make_run(4, gains=[0.5, 2.0, 4.0, 8.0])
    settings: dict[str, Any] = {"steps": 300, "transient": 100, "starts": 3}
    sweep = analyze(run, inputs=None, settings={"lyapunov": settings})
    with EdgeMonitor(waiting=None, **settings) as monitor:
        for file in find_checkpoints(run):
            metrics = sweep.checkpoints[file.path.name][1]
            monitor.update(file.path, file.update, **metrics)
    assert history_of(sweep) == monitor.history


# ---- statistics


def claims(answer: str) -> list[Claim]:
    return [Claim(1, "", "one", answer, ""), Claim(2, "chaos", "two", OPEN, "")]


def test_claims_are_counted_with_wilsons_interval() -> None:
    runs = [claims(answer) for answer in [HOLDS] * 7 + [FAILS] * 2 + [OPEN]]
    first, second = count_claims(runs)
    assert (first.holds, first.fails, first.untold) == (7, 2, 1)
    n, p, z = 9, 7 / 9, scipy.stats.norm.ppf(0.975)
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert (first.low, first.high) == pytest.approx((middle - half, middle + half))
    assert (second.holds, second.fails, second.untold) == (0, 0, 10)
    assert math.isnan(second.low)


def test_rules_are_compared_run_by_run() -> None:
    random = np.random.default_rng(0)
    edge, other = random.uniform(0.2, 1.0, (2, 10))
    other[0] = edge[0]  # a draw
    runs = [
        {
            "transition": Choice(a, 5.0, 10.0, decided=i != 3),
            "10 % held out": Choice(b, 6.0, float(i)),
            "oracle": Choice(0.1, 7.0, 10.0),
        }
        for i, (a, b) in enumerate(zip(edge.tolist(), other.tolist(), strict=True))
    ]
    first, second, oracle = compare_rules(runs)
    assert (first.decided, first.runs, second.decided) == (9, 10, 10)
    assert first.regret == pytest.approx(np.median(edge) - 0.1)
    assert second.mean == pytest.approx(other.mean() - 0.1)
    assert second.trained == 4.5
    # an interval from the 2nd to the 9th of 10 covers the median with 1 - 22 / 2^10
    assert first.low == pytest.approx(np.sort(edge)[1] - 0.1)
    assert first.high == pytest.approx(np.sort(edge)[8] - 0.1)
    assert (second.better, second.worse) == (
        sum(edge < other),
        sum(edge > other),
    )
    few = min(second.better, second.worse)
    assert second.p_value == pytest.approx(
        min(1.0, 2 * sum(math.comb(9, i) for i in range(few + 1)) / 2**9)
    )
    assert (first.better, first.worse) == (0, 0)
    assert math.isnan(first.p_value)
    assert oracle.regret == oracle.low == oracle.high == 0.0
    assert oracle.worse == 10


def test_only_rivals_win_or_lose() -> None:
    names = ("transition", "last", "oracle")
    run = {name: Choice(0.5 - 0.1 * i, 1, 2) for i, name in enumerate(names)}
    header, rows = regret_table(Group("all runs", 6, [], [], compare_rules([run] * 6)))
    shown = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["wins / losses"] for row in shown] == ["", "0 / 6", ""]
    assert [row["p"] for row in shown] == ["", "0.031", ""]


def test_few_runs_have_no_interval() -> None:
    run = {"transition": Choice(0.5, 1, 2), "oracle": Choice(0.4, 1, 2)}
    first, _ = compare_rules([run] * 5)
    assert (first.low, first.high) == (-math.inf, math.inf)


# ---- studies


def seconds(folder: Path) -> dict[tuple[str, str], float]:
    """What each row took: it differs when the row is computed again."""
    rows = open_sweep(folder).rows
    return {place: row.seconds for place, row in rows.items()}


def test_a_study_gives_each_run_the_claims_and_the_rules(tmp_path: Path) -> None:
    options: dict[str, Any] = {"training": TRAINING, "settings": QUICK, "patience": 2}
    vary = {"cell": ["lstm", "gru"]}
    heard: list[str] = []
    found = study(
        out=tmp_path / "one",
        seeds=2,
        vary=vary,
        jobs=1,
        progress=lambda p: heard.append(f"{p.done}/{p.total}"),
        **options,
    )
    assert heard[0] == "0/4"
    assert heard[-1] == "4/4"
    assert [run.label for run in found.runs] == [
        "cell lstm, seed 0",
        "cell lstm, seed 1",
        "cell gru, seed 0",
        "cell gru, seed 1",
    ]
    assert found.unfinished == {}
    for run in found.runs:
        sweep = open_sweep(run.folder)
        assert run.claims == sweep.claims
        assert len(run.epoch) == run.checkpoints == 7
        assert set(run.choices) == {
            "transition",
            "EdgeStopping",
            "10 % held out",
            "20 % held out",
            "last",
            "oracle",
        }
        assert run.choices["oracle"].test_loss == np.nanmin(sweep.track.test_loss)
    groups = [group.name for group in found.groups]
    assert groups == ["all runs", "cell lstm", "cell gru"]
    assert [group.runs for group in found.groups] == [4, 2, 2]

    # the same in processes, in one go; then one more seed, and nothing again
    other = study(out=tmp_path / "two", seeds=2, vary=vary, jobs=2, **options)
    for a, b in zip(found.runs, other.runs, strict=True):
        assert replace(a, folder=b.folder) == b
    before = [seconds(run.folder) for run in other.runs[:2]]
    more = study(out=tmp_path / "two", seeds=3, vary=vary, jobs=2, **options)
    assert [seconds(run.folder) for run in more.runs[:2]] == before
    assert len(more.done) == 6
    assert more.runs[:2] == other.runs[:2]

    frame = more.to_pandas()
    assert len(frame) == 6
    assert frame["oracle: test loss"].notna().all()
    summary = json.loads(json.dumps(more.summary()))
    assert len(summary["runs"]) == 6
    assert summary["groups"][0]["claims"][0]["number"] == 1
    assert "6 of 6 runs done" in repr(more)
    assert "oracle" in more._repr_html_()
    page = write_study(more, tmp_path / "page" / "study.html").read_text()
    assert "cell gru, seed 2" in page
    assert "$" not in page.split("<body>")[1].split("<script>")[0]
    for header, rows in (
        run_table(more),
        claim_table(more.groups[0]),
        fall_table(more.groups[0]),
        regret_table(more.groups[0]),
    ):
        assert all(len(row) == len(header) for row in rows)


def without_others(call: Callable[[], Study]) -> Study:
    """Call until no other process trains into the folder."""
    while True:
        try:
            return call()
        except UsageError as error:
            if "another process is training" not in str(error):
                raise
            time.sleep(0.1)


def test_a_study_goes_on_after_a_kill_with_the_same_results(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path\n"
        "from lstm_edge.lab.studies.studying import study\n"
        "if __name__ == '__main__':\n"
        f"    study(out={str(tmp_path / 'killed')!r}, seeds=2, jobs=2, patience=2,\n"
        f"        training={TRAINING!r}, settings={QUICK!r})\n"
    )
    file = tmp_path / "script.py"
    file.write_text(script)
    with subprocess.Popen([sys.executable, file]) as process:
        runs = [tmp_path / "killed" / f"seed-{seed}" for seed in (0, 1)]
        while not all(len([*run.glob("checkpoints/*")]) > 2 for run in runs):
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    # its processes end with it, and hold their locks until then
    options: dict[str, Any] = {"training": TRAINING, "settings": QUICK, "patience": 2}
    again = partial(study, out=tmp_path / "killed", seeds=2, jobs=1, **options)
    found = without_others(again)
    while any("another process" in message for message in found.unfinished.values()):
        time.sleep(0.1)
        found = without_others(again)
    whole = study(out=tmp_path / "whole", seeds=2, jobs=1, **options)
    for a, b in zip(found.runs, whole.runs, strict=True):
        assert replace(a, folder=b.folder) == b


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_ctrl_c_ends_a_study_and_its_processes(tmp_path: Path) -> None:
    command = ["study", "--out", str(tmp_path), "--seeds", "2", "--jobs", "2"]
    command += ["--epochs", "100000", "--hidden-size", "4"]
    code = ["from lstm_edge.cli import main; main()", *command]
    process = subprocess.Popen(
        [sys.executable, "-c", *code], stderr=subprocess.PIPE, text=True
    )
    with process:
        while not all((tmp_path / f"seed-{seed}/run.json").exists() for seed in (0, 1)):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()  # which ends when all processes have
    assert process.returncode == 130
    assert error.splitlines()[-1].startswith("interrupted: what was finished is kept")


def test_a_run_that_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    arguments = ["study", "--out", str(tmp_path), "--seeds", "1", "--jobs", "1"]
    arguments += ["--vary", "learning-rate=1e38,0.03", "--epochs", "3"]
    arguments += ["--hidden-size", "3", "--steps", "60", "--transient", "30"]
    result = CliRunner().invoke(main, [*arguments, "--starts", "2", "--samples", "2"])
    assert result.exit_code == 3, result.output
    assert "learning rate 1e+38, seed 0: " in result.output
    # at once, and at the end
    assert result.output.replace("\n", " ").count("training diverged") == 2
    assert (tmp_path / "report.html").exists()
    found = open_study(tmp_path)
    assert [run.label for run in found.done] == ["learning rate 0.03, seed 0"]
    page = (tmp_path / "report.html").read_text()
    assert "Runs without a result" in page
    (tmp_path / "report.html").unlink()
    assert CliRunner().invoke(main, ["report", str(tmp_path)]).exit_code == 0
    assert "training diverged" in (tmp_path / "report.html").read_text()
    refused = CliRunner().invoke(main, ["report", str(tmp_path), "--figures", "x"])
    assert refused.exit_code == 2
    assert "is a study" in refused.output


def test_a_study_without_a_result_has_a_report(tmp_path: Path) -> None:
    found = study(
        out=tmp_path,
        seeds=1,
        jobs=1,
        training=TRAINING | {"learning_rate": 1e38},
        settings=QUICK,
    )
    assert found.groups == []
    assert found.verdict == "No run is done yet."
    assert "0 of 1 runs" in write_study(found, tmp_path / "report.html").read_text()


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"task": "nothing"}, "task: expected one of digits"),
        ({"seeds": 0}, "seeds: expected"),
        ({"seeds": []}, r"seeds: expected some, each once, found \[\]"),
        ({"seeds": [1, 1]}, r"seeds: expected some, each once, found \[1, 1\]"),
        ({"jobs": 0}, "jobs: expected"),
        ({"patience": 0}, "patience: expected"),
        ({"shares": [0.0]}, "shares: expected some between 0 and 1, found 0.0"),
        ({"vary": {"colour": [1]}}, "vary: expected some of cell, .*'colour'"),
        ({"vary": {"layers": []}}, r"vary: layers: expected values, each once, .*\[\]"),
        ({"vary": {"layers": [1, 1]}}, "vary: layers: expected values, each once"),
        ({"vary": {"layers": 4}}, "vary: layers: expected numbers, found 4"),
        ({"training": {"out": "x", "to": 1}}, "training: expected some of .* out, to"),
        ({"vary": {"layers": ["a"]}}, r"vary: layers: expected numbers, found \['a'\]"),
        ({"vary": {"layers": "12"}}, "vary: layers: expected numbers, found 12"),
        ({"vary": {"layers": [[1]]}}, "vary: layers: expected numbers, found"),
        ({"vary": {"cell": [3]}}, r"vary: cell: expected names, found \[3\]"),
        ({"training": {"hidden_size": -1}}, "hidden_size: expected an integer >= 1"),
        ({"training": {"preset": "wei2025"}}, "preset: expected one of"),
        ({"settings": {"lyapunov": {"stepz": 1}}}, "stepz"),
    ],
)
def test_wrong_usage_is_told_at_once(
    tmp_path: Path, jobs: int, wrong: dict[str, Any], message: str
) -> None:
    options: dict[str, Any] = {"out": tmp_path, "seeds": 2, "training": TRAINING}
    with pytest.raises(UsageError, match=message):
        study(**(options | {"jobs": jobs} | wrong))
    assert not (tmp_path / "study.json").exists()


def test_a_call_that_is_refused_leaves_the_study_as_it_is(tmp_path: Path) -> None:
    options: dict[str, Any] = {"seeds": 1, "jobs": 1, "settings": QUICK, "shares": []}
    found = study(out=tmp_path, training=TRAINING, **options)
    other = TRAINING | {"hidden_size": 5}
    with pytest.raises(UsageError, match="has hidden_size = 4, this call has 5"):
        study(out=tmp_path, training=other, **options)
    with pytest.raises(ConflictError, match="has hidden_size = 4, this call has 5"):
        study(out=tmp_path, training=other, **(options | {"seeds": [1, 0]}))
    assert open_study(tmp_path).description == found.description
    more = study(out=tmp_path, training=TRAINING, **(options | {"seeds": 2}))
    assert len(more.done) == 2


def test_a_folder_that_cannot_be_written_costs_its_own_run(tmp_path: Path) -> None:
    (tmp_path / "seed-0").mkdir()
    (tmp_path / "seed-0" / "early-stopping").write_text("in the way")
    found = study(
        out=tmp_path, seeds=2, jobs=1, training=TRAINING, settings=QUICK, patience=2
    )
    assert [run.seed for run in found.done] == [1]
    assert "seed-0: cannot be gone on with (" in found.unfinished["seed 0"]
    assert open_study(tmp_path) == found
    (tmp_path / "seed-0" / "early-stopping").unlink()
    again = study(
        out=tmp_path, seeds=2, jobs=1, training=TRAINING, settings=QUICK, patience=2
    )
    assert again.unfinished == {}
    assert again.runs[1] == found.runs[1]


def test_a_setting_that_cannot_work_costs_its_own_runs(tmp_path: Path) -> None:
    heard: list[StudyProgress] = []
    found = study(
        out=tmp_path,
        seeds=2,
        vary={"cell": ["none", "lstm"]},
        jobs=2,
        training=TRAINING,
        settings=QUICK,
        shares=[],
        progress=heard.append,
    )
    assert [run.label for run in found.done] == [
        "cell lstm, seed 0",
        "cell lstm, seed 1",
    ]
    message = "cell: expected one of lstm, gru, rnn, found 'none'"
    assert found.unfinished == {f"cell none, seed {seed}": message for seed in (0, 1)}
    told = [i for i, p in enumerate(heard) if p.error]
    assert [heard[i].text for i in told] == [
        f"cell=none/seed-{seed}: {message}" for seed in (0, 1)
    ]
    # before anything is trained
    assert all("training" not in p.text for p in heard[: told[-1]])
    assert (heard[-1].done, heard[-1].failed, heard[-1].total) == (4, 2, 4)
    assert open_study(tmp_path) == found
    assert run_table(found)[1][0][:2] == ["cell none, seed 0", "failed"]
    assert (
        html.escape(message) in write_study(found, tmp_path / "page.html").read_text()
    )


def test_a_run_that_turns_out_not_to_work_costs_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path, **options: Any) -> Sweep:
        if folder.name == "seed-0":
            raise UsageError("not with this one")
        return analyze(folder, **options)

    monkeypatch.setattr(job, "analyze", refuse)
    found = study(
        out=tmp_path, seeds=2, jobs=1, training=TRAINING, settings=QUICK, shares=[]
    )
    assert found.unfinished == {"seed 0": "not with this one"}
    assert [run.seed for run in found.done] == [1]


def test_the_space_of_all_runs_is_said_before_they_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"training": TRAINING, "settings": QUICK, "shares": []}
    said: list[Space] = []
    make = partial(study, out=tmp_path, jobs=1, on_plan=said.append, **options)
    make(seeds=1)
    one = said[0]
    assert one.checkpoints == 7
    make(seeds=3)  # one of them is there already
    assert (said[1].checkpoints, said[1].needed) == (14, 2 * one.needed)
    make(seeds=3)
    assert (said[2].checkpoints, said[2].needed) == (0, 0)

    # room for two, not for the three that are to come
    free = type("Usage", (), {"free": 2 * one.needed})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(
        LstmEdgeError, match=r"the study needs .*, the disk has .* free"
    ):
        make(seeds=6)
    assert said[3].checkpoints == 21
    assert (tmp_path / "study.json").read_bytes() == before
    assert [*tmp_path.glob("seed-3/checkpoints/*")] == []
    # what was refused stands in the way of nothing
    fewer = options | {"training": TRAINING | {"every": "3epochs"}}
    assert len(make(seeds=[3, 4], **fewer).done) == 2


def test_settings_that_do_not_fit_the_inputs_are_told_before_training(
    tmp_path: Path,
) -> None:
    settings = {"lyapunov": {"transient": 5}}  # the digits have 8 rows
    with pytest.raises(UsageError, match="expected at most 5 steps, the transient"):
        study(out=tmp_path, seeds=1, training=TRAINING, settings=settings)
    assert [*tmp_path.glob("seed-0/checkpoints/*")] == []


@pytest.mark.parametrize("text", [None, "{}", "[", '{"runs": 3}'])
def test_what_is_no_study_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "study.json").write_text(text)
    with pytest.raises(UsageError, match="expected the folder of a study"):
        open_study(tmp_path)


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ("hidden_size", "--vary: expected NAME=VALUE,VALUE, found 'hidden_size'"),
        ("hidden_size=", "vary: hidden_size: expected numbers, found ['']"),
        ("layers=1,b", "vary: layers: expected numbers, found [1, 'b']"),
        ("cell=lstm,lstm", "vary: cell: expected values, each once"),
        ("layers=1 layers=2", "--vary: expected layers once, with all its values"),
    ],
)
def test_wrong_values_to_vary_are_refused(
    tmp_path: Path, vary: str, message: str
) -> None:
    arguments = [word for text in vary.split() for word in ("--vary", text)]
    result = CliRunner().invoke(main, ["study", "--out", str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert message in result.output


SLEEPING = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
from lstm_edge.lab.studies.processes import do_all


@dataclass
class Sleep:
    folder: Path

    def __call__(self, hear):
        self.folder.touch()
        time.sleep(60)


if __name__ == "__main__":
    work = [Sleep(Path(name)) for name in sys.argv[1:]]
    do_all(work, 2, lambda folder, event: None)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_processes_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "sleeping.py"
    script.write_text(SLEEPING)
    marks = [tmp_path / "a", tmp_path / "b"]
    with subprocess.Popen([sys.executable, script, *marks]) as parent:
        while not all(mark.exists() for mark in marks):
            assert parent.poll() is None
            time.sleep(0.05)
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text()
        parent.kill()
    there = [Path("/proc") / child for child in children.split()]
    assert len(there) >= 2
    end = time.monotonic() + 30
    while any(map(running, there)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(running, there))


def running(process: Path) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
