"""Falls of the test loss at every update: the part of the run around each, replayed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from lstm_edge.errors import UsageError
from lstm_edge.lab.zoom import zoom
from lstm_edge.results.sweep import Sweep
from lstm_edge.sweep.analysis import analyze
from lstm_edge.track.anatomy import Anatomy, dissect
from lstm_edge.track.falls import Fall
from lstm_edge.track.track import Track

MARGIN = 3
"""Checkpoints of the run before the peak and after the drop that are replayed too."""

FARTHEST = 5
"""Checkpoints before the drop to which the peak is followed back."""


def replay_falls(sweep: Sweep) -> list[Anatomy]:
    """Replay each fall of a run and dissect it at every update.

    What is replayed is kept in the run and not made again.

    Parameters
    ----------
    sweep : Sweep
        Of a run that `lstm_edge.lab.training.training.train` made.

    Raises
    ------
    UsageError
        If the sweep is of no such run.
    """
    run = Path(str(sweep.run.get("source", "")))
    if not (run / "run.json").is_file():
        raise UsageError(
            f"{sweep.path}: expected a sweep of a run of 'lstm-edge train', which "
            f"alone can be replayed, found one of {run}"
        )
    settings = {
        measure: {k: v for k, v in chosen.items() if k != "closed_loop"}
        for measure, chosen in sweep.run["settings"].items()
    }
    found = []
    for coarse in sweep.track.anatomies:
        first, last = _around(sweep.track, coarse.fall)
        part = analyze(zoom(run, first, last), settings=settings).track
        peak = _peak(sweep.track, coarse.fall)
        fine = dissect(part, steepest(part, replace(coarse.fall, peak=peak)))
        # what is usual elsewhere in the run is not seen in a part of it
        found.append(replace(fine, jump=coarse.jump, jumped=coarse.jumped))
    return found


def _around(track: Track, fall: Fall) -> tuple[int, int]:
    """Give updates of checkpoints around the way from the peak through the drop."""
    begin = int(np.searchsorted(track.update, _peak(track, fall)))
    end = int(np.searchsorted(track.update, fall.end))
    first = max(begin - MARGIN, 0)
    last = min(end + MARGIN, len(track.update) - 1)
    return int(track.update[first]), int(track.update[last])


def _peak(track: Track, fall: Fall) -> float:
    """Give the update of the peak, or of a checkpoint that is near enough."""
    near = max(int(np.searchsorted(track.update, fall.begin)) - FARTHEST, 0)
    return max(fall.peak, float(track.update[near]))


def steepest(track: Track, fall: Fall) -> Fall:
    """Give the steepest drop of a fall as a track of every update shows it.

    Parameters
    ----------
    track : Track
        Of the part around its steepest drop.
    fall : Fall
        As the run shows it.
    """
    inside = np.isfinite(track.test_loss)
    inside &= (fall.begin <= track.update) & (track.update <= fall.end)
    time, loss = track.update[inside], track.test_loss[inside]
    at = int(np.argmin(np.diff(np.log(loss))))
    return Fall(
        peak=fall.peak,
        begin=time[at].item(),
        end=time[at + 1].item(),
        valley=fall.end,
        high=float(loss[0]),
        low=float(loss[-1]),
    )
