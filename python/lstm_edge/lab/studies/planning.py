"""The runs of a study before any of them begins: which can work, and their space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lstm_edge.errors import ConflictError, LstmEdgeError
from lstm_edge.lab.studies.job import RunJob
from lstm_edge.lab.studies.processes import attempt
from lstm_edge.lab.training.space import Space


@dataclass(frozen=True)
class StudyPlan:
    """What is known of a study before it begins.

    Attributes
    ----------
    work : list of RunJob
        The runs that can be made or gone on with.
    space : Space
        That all of them still need.
    refused : dict of Path to LstmEdgeError
        Folder of each other run, and why it cannot work.
    """

    work: list[RunJob]
    space: Space
    refused: dict[Path, LstmEdgeError]


def plan_study(work: Sequence[RunJob], tell: Callable[[Path, str], None]) -> StudyPlan:
    """Plan the runs one by one.

    Raises
    ------
    ConflictError
        If a run is there with other settings: those of this call are then wrong.
    LstmEdgeError
        If no run can work, of the first.
    """
    spaces: list[Space] = []
    planned: list[RunJob] = []
    refused: dict[Path, LstmEdgeError] = {}
    for job in work:
        tell(job.folder, "planning")
        found = attempt(job.folder, job.plan)
        if isinstance(found, ConflictError):
            raise found
        if isinstance(found, LstmEdgeError):
            refused[job.folder] = found
        else:
            planned.append(job)
            spaces.append(found)
    if not planned:
        raise next(iter(refused.values()))
    total = Space(
        checkpoints=sum(space.checkpoints for space in spaces),
        needed=sum(space.needed for space in spaces),
        free=spaces[-1].free,
    )
    return StudyPlan(planned, total, refused)
