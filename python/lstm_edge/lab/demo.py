"""The demo: a small LSTM on real data, from the untrained net to the report.

scikit-learn's digits are 8 x 8 images, read as 8 rows of 8, with the settings of their
preset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike

from lstm_edge.lab.training import training
from lstm_edge.report.page import write_report
from lstm_edge.results.sweep import Sweep
from lstm_edge.sweep.analysis import analyze
from lstm_edge.sweep.progress import Progress

SEED = 0
"""The first one: no seed is chosen for what comes of it."""


@dataclass(frozen=True)
class Size:
    """How much of everything.

    Attributes
    ----------
    hidden_size, epochs : int
        Of the training.
    samples : int
        Of the asymptotic distance.
    starts, steps, transient : int
        Of the exponents.
    refine : bool
        Analyse only the checkpoints that the transitions hang on.
    """

    hidden_size: int = 100
    epochs: int = 700
    samples: int = 32
    starts: int = 8
    steps: int = 2000
    transient: int = 1000
    refine: bool = True


STANDARD = Size()
QUICK = Size(hidden_size=32, epochs=60, samples=16)
FULL = Size(samples=500, refine=False)


def demo(
    out: str | PathLike[str] = "lstm-edge-demo",
    *,
    size: Size = STANDARD,
    seed: int = SEED,
    on_training: Callable[[training.TrainingProgress], None] | None = None,
    on_analysis: Callable[[Progress], None] | None = None,
) -> Sweep:
    """Train, analyse and report; a second call goes on where the first one ended.

    Parameters
    ----------
    out : path
        The run folder.
    size : Size
        `STANDARD`, `QUICK` or `FULL`.
    seed : int
        Of the training.
    on_training, on_analysis : callable, optional
        Called with the progress of either.

    Returns
    -------
    Sweep
        The report is in ``report.html`` of the run folder.
    """
    run = training.train(
        "digits",
        out,
        hidden_size=size.hidden_size,
        epochs=size.epochs,
        seed=seed,
        progress=on_training,
    )
    sweep = analyze(
        run,
        refine=size.refine,
        settings={
            "lyapunov": {
                "starts": size.starts,
                "steps": size.steps,
                "transient": size.transient,
            },
            "attractors": {"starts": size.starts, "transient": size.transient},
            "distance": {"samples": size.samples},
        },
        progress=on_analysis,
    )
    write_report(sweep, run / "report.html")
    return sweep
