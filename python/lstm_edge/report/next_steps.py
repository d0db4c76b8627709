"""What would tell more of a run, with the command that does it."""

from __future__ import annotations

import shlex
from pathlib import Path

from lstm_edge.display import in_words
from lstm_edge.results.sweep import Sweep
from lstm_edge.track.zoom_intervals import Interval

MOST = 6
"""Intervals that are named."""

_MORE = 12
"""Checkpoints within an interval that would show what happens there."""


def next_steps(sweep: Sweep) -> list[str]:
    """Say where more checkpoints would tell more, and how to get them.

    A run of ``lstm-edge train`` can be replayed there; of any other training they have
    to be saved more often.
    """
    run = Path(str(sweep.run.get("source", ".")))
    own = (run / "run.json").is_file() and not sweep.run.get("part")
    return [
        _replay(run, interval) if own else _save(interval)
        for interval in sweep.track.zoom_intervals[:MOST]
    ]


def _replay(run: Path, interval: Interval) -> str:
    first, last = in_words(interval.first), in_words(interval.last)
    command = f"lstm-edge zoom {shlex.quote(str(run))} --from {first} --to {last}"
    return f"to see the {interval.reason} update by update: {command}"


def _save(interval: Interval) -> str:
    apart = max(1, int(interval.last - interval.first) // _MORE)
    often = "every one" if apart == 1 else f"every {apart}"
    return (
        f"to see the {interval.reason} closely: save {often} between "
        f"{in_words(interval.first)} and {in_words(interval.last)}"
    )
