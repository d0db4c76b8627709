"""The tanh map: its fixed point, its derivative, its exponent by a loop in NumPy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

import lstm_edge
from lstm_edge import UsageError, _core
from lstm_edge.cli import main


@given(st.floats(0.1, 60.0), st.floats(0.0, 20.0))
def test_step_and_derivative_are_those_of_the_formula(r: float, k: float) -> None:
    y, w = _core.push(_core.StateMap.tanh(r), np.array([k]), np.array([[1.0]]))
    fall = 2.0 / (1.0 + np.exp(2.0 * k))  # 1 - tanh k
    assert y[0] == pytest.approx(r * k * fall, rel=1e-14, abs=1e-300)
    sech2 = fall * (2.0 - fall)
    scale = r * fall * (1.0 + 2.0 * k)
    assert abs(w[0, 0] - r * (fall - k * sech2)) <= 1e-14 * scale


def test_the_exponent_of_the_fixed_point_is_that_of_its_derivative() -> None:
    r = np.array([1.5, 2.5, 4.0, 4.9])
    found = lstm_edge.analogy(r)
    k = np.arctanh(1.0 - 1.0 / r)
    np.testing.assert_allclose(found.orbit, np.repeat(k[:, None], 100, axis=1), 1e-9)
    expected = np.log(np.abs(1.0 - k * (1.0 + np.tanh(k))))
    np.testing.assert_allclose(found.lambda_max, expected, rtol=1e-9)
    assert found.phase == ["order"] * 4
    np.testing.assert_allclose(found.distance, -15.0, atol=1e-6)


def test_the_first_doubling_is_where_the_derivative_is_minus_one() -> None:
    k = brentq(lambda k: k * (1.0 + np.tanh(k)) - 2.0, 0.5, 2.0)
    r = 1.0 / (1.0 - np.tanh(k))
    before, after = lstm_edge.analogy([0.99 * r, 1.01 * r]).orbit
    assert np.ptp(before) < 1e-6 < 1e-2 < np.ptp(after)


def test_chaos_has_the_exponent_of_a_long_loop_in_numpy() -> None:
    values = np.array([12.0, 18.0, 28.0])
    found = lstm_edge.analogy(values)
    k, total = np.full((3, 200), 0.3), np.zeros((3, 200))
    k *= np.linspace(0.5, 1.5, 200)
    r = values[:, None]
    for t in range(6000):
        if t >= 1000:
            slope = 1.0 - np.tanh(k) - k / np.cosh(k) ** 2
            total += np.log(np.abs(r * slope)) / 5000
        k = r * k * (1.0 - np.tanh(k))
    difference = np.abs(found.lambda_max - total.mean(axis=1))
    assert np.all(difference <= 4 * found.lambda_max_stderr)
    assert found.phase == ["chaos"] * 3
    assert np.all(found.distance > -5)


def test_onsets_of_chaos_lie_at_the_ends_of_the_cascade_and_of_the_window() -> None:
    found = lstm_edge.analogy(np.arange(8.5, 16.0, 0.025))
    onsets = [t.update for t in found.onsets]
    # the window of period 3 ends in a cascade of its own
    assert onsets == pytest.approx([9.34, 14.92], abs=0.05)
    assert all(isinstance(t.width, float) for t in found.onsets)


@pytest.mark.parametrize("r", [[], [0, 1], [2, 1], [1, np.nan], [np.inf], 3.0])
def test_what_is_no_range_is_refused(r: object) -> None:
    with pytest.raises(UsageError, match="r: expected"):
        lstm_edge.analogy(r)  # type: ignore[arg-type]


def test_the_command_draws_and_prints(tmp_path: Path) -> None:
    out = tmp_path / "analogy.svg"
    arguments = ["analogy", "--from", "8.5", "--to", "10", "--values", "60"]
    shown = CliRunner().invoke(main, [*arguments, "--out", str(out)])
    assert shown.exit_code == 0, shown.output
    assert "sustained onsets of chaos" in shown.output
    assert out.read_text().startswith("<?xml")
    found = CliRunner().invoke(main, [*arguments, "--out", str(out), "--json"])
    summary = json.loads(found.output)
    assert len(summary["r"]) == len(summary["lambda_max"]) == 60
    assert summary["figure"] == str(out)
    wrong = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "a.xyz")])
    assert wrong.exit_code == 2
    assert "cannot be written" in wrong.output
