"""One run of a study: trained, analysed, and trained again with data held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lstm_edge.files.inputs import read_probe
from lstm_edge.lab.studies.early_stopping import stop_early
from lstm_edge.lab.studies.results import early_stop_file
from lstm_edge.lab.studies.rules import held_out
from lstm_edge.lab.tasks.table import make_task
from lstm_edge.lab.tasks.text import PADDING
from lstm_edge.lab.training.runs import only_trainer, read_description
from lstm_edge.lab.training.space import Space
from lstm_edge.lab.training.training import prepare, train
from lstm_edge.measures.near_edge import at_edge
from lstm_edge.sweep.analysis import analyze
from lstm_edge.sweep.plan import Plan, merge_settings

Tell = Callable[[Path, str], None]
"""``tell(folder, text)``: what a run is doing."""


@dataclass(frozen=True)
class RunJob:
    """All that a process needs to make a run and to measure it.

    Attributes
    ----------
    folder : Path
        Of the run.
    task : str
    arguments : dict
        Of `train`, with the seed.
    settings : dict
        Of `analyze`.
    shares : tuple of float
    patience : int
    threads : int
        Cores for the sweep.
    """

    folder: Path
    task: str
    arguments: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]] | None
    shares: tuple[float, ...]
    patience: int
    threads: int

    def plan(self) -> Space:
        """Refuse what cannot work, and give the space that the run still needs.

        Raises
        ------
        LstmEdgeError
        """
        arguments = {"at_edge": at_edge, **self.arguments}
        with prepare(self.task, self.folder, **arguments) as run:
            self._check_settings()
            return run.space

    def __call__(self, tell: Tell) -> None:
        """Train, analyse every checkpoint, train again with data held out.

        Where short texts are padded at the end, the net is analysed under the token of
        padding, as that is what it lives under then.

        Each part goes on where a former call was killed.
        """

        def line(p: Any) -> None:
            tell(self.folder, f"training, epoch {p.epoch:.0f} of {p.epochs}")

        train(
            self.task,
            self.folder,
            at_edge=at_edge,
            progress=line,
            **self.arguments,
        )
        description = read_description(self.folder)
        at_end = description["options"].get("padding") == "end"
        analyze(
            self.folder,
            settings=self.settings,
            constant_token=PADDING if at_end else None,
            workers=1,
            threads=self.threads,
            progress=lambda p: tell(self.folder, f"analysing {p.done} of {p.total}"),
        )
        task = make_task(
            self.task,
            description["data"],
            seed=description["seed"],
            **description["options"],
        )
        with only_trainer(self.folder):
            for share in self.shares:
                file = early_stop_file(self.folder, share, self.patience)
                file.parent.mkdir(exist_ok=True)
                stop_early(
                    task,
                    file,
                    settings=description["settings"],
                    seed=description["seed"],
                    share=share,
                    patience=self.patience,
                    progress=partial(self._tell_epoch, tell, held_out(share)),
                )

    def _check_settings(self) -> None:
        """Refuse before training what the analysis could not take after it."""
        closed_loop = read_description(self.folder)["closed_loop"]
        probe = None if closed_loop else read_probe(self.folder)
        Plan(probe, merge_settings(self.settings)).check_that_inputs_end()

    def _tell_epoch(self, tell: Tell, stage: str, epoch: int, last: int) -> None:
        tell(self.folder, f"{stage}, epoch {epoch} of at most {last}")
