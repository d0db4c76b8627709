from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import lstm_edge
from conftest import make_arrays

SHORT: dict[str, Any] = {"steps": 40, "transient": 10}

MEASURES: dict[str, Callable[[Any], Any]] = {
    "lyapunov": lambda net: lstm_edge.lyapunov(net, starts=2, **SHORT),
    "attractors": lambda net: lstm_edge.attractors(net, starts=3),
    "orbit": lambda net: lstm_edge.orbit(net, starts=2, **SHORT),
    "fixed_points": lambda net: lstm_edge.fixed_points(net, starts=3),
    "covariant_vectors": lambda net: lstm_edge.covariant_vectors(net, steps=9),
    "distance": lambda net: lstm_edge.asymptotic_distance(net, samples=3, steps=40),
}


@pytest.mark.parametrize("measure", MEASURES)
def test_results_of_equal_calls_are_equal(measure: str) -> None:
    take = MEASURES[measure]
    found = take(make_arrays((4,), 3))
    assert found == take(make_arrays((4,), 3))
    assert found == pickle.loads(pickle.dumps(found))
    assert found != take(make_arrays((4,), 3, seed=1))
    assert found != replace(found, settings=found.settings | {"seed": -1})
    assert found != "something else"


@pytest.mark.parametrize("measure", MEASURES)
def test_results_are_plain_values_and_a_table(measure: str) -> None:
    found = MEASURES[measure](make_arrays((4,), 3))
    plain = found.to_dict()
    assert "settings" in plain
    json.dumps(plain, default=lambda value: [value.real, value.imag])  # of multipliers
    assert "<th>settings</th>" in found._repr_html_()


def test_what_is_not_finite_is_equal_too() -> None:
    big = {k: np.float64(v) * 1e200 for k, v in make_arrays((4,), 3, outputs=3).items()}
    lost, again = (
        lstm_edge.lyapunov(big, closed_loop=True, steps=20, transient=5)
        for _ in range(2)
    )
    assert np.isnan(lost.exponents).all()
    assert lost == again
