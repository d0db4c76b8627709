"""Whether weights averaged over the later half of the first edge are worth having.

Each run is trained, analysed, and trained again with a tenth of its training set held
out. The rules are compared by the test losses of what they take:

edge average      mean of the later half of the first edge, found without a test set
onset             the checkpoint at its end
EMA at the onset  exponential average of the same mean age, there
EMA at the end    the same at the last checkpoint
early stopping    the best epoch by the held-out loss
... and average   mean of as many epochs up to that as the edge average takes
last, oracle      the last checkpoint; the best one, by the test set

python benches/averaging.py --seeds 20 --out runs/averaging
"""

from __future__ import annotations

import argparse
import json
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.files.formats import read_tensors
from lstm_edge.lab.studies.early_stopping import hold_out
from lstm_edge.lab.studies.rules import FIRST_TRANSITION, Choice
from lstm_edge.lab.studies.statistics import compare_rules
from lstm_edge.lab.tasks.table import make_task
from lstm_edge.lab.tasks.task import Task
from lstm_edge.lab.training.runs import read_description
from lstm_edge.lab.training.trainer import Evaluator, Trainer, reproducible
from lstm_edge.lab.training.training import train
from lstm_edge.results.averaging import later_half, mean_of
from lstm_edge.sweep.analysis import analyze
from lstm_edge.track.transitions import first_transition

SHARE, PATIENCE, SAMPLES = 0.1, 20, 16


class Tester:
    """Test losses of weights by name."""

    def __init__(self, task: Task, settings: Mapping[str, Any]) -> None:
        model = task.make_model(
            settings["cell"], settings["hidden_size"], settings["layers"]
        )
        self.task, self.evaluator = task, Evaluator(task, model, 1)

    def __call__(self, weights: Mapping[str, Any]) -> float:
        tensors = {name: torch.as_tensor(np.asarray(x)) for name, x in weights.items()}
        self.evaluator.model.load_state_dict(tensors)
        loss, _ = self.evaluator.loss(self.task.test_inputs, self.task.test_targets)
        return loss


def measure(run: Path) -> dict[str, float]:
    """Give the test loss of each rule, and how many checkpoints the average takes."""
    description = read_description(run)
    settings, seed = description["settings"], description["seed"]
    task = make_task(description["task"], description["data"], seed=seed)
    sweep = analyze(run, refine=True, settings={"distance": {"samples": SAMPLES}})
    files = find_checkpoints(run)
    losses = np.array([sweep.checkpoints[f.path.name][1]["test_loss"] for f in files])
    found = {"last": losses[-1], "oracle": losses.min(), "averaged": 0.0}
    onset = first_transition(sweep.transitions)
    with reproducible(seed, "cpu"):
        test = Tester(task, settings)
        taken = 20
        if onset is not None:
            begin, end = later_half(onset)
            part = [f for f in files if begin <= f.update <= end]
            taken = len(part)
            found["averaged"] = taken
            found["edge average"] = test(mean_of(map(weights_of, part), "edge"))
            at = np.argmin([abs(f.update - onset.span[1]) for f in files])
            found["onset"] = losses[at]
            found["EMA at the onset"] = test(moving(files[: at + 1], taken))
        found["EMA at the end"] = test(moving(files, taken))
        found |= stop_early(task, settings, seed, taken, test)
    return {name: float(value) for name, value in found.items()}


def weights_of(file: Any) -> Mapping[str, Any]:
    return read_tensors(file.path)[0]


def moving(files: list[Any], length: int) -> dict[str, Any]:
    """Give the exponential average with the mean age of that over so many."""
    decay = 1 - 2 / (length + 1)
    total: dict[str, Any] = {}
    for file in files[-20 * length :]:
        for name, array in weights_of(file).items():
            new = np.asarray(array, np.float64)
            total[name] = total.get(name, new) * decay + (1 - decay) * new
    return {name: array.astype(np.float32) for name, array in total.items()}


def stop_early(
    task: Task, settings: Mapping[str, Any], seed: int, length: int, test: Tester
) -> dict[str, float]:
    """Train with a part held out, and give the test losses of the best epoch."""
    part = hold_out(task, SHARE, seed)
    trainer = Trainer(part, settings, seed)
    evaluator = Evaluator(part, trainer.model, 1)
    kept: deque[dict[str, Any]] = deque(maxlen=length)
    best, age, found = np.inf, 0, {}
    for epoch in range(settings["epochs"] + 1):
        trainer.advance(epoch * trainer.updates_per_epoch)
        kept.append(
            {k: v.numpy().copy() for k, v in trainer.model.state_dict().items()}
        )
        loss, _ = evaluator.loss(part.test_inputs, part.test_targets)
        age += 1
        if loss < best:
            best, age = loss, 0
            found["early stopping"] = test(kept[-1])
            found["early stopping, average"] = test(mean_of(kept, "held out"))
        if age >= PATIENCE:
            break
    return found


def main() -> None:
    """Train, measure and compare; a second call goes on where the first one ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--cell", default="lstm")
    parser.add_argument("--hidden", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("runs/averaging"))
    given = parser.parse_args()
    rows = []
    for seed in range(given.seeds):
        run = given.out / f"{given.task}-{given.cell}-{seed}"
        file = run / "averaging.json"
        if not file.exists():
            train(
                given.task,
                run,
                cell=given.cell,
                hidden_size=given.hidden,
                epochs=given.epochs,
                seed=seed,
            )
            file.write_text(json.dumps(measure(run)))
        rows.append(json.loads(file.read_text()))
        print(seed, {k: float(f"{v:.3g}") for k, v in rows[-1].items()}, flush=True)
    told = [row for row in rows if "edge average" in row]
    print(f"{len(told)} of {len(rows)} runs have a sustained onset of chaos")
    choices = [
        {
            FIRST_TRANSITION if name == "edge average" else name: Choice(loss, 0, 0)
            for name, loss in row.items()
            if name != "averaged"
        }
        for row in told
    ]
    print(
        f"{'rule':26}{'test loss':>10}{'regret':>10}  wins / losses of the average, p"
    )
    for found in compare_rules(choices):
        name = found.rule if found.rule != FIRST_TRANSITION else "edge average"
        beside = f"{found.better} / {found.worse}, {found.p_value:.2g}"
        print(f"{name:26}{found.test_loss:10.3g}{found.regret:10.2g}  {beside}")


if __name__ == "__main__":
    main()
