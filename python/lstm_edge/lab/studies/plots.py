"""The figures of a study's page, with Plotly."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from lstm_edge.lab.studies.results import Study
from lstm_edge.lab.studies.rules import LAST, ORACLE
from lstm_edge.report.series import phase_bands
from lstm_edge.terms import PHASE_COLOURS

COLOURS = ("#0072B2", "#CC79A7", "#E69F00", "#009E73", "#56B4E9", "#999999", "#000000")
"""Of the rules; Okabe & Ito (2008)."""

SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star")


def regret_figure(study: Study) -> go.Figure:
    """Draw the regret of each rule: a box over the runs, and a dot for each."""
    figure = go.Figure()
    rules = [rule for rule in _rules(study) if rule != ORACLE]
    for rule, colour in zip(rules, COLOURS * len(rules), strict=False):
        runs = [run for run in study.done if rule in run.choices]
        figure.add_trace(
            go.Box(
                x=[
                    run.choices[rule].test_loss - run.choices[ORACLE].test_loss
                    for run in runs
                ],
                name=rule,
                text=[run.label for run in runs],
                hovertemplate="%{text}: %{x:.3g}<extra></extra>",
                boxpoints="all",
                jitter=0.5,
                pointpos=0,
                marker_color=colour,
            )
        )
    figure.update_layout(
        height=80 + 70 * len(rules),
        margin={"l": 130, "r": 20, "t": 10, "b": 50},
        showlegend=False,
        xaxis_title="regret in test loss",
        yaxis_autorange="reversed",
    )
    return figure


def phase_figure(study: Study) -> go.Figure:
    """Draw the phases of every run along its training, and what each rule takes."""
    figure = go.Figure()
    bars: dict[str, list[tuple[str, float, float]]] = {p: [] for p in PHASE_COLOURS}
    for run in study.done:
        bands = phase_bands(np.asarray(run.epoch, float), run.phase)
        for phase, spans in bands.items():
            bars[phase] += [(run.label, begin, end - begin) for begin, end in spans]
    for phase, drawn in bars.items():
        labels, begins, lengths = zip(*drawn, strict=True) if drawn else ((), (), ())
        figure.add_trace(
            go.Bar(
                y=labels,
                base=begins,
                x=lengths,
                name=phase,
                orientation="h",
                marker={"color": PHASE_COLOURS[phase], "line_width": 0},
                opacity=0.45,
                hoverinfo="skip",
            )
        )
    shown = [rule for rule in _rules(study) if rule != LAST]
    for i, rule in enumerate(shown):
        runs = [
            run
            for run in study.done
            if rule in run.choices and run.choices[rule].decided
        ]
        figure.add_trace(
            go.Scatter(
                x=[run.choices[rule].epoch for run in runs],
                y=[run.label for run in runs],
                customdata=[run.choices[rule].test_loss for run in runs],
                name=rule,
                mode="markers",
                marker={
                    "symbol": SYMBOLS[i % len(SYMBOLS)],
                    "size": max(18 - 3 * i, 6),  # those above hide none below
                    "color": "#222",
                    "line": {"color": "#fff", "width": 1},
                },
                hovertemplate=f"{rule}: epoch %{{x}}, test loss %{{customdata:.4g}}"
                "<extra>%{y}</extra>",
            )
        )
    figure.update_layout(
        height=140 + 34 * len(study.done),
        margin={"l": 130, "r": 20, "t": 60, "b": 50},
        barmode="overlay",
        bargap=0.25,
        xaxis_title="epoch",
        yaxis={"autorange": "reversed", "automargin": True},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    return figure


def _rules(study: Study) -> list[str]:
    return list(dict.fromkeys(rule for run in study.done for rule in run.choices))
