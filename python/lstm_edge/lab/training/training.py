"""Training with PyTorch: dense checkpoints, and resumption with the same bits.

``resume/`` holds the model, the optimiser and the random state at some checkpoints; a
killed run goes on from the newest with the same bits. On the CPU training runs on one
thread: the bits do not depend on the machine's cores.
"""

from __future__ import annotations

import copy
import importlib.metadata
import math
import platform
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lstm_edge.errors import UsageError
from lstm_edge.lab.tasks.table import Preset, find_preset, make_task
from lstm_edge.lab.tasks.task import Task
from lstm_edge.lab.training.recording import (
    AtEdge,
    Position,
    Recording,
    Values,
    Writer,
    keep_every,
    kept_apart,
    snapshots,
    written,
)
from lstm_edge.lab.training.runs import (
    COLUMNS,
    DAMAGE,
    damaged,
    load_state,
    only_trainer,
    open_run,
)
from lstm_edge.lab.training.schedules import parse_interval, parse_schedule
from lstm_edge.lab.training.space import Space, space_needed
from lstm_edge.lab.training.trainer import Evaluator, Trainer, reproducible

DEFAULTS: dict[str, Any] = {
    "cell": "lstm",
    "hidden_size": 100,
    "layers": 1,
    "learning_rate": 1e-2,
    "decay": 1.0,
    "betas": (0.9, 0.999),
    "batch_size": 64,
    "epochs": 700,
}
"""Settings where neither the call nor a preset names others."""

USUAL: dict[str, Any] = {
    "epsilon": 1e-8,
    "weight_decay": 0.0,
    "clip": math.inf,
    "precision": "float32",
}
"""Settings that a run names only where they are others."""


@dataclass(frozen=True)
class TrainingProgress:
    """Where training stands; times in seconds, since this call began."""

    update: int
    epoch: float
    epochs: int
    train_loss: float
    test_loss: float
    test_accuracy: float
    elapsed: float
    eta: float


def train(
    task: str | Task = "digits",
    out: str | PathLike[str] | None = None,
    *,
    data: str | PathLike[str] | None = None,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    cell: str | None = None,
    hidden_size: int | None = None,
    layers: int | None = None,
    learning_rate: float | None = None,
    decay: float | None = None,
    betas: tuple[float, float] | None = None,
    epsilon: float | None = None,
    weight_decay: float | None = None,
    clip: float | None = None,
    precision: str | None = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    every: str = "1epoch",
    evaluate: str = "1epoch",
    seed: int = 0,
    device: str = "cpu",
    at_edge: AtEdge | None = None,
    on_plan: Callable[[Space], None] | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
) -> Path:
    """Train a recurrent net with Adam, and keep dense checkpoints.

    A call that was killed goes on where it was when it is made again, and ends with
    the same bits as one that was not, with the same versions and device; on CUDA
    PyTorch's deterministic algorithms are used.

    Parameters
    ----------
    task : str or Task, default "digits"
        A name in `TASKS`, or a task of one's own.
    out : path, optional
        Run folder; ``runs/<task>`` by default.
    data : path, optional
        Data of the task, where it needs some.
    preset : str, optional
        A name in `PRESETS`, for all that is not given here. Default: the task's own,
        where there is one; what that does not name is in `DEFAULTS`.
    options : mapping, optional
        Arguments of the function in `TASKS`.
    cell : str
        ``"lstm"``, ``"gru"`` or ``"rnn"`` (Elman's, with tanh), as PyTorch names them.
    hidden_size : int
        Hidden units of each layer.
    layers : int
        Recurrent layers.
    learning_rate : float
        Of Adam, at first.
    decay : float
        Factor by which the learning rate falls until the end, exponentially.
    betas : (float, float)
        Decay rates of Adam's two moments.
    epsilon : float
        Of Adam, which keeps it from dividing by zero; 1e-8 where it is not given.
    weight_decay : float
        Of Adam: so much of the weights is added to the gradient; 0 by default.
    clip : float
        Largest L2 norm of the gradient; longer ones are shortened. Default: none are.
    precision : {"float32", "float64"}
        In which the net is trained, and checkpoints are kept.
    batch_size : int
        Sequences an update; the last batch of an epoch takes what is left.
    epochs : int
        Passes through the training set.
    every : str, default "1epoch"
        Checkpoint schedule, as `parse_schedule` of `schedules` reads it: ``"5epochs"``,
        ``"10updates"``, ``"log:20"``, ``"edge"``. The untrained net
        (update 0) and the last update are always kept.
    evaluate : str, default "1epoch"
        At the first checkpoint after so much, losses and accuracy are evaluated on the
        whole sets; they are nan at checkpoints between.
    seed : int, default 0
        Of the split of the data, the initial weights and the batches.
    device : str, default "cpu"
        Where PyTorch computes.
    at_edge : callable, optional
        Tells whether the edge of chaos is near, as `lstm_edge.measures.at_edge` does:
        asked once an epoch by the schedule ``"edge"``, and training waits for it.
    on_plan : callable, optional
        Called before training with the `Space` that the run will need.
    progress : callable, optional
        Called with a `TrainingProgress` after every checkpoint.

    Returns
    -------
    Path
        The run folder: ``run.json``, ``metrics.csv``, ``probe.safetensors``,
        ``checkpoints/update-XXXXXXXX.safetensors`` (weights only, float32) and
        ``resume/``. Where an embedding is more than twice as large as all other
        weights, it is kept in ``embeddings/``, so rarely that all of them take no more
        than twice the space of the rest; the newest at its time belongs to a
        checkpoint, which says so. The norms (L2) in a row of metrics are those of the
        last gradient and the last change of the weights, nan at update 0.

    Raises
    ------
    UsageError
        If a setting cannot work, or the folder holds a run with other settings, or
        another process trains into it.
    LstmEdgeError
        If training diverges, or the disk has not the space that the run needs.
    """
    settings = {
        "cell": cell,
        "hidden_size": hidden_size,
        "layers": layers,
        "learning_rate": learning_rate,
        "decay": decay,
        "betas": betas,
        "epsilon": epsilon,
        "weight_decay": weight_decay,
        "clip": clip,
        "precision": precision,
        "batch_size": batch_size,
        "epochs": epochs,
    }
    with prepare(
        task,
        out,
        data=data,
        preset=preset,
        options=options,
        every=every,
        evaluate=evaluate,
        seed=seed,
        device=device,
        at_edge=at_edge,
        **settings,
    ) as run:
        if on_plan is not None:
            on_plan(run.space)
        run.space.check(run.folder)
        with closing(run.rows()) as rows:
            for shown in _progress(rows, run.trainer):
                if progress is not None:
                    progress(shown)
    return run.folder


