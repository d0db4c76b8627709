"""The tables of a study, as text: for the terminal and for the page."""

from __future__ import annotations

import math
from itertools import groupby

from lstm_edge.lab.studies.results import UNFINISHED, Group, Study
from lstm_edge.lab.studies.rules import FIRST_TRANSITION, ORACLE
from lstm_edge.report.tables import Table
from lstm_edge.track.claims import FAILS, HOLDS, OPEN

SHORT = {
    1: "several descents",
    2: "falls at transitions",
    3: "best at the first",
    4: "first is widest",
}
"""The claims of Wei et al. 2025, by number."""

MARKS = {HOLDS: "✓", FAILS: "✗", OPEN: "?"}


def claim_table(group: Group) -> Table:
    """Tell how often each claim holds."""
    header = ["claim", "holds", "does not", "untold", "share", "95 % interval"]
    rows = []
    for found in group.claims:
        told = found.holds + found.fails
        share = f"{found.holds / told:.0%}" if told else ""
        interval = f"{found.low:.0%} to {found.high:.0%}" if told else ""
        counts = [str(n) for n in (found.holds, found.fails, found.untold)]
        by = f", {found.yardstick}" if found.yardstick else ""
        claim = f"{found.number} {SHORT[found.number]}{by}"
        rows.append([claim, *counts, share, interval])
    return header, rows


def fall_table(group: Group) -> Table:
    """Tell how many falls of all runs come with a change, and how many by chance."""
    header = ["falls that come with a", "falls", "hits", "by chance", "p"]
    rows = [
        [
            found.change,
            str(found.falls),
            str(found.hits),
            f"{found.expected:.2g}" if found.falls else "",
            f"{found.p_value:.2g}" if found.falls else "",
        ]
        for found in group.falls
    ]
    return header, rows


def regret_table(group: Group) -> Table:
    """Tell what each rule loses."""
    header = ["rule", "found", "test loss", "regret", "interval", "epochs"]
    header += ["wins / losses", "p"]
    rows = []
    for found in group.regrets:
        known = math.isfinite(found.low + found.high)
        # nothing can win against the best there is, or against itself
        rival = found.rule not in (FIRST_TRANSITION, ORACLE)
        rows.append(
            [
                found.rule,
                f"{found.decided}/{found.runs}",
                f"{found.test_loss:.3f}",
                f"{found.regret:.3f}",
                f"{found.low:.3f} to {found.high:.3f}" if known else "too few",
                f"{found.trained:g}",
                f"{found.better} / {found.worse}" if rival else "",
                f"{found.p_value:.2g}" if rival and found.p_value <= 1 else "",
            ]
        )
    return header, rows


def run_table(study: Study) -> Table:
    """Give each run: its first span, the claims, and the test loss of each rule.

    Of one without a result it says so; `Study.unfinished` tells why.
    """
    rules = list(dict.fromkeys(rule for run in study.done for rule in run.choices))
    header = ["run", "span", "claims", *rules]
    rows = []
    for run in study.runs:
        if run.message:
            state = UNFINISHED if run.message == UNFINISHED else "failed"
            rows.append([run.label, state, *[""] * (len(header) - 2)])
            continue
        begin, end = run.span
        span = "none" if math.isnan(begin) else f"{begin:g}-{end:g}"
        marks = " ".join(
            str(number) + "".join(MARKS[c.answer] for c in claims)
            for number, claims in groupby(run.claims, lambda claim: claim.number)
        )
        losses = [
            f"{run.choices[rule].test_loss:.3f}" if rule in run.choices else ""
            for rule in rules
        ]
        rows.append([run.label, span, marks, *losses])
    return header, rows
