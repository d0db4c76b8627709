"""Results on axes of matplotlib."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import lstm_edge
from conftest import Arrays, make_arrays
from lstm_edge.monitor.monitor import EdgeMonitor
from lstm_edge.terms import PHASES

QUICK = {"lyapunov": {"steps": 60, "starts": 2}, "distance": {"samples": 2}}


@pytest.fixture
def arrays() -> Arrays:
    return make_arrays((6,), 2, gain=3.0, seed=1)


def test_a_spectrum_shows_each_exponent_with_its_error(
    arrays: Arrays,
) -> None:
    spectrum = lstm_edge.lyapunov(arrays, steps=200, starts=4)
    ax: Any = Figure().subplots()
    assert spectrum.plot(ax) is ax
    points = ax.lines[1]
    np.testing.assert_array_equal(points.get_xdata(), np.arange(1, 13))
    np.testing.assert_array_equal(points.get_ydata(), spectrum.exponents)
    bars: Any = ax.containers[0]
    (segments,) = bars.lines[2]
    lengths = [np.ptp(path.vertices[:, 1]) for path in segments.get_paths()]
    np.testing.assert_allclose(lengths, 4 * spectrum.stderr, rtol=1e-6, atol=1e-12)


def test_attractors_show_their_shares(arrays: Arrays) -> None:
    found = lstm_edge.attractors(arrays, starts=4)
    ax: Any = found.plot(Figure().subplots())
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == [one.share for one in found.attractors]
    assert f"attractors: {found.phase}" == ax.get_title()


def test_an_orbit_shows_every_start(arrays: Arrays) -> None:
    walk = lstm_edge.orbit(arrays, steps=9, starts=3)
    ax: Any = walk.plot(Figure().subplots())
    assert len(ax.lines) == 3
    np.testing.assert_allclose(ax.lines[1].get_ydata(), walk.hidden[1].sum(axis=-1))


def test_a_monitor_shows_its_history(arrays: Arrays) -> None:
    with EdgeMonitor(steps=60, transient=20, starts=2, waiting=None) as monitor:
        for update in (0, 10):
            monitor.update(arrays, update)
    ax: Any = monitor.plot(Figure().subplots())
    assert {0.0, 10.0} == {
        float(x) for line in ax.lines[2:] for x in np.asarray(line.get_xdata())
    }


def test_a_sweep_shows_its_checkpoints(make_run: Callable[..., Path]) -> None:
    sweep = lstm_edge.analyze(make_run(4), settings=QUICK)
    ax: Any = sweep.plot(Figure().subplots())
    update, exponent = ax.lines[1].get_data()
    np.testing.assert_array_equal(update, sweep.track.update)
    np.testing.assert_array_equal(exponent, sweep.table["lambda_max"])
    for phase in PHASES:
        (line,) = [line for line in ax.lines if line.get_label() == phase]
        there = [p == phase for p in sweep.track.phase]
        np.testing.assert_array_equal(line.get_xdata(), sweep.track.update[there])


def test_without_axes_there_is_a_new_figure_and_matplotlib_waits_until_then() -> None:
    code = (
        "import sys, numpy as np, lstm_edge\n"
        "a = dict(weight_ih_l0=np.ones((4, 1)), weight_hh_l0=np.ones((4, 1)))\n"
        "found = lstm_edge.lyapunov(a, steps=9, transient=0, starts=1)\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import matplotlib; matplotlib.use('agg')\n"
        "print(type(found.plot()).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "Axes\n"