@dataclass(frozen=True)
class Prepared:
    """A run that is about to begin, or to go on.

    Attributes
    ----------
    folder : Path
        Locked; it says already what the run is.
    trainer : Trainer
        Where a former call ended.
    space : Space
        That the run still needs.
    """

    folder: Path
    trainer: Trainer
    space: Space
    _recording: Recording
    _metadata: Mapping[str, str]
    _position: Position | None

    def rows(self) -> Generator[Values]:
        """Train, write the checkpoints, and give their rows of metrics."""
        trainer = self.trainer
        model = copy.deepcopy(trainer.model)
        evaluator = Evaluator(trainer.task, model, trainer.updates_per_epoch)
        kept_apart = self._recording.embeddings
        writer = Writer(self.folder, evaluator, kept_apart, self._metadata)
        return written(snapshots(trainer, self._recording, self._position), writer)


@contextmanager
def prepare(
    task: str | Task,
    out: str | PathLike[str] | None,
    *,
    data: str | PathLike[str] | None = None,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    every: str = "1epoch",
    evaluate: str = "1epoch",
    seed: int = 0,
    device: str = "cpu",
    at_edge: AtEdge | None = None,
    **given: Any,
) -> Iterator[Prepared]:
    """Refuse what cannot work, and open the folder of a run; nothing is trained yet.

    Parameters and errors are those of `train`.
    """
    name, own = (task, None) if isinstance(task, str) else (task.name, task)
    found = Preset(name) if own else find_preset(preset, name)
    settings = DEFAULTS | found.settings | _given(given) | {"device": device}
    settings["betas"] = list(settings["betas"])
    for setting, usual in USUAL.items():  # runs of before have none of these
        if settings.get(setting, usual) == usual:
            settings.pop(setting, None)
    chosen_options = found.options | _given(options or {})
    _check_settings(settings, seed)
    chosen = own or make_task(name, data, seed=seed, **chosen_options)
    folder = Path("runs") / name if out is None else Path(out)
    with reproducible(seed, device):
        trainer = Trainer(chosen, settings, seed)
        recording = make_recording(trainer, every, evaluate, at_edge)
        description = {
            "task": name,
            "data": None if data is None else str(data),
            "options": chosen_options,
            "settings": settings,
            "seed": seed,
            "versions": versions(),
            "schedule": every,
            "evaluate": evaluate,
            "updates_per_epoch": trainer.updates_per_epoch,
            "closed_loop": chosen.closed_loop,
            "dt": chosen.dt,
            "data_digest": chosen.digest,
        }
        with only_trainer(folder):
            open_run(folder, description, chosen.probe)
            position = _go_back(folder, trainer)
            yield Prepared(
                folder,
                trainer,
                space_needed(trainer, recording, folder),
                recording,
                metadata_of(description),
                position,
            )


