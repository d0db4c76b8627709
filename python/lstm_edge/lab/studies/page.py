"""The report of a study."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from lstm_edge.lab.studies import plots as study_plots
from lstm_edge.lab.studies.results import Group, Study
from lstm_edge.lab.studies.tables import (
    claim_table,
    fall_table,
    regret_table,
    run_table,
)
from lstm_edge.report.html_page import resource, table, write_page
from lstm_edge.report.tables import Table

RULES = (
    "Medians over the runs. Regret: the test loss of what a rule takes minus the best "
    "of the same run, with a 95 % interval from order statistics. Transition: "
    "the checkpoint that the sweep advises; EdgeStopping finds it while training, "
    "and goes back to it. A rule that finds nothing takes the last checkpoint. Held "
    "out: a run of its own on the rest of the training set, ended by early stopping. "
    "Epochs: trained until the rule knew. Wins and losses of the first transition "
    "against the rule: runs in which it has the lower, or the higher, test loss, and "
    "the p of a sign test."
)


def write_study(study: Study, path: str | PathLike[str]) -> Path:
    """Write one self-contained page: it needs no network and no other file.

    Parameters
    ----------
    study : Study
    path : path
        Written beside and renamed into place.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    return write_page(
        path,
        resource("lstm_edge.lab.studies", "study.html"),
        headline=html.escape(
            f"{study.description['task']}: {len(study.done)} of {len(study.runs)} runs"
        ),
        verdict=html.escape(study.verdict),
        claims=_by_group(study, claim_table),
        falls=_by_group(study, fall_table),
        regrets=_by_group(study, regret_table),
        rules=RULES,
        runs=table(*run_table(study)),
        evidence=_evidence(study),
        unfinished=_unfinished(study),
        settings=_settings(study),
        regret_figure=study_plots.regret_figure(study).to_json(),
        phase_figure=study_plots.phase_figure(study).to_json(),
    )


def _by_group(study: Study, make: Callable[[Group], Table]) -> str:
    """Make a table for all runs, and for each setting where there are several."""
    return "".join(
        f"<h3>{html.escape(group.name)}</h3>{table(*make(group))}"
        for group in study.groups
    )


def _evidence(study: Study) -> str:
    return "".join(
        f"<h3>{html.escape(run.label)}</h3><ul>"
        + "".join(
            f'<li class="{claim.answer.replace(" ", "-")}">'
            f"{claim.label}: <em>{html.escape(claim.answer)}</em> "
            f"{html.escape(claim.evidence)}</li>"
            for claim in run.claims
        )
        + "</ul>"
        for run in study.done
    )


def _unfinished(study: Study) -> str:
    if not study.unfinished:
        return ""
    rows = [[label, message] for label, message in study.unfinished.items()]
    return "<h2>Runs without a result</h2>" + table(["run", "why"], rows)


def _settings(study: Study) -> str:
    return table(
        ["setting", "value"],
        [
            [name, json.dumps(value)]
            for name, value in study.description.items()
            if name != "runs"
        ],
    )