def _go_back(folder: Path, trainer: Trainer) -> Position | None:
    """Bring a trainer to where a former call ended; None at the start."""
    state = load_state(folder)
    if state is None:
        return None
    try:
        trainer.restore(state)
        return Position(**state["position"])
    except DAMAGE as error:
        raise damaged(folder / "resume", error) from error


def make_recording(
    trainer: Trainer, every: str, evaluate: str, at_edge: AtEdge | None = None
) -> Recording:
    """Read the schedules of a run.

    Raises
    ------
    UsageError
        If one cannot be read, or needs `at_edge`.
    """
    schedule = parse_schedule(every, trainer.updates_per_epoch)
    if at_edge is None and schedule.looks(0):
        raise UsageError(
            f"at_edge: the schedule {every!r} needs a function that tells whether the "
            "edge is near, found None; lstm_edge.measures.at_edge is one"
        )
    embeddings, embedding_every = kept_apart(trainer.model)
    return Recording(
        schedule=schedule,
        last=trainer.last,
        evaluate=parse_interval(evaluate, trainer.updates_per_epoch, "evaluate"),
        keep=keep_every(trainer.last),
        embeddings=embeddings,
        embedding_every=embedding_every,
        at_edge=at_edge,
    )


def metadata_of(description: Mapping[str, Any]) -> dict[str, str]:
    """Give what every checkpoint of a run says of it."""
    metadata = {
        "cell": description["settings"]["cell"],
        "task": description["task"],
        "seed": str(description["seed"]),
    }
    if metadata["cell"] == "rnn":
        metadata["nonlinearity"] = "tanh"
    if description["closed_loop"]:
        metadata |= {"closed_loop": "true", "dt": repr(description["dt"])}
    return metadata


def _progress(rows: Iterator[Values], trainer: Trainer) -> Iterator[TrainingProgress]:
    """Tell where training stands at each row; losses are the last known ones."""
    begun = time.perf_counter()
    known: Values = {}
    first: tuple[int, float] | None = None
    for row in rows:
        known |= {k: v for k, v in row.items() if k not in known or v == v}
        update, elapsed = row["update"], time.perf_counter() - begun
        first = first or (update, elapsed)
        done, spent = update - first[0], elapsed - first[1]
        yield TrainingProgress(
            epochs=trainer.last // trainer.updates_per_epoch,
            elapsed=elapsed,
            eta=spent / done * (trainer.last - update) if done else math.nan,
            **{name: known[name] for name in COLUMNS[:5]},
        )


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _check_settings(settings: dict[str, Any], seed: int) -> None:
    for name in ("hidden_size", "layers", "batch_size", "epochs"):
        if not isinstance(settings[name], int) or settings[name] < 1:
            raise UsageError(
                f"{name}: expected an integer >= 1, found {settings[name]}"
            )
    if not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise UsageError(f"seed: expected an integer >= 0, below 2^63, found {seed}")
    for name in ("learning_rate", "decay"):
        if not (settings[name] > 0 and math.isfinite(settings[name])):
            raise UsageError(f"{name}: expected a number > 0, found {settings[name]}")
    _check_adam(settings)
    betas = settings["betas"]
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise UsageError(f"betas: expected two numbers in [0, 1), found {betas}")
    try:
        torch.zeros((), device=settings["device"])
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"device: {settings['device']!r} is not available ({error})"
        ) from error


def _check_adam(settings: dict[str, Any]) -> None:
    for name in USUAL.keys() & settings.keys() - {"precision"}:
        if not (settings[name] > 0 and math.isfinite(settings[name])):
            raise UsageError(f"{name}: expected a number > 0, found {settings[name]}")
    if settings.get("precision", "float64") != "float64":
        raise UsageError(
            f"precision: expected float32 or float64, found {settings['precision']!r}"
        )


def versions() -> dict[str, str]:
    """Give the versions that bits depend on."""
    versions = {"python": platform.python_version(), "torch": str(torch.__version__)}
    versions["numpy"] = np.__version__
    try:
        versions["lstm_edge"] = importlib.metadata.version("lstm-edge")
    except importlib.metadata.PackageNotFoundError:  # run from its source
        versions["lstm_edge"] = "unknown"
    return versions
